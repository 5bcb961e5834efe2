"""What `rotatorctl doctor` makes of what it reads, case by case; deployed, tests/integration/test_cli.py."""

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from rotation.executions import Execution
from rotatorctl.checks import evidence, secret, stack, value
from rotatorctl.checks.base import NOTE, UNREAD, Check, Examined, Finding, Function
from rotatorctl.checks.editing import VALUE_EDITED, VALUE_WRITTEN
from rotatorctl.deployed import Described
from rotatorctl.executions import ROTATION, Name, Run
from tests.unit.examined import ACCOUNT, ARN, FUNCTION, NOW, PASSWORD, REGION, World, answering, knowing, world

pytestmark = pytest.mark.usefixtures("credentials")

TURN_ON = "rotatorctl onboard app"


def test_of_a_secret_in_good_order_it_is_told_which_version_has_which_label() -> None:
    found = world().of(secret.CHECKS)

    assert found.keys() == {"Labels"}
    assert found["Labels"].level == NOTE
    assert found["Labels"].what == "AWSCURRENT is on version one, AWSPREVIOUS is on version zero, AWSPENDING is on none"


@pytest.mark.parametrize(
    ("changes", "code", "command"),
    [
        ({"DeletedDate": NOW}, "ScheduledForDeletion", f"aws secretsmanager restore-secret --secret-id {ARN}"),
        ({"OwningService": "rds"}, "ManagedByService", f"aws secretsmanager describe-secret --secret-id {ARN}"),
        (
            {"Tags": [{"Key": "aws:cloudformation:stack-name", "Value": "shop"}]},
            "MadeByCloudFormation",
            "aws cloudformation get-template --stack-name shop",
        ),
        ({"PrimaryRegion": "eu-west-1"}, "ReplicaSecret", "rotatorctl doctor app --region eu-west-1"),
        (
            {"ReplicationStatus": [{"Region": "eu-west-1", "Status": "Failed", "StatusMessage": "name is taken"}]},
            "ReplicaFailed",
            f"aws secretsmanager remove-regions-from-replication --secret-id {ARN} --remove-replica-regions eu-west-1 "
            f"&& aws secretsmanager replicate-secret-to-regions --secret-id {ARN} --add-replica-regions "
            "Region=eu-west-1",
        ),
        (
            {"VersionIdsToStages": None},
            "NoCurrentVersion",
            VALUE_WRITTEN.format(secret=ARN),
        ),
        (
            {"VersionIdsToStages": {"one": ["AWSCURRENT", "RELEASE-7"]}},
            "CustomLabel",
            f"aws secretsmanager list-secret-version-ids --secret-id {ARN} --include-deprecated",
        ),
        ({"NextRotationDate": NOW - timedelta(days=5)}, "Overdue", "rotatorctl rotate app"),
        (
            {"RotationRules": None},
            "NoSchedule",
            f"aws secretsmanager rotate-secret --secret-id {ARN} --rotation-rules AutomaticallyAfterDays=30 "
            "--no-rotate-immediately",
        ),
    ],
)
def test_each_thing_that_is_wrong_with_a_secret_has_a_finding_and_its_command(
    changes: dict[str, Any], code: str, command: str
) -> None:
    found = world(**changes).of(secret.CHECKS)

    assert found.keys() == {code, "Labels"}
    assert found[code].command == command
    assert found[code].why


KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"


def replica(**more: str) -> Finding:
    found = world(ReplicationStatus=[{"Region": "eu-west-1", **more}]).of(secret.CHECKS)
    return found[f"Replica{more['Status']}"]


def test_a_replica_that_is_being_copied_is_only_looked_at() -> None:
    shows = f"aws secretsmanager describe-secret --secret-id {ARN} --query ReplicationStatus"

    assert replica(Status="InProgress", KmsKeyId=KEY).command == shows


