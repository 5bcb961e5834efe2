"""The state machine's definition keeps the promises that the code, the template and the documentation make for it."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotation import attempts, errors, invocation, log_ins, throttling
from rotation.aws import CONFIG
from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT
from rotation.executions import ENDS
from rotation.model import ROLL_BACK, ROTATE, TEST, Request
from rotation.outcome import NEEDS_A_PERSON, ROTATED, UNKNOWN, Failure, Finding
from rotation.report import NOTHING_TOLD, verdict
from tests.statemachine.data_flow import UnknownPathError, entries, shape_of
from tests.statemachine.diagram import targets, transitions

type Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "statemachine" / "rotation.asl.json").read_text()
DEFINITION: Json = json.loads(TEXT)
STATES: dict[str, Json] = DEFINITION["States"]

STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret")
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]

# Failures of Lambda itself that may pass: https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html
LAMBDA_SERVICE_ERRORS = {
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}
# The function ended without an answer, so what it had sent to the service may still take effect.
NO_ANSWER = {"States.Timeout", "Sandbox.Timedout", "Lambda.Unknown", "Runtime.ExitError"}
NO_ANSWER |= {"Lambda.ClientExecutionTimeoutException", "Lambda.SdkClientException"}
NO_ANSWER |= {"Lambda.ServiceException", "Lambda.AWSLambdaException"}

# Errors of ours after which a change may still come to pass, or to be seen: a connection that broke off while a
# statement waited; a label that was moved though the move was refused, or that is read as it was before.
LATER_THAN_ITS_ERROR = {"SetSecret": {"UnavailableError"}}

# Seconds: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
LAMBDA_INITIALISATION = 10

# Answered at once, after so many seconds at most; any other attempt may last as long as its state allows.
REFUSALS, REFUSED_AFTER = {"ThrottledError", "Lambda.TooManyRequestsException"}, 2

# Seconds for which a database's failover may keep a service from answering.
FAILOVER = 180

ORDER = ["Type", "Comment", "Resource", "Parameters", "TimeoutSeconds", "ResultSelector", "ResultPath"]
ORDER += ["Retry", "Catch", "Next", "End"]


class _Template(yaml.SafeLoader):
    """Reads a template without the meaning of CloudFormation's functions."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: suffix)
RESOURCES: Json = yaml.load((ROOT / "template.yaml").read_text(), _Template)["Resources"]


def our_errors() -> set[str]:
    return {name for name, kind in vars(errors).items() if isinstance(kind, type)}


def delays(retrier: Json) -> list[float]:
    """The seconds before each retry that it may make, without jitter, which only shortens them."""
    return [
        min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt, retrier["MaxDelaySeconds"])
        for attempt in range(retrier["MaxAttempts"])
    ]


def longest(state: Json) -> float:
    """The most seconds that a state can last, with every retry."""
    seconds = float(state.get("Seconds", 0) + state.get("TimeoutSeconds", 0))
    for retrier in state.get("Retry", []):
        attempt = REFUSED_AFTER if set(retrier["ErrorEquals"]) <= REFUSALS else state["TimeoutSeconds"]
        seconds += sum(attempt + wait for wait in delays(retrier))
    return seconds


@cache
def longest_from(name: str) -> float:
    return longest(STATES[name]) + max(map(longest_from, targets(STATES[name])), default=0)


def reachable(begin: str, without: str) -> set[str]:
    found, waiting = set[str](), [begin]
    while waiting:
        name = waiting.pop()
        if name not in found and name != without:
            found.add(name)
            waiting += targets(STATES[name])
    return found


def function_timeout(state: str) -> int:
    """The time limit of the function that a Task calls."""
    name = STATES[state]["Parameters"]["FunctionName"].removeprefix("${").removesuffix("Arn}")
    return int(RESOURCES[name]["Properties"]["Timeout"])


