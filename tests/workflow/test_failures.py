"""A rotation that fails: which password logs in afterwards, what the labels say, what people are told, the retry."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rotation import waiting
from tests.workflow.conftest import RotatedSecret, World
from tests.workflow.machine import FunctionFailedError, Handler

STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret")
# An error of our own, one of AWS's that is retried, one without an answer, and a bug.
ERRORS = ("RightsDifferError", "UnavailableError", "Sandbox.Timedout", "Lambda.TooManyRequestsException", "KeyError")


def failing(error: str, times: int = 1_000_000) -> Callable[[Handler], Handler]:
    """A handler that fails before it does anything."""

    def wrap(handler: Handler) -> Handler:
        left = iter(range(times))

        def called(event: Any, context: Any) -> Any:
            if next(left, None) is None:
                return handler(event, context)
            raise FunctionFailedError(error, "made to fail by a test")

        return called

    return wrap


def losing_the_answer(error: str, times: int = 1_000_000) -> Callable[[Handler], Handler]:
    """A handler that does its work and then fails."""

    def wrap(handler: Handler) -> Handler:
        left = iter(range(times))

        def called(event: Any, context: Any) -> Any:
            answer = handler(event, context)
            if next(left, None) is None:
                return answer
            raise FunctionFailedError(error, "made to fail by a test")

        return called

    return wrap


def break_state(secret: RotatedSecret, state: str, fault: Callable[[Handler], Handler]) -> Callable[[], None]:
    """Put a fault into a state's function; returns what mends it."""
    handler = secret.machine.handlers[state]
    secret.machine.handlers[state] = fault(handler)
    return lambda: secret.machine.handlers.update({state: handler})


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", STEPS)
def test_after_a_step_that_cannot_work_the_old_password_logs_in_and_people_are_told_once(
    world: World, step: str, error: str
) -> None:
    mend = break_state(world, step, failing(error))

    assert world.rotate() == "RotationFailed"

    assert world.value()["password"] == world.old
    assert world.logs_in(world.old)
    changed = step in ("TestSecret", "FinishSecret")
    assert world.outcomes() == ["rolled back" if changed else "untouched"]
    assert len(world.subjects()) == 1

    assert world.retry() == "RotationFailed"
    assert world.subjects() == []
    token = world.token

    mend()
    assert world.retry() == "RotationSucceeded"
    assert world.stages()[token][0] == "AWSCURRENT"
    assert world.logs_in(world.value()["password"])
    assert not world.logs_in(world.old)
    assert world.subjects() == ["Recovered, the secret is rotated"]


@pytest.mark.parametrize("error", ["Sandbox.Timedout", "RightsDifferError"])
@pytest.mark.parametrize("step", ["CreateSecret", "SetSecret", "TestSecret"])
def test_a_step_whose_answer_is_lost_is_taken_back(world: World, step: str, error: str) -> None:
    break_state(world, step, losing_the_answer(error))

    assert world.rotate() == "RotationFailed"

    assert world.value()["password"] == world.old
    assert world.logs_in(world.old)
    assert world.outcomes() == ["untouched" if step == "CreateSecret" else "rolled back"]
    assert len(world.subjects()) == 1


def test_a_promotion_whose_answer_is_lost_is_not_rolled_back(world: World) -> None:
    break_state(world, "FinishSecret", losing_the_answer("Sandbox.Timedout"))

    assert world.rotate() == "RotationSucceeded"

    assert world.value()["password"] != world.old
    assert world.logs_in(world.value()["password"])
    assert world.machine.messages() == []


@pytest.mark.parametrize("step", STEPS)
def test_nobody_is_told_what_the_machines_own_retries_healed(world: World, step: str) -> None:
    break_state(world, step, failing("UnavailableError", times=2))

    assert world.rotate() == "RotationSucceeded"

    assert world.machine.messages() == []
    assert world.outcomes() == ["rotated"]


