"""What `make smoke-aws` makes in an account, sees there, and removes again; tests/smoke/aws.py says in what order.

Whatever is made is noted in `made` first, so that it is removed even if making it was interrupted.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

ROOT = Path(__file__).parents[2]
SAM = Path(sys.executable).with_name("sam")

# The version that it is about, its status and its error.
type Execution = tuple[str, str, str]


class StoppedError(Exception):
    """What was found makes the rest pointless."""


@dataclass
class Stack:
    """`template` is a built one, else it is built here. `poll` and `patience` are in seconds."""

    client: Callable[[str], Any]
    environment: Mapping[str, str]
    template: Path | None = None
    poll: float = 5.0
    patience: float = 180.0
    name: str = field(default_factory=lambda: f"rotation-smoke-{secrets.token_hex(4)}")
    made: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    # Made

    def deploy(self, folder: Path) -> None:
        """The stack, from a bucket of its own; built in the folder."""
        self.bucket()
        if self.template is None:
            self.template = folder / "build" / "template.yaml"
            self.sam("build", "--template-file", str(ROOT / "template.yaml"), "--build-dir", str(folder / "build"))
        self.made.append((f"stack {self.name}", self.remove_stack))
        self.sam(*self.deployment())
        outputs = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]["Outputs"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def bucket(self) -> None:
        """The bucket, which is named after the stack: a name that was drawn for this run."""
        s3 = self.client("s3")
        region = s3.meta.region_name
        elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.made.append((f"bucket {self.name}", self.remove_bucket))
        try:
            s3.create_bucket(Bucket=self.name, **elsewhere)
        except s3.exceptions.BucketAlreadyOwnedByYou:
            pass  # the answer to the call was lost, and the client made it again
        except s3.exceptions.BucketAlreadyExists:
            self.made.pop()
            raise StoppedError(f"the bucket {self.name} is somebody else's; run it again") from None

    def deployment(self, *parameters: str) -> list[str]:
        overrides = ["--parameter-overrides", *parameters] if parameters else []
        # The folder of a built template holds no samconfig.toml, which would choose another bucket.
        return [
            *("deploy", "--template-file", str(self.template), "--stack-name", self.name, "--s3-bucket", self.name),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset"),
            *("--no-progressbar", *overrides),
        ]

    def sam(self, *arguments: str) -> None:
        print(f"sam {arguments[0]}, which takes minutes", flush=True)
        with self.begun(*arguments) as process:
            text = process.communicate()[0]
        if process.returncode:
            raise StoppedError(f"sam {arguments[0]} failed:\n{text}")

    def begun(self, *arguments: str) -> "subprocess.Popen[str]":
        """The SAM CLI, running."""
        # `sam build` looks for this Python by its name.
        path = f"{SAM.parent}:{self.environment['PATH']}"
        settings = {**self.environment, "SAM_CLI_TELEMETRY": "0", "PATH": path}
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        cwd = self.template.parent if self.template and self.template.exists() else ROOT
        return subprocess.Popen([SAM, *arguments], cwd=cwd, env=settings, text=True, **pipes)

    def secret(self, kind: str) -> str:
        """A secret of engine generic, whose value nobody knows; returns its ARN."""
        name, service = f"{self.name}/{kind}", self.client("secretsmanager")
        remove = partial(service.delete_secret, SecretId=name, ForceDeleteWithoutRecovery=True)
        self.made.append((f"secret {name}", remove))
        tags = [{"Key": "rotation:engine", "Value": "generic"}]
        return str(service.create_secret(Name=name, SecretString=secrets.token_urlsafe(24), Tags=tags)["ARN"])

    def queue(self) -> str:
        """A queue that hears the alert topic; returns its URL."""
        sqs, topic = self.client("sqs"), self.outputs["AlertTopicArn"]
        self.made.append((f"queue {self.name}", self.remove_queue))
        url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        statement |= {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        raw = {"RawMessageDelivery": "true"}
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
        return str(url)

    # Seen

    def until[Answer](self, true: Callable[[], Answer], patience: float | None = None) -> Answer:
        """What `true` answers at last, or when patience is over."""
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        while not (answer := true()) and time.monotonic() < deadline:
            time.sleep(self.poll)
        return answer

    def status(self) -> str:
        """The stack's status; empty if there is none."""
        try:
            found = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            return ""
        return str(found[0]["StackStatus"])

    def function(self, logical_id: str) -> str:
        found = self.client("cloudformation").describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def executions(self, secret: str) -> list[Execution]:
        """The secret's executions, oldest first. Of their input, which has the RotationToken, no more is kept."""
        states, machine = self.client("stepfunctions"), self.outputs["StateMachineArn"]
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        found = []
        for each in sorted(listed, key=lambda execution: execution["startDate"]):
            execution = states.describe_execution(executionArn=each["executionArn"])
            body = json.loads(execution["input"])
            if body["SecretId"] == secret:
                found.append((body["ClientRequestToken"], execution["status"], execution.get("error", "")))
        return found

    def answered(self, version: str) -> set[str]:
        """The calls of Secrets Manager for this version that rotate's log shows as answered."""
        pages = (
            self.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=f"/aws/lambda/{self.name}/rotate", filterPattern=f'"{version}"')
        )
        steps = set()
        for event in (event for page in pages for event in page["events"]):
            with suppress(ValueError):
                line = json.loads(event["message"])
                if line.get("message") == "done" and line.get("version") == version:
                    steps.add(str(line["step"]))
        return steps

    # Removed

    def clean_up(self) -> list[str]:
        """Remove all that was made, last things first; returns what could not be removed."""
        left = []
        for what, remove in reversed(self.made):
            print(f"removing {what}", flush=True)
            try:
                remove()
            except (Exception, KeyboardInterrupt) as error:  # a second Ctrl-C gives up this one alone
                if not _is_gone(error):
                    left.append(what)
                    print(f"NOT REMOVED, remove it yourself: {what} ({type(error).__name__}: {error})", flush=True)
        return left

    def remove_stack(self) -> None:
        """A stack is not deleted while it is updated."""
        self.until(lambda: not self.status().startswith("UPDATE_") or not self.status().endswith("_IN_PROGRESS"))
        self.client("cloudformation").delete_stack(StackName=self.name)
        self.until(lambda: self.status() in ("", "DELETE_COMPLETE", "DELETE_FAILED"), 5 * self.patience)
        if self.status() not in ("", "DELETE_COMPLETE"):
            raise StoppedError(f"it is in {self.status()}")

    def remove_bucket(self) -> None:
        s3 = self.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.name):
            for stored in page.get("Contents", []):
                s3.delete_object(Bucket=self.name, Key=stored["Key"])
        s3.delete_bucket(Bucket=self.name)

    def remove_queue(self) -> None:
        sqs = self.client("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=self.name)["QueueUrl"])


def _is_gone(error: BaseException) -> bool:
    """Whether there was nothing to remove: making it had been interrupted."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return any(word in code for word in ("NotFound", "NoSuch", "NonExistent", "DoesNotExist"))
