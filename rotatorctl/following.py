"""One secret's rotation: asked for, or joined where one is under way, and followed to its outcome."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from rotatorctl.aws import explained
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import STOPPED, Executions, Run
from rotatorctl.result import CommandError

STARTED, RETRIED, JOINED = "started", "retried", "joined"
CARRIED_OUT = "no answer came to RotateSecret: DescribeSecret shows that it was carried out"

_POLL_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 5.0

type Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Begun:
    """A rotation under way: which attempt with which version is to be followed, and how it came about."""

    secret: Described
    version: str
    attempt: int
    how: str


@dataclass(frozen=True)
class Following:
    """`patience`: seconds in which an execution has to begin. Once `stop` is set, nothing is waited for any more."""

    stack: Stack
    progress: Progress
    stop: threading.Event
    patience: float

    @property
    def _executions(self) -> Executions:
        return Executions(self.stack)

    def begin(self, secret_id: str) -> Begun:
        """Ask Secrets Manager to rotate, unless it is doing so. Raises CommandError where that is to no avail."""
        secret = Described.read(self.stack.aws, secret_id)
        _require_ours(secret, self.stack)
        last = self._executions.latest(secret.arn, secret.pending) if secret.pending else None
        if last and self._runs(secret, last):
            return Begun(secret, secret.pending, last.name.attempt, JOINED)
        if last and last.exhausted:
            raise _used_up(secret, last)
        return self._rotate(secret, last)

    def follow(self, begun: Begun) -> Run | None:
        """Wait for the end of the attempt, and of the rollback that stands in for it if it was stopped.

        None if no execution has begun.
        """
        arn = begun.secret.arn
        run = self.awaited(lambda: self._begun_execution(begun), lambda: self._ask_again(begun))
        if run is None:
            return None
        run = self.watched(begun.secret, run)
        if run.outcome != STOPPED:
            return run
        rollback = self.awaited(lambda: self._executions.rollback_of(arn, run))
        return self.watched(begun.secret, rollback) if rollback else run

    def _runs(self, secret: Described, last: Run) -> bool:
        if not last.execution.ended:
            return True
        rollback = self._executions.rollback_of(secret.arn, last) if last.outcome == STOPPED else None
        return rollback is not None and not rollback.execution.ended

    def _rotate(self, secret: Described, last: Run | None) -> Begun:
        version = str(uuid.uuid4())
        if self._asked(secret, version):
            return Begun(secret, version, 1, STARTED)
        pending = Described.read(self.stack.aws, secret.arn).pending
        attempt = last.name.attempt + 1 if last and last.name.version == pending else 1
        return Begun(secret, pending, attempt, RETRIED)

    def _asked(self, secret: Described, version: str) -> bool:
        """Whether RotateSecret has begun a rotation with this version; else it reattempts the one before.

        "A previous rotation isn't complete. That rotation will be reattempted" is told from other refusals by the
        label, which nothing else leaves; it may be the answer to a repeat of the request that began this version.
        """
        try:
            self.stack.aws.secrets.rotate_secret(SecretId=secret.arn, ClientRequestToken=version)
        except self.stack.aws.secrets.exceptions.InvalidRequestException:
            now = Described.read(self.stack.aws, secret.arn)
            if not now.pending:
                raise
            return version in now.stages
        except BotoCoreError as unanswered:
            now = Described.read(self.stack.aws, secret.arn)
            if not now.pending and version not in now.stages:
                raise not_carried_out(unanswered, "no rotation began") from None
            self.progress(secret.name, CARRIED_OUT)
            return version in now.stages
        return True

    def _ask_again(self, begun: Begun) -> None:
        """An execution ends before Secrets Manager hears of it, and until then it reattempts nothing."""
        if begun.how == RETRIED and Described.read(self.stack.aws, begun.secret.arn).pending == begun.version:
            self._asked(begun.secret, str(uuid.uuid4()))

    def _begun_execution(self, begun: Begun) -> Run | None:
        """Whether a retry keeps its version AWS does not document: if not, the new one is that of the label."""
        arn = begun.secret.arn
        if found := self._executions.attempt(arn, begun.version, begun.attempt):
            return found
        pending = Described.read(self.stack.aws, arn).pending
        return self._executions.attempt(arn, pending, 1) if pending not in ("", begun.version) else None

    def awaited[T](self, find: Callable[[], T | None], again: Callable[[], None] = lambda: None) -> T | None:
        """What `find` finds in time; `again` is called now and then in between."""
        began = asked = time.monotonic()
        while (found := find()) is None:
            now = time.monotonic()
            if now - began > self.patience or self.stop.wait(_POLL_SECONDS):
                break
            if now - asked > _ASK_AGAIN_SECONDS:
                asked = now
                again()
        return found

    def watched(self, secret: Described, run: Run) -> Run:
        """Wait for the end of an execution, and pass on each state that it enters."""
        shown = 0
        while True:
            # Asked before its history, so that all states of one that has ended are seen.
            latest = self._executions.find(secret.arn, run.execution.name)
            states = self._executions.entered(latest) if latest else []
            for state in states[shown:]:
                self.progress(secret.name, state)
            shown = max(shown, len(states))
            if (latest and latest.execution.ended) or self.stop.wait(_POLL_SECONDS):
                return latest or run


def not_carried_out(unanswered: BotoCoreError, shown: str, operation: str = "RotateSecret") -> CommandError:
    """Of a request without an answer, where DescribeSecret shows that nothing came of it."""
    why = explained(unanswered)
    message = f"no answer came to {operation} ({why.message}), and DescribeSecret shows that {shown}"
    return CommandError(why.code, message, f"{why.next_step}; then repeat the command")


def _require_ours(secret: Described, stack: Stack) -> None:
    if secret.deleted:
        raise CommandError(
            "ScheduledForDeletionError",
            "it is scheduled for deletion",
            f"to keep it: aws secretsmanager restore-secret --secret-id {secret.arn}",
        )
    if secret.rotation_enabled and secret.function_arn == stack.function_arn:
        return
    has = f"its rotation function is {secret.function_arn}" if secret.function_arn else "it has no rotation function"
    state = has if secret.function_arn != stack.function_arn else "its rotation is turned off"
    raise CommandError(
        "NotUnderRotationError",
        f"{state}, so the stack {stack.name!r} does not rotate it",
        f"to turn it on, with a log-in test first: {turn_on(secret)}",
    )


def turn_on(secret: Described) -> str:
    """The command that puts a secret under rotation once its log-in was tried, and rotates nothing."""
    return f"rotatorctl onboard {secret.name}"


def _used_up(secret: Described, last: Run) -> CommandError:
    return CommandError(
        "AttemptsUsedUpError",
        f"{last.report['RolledBack']} attempts with version {last.name.version} had to be put right, and the rotate "
        f"function refuses another one. The last failed in {last.failure[0]}: {last.failure[1]}: {last.failure[2]}",
        f"mend that and start afresh (docs/failures.md#start-afresh): rotatorctl unstick {secret.name}; "
        f"then: rotatorctl rotate {secret.name}",
    )
