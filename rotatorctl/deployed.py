"""The deployed stack, found by its outputs, and one secret as Secrets Manager describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rotation.model import AWSCURRENT, AWSPENDING
from rotatorctl.aws import Aws
from rotatorctl.result import CommandError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

_DEPLOY = "deploy it as the README says, or name another one with --stack, and its Region with --region"


@dataclass(frozen=True)
class Stack:
    """What the tool needs to know of a deployed stack."""

    aws: Aws = field(repr=False)
    name: str
    function_arn: str
    machine_arn: str
    alert_topic_arn: str
    notice_topic_arn: str
    # Empty if no console shows what is asked here.
    console_url: str

    @classmethod
    def find(cls, aws: Aws, name: str) -> "Stack":
        """The stack of that name. Raises CommandError if there is none, or if it is not one of this project."""
        try:
            description = aws.stacks.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CommandError("StackNotFoundError", f"there is no stack {name!r} in {aws.region}", _DEPLOY) from None
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        try:
            return cls(
                aws=aws,
                name=name,
                function_arn=outputs["RotationFunctionArn"],
                machine_arn=outputs["StateMachineArn"],
                alert_topic_arn=outputs["AlertTopicArn"],
                notice_topic_arn=outputs["NoticeTopicArn"],
                console_url=outputs["StateMachineConsoleUrl"].partition("#")[0] if aws.has_console else "",
            )
        except KeyError as missing:
            message = f"the stack {name!r} has no output {missing}, so it is not, or not yet, one that rotates secrets"
            raise CommandError("StackNotFoundError", message, _DEPLOY) from None

    def execution_arn(self, name: str) -> str:
        return self.machine_arn.replace(":stateMachine:", ":execution:") + ":" + name

    def execution_url(self, arn: str) -> str:
        """Where the console shows the execution; empty if none does."""
        return f"{self.console_url}#/v2/executions/details/{arn}" if self.console_url else ""

    def execution_shown(self, arn: str) -> str:
        """The same for people: if no console does, the command that shows it."""
        return self.execution_url(arn) or f"`aws stepfunctions describe-execution --execution-arn {arn}`"


@dataclass(frozen=True)
class Described:
    """A secret without its value: an answer of DescribeSecret, or an entry of ListSecrets."""

    answer: Mapping[str, Any]

    @classmethod
    def read(cls, aws: Aws, secret_id: str) -> "Described":
        """Raises CommandError if there is no such secret."""
        if found := cls.find(aws, secret_id):
            return found
        raise CommandError(
            "SecretNotFoundError",
            f"there is no secret {secret_id!r} in {aws.region}",
            "check the name, --region and --profile; `rotatorctl status` lists the secrets of the stack",
        )

    @classmethod
    def find(cls, aws: Aws, secret_id: str) -> "Described | None":
        try:
            return cls(dict(aws.secrets.describe_secret(SecretId=secret_id)))
        except aws.secrets.exceptions.ResourceNotFoundException:
            return None

    @property
    def arn(self) -> str:
        return str(self.answer["ARN"])

    @property
    def name(self) -> str:
        return str(self.answer["Name"])

    @property
    def stages(self) -> Mapping[str, list[str]]:
        stages: Mapping[str, list[str]] = (
            self.answer.get("VersionIdsToStages") or self.answer.get("SecretVersionsToStages") or {}
        )
        return stages

    @property
    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.answer.get("Tags", [])}

    @property
    def key(self) -> str:
        """Its KMS key by ARN, id or alias; empty where that is Secrets Manager's own."""
        key = str(self.answer.get("KmsKeyId", ""))
        return "" if key.endswith("alias/aws/secretsmanager") else key

    @property
    def function_arn(self) -> str:
        return str(self.answer.get("RotationLambdaARN", ""))

    @property
    def rotation_enabled(self) -> bool:
        return bool(self.answer.get("RotationEnabled"))

    @property
    def deleted(self) -> bool:
        return "DeletedDate" in self.answer

    @property
    def current(self) -> str:
        return next((version for version, stages in self.stages.items() if AWSCURRENT in stages), "")

    @property
    def pending(self) -> str:
        """The version that a rotation is to make current, or one that did not end has left behind."""
        return next((v for v, stages in self.stages.items() if AWSPENDING in stages and AWSCURRENT not in stages), "")

    @property
    def as_listed(self) -> Mapping[str, Any]:
        """With the key for the versions that ListSecrets has."""
        return {**self.answer, "SecretVersionsToStages": self.stages}


def tag_list(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    """Tags as Secrets Manager's operations take and show them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def secrets_of(stack: Stack) -> list[Described]:
    """All secrets that name the stack's function, those that are scheduled for deletion too.

    ListSecrets may show what was five minutes ago, and cannot be asked for a function:
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    """
    pages = stack.aws.secrets.get_paginator("list_secrets").paginate(IncludePlannedDeletion=True)
    listed = [Described(dict(entry)) for page in pages for entry in page["SecretList"]]
    return [secret for secret in listed if secret.function_arn == stack.function_arn]
