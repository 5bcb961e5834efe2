"""The conversation with Secrets Manager: one execution per attempt, started by createSecret, joined by every other call.

Secrets Manager calls createSecret, setSecret, testSecret and finishSecret in turn, waits for each, and after any error
starts the sequence again later (https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html).
Nearly all work happens inside the first call; the others find it done.
"""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rotation.errors import (
    InvalidEventError,
    RotationFailedError,
    StageConflictError,
    StillRunningError,
    UnavailableError,
)
from rotation.executions import Execution, Executions, attempt_name
from rotation.model import AWSCURRENT, AWSPENDING, ROLL_BACK, ROTATE, TEST, Json
from rotation.report import MOST_ROLLED_BACK_ATTEMPTS, NOTHING_TOLD
from rotation.secret_store import Description, SecretStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_NOT_FAILED: Json = {"Error": "none", "Cause": "", "Step": ""}

# Seconds. Success shows on DescribeSecret (40,000 calls a second and account), so it is asked often; DescribeExecution
# refills at 10 to 15 a second, so it is asked ever more rarely, at random times. Quotas:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_LABELS_EVERY = 1.0
_EXECUTION_FIRST, _EXECUTION_GROWTH, _EXECUTION_MOST = 2.0, 1.5, 30.0

# Seconds of the function's time that are kept to answer before it is killed.
_LAST_SECONDS = 10

# After this people are told again of a failure that nobody mended.
_REMIND_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Call:
    """One call of Secrets Manager."""

    step: str
    secret_id: str
    token: str
    rotation_token: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Call":
        """Raises InvalidEventError naming the key. AWS's own page spells the steps create_secret ...: both are taken."""
        for key in ("Step", "SecretId", "ClientRequestToken"):
            if not isinstance(event.get(key), str) or not event[key]:
                raise InvalidEventError(f"the event has no {key}; this function is called by Secrets Manager")
        head, *tail = event["Step"].split("_")
        step = head + "".join(word.capitalize() for word in tail)
        if step not in _STEPS:
            raise InvalidEventError(f"unknown Step {event['Step']!r}; expected one of {', '.join(_STEPS)}")
        return cls(step, event["SecretId"], event["ClientRequestToken"], event.get("RotationToken") or "")


