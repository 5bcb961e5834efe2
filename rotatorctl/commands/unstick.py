"""`unstick`: take AWSPENDING off a version that a rotation has left behind, once a credential was proven to log in."""

import json
import threading
from dataclasses import dataclass
from itertools import count

from rotation.executions import attempt_name, rollback_name
from rotation.model import AWSCURRENT, AWSPENDING, ROLL_BACK, ROTATE
from rotation.outcome import ROLLED_BACK, UNKNOWN
from rotation.report import NOTHING_TOLD, previous_of
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import RUNNING, Executions, Run
from rotatorctl.following import Following, Progress
from rotatorctl.result import CommandError, Json, Problem, Result

NOTHING_STUCK, CLEARED, FINISHED = "nothing stuck", "cleared", "finished"
NOT_PROVEN, MOVED_ON = "not proven", "moved on"


@dataclass(frozen=True)
class Stuck:
    """A pending version that is not current, and the last attempt with it."""

    secret: Described
    version: str
    last: Run | None

    @property
    def plan(self) -> str:
        ended = (
            f"attempt {self.last.name.attempt} ended as {self.last.outcome!r}" if self.last else "it has no execution"
        )
        return (
            f"{self.secret.name}: AWSPENDING is on version {self.version} ({ended}).\n"
            "1. The state machine looks which credential logs in, and sets AWSCURRENT's again where the service has "
            "another one. People are told if that is news.\n"
            "2. If AWSCURRENT logs in, AWSPENDING is taken off this version; the next rotation makes another value.\n"
            "   If only the pending value logs in, AWSCURRENT is moved to it, which finishes the rotation.\n"
            "   If neither is proven, no label is moved."
        )


def stuck(stack: Stack, secret_id: str) -> Stuck | None:
    """What is stuck. Raises CommandError while a rotation runs, and for a secret that the stack may not read."""
    secret = Described.read(stack.aws, secret_id)
    if secret.deleted or secret.function_arn != stack.function_arn:
        raise CommandError(
            "NotUnderRotationError",
            f"the stack {stack.name!r} may not read it, so it cannot try its credentials",
            f"`rotatorctl doctor {secret.name}` says why",
        )
    if not secret.pending:
        return None
    last = Executions(stack).latest(secret.arn, secret.pending)
    if last and last.outcome == RUNNING:
        raise CommandError(
            "RotationRunsError",
            f"attempt {last.name.attempt} with version {secret.pending} is under way",
            f"`rotatorctl rotate {secret.name}` joins it",
        )
    return Stuck(secret, secret.pending, last)


def nothing_stuck(secret_id: str) -> Result:
    data = {"secret": secret_id, "outcome": NOTHING_STUCK}
    return Result("unstick", data, (f"{secret_id}: AWSPENDING is on no version of its own, so nothing is stuck",))


def unstick(stack: Stack, found: Stuck, progress: Progress) -> Result:
    """Prove which credential logs in, then move the one label that has to be moved."""
    run = _look(stack, found)
    url = stack.execution_url(run.execution.arn)
    try:
        run = Following(stack, progress, threading.Event(), patience=0).watched(found.secret, run)
    except KeyboardInterrupt:
        return _result(found, run, url, RUNNING, _still_running(found, url))
    works = AWSCURRENT if run.execution.succeeded else str(run.report.get("Working", UNKNOWN))
    if works not in (AWSCURRENT, AWSPENDING):
        return _result(found, run, url, NOT_PROVEN, _not_proven(found, run, url))
    if _moved_on(stack, found):
        return _result(found, run, url, MOVED_ON, _changed(found))
    move = _clear if works == AWSCURRENT else _finish
    return _result(found, run, url, move(stack, found))


def _look(stack: Stack, found: Stuck) -> Run:
    """The execution in mode RollBack that looks; joined if one runs."""
    executions, arn, last = Executions(stack), found.secret.arn, found.last
    attempt = last.execution.name if last else attempt_name(ROTATE, arn, found.version, 1)
    for name in (rollback_name(attempt, number) for number in count(1)):
        existing = executions.find(arn, name)
        if existing and not existing.execution.ended:
            return existing
        if existing is None:
            body = json.dumps(_request(stack, found, last))
            stack.aws.machine.start_execution(stateMachineArn=stack.machine_arn, name=name, input=body)
            return executions.just_started(arn, name)
        last = existing if existing.execution.reported else last
    raise AssertionError("there is always a further name")


