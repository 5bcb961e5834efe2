"""How every AWS call is made: its time limits, and its errors in the words of this package."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from rotation.errors import (
    AccessDeniedError,
    InvalidEventError,
    RotationError,
    StageConflictError,
    UnavailableError,
)

# Seconds. One call with its one repetition ends before the function's own limit; the state machine does the rest.
CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})

# Every other code is an answer that may be different later: throttling, an internal error, a limit in flight.
_CODES: dict[str, type[RotationError]] = {
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
}


@contextmanager
def translated(action: str, resource: str) -> Iterator[None]:
    """Around one AWS call, raises its failure as AccessDenied-, StageConflict-, InvalidEvent- or UnavailableError.

    `action` is the IAM action, so that a refusal names what a policy has to allow.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        text = error.response["Error"].get("Message", "")
        raise _CODES.get(code, UnavailableError)(f"{action} on {resource}: {code}: {text}") from None
    except ParamValidationError as error:
        raise InvalidEventError(
            f"{action}: {error} (a boto3 that does not know RotationToken is too old for this function)"
        ) from None
    except BotoCoreError as error:
        raise UnavailableError(f"{action} on {resource}: no answer ({error})") from None
