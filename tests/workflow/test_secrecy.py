"""No secret value and no RotationToken in logs, messages, executions or errors: in good rotations and in failed ones.

The RotationToken alone may stand in an execution's input, from which CreateSecret's task takes it.
"""

import base64
import io
import json
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, quote_plus

import pg8000.native as pg
import pytest

from rotation import secret_store
from rotation.call import Call
from rotation.engines import ENGINES
from rotation.engines.postgres import _Connection
from rotation.executions import Execution
from rotation.model import Credentials, Request
from rotation.report import NOTHING_TOLD
from rotation.rotation import Rotation
from rotation.secret import Secret
from rotation.secret_store import SecretStore
from rotation.strategies.base import Known
from tests.function_log import logged_to
from tests.workflow.conftest import World
from tests.workflow.machine import Handler
from tests.workflow.test_failures import break_state, failing

# An old password as a person would choose it, so that each way of quoting changes it.
OLD = "öld \"pass\" 'word' \\n 100% + 🦊"


@dataclass
class Watched:
    """A world, and everything that left it."""

    world: World
    log: io.StringIO
    errors: list[str]
    outputs: Callable[[], str]

    def texts(self) -> str:
        """Logs, printed text, messages, what the executions did and said, errors of the functions."""
        world = self.world
        histories = [history(world, each["executionArn"]) for each in world.machine.executions()]
        ends = [[each.get(key) for key in ("output", "error", "cause")] for each in world.machine.executions()]
        attempts = [repr(rotation.steps) for rotation in world.machine.secrets_manager.rotations(world.arn)]
        parts = [self.log.getvalue(), self.outputs(), *self.errors, *attempts]
        return "\n".join([*parts, text(world.machine.messages()), text(histories), text(ends)])

    def values(self) -> set[str]:
        """Every value that the secret ever had, and every RotationToken."""
        model, arn = self.world.machine.secrets_manager, self.world.arn
        versions = model.list_secret_version_ids(SecretId=arn, IncludeDeprecated=True)["Versions"]
        secrets = [
            model.get_secret_value(SecretId=arn, VersionId=each["VersionId"])["SecretString"] for each in versions
        ]
        passwords = {json.loads(secret)["password"] for secret in secrets}
        return passwords | {rotation.rotation_token for rotation in model.rotations(arn)}


def text(structure: Any) -> str:
    """Every text in a structure, JSON inside of texts opened too."""
    if isinstance(structure, dict):
        return "\n".join(f"{key}\n{text(value)}" for key, value in structure.items())
    if isinstance(structure, list):
        return "\n".join(map(text, structure))
    try:
        inner = json.loads(structure)
    except (TypeError, ValueError):
        return str(structure)
    return f"{structure}\n{text(inner)}" if isinstance(inner, dict | list) else str(structure)


def history(world: World, arn: str) -> list[dict[str, Any]]:
    """What an execution recorded, without its input and the one task that is given the RotationToken."""
    return [dict(event) for event in world.machine.history(arn) if not _may_hold_the_rotation_token(event)]


def _may_hold_the_rotation_token(event: Any) -> bool:
    scheduled = event.get("taskScheduledEventDetails", {}).get("parameters", "")
    entered = event.get("stateEnteredEventDetails", {}).get("name")
    return event["type"] == "ExecutionStarted" or entered == "Begin" or ":CreateSecret" in scheduled


def forms(value: str) -> set[str]:
    """How a value looks where something has quoted it."""
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value)[1:-1])[1:-1],
        repr(value)[1:-1],
        pg.literal(value)[1:-1],
        quote(value, safe=""),
        quote_plus(value),
        base64.b64encode(value.encode()).decode().rstrip("="),
    }


def leaks(watched: Watched) -> list[str]:
    texts = watched.texts()
    assert "done" in watched.log.getvalue()
    return [form for value in watched.values() for form in forms(value) if form in texts]


