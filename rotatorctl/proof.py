"""Which credential of a stuck version logs in: the executions of the state machine that find it out."""

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count

from rotation.errors import LoginRefusedError
from rotation.executions import attempt_name, rollback_name
from rotation.model import AWSCURRENT, AWSPENDING, ROLL_BACK, ROTATE, TEST
from rotation.outcome import ROLLED_BACK, ROTATED, UNKNOWN
from rotation.report import NOTHING_TOLD, previous_of
from rotatorctl.executions import Executions, Run
from rotatorctl.following import Following
from rotatorctl.result import Json
from rotatorctl.stuck import Stuck

# What CreateSecret calls it where two users take turns.
_ALTERNATING = "alternating users"
_NOT_FAILED: Json = {"Error": "none", "Cause": "", "Step": "none", "Looked": False}


@dataclass
class Proof:
    """One look: `run` is the execution that says what is true, or that still runs; `found` has the attempt it made.

    Mode RollBack takes the pending value back where the service has it. So AWSCURRENT is tried alone first; if it is
    refused, another attempt follows: SetSecret changes nothing of a user who has the pending password already, and the
    rotation is finished. Where two users alternate it would end with the refusal, and RollBack takes nothing back.
    """

    found: Stuck
    following: Following
    run: Run | None = None

    def look(self) -> None:
        """Begins nothing more once the following is stopped."""
        name, _ = self._rollbacks()
        if running := self._executions.find(self._arn, name):
            self._watch(running)
        elif not (self._may_finish() and self._is_refused() and self._finishes()):
            self._undo()

    @property
    def works(self) -> str:
        """The label whose credential was proven to log in, or what is known in its place."""
        if self.run is None or self.run.outcome == ROTATED:
            return AWSCURRENT if self.run else UNKNOWN
        return str(self.run.report.get("Working", UNKNOWN))

    @property
    def stopped(self) -> bool:
        return self.following.stop.is_set()

    @property
    def _executions(self) -> Executions:
        return Executions(self.following.stack)

    @property
    def _arn(self) -> str:
        return self.found.secret.arn

    def _may_finish(self) -> bool:
        """Not without an attempt before: the first one does not try the pending value as one that may be live."""
        last = self.found.last
        return last is not None and self._executions.kind(last)[1] != _ALTERNATING and self._has_value()

    def _is_refused(self) -> bool:
        token = str(uuid.uuid4())
        run = self._run(attempt_name(TEST, self._arn, token, 1), self._body(TEST, token, 1))
        return run is not None and run.failure[1] == LoginRefusedError.__name__

    def _finishes(self) -> bool:
        """Whether another attempt says what is true. It is joined if Secrets Manager has begun it meanwhile."""
        assert self.found.last
        token, attempt = self.found.version, self.found.last.name.attempt + 1
        _, newest = self._rollbacks()
        body = self._body(ROTATE, token, attempt, _previous(newest))
        if (run := self._run(attempt_name(ROTATE, self._arn, token, attempt), body)) is None:
            return False
        self.found = replace(self.found, last=run)
        proven = self.works in (AWSCURRENT, AWSPENDING)
        return proven or not run.execution.ended or self._executions.kind(run)[1] != _ALTERNATING

    def _undo(self) -> None:
        """Mode RollBack, as the rotate function asks for it after an attempt, so that nothing is told twice."""
        name, newest = self._rollbacks()
        step = (newest.failure[0] if newest else "") or "SetSecret"
        ended = {
            # Not the attempt's own error: what that was refused may be let in by now, and is to be tried.
            "Error": "Execution.UNSTICK",
            "Cause": "somebody asked by rotatorctl which credential logs in",
            "Step": step if self._has_value() else "CreateSecret",
            "Looked": newest is not None and newest.outcome == ROLLED_BACK,
        }
        attempt = newest.name.attempt if newest else 1
        self._run(name, self._body(ROLL_BACK, self.found.version, attempt, _previous(newest), ended))

    def _rollbacks(self) -> tuple[str, Run | None]:
        """The name of the rollback that runs, or of a further one, and the newest execution that reported."""
        last, newest = self.found.last, self.found.last
        attempt = last.execution.name if last else attempt_name(ROTATE, self._arn, self.found.version, 1)
        for name in (rollback_name(attempt, number) for number in count(1)):
            existing = self._executions.find(self._arn, name)
            if existing is None or not existing.execution.ended:
                break
            newest = existing if existing.execution.reported else newest
        return name, newest

    def _has_value(self) -> bool:
        versions = self.following.stack.aws.secrets.list_secret_version_ids(SecretId=self._arn, IncludeDeprecated=True)
        return any(each["VersionId"] == self.found.version for each in versions["Versions"])

    def _body(
        self, mode: str, token: str, attempt: int, previous: Json = NOTHING_TOLD, ended: Json = _NOT_FAILED
    ) -> Json:
        return {
            "Mode": mode,
            "SecretId": self._arn,
            "ClientRequestToken": token,
            "Attempt": attempt,
            "Previous": previous,
            "Ended": ended,
            # CreateSecret needs none: the value is there.
            "RotationToken": "",
        }

    def _run(self, name: str, body: Json) -> Run | None:
        """Start, or join, the execution of that name and watch it; None if it was stopped before."""
        if self.stopped:
            return None
        client, stack = self.following.stack.aws.machine, self.following.stack
        # Somebody else may be faster, or a request be repeated whose answer was lost.
        with suppress(client.exceptions.ExecutionAlreadyExists):
            client.start_execution(stateMachineArn=stack.machine_arn, name=name, input=json.dumps(body))
        return self._watch(self._executions.just_started(self._arn, name))

    def _watch(self, run: Run) -> Run:
        self.run = run
        self.run = self.following.watched(self.found.secret, run)
        return self.run


def _previous(newest: Run | None) -> Json:
    """What the attempts before came to, so that people are told of the same once."""
    if newest is None or not newest.execution.reported:
        return NOTHING_TOLD
    return previous_of(newest.execution.verdict, newest.execution.delivered)
