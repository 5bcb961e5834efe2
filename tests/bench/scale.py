"""How many secrets may be due how close together; as a module it prints the table of docs/calls.md."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from statistics import quantiles

from tests.bench.simulation import QUOTAS, Day
from tests.bench.tables import Table, markdown

COLUMNS = (
    *("due", "failed", "last one rotated, of the bound", "retries of states"),
    *("from change to promotion: half, 95 of 100", "throttled writes of a rotation", "DescribeExecution"),
    "functions at once",
)

# How many secrets, within how many seconds, in an account with how many concurrent functions.
DEFAULT, RAISED = QUOTAS.functions, 2_000
DAYS: tuple[tuple[int, float, int], ...] = (
    *((100, 60, DEFAULT), (100, 0, DEFAULT), (400, 0, DEFAULT), (800, 0, DEFAULT)),
    *((1_000, spread, DEFAULT) for spread in (60, 30, 20, 10, 5, 0)),
    *((1_000, spread, RAISED) for spread in (5, 0)),
    *((1_400, 60, DEFAULT), (10_000, 60, DEFAULT), (10_000, 480, DEFAULT)),
)


def percentile(values: list[float], number: int) -> float:
    return quantiles(values, n=100)[number - 1] if len(values) > 1 else sum(values)


def over(secrets: int, spread: float, functions: int = DEFAULT, *, seed: int = 1) -> Day:
    """Such a day, when it is over; reckoned once."""
    return _over(secrets, spread, functions, seed)


@cache
def _over(secrets: int, spread: float, functions: int, seed: int) -> Day:
    day = Day(secrets, spread, quotas=replace(QUOTAS, functions=functions), seed=seed)
    day.run()
    return day


def row(day: Day) -> list[str]:
    """What came of a day."""
    outcome = day.outcome
    last, bound, looks = max(outcome.rotated, default=0), day.bound, day.api.describe_execution
    gaps = [percentile(outcome.gaps, number) for number in (50, 95)]
    return [
        f"{day.secrets:,} in {day.spread:g} s",
        f"{len(outcome.failed):,}",
        f"{last:.0f} s of {bound:.0f} s, {last / bound:.2f} x",
        f"{outcome.state_retries:,}",
        f"{gaps[0]:.1f} s, {gaps[1]:.1f} s",
        f"{day.api.writes.refused / day.secrets:.1f}",
        f"{looks.busiest_second} a second, {looks.refused} refused",
        f"{day.functions.peak:,} of {day.functions.most:,}",
    ]


def rows() -> Iterator[list[str]]:
    yield from (row(over(*day)) for day in DAYS)


def table() -> Table:
    return Table("simulation", COLUMNS, [list(each) for each in rows()])


if __name__ == "__main__":
    print(markdown(COLUMNS, rows()))
