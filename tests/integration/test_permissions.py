"""The deployed roles: what they are, that they are enforced, and that a new secret needs none of them changed."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rotatorctl.local.emulator import ACCOUNT, REGION
from rotatorctl.local.stack import STACK_NAME
from rotatorctl.permissions import statements_in
from rotatorctl.roles import documents_of
from tests.integration.conftest import Deployed, DeployedSecret, until
from tests.integration.test_deployed_engines import create, fields
from tests.templates import TEMPLATE, Deployment
from tests.workflow.machine import ROOT, STATES

pytestmark = pytest.mark.xdist_group("offline stack")


def physical_ids(deployed: Deployed) -> dict[str, str]:
    """What CloudFormation called the resources of both templates, by their logical ids."""
    client, found, stacks = deployed.stack.client("cloudformation"), {}, [STACK_NAME]
    while stacks:
        for each in client.describe_stack_resources(StackName=stacks.pop())["StackResources"]:
            # An ARN, a queue's URL, or a name.
            name = each["PhysicalResourceId"].rpartition(":")[2]
            found[each["LogicalResourceId"]] = name.rpartition("/")[2] if "Queue" in each["ResourceType"] else name
            if each["ResourceType"] == "AWS::CloudFormation::Stack":
                stacks.append(each["PhysicalResourceId"])
    return found


def policies(deployed: Deployed, role: str) -> list[Any]:
    return list(documents_of(deployed.stack.client("iam"), role))


def test_the_deployed_roles_are_those_that_every_other_test_reads_from_the_templates(deployed: Deployed) -> None:
    ids = physical_ids(deployed)
    # The emulator does not join a list in a condition, and takes HasVpc for true.
    expected = Deployment(TEMPLATE, STACK_NAME, REGION, ACCOUNT, ids, {"VpcSubnetIds": "subnet-1"}).roles()

    assert {name: policies(deployed, ids[name]) for name in expected} == expected


# ---- A new secret


def everything_that_is_allowed(deployed: Deployed) -> dict[str, Any]:
    iam, functions = deployed.stack.client("iam"), deployed.stack.client("lambda")
    roles = {role["RoleName"]: policies(deployed, role["RoleName"]) for role in iam.list_roles()["Roles"]}
    rotate = deployed.stack.outputs["RotationFunctionName"]
    return roles | {"who may call rotate": json.loads(functions.get_policy(FunctionName=rotate)["Policy"])}


def ask(deployed: Deployed, function: str, event: dict[str, Any]) -> str:
    """What a function answers, or its error."""
    answer = deployed.stack.client("lambda").invoke(
        FunctionName=deployed.function(f"{function}Function"), Payload=json.dumps(event)
    )
    return answer["Payload"].read().decode()


def ask_all(secret: DeployedSecret, token: str) -> dict[str, str]:
    """What every function of the stack answers, asked to do its part with this secret, by its name."""
    sample = json.loads((ROOT / "events/executions/rotate.json").read_text())
    request = {key: sample[key] for key in ("Mode", "Attempt", "Previous")}
    request |= {"SecretId": secret.arn, "ClientRequestToken": token, "Execution": "by hand"}
    completed = {"State": "CreateSecret", "CurrentVersionId": token, "Engine": "postgres", "Strategy": "single user"}
    failure = {"Error": "KeyError", "Cause": "", "Step": "FinishSecret"}
    state = {"Request": request, "Completed": completed, "Failure": failure, "RotationToken": "1" * 36}
    event = {"Step": "createSecret", "SecretId": secret.arn, "ClientRequestToken": token, "RotationToken": "1" * 36}
    answers = {"Rotate": ask(secret.deployed, "Rotate", event)}
    return answers | {step: ask(secret.deployed, step, state) for step in STATES}


def test_two_secrets_of_different_engines_need_rotate_secret_and_nothing_else(deployed: Deployed) -> None:
    before = everything_that_is_allowed(deployed)
    redis = deployed.others["redis"]
    user = redis.user(f"app-{secrets.token_hex(4)}")
    new = [deployed.secret(), create(deployed, json.dumps(fields("redis", user)), {})]
    values = [deployed.stack.secrets.get_secret_value(SecretId=each.arn)["SecretString"] for each in new]
    for each in new:
        refused = ask_all(each, "0" * 36)
        assert [step for step, answer in refused.items() if "AccessDeniedException" not in answer] == []

    for each in new:
        each.rotate()

    assert [each.outcome() for each in new] == ["RotationSucceeded"] * 2
    assert new[0].logs_in(new[0].password())
    assert redis.logs_in(replace(user, password=new[1].password()))
    assert all(old not in deployed.stack.secrets.get_secret_value(SecretId=each.arn)["SecretString"]
               for each, old in zip(new, values, strict=True))  # fmt: skip
    assert everything_that_is_allowed(deployed) == before


def test_a_secret_that_chose_another_function_is_neither_read_nor_changed(deployed: Deployed) -> None:
    secret, elsewhere = deployed.secret(), f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:another-teams"
    client = deployed.stack.secrets
    client.rotate_secret(SecretId=secret.arn, RotationLambdaARN=elsewhere, RotationRules={"AutomaticallyAfterDays": 30})
    assert secret.outcome() == "RotationFailed"
    before = client.describe_secret(SecretId=secret.arn)

    answers = ask_all(secret, deployed.stack.model.rotations(secret.arn)[-1].token)

    assert [step for step, answer in answers.items() if "AccessDeniedException" not in answer] == []
    assert "AWSCURRENT could not be tried" in answers["RollBack"]
    assert not any(secret.old in answer for answer in answers.values())
    after = client.describe_secret(SecretId=secret.arn)
    assert [after[key] for key in ("VersionIdsToStages", "LastChangedDate")] == [
        before[key] for key in ("VersionIdsToStages", "LastChangedDate")
    ]
    assert secret.logs_in(secret.old)


# ---- What the emulator enforces: calls of functions, of the state machine, of a rule, and of Lambda for a function


@contextmanager
def without(deployed: Deployed, role: str, action: str, on: str = "") -> Iterator[None]:
    """In the block the deployed role lacks this action, or has it on other resources alone."""
    iam: Any = deployed.stack.client("iam")
    name = physical_ids(deployed)[role]
    policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
    kept = {each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in policies}
    for policy, document in kept.items():
        if left := [fewer for each in statements_in(document) if (fewer := lacking(each, action, on))]:
            put = json.dumps({**document, "Statement": left})
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=put)
        else:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
    try:
        yield
    finally:
        for policy, document in kept.items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))


def lacking(statement: Any, action: str, on: str) -> dict[str, Any]:
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    if action not in actions:
        return dict(statement)
    narrower = "Resource" if on else "Action"
    left = [each for each in (statement["Resource"] if on else actions) if each != (on or action)]
    return {**statement, narrower: left} if left else {}


@pytest.mark.parametrize("action", ["states:StartExecution", "states:DescribeExecution"])
def test_rotate_is_held_to_its_role(secret: DeployedSecret, action: str) -> None:
    # A rotation that succeeds asks for no execution's end.
    with secret.deployed.server.admin() as admin:
        admin.run(f'ALTER ROLE "{secret.user}" NOLOGIN')
    with without(secret.deployed, "RotateRole", action):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"

    ((_, error),) = secret.deployed.stack.model.rotations(secret.arn)[-1].steps
    assert str(error).startswith(f"AccessDeniedError: {action} on arn:aws:states:")


def test_the_state_machine_is_held_to_its_role_when_it_calls_a_function(secret: DeployedSecret) -> None:
    functions = secret.deployed.stack.client("lambda")
    name = secret.deployed.function("SetSecretFunction")
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]

    with without(secret.deployed, "RotationStateMachineRole", "lambda:InvokeFunction", on=arn):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"

    (mail,) = secret.deployed.new_mails()
    assert "Lambda.AccessDeniedException in SetSecret" in mail.get_content()
    assert secret.logs_in(secret.old)


def test_the_state_machine_is_held_to_its_role_when_it_tells_people(secret: DeployedSecret) -> None:
    deployed = secret.deployed
    with deployed.throttled("CreateSecretFunction"), without(deployed, "RotationStateMachineRole", "sns:Publish"):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"

    assert secret.executions()[0]["error"] == "AlertFailedError"
    until(lambda: len(deployed.stack.mails) > deployed.mails_read)
    assert "ALERT NOT SENT" in deployed.new_mails()[0].get_content()


def test_a_rule_is_held_to_its_role(secret: DeployedSecret) -> None:
    deployed = secret.deployed
    log = deployed.stack.work_dir / "emulator.log"
    with (
        deployed.throttled("CreateSecretFunction"),
        without(deployed, "RotationStateMachineRole", "sns:Publish"),
        without(deployed, "TellRole", "sns:Publish"),
    ):
        secret.rotate()
        assert secret.outcome() == "RotationFailed"
        until(lambda: "EventBridge: arn:aws:iam::" in log.read_text(errors="replace"))

    assert deployed.new_mails() == []


UNKNOWN = {"detail-type": "Step Functions Execution Status Change", "detail": {"executionArn": "unknown"}}


@pytest.mark.parametrize(("function", "event"), [("Rotate", UNKNOWN), ("FindOverdue", {"time": "?"})])
def test_lambda_is_held_to_a_functions_role_when_it_keeps_what_failed(
    deployed: Deployed, function: str, event: dict[str, Any]
) -> None:
    log = deployed.stack.work_dir / "emulator.log"
    role = physical_ids(deployed)[f"{function}Role"]

    with without(deployed, f"{function}Role", "sqs:SendMessage"):
        deployed.stack.client("lambda").invoke(
            FunctionName=deployed.function(f"{function}Function"),
            InvocationType="Event",
            Payload=json.dumps(event),
        )
        refusal = f"role/{role} is not authorized to perform: sqs:SendMessage"
        until(lambda: refusal in log.read_text(errors="replace"))

    assert deployed.stack.take_messages(deployed.stack.outputs["UndeliveredAlertsUrl"]) == []