@pytest.mark.parametrize(("step", "error"), [("SetSecret", "Sandbox.Timedout"), ("FinishSecret", "KeyError")])
def test_a_change_that_may_not_show_yet_is_waited_for_before_anybody_looks(world: World, step: str, error: str) -> None:
    break_state(world, step, failing(error))

    world.rotate()

    path = world.machine.path(world.machine.executions()[0]["executionArn"])
    assert path[path.index(step) :][:3] == [step, "AwaitLateStatement", "RollBack"]


def test_the_message_says_what_a_person_at_night_needs(world: World) -> None:
    break_state(world, "FinishSecret", failing("Lambda.TooManyRequestsException"))

    world.rotate()

    (message,) = world.machine.messages()
    body = json.loads(message["Message"])
    execution = world.machine.executions()[0]["executionArn"]
    assert message["Subject"] == "Rotation failed, the old credential is restored: payments/db"
    assert body["secret"] == "payments/db"
    assert body["step"] == "FinishSecret"
    assert body["reason"] == "the function was throttled: its concurrency is used up"
    assert body["workingCredential"] == "AWSCURRENT"
    assert body["nextCommand"] == f"aws secretsmanager rotate-secret --secret-id {world.arn}"
    assert body["executionUrl"].endswith(execution)
    attributes = {name: each["Value"] for name, each in message["MessageAttributes"].items()}
    assert attributes == {
        "AlertId": body["alertId"],
        "Severity": "warning",
        "Outcome": "rolled back",
        "Secret": world.arn,
        "Step": "FinishSecret",
        "Error": "Lambda.TooManyRequestsException",
    }


def test_after_three_attempts_that_were_put_right_the_fourth_touches_nothing(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.rotate()
    world.retry()
    world.retry()
    subjects, changes = world.subjects(), world.server.log().count("ALTER ROLE")

    assert world.retry() == "RotationFailed"

    # The first tells of the failure, the third that no further attempt is made.
    assert subjects == ["Rotation failed, the old credential is restored"] * 2
    assert world.outcomes() == ["rolled back"] * 3
    assert world.server.log().count("ALTER ROLE") == changes
    assert world.subjects() == []


def test_a_database_that_is_down_is_a_check_and_no_emergency(world: World) -> None:
    world.server.stop()
    try:
        assert world.rotate() == "RotationFailed"
    finally:
        world.server.start()

    assert world.subjects() == ["CHECK NEEDED, AWSCURRENT could not be tried"]
    assert world.outcomes() == ["needs a person"]
    assert world.value()["password"] == world.old
    assert "AWSPENDING" in world.stages()[world.token]

    assert world.retry() == "RotationSucceeded"
    assert world.subjects() == ["Recovered, the secret is rotated"]


def test_a_password_changed_by_hand_needs_a_person_and_nothing_is_changed(world: World) -> None:
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD 'changed-by-hand'")

    assert world.rotate() == "RotationFailed"

    assert world.subjects() == ["ACTION NEEDED, AWSCURRENT does not log in"]
    assert world.outcomes() == ["needs a person"]
    assert world.logs_in("changed-by-hand")


def test_attempts_that_could_put_nothing_right_do_not_use_up_the_limit(world: World) -> None:
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD 'changed-by-hand'")
    world.rotate()
    for _ in range(3):
        world.retry()
    assert world.subjects() == ["ACTION NEEDED, AWSCURRENT does not log in"]

    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD '{world.old}'")

    assert world.retry() == "RotationSucceeded"
    assert world.subjects() == ["Recovered, the secret is rotated"]


def test_a_value_that_the_service_rejects_for_good_is_given_up_and_the_next_rotation_works(world: World) -> None:
    mend = break_state(world, "SetSecret", failing("UnavailableError"))
    world.rotate()
    mend()
    mend = break_state(world, "SetSecret", failing("PasswordRejectedError"))

    assert world.retry() == "RotationFailed"

    given_up = world.token
    assert world.logs_in(world.old)
    assert "AWSPENDING" not in world.stages().get(given_up, [])
    assert world.subjects() == ["Rotation failed, nothing changed"] * 2
    executions = len(world.machine.executions())
    assert world.retry() == "RotationFailed"
    assert len(world.machine.executions()) == executions
    assert world.subjects() == []

    mend()
    assert world.rotate() == "RotationSucceeded"
    assert world.token != given_up
    assert not world.logs_in(world.old)


def test_an_unreadable_awsprevious_does_not_hide_that_awscurrent_is_refused(world: World) -> None:
    versions = world.machine.secrets_manager
    current = versions.get_secret_value(SecretId=world.arn)["SecretString"]
    versions.put_secret_value(SecretId=world.arn, SecretString="a plain string from older days")
    versions.put_secret_value(SecretId=world.arn, SecretString=current)
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD 'changed-by-hand'")

    world.rotate()

    assert world.subjects() == ["ACTION NEEDED, AWSCURRENT does not log in"]


def test_a_promotion_that_only_old_labels_deny_is_not_taken_back(world: World) -> None:
    """The move takes effect, its answer is lost, and reads show the labels before it for a while."""
    break_state(world, "FinishSecret", losing_the_answer("UnavailableError", times=1))
    world.machine.secrets_manager.stale_reads(3)

    assert world.rotate() == "RotationSucceeded"

    assert world.logs_in(world.value()["password"])
    assert not world.logs_in(world.old)
    assert world.machine.messages() == []


def test_the_ladder_goes_on_from_awsprevious_when_awscurrent_is_not_what_the_server_has(world: World) -> None:
    world.rotate()
    with world.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{world.user}\" PASSWORD '{world.old}'")

    assert world.rotate() == "RotationSucceeded"

    assert world.logs_in(world.value()["password"])
    assert not world.logs_in(world.old)


