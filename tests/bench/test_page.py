"""docs/performance.md shows what docs/performance.json holds, and no more."""

import json

import pytest

from tests.bench.page import FIGURES, PAGE, parts, places, written
from tests.bench.tables import markdown

TABLES = {"start-up", "calls", "simulation", "package", "durations", "costs", "gap", "load"}


def test_the_page_has_the_figures_of_the_report() -> None:
    """After `make bench`: PYTHONPATH=functions:. python -m tests.bench.page."""
    report = json.loads(FIGURES.read_text())

    assert written(PAGE.read_text(), report) == PAGE.read_text()
    assert report["tables"].keys() == TABLES
    assert all(len(row) == len(table["columns"]) for table in report["tables"].values() for row in table["rows"])


def test_a_table_takes_its_place_and_leaves_the_text_around_it() -> None:
    page = "Text.\n\n<!-- one -->\nold\n<!-- end of one -->\n\nMore.\n\n<!-- taken -->\n\n<!-- end of taken -->\n"
    report = {"taken": {"date": "2026-01-01"}, "tables": {"one": {"columns": ["of", "ms"], "rows": [["it", 1234.5]]}}}

    new = written(page, report)

    rows = "| of | ms |\n| --- | --- |\n| it | 1,234 |"
    assert places(new) == parts(report) == {"one": rows, "taken": "- date: 2026-01-01"}
    assert new.startswith("Text.\n\n<!-- one -->\n") and "\n\nMore.\n\n" in new
    assert written(new, report) == new


def test_a_table_without_a_place_is_not_left_out_in_silence() -> None:
    with pytest.raises(AssertionError, match="other places"):
        written("Text.\n", {"taken": {}, "tables": {}})


def test_numbers_are_shown_with_as_much_as_they_say() -> None:
    assert markdown(["a"], [[0.0], [12.5], [99.96], [1_234_567.8], ["0"]]).split("\n")[2:] == [
        *("| 0 |", "| 12.5 |", "| 99.96 |", "| 1,234,568 |", "| 0 |")
    ]
