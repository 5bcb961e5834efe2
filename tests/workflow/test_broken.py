"""An execution that the interpreter itself ends: no Catch of the machine takes States.Runtime."""

from typing import Any

import pytest

from tests.workflow.conftest import World


@pytest.fixture
def definition(definition: dict[str, Any]) -> dict[str, Any]:
    """TestSecret asks for a part of the state that is not there."""
    definition["States"]["TestSecret"]["InputPath"] = "$.NotThere"
    return definition


def test_an_execution_that_is_broken_by_the_interpreter_is_rolled_back_and_told_once(world: World) -> None:
    assert world.rotate() == "RotationFailed"

    broken, rollback = world.machine.executions()
    assert (broken["status"], broken["error"]) == ("FAILED", "States.Runtime")
    assert rollback["name"] == f"{broken['name']}-rollback"
    assert world.outcomes()[1] == "rolled back"
    assert world.logs_in(world.old)
    assert world.subjects() == ["Rotation failed, the old credential is restored"]
    world.machine.execution_ended(broken["executionArn"])
    assert world.subjects() == []
