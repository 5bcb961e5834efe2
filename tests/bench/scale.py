"""How many secrets may be due how close together; as a module it prints the table of docs/calls.md."""

from collections.abc import Iterator
from statistics import quantiles

from tests.bench.simulation import Day

# How many secrets, within how many seconds.
DAYS: tuple[tuple[int, float], ...] = (
    *((100, 0), (100, 60), (400, 0), (1_000, 60), (1_400, 60)),
    *((1_000, 30), (1_000, 20), (1_000, 0), (10_000, 60), (10_000, 480)),
)


def percentile(values: list[float], number: int) -> float:
    return quantiles(values, n=100)[number - 1] if len(values) > 1 else sum(values)


def row(day: Day) -> str:
    """What came of a day, as a row of the table."""
    outcome = day.run()
    last, bound, looks = max(outcome.rotated, default=0), day.bound, day.describe_execution
    gaps = [percentile(outcome.gaps, number) for number in (50, 95)]
    cells = [
        f"{day.secrets:,} in {day.spread:g} s",
        f"{len(outcome.failed):,}",
        f"{last:.0f} s of {bound:.0f} s, {last / bound:.2f} x",
        f"{outcome.state_retries:,}",
        f"{gaps[0]:.1f} s, {gaps[1]:.1f} s",
        f"{day.writes.refused / day.secrets:.1f}",
        f"{looks.busiest_second} a second, {looks.refused} refused",
        f"{day.functions.peak:,}",
    ]
    return f"| {' | '.join(cells)} |"


def rows() -> Iterator[str]:
    yield from (row(Day(secrets, spread)) for secrets, spread in DAYS)


if __name__ == "__main__":
    for line in rows():
        print(line)
