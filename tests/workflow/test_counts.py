"""What the alarms count of a rotation, whoever found out how it ended, or nobody."""

import json
from collections import Counter
from typing import Any

import pytest

from rotation.metrics import OUTCOMES
from tests.workflow.conftest import World
from tests.workflow.machine import ROOT
from tests.workflow.test_failures import break_state, failing
from tests.workflow.test_stopped import stop_after

Output = pytest.CaptureFixture[str]


def counted(world: World, output: Output) -> Counter[str]:
    """How often each outcome was counted, once EventBridge has told of every execution that failed."""
    for execution in world.machine.executions():
        if execution["status"] != "SUCCEEDED":
            world.machine.execution_ended(execution["executionArn"])
    lines = [json.loads(line) for line in output.readouterr().out.splitlines() if '"_aws"' in line]
    assert {line["secret"] for line in lines} == {"payments/db"}
    return Counter(name for line in lines for name in line if name in OUTCOMES.values())


def test_an_outcome_that_rollback_found_is_counted_once(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    world.rotate()

    assert counted(world, capsys) == {"RolledBack": 1}


def test_a_rollback_that_found_that_a_person_is_needed_is_counted_once(world: World, capsys: Output) -> None:
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD 'changed-by-hand'")
    world.rotate()

    assert counted(world, capsys) == {"NeedsAPerson": 1}


def test_a_rollback_that_cannot_run_is_counted_too(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    break_state(world, "RollBack", failing("Runtime.ImportModuleError"))
    world.rotate()

    assert counted(world, capsys) == {"NeedsAPerson": 1}


def test_whom_the_alarm_calls_is_not_called_again_for_a_retry_that_ends_alike(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    break_state(world, "RollBack", failing("Runtime.ImportModuleError"))
    world.rotate()
    world.retry()

    assert counted(world, capsys) == {"NeedsAPerson": 1}


def test_a_rollback_that_cannot_run_nor_be_told_of_is_counted_too(world: World, capsys: Output) -> None:
    break_state(world, "CreateSecret", failing("AccessDeniedError"))
    break_state(world, "RollBack", failing("Runtime.ImportModuleError"))
    world.machine.break_topic()
    world.rotate()

    assert counted(world, capsys) == {"NeedsAPerson": 1}


def test_a_rollback_that_is_stopped_is_counted_and_a_stopped_attempt_is_not(world: World, capsys: Output) -> None:
    machine = world.machine

    def stop(event: Any, context: Any) -> None:
        (rollback,) = [each for each in machine.executions() if each["name"].endswith("-rollback")]
        machine.stepfunctions.stop_execution(executionArn=rollback["executionArn"])

    break_state(world, "RollBack", lambda handler: stop)
    stop_after(world, "SetSecret")

    assert [each["status"] for each in machine.executions()] == ["ABORTED", "ABORTED"]
    assert counted(world, capsys) == {"NeedsAPerson": 1}


def untold(world: World, output: Output) -> list[str]:
    """The executions of which nobody was told, as the alarm's metric counts them."""
    output.readouterr()
    for execution in world.machine.executions():
        if execution["status"] != "SUCCEEDED":
            world.machine.execution_ended(execution["executionArn"])
    lines = [json.loads(line) for line in output.readouterr().out.splitlines() if '"NotTold"' in line]
    assert {line["NotTold"][0] for line in lines} <= {1}
    return [line["execution"] for line in lines]


def test_a_message_that_could_not_be_published_is_counted_with_its_execution(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    world.machine.break_topic()
    world.rotate()

    (execution,) = world.machine.executions()
    assert execution["error"] == "AlertFailedError"
    assert untold(world, capsys) == [execution["name"]]


def test_a_rollback_that_is_broken_is_counted_with_its_execution(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    world.rotate()
    (attempt,) = world.machine.executions()
    rollback = json.loads((ROOT / "events/executions/roll_back.json").read_text())
    rollback["SecretId"] = json.loads(attempt["input"])["SecretId"]
    del rollback["Ended"]
    name = attempt["name"] + "-rollback"
    started = world.machine.stepfunctions.start_execution(
        stateMachineArn=attempt["stateMachineArn"], name=name, input=json.dumps(rollback)
    )
    world.machine.await_end(started["executionArn"])

    assert untold(world, capsys) == [name]


def test_a_failure_that_people_were_told_is_not_counted_as_untold(world: World, capsys: Output) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    world.rotate()

    assert len(world.machine.messages()) == 1
    assert untold(world, capsys) == []
