"""Signals that ask a process to end: each lets it take down what it has started."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that every `finally` runs. Python allows this in the main thread only."""

    def leave(number: int, _: FrameType | None) -> None:
        # A second one would leave undone what the first has begun to undo.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is taken down here is taken down to the end: Ctrl-C and SIGTERM are not heard. In the main thread only."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, way in zip(numbers, before, strict=True):
            signal.signal(number, way)
