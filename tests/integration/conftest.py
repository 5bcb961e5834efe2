"""The deployed stack: the template as SAM deploys it, functions in processes of their own, real servers."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.stack import STACK_NAME, OfflineStack
from rotatorctl.local.throttling import throttled
from tests.contract.worlds import WORLDS, World

MAIL = "team@example.com"
# Seconds in which an execution of the deployed machine certainly has ended.
PATIENCE = 60


@dataclass
class Deployed:
    """The stack with servers behind it, and a queue that hears what its topic says."""

    stack: OfflineStack
    server: PostgreSQL
    others: Mapping[str, World]
    queue: str
    mails_read: int = 0
    _ended: dict[str, dict[str, Any]] = field(default_factory=dict)

    def secret(self) -> "DeployedSecret":
        user, password = f"app-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
        self.server.create_user(user, password)
        value = {
            "engine": "postgres",
            "host": "127.0.0.1",
            "port": str(self.server.port),
            "username": user,
            "password": password,
        }
        arn = self.stack.secrets.create_secret(Name=f"it/{user}", SecretString=json.dumps(value))["ARN"]
        return DeployedSecret(self, arn, user, password)

    def function(self, logical_id: str) -> str:
        """Its name. What watches is in the nested stack."""
        client, made = self.stack.client("cloudformation"), dict[str, str]()
        for stack in (STACK_NAME, "Monitoring"):
            resources = client.describe_stack_resources(StackName=made.get(stack, stack))["StackResources"]
            made |= {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
        return made[logical_id]

    def executions(self) -> Iterator[dict[str, Any]]:
        """All of the state machine. To describe those that ended long ago took tests that wait most of their time."""
        client = self.stack.client("stepfunctions")
        for each in client.list_executions(stateMachineArn=self.stack.outputs["StateMachineArn"])["executions"]:
            arn = each["executionArn"]
            described = self._ended.get(arn) or dict(client.describe_execution(executionArn=arn))
            # What the emulator says of it last when it ends.
            if "stopDate" in described:
                self._ended[arn] = described
            yield described

    def throttled(self, logical_id: str) -> AbstractContextManager[None]:
        """Lambda refuses every call of that function."""
        return throttled(self.stack.client("lambda"), self.function(logical_id))

    def new_mails(self) -> list[Any]:
        mails = self.stack.mails[self.mails_read :]
        self.mails_read += len(mails)
        return mails


@dataclass
class DeployedSecret:
    deployed: Deployed
    arn: str
    user: str
    old: str = field(repr=False)

    def rotate(self) -> None:
        self.deployed.stack.secrets.rotate_secret(
            SecretId=self.arn,
            RotationLambdaARN=self.deployed.stack.outputs["RotationFunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
        )

    def outcome(self) -> str:
        """How Secrets Manager saw the last rotation, once no execution of this secret runs any more."""
        rotation = self.deployed.stack.model.wait(self.arn, timeout=PATIENCE)
        assert rotation is not None
        until(lambda: all(execution["status"] != "RUNNING" for execution in self.executions()))
        return str(rotation.outcome)

    def executions(self) -> list[dict[str, Any]]:
        own = [each for each in self.deployed.executions() if json.loads(each["input"])["SecretId"] == self.arn]
        return sorted(own, key=lambda each: each["startDate"])

    def states(self, execution: str) -> list[str]:
        history = self.deployed.stack.client("stepfunctions").get_execution_history(
            executionArn=execution, maxResults=1000
        )
        entered = [event.get("stateEnteredEventDetails") for event in history["events"]]
        return [details["name"] for details in entered if details]

    def password(self, stage: str = "AWSCURRENT") -> str:
        value = self.deployed.stack.secrets.get_secret_value(SecretId=self.arn, VersionStage=stage)
        return str(json.loads(value["SecretString"])["password"])

    def logs_in(self, password: str) -> bool:
        return self.deployed.server.accepts(self.user, password)


def until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    with ExitStack() as servers:
        server = servers.enter_context(PostgreSQL.started())
        others = {kind: servers.enter_context(WORLDS[kind]()) for kind in WORLDS if kind != "postgres"}
        trusted = "".join([server.ca_pem, *(world.ca_pem for world in others.values())])
        parameters = {"AlertEmail": MAIL, "PrivateCaCertificate": trusted}
        stack = servers.enter_context(OfflineStack.started(wait_scale=0.2, parameters=parameters))
        yield Deployed(stack, server, others, stack.subscribe_queue(stack.outputs["AlertTopicArn"]))


@pytest.fixture
def secret(deployed: Deployed) -> DeployedSecret:
    deployed.new_mails()
    deployed.stack.take_messages(deployed.queue)
    return deployed.secret()
