"""What `rotatorctl onboard` makes of its options, files and databases; deployed, test_cli_onboarding.py."""

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from click.testing import CliRunner

from rotation.executions import Execution
from rotatorctl import plan as plan_module
from rotatorctl.attachment import Attachment, Change
from rotatorctl.aws import Aws
from rotatorctl.checks import secret as of_secret
from rotatorctl.checks import stack as of_stack
from rotatorctl.checks import value as of_value
from rotatorctl.checks.causes import CAUSES, Cause
from rotatorctl.checks.editing import VALUE_EDITED
from rotatorctl.cli import cli
from rotatorctl.commands.onboard import onboard
from rotatorctl.databases import CLUSTER, INSTANCE, Database, looked_up
from rotatorctl.deployed import Described
from rotatorctl.executions import LOG_IN_TEST, Name, Run
from rotatorctl.following import Following
from rotatorctl.new_secret import GENERATED, Asked, NewSecret, create, made
from rotatorctl.onboarding_failures import log_in_failed, stopped
from rotatorctl.onboarding_file import FileContentError, read
from rotatorctl.plan import Plan, Wanted, prepared
from rotatorctl.result import CommandError, Result
from rotatorctl.schedule import Schedule
from tests.unit.examined import ARN, FUNCTION, GOOD, NOW, PASSWORD, answering, world

pytestmark = pytest.mark.usefixtures("credentials")

ENDPOINT = {"Address": "orders.example", "Port": 5433}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name the secret"),
        (["app", "--schedule", "monthly"], "it may be 30d"),
        (["app", "--window", "3h"], "--window goes with --schedule"),
        (["app", "--cluster", "a", "--instance", "b"], "two servers"),
        (["app", "--instance", "a", "--host", "b"], "two servers"),
        (["app", "--cluster", "a", "--engine", "postgres"], "are looked up"),
        (["app", "--host", "a", "--generate", "--password-from", "b"], "two passwords"),
        (["app", "--tag", "team"], "'team' is not KEY=VALUE"),
        (["app", "--tag", "=orders"], "'=' is not KEY=VALUE"),
        (["app", "--password", "x"], "No such option"),
    ],
)
def test_misuse_is_told_before_aws_is_asked_and_exits_with_2(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["onboard", *arguments])

    assert done.exit_code == 2
    assert words in done.output


def test_the_file_names_the_secret_and_an_argument_that_names_another_is_misuse(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("name: app\n")

    done = CliRunner().invoke(cli, ["onboard", "other", "--from", str(file)])

    assert (done.exit_code, "leave one out" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [("name: Jürgen".encode("latin-1"), "it is not in UTF-8"), (b"port: 2026-13-45", "is none; quote it")],
)
def test_a_file_that_cannot_be_read_is_misuse_and_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)

    done = CliRunner().invoke(cli, ["onboard", "app", "--from", str(file)])

    assert done.exit_code == 2
    assert f"{file}: " in done.output
    assert words in done.output


