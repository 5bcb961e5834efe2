"""Every figure in one run: `make bench`. Prints the tables, and writes them with what they were taken from as JSON.

A property that is lost ends it with an error: a refusal where there must be none, an outcome that is not what it says.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import costs, durations, gap, load, package, scale, start_up
from tests.bench.gap import COLD
from tests.bench.offline import Offline
from tests.bench.page import REPORT
from tests.bench.tables import Table, markdown
from tests.bench.taken import taken

# A start of Python is short and varies most.
STARTS_PER_ROTATION = 2


def tables(rotations: int, levels: tuple[int, ...]) -> Iterator[Table]:
    """What is counted and measured without a stack first."""
    starts = STARTS_PER_ROTATION * rotations
    ready = start_up.ready(starts)
    yield start_up.table(start_up.measured(starts), ready)
    yield costs.table_of_calls()
    yield scale.table()
    at_the_service = durations.at_the_service(rotations)
    with Offline.started() as offline:
        yield package.table(offline.stack.work_dir / "build")
        found = durations.durations(offline, rotations)
        yield durations.table(found, at_the_service)
        yield costs.table_of_costs(next(each for each in found if each.functions == COLD), ready)
        yield gap.table(offline, rotations)
        yield load.table(offline, levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rotations", type=int, default=3, help="of which each figure is the median")
    parser.add_argument("--load", type=int, nargs="+", default=load.LEVELS, help="how many rotations at once, in turn")
    parser.add_argument("--json", type=Path, default=REPORT, help="where the report goes")
    options = parser.parse_args()
    begun, found = time.monotonic(), dict[str, Any]()
    on = taken() | {"medians": f"of {options.rotations} rotations"}
    for table in tables(options.rotations, tuple(options.load)):
        print(f"## {table.name}\n\n{markdown(table.columns, table.rows)}\n", flush=True)
        print(f"{table.name}: {time.monotonic() - begun:.0f} s so far", file=sys.stderr, flush=True)
        found[table.name] = table.as_json()
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps({"taken": on, "tables": found}, indent=1) + "\n")
    print(f"the report is {options.json}; python -m tests.bench.page writes it into the page", file=sys.stderr)


if __name__ == "__main__":
    main()
