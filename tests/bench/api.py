"""AWS's calls against their quotas, made as the product's clients make them."""

import math
import random
from collections.abc import Callable

from rotation import throttling
from tests.bench.account import Quotas
from tests.bench.events import Bucket, Process, Timeline
from tests.bench.retries import ClientRetries

PROMOTION = "secretsmanager:UpdateSecretVersionStage"
NEW_VALUE = "secretsmanager:PutSecretValue"


class Api:
    """All calls of one account. `seconds` is how long an answer takes."""

    def __init__(self, timeline: Timeline, quotas: Quotas, chance: random.Random, seconds: Callable[[], float]) -> None:
        self._timeline, self._chance, self._seconds = timeline, chance, seconds
        self._client = ClientRetries(chance)
        self.writes = Bucket(timeline, *quotas.writes)
        self.describe_execution = Bucket(timeline, *quotas.describe_execution)
        self.buckets = {
            NEW_VALUE: self.writes,
            PROMOTION: self.writes,
            "secretsmanager:GetSecretValue": Bucket(timeline, *quotas.get),
            "secretsmanager:DescribeSecret": Bucket(timeline, *quotas.describe),
            "stepfunctions:StartExecution": Bucket(timeline, *quotas.start_execution),
            "stepfunctions:DescribeExecution": self.describe_execution,
        }

    def call(self, call: str, *, at_once: bool = False) -> Process[bool]:
        """Whether it was answered before its caller gave up, which is `at_once` or as rotation.throttling has it."""
        tries, give_up_at = 0, math.inf
        while True:
            yield self._seconds()
            if self.buckets[call].take():
                return True
            tries, patience = tries + 1, 0.0 if at_once else throttling.PATIENCE
            give_up_at = min(give_up_at, self._timeline.now + patience)
            if (seconds := self._pause(call.partition(":")[2], tries, give_up_at)) is None:
                return False
            yield seconds

    def _pause(self, operation: str, tries: int, give_up_at: float) -> float | None:
        if not (longest := throttling.LONGEST_PAUSE.get(operation)):
            return self._client.delay(tries)
        pause = self._chance.uniform(0, longest)
        return pause if self._timeline.now + pause < give_up_at else None
