"""What the policies of a secret, a key and an endpoint mean for the functions, as `rotatorctl doctor` judges them."""

import json
from typing import Any

import pytest
from botocore.stub import Stubber

from rotatorctl.checks import policies
from rotatorctl.checks.base import PROBLEM, UNREAD, WARNING
from rotatorctl.checks.resource_policy import ALLOWED, DENIED, SILENT, UNCLEAR, Call, verdict
from rotatorctl.deployed import Described
from tests.unit.examined import ACCOUNT, ARN, REGION, World, answering, functions, knowing, role_of, world

pytestmark = pytest.mark.usefixtures("credentials")

ROLE = role_of("CreateSecretFunction")
ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
DENY = {"Sid": "Hands off", "Effect": "Deny", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}
CALL = Call(
    "CreateSecretFunction",
    ROLE,
    "secretsmanager:GetSecretValue",
    ARN,
    {"aws:principalarn": ROLE, "aws:securetransport": "true"},
    frozenset({"aws:sourcevpce"}),
)


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def said(*statements: dict[str, Any]) -> str:
    return verdict(document(*statements), CALL).said


@pytest.mark.parametrize(
    ("principal", "meant"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ROLE}, True),
        ({"AWS": ["arn:aws:iam::999999999999:root", ROLE]}, True),
        ({"AWS": ACCOUNT}, True),
        (ROOT, True),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/CreateSecretRole/create-secret"}, True),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/CreateSecretRole2/create-secret"}, False),
        ({"AWS": "arn:aws:iam::999999999999:root"}, False),
        ({"Service": "secretsmanager.amazonaws.com"}, False),
    ],
)
def test_a_statement_is_about_whom_its_principal_names(principal: Any, meant: bool) -> None:
    assert said(DENY | {"Principal": principal}) == (DENIED if meant else SILENT)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/CreateSecretRole"}}, SILENT),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/other"}}, DENIED),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, DENIED),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, SILENT),
        ({"Bool": {"aws:SecureTransport": "false"}}, SILENT),
        ({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, UNCLEAR),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, UNCLEAR),
        # What is known decides, where it is not met.
        (
            {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}, "ArnNotEquals": {"aws:PrincipalArn": ROLE}},
            SILENT,
        ),
        ({"StringLike": {"aws:PrincipalArn": "${aws:username}"}}, UNCLEAR),
    ],
    ids=str,
)
def test_a_condition_counts_as_far_as_its_keys_are_known(condition: dict[str, Any], found: str) -> None:
    assert said(DENY | {"Condition": condition}) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"Action": "secretsmanager:DeleteSecret"}, SILENT),
        ({"Action": ["kms:*", "SecretsManager:getsecretvalue"]}, DENIED),
        ({"Resource": ARN.replace("app", "other")}, SILENT),
        ({"Effect": "Allow"}, ALLOWED),
    ],
    ids=str,
)
def test_a_statement_is_about_its_actions_and_resources(change: dict[str, Any], found: str) -> None:
    assert said(DENY | change) == found


@pytest.mark.parametrize("name", ["Action", "Resource", "Principal"])
def test_a_statement_about_all_but_some_is_not_decided(name: str) -> None:
    turned = {key: value for key, value in DENY.items() if key != name} | {f"Not{name}": "x"}

    assert said(turned) == UNCLEAR


def test_a_deny_overrides_and_what_is_unclear_is_never_allowed() -> None:
    allow = DENY | {"Sid": "Come in", "Effect": "Allow"}
    perhaps = DENY | {"Sid": "Perhaps", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}

    assert verdict(document(allow, perhaps, DENY), CALL).statement == "Hands off"
    assert said(allow, perhaps) == UNCLEAR
    assert said(allow) == ALLOWED
    assert verdict(json.dumps({"Statement": allow}), CALL).said == ALLOWED


def of_secret(*statements: dict[str, Any], **in_vpc: Any) -> dict[str, Any]:
    made = knowing(world(), functions=functions(**in_vpc), admin=None)
    answer = {"ARN": ARN, "Name": "app", **({"ResourcePolicy": document(*statements)} if statements else {})}
    with answering(made.examined.stack.aws.secrets, get_resource_policy=answer):
        return made.of(policies.CHECKS[:1])


def test_a_secret_without_a_policy_is_fine() -> None:
    assert of_secret() == {}


