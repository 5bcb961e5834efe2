"""Sweeps every engine with every strategy, several at a time, and tells what came of it: `make faults`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.edges import KINDS
from tests.faults.functions import ROOT
from tests.faults.sweep import SEED, swept
from tests.faults.trial import NOT_STARTED, Stage
from tests.workflow.applications import CASES

# How the first attempt ended; "rotated" is what the state machine's own retries healed, or what took effect after all.
ENDS = {"healed": "rotated", "rolled back": "rolled back", "untouched": "untouched"}
ENDS |= {"needs a person": "needs a person", "not started": NOT_STARTED}


def counted(verdicts: list[dict[str, Any]]) -> list[int]:
    """Faults, how their first attempts ended, broken promises."""
    ends = Counter(verdict["ends"][0] for verdict in verdicts)
    return [len(verdicts), *(ends[end] for end in ENDS.values()), sum(bool(each["broken"]) for each in verdicts)]


def table(sweeps: list[dict[str, Any]]) -> str:
    """One row for each engine with each strategy."""
    columns = ["engine, strategy", "edges", "edge x kind", "pairs", "tried", *ENDS, "broken"]
    rows: list[list[Any]] = []
    for sweep in sweeps:
        counts = [len(sweep["edges"]), sweep["applicable"], sweep["pairs"]]
        rows.append([sweep["case"], *counts, *counted(sweep["verdicts"])])
    rows.append(["all", *(sum(row[column] for row in rows) for column in range(1, len(columns)))])
    return _markdown(columns, rows)


def table_of_kinds(sweeps: list[dict[str, Any]]) -> str:
    """One row for each kind of fault; of a pair the second one counts."""
    verdicts = [verdict for sweep in sweeps for verdict in sweep["verdicts"]]
    rows = [[kind, *counted([each for each in verdicts if each["kind"] == kind])] for kind in KINDS]
    return _markdown(["kind of fault", "tried", *ENDS, "broken"], rows)


def table_of_both(sweeps: list[dict[str, Any]]) -> str:
    """One row for each engine with each strategy and each kind of fault that it had."""
    rows: list[list[Any]] = []
    for sweep in sweeps:
        of = {kind: [each for each in sweep["verdicts"] if each["kind"] == kind] for kind in KINDS}
        rows += [[sweep["case"], kind, *counted(verdicts)] for kind, verdicts in of.items() if verdicts]
    return _markdown(["engine, strategy", "kind of fault", "tried", *ENDS, "broken"], rows)


def _markdown(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _in_process(number: int, part: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.report", "--case", str(number), "--part", str(part)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    with tempfile.TemporaryFile("w+") as complaints:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, cwd=ROOT, env=environment, check=False
        )
        complaints.seek(0)
        if done.returncode:
            sys.exit(f"the sweep of {CASES[number]} broke off:\n{complaints.read()[-4000:]}")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('{"case"'))
    print(f"swept: {CASES[number]}, part {part + 1} of {_parts(number)}", file=sys.stderr, flush=True)
    return dict(json.loads(line))


def _parts(number: int) -> int:
    """The first case has several times as many edges as any other."""
    return 1 if number else 3


def _joined(sweeps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sweep of a case, of its parts: each has recorded the same edges."""
    first, *others = sweeps
    assert all(each["edges"] == first["edges"] for each in others), first["case"]
    verdicts = [verdict for each in (first, *others) for verdict in each["verdicts"]]
    return {**first, "pairs": sum(each["pairs"] for each in (first, *others)), "verdicts": verdicts}


def _all(path: Path) -> int:
    began = time.monotonic()
    # A rotation waits longer than it works.
    with ThreadPoolExecutor(3 * (os.cpu_count() or 1)) as pool:
        parts = [
            [pool.submit(_in_process, number, part) for part in range(_parts(number))] for number in range(len(CASES))
        ]
        sweeps = [_joined(part.result() for part in each) for each in parts]
    path.parent.mkdir(exist_ok=True)
    report = {"date": datetime.now(UTC).date().isoformat(), "seed": SEED, "sweeps": sweeps}
    path.write_text(json.dumps(report, indent=1))
    print(table_of_both(sweeps), table(sweeps), table_of_kinds(sweeps), sep="\n\n")
    broken = [(sweep["case"], each) for sweep in sweeps for each in sweep["verdicts"] if each["broken"]]
    for case, verdict in broken:
        print(f"BROKEN {case}: {' + '.join(verdict['faults'])}: {'; '.join(verdict['broken'])}")
    untried = [sweep["case"] for sweep in sweeps if len(sweep["verdicts"]) != sweep["applicable"] + sweep["pairs"]]
    for case in untried:
        print(f"UNTRIED {case}: not every edge with every kind has a verdict")
    most = max(verdict["refused"] for sweep in sweeps for verdict in sweep["verdicts"])
    print(f"at most {most} log-ins refused in one attempt; {time.monotonic() - began:.0f} s; the report is {path}")
    return 1 if broken or untried else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=int, help="sweep this one of the cases and print it as one JSON line")
    parser.add_argument("--part", type=int, default=0, help="only this one of the parts in which the case is swept")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "faults.json", help="where the report goes")
    options = parser.parse_args()
    if options.case is None:
        return _all(options.json)
    case = CASES[options.case]
    with Stage.set_up(case.kind) as stage:
        print(json.dumps(asdict(swept(stage, case, options.part, _parts(options.case)))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
