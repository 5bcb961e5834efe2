"""What rotatorctl reads from the names and the ends of executions."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from rotation.executions import Execution, attempt_name, name_prefix, rollback_name
from rotation.model import ROTATE, TEST
from rotatorctl.aws import Aws
from rotatorctl.deployed import Stack
from rotatorctl.executions import LOG_IN_TEST, ROLLBACK, ROTATION, Name, Run, prefix_among

TOKEN = "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11"
BEGAN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def arn(name: str) -> str:
    return f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-a1B2c3"


def run(kind: str, status: str, error: str = "", cause: str = "") -> Run:
    execution = Execution("arn", "name", status, {}, error, cause)
    return Run(execution, Name(kind, TOKEN, 1), BEGAN, BEGAN + timedelta(seconds=12.34))


@pytest.mark.parametrize("secret", ["prod/orders/database", "a", "test-of/it", "x-abcdef-y", "long/" * 20, "-_-"])
@pytest.mark.parametrize("token", [TOKEN, TOKEN[:-12] + "123456789012", "t" * 64])
def test_a_name_is_read_as_it_was_made(secret: str, token: str) -> None:
    prefix = name_prefix(arn(secret))
    attempt = attempt_name(ROTATE, arn(secret), token, 12)

    made = Name.of(attempt, prefix)
    assert made and (made.kind, made.attempt) == (ROTATION, 12)
    assert made.version == token or len(token) > 36
    assert Name.of(attempt_name(TEST, arn(secret), token, 3), prefix) == Name(LOG_IN_TEST, made.version, 3)
    assert Name.of(rollback_name(attempt), prefix) == Name(ROLLBACK, made.version, 12)
    assert Name.of(rollback_name(attempt, 2), prefix) == Name(ROLLBACK, made.version, 12)


@pytest.mark.parametrize(
    "name", ["by-hand", "x-1", "test-x-1", f"other-13dda6-{TOKEN}-1", f"app-000000-{TOKEN}-1", "test-of-the-alerts"]
)
def test_an_execution_of_another_secret_or_of_a_person_is_none_of_this_secret(name: str) -> None:
    assert Name.of(name, name_prefix(arn("app"))) is None


def test_a_secret_is_found_by_the_name_of_its_execution() -> None:
    prefixes = {name_prefix(arn(name)) for name in ("app", "app/2", "a-very-long-name-of-a-secret", "test-app")}

    for name in ("app", "a-very-long-name-of-a-secret", "test-app"):
        for mode in (ROTATE, TEST):
            assert prefix_among(attempt_name(mode, arn(name), TOKEN, 1), prefixes) == name_prefix(arn(name))
    assert prefix_among(attempt_name(ROTATE, arn("other"), TOKEN, 1), prefixes) is None


REPORT = {"Outcome": "rolled back", "Step": "SetSecret", "Error": "UnavailableError", "Reason": "no", "RolledBack": 2}


def test_a_failed_rotation_is_what_its_report_says_whether_the_alert_was_published_or_not() -> None:
    told = run(ROTATION, "FAILED", "RotationFailedError", json.dumps(REPORT))
    untold = run(ROTATION, "FAILED", "AlertFailedError", json.dumps({"Report": REPORT, "Alert": {}}))

    for each in (told, untold):
        assert each.outcome == "rolled back"
        assert each.failure == ("SetSecret", "UnavailableError", "no")
        assert not each.exhausted
    assert run(ROTATION, "FAILED", "RotationFailedError", json.dumps(REPORT | {"RolledBack": 3})).exhausted


@pytest.mark.parametrize(
    ("kind", "status", "error", "outcome"),
    [
        (ROTATION, "RUNNING", "", "running"),
        (ROTATION, "SUCCEEDED", "", "rotated"),
        (ROLLBACK, "SUCCEEDED", "", "rotated"),
        (LOG_IN_TEST, "SUCCEEDED", "", "logged in"),
        (LOG_IN_TEST, "FAILED", "UnavailableError", "log-in failed"),
        (ROTATION, "ABORTED", "", "stopped"),
        (ROTATION, "TIMED_OUT", "", "stopped"),
        (ROLLBACK, "FAILED", "States.Runtime", "stopped"),
    ],
)
def test_every_end_has_an_outcome(kind: str, status: str, error: str, outcome: str) -> None:
    assert run(kind, status, error).outcome == outcome


def test_what_ended_without_a_report_says_how() -> None:
    assert run(ROTATION, "ABORTED").failure == ("", "ABORTED", "")
    assert run(ROTATION, "SUCCEEDED").failure == ("", "", "")
    cause = json.dumps({"errorMessage": "no route", "errorType": "UnavailableError"})
    assert run(LOG_IN_TEST, "FAILED", "UnavailableError", cause).failure == (
        "TestCurrent",
        "UnavailableError",
        "no route",
    )
    assert run(ROTATION, "SUCCEEDED").seconds == 12.3


OWN, VPC = "http://127.0.0.1:4566", "https://vpce-1-a.states.eu-central-1.vpce.amazonaws.com"


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("region", "endpoint", "is_aws"),
    [
        ("eu-central-1", "", True),
        ("cn-north-1", "", True),
        ("us-iso-east-1", "", True),
        ("eu-central-1", VPC, True),
        ("eu-central-1", OWN, False),
        ("eu-central-1", "https://amazonaws.com.example", False),
    ],
)
def test_only_of_what_is_asked_at_aws_the_console_shows_anything(
    region: str, endpoint: str, is_aws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", endpoint)

    assert Aws(region).has_console is is_aws


@pytest.mark.parametrize(
    ("console", "url", "shown"),
    [
        ("https://console", "https://console#/v2/executions/details/a:b", "https://console#/v2/executions/details/a:b"),
        ("", "", "`aws stepfunctions describe-execution --execution-arn a:b`"),
    ],
)
def test_an_execution_that_no_console_shows_is_shown_by_a_command(console: str, url: str, shown: str) -> None:
    stack = Stack(Aws("eu-central-1"), "stack", "function", "machine", "alerts", "notices", console)

    assert (stack.execution_url("a:b"), stack.execution_shown("a:b")) == (url, shown)
