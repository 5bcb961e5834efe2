"""What `rotatorctl doctor` says of the service, of failed executions and of schedules."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rotation import engines
from rotation.executions import Execution
from rotation.model import Credentials
from rotation.secret import Secret
from rotatorctl.checks import evidence, schedule, server, value
from rotatorctl.checks.base import PROBLEM, UNCHECKED
from rotatorctl.checks.causes import CAUSES
from rotatorctl.deployed import Described
from rotatorctl.executions import LOG_IN_TEST, ROTATION, Name, Run
from tests.templates import TEMPLATE
from tests.unit.examined import ARN, NOW, PASSWORD, World, answering, functions, knowing, world

pytestmark = pytest.mark.usefixtures("credentials")
ADMIN = ARN.replace("app-", "admin-")
VALUE = Secret.parse(
    json.dumps({"engine": "postgres", "host": "db.example", "username": "app", "password": PASSWORD}),
    {},
    engines.ENGINES,
)


def ended(error: str, reason: str, kind: str = ROTATION, step: str = "SetSecret") -> Run:
    """A run that has just failed so, and was put right."""
    report = {"Outcome": "rolled back", "RolledBack": 1, "Step": step, "Error": error, "Reason": reason}
    execution = Execution("arn:execution", "name", "FAILED", {}, "RotationFailedError", json.dumps(report))
    return Run(execution, Name(kind, "two", 1), NOW, NOW)


def rotated(days_ago: int = 0) -> Run:
    began = NOW - timedelta(days=days_ago)
    return Run(Execution("arn:execution", "name", "SUCCEEDED", {}, "", ""), Name(ROTATION, "one", 1), began, began)


def last_rotation(made: World) -> dict[str, Any]:
    return made.of(evidence.CHECKS[1:2])


# As the functions, Lambda and Step Functions word them.
FAILURES = [
    (
        "UnavailableError",
        "secretsmanager:GetSecretValue on app: no answer (time-out)",
        "SecretsManagerNotReached",
    ),
    ("UnavailableError", "user 'app' at db.example:5432: no answer: timed out", "ServiceNotReached"),
    ("LoginRefusedError", "user 'app' at db.example:5432: password authentication failed", "LogInRefused"),
    (
        "UnavailableError",
        "user 'app' at db.example:5432: no answer (Authentication method 7 not supported by pg8000.)",
        "PasswordEncryptionDiffers",
    ),
    (
        "InvalidSecretError",
        "user 'app' at db.example:3306 logs in by a method that is not supported: no cryptography",
        "PasswordEncryptionDiffers",
    ),
    (
        "InvalidSecretError",
        "user 'app' at db.example:3306: Authentication plugin 'dialog' not configured (error 2059)",
        "PasswordEncryptionDiffers",
    ),
    (
        "InvalidSecretError",
        "user 'app' at db.example:3306: Client does not support authentication protocol requested (error 1251)",
        "PasswordEncryptionDiffers",
    ),
    ("PasswordRejectedError", "user 'app' at db.example:5432: password too weak", "PasswordRejected"),
    ("RightsDifferError", "user 'rotator' may not change user 'app'", "RightsMissing"),
    (
        "InvalidSecretError",
        "the server's certificate is not trusted: expired",
        "CertificateNotTrusted",
    ),
    ("InvalidSecretError", "the secret's key 'username' is missing", "ValueRefused"),
    ("InvalidSecretError", "the tag 'rotation:length' is 'many'", "ValueRefused"),
    ("AccessDeniedError", "secretsmanager:GetSecretValue on app: Access to KMS is not allowed", "KmsRefused"),
    ("AccessDeniedError", "rds:DescribeDBInstances on orders: AccessDenied: no", "RdsRefused"),
    ("AccessDeniedError", "secretsmanager:PutSecretValue on app: AccessDeniedException: no", "PutSecretValueRefused"),
    ("AccessDeniedError", "secretsmanager:GetSecretValue on app: AccessDeniedException: no", "RoleRefused"),
    ("StageConflictError", "version two is not labelled AWSPENDING", "ChangedMeanwhile"),
    ("Lambda.TooManyRequestsException", "Rate Exceeded.", "FunctionThrottled"),
    ("States.Timeout", "", "NoAnswerFromFunction"),
    ("Sandbox.Timedout", "Task timed out after 22.00 seconds", "NoAnswerFromFunction"),
    ("Runtime.ImportModuleError", "Unable to import module 'set_secret'", "CodeNotLoaded"),
    ("Runtime.HandlerNotFound", "no handler", "CodeNotLoaded"),
    ("Runtime.UserCodeSyntaxError", "invalid syntax", "CodeNotLoaded"),
]


@pytest.mark.parametrize(("error", "reason", "code"), FAILURES)
def test_each_cause_of_a_failed_rotation_has_a_finding_of_its_own(error: str, reason: str, code: str) -> None:
    made = knowing(world(), runs=[ended(error, reason)], functions=functions(), value=VALUE)
    found = last_rotation(made)

    assert found.keys() == {code}
    assert found[code].level == PROBLEM
    assert f"{error} in SetSecret: {reason}" in found[code].what
    assert found[code].why
    assert found[code].command.startswith(("aws ", "sam ", "psql ", "(f=$(mktemp) "))
    assert "{" not in found[code].command.replace("${EDITOR:-vi}", "")


def test_a_new_password_that_is_refused_as_soon_as_it_is_set_is_no_password_that_somebody_changed() -> None:
    run = ended("LoginRefusedError", "user 'app' at db.example:5432: password authentication failed", step="TestSecret")

    found = last_rotation(knowing(world(), runs=[run], value=VALUE))

    assert found.keys() == {"PasswordEncryptionDiffers"}
    assert "password_encryption" in found["PasswordEncryptionDiffers"].command


def test_a_command_that_needs_what_cannot_be_read_is_that_for_the_history() -> None:
    made = knowing(world(), runs=[ended("AccessDeniedError", "rds:DescribeDBInstances on x: no")], functions={})

    assert last_rotation(made)["RdsRefused"].command.startswith("aws stepfunctions get-execution-history ")


def test_the_right_to_ask_rds_is_looked_for_in_the_policy_that_the_template_gives_it_by() -> None:
    role = TEMPLATE["Resources"]["SetSecretRole"]["Properties"]["Policies"]
    made = knowing(
        world(), runs=[ended("AccessDeniedError", "rds:DescribeDBInstances on x: no")], functions=functions()
    )
    command = last_rotation(made)["RdsRefused"].command

    (policy,) = [each for each in role if f"--policy-name {each['PolicyName']}" in command]
    actions = [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]
    assert ["rds:DescribeDBInstances", "rds:DescribeDBClusters"] in actions
    assert "--role-name SetSecret" in command


def test_a_failure_by_a_tag_is_not_mended_by_a_value() -> None:
    found = last_rotation(knowing(world(), runs=[ended("InvalidSecretError", "the tag 'rotation:length' is 'many'")]))

    assert found["ValueRefused"].command == f"aws secretsmanager describe-secret --secret-id {ARN} --query Tags"


def test_a_certificate_is_handed_to_sam_as_one_word_in_quotes_of_its_own() -> None:
    found = last_rotation(knowing(world(), runs=[ended("InvalidSecretError", "the certificate is not trusted")]))

    assert f"{found['CertificateNotTrusted'].command}\n" in Path("docs/deploying.md").read_text("utf-8")


def test_there_is_no_cause_beside_these() -> None:
    at_a_step = {("LoginRefusedError", "PasswordEncryptionDiffers")}

    assert {(cause.error, cause.code) for cause in CAUSES} == {(error, code) for error, _, code in FAILURES} | at_a_step


def test_a_proof_of_a_log_in_is_told_with_its_day() -> None:
    found = knowing(world(), runs=[rotated(3)]).of(evidence.CHECKS[2:])

    assert found.keys() == {"LoggedIn"}
    assert f"{NOW - timedelta(days=3):%Y-%m-%d}" in found["LoggedIn"].what


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, f"aws secretsmanager rotate-secret --secret-id {ARN} --no-rotate-immediately"),
        ({"RotationEnabled": False}, "rotatorctl onboard app"),
        ({"RotationLambdaARN": "arn:another"}, "rotatorctl onboard app"),
    ],
)
def test_a_log_in_that_nobody_has_tried_gets_a_command_that_keeps_its_schedule(
    changes: dict[str, Any], command: str
) -> None:
    found = knowing(world(**changes), runs=[]).of(evidence.CHECKS[2:])

    assert found["NotCheckedYet"].command == command
    assert ("turns rotation on" in found["NotCheckedYet"].why) == command.startswith("rotatorctl onboard")


@pytest.mark.parametrize("changes", [{}, {"RotationEnabled": False}], ids=str)
def test_a_log_in_is_not_tried_while_that_would_retry_what_is_pending(changes: dict[str, Any]) -> None:
    pending = {"one": ["AWSCURRENT"], "two": ["AWSPENDING"]}
    found = knowing(world(VersionIdsToStages=pending, **changes), runs=[]).of(evidence.CHECKS[2:])

    assert found["NotCheckedYet"].command == ""
    assert "see the check pending" in found["NotCheckedYet"].why


def test_an_error_whose_cause_is_not_known_keeps_the_name_of_the_check() -> None:
    run = ended("States.Runtime", "no")
    test = Run(Execution("arn:execution", "name", "FAILED", {}, "X", "no"), Name(LOG_IN_TEST, "two", 1), NOW, NOW)

    assert last_rotation(knowing(world(), runs=[run])).keys() == {"LastRotationFailed"}
    assert knowing(world(), runs=[test]).of(evidence.CHECKS[2:]).keys() == {"LogInFailed"}


def test_a_failed_log_in_has_the_finding_of_its_cause() -> None:
    refused = Execution("arn:execution", "name", "FAILED", {}, "LoginRefusedError", json.dumps({"errorMessage": "no"}))
    run = Run(refused, Name(LOG_IN_TEST, "two", 1), NOW, NOW)

    assert knowing(world(), runs=[run]).of(evidence.CHECKS[2:]).keys() == {"LogInRefused"}


@pytest.mark.parametrize(
    ("counted", "codes"),
    [(0, set()), (1, {"RotationNotCounted"}), (None, {"RotationNotCounted"})],
)
def test_a_rotation_that_secrets_manager_does_not_count_is_told(counted: int | None, codes: set[str]) -> None:
    dated = None if counted is None else NOW - timedelta(days=counted)

    assert last_rotation(knowing(world(LastRotatedDate=dated), runs=[rotated()])).keys() == codes


def test_moments_count_in_utc_wherever_the_machine_is() -> None:
    there = ZoneInfo("America/New_York")
    counted = datetime(2026, 11, 20, tzinfo=UTC).astimezone(there)
    began = datetime(2026, 11, 20, 2, 30, tzinfo=UTC).astimezone(there)
    run = Run(Execution("arn:execution", "name", "SUCCEEDED", {}, "", ""), Name(ROTATION, "one", 1), began, began)
    in_utc = Run(run.execution, run.name, began.astimezone(UTC), began)

    logged_in = knowing(world(), runs=[run]).of(evidence.CHECKS[2:])["LoggedIn"]

    assert last_rotation(knowing(world(LastRotatedDate=counted), runs=[in_utc])) == {}
    assert last_rotation(knowing(world(LastRotatedDate=counted), runs=[run])) == {}
    assert "2026-11-20 02:30 UTC" in logged_in.what


def service(engine: str, runs: list[Run] | None = None, **more: Any) -> dict[str, Any]:
    fields = {"engine": engine, "host": "db.example", "username": "o'neil", "password": PASSWORD, **more}
    parsed = Secret.parse(json.dumps(fields), {}, engines.ENGINES)
    return knowing(world(), value=parsed, runs=runs or []).of(server.CHECKS)


@pytest.mark.parametrize("engine", ["postgres", "mysql"])
def test_a_service_with_rules_for_passwords_is_not_checked_and_the_command_shows_them(engine: str) -> None:
    found = service(engine)

    assert found.keys() == {"ServerPolicyNotChecked", "SameUserNotChecked"}
    assert {finding.level for finding in found.values()} == {UNCHECKED}
    assert "db.example" in found["ServerPolicyNotChecked"].command


@pytest.mark.parametrize("engine", ["mongo", "redis"])
def test_a_service_without_rules_for_passwords_has_nothing_to_check(engine: str) -> None:
    assert service(engine).keys() == {"NoServerPolicy", "SameUserNotChecked"}


def test_a_value_that_no_server_knows_has_nothing_to_ask_a_server() -> None:
    plain = Secret.parse(json.dumps({"engine": "generic", "password": PASSWORD}), {}, engines.ENGINES)

    assert knowing(world(), value=plain, runs=[]).of(server.CHECKS) == {}


def test_a_value_that_cannot_be_read_leaves_it_open() -> None:
    assert [finding.code for finding in server.CHECKS[0].findings(world(DeletedDate=NOW).examined)] == ["NotCheckedYet"]


@pytest.mark.parametrize("engine", ["postgres", "mysql", "mongo"])
def test_the_admins_rights_are_open_until_a_rotation_proves_them(engine: str) -> None:
    before = service(engine, masterarn=ADMIN)
    after = service(engine, [rotated()], masterarn=ADMIN)

    assert before["AdminRightsNotChecked"].level == UNCHECKED
    assert "db.example" in before["AdminRightsNotChecked"].command
    assert "AdminRightsNotChecked" not in after
    assert f"{NOW:%Y-%m-%d}" in after["AdminRightsProven"].what


@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ({}, "mongosh --tls mongodb://db.example:27017/ -u ADMIN"),
        ({"ssl": False}, "mongosh mongodb://db.example:27017/ -u ADMIN"),
        (
            {"host": "a.example:27018,b.example", "replicaSet": "rs0"},
            "mongosh --tls 'mongodb://a.example:27018,b.example:27017/?replicaSet=rs0' -u ADMIN",
        ),
        ({"host": "2001:db8::1"}, "mongosh --tls 'mongodb://[2001:db8::1]:27017/' -u ADMIN"),
    ],
)
def test_mongosh_gets_tls_and_all_hosts(more: dict[str, Any], asks: str) -> None:
    found = service("mongo", masterarn=ADMIN, **more)

    assert found["AdminRightsNotChecked"].command.startswith(f"{asks} --eval ")


@pytest.mark.parametrize("ssl", [True, False])
def test_redis_is_asked_by_tls_only_where_the_functions_use_it(ssl: bool) -> None:
    user = Credentials("app", PASSWORD, "db.example", 6379, ssl=ssl)

    assert ("--tls" in server.asked("redis", "ACL WHOAMI", user)) == ssl


def test_a_users_name_is_quoted_for_sql_and_for_the_shell() -> None:
    command = service("postgres")["ServerPolicyNotChecked"].command

    assert shlex.split(command)[-1].endswith("WHERE rolname = 'o''neil'")


def test_the_schedule_and_the_window_are_told() -> None:
    rules = {"ScheduleExpression": "cron(0 4 ? * SUN *)", "Duration": "3h"}

    found = world(RotationRules=rules).of(schedule.CHECKS[:1])["Schedule"]

    assert found.what.startswith("schedule: cron(0 4 ? * SUN *), window 3h; a window is open for 3 h; next until ")
    assert world(RotationEnabled=False).of(schedule.CHECKS[:1]) == {}


@pytest.mark.parametrize(
    ("rules", "window"),
    [
        ({"AutomaticallyAfterDays": 30}, "until the end of that day in UTC"),
        ({"ScheduleExpression": "rate(10 days)"}, "until the end of that day in UTC"),
        ({"ScheduleExpression": "rate(4 hours)"}, "for 1 h"),
    ],
)
def test_a_window_without_a_duration_is_secrets_managers_own(rules: dict[str, Any], window: str) -> None:
    found = world(RotationRules=rules).of(schedule.CHECKS[:1])["Schedule"]

    assert f"; a window is open {window}; next until " in found.what


def test_a_schedule_of_which_no_window_opens_is_not_fine() -> None:
    rules = {"ScheduleExpression": "cron(0 4 31 2 ? *)"}

    assert world(RotationRules=rules).of(schedule.CHECKS[:1]).keys() == {"ScheduleUnclear"}


def scheduled(target: str, given: str) -> dict[str, Any]:
    made = world()
    entry = {"Name": "nightly", "GroupName": "default"}
    arn = f"arn:aws:scheduler:::aws-sdk:{target}"
    listed = {"Schedules": [entry | {"Target": {"Arn": arn}}]}
    target_of_it = {"Arn": arn, "RoleArn": "arn:aws:iam::123456789012:role/schedules", "Input": given}
    described = entry | {"ScheduleExpression": "rate(1 day)", "Target": target_of_it}
    read = {"get_schedule": described} if target.endswith("rotateSecret") else {}
    with answering(made.examined.stack.aws.schedules, list_schedules=listed, **read):
        return made.of(schedule.CHECKS[1:])


@pytest.mark.parametrize(
    ("target", "given", "codes"),
    [
        ("secretsmanager:rotateSecret", json.dumps({"SecretId": ARN}), {"AnotherSchedule"}),
        ("secretsmanager:rotateSecret", json.dumps({"SecretId": "app"}), {"AnotherSchedule"}),
        ("secretsmanager:rotateSecret", json.dumps({"SecretId": "other"}), set()),
        ("secretsmanager:rotateSecret", "no JSON", set()),
        ("sqs:sendMessage", json.dumps({"SecretId": "app"}), set()),
    ],
)
def test_a_schedule_of_eventbridge_that_rotates_the_secret_collides(target: str, given: str, codes: set[str]) -> None:
    assert scheduled(target, given).keys() == codes


def test_an_admin_secret_that_is_rotated_too_is_told() -> None:
    described = {"ARN": ADMIN, "Name": "admin", "RotationEnabled": True, "OwningService": "rds"}
    admin = Described(described | {"Tags": [{"Key": "rotation:admin", "Value": "secret-rotation"}]})

    found = knowing(world(), admin=admin).of(value.CHECKS[1:2])

    assert found.keys() == {"AdminRotates"}
    assert found["AdminRotates"].what == "the admin secret admin is rotated, too, by the service rds"
