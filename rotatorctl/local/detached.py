"""A process that outlives the one that started it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO


def detached(
    module: Sequence[str], errors: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Run a module of this project, with its arguments, in a session of its own, so that Ctrl-C does not reach it.

    What it writes to standard output can be read until it calls `let_go_of_output`; `errors` takes standard error.
    """
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        start_new_session=True,
    )


def let_go_of_output() -> None:
    """The reader of this process's output, who waits for its end, may go."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
