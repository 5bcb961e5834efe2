"""rotatorctl onboard and offboard as a person runs them, against the deployed stack with a real PostgreSQL."""

import json
import secrets as randomness
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotatorctl.attachment import FORMER_FUNCTION
from rotatorctl.cli import cli
from tests.integration.command import Ran
from tests.integration.conftest import Deployed, DeployedSecret, until
from tests.integration.test_cli import attach, labels, name, rotatorctl, started

pytestmark = pytest.mark.xdist_group("stack of rotatorctl")

JSON = ("--yes", "--output", "json")


def described(secret: DeployedSecret) -> dict[str, Any]:
    answer = dict(secret.deployed.stack.secrets.describe_secret(SecretId=secret.arn))
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def tags(secret: DeployedSecret) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described(secret).get("Tags", [])}


def changed_by_hand(secret: DeployedSecret) -> None:
    with secret.deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{secret.user}\" PASSWORD 'changed-by-hand'")


def of_another_function(secret: DeployedSecret) -> str:
    """As AWS's own template leaves it: under rotation by a function that is not this stack's; returns its ARN."""
    stack = secret.deployed.stack
    client, function = stack.client("lambda"), secret.deployed.function("CreateSecretFunction")
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    stack.secrets.rotate_secret(
        SecretId=secret.arn,
        RotationLambdaARN=arn,
        RotationRules={"ScheduleExpression": "rate(10 days)", "Duration": "3h"},
        RotateImmediately=False,
    )
    stack.model.wait(secret.arn)
    return arn


