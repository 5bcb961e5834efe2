"""docs/adding-an-engine.md: its code, as it stands there, is an engine that passes what every engine has to pass."""

import ast
import importlib
import inspect
import re
import socket
import socketserver
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from secrets import token_hex, token_urlsafe
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any, Self
from urllib.parse import quote, unquote

import pytest

from rotation import engines
from rotation.engines.base import Engine
from rotation.errors import (
    InvalidSecretError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotation.secret import EngineTraits
from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.servers import HOST
from tests.contract import test_engines, test_layers
from tests.contract.worlds import WORLDS, World
from tests.workflow import conftest, test_every_engine
from tests.workflow.applications import BY_ADMIN, SINGLE, Case

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding-an-engine.md").read_text()
MODULE, REGISTERED, IN_WORLDS, IN_CASES = re.findall(r"(?s)```python\n(.*?)```", PAGE)
SHORTEST_PASSWORD = 6
# Where the page says that its engine goes.
NEW_FILE = "functions/rotation/engines/ledger.py"
REFUSAL = "authentication failed"

pytestmark = pytest.mark.xdist_group("ledger")


def holds_every_engine(name: str, test: Any) -> bool:
    """Whether it is a test of any engine: not of none, and not only of engines that it chooses itself."""
    if not name.startswith("test_") or not {"engine", "application"} & inspect.signature(test).parameters.keys():
        return False
    return not {"kind", "case"} & {mark.args[0] for mark in getattr(test, "pytestmark", [])}


# The two suites that hold every engine run here with the page's, on the fixtures below and these of theirs.
for suite in (test_engines, test_every_engine):
    globals().update({name: test for name, test in vars(suite).items() if holds_every_engine(name, test)})
globals().update({name: getattr(test_engines, name) for name in ("world", "engine", "without_tls")})
application, silences, definition = conftest.application, conftest.silences, conftest.definition


@dataclass
class User:
    """`changing` is held while this user's password is changed."""

    password: str
    admin: bool
    changing: Lock


class Session(socketserver.BaseRequestHandler):
    """One connection to a ledger, command by command, as the page describes it."""

    server: "Ledger"
    user = ""
    limit = -1.0

    def handle(self) -> None:
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        with self.request, self.request.makefile("rwb", 0) as lines:
            for line in lines:
                words = [unquote(word) for word in line.decode(errors="replace").split()]
                answer = "LATER too many connections" if self.server.is_full else self.answer(*words)
                lines.write(answer.encode() + b"\n")

    def answer(self, command: str = "", *words: str) -> str:
        commands: dict[str, Callable[..., str]]
        commands = {"LIMIT": self.limited, "LOGIN": self.let_in, "PASSWORD": self.changed, "READ": self.read}
        return commands[command](*words) if command in commands else "NO such command"

    def limited(self, seconds: str) -> str:
        self.limit = float(seconds)
        return "OK"

    def let_in(self, name: str, password: str) -> str:
        user = self.server.users.get(name)
        if not user or user.password != password:
            self.server.lines.append(f"{REFUSAL} for {name!r}")
            return "NO refused"
        self.user = name
        return "OK"

    def changed(self, name: str, password: str) -> str:
        if not (self.user == name or self.is_admin):
            return f"NO right to change {quote(name)}"
        if not (user := self.server.users.get(name)):
            return f"NO such user: {quote(name)}"
        if len(password) < SHORTEST_PASSWORD:
            return "NO policy: too short"
        if not user.changing.acquire(timeout=self.limit):
            return "LATER another command changes this user"
        user.password = password
        user.changing.release()
        self.server.lines.append(f"{self.user!r} changed the password of {name!r}")
        return "OK"

    def read(self, book: str, lines: str) -> str:
        if book not in ("orders", "audit"):
            return f"NO such book: {quote(book)}"
        return "OK" if self.user and (book == "orders" or self.is_admin) else f"NO right to read {quote(book)}"

    @property
    def is_admin(self) -> bool:
        return bool(self.user) and self.server.users[self.user].admin


class Ledger(socketserver.ThreadingTCPServer):
    """The invented service of the page, on the loopback interface; without `certificate` it speaks no TLS."""

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, certificate: ServerCertificate | None) -> None:
        self.users: dict[str, User] = {}
        self.lines: list[str] = []
        self.is_full = False
        self.tls = _context(certificate) if certificate else None
        super().__init__((HOST, 0), Session)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.lines.append(f"a connection broke: {sys.exception()!r}")


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        file = Path(folder, "server.pem")
        file.write_text(certificate.certificate_pem + certificate.key_pem)
        context.load_cert_chain(file)
    return context


