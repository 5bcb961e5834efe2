"""When a secret is rotated: an expression, checked by Secrets Manager's rules before it is sent, and what it means.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from rotatorctl.cron import LEAST_HOURS, Cron, ScheduleError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import RotationRulesTypeTypeDef

DEFAULT = "30d"
SHOWN = 3
_DAY = 24
# "The maximum rotation period is 999 days."
_MOST_DAYS = 999
# Windows that are further away than this Secrets Manager does not plan: it takes no other year than "*".
_DAYS_OF_A_YEAR = 366
_DAYS = re.compile(r"([0-9]+)d")
_RATE = re.compile(r"rate\(([0-9]+) (hour|hours|day|days)\)")
_WINDOW = re.compile(r"([0-9]{1,2})h")
_FORMS = "it may be 30d, rate(30 days), rate(12 hours), or cron(0 8 1 * ? *)"


@dataclass(frozen=True)
class Schedule:
    """`every` is the interval of a rate in hours, 0 with a cron; `window` its length in hours, 0 for the default."""

    expression: str
    every: int = 0
    cron: Cron | None = None
    window: int = 0

    @classmethod
    def parse(cls, text: str, window: str = "") -> "Schedule":
        """The schedule in `30d`, `rate(...)` or `cron(...)`, with a window as `3h`. Raises ScheduleError."""
        hours = _window(window) if window else 0
        if text.startswith("cron("):
            made = cls(text, cron=Cron.parse(text), window=hours)
        elif found := _DAYS.fullmatch(text):
            made = _of_rate(int(found[1]), "days", hours)
        elif found := _RATE.fullmatch(text):
            made = _of_rate(int(found[1]), found[2], hours)
        else:
            raise ScheduleError(f"the schedule {text!r} is none that Secrets Manager knows; {_FORMS}")
        made._check()
        return made

    @property
    def rules(self) -> "RotationRulesTypeTypeDef":
        """As RotateSecret takes it."""
        rules: RotationRulesTypeTypeDef = {"ScheduleExpression": self.expression}
        if self.window:
            rules["Duration"] = f"{self.window}h"
        return rules

    @property
    def in_hours(self) -> bool:
        return self.cron.in_hours if self.cron else "hour" in self.expression

    @property
    def window_words(self) -> str:
        """How long a window stays open; Secrets Manager chooses the moment in it."""
        if self.window:
            return f"for {self.window} h"
        return "for 1 h" if self.in_hours else "until the end of that day in UTC"

    def openings(self, now: datetime) -> list[datetime]:
        """When the next windows open, in UTC; none if a cron names no day of the coming year.

        Of a rate AWS says that its window opens at midnight, not from when it counts: here, from the midnight before
        `now` in days, and from the one after it in hours.
        """
        return list(islice(self._openings(now), SHOWN))

    def _openings(self, now: datetime) -> Iterator[datetime]:
        midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
        if self.cron is None:
            begin = midnight + timedelta(hours=_DAY if self.in_hours else self.every)
            yield from (begin + timedelta(hours=self.every * number) for number in count())
            return
        for days in range(_DAYS_OF_A_YEAR + 1):
            day = midnight + timedelta(days=days)
            if self.cron.opens_on(day.date()):
                yield from (at for hour in self.cron.hours if (at := day + timedelta(hours=hour)) > now)

    def _check(self) -> None:
        if self.cron and not self.openings(datetime.now(UTC)):
            raise ScheduleError(
                f"{self.expression!r} names no day of the coming year, and Secrets Manager plans no more"
            )
        last, gap = (self.cron.hours[-1], self.cron.shortest_gap) if self.cron else (0, self.every)
        if self.window > gap:
            raise ScheduleError(f"a window of {self.window} h would reach into the next one, {gap} h later")
        if last + self.window > _DAY:
            raise ScheduleError(
                f"a window of {self.window} h from {last}:00 on would reach into the next day of UTC; at most "
                f"{_DAY - last}h"
            )


def rules_of(answer: Mapping[str, Any]) -> "RotationRulesTypeTypeDef":
    """What has to be sent for the schedule that DescribeSecret shows; empty if it shows none.

    Beside an expression it shows AutomaticallyAfterDays, too, worked out from it, and RotateSecret takes one of them.
    """
    shown = answer.get("RotationRules", {})
    rules: RotationRulesTypeTypeDef = {}
    if expression := shown.get("ScheduleExpression"):
        rules["ScheduleExpression"] = expression
    elif days := shown.get("AutomaticallyAfterDays"):
        rules["AutomaticallyAfterDays"] = days
    if rules and (duration := shown.get("Duration")):
        rules["Duration"] = duration
    return rules


def words(rules: "RotationRulesTypeTypeDef") -> str:
    """A schedule as people read it."""
    days, duration = rules.get("AutomaticallyAfterDays"), rules.get("Duration")
    every = rules.get("ScheduleExpression") or (f"every {days} days" if days else "none")
    return f"{every}, window {duration}" if duration else every


def moment(at: datetime) -> str:
    """A moment in UTC, and in local time where that is another, to the minute."""
    local = at.astimezone()
    told = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{told} ({local:%Y-%m-%d %H:%M %Z})" if local.utcoffset() else told


def _of_rate(number: int, unit: str, window: int) -> Schedule:
    """`rate(1 day)` and `rate(1 days)` mean the same; the singular is the page's own."""
    in_hours = unit.startswith("hour")
    hours = number if in_hours else number * _DAY
    if not LEAST_HOURS <= hours <= _MOST_DAYS * _DAY:
        raise ScheduleError(
            f"every {number} {unit}: Secrets Manager rotates every {LEAST_HOURS} hours at most, and every "
            f"{_MOST_DAYS} days at least"
        )
    name = "hour" if in_hours else "day"
    return Schedule(f"rate({number} {name}{'' if number == 1 else 's'})", every=hours, window=window)


def _window(text: str) -> int:
    found = _WINDOW.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= _DAY:
        raise ScheduleError(f"the window {text!r} is no number of hours; it may be 1h to {_DAY}h")
    return int(found[1])
