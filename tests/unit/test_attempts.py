"""The conversation with Secrets Manager: which execution is started, joined or refused. None of them runs."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto.stepfunctions.models import Execution as OfMoto

from rotation import executions, invocation, waiting
from rotation.attempts import Attempts
from rotation.errors import (
    AccessDeniedError,
    RotationError,
    RotationFailedError,
    StageConflictError,
    StillRunningError,
    UnavailableError,
)
from rotation.executions import Executions, attempt_name, rollback_name
from rotation.invocation import answer, recover
from rotation.model import ROTATE, TEST, Json
from rotation.report import NOTHING_TOLD
from tests.unit.rotations import GENERIC, Account, Clock, all_started, begun, end, state_machine
from tests.workflow.machine import Context

NOT_FAILED = {"Error": "none", "Cause": "", "Step": "none", "Looked": False}
TOLD_AT = datetime.now(UTC).isoformat(timespec="seconds")
REPORT = {
    "Outcome": "untouched",
    "Error": "LoginRefusedError",
    "Step": "SetSecret",
    "Reason": "refused",
    "Working": "AWSCURRENT",
    "Execution": "arn:execution",
    "Key": "untouched/AWSCURRENT",
    "At": TOLD_AT,
    "PendingRemoved": False,
    "RolledBack": 0,
    "Previous": {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0},
}
WORDS = "untouched: LoginRefusedError in SetSecret: refused. Works now: AWSCURRENT. Execution: arn:execution"
EVENT = Path(__file__).parents[2] / "events/eventbridge/execution_aborted.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(waiting, "EXECUTION_FIRST", (2, 2))
    monkeypatch.setattr(invocation, "time", clock)
    return clock


@pytest.fixture
def account(clock: Clock) -> Iterator[Account]:
    with state_machine(), begun(GENERIC) as account:
        yield account


def call(account: Account, step: str = "createSecret") -> None:
    """Secrets Manager calls `rotate`, which has a minute left to wait."""
    Attempts(account.arn, account.token, "rotation-token", deadline=160).answer(step)


def body(account: Account, **other: Any) -> Json:
    """The input of the first attempt, but for what is another."""
    return {
        "Mode": "Rotate",
        "SecretId": account.arn,
        "ClientRequestToken": account.token,
        "Attempt": 1,
        "Previous": NOTHING_TOLD,
        "Ended": NOT_FAILED,
        "RotationToken": "rotation-token",
    } | other


def ended(account: Account, status: str = "FAILED", attempt: int = 1, mode: str = ROTATE, **how: Any) -> str:
    """The name of an attempt that ended so."""
    name = attempt_name(mode, account.arn, account.token, attempt)
    end(Executions().start(name, body(account, Mode=mode, Attempt=attempt)), status, **how)
    return name


def failed(account: Account, error: str = "RotationFailedError", attempt: int = 1, **report: Any) -> str:
    """The name of an attempt that ended with this report."""
    verdict: Json = REPORT | report
    if error == "AlertFailedError":
        verdict = {"Report": verdict, "Alert": {"Subject": "as it was"}}
    return ended(account, attempt=attempt, error=error, cause=json.dumps(verdict))


def inputs() -> list[Json]:
    return [execution["input"] for execution in all_started()]


def refusal(account: Account, step: str = "createSecret", kind: type[Exception] = RotationFailedError) -> str:
    with pytest.raises(kind) as error:
        call(account, step)
    return str(error.value)


def history(monkeypatch: pytest.MonkeyPatch, *states: str, verdict: Json | None = None) -> None:
    """From now on every execution has entered these states, and has left Alert with this verdict."""
    events: list[Json] = [{"stateEnteredEventDetails": {"name": state}} for state in states]
    if verdict:
        output = json.dumps({"Verdict": verdict})
        events.append({"stateExitedEventDetails": {"name": "Alert", "output": output}})
    at = datetime(2026, 11, 25, tzinfo=UTC)
    numbered = [event | {"id": number, "timestamp": at, "type": "TaskState"} for number, event in enumerate(events, 1)]
    monkeypatch.setattr(OfMoto, "get_execution_history", lambda *_: numbered)


def test_the_first_call_starts_the_first_attempt_and_waits_for_its_end(account: Account, clock: Clock) -> None:
    name = attempt_name(ROTATE, account.arn, account.token, 1)
    clock.meanwhile = lambda: end(f"{Executions()._arn(name)}")

    call(account)

    assert all_started() == [{"name": name, "input": body(account)}]


def test_a_clean_rotation_never_asks_how_an_execution_is(account: Account, clock: Clock) -> None:
    """DescribeExecution is the call that an account can make least often."""
    looks: list[str] = []
    events = executions._client().meta.events
    events.register("provide-client-params.sfn.DescribeExecution", lambda **_: looks.append("a look"))
    account.stage(GENERIC)
    clock.meanwhile = lambda: account.move(
        "AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token
    )

    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        call(account, step)

    assert inputs() == [body(account)]
    assert looks == []


def test_the_report_of_an_attempt_that_fails_is_the_answer(account: Account, clock: Clock) -> None:
    clock.meanwhile = lambda: failed(account)

    assert refusal(account) == WORDS


def test_an_attempt_that_runs_is_joined_by_whatever_call(account: Account) -> None:
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        assert refusal(account, step, StillRunningError).endswith(" is still running; the next call joins it")

    assert inputs() == [body(account)]


@pytest.mark.parametrize("step", ["createSecret", "setSecret", "testSecret", "finishSecret"])
def test_once_the_token_is_current_every_call_is_done(account: Account, step: str) -> None:
    account.stage(GENERIC)
    account.move("AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token)

    call(account, step)

    assert inputs() == []


@pytest.mark.parametrize("step", ["setSecret", "finishSecret"])
def test_a_step_of_a_rotation_that_was_never_started_is_refused(account: Account, step: str) -> None:
    assert refusal(account, step, StageConflictError) == (
        f"{step} was called, but no rotation of version {account.token} was started"
    )


def test_a_version_that_is_not_pending_is_refused_with_the_command(account: Account) -> None:
    account.drop_pending()

    assert refusal(account, kind=StageConflictError) == (
        f"version {account.token} is not labelled AWSPENDING; Secrets Manager starts a rotation with "
        f"aws secretsmanager rotate-secret --secret-id {account.arn}"
    )


def test_a_secret_whose_rotation_is_off_is_refused(account: Account) -> None:
    account.model.cancel_rotate_secret(SecretId=account.arn)

    assert refusal(account, kind=StageConflictError) == "rotation is not turned on for this secret"


def test_a_log_in_alone_is_a_test_that_changes_nothing(account: Account) -> None:
    refusal(account, "testSecret", StillRunningError)
    refusal(account, "testSecret", StillRunningError)

    name = attempt_name(TEST, account.arn, account.token, 1)
    assert all_started() == [{"name": name, "input": body(account, Mode="Test", RotationToken="")}]


def test_after_a_test_that_ended_comes_the_next_one(account: Account) -> None:
    ended(account, "SUCCEEDED", mode=TEST)

    refusal(account, "testSecret", StillRunningError)

    assert inputs()[1] == body(account, Mode="Test", Attempt=2, RotationToken="")


def test_a_test_that_fails_is_told_as_such(account: Account, clock: Clock) -> None:
    clock.meanwhile = lambda: ended(account, mode=TEST, error="LoginRefusedError", cause='{"errorMessage": "refused"}')

    assert refusal(account, "testSecret") == "AWSCURRENT was tried and nothing changed: LoginRefusedError: refused"


def test_a_mere_log_in_is_answered_within_seconds(
    account: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "EXECUTION_FIRST", (30, 230))
    clock.meanwhile = lambda: ended(account, mode=TEST, error="LoginRefusedError", cause='{"errorMessage": "refused"}')
    asked_at = clock.now

    refusal(account, "testSecret")

    assert clock.now - asked_at <= waiting.LOG_IN_AGAIN[1] + 1


def test_after_a_failed_attempt_comes_the_next_one_which_knows_what_was_told(account: Account) -> None:
    failed(account)

    refusal(account, kind=StillRunningError)

    previous = {"Told": True, "Key": "untouched/AWSCURRENT", "ToldAt": TOLD_AT, "RolledBack": 0, "Alert": {}}
    previous["Begun"] = True
    assert inputs()[1] == body(account, Attempt=2, Previous=previous)


def test_the_next_attempt_gets_an_alert_that_reached_nobody(account: Account) -> None:
    failed(account, "AlertFailedError")

    refusal(account, kind=StillRunningError)

    assert inputs()[1]["Previous"] == NOTHING_TOLD | {"Begun": True, "Alert": {"Subject": "as it was"}}


@pytest.mark.parametrize("step", ["setSecret", "testSecret", "finishSecret"])
def test_another_call_than_the_first_gets_the_report_again(account: Account, step: str) -> None:
    failed(account)

    assert refusal(account, step) == WORDS
    assert len(inputs()) == 1


def test_a_value_that_the_service_refused_for_good_is_reported_again_and_not_tried(account: Account) -> None:
    failed(account, PendingRemoved=True)
    account.drop_pending()

    assert refusal(account) == WORDS
    assert len(inputs()) == 1


def test_a_version_that_was_rotated_to_before_is_refused_with_the_way_out(account: Account) -> None:
    ended(account, "SUCCEEDED")

    assert refusal(account, kind=StageConflictError) == (
        f"version {account.token} was rotated to before; take AWSPENDING off it to rotate"
    )


def test_a_promotion_that_shows_only_while_it_is_looked_for_leaves_nothing_to_do(
    account: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stage(GENERIC)
    ended(account, "SUCCEEDED")
    describe = account.model.describe_secret

    def before_it_shows(**request: Any) -> Json:
        answer: Json = describe(**request)
        monkeypatch.setattr(account.model, "describe_secret", describe)
        account.move("AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token)
        return answer

    monkeypatch.setattr(account.model, "describe_secret", before_it_shows)

    call(account)

    assert len(inputs()) == 1


def test_an_attempt_that_was_stopped_and_takes_effect_after_all_leaves_nothing_to_do(
    account: Account, clock: Clock
) -> None:
    account.stage(GENERIC)
    ended(account, "TIMED_OUT")
    clock.meanwhile = lambda: account.move(
        "AWSCURRENT", RemoveFromVersionId=account.current, MoveToVersionId=account.token
    )

    call(account, "setSecret")


REFUSED = f"refused, nothing was touched: 3 attempts with this version had to be put right. The last one: {WORDS}"


@pytest.mark.parametrize(("rolled_back", "goes_on"), [(2, True), (3, False)])
def test_after_three_attempts_that_were_put_right_there_is_no_other(
    account: Account, rolled_back: int, goes_on: bool
) -> None:
    failed(account, RolledBack=rolled_back)

    told = refusal(account, kind=StillRunningError if goes_on else RotationFailedError)

    assert goes_on or told == REFUSED
    assert len(inputs()) == (2 if goes_on else 1)


def test_where_people_were_not_told_of_the_last_attempt_they_are_before_it_is_refused(
    account: Account, clock: Clock
) -> None:
    name = failed(account, "AlertFailedError", RolledBack=3)
    clock.meanwhile = lambda: end(Executions()._arn(rollback_name(name)))

    assert refusal(account) == REFUSED

    [_, rollback] = all_started()
    assert rollback == {
        "name": rollback_name(name),
        "input": body(
            account,
            Mode="RollBack",
            Previous=NOTHING_TOLD | {"RolledBack": 3, "Begun": True, "Alert": {"Subject": "as it was"}},
            Ended={
                "Error": "Execution.FAILED",
                "Cause": f"the execution {name} ended as FAILED AlertFailedError "
                + json.dumps({"Report": REPORT | {"RolledBack": 3}, "Alert": {"Subject": "as it was"}}),
                "Step": "SetSecret",
                "Looked": True,
            },
            RotationToken="",
        ),
    }


def test_where_people_were_told_in_the_end_no_rollback_is_tried_again(account: Account) -> None:
    name = failed(account, "AlertFailedError", RolledBack=3)
    end(Executions().start(rollback_name(name), body(account, Mode="RollBack")))

    assert refusal(account) == REFUSED
    assert len(inputs()) == 2


def undone(account: Account, name: str, **ended: Any) -> Json:
    """The execution that puts an attempt right which did not do it itself."""
    return {
        "name": f"{name}-rollback",
        "input": body(
            account,
            Mode="RollBack",
            Ended={
                "Error": "Execution.ABORTED",
                "Cause": f"the execution {name} ended as ABORTED Stopped by a person",
                **ended,
            },
            RotationToken="",
        ),
    }


STOPPED: dict[str, Any] = {"status": "ABORTED", "error": "Stopped", "cause": "by a person"}


@pytest.mark.parametrize("step", ["createSecret", "setSecret"])
def test_an_attempt_that_was_stopped_is_put_right_before_anything_else(
    account: Account, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    name = ended(account, **STOPPED)
    history(monkeypatch, "Begin", "SetSecret", "RollBack")

    refusal(account, step, StillRunningError)

    assert all_started()[1] == undone(account, name, Step="RollBack", Looked=True)


def test_an_attempt_that_timed_out_has_neither_error_nor_cause(account: Account) -> None:
    name = ended(account, "TIMED_OUT")

    refusal(account, kind=StillRunningError)

    assert inputs()[1]["Ended"]["Cause"] == f"the execution {name} ended as TIMED_OUT"


def test_the_report_of_the_execution_that_put_an_attempt_right_counts_for_it(
    account: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ended(account, **STOPPED)
    history(monkeypatch, "Begin")
    arn = Executions()._arn(rollback_name(name))
    clock.meanwhile = lambda: end(arn, "FAILED", "RotationFailedError", json.dumps(REPORT))

    assert refusal(account, "setSecret") == WORDS


def test_an_attempt_that_told_people_before_it_was_stopped_needs_no_other_rollback(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(account, **STOPPED)
    history(monkeypatch, "Begin", "SetSecret", "RollBack", "Alert", verdict={"Report": REPORT, "Alert": {}})

    assert refusal(account, "setSecret") == WORDS
    refusal(account, kind=StillRunningError)

    assert [each["Mode"] for each in inputs()] == ["Rotate", "Rotate"]
    assert inputs()[1]["Previous"]["Told"] is True


def test_where_the_rollback_did_not_report_either_nobody_has_looked(
    account: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ended(account, **STOPPED)
    history(monkeypatch, "Begin")
    arn = Executions()._arn(rollback_name(name))
    clock.meanwhile = lambda: end(arn, "TIMED_OUT")

    assert refusal(account, "setSecret") == (
        f"needs a person: States.Runtime in RollBack: {name}-rollback ended as TIMED_OUT. "
        f"Works now: unknown. Execution: {arn}"
    )

    clock.meanwhile = lambda: None
    refusal(account, kind=StillRunningError)
    assert inputs()[2]["Previous"] | {"ToldAt": ""} == {
        **NOTHING_TOLD,
        "Told": True,
        "Key": "needs a person/unknown",
        "Begun": True,
    }


def test_a_rollback_that_finds_the_rotation_in_effect_leaves_nothing_to_do(account: Account, clock: Clock) -> None:
    name = ended(account, **STOPPED)
    clock.meanwhile = lambda: end(Executions()._arn(rollback_name(name)))

    call(account, "setSecret")

    assert len(inputs()) == 2


def test_news_of_an_attempt_that_was_stopped_starts_its_rollback(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ended(account, **STOPPED)
    history(monkeypatch, "Begin", "SetSecret")
    event = json.loads(EVENT.read_text())
    event["detail"]["executionArn"] = Executions()._arn(name)

    answer(event, Context(120))  # type: ignore[arg-type]  # the part of it that is used

    assert all_started()[1] == undone(account, name, Step="SetSecret", Looked=False)


def test_news_of_an_end_that_is_not_to_be_seen_yet_has_to_come_again(account: Account) -> None:
    running = Executions().start("app-1", body(account))

    for arn in (running, f"{running}-0"):
        with pytest.raises(UnavailableError) as error:
            recover(arn)
        assert str(error.value) == f"the end of {arn} is not to be seen yet"
    assert len(inputs()) == 1


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        (ROTATE, {"status": "SUCCEEDED"}),
        (ROTATE, {"error": "RotationFailedError", "cause": "{}"}),
        (TEST, STOPPED),
        ("RollBack", STOPPED),
    ],
)
def test_there_is_nothing_to_recover_of_what_reported_or_changed_nothing(
    account: Account, mode: str, how: dict[str, Any]
) -> None:
    recover(Executions()._arn(ended(account, mode=mode, **how)))

    assert len(inputs()) == 1


def test_an_attempt_that_a_newer_one_follows_is_not_recovered(account: Account) -> None:
    first = ended(account, **STOPPED)
    ended(account, attempt=2, **STOPPED)

    recover(Executions()._arn(first))

    assert len(inputs()) == 2


def test_an_attempt_that_told_people_is_not_recovered(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    name = ended(account, **STOPPED)
    history(monkeypatch, "Begin", "Alert", verdict={"Report": REPORT, "Alert": {}})

    recover(Executions()._arn(name))

    assert len(inputs()) == 1


def test_a_call_is_answered_before_the_functions_time_is_over(account: Account, clock: Clock) -> None:
    event = {"Step": "createSecret", "SecretId": account.arn, "ClientRequestToken": account.token}

    with pytest.raises(StillRunningError):
        answer(event | {"RotationToken": "rotation-token"}, Context(120.05))  # type: ignore[arg-type]  # as above

    # 25 of these seconds are kept, and another second passes between two looks.
    assert clock.now == 100 + 95
    assert inputs() == [body(account)]


def counted(capsys: pytest.CaptureFixture[str], account: Account, step: str = "createSecret") -> list[str]:
    """What a call that fails counts."""
    event = {"Step": step, "SecretId": account.arn, "ClientRequestToken": account.token}
    with suppress(RotationError):
        answer(event | {"RotationToken": "rotation-token"}, Context(60))  # type: ignore[arg-type]  # as above
    return metrics(capsys)


def metrics(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [each["Name"] for line in lines for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]


def refusing_to_start(monkeypatch: pytest.MonkeyPatch, but: str = "") -> None:
    begin_one = Executions.begin

    def begin(executions: Executions, name: str, body: Json) -> str:
        if name == but:
            return begin_one(executions, name, body)
        raise AccessDeniedError("states:StartExecution")

    monkeypatch.setattr(Executions, "begin", begin)


def test_a_rotation_that_comes_to_no_execution_is_counted(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing_to_start(monkeypatch)

    assert counted(capsys, account) == ["RotationNotStarted"]

    account.drop_pending()
    assert counted(capsys, account) == ["RotationNotStarted"]


def test_a_next_attempt_that_cannot_be_started_is_counted(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing_to_start(monkeypatch, but=failed(account))

    assert counted(capsys, account) == ["RotationNotStarted"]


def test_what_people_know_of_is_not_counted_again(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    failed(account, Key="untouched/AWSCURRENT/abandoned")
    account.drop_pending()

    assert counted(capsys, account) == []


@pytest.mark.parametrize("step", ["setSecret", "testSecret", "finishSecret"])
def test_only_the_first_call_begins_a_rotation(account: Account, capsys: pytest.CaptureFixture[str], step: str) -> None:
    account.drop_pending()

    assert counted(capsys, account, step) == []


def test_an_execution_that_runs_tells_of_itself(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert counted(capsys, account) == []
    assert counted(capsys, account) == []


def test_an_end_that_is_named_again_is_counted_again(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    """By whoever may invoke the function, too: he can ring the alarm (SECURITY.md)."""
    name = failed(account, "AlertFailedError")

    for _ in range(2):
        recover(Executions()._arn(name))

    assert metrics(capsys) == ["NotTold", "NotTold"]
    assert len(inputs()) == 1


def test_a_value_that_was_given_up_is_told_of_until_people_have_it(account: Account, clock: Clock) -> None:
    name = failed(account, "AlertFailedError", PendingRemoved=True)
    account.drop_pending()
    clock.meanwhile = lambda: end(Executions()._arn(rollback_name(name)))

    assert refusal(account) == WORDS
    assert [each["name"] for each in all_started()] == [name, rollback_name(name)]

    assert refusal(account) == WORDS
    assert len(all_started()) == 2


def test_a_success_of_the_rollback_after_which_labels_were_moved_is_refused_aloud(
    account: Account, clock: Clock
) -> None:
    name = ended(account, **STOPPED)
    clock.meanwhile = lambda: end(Executions()._arn(rollback_name(name)))

    assert "was rotated to before" in refusal(account, kind=StageConflictError)