@pytest.fixture
def watched(world: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    with world.server.admin() as admin:
        admin.run("SET log_statement = 'none'")
        admin.run(f"ALTER ROLE {pg.identifier(world.user)} PASSWORD {pg.literal(OLD)}")
    value = json.dumps(world.value() | {"password": OLD})
    world.machine.secrets_manager.put_secret_value(SecretId=world.arn, SecretString=value)
    world = replace(world, old=OLD)

    errors = []

    def listening(handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            try:
                return handler(event, context)
            except Exception as error:
                errors.extend(traceback.format_exception(error))
                raise

        return called

    for state in world.machine.handlers:
        break_state(world, state, listening)
    with logged_to(io.StringIO()) as log:
        yield Watched(world, log, errors, lambda: "\n".join([*capfd.readouterr(), caplog.text]))


def quoting(password: str) -> str:
    """What a careless driver could say."""
    said = [f"""near "ALTER ROLE app PASSWORD {pg.literal(password)}" isn't""", f"postgres://app:{quote(password)}@db"]
    said += [json.dumps({"password": password}), repr({"password": password}), *forms(password)]
    return " ".join([*said, base64.b64encode(f"app:{password}".encode()).decode()])


def test_a_rotation_that_works_says_nothing(watched: Watched) -> None:
    assert watched.world.rotate() == "RotationSucceeded"

    assert len(watched.values()) == 4
    assert leaks(watched) == []


def test_what_is_searched_would_show_a_value(watched: Watched) -> None:
    """The search itself: each place is looked at, and each way to quote is found."""
    watched.world.rotate()
    new = watched.world.value()["password"]

    watched.log.write(f"done {new}")
    assert leaks(watched) == [new]
    token = watched.world.machine.secrets_manager.rotations(watched.world.arn)[-1].rotation_token
    (execution,) = watched.world.machine.executions()
    assert token in text(watched.world.machine.history(execution["executionArn"]))
    assert token in execution["input"]


@pytest.mark.parametrize("step", ["CreateSecret", "SetSecret", "TestSecret", "FinishSecret", "RollBack"])
def test_a_rotation_that_fails_in_any_state_says_nothing(watched: Watched, step: str) -> None:
    break_state(watched.world, "TestSecret" if step == "RollBack" else step, failing("LoginRefusedError"))
    if step == "RollBack":
        break_state(watched.world, step, failing("Runtime.ImportModuleError"))

    assert watched.world.rotate() == "RotationFailed"
    assert watched.world.retry() == "RotationFailed"

    assert leaks(watched) == []


# The statement at which the driver fails, PostgreSQL's code, and the error that it becomes. At ALTER ROLE only
# SetSecret fails; at SELECT 1 everything that looks does, so RollBack cannot say what is true and tells why.
CARELESS = [
    ("ALTER ROLE", "22023", "PasswordRejectedError"),
    ("ALTER ROLE", "57014", "UnavailableError"),
    ("ALTER ROLE", "XX001", "DatabaseError"),
    ("SELECT 1", "3D000", "InvalidSecretError"),
    ("SELECT 1", "XX001", "DatabaseError"),
]


@pytest.mark.parametrize(("statement", "code", "error"), CARELESS)
def test_a_driver_that_quotes_the_password_in_every_way_is_not_repeated(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, statement: str, code: str, error: str
) -> None:
    run = _Connection.run

    def careless(connection: Any, sql: str, *args: Any, **named: Any) -> Any:
        if not sql.startswith(statement):
            return run(connection, sql, *args, **named)
        passwords = [connection.password.decode()]
        if statement == "ALTER ROLE":
            passwords.append(watched.world.value("AWSPENDING")["password"])
        said = " ".join(map(quoting, passwords))
        raise pg.DatabaseError({"S": "ERROR", "C": code, "M": f"{sql} {said}", "D": said, "H": sql})

    monkeypatch.setattr(_Connection, "run", careless)

    assert watched.world.rotate() == "RotationFailed"

    said = watched.texts()
    assert error in said
    assert "[redacted]" in said
    assert leaks(watched) == []


@pytest.mark.parametrize("state", ["CreateSecret", "SetSecret", "TestSecret", "RollBack"])
def test_an_error_of_a_library_that_quotes_all_that_a_function_knows_is_not_repeated(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    knew: list[str] = []

    read = Rotation.secret

    def careless(rotation: Rotation, version: str, stage: str | None) -> Any:
        secret = read(rotation, rotation.description.current, "AWSCURRENT")
        assert secret
        knew.extend([secret.credentials.password, rotation.request.rotation_token])
        raise OSError(f"no answer to {knew[0]} {secret.fields} {json.dumps(secret.fields)} {quote(knew[0])} {knew}")

    def breaking(handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            with monkeypatch.context() as patched:
                patched.setattr(Rotation, "secret", careless)
                return handler(event, context)

        return called

    break_state(watched.world, state, breaking)
    if state == "RollBack":
        break_state(watched.world, "TestSecret", failing("LoginRefusedError"))

    assert watched.world.rotate() == "RotationFailed"

    assert knew[0] == OLD
    assert bool(knew[1]) == (state == "CreateSecret")
    assert "no answer to [redacted]" in watched.texts()
    assert leaks(watched) == []


def test_a_new_value_that_cannot_be_stored_is_not_repeated(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []

    def careless(**request: str) -> None:
        sent.append(request)
        raise OSError(f"no answer to {request} {json.dumps(request)}")

    monkeypatch.setattr(secret_store._client(), "put_secret_value", careless)

    assert watched.world.rotate() == "RotationFailed"

    made = json.loads(sent[0]["SecretString"])["password"]
    assert "no answer to {" in watched.texts()
    assert [form for form in forms(made) if form in watched.texts()] == []
    assert leaks(watched) == []


def test_a_refused_event_does_not_repeat_the_rotation_token(watched: Watched) -> None:
    world = watched.world
    world.rotate()
    token = "11111111-2222-3333-4444-555555555555"

    for event in ({"RotationToken": token}, {"RotationToken": token, "Step": token, "SecretId": world.arn}):
        with pytest.raises(Exception, match=r"InvalidEventError|StageConflictError") as error:
            world.machine.rotate("rotate", event)
        assert token not in "".join(traceback.format_exception(error.value))
    assert token not in watched.texts()


def test_no_class_that_holds_a_value_shows_it() -> None:
    credentials = Credentials("app", OLD, "127.0.0.1", 5432)
    secret = Secret.parse(json.dumps({"engine": "generic", "password": OLD, "api": OLD}), {}, ENGINES)
    token = "5d1c0e7a-example-rotation-token-8f1e-2b7c9a40d613"
    call = Call("createSecret", "arn", "token", token)
    event = {"Mode": "Rotate", "SecretId": "arn", "ClientRequestToken": "t", "Attempt": 1, "Previous": NOTHING_TOLD}
    states = {"Request": event | {"Execution": "e"}, "Completed": {"State": "none", "CurrentVersionId": "v"}}
    request = Request.of(states | {"RotationToken": token})
    rotation = Rotation(request, SecretStore("arn"))
    rotation._secrets["v"] = secret
    known = Known(credentials, credentials, True, True, lambda: credentials, lambda: credentials)
    execution = Execution("arn", "name", "RUNNING", event | {"RotationToken": token}, "", "")

    shown = "".join(
        f"{each!r} {each} {[each]} {vars(type(each)).get('__doc__')}"
        for each in (credentials, secret, call, request, execution, rotation, rotation.store, known)
    )

    assert [form for value in (OLD, token) for form in forms(value) if form in shown] == []
    assert re.search(r"Secret\(.*Call\(.*Request\(", shown, re.DOTALL)
