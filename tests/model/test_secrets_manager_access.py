"""The model's side of IAM: the condition keys of each action, and refusals to callers that have a role."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rotatorctl.local.secrets_manager import SecretsManager
from rotatorctl.local.secrets_manager_access import context
from rotatorctl.local.secrets_manager_secret import Secret
from rotatorctl.local.secrets_manager_server import serve
from rotatorctl.permissions import Role
from tests.model.test_secrets_manager_server import connect

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FUNCTION, OTHER = (f"arn:aws:lambda:us-east-1:123456789012:function:{name}" for name in ("rotate", "other"))
CHOSEN = "secretsmanager:resource/AllowRotationLambdaArn"
PARAMETERS = {"VersionId": "v" * 32, "VersionStage": "AWSCURRENT", "VersionStages": ["AWSPENDING"], "Name": "app"}


def role(**condition: Any) -> Role:
    statement = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"} | condition
    return Role.of("the role", [{"Version": "2012-10-17", "Statement": statement}])


@pytest.fixture
def model() -> SecretsManager:
    model = SecretsManager(invoke=lambda function_arn, event: None)
    model.create_secret(Name="app", SecretString="first", Tags=[{"Key": "team", "Value": "x"}])
    return model


@pytest.fixture
def client(model: SecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator["SecretsManagerClient"]:
    """The client of the caller `step`."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "step")
    with serve(model) as url:
        client = connect(url)
        yield client
        client.close()


def code(called: Any, **request: Any) -> str:
    try:
        called(SecretId="app", **request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize(
    ("operation", "own"),
    [
        ("DescribeSecret", []),
        ("ListSecretVersionIds", []),
        ("PutSecretValue", []),
        ("GetSecretValue", ["VersionId", "VersionStage"]),
        ("UpdateSecretVersionStage", ["VersionStage"]),
    ],
)
def test_an_action_has_the_condition_keys_of_the_service_authorization_reference(
    model: SecretsManager, operation: str, own: list[str]
) -> None:
    model.rotate_secret(SecretId="app", RotationLambdaARN=FUNCTION, RotateImmediately=False)
    secret = model._find("app")

    keys = context(operation, secret, {"SecretId": "app", **PARAMETERS})

    of_the_secret = {CHOSEN: FUNCTION, "secretsmanager:ResourceTag/team": "x", "aws:ResourceTag/team": "x"}
    of_the_request = {f"secretsmanager:{name}": PARAMETERS[name] for name in own} | {"secretsmanager:SecretId": "app"}
    assert keys == of_the_secret | of_the_request


def test_what_a_call_does_not_have_is_no_key_of_it(model: SecretsManager) -> None:
    secret: Secret = model._find("app")
    secret.tags = {}

    assert context("GetSecretValue", secret, {"SecretId": "app"}) == {"secretsmanager:SecretId": "app"}
    assert context("GetSecretValue", None, {"SecretId": "app"}) == {"secretsmanager:SecretId": "app"}
    assert context("ListSecrets", None, {"MaxResults": 5}) == {}


def test_a_caller_may_do_what_its_role_allows_and_others_anything(
    model: SecretsManager, client: "SecretsManagerClient"
) -> None:
    model.roles = {"step": role(Action="secretsmanager:DescribeSecret")}

    assert client.describe_secret(SecretId="app")["Name"] == "app"
    with pytest.raises(ClientError) as refused:
        client.get_secret_value(SecretId="app")
    model.roles = {"another": role(Action="secretsmanager:DescribeSecret")}
    assert client.get_secret_value(SecretId="app")["SecretString"] == "first"

    arn, action = model.describe_secret(SecretId="app")["ARN"], "secretsmanager:GetSecretValue"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"User: the role is not authorized to perform: {action} on resource: {arn} because no "
        f"identity-based policy allows the {action} action",
    }


def test_the_function_that_counts_is_the_one_that_the_secret_names_at_that_moment(
    model: SecretsManager, client: "SecretsManagerClient"
) -> None:
    model.roles = {"step": role(Condition={"StringEquals": {CHOSEN: FUNCTION}})}
    seen = [code(client.describe_secret)]

    for function in (FUNCTION, OTHER, FUNCTION):
        model.rotate_secret(SecretId="app", RotationLambdaARN=function, RotateImmediately=False)
        model.wait("app")
        seen.append(code(client.describe_secret))

    assert seen == ["AccessDeniedException", "", "AccessDeniedException", ""]


def test_a_refused_call_changes_nothing(model: SecretsManager, client: "SecretsManagerClient") -> None:
    model.roles = {"step": role(Condition={"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}})}

    assert code(client.put_secret_value, SecretString="second") == "AccessDeniedException"
    assert code(client.get_secret_value, VersionStage="AWSPREVIOUS") == "AccessDeniedException"
    assert code(client.get_secret_value, VersionStage="AWSCURRENT") == ""
    assert model.get_secret_value(SecretId="app")["SecretString"] == "first"


def test_only_a_role_that_is_not_confined_learns_that_there_is_no_such_secret(
    model: SecretsManager, client: "SecretsManagerClient"
) -> None:
    model.roles = {"step": role()}
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_secret(SecretId="gone")

    model.roles = {"step": role(Condition={"StringEquals": {CHOSEN: FUNCTION}})}
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client.describe_secret(SecretId="gone")
