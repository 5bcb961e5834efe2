"""What a rotation costs on AWS, in US dollars, from counts and prices."""

from dataclasses import dataclass

from tests.bench import calls
from tests.bench.retries import GOT_READY
from tests.workflow.machine import STATES


@dataclass(frozen=True)
class Prices:
    """US dollars for one of each, without the free tiers. The default is Lambda's on arm64."""

    transition: float
    secrets_manager_call: float
    invocation: float
    gigabyte_second: float
    publication: float = 0.0
    mail: float = 0.0
    key_request: float = 0.0


# us-east-1; docs/calls.md names the page of each, and what was read there and when.
US_EAST_1 = Prices(
    transition=0.025 / 1_000,
    secrets_manager_call=0.05 / 10_000,
    invocation=0.20 / 1_000_000,
    gigabyte_second=0.0000133334,
    publication=0.50 / 1_000_000,
    mail=2.00 / 100_000,
    key_request=0.03 / 10_000,
)


@dataclass(frozen=True)
class Usage:
    """What one rotation uses. In each of the `rotate_seconds` of its first call `rotate` looks at the labels."""

    strategy: str
    rotate_seconds: float
    seconds_of_the_others: float
    gigabytes: float = 0.5

    @property
    def transitions(self) -> int:
        return len(calls.states())

    @property
    def secrets_manager_calls(self) -> float:
        listed = calls.listed(self.strategy).items()
        return sum(times for (_, call), times in listed if call.startswith("secretsmanager:")) + self.rotate_seconds

    @property
    def key_requests(self) -> int:
        """One for each value that is read or written, of a secret with a KMS key of its own.

        https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-using-cmk
        """
        listed = calls.listed(self.strategy).items()
        return sum(times for (_, call), times in listed if call.endswith(("GetSecretValue", "PutSecretValue")))

    @property
    def invocations(self) -> int:
        """Secrets Manager calls `rotate` four times, EventBridge those that follow CreateSecret once more each."""
        return 4 + len([state for state in calls.states() if state in STATES]) + len(GOT_READY)

    @property
    def gigabyte_seconds(self) -> float:
        return self.gigabytes * (self.rotate_seconds + self.seconds_of_the_others)


def dollars(rotations: int, usage: Usage, prices: Prices = US_EAST_1) -> dict[str, float]:
    """What so many rotations cost, by service and in all."""
    each = {
        "Step Functions": usage.transitions * prices.transition,
        "Secrets Manager": usage.secrets_manager_calls * prices.secrets_manager_call,
        "Lambda": usage.invocations * prices.invocation + usage.gigabyte_seconds * prices.gigabyte_second,
    }
    parts = {service: rotations * price for service, price in each.items()}
    return parts | {"in all": sum(parts.values())}


def further(usage: Usage, prices: Prices = US_EAST_1) -> dict[str, float]:
    """What one rotation costs beside that, where it applies."""
    return {
        "a message to one address": prices.publication + prices.mail,
        "a secret's own key": usage.key_requests * prices.key_request,
    }
