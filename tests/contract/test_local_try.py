"""`rotatorctl local try`: what it says of the engine of docs/adding-an-engine.md, and of that engine with one fault."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from rotation.model import Credentials
from rotatorctl.local.trial import try_engine
from rotatorctl.result import CommandError, Result
from tests.contract.test_adding_an_engine import MODULE, NEW_FILE, LedgerWorld
from tests.contract.worlds import WORLDS, World

pytestmark = pytest.mark.xdist_group("ledger")

ROOT = Path(__file__).parents[2]
UNUSUAL = "a password with quotes and signs logs in, or is rejected"


@dataclass(frozen=True)
class Author:
    """Somebody with a server, a user of it, and a file."""

    world: World
    user: Credentials
    file: Path

    @property
    def secret(self) -> str:
        user = self.user
        fields = {"engine": self.file.stem, "host": user.host, "port": user.port, "username": user.username}
        return json.dumps(fields | {"password": user.password})

    def tries(self, found: str = "", written: str = "") -> Result:
        """The page's engine with this change."""
        assert found in MODULE
        self.file.write_text(MODULE.replace(found, written) if found else MODULE)
        return try_engine(self.file, self.secret, self.world.ca_pem)


def broken(result: Result) -> list[str]:
    return [each["promise"] for each in result.data["promises"] if not each["held"]]


@pytest.fixture(scope="module")
def world() -> Iterator[LedgerWorld]:
    with LedgerWorld.started() as started:
        yield started


@pytest.fixture
def author(world: LedgerWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Author:
    file = tmp_path / Path(NEW_FILE).name
    monkeypatch.setitem(sys.modules, f"rotation.engines.{file.stem}", ModuleType("before"))
    monkeypatch.setenv("PRIVATE_CA", "")
    return Author(world, world.user(), file)


def test_the_engine_of_the_page_holds_every_promise_and_the_user_has_its_password_again(author: Author) -> None:
    author.file.write_text(MODULE)
    authority = author.file.with_name("ca.pem")
    authority.write_text(author.world.ca_pem)
    command = [
        str(ROOT / "bin/rotatorctl"),
        "local",
        "try",
        str(author.file),
        "--ca",
        str(authority),
        "--output",
        "json",
    ]

    ran = subprocess.run(command, input=author.secret, capture_output=True, text=True, check=False)

    promises = json.loads(ran.stdout)["data"]["promises"]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(promises) > 10
    assert all(each["held"] for each in promises)
    assert author.world.logs_in(author.user)
    assert author.user.password not in ran.stdout


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_an_engine_of_this_project_holds_every_promise(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"rotation.engines.{kind}", ModuleType("before"))
    monkeypatch.setenv("PRIVATE_CA", "")
    with WORLDS[kind]() as world:
        author = Author(world, world.user(), ROOT / f"functions/rotation/engines/{kind}.py")

        result = try_engine(author.file, author.secret, world.ca_pem)

        assert (broken(result), result.exit_code) == ([], 0)
        assert world.logs_in(author.user)
    assert ("the old one logs in as well" in str(result.data)) == (kind == "redis")


FAULTS = {
    "a refusal that is called no answer": (
        '"NO refused": LoginRefusedError',
        '"NO refused": UnavailableError',
        "a wrong password is refused: LoginRefusedError",
    ),
    "no answer that is called a refusal": (
        'UnavailableError(f"{where}: no answer',
        'LoginRefusedError(f"{where}: no answer',
        "a server that is down is no refusal: UnavailableError",
    ),
    "a change that is not made": (
        '_run(connection, "PASSWORD", target.username, target.password)',
        "pass",
        "a new password is set and logs in",
    ),
    "a look that never looks": (
        "        with _login(credentials) as connection:\n            for book",
        "        for connection in ():\n            for book",
        "the old one is refused then: LoginRefusedError",
    ),
    "a password that is not quoted": ('quote(word, safe="")', "word", UNUSUAL),
    "an error that quotes a password": (
        "where = str(credentials)",
        "where = credentials.password",
        "no error quotes a password",
    ),
}


@pytest.mark.parametrize(("found", "written", "promise"), FAULTS.values(), ids=FAULTS)
def test_a_fault_breaks_its_promise_and_is_taken_back(author: Author, found: str, written: str, promise: str) -> None:
    result = author.tries(found, written)

    assert promise in broken(result)
    assert (result.exit_code, [each.code for each in result.problems]) == (1, ["PromiseBrokenError"])
    assert author.world.logs_in(author.user)


@pytest.mark.parametrize(
    ("found", "written", "words"),
    [
        ("def set_password(", "def set_it(", "Ledger has no set_password"),
        ("target: Credentials, keep: Credentials | None = None", "target: Credentials", "is not called as"),
        ("ENGINE = Ledger", "", "ENGINE is not a class"),
        ("class Ledger(Engine)", "class Ledger", "ENGINE is not a class"),
    ],
)
def test_a_module_without_the_shape_of_an_engine_is_not_run(
    author: Author, found: str, written: str, words: str
) -> None:
    result = author.tries(found, written)

    assert broken(result) == ["the module has the shape of an engine"]
    assert words in result.data["promises"][0]["saw"]


def test_a_module_that_cannot_be_imported_is_a_sentence(author: Author) -> None:
    with pytest.raises(CommandError, match="cannot be imported: ModuleNotFoundError: No module named 'ledger_driver'"):
        author.tries("import socket\n", "import ledger_driver\n")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("no JSON", "is not JSON"),
        ('{"engine": "ledger", "host": "x", "username": "a", "password": "b"}', "needs the key 'port'"),
        ('{"engine": "ledger", "host": "x", "port": 1, "password": "b"}', "'username'"),
    ],
)
def test_a_secret_that_no_engine_could_use_is_named(author: Author, secret: str, words: str) -> None:
    author.file.write_text(MODULE)

    with pytest.raises(CommandError, match=words):
        try_engine(author.file, secret, "")


def test_a_secret_that_does_not_log_in_is_not_changed(author: Author) -> None:
    author.file.write_text(MODULE)
    secret = author.secret.replace(author.user.password, "another")

    result = try_engine(author.file, secret, author.world.ca_pem)

    assert broken(result) == ["the secret's user logs in"]
    assert author.world.logs_in(author.user)


def test_ctrl_c_gives_the_user_its_password_back(author: Author) -> None:
    change = '            _run(connection, "PASSWORD", target.username, target.password)\n'
    stop = "            if ';' in target.password:\n                raise KeyboardInterrupt\n"

    result = author.tries(change, change + stop)

    assert [each.code for each in result.problems] == ["StoppedError"]
    assert author.world.logs_in(author.user)
