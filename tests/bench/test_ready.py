"""What is loaded between the change at the service and the promotion, by functions that KeepReadyRule has called."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rotation.step_handler import KEEP_READY
from tests.bench.retries import GOT_READY
from tests.bench.start_up import environment, of
from tests.faults.trial import TOLD
from tests.workflow.applications import SINGLE, Application, cases
from tests.workflow.machine import ROOT, Handler


@contextmanager
def process(state: str, log: Path, answers: dict[str, Any]) -> Iterator[Handler]:
    """A handler that a process of its own, which was kept ready, answers; `answers` has its last one, by state."""
    told = {name: os.environ[name] for name in TOLD} | {"AWS_SDK_UA_APP_ID": state}
    paths = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.bench.process", of(state)]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=environment() | told | paths,
        ) as started,
    ):

        def handler(event: Any, context: Any = None) -> Any:
            assert started.stdin and started.stdout
            print(json.dumps(event), file=started.stdin, flush=True)
            line = started.stdout.readline()
            assert line, log.read_text()
            answers[state] = json.loads(line)
            return answers[state]["answer"]

        assert handler(KEEP_READY) == {}
        yield handler
        assert started.stdin
        started.stdin.close()


@pytest.mark.parametrize("case", cases(lambda case: case.strategy == SINGLE and case.kind in ("postgres", "mariadb")))
def test_nothing_is_loaded_between_the_change_and_the_promotion(application: Application, tmp_path: Path) -> None:
    answers = dict[str, Any]()
    with ExitStack() as processes:
        for state in set(GOT_READY) - {"RollBack"}:
            started = process(state, tmp_path / state, answers)
            application.machine.handlers[state] = processes.enter_context(started)

        assert application.rotate() == "RotationSucceeded"

    before = answers.pop("SetSecret")
    assert {state: answer["loaded"] for state, answer in answers.items()} == {"TestSecret": [], "FinishSecret": []}
    if application.case.kind == "postgres":
        assert (before["changes"], before["loaded"]) == (1, [])