def test_a_file_says_the_same_as_options() -> None:
    assert read(
        "{name: app, host: db.example, port: 5433, rotatePasswordInDays: 30, tags: {team: orders, tier: 1}}"
    ) == {
        "name": "app",
        "host": "db.example",
        "port": "5433",
        "schedule": "30d",
        "tags": {"team": "orders", "tier": "1"},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "it is no YAML, in line"),
        ("- name", "it holds no keys"),
        ("", "it holds no keys"),
        ("password: Zk3-vQ9_xT7", "a password is not read from a file"),
        ("Password: Zk3-vQ9_xT7", "a password is not read from a file"),
        ("hots: db.example", "unknown key 'hots'; there are name, host,"),
        ("host: [a, b]", "the key 'host' needs a text or a number"),
        ("host: true", "the key 'host' needs a text or a number"),
        ("tags: a", "the key 'tags' needs keys and values"),
        ("tags: {'': a}", "the key 'tags' has a tag without a name"),
        ("{schedule: 30d, rotatePasswordInDays: 30}", "both rotatePasswordInDays and schedule"),
        ("!!python/object/apply:os.getcwd []", "it is no YAML"),
        ("rotatePasswordInDays: 2026-13-45", "looks like a number or a date and is none"),
        ("port: !!int ''", "looks like a number or a date and is none"),
        ("port: " + "9" * 5_000, "looks like a number or a date and is none"),
        ("host: " + "[" * 5_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_key_and_nothing_of_it_is_quoted(content: str, words: str) -> None:
    with pytest.raises(FileContentError) as refused:
        read(content)

    assert words in str(refused.value)
    assert "Zk3" not in str(refused.value)


def cluster(status: str, writer: bool = True, engine: str = "aurora-postgresql") -> dict[str, Any]:
    reader = {"DBInstanceIdentifier": "orders-2", "IsClusterWriter": False}
    members = [reader, {"DBInstanceIdentifier": "orders-1", "IsClusterWriter": True}] if writer else []
    made = {"DBClusterIdentifier": "orders", "Status": status, "Engine": engine, "DBClusterMembers": members}
    return {"DBClusters": [made | {"Endpoint": "orders.example", "Port": 5433}]}


def instance(status: str, name: str = "orders-1", **more: Any) -> dict[str, Any]:
    made = {"DBInstanceIdentifier": name, "DBInstanceStatus": status, "Engine": "mariadb"}
    return {"DBInstances": [made | ({} if status == "creating" else {"Endpoint": ENDPOINT}) | more]}


def looked(kind: str, *answers: tuple[str, dict[str, Any]]) -> tuple[Database, list[str]]:
    """What is found, and what was told on the way."""
    aws, told = Aws("eu-central-1"), list[str]()
    with Stubber(aws.databases) as stubber:
        for operation, answer in answers:
            stubber.add_response(operation, answer)
        found = looked_up(aws, kind, "orders", lambda name, status: told.append(f"{name}: {status}"), lambda _: None)
        stubber.assert_no_pending_responses()
    return found, told


FIELDS = {"engine": "postgres", "host": "db.example", "username": "app"}


def test_a_generated_password_is_known_to_no_server_and_a_value_without_one_needs_none() -> None:
    with_server = made(Aws("eu-central-1"), "app", FIELDS, Asked(password=GENERATED), {"rotation:length": "40"})
    without = made(Aws("eu-central-1"), "key", {"engine": "generic"}, Asked(password=GENERATED), {})

    password = json.loads(with_server.text)["password"]
    assert len(password) == 40
    assert password not in repr(with_server) + with_server.words
    assert (with_server.logs_in, without.logs_in) == (False, True)


@pytest.mark.parametrize(("user", "whose"), [({}, "no server"), ({"username": "app"}, "user 'app' of no server")])
def test_a_value_that_no_server_knows_is_said_to_be_for_none(user: dict[str, str], whose: str) -> None:
    fields = {"engine": "generic", "host": "db.example", **user}

    new = made(Aws("eu-central-1"), "key", fields, Asked(password=GENERATED), {})

    assert new.words == f"The secret key is created, for {whose}, with a generated password."


def test_nothing_is_asked_for_a_value_that_could_drive_no_rotation() -> None:
    with pytest.raises(CommandError) as refused:
        made(Aws("eu-central-1"), "app", FIELDS | {"port": 0}, Asked(typed=lambda _: pytest.fail("asked")), {})

    assert refused.value.problem.code == "InvalidSecretError"


def test_a_secret_to_be_created_without_an_engine_is_given_one_by_its_option() -> None:
    without = {key: value for key, value in FIELDS.items() if key != "engine"}

    with pytest.raises(CommandError) as refused:
        made(Aws("eu-central-1"), "app", without, Asked(password=GENERATED), {})
    by_tag = made(Aws("eu-central-1"), "app", without, Asked(password=GENERATED), {"rotation:engine": "postgres"})

    problem = refused.value.problem
    assert (problem.code, problem.message) == ("InvalidSecretError", "no option says which engine it is for")
    assert problem.next_step.startswith("give --engine: aurora-mysql, ")
    assert "postgres" not in by_tag.text


def test_no_password_is_read_where_it_would_be_seen() -> None:
    command = [sys.executable, "-c", "from rotatorctl.cli_onboarding import _typed; _typed('app')"]
    # Of a session of its own, which has no terminal wherever the tests run.
    ran = subprocess.run(
        command,
        input="seen\n",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )

    assert ran.returncode == 1
    assert "UsageError: The password of 'app' is typed on a terminal, and there is none" in ran.stderr
    assert "--password-from" in ran.stderr and "--generate" in ran.stderr
    assert "GetPassWarning" not in ran.stderr and "seen" not in ran.stderr


@pytest.mark.parametrize(
    ("enabled", "text", "code"),
    [(True, "", "TwoSecretsError"), (False, "no JSON", "InvalidSecretError"), (False, "{}", "InvalidSecretError")],
)
def test_a_password_is_taken_from_no_secret_that_is_rotated_itself_or_has_none(
    enabled: bool, text: str, code: str
) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_response("describe_secret", {"ARN": ARN, "Name": "old", "RotationEnabled": enabled})
        if text:
            stubber.add_response("get_secret_value", {"SecretString": text}, {"SecretId": ARN})
        made(aws, "app", FIELDS, Asked(password="old"), {})

    assert refused.value.problem.code == code


@pytest.mark.parametrize(
    ("rotator", "by", "next_step"),
    [
        ({"RotationLambdaARN": FUNCTION}, FUNCTION, f"cancel-rotate-secret --secret-id {ARN}"),
        ({"OwningService": "rds"}, "the service 'rds'", "have that service manage the password no more"),
    ],
)
def test_who_rotates_the_secret_of_the_password_is_named_and_how_that_ends(
    rotator: dict[str, str], by: str, next_step: str
) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_response("describe_secret", {"ARN": ARN, "Name": "old", "RotationEnabled": True, **rotator})
        made(aws, "app", FIELDS, Asked(password="old"), {})

    assert refused.value.problem.message.startswith(f"{by} rotates old: ")
    assert next_step in refused.value.problem.next_step
    assert "offboard" not in refused.value.problem.next_step


@pytest.mark.parametrize("name", ["generated", "typed"])
def test_a_secret_of_the_name_of_a_word_of_this_tool_is_asked_for_its_password(name: str) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber:
        stubber.add_response("describe_secret", {"ARN": ARN, "Name": name}, {"SecretId": name})
        stubber.add_response("get_secret_value", {"SecretString": json.dumps({"password": PASSWORD})})
        new = made(aws, "app", FIELDS, Asked(password=name), {})

    assert json.loads(new.text)["password"] == PASSWORD
    assert f"the password in {name}" in new.words


NEW, VERSION = NewSecret("{}", "", True), "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11"


def test_a_secret_whose_making_had_no_answer_is_known_by_its_version() -> None:
    aws = Aws("eu-central-1")

    def lost(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://secretsmanager.example")

    aws.secrets.meta.events.register_first("before-call.secrets-manager.CreateSecret", lost)
    with Stubber(aws.secrets) as stubber:
        stubber.add_response("describe_secret", {"ARN": ARN, "VersionIdsToStages": {VERSION: ["AWSCURRENT"]}})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("uuid.uuid4", lambda: VERSION)
            found = create(aws, "app", NEW, {})

    assert (found.arn, found.current) == (ARN, VERSION)


@pytest.mark.parametrize("there", [{}, {"ARN": ARN, "VersionIdsToStages": {VERSION: ["AWSCURRENT"]}}])
def test_a_secret_of_that_name_that_somebody_else_made_meanwhile_is_not_taken_for_it(there: dict[str, Any]) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber, pytest.raises(ClientError) as refused:
        stubber.add_client_error("create_secret", "ResourceExistsException")
        if there:
            stubber.add_response("describe_secret", there)
        else:
            stubber.add_client_error("describe_secret", "ResourceNotFoundException")
        create(aws, "app", NEW, {})

    assert refused.value.operation_name == "CreateSecret"


def test_whether_a_secret_was_made_is_to_be_looked_at_if_nobody_could_read_it() -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_client_error("create_secret", "InternalServiceError", http_status_code=500)
        stubber.add_client_error("describe_secret", "AccessDeniedException")
        create(aws, "app", NEW, {})

    assert "whether the secret app was made could not be read" in refused.value.problem.message
    assert "describe-secret --secret-id app" in refused.value.problem.next_step


def plan_of(**changes: Any) -> Plan:
    stack = world().examined.stack
    secret = Described({key: each for key, each in (GOOD | changes).items() if each is not None})
    return Plan(stack, Wanted(), Change(secret, {}, {"ScheduleExpression": "rate(30 days)"}), ())


NEVER_ROTATED = {"RotationEnabled": None, "RotationLambdaARN": None, "RotationRules": None}


def carried_out(plan: Plan, run: Run | None, *answers: str, **wanted: Any) -> Result:
    """`onboard` with a log-in test that ended so; Secrets Manager answers these operations, or with an error."""
    following = Following(plan.stack, lambda *_: None, threading.Event(), 0)
    plan = replace(plan, wanted=Wanted(**wanted))
    with Stubber(plan.stack.aws.secrets) as stubber, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attachment, "tested", lambda _: run)
        for operation in answers:
            if operation.startswith("no "):
                stubber.add_client_error(operation.removeprefix("no "), "ThrottlingException", "slow down")
            else:
                stubber.add_response(operation, {"ARN": ARN})
        result = onboard(plan, following)
        stubber.assert_no_pending_responses()
    return result


def test_a_failed_onboarding_says_that_the_secret_goes_on_naming_the_stack_for_people_and_machines() -> None:
    plan = plan_of(**NEVER_ROTATED)

    result = carried_out(plan, None, "rotate_secret", "cancel_rotate_secret", "describe_secret")

    assert [problem.code for problem in result.problems] == ["NotStartedError"]
    assert result.shown[0] == "app: put back, as far as AWS lets it: its rotation is turned off, as before"
    assert result.shown[1:] == tuple(f"left: {each}" for each in result.data["left"])
    assert "names this stack's function, so the stack may read it" in result.data["left"][0]
    assert "goes on naming with its rotation turned off" in plan.text


@pytest.mark.parametrize(
    ("new", "undone"),
    [(None, ()), (NEW, ("delete_secret",))],
    ids=["a secret that was there", "a secret that was made"],
)
def test_an_onboarding_that_is_ended_because_nobody_reads_its_progress_leaves_nothing_behind(
    new: NewSecret | None, undone: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(plan_of(**NEVER_ROTATED), new=new)

    def ended(_: Attachment) -> None:
        # As rich does where it writes to a pipe that is closed.
        raise SystemExit(1)

    monkeypatch.setattr(Attachment, "tested", ended)
    made = ("create_secret",) if new else ()
    with Stubber(plan.stack.aws.secrets) as stubber, pytest.raises(SystemExit):
        for operation in (*made, "rotate_secret", "cancel_rotate_secret", "describe_secret", *undone):
            stubber.add_response(operation, {"ARN": ARN})
        onboard(plan, Following(plan.stack, lambda *_: None, threading.Event(), 0))

    stubber.assert_no_pending_responses()


def refused_log_in() -> Run:
    execution = Execution("arn:run", "name", "FAILED", {}, "LoginRefusedError", '{"errorMessage": "28P01"}')
    return Run(execution, Name(LOG_IN_TEST, "two", 1), NOW, NOW)


def test_where_the_log_in_is_refused_the_command_that_mends_the_value_is_given() -> None:
    answers = ("rotate_secret", "cancel_rotate_secret", "describe_secret")

    [problem] = carried_out(plan_of(**NEVER_ROTATED), refused_log_in(), *answers).problems

    assert problem.code == "LogInFailedError"
    assert f"`{VALUE_EDITED.format(secret=ARN)}`" in problem.next_step
    assert "then repeat the onboarding; " in problem.next_step


def test_of_a_secret_that_was_made_and_is_deleted_again_no_command_sets_the_value() -> None:
    plan = replace(plan_of(**NEVER_ROTATED), new=NewSecret("{}", "", logs_in=True))

    problem = log_in_failed(plan, refused_log_in())

    assert "put-secret-value" not in problem.next_step
    assert problem.message.endswith(
        "the password is another one at the service, or it does not let this user in from the functions"
    )


def failed_log_in(error: str, reason: str) -> Run:
    execution = Execution("arn:run", "name", "FAILED", {}, error, json.dumps({"errorMessage": reason}))
    return Run(execution, Name(LOG_IN_TEST, "two", 1), NOW, NOW)


VALUE = json.dumps(FIELDS | {"password": PASSWORD})
UNKNOWN_METHOD = failed_log_in("UnavailableError", "no answer (Authentication method 7 not supported by pg8000.)")


@pytest.mark.parametrize("new", [None, NewSecret(VALUE, "", logs_in=True)], ids=["there", "made"])
def test_where_the_server_asks_for_another_log_in_the_command_that_asks_it_is_given(new: NewSecret | None) -> None:
    plan = replace(plan_of(), new=new)
    read = {} if new else {"get_secret_value": {"SecretString": VALUE}}
    with answering(plan.stack.aws.secrets, **read):
        problem = log_in_failed(plan, UNKNOWN_METHOD)

    assert problem.code == "LogInFailedError"
    assert problem.next_step.startswith("mend that; `psql -h db.example -p 5432 -U ADMIN -d ")
    assert "` shows how it stands; then repeat the onboarding; " in problem.next_step
    assert PASSWORD not in problem.message + problem.next_step


def test_the_engine_that_only_a_new_tag_names_is_the_one_that_is_asked() -> None:
    plan = plan_of()
    tagged = replace(plan, change=replace(plan.change, tags={"rotation:engine": "postgres"}))
    value = json.dumps({key: each for key, each in json.loads(VALUE).items() if key != "engine"})
    with answering(plan.stack.aws.secrets, get_secret_value={"SecretString": value}):
        problem = log_in_failed(tagged, UNKNOWN_METHOD)

    assert problem.next_step.startswith("mend that; `psql ")


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.code} {cause.error} {cause.words}")
def test_each_cause_of_a_failed_log_in_is_told_with_a_next_step_even_where_nothing_can_be_read(cause: Cause) -> None:
    plan = plan_of()
    with Stubber(plan.stack.aws.secrets), Stubber(plan.stack.aws.stacks):
        problem = log_in_failed(plan, failed_log_in(cause.error, cause.words))

    assert (problem.code, problem.next_step.startswith("mend that; ")) == ("LogInFailedError", True)
    assert not re.search(r"\{\w+\}", problem.next_step)


def test_a_service_that_is_not_reached_has_no_command_that_mends_it_and_the_test_is_shown() -> None:
    problem = log_in_failed(plan_of(), failed_log_in("UnavailableError", "no answer: timed out"))

    assert problem.next_step == (
        "mend that; then repeat the onboarding; https://console#/v2/executions/details/arn:run shows the log-in test"
    )


WANTED = Wanted(Schedule.parse("7d", "3h"), {"team": "my orders"}, rotate_now=True)
AGAIN = "rotatorctl onboard app --schedule 'rate(7 days)' --window 3h --tag 'team=my orders' --rotate-now"


def test_a_secret_that_is_created_and_not_attached_is_attached_later_as_it_was_asked_for() -> None:
    plan = replace(plan_of(**NEVER_ROTATED), new=NewSecret("{}", "", logs_in=False))

    result = carried_out(plan, None, "create_secret", **vars(WANTED))

    assert str(result.shown[0]).endswith(f"then repeat: {AGAIN}")


@pytest.mark.parametrize(
    ("new", "next_step"),
    [(None, f"`{AGAIN}` begins again"), (NewSecret("{}", "", True), "repeat the command with all its options")],
    ids=["a secret that was there", "a secret that was made"],
)
def test_an_onboarding_that_was_stopped_is_begun_again_as_it_was_asked_for(
    new: NewSecret | None, next_step: str
) -> None:
    plan = replace(plan_of(**NEVER_ROTATED), new=new, wanted=WANTED)
    following = Following(plan.stack, lambda *_: None, threading.Event(), 0)

    assert stopped(plan, Attachment(following, plan.change)).next_step == next_step


def test_the_next_windows_of_a_cron_are_told_where_secrets_manager_tells_no_date() -> None:
    plan = plan_of(**NEVER_ROTATED)
    by_cron = replace(plan, change=replace(plan.change, rules={"ScheduleExpression": "cron(0 8 1 * ? *)"}))
    run = Run(Execution("arn", "name", "SUCCEEDED", {}, "", ""), Name(LOG_IN_TEST, "two", 1), NOW, NOW)
    answers = ("rotate_secret", "describe_secret", "describe_secret")

    [cron], [rate] = (carried_out(each, run, *answers).shown for each in (by_cron, plan))

    assert re.search(
        "tells no date yet; the next windows of its schedule open at (20..-..-01 08:00 UTC[^,]*(, |$)){3}", str(cron)
    )
    assert str(rate).endswith("rate(30 days), Secrets Manager tells no date yet")


def test_what_another_function_rotated_is_said_to_be_put_back_and_nothing_is_left() -> None:
    plan = plan_of(RotationLambdaARN=f"{FUNCTION}-former")

    result = carried_out(plan, None, "rotate_secret", "cancel_rotate_secret", "describe_secret", "rotate_secret")

    assert result.shown == (f"app: put back: {FUNCTION}-former rotates it, every 30 days",)
    assert result.data["left"] == []
    assert plan.text.endswith("If they cannot, all this is put back.")


def test_a_secret_that_was_made_and_cannot_be_deleted_again_is_told_with_the_command_that_deletes_it() -> None:
    plan = replace(plan_of(**NEVER_ROTATED), new=NewSecret("{}", "", logs_in=True))
    answers = ("create_secret", "rotate_secret", "cancel_rotate_secret", "describe_secret", "no delete_secret")

    result = carried_out(plan, None, *answers)

    assert [each.code for each in result.problems] == ["NotStartedError", "NotPutBackError"]
    assert result.problems[1].next_step.endswith(f"aws secretsmanager delete-secret --secret-id {ARN}")
    assert (result.data["created"], len(result.data["left"])) == (True, 1)


def test_a_secret_that_is_made_with_tls_and_meets_a_server_without_it_can_be_made_otherwise() -> None:
    plan = replace(plan_of(), new=NewSecret(VALUE, "", logs_in=True))

    problem = log_in_failed(plan, failed_log_in("InvalidSecretError", "db.example:5432 does not speak TLS"))

    assert '"ssl": false' in problem.next_step


def test_a_secret_that_cannot_be_read_once_it_is_attached_is_said_to_be_attached() -> None:
    run = Run(Execution("arn", "name", "SUCCEEDED", {}, "", ""), Name(LOG_IN_TEST, "two", 1), NOW, NOW)
    answers = ("rotate_secret", "describe_secret", "no describe_secret")

    waits = carried_out(plan_of(**NEVER_ROTATED), run, *answers)
    rotates = carried_out(plan_of(**NEVER_ROTATED), run, *answers, "no describe_secret", rotate_now=True)

    assert (waits.data["outcome"], waits.data["nextRotation"], waits.problems) == ("attached", None, ())
    assert rotates.data["outcome"] == "attached"
    [problem] = rotates.problems
    assert problem.message.startswith("it is attached and not rotated yet: ")
    assert problem.next_step.endswith("rotatorctl rotate app")


def test_of_a_secret_that_is_scheduled_for_deletion_the_command_that_restores_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_stack, "CHECKS", ())
    monkeypatch.setattr(of_value, "CHECKS", ())
    stack = world().examined.stack
    monkeypatch.setattr(plan_module, "_OF_SECRET", of_secret.CHECKS[:1])
    with Stubber(stack.aws.secrets) as stubber:
        stubber.add_response("describe_secret", GOOD | {"DeletedDate": NOW, "VersionIdsToStages": {}})
        plan = prepared(stack, "app", Asked(fields=FIELDS), Wanted(), lambda *_: None)

    assert [(each.code, each.next_step) for each in plan.problems] == [
        ("ScheduledForDeletion", f"aws secretsmanager restore-secret --secret-id {ARN}")
    ]


