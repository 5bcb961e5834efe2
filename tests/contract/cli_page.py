"""The help texts in docs/cli.md: `PYTHONPATH=functions:. python -m tests.contract.cli_page` writes them anew."""

import re
from pathlib import Path

import click

from rotatorctl.cli import cli

PAGE = Path(__file__).parents[2] / "docs/cli.md"
_WIDTH = 120
_HELP = re.compile(r"<!-- help: (.+) -->\n(?:```text\n(?:.*\n)*?```\n)?")


def helps() -> dict[str, str]:
    """Each command with its help, as a terminal of that width shows it."""
    commands: dict[str, click.Command] = {"rotatorctl": cli}
    commands |= {f"rotatorctl {name}": command for name, command in cli.commands.items()}
    made = {}
    for name, command in commands.items():
        context = click.Context(command, info_name=name, terminal_width=_WIDTH)
        context.help_option_names = ["-h", "--help"]
        made[name] = command.get_help(context)
    return made


def page_with_helps(page: str) -> str:
    texts = helps()
    return _HELP.sub(lambda found: f"<!-- help: {found[1]} -->\n```text\n{texts[found[1]]}\n```\n", page)


if __name__ == "__main__":
    PAGE.write_text(page_with_helps(PAGE.read_text()))
