"""Waiting for an execution: the labels each second, the execution rarely."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, islice
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


def looked_at(clock: Clock) -> list[float]:
    """After how many seconds the execution was looked at."""
    seconds = list[float]()
    executions._client().meta.events.register(
        "provide-client-params.sfn.DescribeExecution", lambda **_: seconds.append(clock.now - 100)
    )
    return seconds


@pytest.fixture
def arn(account: Account) -> str:
    return Executions().start("app-1", BODY)


def wait(account: Account, clock: Clock, seconds: float) -> Waiting:
    return Waiting(account.store, Executions(), account.token, clock.now + seconds)


def test_the_execution_is_returned_as_it_ended(account: Account, clock: Clock, arn: str) -> None:
    clock.meanwhile = lambda: end(arn, "FAILED", "RotationFailedError", "words")

    ended = wait(account, clock, 300).for_end(arn)

    assert ended == Execution(arn, "app-1", "FAILED", BODY, "RotationFailedError", "words")


def test_nothing_is_waited_for_once_the_token_is_current(account: Account, clock: Clock, arn: str) -> None:
    account.stage(GENERIC)
    clock.meanwhile = lambda: account.move(
        "AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token
    )

    assert wait(account, clock, 60).for_end(arn) is None
    assert clock.now == 101


def test_labels_are_asked_for_each_second_from_the_first_on(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = list[float]()
    describe = account.model.describe_secret

    def described(**request: Any) -> Any:
        labels.append(clock.now - 100)
        return describe(**request)

    monkeypatch.setattr(account.model, "describe_secret", described)

    with pytest.raises(StillRunningError) as error:
        wait(account, clock, 150).for_end(arn)

    assert str(error.value) == f"{arn} is still running; the next call joins it"
    assert labels == list(range(1, 150))


@pytest.mark.parametrize("bound", [min, max])
def test_the_execution_is_looked_at_rarely(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch, bound: Any
) -> None:
    """At the earliest, and at the latest."""
    looks = looked_at(clock)
    monkeypatch.setattr(random, "uniform", bound)

    with pytest.raises(StillRunningError):
        wait(account, clock, 600).for_end(arn)

    # The last one is at the deadline.
    assert looks == {min: [30, 230, 430, 599], max: [230, 530, 599]}[bound]


def test_a_mere_log_in_is_looked_at_soon_and_often(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looked_at(clock)
    monkeypatch.setattr(random, "uniform", max)

    with pytest.raises(StillRunningError):
        wait(account, clock, 35).for_end(arn, log_in=True)

    assert looks == [10, 20, 30, 34]


@pytest.mark.parametrize("seconds", [20, 235, 429])
def test_an_execution_that_ended_just_before_the_deadline_is_seen(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Before any look was due, or some seconds after one."""
    monkeypatch.setattr(random, "uniform", min)
    deadline = clock.now + seconds
    clock.meanwhile = lambda: end(arn, "FAILED") if clock.now >= deadline - 1 else None

    ended = wait(account, clock, seconds).for_end(arn)

    assert ended and ended.status == "FAILED"
    assert clock.now == deadline - 1


def test_an_execution_that_has_perhaps_ended_is_looked_at_first(account: Account, clock: Clock, arn: str) -> None:
    looks = looked_at(clock)
    end(arn)

    assert wait(account, clock, 60).for_end(arn, perhaps_ended=True)
    assert looks == [0]


def test_each_execution_is_waited_for_from_the_beginning(
    account: Account, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", min)
    both = wait(account, clock, 200)
    clock.meanwhile = lambda: end(arn)
    assert both.for_end(arn)
    second = Executions().start("app-2", BODY)
    clock.meanwhile = lambda: end(second)
    begun_at = clock.now

    assert both.for_end(second)
    assert clock.now == begun_at + 30


def test_a_thousand_that_wait_leave_half_of_describe_executions_refill_to_others() -> None:
    chance = random.Random(20261125)
    moments = [moment for _ in range(1_000) for moment in accumulate(islice(waiting.looks(chance.uniform), 4))]
    half_minutes = Counter(int(moment // 30) for moment in moments)

    # Ten calls a second are refilled, and chance may make a half-minute a little busier than another.
    assert max(half_minutes.values()) <= 30 * 10 / 2 * 1.2


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

    assert wait(account, clock, 60).for_end(arn, perhaps_ended=True)
    assert clock.now == 102
