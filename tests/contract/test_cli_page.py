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


def causes_of_aws() -> dict[str, set[str]]:
    """The codes of each row of the page's table of AWS's causes."""
    rows = PAGE.read_text().partition("#### AWS's list of causes")[2].partition("\n### ")[0].split("\n")
    split = [row.strip("| ").split(" | ") for row in rows if row.startswith("| ") and row != "| cause | here |"]
    return {cause: set(re.findall(r"`([A-Z][A-Za-z]+)`", codes)) & set(FINDINGS) for cause, codes in split}


def test_each_cause_of_awss_page_has_codes_of_its_own() -> None:
    causes = causes_of_aws()
    named = [code for codes in causes.values() for code in codes]

    assert len(causes) == 19
    assert [cause for cause, codes in causes.items() if not codes] == []
    assert sorted(code for code in set(named) if named.count(code) > 1) == []


def test_what_an_execution_can_show_of_awss_causes_is_told_by_one_code_each() -> None:
    """The rest of the codes is for causes that AWS's page does not have."""
    told = {code for codes in causes_of_aws().values() for code in codes} & {cause.code for cause in CAUSES}

    assert {cause.code for cause in CAUSES} - told == {"PasswordRejected", "RightsMissing"}
    assert all(len(codes & told) <= 1 for codes in causes_of_aws().values())