def strings(value: Any) -> Iterator[str]:
    """Every string of a state but its comment."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner) if key != "Comment" else ()
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


# ---- Retry and Catch


@pytest.mark.parametrize("name", [*STEPS, "TestCurrent"])
def test_a_step_retries_what_may_pass_and_of_our_errors_no_other(name: str) -> None:
    retriers = STATES[name]["Retry"]
    named = {error for retrier in retriers for error in retrier["ErrorEquals"]}

    assert named - {"ThrottledError"} == LAMBDA_SERVICE_ERRORS | {"UnavailableError"}
    assert {retrier["JitterStrategy"] for retrier in retriers} == {"FULL"}


def test_creation_alone_waits_for_its_turn_since_nothing_has_changed_yet() -> None:
    turn, _ = STATES["CreateSecret"]["Retry"]

    assert set(turn["ErrorEquals"]) == REFUSALS
    assert turn["MaxAttempts"] == throttling.WAITING_OUTSIDE
    assert TEXT.count("ThrottledError") == 1


def test_no_other_state_names_an_error_of_ours_in_its_retry() -> None:
    named = {error for name in ("RollBack", "Alert") for each in STATES[name]["Retry"] for error in each["ErrorEquals"]}

    assert named == {"States.ALL"}


def test_all_steps_have_one_retry_policy_beside_that_of_creation() -> None:
    policies = [STATES[name]["Retry"][-1] for name in (*STEPS, "TestCurrent")]

    assert len({json.dumps({**policy, "ErrorEquals": []}) for policy in policies}) == 1
    assert all(len(STATES[name]["Retry"]) == 1 for name in (*STEPS[1:], "TestCurrent"))


def test_rolling_back_outlasts_a_failover() -> None:
    (retrier,) = STATES["RollBack"]["Retry"]

    assert retrier["ErrorEquals"] == ["States.ALL"]
    assert retrier.get("JitterStrategy", "NONE") == "NONE"
    assert sum(delays(retrier)) >= FAILOVER
    assert retrier["MaxAttempts"] == log_ins.LAST_RETRY


@pytest.mark.parametrize("name", [step for step in STEPS if step != "FinishSecret"])
def test_a_failed_step_leads_to_rollback_after_a_wait_if_it_gave_no_answer(name: str) -> None:
    without_answer, every = STATES[name]["Catch"]

    assert set(without_answer["ErrorEquals"]) == NO_ANSWER | LATER_THAN_ITS_ERROR.get(name, set())
    assert without_answer["Next"] == "AwaitLateStatement"
    assert every == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.Failure", "Next": "RollBack"}
    assert without_answer["ResultPath"] == "$.Failure"


def test_rollback_waits_for_the_labels_unless_it_is_certain_that_they_were_not_moved() -> None:
    certain, every = STATES["FinishSecret"]["Catch"]

    assert certain == {
        "ErrorEquals": ["AccessDeniedError", "Lambda.TooManyRequestsException"],
        "ResultPath": "$.Failure",
        "Next": "RollBack",
    }
    assert every == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.Failure", "Next": "AwaitLateStatement"}


def test_a_log_in_of_mode_test_has_nothing_to_take_back() -> None:
    assert "Catch" not in STATES["TestCurrent"]
    assert STATES["TestCurrent"]["End"] is True


@pytest.mark.parametrize("name", ["RollBack", "Alert"])
def test_rolling_back_and_telling_catch_everything_apart_from_the_failure_they_are_about(name: str) -> None:
    (catcher,) = STATES[name]["Catch"]

    assert catcher["ErrorEquals"] == ["States.ALL"]
    assert catcher["ResultPath"] not in ("$", "$.Failure", "$.Verdict")


def test_after_an_error_only_a_look_by_rollback_leads_to_success() -> None:
    caught = {catcher["Next"] for name in STEPS for catcher in STATES[name]["Catch"]}

    for name in caught:
        assert "RotationSucceeded" not in reachable(name, without="RollBack")


def test_what_nobody_looked_at_needs_a_person() -> None:
    (catcher,) = STATES["RollBack"]["Catch"]
    described = STATES[catcher["Next"]]["Parameters"]
    finding = Finding(NEEDS_A_PERSON, UNKNOWN)

    assert described["Report"]["Outcome"] == finding.outcome
    assert described["Report"]["Working"] == finding.working
    assert described["Report"]["Key"] == described["Alert"]["Key"] == finding.key
    assert described["Report"]["Tell"] is True


def test_an_alert_that_cannot_be_sent_ends_in_its_own_failure() -> None:
    (catcher,) = STATES["Alert"]["Catch"]

    assert STATES[catcher["Next"]]["Error"] == "AlertFailedError"


def test_every_outcome_has_its_end() -> None:
    ends = {choice["StringEquals"]: choice["Next"] for choice in STATES["SelectEnd"]["Choices"]}

    assert ends == {ROTATED: "RotationSucceeded", NEEDS_A_PERSON: "RollbackFailed"}
    assert STATES["SelectEnd"]["Default"] == "RotationFailed"


def test_the_fail_states_carry_the_errors_that_rotate_knows_as_ends() -> None:
    fails = [state["Error"] for state in STATES.values() if state["Type"] == "Fail"]

    assert sorted(fails) == sorted(ENDS)
    assert set(fails) <= our_errors()


def test_every_error_that_the_definition_names_is_explained() -> None:
    rows = re.findall(r"(?m)^\|([^|]*)\|", (ROOT / "docs" / "failures.md").read_text())
    explained = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    clauses = [clause for state in STATES.values() for key in ("Retry", "Catch") for clause in state.get(key, [])]

    named = {error for clause in clauses for error in clause["ErrorEquals"]} | set(ENDS)

    assert named - {"States.ALL"} <= explained


# ---- Time


def test_every_task_has_a_time_limit_and_so_has_the_machine() -> None:
    assert all(STATES[name]["TimeoutSeconds"] > 0 for name in TASKS)
    assert DEFINITION["TimeoutSeconds"] > 0


@pytest.mark.parametrize("name", [name for name in TASKS if "FunctionName" in STATES[name]["Parameters"]])
def test_a_connection_and_a_statement_end_before_the_function_and_that_before_its_state(name: str) -> None:
    assert CONNECT_TIMEOUT + STATEMENT_TIMEOUT < function_timeout(name) < STATES[name]["TimeoutSeconds"]


# RollBack takes AWSPENDING off after it has logged in to the service.
@pytest.mark.parametrize(
    ("name", "before"), [("CreateSecret", 0), ("FinishSecret", 0), ("RollBack", CONNECT_TIMEOUT + STATEMENT_TIMEOUT)]
)
def test_a_throttled_write_is_given_up_before_the_function_is(name: str, before: int) -> None:
    last_try = CONFIG.connect_timeout + CONFIG.read_timeout  # type: ignore[attr-defined]  # botocore sets them so

    assert before + throttling.PATIENCE + last_try <= function_timeout(name)


def test_the_wait_is_longer_than_the_latest_statement() -> None:
    assert STATES["AwaitLateStatement"]["Seconds"] > CONNECT_TIMEOUT + STATEMENT_TIMEOUT


@pytest.mark.parametrize("name", STEPS)
def test_the_wait_outlasts_a_function_that_started_late_and_what_it_sent_last(name: str) -> None:
    # A function's time limit does not count its initialisation, so it may still run when its state has timed out.
    longest_run = LAMBDA_INITIALISATION + function_timeout(name)

    left = longest_run - STATES[name]["TimeoutSeconds"]

    assert STATES["AwaitLateStatement"]["Seconds"] >= left + STATEMENT_TIMEOUT


def test_the_longest_execution_ends_before_the_machines_limit_and_that_before_rotate_stops_waiting() -> None:
    rotate_waits = RESOURCES["RotateFunction"]["Properties"]["Timeout"] - invocation._LAST_SECONDS

    assert longest_from(DEFINITION["StartAt"]) < DEFINITION["TimeoutSeconds"] < rotate_waits


# ---- Data


def results() -> dict[str, Any]:
    """What each Task's resource returns, by the shape of what the functions really return."""
    request = Request("Rotate", "secret", "token", 1, NOTHING_TOLD, "execution", "none", "", {}, 0, "", "", {})
    step = {"Payload": {"State": "SetSecret", "CurrentVersionId": "", "Engine": "", "Strategy": ""}}
    report = {"Payload": verdict(request, Finding(ROTATED), Failure())}
    by_state = dict.fromkeys(TASKS, step) | {"FinishSecret": report, "RollBack": report, "Alert": {"MessageId": ""}}
    return {name: shape_of(result) for name, result in by_state.items()}


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Json:
    """The input of an execution, as rotate makes it."""
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:rotation")
    monkeypatch.setenv("CONSOLE_URL", "https://console.example/executions")
    return attempts.Attempts("secret", "token")._body(ROTATE, 1, NOTHING_TOLD, attempts._NOT_FAILED)


