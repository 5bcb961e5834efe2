"""`make smoke-aws`: deploys this stack to a real AWS account, and looks at what nothing offline can show.

Read it before you run it. `main` says what will be done in which account, and does nothing unless it is given that
account's number. `Smoke.run` is the order of things; tests/smoke/stack.py makes them and removes them again, also on
Ctrl-C and SIGTERM. It reads no secret's value, and of an execution's input, which has the RotationToken, two ids alone.
"""

import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from tests.smoke.before import PLAN, obstacle, warning
from tests.smoke.stack import ROOT, Execution, Stack, StoppedError

say = partial(print, flush=True)
LATER_STEPS = {"setSecret", "testSecret", "finishSecret"}
ASSUMPTIONS = {
    "accepted": "a pending version that another function wrote with the RotationToken is accepted",
    "later steps": "setSecret, testSecret and finishSecret are sent after the promotion",
    "cleaned up": "AWSPENDING is taken off the version that became AWSCURRENT",
    "alert": "the alert of a failed rotation reaches a subscriber of the topic",
    "same token": "Secrets Manager's own retry has the same ClientRequestToken",
    "update": "a rotation that begins while the stack is updated succeeds",
    "confined": "AllowRotationLambdaArn keeps the functions out of a secret that chose no rotation function",
    "succeeded": "Secrets Manager itself calls the rotations succeeded",
}
# The others may be either way: the code and its tests provide for both.
NEEDED = {"accepted", "alert", "update", "confined", "succeeded"}


