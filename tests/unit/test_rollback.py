"""What a rollback finds and says. That it restores what it has to is shown with servers, in tests/workflow."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rotation import giving_up, rollback, throttling
from rotation.errors import (
    AccessDeniedError,
    InvalidEventError,
    LoginRefusedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.log_ins import LAST_RETRY, Version
from rotation.model import Credentials, Json
from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED, Failure, Finding
from rotation.rollback import failure_of, roll_back
from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.unit.rotations import GENERIC, Account, begun

APP = {"engine": "postgres", "host": "db.example.com", "username": "app", "password": "current-7Tz"}
TIMED_OUT = {"Error": "States.Timeout", "Cause": ""}
REJECTED = {"Error": "PasswordRejectedError", "Cause": '{"errorMessage": "too weak"}'}
WHERE = "(user 'app' at db.example.com:5432)"


@pytest.fixture
def account() -> Iterator[Account]:
    """Of a value that no server knows, so every credential is accepted."""
    with begun(GENERIC) as account:
        yield account


def report_of(account: Account, failure: Json, **request: Any) -> Json:
    verdict: Json = roll_back(account.rotation(failure=failure, **request))
    return {key: verdict["Report"][key] for key in ("Outcome", "Step", "Error", "Reason", "Working", "Key")}


def refuse(account: Account, monkeypatch: pytest.MonkeyPatch, call: str, code: str) -> None:
    """From now on Secrets Manager answers this call so."""

    def refuse(**request: Any) -> None:
        raise SecretsManagerError(code, "not now")

    monkeypatch.setattr(account.model, call, refuse)
    monkeypatch.setattr(throttling, "PATIENCE", 0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("States.Timeout", "the step gave no answer in its time"),
        ("Sandbox.Timedout", "the function reached its time limit"),
        ("Lambda.Unknown", "the function ended without an answer"),
        ("Runtime.ExitError", "the function's process died"),
        ("Lambda.TooManyRequestsException", "the function was throttled: its concurrency is used up"),
        ("LoginRefusedError", "refused"),
        ("Lambda.AWSLambdaException", "refused"),
    ],
)
def test_an_error_of_the_platform_is_told_in_plain_words_and_any_other_in_its_own(
    account: Account, error: str, reason: str
) -> None:
    request = account.rotation(failure={"Error": error, "Cause": '{"errorMessage": "refused"}'}).request

    assert failure_of(request) == Failure("SetSecret", error, reason)


@pytest.mark.parametrize(
    ("completed", "step"),
    [
        ("Begin", "CreateSecret"),
        ("CreateSecret", "SetSecret"),
        ("SetSecret", "TestSecret"),
        ("TestSecret", "FinishSecret"),
        ("FinishSecret", "CreateSecret"),
    ],
)
def test_the_step_that_failed_is_the_one_after_the_last_that_was_completed(
    account: Account, completed: str, step: str
) -> None:
    assert failure_of(account.rotation(failure=TIMED_OUT, completed=completed).request).step == step


def test_the_step_in_which_an_execution_ended_counts_before_that(account: Account) -> None:
    assert failure_of(account.rotation(failure=TIMED_OUT | {"Step": "Alert"}).request).step == "Alert"


def test_an_event_without_a_failure_is_none_of_a_rollback(account: Account) -> None:
    with pytest.raises(InvalidEventError) as error:
        roll_back(account.rotation())

    assert str(error.value) == "the event is not one of the rotation state machine's: it needs the key 'Failure'"


def test_a_credential_that_logs_in_was_not_touched(account: Account) -> None:
    account.stage(GENERIC)

    assert report_of(account, TIMED_OUT) == {
        "Outcome": "untouched",
        "Step": "SetSecret",
        "Error": "States.Timeout",
        "Reason": "the step gave no answer in its time",
        "Working": "AWSCURRENT",
        "Key": "untouched/AWSCURRENT",
    }


def test_a_promotion_that_took_effect_after_all_is_a_rotation(account: Account) -> None:
    account.stage(GENERIC | {"password": "bN2~mP5yWc8"})
    account.move("AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token)
    account.drop_pending()

    assert report_of(account, TIMED_OUT, completed="TestSecret")["Key"] == "rotated/AWSCURRENT"


@pytest.mark.parametrize(
    "end", [Account.drop_pending, lambda account: account.model.cancel_rotate_secret(SecretId=account.arn)]
)
def test_a_rotation_that_somebody_ended_does_not_come_back(account: Account, end: Any) -> None:
    account.stage(GENERIC)
    end(account)

    assert report_of(account, TIMED_OUT)["Key"] == "untouched/AWSCURRENT/abandoned"


def test_a_value_that_the_service_refuses_for_good_is_taken_off_awspending(account: Account) -> None:
    account.stage(GENERIC)

    assert report_of(account, REJECTED)["Key"] == "untouched/AWSCURRENT/given up"
    assert account.stages() == {account.current: ["AWSCURRENT"]}


def test_a_refused_value_that_stays_on_awspending_is_told_with_the_reason(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stage(GENERIC)
    refuse(account, monkeypatch, "update_secret_version_stage", "AccessDeniedException")
    found, failure = Finding(UNTOUCHED, account=WHERE), Failure("SetSecret", "PasswordRejectedError")

    assert giving_up.given_up(account.rotation(), found, failure) == dataclasses.replace(
        found,
        why="AWSPENDING could not be taken off the refused value: secretsmanager:UpdateSecretVersionStage on "
        f"{account.arn}: AccessDeniedException: not now",
    )


@pytest.mark.parametrize(
    ("outcome", "error", "given_up"),
    [
        (UNTOUCHED, "PasswordRejectedError", True),
        (ROLLED_BACK, "PasswordRejectedError", True),
        (UNTOUCHED, "UnavailableError", False),
        (ROTATED, "PasswordRejectedError", False),
        (NEEDS_A_PERSON, "PasswordRejectedError", False),
    ],
)
def test_a_value_is_given_up_only_if_it_was_refused_and_awscurrent_logs_in(
    account: Account, outcome: str, error: str, given_up: bool
) -> None:
    account.stage(GENERIC)
    found = Finding(outcome)

    given = giving_up.given_up(account.rotation(), found, Failure("SetSecret", error))

    assert given == dataclasses.replace(found, pending_removed=given_up)
    assert (account.token not in account.stages()) is given_up


def test_a_refused_value_whose_label_is_perhaps_off_is_looked_at_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stage(GENERIC)
    with monkeypatch.context() as meanwhile, pytest.raises(UnavailableError):
        refuse(account, meanwhile, "update_secret_version_stage", "ThrottlingException")
        report_of(account, REJECTED)
    account.drop_pending()

    assert report_of(account, REJECTED)["Key"] == "untouched/AWSCURRENT/given up"


def test_a_refused_value_that_stays_is_no_reason_to_call_awscurrent_untried(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stage(GENERIC)
    refuse(account, monkeypatch, "update_secret_version_stage", "ThrottlingException")

    assert report_of(account, REJECTED, retry_count=5)["Key"] == "rolled back/AWSCURRENT"


def test_a_message_of_a_value_that_was_given_up_goes_out_as_it_was(account: Account) -> None:
    account.stage(GENERIC)
    account.drop_pending()
    unsent = {"Key": "untouched/AWSCURRENT/given up", "Subject": "as it was"}
    previous = account.rotation().request.previous | {"Alert": unsent}

    answer = roll_back(account.rotation(failure=TIMED_OUT, previous=previous))

    assert (answer["Alert"], answer["Report"]["PendingRemoved"]) == (unsent, True)


def test_while_secrets_manager_gives_no_answer_the_rollback_is_asked_for_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(account, monkeypatch, "describe_secret", "ThrottlingException")

    with pytest.raises(UnavailableError, match="ThrottlingException"):
        roll_back(account.rotation(failure=TIMED_OUT, retry_count=4))


@pytest.mark.parametrize(("code", "retry"), [("ThrottlingException", 5), ("AccessDeniedException", 0)])
def test_what_cannot_be_looked_at_needs_a_person(
    account: Account, monkeypatch: pytest.MonkeyPatch, code: str, retry: int
) -> None:
    refuse(account, monkeypatch, "describe_secret", code)

    verdict = roll_back(account.rotation(failure=TIMED_OUT, retry_count=retry))

    assert verdict["Report"]["Key"] == "needs a person/unknown"
    assert (
        f"AWSCURRENT could not be tried: secretsmanager:DescribeSecret on {account.arn}: {code}: not now"
        in verdict["Alert"]["Email"]
    )


def test_a_promotion_that_took_effect_is_one_though_the_service_cannot_be_asked(account: Account) -> None:
    account.stage(GENERIC)
    account.move("AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token)
    error = UnavailableError("no answer")

    assert rollback._not_tried(account.rotation(), Failure("FinishSecret"), error) == Finding(ROTATED)
    assert rollback._not_tried(account.rotation(), Failure("SetSecret"), error).outcome == NEEDS_A_PERSON


def test_an_error_that_is_told_has_no_value_in_it(account: Account) -> None:
    Credentials("app", "Zk3-vQ9_xT7")

    assert rollback._not_tried(account.rotation(), Failure(), AccessDeniedError("near Zk3-vQ9_xT7")) == Finding(
        NEEDS_A_PERSON, "unknown", "AWSCURRENT could not be tried: near [redacted]"
    )


def moved_while_looking(account: Account, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Somebody writes the secret before each of the first looks at its labels."""
    describe, looks = account.model.describe_secret, iter(range(times))

    def moved(**request: Any) -> Json:
        if next(looks, None) is not None:
            account.write(GENERIC)
        answer: Json = describe(**request)
        return answer

    monkeypatch.setattr(account.model, "describe_secret", moved)


