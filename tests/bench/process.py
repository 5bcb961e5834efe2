"""A function in a process of its own, as Lambda keeps one: `python -m tests.bench.process MODULE`.

Takes an event on each line. Answers with what the handler returned, and which modules were loaded meanwhile; if the
function changed a user of PostgreSQL, which since then.
"""

import importlib
import json
import sys
from typing import Any


class Loaded:
    """The modules that have been loaded since this was made, or since the last change of a user in PostgreSQL."""

    def __init__(self) -> None:
        self._before = set(sys.modules)
        self.changes = 0

    def __call__(self) -> list[str]:
        return sorted(set(sys.modules) - self._before)

    def from_the_change_on(self, run: Any) -> Any:
        """The driver's way to run a statement."""

        def running(connection: Any, statement: str, **values: Any) -> Any:
            answer = run(connection, statement, **values)
            if statement.startswith("ALTER ROLE"):
                self._before, self.changes = set(sys.modules), self.changes + 1
            return answer

        return running


def serve(module: str) -> None:
    # What a function prints is its log.
    answers, sys.stdout = sys.stdout, sys.stderr
    handler = importlib.import_module(module).handler
    for line in sys.stdin:
        loaded = Loaded()
        _watch_for_a_change(loaded)
        answer = handler(json.loads(line), None)
        print(json.dumps({"answer": answer, "loaded": loaded(), "changes": loaded.changes}), file=answers, flush=True)


def _watch_for_a_change(loaded: Loaded) -> None:
    """The driver is loaded with the engine, and not before."""
    engines: Any = sys.modules.get("rotation.engines")
    if not engines:
        return
    load = engines.load

    def loading(*traits: Any, **named: Any) -> Any:
        engine = load(*traits, **named)
        if driver := sys.modules.get("pg8000.native"):
            driver.Connection.run = loaded.from_the_change_on(driver.Connection.run)
        engines.load = load
        return engine

    engines.load = loading


if __name__ == "__main__":
    serve(sys.argv[1])
