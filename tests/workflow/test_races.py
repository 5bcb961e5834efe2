"""Two attempts at once, with one version and with two: wherever the first stands while the second runs."""

import json
import threading
from typing import Any

import pytest

from rotatorctl.local.secrets_manager import SILENCES, Rotation, Silences
from tests.workflow.applications import ALTERNATING, SINGLE, Application, cases
from tests.workflow.machine import STATES, Handler
from tests.workflow.test_failures import STEPS, break_state, failing
from tests.workflow.test_meddling import of_one_user
from tests.workflow.test_stopped import rotate_request
from tests.workflow.test_taken_away import give_up, of_one_user_and_once_of_two


class Held:
    """Holds the first call of a state's function before it does anything, until it is let go."""

    def __init__(self, application: Application, state: str) -> None:
        self._reached, self._go, self._calls = threading.Event(), threading.Event(), iter([True])
        if state == "RollBack":
            break_state(application, "FinishSecret", failing("KeyError", times=1))
        break_state(application, state, self._hold)

    def _hold(self, handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            if next(self._calls, False):
                self._reached.set()
                assert self._go.wait(60)
            return handler(event, context)

        return called

    def reached(self) -> None:
        assert self._reached.wait(20)

    def let_go(self) -> None:
        self._go.set()


def begin(application: Application) -> None:
    application.machine.secrets_manager.rotate_secret(**rotate_request(application))


def last(application: Application) -> Rotation:
    """The end of what Secrets Manager began last, whatever else still runs."""
    rotation = application.machine.secrets_manager.rotations(application.arn)[-1]
    assert rotation.thread is not None
    rotation.thread.join(60)
    return rotation


def rotated(application: Application) -> None:
    """One value was made, it logs in, and the one before it does as after any rotation."""
    value = application.machine.secrets_manager.get_secret_value(SecretId=application.arn, VersionId=application.token)
    assert application.text() == value["SecretString"]
    assert application.server.logs_in(application.credentials())
    assert application.server.logs_in(application.first) == application.case.overlap


@of_one_user
@pytest.mark.parametrize("state", STEPS)
def test_a_retry_joins_the_attempt_that_the_call_before_it_did_not_see_the_end_of(
    application: Application, state: str
) -> None:
    held = Held(application, state)
    application.machine.seconds = 10.5
    begin(application)
    held.reached()
    assert "StillRunningError" in str(last(application).steps)

    application.machine.seconds = 120
    application.machine.secrets_manager.retry(application.arn)
    held.let_go()

    if state == "CreateSecret":
        # The RotationToken that it has to write with is an older one by now.
        assert application.wait() == "RotationFailed"
        assert application.subjects() == ["Rotation failed, nothing changed"]
        application.machine.secrets_manager.retry(application.arn)
    assert application.wait() == "RotationSucceeded"
    joined = state != "CreateSecret"
    assert application.outcomes() == (["rotated"] if joined else ["untouched", "rotated"])
    assert application.subjects() == ([] if joined else ["Recovered, the secret is rotated"])
    rotated(application)


class TestTwoVersions:
    """Secrets Manager may take another version for a retry, while the attempt with the first one still runs."""

    @pytest.fixture
    def silences(self) -> Silences:
        return SILENCES["new-token-on-retry"]

    @of_one_user_and_once_of_two
    def test_the_first_gives_way_and_what_is_told_of_each_is_true(self, application: Application, state: str) -> None:
        held = Held(application, state)
        application.machine.seconds = 10.5
        begin(application)
        held.reached()
        last(application)
        application.machine.seconds = 120
        application.machine.secrets_manager.retry(application.arn)
        # Where the first has replaced the one password, the second knows none that logs in.
        replaced = application.case.strategy == SINGLE and STATES.index(state) > STATES.index("SetSecret")
        assert last(application).outcome == ("RotationFailed" if replaced else "RotationSucceeded")
        assert application.subjects() == (["ACTION NEEDED, AWSCURRENT does not log in"] if replaced else [])

        held.let_go()
        application.machine.settle()

        found = "the old credential is restored" if replaced else "nothing changed"
        assert application.subjects() == [f"Rotation failed, {found}"]
        assert application.server.logs_in(application.credentials())
        if replaced:
            assert application.retry() == "RotationSucceeded"
        rotated(application)


@pytest.mark.parametrize(
    "case", cases(lambda case: (case.kind, case.strategy) in {("redis", SINGLE), ("postgres", ALTERNATING)})
)
def test_a_fresh_start_that_fails_in_the_middle_of_an_attempt_is_not_undone_by_its_promotion(
    application: Application,
) -> None:
    application.rotate()
    current = application.credentials()
    held = Held(application, "FinishSecret")
    begin(application)
    held.reached()
    break_state(application, "TestSecret", failing("KeyError", times=1))
    give_up(application)
    begin(application)
    assert last(application).outcome == "RotationFailed"

    held.let_go()
    application.wait()

    # The password that the first attempt proved was replaced by the second.
    assert application.credentials() == current
    assert application.server.logs_in(current)
    assert application.outcomes() == ["rotated", "untouched", "untouched"]
    assert application.retry() == "RotationSucceeded"
    assert application.server.logs_in(application.credentials())


@of_one_user_and_once_of_two
def test_two_attempts_with_one_version_side_by_side_end_as_one(application: Application, state: str) -> None:
    machine = application.machine
    held = Held(application, state)
    begin(application)
    held.reached()
    (first,) = machine.executions()
    again = json.dumps(json.loads(first["input"]) | {"Attempt": 2})
    second = machine.stepfunctions.start_execution(stateMachineArn=machine.arn, name="again", input=again)
    machine.await_end(second["executionArn"])
    assert last(application).outcome == "RotationSucceeded"

    held.let_go()
    machine.settle()

    assert application.outcomes() == ["rotated", "rotated"]
    assert machine.messages() == []
    rotated(application)
