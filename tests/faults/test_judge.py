"""The judge finds what it is there to find: a product that breaks a promise."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import boto3
import pytest

from rotation import runtime
from tests.faults.edges import AFTER, ENTRY, INVOCATION, KILLED, OUTAGE, PUBLICATION, REFUSED, STOPPED, Edge, Fault
from tests.faults.judge import judged, judged_log_in, judged_rejection
from tests.faults.sweep import ENDED, FAILED, REJECTED_VALUE
from tests.faults.trial import Stage, Trial
from tests.workflow import second_paths
from tests.workflow.applications import ALTERNATING, SINGLE, Case
from tests.workflow.machine import FunctionFailedError

pytestmark = pytest.mark.xdist_group("judge")

CASE = Case("redis", SINGLE, overlap=True)
NOT_TESTED = Fault(Edge("TestSecret", 0, INVOCATION, "invoked"), KILLED)
STOPPED_ROLLBACK = (ENDED, Fault(Edge("RollBack", 0, INVOCATION, "invoked"), STOPPED))
TOLD_AND_STOPPED = (ENDED, Fault(Edge("RotationFailed", 0, ENTRY, "entered"), STOPPED))
PROMOTED = Fault(Edge("FinishSecret", 0, 1, "secretsmanager:UpdateSecretVersionStage"), KILLED)
PROMOTED_IN_AN_OUTAGE = (PROMOTED, Fault(Edge("RollBack", 0, 2, "redis AUTH"), OUTAGE))
UNTOLD = Fault(Edge(PUBLICATION, 0, INVOCATION, ""), REFUSED)
UNTOLD_AND_STOPPED = (FAILED, UNTOLD, Fault(Edge("AlertFailed", 0, ENTRY, "entered"), STOPPED))
UNTOLD_RECOVERY = (FAILED, Fault(Edge(PUBLICATION, 1, INVOCATION, ""), REFUSED))


@pytest.fixture
def stage(stage_of: Callable[[str], Stage]) -> Stage:
    return stage_of(CASE.kind)


@pytest.fixture
def trial(stage: Stage) -> Iterator[Trial]:
    with stage.trial(CASE, NOT_TESTED) as trial:
        yield trial


def change(trial: Trial, state: str, changed: Callable[[Any], Any]) -> None:
    """The state's answers are changed on their way."""
    handler = trial.application.machine.handlers[state]
    trial.application.machine.handlers[state] = lambda event, context: changed(handler(event, context))


def calling_it(outcome: str) -> Callable[[Any], Any]:
    """RollBack's answer with this outcome, whatever it found."""

    def called(answer: Any) -> Any:
        answer["Report"]["Outcome"] = outcome
        return answer

    return called


def broken(trial: Trial) -> str:
    return "; ".join(judged(trial, (NOT_TESTED,)).broken)


def test_a_rotation_that_keeps_every_promise_is_let_pass(trial: Trial) -> None:
    assert broken(trial) == ""


def test_a_promotion_of_what_was_never_set_is_found(trial: Trial) -> None:
    done = {"CurrentVersionId": next(iter(trial.application.stages())), "Engine": "redis", "Strategy": "single user"}
    handlers = trial.application.machine.handlers
    for state in ("SetSecret", "TestSecret"):
        handlers[state] = partial(lambda state, event, _: done | {"State": state}, state)

    assert "AWSCURRENT does not log in" in broken(trial)


def test_a_failure_that_nobody_is_told_of_is_found(trial: Trial) -> None:
    def quiet(answer: Any) -> Any:
        answer["Report"]["Tell"] = False
        return answer

    change(trial, "RollBack", quiet)

    assert "nobody was told 'untouched/AWSCURRENT'" in broken(trial)


def test_a_message_that_comes_twice_is_found(trial: Trial) -> None:
    def twice(answer: Any) -> Any:
        body = answer["Alert"]["Body"]
        said = {"AlertId": "alertId", "Severity": "severity", "Outcome": "outcome", "Secret": "secretArn"}
        said |= {"Step": "step", "Error": "error"}
        attributes: Any = {name: {"DataType": "String", "StringValue": body[key]} for name, key in said.items()}
        boto3.client("sns").publish(
            TopicArn=trial.application.machine.topic,
            Subject=answer["Alert"]["Subject"],
            Message=json.dumps(body),
            MessageAttributes=attributes,
        )
        return answer

    change(trial, "RollBack", twice)

    assert "1 messages came twice" in broken(trial)


