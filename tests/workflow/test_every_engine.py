"""Every engine with every strategy, through the whole machine, as the application and Secrets Manager see it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rotation import engines
from rotation.model import Credentials
from tests.workflow.applications import ALTERNATING, Application, Case, cases
from tests.workflow.test_failures import failing


@pytest.fixture(scope="session", params=cases(lambda _: True))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_three_rotations_each_leave_a_new_password_that_logs_in_and_retire_the_old_ones(
    application: Application,
) -> None:
    server, kept = application.server, {"username", "password"}
    seen = [application.first]

    for _ in range(3):
        with application.refusing({}):
            assert application.rotate() == "RotationSucceeded"
        seen.append(application.credentials())
        alive = seen[-2:] if application.case.overlap else seen[-1:]
        assert [server.logs_in(each) for each in seen] == [each in alive for each in seen]

    assert {key: each for key, each in application.value().items() if key not in kept} == {
        key: each for key, each in application.value("GOLDEN").items() if key not in kept
    }
    assert application.credentials("GOLDEN") == application.first
    assert [each.username == seen[0].username for each in seen] == (
        [True, False, True, False] if application.case.strategy == ALTERNATING else [True] * 4
    )
    assert application.server.logs_in(application.admin)
    assert application.machine.messages() == []


def test_a_failure_after_the_change_leaves_awscurrent_logging_in_and_the_retry_finishes(
    application: Application,
) -> None:
    finish = application.machine.handlers["FinishSecret"]
    application.machine.handlers["FinishSecret"] = failing("Lambda.TooManyRequestsException")(finish)

    assert application.rotate() == "RotationFailed"

    assert application.credentials() == application.first
    assert application.server.logs_in(application.first)
    assert application.outcomes() == ["untouched" if application.case.overlap else "rolled back"]
    assert len(application.subjects()) == 1
    pending = application.credentials("AWSPENDING")
    assert application.server.logs_in(pending) == application.case.overlap

    application.machine.handlers["FinishSecret"] = finish
    assert application.retry() == "RotationSucceeded"
    assert application.credentials() == pending
    assert application.server.logs_in(pending)
    assert application.server.logs_in(application.first) == application.case.overlap
    assert application.subjects() == ["Recovered, the secret is rotated"]


@pytest.mark.parametrize("status", ["InProgress", "Failed"])
def test_a_replica_that_is_not_in_sync_stops_the_rotation_before_anything_changes(
    application: Application, status: str
) -> None:
    application.machine.secrets_manager.set_replication(application.arn, "eu-west-1", status)

    assert application.rotate() == "RotationFailed"

    assert application.credentials() == application.first
    assert application.server.logs_in(application.first)
    assert not application.server.logs_in(application.credentials("AWSPENDING"))
    assert application.outcomes() == ["untouched"]


def changed_by_hand(application: Application, user: Credentials) -> None:
    """Somebody gives this user another password on the server."""
    engine = engines.load(engines.ENGINES[application.case.kind])
    engine.set_password(application.admin, replace(user, password="changed by hand"))


def after_set_secret(application: Application, happens: Callable[[], object]) -> None:
    set_secret = application.machine.handlers["SetSecret"]

    def called(event: Any, context: Any) -> Any:
        answer = set_secret(event, context)
        happens()
        return answer

    application.machine.handlers["SetSecret"] = called


def test_a_password_that_somebody_changed_by_hand_costs_two_log_ins_of_its_user_and_one_of_another(
    application: Application,
) -> None:
    for password in ("neither this is right", "nor this"):
        value = json.dumps({**application.value("GOLDEN"), "password": password})
        application.machine.secrets_manager.put_secret_value(SecretId=application.arn, SecretString=value)

    most = 1 if application.case.strategy == ALTERNATING else 2
    with application.refusing({application.first.username: most}):
        assert application.rotate() == "RotationFailed"

    assert application.outcomes() == ["needs a person"]
    assert application.subjects() == ["ACTION NEEDED, AWSCURRENT does not log in"]
    assert application.server.logs_in(application.first)


def test_a_new_password_that_is_refused_costs_two_log_ins_and_what_is_told_is_true(application: Application) -> None:
    after_set_secret(application, lambda: changed_by_hand(application, application.credentials("AWSPENDING")))

    name = application.first.username
    with application.refusing({name: 2, f"{name}_clone": 2}):
        assert application.rotate() == "RotationFailed"

    (message,) = application.machine.messages()
    body = json.loads(message["Message"])
    assert (body["step"], body["error"]) == ("TestSecret", "LoginRefusedError")
    assert (body["workingCredential"] == "AWSCURRENT") == application.server.logs_in(application.first)
    assert application.outcomes() == ["untouched" if application.case.strategy == ALTERNATING else "needs a person"]


of_alternating_users = pytest.mark.parametrize("case", cases(lambda case: case.strategy == ALTERNATING), indirect=True)


@of_alternating_users
def test_awsprevious_is_offered_when_the_user_of_awscurrent_is_refused(application: Application) -> None:
    assert application.rotate() == "RotationSucceeded"
    changed_by_hand(application, application.credentials())

    assert application.rotate() == "RotationFailed"

    (message,) = application.machine.messages()
    assert message["Subject"].startswith("ACTION NEEDED, AWSCURRENT does not log in but AWSPREVIOUS does")
    previous = next(version for version, labels in application.stages().items() if "AWSPREVIOUS" in labels)
    assert f"--move-to-version-id {previous}" in json.loads(message["Message"])["nextCommand"]
    assert application.server.logs_in(application.credentials("AWSPREVIOUS"))


@of_alternating_users
def test_after_a_failure_a_fresh_start_goes_through(application: Application) -> None:
    assert application.rotate() == "RotationSucceeded"
    finish = application.machine.handlers["FinishSecret"]
    application.machine.handlers["FinishSecret"] = failing("KeyError")(finish)
    assert application.rotate() == "RotationFailed"
    application.machine.handlers["FinishSecret"] = finish

    # As the message says it. The idle user has the password of the version that is given up.
    application.machine.secrets_manager.update_secret_version_stage(
        SecretId=application.arn, VersionStage="AWSPENDING", RemoveFromVersionId=application.token
    )
    assert application.rotate() == "RotationSucceeded"

    assert application.credentials().username == application.first.username
    assert application.server.logs_in(application.credentials())


@of_alternating_users
def test_somebody_elses_user_under_the_name_of_the_second_one_is_left_alone(application: Application) -> None:
    other = application.server.user(f"{application.first.username}_clone")

    assert application.rotate() == "RotationFailed"

    step, error, reason = application.reason()
    assert (step, error) == ("SetSecret", "InvalidSecretError")
    assert "exists already" in reason
    assert application.retry() == "RotationFailed"
    assert application.server.logs_in(other)
    assert application.outcomes() == ["untouched", "untouched"]


of_one_password = pytest.mark.parametrize(
    "case", cases(lambda case: case.kind == "postgres" and not case.overlap), indirect=True
)
TAGS = (("rotation:lenght", "20"), ("rotation:strategy", "alternating-users"), ("rotation:reads", ".."))


@of_one_password
@pytest.mark.parametrize(("name", "value"), TAGS, ids=[name for name, _ in TAGS])
def test_a_tag_that_is_changed_in_the_middle_does_not_keep_the_old_password_from_being_restored(
    application: Application, name: str, value: str
) -> None:
    after_set_secret(application, lambda: application.tag(name, value))
    application.machine.handlers["FinishSecret"] = failing("KeyError")(application.machine.handlers["FinishSecret"])

    assert application.rotate() == "RotationFailed"

    assert application.outcomes() == ["rolled back"]
    assert application.server.logs_in(application.first)


@of_one_password
def test_an_admin_secret_that_is_deleted_in_the_middle_does_not_either(application: Application) -> None:
    model = application.machine.secrets_manager
    after_set_secret(application, lambda: model.delete_secret(SecretId="admin"))
    application.machine.handlers["FinishSecret"] = failing("KeyError")(application.machine.handlers["FinishSecret"])

    assert application.rotate() == "RotationFailed"

    assert application.outcomes() == ["rolled back"]
    assert application.server.logs_in(application.first)


@dataclass(frozen=True)
class Right:
    """One right, by the words in which it is named, and how it is given and taken."""

    words: str
    give: Callable[[Any, str], object]
    take: Callable[[Any, str], object]


READ = [{"role": "read", "db": "shop"}]
RIGHTS = {
    "mariadb": Right(
        "SELECT ON `shop`.*",
        lambda world, user: world.sql(f"GRANT SELECT ON shop.* TO '{user}'@'%'"),
        lambda world, user: world.sql(f"REVOKE SELECT ON shop.* FROM '{user}'@'%'"),
    ),
    "mongo": Right(
        "role read on shop",
        lambda world, user: world.run("admin", grantRolesToUser=user, roles=READ),
        lambda world, user: world.run("admin", revokeRolesFromUser=user, roles=READ),
    ),
}
of_two_users = pytest.mark.parametrize(
    "case", cases(lambda case: case.strategy == ALTERNATING and case.kind in RIGHTS), indirect=True
)


@of_two_users
def test_a_right_that_the_second_user_lacks_is_named_and_the_next_attempt_gives_it(application: Application) -> None:
    right, first = RIGHTS[application.case.kind], application.first.username
    right.give(application.server, first)
    set_secret = application.machine.handlers["SetSecret"]
    after_set_secret(application, lambda: right.take(application.server, f"{first}_clone"))

    assert application.rotate() == "RotationFailed"

    (message,) = application.machine.messages()
    body = json.loads(message["Message"])
    assert (body["step"], body["error"], body["outcome"]) == ("TestSecret", "RightsDifferError", "untouched")
    assert body["reason"].endswith(f"may do: {right.words}")
    assert application.server.logs_in(application.first)

    application.machine.handlers["SetSecret"] = set_secret
    assert application.retry() == "RotationSucceeded"


@of_two_users
def test_a_right_that_the_second_user_has_too_much_is_a_warning_and_the_first_has_it_at_the_next_turn(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    right, clone = RIGHTS[application.case.kind], f"{application.first.username}_clone"
    set_secret = application.machine.handlers["SetSecret"]
    after_set_secret(application, lambda: right.give(application.server, clone))

    assert application.rotate() == "RotationSucceeded"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.endswith(right.words)

    # The first user's turn: what the second had too much is the first's now, because AWSCURRENT's rights count.
    application.machine.handlers["SetSecret"] = set_secret
    caplog.clear()
    assert application.rotate() == "RotationSucceeded"
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
