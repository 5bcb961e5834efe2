"""What the rotate function is called for: a step of Secrets Manager, and the news that an execution ended."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rotation.attempts import Attempts
from rotation.call import Call
from rotation.errors import InvalidEventError, UnavailableError
from rotation.executions import Executions
from rotation.metrics import count_if_nobody_looked, count_if_nobody_was_told, count_not_started
from rotation.model import ROTATE, name_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Seconds of the function's time that are kept to answer before it is killed: two AWS calls, each answered late.
_LAST_SECONDS = 25


def answer(event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Answer one invocation of `rotate`: a step of Secrets Manager, or the news that an execution ended.

    Returns when the step is done. Raises RotationFailedError with the report's words, StillRunningError when the
    function's time is nearly over, StageConflictError, InvalidEventError, UnavailableError or AccessDeniedError.
    """
    if "detail-type" in event:
        detail = event.get("detail")
        arn = detail.get("executionArn") if isinstance(detail, Mapping) else None
        if not isinstance(arn, str):
            raise InvalidEventError("the event is of another kind than EventBridge's of an execution: it names none")
        recover(arn)
        return
    call = Call.of(event)
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _LAST_SECONDS
    attempts = Attempts(call.secret_id, call.token, call.rotation_token, deadline)
    try:
        attempts.answer(call.step)
    except Exception as error:
        # Only the first call of four begins a rotation. What has begun tells people itself.
        if call.step == "createSecret" and not attempts.begun:
            count_not_started(name_of(call.secret_id), type(error).__name__)
        raise


def recover(execution_arn: str) -> None:
    """Start mode RollBack for an attempt that ended without its own: timed out, stopped, or broken by States.Runtime.

    Nothing to do for an attempt that told people, one that a newer one follows, and executions of the other modes.
    Raises UnavailableError while DescribeExecution, which is eventually consistent, does not know of the end yet:
    Lambda calls the function again, since EventBridge calls it asynchronously.
    """
    executions = Executions()
    ended = executions.at(execution_arn)
    if ended is None or not ended.ended:
        raise UnavailableError(f"the end of {execution_arn} is not to be seen yet")
    count_if_nobody_looked(ended)
    count_if_nobody_was_told(ended)
    if ended.succeeded or ended.reported or ended.input.get("Mode") != ROTATE:
        return
    attempts = Attempts(ended.input["SecretId"], ended.input["ClientRequestToken"])
    if not attempts.latest_is(ended):
        return
    last = executions.last_events(ended)
    if not last.verdict:
        attempts.roll_back(ended, ended.input["Previous"], last.entered, last.looked)