CLUSTERS, INSTANCES = "describe_db_clusters", "describe_db_instances"


def test_a_cluster_is_waited_for_and_so_is_its_writer() -> None:
    found, told = looked(
        CLUSTER,
        (CLUSTERS, cluster("creating", writer=False)),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("creating")),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("configuring-enhanced-monitoring")),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("available")),
    )

    assert found == Database("aurora-postgresql", "orders.example", 5433)
    assert told == [
        "cluster orders: creating",
        "writer instance: not made yet",
        "cluster orders: available",
        "writer instance orders-1: creating",
        "writer instance orders-1: configuring-enhanced-monitoring",
    ]


def test_a_documentdb_cluster_is_one_of_mongos_engine() -> None:
    found, _ = looked(CLUSTER, (CLUSTERS, cluster("available", engine="docdb")), (INSTANCES, instance("available")))

    assert found.engine == "mongo"


def test_an_instance_is_waited_for_until_it_has_an_endpoint() -> None:
    found, told = looked(
        INSTANCE, (INSTANCES, instance("creating", "orders")), (INSTANCES, instance("available", "orders"))
    )

    assert found == Database("mariadb", "orders.example", 5433)
    assert told == ["instance orders: creating"]


def test_an_instance_whose_storage_is_optimized_is_not_waited_for() -> None:
    found, told = looked(INSTANCE, (INSTANCES, instance("storage-optimization", "orders")))

    assert (found, told) == (Database("mariadb", "orders.example", 5433), [])


