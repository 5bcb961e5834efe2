"""As many rotations at once as the machine takes, and of each what it came to."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.bench.offline import Offline, OfflineApplication
from tests.bench.tables import Table, middle
from tests.workflow.applications import CASES

# More than the last would have more functions start at once than two cores can within Lambda's ten seconds.
LEVELS = (10, 20, 40)
COLUMNS = (
    *("rotations at once", "rotated", "failed, AWSCURRENT logs in", "broken promises: compared with 0"),
    *("retries of states", "all of them in s", "an execution in ms: median", "longest"),
)


@dataclass(frozen=True)
class Ended:
    """One of the rotations: how it ended, what does not hold after it, how often a state was tried again, how long."""

    rotated: bool
    broken: list[str]
    retries: int
    milliseconds: float


@dataclass(frozen=True)
class Load:
    """So many at once."""

    ended: list[Ended]
    seconds: float

    @property
    def broken(self) -> list[str]:
        return [words for each in self.ended for words in each.broken]

    def row(self) -> list[Any]:
        rotated, times = sum(each.rotated for each in self.ended), [each.milliseconds for each in self.ended]
        return [
            *(len(self.ended), rotated, len(self.ended) - rotated, len(self.broken)),
            *(sum(each.retries for each in self.ended), round(self.seconds, 1), middle(times), max(times)),
        ]


def broken(application: OfflineApplication, outcome: str, before: str, told: int) -> list[str]:
    """What does not hold after a rotation that ended so and that people were `told` of so often.

    `before` is the version that was AWSCURRENT.
    """
    succeeded, stages = outcome == "RotationSucceeded", application.stages()
    version = {label: each for each, labels in stages.items() for label in labels}
    expected = {"AWSCURRENT": application.token, "AWSPREVIOUS": before} if succeeded else {"AWSCURRENT": before}
    wrong = [f"{application.case}: {label}" for label, where in expected.items() if version.get(label) != where]
    wrong += [f"{application.case}: AWSPENDING is left"] if succeeded and "AWSPENDING" in version else []
    wrong += [f"{application.case}: {outcome}, and told {told} times"] if told != (not succeeded) else []
    return wrong + ([] if application.logs_in() else [f"{application.case}: AWSCURRENT does not log in"])


def at_once(applications: list[OfflineApplication]) -> Load:
    before = [next(v for v, labels in each.stages().items() if "AWSCURRENT" in labels) for each in applications]
    stack = applications[0].offline.stack
    queue = stack.subscribe_queue(stack.outputs["AlertTopicArn"])
    begun = time.monotonic()
    for each in applications:
        each.begin()
    outcomes = [each.end() for each in applications]
    seconds = time.monotonic() - begun
    messages = Counter(json.loads(each["Body"])["secretArn"] for each in stack.take_messages(queue))
    told = [messages[each.arn] for each in applications]
    return Load([_ended(*each) for each in zip(applications, outcomes, before, told, strict=True)], seconds)


def _ended(application: OfflineApplication, outcome: str, before: str, told: int) -> Ended:
    events = application.events()
    retries = sum("taskFailedEventDetails" in event for event in events)
    wrong = broken(application, outcome, before, told)
    return Ended(outcome == "RotationSucceeded", wrong, retries, application.course().whole)


def table(offline: Offline, levels: tuple[int, ...] = LEVELS) -> Table:
    """Of all cases in turn."""
    loads = [at_once([offline.application(CASES[number % len(CASES)]) for number in range(level)]) for level in levels]
    wrong = [words for load in loads for words in load.broken]
    assert not wrong, wrong
    return Table("load", COLUMNS, [load.row() for load in loads], [load.broken for load in loads])
