"""What the rotation relies on, held against a real server of every engine."""

import inspect
import json
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest

from rotation import engines
from rotation.engines.base import Engine
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.servers import free_port
from tests.contract.worlds import BLOCKING_WORLDS, WORLDS, BlockingWorld, World

FUNCTIONS = Path(__file__).parents[2] / "functions"

# A user's name, its password and the next one, by what is special about them.
UNUSUAL = {
    "spaces": (" my app ", " old secret ", "  new secret"),
    "single quote": ("o'brien", "old'secret'", "new''secret'"),
    "double quote": ('say "hello"', 'old"secret"', '"new""secret'),
    "backslash": ("back\\slash", "old\\'secret\\", "new\\\\secret\\n"),
    "dollar": ("$user$1", "$old$$secret$", "$$new$tag$secret"),
    "percent": ("100%s", "%old%%secret", "%(new)s%d secret"),
    "semicolon": ("a;b", "old;secret;", ";new;secret --"),
    "injection": ("x'; DROP ROLE y; --", "old'; DROP ROLE y; --", 'new"; DROP ROLE y; --'),
    "scram": ("n,,n=user,r=", "old=2Csecret,r=1", "SCRAM-SHA-256$4096:new"),
    "like md5": ("md5", "md5 old secret", "md5" + "0123456789abcdef" * 2),
    "accents": ("Zoë Übel", "öld-sécret", "nëw-sécret"),
    "not normalized": ("ﬁnance", "①old ﬀ secret", "②new ﬀ secret\u00a0"),
    "emoji": ("🦊", "old 🦊 secret 🫠", "new 👩‍🚀 secret"),
    "right to left": ("משתמש", "סוד ישן", "סוד חדש abc"),
    "soft hyphen": ("soft\u00adhyphen", "old\u00adsecret", "new\u00adsecret"),
    "zero width space": ("zero\u200bwidth", "old\u200bsecret", "new\u200bsecret"),
    "tone mark": ("tone", "old\u0340 secret", "new\u0341 secret"),
    "compatibility form of both directions": ("tatweel", "old \ufe70 secret", "\ufb1d secret"),
    "soft hyphens only": ("hyphens", "\u00ad" * 9, "\u00ad" * 10),
    "control characters": ("a\tb\x01", "old\r\nsecret\x7f", "\x1bnew\u2028secret"),
    "63 bytes": ("n" * 63, "o" * 63, "w" * 900),
    "63 bytes of utf-8": ("é" * 31 + "x", "ö" * 40, "ü" * 300),
}


@pytest.fixture(scope="session", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in WORLDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(kind: str, start: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> World:
    """The server of one engine, trusted."""
    world = start(kind)
    monkeypatch.setenv("PRIVATE_CA", world.ca_pem)
    return world


@pytest.fixture
def blocking(kind: str, world: World) -> BlockingWorld:
    """The same server, of an engine in which a statement can be made to wait."""
    return cast(BlockingWorld, world)


each_that_blocks = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in BLOCKING_WORLDS], indirect=True
)


@pytest.fixture
def engine(kind: str) -> Engine:
    return engines.load(engines.ENGINES[kind])


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of something on the loopback interface that does this with each connection and closes it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    answer(client)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def next_of(credentials: Credentials) -> Credentials:
    return replace(credentials, password=f"new-{secrets.token_urlsafe(16)}")


