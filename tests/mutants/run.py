"""Every mutant of functions/rotation against the tests that run it: `make mutants`.

    python -m tests.mutants.run                      everything, in four processes
    python -m tests.mutants.run rollback postgres    modules whose file begins so
    python -m tests.mutants.run --sample 8           one in so many, for an estimate
    python -m tests.mutants.run --unit               what the tests without a server hold, within a few minutes

Fails if a mutant survives that is not in survivors.txt, or was not tried. The report is build/mutants.json.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.session import UNREPEATABLE

ROOT = Path(__file__).parents[2]
ROTATION = ROOT / "functions/rotation"
BUILD = ROOT / "build/mutants"
SURVIVORS = Path(__file__).with_name("survivors.txt")
PROCESSES = 4
# Of what is no engine's.
PARTS = 2
SEED = 20261125
# Nothing else needs what mutmut brings, so it has an environment of its own.
MUTMUT = ROOT / ".venv-mutants/bin/python"

UNIT = [
    "tests/unit",
    # Its machine replaces AWS for a whole module, and so for whatever comes after it.
    "--deselect=tests/unit/test_failures_page.py::"
    "test_the_example_of_a_rollback_that_could_not_look_is_the_message_of_the_state_machine",
]
# Modules whose mutants the tests without a server are to kill.
HELD_BY_UNIT = (
    "alert",
    "aws",
    "call",
    "log_ins",
    "outcome",
    "passwords",
    "redaction",
    "report",
    "secret_fields",
    "settings",
)
ENGINES = {"mysql": "mariadb", "postgres": "postgres", "mongo": "mongo", "redis": "redis"}


@dataclass(frozen=True)
class Group:
    """The tests that are to kill the mutants of some modules."""

    name: str
    tests: list[str]


def groups() -> list[Group]:
    """The slowest first."""
    rest = [*UNIT, "tests/workflow", "tests/contract/test_handlers.py", "tests/contract/test_certificates.py"]
    common = [Group(f"rest-{part}", [*rest, "-k", "unit or (not mongo and not bad_input)"]) for part in range(PARTS)]
    engines = [
        Group(
            name,
            [
                *UNIT,
                "tests/contract",
                "-k",
                f"unit or test_{name} or {kind}",
                "--ignore=tests/contract/test_adding_an_engine.py",
            ],
        )
        for name, kind in ENGINES.items()
    ]
    return [*common, *engines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--unit", action="store_true")
    parser.add_argument("--sample", type=int, default=1)
    parser.add_argument("--seed", type=int, default=SEED, help="draws another sample")
    arguments = parser.parse_args()
    begins = tuple(arguments.modules) or (HELD_BY_UNIT if arguments.unit else ("",))
    files = [str(path.relative_to(ROOT)) for path in sorted(ROTATION.rglob("*.py"))]
    chosen = [file for file in files if Path(file).stem.startswith(begins)]
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [str(MUTMUT), "-m", "tests.mutants.mutations", *chosen]
    mutants = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    random.Random(arguments.seed).shuffle(mutants)
    mutants = mutants[:: arguments.sample]
    with ThreadPoolExecutor(PROCESSES) as pool:
        halves = [(Group(f"unit-{part}", UNIT), mutants[part::PARTS]) for part in range(PARTS)]
        work = halves if arguments.unit else parts(mutants)
        results = [each for found in pool.map(tried, *zip(*work, strict=True)) for each in found]
    return report(mutants, results)


def parts(mutants: list[dict[str, Any]]) -> list[tuple[Group, list[dict[str, Any]]]]:
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    functions: dict[tuple[str, str], int] = {}
    for mutant in mutants:
        name = next((name for name in ENGINES if f"engines/{name}" in mutant["file"]), "rest")
        if name == "rest":
            place = functions.setdefault((mutant["file"], mutant["function"]), len(functions))
            name = f"rest-{place % PARTS}"
        of[name].append(mutant)
    return [(group, of[group.name]) for group in groups() if of[group.name]]


def tried(group: Group, mutants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    given, results = BUILD / f"{group.name}.in.json", BUILD / f"{group.name}.jsonl"
    given.write_text(json.dumps(mutants))
    session = [sys.executable, "-m", "tests.mutants.session", str(given), str(results), *group.tests]
    with (said := BUILD / f"{group.name}.log").open("w") as log:
        subprocess.run(session, cwd=ROOT, check=True, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if lost := said.read_text().count(UNREPEATABLE):
        print(f"{group.name}: {lost} tests fail in a fork without a mutant too, and count for nothing: {said}")
    return [json.loads(line) for line in results.read_text().splitlines()]


def report(mutants: list[dict[str, Any]], results: list[dict[str, Any]]) -> int:
    outcome = {mutant["name"]: "not tried" for mutant in mutants} | {each["name"]: each["outcome"] for each in results}
    modules: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        modules[mutant["file"]][outcome[mutant["name"]]] += 1
    (ROOT / "build/mutants.json").write_text(json.dumps({"modules": modules, "results": results}, indent=1))
    for file, counts in modules.items():
        print(line(file.removeprefix("functions/rotation/"), counts))
    print(line("all", sum(modules.values(), Counter())))
    known = {each for each in SURVIVORS.read_text().splitlines() if each and not each.startswith("#")}
    new = [name for name, how in outcome.items() if how not in ("killed", "timeout") and name not in known]
    print(*(f"{outcome[name]}: {name}" for name in new), sep="\n")
    return int(bool(new))


def line(name: str, counts: Counter[str]) -> str:
    killed = counts["killed"] + counts["timeout"]
    rest = ", ".join(f"{number} {how}" for how, number in counts.items() if how != "killed")
    return f"{name:32} {counts.total():5} mutants {100 * killed / counts.total():5.1f} % killed; {rest}"


if __name__ == "__main__":
    sys.exit(main())
