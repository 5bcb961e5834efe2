"""The time that a rotation's functions spend at the service: log-ins and statements, as their caller waits for them."""

import io
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.contract.worlds import WORLDS
from tests.faults.calls import Watch, watched
from tests.function_log import logged_to
from tests.workflow.applications import Application, Case, rotating
from tests.workflow.machine import ROOT, Handler

REACHES_THE_SERVICE = ("SetSecret", "TestSecret")


@dataclass
class Stopwatch(Watch):
    """Adds up the milliseconds of the calls to a server, by the state whose function makes them."""

    say: Callable[..., None] = lambda **_: None
    state: str = ""
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _measuring: bool = field(default=False, init=False)

    def __call__(
        self,
        name: str,
        perform: Callable[[], Any],
        broken: Callable[[], Exception],
        before_the_last_write: Callable[[], Any] | None = None,
    ) -> Any:
        # A call to AWS, or one that is a part of another.
        if ":" in name.split(maxsplit=1)[0] or self._measuring:
            return perform()
        self._measuring, begun = True, time.perf_counter()
        try:
            return perform()
        finally:
            self.spent[self.state] += (time.perf_counter() - begun) * 1000
            self._measuring = False

    def within(self, state: str, handler: Handler) -> Handler:
        def called(event: Mapping[str, Any], context: Any) -> Any:
            self.state = state
            return handler(event, context)

        return called


def spent(case: Case, rotations: int) -> list[dict[str, float]]:
    """Milliseconds of each state that reaches the service, of so many rotations in one process, the first left out."""
    definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    with (
        WORLDS[case.kind]() as server,
        patch.dict(os.environ, PRIVATE_CA=server.ca_pem),
        rotating(case, server, definition) as application,
        # The functions' log and metrics are not for the tables' reader.
        logged_to(io.StringIO()),
        redirect_stdout(io.StringIO()),
    ):
        assert application.rotate() == "RotationSucceeded"
        return [_one(application) for _ in range(rotations)]


def _one(application: Application) -> dict[str, float]:
    watch = Stopwatch()
    handlers = application.machine.handlers
    wrapped = {state: watch.within(state, handlers[state]) for state in REACHES_THE_SERVICE}
    with patch.dict(handlers, wrapped), watched(watch):
        assert application.rotate() == "RotationSucceeded"
    return {state: watch.spent[state] for state in REACHES_THE_SERVICE}