def test_a_value_written_by_hand_in_the_middle_stays_current_and_logs_in(world: World) -> None:
    hand_made = world.value() | {"password": "made-by-hand-1"}

    def write_by_hand(handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            world.machine.secrets_manager.put_secret_value(SecretId=world.arn, SecretString=json.dumps(hand_made))
            return handler(event, context)

        return called

    break_state(world, "FinishSecret", write_by_hand)

    world.rotate()

    assert world.value() == hand_made
    assert world.logs_in("made-by-hand-1")
    assert len(world.subjects()) == 1


def test_rollback_that_cannot_run_is_told_from_the_state_alone(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    mend = break_state(world, "RollBack", failing("Runtime.ImportModuleError"))

    assert world.rotate() == "RotationFailed"
    (message,) = world.machine.messages()
    body = json.loads(message["Message"])
    assert message["Subject"].startswith("CHECK NEEDED")
    assert (body["error"], body["rollbackError"]) == ("LoginRefusedError", "Runtime.ImportModuleError")
    assert "AWSPENDING" in world.stages()[world.token]

    assert world.retry() == "RotationFailed"
    assert world.subjects() == []

    mend()
    assert world.retry() == "RotationFailed"
    assert world.subjects() == ["Rotation failed, the old credential is restored"]
    assert world.logs_in(world.old)


def test_an_alert_that_could_not_be_sent_is_sent_by_the_next_attempt_in_its_own_words(world: World) -> None:
    break_state(world, "CreateSecret", failing("AccessDeniedError"))
    world.machine.break_topic()
    assert world.rotate() == "RotationFailed"
    assert world.machine.executions()[0]["error"] == "AlertFailedError"
    unsent = json.loads(world.machine.executions()[0]["cause"])["Alert"]
    assert world.machine.messages() == []

    world.machine.mend_topic()
    assert world.retry() == "RotationFailed"

    (message,) = world.machine.messages()
    assert json.loads(message["Message"]) == unsent["Body"]
    assert world.retry() == "RotationFailed"
    assert world.machine.messages() == []


def test_a_recovery_is_told_though_the_alert_before_it_could_not_be_sent(world: World) -> None:
    mend = break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.machine.break_topic()
    world.rotate()
    assert world.machine.messages() == []

    mend()
    world.machine.mend_topic()
    assert world.retry() == "RotationSucceeded"

    (message,) = world.machine.messages()
    assert message["Subject"].startswith("Recovered, the secret is rotated")


def test_the_last_alert_is_tried_again_at_every_call_until_it_is_sent(world: World) -> None:
    break_state(world, "TestSecret", failing("LoginRefusedError"))
    world.rotate()
    world.retry()
    world.machine.messages()
    world.machine.break_topic()
    for _ in range(3):
        assert world.retry() == "RotationFailed"

    world.machine.mend_topic()
    for _ in range(2):
        assert world.retry() == "RotationFailed"

    (message,) = world.machine.messages()
    assert "no further one is made" in json.loads(message["Message"])["whatHappensNext"]
    names = [each["name"] for each in world.machine.executions()]
    assert [name.removeprefix(names[2]) for name in names[3:]] == ["-rollback", "-2-rollback", "-3-rollback"]
    assert world.logs_in(world.old)


@pytest.mark.parametrize("step", ["SetSecret", "TestSecret"])
def test_a_restored_credential_is_not_called_untouched_because_rollback_lost_its_answer(
    world: World, step: str
) -> None:
    break_state(world, step, losing_the_answer("Sandbox.Timedout"))
    break_state(world, "RollBack", losing_the_answer("Sandbox.Timedout", times=1))

    assert world.rotate() == "RotationFailed"

    assert world.logs_in(world.old)
    assert world.outcomes() == ["rolled back"]
    assert world.subjects() == ["Rotation failed, the old credential is restored"]


def test_what_an_earlier_attempt_left_changed_is_not_called_untouched_when_rollback_loses_its_answer(
    world: World,
) -> None:
    break_state(world, "TestSecret", failing("RightsDifferError"))
    mend = break_state(world, "RollBack", failing("UnavailableError"))
    assert world.rotate() == "RotationFailed"
    assert not world.logs_in(world.old)
    mend()
    world.subjects()

    break_state(world, "CreateSecret", failing("Sandbox.Timedout"))
    break_state(world, "RollBack", losing_the_answer("Sandbox.Timedout", times=1))
    assert world.retry() == "RotationFailed"

    assert world.logs_in(world.old)
    (message,) = world.machine.messages()
    assert message["MessageAttributes"]["Outcome"]["Value"] == "rolled back"
    assert "an earlier look, whose answer was lost, may have had to restore it" in message["Message"]


def test_a_pending_value_that_is_not_seen_yet_is_waited_for_before_anybody_is_called(world: World) -> None:
    """RollBack needs it to set AWSCURRENT's password again, and one read answers from before it was written."""
    model = world.machine.secrets_manager
    break_state(world, "SetSecret", losing_the_answer("Sandbox.Timedout"))
    find = model._find

    def old_read(handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            secret = find(world.arn)
            value, secret.versions[world.token].value = secret.versions[world.token].value, None
            try:
                return handler(event, context)
            finally:
                secret.versions[world.token].value = value
                world.machine.handlers["RollBack"] = handler

        return called

    break_state(world, "RollBack", old_read)

    assert world.rotate() == "RotationFailed"

    assert world.logs_in(world.old)
    assert world.subjects() == ["Rotation failed, the old credential is restored"]


@pytest.mark.parametrize("old_reads", [2, 3])
def test_a_promotion_that_a_look_at_old_labels_took_back_is_put_right_in_the_next_round(
    world: World, old_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FinishSecret promotes and breaks; the first of what RollBack reads is from before that, though it had waited."""
    break_state(world, "FinishSecret", losing_the_answer("KeyError", times=1))
    world.machine.secrets_manager.stale_reads(old_reads)

    # Else some of the old reads could be those of `rotate`. Taken back here: the machine has changed it, too.
    with monkeypatch.context() as seldom:
        seldom.setattr(waiting, "LABELS_EVERY", 1)
        world.rotate()

    world.machine.secrets_manager.stale_reads(0)
    assert world.logs_in(world.value()["password"])


def test_a_pending_value_that_is_no_secret_does_not_hide_that_awscurrent_logs_in(world: World) -> None:
    def spoil(handler: Handler) -> Handler:
        def called(event: Any, context: Any) -> Any:
            model = world.machine.secrets_manager
            model._find(world.arn).versions[world.token].value = "not json"
            return handler(event, context)

        return called

    break_state(world, "SetSecret", spoil)

    assert world.rotate() == "RotationFailed"

    assert world.outcomes() == ["untouched"]
    assert world.logs_in(world.old)
