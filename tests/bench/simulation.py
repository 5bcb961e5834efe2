"""Many secrets that are due at once, against AWS's documented quotas, in simulated time.

Retries, waiting and calls are the product's own: from the state machine, rotation.aws, rotation.waiting, the template,
rotation.throttling and docs/calls.md. Assumed are the times that answers take (Durations), and, of what AWS does not
document, that a bucket holds a second's worth of its quota and a throttled rotate function has failed. No rollbacks.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rotation import throttling, waiting
from rotation.model import STEPS
from tests.bench import calls
from tests.bench.account import Durations, Quotas
from tests.bench.api import NEW_VALUE, Api
from tests.bench.events import Bucket, Concurrency, Process, Timeline
from tests.bench.retries import DEFINITION, GOT_READY, StateRetries
from tests.workflow.applications import SINGLE

QUOTAS, DURATIONS = Quotas(), Durations()
REACHES_THE_SERVICE = ("SetSecret", "TestSecret")


@dataclass
class Outcome:
    """What came of all secrets; moments are seconds after the first was due."""

    rotated: list[float] = field(default_factory=list)
    # Between the change at the service and the promotion, in the order of the promotions.
    gaps: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    state_retries: int = 0

    @property
    def alerts(self) -> int:
        """A rotation that fails is told once, whoever tells it."""
        return len(self.failed)


class Day:
    """On which so many secrets of one account and Region are due within `spread` seconds."""

    def __init__(  # noqa: PLR0913  all but the number of secrets is as on AWS, unless a case needs it otherwise
        self,
        secrets: int,
        spread: float = 0.0,
        *,
        quotas: Quotas = QUOTAS,
        durations: Durations = DURATIONS,
        definition: Mapping[str, Any] = DEFINITION,
        strategy: str = SINGLE,
        seed: int = 1,
    ) -> None:
        self.secrets, self.spread, self.quotas, self.durations = secrets, spread, quotas, durations
        self.outcome = Outcome()
        self._states = definition["States"]
        self._chance = random.Random(seed)
        self._listed = calls.listed(strategy)
        self._path = calls.states()
        self.timeline = Timeline()
        self.functions = Concurrency(self.timeline, quotas.functions, quotas.environments)
        self.api = Api(self.timeline, quotas, self._chance, lambda: self._about(durations.call))
        self._transitions = Bucket(self.timeline, *quotas.transitions)

    def run(self) -> Outcome:
        for _ in range(self.secrets):
            self.timeline.begin(self._rotation(), at=self._chance.uniform(0, self.spread))
        self.timeline.run()
        return self.outcome

    @property
    def bound(self) -> float:
        """Seconds in which all could be rotated: one alone, and the quota of writes never idle, or the last one due."""
        writes = self.api.writes
        written = sum(n for (_, call), n in self._listed.items() if self.api.buckets[call] is writes) * self.secrets
        alone = Day(1, durations=replace(self.durations, varies=0)).run().rotated[0]
        return alone + max(self.spread, max(0.0, written - writes.size) / writes.refill)

    # ---- The four calls of Secrets Manager

    def _rotation(self) -> Process[None]:
        if not (start := self.functions.enter("rotate")):
            self.outcome.failed.append("rotate: Lambda.TooManyRequestsException")
            return
        yield self._start(start)
        error = yield from self._first_call()
        self.functions.leave("rotate")
        if error:
            self.outcome.failed.append(error)
            return
        for _ in range(3):
            # It follows the one before it, whose environment is idle.
            if self.functions.enter("rotate"):
                yield self._about(self.durations.warm)
                yield from self.api.call("secretsmanager:DescribeSecret")
                self.functions.leave("rotate")

    def _first_call(self) -> Process[str]:
        """Each call of rotate that is made once, and the wait; returns the error with which the rotation ends."""
        for function, call in self._listed:
            if function == "rotate" and not (yield from self.api.call(call)):
                return f"rotate: {call} throttled"
        execution: dict[str, str] = {}
        self.timeline.begin(self._execution(execution), at=self.timeline.now)
        for function in GOT_READY:
            self.timeline.begin(self.functions.called(function, self._start), at=self.timeline.now)
        return (yield from self._wait(execution))

    def _wait(self, execution: Mapping[str, str]) -> Process[str]:
        """As rotation.waiting does it."""
        pauses = waiting.looks(self._chance.uniform)
        look_at = self.timeline.now + next(pauses)
        while True:
            yield waiting.LABELS_EVERY
            yield from self.api.call("secretsmanager:DescribeSecret")
            if execution.get("ended") == "":
                return ""
            if self.timeline.now >= look_at:
                look_at = self.timeline.now + next(pauses)
                if (yield from self.api.call("stepfunctions:DescribeExecution")) and "ended" in execution:
                    return execution["ended"]

    # ---- The state machine

    def _execution(self, execution: dict[str, str]) -> Process[None]:
        """Notes how it ended: with an error, or with none once AWSCURRENT has moved."""
        changed = 0.0
        for state in self._path:
            yield from self._transition()
            if state not in STEPS:
                continue
            if error := (yield from self._step(state)):
                execution["ended"] = f"{state}: {error}"
                return
            if state == "SetSecret":
                changed = self.timeline.now
            if state == "FinishSecret":
                execution["ended"] = ""
                self.outcome.rotated.append(self.timeline.now)
                self.outcome.gaps.append(self.timeline.now - changed)

    def _transition(self) -> Process[None]:
        yield self._transitions.turn() + self._about(self.durations.transition)

    def _step(self, state: str) -> Process[str]:
        """The error with which the state gives up, or nothing."""
        retries = StateRetries(self._states[state], self._chance)
        while error := (yield from self._invocation(state, retries.made)):
            if (seconds := retries.delay(error)) is None:
                return error
            self.outcome.state_retries += 1
            yield seconds
            yield from self._transition()
        return ""

    def _invocation(self, state: str, retry_count: int) -> Process[str]:
        if not (start := self.functions.enter(state)):
            return "Lambda.TooManyRequestsException"
        yield self._start(start)
        error = ""
        for call in self._calls_of(state):
            outside = call == NEW_VALUE and retry_count < throttling.WAITING_OUTSIDE
            if not (yield from self.api.call(call, at_once=outside)):
                error = "ThrottledError" if outside else "UnavailableError"
                break
        if state in REACHES_THE_SERVICE and not error:
            yield self._about(self.durations.service)
        self.functions.leave(state)
        return error

    def _start(self, how: str) -> float:
        return self._about(getattr(self.durations, how))

    def _about(self, seconds: float) -> float:
        return seconds * self._chance.uniform(1 - self.durations.varies, 1 + self.durations.varies)

    def _calls_of(self, function: str) -> Iterator[str]:
        for (caller, call), times in self._listed.items():
            yield from [call] * times if caller == function else ()
