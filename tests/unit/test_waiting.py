"""Waiting for an execution: the labels each second, the execution ever more rarely."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from rotation import executions, waiting
from rotation.errors import StillRunningError
from rotation.executions import Execution, Executions
from rotation.waiting import Waiting
from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.unit.rotations import GENERIC, Account, Clock, begun, end, state_machine

BODY = {"SecretId": "app", "ClientRequestToken": "token", "Mode": "Rotate", "Attempt": 1}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


@pytest.fixture
def account() -> Iterator[Account]:
    with state_machine(), begun(GENERIC) as account:
        yield account


@pytest.fixture
def arn(account: Account) -> str:
    return Executions().start("app-1", BODY)


def wait(account: Account, clock: Clock, seconds: float) -> Waiting:
    return Waiting(account.store, Executions(), account.token, clock.now + seconds)


def test_the_execution_is_returned_as_it_ended(account: Account, clock: Clock, arn: str) -> None:
    clock.meanwhile = lambda: end(arn, "FAILED", "RotationFailedError", "words")

    ended = wait(account, clock, 60).for_end(arn)

    assert ended == Execution(arn, "app-1", "FAILED", BODY, "RotationFailedError", "words")


def test_nothing_is_waited_for_once_the_token_is_current(account: Account, clock: Clock, arn: str) -> None:
    account.stage(GENERIC)
    clock.meanwhile = lambda: account.move(
        "AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token
    )

    assert wait(account, clock, 60).for_end(arn) is None
    assert clock.now == 101


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_labels_are_asked_for_each_second_and_the_execution_ever_more_rarely(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    looks, labels = list[float](), list[float]()
    monkeypatch.setattr(random, "uniform", lambda least, most: {0.5: least, 1.0: most}[share])
    executions._client().meta.events.register(
        "provide-client-params.sfn.DescribeExecution", lambda **_: looks.append(clock.now - 100)
    )
    describe = account.model.describe_secret

    def described(**request: Any) -> Any:
        labels.append(clock.now - 100)
        return describe(**request)

    monkeypatch.setattr(account.model, "describe_secret", described)

    with pytest.raises(StillRunningError) as error:
        wait(account, clock, 150).for_end(arn)

    assert str(error.value) == f"{arn} is still running; the next call joins it"
    assert labels == list(range(150))
    assert (
        looks
        == {
            # After 2 seconds, then half as long again each time, and every 30 seconds in the end.
            1.0: [0, 2, 5, 10, 17, 28, 44, 67, 97, 127],
            0.5: [0, 1, 3, 6, 10, 16, 24, 36, 51, 66, 81, 96, 111, 126, 141],
        }[share]
    )


def test_the_next_execution_is_waited_for_from_the_beginning(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    both = wait(account, clock, 60)
    clock.meanwhile = lambda: end(arn) if clock.now > 140 else None
    assert both.for_end(arn)
    second = Executions().start("app-2", BODY)
    clock.meanwhile = lambda: end(second)
    begun_at = clock.now

    assert both.for_end(second)
    assert clock.now == begun_at + 2


@pytest.mark.parametrize(("seconds", "until"), [(1, 100), (1.5, 101), (2, 101), (0, 100)])
def test_waiting_ends_before_the_deadline(
    account: Account, clock: Clock, arn: str, seconds: float, until: float
) -> None:
    with pytest.raises(StillRunningError):
        wait(account, clock, seconds).for_end(arn)

    assert clock.now == until


def test_a_call_without_an_answer_is_made_again(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe, answers = account.model.describe_secret, iter([False, False])

    def described(**request: Any) -> Any:
        if next(answers, True):
            return describe(**request)
        raise SecretsManagerError("SomethingNew", "not now")

    monkeypatch.setattr(account.model, "describe_secret", described)
    end(arn)

    assert wait(account, clock, 60).for_end(arn)
    assert clock.now == 102
