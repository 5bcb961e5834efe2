"""What is Redis's and Valkey's own: several passwords of a user, users kept over a restart, commands that come late."""

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis

import rotation.engines.redis
from rotation.engines.redis import Redis
from rotation.errors import InvalidSecretError, LoginRefusedError, RightsDifferError, RotationError, UnavailableError
from rotation.model import Credentials
from rotatorctl.local.redis_server import ADMIN, UsersIn, ValkeyServer
from rotatorctl.local.servers import HOST, free_port
from tests.contract.redis_world import LEAST, RedisWorld
from tests.contract.test_engines import answering, next_of, until

pytestmark = pytest.mark.xdist_group("Redis")

ENGINE = Redis()
type Start = Callable[..., RedisWorld]
STARTS: dict[str, Callable[..., AbstractContextManager[RedisWorld]]] = {
    "Redis": RedisWorld.started,
    "Redis without TLS": partial(RedisWorld.started, tls=False),
    # The wheel's Valkey was built without TLS.
    "Valkey": partial(RedisWorld.started, tls=False, kind=ValkeyServer),
}
BOTH, WITHOUT_TLS = ["Redis", "Valkey"], ["Redis without TLS", "Valkey"]


@pytest.fixture(scope="module", params=BOTH)
def running(request: pytest.FixtureRequest) -> Iterator[RedisWorld]:
    with STARTS[request.param]() as world:
        yield world


