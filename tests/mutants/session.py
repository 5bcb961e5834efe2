"""One pytest session that tries many mutants, each in a fork of its own, after the servers have been started."""

import ast
import faulthandler
import gc
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, TextIO

import pytest
from _pytest.fixtures import pytest_fixture_setup
from _pytest.runner import runtestprotocol

from tests.mutants import swap

SURVIVED, KILLED, NOT_IN_PLACE, TIMEOUT = 0, 10, 11, 1
OUTCOMES = {SURVIVED: "survived", KILLED: "killed", NOT_IN_PLACE: "not in place", TIMEOUT: "timeout"}
UNREPEATABLE = "cannot be repeated: "
# Seconds of tests, by their own time, after which a mutant counts as a survivor.
MOST_SECONDS = 60.0
# The fixtures that start servers, and what they depend on.
SERVERS = ("case", "kind", "objects", "readable", "running", "server", "start")
TOOL = sys.monitoring.COVERAGE_ID
LINE = sys.monitoring.events.LINE


class Mutants:
    """The plugin. `results` are written as each is known: name, outcome, the test, seconds."""

    def __init__(self, mutants: list[dict[str, Any]], results: Path) -> None:
        self._mutants = mutants
        self._results = results
        self._kept: dict[Any, Any] = {}
        self._finalizers: list[Any] = []
        self._ran: dict[tuple[str, int | str], set[int]] = defaultdict(set)
        self._ways: dict[tuple[int, str], int] = {}
        self._seconds: dict[int, float] = {}
        self._proven: set[int] = set()
        self._unrepeatable: set[int] = set()
        self._kills: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> object:
        """Servers are started once: what outlives a test is kept until the end, also from one parameter to the next."""
        if fixturedef.scope == "function" or fixturedef.argname not in SERVERS:
            return None
        values = tuple(id(request.getfixturevalue(name)) for name in fixturedef.argnames if name != "request")
        parameter = fixturedef.cache_key(request)
        key = (fixturedef.argname, fixturedef.baseid, repr(parameter), values)
        if key not in self._kept:
            pytest_fixture_setup(fixturedef, request)
            self._kept[key] = fixturedef.cached_result[0]
            self._finalizers += fixturedef._finalizers
            fixturedef._finalizers.clear()
        fixturedef.cached_result = (self._kept[key], parameter, None)
        return True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        self._items = session.items
        try:
            self._clean()
            swap.existing()
            gc.collect()
            gc.freeze()
            for number, mutant in enumerate(self._mutants):
                if number % 200 == 0:
                    self._proven.clear()
                self._try(mutant)
        finally:
            for finalizer in reversed(self._finalizers):
                finalizer()
        return True

    def _clean(self) -> None:
        """Run every test once without a mutant, and see which lines it runs and how long it takes."""
        sys.monitoring.use_tool_id(TOOL, "mutants")
        sys.monitoring.set_events(TOOL, LINE)
        ran: set[tuple[str, int | str]] = set()
        functions = str(swap.FUNCTIONS)

        def reached(code: CodeType, line: int) -> Any:
            if code.co_filename.startswith(functions):
                function = code.co_qualname.partition(".<locals>")[0]
                ran.update(((code.co_filename, line), (code.co_filename, function)))
            return sys.monitoring.DISABLE

        sys.monitoring.register_callback(TOOL, LINE, reached)
        for number in range(len(self._items)):
            ran.clear()
            sys.monitoring.restart_events()
            begun = time.monotonic()
            if failure := self._run(number):
                pytest.exit(f"fails without a mutant: {self._items[number].nodeid}\n{failure}", returncode=3)
            self._seconds[number] = time.monotonic() - begun
            self._remember(number, frozenset(ran))
        sys.monitoring.free_tool_id(TOOL)

    def _remember(self, test: int, ran: frozenset[tuple[str, int | str]]) -> None:
        for each in ran:
            self._ran[each].add(test)
        for file in {file for file, _ in ran}:
            self._ways[test, file] = hash(frozenset(place for where, place in ran if where == file))

    def _run(self, number: int) -> str:
        """The failure of one test, or nothing. As if more of the session came, so the session is not torn down."""
        item = self._items[number]
        more: Any = item.session
        reports = runtestprotocol(item, log=False, nextitem=more)
        return "\n".join(str(report.longrepr)[-1500:] for report in reports if report.failed)

    def _tests(self, mutant: dict[str, Any]) -> list[int]:
        """The tests that run the mutant's lines, or its module; first the quick ones and those that have killed."""
        file = str(Path(mutant["file"]).resolve())
        function, lines = mutant["function"], range(mutant["line"], mutant["line"] + len(mutant["old"]))
        places = {place: tests for (path, place), tests in self._ran.items() if path == file}
        of_module: set[int] = set().union(*places.values())
        # What only reads a constant runs no line of its module.
        if not function:
            of_module |= self._importing(mutant["file"])
        # The defaults of a function are evaluated before any test runs.
        of_lines = set().union(*(places.get(line, set()) for line in lines)) or places.get(function, set())
        ran = (of_lines if function else of_module) - self._unrepeatable
        chosen, seconds = [], 0.0
        for test in self._ordered(ran, file, function):
            if seconds + self._seconds[test] <= MOST_SECONDS:
                seconds += self._seconds[test]
                chosen.append(test)
        return chosen

    def _importing(self, file: str) -> set[int]:
        """The tests in modules that import this one, or something of it."""
        name = swap.module_of(file).__name__
        return {number for number, item in enumerate(self._items) if name in _imported(str(item.path))}

    def _ordered(self, tests: set[int], file: str, function: str) -> list[int]:
        """Of those that take the same way through the module one, then the next ones: another way sees other things."""
        here, there = self._kills[file, function], self._kills[file, ""]
        by_cost = sorted(
            tests, key=lambda each: (self._seconds[each] + 0.01) / (4 * here[each] + there[each] / 4 + 0.5)
        )
        taken: Counter[int] = Counter()
        turns = {}
        for test in by_cost:
            way = self._ways.get((test, file), 0)
            turns[test] = taken[way]
            taken[way] += 1
        return sorted(by_cost, key=turns.__getitem__)

    def _try(self, mutant: dict[str, Any]) -> None:
        begun = time.monotonic()
        status, last = self._fork(mutant, tests := self._tests(mutant))
        while status == KILLED and last >= 0 and not self._repeatable(last):
            status, last = self._fork(mutant, tests := self._tests(mutant))
        outcome = OUTCOMES.get(status, f"status {status}") if tests or status else "no tests"
        if status == KILLED and last >= 0:
            file = str(Path(mutant["file"]).resolve())
            self._kills[file, mutant["function"]][last] += 1
            self._kills[file, ""][last] += 1
        result = {
            "name": mutant["name"],
            "outcome": outcome,
            "test": self._items[last].nodeid if last >= 0 else "",
            "tests": len(tests),
            "seconds": round(time.monotonic() - begun, 2),
        }
        with self._results.open("a") as results:
            results.write(json.dumps(result) + "\n")

    def _repeatable(self, test: int) -> bool:
        """Whether a test that failed with a mutant passes without one, here and now. If not it says nothing."""
        if test not in self._proven:
            status, _ = self._fork(None, [test])
            if status != SURVIVED:
                print(f"{UNREPEATABLE}{self._items[test].nodeid}", flush=True)
                self._unrepeatable.add(test)
                return False
            self._proven.add(test)
        return True

    def _fork(self, mutant: dict[str, Any] | None, tests: list[int]) -> tuple[int, int]:
        """Exit status and the last test, -1 before the first."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            status = 99
            try:
                os.close(read)
                os.setpgid(0, 0)
                status = self._child(mutant, tests, write)
            finally:
                os._exit(status)
        os.close(write)
        told = b""
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        while chunk := os.read(read, 65536):
            told += chunk
        os.close(read)
        return os.waitstatus_to_exitcode(status), int(told.split()[-1]) if told else -1

    def _child(self, mutant: dict[str, Any] | None, tests: list[int], write: int) -> int:
        try:
            if mutant:
                swap.put(mutant)
        except swap.NotInPlaceError:
            return NOT_IN_PLACE
        except Exception:
            return KILLED
        with self._results.with_suffix(".stacks").open("a") as stacks:
            return KILLED if any(self._fails(test, write, stacks) for test in tests) else SURVIVED

    def _fails(self, test: int, write: int, stacks: TextIO) -> bool:
        os.write(write, f"{test} ".encode())
        faulthandler.dump_traceback_later(10 + 10 * self._seconds[test], exit=True, file=stacks)
        failure = self._run(test)
        faulthandler.cancel_dump_traceback_later()
        return bool(failure)


@cache
def _imported(path: str) -> set[str]:
    """The modules that a file imports, and the names that it imports from them."""
    nodes = list(ast.walk(ast.parse(Path(path).read_text())))
    whole = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    parts = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return whole.union(*({str(node.module), *(f"{node.module}.{each.name}" for each in node.names)} for node in parts))


def main(arguments: list[str], mutants: Path, results: Path) -> int:
    results.unlink(missing_ok=True)
    plugin = Mutants(json.loads(mutants.read_text()), results)
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *arguments], [plugin]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[3:], Path(sys.argv[1]), Path(sys.argv[2])))
