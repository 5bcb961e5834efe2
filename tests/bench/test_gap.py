"""Whether an application is refused while its secret is rotated, told without a clock: `make bench` has the times.

The rotation is held after SetSecret and after FinishSecret until the application has logged in once more, so that it
certainly tries what is true there.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.bench.gap import WARM, Gap
from tests.bench.log_ins import LogIn, LogIns, logging_in
from tests.faults.trial import TOLD
from tests.workflow.applications import CASES, Application, Case, cases

# Seconds after which an application certainly has logged in.
PATIENCE = 20


@dataclass
class Readings:
    """How often an application has read its secret."""

    read: Callable[..., Any]
    _count: int = 0
    _more: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, *, caller: str | None = None, **request: Any) -> Any:
        with self._more:
            self._count += caller is None
            self._more.notify_all()
        return self.read(caller=caller, **request)

    def until_it_logged_in(self) -> None:
        """Between two further readings lies a whole log-in with what the first of them gave."""
        with self._more:
            enough = self._count + 2
            assert self._more.wait_for(lambda: self._count >= enough, PATIENCE), "the application does not log in"


def held(application: Application, state: str, readings: Readings) -> None:
    handler = application.machine.handlers[state]

    def called(event: Any, context: Any) -> Any:
        answer = handler(event, context)
        readings.until_it_logged_in()
        return answer

    application.machine.handlers[state] = called


def seen(application: Application, monkeypatch: pytest.MonkeyPatch, rotations: int) -> Gap:
    """What an application sees of so many rotations."""
    model = application.machine.secrets_manager
    readings = Readings(model.get_secret_value)
    monkeypatch.setattr(model, "get_secret_value", readings)
    for state in ("SetSecret", "FinishSecret"):
        held(application, state, readings)
    with logging_in(application.arn, {name: os.environ[name] for name in TOLD}) as log_ins:
        windows = [rotated(application) for _ in range(rotations)]
    return Gap(application.case, WARM, windows, log_ins, [])


def rotated(application: Application) -> tuple[float, float]:
    begun = time.monotonic()
    assert application.rotate() == "RotationSucceeded"
    return begun, time.monotonic()


@pytest.mark.parametrize("case", cases(lambda case: case.overlap))
def test_where_the_old_password_goes_on_working_an_application_is_never_refused(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(application, monkeypatch, rotations=2).stretches_of_each == [0, 0, 0]


@pytest.mark.parametrize("case", cases(lambda case: not case.overlap))
def test_where_a_user_has_one_password_refusal_is_one_stretch_of_each_rotation(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(application, monkeypatch, rotations=2).stretches_of_each == [1, 1, 0]


def test_a_stretch_is_as_long_as_from_the_first_refused_log_in_to_the_end_of_the_next_that_is_let_in() -> None:
    answers = [True, False, False, True, True, False, True]
    log_ins = LogIns([LogIn(second, second + 0.5, answer) for second, answer in enumerate(answers)])

    assert [(stretch.begun, stretch.milliseconds) for stretch in log_ins.stretches] == [(1, 2_500), (5, 1_500)]
    assert [log_ins.refused(0, 4), log_ins.refused(4, 7)] == [2, 1]


def test_refusal_that_does_not_end_is_no_stretch_but_an_error() -> None:
    with pytest.raises(AssertionError, match="still refused"):
        _ = LogIns([LogIn(0, 0.5, True), LogIn(1, 1.5, False)]).stretches


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_refusal_is_too_many_where_there_must_be_none(case: Case) -> None:
    refused = LogIns([LogIn(0, 0.5, True), LogIn(1, 1.5, False), LogIn(2, 2.5, True)])

    assert Gap(case, WARM, [(0, 3)], refused, [1.0]).holds == (not case.overlap)
    assert Gap(case, WARM, [(0, 3)], LogIns(refused.all[:1]), [1.0]).holds


@pytest.mark.parametrize(
    ("windows", "each", "holds"),
    [
        ([(1, 2.9), (3, 5)], [1, 1, 0], True),
        # As many stretches as rotations, but both in the second one, or one in none.
        ([(0, 0.9), (1, 5)], [0, 2, 0], False),
        ([(1, 2.9), (4, 5)], [1, 0, 1], False),
    ],
)
def test_a_second_stretch_in_one_rotation_is_not_made_up_for_by_another_that_had_none(
    windows: list[tuple[float, float]], each: list[int], holds: bool
) -> None:
    refused = [LogIn(second, second + 0.5, second not in (1, 3)) for second in range(5)]
    case = next(case for case in CASES if not case.overlap)

    gap = Gap(case, WARM, windows, LogIns(refused), [])

    assert (gap.stretches_of_each, gap.holds) == (each, holds)
