"""The deployed machine with a real PostgreSQL: rotated, failed, retried, stopped."""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.integration.conftest import MAIL, DeployedSecret, until

pytestmark = pytest.mark.xdist_group("offline stack")


def test_the_deployed_machine_rotates_a_real_password(secret: DeployedSecret) -> None:
    secret.rotate()

    assert secret.outcome() == "RotationSucceeded"
    assert secret.logs_in(secret.password())
    assert not secret.logs_in(secret.old)
    assert secret.deployed.new_mails() == []


def test_a_failure_after_the_change_is_retried_rolled_back_mailed_once_and_recovered(secret: DeployedSecret) -> None:
    deployed = secret.deployed
    with deployed.throttled("FinishSecretFunction"):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"

    assert json.loads(secret.executions()[0]["cause"])["Outcome"] == "rolled back"
    assert secret.logs_in(secret.old)
    assert not secret.logs_in(secret.password("AWSPENDING"))
    assert_told(secret, "rolled back", "Lambda.TooManyRequestsException")

    deployed.stack.model.retry(secret.arn)
    assert secret.outcome() == "RotationSucceeded"
    (mail,) = deployed.new_mails()
    assert mail["Subject"].startswith("Recovered")
    assert not secret.logs_in(secret.old)


def assert_told(secret: DeployedSecret, outcome: str, error: str) -> None:
    """One mail for a person, and one message with the same for machines."""
    (mail,) = secret.deployed.new_mails()
    (message,) = secret.deployed.stack.take_messages(secret.deployed.queue)
    body = json.loads(message["Body"])
    assert mail["To"] == MAIL
    assert mail["Subject"] == f"Rotation failed, the old credential is restored: it/{secret.user}"
    assert secret.executions()[0]["executionArn"] in mail.get_content().replace("\n", "")
    assert (body["outcome"], body["error"]) == (outcome, error)
    assert message["MessageAttributes"]["Severity"]["StringValue"] == "warning"


def test_a_stop_in_the_console_with_a_statement_on_its_way_is_rolled_back_and_told(secret: DeployedSecret) -> None:
    deployed = secret.deployed
    with deployed.server.admin() as admin, deployed.server.admin() as watcher:
        admin.run("BEGIN")
        admin.run("LOCK TABLE pg_authid IN SHARE MODE")
        secret.rotate()
        until(lambda: watcher.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        deployed.stack.client("stepfunctions").stop_execution(executionArn=secret.executions()[0]["executionArn"])
        admin.run("COMMIT")

    assert secret.outcome() == "RotationFailed"

    stopped, rollback = secret.executions()
    assert stopped["status"] == "ABORTED"
    assert rollback["name"] == f"{stopped['name']}-rollback"
    assert json.loads(rollback["cause"])["Outcome"] == "rolled back"
    assert secret.logs_in(secret.old)
    (mail,) = deployed.new_mails()
    assert "Execution.ABORTED in SetSecret" in mail.get_content()


def test_the_rule_alone_rolls_back_what_nobody_waits_for(secret: DeployedSecret) -> None:
    """An execution started by hand has no call of Secrets Manager waiting for it; only EventBridge sees its end."""
    deployed = secret.deployed
    with deployed.throttled("RotateFunction"):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"
    token = deployed.stack.model.rotations(secret.arn)[-1].token
    none_told = {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0, "Alert": {}}
    started = {
        "Mode": "Rotate",
        "SecretId": secret.arn,
        "ClientRequestToken": token,
        "Attempt": 1,
        "Previous": none_told,
        "Ended": {"Error": "none", "Cause": "", "Step": "none"},
        "RotationToken": deployed.stack.model.rotations(secret.arn)[-1].rotation_token,
    }
    with deployed.server.admin() as admin:
        admin.run("BEGIN")
        admin.run("LOCK TABLE pg_authid IN SHARE MODE")
        execution = deployed.stack.client("stepfunctions").start_execution(
            stateMachineArn=deployed.stack.outputs["StateMachineArn"],
            name=f"by-hand-{token}-1",
            input=json.dumps(started),
        )["executionArn"]
        until(lambda: "SetSecret" in secret.states(execution))
        deployed.stack.client("stepfunctions").stop_execution(executionArn=execution)
        admin.run("COMMIT")

    until(lambda: len(secret.executions()) == 2 and secret.executions()[1]["status"] == "FAILED")

    assert json.loads(secret.executions()[1]["cause"])["Outcome"] in ("rolled back", "untouched")
    assert secret.logs_in(secret.old)
    assert len(deployed.new_mails()) == 1


def test_the_daily_call_tells_of_a_secret_that_is_overdue(secret: DeployedSecret) -> None:
    deployed = secret.deployed
    secret.rotate()
    assert secret.outcome() == "RotationSucceeded"
    event = {"time": (datetime.now(UTC) + timedelta(days=32)).isoformat()}

    answer = deployed.stack.client("lambda").invoke(
        FunctionName=deployed.function("FindOverdueFunction"), Payload=json.dumps(event)
    )

    assert "FunctionError" not in answer
    told = [mail for mail in deployed.new_mails() if secret.user in mail["Subject"]]
    assert [mail["Subject"] for mail in told] == [f"OVERDUE, not rotated for 32 days: it/{secret.user}"]
    assert f"rotate-secret --secret-id {secret.arn}" in told[0].get_content().replace("\n", "")


def test_no_secret_value_and_no_rotation_token_is_to_be_seen_anywhere(secret: DeployedSecret) -> None:
    """Runs a good and a failed rotation, then searches all that the stack has written since it was started."""
    deployed = secret.deployed
    secret.rotate()
    assert secret.outcome() == "RotationSucceeded"
    with deployed.throttled("TestSecretFunction"):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"

    tokens = [rotation.rotation_token for rotation in deployed.stack.model.rotations(secret.arn)]
    values = [secret.old, secret.password(), secret.password("AWSPENDING"), *tokens]
    written = everything_written(secret)

    assert "SetSecret" in written and secret.arn in written
    for value in values:
        for form in (value, base64.b64encode(value.encode()).decode(), quote(value, safe=""), json.dumps(value)[1:-1]):
            assert form not in written


def everything_written(secret: DeployedSecret) -> str:
    """Logs of functions, outputs, errors and causes of executions, mails and messages."""
    stack = secret.deployed.stack
    texts = [mail.as_string() for mail in stack.mails]
    texts += [message["Body"] for message in stack.take_messages(secret.deployed.queue)]
    for execution in secret.executions():
        texts += [str(execution.get(key)) for key in ("output", "error", "cause", "name")]
        history = stack.client("stepfunctions").get_execution_history(
            executionArn=execution["executionArn"], maxResults=1000
        )
        texts += [str(event) for event in history["events"] if "Exited" in event["type"] or "Failed" in event["type"]]
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]:
            events = logs.get_log_events(logGroupName=group["logGroupName"], logStreamName=stream["logStreamName"])
            texts += [event["message"] for event in events["events"]]
    texts.append((stack.work_dir / "emulator.log").read_text(errors="replace"))
    return "\n".join(texts)
