"""What a clean rotation calls is what docs/calls.md lists: no call more, and none less without a lower number there."""

import pytest

from rotation import waiting
from tests.bench.calls import listed, rows, states, table
from tests.bench.recording import MACHINE, recorded
from tests.workflow.applications import Application, cases
from tests.workflow.machine import STATES


@pytest.mark.parametrize("case", cases(lambda case: True))
def test_a_rotation_makes_the_listed_calls_and_enters_the_listed_states(application: Application) -> None:
    with recorded(application) as recording:
        assert application.rotate() == "RotationSucceeded"

    of_functions = {key: times for key, times in recording.calls.items() if key[0] != MACHINE}
    assert of_functions == listed(application.case.strategy)
    assert recording.states == states()
    assert recording.calls[MACHINE, "lambda:Invoke"] == len([state for state in states() if state in STATES])
    assert recording.calls[MACHINE, "sns:Publish"] == 0
    # Beside these, the looks of a `rotate` that waits.
    assert recording.looks == len(recording.pauses) > 0
    assert set(recording.pauses) == {waiting.LABELS_EVERY}


def test_each_call_and_each_state_is_justified() -> None:
    assert all(len(row.why.split()) >= 3 for row in rows())
    assert all(len(why.split()) >= 3 for _, why in table("States of one rotation"))


def test_a_rotate_that_waits_pauses_for_a_second_at_least() -> None:
    assert waiting.LABELS_EVERY >= 1
