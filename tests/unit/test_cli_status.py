"""The state of a secret in `rotatorctl status`, and which comes first."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from rotation.executions import Execution
from rotatorctl.commands import status
from rotatorctl.deployed import Described
from rotatorctl.executions import LOG_IN_TEST, ROTATION, Name, Run
from rotatorctl.fleet import Member

TODAY = date(2026, 4, 1)
MARCH = datetime(2026, 3, 20, 10, tzinfo=UTC)
ROTATED: dict[str, Any] = {
    "Name": "app",
    "ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-a1B2c3",
    "CreatedDate": MARCH - timedelta(days=100),
    "LastRotatedDate": MARCH,
    "NextRotationDate": MARCH + timedelta(days=30),
    "RotationRules": {"AutomaticallyAfterDays": 30},
    "RotationEnabled": True,
    "SecretVersionsToStages": {"one": ["AWSCURRENT"]},
}
STUCK = {"SecretVersionsToStages": {"one": ["AWSCURRENT"], "two": ["AWSPENDING"]}}
LATE = {"NextRotationDate": MARCH - timedelta(days=5)}
OFF = {"RotationEnabled": False}


def ended(status: str, outcome: str = "", kind: str = ROTATION) -> Run:
    cause = f'{{"Outcome": "{outcome}"}}' if outcome else ""
    execution = Execution("arn", "name", status, {}, "RotationFailedError" if outcome else "", cause)
    return Run(execution, Name(kind, "two", 1), MARCH, MARCH)


@pytest.mark.parametrize(
    ("changes", "last", "state"),
    [
        ({}, ended("SUCCEEDED"), "fine"),
        ({}, None, "fine"),
        ({}, ended("FAILED", "needs a person"), "needs a person"),
        ({"DeletedDate": MARCH}, ended("SUCCEEDED"), "scheduled for deletion"),
        (LATE, ended("FAILED", "untouched"), "overdue"),
        (LATE | OFF, None, "rotation off"),
        (OFF, ended("FAILED", kind=LOG_IN_TEST), "rotation off"),
        (OFF, ended("FAILED", "rolled back"), "rotation off"),
        (OFF, ended("FAILED", "needs a person"), "needs a person"),
        (OFF, ended("ABORTED"), "failed"),
        (OFF | STUCK, None, "stuck"),
        (STUCK, ended("FAILED", "rolled back"), "failed"),
        ({}, ended("ABORTED"), "failed"),
        ({}, ended("FAILED", kind=LOG_IN_TEST), "failed"),
        (STUCK, None, "stuck"),
        (STUCK, ended("RUNNING"), "running"),
    ],
)
def test_the_state_is_the_most_urgent_that_is_true(changes: dict[str, Any], last: Run | None, state: str) -> None:
    member = Member(Described(ROTATED | changes), TODAY, last)

    assert member.state == state
    assert member.quiet == (state in ("fine", "running", "rotation off"))


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (ended("FAILED", kind=LOG_IN_TEST), ("-", "-", "-")),
        (ended("SUCCEEDED"), ("2026-03-20", "-", "12 d")),
        (None, ("-", "-", "-")),
    ],
)
def test_when_a_secret_was_rotated_whose_rotation_is_off_only_an_execution_tells(
    last: Run | None, shown: tuple[str, ...]
) -> None:
    kept = {key: value for key, value in ROTATED.items() if key not in ("LastRotatedDate", "NextRotationDate")}

    member = Member(Described(kept | OFF), TODAY, last)
    row = dict(zip(status._COLUMNS, status._row(member), strict=True))

    assert (row["rotated"], row["next"], row["age"]) == shown
    data, told = status._data(member), shown != ("-", "-", "-")
    assert (data["lastRotated"], data["ageDays"]) == (("2026-03-20", 12) if told else (None, None))


def test_a_secret_that_was_never_rotated_is_no_alarm_before_it_is_due() -> None:
    never = {key: value for key, value in ROTATED.items() if key != "LastRotatedDate"}

    member = Member(Described(never), TODAY, ended("SUCCEEDED", kind=LOG_IN_TEST))

    assert (member.state, member.quiet) == ("never rotated", True)


def test_the_urgent_come_first_and_then_those_that_are_due_first() -> None:
    sooner = Member(Described(ROTATED | {"Name": "b", "NextRotationDate": MARCH + timedelta(days=20)}), TODAY)
    later = Member(Described(ROTATED | {"Name": "a"}), TODAY)
    stuck = Member(Described(ROTATED | STUCK | {"Name": "c"}), TODAY)
    unplanned = {key: value for key, value in ROTATED.items() if key not in ("NextRotationDate", "RotationRules")}
    never_due = Member(Described(unplanned), TODAY)

    ranked = sorted([never_due, later, sooner, stuck], key=lambda member: member.rank)

    assert ranked == [stuck, sooner, later, never_due]
    assert [member.interval for member in ranked] == ["every 30 days"] * 3 + ["none"]