def test_nothing_is_read_that_was_not_written_on_every_path(body: Json) -> None:
    assert set(entries(DEFINITION, shape_of(body), results())) == set(STATES)


@pytest.mark.parametrize(
    ("state", "key", "message"),
    [
        ("Begin", "Failure.$", r"RollBack reads \$\.Failure"),
        ("Begin", "Completed", r"reads \$\.Completed"),
        ("ComposeAlert", None, r"Alert reads \$\.Message"),
        ("DescribeRollbackFailure", "Alert", r"reads \$\.Verdict\.Alert"),
    ],
)
def test_that_check_finds_a_value_that_is_not_written(body: Json, state: str, key: str | None, message: str) -> None:
    broken = copy.deepcopy(DEFINITION)
    if key:
        del broken["States"][state]["Parameters"][key]
    else:
        broken["States"][state]["ResultPath"] = None

    with pytest.raises(UnknownPathError, match=message):
        entries(broken, shape_of(body), results())


def test_the_input_has_the_keys_that_are_read_and_no_other(body: Json) -> None:
    read = {path for path in strings(STATES["Begin"]["Parameters"]) if re.fullmatch(r"\$\.\w+", path)}
    from_context = re.findall(r"\$\$\.Execution\.Input\.(\w+)", TEXT)

    assert {path.removeprefix("$.") for path in read} | set(from_context) == body.keys()


