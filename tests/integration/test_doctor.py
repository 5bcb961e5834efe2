"""rotatorctl doctor against the deployed stack: what policies, networks, schedules and failures look like there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rotatorctl.local.emulator import ACCOUNT
from tests.integration.conftest import Deployed, DeployedSecret, until
from tests.integration.test_cli import attach, name, rotatorctl

pytestmark = pytest.mark.xdist_group("stack of rotatorctl")

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def doctor(secret: DeployedSecret) -> dict[str, Any]:
    """Findings by their code; nothing of a value is in them."""
    ran = rotatorctl(secret.deployed, "doctor", name(secret), "--output", "json")
    assert secret.old not in ran.out + ran.err
    return {each["code"]: each for each in ran.data["findings"] if each["level"] != "fine"}


def policy(**statement: Any) -> str:
    whole = {"Sid": "Mine", "Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "*", "Resource": "*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def test_a_resource_policy_that_denies_the_functions_is_found(secret: DeployedSecret) -> None:
    secrets = secret.deployed.stack.secrets
    app = {"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/app"}}
    deny = policy(Effect="Deny", Principal="*", Action="secretsmanager:GetSecretValue", Condition=app)
    secrets.put_resource_policy(SecretId=secret.arn, ResourcePolicy=deny)

    found = doctor(secret)
    secrets.put_resource_policy(SecretId=secret.arn, ResourcePolicy=policy(Action="secretsmanager:GetSecretValue"))

    assert found["ResourcePolicyDenies"]["level"] == "problem"
    for step in ("CreateSecret", "SetSecret", "TestSecret", "RollBack"):
        assert f"{step} secretsmanager:GetSecretValue" in found["ResourcePolicyDenies"]["what"]
    assert "FinishSecret" not in found["ResourcePolicyDenies"]["what"]
    assert "ResourcePolicyDenies" not in doctor(secret)


def test_a_key_that_does_not_let_the_functions_in_is_found(secret: DeployedSecret) -> None:
    keys = secret.deployed.stack.client("kms")
    key = keys.create_key(Policy=policy(Action="kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/app"}))
    key_id = key["KeyMetadata"]["KeyId"]
    secret.deployed.stack.secrets.update_secret(SecretId=secret.arn, KmsKeyId=key_id)

    found = doctor(secret)
    keys.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy(Action="kms:*"))
    mended = doctor(secret)
    keys.disable_key(KeyId=key_id)
    disabled = doctor(secret)

    assert "CreateSecret kms:Decrypt" in found["KeyPolicyLacksRoles"]["what"]
    assert "KeyPolicyLacksRoles" not in mended
    assert "CustomerManagedKey" in mended
    assert disabled["KeyNotEnabled"]["command"] == f"aws kms enable-key --key-id {key_id}"


@contextmanager
def in_a_vpc(deployed: Deployed) -> Iterator[str]:
    """SetSecret's function runs in a subnet of a VPC without any way out; yields the route table of it."""
    ec2, functions = deployed.stack.client("ec2"), deployed.stack.client("lambda")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="functions", Description="functions", VpcId=vpc)["GroupId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    name = deployed.function("SetSecretFunction")
    within: Any = {"SubnetIds": [subnet], "SecurityGroupIds": [group]}
    functions.update_function_configuration(FunctionName=name, VpcConfig=within)
    try:
        yield table
    finally:
        functions.update_function_configuration(FunctionName=name, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})


def test_functions_in_a_vpc_without_a_way_out_are_found(secret: DeployedSecret) -> None:
    ec2 = secret.deployed.stack.client("ec2")
    with in_a_vpc(secret.deployed) as table:
        found = doctor(secret)
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId="nat-1")
        mended = doctor(secret)

    assert "aws ec2 create-vpc-endpoint" in found["NoWayToSecretsManager"]["command"]
    assert "NoWayToSecretsManager" not in mended
    assert "in the subnets subnet-" in mended["WhereFunctionsRun"]["what"]
    assert "NoWayToSecretsManager" not in doctor(secret)


