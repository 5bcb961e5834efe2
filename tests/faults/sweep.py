"""One fault at every edge of a rotation, and what is left afterwards: `make faults`.

For each engine with each strategy a clean rotation is recorded: every call that the functions make to AWS and to the
server, and every invocation by the state machine. Then, for each of them and each kind of fault, a new rotation has
exactly that fault. A judge looks from outside, lets Secrets Manager retry, and looks again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from tests.contract.worlds import WORLDS
from tests.contract.worlds import World as Server
from tests.faults import functions
from tests.faults.calls import KINDS, Fault
from tests.faults.functions import ROOT, Functions
from tests.faults.judge import Verdict, judged
from tests.workflow.applications import CASES, Application, Case, rotating
from tests.workflow.machine import STATES, FunctionFailedError

# What may happen to an invocation as a whole: it is never made, or its answer is lost.
NOT_INVOKED, ANSWER_LOST = "not invoked", "answer lost"
# What a function is told of the world.
TOLD = ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SDK_UA_APP_ID", "CONSOLE_URL"]
TOLD += ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "PRIVATE_CA"]


@dataclass(frozen=True)
class Edge:
    """A call of a state's function, counted from 0, or with -1 its invocation."""

    state: str
    call: int
    name: str

    def __str__(self) -> str:
        return f"{self.state} {self.call} {self.name}" if self.call >= 0 else f"{self.state} invocation"


@dataclass
class Sweep:
    """What was recorded and what came of each fault."""

    case: str
    edges: list[str]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Stage:
    """A running server, a server of functions, and the machine without its wait for late statements."""

    server: Server
    functions: Functions
    definition: dict[str, Any]

    @classmethod
    @contextmanager
    def set_up(cls, kind: str) -> Iterator[Self]:
        definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
        definition["States"]["AwaitLateStatement"]["Seconds"] = 0
        with (
            tempfile.TemporaryDirectory() as name,
            WORLDS[kind]() as server,
            functions.running(Path(name)) as started,
            patch.dict(os.environ, PRIVATE_CA=server.ca_pem),
        ):
            yield cls(server, started, definition)

    @contextmanager
    def application(self, case: Case) -> Iterator[tuple[Application, Functions]]:
        """An application whose functions run in processes of their own."""
        with rotating(case, self.server, self.definition) as application:
            environment = {name: os.environ[name] for name in TOLD}
            called = Functions(self.functions.path, self.functions.log_file, environment)
            application.machine.handlers.update({state: called.handler(state) for state in STATES})
            yield application, called


def recorded(stage: Stage, case: Case) -> list[Edge]:
    """The edges of a clean rotation, in their order."""
    with stage.application(case) as (application, called):
        assert application.rotate() == "RotationSucceeded", application.reason()
        edges = []
        for state, calls in called.invocations:
            edges.append(Edge(state, -1, "invocation"))
            edges += [Edge(state, number, name) for number, name in enumerate(calls)]
        return edges


def tried(stage: Stage, case: Case, edge: Edge, kind: str) -> Verdict:
    """One rotation with one fault, judged."""
    with stage.application(case) as (application, called):
        if edge.call >= 0:
            called.faults[(edge.state, 0)] = Fault(edge.call, kind)
        else:
            _break_invocation(application, called, edge.state, kind)
        return judged(application, called, str(edge), kind)


def _break_invocation(application: Application, called: Functions, state: str, kind: str) -> None:
    handler, left = application.machine.handlers[state], [kind]

    def broken(event: Any, context: Any) -> Any:
        if not left:
            return handler(event, context)
        left.pop()
        called.struck += 1
        if kind == NOT_INVOKED:
            raise FunctionFailedError("Lambda.ServiceException", "made to fail by a fault")
        handler(event, context)
        raise FunctionFailedError("Sandbox.Timedout", "the answer is lost by a fault")

    application.machine.handlers[state] = broken


def kinds(edge: Edge) -> tuple[str, ...]:
    return KINDS if edge.call >= 0 else (NOT_INVOKED, ANSWER_LOST)


def swept(kind: str) -> Iterator[Sweep]:
    """The whole sweep of the cases on one kind of server."""
    with Stage.set_up(kind) as stage:
        for case in (case for case in CASES if case.kind == kind):
            edges = recorded(stage, case)
            verdicts = [tried(stage, case, edge, each) for edge in edges for each in kinds(edge)]
            yield Sweep(str(case), list(map(str, edges)), verdicts)


# ---- The whole, one process for each kind of server


def _in_process(kind: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.faults.sweep", "--kind", kind]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    with tempfile.TemporaryFile("w+") as complaints:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, cwd=ROOT, env=environment, check=False
        )
        complaints.seek(0)
        if done.returncode:
            sys.exit(f"the sweep of {kind} broke off:\n{complaints.read()[-4000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"case"')]
    return [json.loads(line) for line in lines]


def table(sweeps: list[dict[str, Any]]) -> str:
    """One row for each engine with each strategy."""
    columns = ["engine, strategy", "edges", "faults", "healed", "rolled back", "untouched", "needs a person", "broken"]
    rows = []
    for sweep in sweeps:
        ends = Counter(verdict["end"] for verdict in sweep["verdicts"])
        broken = sum(bool(verdict["broken"]) for verdict in sweep["verdicts"])
        counts = [ends["rotated"], ends["rolled back"], ends["untouched"], ends["needs a person"], broken]
        rows.append([sweep["case"], len(sweep["edges"]), len(sweep["verdicts"]), *counts])
    rows.append(["all", *(sum(row[column] for row in rows) for column in range(1, len(columns)))])
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=WORLDS, help="sweep the cases on this kind of server, one JSON line each")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "faults.json", help="where the report goes")
    options = parser.parse_args()
    if options.kind:
        for sweep in swept(options.kind):
            print(json.dumps(asdict(sweep)), flush=True)
        return 0
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sweeps = [sweep for found in pool.map(_in_process, WORLDS) for sweep in found]
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps(sweeps, indent=1))
    print(table(sweeps))
    broken = [(sweep["case"], each) for sweep in sweeps for each in sweep["verdicts"] if each["broken"]]
    for case, verdict in broken:
        print(f"BROKEN {case}: {verdict['kind']} at {verdict['edge']}: {'; '.join(verdict['broken'])}")
    print(f"{time.monotonic() - began:.0f} s; the report is {options.json}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
