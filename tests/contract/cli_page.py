"""The help texts in docs/cli.md: `PYTHONPATH=functions:. python -m tests.contract.cli_page` writes them anew."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from rotatorctl.cli import cli

PAGE = Path(__file__).parents[2] / "docs/cli.md"
_WIDTH = 120
_HELP = re.compile(r"<!-- help: (.+) -->\n(?:```text\n(?:.*\n)*?```\n)?")


def helps() -> dict[str, str]:
    """Each command with its help, as a terminal of that width shows it."""
    made = {}
    for name, command in _commands("rotatorctl", cli):
        context = click.Context(command, info_name=name, terminal_width=_WIDTH)
        context.help_option_names = ["-h", "--help"]
        made[name] = command.get_help(context)
    return made


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for part, below in command.commands.items():
            yield from _commands(f"{name} {part}", below)


def page_with_helps(page: str) -> str:
    texts = helps()
    return _HELP.sub(lambda found: f"<!-- help: {found[1]} -->\n```text\n{texts[found[1]]}\n```\n", page)


if __name__ == "__main__":
    PAGE.write_text(page_with_helps(PAGE.read_text()))
