"""One secret of many: how it stands, and how urgent that is."""

from dataclasses import dataclass
from datetime import UTC, date

from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED
from rotation.secret_store import RotatedSecret
from rotation.standing import Standing
from rotatorctl.deployed import Described
from rotatorctl.executions import LOG_IN_FAILED, RUNNING, STOPPED, Run

# Why a secret asks for attention, the most urgent first; the last four ask for none.
DELETION, OVERDUE, STUCK, FAILED = "scheduled for deletion", "overdue", "stuck", "failed"
TURNED_OFF, NEVER, FINE = "rotation off", "never rotated", "fine"
URGENCY = (NEEDS_A_PERSON, DELETION, OVERDUE, FAILED, STUCK, TURNED_OFF, NEVER, RUNNING, FINE)
_QUIET = (TURNED_OFF, NEVER, RUNNING, FINE)


@dataclass(frozen=True)
class Member:
    """A secret of the stack with its latest execution, if Step Functions still keeps one."""

    secret: Described
    today: date
    last: Run | None = None
    engine: str = "unknown"
    strategy: str = "unknown"

    @property
    def standing(self) -> Standing:
        return Standing(RotatedSecret.of(self.secret.as_listed), self.today)

    @property
    def rotated(self) -> date | None:
        """The day of its last rotation in UTC, None if nobody tells it.

        Of LastRotatedDate AWS says "if rotation has been disabled, Secrets Manager returns null"; the last execution
        tells it then: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
        """
        if self.last and self.outcome == ROTATED and self.standing.secret.last_rotated is None:
            return self.last.started.astimezone(UTC).date()
        return self.standing.secret.last_rotated

    @property
    def age(self) -> int | None:
        """Days since its last rotation, or if it is under rotation since it was made."""
        if self.rotated:
            return max((self.today - self.rotated).days, 0)
        return self.standing.age if self.secret.rotation_enabled else None

    @property
    def interval(self) -> str:
        rotated = self.standing.secret
        every = f"every {rotated.after_days} days" if rotated.after_days else "none"
        return rotated.schedule_expression or every

    @property
    def outcome(self) -> str:
        return self.last.outcome if self.last else ""

    @property
    def state(self) -> str:
        """The first of URGENCY that is true."""
        return next(state for state in URGENCY if self._is(state))

    @property
    def quiet(self) -> bool:
        return self.state in _QUIET

    @property
    def rank(self) -> tuple[int, int, str]:
        """What sorts the most urgent first."""
        due = self.standing.due
        return URGENCY.index(self.state), (due or date.max).toordinal(), self.secret.name

    def _is(self, state: str) -> bool:
        on = self.secret.rotation_enabled
        # Of a secret whose rotation is off that failed only which was put right: nobody waits for the next attempt.
        failures = (UNTOUCHED, ROLLED_BACK, STOPPED, LOG_IN_FAILED) if on else (STOPPED,)
        true = {
            NEEDS_A_PERSON: self.outcome == NEEDS_A_PERSON,
            DELETION: self.secret.deleted,
            OVERDUE: on and self.standing.overdue > 0,
            FAILED: self.outcome in failures,
            STUCK: bool(self.secret.pending) and self.outcome != RUNNING,
            TURNED_OFF: not on,
            NEVER: self.rotated is None and self.outcome != RUNNING,
            RUNNING: self.outcome == RUNNING,
        }
        return true.get(state, True)