def test_a_replica_that_failed_is_made_again_with_its_key() -> None:
    assert replica(Status="Failed", KmsKeyId=KEY).command.endswith(f" Region=eu-west-1,KmsKeyId={KEY}")


@pytest.mark.parametrize(
    ("message", "chosen"), [("Secret name app already exists in region eu-west-1", True), ("the key is gone", False)]
)
def test_a_secret_in_the_way_of_a_replica_is_overwritten_only_by_choice(message: str, chosen: bool) -> None:
    found = replica(Status="Failed", StatusMessage=message)

    assert ("--force-overwrite-replica-secret" in found.why) == chosen
    assert "--force-overwrite-replica-secret" not in found.command


def test_a_schedule_is_not_given_while_a_version_is_pending() -> None:
    found = world(RotationRules=None, VersionIdsToStages={"one": ["AWSCURRENT"], "two": ["AWSPENDING"]})

    assert found.of(secret.CHECKS)["NoSchedule"].command == ""


def test_days_are_those_of_utc_wherever_the_machine_is() -> None:
    deleted = datetime(2026, 11, 29, 19, tzinfo=ZoneInfo("America/New_York"))

    assert "2026-11-30" in world(DeletedDate=deleted).of(secret.CHECKS)["ScheduledForDeletion"].what


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RotationEnabled": None, "RotationLambdaARN": None}, "NotUnderRotation"),
        ({"RotationLambdaARN": FUNCTION + "-of-another"}, "AnotherFunction"),
        ({"RotationEnabled": False}, "RotationTurnedOff"),
    ],
)
def test_a_secret_that_the_stack_does_not_rotate_gets_the_command_that_turns_it_on(
    changes: dict[str, Any], code: str
) -> None:
    assert world(**changes).of(secret.CHECKS)[code].command == TURN_ON


def with_value(made: World, text: str) -> World:
    stubber = Stubber(made.examined.stack.aws.secrets)
    stubber.add_response("get_secret_value", {"SecretString": text})
    stubber.activate()
    return made


def test_the_value_is_judged_by_the_functions_own_rules_and_not_shown() -> None:
    fields = {"engine": "postgres", "host": "db.example", "username": "app", "password": PASSWORD, "ssl": False}
    found = with_value(world(), json.dumps(fields)).of(value.CHECKS[:2])

    assert found.keys() == {"Engine", "PlainConnection"}
    assert found["Engine"].what == "engine postgres, single user, user 'app' at db.example:5432"


@pytest.mark.parametrize("text", ["no JSON", json.dumps({"engine": "postgres", "host": "db.example", "password": "x"})])
def test_a_value_that_cannot_drive_a_rotation_is_a_problem(text: str) -> None:
    found = with_value(world(), text).of(value.CHECKS[:1])

    assert found.keys() == {"InvalidSecret"}
    assert "no JSON" not in found["InvalidSecret"].what
    assert found["InvalidSecret"].command == VALUE_EDITED.format(secret=ARN)


@pytest.mark.parametrize("tag", ["rotation:length", "rotation:lenght", "rotation:engine"])
def test_a_tag_that_cannot_drive_a_rotation_is_mended_as_a_tag(tag: str) -> None:
    fields = {"engine": "postgres", "host": "db.example", "username": "app", "password": PASSWORD}
    made = with_value(world(Tags=[{"Key": tag, "Value": "many"}]), json.dumps(fields))

    found = made.of(value.CHECKS[:1])["InvalidSecret"]

    assert found.command == f"aws secretsmanager untag-resource --secret-id {ARN} --tag-keys {tag}"


def test_a_secret_that_names_no_engine_gets_the_tag_that_does() -> None:
    fields = {"host": "db.example", "username": "app", "password": PASSWORD}

    found = with_value(world(), json.dumps(fields)).of(value.CHECKS[:1])["InvalidSecret"]

    tags = "--tags Key=rotation:engine,Value=ENGINE"
    assert found.command == f"aws secretsmanager tag-resource --secret-id {ARN} {tags}"
    assert "in place of ENGINE" in found.why