def test_an_outcome_that_is_not_true_is_found(trial: Trial) -> None:
    change(trial, "RollBack", calling_it("rotated"))

    assert "'rotated', but AWSCURRENT says otherwise" in broken(trial)


def test_a_password_in_a_report_is_found(trial: Trial) -> None:
    def chatty(answer: Any) -> Any:
        answer["Report"]["Reason"] = f"tried {trial.application.first.password}"
        return answer

    change(trial, "RollBack", chatty)

    assert "a secret value is to be seen" in broken(trial)


def test_a_fault_that_never_struck_is_found(stage: Stage) -> None:
    never = Fault(Edge("RollBack", 0, 0, "secretsmanager:DescribeSecret"), KILLED)
    with stage.trial(CASE, never) as trial:
        verdict = judged(trial, (never,))

    assert verdict.broken == ["struck: "]


def test_a_person_who_is_called_though_every_service_answers_is_found(trial: Trial) -> None:
    change(trial, "RollBack", calling_it("needs a person"))

    assert "a person is needed, though every service answers" in broken(trial)


def test_a_promotion_that_took_effect_and_is_taken_back_is_found(stage: Stage) -> None:
    promoted = Fault(Edge("FinishSecret", 0, 1, "secretsmanager:UpdateSecretVersionStage"), KILLED)
    with stage.trial(CASE, promoted) as trial:
        change(trial, "RollBack", calling_it("rolled back"))
        verdict = judged(trial, (promoted,))

    assert "a promotion that took effect was rolled back" in verdict.broken


def test_a_message_whose_subject_says_something_else_is_found(trial: Trial) -> None:
    def reassuring(answer: Any) -> Any:
        answer["Alert"]["Subject"] = "Recovered: payments/db"
        return answer

    change(trial, "RollBack", reassuring)

    assert "'untouched', but 'Recovered: payments/db'" in broken(trial)


def test_a_rollback_of_nothing_is_found_though_no_message_says_so(stage: Stage) -> None:
    faults = (Fault(Edge("CreateSecret", 0, INVOCATION, "invoked"), KILLED), UNTOLD)
    with stage.trial(CASE, *faults) as trial:
        change(trial, "RollBack", calling_it("rolled back"))

        assert "rolled back, but nothing had been changed" in judged(trial, faults).broken


def test_a_password_in_the_log_of_rotate_is_found(trial: Trial) -> None:
    machine = trial.application.machine
    tell_rotate = machine.tell_rotate

    def chatty(event: dict[str, Any]) -> None:
        runtime.logger.info(trial.application.first.password)
        tell_rotate(event)

    with patch.object(machine, "tell_rotate", chatty):
        assert "a secret value is to be seen" in broken(trial)


@pytest.mark.parametrize("faults", [STOPPED_ROLLBACK, UNTOLD_RECOVERY], ids=["stopped rollback", "recovery"])
def test_what_no_rule_of_eventbridge_tells_in_place_of_the_machine_is_found(
    stage: Stage, faults: tuple[Fault, ...]
) -> None:
    with stage.trial(CASE, *faults) as trial, patch.object(second_paths, "notices", lambda event: {}):
        verdict = judged(trial, faults)

    assert any(promise.startswith(("nobody was told", "told of the recovery")) for promise in verdict.broken)


def test_a_function_is_killed_also_where_its_call_was_refused(stage_of: Callable[[str], Stage]) -> None:
    """The server has the new password, and refuses RollBack the old one; killed, RollBack comes and asks again."""
    log_in = Fault(Edge("RollBack", 0, 2, "postgres log-in"), KILLED)
    with stage_of("postgres").trial(Case("postgres", SINGLE), FAILED, log_in) as trial:
        verdict = judged(trial, (FAILED, log_in))

    assert verdict.refused == 2
    assert (verdict.ends, verdict.broken) == (["rolled back", "rotated"], [])


