"""How old a secret's credential is, and whether it was rotated in time."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from rotation.secret_store import RotatedSecret

# Whole days of UTC after the day on which a secret is due. A rotation window ends with the day in which it began:
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html
# Told on the first of them that comes after one day of grace, and every seventh from then on.
_FIRST_DAY, TOLD_EVERY = 2, 7

_RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")


@dataclass(frozen=True)
class Standing:
    """How old a secret's credential is on a day, and for how many days it has been overdue."""

    secret: RotatedSecret
    today: date

    @property
    def age(self) -> int:
        """Days since it was rotated, or since the secret was made if it never was."""
        begun = self.secret.last_rotated or self.secret.created
        return max((self.today - begun).days, 0)

    @property
    def due(self) -> date | None:
        """The day by which it had to be rotated.

        NextRotationDate is "the latest date that rotation will occur", and "if rotation is unsuccessful, this date may
        be in the past" (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html).
        Whether a failed rotation can move it on all the same is documented nowhere, so it counts for no more than two
        intervals after the last rotation. For two, because a value written by hand moves it on as well, being "a valid
        rotation" (API_RotationRulesType), and LastRotatedDate does not tell of it.
        """
        secret, interval = self.secret, _interval(self.secret)
        if secret.next_rotation is None:
            return (secret.last_rotated or secret.created) + interval if interval else None
        if secret.last_rotated is None or interval is None:
            return secret.next_rotation
        return min(secret.next_rotation, secret.last_rotated + 2 * interval)

    @property
    def overdue(self) -> int:
        """Days since it was due; 0 in its rotation window and on the day of grace after it."""
        days = (self.today - self.due).days if self.due else 0
        return days if days >= _FIRST_DAY else 0

    @property
    def to_tell(self) -> bool:
        """Once a week, by the date alone, so that nothing has to be remembered.

        If the run of such a day is missed, the message is: the metrics show the secret, and the next one comes a week
        later. A run that is repeated makes the same message with the same alert id.
        """
        return self.overdue > 0 and (self.overdue - _FIRST_DAY) % TOLD_EVERY == 0


def _interval(secret: RotatedSecret) -> timedelta | None:
    """AutomaticallyAfterDays is worked out from a schedule expression only when a rotation has succeeded."""
    if rate := _RATE.fullmatch(secret.schedule_expression):
        return timedelta(**{f"{rate[2]}s": int(rate[1])})
    return timedelta(days=secret.after_days) if secret.after_days else None
