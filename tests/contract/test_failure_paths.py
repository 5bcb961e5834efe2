"""docs/failures.md names a test for each way to fail, and every message links to a section of it: all are there."""

import re
from pathlib import Path

import pytest

from rotation import alert

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs/failures.md").read_text())))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_most_ways_to_fail_name_one() -> None:
    section = (ROOT / "docs/failures.md").read_text().partition("### Every way to fail")[2].partition("\n\n**")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]

    assert [row.split("|")[1].strip() for row in rows if "::" not in row and "| none: " not in row] == []


@pytest.mark.parametrize("file", ["functions/rotation/alert.py", "functions/rotation/overdue.py", "monitoring.yaml"])
def test_a_section_that_a_message_links_to_exists(file: str) -> None:
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs/failures.md").read_text(), re.MULTILINE)
    anchors = {re.sub("[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    text = (ROOT / file).read_text()

    linked = set(re.findall(r"RunbookUrl\}#([a-z-]+)", text)) | set(re.findall(r'runbook\("([a-z-]+)"\)', text))
    if file.endswith("alert.py"):
        linked = {*alert._SECTIONS.values(), alert._CHECK, alert._ACTION}

    assert linked
    assert linked <= anchors