def test_a_schedule_of_eventbridge_that_rotates_it_too_is_found(secret: DeployedSecret) -> None:
    client = secret.deployed.stack.client("scheduler")
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:secretsmanager:rotateSecret",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/schedules",
        "Input": json.dumps({"SecretId": secret.arn}),
    }
    client.create_schedule(
        Name="nightly", ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )

    found = doctor(secret)
    client.delete_schedule(Name="nightly", GroupName="default")

    assert found["AnotherSchedule"]["command"] == "aws scheduler delete-schedule --name nightly --group-name default"
    assert "AnotherSchedule" not in doctor(secret)


def test_a_password_that_was_changed_by_hand_is_found_as_the_cause(secret: DeployedSecret) -> None:
    attach(secret)
    with secret.deployed.server.admin() as admin:
        admin.run(f"ALTER ROLE \"{secret.user}\" PASSWORD 'changed-by-hand'")
    rotatorctl(secret.deployed, "rotate", name(secret))

    found = doctor(secret)

    assert "LoginRefusedError in SetSecret" in found["LogInRefused"]["what"]
    assert "LastRotationFailed" not in found and "LogInFailed" not in found


@contextmanager
def kept_as_md5(deployed: Deployed) -> Iterator[None]:
    """The server keeps new passwords in a way by which its pg_hba.conf lets nobody in."""
    with deployed.server.admin() as admin:
        admin.run("ALTER SYSTEM SET password_encryption = 'md5'")
        admin.run("SELECT pg_reload_conf()")
        until(lambda: admin.run("SHOW password_encryption") == [["md5"]])
        yield
        admin.run("ALTER SYSTEM RESET password_encryption")
        admin.run("SELECT pg_reload_conf()")


def test_a_password_encryption_that_does_not_fit_is_found_as_the_cause(secret: DeployedSecret) -> None:
    attach(secret)
    with kept_as_md5(secret.deployed):
        rotatorctl(secret.deployed, "rotate", name(secret))

    found = doctor(secret)["PasswordEncryptionDiffers"]

    assert "LoginRefusedError in TestSecret" in found["what"]
    assert f"psql -h 127.0.0.1 -p {secret.deployed.server.port} -U ADMIN" in found["command"]


def changed(secret: DeployedSecret, **fields: Any) -> None:
    secrets = secret.deployed.stack.secrets
    value = json.loads(secrets.get_secret_value(SecretId=secret.arn)["SecretString"])
    secrets.put_secret_value(SecretId=secret.arn, SecretString=json.dumps(value | fields))


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"port": "1"}, "ServiceNotReached"), ({"engine": "oracle"}, "ValueRefused")],
    ids=["nobody listens", "the engine is not known"],
)
def test_what_kept_the_functions_from_logging_in_is_found_as_the_cause(
    secret: DeployedSecret, fields: dict[str, str], code: str
) -> None:
    changed(secret, **fields)
    secret.deployed.stack.secrets.rotate_secret(
        SecretId=secret.arn,
        RotationLambdaARN=secret.deployed.stack.outputs["RotationFunctionArn"],
        RotationRules={"ScheduleExpression": "rate(10 days)", "Duration": "2h"},
        RotateImmediately=False,
    )
    assert secret.outcome() == "TestRotationFailed"

    found = doctor(secret)

    assert found[code]["check"] == "log-in"
    assert found["Schedule"]["what"].startswith("schedule: rate(10 days), window 2h; a window is open for 2 h")


def test_the_rules_of_the_service_are_left_to_a_command_that_the_service_answers(secret: DeployedSecret) -> None:
    found = doctor(secret)

    assert found["ServerPolicyNotChecked"]["level"] == "not checked yet"
    assert f"psql -h 127.0.0.1 -p {secret.deployed.server.port} -U ADMIN" in found["ServerPolicyNotChecked"]["command"]
    assert "SameUserNotChecked" in found


def test_a_right_that_somebody_took_from_a_role_is_found(secret: DeployedSecret) -> None:
    iam, functions = secret.deployed.stack.client("iam"), secret.deployed.stack.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=secret.deployed.function("FinishSecretFunction"))
    role = configuration["Role"].rpartition("/")[2]
    document = iam.get_role_policy(RoleName=role, PolicyName="FinishSecret")["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName="FinishSecret")
    try:
        found = doctor(secret)
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="FinishSecret", PolicyDocument=json.dumps(document))

    assert f"secretsmanager:UpdateSecretVersionStage on {secret.arn}" in found["RoleLacksRight"]["what"]
    assert "RoleLacksRight" not in doctor(secret)
