"""Each failure of an AWS call in the words of this package."""

from types import ModuleType

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from rotation import executions, rds, secret_store
from rotation.aws import translated
from rotation.errors import (
    AccessDeniedError,
    InvalidEventError,
    RotationError,
    StageConflictError,
    UnavailableError,
)

CODES = {
    "AccessDeniedException": AccessDeniedError,
    "AccessDenied": AccessDeniedError,
    "AuthorizationError": AccessDeniedError,
    "UnrecognizedClientException": AccessDeniedError,
    "ExpiredTokenException": AccessDeniedError,
    "DecryptionFailure": AccessDeniedError,
    "EncryptionFailure": AccessDeniedError,
    "KmsAccessDeniedException": AccessDeniedError,
    "ResourceNotFoundException": StageConflictError,
    "InvalidRequestException": StageConflictError,
    "InvalidParameterException": StageConflictError,
    "LimitExceededException": StageConflictError,
    "StateMachineDoesNotExist": InvalidEventError,
    "InvalidName": InvalidEventError,
    "InvalidArn": InvalidEventError,
    "ThrottlingException": UnavailableError,
    "ExecutionLimitExceeded": UnavailableError,
    "InternalServiceError": UnavailableError,
}


def told(failure: Exception) -> RotationError:
    with pytest.raises(RotationError) as error, translated("kms:Decrypt", "key-1"):
        raise failure
    return error.value


@pytest.mark.parametrize(("code", "kind"), CODES.items(), ids=CODES)
def test_each_code_is_one_of_our_errors_and_names_the_action(code: str, kind: type[RotationError]) -> None:
    error = told(ClientError({"Error": {"Code": code, "Message": "not now"}}, "Decrypt"))

    assert (type(error), str(error)) == (kind, f"kms:Decrypt on key-1: {code}: not now")


def test_a_refusal_without_words_is_told_by_its_code() -> None:
    error = told(ClientError({"Error": {"Code": "AccessDenied"}}, "Decrypt"))

    assert (type(error), str(error)) == (AccessDeniedError, "kms:Decrypt on key-1: AccessDenied: ")


def test_no_answer_is_unavailable() -> None:
    error = told(EndpointConnectionError(endpoint_url="https://kms.example"))

    assert type(error) is UnavailableError
    assert str(error) == (
        'kms:Decrypt on key-1: no answer (Could not connect to the endpoint URL: "https://kms.example")'
    )


def test_a_request_that_boto3_does_not_know_is_no_event_of_ours() -> None:
    error = told(ParamValidationError(report="Unknown parameter"))

    assert type(error) is InvalidEventError
    assert str(error) == (
        "kms:Decrypt: Parameter validation failed:\nUnknown parameter "
        "(a boto3 that does not know RotationToken is too old for this function)"
    )


@pytest.mark.parametrize("module", [secret_store, executions, rds])
def test_a_call_and_its_one_repetition_end_before_the_functions_own_limit(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    client = module._client.__wrapped__()
    chosen = vars(client.meta.config)
    client.close()

    assert (chosen["connect_timeout"], chosen["read_timeout"]) == (2, 3)
    assert chosen["retries"] == {"mode": "standard", "total_max_attempts": 2}
