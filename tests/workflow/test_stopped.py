"""Executions that end without their own rollback, calls that come twice, statements that come late."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from rotation.errors import UnavailableError
from rotatorctl.local.secrets_manager import FunctionError
from tests.workflow.conftest import RotatedSecret, World
from tests.workflow.machine import FUNCTION_ARN, FunctionFailedError, Handler
from tests.workflow.test_failures import break_state, failing


def call(secret: RotatedSecret, step: str, token: str | None = None) -> str:
    """One call of Secrets Manager; returns "done" or the error's words."""
    event = {
        "Step": step,
        "SecretId": secret.arn,
        "ClientRequestToken": token or secret.token,
        "RotationToken": "11111111-2222-3333-4444-555555555555",
    }
    try:
        secret.machine.rotate(f"{FUNCTION_ARN}rotate", event)
    except FunctionError as error:
        return str(error)
    return "done"


class Gate:
    """Holds a state's function after it did its work, until it is opened."""

    def __init__(self, world: World, state: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        break_state(world, state, self._hold)

    def _hold(self, handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            answer = handler(event, context)
            self.reached.set()
            self.opened.wait(20)
            return answer

        return called


def stop_after(world: World, state: str) -> str:
    """Start a rotation, stop its execution in the console once this state's work is done; returns the execution."""
    gate = Gate(world, state)
    with ThreadPoolExecutor() as pool:
        rotation = pool.submit(world.rotate)
        gate.reached.wait(20)
        arn = str(world.machine.executions()[0]["executionArn"])
        world.machine.stepfunctions.stop_execution(executionArn=arn)
        gate.opened.set()
        world.machine.execution_ended(arn)
        assert rotation.result() == "RotationFailed"
    return arn


def test_a_stop_in_the_console_is_rolled_back_and_told_once_though_two_paths_see_it(world: World) -> None:
    stop_after(world, "SetSecret")

    assert world.logs_in(world.old)
    assert world.outcomes() == ["ABORTED", "rolled back"]
    assert world.machine.executions()[1]["name"] == world.machine.executions()[0]["name"] + "-rollback"
    (message,) = world.machine.messages()
    assert message["MessageAttributes"]["Step"]["Value"] == "SetSecret"
    assert message["MessageAttributes"]["Error"]["Value"] == "Execution.ABORTED"


def test_a_stop_after_the_rollback_does_not_make_a_restored_credential_untouched(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    stop_after(world, "RollBack")

    assert world.logs_in(world.old)
    assert world.outcomes() == ["ABORTED", "rolled back"]
    assert world.subjects() == ["Rotation failed, the old credential is restored"]


def test_the_attempt_after_a_stop_rotates_and_says_recovered(world: World) -> None:
    stop_after(world, "SetSecret")
    world.subjects()

    assert world.retry() == "RotationSucceeded"

    assert world.outcomes() == ["ABORTED", "rolled back", "rotated"]
    assert world.subjects() == ["Recovered, the secret is rotated"]
    assert not world.logs_in(world.old)


def test_a_stop_is_rolled_back_when_nobody_waits_for_the_execution(world: World) -> None:
    gate = Gate(world, "SetSecret")
    world.machine.seconds = 10.5
    with ThreadPoolExecutor() as pool:
        rotation = pool.submit(world.machine.secrets_manager.rotate_secret, **rotate_request(world))
        gate.reached.wait(20)
        rotation.result()
        still_running = world.machine.secrets_manager.wait(world.arn)
        assert still_running is not None
        assert still_running.outcome == "RotationFailed"
        arn = str(world.machine.executions()[0]["executionArn"])
        world.machine.stepfunctions.stop_execution(executionArn=arn)
        gate.opened.set()

    world.machine.execution_ended(arn)
    world.machine.settle()

    assert world.outcomes() == ["ABORTED", "rolled back"]
    assert world.logs_in(world.old)
    assert world.subjects() == ["Rotation failed, the old credential is restored"]


def rotate_request(secret: RotatedSecret) -> dict[str, Any]:
    rules = {"AutomaticallyAfterDays": 30}
    return {"SecretId": secret.arn, "RotationLambdaARN": f"{FUNCTION_ARN}rotate", "RotationRules": rules}


class TestTimedOut:
    """A machine-level time-out runs no Catch."""

    @pytest.fixture
    def definition(self, definition: dict[str, Any]) -> dict[str, Any]:
        return definition | {"TimeoutSeconds": 3}

    def test_a_machine_level_time_out_is_rolled_back_and_told(self, world: World) -> None:
        gate = Gate(world, "SetSecret")

        assert world.rotate() == "RotationFailed"
        gate.opened.set()

        assert world.outcomes() == ["TIMED_OUT", "rolled back"]
        assert world.logs_in(world.old)
        assert world.subjects() == ["Rotation failed, the old credential is restored"]


def test_the_news_of_an_execution_that_told_people_itself_changes_nothing(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.rotate()
    world.subjects()

    world.machine.execution_ended(world.machine.executions()[0]["executionArn"])
    world.machine.settle()

    assert world.outcomes() == ["rolled back"]
    assert world.subjects() == []


def test_a_second_call_of_a_step_joins_the_execution_that_runs(world: World) -> None:
    gate = Gate(world, "CreateSecret")
    with ThreadPoolExecutor() as pool:
        rotation = pool.submit(world.rotate)
        gate.reached.wait(20)
        others = [
            pool.submit(call, world, step) for step in ("createSecret", "setSecret", "testSecret", "finishSecret")
        ]
        gate.opened.set()
        assert rotation.result() == "RotationSucceeded"
        assert [other.result() for other in others] == ["done"] * 4

    assert world.outcomes() == ["rotated"]


def test_calls_after_success_start_nothing(world: World) -> None:
    world.rotate()

    assert [call(world, step) for step in ("createSecret", "setSecret", "finishSecret")] == ["done"] * 3
    assert world.outcomes() == ["rotated"]


def test_two_calls_after_a_failed_attempt_start_one_new_attempt(world: World) -> None:
    mend = break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.rotate()
    pending = world.value("AWSPENDING")
    mend()

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: call(world, "createSecret"), range(2)))
    world.machine.settle()

    assert answers == ["done", "done"]
    assert world.outcomes() == ["rolled back", "rotated"]
    assert world.value() == pending


def test_a_later_step_after_a_failed_attempt_reports_it_and_starts_nothing(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.rotate()

    answer = call(world, "setSecret")

    assert answer.startswith("RotationFailedError: rolled back: LoginRefusedError in TestSecret")
    assert len(world.machine.executions()) == 1


def unheard(handler: Handler, event: Any, context: Any) -> None:
    """A call whose end nobody hears of; the server lets one of several win, and sends the others away."""
    with suppress(UnavailableError):
        handler(event, context)


class TestLateStatement:
    """A statement waits on a lock; its function is killed; the lock goes, and it lands after its caller gave up."""

    @pytest.fixture
    def definition(self, definition: dict[str, Any]) -> dict[str, Any]:
        definition["States"]["AwaitLateStatement"]["Seconds"] = 3
        return definition

    @pytest.mark.parametrize("error", ["Sandbox.Timedout", "Lambda.SdkClientException", "UnavailableError"])
    def test_a_statement_that_lands_late_does_not_make_the_message_false(self, world: World, error: str) -> None:
        late, sent = threading.Thread(), threading.Event()

        def killed(handler: Handler) -> Handler:
            def called(event: Any, context: Any) -> Any:
                nonlocal late
                # Started before the test can see it: a retry comes while the test waits for the one before.
                thread = threading.Thread(target=unheard, args=(handler, event, context))
                thread.start()
                late = thread
                sent.set()
                raise FunctionFailedError(error, "nobody hears from it while the statement waits")

            return called

        break_state(world, "SetSecret", killed)
        with world.server.admin() as admin, ThreadPoolExecutor() as pool:
            admin.run("BEGIN")
            admin.run("LOCK TABLE pg_authid IN SHARE MODE")
            rotation = pool.submit(world.rotate)
            sent.wait(20)
            late.join(1)
            assert late.is_alive(), "the statement waits on the lock"
            admin.run("COMMIT")
            assert rotation.result() == "RotationFailed"

        assert world.outcomes() == ["rolled back"]
        assert world.logs_in(world.old)
        assert world.subjects() == ["Rotation failed, the old credential is restored"]
