"""A machine with a real PostgreSQL behind it, and the world of one secret in it."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.secrets_manager import Silences
from tests.contract.worlds import World as Server
from tests.workflow.machine import FUNCTION_ARN, ROOT, Machine, running

if TYPE_CHECKING:
    from tests.workflow.applications import Application, Case


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL.started() as server:
        yield server


@dataclass
class RotatedSecret:
    """One secret and the machine that rotates it."""

    machine: Machine
    arn: str

    def rotate(self, **request: Any) -> str:
        """RotateSecret and the end of what it started; returns how Secrets Manager saw it."""
        rules = {"AutomaticallyAfterDays": 30}
        self.machine.secrets_manager.rotate_secret(
            SecretId=self.arn, RotationLambdaARN=f"{FUNCTION_ARN}rotate", RotationRules=rules, **request
        )
        return self.wait()

    def retry(self) -> str:
        self.machine.secrets_manager.retry(self.arn)
        return self.wait()

    def wait(self) -> str:
        rotation = self.machine.secrets_manager.wait(self.arn)
        assert rotation is not None
        self.machine.settle()
        return str(rotation.outcome)

    def text(self, stage: str = "AWSCURRENT") -> str:
        answer = self.machine.secrets_manager.get_secret_value(SecretId=self.arn, VersionStage=stage)
        return str(answer["SecretString"])

    def value(self, stage: str = "AWSCURRENT") -> dict[str, Any]:
        return dict(json.loads(self.text(stage)))

    def stages(self) -> dict[str, list[str]]:
        return dict(self.machine.secrets_manager.describe_secret(SecretId=self.arn)["VersionIdsToStages"])

    @property
    def token(self) -> str:
        """The version that the last rotation made."""
        return self.machine.secrets_manager.rotations(self.arn)[-1].token

    def outcomes(self) -> list[str]:
        """How each execution ended, oldest first: its outcome, or the error that is not a report."""
        return [outcome_of(execution) for execution in self.machine.executions()]

    def subjects(self) -> list[str]:
        return [message["Subject"].partition(":")[0] for message in self.machine.messages()]

    def reason(self) -> tuple[str, str, str]:
        """Step, error and reason in the one message that came."""
        (message,) = self.machine.messages()
        body = json.loads(message["Message"])
        return body["step"], body["error"], body["reason"]

    def tag(self, name: str, value: str) -> None:
        self.machine.secrets_manager.tag_resource(SecretId=self.arn, Tags=[{"Key": name, "Value": value}])


@dataclass
class World(RotatedSecret):
    """One application's secret, its user on the server, and the machine that rotates it."""

    server: PostgreSQL
    user: str
    old: str = field(repr=False)

    def logs_in(self, password: str) -> bool:
        return self.server.accepts(self.user, password)


def create_secret(machine: Machine, name: str, value: str | bytes, tags: Mapping[str, str] | None = None) -> str:
    """The ARN of a new secret."""
    request: dict[str, Any] = {"SecretBinary" if isinstance(value, bytes) else "SecretString": value}
    pairs = [{"Key": key, "Value": each} for key, each in (tags or {}).items()]
    return str(machine.secrets_manager.create_secret(Name=name, Tags=pairs, **request)["ARN"])


def outcome_of(execution: dict[str, Any]) -> str:
    if execution["status"] == "SUCCEEDED":
        return str(json.loads(execution["output"]).get("Outcome", "succeeded"))
    if execution["status"] != "FAILED":
        return str(execution["status"])
    try:
        cause = json.loads(execution["cause"])
    except ValueError:
        return str(execution["error"])
    return str(cause.get("Outcome") or cause.get("Report", {}).get("Outcome") or execution["error"])


@pytest.fixture
def silences() -> Silences:
    return Silences()


@pytest.fixture
def definition() -> dict[str, Any]:
    """The state machine, without the wait for late statements."""
    definition: dict[str, Any] = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    definition["States"]["AwaitLateStatement"]["Seconds"] = 0
    return definition


@pytest.fixture
def world(
    server: PostgreSQL, silences: Silences, definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    user, old = f"app {secrets.token_hex(4)}", f"old-{secrets.token_urlsafe(12)}"
    server.create_user(user, old)
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    with running(silences, definition) as machine:
        fields = {"engine": "postgres", "host": "127.0.0.1", "port": server.port, "username": user, "password": old}
        value = json.dumps(fields | {"team": "payments"})
        yield World(machine, create_secret(machine, "payments/db", value), server, user, old)


@pytest.fixture
def application(
    case: "Case",
    start: Callable[[str], Server],
    silences: Silences,
    definition: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator["Application"]:
    """The application of a test's parameter `case`."""
    from tests.workflow.applications import rotating  # noqa: PLC0415  it builds on this module

    server = start(case.kind)
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    with rotating(case, server, definition, silences) as application:
        yield application
