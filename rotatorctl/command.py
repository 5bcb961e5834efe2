"""What the commands that ask AWS share: their options, and the stack that they are for."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.core import ParameterSource

from rotatorctl.aws import Aws
from rotatorctl.deployed import Stack
from rotatorctl.render import standard_error
from rotatorctl.repeating import OPTIONS, with_options
from rotatorctl.reporting import OUTPUT_OPTIONS, report
from rotatorctl.result import Result

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
    *OUTPUT_OPTIONS,
)

# Of those that have a rotation begin.
PATIENCE = click.option(
    "--patience",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an execution to begin.",
)


def command(function: Callable[..., Result]) -> click.Command:
    """A command whose function is given a way to find the stack, and returns a result."""

    @functools.wraps(function)
    def run(*, stack: str, region: str | None, profile: str | None, output: str, debug: bool, **rest: Any) -> None:
        find = functools.partial(_find, region, profile, stack)
        report(function.__name__, functools.partial(function, find, **rest), output, debug, _given())

    for option in reversed(_OPTIONS):
        run = option(run)
    return click.command()(run)


def ask(plan: str, yes: bool) -> None:
    """Show what is going to be done, and ask unless `yes`.

    Raises click.Abort if it is not to be done, click.UsageError where nobody can answer.
    """
    told = standard_error()
    click.echo(with_options(plan, _given()), told, err=True)
    try:
        agrees = yes or click.confirm("Go on?", err=True)
    except (click.Abort, OSError) as silence:
        if isinstance(silence, click.Abort) and sys.stdin.isatty():
            raise
        click.echo(file=told, err=True)
        raise click.UsageError(
            "Nothing was changed: this asks before it changes anything, and there is no terminal to answer on; "
            "repeat it with --yes."
        ) from None
    if not agrees:
        raise click.Abort


def _given() -> dict[str, str]:
    """The options that were typed: what the environment says, it says to the next command, too."""
    context = click.get_current_context()
    typed = [name for name in OPTIONS if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    return {name: context.params[name] for name in typed if context.params[name]}


def _find(region: str | None, profile: str | None, stack: str) -> Stack:
    return Stack.find(Aws(region, profile), stack)


def pairs(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """The callback of an option that is KEY=VALUE and may be repeated."""
    parted = [pair.partition("=") for pair in given]
    for key, equals, _value in parted:
        if not key or not equals:
            raise click.BadParameter(f"{key or equals!r} is not KEY=VALUE.")
    return {key: value for key, _, value in parted}
