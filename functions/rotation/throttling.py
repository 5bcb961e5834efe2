"""How a throttled call is made again, so that many rotations at once come through and promotions come first."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rotation.errors import ThrottledError

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Seconds. A throttled call is made again, for so long, after a random pause of so much at most. Promotions and new
# values share one quota of 50 calls a second; a promotion is made again sooner, since until then applications may be
# refused: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
PATIENCE = 7.0
LONGEST_PAUSE = {"UpdateSecretVersionStage": 0.05, "PutSecretValue": 2.0, "StartExecution": 1.0}

# So many retries of CreateSecret wait in the state machine, where they take up none of the account's functions.
WAITING_OUTSIDE = 6

_THROTTLED = "ThrottlingException"
_at_once: ContextVar[bool] = ContextVar("_at_once", default=False)


@contextmanager
def left_to_the_state_machine(retry_count: int) -> Iterator[None]:
    """Within, a throttled call is not made again but raises ThrottledError, if the state has a retry left for it."""
    before = _at_once.set(retry_count < WAITING_OUTSIDE)
    try:
        yield
    finally:
        _at_once.reset(before)


def make_again(client: "BaseClient", *operations: str) -> None:
    """Let the client make these calls again while they are throttled.

    botocore asks its handlers for the pause after each answer:
    https://botocore.amazonaws.com/v1/documentation/api/latest/topics/events.html
    """
    service = client.meta.service_model.service_id.hyphenize()
    for operation in operations:
        event = f"needs-retry.{service}.{operation}"
        client.meta.events.register_first(event, _pause)  # type: ignore[arg-type]  # of this event the answer counts


def _pause(response: Any, operation: Any, request_dict: dict[str, Any], **_: Any) -> float | None:
    """The seconds before a throttled call is made again; None leaves any other answer to botocore.

    botocore has counted the tries, and makes none after so many: to it is left, too, what was made again for long
    enough. A handler cannot tell every release of it to give up, but it can raise.
    """
    if response is None or response[1].get("Error", {}).get("Code") != _THROTTLED:
        return None
    if _at_once.get():
        raise ThrottledError(f"{operation.name}: {_THROTTLED}")
    give_up_at = request_dict["context"].setdefault("give_up_at", time.monotonic() + PATIENCE)
    pause = random.uniform(0, LONGEST_PAUSE[operation.name])
    return pause if time.monotonic() + pause < give_up_at else None
