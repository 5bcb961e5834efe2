"""The offline stack: this project's own template, deployed by the SAM CLI to an emulator on the loopback interface.

The emulator stands in for Lambda, Step Functions, SNS, EventBridge and CloudFormation. Secrets Manager is the model
of rotatorctl.local.secrets_manager, which calls the deployed rotation function as AWS does. Both confine what is
deployed to what the policies of its roles allow.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from rotatorctl.local.deployed_roles import deployed_roles
from rotatorctl.local.emulator import ACCOUNT, REGION, ROOT, emulator
from rotatorctl.local.mails import mails_in
from rotatorctl.local.secrets_manager import FunctionError, SecretsManager
from rotatorctl.local.secrets_manager_server import serve
from rotatorctl.local.signals import sigterm_unwinds

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

STACK_NAME = "secret-rotation"
TEMPLATE = ROOT / "template.yaml"
_BUILT = ROOT / ".aws-sam" / "build"
_BUCKET = "artifacts"
_ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}
# A call of the rotation function is answered when the rotation has ended: Lambda's limit of 900 s and a little more.
_CLIENT = Config(read_timeout=930, retries={"total_max_attempts": 1}, proxies={})

# A resource of a type that the emulator does not know.
_UNKNOWN = re.compile(r"(?m)^  \w+:\n    Type: AWS::Logs::QueryDefinition\n(?:    .*\n|\n)+")

# The emulator's own Python runtime reports every exception as Runtime.HandlerError, so that no error name of ours would
# reach the Retry and Catch of the state machine. A custom runtime is served by a real Runtime API, on which AWS's own
# client tells errors by their names. The code's folder comes first, as in Lambda; boto3 is this environment's, as in
# Lambda it is the runtime's. The application id tells Secrets Manager's model which function calls it. Nobody shares
# the emulator's quotas, so `rotate` looks every two seconds whether an execution has ended: here somebody watches.
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH="$LAMBDA_TASK_ROOT" AWS_SDK_UA_APP_ID="$AWS_LAMBDA_FUNCTION_NAME"
exec '{python}' -c '
from sys import argv
from awslambdaric.__main__ import main
from rotation import waiting
waiting.EXECUTION_FIRST = waiting.EXECUTION_AGAIN = waiting.LOG_IN_AGAIN = (2, 2)
main(argv)
' "$_HANDLER"
"""


class DeploymentError(Exception):
    """The SAM CLI refused to build or deploy; the message ends with what it wrote."""


