"""docs/cli.md says what rotatorctl says of itself, and has every code that a script may meet."""

import re
from pathlib import Path

import pytest

from rotatorctl.checks.causes import CAUSES
from rotatorctl.checks.policies import KEY_CODES
from rotatorctl.commands.doctor import CHECKS
from tests.contract.cli_page import PAGE, helps, page_with_helps

SOURCES = {path: path.read_text() for path in (Path(__file__).parents[2] / "rotatorctl").glob("*.py")}
SOURCES |= {path: path.read_text() for path in (Path(__file__).parents[2] / "rotatorctl/commands").glob("*.py")}
# Of the offline stack what a command of the group `local` is made of: it says `CommandError` or `Problem`.
SOURCES |= {
    path: path.read_text()
    for path in (Path(__file__).parents[2] / "rotatorctl/local").glob("*.py")
    if re.search(r"\b(CommandError|Problem)\(", path.read_text())
}
# AWS's own names for errors, which are translated.
_OF_AWS = {"AuthorizationError", "ValidationError"}
CODES = sorted({code for text in SOURCES.values() for code in re.findall(r'"([A-Z][A-Za-z]+Error)"', text)} - _OF_AWS)
FINDINGS = sorted(
    {
        code
        for path in (Path(__file__).parents[2] / "rotatorctl/checks").glob("*.py")
        for code in re.findall(r'\b(?!UNREAD)[A-Z]+,\s*"([A-Z][A-Za-z]+)"', path.read_text())
    }
    | {cause.code for cause in CAUSES}
    | set(KEY_CODES.values())
)


def test_the_help_texts_are_the_commands_own() -> None:
    page = PAGE.read_text()

    assert page == page_with_helps(page)


@pytest.mark.parametrize("name", helps())
def test_every_command_has_its_help_there(name: str) -> None:
    assert f"<!-- help: {name} -->\n```text\nUsage: {name}" in PAGE.read_text()


@pytest.mark.parametrize("code", CODES)
def test_a_code_of_a_problem_is_explained(code: str) -> None:
    assert re.search(rf"(?m)^\|[^|]*`{code}`[^|]*\|", PAGE.read_text())


@pytest.mark.parametrize("code", FINDINGS)
def test_a_code_of_a_finding_is_listed(code: str) -> None:
    assert f"`{code}`" in PAGE.read_text()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_has_a_row(check: object) -> None:
    assert f"\n| {getattr(check, 'name', '')} | " in PAGE.read_text()