def test_an_instance_of_a_cluster_stands_for_the_cluster() -> None:
    member = instance("available", DBClusterIdentifier="orders")
    found, _ = looked(
        INSTANCE, (INSTANCES, member), (CLUSTERS, cluster("available")), (INSTANCES, instance("available"))
    )

    assert found == Database("aurora-postgresql", "orders.example", 5433)


@pytest.mark.parametrize(
    ("status", "engine", "code"),
    [
        ("stopped", "postgres", "DatabaseNotAvailableError"),
        ("incompatible-network", "postgres", "DatabaseNotAvailableError"),
        ("available", "oracle-ee", "EngineNotThereError"),
        ("creating", "oracle-ee", "EngineNotThereError"),
    ],
)
def test_what_no_waiting_ends_is_told_at_once(status: str, engine: str, code: str) -> None:
    with pytest.raises(CommandError) as refused:
        looked(INSTANCE, (INSTANCES, instance(status, Engine=engine)))

    assert refused.value.problem.code == code
    assert refused.value.problem.next_step


def test_a_cluster_of_an_engine_that_is_not_there_is_not_waited_for() -> None:
    with pytest.raises(CommandError) as refused:
        looked(CLUSTER, (CLUSTERS, cluster("creating", writer=False, engine="neptune")))

    assert refused.value.problem.code == "EngineNotThereError"
    assert "'neptune', which this rotator does not rotate; it rotates postgres, " in refused.value.problem.message


@pytest.mark.parametrize(
    ("kind", "operation", "error"),
    [(CLUSTER, CLUSTERS, "DBClusterNotFoundFault"), (INSTANCE, INSTANCES, "DBInstanceNotFound")],
)
def test_a_database_that_is_not_there_is_told_with_how_to_list_those_that_are(
    kind: str, operation: str, error: str
) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.databases) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_client_error(operation, error)
        looked_up(aws, kind, "orders", lambda *_: None)

    assert refused.value.problem.code == "DatabaseNotFoundError"
    assert f"no {kind} 'orders' in eu-central-1" in refused.value.problem.message
    assert "aws rds describe-db-" in refused.value.problem.next_step
