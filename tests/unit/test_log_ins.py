"""Which log-ins a rollback may try: two that are refused at most, in a whole attempt."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rotation.errors import UnavailableError
from rotation.log_ins import worth_trying
from rotation.outcome import Failure
from tests.unit.rotations import Account, begun

APP = {"engine": "postgres", "host": "db.example.com", "username": "app", "password": "previous-4Kq"}
PREVIOUS, CURRENT, PENDING = APP, APP | {"password": "current-7Tz"}, APP | {"password": "pending-2Wm"}
ADMIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-AbCdEf"
BOTH, ONLY_CURRENT = ["AWSCURRENT", "AWSPENDING"], ["AWSCURRENT"]
WITH_PREVIOUS = ["AWSCURRENT", "AWSPREVIOUS"]


@pytest.fixture
def account() -> Iterator[Account]:
    with begun(PREVIOUS, CURRENT) as account:
        yield account


def tried(account: Account, step: str, error: str, **request: Any) -> list[str]:
    return [each.label for each in worth_trying(account.rotation(**request), Failure(step, error))]


def nothing(account: Account) -> None:
    """Leaves the labels where they are."""


def by_hand(account: Account) -> None:
    account.write(APP | {"password": "by-hand-9Xc"})


def promote(account: Account) -> None:
    account.move("AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token)


# What failed, in which attempt, what happens meanwhile, and what is tried.
ROWS: list[tuple[tuple[str, str, int], Callable[[Account], None], list[str]]] = [
    # What was refused just now is not tried again.
    (("SetSecret", "LoginRefusedError", 1), nothing, []),
    (("TestSecret", "LoginRefusedError", 1), nothing, ["AWSPENDING"]),
    (("FinishSecret", "LoginRefusedError", 1), nothing, BOTH),
    # AWSCURRENT is another value by now, that nobody tried.
    (("SetSecret", "LoginRefusedError", 1), by_hand, BOTH),
    (("TestSecret", "LoginRefusedError", 1), by_hand, ONLY_CURRENT),
    # Nothing was sent, so the pending value cannot be live.
    (("CreateSecret", "UnavailableError", 1), nothing, WITH_PREVIOUS),
    (("SetSecret", "PasswordRejectedError", 1), nothing, WITH_PREVIOUS),
    (("SetSecret", "StageConflictError", 1), by_hand, WITH_PREVIOUS),
    # It may have been sent, in this attempt or in an earlier one.
    (("SetSecret", "UnavailableError", 1), nothing, BOTH),
    (("SetSecret", "StageConflictError", 1), nothing, BOTH),
    (("TestSecret", "PasswordRejectedError", 1), nothing, BOTH),
    (("TestSecret", "StageConflictError", 1), by_hand, BOTH),
    (("TestSecret", "UnavailableError", 1), nothing, BOTH),
    (("CreateSecret", "UnavailableError", 2), nothing, BOTH),
    (("SetSecret", "PasswordRejectedError", 2), nothing, BOTH),
    # Promoted after all.
    (("FinishSecret", "UnavailableError", 1), promote, WITH_PREVIOUS),
    (("FinishSecret", "UnavailableError", 2), promote, WITH_PREVIOUS),
]


@pytest.mark.parametrize(("failed", "happens", "labels"), ROWS)
def test_a_credential_is_tried_if_it_may_be_live_and_was_not_refused_just_now(
    account: Account, failed: tuple[str, str, int], happens: Callable[[Account], None], labels: list[str]
) -> None:
    step, error, attempt = failed
    account.stage(PENDING)
    happens(account)

    assert tried(account, step, error, attempt=attempt) == labels


def test_each_credential_comes_with_its_version(account: Account) -> None:
    account.stage(PENDING)
    previous = next(version for version, stages in account.stages().items() if stages == ["AWSPREVIOUS"])

    with_pending = list(worth_trying(account.rotation(), Failure("SetSecret", "UnavailableError")))
    with_previous = list(worth_trying(account.rotation(), Failure("CreateSecret", "UnavailableError")))

    found = [(each.label, each.version, each.credentials.password) for each in (*with_pending, *with_previous)]
    assert found == [
        ("AWSCURRENT", account.current, "current-7Tz"),
        ("AWSPENDING", account.token, "pending-2Wm"),
        ("AWSCURRENT", account.current, "current-7Tz"),
        ("AWSPREVIOUS", previous, "previous-4Kq"),
    ]


def test_a_user_who_keeps_the_password_before_is_tried_with_it_alone_after_the_new_one_was_refused() -> None:
    redis = APP | {"engine": "redis"}
    with begun(redis) as account:
        account.stage(redis | {"password": "pending-2Wm"})

        assert tried(account, "TestSecret", "LoginRefusedError") == ONLY_CURRENT


@pytest.mark.parametrize(
    ("step", "labels"), [("SetSecret", ["AWSPREVIOUS"]), ("TestSecret", ONLY_CURRENT), ("FinishSecret", BOTH)]
)
def test_of_two_users_who_alternate_the_refusal_of_one_says_nothing_of_the_other(step: str, labels: list[str]) -> None:
    app = APP | {"masterarn": ADMIN}
    clone = app | {"username": "app_clone"}
    with begun(clone, app) as account:
        account.stage(clone | {"password": "pending-2Wm"})

        assert tried(account, step, "LoginRefusedError") == labels


@pytest.mark.parametrize("other", [{"username": "other"}, {"host": "other.example.com"}, {"engine": "cassandra"}])
def test_a_previous_value_that_is_of_another_user_is_not_tried(other: dict[str, str]) -> None:
    with begun(PREVIOUS | other, CURRENT) as account:
        assert tried(account, "CreateSecret", "UnavailableError") == ONLY_CURRENT


def test_without_a_previous_value_there_is_none_to_try() -> None:
    with begun(CURRENT) as account:
        assert tried(account, "CreateSecret", "UnavailableError") == ONLY_CURRENT


@pytest.mark.parametrize("step", ["Begin", "SelectMode", "CreateSecret"])
@pytest.mark.parametrize("attempt", [1, 2])
def test_an_attempt_that_staged_no_value_has_no_pending_credential(account: Account, step: str, attempt: int) -> None:
    assert tried(account, step, "UnavailableError", attempt=attempt) == WITH_PREVIOUS


@pytest.mark.parametrize("retry", [0, 4])
@pytest.mark.parametrize(("step", "error_"), [("SetSecret", "UnavailableError"), ("TestSecret", "LoginRefusedError")])
def test_a_value_that_was_staged_and_is_not_to_be_seen_yet_is_waited_for(
    account: Account, step: str, error_: str, retry: int
) -> None:
    with pytest.raises(UnavailableError) as error:
        tried(account, step, error_, retry_count=retry)

    assert str(error.value) == f"version {account.token} has no value to be seen yet"


def test_at_the_last_retry_what_is_to_be_seen_is_tried(account: Account) -> None:
    assert tried(account, "SetSecret", "UnavailableError", retry_count=5) == WITH_PREVIOUS