def answer(event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Answer one invocation of `rotate`: a step of Secrets Manager, or the news that an execution ended.

    Returns when the step is done. Raises RotationFailedError with the report's words, StillRunningError when the
    function's time is nearly over, StageConflictError, InvalidEventError, UnavailableError or AccessDeniedError.
    """
    if "detail-type" in event:
        recover(event["detail"]["executionArn"])
        return
    call = Call.of(event)
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _LAST_SECONDS
    Attempts(call.secret_id, call.token, call.rotation_token, deadline).answer(call.step)


def recover(execution_arn: str) -> None:
    """Start mode RollBack for an attempt that ended without its own: timed out, stopped, or broken by States.Runtime.

    Nothing to do for an attempt that told people, one that a newer one follows, and executions of the other modes.
    """
    executions = Executions()
    ended = executions.at(execution_arn)
    if ended is None or not ended.ended or ended.succeeded or ended.reported or ended.input["Mode"] != ROTATE:
        return
    attempts = Attempts(ended.input["SecretId"], ended.input["ClientRequestToken"])
    if attempts.latest_is(ended) and not executions.last_events(execution_arn).verdict:
        attempts.roll_back(ended, ended.input["Previous"])


class Attempts:
    """The attempts at one token of one secret, until `deadline` (of the monotonic clock)."""

    def __init__(self, secret_id: str, token: str, rotation_token: str = "", deadline: float = 0.0) -> None:
        self._secret_id = secret_id
        self._token = token
        self._rotation_token = rotation_token
        self._deadline = deadline
        self._store = SecretStore(secret_id)
        self._executions = Executions()

    def answer(self, step: str) -> None:
        """Do, or find done, what Secrets Manager's `step` asks for."""
        description = self._store.describe()
        if description.carries(self._token, AWSCURRENT):
            return
        latest = self._executions.latest(ROTATE, self._secret_id, self._token)
        self._require_pending(description, latest)
        if latest is None:
            self._join(self._first(step))
        elif step == "createSecret" and latest.ended:
            self._follow(latest)
        else:
            self._join(latest.arn)

    def latest_is(self, execution: Execution) -> bool:
        return self._executions.find(self._name(ROTATE, execution.attempt + 1)) is None

    def roll_back(self, ended: Execution, previous: Json) -> str:
        """Start, or join, the one execution in mode RollBack that belongs to this attempt; returns its ARN."""
        failure = {
            "Error": f"Execution.{ended.status}",
            "Cause": f"the execution {ended.name} ended as {ended.status} {ended.error} {ended.cause}".strip(),
            "Step": self._executions.last_events(ended.arn).entered,
        }
        body = self._body(ROLL_BACK, ended.attempt, previous, failure)
        return self._executions.start(f"{ended.name}-rollback", body)

    def _require_pending(self, description: Description, latest: Execution | None) -> None:
        if description.carries(self._token, AWSPENDING) and description.rotation_enabled:
            return
        if latest and latest.reported and latest.verdict["Report"]["PendingRemoved"]:
            raise RotationFailedError(_words(latest.verdict["Report"]))
        if not description.rotation_enabled:
            raise StageConflictError("rotation is not turned on for this secret")
        raise StageConflictError(
            f"version {self._token} is not labelled AWSPENDING; Secrets Manager starts a rotation with "
            f"aws secretsmanager rotate-secret --secret-id {self._secret_id}"
        )

    def _first(self, step: str) -> str:
        if step == "createSecret":
            return self._start(ROTATE, 1, NOTHING_TOLD)
        if step != "testSecret":
            raise StageConflictError(f"{step} was called, but no rotation of version {self._token} was started")
        # RotateImmediately=false sends testSecret alone: nothing is to change, only the log-in is tried.
        test = self._executions.latest(TEST, self._secret_id, self._token)
        if test is None:
            return self._start(TEST, 1, NOTHING_TOLD)
        return self._start(TEST, test.attempt + 1, NOTHING_TOLD) if test.ended else test.arn

    def _follow(self, ended: Execution) -> None:
        """After a failed attempt comes the next one; after a successful one nothing; after the last one a refusal."""
        verdict, delivered = self._verdict(ended)
        if verdict is None:
            return
        previous = _previous(verdict, delivered)
        if previous["RolledBack"] < MOST_ROLLED_BACK_ATTEMPTS:
            self._join(self._start(ROTATE, ended.attempt + 1, previous))
            return
        if not delivered:
            self._wait(self.roll_back(ended, previous))
        raise RotationFailedError(
            f"refused, nothing was touched: {previous['RolledBack']} attempts with this version had to be put right. "
            f"The last one: {_words(verdict['Report'])}"
        )

    def _join(self, arn: str) -> None:
        """Wait for an execution's end; raises RotationFailedError with the words of its report if it failed."""
        ended = self._wait(arn)
        if ended is None or ended.succeeded:
            return
        if ended.input["Mode"] == TEST:
            raise RotationFailedError(
                f"AWSCURRENT was tried and nothing changed: {ended.error}: {_reason(ended.cause)}"
            )
        verdict, _ = self._verdict(ended)
        if verdict:
            raise RotationFailedError(_words(verdict["Report"]))

    def _verdict(self, ended: Execution) -> tuple[Json | None, bool]:
        """What a failed execution reported and whether people got it; None if the rotation took effect after all.

        For one that ended without a report it is that of its execution in mode RollBack.
        """
        if ended.succeeded:
            return None, True
        if ended.reported:
            return ended.verdict, ended.delivered
        if published := self._executions.last_events(ended.arn).verdict:
            return published, True
        rolled_back = self._wait(self.roll_back(ended, ended.input["Previous"]))
        if rolled_back is None or rolled_back.succeeded:
            return None, True
        if rolled_back.reported:
            return rolled_back.verdict, rolled_back.delivered
        return _unknown(ended, rolled_back), False

    def _wait(self, arn: str) -> Execution | None:
        """The execution as it ended, or None as soon as the token is AWSCURRENT: nothing after that changes anything."""
        pause, look = 0.0, time.monotonic()
        while True:
            try:
                if self._store.describe().carries(self._token, AWSCURRENT):
                    return None
                if time.monotonic() >= look:
                    execution = self._executions.at(arn)
                    if execution and execution.ended:
                        return execution
                    pause = min(max(_EXECUTION_FIRST, pause * _EXECUTION_GROWTH), _EXECUTION_MOST)
                    look = time.monotonic() + pause * random.uniform(0.5, 1)
            except UnavailableError:
                # Throttled or without an answer: asked again below, the execution goes on meanwhile.
                look += _EXECUTION_MOST
            if time.monotonic() + _LABELS_EVERY >= self._deadline:
                raise StillRunningError(f"{arn} is still running; the next call joins it")
            time.sleep(_LABELS_EVERY)

    def _start(self, mode: str, attempt: int, previous: Json) -> str:
        return self._executions.start(self._name(mode, attempt), self._body(mode, attempt, previous, _NOT_FAILED))

    def _name(self, mode: str, attempt: int) -> str:
        return attempt_name(mode, self._secret_id, self._token, attempt)

    def _body(self, mode: str, attempt: int, previous: Json, ended: Json) -> Json:
        return {
            "Mode": mode,
            "SecretId": self._secret_id,
            "ClientRequestToken": self._token,
            "Attempt": attempt,
            "Previous": previous,
            "Ended": ended,
            "RotationToken": self._rotation_token if mode == ROTATE else "",
        }


def _previous(verdict: Json, delivered: bool) -> Json:
    """What the next attempt has to know: what people were told last, and an alert that never reached them."""
    report = verdict["Report"]
    before = report["Previous"] | {"RolledBack": report["RolledBack"]}
    if not delivered:
        return before | {"Alert": verdict["Alert"]}
    told_at = before["ToldAt"] if report["Key"] == before["Key"] else report["At"]
    reminded = datetime.now(UTC) - datetime.fromisoformat(told_at) > _REMIND_AFTER
    return before | {"Told": True, "Key": "none" if reminded else report["Key"], "ToldAt": told_at, "Alert": {}}


def _unknown(ended: Execution, rolled_back: Execution) -> Json:
    reason = f"{ended.name} ended as {ended.status}, and so did its rollback: {rolled_back.status}"
    report = {
        "Outcome": "needs a person",
        "Working": "unknown",
        "Key": "none",
        "Error": rolled_back.error,
        "Step": "RollBack",
    }
    before = ended.input["Previous"]
    return {"Report": report | {"Reason": reason, "Previous": before, "RolledBack": before["RolledBack"]}, "Alert": {}}


def _words(report: Json) -> str:
    return (
        f"{report['Outcome']}: {report['Error']} in {report['Step']}: {report['Reason']}. "
        f"Works now: {report['Working']}. Execution: {report['Execution']}"
    )


def _reason(cause: str) -> str:
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
