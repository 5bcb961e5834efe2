"""The tables of a benchmark: what is measured, with its unit and what it is compared with, as JSON and as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

type Cell = str | float
type Taken = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The columns say the units. `samples` are the figures of which the rows show medians."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    samples: Any = None

    def as_json(self) -> Taken:
        return {"columns": list(self.columns), "rows": self.rows, "samples": self.samples}


def middle(values: Iterable[float]) -> float:
    """The median, to a tenth."""
    return round(median(values), 1)


def markdown(columns: Sequence[str], rows: Iterable[Iterable[Cell]]) -> str:
    lines: list[Iterable[Cell]] = [columns, ["---" for _ in columns], *rows]
    return "\n".join(f"| {' | '.join(map(_shown, line))} |" for line in lines)


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 or cell == int(cell) else f"{cell:,g}"
