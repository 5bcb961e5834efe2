"""The only module that talks to Step Functions: executions of the rotation state machine, found by their names."""

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

import boto3

from rotation.aws import CONFIG, translated
from rotation.errors import StageConflictError
from rotation.model import TEST, Json, begun_before, name_of
from rotation.throttling import make_again

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ROLLBACK = "-rollback"

# The errors of the state machine's own Fail states: an execution that ends with one has been rolled back.
ENDS = ("RotationFailedError", "RollbackFailedError", "AlertFailedError")


@dataclass(frozen=True)
class Execution:
    """One execution as DescribeExecution shows it."""

    arn: str
    name: str
    status: str
    input: Json = field(repr=False)
    error: str
    cause: str

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "PENDING_REDRIVE")

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCEEDED"

    @property
    def reported(self) -> bool:
        """Whether it ended in one of the machine's own Fail states, and so rolled back and has a verdict."""
        return self.error in ENDS and self.cause.startswith("{")

    @property
    def verdict(self) -> Json:
        """The report and, if it could not be published, its alert."""
        cause = json.loads(self.cause)
        return cause if "Report" in cause else {"Report": cause, "Alert": {}}

    @property
    def delivered(self) -> bool:
        """Whether people were told, now or before, what the verdict says."""
        return self.error != "AlertFailedError"

    @property
    def attempt(self) -> int:
        return int(self.input["Attempt"])


def attempt_name(mode: str, secret_id: str, token: str, attempt: int) -> str:
    """The name of an execution: at most 80 of 0-9A-Za-z-_ (what CloudWatch can log), the secret readable in it.

    Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    if not re.fullmatch("[0-9A-Za-z_-]{1,36}", token):
        token = hashlib.sha256(token.encode()).hexdigest()[:36]
    return f"{'test-' if mode == TEST else ''}{name_prefix(secret_id)}{token}-{attempt}"


def name_prefix(secret_id: str) -> str:
    """How the names of a secret's executions begin; the six characters tell alike names apart."""
    slug = re.sub("[^0-9A-Za-z_]+", "-", name_of(secret_id)).strip("-")[:18] or "secret"
    return f"{slug}-{hashlib.sha256(secret_id.encode()).hexdigest()[:6]}-"


def rollback_name(attempt: str, number: int = 1) -> str:
    """The name of an attempt's execution in mode RollBack; a further one only tries its alert again.

    monitoring.yaml knows them by the end of the name, which no attempt's can have.
    """
    return attempt + (f"-{number}" if number > 1 else "") + ROLLBACK


class Executions:
    """Executions of one state machine. Every method may raise UnavailableError and AccessDeniedError."""

    def __init__(self) -> None:
        self._machine = os.environ["STATE_MACHINE_ARN"]

    def find(self, name: str) -> Execution | None:
        """The execution of that name, or None."""
        return self.at(self._arn(name))

    def at(self, arn: str) -> Execution | None:
        with translated("states:DescribeExecution", arn):
            try:
                answer = _client().describe_execution(executionArn=arn)
            except _client().exceptions.ExecutionDoesNotExist:
                return None
        return Execution(
            arn=arn,
            name=answer["name"],
            status=answer["status"],
            input=json.loads(answer["input"]),
            error=answer.get("error", ""),
            cause=answer.get("cause", ""),
        )

    def latest(self, mode: str, secret_id: str, token: str) -> Execution | None:
        """The last attempt for this token. Attempts are numbered from 1 without gaps, so few look-ups find the last."""
        found, last, beyond = None, 0, 1
        while attempt := self.find(attempt_name(mode, secret_id, token, beyond)):
            found, last, beyond = attempt, beyond, beyond * 2
        while beyond - last > 1:
            middle = (last + beyond) // 2
            if attempt := self.find(attempt_name(mode, secret_id, token, middle)):
                found, last = attempt, middle
            else:
                beyond = middle
        return found

    def untold_rollback(self, attempt: str) -> str:
        """The name under which an attempt's rollback runs, or is to be tried, until people are told; else nothing."""
        for number in count(1):
            name = rollback_name(attempt, number)
            tried = self.find(name)
            if tried is None or not tried.ended:
                return name
            if tried.succeeded or (tried.reported and tried.delivered):
                break
        return ""

    def begin(self, name: str, body: Json) -> str:
        """Start the execution of that name; returns its ARN, or nothing if there is one already, perhaps ended.

        The same input again begins nothing, but gets the ARN of the one that runs.
        """
        with translated("states:StartExecution", self._machine), suppress(_client().exceptions.ExecutionAlreadyExists):
            _client().start_execution(stateMachineArn=self._machine, name=name, input=json.dumps(body))
            return self._arn(name)
        return ""

    def start(self, name: str, body: Json) -> str:
        """Start the execution of that name, or join the one that exists; returns its ARN.

        Raises StageConflictError if the name is taken by the execution of another secret or token: StartExecution
        alone does not tell, its idempotence needs the same input (see attempt_name's source).
        """
        if begun := self.begin(name, body):
            return begun
        existing = self.find(name)
        if existing and any(existing.input.get(key) != body[key] for key in ("SecretId", "ClientRequestToken", "Mode")):
            raise StageConflictError(f"the execution name {name} is taken by another secret or token")
        return self._arn(name)

    def _arn(self, name: str) -> str:
        return self._machine.replace(":stateMachine:", ":execution:") + ":" + name

    def last_events(self, ended: Execution) -> "LastEvents":
        """What the history of an execution that was stopped says about its end."""
        with translated("states:GetExecutionHistory", ended.arn):
            answer = _client().get_execution_history(executionArn=ended.arn, reverseOrder=True, maxResults=1000)
        events = answer["events"]
        events.sort(key=lambda event: event["id"], reverse=True)
        entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
        left = [event["stateExitedEventDetails"] for event in events if "stateExitedEventDetails" in event]
        alerted = [json.loads(state["output"]) for state in left if state["name"] == "Alert"]
        # Its Catch leaves it, too.
        told = [output["Verdict"] for output in alerted if "AlertFailure" not in output]
        begun = "SetSecret" in entered or begun_before(ended.input["Previous"], ended.attempt)
        looked = begun and "RollBack" in entered
        return LastEvents(entered[0] if entered else "Begin", told[0] if told else None, looked)


@dataclass(frozen=True)
class LastEvents:
    """The last state that was entered, and the verdict if the alert had gone out before the execution was stopped.

    `looked`: SetSecret had begun, in this or an earlier attempt, and RollBack after it.
    """

    entered: str
    verdict: Json | None
    looked: bool


@cache
def _client() -> "SFNClient":
    client = boto3.client("stepfunctions", config=CONFIG)
    make_again(client, "StartExecution")
    return client
