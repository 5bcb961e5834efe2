"""The deployed offline stack with every server behind it, and applications whose secrets it rotates.

Each function runs in processes of its own, which wait for further calls as Lambda's environments do; a changed setting
replaces them, as there. What Lambda does before Python starts has no counterpart here.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from rotation.model import STEPS, Credentials
from rotatorctl.local.stack import STACK_NAME, OfflineStack
from tests.contract.mongo_world import MongoWorld
from tests.contract.worlds import WORLDS, World
from tests.workflow.applications import Case, admin_value, tags_of, value_of

# Seconds: longer than the longest execution.
PATIENCE = 900
ADMIN = {"rotation:admin": STACK_NAME}


@dataclass(frozen=True)
class Course:
    """An execution: when it began and ended, and when each state was entered and left."""

    began: datetime
    ended: datetime
    states: Mapping[str, tuple[datetime, datetime]]

    @classmethod
    def of(cls, events: list[Any]) -> Self:
        """From the events of its history; of a state that was entered again, the last time counts."""
        entered: dict[str, datetime] = {}
        states: dict[str, tuple[datetime, datetime]] = {}
        for event in events:
            if "stateEnteredEventDetails" in event:
                entered[event["stateEnteredEventDetails"]["name"]] = event["timestamp"]
            elif "stateExitedEventDetails" in event:
                name = event["stateExitedEventDetails"]["name"]
                states[name] = entered[name], event["timestamp"]
        return cls(events[0]["timestamp"], events[-1]["timestamp"], states)

    @property
    def whole(self) -> float:
        return milliseconds(self.began, self.ended)

    def of_state(self, state: str) -> float:
        return milliseconds(*self.states[state])

    @property
    def between(self) -> float:
        """Outside the states that call a function: the state machine's own time."""
        return self.whole - sum(map(self.of_state, STEPS))

    @property
    def exposed(self) -> float:
        """From the end of SetSecret to that of FinishSecret: meanwhile the server has the password that is pending."""
        return milliseconds(self.states["SetSecret"][1], self.states["FinishSecret"][1])


def milliseconds(begun: datetime, ended: datetime) -> float:
    return (ended - begun) / timedelta(milliseconds=1)


def _world(kind: str) -> AbstractContextManager[World]:
    """As the tests start it, but a log-in to MongoDB takes as long as with its own iterations of SCRAM."""
    return MongoWorld.started(iterations=0) if kind == "mongo" else WORLDS[kind]()


@dataclass(frozen=True)
class Offline:
    """A running stack, and the servers by their kind."""

    stack: OfflineStack
    worlds: Mapping[str, World]

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        with ExitStack() as servers:
            worlds = {kind: servers.enter_context(_world(kind)) for kind in WORLDS}
            parameters = {"PrivateCaCertificate": authorities(worlds)}
            yield cls(servers.enter_context(OfflineStack.started(parameters=parameters)), worlds)

    @property
    def environment(self) -> dict[str, str]:
        """For an application: where Secrets Manager is, and whom to trust."""
        return {**self.stack.environment, "PRIVATE_CA": authorities(self.worlds)}

    def application(self, case: Case) -> "OfflineApplication":
        """A new user and its admin on the server, and their secrets."""
        server = self.worlds[case.kind]
        first = server.user(f"app-{secrets.token_hex(4)}")
        admin = self._secret(f"admin-of-{first.username}", admin_value(case, server.admin(first), first), ADMIN)
        return OfflineApplication(
            self, case, self._secret(first.username, value_of(case, first, admin), tags_of(case)), first
        )

    def _secret(self, name: str, value: str, tags: Mapping[str, str]) -> str:
        pairs: list[Any] = [{"Key": key, "Value": each} for key, each in tags.items()]
        return self.stack.secrets.create_secret(Name=f"bench/{name}", SecretString=value, Tags=pairs)["ARN"]

    def physical_id(self, logical_id: str) -> str:
        """The name of a resource of the stack."""
        resource = self.stack.client("cloudformation").describe_stack_resource(
            StackName=STACK_NAME, LogicalResourceId=logical_id
        )
        return resource["StackResourceDetail"]["PhysicalResourceId"]

    def cool(self) -> None:
        """The next call of each function starts a new process."""
        functions = self.stack.client("lambda")
        for each in functions.list_functions()["Functions"]:
            functions.update_function_configuration(FunctionName=each["FunctionName"], Timeout=each["Timeout"])


def authorities(worlds: Mapping[str, World]) -> str:
    return "".join(world.ca_pem for world in worlds.values())


@dataclass(frozen=True)
class OfflineApplication:
    """An application's secret, and the server behind it."""

    offline: Offline
    case: Case
    arn: str
    first: Credentials

    def begin(self) -> None:
        self.offline.stack.secrets.rotate_secret(
            SecretId=self.arn,
            RotationLambdaARN=self.offline.stack.outputs["RotationFunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
        )

    def end(self) -> str:
        """How Secrets Manager saw the rotation, once its execution has ended too."""
        rotation = self.offline.stack.model.wait(self.arn, timeout=PATIENCE)
        assert rotation is not None
        while self.status() == "RUNNING":
            time.sleep(0.02)
        return str(rotation.outcome)

    def rotate(self) -> None:
        """A whole rotation, which has to succeed: else its failure is raised."""
        self.begin()
        assert self.end() == "RotationSucceeded", f"{self.case}: {self._failure()}"

    def _failure(self) -> str:
        client, failed = self.offline.stack.client("stepfunctions"), self._execution()
        return str(client.describe_execution(executionArn=failed["executionArn"]).get("cause")) if failed else "none"

    @property
    def token(self) -> str:
        """The version that the last rotation made."""
        return self.offline.stack.model.rotations(self.arn)[-1].token

    def status(self) -> str:
        """Of the last rotation's execution; nothing if it has not begun."""
        found = self._execution()
        return str(found["status"]) if found else ""

    def course(self) -> Course:
        """Of the last rotation's execution."""
        return Course.of(self.events())

    def events(self) -> list[Any]:
        found = self._execution()
        assert found, "no execution was started"
        history = self.offline.stack.client("stepfunctions").get_execution_history(
            executionArn=found["executionArn"], maxResults=1000
        )
        return list(history["events"])

    def _execution(self) -> Any:
        """Its name holds the token."""
        executions = self.offline.stack.client("stepfunctions").get_paginator("list_executions")
        pages = executions.paginate(stateMachineArn=self.offline.stack.outputs["StateMachineArn"])
        listed = (each for page in pages for each in page["executions"])
        return next((each for each in listed if self.token in each["name"]), None)

    def credentials(self) -> Credentials:
        """AWSCURRENT's."""
        value = json.loads(self.offline.stack.secrets.get_secret_value(SecretId=self.arn)["SecretString"])
        return replace(self.first, username=value["username"], password=value["password"])

    def stages(self) -> dict[str, list[str]]:
        return self.offline.stack.secrets.describe_secret(SecretId=self.arn)["VersionIdsToStages"]

    def logs_in(self) -> bool:
        """Whether a client that shares no code with the engine is let in with AWSCURRENT."""
        return self.offline.worlds[self.case.kind].logs_in(self.credentials())