@dataclass
class OfflineStack:
    """A deployed stack. `outputs` are those of the template, `environment` is for the AWS CLI and other SDKs."""

    outputs: Mapping[str, str]
    environment: Mapping[str, str]
    model: SecretsManager
    work_dir: Path
    # The emulator's process, which ends with this one.
    emulator_pid: int
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    @contextmanager
    def started(
        cls,
        work_dir: Path | None = None,
        *,
        wait_scale: float = 1.0,
        parameters: Mapping[str, str] | None = None,
        model: SecretsManager | None = None,
        template: Path = TEMPLATE,
    ) -> Iterator[Self]:
        """Build, deploy, and take everything down when the block ends, by an exception, Ctrl-C or SIGTERM too.

        `parameters` are the template's (Architecture is this machine's). `wait_scale` multiplies the seconds of Wait
        states and of delays before a retry. `model` is Secrets Manager's, else a new one; its `invoke` is set. Logs are
        in `work_dir`, which is the caller's to remove; without it, a temporary folder is removed at the end.
        Raises ServerStartError or DeploymentError.
        """
        model = model or SecretsManager(region=REGION, account=ACCOUNT)
        with ExitStack() as resources:
            resources.enter_context(sigterm_unwinds())
            folder = work_dir or Path(resources.enter_context(_temporary_folder()))
            environment = _environment(folder)
            environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = resources.enter_context(serve(model))
            process, url = resources.enter_context(emulator(folder, environment, wait_scale))
            environment["AWS_ENDPOINT_URL"] = url
            outputs = deploy(environment, folder, parameters or {}, template=template)
            stack = cls(outputs, environment, model, folder, process)
            stack._confine()
            model.invoke = stack._invoke
            yield stack

    @overload
    def client(self, service: Literal["cloudformation"]) -> "CloudFormationClient": ...
    @overload
    def client(self, service: Literal["events"]) -> "EventBridgeClient": ...
    @overload
    def client(self, service: Literal["iam"]) -> "IAMClient": ...
    @overload
    def client(self, service: Literal["lambda"]) -> "LambdaClient": ...
    @overload
    def client(self, service: Literal["logs"]) -> "CloudWatchLogsClient": ...
    @overload
    def client(self, service: Literal["rds"]) -> "RDSClient": ...
    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
    @overload
    def client(self, service: Literal["sns"]) -> "SNSClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    @overload
    def client(self, service: Literal["stepfunctions"]) -> "SFNClient": ...
    @overload
    def client(self, service: Literal["ec2", "kms", "scheduler"]) -> Any: ...
    def client(self, service: Any) -> Any:
        """The one boto3 client of this service, bound to the emulator, or for `secretsmanager` to the model."""
        if service not in self._clients:
            self._clients[service] = _client(service, self.environment)
        return self._clients[service]

    @property
    def secrets(self) -> "SecretsManagerClient":
        """A client of the model of Secrets Manager."""
        return self.client("secretsmanager")

    @property
    def mails(self) -> list[EmailMessage]:
        """What the email subscribers of all topics have received so far, oldest first."""
        return mails_in(self.mail_folder)

    @property
    def mail_folder(self) -> Path:
        return self.work_dir / "mail"

    def subscribe_queue(self, topic_arn: str) -> str:
        """Subscribe a new queue to the topic, by raw delivery; returns the queue's URL."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=f"alerts-{len(sqs.list_queues().get('QueueUrls', [])) + 1}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        self.client("sns").subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
        )
        return url

    def take_messages(self, queue_url: str) -> list[dict[str, Any]]:
        """Take all messages out of a queue, oldest first: each as boto3 gives it, with its message attributes."""
        sqs, taken = self.client("sqs"), list[dict[str, Any]]()
        while found := sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in found:
                taken.append(dict(message))
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return taken

    def _confine(self) -> None:
        """Let the model know what the role of each deployed function allows."""
        self.model.roles = deployed_roles(self.client("lambda"), self.client("iam"))

    def _invoke(self, function_arn: str, event: dict[str, str]) -> None:
        if function_arn.rpartition(":")[2] not in self.model.roles:  # of a stack that was deployed since
            self._confine()
        try:
            answer = self.client("lambda").invoke(FunctionName=function_arn, Payload=json.dumps(event))
        except ClientError as error:
            raise FunctionError(str(error)) from error
        content = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise FunctionError(f"{content.get('errorType')}: {content.get('errorMessage')}")


def deploy(
    environment: Mapping[str, str],
    folder: Path,
    parameters: Mapping[str, str],
    *,
    name: str = STACK_NAME,
    template: Path = TEMPLATE,
) -> Mapping[str, str]:
    """Build, and deploy to the emulator that `environment` names: a new stack, or the next state of the one so named.

    Parameters that are left out keep what the stack has. The result of the build and the logs lie in `folder`. Returns
    the outputs. Raises DeploymentError.
    """
    overrides = {**parameters, "Architecture": _ARCHITECTURES[platform.machine()]}
    built = _build(template, folder, overrides)
    _client("s3", environment).create_bucket(Bucket=_BUCKET)
    _sam(
        ["deploy", "--template-file", str(built), "--stack-name", name, "--s3-bucket", _BUCKET],
        ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"],
        _overrides(overrides),
        environment=environment,
        log=folder / "deploy.log",
    )
    description = _client("cloudformation", environment).describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def delete(environment: Mapping[str, str], *, name: str = STACK_NAME) -> None:
    """Delete a stack of the emulator. `sam delete` cannot: it looks for nested templates under URLs of AWS alone."""
    client = _client("cloudformation", environment)
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def _client(service: Any, environment: Mapping[str, str]) -> Any:
    variable = "AWS_ENDPOINT_URL_SECRETS_MANAGER" if service == "secretsmanager" else "AWS_ENDPOINT_URL"
    return boto3.client(
        service,
        endpoint_url=environment[variable],
        region_name=REGION,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=_CLIENT,
    )


def _build(template: Path, folder: Path, overrides: Mapping[str, str]) -> Path:
    """`sam build`, and a copy of its result made to run in the emulator; returns the copied template."""
    built = folder / "build"
    shutil.rmtree(built, ignore_errors=True)
    with alone():
        _sam(
            ["build", "--template-file", str(template), "--cached"],
            _overrides(overrides),
            # pip's settings are the user's own.
            environment=_without_aws_settings(os.environ),
            log=folder / "build.log",
        )
        shutil.copytree(_BUILT, built)
    for code in built.rglob("*Function"):
        bootstrap = code / "bootstrap"
        bootstrap.write_text(_BOOTSTRAP.format(python=sys.executable))
        bootstrap.chmod(0o755)
    for copied in built.rglob("template.yaml"):
        text = re.sub(r"(?m)\bRuntime: python3\.\d+$", "Runtime: provided.al2023", copied.read_text())
        copied.write_text(_with_places(_UNKNOWN.sub("", text), _BUILT / copied.parent.relative_to(built)))
    return built / "template.yaml"


def _with_places(template: str, folder: Path) -> str:
    """The template of that folder, as it can be read elsewhere: paths of what is not built are absolute."""

    def place(match: re.Match[str]) -> str:
        path = (folder / match[1]).resolve()
        return match[0] if path.is_relative_to(_BUILT) else f": {path}"

    return re.sub(r"(?m): (\.\./\S+)$", place, template)


@contextmanager
def alone() -> Iterator[None]:
    """Other offline stacks of this machine wait here: builds share one cache, and one folder for their result."""
    lock = ROOT / ".aws-sam" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _overrides(parameters: Mapping[str, str]) -> list[str]:
    quoted = (name + '="' + value.replace('"', '\\"') + '"' for name, value in parameters.items())
    return ["--parameter-overrides", *quoted]


def _sam(*arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    programs = Path(sys.executable).parent
    with log.open("wb") as output:
        finished = subprocess.run(
            [programs / "sam", *(argument for part in arguments for argument in part)],
            cwd=ROOT,
            # `sam build` wants this version's Python on PATH.
            env={
                **environment,
                "SAM_CLI_TELEMETRY": "0",
                "SAM_CLI_POLL_DELAY": "0.2",
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        raise DeploymentError(log.read_text(errors="replace"))


def _environment(folder: Path) -> dict[str, str]:
    """Settings that name the emulator and nothing of the user's: no profile, no credentials, no proxy."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "offline",
        "AWS_DEFAULT_REGION": REGION,
    }


def _without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    return {**kept, "AWS_DEFAULT_REGION": REGION}


@contextmanager
def _temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="offline-stack-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
