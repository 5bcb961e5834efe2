"""Somebody who may invoke `rotate` himself: what he can hold up, and what he cannot do (SECURITY.md)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import pytest

from rotatorctl.local.secrets_manager import FunctionError
from tests.workflow.conftest import World
from tests.workflow.machine import FunctionFailedError, Handler
from tests.workflow.test_failures import break_state
from tests.workflow.test_stopped import Gate, rotate_request, stop_after

FORGED = "00000000-0000-0000-0000-000000000000"


@contextmanager
def somebody_calls_first(world: World, rotation_token: str) -> Iterator[None]:
    """In the block he makes each first call of a rotation before Secrets Manager does, and waits for its end."""

    def invoke(function_arn: str, event: dict[str, str]) -> None:
        if event["Step"] == "createSecret":
            with suppress(FunctionError):
                world.machine.rotate(function_arn, event | {"RotationToken": rotation_token})
        world.machine.rotate(function_arn, event)

    with patch.object(world.machine.secrets_manager, "invoke", invoke):
        yield


def test_a_first_attempt_with_a_false_token_stages_nothing_is_told_and_the_true_one_follows(world: World) -> None:
    with somebody_calls_first(world, FORGED):
        assert world.rotate() == "RotationSucceeded"

    assert world.outcomes() == ["untouched", "rotated"]
    assert world.subjects() == ["Rotation failed, nothing changed", "Recovered, the secret is rotated"]
    assert world.logs_in(world.value()["password"])
    assert not world.logs_in(world.old)


def test_an_attempt_without_a_token_leaves_the_secret_with_a_value_that_logs_in(world: World) -> None:
    """What Secrets Manager makes of a value that nobody vouched for is its own to say."""
    with somebody_calls_first(world, ""):
        world.rotate()

    assert world.logs_in(world.value()["password"])


def stop_untold(world: World, state: str) -> str:
    """Stop an execution once this state's work is done, while nobody waits for it and no event comes; returns it."""
    gate = Gate(world, state)
    world.machine.seconds = 10.5
    with ThreadPoolExecutor() as pool:
        rotation = pool.submit(world.machine.secrets_manager.rotate_secret, **rotate_request(world))
        gate.reached.wait(20)
        rotation.result()
        world.machine.secrets_manager.wait(world.arn)
        arn = str(world.machine.executions()[0]["executionArn"])
        world.machine.stepfunctions.stop_execution(executionArn=arn)
        gate.opened.set()
    world.machine.await_end(arn)
    world.machine.seconds = 120.0
    return arn


def rotated_since(world: World) -> None:
    world.machine.secrets_manager.update_secret_version_stage(
        SecretId=world.arn, VersionStage="AWSPENDING", RemoveFromVersionId=world.token
    )
    assert world.rotate() == "RotationSucceeded"


def turned_off(world: World) -> None:
    world.machine.secrets_manager.cancel_rotate_secret(SecretId=world.arn)


@pytest.mark.parametrize("moved", [rotated_since, turned_off])
def test_a_stopped_attempt_that_is_named_after_its_labels_moved_gets_one_rollback_which_changes_nothing(
    world: World, moved: Any
) -> None:
    """Nothing looks at a label before the rollback does."""
    arn = stop_untold(world, "CreateSecret")
    moved(world)
    before, rotations = (world.stages(), world.value()), world.outcomes()

    for _ in range(3):
        world.machine.execution_ended(arn)
        world.machine.settle()

    assert world.outcomes() == [*rotations, "untouched"]
    assert (world.stages(), world.value()) == before
    assert world.logs_in(world.value()["password"])
    assert world.subjects() == ["Rotation failed, nothing changed"]


def test_a_stopped_attempt_that_was_put_right_is_not_again_however_often_it_is_named(world: World) -> None:
    arn = stop_after(world, "SetSecret")
    world.subjects()

    for _ in range(3):
        world.machine.execution_ended(arn)
        world.machine.settle()

    assert world.outcomes() == ["ABORTED", "rolled back"]
    assert world.subjects() == []


def test_whoever_invokes_finish_secret_promotes_a_pending_value_that_was_never_set_and_a_rotation_repairs_it(
    world: World,
) -> None:
    events = list[Any]()

    def heard_and_failed(_: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            events.append(event)
            raise FunctionFailedError("KeyError", "made to fail by a test")

        return called

    mend = break_state(world, "SetSecret", heard_and_failed)
    assert world.rotate() == "RotationFailed"
    mend()
    assert world.outcomes() == ["untouched"]

    world.machine.handlers["FinishSecret"](events[0], None)

    assert world.stages()[world.token] == ["AWSCURRENT", "AWSPENDING"]
    assert not world.logs_in(world.value()["password"])
    assert world.logs_in(world.old)
    assert world.rotate() == "RotationSucceeded"
    assert world.logs_in(world.value()["password"])