def test_the_rotation_token_stays_in_the_input_where_create_secret_alone_reads_it() -> None:
    reading = {name for name, state in STATES.items() if any("RotationToken" in text for text in strings(state))}

    assert reading == {"CreateSecret"}
    assert STATES["CreateSecret"]["Parameters"]["Payload"]["RotationToken.$"] == "$$.Execution.Input.RotationToken"
    assert "$$.Execution.Input" not in {text for state in STATES.values() for text in strings(state)}


def test_the_modes_are_those_that_rotate_starts() -> None:
    selected = {choice["StringEquals"]: choice["Next"] for choice in STATES["SelectMode"]["Choices"]}

    assert selected == {ROTATE: "CreateSecret", TEST: "TestCurrent"}
    assert ROLL_BACK not in selected
    assert STATES["SelectMode"]["Default"] == "AwaitLateStatement"


def test_the_whole_definition_is_jsonpath() -> None:
    keys = set(re.findall(r'"(\w+)(?:\.\$)?":', TEXT))

    assert not keys & {"QueryLanguage", "Arguments", "Assign", "Output", "Items"}
    assert "{%" not in TEXT


def test_every_format_has_as_many_arguments_as_places() -> None:
    formats = [text for state in STATES.values() for text in strings(state) if text.startswith("States.Format(")]

    assert formats
    for text in formats:
        template, arguments = re.fullmatch(r"States\.Format\('((?:[^'\\]|\\.)*)', (.*)\)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # no match fails the test
        assert template.count("{}") == len(arguments.split(", ")), template


# ---- Form


def test_every_state_can_be_entered_and_every_target_exists() -> None:
    assert {DEFINITION["StartAt"], *(target for _, target in transitions(DEFINITION))} == set(STATES)


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_a_comment_and_a_name_that_can_be_logged(name: str) -> None:
    assert STATES[name]["Comment"].endswith(".")
    assert re.fullmatch("[0-9A-Za-z_-]{1,80}", name)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_what_repeating_it_does_and_has_its_keys_in_the_usual_order(name: str) -> None:
    assert "Repeating it" in STATES[name]["Comment"]
    assert list(STATES[name]) == [key for key in ORDER if key in STATES[name]]


def test_the_definition_stays_small_enough_to_read() -> None:
    assert len(STATES) <= 18
    assert len(TEXT.splitlines()) <= 350
