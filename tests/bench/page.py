"""Writes the tables of a benchmark into docs/performance.md, and keeps the figures beside it.

PYTHONPATH=functions:. python -m tests.bench.page [build/bench.json]
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.bench.tables import markdown
from tests.workflow.machine import ROOT

REPORT = ROOT / "build" / "bench.json"
PAGE, FIGURES = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.json"
_PLACE = "<!-- {0} -->\n", "\n<!-- end of {0} -->"


def parts(report: dict[str, Any]) -> dict[str, str]:
    """The text for each place of the page."""
    tables = {name: markdown(table["columns"], table["rows"]) for name, table in report["tables"].items()}
    taken = [f"{name}: {value}" for name, value in report["taken"].items()]
    return tables | {"taken": "\n".join(f"- {line}" for line in taken)}


def places(page: str) -> dict[str, str]:
    """What the page has between its markers."""
    return dict(re.findall(r"(?s)<!-- ([a-z-]+) -->\n(.*?)\n<!-- end of \1 -->", page))


def written(page: str, report: dict[str, Any]) -> str:
    """The page with this report's tables. A place without a table, and a table without a place, is an error."""
    texts = parts(report)
    assert places(page).keys() == texts.keys(), "the page has other places than the report has tables"
    for name, text in texts.items():
        begin, end = (mark.format(name) for mark in _PLACE)
        before, _, rest = page.partition(begin)
        page = before + begin + text + end + rest.partition(end)[2]
    return page


def main(report: Path = REPORT) -> None:
    FIGURES.write_text(report.read_text())
    PAGE.write_text(written(PAGE.read_text(), json.loads(FIGURES.read_text())))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
