"""The model of Secrets Manager as boto3 sees it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rotatorctl.local.secrets_manager import SecretsManager
from rotatorctl.local.secrets_manager_server import OPERATIONS, serve

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
A, B = "a" * 32, "b" * 32
NOW = datetime(2026, 1, 1, 12, 30, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def model() -> SecretsManager:
    return SecretsManager(clock=lambda: NOW)


@pytest.fixture
def url(model: SecretsManager) -> Iterator[str]:
    with serve(model) as url:
        yield url


def connect(url: str) -> "SecretsManagerClient":
    return boto3.client(
        "secretsmanager",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["SecretsManagerClient"]:
    monkeypatch.delenv("AWS_SDK_UA_APP_ID", raising=False)
    client = connect(url)
    client.create_secret(Name="app", SecretString="first", ClientRequestToken=A)
    yield client
    client.close()


def post(url: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body, {"X-Amz-Target": f"secretsmanager.{target}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_text_and_binary_values_come_back_as_they_went_in(client: "SecretsManagerClient") -> None:
    client.put_secret_value(SecretId="app", SecretBinary=b"\x00\xff", ClientRequestToken=B)

    assert client.get_secret_value(SecretId="app")["SecretBinary"] == b"\x00\xff"
    assert client.get_secret_value(SecretId="app", VersionStage="AWSPREVIOUS")["SecretString"] == "first"


def test_dates_are_dates(client: "SecretsManagerClient") -> None:
    assert client.describe_secret(SecretId="app")["CreatedDate"] == NOW
    assert client.get_secret_value(SecretId="app")["CreatedDate"] == NOW


def test_a_refusal_is_the_error_that_boto3_names(client: "SecretsManagerClient") -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_secret_value(SecretId="app", VersionStage="AWSPENDING")
    with pytest.raises(client.exceptions.ResourceExistsException):
        client.put_secret_value(SecretId="app", SecretString="other", ClientRequestToken=A)
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.update_secret_version_stage(SecretId="app", VersionStage="AWSCURRENT", RemoveFromVersionId=A)
    with pytest.raises(client.exceptions.InvalidRequestException) as refusal:
        client.rotate_secret(SecretId="app")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "Lambda" in refusal.value.response["Error"]["Message"]


def test_every_operation_answers_in_the_shape_that_boto3_reads(client: "SecretsManagerClient") -> None:
    client.tag_resource(SecretId="app", Tags=[{"Key": "team", "Value": "x"}, {"Key": "old", "Value": "x"}])
    client.untag_resource(SecretId="app", TagKeys=["old"])
    client.update_secret(SecretId="app", Description="the app", SecretString="second", ClientRequestToken=B)
    client.update_secret_version_stage(SecretId="app", VersionStage="MINE", MoveToVersionId=B)
    client.cancel_rotate_secret(SecretId="app")
    client.delete_secret(SecretId="app")
    client.restore_secret(SecretId="app")

    described = client.describe_secret(SecretId="app")
    listed = client.list_secrets()["SecretList"][0]
    versions = client.list_secret_version_ids(SecretId="app")["Versions"]
    assert described["Tags"] == listed["Tags"] == [{"Key": "team", "Value": "x"}]
    assert described["VersionIdsToStages"] == {A: ["AWSPREVIOUS"], B: ["AWSCURRENT", "MINE"]}
    assert (described["Description"], described["RotationEnabled"]) == ("the app", False)
    assert {version["VersionId"] for version in versions} == {A, B}


def test_a_rotation_runs_through_boto3_and_knows_the_function_by_its_app_id(
    model: SecretsManager,
    client: "SecretsManagerClient",
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "rotate")
    function = connect(url)

    def invoke(function_arn: str, event: dict[str, str]) -> None:
        where = {"SecretId": event["SecretId"], "ClientRequestToken": event["ClientRequestToken"]}
        if event["Step"] == "createSecret":
            function.put_secret_value(**where, SecretString="second", VersionStages=["AWSPENDING"])
        if event["Step"] == "finishSecret":
            function.update_secret_version_stage(
                SecretId="app",
                VersionStage="AWSCURRENT",
                RemoveFromVersionId=A,
                MoveToVersionId=event["ClientRequestToken"],
            )

    model.invoke = invoke

    answer = client.rotate_secret(SecretId="app", RotationLambdaARN=FUNCTION)

    rotation = model.wait("app", timeout=10)
    function.close()
    assert rotation is not None
    assert (rotation.outcome, rotation.error) == ("RotationSucceeded", None)
    assert client.get_secret_value(SecretId="app")["VersionId"] == answer["VersionId"]


def test_an_unnamed_caller_is_nobody(model: SecretsManager, client: "SecretsManagerClient") -> None:
    def invoke(function_arn: str, event: dict[str, str]) -> None:
        client.put_secret_value(
            SecretId="app",
            ClientRequestToken=event["ClientRequestToken"],
            SecretString="second",
            VersionStages=["AWSPENDING"],
        )

    model.invoke = invoke

    client.rotate_secret(SecretId="app", RotationLambdaARN=FUNCTION)

    rotation = model.wait("app", timeout=10)
    assert rotation is not None
    assert "was not created by Lambda" in str(rotation.error)


def test_raw_requests_are_answered_in_aws_json(client: "SecretsManagerClient", url: str) -> None:
    """https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html: target, `__type`, epoch seconds."""
    status, answer = post(url, "DescribeSecret", b'{"SecretId": "app"}')

    assert (status, answer["CreatedDate"]) == (200, NOW.timestamp())
    assert post(url, "DescribeSecret", b"{}")[1]["__type"] == "InvalidParameterException"
    assert post(url, "GetRandomPassword", b"{}")[1]["__type"] == "UnknownOperationException"


def test_a_fault_of_the_model_is_a_500_without_its_text(client: "SecretsManagerClient", url: str) -> None:
    status, answer = post(url, "PutSecretValue", b'{"SecretId": "app", "SecretString": 5}')

    assert (status, answer) == (500, {"__type": "InternalServiceError", "message": "TypeError"})
    assert client.get_secret_value(SecretId="app")["SecretString"] == "first"


def test_the_required_parameters_are_those_of_botocores_service_model(client: "SecretsManagerClient") -> None:
    for operation, required in OPERATIONS.items():
        shape = client.meta.service_model.operation_model(operation).input_shape
        assert sorted(shape.required_members if shape else []) == sorted(required), operation


def test_the_port_can_be_chosen_and_is_free_afterwards(model: SecretsManager) -> None:
    with serve(model) as url:
        port = int(url.rpartition(":")[2])

    with serve(model, port) as again:
        assert again == url
        assert post(again, "ListSecrets", b"{}") == (200, {"SecretList": []})
    with pytest.raises(urllib.error.URLError):
        post(url, "ListSecrets", b"{}")


def test_boto3_reports_an_unknown_secret(client: "SecretsManagerClient") -> None:
    with pytest.raises(ClientError, match="Secrets Manager can't find the specified secret"):
        client.describe_secret(SecretId="unknown")
