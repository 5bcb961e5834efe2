"""The functions in processes of their own, each invocation a new one, with a fault at one of their calls.

A server forks once per invocation, from a process that has imported everything and done nothing: so a function that is
killed runs no `except` and no `finally`, and the next invocation starts cold. Run as a module with a socket's path.
"""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.calls import HUNG, Fault, watched
from tests.workflow.machine import STATES, FunctionFailedError

ROOT = Path(__file__).parents[2]
# What a fork brings along. The drivers too: importing them takes longer than a whole rotation.
IMPORTED = ["boto3", "pg8000.native", "pymysql", "pymongo", "redis", "rotation.runtime"]


def module_of(state: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", state).lower()


# ---- In the server's process and its children


def serve(path: str) -> None:
    for name in (*IMPORTED, *map(module_of, STATES)):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                with connection, connection.makefile("rw") as lines:
                    _invoked(lines)
                sys.stdout.flush()
                os._exit(0)
            connection.close()


def _invoked(lines: Any) -> None:
    told = json.loads(lines.readline())
    os.environ.update(told["environment"])

    def say(**words: Any) -> None:
        lines.write(json.dumps(words) + "\n")
        lines.flush()

    say(process=os.getpid())
    with watched(Fault(**told["fault"]) if told["fault"] else None, say):
        handler = importlib.import_module(module_of(told["state"])).handler
        try:
            say(answer=handler(told["event"], None))
        except Exception as error:
            say(error=type(error).__name__, message=str(error))


# ---- In the process of the machine


@dataclass
class Functions:
    """The handlers of a machine's states. `calls` are those that each invocation made, in order."""

    path: Path
    log_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    # The fault of one invocation: state, which of its invocations, which of its calls.
    faults: dict[tuple[str, int], Fault] = field(default_factory=dict)
    invocations: list[tuple[str, list[str]]] = field(default_factory=list)
    struck: int = 0

    def handler(self, state: str) -> Callable[[Any, Any], Any]:
        return lambda event, _: self._invoke(state, event)

    def _invoke(self, state: str, event: Any) -> Any:
        number = sum(name == state for name, _ in self.invocations)
        calls: list[str] = []
        self.invocations.append((state, calls))
        fault = self.faults.get((state, number))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.path))
            with connection.makefile("rw") as lines:
                request = {"state": state, "event": event, "environment": self.environment}
                request["fault"] = fault and fault.__dict__
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                return self._answer(lines, calls)

    def _answer(self, lines: Any, calls: list[str]) -> Any:
        process = 0
        for words in map(json.loads, lines):
            process = words.get("process", process)
            calls += [words["call"]] if "call" in words else []
            self.struck += "strikes" in words
            if HUNG in words:
                os.kill(process, signal.SIGKILL)
                raise FunctionFailedError("Sandbox.Timedout", "the function reached its time limit")
            if "error" in words:
                raise FunctionFailedError(words["error"], words["message"])
            if "answer" in words:
                return words["answer"]
        raise FunctionFailedError("Runtime.ExitError", "the function's process died")


@contextmanager
def running(folder: Path) -> Iterator[Functions]:
    """A server of functions that ends with the block."""
    path, log_file = folder / "functions.socket", folder / "functions.log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    with log_file.open("wb") as log:
        command = [sys.executable, "-m", "tests.faults.functions", str(path)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
    try:
        while not path.exists():
            assert server.poll() is None, log_file.read_text()
            time.sleep(0.01)
        yield Functions(path, log_file)
    finally:
        server.kill()
        server.wait()
        with suppress(FileNotFoundError):
            path.unlink()


if __name__ == "__main__":
    serve(sys.argv[1])