def test_nothing_is_fine_about_a_value_that_cannot_be_read() -> None:
    unread, deleted = world(), world(DeletedDate=NOW)
    with Stubber(unread.examined.stack.aws.secrets) as stubber:
        stubber.add_client_error("get_secret_value", "AccessDeniedException", "Access to KMS is not allowed")
        (found,) = value.CHECKS[0].findings(unread.examined)

    assert (found.level, found.code) == (UNREAD, "NotRead")
    assert "Access to KMS is not allowed" in found.what
    assert found.command == ""
    assert [finding.code for finding in value.CHECKS[0].findings(deleted.examined)] == ["NotCheckedYet"]


def admin_secret(tags: list[dict[str, str]], **more: Any) -> World:
    """A secret whose admin secret is described so."""
    arn = ARN.replace("app-", "admin-")
    fields = {"engine": "postgres", "host": "db.example", "username": "app", "password": PASSWORD, "masterarn": arn}
    made = world()
    stubber = Stubber(made.examined.stack.aws.secrets)
    stubber.add_response("get_secret_value", {"SecretString": json.dumps(fields)})
    stubber.add_response("describe_secret", {"ARN": arn, "Name": "admin", "Tags": tags, **more}, {"SecretId": arn})
    stubber.activate()
    return made


def test_an_admin_secret_has_to_carry_the_tag_and_to_stay() -> None:
    tag = [{"Key": "rotation:admin", "Value": "secret-rotation"}]

    assert admin_secret(tag).of(value.CHECKS[1:2]) == {}
    assert admin_secret([]).of(value.CHECKS[1:2]).keys() == {"AdminTagMissing"}
    assert admin_secret(tag, DeletedDate=NOW).of(value.CHECKS[1:2]).keys() == {"AdminSecretScheduledForDeletion"}


def test_an_admin_secret_that_is_not_there_is_a_problem() -> None:
    arn = ARN.replace("app-", "admin-")
    fields = {"engine": "postgres", "host": "db.example", "username": "app", "password": PASSWORD, "masterarn": arn}
    made = world()
    with Stubber(made.examined.stack.aws.secrets) as stubber:
        stubber.add_response("get_secret_value", {"SecretString": json.dumps(fields)})
        stubber.add_client_error("describe_secret", "ResourceNotFoundException")

        assert made.of(value.CHECKS[1:2]).keys() == {"AdminSecretNotFound"}


def test_a_key_of_another_account_is_a_problem() -> None:
    made = knowing(world(KmsKeyId=f"arn:aws:kms:{REGION}:999999999999:key/1"), admin=None)
    with answering(made.examined.stack.aws.keys, describe_key={"KeyMetadata": {"KeyId": "1", "KeyState": "Enabled"}}):
        assert made.of(value.CHECKS[2:]).keys() == {"KeyOfAnotherAccount", "CustomerManagedKey"}


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("Enabled", ""),
        ("Disabled", "aws kms enable-key --key-id mine"),
        (
            "PendingDeletion",
            "aws kms cancel-key-deletion --key-id mine && aws kms enable-key --key-id mine",
        ),
    ],
)
def test_a_key_of_ones_own_has_to_be_enabled(state: str, command: str) -> None:
    made = knowing(world(KmsKeyId="alias/mine"), admin=None)
    with answering(made.examined.stack.aws.keys, describe_key={"KeyMetadata": {"KeyId": "mine", "KeyState": state}}):
        found = made.of(value.CHECKS[2:])

    assert found.keys() == {"CustomerManagedKey"} | ({"KeyNotEnabled"} if command else set())
    assert not command or found["KeyNotEnabled"].command == command


