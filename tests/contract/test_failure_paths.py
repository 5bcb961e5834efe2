"""docs/failures.md names a test for each way to fail: each is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs/failures.md").read_text())))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_most_ways_to_fail_name_one() -> None:
    section = (ROOT / "docs/failures.md").read_text().partition("### Every way to fail")[2].partition("\n\n**")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]

    assert [row.split("|")[1].strip() for row in rows if "::" not in row and "| none: " not in row] == []
