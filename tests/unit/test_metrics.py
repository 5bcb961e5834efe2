"""What is counted, as CloudWatch reads it from the log."""

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rotation import overdue
from rotation.errors import LoginRefusedError
from rotation.executions import Execution
from rotation.labels import Labels
from rotation.metrics import (
    OUTCOMES,
    count_attempt,
    count_if_nobody_looked,
    count_if_nobody_was_told,
    count_not_started,
    count_refused,
)
from rotation.model import Request
from rotation.report import NOTHING_TOLD
from rotation.step_handler import lambda_handler
from tests.function_log import logged_to
from tests.unit.test_model import EVENT

ROOT = Path(__file__).parents[2]
# In a query of Logs Insights: what the log itself adds, texts, words of its language.
NO_FIELD = r"""@\w+|'[^']*'|"[^"]*"|\b(and|not|like|desc|asc|ispresent)\b"""
MONITORING = (ROOT / "monitoring.yaml").read_text()
REQUEST = dataclasses.replace(Request.of(EVENT), started="2026-11-25T04:30:00.000+00:00", previous=NOTHING_TOLD)
KIND = {"Engine": "postgres", "Strategy": "single user"}


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "secret-rotation")


def report(outcome: str, key: str = "another") -> dict[str, Any]:
    return {"Outcome": outcome, "Step": "SetSecret", "Error": "UnavailableError", "Attempt": 2, "Key": key}


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
    count_attempt(REQUEST, report(outcome), KIND)

    lines = emitted(capsys)
    counted = metrics(lines)
    stack = frozenset({("service", "secret-rotation")})
    by_engine = stack | {("Outcome", outcome), *KIND.items()}
    assert counted.pop(("Duration", stack)) > 0
    assert counted == {(name, stack): 1, ("Attempts", stack): 2, ("Rotations", by_engine): 1}
    assert all(line["secret"] == REQUEST.secret_name for line in lines)
    asked_for = {key: lines[0][key] for key in ("outcome", "step", "error", "attempt")}
    assert asked_for == {"outcome": outcome, "step": "SetSecret", "error": "UnavailableError", "attempt": 2}


def test_an_execution_from_before_an_upgrade_has_no_duration(capsys: pytest.CaptureFixture[str]) -> None:
    count_attempt(
        dataclasses.replace(REQUEST, started=""),
        report("rotated"),
        KIND,
    )

    assert {name for name, _ in metrics(emitted(capsys))} == {"Rotated", "Attempts", "Rotations"}


def test_a_step_that_the_service_refused_to_log_in_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def step(rotation: Any) -> Any:
        raise LoginRefusedError("refused")

    with pytest.raises(LoginRefusedError):
        lambda_handler(step, Labels)(EVENT, None)

    (line,) = emitted(capsys)
    assert (line["RefusedLogIns"], line["secret"]) == ([1.0], REQUEST.secret_name)


@pytest.fixture
def everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all metrics that have no other dimension than the stack."""
    monkeypatch.setenv("ROTATE_FUNCTION_ARN", "arn:aws:lambda:us-east-1:123456789012:function:secret-rotation-rotate")
    monkeypatch.setattr(overdue, "rotated_by", lambda arn: [])
    for outcome in OUTCOMES:
        count_attempt(
            REQUEST,
            report(outcome),
            KIND,
        )
    count_not_started(REQUEST.secret_name, "StageConflictError")
    count_if_nobody_was_told(Execution("arn", "name-1", "FAILED", {"SecretId": "payments/db"}, "AlertFailedError", ""))
    count_refused(REQUEST.secret_name)
    overdue.find_overdue({})
    stack = frozenset({("service", "secret-rotation")})
    return {name for name, dimensions in metrics(emitted(capsys)) if dimensions == stack}


def test_a_person_who_is_needed_is_called_once_for_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    again = dataclasses.replace(REQUEST, previous=REQUEST.previous | {"Key": "needs a person/unknown"})
    for key in ("needs a person/unknown", "needs a person/none"):
        count_attempt(again, report("needs a person", key), KIND)

    assert [line["NeedsAPerson"] for line in emitted(capsys) if "NeedsAPerson" in line] == [[0.0], [1.0]]


def test_a_rollback_that_did_not_end_is_counted_with_what_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"SecretId": "payments/db", "Mode": "RollBack", "Attempt": 2}
    count_if_nobody_looked(Execution("arn", "name-2-rollback", "TIMED_OUT", about, "States.Timeout", ""))

    (line,) = emitted(capsys)
    known = {
        "NeedsAPerson": [1.0],
        "secret": "payments/db",
        "outcome": "needs a person",
        "attempt": 2,
        "step": "RollBack",
        "error": "States.Timeout",
    }
    assert {name: line[name] for name in known} == known


def test_every_field_that_a_query_asks_for_is_in_the_logs(
    capsys: pytest.CaptureFixture[str], everything: set[str]
) -> None:
    """Of an array in a log line the query would have to ask for an element, so those are of no use."""
    count_attempt(REQUEST, report("rotated"), KIND)
    with logged_to(io.StringIO()) as log:
        lambda_handler(lambda rotation: {"State": "SetSecret"}, Labels)(EVENT, None)
    lines = [*emitted(capsys), *map(json.loads, log.getvalue().splitlines())]
    written = {name for line in lines for name, value in line.items() if not isinstance(value, list | dict)}
    # Those of an error's record are the runtime's:
    # https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    written |= {"errorType", "errorMessage", "attempts"}

    queries = re.findall(r"""(?:SOURCE[^"]*"|fields .*\n *\|.*)""", MONITORING)
    asked = {
        name
        for query in queries
        for part in re.findall(r"(?:fields|filter|by|sort|ispresent\()([^|\n]*)", query)
        for name in re.findall(
            r"[a-zA-Z]+", re.sub(r"""@\w+|'[^']*'|"[^"]*"|\b(and|not|like|desc|asc)\b|ispresent""", "", part)
        )
    }

    assert len(queries) == 5
    assert asked - written == set()


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
    lambda_handler(lambda rotation: {"Report": report("untouched")}, Labels)(event, None)
    lambda_handler(lambda rotation: {"State": "SetSecret"}, Labels)(event, None)

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