@pytest.fixture
def world(running: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> RedisWorld:
    monkeypatch.setenv("PRIVATE_CA", running.ca_pem)
    return running


@pytest.fixture(scope="module", params=WITHOUT_TLS)
def readable(request: pytest.FixtureRequest) -> Iterator[RedisWorld]:
    """A server whose traffic can be read on its way."""
    with STARTS[request.param]() as world:
        yield world


@pytest.fixture(params=BOTH)
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server that is trusted and ends with the test."""
    with ExitStack() as stack:

        def started(**how: Any) -> RedisWorld:
            world = stack.enter_context(STARTS[request.param](**how))
            monkeypatch.setenv("PRIVATE_CA", world.ca_pem)
            return world

        yield started


def admin_of(world: RedisWorld) -> Credentials:
    return Credentials(ADMIN, world.server.admin_password, HOST, world.port, ssl=bool(world.ca_pem))


def sha256(credentials: Credentials) -> str:
    return hashlib.sha256(credentials.password.encode()).hexdigest()


def add(world: RedisWorld, credentials: Credentials, *rules: str) -> Credentials:
    """The same user, with one more password or other rules."""
    world.asked("ACL", "SETUSER", credentials.username, *(rules or [f">{credentials.password}"]))
    return credentials


def who_log_in(world: RedisWorld, *candidates: Credentials) -> list[bool]:
    return [world.logs_in(each) for each in candidates]


@contextmanager
def relayed(world: RedisWorld, sending: Callable[[bytes], object]) -> Iterator[int]:
    """The port of a relay to the server that tells what a client sends before it passes it on."""

    def answers(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)

    def relay(client: socket.socket) -> None:
        with socket.create_connection((HOST, world.port)) as server:
            back = threading.Thread(target=answers, args=(server, client))
            back.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    sending(data)
                    server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    with answering(relay) as port:
        yield port


@contextmanager
def held_back(
    world: RedisWorld, login: Credentials, target: Credentials, keep: Credentials | None
) -> Iterator[Callable[[], str]]:
    """A change on its way: what it looked at has been answered, the command that changes has not arrived.

    The block gets what lets it arrive and returns how the change ended.
    """
    sent, arrive = threading.Event(), threading.Event()

    def sending(data: bytes) -> None:
        if b"SETUSER" in data:
            sent.set()
            arrive.wait(20)

    with relayed(world, sending) as port, ThreadPoolExecutor() as pool:
        change = pool.submit(ENGINE.set_password, replace(login, port=port), target, keep)

        def end() -> str:
            arrive.set()
            error = change.exception()
            return f"{type(error).__name__} {error}" if error else "done"

        try:
            assert sent.wait(10)
            yield end
        finally:
            arrive.set()


def test_the_new_and_the_kept_password_log_in_and_every_other_is_refused(world: RedisWorld) -> None:
    old = world.user()
    current, first, second = (next_of(old) for _ in range(3))
    add(world, current)

    ENGINE.set_password(current, first, keep=current)
    assert who_log_in(world, first, current, old) == [True, True, False]

    ENGINE.set_password(first, second, keep=first)
    assert who_log_in(world, second, first, current) == [True, True, False]

    ENGINE.set_password(second, second)
    assert who_log_in(world, second, first) == [True, False]


def test_the_same_change_again_changes_nothing(world: RedisWorld) -> None:
    current = world.user()
    pending = next_of(current)

    ENGINE.set_password(current, pending, keep=current)
    before = world.rules(current.username)
    ENGINE.set_password(current, pending, keep=current)
    ENGINE.set_password(pending, pending, keep=current)

    assert world.rules(current.username) == before
    assert who_log_in(world, pending, current) == [True, True]


def test_a_password_that_is_refused_is_not_made_valid_by_keeping_it(world: RedisWorld) -> None:
    previous = world.user()
    given_up, target = next_of(previous), next_of(previous)

    ENGINE.set_password(previous, target, keep=given_up)

    assert who_log_in(world, target, given_up, previous) == [True, False, False]


def test_two_changes_at_once_keep_the_kept_password_and_one_of_the_new_ones_at_least(world: RedisWorld) -> None:
    current = world.user()
    targets = [next_of(current), next_of(current)]
    together = threading.Barrier(2)

    def change(target: Credentials) -> None:
        together.wait()
        ENGINE.set_password(current, target, keep=current)

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, targets))

    assert world.logs_in(current)
    assert any(who_log_in(world, *targets))


@pytest.mark.parametrize("keeps", [True, False])
def test_a_change_that_was_overtaken_changes_nothing(readable: RedisWorld, keeps: bool) -> None:
    current = readable.user()
    old, slower, faster = (next_of(current) for _ in range(3))
    add(readable, old)
    keep = current if keeps else None

    with held_back(readable, current, slower, keep) as end:
        ENGINE.set_password(current, faster, keep)
        ended = end()

    assert ended.startswith("UnavailableError") and "something else changed" in ended
    assert who_log_in(readable, faster, slower, old, current) == [True, False, False, keeps]
    assert not [each for each in (current, old, slower, faster) if each.password in ended or sha256(each) in ended]


def test_a_change_that_arrives_when_the_next_rotation_has_ended_takes_nothing_away(
    readable: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation.engines.redis, "STATEMENT_TIMEOUT", 0)
    first = readable.user()
    late, second, third = (next_of(first) for _ in range(3))

    with held_back(readable, first, late, keep=first) as end:
        ENGINE.set_password(first, second, keep=first)
        ENGINE.set_password(second, third, keep=second)
        end()
        until(lambda: f"#{sha256(late)}" in readable.rules(first.username))

    assert who_log_in(readable, third, second, first) == [True, True, False]


def test_a_change_that_a_frozen_server_makes_after_its_client_died_takes_nothing_away(
    readable: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis ends no command after a time: the change is late, not lost."""
    monkeypatch.setattr(rotation.engines.redis, "STATEMENT_TIMEOUT", 0)
    old = readable.user()
    current, pending = add(readable, next_of(old)), next_of(old)

    def freeze(data: bytes) -> None:
        if b"SETUSER" in data:
            readable.server.freeze()

    with relayed(readable, freeze) as port:
        try:
            with pytest.raises(UnavailableError, match="Timeout"):
                ENGINE.set_password(replace(current, port=port), pending, keep=current)
        finally:
            readable.server.resume()
        until(lambda: f"#{sha256(pending)}" in readable.rules(old.username))

    assert who_log_in(readable, current, pending, old) == [True, True, False]


def test_a_frozen_server_is_unavailable(world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation.engines.redis, "STATEMENT_TIMEOUT", 0)
    monkeypatch.setattr(rotation.engines.redis, "CONNECT_TIMEOUT", 1)
    user = world.user()

    world.server.freeze()
    try:
        with pytest.raises(UnavailableError, match=r"timed out|Timeout"):
            ENGINE.verify(user)
    finally:
        world.server.resume()

    ENGINE.verify(user)


@pytest.mark.parametrize("users_in", ["acl file", "configuration"])
def test_a_change_survives_a_restart(start: Start, users_in: UsersIn) -> None:
    world = start(users_in=users_in)
    old = world.user(rules=(*LEAST, "+config|rewrite"))
    new, newest = next_of(old), next_of(old)

    ENGINE.set_password(old, new, keep=old)
    world.server.stop()
    world.server.start()
    assert who_log_in(world, new, old) == [True, True]

    ENGINE.set_password(new, newest, keep=new)
    world.server.stop()
    world.server.start()
    assert who_log_in(world, newest, new, old) == [True, True, False]


def test_a_server_that_keeps_its_users_nowhere_is_asked_for_no_more(start: Start) -> None:
    world = start(users_in="memory")
    old = world.user(rules=(*LEAST, "+config|rewrite"))
    new = next_of(old)

    ENGINE.set_password(old, new)

    assert who_log_in(world, new, old) == [True, False]
    world.server.stop()
    world.server.start()
    assert not world.logs_in(new)


@pytest.mark.parametrize("users_in", ["acl file", "configuration"])
def test_the_password_of_the_default_user_survives_a_restart_too(start: Start, users_in: UsersIn) -> None:
    world = start(users_in=users_in)
    old = replace(world.user(), username="default")
    new = next_of(old)
    add(world, old, "on", f">{old.password}", *LEAST, "+config|rewrite")

    ENGINE.set_password(old, new)
    world.server.stop()
    world.server.start()

    assert who_log_in(world, new, old) == [True, False]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_that_would_break_the_servers_configuration_is_refused_before_anything_changes(
    start: Start, quote: str
) -> None:
    world = start(users_in="configuration")
    user = world.user(f"o{quote}brien", rules=(*LEAST, "+config|rewrite"))

    with pytest.raises(InvalidSecretError) as error:
        ENGINE.set_password(user, next_of(user))

    assert str(error.value) == (
        f"{user}: the server would not start again, because CONFIG REWRITE does not escape the quote in this name; "
        "users with such names need an ACL file (aclfile)"
    )

    assert world.logs_in(user)
    world.server.stop()
    world.server.start()


def test_a_change_that_the_server_cannot_keep_is_not_made(start: Start) -> None:
    world = start()
    user = world.user()
    new = next_of(user)
    acl_file = world.server.folder / "users.acl"
    acl_file.unlink()
    acl_file.mkdir()

    with pytest.raises(InvalidSecretError, match="error trying to save the ACLs"):
        ENGINE.set_password(user, new)

    assert who_log_in(world, user, new) == [True, False]


@pytest.mark.parametrize(
    "rules",
    [
        ("on", "+@all", "-flushall", "~*", "&*"),
        (
            "off",
            "~app:*",
            "%R~read:*",
            "&news:*",
            "+@read",
            "+set",
            "-get",
            "(~other:* +hget)",
            "skip-sanitize-payload",
        ),
    ],
)
def test_nothing_but_passwords_changes(world: RedisWorld, rules: tuple[str, ...]) -> None:
    old = world.user(rules=rules)
    new = next_of(old)
    before = world.rules(old.username)

    ENGINE.set_password(admin_of(world), new, keep=old)
    assert world.rules(old.username).replace(f" #{sha256(new)}", "") == before

    ENGINE.set_password(admin_of(world), new)
    assert world.rules(old.username) == before.replace(sha256(old), sha256(new))


def test_a_user_who_is_off_is_refused(world: RedisWorld) -> None:
    user = add(world, world.user(), "off")

    with pytest.raises(LoginRefusedError, match="WRONGPASS"):
        ENGINE.verify(user)
    with pytest.raises(LoginRefusedError, match="WRONGPASS"):
        ENGINE.set_password(user, next_of(user))


def test_a_user_without_any_right_is_let_in(world: RedisWorld) -> None:
    ENGINE.verify(world.user(rules=()))


def test_a_user_who_is_let_in_with_any_password_is_left_as_it_is(world: RedisWorld) -> None:
    user = add(world, world.user(), "nopass")
    before = world.rules(user.username)

    with pytest.raises(InvalidSecretError) as error:
        ENGINE.set_password(user, next_of(user))

    assert str(error.value) == (
        f"{user}: user {user.username!r} is let in with any password (nopass); give it its first password by hand"
    )

    assert world.rules(user.username) == before


def test_a_user_who_does_not_exist_is_not_made(world: RedisWorld) -> None:
    nobody = replace(admin_of(world), username="nobody", password="a new password")

    with pytest.raises(InvalidSecretError, match=r"^user .*: the server has no user 'nobody'$"):
        ENGINE.set_password(admin_of(world), nobody)

    assert b"nobody" not in world.asked("ACL", "USERS")


@pytest.mark.parametrize("missing", LEAST)
def test_a_right_that_is_missing_is_named_before_anything_changes(world: RedisWorld, missing: str) -> None:
    user = world.user(rules=tuple(right for right in LEAST if right != missing))
    new = next_of(user)

    # A right of its own for ACL SETUSER is missed only by that command.
    with pytest.raises(RightsDifferError, match=rf"NOPERM .*'{missing[1:].replace('|', '.')}'.*; .*\{missing}"):
        ENGINE.set_password(user, new)

    assert who_log_in(world, user, new) == [True, False]


def test_the_right_to_keep_users_in_the_configuration_is_named(start: Start) -> None:
    world = start(users_in="configuration")
    user = world.user()

    with pytest.raises(RightsDifferError, match=r"NOPERM .*'config.rewrite'.*; .*\+config.rewrite"):
        ENGINE.set_password(user, next_of(user))

    assert world.logs_in(user)


def test_an_admin_needs_no_more_rights_than_the_user_itself(world: RedisWorld) -> None:
    admin, user = world.user(), world.user(rules=())
    new = next_of(user)

    ENGINE.set_password(admin, new, keep=user)

    assert who_log_in(world, new, user, admin) == [True, True, True]


def test_reading_is_proven_by_key(world: RedisWorld) -> None:
    world.asked("RPUSH", "app:list", "a value")
    world.asked("SET", "app:text", "a value")
    user = world.user(rules=("~app:*", "+@read"))

    ENGINE.verify(user, ["app:list", "app:text", "app:not there"])
    with pytest.raises(
        RightsDifferError, match=rf"^{re.escape(str(user))} may not read the key 'other' \(GETRANGE\): NOPERM"
    ):
        ENGINE.verify(user, ["app:text", "other"])


@pytest.mark.parametrize("rules", [("~app:*", "+@write"), ("%W~app:*", "+@all")])
def test_a_right_to_write_is_no_right_to_read(world: RedisWorld, rules: tuple[str, ...]) -> None:
    world.asked("SET", "app:text", "a value")

    with pytest.raises(RightsDifferError, match="'app:text'"):
        ENGINE.verify(world.user(rules=rules), ["app:text"])


def test_the_database_in_the_secret_is_entered(world: RedisWorld) -> None:
    user = world.user(rules=("+select",))

    ENGINE.verify(replace(user, dbname="3"))
    for dbname in ("99", "orders"):
        with pytest.raises(InvalidSecretError, match="no database of the number in the secret's dbname"):
            ENGINE.verify(replace(user, dbname=dbname))
    with pytest.raises(RightsDifferError, match=r"NOPERM .*'select'"):
        ENGINE.verify(replace(world.user(), dbname="3"))


def test_the_new_password_is_never_sent(readable: RedisWorld) -> None:
    old = readable.user()
    new = next_of(old)
    sent: list[bytes] = []

    with relayed(readable, sent.append) as port:
        ENGINE.set_password(replace(old, port=port), new, keep=old)

    assert sha256(new).encode() in b"".join(sent)
    assert new.password.encode() not in b"".join(sent)
    assert readable.logs_in(new)


def test_a_server_that_has_no_such_commands_is_named_without_quoting_what_was_sent(start: Start) -> None:
    world = start(users_in="configuration", settings='rename-command ACL ""\n')
    admin = admin_of(world)

    with pytest.raises(InvalidSecretError, match="an API of its own") as error:
        ENGINE.set_password(admin, next_of(admin))

    assert "GETUSER" not in str(error.value)


def test_a_server_from_before_users_is_named_and_never_sent_the_password_alone() -> None:
    sent: list[bytes] = []

    def talk(client: socket.socket) -> None:
        while data := client.recv(65536):
            sent.append(data)
            client.sendall(b"-ERR wrong number of arguments for 'auth' command\r\n")

    with answering(talk) as port, pytest.raises(InvalidSecretError, match="came with Redis 6"):
        ENGINE.verify(Credentials("app", "a password", HOST, port, ssl=False))

    assert len(sent) == 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("cluster-enabled yes\ncluster-port {port}", "CLUSTERDOWN"),
        ("replicaof {host} {port}\nreplica-serve-stale-data no", "MASTERDOWN"),
    ],
)
def test_a_server_that_says_later_is_unavailable(start: Start, settings: str, code: str) -> None:
    world = start(settings=settings.format(host=HOST, port=free_port()))

    with pytest.raises(UnavailableError, match=code):
        ENGINE.verify(world.user(rules=("~*", "+@all")), ["a key"])


