"""A secret and a stack for the checks of `rotatorctl doctor`, with what was read of them put in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.stub import Stubber

from rotatorctl.aws import Aws
from rotatorctl.checks.base import FINE, Check, Examined, Finding, Function
from rotatorctl.deployed import Described, Stack

REGION, ACCOUNT = "eu-central-1", "123456789012"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:secret-rotation-rotate"
ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:app-a1B2c3"
NOW = datetime.now(UTC)
PASSWORD = "Zk3-vQ9_xT7.bN2"
GOOD: dict[str, Any] = {
    "ARN": ARN,
    "Name": "app",
    "CreatedDate": NOW - timedelta(days=100),
    "LastRotatedDate": NOW - timedelta(days=3),
    "NextRotationDate": NOW + timedelta(days=27),
    "RotationEnabled": True,
    "RotationLambdaARN": FUNCTION,
    "RotationRules": {"AutomaticallyAfterDays": 30},
    "VersionIdsToStages": {"one": ["AWSCURRENT"], "zero": ["AWSPREVIOUS"]},
}


@dataclass
class World:
    examined: Examined

    def of(self, checks: tuple[Check, ...]) -> dict[str, Finding]:
        """Findings by their code, without those that are fine."""
        found = [finding for check in checks for finding in check.findings(self.examined)]
        return {finding.code: finding for finding in found if finding.level != FINE}


def world(**changes: Any) -> World:
    aws = Aws(REGION)
    deployed = Stack(aws, "secret-rotation", FUNCTION, "arn:machine", "arn:alerts", "arn:notices", "https://console")
    described = {key: each for key, each in (GOOD | changes).items() if each is not None}
    return World(Examined(deployed, Described(described)))


def knowing(made: World, **read: Any) -> World:
    """The world with what the checks would read: `functions`, `value`, `admin`, `runs`."""
    vars(made.examined).update(read)
    return made


def functions(**in_vpc: Any) -> dict[str, Function]:
    """All of the stack; `in_vpc` is the VpcConfig of those that log in."""
    names = [
        f"{step}Function" for step in ("Rotate", "CreateSecret", "SetSecret", "TestSecret", "FinishSecret", "RollBack")
    ]
    log_in = ("SetSecretFunction", "TestSecretFunction", "RollBackFunction")
    return {
        name: Function(name, {"Role": role_of(name)} | ({"VpcConfig": in_vpc} if in_vpc and name in log_in else {}))
        for name in names
    }


def role_of(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name.replace('Function', 'Role')}"


@contextmanager
def answering(client: Any, **answers: Any) -> Iterator[None]:
    """A client that answers these operations, each once and in this order."""
    with Stubber(client) as stubber:
        for operation, answer in answers.items():
            stubber.add_response(operation, answer)
        yield
