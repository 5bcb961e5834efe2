"""How long a whole rotation takes, by state, with functions that are warm and with functions that are cold."""

import time
from dataclasses import dataclass
from typing import Any

from rotation.model import STEPS
from tests.bench import service
from tests.bench.gap import COLD, WARM
from tests.bench.offline import Course, Offline, OfflineApplication
from tests.bench.tables import Table, middle
from tests.workflow.applications import CASES, SINGLE, Case

type AtTheService = dict[str, list[dict[str, float]]]

# The strategies differ by calls at the service; the engines by their drivers.
MEASURED = tuple(case for case in CASES if case.strategy == SINGLE)
COLUMNS = (
    *("engine, strategy", "functions", "rotations", "execution in ms"),
    *(f"{step} in ms" for step in STEPS),
    *("between the states in ms", "at the service in ms: SetSecret", "TestSecret"),
    "until Secrets Manager calls it succeeded, in s",
)


@dataclass(frozen=True)
class Durations:
    """Of some rotations: their executions, and the seconds from RotateSecret to RotationSucceeded."""

    case: Case
    functions: str
    courses: list[Course]
    seconds: list[float]

    def of_state(self, state: str) -> float:
        return middle(course.of_state(state) for course in self.courses)

    @property
    def seconds_of_the_steps(self) -> dict[str, float]:
        return {step: self.of_state(step) / 1000 for step in STEPS}

    @property
    def seconds_of_rotate(self) -> float:
        return middle(self.seconds)

    def row(self, at_the_service: dict[str, float]) -> list[Any]:
        whole, between = (middle(each) for each in zip(*((c.whole, c.between) for c in self.courses), strict=True))
        return [
            *(str(self.case), self.functions, len(self.courses), whole, *map(self.of_state, STEPS), between),
            *(at_the_service[state] for state in service.REACHES_THE_SERVICE),
            self.seconds_of_rotate,
        ]

    def samples(self) -> dict[str, Any]:
        courses = [{"execution": c.whole} | {step: c.of_state(step) for step in STEPS} for c in self.courses]
        return {"case": str(self.case), "functions": self.functions, "executions": courses, "seconds": self.seconds}


def measured(application: OfflineApplication, functions: str, rotations: int) -> Durations:
    courses: list[Course] = []
    seconds: list[float] = []
    for _ in range(rotations):
        if functions == COLD:
            application.offline.cool()
        begun = time.monotonic()
        application.rotate()
        seconds.append(time.monotonic() - begun)
        courses.append(application.course())
    return Durations(application.case, functions, courses, seconds)


def durations(offline: Offline, rotations: int) -> list[Durations]:
    found: list[Durations] = []
    for case in MEASURED:
        application = offline.application(case)
        measured(application, WARM, 1)
        found += [measured(application, functions, rotations) for functions in (WARM, COLD)]
    return found


def at_the_service(rotations: int) -> AtTheService:
    """By case: the milliseconds of each state that reaches the service, of each rotation."""
    return {str(case): service.spent(case, rotations) for case in MEASURED}


def table(found: list[Durations], times: AtTheService) -> Table:
    medians = {
        case: {state: middle(each[state] for each in spent) for state in service.REACHES_THE_SERVICE}
        for case, spent in times.items()
    }
    rows = [each.row(medians[str(each.case)]) for each in found]
    return Table("durations", COLUMNS, rows, [*(each.samples() for each in found), {"at the service": times}])
