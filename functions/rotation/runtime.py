"""The boundary: an event comes in, an answer or a named error goes out, free of secret values."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger

from rotation.errors import InvalidEventError, RotationError
from rotation.model import Json
from rotation.redaction import conceal, forget, redacted

# A name in a secret may be as long as the secret. Step Functions keeps at most 32,768 characters of an error's cause:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskFailedEventDetails.html
_LONGEST_ERROR = 4_000

logger = Logger(json_serializer=lambda entry: redacted(json.dumps(entry, default=str)))


def rotate_handler(answer: Callable[[Mapping[str, Any], Any], None]) -> Callable[[Mapping[str, Any], Any], None]:
    """The handler that Secrets Manager calls."""

    def handler(event: Mapping[str, Any], context: Any) -> None:
        with boundary():
            if not isinstance(event, Mapping):
                raise InvalidEventError("the event is not a JSON object; this function is called by Secrets Manager")
            conceal(str(event.get("RotationToken") or ""))
            logger.append_keys(
                step=event.get("Step"), secret=event.get("SecretId"), version=event.get("ClientRequestToken")
            )
            answer(event, context)
            logger.info("done")

    return handler


def scheduled_handler(run: Callable[[Mapping[str, Any]], Json]) -> Callable[[Mapping[str, Any], Any], None]:
    """The handler that a schedule calls, with EventBridge's event."""

    def handler(event: Mapping[str, Any], context: Any) -> None:
        with boundary():
            logger.info("done", **run(event))

    return handler


@contextmanager
def boundary() -> Iterator[None]:
    """Lets every error pass by its own name and without a secret value; the Lambda runtime logs it, once.

    The original error is cut off: its arguments, and those of the errors that it came from, may quote a value.
    """
    forget()
    logger.clear_state()
    try:
        yield
    except Exception as error:
        raise _named(type(error))(_words(error)).with_traceback(error.__traceback__) from None


def _words(error: Exception) -> str:
    """Its text without secret values, and of it what Step Functions and the Lambda runtime, which needs UTF-8, take."""
    return redacted(str(error))[:_LONGEST_ERROR].encode(errors="backslashreplace").decode()


def _named(kind: type[Exception]) -> type[Exception]:
    """A driver's error may need arguments that we do not have: an exception of the same name takes its place.

    Lambda reports an error by its class name.
    """
    return kind if issubclass(kind, RotationError) else type(kind.__name__, (Exception,), {})