def _request(stack: Stack, found: Stuck, last: Run | None) -> Json:
    """As the rotate function would ask for a rollback after `last`, so that nothing is told twice."""
    previous = NOTHING_TOLD
    if last and last.execution.reported:
        previous = previous_of(last.execution.verdict, last.execution.delivered)
    listed = stack.aws.secrets.list_secret_version_ids(SecretId=found.secret.arn, IncludeDeprecated=True)
    has_value = any(each["VersionId"] == found.version for each in listed["Versions"])
    step = (last.failure[0] if last else "") or "SetSecret"
    return {
        "Mode": ROLL_BACK,
        "SecretId": found.secret.arn,
        "ClientRequestToken": found.version,
        "Attempt": last.name.attempt if last else 1,
        "Previous": previous,
        "Ended": {
            # Not the attempt's own error: what that was refused may be let in by now, and is to be tried.
            "Error": "Execution.UNSTICK",
            "Cause": "somebody asked by rotatorctl which credential logs in",
            "Step": step if has_value else "CreateSecret",
            "Looked": last is not None and last.outcome == ROLLED_BACK,
        },
        "RotationToken": "",
    }


def _moved_on(stack: Stack, found: Stuck) -> bool:
    """Whether labels or attempts are others than when the person was asked: then the proof is of another moment."""
    now = Described.read(stack.aws, found.secret.arn)
    last = Executions(stack).latest(found.secret.arn, found.version)
    attempts = [run.name.attempt if run else 0 for run in (last, found.last)]
    return (now.current, now.pending) != (found.secret.current, found.version) or attempts[0] != attempts[1]


def _clear(stack: Stack, found: Stuck) -> str:
    stack.aws.secrets.update_secret_version_stage(
        SecretId=found.secret.arn, VersionStage=AWSPENDING, RemoveFromVersionId=found.version
    )
    return CLEARED


def _finish(stack: Stack, found: Stuck) -> str:
    stack.aws.secrets.update_secret_version_stage(
        SecretId=found.secret.arn,
        VersionStage=AWSCURRENT,
        MoveToVersionId=found.version,
        RemoveFromVersionId=found.secret.current,
    )
    return FINISHED


_WORDS = {
    CLEARED: "AWSCURRENT logs in, and AWSPENDING was taken off version {}; the next rotation makes another value",
    FINISHED: "only the pending value logs in, so AWSCURRENT is version {} now; applications have to read it afresh",
}


def _result(found: Stuck, run: Run, url: str, outcome: str, problem: Problem | None = None) -> Result:
    data = {
        "secret": found.secret.name,
        "secretArn": found.secret.arn,
        "versionId": found.version,
        "outcome": outcome,
        "workingCredential": AWSCURRENT if run.execution.succeeded else run.report.get("Working", UNKNOWN),
        "executionArn": run.execution.arn,
        "executionUrl": url,
    }
    words = (f"{found.secret.name}: {_WORDS[outcome].format(found.version)}",) if outcome in _WORDS else ()
    return Result("unstick", data, words, (problem,) if problem else ())


def _still_running(found: Stuck, url: str) -> Problem:
    return Problem(
        "StillRunningError",
        "the execution that looks goes on by itself; no label was moved",
        f"`rotatorctl unstick {found.secret.name}` joins it; {url}",
        found.secret.name,
    )


def _not_proven(found: Stuck, run: Run, url: str) -> Problem:
    _, error, reason = run.failure
    works = run.report.get("Working", UNKNOWN)
    return Problem(
        "NotProvenError",
        f"neither AWSCURRENT nor AWSPENDING was proven to log in (works: {works}; {error}: {reason}); "
        "no label was moved",
        f"docs/failures.md#needs-a-person-action and #needs-a-person-check; {url}",
        found.secret.name,
    )


def _changed(found: Stuck) -> Problem:
    return Problem(
        "MovedOnError",
        "labels moved, or another attempt began, while the credentials were tried; no label was moved",
        f"`rotatorctl status` shows how it stands; `rotatorctl unstick {found.secret.name}` looks again",
        found.secret.name,
    )