def test_a_server_that_is_busy_with_a_script_is_unavailable(world: RedisWorld) -> None:
    user = world.user()
    world.asked("CONFIG", "SET", "lua-time-limit", "1")

    def changes_for_ever() -> bool:
        ENGINE.set_password(user, user)
        return False

    def run_for_ever() -> None:
        with pytest.raises(redis.ResponseError, match="SCRIPT KILL"):
            world.asked("EVAL", "while true do end", "0")

    with ThreadPoolExecutor() as pool:
        script = pool.submit(run_for_ever)
        try:
            with pytest.raises(UnavailableError, match="BUSY"):
                until(changes_for_ever)
        finally:
            world.asked("SCRIPT", "KILL")
        script.result()


def test_a_server_without_tls_is_named_and_sent_no_log_in(readable: RedisWorld) -> None:
    user, sent = readable.user(), list[bytes]()

    with (
        relayed(readable, sent.append) as port,
        pytest.raises(InvalidSecretError, match=r"does not speak TLS.*: false"),
    ):
        ENGINE.verify(replace(user, port=port, ssl=True))

    assert sent
    assert user.username.encode() not in b"".join(sent)


def test_a_server_without_tls_that_takes_no_more_connections_is_unavailable(readable: RedisWorld) -> None:
    user = readable.user()

    with readable.full(), pytest.raises(UnavailableError, match="max number of clients"):
        ENGINE.verify(user)


def test_an_error_says_what_the_server_said(world: RedisWorld) -> None:
    user = next_of(world.user())

    with pytest.raises(RotationError) as error:
        ENGINE.verify(user)

    assert str(error.value) == (
        f"user '{user.username}' at 127.0.0.1:{world.port}: "
        "WRONGPASS invalid username-password pair or user is disabled."
    )
