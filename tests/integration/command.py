"""`rotatorctl` in processes of its own, forked from one that has read its modules: to read them takes the longest.

As the tool's own file starts it, it runs in test_local.py and in tests/contract/test_wheel.py.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import rotatorctl.cli  # noqa: F401  so that the forks have it
from rotatorctl.__main__ import main

ROOT = Path(__file__).parents[2]
# Seconds after which a command hangs.
PATIENCE = 120


@cache
def _forks() -> Any:
    """Where they are forked. Its process is told where modules are found by the environment alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.integration.clients_made"])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, (ROOT / "functions", ROOT)))):
        ensure_running()
    return context


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in json.loads(self.out)["problems"]]


@dataclass(frozen=True)
class Command:
    """One that runs, or has ended. `folder` holds what it is told, and what it says."""

    process: Any
    folder: Path

    @classmethod
    def started(cls, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str, stderr: str) -> Self:
        """`stderr` is a file that takes the place of one of its own, if it is given."""
        folder = Path(tempfile.mkdtemp(prefix="rotatorctl-"))
        own = [folder / name for name in ("in", "out", "err")]
        for file, content in zip(own, (stdin, "", ""), strict=True):
            file.write_text(content)
        told = (arguments, dict(environment), [*own[:2], Path(stderr or own[2])])
        process = _forks().Process(target=_run, args=told, daemon=True)
        process.start()
        return cls(process, folder)

    def says(self, text: str) -> bool:
        """Whether it has said so by now, on standard error."""
        return text in (self.folder / "err").read_text()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.process.pid, signal.SIGINT)

    def ended(self) -> Ran:
        self.process.join(PATIENCE)
        hangs = self.process.is_alive()
        self.process.kill()
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        shutil.rmtree(self.folder)
        assert not hangs, (out, err)
        return Ran(self.process.exitcode, out, err)


def _run(arguments: tuple[str, ...], environment: dict[str, str], files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")
    # A shell lets what it starts in the background ignore Ctrl-C, and so all that this starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    # As Python opens them itself.
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  they end with the process
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115  as above
    sys.argv = ["rotatorctl", *arguments]
    main()
