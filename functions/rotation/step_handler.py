"""The handlers of the state machine's states: an event comes in, a step runs, its verdict goes out."""

import codecs
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rotation.errors import LoginRefusedError
from rotation.labels import Labels
from rotation.metrics import count_attempt, count_refused
from rotation.model import Json, Request
from rotation.redaction import conceal
from rotation.runtime import boundary, logger
from rotation.secret_store import SecretStore, get_ready

KEEP_READY: Json = {"KeepReady": True}


def lambda_handler[Seen: Labels](
    step: Callable[[Seen], Json],
    seen: Callable[[Request, SecretStore], Seen],
    ready: Callable[[], None] = get_ready,
) -> Callable[[Mapping[str, Any], Any], Json]:
    """The handler of one state: parses the state machine's event, runs the step, returns its verdict.

    `seen`: how the step sees the rotation. `ready` loads what it needs beforehand.

    The event {"KeepReady": true}, which comes as an execution starts and once a week, runs no step (see the template's
    KeepReadyRule).
    """

    def handler(event: Mapping[str, Any], context: Any) -> Json:
        with boundary():
            if event == KEEP_READY:
                # What Python loads for the first connection to a host by its name.
                codecs.lookup("idna")
                ready()
                return {}
            request = Request.of(event)
            conceal(request.rotation_token)
            logger.append_keys(secret=request.secret_name, version=request.token, execution=request.execution)
            # The Lambda runtime reports an error with the request's id and no more.
            logger.info("started", function_request_id=getattr(context, "aws_request_id", None))
            rotation = seen(request, SecretStore(request.secret_id))
            with _counting_refusals(request):
                verdict = step(rotation)
            for warning in verdict.get("Warnings", ()):
                logger.warning(warning)
            logger.info("done", verdict=verdict.get("State") or verdict["Report"]["Outcome"])
            if "Report" in verdict:
                count_attempt(request, verdict["Report"], rotation.kind_if_known())
            return verdict

    return handler


@contextmanager
def _counting_refusals(request: Request) -> Iterator[None]:
    try:
        yield
    except LoginRefusedError:
        count_refused(request.secret_name)
        raise