def test_a_rollback_looks_again_while_awscurrent_moves(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    moved_while_looking(account, monkeypatch, times=5)

    assert report_of(account, TIMED_OUT | {"Step": "Begin"})["Outcome"] == "untouched"


def test_a_secret_that_never_holds_still_is_unavailable(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    moved_while_looking(account, monkeypatch, times=6)

    with pytest.raises(UnavailableError) as error:
        roll_back(account.rotation(failure=TIMED_OUT | {"Step": "Begin"}))

    assert str(error.value) == ("AWSCURRENT keeps moving to other versions; something else writes this secret")


LOOKED = TIMED_OUT | {"Looked": True}


@pytest.mark.parametrize(
    ("step", "request_", "perhaps"),
    [
        ("SetSecret", {"retry_count": 1}, True),
        ("SetSecret", {"retry_count": 0}, False),
        ("CreateSecret", {"retry_count": 1}, False),
        ("CreateSecret", {"retry_count": 1, "attempt": 2}, True),
        ("CreateSecret", {"attempt": 2}, False),
        ("Begin", {"retry_count": 1}, False),
        ("CreateSecret", {"failure": LOOKED}, True),
    ],
)
def test_an_earlier_look_whose_answer_was_lost_may_have_restored_the_credential(
    step: str, request_: dict[str, Any], perhaps: bool
) -> None:
    request = {"failure": TIMED_OUT} | request_
    with begun(GENERIC) as account:
        account.stage(GENERIC)

        finding = rollback._settle(account.rotation(**request), Failure(step, "UnavailableError"))

        assert finding.outcome == (ROLLED_BACK if perhaps else UNTOUCHED)
        assert finding.why == ("an earlier look, whose answer was lost, may have had to restore it" if perhaps else "")


def test_where_the_password_before_goes_on_working_there_was_nothing_to_restore() -> None:
    redis = APP | {"engine": "redis"}
    with begun(redis) as account:
        account.stage(redis | {"password": "pending-2Wm"})

        rotation = account.rotation(failure=LOOKED, retry_count=1)

        assert not rollback._may_have_restored(rotation, Failure("SetSecret", "UnavailableError"))


@pytest.mark.parametrize(
    ("tried", "working", "why"),
    [
        ([], "none", "neither logs in; no other version was tried, for that could lock the account"),
        (["AWSCURRENT"], "none", "refused: AWSCURRENT"),
        (["AWSCURRENT", "AWSPENDING"], "none", "refused: AWSCURRENT and AWSPENDING"),
        (
            ["AWSPENDING"],
            "unknown",
            "TestSecret and RollBack were refused with AWSPENDING; AWSCURRENT is not tried, for that could lock the "
            "account",
        ),
    ],
)
def test_a_credential_that_could_not_be_restored_is_told_with_what_was_tried(
    tried: list[str], working: str, why: str
) -> None:
    failure = Failure("SetSecret", "LoginRefusedError", "neither logs in")

    assert rollback._none_works(failure, tried, WHERE) == Finding("needs a person", working, why, WHERE)


def test_each_version_that_was_tried_in_vain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "accepts", lambda engine, credentials: False)
    with begun(APP) as account:
        account.stage(APP | {"password": "pending-2Wm"})

        finding = rollback._restore(account.rotation(), Failure("SetSecret", "UnavailableError"))

    assert (finding.outcome, finding.why) == (NEEDS_A_PERSON, "refused: AWSCURRENT and AWSPENDING")


def test_the_credential_that_works_in_the_place_of_awscurrents_is_named_with_its_version_and_the_reason(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = Version("AWSPENDING", account.token, Credentials("app", "pending-2Wm"))
    monkeypatch.setattr(rollback, "_revert", lambda *_: "no right")

    assert rollback._put_back(account.rotation(), works, WHERE) == Finding(
        "needs a person",
        "AWSPENDING",
        "AWSCURRENT is refused, and its credential could not be set again: no right",
        WHERE,
        current_version=account.current,
        working_version=account.token,
    )


def test_what_this_rotation_did_not_change_is_not_set_again(account: Account) -> None:
    works = Version("AWSPREVIOUS", "version", Credentials("app", "previous-9Kd"))

    assert rollback._revert(account.rotation(), works) == "this rotation changed nothing that could be taken back"


def test_another_users_credential_sets_no_password_again() -> None:
    with begun(APP) as account:
        account.stage(APP)
        works = Version("AWSPREVIOUS", "version", Credentials("other", "previous-9Kd", "db.example.com", 5432))

        refusal = rollback._revert(account.rotation(), works)

    assert refusal == "AWSPREVIOUS is for user 'other' at db.example.com:5432"


BUSY, REFUSED = UnavailableError("busy"), LoginRefusedError("refused")


@pytest.mark.parametrize(
    ("failures", "again"),
    [
        ([BUSY], "busy"),
        ([BUSY, RightsDifferError("no right")], "busy"),
        ([RightsDifferError("no right"), BUSY], "busy"),
        ([REFUSED], "something else changes this password just now: refused"),
        ([RightsDifferError("no right"), REFUSED], "something else changes this password just now: refused"),
        ([REFUSED, RightsDifferError("no right")], None),
    ],
)
def test_a_credential_is_set_again_later_if_that_may_help(failures: list[RotationError], again: str | None) -> None:
    said: list[str] = []
    try:
        rollback._ask_again_if_it_may_help(failures, LAST_RETRY - 1)
    except UnavailableError as error:
        said.append(str(error))

    assert said == ([again] if again else [])
    rollback._ask_again_if_it_may_help(failures, LAST_RETRY)


def test_a_reason_is_that_of_the_functions_error_and_not_its_json(account: Account) -> None:
    cause = json.dumps({"errorMessage": "too weak", "errorType": "PasswordRejectedError", "stackTrace": ["..."]})

    request = account.rotation(failure={"Error": "PasswordRejectedError", "Cause": cause}).request

    assert str(failure_of(request)) == "PasswordRejectedError in SetSecret: too weak"
