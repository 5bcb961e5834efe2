"""rotatorctl as a person runs it, in a process of its own, against the deployed stack with a real PostgreSQL."""

import secrets as randomness
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.mysql_world import MySQLWorld
from tests.integration.command import Command, Ran
from tests.integration.conftest import Deployed, DeployedSecret, until
from tests.integration.test_deployed_engines import application

pytestmark = pytest.mark.xdist_group("stack of rotatorctl")

ROOT = Path(__file__).parents[2]


def started(deployed: Deployed, *arguments: str, stdin: str = "", stderr: str = "") -> Command:
    return Command.started(arguments, deployed.stack.environment, stdin, stderr)


def rotatorctl(deployed: Deployed, *arguments: str) -> Ran:
    return started(deployed, *arguments).ended()


@contextmanager
def locked(secret: DeployedSecret) -> Iterator[None]:
    """SetSecret waits for a lock in the database as long as this lasts; it has begun to wait when `reached` returns."""
    with secret.deployed.server.admin() as admin:
        admin.run("BEGIN")
        admin.run("LOCK TABLE pg_authid IN SHARE MODE")
        yield
        admin.run("COMMIT")


def waits_for_the_lock(secret: DeployedSecret) -> None:
    with secret.deployed.server.admin() as watcher:
        until(lambda: watcher.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def attach(secret: DeployedSecret) -> None:
    """Turn rotation on without rotating, as the README says."""
    stack = secret.deployed.stack
    stack.secrets.rotate_secret(
        SecretId=secret.arn,
        RotationLambdaARN=stack.outputs["RotationFunctionArn"],
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    assert secret.outcome() == "TestRotationSucceeded"


@pytest.fixture
def attached(secret: DeployedSecret) -> DeployedSecret:
    attach(secret)
    return secret


def name(secret: DeployedSecret) -> str:
    return f"it/{secret.user}"


def test_rotate_shows_each_state_and_ends_with_the_outcome_in_one_line(attached: DeployedSecret) -> None:
    ran = rotatorctl(attached.deployed, "rotate", name(attached))

    assert ran.code == 0
    assert attached.logs_in(attached.password())
    assert not attached.logs_in(attached.old)
    assert [line.rpartition("  ")[2] for line in ran.err.splitlines()][:6] == [
        "Begin",
        "SelectMode",
        "CreateSecret",
        "SetSecret",
        "TestSecret",
        "FinishSecret",
    ]
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{name(attached)}: rotated (")
    assert attached.password() not in ran.out + ran.err
    assert attached.old not in ran.out + ran.err


def test_a_failed_rotation_is_not_fine_and_rotate_retries_it_with_the_same_value(attached: DeployedSecret) -> None:
    deployed = attached.deployed
    with deployed.throttled("FinishSecretFunction"):
        failed = rotatorctl(deployed, "rotate", name(attached), "--output", "json")
    pending = attached.password("AWSPENDING")

    retried = rotatorctl(deployed, "rotate", attached.arn, "--output", "json")

    (first,), (second,) = failed.data["secrets"], retried.data["secrets"]
    assert (failed.code, failed.codes) == (1, ["RotationFailedError"])
    assert (first["outcome"], first["step"], first["workingCredential"]) == (
        "rolled back",
        "FinishSecret",
        "AWSCURRENT",
    )
    assert (retried.code, retried.codes) == (0, [])
    assert (second["outcome"], second["how"], second["attempt"]) == ("rotated", "retried", 2)
    assert second["versionId"] == first["versionId"]
    assert attached.password() == pending
    assert attached.logs_in(pending)


def test_the_result_is_told_where_nobody_reads_the_progress(attached: DeployedSecret) -> None:
    ran = started(attached.deployed, "rotate", name(attached), "--output", "json", stderr="/dev/full").ended()

    assert (ran.code, ran.codes) == (0, [])
    assert ran.data["secrets"][0]["outcome"] == "rotated"


def test_a_rotation_under_way_is_joined(attached: DeployedSecret) -> None:
    with locked(attached):
        first = rotatorctl(attached.deployed, "rotate", name(attached), "--no-wait", "--output", "json")
        waits_for_the_lock(attached)
        joining = started(attached.deployed, "rotate", name(attached), "--output", "json")
        until(lambda: joining.says("SetSecret"))
    second = joining.ended()

    assert (first.code, first.data["secrets"][0]["outcome"]) == (0, "started")
    assert (second.data["secrets"][0]["how"], second.data["secrets"][0]["outcome"]) == ("joined", "rotated")
    assert len([each for each in attached.executions() if not each["name"].startswith("test-")]) == 1


def test_ctrl_c_says_what_goes_on_and_begins_nothing_more(attached: DeployedSecret) -> None:
    other = attached.deployed.secret()
    with locked(attached):
        process = started(attached.deployed, "rotate", name(attached), name(other), "--output", "json")
        until(lambda: process.says("SetSecret"))
        process.interrupt()
        ran = process.ended()

    assert (ran.code, ran.codes) == (1, ["StillRunningError", "NotAllRotatedError"])
    assert ran.data["secrets"][0]["outcome"] == "running"
    assert ran.data["notBegun"] == [name(other)]
    assert "Traceback" not in ran.err
    assert attached.outcome() == "RotationSucceeded"
    assert attached.logs_in(attached.password())


def test_a_stopped_execution_is_followed_to_the_end_of_its_rollback(attached: DeployedSecret) -> None:
    with locked(attached):
        process = started(attached.deployed, "rotate", name(attached), "--output", "json")
        waits_for_the_lock(attached)
        (running,) = [each for each in attached.executions() if each["status"] == "RUNNING"]
        attached.deployed.stack.client("stepfunctions").stop_execution(executionArn=running["executionArn"])
    ran = process.ended()

    (rotated,) = ran.data["secrets"]
    assert (ran.code, rotated["outcome"], rotated["error"]) == (1, "rolled back", "Execution.ABORTED")
    assert rotated["executionArn"].endswith("-rollback")
    assert attached.logs_in(attached.old)


def test_a_rotation_that_never_reaches_the_machine_is_told_after_a_while(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("RotateFunction"):
        ran = rotatorctl(attached.deployed, "rotate", name(attached), "--patience", "2")

    assert ran.code == 1
    assert "NotStartedError" in ran.err
    assert f"rotatorctl doctor {name(attached)}" in ran.err


def test_a_secret_that_is_not_under_rotation_is_refused_with_the_command_that_turns_it_on(
    secret: DeployedSecret,
) -> None:
    ran = rotatorctl(secret.deployed, "rotate", name(secret))

    assert ran.code == 1
    assert "NotUnderRotationError" in ran.err
    assert f"rotatorctl onboard {name(secret)}" in ran.err
    assert secret.executions() == []


def test_many_are_rotated_by_a_tag_until_one_fails(deployed: Deployed) -> None:
    team = randomness.token_hex(4)
    members = sorted((deployed.secret() for _ in range(3)), key=name)
    for member in members:
        attach(member)
        deployed.stack.secrets.tag_resource(SecretId=member.arn, Tags=[{"Key": "team", "Value": team}])
    with deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{members[1].user}\" PASSWORD 'changed-by-hand'")

    ran = rotatorctl(deployed, "rotate", "--tag", f"team={team}", "--output", "json")

    assert (ran.code, ran.codes) == (1, ["RollbackFailedError", "NotAllRotatedError"])
    assert ran.data["summary"] == {"rotated": 1, "needs a person": 1, "not begun": 1}
    assert ran.data["notBegun"] == [name(members[2])]
    assert members[2].logs_in(members[2].old)
    assert not members[0].logs_in(members[0].old)


def test_a_tag_that_nobody_has_is_no_success(deployed: Deployed) -> None:
    ran = rotatorctl(deployed, "rotate", "--tag", "team=nobody", "--output", "json")

    assert (ran.code, ran.codes) == (1, ["NoSecretError"])


def test_an_unknown_secret_and_an_unknown_stack_are_sentences_with_a_next_step(deployed: Deployed) -> None:
    for arguments, code in ((["nobody"], "SecretNotFoundError"), (["x", "--stack", "nothing"], "StackNotFoundError")):
        ran = rotatorctl(deployed, "rotate", *arguments)

        assert ran.code == 1
        assert code in ran.err
        assert "Next: " in ran.err
        assert "Traceback" not in ran.err


def of_one(ran: Ran, secret: DeployedSecret) -> Any:
    """The entry of this secret; other tests' secrets are listed too."""
    (found,) = [each for each in ran.data["secrets"] if each["secretArn"] == secret.arn]
    return found


def test_status_shows_a_rotated_secret_and_puts_one_that_needs_a_person_first(attached: DeployedSecret) -> None:
    deployed, broken = attached.deployed, attached.deployed.secret()
    attach(broken)
    assert rotatorctl(deployed, "rotate", name(attached)).code == 0
    with deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{broken.user}\" PASSWORD 'changed-by-hand'")
    assert rotatorctl(deployed, "rotate", name(broken)).code == 1

    ran, shown = rotatorctl(deployed, "status", "--output", "json"), rotatorctl(deployed, "status")

    good, bad = of_one(ran, attached), of_one(ran, broken)
    assert ran.code == shown.code == 1
    assert (good["state"], good["engine"], good["strategy"], good["ageDays"]) == ("fine", "postgres", "single user", 0)
    assert (good["schedule"], good["lastOutcome"], good["pendingVersionId"]) == ("every 30 days", "rotated", None)
    assert (bad["state"], bad["lastOutcome"]) == ("needs a person", "needs a person")
    assert bad["pendingVersionId"]
    assert ran.data["secrets"].index(bad) < ran.data["secrets"].index(good)
    assert any(line.startswith(f"{name(attached)}  ") and "rotated" in line for line in shown.out.splitlines())


def test_status_has_secrets_that_are_to_be_deleted(attached: DeployedSecret) -> None:
    attached.deployed.stack.secrets.delete_secret(SecretId=attached.arn)

    found = of_one(rotatorctl(attached.deployed, "status", "--output", "json"), attached)

    attached.deployed.stack.secrets.restore_secret(SecretId=attached.arn)
    assert found["state"] == "scheduled for deletion"
    assert found["deletionDate"]


def test_history_has_every_execution_of_the_secret_and_of_no_other(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        rotatorctl(attached.deployed, "rotate", name(attached))
    rotatorctl(attached.deployed, "rotate", name(attached))

    ran = rotatorctl(attached.deployed, "history", attached.arn, "--output", "json")
    latest = rotatorctl(attached.deployed, "history", name(attached), "--limit", "1")

    assert ran.code == 0
    assert [(each["kind"], each["attempt"], each["outcome"]) for each in ran.data["executions"]] == [
        ("rotation", 2, "rotated"),
        ("rotation", 1, "rolled back"),
        ("log-in test", 1, "logged in"),
    ]
    failed = ran.data["executions"][1]
    assert (failed["step"], failed["error"]) == ("FinishSecret", "Lambda.TooManyRequestsException")
    assert failed["executionUrl"] == ""
    _header, row, shown = latest.out.splitlines()
    assert len(row.rstrip()) <= 80
    arn = ran.data["executions"][0]["executionArn"]
    assert shown.endswith(f": `aws stepfunctions describe-execution --execution-arn {arn}`")


def test_history_of_a_secret_without_executions_says_so(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "history", name(secret))

    assert (ran.code, ran.out) == (
        0,
        f"{name(secret)}: no execution in the last 90 days; Step Functions keeps them no longer\n",
    )


def findings(ran: Ran) -> dict[str, list[str]]:
    """Codes by level."""
    found: dict[str, list[str]] = {}
    for each in ran.data["findings"]:
        found.setdefault(each["level"], []).append(each["code"])
    return found


def test_doctor_before_the_first_rotation_says_what_it_cannot_know_yet(secret: DeployedSecret) -> None:
    ran = rotatorctl(secret.deployed, "doctor", name(secret), "--output", "json")

    found = findings(ran)
    assert ran.code == 0
    assert "problem" not in found and "could not be read" not in found
    assert "NotUnderRotation" in found["not checked yet"]
    waiting = {each["check"]: each for each in ran.data["findings"] if each["code"] == "NotCheckedYet"}
    assert waiting.keys() == {"schedule", "last rotation", "log-in"}
    assert waiting["log-in"]["command"].startswith("rotatorctl onboard ")
    assert secret.old not in ran.out


def test_doctor_tells_a_log_in_from_the_functions_and_reads_nothing_but(attached: DeployedSecret) -> None:
    before = attached.deployed.stack.secrets.describe_secret(SecretId=attached.arn)

    ran = rotatorctl(attached.deployed, "doctor", name(attached))

    assert ran.code == 0
    assert "AWSCURRENT logged in from the functions on" in ran.out
    after = attached.deployed.stack.secrets.describe_secret(SecretId=attached.arn)
    assert before["LastChangedDate"] == after["LastChangedDate"]
    assert len(attached.executions()) == 1


def test_doctor_finds_what_a_failed_rotation_left_and_what_made_it_fail(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        rotatorctl(attached.deployed, "rotate", name(attached))
        ran = rotatorctl(attached.deployed, "doctor", name(attached), "--output", "json")
    mended = rotatorctl(attached.deployed, "doctor", name(attached), "--output", "json")

    assert ran.code == mended.code == 1
    assert sorted(findings(ran)["problem"]) == ["ConcurrencyTooLow", "FunctionThrottled"]
    assert findings(ran)["warning"] == ["PendingStuck"]
    assert findings(mended)["problem"] == ["FunctionThrottled"]


def test_after_three_attempts_rotate_says_how_to_start_afresh_and_that_works(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        for _ in range(3):
            rotatorctl(attached.deployed, "rotate", name(attached))
    refused = rotatorctl(attached.deployed, "rotate", name(attached), "--output", "json")
    found = rotatorctl(attached.deployed, "doctor", name(attached), "--output", "json")
    (pending,) = [each for each in found.data["findings"] if each["check"] == "pending"]
    secret = name(attached)

    assert refused.codes == ["AttemptsUsedUpError"]
    assert pending["code"] == "AttemptsUsedUp"
    assert pending["command"] == f"rotatorctl unstick {secret} && rotatorctl rotate {secret}"
    assert rotatorctl(attached.deployed, "unstick", secret, "--yes").code == 0
    assert rotatorctl(attached.deployed, "rotate", name(attached)).code == 0


def test_unstick_takes_the_label_off_once_awscurrent_was_proven_and_tells_nobody_again(
    attached: DeployedSecret,
) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        rotatorctl(attached.deployed, "rotate", name(attached))
    attached.outcome()
    attached.deployed.new_mails()
    stuck = attached.password("AWSPENDING")

    ran = rotatorctl(attached.deployed, "unstick", name(attached), "--yes", "--output", "json")

    assert (ran.code, ran.codes) == (0, [])
    assert (ran.data["outcome"], ran.data["workingCredential"]) == ("cleared", "AWSCURRENT")
    assert ran.data["executionArn"].endswith("-1-rollback")
    assert labels(attached) == {"AWSCURRENT"}
    assert attached.logs_in(attached.old)
    assert attached.deployed.new_mails() == []
    again = rotatorctl(attached.deployed, "unstick", name(attached), "--output", "json")
    assert (again.code, again.data["outcome"]) == (0, "nothing stuck")
    assert rotatorctl(attached.deployed, "rotate", name(attached)).code == 0
    assert attached.password() not in (attached.old, stuck)


def labels(secret: DeployedSecret) -> set[str]:
    stages = secret.deployed.stack.secrets.describe_secret(SecretId=secret.arn)["VersionIdsToStages"]
    return {label for labels in stages.values() for label in labels}


def test_unstick_asks_and_a_no_changes_nothing(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        rotatorctl(attached.deployed, "rotate", name(attached))
    attached.outcome()
    before = len(attached.executions())

    process = started(attached.deployed, "unstick", name(attached), stdin="n\n")
    ran = process.ended()

    assert ran.code == 1
    assert "AWSPENDING is on version" in ran.err
    assert "Traceback" not in ran.err
    assert labels(attached) == {"AWSCURRENT", "AWSPENDING"}
    assert len(attached.executions()) == before


def test_unstick_moves_no_label_while_nothing_is_proven_to_log_in(attached: DeployedSecret) -> None:
    with attached.deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{attached.user}\" PASSWORD 'changed-by-hand'")
    rotatorctl(attached.deployed, "rotate", name(attached))
    attached.outcome()

    ran = rotatorctl(attached.deployed, "unstick", name(attached), "--yes", "--output", "json")

    assert (ran.code, ran.codes) == (1, ["NotProvenError"])
    assert ran.data["workingCredential"] == "none"
    assert labels(attached) == {"AWSCURRENT", "AWSPENDING"}


def verifier(secret: DeployedSecret) -> Any:
    """What the server keeps of the password; made anew whenever that is set, be it to the same."""
    with secret.deployed.server.admin() as admin:
        return admin.run("SELECT rolpassword FROM pg_authid WHERE rolname = :user", user=secret.user)


def test_unstick_finishes_what_rotate_refuses_where_the_database_has_the_pending_password(
    attached: DeployedSecret,
) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        for _ in range(3):
            rotatorctl(attached.deployed, "rotate", name(attached))
    attached.outcome()
    pending = attached.password("AWSPENDING")
    with attached.deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{attached.user}\" PASSWORD '{pending}'")
    before = verifier(attached)

    ran = rotatorctl(attached.deployed, "unstick", name(attached), "--yes", "--output", "json")

    assert (ran.code, ran.codes) == (0, [])
    assert (ran.data["outcome"], ran.data["workingCredential"]) == ("finished", "AWSPENDING")
    assert attached.password() == pending
    assert attached.logs_in(pending)
    assert verifier(attached) == before
    assert rotatorctl(attached.deployed, "unstick", name(attached), "--output", "json").data["outcome"] == (
        "nothing stuck"
    )


def test_unstick_stopped_by_ctrl_c_says_what_still_runs_and_moves_no_label(attached: DeployedSecret) -> None:
    with attached.deployed.throttled("FinishSecretFunction"):
        rotatorctl(attached.deployed, "rotate", name(attached))
    attached.outcome()
    process = started(attached.deployed, "unstick", name(attached), "--yes", "--output", "json")
    until(lambda: process.says("AwaitLateStatement"))
    process.interrupt()
    ran = process.ended()

    assert (ran.code, ran.codes, ran.data["outcome"]) == (1, ["StillRunningError"], "running")
    assert "Traceback" not in ran.err
    assert labels(attached) == {"AWSCURRENT", "AWSPENDING"}
    joined = rotatorctl(attached.deployed, "unstick", name(attached), "--yes", "--output", "json")
    assert (joined.data["outcome"], joined.data["executionArn"]) == ("cleared", ran.data["executionArn"])


def test_unstick_of_two_who_alternate_finishes_with_the_one_who_logs_in_and_changes_neither(
    deployed: Deployed,
) -> None:
    first, alternating = application(deployed, "mariadb", {"rotation:strategy": "alternating-users"})
    server = deployed.others["mariadb"]
    assert isinstance(server, MySQLWorld)
    with deployed.throttled("FinishSecretFunction"):
        alternating.rotate()
        alternating.outcome()
    pending = alternating.password("AWSPENDING")
    server.sql(f"ALTER USER '{first.username}' IDENTIFIED BY 'changed-by-hand'")

    ran = rotatorctl(deployed, "unstick", alternating.arn, "--yes", "--output", "json")

    assert (ran.code, ran.codes, ran.data["outcome"]) == (0, [], "finished")
    assert alternating.password() == pending
    assert server.logs_in(replace(first, username=f"{first.username}_clone", password=pending))
    assert server.logs_in(replace(first, password="changed-by-hand"))


def test_unstick_finishes_where_only_the_pending_value_logs_in(attached: DeployedSecret) -> None:
    """The pending value is another user's, as where two alternate, so AWSCURRENT's cannot be set again by it."""
    deployed, other = attached.deployed, attached.deployed.secret()
    value = deployed.stack.secrets.get_secret_value(SecretId=other.arn)["SecretString"]
    pending = deployed.stack.secrets.put_secret_value(
        SecretId=attached.arn, SecretString=value, VersionStages=["AWSPENDING"]
    )["VersionId"]
    with deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{attached.user}\" PASSWORD 'changed-by-hand'")

    ran = rotatorctl(deployed, "unstick", name(attached), "--yes", "--output", "json")

    assert (ran.code, ran.codes) == (0, [])
    assert (ran.data["outcome"], ran.data["workingCredential"]) == ("finished", "AWSPENDING")
    assert "AWSCURRENT" in deployed.stack.secrets.describe_secret(SecretId=attached.arn)["VersionIdsToStages"][pending]
    assert deployed.server.accepts(other.user, attached.password())
