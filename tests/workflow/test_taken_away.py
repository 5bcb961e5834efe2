"""What a rotation needs is taken from it half-way: the secret, the rotation itself, its label, its rights."""

import pytest

from rotatorctl.local.secrets_manager import SILENCES, SecretsManagerError, Silences
from tests.workflow.applications import ALTERNATING, SINGLE, Application, Case
from tests.workflow.machine import FUNCTION_ARN, STATES
from tests.workflow.test_failures import break_state, failing
from tests.workflow.test_meddling import before, label, of_one_user, rotates_as_ever, set_and_written, told
from tests.workflow.test_stopped import call

OTHER_FUNCTION = f"{FUNCTION_ARN}another-rotator"

before_each_state = pytest.mark.parametrize("state", STATES)
# One user before each state, two that alternate before one of them.
ONE_USER, TWO_USERS = Case("postgres", SINGLE), Case("postgres", ALTERNATING, overlap=True)
of_one_user_and_once_of_two = pytest.mark.parametrize(
    ("case", "state"),
    [
        pytest.param(case, state, marks=pytest.mark.xdist_group("postgres"), id=f"{state}, {case}")
        for case, state in (*((ONE_USER, state) for state in STATES), (TWO_USERS, "FinishSecret"))
    ],
)


def each(*outcomes: str) -> pytest.MarkDecorator:
    """The outcome of what happens before each state."""
    return pytest.mark.parametrize(("state", "outcome"), list(zip(STATES, outcomes, strict=True)))


def give_up(application: Application) -> None:
    """As the message says it for a fresh start: AWSPENDING is taken off the version that is being made."""
    label(application, "AWSPENDING", application.token)


def reattempt(application: Application) -> str:
    """RotateSecret, which finds a rotation that is not complete."""
    with pytest.raises(SecretsManagerError, match="isn\N{RIGHT SINGLE QUOTATION MARK}t complete"):
        application.rotate()
    return application.wait()


@of_one_user
@before_each_state
def test_a_secret_that_is_deleted_is_to_be_checked_and_rotates_once_it_is_restored(
    application: Application, state: str
) -> None:
    model = application.machine.secrets_manager
    before(application, state, lambda: model.delete_secret(SecretId=application.arn))

    assert application.rotate() == "RotationFailed"
    assert call(application, "createSecret").startswith("StageConflictError: the secret is scheduled for deletion")

    model.restore_secret(SecretId=application.arn)
    assert application.credentials() == application.first
    body = told(application)
    assert (body["outcome"], body["workingCredential"]) == ("needs a person", "unknown")
    assert body["workingReason"].endswith("the secret is scheduled for deletion")
    assert body["nextCommand"] == f"aws secretsmanager rotate-secret --secret-id {application.arn}"

    assert reattempt(application) == "RotationSucceeded"
    assert application.subjects() == ["Recovered, the secret is rotated"]
    assert application.server.logs_in(application.credentials())
    assert not application.server.logs_in(application.first)


@of_one_user
@each("untouched", "rotated", "rotated", "rotated", "rolled back")
def test_a_rotation_that_is_cancelled_ends_with_a_value_that_logs_in(
    application: Application, state: str, outcome: str
) -> None:
    model = application.machine.secrets_manager
    before(application, state, lambda: model.cancel_rotate_secret(SecretId=application.arn))

    assert application.rotate() == "Cancelled"

    assert application.outcomes() == [outcome]
    assert application.server.logs_in(application.credentials())
    if outcome == "rotated":
        assert application.machine.messages() == []
    else:
        assert "rotation was turned off" in told(application)["whatHappensNext"]
        reattempt(application)
        give_up(application)
    rotates_as_ever(application)


@of_one_user
@each("untouched", "untouched", "rolled back", "rolled back", "rolled back")
def test_a_version_that_awspending_is_taken_off_is_given_up(application: Application, state: str, outcome: str) -> None:
    before(application, state, lambda: give_up(application))

    assert application.rotate() == "RotationFailed"

    assert application.credentials() == application.first
    body = told(application)
    assert body["outcome"] == outcome
    assert "AWSPENDING was taken off" in body["whatHappensNext"]
    assert body["nextCommand"] == f"aws secretsmanager rotate-secret --secret-id {application.arn}"
    assert application.retry() == "RotationFailed"
    assert application.outcomes() == [outcome]
    rotates_as_ever(application)


