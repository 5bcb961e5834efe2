"""What is reported of an attempt, and what the next attempt is told of it."""

import dataclasses
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from rotation import report
from rotation.alert import alert
from rotation.model import Request
from rotation.outcome import NEEDS_A_PERSON, NONE, ROLLED_BACK, ROTATED, UNTOUCHED, Failure, Finding
from rotation.report import NOTHING_TOLD, previous_of, unknown, verdict, words
from tests.unit.test_model import EVENT

NOW = datetime(2026, 11, 25, 4, 30, 7, 999_999, UTC)
JUST_NOW, YESTERDAY = "2026-11-25T04:30:07+00:00", "2026-11-24T04:30:08+00:00"
TOLD = {"Told": True, "Key": "untouched/AWSCURRENT", "ToldAt": YESTERDAY, "RolledBack": 1}
REQUEST = dataclasses.replace(Request.of(EVENT), previous=TOLD | {"Alert": {}})
FAILURE = Failure("SetSecret", "LoginRefusedError", "the service refused the log-in")


class Now(datetime):
    """The clock stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return NOW.astimezone(tz) if tz else NOW.replace(tzinfo=None)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "datetime", Now)
    monkeypatch.setenv("CONSOLE_URL", "https://console.example/executions")
    monkeypatch.delenv("TELL_SUCCESS", raising=False)


def told(key: str, told_at: str, at: str = JUST_NOW) -> dict[str, Any]:
    """What the next attempt is told, after a report under `key` made `at`, when people heard last at `told_at`."""
    before = {"Told": True, "Key": "untouched/AWSCURRENT", "ToldAt": told_at, "RolledBack": 0}
    return previous_of({"Report": {"Key": key, "At": at, "RolledBack": 2, "Previous": before}, "Alert": {}}, True)


def test_a_report_says_what_failed_what_works_and_which_attempt_it_was() -> None:
    finding = Finding(ROLLED_BACK, pending_removed=True)

    assert verdict(REQUEST, finding, FAILURE)["Report"] == {
        "Outcome": "rolled back",
        "Step": "SetSecret",
        "Error": "LoginRefusedError",
        "Reason": "the service refused the log-in",
        "Working": "AWSCURRENT",
        "PendingRemoved": True,
        "Key": "rolled back/AWSCURRENT/given up",
        "Tell": True,
        "RolledBack": 2,
        "Begun": True,
        "Attempt": 2,
        "SecretId": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/orders/database-a1B2c3",
        "ClientRequestToken": "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11",
        "Execution": "arn:aws:states:us-east-1:123456789012:execution:rotation:x",
        "At": JUST_NOW,
        "Previous": TOLD,
    }


@pytest.mark.parametrize("outcome", [ROTATED, UNTOUCHED, NEEDS_A_PERSON])
def test_only_an_attempt_that_was_put_right_counts_as_such(outcome: str) -> None:
    found = verdict(REQUEST, Finding(outcome), FAILURE)["Report"]

    assert (found["RolledBack"], found["Key"]) == (1, f"{outcome}/AWSCURRENT")


@pytest.mark.parametrize(("before", "key"), [(1, "rolled back/AWSCURRENT"), (2, "rolled back/AWSCURRENT/held")])
def test_the_third_attempt_that_was_put_right_is_the_last(before: int, key: str) -> None:
    request = dataclasses.replace(REQUEST, previous=TOLD | {"RolledBack": before})

    found = verdict(request, Finding(ROLLED_BACK), FAILURE)

    assert (found["Report"]["Key"], found["Alert"]["Key"]) == (key, key)
    assert found["Alert"]["Body"]["attempt"] == 2


def test_many_attempts_that_were_put_right_hold_back_none_that_changed_nothing() -> None:
    request = dataclasses.replace(REQUEST, previous=TOLD | {"RolledBack": 3})

    assert verdict(request, Finding(UNTOUCHED), FAILURE)["Report"]["Key"] == "untouched/AWSCURRENT"


def test_the_alert_is_that_of_the_finding() -> None:
    finding = Finding(NEEDS_A_PERSON, NONE, "refused: AWSCURRENT")

    made, expected = verdict(REQUEST, finding, FAILURE)["Alert"], alert(REQUEST, finding, FAILURE, 1)

    differing = {key for key in made["Body"] if made["Body"][key] != expected["Body"][key]}
    assert differing <= {"alertId", "time"}
    assert (made["Subject"], made["Key"]) == (expected["Subject"], expected["Key"])


def test_an_alert_that_reached_nobody_goes_out_in_its_own_words_while_it_is_true() -> None:
    unsent = {"Key": "untouched/AWSCURRENT", "Subject": "as it was"}
    request = dataclasses.replace(REQUEST, previous=TOLD | {"Alert": unsent})

    assert verdict(request, Finding(UNTOUCHED), FAILURE)["Alert"] == unsent
    assert verdict(request, Finding(ROLLED_BACK), FAILURE)["Alert"]["Key"] == "rolled back/AWSCURRENT"


@pytest.mark.parametrize(
    ("outcome", "previous", "tell_success", "tells"),
    [
        (ROTATED, NOTHING_TOLD, "", False),
        (ROTATED, NOTHING_TOLD, "false", False),
        (ROTATED, NOTHING_TOLD, "true", True),
        (ROTATED, TOLD, "", True),
        # People would have heard of it if the alert could have been sent.
        (ROTATED, NOTHING_TOLD | {"Alert": {"Key": "untouched/AWSCURRENT"}}, "", True),
        (UNTOUCHED, NOTHING_TOLD, "", True),
    ],
)
def test_a_failure_is_told_and_a_success_after_one_or_where_all_are_wanted(
    monkeypatch: pytest.MonkeyPatch, outcome: str, previous: dict[str, Any], tell_success: str, tells: bool
) -> None:
    monkeypatch.setenv("TELL_SUCCESS", tell_success)
    request = dataclasses.replace(REQUEST, previous=previous)

    assert verdict(request, Finding(outcome), Failure())["Report"]["Tell"] is tells


def test_before_the_first_attempt_nothing_was_told() -> None:
    assert NOTHING_TOLD == {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0, "Begun": False, "Alert": {}}


def test_the_next_attempt_knows_what_people_were_told_and_when() -> None:
    assert told("rolled back/AWSCURRENT", YESTERDAY) == {
        "Told": True,
        "Key": "rolled back/AWSCURRENT",
        "ToldAt": JUST_NOW,
        "RolledBack": 2,
        "Begun": True,
        "Alert": {},
    }


@pytest.mark.parametrize(
    ("ago", "key"),
    [
        (timedelta(hours=23, minutes=59), "untouched/AWSCURRENT"),
        (timedelta(hours=24), "untouched/AWSCURRENT"),
        (timedelta(hours=24, seconds=1), "none"),
    ],
)
def test_people_are_told_again_of_the_same_after_a_day(ago: timedelta, key: str) -> None:
    told_at = (NOW - ago).isoformat()

    found = told("untouched/AWSCURRENT", told_at)

    assert (found["ToldAt"], found["Key"]) == (told_at, key)


def test_an_alert_that_reached_nobody_is_handed_on_and_nothing_counts_as_told() -> None:
    before = {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0}
    reported = {"Key": "rolled back/AWSCURRENT", "At": JUST_NOW, "RolledBack": 1, "Previous": before}

    found = previous_of({"Report": reported, "Alert": {"Subject": "as it was"}}, False)

    assert found == before | {"RolledBack": 1, "Begun": True, "Alert": {"Subject": "as it was"}}


def test_after_an_alert_that_reached_nobody_whatever_is_true_next_is_told() -> None:
    before = {"Told": True, "Key": "untouched/AWSCURRENT", "ToldAt": YESTERDAY, "RolledBack": 0}
    reported = {"Key": "needs a person/unknown", "At": JUST_NOW, "RolledBack": 0, "Previous": before}

    found = previous_of({"Report": reported, "Alert": {"Subject": "as it was"}}, False)

    assert (found["Key"], found["Told"]) == ("none", True)


@pytest.mark.parametrize(("reported", "begun"), [({"Begun": False}, False), ({"Begun": True}, True), ({}, True)])
def test_the_next_attempt_knows_whether_anything_can_have_changed(reported: dict[str, bool], begun: bool) -> None:
    before = {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0}
    report = {"Key": "untouched/AWSCURRENT", "At": JUST_NOW, "RolledBack": 0, "Previous": before} | reported

    assert previous_of({"Report": report, "Alert": {}}, True)["Begun"] is begun


@pytest.mark.parametrize(
    ("step", "before", "begun"),
    [("CreateSecret", False, False), ("CreateSecret", True, True), ("SetSecret", False, True)],
)
def test_a_report_knows_whether_anything_can_have_changed(step: str, before: bool, begun: bool) -> None:
    request = dataclasses.replace(REQUEST, previous=REQUEST.previous | {"Begun": before})

    assert verdict(request, Finding(UNTOUCHED), Failure(step))["Report"]["Begun"] is begun


def test_a_report_in_one_line_names_error_step_reason_what_works_and_the_execution() -> None:
    assert words(verdict(REQUEST, Finding(UNTOUCHED), FAILURE)["Report"]) == (
        "untouched: LoginRefusedError in SetSecret: the service refused the log-in. "
        "Works now: AWSCURRENT. Execution: arn:aws:states:us-east-1:123456789012:execution:rotation:x"
    )


def test_where_nobody_could_look_a_person_is_needed() -> None:
    assert unknown("arn:execution", TOLD, "app-1-rollback ended as TIMED_OUT") == {
        "Report": {
            "Outcome": "needs a person",
            "Key": "needs a person/unknown",
            "Step": "RollBack",
            "Error": "States.Runtime",
            "Reason": "app-1-rollback ended as TIMED_OUT",
            "Working": "unknown",
            "PendingRemoved": False,
            "RolledBack": 1,
            "Execution": "arn:execution",
            "At": JUST_NOW,
            "Previous": TOLD,
        },
        "Alert": {},
    }