def test_a_secret_is_attached_once_the_functions_have_logged_in_and_nothing_is_rotated(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--tag", "team=orders", "--yes")

    now = described(secret)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{name(secret)}: attached, and AWSCURRENT logged in from the functions; rate(30 days), ")
    assert "The next windows" in ran.err and " UTC" in ran.err
    assert (now["RotationEnabled"], now["RotationLambdaARN"]) == (
        True,
        secret.deployed.stack.outputs["RotationFunctionArn"],
    )
    assert now["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    assert tags(secret) == {"team": "orders"}
    assert [each["name"].startswith("test-") for each in secret.executions()] == [True]
    assert labels(secret) == {"AWSCURRENT"}
    assert secret.logs_in(secret.password())
    assert secret.old not in ran.out + ran.err


def test_it_asks_and_a_no_changes_nothing(secret: DeployedSecret) -> None:
    before = described(secret)

    ran = started(secret.deployed, "onboard", name(secret), "--tag", "team=orders", stdin="n\n").ended()

    assert ran.code == 1
    assert "1. Tags: team=orders." in ran.err
    assert "2. Rotation is turned on; nothing is rotated. Schedule: rate(30 days)." in ran.err
    assert "Traceback" not in ran.err
    assert described(secret) == before
    assert secret.executions() == []


def test_what_is_onboarded_already_is_left_alone_and_another_schedule_is_taken(secret: DeployedSecret) -> None:
    rotatorctl(secret.deployed, "onboard", name(secret), "--yes")

    again = rotatorctl(secret.deployed, "onboard", name(secret), "--output", "json")
    other = rotatorctl(secret.deployed, "onboard", name(secret), "--schedule", "cron(0 8 1 * ? *)", *JSON)
    kept = rotatorctl(secret.deployed, "onboard", name(secret), "--output", "json")

    assert (again.code, again.data["outcome"]) == (0, "unchanged")
    assert (other.code, other.data["outcome"]) == (0, "attached")
    assert (kept.data["outcome"], kept.data["schedule"]) == ("unchanged", "cron(0 8 1 * ? *)")
    assert len(secret.executions()) == 2


def test_a_log_in_that_is_refused_leaves_the_secret_as_it_was(secret: DeployedSecret) -> None:
    changed_by_hand(secret)
    secret.deployed.stack.secrets.tag_resource(SecretId=secret.arn, Tags=[{"Key": "team", "Value": "before"}])

    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--tag", "team=orders", "--tag", "tier=1", *JSON)

    assert (ran.code, ran.codes) == (1, ["LogInFailedError"])
    assert (ran.data["outcome"], ran.data["error"]) == ("put back", "LoginRefusedError")
    function, schedule = ran.data["left"]
    assert "the secret names this stack's function, so the stack may read it" in function
    assert schedule.startswith("its schedule, rate(30 days)")
    assert described(secret)["RotationLambdaARN"] == secret.deployed.stack.outputs["RotationFunctionArn"]
    assert described(secret)["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    assert not described(secret)["RotationEnabled"]
    assert tags(secret) == {"team": "before"}
    assert labels(secret) == {"AWSCURRENT"}
    assert secret.old not in ran.out + ran.err


def test_a_secret_of_another_function_is_taken_over_and_can_be_given_back(secret: DeployedSecret) -> None:
    former = of_another_function(secret)

    taken = rotatorctl(secret.deployed, "onboard", name(secret), *JSON)
    during = described(secret), tags(secret)
    given_back = rotatorctl(secret.deployed, "offboard", name(secret), "--restore", *JSON)

    assert (taken.code, taken.data["outcome"], taken.data["formerFunction"]) == (0, "attached", former)
    assert during[0]["RotationLambdaARN"] == secret.deployed.stack.outputs["RotationFunctionArn"]
    assert during[0]["RotationRules"] == {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
    assert during[1] == {FORMER_FUNCTION: former}
    assert (given_back.code, given_back.data["outcome"], given_back.data["function"]) == (0, "restored", former)
    assert described(secret)["RotationLambdaARN"] == former
    assert tags(secret) == {}
    assert secret.logs_in(secret.password())


def test_a_secret_of_another_function_goes_back_to_it_if_the_log_in_fails(secret: DeployedSecret) -> None:
    former = of_another_function(secret)
    changed_by_hand(secret)

    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--schedule", "60d", *JSON)

    now = described(secret)
    assert (ran.code, ran.codes, ran.data["left"]) == (1, ["LogInFailedError"], [])
    assert (now["RotationEnabled"], now["RotationLambdaARN"]) == (True, former)
    assert now["RotationRules"] == {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
    assert tags(secret) == {}


def test_a_function_that_was_turned_off_is_named_among_what_is_left_and_can_be_given_back(
    secret: DeployedSecret,
) -> None:
    former = of_another_function(secret)
    secret.deployed.stack.secrets.cancel_rotate_secret(SecretId=secret.arn)
    changed_by_hand(secret)

    ran = rotatorctl(secret.deployed, "onboard", name(secret), *JSON)
    during = described(secret), tags(secret)
    given_back = rotatorctl(secret.deployed, "offboard", name(secret), "--restore", *JSON)

    function, tag = ran.data["left"]
    assert (ran.code, ran.codes) == (1, ["LogInFailedError"])
    assert "the secret names this stack's function" in function
    assert f"`rotatorctl offboard {name(secret)} --restore` turns rotation by that one on" in tag
    assert not during[0]["RotationEnabled"]
    assert during[1] == {FORMER_FUNCTION: former}
    assert (given_back.code, described(secret)["RotationLambdaARN"]) == (0, former)


def test_a_secret_of_this_stack_keeps_its_schedule_if_it_does_not_log_in_any_more(secret: DeployedSecret) -> None:
    rotatorctl(secret.deployed, "onboard", name(secret), "--yes")
    changed_by_hand(secret)

    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--schedule", "60d", *JSON)

    now = described(secret)
    assert (ran.code, ran.codes) == (1, ["LogInFailedError"])
    assert (now["RotationEnabled"], now["RotationRules"]) == (True, {"ScheduleExpression": "rate(30 days)"})


def test_the_first_rotation_is_done_at_once_if_it_is_asked_for(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--rotate-now", *JSON)

    assert (ran.code, ran.codes) == (0, [])
    assert (ran.data["outcome"], ran.data["rotation"]["outcome"]) == ("attached", "rotated")
    assert secret.logs_in(secret.password())
    assert not secret.logs_in(secret.old)


@contextmanager
def locked_table(secret: DeployedSecret) -> Iterator[str]:
    """A table that the user may read, and nobody can while this lasts; its name."""
    table = f"locked_{randomness.token_hex(4)}"
    with secret.deployed.server.admin() as admin:
        admin.run(f"CREATE TABLE {table} (id int)")
        admin.run(f'GRANT SELECT ON {table} TO "{secret.user}"')
        admin.run("BEGIN")
        admin.run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield table
        admin.run("ROLLBACK")


def test_ctrl_c_puts_back_what_was_changed_and_says_what_goes_on(secret: DeployedSecret) -> None:
    with locked_table(secret) as table:
        process = started(secret.deployed, "onboard", name(secret), "--tag", f"rotation:reads=public.{table}", *JSON)
        until(lambda: process.says("TestCurrent"))
        process.interrupt()
        ran = process.ended()

    assert (ran.code, ran.codes) == (1, ["StoppedError"])
    assert "ends by itself and changes nothing" in ran.out
    assert "Traceback" not in ran.err
    assert not described(secret)["RotationEnabled"]
    assert tags(secret) == {}
    assert labels(secret) == {"AWSCURRENT"}


def test_a_stack_that_could_not_rotate_is_told_before_anything_is_asked(secret: DeployedSecret) -> None:
    with secret.deployed.throttled("SetSecretFunction"):
        ran = rotatorctl(secret.deployed, "onboard", name(secret), "--output", "json")

    assert (ran.code, ran.codes, ran.data["outcome"]) == (1, ["ConcurrencyTooLow"], "refused")
    assert "RotationEnabled" not in described(secret)


def test_a_tag_or_value_that_cannot_drive_a_rotation_is_refused(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "onboard", name(secret), "--tag", "rotation:speed=fast", "--output", "json")

    assert (ran.code, ran.codes) == (1, ["InvalidSecret"])
    assert "unknown tag 'rotation:speed'" in ran.out
    assert "give the tag rotation:speed another value, or leave it out" in ran.out
    assert tags(secret) == {}


def test_a_secret_whose_rotation_did_not_end_is_left_to_that(secret: DeployedSecret) -> None:
    attach(secret)
    with secret.deployed.throttled("FinishSecretFunction"):
        rotatorctl(secret.deployed, "rotate", name(secret))

    for command in ("onboard", "offboard"):
        ran = rotatorctl(secret.deployed, command, name(secret), *JSON)

        assert (ran.code, ran.codes) == (1, ["PendingVersionError"])
    assert described(secret)["RotationEnabled"]


def made(ran: Ran, deployed: Deployed) -> DeployedSecret:
    """The secret that a command has created."""
    value = json.loads(deployed.stack.secrets.get_secret_value(SecretId=ran.data["secretArn"])["SecretString"])
    return DeployedSecret(deployed, ran.data["secretArn"], value["username"], value["password"])


def test_a_secret_is_created_for_an_instance_with_a_password_from_another_secret(secret: DeployedSecret) -> None:
    deployed, identifier = secret.deployed, f"db-{randomness.token_hex(4)}"
    deployed.stack.client("rds").create_db_instance(
        DBInstanceIdentifier=identifier, Engine="postgres", DBInstanceClass="db.t3.micro", Port=deployed.server.port
    )
    new = f"it/{identifier}"
    arguments = ("--instance", identifier, "--username", secret.user, "--password-from", name(secret))

    ran = rotatorctl(deployed, "onboard", new, *arguments, "--tag", "team=orders", *JSON)
    again = rotatorctl(deployed, "onboard", new, *arguments, "--output", "json")

    assert (ran.code, ran.codes, ran.data["outcome"], ran.data["created"]) == (0, [], "attached", True)
    value = json.loads(deployed.stack.secrets.get_secret_value(SecretId=new)["SecretString"])
    assert (value["engine"], value["port"], value["password"]) == ("postgres", deployed.server.port, secret.old)
    assert tags(made(ran, deployed)) == {"team": "orders"}
    assert (again.code, again.data["outcome"], again.data["created"]) == (0, "unchanged", False)
    assert secret.old not in ran.out + ran.err


def cluster(deployed: Deployed, engine: str, port: int) -> str:
    """A cluster without an instance; its identifier."""
    identifier = f"db-{randomness.token_hex(4)}"
    deployed.stack.client("rds").create_db_cluster(
        DBClusterIdentifier=identifier,
        Engine=engine,
        Port=port,
        MasterUsername="root",
        MasterUserPassword="not-of-the-server",
    )
    return identifier


def add_writer(deployed: Deployed, engine: str, identifier: str) -> None:
    deployed.stack.client("rds").create_db_instance(
        DBClusterIdentifier=identifier,
        Engine=engine,
        DBInstanceIdentifier=f"{identifier}-1",
        DBInstanceClass="db.r6g.large",
    )


def test_a_cluster_is_waited_for_until_it_has_a_writer(secret: DeployedSecret) -> None:
    deployed, port = secret.deployed, secret.deployed.server.port
    identifier = cluster(deployed, "aurora-postgresql", port)
    password = ("--username", secret.user, "--password-from", name(secret))
    process = started(deployed, "onboard", f"it/{identifier}", "--cluster", identifier, *password, *JSON)
    until(lambda: process.says("writer instance  not made yet"))
    add_writer(deployed, "aurora-postgresql", identifier)
    ran = process.ended()

    assert (ran.code, ran.data["reason"], ran.data["outcome"]) == (0, "", "attached")
    value = json.loads(deployed.stack.secrets.get_secret_value(SecretId=f"it/{identifier}")["SecretString"])
    assert (value["engine"], value["port"]) == ("aurora-postgresql", port)


def test_the_secret_of_a_documentdb_cluster_is_one_for_mongo(deployed: Deployed) -> None:
    identifier = cluster(deployed, "docdb", 27018)
    add_writer(deployed, "docdb", identifier)

    ran = rotatorctl(
        deployed, "onboard", f"it/{identifier}", "--cluster", identifier, "--username", "app", "--generate", *JSON
    )

    assert (ran.code, ran.data["outcome"]) == (0, "created")
    value = json.loads(deployed.stack.secrets.get_secret_value(SecretId=f"it/{identifier}")["SecretString"])
    assert (value["engine"], value["port"]) == ("mongo", 27018)
    assert value["host"].startswith(f"{identifier}.cluster-")


def of_server(secret: DeployedSecret) -> list[str]:
    port = str(secret.deployed.server.port)
    return ["--host", "127.0.0.1", "--port", port, "--engine", "postgres", "--username", secret.user]


def test_a_created_secret_that_does_not_log_in_is_deleted_again(secret: DeployedSecret) -> None:
    changed_by_hand(secret)
    new = f"it/new-{secret.user}"

    ran = rotatorctl(secret.deployed, "onboard", new, *of_server(secret), "--password-from", name(secret), *JSON)

    assert (ran.code, ran.codes, ran.data["created"]) == (1, ["LogInFailedError"], False)
    with pytest.raises(secret.deployed.stack.secrets.exceptions.ResourceNotFoundException):
        secret.deployed.stack.secrets.describe_secret(SecretId=new)


def test_a_password_is_typed_unseen(secret: DeployedSecret) -> None:
    new, runner = f"it/new-{secret.user}", CliRunner(env=dict(secret.deployed.stack.environment))

    done = runner.invoke(cli, ["onboard", new, *of_server(secret), *JSON], input=f"{secret.old}\n")

    assert done.exit_code == 0
    assert f"Password of '{secret.user}'" in done.output
    assert '"outcome": "attached"' in done.output
    assert secret.old not in done.output
    value = secret.deployed.stack.secrets.get_secret_value(SecretId=new)["SecretString"]
    assert json.loads(value)["password"] == secret.old


def test_a_generated_password_is_attached_once_the_server_has_it(secret: DeployedSecret) -> None:
    new = f"it/new-{secret.user}"

    created = rotatorctl(secret.deployed, "onboard", new, *of_server(secret), "--generate", *JSON)
    fresh = made(created, secret.deployed)
    with secret.deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{secret.user}\" PASSWORD '{fresh.old}'")
    attached = rotatorctl(secret.deployed, "onboard", new, *JSON)

    assert (created.code, created.data["outcome"], created.data["created"]) == (0, "created", True)
    assert len(fresh.old) == 32
    assert fresh.old not in created.out + created.err
    assert fresh.executions()[0]["status"] == "SUCCEEDED"
    assert (attached.code, attached.data["outcome"], attached.data["created"]) == (0, "attached", False)


def test_a_file_says_what_options_say_and_holds_no_password(secret: DeployedSecret, tmp_path: Path) -> None:
    file, new = tmp_path / "orders.yaml", f"it/new-{secret.user}"
    content = (
        f"name: {new}\nhost: 127.0.0.1\nport: {secret.deployed.server.port}\nengine: postgres\n"
        f"username: {secret.user}\npasswordFrom: {name(secret)}\nrotatePasswordInDays: 60\ntags: {{team: orders}}\n"
    )
    file.write_text(content)
    ran = rotatorctl(secret.deployed, "onboard", "--from", str(file), *JSON)
    file.write_text(content + f"password: {secret.old}\n")
    refused = rotatorctl(secret.deployed, "onboard", "--from", str(file), *JSON)

    assert (ran.code, ran.data["outcome"], ran.data["schedule"]) == (0, "attached", "rate(60 days)")
    assert tags(made(ran, secret.deployed)) == {"team": "orders"}
    assert refused.code == 2
    assert "a password is not read from a file" in refused.err
    assert secret.old not in refused.err


def test_a_secret_that_exists_is_never_overwritten(secret: DeployedSecret) -> None:
    arguments = [*of_server(secret)[:-1], "somebody-else", "--password-from", name(secret)]

    ran = rotatorctl(secret.deployed, "onboard", name(secret), *arguments, *JSON)

    assert (ran.code, ran.codes) == (1, ["SecretDiffersError"])
    assert secret.password() == secret.old


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "SecretNotFoundError"),
        (["--cluster", "nothing", "--username", "app"], "DatabaseNotFoundError"),
        (["--instance", "nothing", "--username", "app"], "DatabaseNotFoundError"),
        (["--host", "db.example", "--engine", "oracle", "--username", "app"], "InvalidSecretError"),
        (["--host", "db.example", "--engine", "postgres"], "InvalidSecretError"),
    ],
)
def test_what_cannot_be_created_is_a_sentence_with_a_next_step(
    arguments: list[str], code: str, deployed: Deployed
) -> None:
    ran = rotatorctl(deployed, "onboard", "it/nothing", *arguments)

    assert ran.code == 1
    assert ran.err.startswith(f"{code}: ")
    assert "\nNext: " in ran.err
    assert "Traceback" not in ran.err


def test_offboard_turns_rotation_off_and_says_what_is_left(secret: DeployedSecret) -> None:
    attach(secret)

    ran = rotatorctl(secret.deployed, "offboard", name(secret), *JSON)
    again = rotatorctl(secret.deployed, "offboard", name(secret), "--output", "json")
    restored = rotatorctl(secret.deployed, "offboard", name(secret), "--restore", *JSON)

    assert (ran.code, ran.data["outcome"]) == (0, "detached")
    assert "still names this stack's function" in ran.data["left"][0]
    assert not described(secret)["RotationEnabled"]
    assert (again.code, again.data["outcome"]) == (0, "unchanged")
    assert (restored.code, restored.codes) == (1, ["NoFormerFunctionError"])
    assert secret.logs_in(secret.password())


def test_offboard_leaves_a_secret_of_somebody_else_alone(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "offboard", name(secret), *JSON)

    assert (ran.code, ran.codes) == (1, ["NotUnderRotationError"])
