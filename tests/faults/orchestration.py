"""Faults outside the states' functions: of the execution itself, of a publication, and of the calls of `rotate`."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.client
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.program.program import Program

from rotatorctl.local.secrets_manager import FunctionError
from tests.faults.calls import Watch, aws
from tests.faults.edges import AFTER, ENTRY, PUBLICATION, RECOVER, REFUSED, ROTATE, STOPPED, Fault
from tests.workflow.machine import Machine

# Lambda's own further tries where a function is called asynchronously:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
TRIES = 3


class _EndedError(BaseException):
    """The process of `rotate`, which here is a thread, ends: no `except Exception` runs."""


def _end() -> None:
    raise _EndedError


_NOT_PUBLISHED: Any = {
    "Error": {"Code": "InternalError", "Message": "made to fail by a fault"},
    "ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "none"},
}
_API = (botocore.client.BaseClient, "_make_api_call")
_watching: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("watching", default=None)


@dataclass
class Orchestration:
    """What happens around the functions of one machine."""

    machine: Machine
    faults: list[Fault] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    calls: dict[str, list[list[str]]] = field(default_factory=lambda: {ROTATE: [], RECOVER: []})
    entered: list[str] = field(default_factory=list)
    age: Callable[[], None] = lambda: None
    publications: int = 0
    refusing: bool = False
    _environments: dict[str, Any] = field(default_factory=dict)
    _late: list[Callable[[], Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # Whether `rotate` has looked at the execution that it started, or will not: the execution goes on only then.
    # Otherwise it would depend on this machine's speed whether that call is made at all.
    _looked: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._looked.set()

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        get_state, call = Program._get_state, getattr(*_API)

        def entered(program: Program, name: str) -> Any:
            return _Entrance(self, name, get_state(program, name))

        def called(client: Any, operation: str, arguments: Any) -> Any:
            if operation == PUBLICATION:
                return self._publish(lambda: call(client, operation, arguments))
            watch = _watching.get()
            return aws(call, watch)(client, operation, arguments) if watch else call(client, operation, arguments)

        with (
            patch.object(Program, "_get_state", entered),
            patch.object(*_API, called),
            patch.object(self.machine.secrets_manager, "invoke", self._rotate),
        ):
            yield

    def interrupt(self, execution: str, kind: str) -> None:
        """End a running execution as StopExecution does, or as its own time limit does."""
        environment = self._environments[execution]
        if kind == STOPPED:
            environment.set_stop(stop_date=datetime.now(UTC), cause="stopped by a fault", error="")
        else:
            environment.set_timed_out()

    def interrupted_at(self, name: str, environment: Any) -> bool:
        """Whether a fault ends the execution as it enters this state."""
        self._looked.wait()
        execution = environment.states.context_object.context_object_data["Execution"]["Id"]
        self._environments[execution] = environment
        fault = self._at(name, self.entered.count(name), ENTRY)
        self.entered.append(name)
        if fault:
            self.interrupt(execution, fault.kind)
        return fault is not None

    def _at(self, where: str, time: int, call: int | None = None) -> Fault | None:
        for fault in self.faults:
            edge = fault.edge
            if (edge.where, edge.time) == (where, time) and call in (None, edge.call):
                self.struck.append(fault)
                return fault
        return None

    def _publish(self, publish: Callable[[], Any]) -> Any:
        with self._lock:
            number, self.publications = self.publications, self.publications + 1
        fault = self._at(PUBLICATION, number)
        self.refusing = self.refusing or (fault is not None and fault.kind == REFUSED)
        if not fault and not self.refusing:
            return publish()
        if fault and fault.kind == AFTER:
            publish()
        raise ClientError(_NOT_PUBLISHED, PUBLICATION)

    def land(self) -> None:
        """Let a late call take effect, if one waits."""
        while self._late:
            with suppress(Exception):
                self._late.pop()()

    def execution_ended(self, event: dict[str, Any]) -> None:
        """EventBridge's news of an end, which Lambda brings again if the function fails."""
        for _ in range(TRIES):
            with suppress(Exception, _EndedError):
                self._watched(RECOVER, lambda: self.machine.tell_rotate(event))
                return

    def _rotate(self, function_arn: str, event: dict[str, str]) -> None:
        """Secrets Manager's call of the rotation function, in the thread that waits for it."""
        try:
            self._watched(ROTATE, lambda: self.machine.rotate(function_arn, event))
        except _EndedError:
            raise FunctionError("Runtime.ExitError: the function's process ended") from None

    def _watched(self, where: str, called: Callable[[], None]) -> None:
        """One call of `rotate`, with the fault that is laid for the call of this number."""
        made: list[str] = []
        at = (where, len(self.calls[where]))
        fault = next((each for each in self.faults if (each.edge.where, each.edge.time) == at), None)
        self.calls[where].append(made)

        def say(call: str = "", strikes: str = "", hangs: bool = False) -> None:
            made.extend([call] if call else [])
            if call == "stepfunctions:StartExecution":
                self._looked.clear()
            elif call == "stepfunctions:DescribeExecution":
                self._looked.set()
            self.struck.extend([fault.at(made[-1])] if fault and strikes else [])

        watch = Watch(say, fault.kind if fault else "", fault.edge.call if fault else -1, die=_end, hang=_end)
        watch.go, watch.put_off, watch.counts = self.age, self._late.append, _but_for_polling()
        before = _watching.set(watch)
        try:
            called()
        finally:
            _watching.reset(before)
            self._looked.set()


def _but_for_polling() -> Callable[[str], bool]:
    """While it waits, `rotate` looks at labels and execution again and again: the first look at each counts."""
    waiting: set[str] | None = None

    def counts(name: str) -> bool:
        nonlocal waiting
        if name == "stepfunctions:StartExecution":
            waiting = set()
        elif waiting is not None and name.split(":")[1].startswith("Describe"):
            again = name in waiting
            waiting.add(name)
            return not again
        return True

    return counts


@dataclass(frozen=True)
class _Entrance:
    """A state, of which the orchestration hears when it is entered."""

    orchestration: Orchestration
    name: str
    state: Any

    def eval(self, environment: Any) -> None:
        if not self.orchestration.interrupted_at(self.name, environment):
            self.state.eval(environment)
