"""A rotation that works, as Secrets Manager, the application and the people see it."""

import json

import pytest

from rotatorctl.local.secrets_manager import SILENCES, Silences
from tests.workflow.conftest import World
from tests.workflow.machine import ROOT

HAPPY_PATH = ["Begin", "SelectMode", "CreateSecret", "SetSecret", "TestSecret", "FinishSecret"]
HAPPY_PATH += ["ShouldTell", "SelectEnd", "RotationSucceeded"]


@pytest.mark.parametrize("silences", SILENCES.values(), ids=SILENCES)
def test_a_rotation_leaves_one_password_that_logs_in_and_nobody_is_told(world: World, silences: Silences) -> None:
    outcome = world.rotate()

    assert outcome == "RotationSucceeded"
    new = world.value()["password"]
    assert world.logs_in(new)
    assert not world.logs_in(world.old)
    assert world.value("AWSPREVIOUS")["password"] == world.old
    assert world.value() == {**world.value("AWSPREVIOUS"), "password": new}
    assert world.machine.messages() == []
    assert [world.machine.path(each["executionArn"]) for each in world.machine.executions()] == [HAPPY_PATH]


def test_three_rotations_in_a_row_each_retire_the_password_before(world: World) -> None:
    passwords = [world.old]

    for _ in range(3):
        assert world.rotate() == "RotationSucceeded"
        passwords.append(world.value()["password"])

    assert [world.logs_in(password) for password in passwords] == [False, False, False, True]


def test_the_new_password_never_reaches_the_servers_log(world: World) -> None:
    world.rotate()

    assert "ALTER ROLE" in world.server.log()
    assert world.value()["password"] not in world.server.log()


def test_a_clean_rotation_sends_no_log_in_that_is_refused(world: World) -> None:
    refused = world.server.log().count("password authentication failed")

    world.rotate()

    assert world.server.log().count("password authentication failed") == refused


def test_rotate_immediately_false_logs_in_and_changes_nothing(world: World) -> None:
    before = world.stages()

    outcome = world.rotate(RotateImmediately=False)

    assert outcome == "TestRotationSucceeded"
    assert world.stages() == before
    assert world.logs_in(world.old)
    assert [each["name"].startswith("test-") for each in world.machine.executions()] == [True]
    assert world.machine.messages() == []


def test_rotate_immediately_false_fails_and_mails_nothing_when_the_credential_is_refused(world: World) -> None:
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD 'changed-by-hand'")

    outcome = world.rotate(RotateImmediately=False)

    assert outcome == "TestRotationFailed"
    assert world.logs_in("changed-by-hand")
    assert world.machine.messages() == []
    assert world.outcomes() == ["LoginRefusedError"]


def test_people_are_told_of_a_success_if_they_want_to_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELL_SUCCESS", "true")

    assert world.rotate() == "RotationSucceeded"

    (message,) = world.machine.messages()
    assert message["Subject"] == "Rotated: payments/db"
    assert message["MessageAttributes"]["Severity"]["Value"] == "info"


def test_the_test_of_the_alerts_takes_their_way_and_touches_nothing(world: World) -> None:
    before = world.stages()
    execution = world.machine.stepfunctions.start_execution(
        stateMachineArn=world.machine.arn, name="a-test", input=(ROOT / "events/test_alert.json").read_text()
    )
    world.machine.execution_ended(execution["executionArn"])

    (message,) = world.machine.messages()
    assert message["Subject"] == "CHECK NEEDED, AWSCURRENT could not be tried: test-of-the-alerts"
    assert json.loads(message["Message"])["reason"] == "somebody tries whether alerts arrive"
    assert [each["name"] for each in world.machine.executions()] == ["a-test"]
    assert world.stages() == before
    assert world.logs_in(world.old)