def test_a_key_that_keeps_the_value_from_being_read_is_found_all_the_same() -> None:
    made = world(KmsKeyId="alias/mine")
    described = {"KeyMetadata": {"KeyId": "mine", "KeyState": "Disabled"}}
    with (
        Stubber(made.examined.stack.aws.secrets) as secrets,
        answering(made.examined.stack.aws.keys, describe_key=described),
    ):
        secrets.add_client_error("get_secret_value", "AccessDeniedException", "Access to KMS is not allowed")

        assert made.of(value.CHECKS[2:]).keys() == {"CustomerManagedKey", "KeyNotEnabled", "NotRead"}


def test_the_key_of_the_admin_secret_has_to_be_enabled_too() -> None:
    admin = Described({"ARN": ARN.replace("app-", "admin-"), "Name": "admin", "KmsKeyId": "alias/its"})
    made = knowing(world(), admin=admin)
    with answering(
        made.examined.stack.aws.keys, describe_key={"KeyMetadata": {"KeyId": "its", "KeyState": "Disabled"}}
    ):
        found = made.of(value.CHECKS[2:])

    assert found["KeyNotEnabled"].what == "the KMS key alias/its of admin is Disabled"


ALLOWS = {
    "Effect": "Allow",
    "Action": "lambda:InvokeFunction",
    "Principal": {"Service": "secretsmanager.amazonaws.com"},
    "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
}


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, False),
        ({"Condition": {}}, False),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": ARN}}}, False),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": ARN + "x"}}}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:*"}}}, False),
        ({"Condition": {"StringLike": {"AWS:SourceAccount": "1234*"}}}, False),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": ["999999999999", ACCOUNT]}}}, False),
        ({"Condition": {"StringEquals": {"AWS:SourceArn": "arn:aws:secretsmanager:*"}}}, True),
        ({"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}}, True),
        ({"Action": "lambda:Invoke*"}, False),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": "999999999999"}}}, True),
        ({"Principal": {"Service": "events.amazonaws.com"}}, True),
        ({"Effect": "Deny"}, True),
    ],
)
def test_secrets_manager_has_to_be_let_in_for_this_secret(change: dict[str, Any], missing: bool) -> None:
    made = world()
    with Stubber(made.examined.stack.aws.functions) as stubber:
        stubber.add_response("get_policy", {"Policy": json.dumps({"Statement": [ALLOWS | change]})})

        assert ("InvokePermissionMissing" in made.of(stack.CHECKS[1:2])) == missing


def test_a_function_without_any_policy_lets_nobody_in() -> None:
    made = world()
    with Stubber(made.examined.stack.aws.functions) as stubber:
        stubber.add_client_error("get_policy", "ResourceNotFoundException")

        assert made.of(stack.CHECKS[1:2]).keys() == {"InvokePermissionMissing"}


@pytest.mark.parametrize(
    ("confirmed", "waiting", "codes"),
    [
        (1, 0, set()),
        (1, 1, {"SubscriptionNotConfirmed"}),
        (0, 1, {"SubscriptionNotConfirmed", "NobodyIsTold"}),
        (0, 0, {"NobodyIsTold"}),
    ],
)
def test_somebody_has_to_have_confirmed(confirmed: int, waiting: int, codes: set[str]) -> None:
    assert subscribed(["arn:aws:sns:subscription"] * confirmed + ["PendingConfirmation"] * waiting) == codes


def test_a_subscription_that_was_ended_by_its_link_is_none() -> None:
    assert subscribed(["Deleted"]) == {"NobodyIsTold"}
    assert subscribed(["Deleted", "arn:aws:sns:subscription"]) == set()


def subscribed(arns: list[str]) -> set[str]:
    made = world()
    listed = [{"SubscriptionArn": arn, "Endpoint": "team@example.com", "Protocol": "email"} for arn in arns]
    with Stubber(made.examined.stack.aws.topics) as stubber:
        for _ in ("alerts", "notices"):
            stubber.add_response("list_subscriptions_by_topic", {"Subscriptions": listed})

        return set(made.of(stack.CHECKS[3:4]))