def until(happens: Callable[[], bool], seconds: float = 10) -> None:
    """Ask until it happens, or fail."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def test_every_engine_of_the_registry_is_complete_and_tried_here() -> None:
    for traits in set(engines.ENGINES.values()):
        engine = engines.load(traits)
        assert isinstance(engine, Engine)
        assert not inspect.isabstract(engine)
    modules = {engines.ENGINES[kind].module for kind in WORLDS}
    assert modules == {traits.module for traits in engines.ENGINES.values() if traits.has_server}


def test_the_engine_without_a_server_accepts_every_value() -> None:
    engine = engines.load(engines.ENGINES["generic"])

    engine.verify(Credentials("", "anything"))
    engine.set_password(Credentials("", "old"), Credentials("", "new"))


def test_after_a_change_the_new_password_logs_in_and_the_old_one_does_not(world: World, engine: Engine) -> None:
    old = world.user()
    new = next_of(old)

    engine.set_password(old, new)

    engine.verify(new)
    assert world.logs_in(new)
    with pytest.raises(LoginRefusedError):
        engine.verify(old)
    assert not world.logs_in(old)


def test_a_look_changes_nothing(world: World, engine: Engine) -> None:
    user = world.user()

    engine.verify(user)

    assert world.logs_in(user)


def test_setting_the_password_that_the_user_has_is_no_error(world: World, engine: Engine) -> None:
    user = world.user()

    engine.set_password(user, user)
    engine.set_password(user, user)

    assert world.logs_in(user)


def test_open_sessions_survive_a_change(world: World, engine: Engine) -> None:
    old = world.user()

    with world.session(old) as still_answers:
        engine.set_password(old, next_of(old))
        still_answers()


def test_a_wrong_password_is_refused_and_changes_nothing(world: World, engine: Engine) -> None:
    user = world.user()
    wrong = next_of(user)

    with pytest.raises(LoginRefusedError):
        engine.verify(wrong)
    with pytest.raises(LoginRefusedError):
        engine.set_password(wrong, wrong)

    assert world.logs_in(user)
    assert not world.logs_in(wrong)


def test_a_user_who_does_not_exist_is_refused(world: World, engine: Engine) -> None:
    nobody = replace(world.user(), username="nobody at all")

    with pytest.raises(LoginRefusedError):
        engine.verify(nobody)


@pytest.mark.parametrize(("name", "old", "new"), UNUSUAL.values(), ids=UNUSUAL)
def test_any_name_and_any_password_log_in_change_and_log_in(
    world: World, engine: Engine, name: str, old: str, new: str
) -> None:
    before = world.user(name if world.takes(name) else None, old if world.takes_password(old) else None)
    after = replace(before, password=new)
    if not world.takes_password(new):
        with pytest.raises(PasswordRejectedError):
            engine.set_password(before, after)
        with pytest.raises(LoginRefusedError):
            engine.verify(after)
        assert world.logs_in(before)
        return

    engine.verify(before)
    engine.set_password(before, after)
    engine.verify(after)

    assert world.logs_in(after)
    assert not world.logs_in(before)
    engine.set_password(after, before)
    assert world.logs_in(before)
    assert old not in world.log()
    assert new not in world.log()


def test_the_servers_log_shows_the_change_and_no_password(world: World, engine: Engine) -> None:
    old = world.user()
    new = next_of(old)

    engine.set_password(old, new)
    with pytest.raises(LoginRefusedError):
        engine.set_password(old, new)

    assert old.username in world.log()
    assert old.password not in world.log()
    assert new.password not in world.log()


def test_two_changes_at_once_leave_one_of_the_two_passwords(world: World, engine: Engine) -> None:
    old = world.user()
    started = threading.Barrier(2)

    def change(target: Credentials) -> str:
        started.wait()
        try:
            engine.set_password(old, target)
        except RotationError as error:
            return type(error).__name__
        return "done"

    targets = [next_of(old), next_of(old)]
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(change, targets))

    # The slower one may find its log-in refused already.
    assert "done" in ends
    assert set(ends) <= {"done", "UnavailableError", "LoginRefusedError"}
    assert [world.logs_in(target) for target in targets].count(True) == 1
    assert not world.logs_in(old)


@each_that_blocks
def test_a_change_that_has_to_wait_ends_by_itself_and_never_takes_effect(
    blocking: BlockingWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module(type(engine).__module__), "STATEMENT_TIMEOUT", 1)
    old = blocking.user()
    new = next_of(old)

    with blocking.blocked(old.username):
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            engine.set_password(old, new)
        assert time.monotonic() - began < 3
        assert not blocking.waiting()

    assert blocking.logs_in(old)
    assert not blocking.logs_in(new)


KILLED_IN_THE_MIDDLE = """
import json, sys
from rotation import engines
from rotation.model import Credentials
engine = engines.load(engines.ENGINES[sys.argv[1]])
sys.modules[type(engine).__module__].STATEMENT_TIMEOUT = 1
engine.set_password(*(Credentials(**each) for each in json.load(sys.stdin)))
"""


@each_that_blocks
def test_a_change_whose_client_was_killed_while_it_waited_never_takes_effect(
    blocking: BlockingWorld, kind: str
) -> None:
    old = blocking.user()
    new = next_of(old)

    with blocking.blocked(old.username):
        client = subprocess.Popen(
            [sys.executable, "-c", KILLED_IN_THE_MIDDLE, kind],
            stdin=subprocess.PIPE,
            env={"PYTHONPATH": str(FUNCTIONS), "PRIVATE_CA": blocking.ca_pem},
        )
        assert client.stdin
        client.stdin.write(json.dumps([asdict(old), asdict(new)]).encode())
        client.stdin.close()
        until(blocking.waiting)
        client.kill()
        assert client.wait() == -signal.SIGKILL
        assert blocking.waiting()
        until(lambda: not blocking.waiting(), seconds=3)

    assert blocking.logs_in(old)
    assert not blocking.logs_in(new)


def test_a_server_that_is_down_is_unavailable(world: World, engine: Engine) -> None:
    with pytest.raises(UnavailableError, match="refused"):
        engine.verify(replace(world.user(), port=free_port()))


def test_a_host_that_does_not_resolve_is_unavailable(world: World, engine: Engine) -> None:
    with pytest.raises(UnavailableError, match=r"'user-.*' at nowhere\.invalid"):
        engine.verify(replace(world.user(), host="nowhere.invalid"))


def test_a_server_that_takes_no_more_connections_is_unavailable(world: World, engine: Engine) -> None:
    user = world.user()

    with world.full(), pytest.raises(UnavailableError, match=r"[Cc]onnection"):
        engine.verify(user)

    engine.verify(user)


def test_a_server_that_closes_the_connection_at_once_is_unavailable_and_not_without_tls(
    world: World, engine: Engine
) -> None:
    user = world.user()

    with (
        answering(lambda client: world.speaks_first or client.recv(1)) as port,
        pytest.raises(UnavailableError) as error,
    ):
        engine.verify(replace(user, port=port))

    assert "TLS;" not in str(error.value)


BANNERS = {
    "web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "secure shell": b"SSH-2.0-OpenSSH_9.2\r\n",
    "MySQL": b"J\0\0\0\n8.0.36\0",
    "error instead of a session": b"Ecould not fork new process for connection\0",
}


@pytest.mark.parametrize("banner", BANNERS.values(), ids=BANNERS)
def test_what_is_no_session_of_this_engine_is_unavailable(world: World, engine: Engine, banner: bytes) -> None:
    user = world.user()

    def talk(client: socket.socket) -> None:
        if not world.speaks_first:
            client.recv(1)
        client.sendall(banner)

    with answering(talk) as port, pytest.raises(UnavailableError):
        engine.verify(replace(user, port=port))


def test_a_server_that_never_answers_is_unavailable(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module(type(engine).__module__), "STATEMENT_TIMEOUT", 0)
    user, ended = world.user(), threading.Event()

    with answering(lambda _: ended.wait(5)) as port, pytest.raises(UnavailableError, match="timed out"):
        try:
            engine.verify(replace(user, port=port))
        finally:
            ended.set()


def test_a_certificate_of_an_authority_that_is_not_trusted_is_named(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_CA", CertificateAuthority.made().pem)

    with pytest.raises(InvalidSecretError, match="certificate is not trusted: unable to get local issuer"):
        engine.verify(world.user())


def test_a_certificate_for_another_host_is_named(world: World, engine: Engine) -> None:
    with pytest.raises(InvalidSecretError, match=r"certificate is not trusted: Hostname mismatch.*'127\.1'"):
        engine.verify(replace(world.user(), host="127.1"))


def test_an_expired_certificate_is_named(kind: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with WORLDS[kind](expired=True) as world:
        monkeypatch.setenv("PRIVATE_CA", world.ca_pem)
        never_asked = Credentials("app", "secret", "127.0.0.1", world.port, ssl=True)
        with pytest.raises(InvalidSecretError, match="certificate is not trusted: certificate has expired"):
            engine.verify(never_asked)


@pytest.mark.parametrize("private_ca", ["no certificate", "-----BEGIN CERTIFICATE-----\nü\n-----END CERTIFICATE-----"])
def test_a_private_ca_that_is_no_certificate_is_named(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, private_ca: str
) -> None:
    monkeypatch.setenv("PRIVATE_CA", private_ca)

    with pytest.raises(InvalidSecretError, match="PRIVATE_CA"):
        engine.verify(world.user())


def test_the_authorities_to_trust_are_read_once_and_not_at_each_log_in(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them takes longer than a log-in, and a log-in falls between the change and the promotion."""
    user = world.user()
    engine.verify(user)
    read: list[int] = []
    for name in ("load_verify_locations", "set_default_verify_paths"):
        monkeypatch.setattr(ssl.SSLContext, name, lambda *_, **__: read.append(1))

    engine.verify(user)

    assert read == []


@pytest.fixture
def without_tls(kind: str) -> Iterator[World]:
    starting: AbstractContextManager[World] = WORLDS[kind](tls=False)
    with starting as world:
        yield world


def test_without_tls_nothing_is_sent_unless_the_secret_says_so(without_tls: World, engine: Engine) -> None:
    user = without_tls.user()
    new = next_of(user)

    with pytest.raises(InvalidSecretError) as error:
        engine.verify(replace(user, ssl=True))
    assert str(error.value).endswith(
        f"{user.host}:{user.port} does not speak TLS; turn it on there, "
        'or put "ssl": false into the secret to send passwords in the clear'
    )
    engine.set_password(replace(user, ssl=False), replace(new, ssl=False))

    assert without_tls.logs_in(new)
    assert without_tls.refusal not in without_tls.log()


def test_no_error_quotes_a_password(world: World, engine: Engine) -> None:
    user = world.user()
    wrong = next_of(user)

    with pytest.raises(RotationError) as error:
        engine.set_password(wrong, user)

    assert user.password not in str(error.value)
    assert wrong.password not in str(error.value)
    assert repr(user.username) in str(error.value)
