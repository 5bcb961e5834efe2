"""What a command found: for machines, the same for people, and how the process ends."""

from dataclasses import dataclass, field
from typing import Any

type Json = dict[str, Any]

# Of the envelope and of everything in it; a key that is renamed or goes makes it 2.
VERSION = 1
FINE, NOT_FINE, MISUSED = 0, 1, 2


@dataclass(frozen=True)
class Problem:
    """What is wrong, under a name that does not change, and what to do next."""

    code: str
    message: str
    next_step: str
    # The secret that it is about, if the command is about several.
    secret: str = ""

    @property
    def json(self) -> Json:
        return {"code": self.code, "message": self.message, "nextStep": self.next_step, "secret": self.secret}


class CommandError(Exception):
    """A command cannot do what it was asked for."""

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message)
        self.problem = Problem(code, message, next_step)


@dataclass(frozen=True)
class Table:
    """Rows for people; the data has them for machines. One that `fits` is never wider than a terminal."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    fits: bool = False


@dataclass(frozen=True)
class Result:
    """`data` is the interface of `--output json`; `shown` says the same to people."""

    command: str
    data: Json = field(default_factory=dict)
    shown: tuple[str | Table, ...] = ()
    problems: tuple[Problem, ...] = ()
    fine: bool = True
    misused: bool = False

    @property
    def exit_code(self) -> int:
        if self.misused:
            return MISUSED
        return FINE if self.fine and not self.problems else NOT_FINE

    @property
    def envelope(self) -> Json:
        return {
            "version": VERSION,
            "command": self.command,
            "exitCode": self.exit_code,
            "data": self.data,
            "problems": [problem.json for problem in self.problems],
        }