@dataclass
class Smoke:
    """One run. Seconds for Secrets Manager's own retry, of which AWS does not say when it comes, and for CloudTrail."""

    stack: Stack
    retry_patience: float = 1800.0
    trail_patience: float = 900.0
    found: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    secret: str = ""

    def run(self) -> bool:
        """Whether what has to hold was seen to hold, and nothing is left behind."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.stack.deploy(Path(folder))
                self.secret, self.queue = self.stack.secret("rotated"), self.stack.queue()
                self.rotate_twice()
                self.fail_once()
                self.rotate_while_updating()
                self.try_another_secret()
                self.ask_cloudtrail()
        except (StoppedError, KeyboardInterrupt) as why:
            say(f"stopped: {str(why) or 'by Ctrl-C'}")
        finally:
            for key in [key for key in ASSUMPTIONS if key not in self.found]:
                self.note(key, None, "it did not come to that")
            left = self.stack.clean_up()
        return not left and all(self.found[key] == "holds" for key in NEEDED)

    def note(self, key: str, holds: bool | None, seen: str) -> None:
        self.found[key] = {True: "holds", False: "does not hold", None: "not seen"}[holds]
        say(f"{self.found[key]}: {ASSUMPTIONS[key]} ({seen})")

    def rotate_twice(self) -> None:
        version = self.rotate()
        _, status, error = self.stack.executions(self.secret)[-1]
        if status != "SUCCEEDED":
            self.note("accepted", False, f"{status} {error}")
            raise StoppedError("the first rotation failed; docs/decisions/0001 has the fallback")
        self.stack.until(lambda: self.stack.answered(version) >= LATER_STEPS)
        steps = self.stack.answered(version)
        cleaned = self.stack.until(lambda: "AWSPENDING" not in self.labels(version))
        seen = f"answered: {', '.join(sorted(steps))}; labels: {', '.join(self.labels(version))}"
        # It may have refused the version after the promotion: then it does neither of the two.
        self.note("accepted", True if cleaned or steps >= LATER_STEPS else None, seen)
        self.note("later steps", steps >= LATER_STEPS if steps else None, seen)
        self.note("cleaned up", cleaned, seen)
        self.settle(self.rotate())

    def fail_once(self) -> None:
        function, before = self.stack.function("FinishSecretFunction"), len(self.stack.executions(self.secret))
        self.stack.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            self.rotate()
        finally:
            self.stack.client("lambda").delete_function_concurrency(FunctionName=function)
        alerted = self.stack.until(lambda: "untouched" in self.hear())
        self.note("alert", alerted, f"heard: {', '.join(self.heard) or 'nothing'}")
        self.await_retry(before)

    def await_retry(self, before: int) -> None:
        """`before`: how many executions there were before the rotation that failed."""

        def attempts() -> list[Execution]:
            return self.stack.executions(self.secret)[before:]

        by_itself = self.stack.until(lambda: len(attempts()) > 1, self.retry_patience)
        if not by_itself:
            with suppress(ClientError):  # it answers that the previous rotation is not complete, and reattempts that
                self.stack.client("secretsmanager").rotate_secret(SecretId=self.secret)
        if not self.stack.until(lambda: attempts()[-1][1] == "SUCCEEDED"):
            raise StoppedError("the rotation did not succeed after its cause was mended")
        self.settle(attempts()[-1][0])
        same = len({version for version, _, _ in attempts()}) == 1
        how = "by itself" if by_itself else "when RotateSecret was called again"
        self.note("same token", same if by_itself else None, f"retried {how}, same token: {same}")

    def rotate_while_updating(self) -> None:
        arguments = self.stack.deployment("LogLevel=WARN")  # a variable of all functions
        with self.stack.begun(*arguments) as update:
            self.stack.until(lambda: self.stack.status() == "UPDATE_IN_PROGRESS" or update.poll() is not None)
            began = self.stack.status()
            self.rotate()
            update.communicate()
        ended, status = self.stack.executions(self.secret)[-1][1], self.stack.status()
        both = (ended, status) == ("SUCCEEDED", "UPDATE_COMPLETE")
        seen = f"it began in {began} and {ended}, the update ended in {status}"
        self.note("update", both if began == "UPDATE_IN_PROGRESS" else None, seen)

    def try_another_secret(self) -> None:
        """Mode Test reads labels and AWSCURRENT's value, or is refused; it changes and mails nothing."""
        body = json.loads((ROOT / "events/executions/test.json").read_text()) | {"SecretId": self.stack.secret("other")}
        machine = self.stack.outputs["StateMachineArn"]
        self.stack.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(body))

        def ended() -> list[Execution]:
            return [each for each in self.stack.executions(body["SecretId"]) if each[1] != "RUNNING"]

        for _, status, error in self.stack.until(ended):
            self.note("confined", error == "AccessDeniedError", f"the execution ended as {status} {error}".strip())

    def ask_cloudtrail(self) -> None:
        """Its event history needs no trail, and is some minutes late."""
        self.stack.until(lambda: self.events("RotationSucceeded"), self.trail_patience)
        succeeded, failed = self.events("RotationSucceeded"), self.events("RotationFailed")
        seen = f"{succeeded} times RotationSucceeded, {failed} times RotationFailed"
        self.note("succeeded", succeeded > 0 if succeeded or failed else None, seen)

    def rotate(self) -> str:
        """Rotate the secret, and wait for the end of the execution; returns the version."""
        version: str = self.stack.client("secretsmanager").rotate_secret(
            SecretId=self.secret,
            RotationLambdaARN=self.stack.outputs["RotationFunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
        )["VersionId"]

        def ended() -> list[Execution]:
            own = [each for each in self.stack.executions(self.secret) if each[0] == version]
            return own if "RUNNING" not in {status for _, status, _ in own} else []

        if not self.stack.until(ended):
            raise StoppedError("a rotation came to no execution that ended in time")
        return version

    def settle(self, version: str) -> None:
        """Later steps may still be under way, and RotateSecret refuses another rotation meanwhile."""
        self.stack.until(lambda: "finishSecret" in self.stack.answered(version), self.stack.patience / 3)

    def labels(self, version: str) -> list[str]:
        described = self.stack.client("secretsmanager").describe_secret(SecretId=self.secret)
        return list(described["VersionIdsToStages"].get(version, []))

    def hear(self) -> list[str]:
        """The outcomes that the queue heard of so far."""
        sqs = self.stack.client("sqs")
        for message in sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            self.heard.append(json.loads(message["Body"])["outcome"])
        return self.heard

    def events(self, name: str) -> int:
        wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
        pages = self.stack.client("cloudtrail").get_paginator("lookup_events").paginate(LookupAttributes=wanted)
        return sum(self.secret in event["CloudTrailEvent"] for page in pages for event in page["Events"])


def main(arguments: list[str]) -> int:
    session = boto3.Session()
    if why := obstacle(session):
        say(f"Nothing was done. {why}")
        return 2
    identity = session.client("sts").get_caller_identity()
    stack = Stack(cache(session.client), dict(os.environ))
    account = identity["Account"]
    say(PLAN.format(account=account, region=session.region_name, caller=identity["Arn"], name=stack.name))
    say(warning(session), end="")
    if arguments != [account]:
        say(f"Nothing was done. To do it: make smoke-aws SMOKE_ACCOUNT={account}")
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return 0 if Smoke(stack).run() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
