"""How long each function takes to be imported, beside the floor: boto3 and one client, which every one of them needs.
And how long those take in all that KeepReadyRule calls.

    PYTHONPATH=functions:. python -m tests.bench.start_up [runs]

Each measurement is a process of its own. Processor time is counted, which other work on the machine lengthens less than
time on the wall. As in Lambda the functions' code comes without compiled files beside it, boto3 with them.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping

from rotation.step_handler import KEEP_READY
from tests.bench.retries import GOT_READY
from tests.bench.tables import Cell, Table, markdown
from tests.contract.imports import FUNCTIONS, HANDLERS
from tests.templates import TEMPLATE

FLOOR = "import boto3; boto3.client('secretsmanager')"
# How much more than the floor those may need that load no driver.
LIMIT = 1.2
WITHOUT_A_DRIVER = ("create_secret", "finish_secret", "rotate", "find_overdue")

COLUMNS = (
    *("function", "import in ms of processor time", "compared with the floor, x", "limit"),
    "import and KeepReadyRule's call in ms of processor time",
)

_MEASURED = """
import time
begun = time.process_time()
{code}
print(time.process_time() - begun)
"""


def environment() -> dict[str, str]:
    """What a function is told, and no more."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(FUNCTIONS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def in_a_new_process(code: str) -> str:
    """What it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(), check=True, capture_output=True, text=True
    ).stdout


def measured(runs: int) -> dict[str, float]:
    """The median of the seconds that each handler takes with the floor, and the floor's own under the name "floor"."""
    return _seconds({"floor": FLOOR} | {name: f"{FLOOR}; import {name}" for name in HANDLERS}, runs)


def ready(runs: int) -> dict[str, float]:
    """The median of the seconds that each function takes to start and answer KeepReadyRule, by the rule's targets."""
    calls = {name: f"import {of(name)}; {of(name)}.handler({KEEP_READY}, None)" for name in GOT_READY}
    return _seconds(calls, runs)


def of(function: str) -> str:
    """The module of a function's handler."""
    handler: str = TEMPLATE["Resources"][f"{function}Function"]["Properties"]["Handler"]
    return handler.partition(".")[0]


def _seconds(codes: Mapping[str, str], runs: int) -> dict[str, float]:
    """One run measures all of them in turn, so that what slows the machine slows all."""
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(runs):
        for name, code in codes.items():
            seconds[name].append(float(in_a_new_process(_MEASURED.format(code=code))))
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(found: Mapping[str, float], found_ready: Mapping[str, float]) -> Table:
    answers = {of(name): round(seconds * 1000) for name, seconds in found_ready.items()}
    rows: list[list[Cell]] = []
    for name, seconds in found.items():
        limit = f"at most {LIMIT}" if name in WITHOUT_A_DRIVER else ""
        rows.append([name, round(seconds * 1000), round(seconds / found["floor"], 2), limit, answers.get(name, "")])
    return Table("start-up", COLUMNS, rows)


def main(runs: int = 15) -> None:
    found = table(measured(runs), ready(runs))
    print(markdown(found.columns, found.rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
