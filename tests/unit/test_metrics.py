"""What is counted, as CloudWatch reads it from the log."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rotation import overdue
from rotation.errors import LoginRefusedError, RotationFailedError, StageConflictError, StillRunningError
from rotation.metrics import NAMESPACE, OUTCOMES, count_attempt, count_not_started, count_refused
from rotation.model import Request
from rotation.runtime import lambda_handler, rotate_handler
from tests.unit.test_model import EVENT

ROOT = Path(__file__).parents[2]
MONITORING = (ROOT / "monitoring.yaml").read_text()
REQUEST = dataclasses.replace(Request.of(EVENT), started="2026-11-25T04:30:00.000+00:00")
KIND = {"Engine": "postgres", "Strategy": "single user"}
CALL = {"Step": "createSecret", "SecretId": REQUEST.secret_id, "ClientRequestToken": REQUEST.token}


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "secret-rotation")


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that CloudWatch takes for metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def metrics(lines: list[dict[str, Any]]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each metric by its name and dimensions."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for line in lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "SecretRotation"
        (names,) = directive["Dimensions"]
        dimensions = frozenset((name, line[name]) for name in names)
        found |= {(each["Name"], dimensions): line[each["Name"]][0] for each in directive["Metrics"]}
        units = {each["Name"]: each["Unit"] for each in directive["Metrics"]}
        assert units == {name: "Milliseconds" if name == "Duration" else "Count" for name in units}
    return found


@pytest.mark.parametrize(("outcome", "name"), OUTCOMES.items())
def test_an_attempt_is_counted_per_stack_and_once_by_engine(
    capsys: pytest.CaptureFixture[str], outcome: str, name: str
) -> None:
    count_attempt(REQUEST, {"Outcome": outcome, "Step": "SetSecret", "Error": "UnavailableError"}, KIND)

    lines = emitted(capsys)
    counted = metrics(lines)
    stack = frozenset({("service", "secret-rotation")})
    by_engine = stack | {("Outcome", outcome), *KIND.items()}
    assert counted.pop(("Duration", stack)) > 0
    assert counted == {(name, stack): 1, ("Attempts", stack): 2, ("Rotations", by_engine): 1}
    assert all(line["secret"] == REQUEST.secret_name for line in lines)
    assert (lines[0]["step"], lines[0]["error"]) == ("SetSecret", "UnavailableError")


def test_an_execution_from_before_an_upgrade_has_no_duration(capsys: pytest.CaptureFixture[str]) -> None:
    count_attempt(dataclasses.replace(REQUEST, started=""), {"Outcome": "rotated", "Step": "", "Error": ""}, KIND)

    assert {name for name, _ in metrics(emitted(capsys))} == {"Rotated", "Attempts", "Rotations"}


@pytest.mark.parametrize(
    ("error", "count"), [(StageConflictError, 1), (KeyError, 1), (RotationFailedError, 0), (StillRunningError, 0)]
)
def test_a_call_that_came_to_no_execution_is_counted(
    capsys: pytest.CaptureFixture[str], error: type[Exception], count: int
) -> None:
    def answer(event: Any, context: Any) -> None:
        raise error("made to fail by a test")

    with pytest.raises(Exception, match="made to fail"):
        rotate_handler(answer)(CALL, None)

    lines = emitted(capsys)
    assert [line["RotationNotStarted"] for line in lines] == [[1.0]] * count
    assert all(line["secret"] == REQUEST.secret_name and line["error"] == error.__name__ for line in lines)


def test_news_of_an_execution_is_no_call_of_secrets_manager(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(event: Any, context: Any) -> None:
        raise StageConflictError

    with pytest.raises(StageConflictError):
        rotate_handler(answer)({"detail-type": "Step Functions Execution Status Change"}, None)

    assert emitted(capsys) == []


def test_a_step_that_the_service_refused_to_log_in_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def step(rotation: Any) -> Any:
        raise LoginRefusedError("refused")

    with pytest.raises(LoginRefusedError):
        lambda_handler(step)(EVENT, None)

    (line,) = emitted(capsys)
    assert (line["RefusedLogIns"], line["secret"]) == ([1.0], REQUEST.secret_name)


@pytest.fixture
def everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all metrics that have no other dimension than the stack."""
    monkeypatch.setenv("ROTATE_FUNCTION_ARN", "arn:aws:lambda:us-east-1:123456789012:function:secret-rotation-rotate")
    monkeypatch.setattr(overdue, "rotated_by", lambda arn: [])
    for outcome in OUTCOMES:
        count_attempt(REQUEST, {"Outcome": outcome, "Step": "SetSecret", "Error": "UnavailableError"}, KIND)
    count_not_started(REQUEST.secret_name, "StageConflictError")
    count_refused(REQUEST.secret_name)
    overdue.find_overdue({})
    stack = frozenset({("service", "secret-rotation")})
    return {name for name, dimensions in metrics(emitted(capsys)) if dimensions == stack}


def test_dashboard_and_alarms_show_what_is_counted_and_nothing_else(everything: set[str]) -> None:
    on_dashboard = re.findall(r'\["SecretRotation", "(\w+)", "service", "\$\{Name\}"', MONITORING)
    alarms = re.findall(
        r"Namespace: SecretRotation\n +MetricName: (\w+)\n +Dimensions: \[\{Name: service, Value: !Ref Name\}\]",
        MONITORING,
    )

    assert MONITORING.count('["SecretRotation"') == len(on_dashboard)
    assert MONITORING.count("Namespace: SecretRotation") == len(alarms)
    assert set(on_dashboard) == everything
    assert set(alarms) <= everything


def test_every_metric_is_documented(everything: set[str]) -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/console.md").read_text(), re.MULTILINE)

    assert everything | {"Rotations"} <= set(documented)


def test_a_function_counts_the_attempt_that_its_report_ends(capsys: pytest.CaptureFixture[str]) -> None:
    event = EVENT | {"Completed": EVENT["Completed"] | KIND}
    report = {"Outcome": "untouched", "Step": "SetSecret", "Error": "UnavailableError"}

    lambda_handler(lambda rotation: {"Report": report})(event, None)
    lambda_handler(lambda rotation: {"State": "SetSecret"})(event, None)

    counted = {name: dict(dimensions) for name, dimensions in metrics(emitted(capsys))}
    assert set(counted) == {"Untouched", "Attempts", "Rotations"}
    assert counted["Rotations"] == {"service": "secret-rotation", "Outcome": "untouched", **KIND}


def test_each_outcome_has_its_metric() -> None:
    assert OUTCOMES == {
        "rotated": "Rotated",
        "untouched": "Untouched",
        "rolled back": "RolledBack",
        "needs a person": "NeedsAPerson",
    }
