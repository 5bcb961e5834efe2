"""The commands that put a secret under rotation and take it out again: parse, call, print."""

import warnings
from collections.abc import Callable, Mapping
from getpass import GetPassWarning
from typing import Any, TextIO

import click

from rotatorctl.command import PATIENCE, Find, ask, command, pairs
from rotatorctl.commands.offboard import leaving
from rotatorctl.commands.offboard import offboard as offboard_secret
from rotatorctl.commands.onboard import onboard as onboard_secret
from rotatorctl.commands.onboard import refused
from rotatorctl.cron import ScheduleError
from rotatorctl.databases import CLUSTER, INSTANCE
from rotatorctl.following import Following
from rotatorctl.new_secret import GENERATED, TYPED, Asked
from rotatorctl.onboarding_file import FileContentError, read
from rotatorctl.plan import Wanted, prepared
from rotatorctl.progress import lines, stopped_by_ctrl_c, watched
from rotatorctl.render import progress_console
from rotatorctl.result import Result
from rotatorctl.schedule import Schedule

_FIELDS = ("engine", "host", "port", "username", "dbname")

_OPTIONS = (
    click.option(
        "--schedule",
        metavar="WHEN",
        help="As 30d, rate(12 hours) or cron(0 8 1 * ? *), in UTC; else the secret's own, or 30d.",
    ),
    click.option(
        "--window", metavar="HOURS", help="How long Secrets Manager may take to begin, as 3h; with --schedule."
    ),
    click.option("--tag", "tags", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Set this tag, too."),
    click.option("--rotate-now", is_flag=True, help="Rotate it at once, and follow that."),
    click.option("--cluster", metavar="ID", help="Create it for a cluster of RDS, Aurora or DocumentDB."),
    click.option("--instance", metavar="ID", help="Create it for an instance of RDS."),
    click.option("--host", metavar="HOST", help="Create it for another server."),
    click.option("--port", metavar="PORT", help="Its port, else the engine's."),
    click.option("--engine", metavar="NAME", help="Its engine; not with --cluster and --instance."),
    click.option("--username", metavar="USER", help="The user whose password it holds."),
    click.option("--dbname", metavar="NAME", help="The database that the user logs in to."),
    click.option("--admin", metavar="SECRET", help="The admin secret, as the value's masterarn."),
    click.option("--generate", is_flag=True, help="Create it with a generated password, and attach it later."),
    click.option(
        "--password-from", metavar="SECRET", help="Take the password from another secret; else it is asked for."
    ),
    click.option(
        "--from",
        "source",
        type=click.File(encoding="utf-8"),
        callback=lambda context, _, file: _read(context, file),
        metavar="FILE",
        help="Take what no option says from a YAML file.",
    ),
    PATIENCE,
    click.option("--yes", is_flag=True, help="Do not ask."),
)


def _with_options(function: Callable[..., Result]) -> Callable[..., Result]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@command
@click.argument("secret", required=False)
@_with_options
def onboard(find: Find, secret: str | None, source: Mapping[str, Any], yes: bool, **options: Any) -> Result:
    """Put a secret under rotation, once the functions have logged in with it.

    SECRET is a name or an ARN; --from FILE may have it. The stack and the secret are checked, the plan is shown and
    asked for. Nothing is rotated without --rotate-now. If the log-in fails, or on Ctrl-C, all is put back, but that a
    secret that no function rotated goes on naming the stack's, turned off. The value of a secret that exists is never
    overwritten; one that does not is created, if its database is named.
    """
    given = {**source, **{key: value for key, value in options.items() if value}}
    name = _name(secret, given.get("name"))
    asked, wanted = _asked(given), _wanted(given)
    stack = find()
    plan = prepared(stack, name, asked, wanted, lines(progress_console()))
    if plan.problems:
        return refused(plan)
    if not plan.changes_nothing:
        ask(plan.text, yes)
    doing = "onboarding; Ctrl-C puts back what was changed, as far as AWS lets it"
    with stopped_by_ctrl_c() as stop, watched(progress_console(), doing) as progress:
        return onboard_secret(plan, Following(stack, progress, stop, wanted.patience))


@command
@click.argument("secret")
@click.option("--restore", is_flag=True, help="Put back the function that rotated it before it was onboarded.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def offboard(find: Find, secret: str, restore: bool, yes: bool) -> Result:
    """Take a secret out of rotation.

    SECRET is a name or an ARN. Its value, labels and users stay as they are, and it goes on working. Ctrl-C
    breaks nothing off that was begun: it is done to its end, and told.
    """
    stack = find()
    found = leaving(stack, secret, restore)
    if found.changes_something:
        ask(found.plan, yes)
    # Broken off in between it would be half done, and nobody would be told.
    with stopped_by_ctrl_c():
        return offboard_secret(found)


def _name(argument: str | None, of_file: str | None) -> str:
    if argument and of_file and argument != of_file:
        raise click.UsageError(f"SECRET is {argument!r}, the file's name {of_file!r}: leave one out.")
    if name := argument or of_file:
        return name
    raise click.UsageError("Name the secret, as SECRET or as name in the file of --from.")


def _asked(given: Mapping[str, Any]) -> Asked:
    """Raises click.UsageError for what does not go together."""
    places = [place for place in (CLUSTER, INSTANCE, "host") if given.get(place)]
    fields = {key: str(given[key]) for key in _FIELDS if given.get(key)}
    if len(places) > 1:
        raise click.UsageError(f"--{places[0]} and --{places[1]} name two servers; leave one out.")
    if given.get("generate") and given.get("password_from"):
        raise click.UsageError("--generate and --password-from are two passwords; leave one out.")
    if places and places[0] != "host" and {"engine", "port"} & fields.keys():
        raise click.UsageError(f"Engine and port of the {places[0]} are looked up; leave --engine and --port out.")
    kind = places[0] if places and places[0] != "host" else ""
    password = GENERATED if given.get("generate") else given.get("password_from") or TYPED
    return Asked((kind, given[kind]) if kind else None, fields, given.get("admin", ""), password, _typed)


def _wanted(given: Mapping[str, Any]) -> Wanted:
    schedule, window = given.get("schedule", ""), given.get("window", "")
    if window and not schedule:
        raise click.UsageError("--window goes with --schedule.")
    try:
        parsed = Schedule.parse(schedule, window) if schedule else None
    except ScheduleError as error:
        raise click.UsageError(f"{error}.") from None
    return Wanted(parsed, given.get("tags", {}), bool(given.get("rotate_now")), given["patience"])


def _read(context: click.Context, file: TextIO | None) -> dict[str, Any]:
    """Raises click.BadParameter, which names the file and quotes nothing of it but keys."""
    if file is None:
        return {}
    try:
        return read(file.read())
    except UnicodeDecodeError:
        raise click.BadParameter(f"{file.name}: it is not in UTF-8; save it as that.") from None
    except FileContentError as error:
        raise click.BadParameter(f"{file.name}: {error}.") from None
    finally:
        # click closes it after the command, and there is none after misuse.
        context.close()


def _typed(username: str) -> str:
    """Raises click.UsageError where it would be seen."""
    try:
        with warnings.catch_warnings():
            # It comes before anything is read.
            warnings.simplefilter("error", GetPassWarning)
            password: str = click.prompt(f"Password of {username!r}", hide_input=True, err=True)
    except GetPassWarning:
        click.echo(err=True)
        raise click.UsageError(
            f"The password of {username!r} is typed on a terminal, and there is none: take it from another secret by "
            "--password-from, or let --generate make one."
        ) from None
    return password
