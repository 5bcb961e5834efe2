"""What `rotatorctl doctor` makes of the functions' roles, as IAM has them; moto stands in for that."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from rotatorctl.checks import roles
from rotatorctl.deployed import Described
from rotatorctl.permissions import statements_in
from tests.templates import TEMPLATE, Deployment
from tests.unit.examined import ACCOUNT, ARN, REGION, World, functions, knowing, role_of, world

pytestmark = pytest.mark.usefixtures("credentials")
DOCUMENTS = Deployment(TEMPLATE, "secret-rotation", REGION, ACCOUNT).roles()
DRIFT = "aws cloudformation detect-stack-drift --stack-name secret-rotation"
ADMIN = Described({"ARN": ARN.replace("app-", "admin-"), "Name": "admin"})


@pytest.fixture
def made() -> Iterator[World]:
    with mock_aws():
        made = knowing(world(), functions=functions(), admin=ADMIN)
        for function in functions():
            name = role_of(function).rpartition("/")[2]
            made.examined.stack.aws.roles.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            given(made, name, *DOCUMENTS[name])
        yield made


def given(made: World, role: str, *documents: Any) -> None:
    for number, document in enumerate(documents):
        made.examined.stack.aws.roles.put_role_policy(
            RoleName=role, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(document)
        )


def without(role: str, action: str) -> list[Any]:
    """The role's policies without this action."""

    def rest(statement: Any) -> Any:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        return statement | {"Action": [each for each in actions if each != action] or ["sns:Publish"]}

    return [
        document | {"Statement": [rest(statement) for statement in statements_in(document)]}
        for document in DOCUMENTS[role]
    ]


def test_roles_as_the_template_makes_them_are_fine(made: World) -> None:
    assert made.of(roles.CHECKS) == {}


@pytest.mark.parametrize(
    ("role", "action", "on"),
    [
        ("RotateRole", "secretsmanager:DescribeSecret", [ARN]),
        ("CreateSecretRole", "secretsmanager:PutSecretValue", [ARN]),
        ("FinishSecretRole", "secretsmanager:UpdateSecretVersionStage", [ARN]),
        ("RollBackRole", "secretsmanager:UpdateSecretVersionStage", [ARN]),
        ("SetSecretRole", "secretsmanager:GetSecretValue", [ARN, ADMIN.arn]),
    ],
)
def test_a_right_that_somebody_took_away_is_named(made: World, role: str, action: str, on: list[str]) -> None:
    given(made, role, *without(role, action))

    found = made.of(roles.CHECKS)

    assert found.keys() == {"RoleLacksRight"}
    assert found["RoleLacksRight"].command == DRIFT
    missing = ", ".join(f"{action} on {secret}" for secret in on)
    assert found["RoleLacksRight"].what == f"the role {role} may not do {missing}"


def test_a_role_that_is_gone_is_a_problem(made: World) -> None:
    iam = made.examined.stack.aws.roles
    iam.delete_role_policy(RoleName="FinishSecretRole", PolicyName="policy-0")
    iam.delete_role(RoleName="FinishSecretRole")

    found = made.of(roles.CHECKS)

    assert found.keys() == {"RoleMissing"}
    assert found["RoleMissing"].command == DRIFT


def test_a_policy_that_is_not_understood_is_not_fine(made: World) -> None:
    odd = {"Effect": "Deny", "NotAction": "sns:*", "Resource": "*"}
    given(made, "TestSecretRole", *DOCUMENTS["TestSecretRole"], {"Version": "2012-10-17", "Statement": odd})

    assert made.of(roles.CHECKS).keys() == {"RoleUnclear"}


def test_a_boundary_is_told(made: World) -> None:
    iam = made.examined.stack.aws.roles
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="RotateRole", PermissionsBoundary=boundary)

    found = made.of(roles.CHECKS)

    assert found.keys() == {"RoleHasBoundary"}
    assert boundary in found["RoleHasBoundary"].what
    assert found["RoleHasBoundary"].command == (
        f"aws iam get-policy-version --policy-arn {boundary} --version-id "
        f'"$(aws iam get-policy --policy-arn {boundary} --query Policy.DefaultVersionId --output text)"'
    )
