"""SECURITY.md names for each attacker what proves that he cannot: the tests are there, and nobody is left out.

So are those that docs/accounts-and-regions.md names.
"""

import re
from pathlib import Path

import pytest

from tests.contract.test_template import ACTIONS, FUNCTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| **")]
# What who has broken into a function could do.
COMPROMISED = {row[0].split("`")[1]: row[1] for row in ROWS if "` compromised**" in row[0]}
NAMED = [
    named
    for page in (PAGE, (ROOT / "docs/accounts-and-regions.md").read_text())
    for named in sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)`", page)))
]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_an_attacker_cannot_do_is_proven_or_said_not_to_be(row: list[str]) -> None:
    _, could, _, proof = row

    assert could
    assert ("::" in proof) != proof.startswith("not proven, because ")


def test_there_are_rows_and_tests() -> None:
    assert len(ROWS) == PAGE.count("\n| **") > 20
    assert len(NAMED) > len(ROWS)


def test_every_function_has_its_row() -> None:
    assert COMPROMISED.keys() == {snake(name.removesuffix("Function")) for name in FUNCTIONS}


def test_a_function_that_may_ask_rds_about_every_database_says_so_in_its_row() -> None:
    saying = {name for name, could in COMPROMISED.items() if "`rds:DescribeDBInstances`" in could}

    assert saying == {
        snake(role.removesuffix("Role")) for role in ACTIONS if "rds:DescribeDBInstances" in ACTIONS[role]
    }


def test_what_iam_cannot_confine_is_said_here_too() -> None:
    assert "IAM has no condition on the stage of PutSecretValue" in PAGE
