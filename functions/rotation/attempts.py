"""The conversation with Secrets Manager: one execution per attempt, started by createSecret, joined by other calls.

Secrets Manager calls createSecret, setSecret, testSecret and finishSecret in turn, waits for each, and after any error
starts the sequence again later (https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html).
Nearly all work happens inside the first call; the others find it done.
"""

from rotation.errors import RotationFailedError, StageConflictError
from rotation.executions import Execution, Executions, attempt_name, rollback_name
from rotation.model import AWSCURRENT, AWSPENDING, ROLL_BACK, ROTATE, TEST, Json
from rotation.outcome import MOST_ROLLED_BACK_ATTEMPTS, error_message
from rotation.report import NOTHING_TOLD, previous_of, unknown, words
from rotation.secret_store import Description, SecretStore
from rotation.waiting import Waiting

_NOT_FAILED: Json = {"Error": "none", "Cause": "", "Step": "none", "Looked": False}


class Attempts:
    """The attempts at one token of one secret, until `deadline` (of the monotonic clock).

    `begun`: there is an execution of the attempt that a call is about, which tells people how it ends.
    """

    def __init__(self, secret_id: str, token: str, rotation_token: str = "", deadline: float = 0.0) -> None:
        self._secret_id = secret_id
        self._token = token
        self._rotation_token = rotation_token
        self._store = SecretStore(secret_id)
        self._executions = Executions()
        self._waiting = Waiting(self._store, self._executions, token, deadline)
        self.begun = False

    def answer(self, step: str) -> None:
        """Do, or find done, what Secrets Manager's `step` asks for."""
        description = self._store.describe()
        if description.carries(self._token, AWSCURRENT):
            return
        if step == "createSecret" and (begun := self._begin(description)):
            self._join(begun)
            return
        latest = self._executions.latest(ROTATE, self._secret_id, self._token)
        self.begun = latest is not None
        self._refuse_rejected_value(latest)
        self._require_pending(description)
        if latest is None:
            self._join(self._first(step), log_in=step == "testSecret")
        elif step == "createSecret" and latest.ended:
            self._follow(latest)
        else:
            self._join(latest.arn, perhaps_ended=latest.ended)

    def _begin(self, description: Description) -> str:
        """Start the first attempt without asking for earlier ones: if there is one, its name is taken.

        DescribeExecution is the call that an account can make least often (see rotation.waiting).
        """
        if not description.rotation_enabled or not description.carries(self._token, AWSPENDING):
            return ""
        arn = self._executions.begin(self._name(ROTATE, 1), self._body(ROTATE, 1, NOTHING_TOLD, _NOT_FAILED))
        self.begun = bool(arn)
        return arn

    def latest_is(self, execution: Execution) -> bool:
        return self._executions.find(self._name(ROTATE, execution.attempt + 1)) is None

    def roll_back(self, ended: Execution, previous: Json, step: str, looked: bool) -> str:
        """Start or join the one execution in mode RollBack of this attempt, which ended in `step`; returns its ARN."""
        return self._executions.start(rollback_name(ended.name), self._undoing(ended, previous, step, looked))

    def _undoing(self, ended: Execution, previous: Json, step: str, looked: bool) -> Json:
        """`looked`: the attempt's own RollBack had begun, so it may have restored what this one finds in order."""
        failure = {
            "Error": f"Execution.{ended.status}",
            "Cause": f"the execution {ended.name} ended as {ended.status} {ended.error} {ended.cause}".strip(),
            "Step": step,
            "Looked": looked,
        }
        return self._body(ROLL_BACK, ended.attempt, previous, failure)

    def _require_pending(self, description: Description) -> None:
        if not description.rotation_enabled:
            raise StageConflictError("rotation is not turned on for this secret")
        if description.carries(self._token, AWSPENDING):
            return
        raise StageConflictError(
            f"version {self._token} is not labelled AWSPENDING; Secrets Manager starts a rotation with "
            f"aws secretsmanager rotate-secret --secret-id {self._secret_id}"
        )

    def _require_current(self) -> None:
        """Else somebody moved labels after the attempt that succeeded, and its value is an old one."""
        self.begun = False
        if not self._store.describe().carries(self._token, AWSCURRENT):
            raise StageConflictError(f"version {self._token} was rotated to before; take AWSPENDING off it to rotate")

    def _first(self, step: str) -> str:
        if step == "createSecret":
            return self._start(ROTATE, 1, NOTHING_TOLD)
        if step != "testSecret":
            raise StageConflictError(f"{step} was called, but no rotation of version {self._token} was started")
        # RotateImmediately=false sends testSecret alone: nothing is to change, only the log-in is tried.
        test = self._executions.latest(TEST, self._secret_id, self._token)
        return test.arn if test and not test.ended else self._start(TEST, test.attempt + 1 if test else 1, NOTHING_TOLD)

    def _follow(self, ended: Execution) -> None:
        """After a failed attempt comes the next one; after the last one, and after a successful one, a refusal."""
        verdict, delivered = self._verdict(ended)
        if verdict is None:
            self._require_current()
            return
        previous = previous_of(verdict, delivered)
        if previous["RolledBack"] < MOST_ROLLED_BACK_ATTEMPTS:
            self._join(self._start(ROTATE, ended.attempt + 1, previous))
            return
        self._tell_again(ended, verdict, delivered)
        raise RotationFailedError(
            f"refused, nothing was touched: {previous['RolledBack']} attempts with this version had to be put right. "
            f"The last one: {words(verdict['Report'])}"
        )

    def _tell_again(self, last: Execution, verdict: Json, delivered: bool) -> None:
        """No attempt follows this one, so its message, if SNS refused it, goes out with an execution of its own."""
        if not delivered and (name := self._executions.untold_rollback(last.name)):
            body = self._undoing(last, previous_of(verdict, delivered), verdict["Report"]["Step"], True)
            self._waiting.for_end(self._executions.start(name, body), perhaps_ended=True)

    def _refuse_rejected_value(self, latest: Execution | None) -> None:
        """The service refused this token's value for good: its report is given again, and nothing is changed."""
        if latest and latest.reported and latest.verdict["Report"]["PendingRemoved"]:
            self._tell_again(latest, latest.verdict, latest.delivered)
            raise RotationFailedError(words(latest.verdict["Report"]))

    def _join(self, arn: str, *, perhaps_ended: bool = False, log_in: bool = False) -> None:
        """Wait for an execution's end; raises RotationFailedError with the words of its report if it failed."""
        ended = self._waiting.for_end(arn, perhaps_ended=perhaps_ended, log_in=log_in)
        if ended is None or ended.succeeded:
            return
        if ended.input["Mode"] == TEST:
            raise RotationFailedError(
                f"AWSCURRENT was tried and nothing changed: {ended.error}: {error_message(ended.cause)}"
            )
        verdict, _ = self._verdict(ended)
        if verdict:
            raise RotationFailedError(words(verdict["Report"]))

    def _verdict(self, ended: Execution) -> tuple[Json | None, bool]:
        """What a failed execution reported and whether people got it; None if the rotation took effect after all.

        For an attempt that ended without a report it is that of its execution in mode RollBack. Of one that ended so
        itself people hear from EventBridge (monitoring.yaml): nobody has looked.
        """
        if ended.succeeded:
            return None, True
        if ended.reported:
            return ended.verdict, ended.delivered
        last = self._executions.last_events(ended)
        if last.verdict:
            return last.verdict, True
        if ended.input["Mode"] == ROLL_BACK:
            why = f"{ended.name} ended as {ended.status} {ended.error}".strip()
            return unknown(ended.arn, ended.input["Previous"], why), True
        arn = self.roll_back(ended, ended.input["Previous"], last.entered, last.looked)
        rolled_back = self._waiting.for_end(arn, perhaps_ended=True)
        return self._verdict(rolled_back) if rolled_back else (None, True)

    def _start(self, mode: str, attempt: int, previous: Json) -> str:
        self.begun = False
        arn = self._executions.start(self._name(mode, attempt), self._body(mode, attempt, previous, _NOT_FAILED))
        self.begun = True
        return arn

    def _name(self, mode: str, attempt: int) -> str:
        return attempt_name(mode, self._secret_id, self._token, attempt)

    def _body(self, mode: str, attempt: int, previous: Json, ended: Json) -> Json:
        return {
            "Mode": mode,
            "SecretId": self._secret_id,
            "ClientRequestToken": self._token,
            "Attempt": attempt,
            "Previous": previous,
            "Ended": ended,
            "RotationToken": self._rotation_token if mode == ROTATE else "",
        }
