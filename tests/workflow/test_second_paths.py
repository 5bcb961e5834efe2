"""What EventBridge's rules tell in place of a machine that cannot: for every end that an execution can have."""

import json
import re
from typing import Any

import pytest

from tests.workflow.conftest import World
from tests.workflow.machine import ROOT
from tests.workflow.second_paths import matches, notices
from tests.workflow.test_failures import break_state, failing
from tests.workflow.test_stopped import stop_after

ATTEMPT, ROLLBACK = "prod-orders-databa-13dda6-3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11-1", "-rollback"
# A secret may have any name, and an attempt at it ends with a number.
OF_ANOTHER_SECRET = "prod-db-rollback-13dda6-3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11-1"
OWN_ENDS = ("RotationFailedError", "RollbackFailedError")


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "events/eventbridge" / f"{name}.json").read_text()))


def end(name: str, status: str, error: str | None = None) -> dict[str, Any]:
    event = sample("execution_aborted")
    event["detail"] |= {"name": name, "status": status, "error": error}
    return event


@pytest.mark.parametrize("name", [ATTEMPT, ATTEMPT + ROLLBACK, OF_ANOTHER_SECRET])
@pytest.mark.parametrize(("status", "error"), [("SUCCEEDED", None), *(("FAILED", error) for error in OWN_ENDS)])
def test_an_execution_that_told_people_itself_is_not_told_again(name: str, status: str, error: str | None) -> None:
    assert notices(end(name, status, error)) == {}


@pytest.mark.parametrize("name", [ATTEMPT, OF_ANOTHER_SECRET])
@pytest.mark.parametrize(("status", "error"), [("ABORTED", None), ("TIMED_OUT", None), ("FAILED", "States.Runtime")])
def test_an_attempt_that_was_ended_is_left_to_its_rollback(name: str, status: str, error: str | None) -> None:
    assert notices(end(name, status, error)) == {}


@pytest.mark.parametrize("name", [ATTEMPT + ROLLBACK, f"{ATTEMPT}-2{ROLLBACK}"])
@pytest.mark.parametrize(("status", "error"), [("ABORTED", None), ("TIMED_OUT", None), ("FAILED", "States.Runtime")])
def test_a_rollback_that_was_ended_is_to_be_checked(name: str, status: str, error: str | None) -> None:
    event = end(name, status, error)

    ((rule, text),) = notices(event).items()

    assert rule == "RollbackEndedRule"
    assert text.startswith(f"CHECK NEEDED. The rollback {name} ended as {status}.")
    assert text.endswith(f"/{event['detail']['executionArn']}")


@pytest.mark.parametrize("name", [ATTEMPT, ATTEMPT + ROLLBACK])
def test_a_message_that_could_not_be_published_is_pointed_at(name: str) -> None:
    event = end(name, "FAILED", "AlertFailedError")

    ((rule, text),) = notices(event).items()

    assert rule == "AlertFailedRule"
    assert text.startswith(f"ALERT NOT SENT. The message of the rotation {name} could not be published")
    assert text.endswith(f"/{event['detail']['executionArn']}")


def without_what_a_key_encrypts(event: dict[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html"""
    kept = {name: value for name, value in event["detail"].items() if name not in ("input", "output", "error", "cause")}
    return {**event, "detail": kept}


@pytest.mark.parametrize("name", [ATTEMPT, ATTEMPT + ROLLBACK])
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_under_a_key_the_rules_tell_what_an_event_without_an_error_shows(name: str, status: str) -> None:
    """Of the rest the rotate function counts what nobody was told: test_counts.py."""
    event = without_what_a_key_encrypts(end(name, status))

    told = notices(event, key=True).keys()

    assert told == ({"RollbackEndedRule"} if name.endswith(ROLLBACK) and status in ("TIMED_OUT", "ABORTED") else set())


def test_what_never_reached_the_function_is_told_in_secrets_managers_words() -> None:
    event = sample("rotation_failed")

    ((rule, text),) = notices(event).items()

    assert rule == "RotationFailedRule"
    assert text.startswith(
        f"Secrets Manager reports RotationFailed of {event['detail']['additionalEventData']['SecretId']}"
    )


@pytest.mark.parametrize("name", ["execution_aborted", "execution_timed_out", "rotation_failed"])
def test_no_notice_has_the_executions_input(name: str) -> None:
    event = sample(name)
    for path in (ATTEMPT, ATTEMPT + ROLLBACK):
        told = {**event, "detail": {**event["detail"], "name": path}}
        assert "5d1c0e7a-example-rotation-token" not in json.dumps(notices(told))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [({}, True), ({"labelUpdated": "GOLDEN"}, False)],
)
def test_the_example_rule_for_applications_takes_the_sample_of_a_promotion(
    changed: dict[str, str], wanted: bool
) -> None:
    text = (ROOT / "docs/applications.md").read_text()
    (rule,) = re.findall(r"<!-- rule: secret label updated -->\n```json\n(.*?)```", text, re.DOTALL)
    event = sample("secret_label_updated")
    event["detail"] |= changed

    assert matches(json.loads(rule), event) is wanted
    assert notices(event) == {}


def notices_of(world: World) -> list[dict[str, str]]:
    """What the rules tell of each execution there was, as the machine itself ended it."""
    world.machine.settle()
    return [notices(world.machine.status_change(each)) for each in world.machine.executions()]


def test_a_recovery_that_could_not_be_published_is_told_and_not_as_a_failure(world: World) -> None:
    mend = break_state(world, "TestSecret", failing("RightsDifferError"))
    world.rotate()
    mend()
    world.machine.break_topic()
    assert world.retry() == "RotationSucceeded"

    told, recovered = notices_of(world)

    assert told == {}
    assert json.loads(world.machine.executions()[1]["cause"])["Report"]["Outcome"] == "rotated"
    assert recovered.keys() == {"AlertFailedRule"}
    assert world.machine.executions()[1]["name"] in recovered["AlertFailedRule"]
    assert "It failed" not in recovered["AlertFailedRule"]


def test_a_stopped_attempt_is_told_by_its_rollback_and_a_stopped_rollback_by_a_rule(world: World) -> None:
    def stop(event: Any, context: Any) -> None:
        (rollback,) = [each for each in world.machine.executions() if each["name"].endswith(ROLLBACK)]
        world.machine.stepfunctions.stop_execution(executionArn=rollback["executionArn"])

    break_state(world, "RollBack", lambda handler: stop)
    stop_after(world, "SetSecret")

    attempt, rollback = notices_of(world)

    assert attempt == {}
    assert rollback.keys() == {"RollbackEndedRule"}
    assert world.machine.messages() == []
