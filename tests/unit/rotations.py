"""One secret whose rotation has begun, and its executions, without a state machine that runs."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from moto import mock_aws
from moto.stepfunctions.models import Execution, stepfunctions_backends

from rotation import executions, secret_store
from rotation.change import Change
from rotation.model import AWSPENDING, Request
from rotation.secret_store import SecretStore
from rotatorctl.local.secrets_manager import SecretsManager
from rotatorctl.local.secrets_manager_server import serve
from tests.workflow.machine import ACCOUNT, FUNCTION_ARN, REGION

GENERIC = {"engine": "generic", "password": "Zk3-vQ9_xT7"}
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SDK_UA_APP_ID": "create-secret",
    "CONSOLE_URL": "https://console.example/executions",
}


@dataclass
class Account:
    """One secret whose rotation has begun: AWSPENDING has no value yet."""

    model: SecretsManager
    arn: str
    current: str
    token: str

    @property
    def store(self) -> SecretStore:
        return SecretStore(self.arn)

    @property
    def rotation_token(self) -> str:
        return self.model.rotations(self.arn)[-1].rotation_token

    def stages(self) -> dict[str, list[str]]:
        return dict(self.model.describe_secret(SecretId=self.arn)["VersionIdsToStages"])

    def value(self, stage: str) -> str:
        return str(self.model.get_secret_value(SecretId=self.arn, VersionStage=stage)["SecretString"])

    def stage(self, fields: dict[str, Any]) -> None:
        """Give the pending version its value, as CreateSecret does."""
        self.store.stage_pending(self.token, json.dumps(fields), self.rotation_token)

    def write(self, fields: dict[str, Any]) -> str:
        """A value written by hand: AWSCURRENT moves to it. Returns its version."""
        return str(self.model.put_secret_value(SecretId=self.arn, SecretString=json.dumps(fields))["VersionId"])

    def move(self, stage: str, **versions: str) -> None:
        self.model.update_secret_version_stage(SecretId=self.arn, VersionStage=stage, **versions)

    def drop_pending(self) -> None:
        self.move(AWSPENDING, RemoveFromVersionId=self.token)

    def rotation(self, **request: Any) -> Change:
        """As a step sees it: the first attempt, that has created its secret, if nothing else is said."""
        whole: dict[str, Any] = {
            "mode": "Rotate",
            "secret_id": self.arn,
            "token": self.token,
            "attempt": 1,
            "previous": {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0, "Alert": {}},
            "execution": "arn:aws:states:eu-central-1:123456789012:execution:rotation:x",
            "completed": "CreateSecret",
            "current_version": self.current,
            "failure": {},
            "retry_count": 0,
            "rotation_token": self.rotation_token,
            "started": "",
            "kind": {"Engine": "unknown", "Strategy": "unknown"},
        }
        return Change(Request(**whole | request), self.store)


@contextmanager
def begun(*values: dict[str, Any], tags: dict[str, str] | None = None) -> Iterator[Account]:
    """The last of these values is AWSCURRENT's, the one before it AWSPREVIOUS's."""
    model = SecretsManager(region=REGION, account=ACCOUNT)
    first, *later = (json.dumps(value) for value in values)
    pairs = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    made = model.create_secret(Name="app", SecretString=first, Tags=pairs)
    current = made["VersionId"]
    for value in later:
        current = model.put_secret_value(SecretId=made["ARN"], SecretString=value)["VersionId"]
    token = model.rotate_secret(SecretId=made["ARN"], RotationLambdaARN=f"{FUNCTION_ARN}rotate")["VersionId"]
    model.wait(made["ARN"])
    with serve(model) as url, patch.dict(os.environ, ENVIRONMENT | {"AWS_ENDPOINT_URL_SECRETS_MANAGER": url}):
        secret_store._client.cache_clear()
        try:
            yield Account(model, made["ARN"], current, token)
        finally:
            secret_store._client().close()
            secret_store._client.cache_clear()


@contextmanager
def state_machine() -> Iterator[str]:
    """The ARN of a state machine whose executions do not run: they end as a test says (see `end`)."""
    with (
        patch.dict(os.environ, ENVIRONMENT),
        mock_aws(config={"stepfunctions": {"execute_state_machine": False}}),
    ):
        executions._client.cache_clear()
        role = f"arn:aws:iam::{ACCOUNT}:role/machine"
        made = executions._client().create_state_machine(name="rotation", definition="{}", roleArn=role)
        try:
            with patch.dict(os.environ, {"STATE_MACHINE_ARN": made["stateMachineArn"]}):
                yield made["stateMachineArn"]
        finally:
            executions._client.cache_clear()


def started(arn: str) -> Execution:
    """The execution as moto keeps it."""
    return stepfunctions_backends[ACCOUNT][REGION].describe_execution(arn)


def end(arn: str, status: str = "SUCCEEDED", error: str | None = None, cause: str | None = None) -> None:
    execution = started(arn)
    execution.status, execution.error, execution.cause = status, error, cause


def all_started() -> list[dict[str, Any]]:
    """Name and input of each execution, in the order in which they were started."""
    backend = stepfunctions_backends[ACCOUNT][REGION]
    found = [execution for machine in backend.state_machines for execution in machine.executions]
    return [{"name": execution.name, "input": json.loads(execution.execution_input)} for execution in found]


@dataclass
class Clock:
    """A clock that goes on only while somebody sleeps; `meanwhile` is what happens then."""

    now: float = 100.0
    meanwhile: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()