def test_a_policy_that_denies_the_functions_is_a_problem_that_names_statement_and_functions() -> None:
    found = of_secret(DENY | {"Action": ["secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]})

    assert {code: finding.level for code, finding in found.items()} == {"ResourcePolicyDenies": PROBLEM}
    assert found["ResourcePolicyDenies"].what == (
        "the resource policy of app denies CreateSecret secretsmanager:PutSecretValue, FinishSecret "
        "secretsmanager:UpdateSecretVersionStage, RollBack secretsmanager:UpdateSecretVersionStage by its statement "
        "'Hands off'"
    )
    assert found["ResourcePolicyDenies"].command == (
        f"aws secretsmanager get-resource-policy --secret-id {ARN} --query ResourcePolicy --output text > policy.json "
        f"&& ${{EDITOR:-vi}} policy.json && aws secretsmanager put-resource-policy --secret-id {ARN} "
        "--resource-policy file://policy.json --block-public-policy"
    )


def test_a_policy_that_wants_an_endpoint_denies_the_functions_that_are_in_no_vpc() -> None:
    only_by_endpoint = DENY | {"Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}

    found = of_secret(only_by_endpoint, SubnetIds=["subnet-1"], SecurityGroupIds=["sg-1"])

    assert found.keys() == {"ResourcePolicyDenies", "ResourcePolicyUnclear"}
    assert "FinishSecret" in found["ResourcePolicyDenies"].what
    assert "SetSecret" not in found["ResourcePolicyDenies"].what
    assert "SetSecret" in found["ResourcePolicyUnclear"].what
    assert found["ResourcePolicyUnclear"].level == WARNING


def test_a_policy_that_cannot_be_read_is_not_fine() -> None:
    made = knowing(world(), functions=functions(), admin=None)

    with Stubber(made.examined.stack.aws.secrets) as stubber:
        stubber.add_client_error("get_resource_policy", "AccessDeniedException", "no")

        assert {finding.level for finding in made.of(policies.CHECKS[:1]).values()} == {UNREAD}


def test_the_admin_secret_has_a_policy_of_its_own() -> None:
    admin = Described({"ARN": ARN.replace("app", "admin"), "Name": "admin"})
    made = knowing(world(), functions=functions(), admin=admin)

    with Stubber(made.examined.stack.aws.secrets) as stubber:
        stubber.add_response("get_resource_policy", {"ARN": ARN, "Name": "app"}, {"SecretId": ARN})
        stubber.add_response(
            "get_resource_policy", {"Name": "admin", "ResourcePolicy": document(DENY)}, {"SecretId": admin.arn}
        )
        found = made.of(policies.CHECKS[:1])

    assert found["ResourcePolicyDenies"].what.startswith("the resource policy of admin denies SetSecret ")
    assert "CreateSecret" not in found["ResourcePolicyDenies"].what


ALL = {"Sid": "IAM decides", "Effect": "Allow", "Principal": ROOT, "Action": "kms:*", "Resource": "*"}


def of_key(*statements: dict[str, Any]) -> dict[str, Any]:
    made = knowing(world(KmsKeyId="alias/mine"), functions=functions(), admin=None)
    return with_key(made, *statements)


def with_key(made: World, *statements: dict[str, Any]) -> dict[str, Any]:
    described = {"KeyMetadata": {"KeyId": "1", "Arn": KEY, "KeyManager": "CUSTOMER"}}
    with answering(
        made.examined.stack.aws.keys, describe_key=described, get_key_policy={"Policy": document(*statements)}
    ):
        return made.of(policies.CHECKS[1:])


def test_a_key_that_leaves_it_to_iam_is_fine_and_so_is_one_that_names_the_roles() -> None:
    through = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com", "kms:CallerAccount": ACCOUNT}
    named = ALL | {
        "Principal": {"AWS": [role_of(f"{step}Function") for step in ("CreateSecret", "SetSecret", "TestSecret")]}
    }
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"
    of_our_secrets = {"StringEquals": through, "StringLike": {"kms:EncryptionContext:SecretARN": arn}}

    assert of_key(ALL) == {}
    assert of_key(ALL | {"Principal": "*", "Condition": of_our_secrets}) == {}
    assert of_key(named, named | {"Principal": {"AWS": role_of("RollBackFunction")}}) == {}


def test_a_key_that_names_others_alone_keeps_the_functions_out() -> None:
    found = of_key(ALL | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/app"}})

    assert found.keys() == {"KeyPolicyLacksRoles"}
    assert found["KeyPolicyLacksRoles"].what == (
        "the policy of the KMS key alias/mine of app allows CreateSecret kms:Decrypt, CreateSecret "
        "kms:GenerateDataKey, SetSecret kms:Decrypt, TestSecret kms:Decrypt, RollBack kms:Decrypt nowhere"
    )
    assert found["KeyPolicyLacksRoles"].command == (
        "aws kms get-key-policy --key-id 1 --policy-name default --query Policy --output text > policy.json "
        "&& ${EDITOR:-vi} policy.json && "
        "aws kms put-key-policy --key-id 1 --policy-name default --policy file://policy.json"
    )


def test_a_right_that_is_missing_for_one_function_is_seen() -> None:
    found = of_key(ALL | {"Action": "kms:Decrypt"})

    assert "allows CreateSecret kms:GenerateDataKey nowhere" in found["KeyPolicyLacksRoles"].what


def test_a_key_that_denies_or_may_deny_is_told_apart() -> None:
    deny = ALL | {"Sid": "No", "Effect": "Deny", "Principal": {"AWS": role_of("RollBackFunction")}}
    perhaps = deny | {"Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}

    assert of_key(ALL, deny).keys() == {"KeyPolicyDenies"}
    assert of_key(ALL, perhaps).keys() == {"KeyPolicyUnclear"}


def test_a_key_that_aws_manages_has_no_policy_to_look_at() -> None:
    made = knowing(world(KmsKeyId="alias/aws/other"), functions=functions(), admin=None)
    described = {"KeyMetadata": {"KeyId": "1", "Arn": KEY, "KeyManager": "AWS"}}
    with answering(made.examined.stack.aws.keys, describe_key=described):
        assert made.of(policies.CHECKS[1:]) == {}


def test_the_admin_secrets_key_has_to_let_in_the_two_that_log_in_as_the_admin() -> None:
    admin = Described({"ARN": ARN.replace("app", "admin"), "Name": "admin", "KmsKeyId": KEY})
    made = knowing(world(), functions=functions(), admin=admin)

    found = with_key(made, ALL | {"Principal": {"AWS": role_of("SetSecretFunction")}})

    assert "of admin allows RollBack kms:Decrypt nowhere" in found["KeyPolicyLacksRoles"].what
