"""The gap that applications feel: refused log-ins while their secret is rotated."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from tests.bench.log_ins import LogIns, logging_in
from tests.bench.offline import Offline, OfflineApplication
from tests.bench.tables import Table, middle
from tests.workflow.applications import CASES, SINGLE, Case
from tests.workflow.machine import ROOT

# How the functions are when a rotation begins. A secret that is rotated once a month finds all of them cold.
WARM, COLD = "warm", "cold"
# Cold, and while CreateSecret works, TestSecret and FinishSecret are called once: what a check by them, side by side
# with CreateSecret, would gain. The product does not do it.
CALLED_BEFORE = "cold, called beside CreateSecret"
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
    def holds(self) -> bool:
        most = 0 if self.case.overlap else len(self.windows)
        return len(self.stretches) <= most

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
            application.begin()
            with called_before(application) if functions == CALLED_BEFORE else nullcontext():
                outcome = application.end()
            assert outcome == "RotationSucceeded", f"{application.case}: {outcome}"
            windows.append((begun, time.monotonic()))
            exposed.append(application.course().exposed)
    return Gap(application.case, functions, windows, log_ins, exposed)


@contextmanager
def called_before(application: OfflineApplication) -> Iterator[None]:
    """As soon as the execution runs: TestSecret logs in with AWSCURRENT, and FinishSecret is only started."""
    events = {"TestSecretFunction": log_in(application), "FinishSecretFunction": {"KeepReady": True}}
    calls = [
        threading.Thread(target=_call, args=(application, application.offline.function(name), event))
        for name, event in events.items()
    ]
    for call in calls:
        call.start()
    yield
    for call in calls:
        call.join()


def log_in(application: OfflineApplication) -> dict[str, Any]:
    """What the state TestCurrent sends to its function."""
    request = json.loads((ROOT / "events/executions/test.json").read_text())
    request |= {"SecretId": application.arn, "Execution": "none", "Started": ""}
    return {"Request": request, "Completed": {"State": "none", "CurrentVersionId": ""}}


def _call(application: OfflineApplication, function: str, event: Mapping[str, Any]) -> None:
    while not application.status():
        time.sleep(0.01)
    client = application.offline.stack.client("lambda")
    answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
    assert "FunctionError" not in answer


def gaps(offline: Offline, rotations: int) -> Iterator[Gap]:
    """Every engine with every strategy; called before, where an engine has a gap."""
    for case in CASES:
        application = offline.application(case)
        # By then there is a second user, and the functions have the driver.
        application.begin()
        assert application.end() == "RotationSucceeded"
        tried_besides = case.strategy == SINGLE and not case.overlap
        for functions in (WARM, COLD, CALLED_BEFORE) if tried_besides else (WARM, COLD):
            yield measured(application, functions, rotations)


def table(offline: Offline, rotations: int) -> Table:
    found = list(gaps(offline, rotations))
    lost = [gap.row() for gap in found if not gap.holds]
    assert not lost, f"an application was refused where it must not be: {lost}"
    return Table("gap", COLUMNS, [gap.row() for gap in found], [gap.samples() for gap in found])
