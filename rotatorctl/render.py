"""The one place that prints a result: as text, or as JSON."""

import errno
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO, cast

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


def show(result: Result, output: str) -> bool:
    """Print a result to standard output, its problems as text to standard error. Never a value that was read.

    Returns whether standard output took all of it; if not, the problems are printed all the same.
    """
    try:
        _print(result, output)
    except OSError as error:
        if sys.stdout:
            drop(sys.stdout)
        # A reader that has read enough, as `head` does, misses nothing.
        lost = () if isinstance(error, BrokenPipeError) else (_not_printed(error),)
        _complain((*result.problems, *lost))
        return False
    _complain(result.problems if output == "text" else ())
    return True


def _print(result: Result, output: str) -> None:
    """Raises OSError if standard output is closed, or takes no more."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    if output == "json":
        print(json.dumps(_printable(result.envelope), indent=2, ensure_ascii=False), flush=True)
        return
    console = _console(sys.stdout)
    for block in result.shown:
        if isinstance(block, Table):
            console.print(_table(block), width=_FITTING_WIDTH if block.fits and not console.is_terminal else None)
        else:
            _say(console, block)


class _Unheard:
    """Standard error for what is told beside the result: where it takes nothing, the result still comes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError:
            drop(self._file)
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            drop(self._file)


def standard_error() -> TextIO | None:
    """Standard error, of which it is no matter whether somebody reads it; none if it is closed."""
    return cast(TextIO, _Unheard(sys.stderr)) if sys.stderr else None


def progress_console() -> Console:
    """The same for rich."""
    return Console(file=standard_error(), stderr=True)


def _not_printed(error: OSError) -> Problem:
    return Problem(
        "NotPrintedError",
        f"the command has ended, and its result could not be written to standard output: {error.strerror}",
        "give it one that can be written; before you repeat a command that changes something, `rotatorctl status` "
        "shows how the secrets stand",
    )


def drop(file: TextIO) -> None:
    """From now on it takes anything: what it has not taken would be tried again when the process ends, and fail."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def _complain(problems: Iterable[Problem]) -> None:
    """Where standard error takes nothing, the exit code alone tells."""
    if stderr := standard_error():
        for problem in problems:
            _say_problem(_console(stderr), problem)


def _say_problem(console: Console, problem: Problem) -> None:
    about = f"{problem.secret}: " if problem.secret else ""
    _say(console, f"{problem.code}: {about}{problem.message}", "bold red")
    if problem.next_step:
        _say(console, f"Next: {problem.next_step}")


class _Console(Console):
    """One that leaves a broken pipe to whoever prints; rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(redacted(text), style), soft_wrap=True)


def _console(file: TextIO) -> _Console:
    return _Console(file=file, width=None if file.isatty() else _PIPE_WIDTH)


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
