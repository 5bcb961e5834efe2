"""Executions of the state machine, as those who ask about a secret want to see them."""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rotation.executions import Execution, attempt_name, name_prefix, rollback_name
from rotation.model import ROTATE
from rotation.outcome import MOST_ROLLED_BACK_ATTEMPTS, ROTATED, error_message
from rotatorctl.deployed import Stack
from rotatorctl.result import Json

RUNNING, STOPPED, LOGGED_IN, LOG_IN_FAILED = "running", "stopped", "logged in", "log-in failed"
ROTATION, ROLLBACK, LOG_IN_TEST = "rotation", "rollback", "log-in test"

_TEST = "test-"
# What follows a secret's prefix. A version has up to 36 characters, as a UUID has.
_REST = re.compile(r"([0-9A-Za-z_-]{1,36})-(\d+)((?:-\d+)?-rollback)?")


@dataclass(frozen=True)
class Name:
    """What the name of an execution of one secret tells (docs/console.md#the-execution)."""

    kind: str
    version: str
    attempt: int

    @classmethod
    def of(cls, name: str, prefix: str) -> "Name | None":
        """None for an execution of another secret, or one that somebody started by hand."""
        test = name.startswith(_TEST + prefix)
        rest = _REST.fullmatch(name.removeprefix(_TEST + prefix if test else prefix))
        if rest is None or not (test or name.startswith(prefix)):
            return None
        return cls(LOG_IN_TEST if test else ROLLBACK if rest[3] else ROTATION, rest[1], int(rest[2]))


def prefix_among(name: str, prefixes: Collection[str]) -> str | None:
    """Which of these secrets' prefixes a name has: a readable part of up to 18 characters, and six that tell alike."""
    parts = (name, name.removeprefix(_TEST))
    return next((part[:end] for part in parts for end in range(9, 27) if part[:end] in prefixes), None)


@dataclass(frozen=True)
class Run:
    """One execution, and what it came to."""

    execution: Execution
    name: Name
    started: datetime
    stopped: datetime | None

    @property
    def report(self) -> Json:
        report: Json = self.execution.verdict["Report"] if self.execution.reported else {}
        return report

    @property
    def outcome(self) -> str:
        if not self.execution.ended:
            return RUNNING
        if self.name.kind == LOG_IN_TEST:
            return LOGGED_IN if self.execution.succeeded else LOG_IN_FAILED
        if self.execution.succeeded:
            return ROTATED
        return str(self.report.get("Outcome", STOPPED))

    @property
    def failure(self) -> tuple[str, str, str]:
        """Step, error and reason; empty where nothing failed, or nothing is known yet."""
        if self.report:
            return self.report["Step"], self.report["Error"], self.report["Reason"]
        step = "TestCurrent" if self.outcome == LOG_IN_FAILED else ""
        error = self.execution.error or ("" if self.outcome in (RUNNING, ROTATED, LOGGED_IN) else self.execution.status)
        return step, error, error_message(self.execution.cause)

    @property
    def json(self) -> Json:
        step, error, reason = self.failure
        return {
            "versionId": self.name.version,
            "attempt": self.name.attempt,
            "outcome": self.outcome,
            "step": step,
            "error": error,
            "reason": reason,
            "executionArn": self.execution.arn,
            "seconds": self.seconds,
        }

    @property
    def exhausted(self) -> bool:
        """Whether no further attempt with this version is made."""
        return int(self.report.get("RolledBack", 0)) >= MOST_ROLLED_BACK_ATTEMPTS

    @property
    def seconds(self) -> float:
        return round(((self.stopped or datetime.now(UTC)) - self.started).total_seconds(), 1)


class Executions:
    """Those of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = stack.aws.machine

    def find(self, secret_arn: str, name: str) -> Run | None:
        """A secret's execution of that name, if it was made by the rotate function and still is kept."""
        if (parsed := Name.of(name, name_prefix(secret_arn))) is None:
            return None
        try:
            answer = self._client.describe_execution(executionArn=self._stack.execution_arn(name))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        execution = Execution(
            arn=answer["executionArn"],
            name=answer["name"],
            status=answer["status"],
            # It holds the RotationToken, and nothing that the name does not tell.
            input={},
            error=answer.get("error", ""),
            cause=answer.get("cause", ""),
        )
        return Run(execution, parsed, answer["startDate"], answer.get("stopDate"))

    def just_started(self, secret_arn: str, name: str) -> Run:
        """As it is before DescribeExecution, which may lag behind, knows of it."""
        parsed = Name.of(name, name_prefix(secret_arn))
        assert parsed
        execution = Execution(self._stack.execution_arn(name), name, "RUNNING", {}, "", "")
        return Run(execution, parsed, datetime.now(UTC), None)

    def attempt(self, secret_arn: str, version: str, attempt: int) -> Run | None:
        return self.find(secret_arn, attempt_name(ROTATE, secret_arn, version, attempt))

    def latest(self, secret_arn: str, version: str) -> Run | None:
        """The last attempt with this version."""
        last, number = None, 1
        while found := self.attempt(secret_arn, version, number):
            last, number = found, number + 1
        return last

    def rollback_of(self, secret_arn: str, run: Run) -> Run | None:
        """The execution that puts an attempt right which ended without a report."""
        return self.find(secret_arn, rollback_name(run.execution.name))

    def names(self) -> Iterator[str]:
        """Of all executions, the newest first. Step Functions keeps them for 90 days after their end."""
        pages = self._client.get_paginator("list_executions").paginate(
            stateMachineArn=self._stack.machine_arn, PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            yield from (listed["name"] for listed in page["executions"])

    def of_secret(self, secret_arn: str) -> Iterator[str]:
        """Names of the executions of one secret, the newest first."""
        prefix = name_prefix(secret_arn)
        return (name for name in self.names() if Name.of(name, prefix))

    def entered(self, run: Run) -> list[str]:
        """The states that it has entered so far, and the errors in between."""
        pages = self._client.get_paginator("get_execution_history").paginate(
            executionArn=run.execution.arn, PaginationConfig={"PageSize": 1000}
        )
        seen = list[str]()
        for event in (event for page in pages for event in page["events"]):
            if entered := event.get("stateEnteredEventDetails"):
                seen.append(entered["name"])
            elif failed := event.get("taskFailedEventDetails"):
                seen.append(f"failed: {failed.get('error')}")
        return seen

    def kind(self, run: Run) -> tuple[str, str]:
        """Engine and strategy, as the execution's first function found them; "unknown" if it did not get so far."""
        answer = self._client.get_execution_history(executionArn=run.execution.arn, maxResults=30)
        for event in answer["events"]:
            left = event.get("stateExitedEventDetails")
            if left and left["name"] in ("CreateSecret", "TestCurrent"):
                completed = json.loads(left["output"]).get("Completed", {})
                return completed.get("Engine", "unknown"), completed.get("Strategy", "unknown")
        return "unknown", "unknown"
