"""How every command ends: its result or its error is printed, and tells the exit code."""

import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import click

from rotatorctl.aws import EXPLAINED, explained
from rotatorctl.local_hint import or_local
from rotatorctl.render import show
from rotatorctl.repeating import repeating
from rotatorctl.result import Problem, Result

OUTPUT_OPTIONS = (
    click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the result is printed.",
    ),
    click.option("--debug", is_flag=True, help="Show where an error comes from."),
)

# All questions come before the first change.
_DECLINED = Problem(
    "DeclinedError",
    "it was not told to go on, so nothing was changed",
    "repeat the command and answer its question; with --yes it asks for nothing but a password",
)


def report(
    name: str, call: Callable[[], Result], output: str, debug: bool, given: Mapping[str, str] | None = None
) -> NoReturn:
    """Call the command of that name, print what it found, and exit. With `debug` an error is raised as it is.

    `given` are the options that the commands in the result have to repeat.
    """
    try:
        result = call()
    except click.Abort:
        result = Result(name, problems=(_DECLINED,))
    except Exception as error:
        if debug:
            raise
        result = _not_done(name, error)
    show(repeating(result, given or {}), output)
    sys.exit(result.exit_code)


def _not_done(name: str, error: Exception) -> Result:
    if isinstance(error, click.ClickException):
        raise error
    if isinstance(error, EXPLAINED):
        return Result(name, problems=(or_local(explained(error)),))
    defect = Problem(
        "DefectError", f"{type(error).__name__}: {error}", "repeat it with --debug and report what it shows"
    )
    return Result(name, problems=(defect,))
