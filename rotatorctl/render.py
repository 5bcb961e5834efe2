"""The one place that prints a result: as text, or as JSON."""

import json
import sys
from datetime import datetime
from typing import TextIO

from rich import table
from rich.console import Console
from rich.text import Text

from rotation.redaction import redacted
from rotatorctl.result import Problem, Result, Table

# Wide enough for any row: what reads a pipe wants one line for each.
_PIPE_WIDTH = 2_000
# Of a table that fits, where there is no terminal.
_FITTING_WIDTH = 80
# Words in a table's cell that a person's eye should fall on.
_STYLES = {
    "needs a person": "bold red",
    "problem": "bold red",
    "overdue": "red",
    "rolled back": "yellow",
    "untouched": "yellow",
    "not started": "yellow",
    "stopped": "yellow",
    "warning": "yellow",
    "could not be read": "yellow",
    "rotated": "green",
    "logged in": "green",
    "fine": "green",
    "held": "green",
    "broken": "bold red",
    "has ended": "bold red",
}


def show(result: Result, output: str) -> None:
    """Print a result to standard output, its problems as text to standard error. Never a value that was read."""
    if output == "json":
        print(json.dumps(_printable(result.envelope), indent=2, ensure_ascii=False))
        return
    console = _console(sys.stdout)
    for block in result.shown:
        if isinstance(block, Table):
            console.print(_table(block), width=_FITTING_WIDTH if block.fits and not console.is_terminal else None)
        else:
            _say(console, block)
    for problem in result.problems:
        _complain(problem)


def _complain(problem: Problem) -> None:
    console = _console(sys.stderr)
    about = f"{problem.secret}: " if problem.secret else ""
    _say(console, f"{problem.code}: {about}{problem.message}", "bold red")
    if problem.next_step:
        _say(console, f"Next: {problem.next_step}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(redacted(text), style), soft_wrap=True)


def _console(file: TextIO) -> Console:
    return Console(file=file, width=None if file.isatty() else _PIPE_WIDTH)


def _table(shown: Table) -> table.Table:
    made = table.Table(box=None, pad_edge=False, header_style="bold")
    for column in shown.columns:
        made.add_column(column, overflow="fold")
    for row in shown.rows:
        made.add_row(*(Text(redacted(cell), style=_STYLES.get(cell, "")) for cell in row))
    return made


def _printable(value: object) -> object:
    """The same for JSON, without any value that was read. Its keys are the interface's, and stay whatever was read."""
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return redacted(value) if isinstance(value, str) else value
