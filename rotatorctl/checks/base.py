"""A finding, and the check that makes it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Any

from rotation import engines
from rotation.errors import InvalidSecretError
from rotation.redaction import conceal
from rotation.secret import Secret
from rotatorctl.aws import AWS_ERRORS, explained
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Executions, Run
from rotatorctl.result import Json

PROBLEM, WARNING, NOTE, UNREAD, UNCHECKED, FINE = (
    "problem",
    "warning",
    "note",
    "could not be read",
    "not checked yet",
    "fine",
)
# A check that has to wait for something else.
WAITS = "NotCheckedYet"
LEVELS = (PROBLEM, UNREAD, WARNING, UNCHECKED, NOTE, FINE)
# Of which the newest that ended with a proof is looked for.
_LOOKED_AT = 5


@dataclass(frozen=True)
class Finding:
    """What is so, why it matters, and the exact command that mends it or says more; no command where none does."""

    level: str
    code: str
    what: str
    why: str = ""
    command: str = ""
    check: str = ""

    @property
    def json(self) -> Json:
        return {
            "check": self.check,
            "level": self.level,
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "command": self.command,
        }


def day(moment: datetime) -> str:
    """The day in UTC, as Secrets Manager counts: botocore gives moments in the time zone of the machine."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def drifted(stack: str, why: str) -> tuple[str, str]:
    """Why, and the command, for what somebody took away behind CloudFormation's back, which then deploys nothing:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
    """
    return (
        f"{why}; CloudFormation does not see it by itself, so `sam deploy` finds nothing to change: the command has it "
        "look, and a change set with --deployment-mode REVERT_DRIFT brings back what the template has",
        f"aws cloudformation detect-stack-drift --stack-name {stack}",
    )


@dataclass(frozen=True)
class Function:
    """One of the stack's functions by its name; without a configuration if it is gone."""

    name: str
    configuration: Mapping[str, Any]

    @property
    def role(self) -> str:
        """The ARN of its role."""
        return str(self.configuration.get("Role", ""))

    @property
    def subnets(self) -> list[str]:
        """Those of yours that it runs in, if any."""
        return list(self.configuration.get("VpcConfig", {}).get("SubnetIds", []))


@dataclass(frozen=True)
class Examined:
    """A secret and the stack; everything is only read, and each thing once.

    `text` is the value of a secret that does not exist yet.
    """

    stack: Stack
    secret: Described
    text: str = field(default="", repr=False)

    @cached_property
    def value(self) -> Secret:
        """Raises InvalidSecretError, which quotes nothing of the value."""
        text = self.text or self._read()
        conceal(text)
        return Secret.parse(text, self.secret.tags, engines.ENGINES)

    def _read(self) -> str:
        answer = self.stack.aws.secrets.get_secret_value(SecretId=self.secret.arn)
        if "SecretString" not in answer:
            raise InvalidSecretError("the secret's value is binary; this rotator rotates text values only")
        return answer["SecretString"]

    @cached_property
    def admin(self) -> Described | None:
        """The admin secret, if the value names one. Raises InvalidSecretError, and CommandError if it is not there."""
        arn = self.value.admin_arn
        return Described.read(self.stack.aws, arn) if arn else None

    @cached_property
    def functions(self) -> dict[str, Function]:
        """By their logical ids in the template."""
        resources = self.stack.aws.stacks.describe_stack_resources(StackName=self.stack.name)["StackResources"]
        return {
            each["LogicalResourceId"]: self._function(each["PhysicalResourceId"])
            for each in resources
            if each["ResourceType"] == "AWS::Lambda::Function"
        }

    def _function(self, name: str) -> Function:
        client = self.stack.aws.functions
        try:
            return Function(name, dict(client.get_function_configuration(FunctionName=name)))
        except client.exceptions.ResourceNotFoundException:
            return Function(name, {})

    @property
    def account(self) -> str:
        return self.secret.arn.split(":")[4]

    @cached_property
    def executions(self) -> Executions:
        return Executions(self.stack)

    @cached_property
    def runs(self) -> list[Run]:
        """The newest executions of the secret that Step Functions still keeps, the newest first."""
        arn = self.secret.arn
        names = islice(self.executions.of_secret(arn), _LOOKED_AT)
        return [run for name in names if (run := self.executions.find(arn, name))]

    @property
    def is_readable(self) -> bool:
        return bool(self.text) or (bool(self.secret.current) and not self.secret.deleted)

    @property
    def is_ours(self) -> bool:
        return self.secret.function_arn == self.stack.function_arn


@dataclass(frozen=True)
class Check:
    """`fine` is what may be said if `look` finds nothing; empty where it always says something."""

    name: str
    fine: str
    look: Callable[[Examined], Iterable[Finding]]

    def findings(self, examined: Examined) -> list[Finding]:
        """Never "fine" where something could not be read."""
        found = list[Finding]()
        try:
            found.extend(self.look(examined))
        except AWS_ERRORS as error:
            problem = explained(error)
            found.append(Finding(UNREAD, "NotRead", problem.message, f"nothing is known of it: {problem.next_step}"))
        found = found or [Finding(FINE, "Fine", self.fine)]
        return [Finding(each.level, each.code, each.what, each.why, each.command, self.name) for each in found]
