"""The functions in processes of their own, with a fault at one of their calls."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.faults.edges import (
    AFTER,
    GONE,
    INVOCATION,
    KILLED,
    LATE,
    NOT_INVOKED,
    OUTAGE,
    REJECTED,
    STALE,
    STOPPED,
    TIMED_OUT,
    TIMEOUT,
    Fault,
)
from tests.workflow.machine import FunctionFailedError

ROOT = Path(__file__).parents[2]
# What the state machine sees of an invocation that is never made, or whose end nobody hears of.
ERRORS = {
    NOT_INVOKED: "Lambda.ServiceException",
    GONE: "Lambda.TooManyRequestsException",
    KILLED: "Runtime.ExitError",
    TIMEOUT: "Sandbox.Timedout",
    AFTER: "Lambda.SdkClientException",
    REJECTED: "PasswordRejectedError",
}


@dataclass
class Functions:
    """The handlers of a machine's states. `invocations` are the calls that each invocation made, in order.

    `age` lets a state's next read of the secret be an old one; `interrupt` ends an execution in this way.
    """

    path: Path
    log_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    age: Callable[[str], None] = lambda state: None
    interrupt: Callable[[str, str], None] = lambda execution, kind: None
    faults: list[Fault] = field(default_factory=list)
    invocations: list[tuple[str, list[str]]] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    outage: bool = False
    # A state whose function cannot be invoked any more in this attempt.
    gone: str = ""
    # The version whose value the service refuses.
    rejected: str = ""
    # The processes that wait for their next invocation, by what they were told of the world; other trials', too.
    warm: dict[str, "_Process"] = field(default_factory=dict)
    _late: "_Process | None" = None

    def handler(self, state: str) -> Callable[[Any, Any], Any]:
        return lambda event, _: self._invoke(state, event)

    def _invoke(self, state: str, event: Any) -> Any:
        self.land()
        if state == self.gone:
            raise FunctionFailedError(ERRORS[GONE], "made to fail by a fault")
        if (state, event["Request"]["ClientRequestToken"]) == ("SetSecret", self.rejected):
            raise FunctionFailedError(ERRORS[REJECTED], "made to fail by a fault")
        number = sum(name == state for name, _ in self.invocations)
        calls: list[str] = []
        self.invocations.append((state, calls))
        fault = next((each for each in self.faults if (each.edge.where, each.edge.time) == (state, number)), None)
        if fault is None or fault.edge.call != INVOCATION:
            return self._run(state, event, calls, fault)
        self.struck.append(fault)
        if fault.kind in (STOPPED, TIMED_OUT):
            self.interrupt(event["Request"]["Execution"], fault.kind)
            return self._run(state, event, calls, None)
        if fault.kind == AFTER:
            self._run(state, event, calls, None)
        self.gone = state if fault.kind == GONE else self.gone
        self.rejected = event["Request"]["ClientRequestToken"] if fault.kind == REJECTED else self.rejected
        raise FunctionFailedError(ERRORS[fault.kind], "made to fail by a fault")

    def land(self) -> None:
        """Let a late call take effect, if one waits."""
        if self._late:
            with closing(self._late) as process:
                self._late = None
                process.tell("go")
                process.lines.read()

    def _run(self, state: str, event: Any, calls: list[str], fault: Fault | None) -> Any:
        world = json.dumps({**self.environment, "AWS_SDK_UA_APP_ID": state})
        process = self.warm.pop(world, None) or _Process.started(self.path, world)
        laid = {"kind": fault.kind, "number": fault.edge.call} if fault else {}
        process.tell(json.dumps({"state": state, "event": event, "fault": {**laid, "outage": self.outage}}))
        try:
            answer = self._answer(state, process, calls, fault)
        except FunctionFailedError:
            if process is not self._late:
                process.close()
            raise
        self.warm[world] = process
        if "error" in answer:
            raise FunctionFailedError(answer["error"], answer["message"])
        return answer["answer"]

    def _answer(self, state: str, process: "_Process", calls: list[str], fault: Fault | None) -> dict[str, Any]:
        """What the function says at last. Raises FunctionFailedError if it does not come to that."""
        pid = 0
        for words in map(json.loads, process.lines):
            pid = words.get("process", pid)
            calls += [words["call"]] if "call" in words else []
            if fault and "strikes" in words:
                self._strikes(state, process, fault.at(calls[-1]))
            if "hangs" in words:
                os.kill(pid, signal.SIGKILL)
                raise FunctionFailedError(ERRORS[TIMEOUT], "the function reached its time limit")
            if "error" in words or "answer" in words:
                return dict(words)
        raise FunctionFailedError(ERRORS[KILLED], "the function's process died")

    def _strikes(self, state: str, process: "_Process", fault: Fault) -> None:
        self.struck.append(fault)
        self.outage = self.outage or fault.kind == OUTAGE
        if fault.kind == STALE:
            self.age(state)
            process.tell("go")
        if fault.kind == LATE:
            self._late = process
            raise FunctionFailedError(ERRORS[TIMEOUT], "nobody hears from it while the call is on its way")


@dataclass(frozen=True)
class _Process:
    """The connection to a process of a function; it ends when that is closed."""

    connection: socket.socket
    lines: Any

    @classmethod
    def started(cls, path: Path, world: str) -> Self:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        process = cls(connection, connection.makefile("rw"))
        process.tell(world)
        return process

    def tell(self, words: str) -> None:
        self.lines.write(words + "\n")
        self.lines.flush()

    def close(self) -> None:
        self.lines.close()
        self.connection.close()


@contextmanager
def running(folder: Path, trusted: str) -> Iterator[Functions]:
    """A server of functions that ends with the block. They trust this authority."""
    path, log_file = folder / "functions.socket", folder / "functions.log"
    environment = {"PATH": os.environ["PATH"], "PRIVATE_CA": trusted, "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    # Of a function that is killed, too, all that it has printed is to be seen.
    environment["PYTHONUNBUFFERED"] = "1"
    with log_file.open("wb") as log:
        command = [sys.executable, "-m", "tests.faults.function_process", str(path)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
    functions = Functions(path, log_file)
    try:
        while not path.exists():
            assert server.poll() is None, log_file.read_text()
            time.sleep(0.01)
        yield functions
    finally:
        for process in functions.warm.values():
            process.close()
        server.kill()
        server.wait()
        with suppress(FileNotFoundError):
            path.unlink()
