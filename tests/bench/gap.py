"""The gap that applications feel: refused log-ins while their secret is rotated."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.log_ins import LogIns, logging_in
from tests.bench.offline import Offline, OfflineApplication
from tests.bench.tables import Table, middle
from tests.workflow.applications import CASES, SINGLE, Case

# How the functions are when a rotation begins. A secret that is rotated once a month finds all of them cold.
WARM, COLD = "warm", "cold"
# Cold, and without the template's KeepReadyRule, by which those that follow CreateSecret start beside it.
UNREADY = "cold, without KeepReadyRule"
COLUMNS = (
    *("engine, strategy", "functions", "rotations", "refused log-ins of a rotation: median", "most"),
    *("stretch of refusal in ms: median", "longest", "compared with: end of SetSecret to that of FinishSecret in ms"),
    *("a log-in in ms", "must be"),
)


@dataclass(frozen=True)
class Gap:
    """What an application saw of some rotations. `exposed` is what their executions say, in milliseconds."""

    case: Case
    functions: str
    windows: list[tuple[float, float]]
    log_ins: LogIns
    exposed: list[float]

    @property
    def refused(self) -> list[int]:
        """Of each rotation."""
        return [self.log_ins.refused(*window) for window in self.windows]

    @property
    def stretches(self) -> list[float]:
        """The milliseconds of each; the server holds one password, or there is none."""
        return [stretch.milliseconds for stretch in self.log_ins.stretches]

    @property
    def stretches_of_each(self) -> list[int]:
        """How many stretches began in each rotation, and at last how many in none."""
        moments = [stretch.begun for stretch in self.log_ins.stretches]
        within = [sum(begun <= moment <= ended for moment in moments) for begun, ended in self.windows]
        return [*within, len(moments) - sum(within)]

    @property
    def holds(self) -> bool:
        *within, outside = self.stretches_of_each
        return outside == 0 and max(within) <= (not self.case.overlap)

    def row(self) -> list[Any]:
        refused, stretches = self.refused, self.stretches or [0.0]
        return [
            *(str(self.case), self.functions, len(self.windows), middle(refused), max(refused)),
            *(middle(stretches), round(max(stretches), 1), middle(self.exposed), round(self.log_ins.pace, 1)),
            "0 refused" if self.case.overlap else "one stretch",
        ]

    def samples(self) -> dict[str, Any]:
        named = {"case": str(self.case), "functions": self.functions, "refused": self.refused}
        return named | {"stretches": self.stretches, "exposed": self.exposed, "log-ins": len(self.log_ins.all)}


def measured(application: OfflineApplication, functions: str, rotations: int) -> Gap:
    """Of so many rotations, one after the other, all of which succeed."""
    windows: list[tuple[float, float]] = []
    exposed: list[float] = []
    with logging_in(application.arn, application.offline.environment) as log_ins:
        for _ in range(rotations):
            if functions != WARM:
                application.offline.cool()
            begun = time.monotonic()
            application.rotate()
            windows.append((begun, time.monotonic()))
            exposed.append(application.course().exposed)
    return Gap(application.case, functions, windows, log_ins, exposed)


@contextmanager
def not_called(offline: Offline) -> Iterator[None]:
    """While the block lasts, no function is called but by the state machine."""
    events, rule = offline.stack.client("events"), offline.physical_id("KeepReadyRule").rpartition("|")[2]
    events.disable_rule(Name=rule)
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


def gaps(offline: Offline, rotations: int) -> Iterator[Gap]:
    """Every engine with every strategy; without the rule, where an engine has a gap."""
    for case in CASES:
        application = offline.application(case)
        # By then there is a second user, and the functions have the driver.
        application.rotate()
        yield from (measured(application, functions, rotations) for functions in (WARM, COLD))
        if case.strategy == SINGLE and not case.overlap:
            with not_called(offline):
                yield measured(application, UNREADY, rotations)


def table(offline: Offline, rotations: int) -> Table:
    found = list(gaps(offline, rotations))
    lost = [gap.row() for gap in found if not gap.holds]
    assert not lost, f"an application was refused where it must not be: {lost}"
    return Table("gap", COLUMNS, [gap.row() for gap in found], [gap.samples() for gap in found])
