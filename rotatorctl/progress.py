"""Live progress on standard error, which leaves standard output to the result, and what Ctrl-C does meanwhile.

Before a command changes something Ctrl-C raises KeyboardInterrupt; from then on it never does.
"""

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from rotatorctl.following import Progress


def lines(console: Console) -> Progress:
    """A line for each state of each secret."""
    began = time.monotonic()

    def entered(secret: str, state: str) -> None:
        line = f"{time.monotonic() - began:6.1f} s  {secret}  {state}"
        # A Text, because rich makes a sign of ":secret:" in a plain one.
        console.print(Text(line, "yellow" if ":" in state else ""), soft_wrap=True)

    return entered


@contextmanager
def watched(console: Console, doing: str = "rotating; Ctrl-C stops watching, not rotating") -> Iterator[Progress]:
    """The same lines, and on a terminal a sign that something still goes on."""
    entered = lines(console)
    with console.status(doing):
        yield entered


@contextmanager
def stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """What Ctrl-C sets, and so do SIGTERM and a terminal that is closed.

    They raise nothing meanwhile: so they stop what waits, and break off nothing else. Ctrl-C raises nothing afterwards
    either: what was done has still to be told.
    """
    stop = threading.Event()
    # Not at once: the main thread, in which this is called, may hold the event's lock just now.
    before = {each: signal.signal(each, lambda *_: threading.Thread(target=stop.set).start()) for each in _stops()}
    try:
        yield stop
    finally:
        for each, way in before.items():
            signal.signal(each, way)
        deaf_to_ctrl_c()


def _stops() -> list[signal.Signals]:
    """What runs under nohup goes on without its terminal: SIGHUP is ignored there."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]


def deaf_to_ctrl_c() -> None:
    """From now on Ctrl-C does nothing. In the main thread only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ended_by_ctrl_c(exit_code: int) -> None:
    """From now on Ctrl-C ends the process at once, whatever its threads still wait for. In the main thread only."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(exit_code))
    # Once the threads have ended: Python takes handlers of its own away then, and a signal would be the exit code.
    atexit.register(deaf_to_ctrl_c)
