"""How every command ends: its result or its error is printed, and tells the exit code."""

import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import click

from rotatorctl.aws import EXPLAINED, explained
from rotatorctl.local_hint import or_local
from rotatorctl.progress import deaf_to_ctrl_c, ended_by_ctrl_c
from rotatorctl.render import show
from rotatorctl.repeating import repeating
from rotatorctl.result import NOT_FINE, Problem, Result

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
# Once something is changed, Ctrl-C raises nothing any more: rotatorctl.progress.
_STOPPED = Problem("StoppedError", "you stopped it, and nothing was changed", "repeat the command")


def report(
    name: str, call: Callable[[], Result], output: str, debug: bool, given: Mapping[str, str] | None = None
) -> NoReturn:
    """Call the command of that name, print what it found, and exit. With `debug` an error is raised as it is.

    `given` are the options that the commands in the result have to repeat.
    """
    try:
        result = _called(name, call, output, debug)
        deaf_to_ctrl_c()
    except KeyboardInterrupt:
        deaf_to_ctrl_c()
        result = Result(name, problems=(_STOPPED,))
    printed = show(repeating(result, given or {}), output)
    exit_code = result.exit_code if printed else max(result.exit_code, NOT_FINE)
    ended_by_ctrl_c(exit_code)
    sys.exit(exit_code)


def _called(name: str, call: Callable[[], Result], output: str, debug: bool) -> Result:
    try:
        return call()
    except click.Abort:
        return Result(name, problems=(_DECLINED,))
    except click.UsageError as misuse:
        if output == "text":
            raise
        return _misused(name, misuse)
    except Exception as error:
        if debug:
            raise
        return _not_done(name, error)


def _misused(name: str, misuse: click.UsageError) -> Result:
    """Click prints its own words on standard error, where a machine does not look for them."""
    problem = Problem("UsageError", misuse.format_message(), f"`rotatorctl {name} --help` shows how it is used")
    return Result(name, problems=(problem,), misused=True)


def _not_done(name: str, error: Exception) -> Result:
    if isinstance(error, EXPLAINED):
        return Result(name, problems=(or_local(explained(error)),))
    defect = Problem(
        "DefectError", f"{type(error).__name__}: {error}", "repeat it with --debug and report what it shows"
    )
    return Result(name, problems=(defect,))
