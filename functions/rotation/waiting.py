"""Waiting for an execution without using up the account's quotas."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from rotation.errors import StillRunningError, UnavailableError
from rotation.executions import Execution, Executions
from rotation.model import AWSCURRENT
from rotation.secret_store import SecretStore

# Seconds. Success shows on DescribeSecret (40,000 calls a second and account), so it is asked often. DescribeExecution
# refills at 10 to 15 a second for everybody in the account, and Lambda lets a thousand functions wait at once: asked at
# random times of these ranges, a thousand make 5 a second on average. A clean rotation ends before the first. People
# hear of a failure no later for it: the execution tells them, or EventBridge that it was stopped. Quotas:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LABELS_EVERY = 1.0
EXECUTION_FIRST, EXECUTION_AGAIN = (30.0, 230.0), (200.0, 300.0)
# No label shows the success of a mere log-in, and somebody has just asked for it.
LOG_IN_AGAIN = (2.0, 10.0)


def looks(uniform: Callable[[float, float], float], *, log_in: bool = False) -> Iterator[float]:
    """The seconds before the first look at an execution, and before each further one."""
    first, again = (LOG_IN_AGAIN, LOG_IN_AGAIN) if log_in else (EXECUTION_FIRST, EXECUTION_AGAIN)
    yield uniform(*first)
    while True:
        yield uniform(*again)


class Waiting:
    """Waits for executions of one token until `deadline`, a time of the monotonic clock."""

    def __init__(self, store: SecretStore, executions: Executions, token: str, deadline: float) -> None:
        self._store = store
        self._executions = executions
        self._token = token
        self._deadline = deadline

    def for_end(self, arn: str, *, perhaps_ended: bool = False, log_in: bool = False) -> Execution | None:
        """The execution as it ended, or None once the token is AWSCURRENT: nothing after that changes anything.

        The caller has just seen the labels, so unless the execution has `perhaps_ended` the first look comes after a
        pause. Raises StillRunningError at the deadline, after a last look. A call without an answer, or a throttled
        one, is made again.
        """
        pauses, last = looks(random.uniform, log_in=log_in), self._deadline - LABELS_EVERY
        look_at = min(last, time.monotonic() + (0 if perhaps_ended else next(pauses)))
        if not perhaps_ended:
            _pause(arn, last)
        while True:
            with suppress(UnavailableError):
                if self._store.describe().carries(self._token, AWSCURRENT):
                    return None
                if time.monotonic() >= look_at:
                    look_at = min(last, time.monotonic() + next(pauses))
                    if (execution := self._executions.at(arn)) and execution.ended:
                        return execution
            _pause(arn, last)


def _pause(arn: str, last: float) -> None:
    if time.monotonic() >= last:
        raise StillRunningError(f"{arn} is still running; the next call joins it")
    time.sleep(LABELS_EVERY)
