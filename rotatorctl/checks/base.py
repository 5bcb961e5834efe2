"""A finding, and the check that makes it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from rotation import engines
from rotation.errors import InvalidSecretError
from rotation.redaction import conceal
from rotation.secret import Secret
from rotatorctl.aws import AWS_ERRORS, explained
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Executions
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


@dataclass(frozen=True)
class Examined:
    """A secret and the stack; everything is only read, and each thing once."""

    stack: Stack
    secret: Described

    @cached_property
    def value(self) -> Secret:
        """Raises InvalidSecretError, which quotes nothing of the value."""
        answer = self.stack.aws.secrets.get_secret_value(SecretId=self.secret.arn)
        if "SecretString" not in answer:
            raise InvalidSecretError("the secret's value is binary; this rotator rotates text values only")
        conceal(answer["SecretString"])
        return Secret.parse(answer["SecretString"], self.secret.tags, engines.ENGINES)

    @property
    def executions(self) -> Executions:
        return Executions(self.stack)

    @property
    def is_readable(self) -> bool:
        return bool(self.secret.current) and not self.secret.deleted

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
            found.append(Finding(UNREAD, "NotRead", problem.message, "nothing is known of it", problem.next_step))
        found = found or [Finding(FINE, "Fine", self.fine)]
        return [Finding(each.level, each.code, each.what, each.why, each.command, self.name) for each in found]
