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

from rotation.engines import ENGINES
from rotation.step_handler import KEEP_READY
from tests.bench.retries import GOT_READY
from tests.bench.start_up import environment, in_a_new_process, of
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


def of_the_driver(engine: str) -> set[str]:
    """What an engine loads beside what TestSecret has loaded by itself."""
    code = "import json, sys, {}; print(json.dumps(list(sys.modules)))"
    without, loaded = (
        set(json.loads(in_a_new_process(code.format(names)))) for names in ("test_secret", f"test_secret, {engine}")
    )
    return loaded - without


@pytest.mark.parametrize("case", cases(lambda case: case.strategy == SINGLE and case.kind in ("postgres", "mariadb")))
def test_between_the_change_and_the_promotion_the_driver_alone_is_loaded(
    application: Application, tmp_path: Path
) -> None:
    """By TestSecret, which proves the change; see decision 0022."""
    answers = dict[str, Any]()
    with ExitStack() as processes:
        for state in set(GOT_READY) - {"RollBack"}:
            started = process(state, tmp_path / state, answers)
            application.machine.handlers[state] = processes.enter_context(started)

        assert application.rotate() == "RotationSucceeded"

    engine = ENGINES[application.case.kind].module
    assert set(answers["TestSecret"]["loaded"]) - of_the_driver(f"rotation.engines.{engine}") == set()
    assert answers["FinishSecret"]["loaded"] == []
    if application.case.kind == "postgres":
        assert (answers["SetSecret"]["changes"], answers["SetSecret"]["loaded"]) == (1, [])