@pytest.mark.parametrize(
    ("reserved", "is_rotate", "level"),
    [(None, True, None), (10, True, None), (9, True, "warning"), (1, False, None), (0, False, "problem")],
)
def test_reserved_concurrency_may_not_be_too_low(reserved: int | None, is_rotate: bool, level: str | None) -> None:
    levels = [finding.level for finding in stack._concurrency("function", reserved, is_rotate)]

    assert levels == ([level] if level else [])


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ({"State": "Active", "LastUpdateStatus": "Successful"}, None),
        ({"State": "Inactive"}, "FunctionInactive"),
        ({"State": "Pending", "StateReason": "creating"}, "FunctionNotReady"),
        ({"State": "Active", "LastUpdateStatus": "Failed"}, "FunctionNotReady"),
    ],
)
def test_a_function_has_to_be_ready(function: dict[str, str], code: str | None) -> None:
    assert [finding.code for finding in stack._state("function", function)] == ([code] if code else [])


@pytest.mark.parametrize(
    ("runtime", "codes"), [("python3.13", []), ("python3.9", ["OtherRuntime"]), ("provided.al2023", [])]
)
def test_a_runtime_that_the_code_is_not_packed_for_is_told(runtime: str, codes: list[str]) -> None:
    assert [finding.code for finding in stack._runtime("function", runtime)] == codes


def test_a_function_or_a_state_machine_that_is_gone_is_a_problem() -> None:
    made = knowing(world(), functions={"RotateFunction": Function("rotate", {})})
    with Stubber(made.examined.stack.aws.machine) as stubber:
        stubber.add_client_error("describe_state_machine", "StateMachineDoesNotExist")

        found = made.of((*stack.CHECKS[:1], *stack.CHECKS[2:3]))

    assert found.keys() == {"FunctionMissing", "StateMachineGone"}
    for finding in found.values():
        assert "`sam deploy` finds nothing to change" in finding.why
        assert finding.command == "aws cloudformation detect-stack-drift --stack-name secret-rotation"


def ended(status: str, **report: Any) -> Run:
    cause = json.dumps(report | {"Step": "SetSecret", "Error": "UnavailableError", "Reason": "no"}) if report else ""
    execution = Execution("arn", "name", status, {}, "RotationFailedError" if report else "", cause)
    return Run(execution, Name(ROTATION, "two", 2), NOW, NOW)


@pytest.mark.parametrize(
    ("run", "code", "begins"),
    [
        (None, "PendingWithoutExecution", "rotatorctl rotate app"),
        (ended("RUNNING"), "RotationRuns", "rotatorctl rotate app"),
        (ended("FAILED", Outcome="rolled back", RolledBack=1), "PendingStuck", "rotatorctl rotate app"),
        (ended("FAILED", Outcome="untouched", RolledBack=0), "PendingStuck", "rotatorctl rotate app"),
        (
            ended("FAILED", Outcome="rolled back", RolledBack=3),
            "AttemptsUsedUp",
            "rotatorctl unstick app && rotatorctl rotate app",
        ),
        (ended("FAILED", Outcome="needs a person", RolledBack=0), "PendingMayBeLive", "rotatorctl history app"),
        (ended("ABORTED"), "PendingMayBeLive", "rotatorctl history app"),
    ],
)
def test_a_pending_label_is_to_be_taken_off_only_by_what_proves_awscurrent_first(
    run: Run | None, code: str, begins: str
) -> None:
    made = world(VersionIdsToStages={"one": ["AWSCURRENT"], "two": ["AWSPENDING"]})

    finding = evidence._stuck(made.examined, "AWSPENDING is on version two", run)

    assert (finding.code, finding.command) == (code, begins)


def test_what_aws_refuses_in_the_middle_of_a_check_leaves_what_was_found_before() -> None:
    def look(_: Examined) -> Any:
        yield Finding("problem", "Found", "something")
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetPolicy")

    findings = Check("some", "all is well", look).findings(world().examined)

    assert [finding.level for finding in findings] == ["problem", "could not be read"]
