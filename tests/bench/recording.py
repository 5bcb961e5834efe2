"""The calls of one rotation by the real functions in the real state machine."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import botocore.client

from rotation import waiting
from tests.workflow.applications import Application

# As the product has it: the machine of the tests looks at its executions far more often.
LOOKS = waiting.EXECUTION_FIRST
MACHINE = "state machine"
# botocore's one way to call any operation.
_API = (botocore.client.BaseClient, "_make_api_call")


@dataclass
class Recording:
    """How often each function made each call, and which states were entered.

    A `rotate` that waits looks at the labels as often as an execution is long. These looks are counted for themselves,
    and so are the seconds of each pause that it makes.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: list[str] = field(default_factory=list)
    looks: int = 0
    pauses: list[float] = field(default_factory=list)


@dataclass
class _Recorder:
    recording: Recording
    # A function runs in one thread from its beginning to its end.
    _here: threading.local = field(default_factory=threading.local)

    def within(self, function: str, handler: Callable[..., Any], *arguments: Any) -> Any:
        self._here.function = function
        try:
            return handler(*arguments)
        finally:
            self._here.function = MACHINE

    def waiting(self, wait: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._here.waits = True
        try:
            return wait(*arguments, **named)
        finally:
            self._here.waits = False

    def called(self, call: Callable[..., Any], client: Any, operation: str, arguments: Any) -> Any:
        name = f"{client.meta.service_model.service_name}:{operation}"
        if name == "secretsmanager:DescribeSecret" and getattr(self._here, "waits", False):
            self.recording.looks += 1
        else:
            self.recording.calls[getattr(self._here, "function", MACHINE), name] += 1
        return call(client, operation, arguments)

    # As the module `time`, of which rotation.waiting needs no more.
    monotonic = staticmethod(time.monotonic)

    def sleep(self, seconds: float) -> None:
        self.recording.pauses.append(seconds)
        time.sleep(seconds)


@contextmanager
def recorded(application: Application) -> Iterator[Recording]:
    """Of one rotation, which the block makes."""
    machine, model = application.machine, application.machine.secrets_manager
    recording = Recording()
    recorder = _Recorder(recording)
    handlers = {state: partial(recorder.within, state, handler) for state, handler in machine.handlers.items()}
    call, wait = getattr(*_API), waiting.Waiting.for_end
    before = {each["executionArn"] for each in machine.executions()}
    with (
        patch.object(*_API, lambda *given: recorder.called(call, *given)),
        patch.object(model, "invoke", partial(recorder.within, "rotate", model.invoke)),
        patch.dict(machine.handlers, handlers),
        patch.object(waiting, "EXECUTION_FIRST", LOOKS),
        patch.object(waiting.Waiting, "for_end", lambda *given, **named: recorder.waiting(wait, *given, **named)),
        patch.object(waiting, "time", recorder),
    ):
        yield recording
    (execution,) = [each for each in machine.executions() if each["executionArn"] not in before]
    recording.states += machine.path(execution["executionArn"])
