"""`local drill`: a step of the deployed state machine fails, and what is true then is looked at from outside."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rotation.outcome import ROLLED_BACK, ROTATED, UNTOUCHED
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Run
from rotatorctl.following import Following, Progress
from rotatorctl.local.application import Application, LogInNotTriedError
from rotatorctl.local.lifecycle import aws_of, really_up
from rotatorctl.local.mails import lines_of, mails_in
from rotatorctl.local.promises import Promise, broken, table
from rotatorctl.local.running import Running
from rotatorctl.local.signals import sigterm_unwinds
from rotatorctl.local.stack import STACK_NAME
from rotatorctl.local.throttling import function_of, throttled
from rotatorctl.result import CommandError, Json, Problem, Result

_OLD, _NEW = "the old credential", "the new one"
# Seconds in which an execution of the local stack has to begin.
_PATIENCE = 60


@dataclass
class Drill:
    """One secret of the local stack, and what was seen of it."""

    stack: Stack
    following: Following
    application: Application
    mail_folder: Path
    step: str
    promises: list[Promise] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    data: Json = field(default_factory=dict)
    _told: int = 0

    @classmethod
    def on(cls, running: Running, step: str, progress: Progress) -> "Drill":
        """Raises CommandError if the secret is not as a drill has to find it."""
        aws = aws_of(running)
        stack = Stack.find(aws, STACK_NAME)
        secret = Described.read(aws, running.secret)
        application = Application(aws.secrets, secret.arn, running.ca_pem)
        application.remember(_OLD, "AWSCURRENT")
        _require_ready(secret, application)
        mails = Path(running.mail_folder)
        following = Following(stack, progress, threading.Event(), _PATIENCE)
        return cls(stack, following, application, mails, step, data={"step": step}, _told=len(mails_in(mails)))

    def fail(self) -> None:
        """Rotate while the step's function is throttled, and look."""
        aws, before = self.stack.aws, self._current()
        with throttled(aws.functions, function_of(aws.stacks, STACK_NAME, self.step)):
            run = self._rotate()
        made = self.application.remember(_NEW, "AWSPENDING")
        self._hold("the rotation failed, and nothing was left half done", self._ended(run) in (UNTOUCHED, ROLLED_BACK))
        self._hold("AWSCURRENT is the version that it was", self._current() == before)
        self._hold(f"{_OLD} logs in", self.application.logs_in(_OLD))
        if made:
            self._hold(f"{_NEW} is refused", not self.application.logs_in(_NEW))
        self._hold("one message told so", len(self._mails("failed")) == 1)

    def retry(self) -> None:
        """The function has its concurrency again: rotate with the same value, and look."""
        before = self._current()
        run = self._rotate()
        self.application.remember(_NEW, "AWSCURRENT")
        self._hold("the retry rotated", self._ended(run) == ROTATED)
        self._hold("AWSCURRENT is another version", self._current() != before)
        self._hold(f"{_NEW} logs in", self.application.logs_in(_NEW))
        self._hold(f"{_OLD} is refused", not self.application.logs_in(_OLD))
        self._hold("one message told that it recovered", len(self._mails("recovered")) == 1)

    def _rotate(self) -> Run | None:
        return self.following.follow(self.following.begin(self.application.arn))

    def _hold(self, promise: str, held: bool) -> None:
        self.promises.append(Promise(promise, held))

    def _current(self) -> str:
        return Described.read(self.stack.aws, self.application.arn).current

    def _ended(self, run: Run | None) -> str:
        outcome = run.outcome if run else "not started"
        error = f" ({run.failure[1]} in {run.failure[0]})" if run and run.failure[1] else ""
        self.shown.append(f"{outcome}{error}")
        self.shown += [f"version {version}: {', '.join(labels)}" for version, labels in self.application.labels.items()]
        self.data.setdefault("outcomes", []).append(outcome)
        return outcome

    def _mails(self, key: str) -> list[str]:
        """Subjects of what was sent since the last look."""
        mails = mails_in(self.mail_folder)[self._told :]
        self._told += len(mails)
        lines = [line for mail in mails for line in lines_of(mail)]
        self.shown += lines
        self._hold("no password stands in what was sent", not self.application.quoted_in("\n".join(lines)))
        self.data.setdefault("messages", {})[key] = subjects = [str(mail["Subject"]) for mail in mails]
        return subjects


def drill(step: str, progress: Progress, say: Callable[[str], None]) -> Result:
    """Let the step fail, look, mend it, let the retry succeed, look. Raises CommandError if there is nothing to try."""
    running = really_up()
    made = Drill.on(running, step, progress)
    with sigterm_unwinds():
        try:
            say(f"{step}Function gets no concurrency: Lambda refuses every call of it")
            made.shown.append(f"== {step} fails")
            made.fail()
            say(f"{step}Function has its concurrency again; Secrets Manager retries with the same value")
            made.shown.append("== The cause is mended")
            made.retry()
        except KeyboardInterrupt:
            return Result("local drill", made.data, tuple(made.shown), (_stopped(running, step),))
        except LogInNotTriedError as error:
            raise CommandError(
                "LogInNotTriedError", str(error), "`rotatorctl local status` shows whether PostgreSQL runs"
            ) from None
    data = made.data | {"secret": running.secret, "promises": [each.data for each in made.promises]}
    return Result("local drill", data, (*made.shown, table(made.promises)), broken(made.promises, _next(running)))


def _require_ready(secret: Described, application: Application) -> None:
    """What is seen has to come of the drill's own fault."""
    if secret.pending:
        raise CommandError(
            "NotReadyError",
            f"{secret.name} has a pending version already",
            f"`rotatorctl rotate {secret.name}` finishes it, with the variables of `rotatorctl local up`",
        )
    if not application.logs_in(_OLD):
        raise CommandError(
            "NotReadyError",
            f"AWSCURRENT of {secret.name} does not log in, so somebody has changed the password or the value by hand",
            "set the password again, or `rotatorctl local down` and `up` for a new one",
        )


def _next(running: Running) -> str:
    return (
        f"`rotatorctl history {running.secret}`, with the variables of `rotatorctl local up`, and docs/failures.md "
        "tell more of the executions; please report it"
    )


def _stopped(running: Running, step: str) -> Problem:
    return Problem(
        "StillRunningError",
        f"{step}Function has its concurrency again; an execution that runs goes on, and takes itself back if it fails",
        f"`rotatorctl rotate {running.secret}` joins or retries it, with the variables of `rotatorctl local up`",
        running.secret,
    )
