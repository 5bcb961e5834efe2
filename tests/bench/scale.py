"""How many secrets may be due how close together; as a module it prints the table of docs/calls.md."""

from collections.abc import Iterator
from statistics import quantiles

from tests.bench.simulation import Day
from tests.bench.tables import Table, markdown

COLUMNS = (
    *("due", "failed", "last one rotated, of the bound", "retries of states"),
    *("from change to promotion: half, 95 of 100", "throttled writes of a rotation", "DescribeExecution"),
    "functions at once",
)

# How many secrets, within how many seconds.
DAYS: tuple[tuple[int, float], ...] = (
    *((100, 0), (100, 60), (400, 0), (1_000, 60), (1_400, 60)),
    *((1_000, 30), (1_000, 20), (1_000, 0), (10_000, 60), (10_000, 480)),
)


def percentile(values: list[float], number: int) -> float:
    return quantiles(values, n=100)[number - 1] if len(values) > 1 else sum(values)


def row(day: Day) -> list[str]:
    """What came of a day."""
    outcome = day.run()
    last, bound, looks = max(outcome.rotated, default=0), day.bound, day.describe_execution
    gaps = [percentile(outcome.gaps, number) for number in (50, 95)]
    return [
        f"{day.secrets:,} in {day.spread:g} s",
        f"{len(outcome.failed):,}",
        f"{last:.0f} s of {bound:.0f} s, {last / bound:.2f} x",
        f"{outcome.state_retries:,}",
        f"{gaps[0]:.1f} s, {gaps[1]:.1f} s",
        f"{day.writes.refused / day.secrets:.1f}",
        f"{looks.busiest_second} a second, {looks.refused} refused",
        f"{day.functions.peak:,}",
    ]


def rows() -> Iterator[list[str]]:
    yield from (row(Day(secrets, spread)) for secrets, spread in DAYS)


def table() -> Table:
    return Table("simulation", COLUMNS, [list(each) for each in rows()])


if __name__ == "__main__":
    print(markdown(COLUMNS, rows()))
