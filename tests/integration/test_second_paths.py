"""What the deployed rules of EventBridge tell in place of the machine."""

import json
from typing import Any

import pytest

from tests.integration.conftest import Deployed, DeployedSecret, until
from tests.workflow.machine import ROOT
from tests.workflow.test_second_paths import ATTEMPT, OF_ANOTHER_SECRET, ROLLBACK, end

pytestmark = pytest.mark.xdist_group("offline stack")


def test_the_deployed_rules_tell_of_what_the_machine_cannot(secret: DeployedSecret) -> None:
    deployed, name = secret.deployed, f"{secret.user}-1-rollback"
    states = deployed.stack.client("stepfunctions")
    rollback = json.loads((ROOT / "events/executions/roll_back.json").read_text()) | {"SecretId": secret.arn}
    execution = states.start_execution(
        stateMachineArn=deployed.stack.outputs["StateMachineArn"], name=name, input=json.dumps(rollback)
    )["executionArn"]
    until(lambda: "AwaitLateStatement" in secret.states(execution))
    states.stop_execution(executionArn=execution)

    until(lambda: len(deployed.stack.mails) > deployed.mails_read)

    (mail,) = deployed.new_mails()
    text = mail.get_content().replace("\n", "")
    assert text.startswith(f'"CHECK NEEDED. The rollback {name} ended as ABORTED.')
    assert text.endswith(f'/{execution}"')


def test_a_message_that_the_alert_topic_does_not_take_is_pointed_at(secret: DeployedSecret) -> None:
    """The machine publishes to a topic that does not exist; the topic of the notices is another one."""
    deployed, states = secret.deployed, secret.deployed.stack.client("stepfunctions")
    machine, topic = deployed.stack.outputs["StateMachineArn"], deployed.stack.outputs["AlertTopicArn"]
    definition = states.describe_state_machine(stateMachineArn=machine)["definition"]
    states.update_state_machine(stateMachineArn=machine, definition=definition.replace(f'"{topic}"', f'"{topic}-gone"'))
    try:
        with deployed.throttled("CreateSecretFunction"):
            secret.rotate()
            assert secret.outcome() == "RotationFailed"
            until(lambda: len(deployed.stack.mails) > deployed.mails_read)
    finally:
        states.update_state_machine(stateMachineArn=machine, definition=definition)

    (execution,) = secret.executions()
    (mail,) = deployed.new_mails()
    text = mail.get_content().replace("\n", "")
    assert execution["error"] == "AlertFailedError"
    assert text.startswith(f'"ALERT NOT SENT. The message of the rotation {execution["name"]} could not be published;')
    assert text.endswith(f'/{execution["executionArn"]}"')

    # The next attempt says it itself.
    deployed.stack.model.retry(secret.arn)
    assert secret.outcome() == "RotationSucceeded"
    assert [mail["Subject"] for mail in deployed.new_mails()] == [f"Recovered, the secret is rotated: it/{secret.user}"]


@pytest.mark.parametrize("function", ["RotateFunction", "FindOverdueFunction"])
def test_a_call_of_eventbridge_that_a_function_fails_three_times_is_kept(deployed: Deployed, function: str) -> None:
    machine = deployed.stack.outputs["StateMachineArn"]
    unknown = machine.replace(":stateMachine:", ":execution:") + ":unknown"
    event = {"detail-type": "Step Functions Execution Status Change", "detail": {"executionArn": unknown}, "time": "?"}

    deployed.stack.client("lambda").invoke(
        FunctionName=deployed.function(function), InvocationType="Event", Payload=json.dumps(event)
    )

    kept: list[dict[str, Any]] = []

    def is_kept() -> bool:
        kept.extend(deployed.stack.take_messages(deployed.stack.outputs["UndeliveredAlertsUrl"]))
        return bool(kept)

    until(is_kept)
    (record,) = [json.loads(message["Body"]) for message in kept]
    assert record["requestPayload"] == event
    errors = {"RotateFunction": "UnavailableError", "FindOverdueFunction": "ValueError"}
    assert record["responsePayload"]["errorType"] == errors[function]


@pytest.mark.parametrize(
    ("name", "status", "error", "rules"),
    [
        (ATTEMPT, "FAILED", "AlertFailedError", {"AlertFailed"}),
        (ATTEMPT + ROLLBACK, "FAILED", "AlertFailedError", {"AlertFailed"}),
        (ATTEMPT + ROLLBACK, "FAILED", "RotationFailedError", set()),
        (ATTEMPT + ROLLBACK, "FAILED", "States.Runtime", {"RollbackEnd"}),
        (ATTEMPT + ROLLBACK, "TIMED_OUT", None, {"RollbackEnd"}),
        (ATTEMPT, "ABORTED", None, set()),
        (OF_ANOTHER_SECRET, "ABORTED", None, set()),
    ],
)
def test_the_deployed_patterns_choose_as_the_tests_of_their_file_do(
    deployed: Deployed, name: str, status: str, error: str | None, rules: set[str]
) -> None:
    """The emulator's own matcher of patterns, on the rules as they were deployed."""
    events = deployed.stack.client("events")
    event = end(name, status, error)
    event["detail"]["stateMachineArn"] = deployed.stack.outputs["StateMachineArn"]
    patterns = {rule["Name"]: rule["EventPattern"] for rule in events.list_rules()["Rules"] if "EventPattern" in rule}

    fired = {
        rule
        for rule, pattern in patterns.items()
        if "-Monitoring-" in rule and events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]
    }

    assert {rule.split("-")[-1].rstrip("0123456789ABCDEF") for rule in fired} == rules