@dataclass(frozen=True)
class LedgerWorld:
    """A ledger; the other client is the few lines in `client`."""

    server: Ledger
    ca_pem: str
    logs_changes: bool = True
    refusal: str = REFUSAL
    speaks_first: bool = False

    @classmethod
    @contextmanager
    def started(cls, *, tls: bool = True, expired: bool = False) -> Iterator[Self]:
        authority = CertificateAuthority.made()
        with Ledger(authority.server_certificate(expired=expired) if tls else None) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield cls(server, authority.pem if tls else "")
            finally:
                server.shutdown()
                thread.join()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def takes(self, name: str) -> bool:
        return True

    def takes_password(self, password: str) -> bool:
        return len(password) >= SHORTEST_PASSWORD

    def user(self, name: str | None = None, password: str | None = None, admin: bool = False) -> Credentials:
        name, password = name or f"user-{token_hex(4)}", password or f"old-{token_urlsafe(16)}"
        self.server.users[name] = User(password, admin, Lock())
        return Credentials(name, password, HOST, self.port, ssl=bool(self.ca_pem))

    def admin(self, user: Credentials) -> Credentials:
        return self.user(f"admin-{token_hex(4)}", admin=True)

    @contextmanager
    def client(self, credentials: Credentials) -> Iterator[Callable[..., str]]:
        opened = socket.create_connection((HOST, self.port), 10)
        if self.ca_pem:
            context = ssl.create_default_context(cadata=self.ca_pem)
            opened = context.wrap_socket(opened, server_hostname=HOST)
        with opened, opened.makefile("rwb", 0) as lines:

            def ask(*words: str) -> str:
                lines.write(" ".join(map(quote, words)).encode() + b"\n")
                return lines.readline().decode().strip()

            yield ask

    def logs_in(self, credentials: Credentials) -> bool:
        with self.client(credentials) as ask:
            answer = ask("LOGIN", credentials.username, credentials.password)
        assert answer in ("OK", "NO refused")
        return answer == "OK"

    def refused(self, username: str) -> int:
        return self.server.lines.count(f"{REFUSAL} for {username!r}")

    def log(self) -> str:
        return "\n".join(self.server.lines)

    @contextmanager
    def session(self, credentials: Credentials) -> Iterator[Callable[[], object]]:
        with self.client(credentials) as ask:

            def still_answers() -> None:
                assert ask("READ", "orders", "1") == "OK"

            assert ask("LOGIN", credentials.username, credentials.password) == "OK"
            yield still_answers

    @contextmanager
    def full(self) -> Iterator[None]:
        self.server.is_full = True
        yield
        self.server.is_full = False

    @contextmanager
    def blocked(self, user: str) -> Iterator[None]:
        with self.server.users[user].changing:
            yield

    def waiting(self) -> bool:
        """Not seen: a ledger gives up a command before its client does."""
        return False


def entries(code: str, **known: object) -> dict[str, Any]:
    """The entries of a dictionary that the page shows."""
    made: dict[str, Any] = eval(f"{{{code}}}", known)
    return made


@pytest.fixture(scope="module")
def kind() -> Iterator[str]:
    """The engine's name, after everything that the page says was done: module, registry and world."""
    traits, world = entries(REGISTERED, EngineTraits=EngineTraits), entries(IN_WORLDS, LedgerWorld=LedgerWorld)
    (name,) = traits
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder, Path(NEW_FILE).name).write_text(MODULE)
        patch.setattr(engines, "__path__", [*engines.__path__, folder])
        importlib.invalidate_caches()
        patch.setitem(engines.ENGINES, name, traits[name])
        patch.setitem(WORLDS, name, world[name])
        yield name
        del sys.modules[f"rotation.engines.{traits[name].module}"]


@pytest.fixture(scope="module")
def running(kind: str) -> Iterator[World]:
    with WORLDS[kind]() as world:
        yield world


@pytest.fixture(scope="module", params=re.findall("Case.*(?=,\n)", IN_CASES))
def case(kind: str, request: pytest.FixtureRequest) -> Case:
    made: Case = eval(request.param, {"Case": Case, "SINGLE": SINGLE, "BY_ADMIN": BY_ADMIN})
    assert made.kind == kind
    return made


@pytest.fixture
def start(kind: str, running: World) -> Callable[[str], World]:
    return {kind: running}.__getitem__


@pytest.fixture
def ledger(world: LedgerWorld) -> LedgerWorld:
    return world


def test_the_two_suites_run_here() -> None:
    """What is collected above is found by its parameters, which may be renamed."""
    here = {name for name, test in globals().items() if getattr(test, "__module__", __name__) != __name__}

    assert "test_after_a_change_the_new_password_logs_in_and_the_old_one_does_not" in here
    assert "test_a_failure_after_the_change_leaves_awscurrent_logging_in_and_the_retry_finishes" in here


