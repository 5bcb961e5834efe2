"""The same thing twice at once: each function of a state, each call of Secrets Manager."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any

import pytest

from rotation import engines, rollback
from rotation.errors import UnavailableError
from rotation.executions import Executions
from rotation.model import Json
from tests.workflow.applications import Application
from tests.workflow.machine import STATES, Handler
from tests.workflow.test_failures import break_state, failing
from tests.workflow.test_meddling import of_every_engine, of_one_user, set_on_the_server, told
from tests.workflow.test_races import rotated


def at_once(call: Callable[[], Any]) -> list[Any]:
    """Two calls that begin together, as futures; the one that ended first is the first. Both have ended."""
    start = threading.Barrier(2)

    def run() -> Any:
        start.wait(20)
        return call()

    with ThreadPoolExecutor(2) as pool:
        return list(as_completed([pool.submit(run) for _ in range(2)]))


class Twice:
    """Functions that Lambda runs twice for one event. A state hears of the first that did its work."""

    def __init__(self, application: Application) -> None:
        self.lost: set[str] = set()
        for state in STATES:
            break_state(application, state, partial(self._twice, state))

    def _twice(self, state: str, handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            ends = at_once(lambda: handler(event, context))
            self.lost |= {state for end in ends if end.exception()}
            return next((end for end in ends if not end.exception()), ends[0]).result()

        return called


@of_every_engine
def test_every_function_that_runs_twice_at_once_does_its_work_once(application: Application) -> None:
    twice = Twice(application)
    mend = break_state(application, "FinishSecret", failing("KeyError"))

    assert application.rotate() == "RotationFailed"

    assert application.credentials() == application.first
    assert application.server.logs_in(application.first)
    assert len(application.subjects()) == 1

    mend()
    assert application.retry() == "RotationSucceeded"
    assert application.outcomes()[1:] == ["rotated"]
    assert application.subjects() == ["Recovered, the secret is rotated"]
    # A server may send one of two changes away; nothing else may tell the two apart.
    assert twice.lost <= {"SetSecret", "RollBack"}
    rotated(application)


@of_one_user
def test_a_set_secret_that_runs_twice_and_is_heard_of_the_second_time_is_told_as_it_is(
    application: Application,
) -> None:
    """The second may not try AWSPENDING: one more refused log-in could lock the account."""

    def again(handler: Handler) -> Handler:
        return lambda event, context: (handler(event, context), handler(event, context))[1]

    mend = break_state(application, "SetSecret", again)
    assert application.rotate() == "RotationFailed"

    assert told(application)["outcome"] == "needs a person"
    mend()
    assert application.retry() == "RotationSucceeded"
    assert application.subjects() == ["Recovered, the secret is rotated"]
    rotated(application)


@of_one_user
def test_a_credential_that_works_is_named_where_the_service_lets_people_in_and_changes_nothing(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover, or while somebody holds a lock for longer than RollBack asks again."""
    break_state(application, "FinishSecret", failing("KeyError"))
    engine = type(engines.load(engines.ENGINES[application.case.kind]))
    change = engine.set_password

    def only_forwards(self: Any, login: Any, target: Any, *rest: Any) -> None:
        if target.password == application.first.password:
            raise UnavailableError("it is read-only")
        change(self, login, target, *rest)

    with monkeypatch.context() as read_only:
        read_only.setattr(engine, "set_password", only_forwards)
        assert application.rotate() == "RotationFailed"

    message = told(application)
    assert (message["outcome"], message["workingCredential"]) == ("needs a person", "AWSPENDING")
    assert "could not be set again: it is read-only" in message["workingReason"]
    assert application.server.logs_in(application.credentials("AWSPENDING"))
    assert not application.server.logs_in(application.first)


@of_one_user
def test_no_credential_is_named_that_a_change_by_hand_took_away_after_the_rollback(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_state(application, "FinishSecret", failing("KeyError"))
    revert = rollback._revert

    def changed_by_hand(*arguments: Any) -> str:
        refusal = revert(*arguments)
        set_on_the_server(application, "by-hand-8Jq.Zt4")
        return refusal

    monkeypatch.setattr(rollback, "_revert", changed_by_hand)
    assert application.rotate() == "RotationFailed"

    message = told(application)
    assert (message["outcome"], message["workingCredential"]) == ("needs a person", "none")
    assert "AWSCURRENT was set again and is refused all the same" in message["workingReason"]
    assert not application.server.logs_in(application.credentials("AWSPENDING"))


@of_one_user
def test_a_credential_that_another_rollback_takes_away_meanwhile_is_not_offered(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_state(application, "FinishSecret", failing("KeyError"))
    revert = rollback._revert

    def later(*arguments: Any) -> str:
        set_on_the_server(application, application.first.password)
        return revert(*arguments)

    monkeypatch.setattr(rollback, "_revert", later)
    assert application.rotate() == "RotationFailed"

    assert told(application)["outcome"] == "rolled back"
    assert application.server.logs_in(application.first)


@of_one_user
def test_every_call_of_secrets_manager_that_comes_twice_at_once_finds_one_attempt(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, start, both = application.machine, Executions.start, threading.Barrier(2)

    def start_together(executions: Executions, name: str, body: Json) -> str:
        both.wait(20)
        return start(executions, name, body)

    def call_twice(arn: str, event: dict[str, str]) -> None:
        calls = at_once(lambda: machine.rotate(arn, event))
        assert len({str(call.exception()) for call in calls}) == 1
        calls[0].result()

    monkeypatch.setattr(Executions, "start", start_together)
    machine.secrets_manager.invoke = call_twice
    mend = break_state(application, "TestSecret", failing("LoginRefusedError"))

    assert application.rotate() == "RotationFailed"
    mend()
    assert application.retry() == "RotationSucceeded"

    assert [step for step, error in machine.secrets_manager.rotations(application.arn)[-1].steps if not error] == [
        "createSecret",
        "setSecret",
        "testSecret",
        "finishSecret",
    ]
    assert application.outcomes()[1:] == ["rotated"]
    assert len(application.subjects()) == 2
    rotated(application)
