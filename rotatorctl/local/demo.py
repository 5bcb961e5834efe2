"""`make demo`: a real password rotated by the deployed state machine, a failed rotation put right, and the mails.

PostgreSQL, the state machine and the functions are real; AWS is played on this machine (see docs/architecture.md).
"""

import os
import signal
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from subprocess import TimeoutExpired
from typing import Any

from rotatorctl.local.application import MAIL, SECRET, USER, Application
from rotatorctl.local.detached import detached, let_go_of_output
from rotatorctl.local.exports import exports, settings
from rotatorctl.local.mails import lines_of
from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.stack import STACK_NAME, OfflineStack
from rotatorctl.local.throttling import function_of, throttled

# Waits and delays before a retry pass five times as fast as on AWS, so that nobody has to wait for the story.
_WAIT_SCALE = 0.2
_POLL_SECONDS = 0.1
# A demo that closed its output and does not stay up has ended, or is taking its servers down.
_LAST_WORDS_SECONDS = 5


@dataclass
class Demo:
    """The story's world: the deployed stack, and the secret of one application."""

    stack: OfflineStack
    application: Application
    _told: int = 0
    _finished: set[str] = field(default_factory=set)

    @property
    def arn(self) -> str:
        return self.application.arn

    def rotate(self) -> None:
        """RotateSecret, as the console's Rotate button sends it."""
        say("aws secretsmanager rotate-secret", "$ ")
        self.stack.secrets.rotate_secret(
            SecretId=self.arn,
            RotationLambdaARN=self.stack.outputs["RotationFunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
        )
        self.watch()

    def retry(self) -> None:
        """What Secrets Manager does by itself after a failed rotation."""
        say("Secrets Manager retries the rotation, with the same new value")
        self.stack.model.retry(self.arn)
        self.watch()

    def watch(self) -> None:
        """Print each state as the new execution enters it, until it and Secrets Manager are done."""
        rotation = self.stack.model.rotations(self.arn)[-1]
        started, shown = time.monotonic(), 0
        while True:
            done = rotation.outcome is not None and not self._running()
            news = self._news()
            for line in news[shown:]:
                say(f"{time.monotonic() - started:6.1f} s  {line}")
            shown = len(news)
            if done:
                break
            time.sleep(_POLL_SECONDS)
        self._finished.update(execution["executionArn"] for execution in self._executions())
        say(f"{time.monotonic() - started:6.1f} s  Secrets Manager: {rotation.outcome}")

    def prove(self, expected: dict[str, bool]) -> None:
        """Log in from a process of its own with passwords that are known by what they were; compare with `expected`."""
        for name, works in expected.items():
            logged_in = self.application.logs_in(name)
            say(f"client process {'logs in with' if logged_in else 'is refused with'} {name}")
            if logged_in != works:
                raise SystemExit(f"the demo failed: {name} should {'' if works else 'not '}log in")

    def remember(self, name: str, stage: str) -> None:
        self.application.remember(name, stage)

    def show_labels(self) -> None:
        for version, labels in self.application.labels.items():
            say(f"version {version}: {', '.join(labels)}")

    def show_mail(self) -> None:
        """Print the mails that arrived since the last call, as the subscriber of the topic got them."""
        mails = self.stack.mails[self._told :]
        self._told += len(mails)
        for line in (line for mail in mails for line in lines_of(mail)):
            say(line, "")

    def throttled(self, step: str) -> AbstractContextManager[None]:
        """The step's function gets no concurrency as long as this lasts."""
        function = function_of(self.stack.client("cloudformation"), STACK_NAME, step)
        return throttled(self.stack.client("lambda"), function)

    def _executions(self) -> list[Any]:
        machine = self.stack.outputs["StateMachineArn"]
        listed = self.stack.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
        return sorted(listed, key=lambda execution: execution["startDate"])

    def _running(self) -> bool:
        return any(execution["status"] == "RUNNING" for execution in self._executions())

    def _news(self) -> list[str]:
        executions = [each for each in self._executions() if each["executionArn"] not in self._finished]
        if not executions:
            return []
        history = self.stack.client("stepfunctions").get_execution_history(
            executionArn=executions[-1]["executionArn"], maxResults=1000
        )
        return [line for event in history["events"] if (line := _line(event))]


def _line(event: Any) -> str:
    if entered := event.get("stateEnteredEventDetails"):
        return str(entered["name"])
    if failed := event.get("taskFailedEventDetails"):
        return f"    failed: {failed['error']}"
    return ""


def say(text: str, prefix: str = "  ") -> None:
    print(f"{prefix}{text}", flush=True)


def chapter(title: str) -> None:
    print(f"\n== {title}", flush=True)


def tell(demo: Demo) -> None:
    """The whole story, from the first rotation to the mail that says recovered."""
    chapter("A rotation that works")
    demo.rotate()
    demo.remember("the second password (AWSCURRENT)", "AWSCURRENT")
    demo.prove({"the second password (AWSCURRENT)": True, "the first password": False})
    demo.show_labels()

    chapter("A rotation that fails after the database has changed")
    say("function FinishSecret gets no concurrency any more, as on a day when another team uses up the account's")
    with demo.throttled("FinishSecret"):
        demo.rotate()
        demo.show_mail()
        demo.remember("the third password (AWSPENDING)", "AWSPENDING")
        demo.prove({"the second password (AWSCURRENT)": True, "the third password (AWSPENDING)": False})
        demo.show_labels()

    chapter("The cause is mended")
    demo.retry()
    demo.show_mail()
    demo.prove({"the third password (AWSPENDING)": True, "the second password (AWSCURRENT)": False})
    demo.show_labels()
    chapter("Done")


def run(keep: bool) -> None:
    """Set the world up, tell the story, take everything down; with `keep` only once a signal asks for it."""
    started = time.monotonic()
    with ExitStack() as world:
        chapter("Set-up")
        say("starting a PostgreSQL with TLS")
        database = world.enter_context(PostgreSQL.started())
        say("starting the AWS emulator, sam build, sam deploy")
        parameters = {"AlertEmail": MAIL, "PrivateCaCertificate": database.ca_pem}
        stack = world.enter_context(OfflineStack.started(wait_scale=_WAIT_SCALE, parameters=parameters))
        application = Application.created(stack.secrets, database)
        application.remember("the first password", "AWSCURRENT")
        say(f"database user {USER!r} and secret {SECRET!r}; nothing was added to any IAM policy for it")
        demo = Demo(stack, application)
        tell(demo)
        say(f"{time.monotonic() - started:.0f} s, everything included")
        if keep:
            _leave_up(demo)


def _leave_up(demo: Demo) -> None:
    chapter("The stack is up; talk to it with the AWS CLI")
    for line in exports(settings(demo.stack.environment)):
        say(line)
    say(f"aws secretsmanager describe-secret --secret-id {SECRET}")
    say(f"aws stepfunctions list-executions --state-machine-arn {demo.stack.outputs['StateMachineArn']}")
    say(f"kill {os.getpid()}    # takes it down")
    let_go_of_output()
    signal.pause()


def _run_detached() -> int:
    """Run the demo in a process that outlives this one, and pass on what it prints until it has told the story."""
    with tempfile.TemporaryFile() as complaints:
        demo = detached(["rotatorctl.local.demo", "--stay"], complaints)
        assert demo.stdout is not None
        try:
            for line in demo.stdout:
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
        except KeyboardInterrupt:
            demo.terminate()
        try:
            code = demo.wait(_LAST_WORDS_SECONDS)
        except TimeoutExpired:
            code = 0  # it has told the story and stays up
        complaints.seek(0)
        sys.stderr.buffer.write(complaints.read())
    return code


if __name__ == "__main__":
    if os.environ.get("KEEP") == "1" and "--stay" not in sys.argv:
        sys.exit(_run_detached())
    try:
        run(keep="--stay" in sys.argv)
    except KeyboardInterrupt:
        sys.exit("\nstopped; everything was taken down")
