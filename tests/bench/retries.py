"""The product's own ways, read from where they are written: its retries, the AWS client's, what it calls beforehand."""

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.retries.standard import ExponentialBackoff, RetryContext

from rotation.aws import CONFIG
from tests.templates import TEMPLATE

ROOT = Path(__file__).parents[2]
# What EventBridge calls when an execution starts.
GOT_READY = tuple(target["Id"] for target in TEMPLATE["Resources"]["KeepReadyRule"]["Properties"]["Targets"])
DEFINITION: dict[str, Any] = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())


@dataclass
class StateRetries:
    """How one entry of a state goes on after each error: each of its retriers counts for itself."""

    state: Mapping[str, Any]
    chance: random.Random
    _made: Counter[int] = field(default_factory=Counter)

    @property
    def made(self) -> int:
        """$$.State.RetryCount."""
        return self._made.total()

    def delay(self, error: str) -> float | None:
        """The seconds before the next try, or None if the state gives up.

        https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
        """
        for number, retrier in enumerate(self.state.get("Retry", [])):
            if {error, "States.ALL"} & set(retrier["ErrorEquals"]):
                if self._made[number] >= retrier["MaxAttempts"]:
                    return None
                seconds = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** self._made[number]
                seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
                self._made[number] += 1
                return self.chance.uniform(0, seconds) if retrier.get("JitterStrategy") == "FULL" else float(seconds)
        return None


class ClientRetries:
    """How an AWS client of the functions goes on after a throttled call, by botocore's own reckoning."""

    def __init__(self, chance: random.Random) -> None:
        # botocore sets its attributes in a way that no type checker sees.
        self.tries: int = CONFIG.retries["total_max_attempts"]  # type: ignore[attr-defined]  # botocore sets them so
        self._backoff = ExponentialBackoff(random=chance.random)

    def delay(self, tries: int) -> float | None:
        """The seconds before the next try after so many, or None if the call has failed."""
        if tries >= self.tries:
            return None
        context = RetryContext(attempt_number=tries)
        return float(self._backoff.delay_amount(context))
