"""Promises that a command has tried, and whether each held."""

from collections.abc import Sequence
from dataclasses import dataclass

from rotatorctl.result import Json, Problem, Table

HELD, BROKEN = "held", "broken"


@dataclass(frozen=True)
class Promise:
    """`saw` is what was seen where it did not hold."""

    promise: str
    held: bool
    saw: str = ""

    @property
    def data(self) -> Json:
        return {"promise": self.promise, "held": self.held, "saw": self.saw}


def table(tried: Sequence[Promise]) -> Table:
    """For people."""
    rows = tuple((each.promise, HELD if each.held else BROKEN, each.saw) for each in tried)
    return Table(("promise", "result", "seen"), rows)


def broken(tried: Sequence[Promise], next_step: str) -> tuple[Problem, ...]:
    """The problem that some did not hold, if so."""
    left = [each.promise for each in tried if not each.held]
    message = f"of {len(tried)} promises {len(left)} did not hold: {'; '.join(left)}"
    return (Problem("PromiseBrokenError", message, next_step),) if left else ()
