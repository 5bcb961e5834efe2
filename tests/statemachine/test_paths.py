"""Each path through the state machine, by the test cases of mock_config.json: states entered, end, who is told.

RollBack's answers are shared by the cases, so the step and error in a report need not be those of its case.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import pytest

from rotation.model import Request
from rotation.outcome import ROTATED, Failure, Finding
from rotation.report import NOTHING_TOLD, previous_of, verdict, words
from tests.statemachine.conftest import CASES, CONFIG, DEFINITION, ROOT, Machine, Run, answers
from tests.statemachine.diagram import transitions

# Each case is run once in a process.
pytestmark = pytest.mark.xdist_group("paths")

STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret")
ENDS = {
    "RotationSucceeded": ("SUCCEEDED", ""),
    "RotationFailed": ("FAILED", "RotationFailedError"),
    "RollbackFailed": ("FAILED", "RollbackFailedError"),
    "AlertFailed": ("FAILED", "AlertFailedError"),
}
NOW = datetime.now(UTC).isoformat()
TOLD_UNTOUCHED = {"Told": True, "ToldAt": NOW, "Key": "untouched/AWSCURRENT"}
TOLD_UNKNOWN = {"Told": True, "ToldAt": NOW, "Key": "needs a person/unknown", "RolledBack": 2}
# What subscribers can filter by, and the key of the alert's body that it repeats.
ATTRIBUTES = {
    "AlertId": "alertId",
    "Severity": "severity",
    "Outcome": "outcome",
    "Secret": "secretArn",
    "Step": "step",
    "Error": "error",
}
REQUEST = ("Mode", "SecretId", "ClientRequestToken", "Attempt", "Previous")
NOT_LOOKED = ("RollBack", "DescribeRollbackFailure")


@dataclass(frozen=True)
class Expected:
    """The states after SelectMode, the status and error at the end, and what differs in the input."""

    path: tuple[str, ...]
    end: tuple[str, str]
    mode: str = "rotate"
    previous: dict[str, Any] = field(default_factory=dict)


def silent(*path: str, end: str, **body: Any) -> Expected:
    """Nobody is told."""
    return Expected((*path, "ShouldTell", "SelectEnd", end), ENDS[end], **body)


def told(*path: str, end: str, **body: Any) -> Expected:
    """People are told before the end."""
    return Expected((*path, "ShouldTell", "ComposeAlert", "Alert", "SelectEnd", end), ENDS[end], **body)


def unsent(*path: str, **body: Any) -> Expected:
    """People were to be told and could not be."""
    return Expected((*path, "ShouldTell", "ComposeAlert", "Alert", "AlertFailed"), ENDS["AlertFailed"], **body)


def only_logging_in(status: str, error: str = "") -> Expected:
    """Mode Test: nothing changes, nobody is told."""
    return Expected(("TestCurrent",), (status, error), mode="test")


def failed_in(step: str, *then: str) -> tuple[str, ...]:
    return (*STEPS[: STEPS.index(step) + 1], *then)


EXPECTED = {
    "Rotated": silent(*STEPS, end="RotationSucceeded"),
    "RotatedAfterRetries": silent(*STEPS, end="RotationSucceeded"),
    "RotatedAfterManyOthers": silent(*STEPS, end="RotationSucceeded"),
    "RecoveredAfterPeopleWereTold": told(*STEPS, end="RotationSucceeded", previous=TOLD_UNTOUCHED),
    **{f"{step}Fails": told(*failed_in(step, "RollBack"), end="RotationFailed") for step in STEPS[:3]},
    "FinishSecretFails": told(*failed_in("FinishSecret", "AwaitLateStatement", "RollBack"), end="RotationFailed"),
    "FinishSecretIsDenied": told(*failed_in("FinishSecret", "RollBack"), end="RotationFailed"),
    **{
        f"{step}StaysUnavailable": told(*failed_in(step, "RollBack"), end="RotationFailed")
        for step in ("CreateSecret", "TestSecret")
    },
    **{
        f"{step}StaysUnavailable": told(*failed_in(step, "AwaitLateStatement", "RollBack"), end="RotationFailed")
        for step in ("SetSecret", "FinishSecret")
    },
    **{
        f"{step}GivesNoAnswer": told(*failed_in(step, "AwaitLateStatement", "RollBack"), end="RotationFailed")
        for step in STEPS
    },
    "FinishSecretGivesNoAnswerButHasPromoted": silent(
        *failed_in("FinishSecret", "AwaitLateStatement", "RollBack"), end="RotationSucceeded"
    ),
    "RollBackNeedsAPerson": told(*failed_in("SetSecret", "RollBack"), end="RollbackFailed"),
    "RollBackOutlastsAFailover": told(*failed_in("TestSecret", "RollBack"), end="RotationFailed"),
    "RollBackCannotLook": told(*failed_in("SetSecret", "AwaitLateStatement", *NOT_LOOKED), end="RollbackFailed"),
    "RollBackCannotLookAgain": silent(
        *failed_in("SetSecret", "AwaitLateStatement", *NOT_LOOKED), end="RollbackFailed", previous=TOLD_UNKNOWN
    ),
    "PeopleAreNotToldTwice": silent(*failed_in("SetSecret", "RollBack"), end="RotationFailed", previous=TOLD_UNTOUCHED),
    "PeopleAreToldOfAChange": told(*failed_in("SetSecret", "RollBack"), end="RollbackFailed", previous=TOLD_UNTOUCHED),
    "AlertIsPublishedAtTheFourthAttempt": told(*failed_in("SetSecret", "RollBack"), end="RotationFailed"),
    "AlertFails": unsent(*failed_in("SetSecret", "RollBack")),
    "AlertFailsAndNobodyCouldLook": unsent(*failed_in("SetSecret", *NOT_LOOKED)),
    "RecoveryCannotBeTold": unsent(*STEPS, previous=TOLD_UNTOUCHED),
    "CurrentLogsIn": only_logging_in("SUCCEEDED"),
    "CurrentIsRefused": only_logging_in("FAILED", "LoginRefusedError"),
    "CurrentStaysUnavailable": only_logging_in("FAILED", "UnavailableError"),
    "StoppedBeforeAnythingChanged": told("AwaitLateStatement", "RollBack", end="RotationFailed", mode="roll_back"),
    "StoppedAfterThePromotion": silent("AwaitLateStatement", "RollBack", end="RotationSucceeded", mode="roll_back"),
    "StoppedAndNobodyCanLook": told("AwaitLateStatement", *NOT_LOOKED, end="RollbackFailed", mode="roll_back"),
}


type Runner = Callable[[str], Run]


@pytest.fixture(scope="module")
def run(machine: Machine) -> Runner:
    """Runs a case, once for all tests."""

    @cache
    def once(case: str) -> Run:
        body = json.loads((ROOT / "events/executions" / f"{EXPECTED[case].mode}.json").read_text())
        body["Previous"] |= EXPECTED[case].previous
        body["Attempt"] += bool(EXPECTED[case].previous)
        return machine.run(case, body)

    return once


def reported(case: str) -> Any:
    """The verdict that a function gives in this case; None if there is none."""
    last = [sequence[-1] for state, sequence in answers(case).items() if state in ("FinishSecret", "RollBack")][-1:]
    return last[0]["Return"]["Payload"] if last and "Return" in last[0] else None


def test_every_case_of_the_file_has_an_expectation() -> None:
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("case", CASES)
def test_a_case_goes_its_path_to_its_end(run: Runner, case: str) -> None:
    expected = EXPECTED[case]

    execution = run(case)

    assert execution.path == ["Begin", "SelectMode", *expected.path]
    assert (execution.status, execution.error) == expected.end


@pytest.mark.parametrize("case", CASES)
def test_every_answer_of_a_case_is_used_and_no_further_one_asked_for(run: Runner, case: str) -> None:
    calls = Counter(state for state, _ in run(case).given)

    assert calls == {state: len(sequence) for state, sequence in answers(case).items()}


@pytest.mark.parametrize("case", [case for case in CASES if reported(case)])
def test_the_last_word_is_the_report_of_the_function_that_looked(run: Runner, case: str) -> None:
    execution, verdict = run(case), reported(case)

    if execution.status == "SUCCEEDED":
        assert execution.output == verdict["Report"]
    else:
        assert json.loads(execution.cause) == (verdict if execution.path[-1] == "AlertFailed" else verdict["Report"])


@pytest.mark.parametrize("case", [case for case in CASES if "ComposeAlert" in EXPECTED[case].path])
def test_the_alert_carries_the_words_of_the_verdict_to_mail_and_to_machines(run: Runner, case: str) -> None:
    (*_, (state, parameters)) = run(case).given

    assert state == "Alert"
    assert parameters["TopicArn"].endswith(":alerts")
    assert parameters["MessageStructure"] == "json"
    text = json.loads(parameters["Message"])
    body = json.loads(text["default"])
    attributes = {name: each["StringValue"] for name, each in parameters["MessageAttributes"].items()}
    assert set(text) == {"default", "email"}
    assert 0 < len(parameters["Subject"]) < 100
    assert attributes == {name: body[key] for name, key in ATTRIBUTES.items()}
    assert all(attributes.values())
    if verdict := reported(case):
        assert body == verdict["Alert"]["Body"]
        assert text["email"] == verdict["Alert"]["Email"]
        assert parameters["Subject"] == verdict["Alert"]["Subject"]


@pytest.mark.parametrize(
    ("case", "step", "error"),
    [
        ("RollBackCannotLook", "CreateSecret", "States.Timeout"),
        ("RollBackCannotLookAgain", "CreateSecret", "States.Timeout"),
        ("AlertFailsAndNobodyCouldLook", "CreateSecret", "LoginRefusedError"),
        ("StoppedAndNobodyCanLook", "SetSecret", "Execution.ABORTED"),
    ],
)
def test_when_nobody_could_look_the_state_alone_says_what_is_known(
    run: Runner, case: str, step: str, error: str
) -> None:
    execution = run(case)

    report = json.loads(execution.cause)
    report = report.get("Report", report)
    assert (report["Outcome"], report["Working"]) == ("needs a person", "unknown")
    assert (report["Step"], report["Error"]) == (step, error)
    assert report["Reason"] == "Unable to import module 'roll_back'"
    assert report["RolledBack"] == execution.body["Previous"]["RolledBack"]
    assert {key: report[key] for key in REQUEST[1:]} == {key: execution.body[key] for key in REQUEST[1:]}
    assert report["Execution"] == execution.arn
    assert words(report)
    assert previous_of({"Report": report, "Alert": {}}, True)["Key"] == report["Key"]


@pytest.mark.parametrize("case", ["RollBackCannotLook", "AlertFailsAndNobodyCouldLook", "StoppedAndNobodyCanLook"])
def test_when_nobody_could_look_the_mail_says_what_to_do(run: Runner, case: str) -> None:
    execution = run(case)
    (*_, (_, parameters)) = execution.given

    text = json.loads(parameters["Message"])
    body = json.loads(text["default"])
    for said in (body["error"], "Runtime.ImportModuleError", "Unable to import module", execution.arn):
        assert said in text["email"]
    assert body["alertId"].startswith(body["versionId"])
    assert body["executionUrl"].endswith(f"/{execution.arn}")
    assert body["nextCommand"] == f"aws secretsmanager rotate-secret --secret-id {execution.body['SecretId']}"
    assert body["nextCommand"] in text["email"]


@pytest.mark.parametrize("case", CASES)
def test_every_function_is_given_the_request(run: Runner, case: str) -> None:
    execution = run(case)
    request = {key: execution.body[key] for key in REQUEST} | {"Execution": execution.arn}

    given = [parameters["Payload"]["Request"] for state, parameters in execution.given if state != "Alert"]

    assert given
    assert all(each.pop("Started") for each in given)
    assert all(each == request for each in given)


@pytest.mark.parametrize("case", CASES)
def test_a_function_is_given_the_last_step_that_was_completed(run: Runner, case: str) -> None:
    completed = {
        "State": run(case).body["Ended"]["Step"],
        "CurrentVersionId": "",
        "Engine": "unknown",
        "Strategy": "unknown",
    }

    for state, calls in groupby(run(case).given, key=itemgetter(0)):
        if state != "Alert":
            assert all(parameters["Payload"]["Completed"] == completed for _, parameters in calls)
        answer = answers(case)[state][-1]
        if state in STEPS[:3] and "Return" in answer:
            completed = answer["Return"]["Payload"]


def test_creation_is_told_how_often_it_was_put_off_because_it_waits_itself_in_the_end(run: Runner) -> None:
    given = [parameters["Payload"] for state, parameters in run("RotatedAfterManyOthers").given]

    assert [payload.get("RetryCount") for payload in given[:10]] == list(range(10))


def test_rollback_is_told_that_it_ran_before_because_it_may_have_lost_its_own_answer(run: Runner) -> None:
    given = [
        parameters["Payload"] for state, parameters in run("RollBackOutlastsAFailover").given if state == "RollBack"
    ]

    assert [payload["RetryCount"] for payload in given] == [0, 1, 2, 3, 4, 5]
    assert {payload["Failure"]["Error"] for payload in given} == {"LoginRefusedError"}


@pytest.mark.parametrize("case", CASES)
def test_the_rotation_token_is_given_to_create_secret_alone(run: Runner, case: str) -> None:
    token = json.loads((ROOT / "events/executions/rotate.json").read_text())["RotationToken"]

    given = {state for state, parameters in run(case).given if token in json.dumps(parameters)}

    assert given == {state for state in run(case).path if state == "CreateSecret"}


def test_the_cases_take_every_transition_of_the_machine(run: Runner) -> None:
    taken = {step for case in CASES for step in pairwise(run(case).path)}

    assert taken == transitions(DEFINITION)


def test_the_file_mocks_task_states_with_answers_that_exist_and_are_used() -> None:
    tasks = {name for name, state in DEFINITION["States"].items() if state["Type"] == "Task"}

    assert {state for case in CASES.values() for state in case} == tasks
    assert {name for case in CASES.values() for name in case.values()} == set(CONFIG["MockedResponses"])


@pytest.mark.parametrize("name", CONFIG["MockedResponses"])
def test_the_attempts_of_an_answer_are_numbered_without_a_gap(name: str) -> None:
    numbers: list[int] = []
    for attempts in CONFIG["MockedResponses"][name]:
        first, _, last = attempts.partition("-")
        numbers += range(int(first), int(last or first) + 1)

    assert numbers == list(range(len(numbers)))


def test_a_mocked_verdict_has_only_keys_of_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_URL", "https://console.example/executions")
    request = Request("Rotate", "secret", "token", 1, NOTHING_TOLD, "execution", "none", "", {}, 0, "", "", {})
    real = verdict(request, Finding(ROTATED), Failure())

    for mocked in [reported(case) for case in CASES if reported(case)]:
        assert mocked.keys() == real.keys()
        assert mocked["Report"].keys() == real["Report"].keys()
        assert mocked["Alert"].keys() == real["Alert"].keys()
        assert mocked["Alert"]["Body"].keys() <= real["Alert"]["Body"].keys()
