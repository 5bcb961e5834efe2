"""What a clean rotation calls is what docs/calls.md lists: no call more, and none less without a lower number there."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.bench.calls import listed, rows, states, table
from tests.bench.recording import MACHINE, Recording, recorded
from tests.contract.worlds import WORLDS, World
from tests.workflow.applications import Case, cases, rotating
from tests.workflow.machine import ROOT, STATES


@pytest.fixture(scope="session")
def started() -> Iterator[Callable[[str], World]]:
    """Gives the one running server of a kind."""
    with ExitStack() as servers:
        yield cache(lambda kind: servers.enter_context(WORLDS[kind]()))


@pytest.fixture
def recording(case: Case, started: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Of a secret's second rotation: by then there is an AWSPREVIOUS, and with alternating users both exist."""
    server = started(case.kind)
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    with rotating(case, server, definition) as application:
        assert application.rotate() == "RotationSucceeded"
        with recorded(application) as recording:
            assert application.rotate() == "RotationSucceeded"
    return recording


@pytest.mark.parametrize("case", cases(lambda case: True))
def test_a_rotation_makes_the_listed_calls_and_enters_the_listed_states(case: Case, recording: Recording) -> None:
    of_functions = {key: times for key, times in recording.calls.items() if key[0] != MACHINE}

    assert of_functions == listed(case.strategy)
    assert recording.states == states()
    assert recording.calls[MACHINE, "lambda:Invoke"] == len([state for state in states() if state in STATES])
    assert recording.calls[MACHINE, "sns:Publish"] == 0


def test_each_call_and_each_state_is_justified() -> None:
    assert all(len(row.why.split()) >= 3 for row in rows())
    assert all(len(why.split()) >= 3 for _, why in table("States of one rotation"))
