"""The offline stack: this project's own template, deployed by the SAM CLI to an emulator on the loopback interface.

The emulator stands in for Lambda, Step Functions, SNS, EventBridge and CloudFormation. Secrets Manager is the model
of rotatorctl.local.secrets_manager, which calls the deployed rotation function as AWS does. Both confine what is
deployed to what the policies of its roles allow.
"""

import json
import os
import shutil
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

from rotatorctl.local.build import TEMPLATE, THIS_MACHINE, built, overridden, sam
from rotatorctl.local.deployed_roles import deployed_roles
from rotatorctl.local.emulator import ACCOUNT, REGION, emulator
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
_BUCKET = "artifacts"
# A call of the rotation function is answered when the rotation has ended: Lambda's limit of 900 s and a little more.
_CLIENT = Config(read_timeout=930, retries={"total_max_attempts": 1}, proxies={})


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
    built_template = built(template, folder)
    _client("s3", environment).create_bucket(Bucket=_BUCKET)
    sam(
        ["deploy", "--template-file", str(built_template), "--stack-name", name, "--s3-bucket", _BUCKET],
        ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", "--use-json"],
        overridden({**parameters, **THIS_MACHINE}),
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


@contextmanager
def _temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="offline-stack-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