def test_a_change_that_has_to_wait_ends_by_itself_and_never_takes_effect(
    ledger: LedgerWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_engines.test_a_change_that_has_to_wait_ends_by_itself_and_never_takes_effect(ledger, engine, monkeypatch)


def test_a_password_that_the_service_does_not_like_is_rejected(ledger: LedgerWorld, engine: Engine) -> None:
    user = ledger.user()

    with pytest.raises(PasswordRejectedError, match="too short"):
        engine.set_password(user, replace(user, password="short"))

    assert ledger.logs_in(user)


def test_an_admin_changes_another_users_password_and_nobody_else_does(ledger: LedgerWorld, engine: Engine) -> None:
    user, stranger = ledger.user(), ledger.user()
    new = test_engines.next_of(user)

    with pytest.raises(RightsDifferError, match=f"NO right to change {user.username}"):
        engine.set_password(stranger, new)
    assert ledger.logs_in(user)

    engine.set_password(ledger.admin(user), new)
    assert ledger.logs_in(new)


def test_what_the_secret_asks_to_read_is_named_if_it_cannot_be_read(ledger: LedgerWorld, engine: Engine) -> None:
    user = ledger.user()

    engine.verify(user, ["orders"])
    with pytest.raises(RightsDifferError, match="audit"):
        engine.verify(user, ["orders", "audit"])
    with pytest.raises(InvalidSecretError, match="no%20book"):
        engine.verify(user, ["no book"])


def test_an_answer_that_the_page_does_not_know_passes_as_it_is(
    ledger: LedgerWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "let_in", lambda *_: "NO disk")

    with pytest.raises(Exception, match="NO disk") as error:
        engine.verify(ledger.user())

    assert not isinstance(error.value, RotationError)


def test_a_session_that_breaks_off_is_unavailable(
    ledger: LedgerWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "let_in", lambda session, *_: session.request.shutdown(socket.SHUT_RDWR) or "OK")

    with pytest.raises(UnavailableError, match="no answer"):
        engine.verify(ledger.user())


def test_a_session_that_falls_silent_is_unavailable(
    ledger: LedgerWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event()
    monkeypatch.setattr(importlib.import_module(type(engine).__module__), "STATEMENT_TIMEOUT", 0)
    monkeypatch.setattr(Session, "let_in", lambda *_: str(ended.wait(5)))

    with pytest.raises(UnavailableError, match="timed out"):
        engine.verify(ledger.user())
    ended.set()


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_accepts_no_connection_is_unavailable(
    ledger: LedgerWorld, engine: Engine, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(importlib.import_module(type(engine).__module__), "CONNECT_TIMEOUT", 0.2)
    with ExitStack() as opened:
        queue = opened.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(2):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(queue.getsockname())

        with pytest.raises(UnavailableError, match="timed out"):
            engine.verify(replace(ledger.user(), port=queue.getsockname()[1], ssl=tls))


def test_the_engine_of_the_page_would_pass_the_checks_of_a_module(tmp_path: Path) -> None:
    file = tmp_path / Path(NEW_FILE).name
    file.write_text(MODULE)
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(ROOT / "pyproject.toml"), str(file)]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        run = subprocess.run([*ruff, *command, *settings], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout

    tree = ast.parse(MODULE)
    ours = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    below = test_layers.layer("rotation.engines.ledger")
    assert {name for name in ours if name.startswith("rotation") and test_layers.layer(name) >= below} == set()
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert max(map(test_layers.length, defined)) <= test_layers.LONGEST_FUNCTION
    assert len(MODULE.splitlines()) <= test_layers.LONGEST_MODULE


TEXT = re.sub(r"(?s)```.*?```", "", PAGE)
SPANS = re.findall(r"`([^`]+)`", TEXT)
PATHS = [span for span in SPANS if re.fullmatch(r"[\w.-]*(/[\w.-]+)+|\w+\.(md|toml)", span)]


@pytest.mark.parametrize("path", [*PATHS, *re.findall(r"tests/\S+\.py", PAGE)])
def test_a_file_that_the_page_names_exists(path: str) -> None:
    assert (ROOT / path).is_file() != (path == NEW_FILE)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_a_page_to_which_the_page_links_exists(target: str) -> None:
    assert (ROOT / "docs" / target).is_file()


@pytest.mark.parametrize("target", re.findall(r"(?:^|`)make (\w+)", PAGE, re.MULTILINE))
def test_a_make_target_that_the_page_names_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("span", sorted(set(SPANS) - set(PATHS)))
def test_a_name_that_the_page_uses_stands_in_a_file_that_it_names(span: str) -> None:
    files = [(ROOT / path).read_text() for path in ("Makefile", *PATHS) if path != NEW_FILE]
    words = {word for text in (MODULE, *files) for word in re.findall(r"[\w-]+", text)}

    assert set(re.findall(r"[A-Za-z_][\w-]+", span)) <= words


def test_the_page_names_everything_that_an_engine_can_be_or_do() -> None:
    methods = {name for name in vars(Engine) if not name.startswith("_")}
    traits = {each.name for each in fields(EngineTraits)} - {"module"}

    assert {name for name in methods | traits if not re.search(rf"\b{name}\b", PAGE)} == set()