@of_one_user
@pytest.mark.parametrize("state", ["TestSecret", "FinishSecret"])
def test_awspending_that_is_moved_to_an_older_version_gives_up_the_new_one_and_brings_no_old_value_back(
    application: Application, state: str
) -> None:
    assert application.rotate() == "RotationSucceeded"
    older = application.token
    assert application.rotate() == "RotationSucceeded"
    current = application.credentials()
    before(application, state, lambda: label(application, "AWSPENDING", application.token, older))

    assert application.rotate() == "RotationFailed"

    assert told(application)["outcome"] == "rolled back"
    # Secrets Manager takes up the version that has the label now.
    assert reattempt(application) == "RotationFailed"
    assert application.credentials() == current
    assert application.server.logs_in(current)
    label(application, "AWSPENDING", older)
    rotates_as_ever(application)


@of_one_user
def test_people_who_heard_that_it_is_retried_hear_that_it_was_given_up(application: Application) -> None:
    mend = break_state(application, "TestSecret", failing("RightsDifferError"))
    assert application.rotate() == "RotationFailed"
    assert "Secrets Manager retries by itself" in told(application)["whatHappensNext"]
    mend()

    before(application, "TestSecret", lambda: give_up(application))
    assert application.retry() == "RotationFailed"

    assert application.outcomes() == ["rolled back", "rolled back"]
    assert "AWSPENDING was taken off" in told(application)["whatHappensNext"]


class TestAwspendingStays:
    """Secrets Manager may leave AWSPENDING beside AWSCURRENT, and then a value is written by hand."""

    @pytest.fixture
    def silences(self) -> Silences:
        return SILENCES["pending-stays-on-current"]

    @of_one_user
    def test_a_version_that_was_rotated_to_is_refused_aloud(self, application: Application) -> None:
        application.rotate()
        set_and_written(application)

        assert reattempt(application) == "RotationFailed"

        steps = application.machine.secrets_manager.rotations(application.arn)[-1].steps
        assert [step for step, _ in steps] == ["createSecret"]
        assert "take AWSPENDING off it" in str(steps[0][1])
        give_up(application)
        rotates_as_ever(application)


def changes(log: str) -> int:
    return log.count("ALTER ROLE") + log.count("CREATE ROLE")


def move_to_another_function(application: Application) -> None:
    """RotateSecret takes no other function while AWSPENDING is on a version of its own."""
    model = application.machine.secrets_manager
    give_up(application)
    model.invoke = lambda arn, event: None if arn == OTHER_FUNCTION else application.machine.rotate(arn, event)
    model.rotate_secret(SecretId=application.arn, RotationLambdaARN=OTHER_FUNCTION, RotateImmediately=False)


@of_one_user_and_once_of_two
def test_once_another_function_rotates_the_secret_this_one_touches_nothing(
    application: Application, state: str
) -> None:
    """Their roles have rights on secrets that name this stack's rotate function."""
    log: list[str] = []

    def move() -> None:
        move_to_another_function(application)
        log.append(application.server.log())

    before(application, state, move)
    application.rotate()

    assert changes(application.server.log()) == changes(log[0])
    assert application.credentials() == application.first
    body = told(application)
    assert (body["outcome"], body["workingCredential"]) == ("needs a person", "unknown")
    assert "AccessDeniedException" in body["workingReason"]

    # Moved back. A value that only the given up version holds is found by nobody but a person.
    lost = application.case.strategy == SINGLE and STATES.index(state) > STATES.index("SetSecret")
    assert application.rotate() == ("RotationFailed" if lost else "RotationSucceeded")
    assert application.server.logs_in(application.credentials()) != lost
    assert application.subjects() == (["ACTION NEEDED, AWSCURRENT does not log in"] if lost else [])
