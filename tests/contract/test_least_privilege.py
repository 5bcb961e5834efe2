"""What each role may do to which secret, by the evaluation of its policies: what stands here, and nothing else."""

from datetime import UTC, datetime
from itertools import product

import pytest

from rotatorctl.local.secrets_manager_access import refuse
from rotatorctl.local.secrets_manager_secret import Secret, SecretsManagerError
from rotatorctl.local.secrets_manager_server import OPERATIONS
from rotatorctl.permissions import Role
from tests.contract.test_template import ACTIONS, FUNCTIONS, INTERFACES, LOGS, STEP_FUNCTIONS, TRACES
from tests.templates import TEMPLATE, Deployment, named_roles

REGION, ACCOUNT, STACK = "eu-central-1", "123456789012", "prod-rotation"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
ROTATE = f"{FUNCTION}{STACK}-rotate"
DEPLOYMENT = Deployment(TEMPLATE, STACK, REGION, ACCOUNT, parameters={"VpcSubnetIds": "subnet-1,subnet-2"})
ROLES = named_roles(DEPLOYMENT.roles())
OF_FUNCTIONS = [name.replace("Function", "Role") for name in FUNCTIONS]

CURRENT, PENDING, PREVIOUS, NONE = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", ""
STAGES = (CURRENT, PENDING, PREVIOUS, "GOLDEN", NONE)
ALL = set(STAGES)

# By role and action, the stages with which it may be called for a secret that chose this stack's function. An action
# that IAM confines by no stage may be called with any.
DESCRIBE = {"DescribeSecret": ALL}
OWN: dict[str, dict[str, set[str]]] = {
    "RotateRole": DESCRIBE,
    "CreateSecretRole": DESCRIBE | {"GetSecretValue": {CURRENT, PENDING}, "PutSecretValue": ALL},
    "SetSecretRole": DESCRIBE | {"GetSecretValue": {CURRENT, PENDING, PREVIOUS}},
    "TestSecretRole": DESCRIBE | {"GetSecretValue": {CURRENT, PENDING}},
    "FinishSecretRole": DESCRIBE | {"UpdateSecretVersionStage": {CURRENT}},
    "RollBackRole": DESCRIBE | {"GetSecretValue": ALL, "UpdateSecretVersionStage": {PENDING}},
}
# The same for an admin secret whose tag names this stack.
READ: dict[str, set[str]] = DESCRIBE | {"GetSecretValue": {CURRENT}}
ADMIN = {"SetSecretRole": READ, "RollBackRole": READ}
LIST = {"ListSecrets": ALL}


def secret(function: str = "", region: str = REGION, account: str = ACCOUNT, **tags: str) -> Secret:
    arn = f"arn:aws:secretsmanager:{region}:{account}:secret:app-AbCdEf"
    made = Secret(arn, "app", datetime.now(UTC), datetime.now(UTC), function_arn=function or None)
    made.tags = {f"rotation:{key}": value for key, value in tags.items()}
    return made


SECRETS = {
    "one that chose this stack": (secret(ROTATE), OWN),
    "one that was never rotated": (secret(), {}),
    "one that chose another function": (secret(f"{FUNCTION}other"), {}),
    "one that chose another function of this stack": (secret(f"{FUNCTION}CreateSecretFunction"), {}),
    "one that chose the same name in another account": (secret(ROTATE.replace(ACCOUNT, "999999999999")), {}),
    "one of another account": (secret(ROTATE, account="999999999999"), {}),
    "one of another Region": (secret(ROTATE, region="us-east-1"), {}),
    "an admin secret of this stack": (secret(admin=STACK), ADMIN),
    "an admin secret of another stack": (secret(admin=f"{STACK}-2"), {}),
    "an admin secret of this stack that another function rotates": (secret(f"{FUNCTION}other", admin=STACK), ADMIN),
    "one with another tag": (secret(engine="postgres"), {}),
}


def may(role: Role, operation: str, of: Secret | None, stage: str) -> bool:
    request = {"SecretId": of.arn if of else "gone", "VersionId": "version"} | (
        {"VersionStage": stage} if stage else {}
    )
    try:
        refuse(role, operation, of, request)
    except SecretsManagerError as refusal:
        assert refusal.code == "AccessDeniedException"
        return False
    return True


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("name", OF_FUNCTIONS)
def test_a_role_is_denied_every_call_but_those_of_its_own_step(name: str, kind: str) -> None:
    of, rights = SECRETS[kind]
    expected = rights.get(name, {}) | (LIST if name == "FindOverdueRole" else {})

    found = {(call, stage) for call, stage in product(OPERATIONS, STAGES) if may(ROLES[name], call, of, stage)}

    assert found == {(call, stage) for call, stages in expected.items() for stage in stages}


@pytest.mark.parametrize("name", OWN)
def test_a_role_does_not_learn_that_a_secret_does_not_exist(name: str) -> None:
    assert not any(may(ROLES[name], call, None, stage) for call, stage in product(OPERATIONS, STAGES))