def test_a_fault_that_strikes_another_call_than_was_recorded_is_found(stage: Stage) -> None:
    moved = Fault(Edge("SetSecret", 0, 2, "redis AUTH"), KILLED)
    with stage.trial(CASE, moved) as trial:
        assert "struck: killed at SetSecret 2 secretsmanager:GetSecretValue" in judged(trial, (moved,)).broken


@pytest.mark.parametrize("case", [Case("postgres", ALTERNATING, overlap=True), CASE], ids=str)
def test_a_rollback_of_what_was_not_touched_is_found(stage_of: Callable[[str], Stage], case: Case) -> None:
    """Of two users who alternate the one in use keeps the password; in Redis it is one of two."""
    with stage_of(case.kind).trial(case, NOT_TESTED) as trial:
        change(trial, "RollBack", calling_it("rolled back"))

        assert "rolled back, but AWSCURRENT's had not been touched" in broken(trial)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(STOPPED_ROLLBACK, id="the rollback after a stop is stopped itself"),
        pytest.param(TOLD_AND_STOPPED, id="it is stopped when it has told people"),
        pytest.param(UNTOLD_RECOVERY, id="nobody takes the news of the recovery"),
        pytest.param(PROMOTED_IN_AN_OUTAGE, id="the promotion took effect, and nobody can look"),
        pytest.param(UNTOLD_AND_STOPPED, id="nobody takes the message, and the execution is stopped then"),
    ],
)
def test_what_a_sweep_has_found_broken_is_kept(stage: Stage, faults: tuple[Fault, ...]) -> None:
    with stage.trial(CASE, *faults) as trial:
        verdict = judged(trial, faults)

    assert (verdict.ends[-1], verdict.broken) == ("rotated", [])


# ---- A value that the service refuses for good, and a mere log-in

LOST = Fault(Edge("RollBack", 0, 0, "secretsmanager:DescribeSecret"), AFTER)
NOT_LOGGED_IN = Fault(Edge("TestSecret", 0, INVOCATION, "invoked"), KILLED)


def leaking(trial: Trial, answer: Any) -> Any:
    answer.get("Report", answer)["Reason"] = f"tried {trial.application.first.password}"
    return answer


def promising_a_retry(_: Trial, answer: Any) -> Any:
    answer["Alert"]["Body"]["whatHappensNext"] = "Secrets Manager retries by itself"
    return answer


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (lambda _, answer: answer, ""),
        (lambda _, answer: calling_it("needs a person")(answer), "a person is needed, though every service answers"),
        (lambda _, answer: calling_it("rolled back")(answer), "rolled back, but nothing had been changed"),
        (leaking, "a secret value is to be seen"),
        (promising_a_retry, "given up, but told"),
    ],
    ids=["none", "needs a person", "rolled back", "leak", "promises a retry"],
)
def test_a_broken_promise_after_a_value_was_refused_for_good_is_found(
    stage: Stage, changed: Callable[[Trial, Any], Any], found: str
) -> None:
    with stage.trial(CASE, REJECTED_VALUE, LOST) as trial:
        change(trial, "RollBack", partial(changed, trial))

        broken = "; ".join(judged_rejection(trial, (REJECTED_VALUE, LOST)).broken)

    assert found in broken
    assert bool(found) == bool(broken)


def test_a_password_in_the_answer_to_a_mere_log_in_is_found(stage: Stage) -> None:
    with stage.trial(CASE, NOT_LOGGED_IN) as trial:
        change(trial, "TestSecret", partial(leaking, trial))

        broken = judged_log_in(trial, (NOT_LOGGED_IN,)).broken

    assert broken == ["a secret value is to be seen"]


def test_a_retry_that_fails_with_nothing_in_its_way_is_found(stage: Stage) -> None:
    with stage.trial(CASE, FAILED, LOST) as trial:
        before = trial.application.machine.handlers["CreateSecret"]

        def second_fails(event: Any, context: Any) -> Any:
            if event["Request"]["Attempt"] == 2:
                raise FunctionFailedError("KeyError", "the second attempt fails")
            return before(event, context)

        trial.application.machine.handlers["CreateSecret"] = second_fails

        broken = judged(trial, (FAILED, LOST)).broken

    assert "the last retry, with nothing in its way, did not rotate" in broken
