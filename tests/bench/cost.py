"""What a rotation costs on AWS, in US dollars, from counts and prices."""

from collections.abc import Mapping
from dataclasses import dataclass

from rotation import waiting
from rotation.model import STEPS
from tests.bench import calls
from tests.bench.retries import GOT_READY
from tests.templates import TEMPLATE
from tests.workflow.machine import STATES


@dataclass(frozen=True)
class Prices:
    """US dollars for one of each, without the free tiers. The default is Lambda's on arm64."""

    transition: float
    secrets_manager_call: float
    invocation: float
    gigabyte_second: float
    trace: float = 0.0
    publication: float = 0.0
    mail: float = 0.0
    key_request: float = 0.0


# us-east-1; docs/calls.md names the page of each, and what was read there and when.
US_EAST_1 = Prices(
    transition=0.025 / 1_000,
    secrets_manager_call=0.05 / 10_000,
    invocation=0.20 / 1_000_000,
    gigabyte_second=0.0000133334,
    trace=5.00 / 1_000_000,
    publication=0.50 / 1_000_000,
    mail=2.00 / 100_000,
    key_request=0.03 / 10_000,
)


@dataclass(frozen=True)
class Usage:
    """What one rotation uses: the seconds of `rotate`, of the function of each step, and of each that gets ready."""

    strategy: str
    rotate: float
    steps: Mapping[str, float]
    getting_ready: Mapping[str, float]

    @classmethod
    def assumed(cls, strategy: str) -> "Usage":
        return cls(strategy, 4.0, dict.fromkeys(STEPS, 0.5), dict.fromkeys(GOT_READY, 1.0))

    @property
    def transitions(self) -> int:
        return len(calls.states())

    @property
    def secrets_manager_calls(self) -> float:
        """Those that are listed, and a look at the labels after each pause of a `rotate` that waits."""
        listed = calls.listed(self.strategy).items()
        made = sum(times for (_, call), times in listed if call.startswith("secretsmanager:"))
        return made + self.rotate / waiting.LABELS_EVERY

    @property
    def key_requests(self) -> int:
        """One for each value that is read or written, of a secret with a KMS key of its own.

        https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-using-cmk
        """
        listed = calls.listed(self.strategy).items()
        return sum(times for (_, call), times in listed if call.endswith(("GetSecretValue", "PutSecretValue")))

    @property
    def invocations(self) -> int:
        return self._from_outside + len([state for state in calls.states() if state in STATES])

    @property
    def _from_outside(self) -> int:
        """Secrets Manager calls `rotate` four times, EventBridge those that follow CreateSecret once each."""
        return 4 + len(GOT_READY)

    @property
    def traces(self) -> int:
        """At most: one for each call from outside, and one for the execution.

        Lambda's rate is one request a second and 5 in 100 of the others:
        https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
        """
        return self._from_outside + 1 if TEMPLATE["Globals"]["Function"]["Tracing"] == "Active" else 0

    @property
    def gigabyte_seconds(self) -> float:
        others = [*self.steps.items(), *self.getting_ready.items()]
        return sum(gigabytes(function) * seconds for function, seconds in [("Rotate", self.rotate), *others])


def gigabytes(function: str) -> float:
    """The memory that the template gives a function."""
    properties = TEMPLATE["Resources"][f"{function}Function"]["Properties"]
    return float({**TEMPLATE["Globals"]["Function"], **properties}["MemorySize"]) / 1024


def dollars(rotations: int, usage: Usage, prices: Prices = US_EAST_1) -> dict[str, float]:
    """What so many rotations cost, by service and in all."""
    each = {
        "Step Functions": usage.transitions * prices.transition,
        "Secrets Manager": usage.secrets_manager_calls * prices.secrets_manager_call,
        "Lambda": usage.invocations * prices.invocation + usage.gigabyte_seconds * prices.gigabyte_second,
        "X-Ray": usage.traces * prices.trace,
    }
    parts = {service: rotations * price for service, price in each.items()}
    return parts | {"in all": sum(parts.values())}


def further(usage: Usage, prices: Prices = US_EAST_1) -> dict[str, float]:
    """What one rotation costs beside that, where it applies."""
    return {
        "a message to one address": prices.publication + prices.mail,
        "a secret's own key": usage.key_requests * prices.key_request,
    }