# Calls of other services: what is called, on what, and by whom it may be.
STATES, SNS = f"arn:aws:states:{REGION}:{ACCOUNT}:", f"arn:aws:sns:{REGION}:{ACCOUNT}:"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
MACHINE, EXECUTION = f"{STATES}stateMachine:{STACK}", f"{STATES}execution:{STACK}:app-1"
OTHER_EXECUTION = f"{STATES}execution:{STACK}-2:app-1"
OTHER_CALLS: list[tuple[str, str, set[str]]] = [
    ("states:StartExecution", MACHINE, {"RotateRole"}),
    ("states:StartExecution", f"{MACHINE}-2", set()),
    ("states:StopExecution", EXECUTION, set()),
    ("states:DescribeExecution", EXECUTION, {"RotateRole"}),
    ("states:DescribeExecution", OTHER_EXECUTION, set()),
    ("states:GetExecutionHistory", EXECUTION, {"RotateRole"}),
    ("states:GetExecutionHistory", OTHER_EXECUTION, set()),
    *(("lambda:InvokeFunction", f"{FUNCTION}{name}", {"RotationStateMachineRole"}) for name in sorted(STEP_FUNCTIONS)),
    ("lambda:InvokeFunction", ROTATE, set()),
    ("lambda:InvokeFunction", f"{FUNCTION}FindOverdueFunction", set()),
    ("lambda:InvokeFunction", f"{FUNCTION}CreateSecretFunction:1", set()),
    ("sns:Publish", f"{SNS}AlertTopic", {"RotationStateMachineRole", "FindOverdueRole"}),
    ("sns:Publish", f"{SNS}NoticeTopic", {"TellRole"}),
    ("sns:Publish", f"{SNS}other", set()),
    ("sqs:SendMessage", f"{SQS}UndeliveredAlerts", {"RotateRole", "FindOverdueRole"}),
    ("sqs:SendMessage", f"{SQS}other", set()),
    *((f"sqs:{call}", f"{SQS}UndeliveredAlerts", set()) for call in ("ReceiveMessage", "DeleteMessage", "PurgeQueue")),
    *((action, f"arn:aws:rds:{REGION}:{ACCOUNT}:{kind}:orders", {"SetSecretRole", "RollBackRole"})
      for action, kind in (("rds:DescribeDBInstances", "db"), ("rds:DescribeDBClusters", "cluster"))),
    ("rds:ModifyDBInstance", f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders", set()),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/RotateRole", set()),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/RotateRole", set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "resource", "names"), OTHER_CALLS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_another_service_may_be_called_by_those_who_need_it_and_nobody_else(
    action: str, resource: str, names: set[str]
) -> None:
    assert {name for name, role in ROLES.items() if not role.refusal(action, resource, {})} == names


IN_ANOTHER_ACCOUNT = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:app-AbCdEf"
IN_ANOTHER_REGION = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app-AbCdEf"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
OF_A_SECRET = {
    "kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com",
    "kms:EncryptionContext:SecretARN": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:app-AbCdEf",
}


@pytest.mark.parametrize(
    "instead",
    [
        {},
        {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"},
        {"kms:EncryptionContext:SecretARN": IN_ANOTHER_ACCOUNT},
        {"kms:EncryptionContext:SecretARN": IN_ANOTHER_REGION},
    ],
    ids=["a secret of this account", "another service", "another account's secret", "another Region's secret"],
)  # fmt: skip
def test_a_key_is_used_through_secrets_manager_for_secrets_of_this_account_and_region_alone(
    instead: dict[str, str],
) -> None:
    readers = {"CreateSecretRole", "SetSecretRole", "TestSecretRole", "RollBackRole"}

    def users(action: str, context: dict[str, str]) -> set[str]:
        return {name for name, role in ROLES.items() if not role.refusal(action, KEY, context)}

    assert users("kms:Decrypt", OF_A_SECRET | instead) == (set() if instead else readers)
    assert users("kms:GenerateDataKey", OF_A_SECRET | instead) == (set() if instead else {"CreateSecretRole"})
    assert users("kms:Decrypt", {}) == set()


@pytest.mark.parametrize("action", sorted(INTERFACES))
@pytest.mark.parametrize("name", ["SetSecretRole", "TestSecretRole", "RollBackRole"])
def test_lambda_makes_network_interfaces_with_a_role_whose_function_cannot(name: str, action: str) -> None:
    """Calls by a function's own code, and no others, have the key lambda:SourceFunctionArn.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    """
    own = {"lambda:SourceFunctionArn": f"{FUNCTION}{name.replace('Role', 'Function')}"}
    interface = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"

    assert ROLES[name].refusal(action, interface, {}) == ""
    assert "explicit deny" in ROLES[name].refusal(action, interface, own)


def test_without_a_vpc_nobody_may_make_network_interfaces() -> None:
    roles = named_roles(Deployment(TEMPLATE, STACK, REGION, ACCOUNT).roles())

    assert all(role.refusal("ec2:CreateNetworkInterface", "*", {}) for role in roles.values())


def test_every_action_of_a_role_is_looked_at_here() -> None:
    """Those of Secrets Manager with every stage and kind of secret; the rest is what cannot be confined further."""
    looked_at = {action for action, _, _ in OTHER_CALLS} | INTERFACES | {"kms:Decrypt", "kms:GenerateDataKey"}
    looked_at |= {f"secretsmanager:{operation}" for operation in OPERATIONS}
    delivery = {action for action in ACTIONS["RotationStateMachineRole"] if action.split(":")[0] in ("logs", "xray")}

    held = {action for actions in ACTIONS.values() for action in actions}

    assert held - looked_at == LOGS | TRACES | delivery
