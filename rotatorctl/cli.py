"""The command line: parse, call the command, print its result."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from rotatorctl.cli_onboarding import offboard, onboard
from rotatorctl.command import PATIENCE, Find, ask, command, pairs
from rotatorctl.commands.doctor import doctor as examine
from rotatorctl.commands.history import history as list_executions
from rotatorctl.commands.local import local
from rotatorctl.commands.rotate import Pace, chosen, rotated
from rotatorctl.commands.status import status as list_secrets
from rotatorctl.commands.unstick import nothing_stuck
from rotatorctl.commands.unstick import unstick as unstick_secret
from rotatorctl.following import Following
from rotatorctl.progress import stopped_by_ctrl_c, watched
from rotatorctl.render import progress_console
from rotatorctl.result import Result
from rotatorctl.stuck import stuck


def _version() -> str:
    try:
        return version("secret-rotation-orchestrator")
    except PackageNotFoundError:
        return "in a checkout"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="rotatorctl")
def cli() -> None:
    """Rotate secrets of AWS Secrets Manager with the secret rotation orchestrator, and look after them.

    Exit codes: 0 fine, 1 not fine, 2 misused. No secret value is ever printed.
    """


@command
@click.argument("secrets", nargs=-1, metavar="[SECRET]...")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    callback=pairs,
    metavar="KEY=VALUE",
    help="Rotate the stack's secrets that have this tag; with several, all of them.",
)
@click.option("--at-once", type=click.IntRange(1, 10), default=1, show_default=True, help="So many at once.")
@click.option(
    "--stop-after",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Begin no further one after so many failures.",
)
@click.option("--no-wait", is_flag=True, help="Return when Secrets Manager has taken the request.")
@PATIENCE
def rotate(find: Find, secrets: Sequence[str], tags: dict[str, str], patience: float, **pace: Any) -> Result:
    """Rotate secrets now, and follow each to its outcome.

    SECRET is a name or an ARN. A rotation that is under way is joined. One that failed before is retried, with the same
    new value. Ctrl-C stops watching, not rotating.
    """
    if bool(secrets) == bool(tags):
        raise click.UsageError("Name the secrets, or choose them by --tag KEY=VALUE.")
    stack = find()
    named = list(secrets) or chosen(stack, tags)
    with stopped_by_ctrl_c() as stop, watched(progress_console()) as progress:
        return rotated(Following(stack, progress, stop, patience), named, Pace(**pace))


@command
def status(find: Find) -> Result:
    """All secrets of the stack, the most urgent first.

    Exit code 1 if one of them asks for attention: it needs a person, is overdue, stuck or scheduled for deletion, or
    its last rotation failed. One whose rotation is off is late for nothing.
    """
    return list_secrets(find())


@command
@click.argument("secret")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many executions.")
def history(find: Find, secret: str, limit: int) -> Result:
    """The latest executions of one secret, and what each came to.

    SECRET is a name or an ARN.
    """
    return list_executions(find(), secret, limit)


@command
@click.argument("secret")
def doctor(find: Find, secret: str) -> Result:
    """What keeps a secret from being rotated, and the command that mends it.

    SECRET is a name or an ARN. Only reads; the value is read to see its shape, and never shown. Exit code 1 if there
    is a problem, or something could not be read.
    """
    return examine(find(), secret)


@command
@click.argument("secret")
@click.option("--yes", is_flag=True, help="Do not ask.")
def unstick(find: Find, secret: str, yes: bool) -> Result:
    """Take AWSPENDING off a version that a rotation has left behind, or finish that rotation.

    SECRET is a name or an ARN. The state machine proves first which credential logs in. AWSPENDING is taken off only if
    AWSCURRENT is proven to; if only the pending value is, the rotation is finished with it; else no label is moved.
    Ctrl-C stops watching, and moves no label.
    """
    stack = find()
    if (found := stuck(stack, secret)) is None:
        return nothing_stuck(secret)
    ask(found.plan, yes)
    doing = "looking which credential logs in; Ctrl-C stops watching, not looking"
    with stopped_by_ctrl_c() as stop, watched(progress_console(), doing) as progress:
        return unstick_secret(found, Following(stack, progress, stop, patience=0))


for each in (rotate, status, history, doctor, unstick, onboard, offboard, local):
    cli.add_command(each)
