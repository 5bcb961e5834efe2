"""What all commands share: their options, and how their results and errors leave the process."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from rotatorctl.aws import AWS_ERRORS, Aws, explained
from rotatorctl.deployed import Stack
from rotatorctl.render import show
from rotatorctl.result import CommandError, Problem, Result

# Misuse is told before AWS is asked.
type Find = Callable[[], Stack]

_OPTIONS = (
    click.option(
        "--stack",
        default="secret-rotation",
        envvar="ROTATORCTL_STACK",
        show_default=True,
        metavar="NAME",
        help="Name of the deployed stack.",
    ),
    click.option(
        "--region",
        metavar="REGION",
        envvar="AWS_REGION",
        help="AWS Region; else AWS_REGION, AWS_DEFAULT_REGION or the profile's.",
    ),
    click.option("--profile", metavar="NAME", help="AWS profile; else AWS_PROFILE, or the ordinary credential chain."),
    click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the result is printed.",
    ),
    click.option("--debug", is_flag=True, help="Show where an error comes from."),
)


def command(function: Callable[..., Result]) -> click.Command:
    """A command whose function is given a way to find the stack, and returns a result."""

    @functools.wraps(function)
    def run(*, stack: str, region: str | None, profile: str | None, output: str, debug: bool, **rest: Any) -> None:
        try:
            result = function(lambda: Stack.find(Aws(region, profile), stack), **rest)
        except Exception as error:
            if debug:
                raise
            result = _not_done(str(function.__name__), error)
        show(result, output)
        sys.exit(result.exit_code)

    for option in reversed(_OPTIONS):
        run = option(run)
    return click.command()(run)


def _not_done(name: str, error: Exception) -> Result:
    if isinstance(error, (click.ClickException, click.Abort)):
        raise error
    if isinstance(error, CommandError):
        return Result(name, problems=(error.problem,))
    if isinstance(error, AWS_ERRORS):
        return Result(name, problems=(explained(error),))
    defect = Problem(
        "DefectError", f"{type(error).__name__}: {error}", "repeat it with --debug and report what it shows"
    )
    return Result(name, problems=(defect,))


def pairs(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """The callback of an option that is KEY=VALUE and may be repeated."""
    parted = [pair.partition("=") for pair in given]
    for key, equals, _value in parted:
        if not key or not equals:
            raise click.BadParameter(f"{key!r} is not KEY=VALUE.")
    return {key: value for key, _, value in parted}
