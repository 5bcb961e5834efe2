"""The cron() expressions that Secrets Manager takes, and the days and hours that they name.

Only what its page on schedules describes is let through, so that a wrong one is told before anything is changed:
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

# "You can rotate a secret as often as every four hours."
LEAST_HOURS = 4
_HOURS_OF_A_DAY = 24
_FIELDS = "cron(Minutes Hours Day-of-month Month Day-of-week Year)"
_DAYS_OF_A_WEEK = 7
_MOST_WEEKS = 5

type Day = Callable[[date], bool]


class ScheduleError(Exception):
    """A schedule that Secrets Manager would not take, in a sentence."""


@dataclass(frozen=True)
class _Field:
    """One field: its values, and the names that may stand for them, the first for the least."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.least
        if not text.isascii() or not text.isdigit() or not self.least <= int(text) <= self.most:
            named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ScheduleError(f"{self.name} {text!r}: it may be {self.least} to {self.most}{named}")
        return int(text)

    def values(self, part: str) -> range:
        """What one part between commas names: all, a value, a range, or increments."""
        start, slash, step = part.partition("/")
        if slash:
            begin = self.least if start in ("", "*") else self.number(start)
            return range(begin, self.most + 1, self._step(step))
        if part == "*":
            return range(self.least, self.most + 1)
        first, dash, last = part.partition("-")
        if not dash:
            return range(self.number(first), self.number(first) + 1)
        if self.number(first) > self.number(last):
            raise ScheduleError(f"{self.name} {part!r}: a range begins with the smaller; a list with commas may not")
        return range(self.number(first), self.number(last) + 1)

    def _step(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= self.most:
            raise ScheduleError(f"{self.name}: after / comes a number from 1 to {self.most}, not {text!r}")
        return int(text)


_HOURS = _Field("Hours", 0, 23)
_MONTH_DAYS = _Field("Day-of-month", 1, 31)
_MONTHS = _Field("Month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
_WEEKDAYS = _Field("Day-of-week", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))


@dataclass(frozen=True)
class Cron:
    """The hours of UTC at which a window opens, on each day that `opens_on` is true of."""

    hours: tuple[int, ...]
    opens_on: Day

    @classmethod
    def parse(cls, expression: str) -> "Cron":
        """Raises ScheduleError naming the field that is wrong."""
        if not expression.endswith(")"):
            raise ScheduleError(f"{expression!r} does not end with ): it has to be {_FIELDS}")
        fields = expression.removeprefix("cron(").removesuffix(")").split()
        if len(fields) != len(_FIELDS.split()):
            raise ScheduleError(f"{expression!r} has {len(fields)} fields; Secrets Manager's have six: {_FIELDS}")
        minutes, hours, month_days, months, weekdays, year = fields
        if minutes != "0":
            raise ScheduleError(f"Minutes {minutes!r}: it has to be 0, because rotation windows open on the hour")
        if year != "*":
            raise ScheduleError(f"Year {year!r}: it has to be *, because Secrets Manager plans no further than a year")
        if (month_days == "?") == (weekdays == "?"):
            raise ScheduleError("of Day-of-month and Day-of-week one has to be ?, and the other one not")
        of_months = {month for part in months.split(",") for month in _MONTHS.values(part)}
        days = _days(month_days, _month_day) if weekdays == "?" else _days(weekdays, _weekday)
        return cls(_hours(hours), lambda day: day.month in of_months and any(fits(day) for fits in days))

    @property
    def in_hours(self) -> bool:
        """Whether it is a schedule in hours, which opens more than one window on a day."""
        return len(self.hours) > 1

    @property
    def shortest_gap(self) -> int:
        """Hours from a window to the next one on the same day, or to the first one of the next day."""
        following = (*self.hours[1:], self.hours[0] + _HOURS_OF_A_DAY)
        return min(after - before for before, after in zip(self.hours, following, strict=True))


def _hours(text: str) -> tuple[int, ...]:
    """One hour or increments: the page knows no other wildcard there."""
    if "/" not in text:
        return (_HOURS.number(text),)
    cron = Cron(tuple(_HOURS.values(text)), lambda _: True)
    if cron.shortest_gap < LEAST_HOURS:
        opened = ", ".join(f"{hour}:00" for hour in cron.hours)
        raise ScheduleError(
            f"Hours {text!r}: windows would open at {opened} each day, less than {LEAST_HOURS} hours apart, and a "
            f"secret is rotated no more often than every {LEAST_HOURS} hours"
        )
    return cron.hours


def _days(text: str, of_part: Callable[[str], Day]) -> list[Day]:
    return [of_part(part) for part in text.split(",")]


def _month_day(part: str) -> Day:
    if part == "L":
        return lambda day: day.day == monthrange(day.year, day.month)[1]
    numbers = _MONTH_DAYS.values(part)
    return lambda day: day.day in numbers


def _weekday(part: str) -> Day:
    name, sharp, week = part.partition("#")
    if sharp:
        return _of_week(_WEEKDAYS.number(name), week)
    if part == "L":
        return lambda day: _number(day) == _DAYS_OF_A_WEEK
    if part.endswith("L"):
        last = _WEEKDAYS.number(part.removesuffix("L"))
        return lambda day: _number(day) == last and (day + timedelta(weeks=1)).month != day.month
    numbers = _WEEKDAYS.values(part)
    return lambda day: _number(day) in numbers


def _of_week(weekday: int, week: str) -> Day:
    if week not in map(str, range(1, _MOST_WEEKS + 1)):
        raise ScheduleError(f"Day-of-week: after # comes a number from 1 to {_MOST_WEEKS}, not {week!r}")
    return lambda day: _number(day) == weekday and (day.day - 1) // _DAYS_OF_A_WEEK == int(week) - 1


def _number(day: date) -> int:
    """1 for Sunday, 7 for Saturday."""
    return day.isoweekday() % _DAYS_OF_A_WEEK + 1
