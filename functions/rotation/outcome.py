"""What a failed attempt is, and what was found to be true after it."""

import json
from dataclasses import dataclass

from rotation.model import AWSCURRENT

ROTATED, UNTOUCHED, ROLLED_BACK, NEEDS_A_PERSON = "rotated", "untouched", "rolled back", "needs a person"

# Which credential logs in, where it is not a staging label.
NONE, UNKNOWN = "none", "unknown"

# Each attempt that changes the service and takes it back reopens the moment in which applications are refused.
MOST_ROLLED_BACK_ATTEMPTS = 3

# The states in which a failed attempt has staged no value yet, as far as is known.
BEFORE_SET_SECRET = ("Begin", "SelectMode", "CreateSecret")

_LONGEST_REASON = 1_000


@dataclass(frozen=True)
class Failure:
    """Which step failed, with which error and why; the reason is already free of secret values."""

    step: str = "none"
    error: str = "none"
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", self.reason[:_LONGEST_REASON])

    def __str__(self) -> str:
        return f"{self.error} in {self.step}: {self.reason}"


@dataclass(frozen=True)
class Finding:
    """What is true after an attempt: the outcome, whose credential logs in, and why if that is not AWSCURRENT's."""

    outcome: str
    working: str = AWSCURRENT
    why: str = ""
    account: str = ""
    pending_removed: bool = False
    held: bool = False
    # Somebody else took AWSPENDING off the version, or turned rotation off.
    abandoned: bool = False
    current_version: str = ""
    working_version: str = ""

    def __post_init__(self) -> None:
        # A name in them may be as long as the secret, and the whole message is to be one that SNS takes.
        object.__setattr__(self, "why", self.why[:_LONGEST_REASON])
        object.__setattr__(self, "account", self.account[:_LONGEST_REASON])

    @property
    def key(self) -> str:
        """What has to change before people are told again."""
        further = {"given up": self.pending_removed, "held": self.held, "abandoned": self.abandoned}
        return "/".join([self.outcome, self.working, *(word for word, true in further.items() if true)])


def error_message(cause: str) -> str:
    """The words in an error's Cause: of a Lambda's error that is JSON, else they are the Cause itself."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
