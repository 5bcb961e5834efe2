"""Waiting for an execution without using up the account's quotas."""

import random
import time
from contextlib import suppress

from rotation.errors import StillRunningError, UnavailableError
from rotation.executions import Execution, Executions
from rotation.model import AWSCURRENT
from rotation.secret_store import SecretStore

# Seconds. Success shows on DescribeSecret (40,000 calls a second and account), so it is asked often. DescribeExecution
# refills at 10 to 15 a second, so it is asked ever more rarely, at random times. Quotas:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LABELS_EVERY = 1.0
EXECUTION_FIRST, EXECUTION_GROWTH, EXECUTION_MOST = 2.0, 1.5, 30.0


class Waiting:
    """Waits for executions of one token until `deadline`, a time of the monotonic clock."""

    def __init__(self, store: SecretStore, executions: Executions, token: str, deadline: float) -> None:
        self._store = store
        self._executions = executions
        self._token = token
        self._deadline = deadline
        self._pause = EXECUTION_FIRST
        self._look_at = 0.0

    def for_end(self, arn: str) -> Execution | None:
        """The execution as it ended, or None once the token is AWSCURRENT: nothing after that changes anything.

        Raises StillRunningError at the deadline. A call without an answer, or a throttled one, is made again.
        """
        self._pause, self._look_at = EXECUTION_FIRST, time.monotonic()
        while True:
            with suppress(UnavailableError):
                if self._store.describe().carries(self._token, AWSCURRENT):
                    return None
                if ended := self._ended(arn):
                    return ended
            if time.monotonic() + LABELS_EVERY >= self._deadline:
                raise StillRunningError(f"{arn} is still running; the next call joins it")
            time.sleep(LABELS_EVERY)

    def _ended(self, arn: str) -> Execution | None:
        if time.monotonic() < self._look_at:
            return None
        self._look_at = time.monotonic() + self._pause * random.uniform(0.5, 1)
        self._pause = min(self._pause * EXECUTION_GROWTH, EXECUTION_MOST)
        execution = self._executions.at(arn)
        return execution if execution and execution.ended else None
