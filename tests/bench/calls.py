"""The calls that one clean rotation makes, as docs/calls.md lists them."""

from dataclasses import dataclass
from pathlib import Path

from tests.workflow.applications import ALTERNATING, BY_ADMIN, SINGLE

PAGE = Path(__file__).parents[2] / "docs" / "calls.md"
# The columns of the table, in their order.
STRATEGIES = (SINGLE, BY_ADMIN, ALTERNATING)


@dataclass(frozen=True)
class Row:
    """A call that a function makes, how often with each strategy, and why."""

    function: str
    call: str
    times: dict[str, int]
    why: str


def rows() -> list[Row]:
    found = []
    for cells in table("Calls of one rotation"):
        function, call, *times, why = cells
        found.append(Row(function, call, dict(zip(STRATEGIES, map(int, times), strict=True)), why))
    return found


def listed(strategy: str) -> dict[tuple[str, str], int]:
    """How often each function makes each call."""
    return {(row.function, row.call): row.times[strategy] for row in rows() if row.times[strategy]}


def states() -> list[str]:
    """The states that one rotation enters."""
    return [state for state, _ in table("States of one rotation")]


def table(heading: str) -> list[list[str]]:
    """The cells under a heading of the page, without the table's head."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]
