"""`local`: the offline stack on this machine. What it does is in rotatorctl.local, which a checkout has."""

import functools
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click

from rotation.model import STEPS
from rotatorctl.progress import watched
from rotatorctl.render import progress_console, standard_error
from rotatorctl.reporting import OUTPUT_OPTIONS, report
from rotatorctl.result import CommandError, Result


@click.group()
def local() -> None:
    """The whole stack on this machine, with a real PostgreSQL: no AWS account, no Docker.

    It needs a checkout in which `make setup` was run. One stack of a user is up at a time; what runs is written down in
    $XDG_STATE_HOME/rotatorctl, else ~/.local/state/rotatorctl.
    """


def command(function: Callable[..., Result]) -> click.Command:
    """A command of the group, without the options that choose an AWS account."""

    @functools.wraps(function)
    def run(*, output: str, debug: bool, **rest: Any) -> None:
        report(f"local {function.__name__.rstrip('_')}", lambda: function(**rest), output, debug)

    for option in reversed(OUTPUT_OPTIONS):
        run = option(run)
    return local.command(function.__name__.rstrip("_"))(run)


def _offline(module: str) -> Any:
    """A module of the offline stack. Raises CommandError if this is no checkout, or one that was not set up."""
    try:
        return import_module(f"rotatorctl.local.{module}")
    except ModuleNotFoundError as missing:
        raise CommandError(
            "CheckoutNeededError",
            f"the local stack needs {missing.name}, which an installed rotatorctl does not bring",
            "run it from a checkout: `make setup` there, then `bin/rotatorctl local up`",
        ) from missing


def _say(text: str) -> None:
    click.echo(text, standard_error(), err=True)


@command
def up() -> Result:
    """Start it: the AWS emulator, the stack as deployed, a PostgreSQL, a secret under rotation, one to onboard.

    Standard output has the lines that set its variables in a shell: eval "$(rotatorctl local up)". If it is up
    already, they are printed again. Ctrl-C takes down what has started.
    """
    result: Result = _offline("lifecycle").up(_say)
    return result


@command
def down() -> Result:
    """End what `up` has started, and remove its data."""
    result: Result = _offline("lifecycle").down()
    return result


@command
def status() -> Result:
    """What runs, at which addresses, and how the stack and its secrets stand.

    Exit code 1 if it is not up, or something of it has ended.
    """
    result: Result = _offline("lifecycle").status()
    return result


@command
@click.option(
    "--step", type=click.Choice(STEPS), default="FinishSecret", show_default=True, help="The step that is to fail."
)
def drill(step: str) -> Result:
    """Let a step of the real state machine fail, and show that the rollback works.

    The step's function gets no concurrency, so that Lambda refuses its calls. A client of its own tries which password
    logs in, after the failure and after the retry that succeeds. Exit code 0 only if every promise held.
    """
    with watched(progress_console()) as progress:
        result: Result = _offline("drill").drill(step, progress, _say)
    return result


@command
@click.argument("engine", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--secret",
    type=click.File(encoding="utf-8"),
    default="-",
    metavar="FILE",
    help="The secret's JSON; else it is read from standard input.",
)
@click.option("--ca", type=click.File(encoding="utf-8"), metavar="FILE", help="Authority to trust, as PEM.")
def try_(engine: Path, secret: TextIO, ca: TextIO | None) -> Result:
    """Hold an engine that you write to what every engine promises.

    ENGINE is its Python file. The password of the secret's user is changed and set back several times, so take a user
    made for this. Exit code 0 only if every promise held.
    """
    if secret.isatty():
        raise click.UsageError("Give the secret's JSON by --secret FILE, or on standard input.")
    result: Result = _offline("trial").try_engine(engine, secret.read(), ca.read() if ca else "")
    return result
