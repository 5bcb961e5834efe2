"""What a command does that is asked to end: by Ctrl-C, by SIGTERM, by a terminal that is closed."""

import signal
from collections.abc import Iterator

import pytest

from rotatorctl.progress import stopped_by_ctrl_c

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def unheard() -> Iterator[list[int]]:
    """The signals that came through to what was there before."""
    came = list[int]()
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in STOPS}
    yield came
    for each, way in before.items():
        signal.signal(each, way)


@pytest.mark.parametrize("number", STOPS)
def test_what_asks_a_command_to_end_stops_what_waits_and_breaks_off_nothing(number: int, unheard: list[int]) -> None:
    with stopped_by_ctrl_c() as stop:
        signal.raise_signal(number)
        assert unheard == []
        assert stop.wait(10)
    signal.raise_signal(number)

    # The result has still to be told, which Ctrl-C would break off.
    assert unheard == ([] if number == signal.SIGINT else [number])


def test_what_runs_without_its_terminal_goes_on_when_that_is_closed() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with stopped_by_ctrl_c() as stop:
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert not stop.is_set()
