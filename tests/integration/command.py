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
from pathlib import Path
from typing import Any, Self, TextIO

from rotatorctl.__main__ import main

# Seconds after which a command hangs.
PATIENCE = 120

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["rotatorctl.cli", __name__])


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
    """One that runs, or has ended. `stderr` can be read meanwhile."""

    process: Any
    folder: Path
    stderr: TextIO

    @classmethod
    def started(cls, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str, stderr: str) -> Self:
        """`stderr` is a file that takes the place of one of its own, if it is given."""
        folder = Path(tempfile.mkdtemp(prefix="rotatorctl-"))
        own = [folder / name for name in ("in", "out", "err")]
        for file, content in zip(own, (stdin, "", ""), strict=True):
            file.write_text(content)
        files = [*own[:2], Path(stderr or own[2])]
        process = _forks.Process(target=_run, args=(arguments, dict(environment), files), daemon=True)
        process.start()
        return cls(process, folder, own[2].open())

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.process.pid, signal.SIGINT)

    def ended(self) -> Ran:
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, "it hangs"
        self.stderr.close()
        ran = Ran(self.process.exitcode, *((self.folder / name).read_text() for name in ("out", "err")))
        shutil.rmtree(self.folder)
        return ran


def _run(arguments: tuple[str, ...], environment: dict[str, str], files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")
    # A shell lets what it starts in the background ignore Ctrl-C, and so all that this starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115  they are numbers
    sys.argv = ["rotatorctl", *arguments]
    main()
