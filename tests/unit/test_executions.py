"""Executions of the state machine, found by their names."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.endpoint
import pytest
from moto.core.exceptions import JsonRESTError
from moto.stepfunctions.models import Execution as OfMoto
from moto.stepfunctions.models import stepfunctions_backends

from rotation import executions, throttling
from rotation.errors import InvalidEventError, StageConflictError
from rotation.executions import Execution, Executions, LastEvents, attempt_name, rollback_name
from rotation.model import ROTATE, TEST
from tests.unit.rotations import Clock, all_started, end, state_machine
from tests.workflow.machine import ACCOUNT, REGION

type HistoryIs = Callable[[list[Any]], None]

SECRET, TOKEN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-a1B2c3", "3f0f6f4e-6b4e"
BODY = {"Previous": {}, "SecretId": SECRET, "ClientRequestToken": TOKEN, "Mode": "Rotate", "Attempt": 1}


@pytest.fixture
def machine() -> Iterator[str]:
    with state_machine() as arn:
        yield arn


@pytest.fixture
def described(machine: str) -> list[str]:
    """The names of the executions that are looked up."""
    names: list[str] = []
    events = executions._client().meta.events
    events.register(
        "provide-client-params.sfn.DescribeExecution",
        lambda params, **_: names.append(params["executionArn"].rpartition(":")[2]),
    )
    return names


def start(attempt: int, mode: str = ROTATE) -> str:
    name = attempt_name(mode, SECRET, TOKEN, attempt)
    return Executions().start(name, BODY | {"Attempt": attempt})


def test_an_execution_is_found_as_it_was_started_and_as_it_ended(machine: str) -> None:
    arn = Executions().start("app-1", BODY)

    assert arn == machine.replace(":stateMachine:", ":execution:") + ":app-1"
    assert Executions().at(arn) == Execution(arn, "app-1", "RUNNING", BODY, "", "")
    end(arn, "FAILED", "RotationFailedError", "words")
    assert Executions().find("app-1") == Execution(arn, "app-1", "FAILED", BODY, "RotationFailedError", "words")


def test_an_execution_that_was_never_started_is_none(machine: str) -> None:
    assert Executions().find("app-1") is None


def test_an_arn_that_is_none_is_named_with_the_call(machine: str) -> None:
    with pytest.raises(InvalidEventError, match=r"^states:DescribeExecution on no-arn: InvalidArn: "):
        Executions().at("no-arn")


def test_a_state_machine_that_does_not_exist_is_named_with_the_call(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_MACHINE_ARN", f"{machine}-of-another-stack")

    with pytest.raises(InvalidEventError, match=f"^states:StartExecution on {machine}-of-another-stack: StateMachineD"):
        Executions().start("app-1", BODY)


def test_a_throttled_start_is_made_again(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, clock, calls = stepfunctions_backends[ACCOUNT][REGION], Clock(), list[float]()
    start_execution = backend.start_execution

    def refused(*request: Any, **more: Any) -> Any:
        calls.append(clock.now - 100)
        if len(calls) <= 5:
            raise JsonRESTError("ThrottlingException", "Rate exceeded")
        return start_execution(*request, **more)

    monkeypatch.setattr(backend, "start_execution", refused)
    monkeypatch.setattr(throttling, "time", clock)
    monkeypatch.setattr(botocore.endpoint, "time", clock)
    monkeypatch.setattr(random, "uniform", max)

    assert Executions().begin("app-1", BODY)
    assert calls == [0, 1, 2, 3, 4, 5]


def test_an_execution_that_exists_is_joined(machine: str) -> None:
    first = Executions().start("app-1", BODY)

    assert Executions().start("app-1", BODY | {"Attempt": 7}) == first
    assert all_started() == [{"name": "app-1", "input": BODY}]


@pytest.mark.parametrize("key", ["SecretId", "ClientRequestToken", "Mode"])
def test_a_name_that_is_taken_by_something_else_is_refused(machine: str, key: str) -> None:
    Executions().start("app-1", BODY)

    with pytest.raises(StageConflictError) as error:
        Executions().start("app-1", BODY | {key: "other"})

    assert str(error.value) == "the execution name app-1 is taken by another secret or token"


@pytest.mark.parametrize("attempts", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("mode", [ROTATE, TEST])
def test_the_last_of_many_attempts_is_found_by_few_look_ups(
    machine: str, described: list[str], attempts: int, mode: str
) -> None:
    for attempt in range(1, attempts + 1):
        start(attempt, mode)
    described.clear()

    latest = Executions().latest(mode, SECRET, TOKEN)

    assert (latest.attempt if latest else 0) == attempts
    assert len(described) == len(set(described)) <= 2 * attempts.bit_length() + 1


@pytest.mark.parametrize(
    ("rollbacks", "name"),
    [
        ([], "app-1-rollback"),
        ([("RUNNING", None, None)], "app-1-rollback"),
        ([("SUCCEEDED", None, None)], ""),
        ([("FAILED", "RotationFailedError", "{}")], ""),
        ([("FAILED", "AlertFailedError", "{}")], "app-1-2-rollback"),
        ([("TIMED_OUT", None, None)], "app-1-2-rollback"),
        ([("FAILED", "AlertFailedError", "{}"), ("ABORTED", None, None)], "app-1-3-rollback"),
        ([("FAILED", "AlertFailedError", "{}"), ("RUNNING", None, None)], "app-1-2-rollback"),
        ([("FAILED", "AlertFailedError", "{}"), ("FAILED", "RollbackFailedError", "{}")], ""),
    ],
)
def test_a_rollback_is_tried_under_a_further_name_until_people_are_told(
    machine: str, rollbacks: list[tuple[str, str | None, str | None]], name: str
) -> None:
    for number, ended in enumerate(rollbacks, 1):
        end(Executions().start(rollback_name("app-1", number), BODY), *ended)

    assert Executions().untold_rollback("app-1") == name


@pytest.mark.parametrize(
    ("status", "ended", "succeeded"),
    [
        ("RUNNING", False, False),
        ("PENDING_REDRIVE", False, False),
        ("SUCCEEDED", True, True),
        ("FAILED", True, False),
        ("TIMED_OUT", True, False),
        ("ABORTED", True, False),
    ],
)
def test_the_status_tells_whether_an_execution_ended_and_how(status: str, ended: bool, succeeded: bool) -> None:
    execution = Execution("arn", "app-1", status, BODY, "", "")

    assert (execution.ended, execution.succeeded) == (ended, succeeded)


REPORT = {"Outcome": "untouched"}


@pytest.mark.parametrize(
    ("error", "cause", "reported", "delivered"),
    [
        ("RotationFailedError", json.dumps(REPORT), True, True),
        ("RollbackFailedError", json.dumps(REPORT), True, True),
        ("AlertFailedError", json.dumps(REPORT), True, False),
        ("States.Runtime", json.dumps(REPORT), False, True),
        ("RotationFailedError", "somebody stopped it", False, True),
        ("", "", False, True),
    ],
)
def test_an_execution_reported_if_it_ended_in_one_of_the_machines_own_states(
    error: str, cause: str, reported: bool, delivered: bool
) -> None:
    execution = Execution("arn", "app-1", "FAILED", BODY, error, cause)

    assert (execution.reported, execution.delivered) == (reported, delivered)


def test_a_verdict_is_the_report_with_the_alert_that_could_not_be_published() -> None:
    whole = {"Report": REPORT, "Alert": {"Subject": "as it was"}}

    assert Execution("arn", "app-1", "FAILED", BODY, "", json.dumps(whole)).verdict == whole
    assert Execution("arn", "app-1", "FAILED", BODY, "", json.dumps(REPORT)).verdict == {"Report": REPORT, "Alert": {}}


def test_an_execution_shows_nothing_of_its_input() -> None:
    assert SECRET not in repr(Execution("arn", "app-1", "FAILED", BODY, "", ""))


VERDICT = {"Report": REPORT, "Alert": {}}


def event(number: int, **details: Any) -> dict[str, Any]:
    return {"id": number, "timestamp": datetime(2026, 11, 25, tzinfo=UTC), **details}


def entered(number: int, name: str) -> dict[str, Any]:
    return event(number, type="TaskStateEntered", stateEnteredEventDetails={"name": name, "input": "{}"})


def left(number: int, name: str, output: Any) -> dict[str, Any]:
    details = {"name": name, "output": json.dumps(output)}
    return event(number, type="TaskStateExited", stateExitedEventDetails=details)


@pytest.fixture
def history_is(machine: str, monkeypatch: pytest.MonkeyPatch) -> HistoryIs:
    """Gives every execution this history."""
    return lambda events: monkeypatch.setattr(OfMoto, "get_execution_history", lambda *_: events)


BEGIN, SET_SECRET, ROLL_BACK = entered(1, "Begin"), entered(2, "SetSecret"), entered(3, "RollBack")
OTHER = left(4, "RollBack", {"Verdict": {"Report": "not told yet"}})
ALERT, TOLD = entered(5, "Alert"), left(6, "Alert", {"Verdict": VERDICT})
# Its Catch leaves the state, too.
NOT_TOLD = left(6, "Alert", {"Verdict": VERDICT, "AlertFailure": {"Error": "SNS.AuthorizationErrorException"}})


@pytest.mark.parametrize(
    ("attempt", "history", "last"),
    [
        (1, [], LastEvents("Begin", None, False)),
        (1, [BEGIN], LastEvents("Begin", None, False)),
        (1, [BEGIN, SET_SECRET], LastEvents("SetSecret", None, False)),
        (1, [BEGIN, SET_SECRET, ROLL_BACK], LastEvents("RollBack", None, True)),
        (1, [BEGIN, ROLL_BACK], LastEvents("RollBack", None, False)),
        (2, [BEGIN, ROLL_BACK], LastEvents("RollBack", None, True)),
        (2, [BEGIN, SET_SECRET], LastEvents("SetSecret", None, False)),
        (1, [BEGIN, SET_SECRET, ROLL_BACK, OTHER, ALERT], LastEvents("Alert", None, True)),
        (1, [BEGIN, SET_SECRET, ROLL_BACK, OTHER, ALERT, TOLD], LastEvents("Alert", VERDICT, True)),
        (1, [BEGIN, SET_SECRET, ROLL_BACK, OTHER, ALERT, NOT_TOLD], LastEvents("Alert", None, True)),
    ],
)
@pytest.mark.parametrize("newest_first", [True, False])
def test_the_history_of_an_execution_that_was_stopped_tells_how_far_it_came(
    history_is: HistoryIs, attempt: int, history: list[Any], last: LastEvents, newest_first: bool
) -> None:
    history_is(history[::-1] if newest_first else history)
    ended = Executions().at(start(attempt))
    assert ended

    assert Executions().last_events(ended) == last


def test_of_a_long_history_the_end_is_read(machine: str) -> None:
    asked: list[dict[str, Any]] = []
    executions._client().meta.events.register(
        "provide-client-params.sfn.GetExecutionHistory", lambda params, **_: asked.append(params)
    )
    ended = Executions().at(start(1))
    assert ended

    Executions().last_events(ended)

    assert asked == [{"executionArn": ended.arn, "reverseOrder": True, "maxResults": 1000}]


def test_a_history_that_cannot_be_read_is_named_with_the_call(machine: str) -> None:
    with pytest.raises(InvalidEventError, match=r"^states:GetExecutionHistory on no-arn: InvalidArn: "):
        Executions().last_events(Execution("no-arn", "app-1", "ABORTED", BODY, "", ""))


@pytest.mark.parametrize(("number", "name"), [(1, "app-1-rollback"), (2, "app-1-2-rollback"), (3, "app-1-3-rollback")])
def test_every_rollback_of_an_attempt_is_known_by_the_end_of_its_name(number: int, name: str) -> None:
    assert rollback_name("app-1", number) == name
