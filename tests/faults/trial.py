"""One application whose machine has faults laid, and what its attempts to rotate come to."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from rotation.executions import ROLLBACK
from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.contract.worlds import WORLDS
from tests.contract.worlds import World as Server
from tests.faults import functions
from tests.faults.edges import ENTRY, INVOCATION, PUBLICATION, Edge, Fault, changes_the_server
from tests.faults.functions import ROOT, Functions
from tests.faults.orchestration import Orchestration
from tests.function_log import logged_to
from tests.workflow import second_paths
from tests.workflow.applications import Application, Case, rotating
from tests.workflow.conftest import outcome_of
from tests.workflow.machine import ROTATE, STATES

# What a function is told of the world.
TOLD = ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CONSOLE_URL"]
TOLD += ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "PRIVATE_CA"]
NOT_STARTED = "not started"


@dataclass(frozen=True)
class Attempt:
    """What one attempt came to: how Secrets Manager saw it, the outcome, the messages, one user's refused log-ins."""

    told: str
    end: str
    key: str
    messages: list[dict[str, Any]]
    # What EventBridge's rules told people, of executions that could not do so themselves.
    notices: list[str]
    refused: int
    # Whether a call may have changed the server, and how often RollBack was to look.
    changed: bool
    looks: int


@dataclass
class Trial:
    """An application, and the faults that are laid for it."""

    application: Application
    functions: Functions
    orchestration: Orchestration
    # What `rotate` logs, which runs in this process.
    log: io.StringIO
    _seen: set[str] = field(default_factory=set)

    def lay(self, faults: tuple[Fault, ...]) -> None:
        self.functions.faults += faults
        self.orchestration.faults += faults

    @property
    def struck(self) -> list[Fault]:
        return self.functions.struck + self.orchestration.struck

    def rotate(self) -> Attempt:
        return self._attempt(self.application.rotate)

    def log_in(self) -> Attempt:
        """What Secrets Manager asks for when a secret is given to a function and is not to be rotated yet."""
        return self._attempt(lambda: self.application.rotate(RotateImmediately=False))

    def retry(self) -> Attempt:
        """Secrets Manager's retry, when whatever lasted is over."""
        self.mend()
        return self._attempt(self.application.retry)

    def mend(self) -> None:
        """Whatever lasts ends."""
        self.functions.outage = self.orchestration.refusing = False
        self.functions.gone = ""

    def _attempt(self, begin: Any) -> Attempt:
        application, machine = self.application, self.application.machine
        before, invoked = application.refused(), len(self.functions.invocations)
        told = begin()
        self.orchestration.land()
        machine.settle()
        notices, ended = self._tell_of_ends()
        after = application.refused()
        refused = max(after[user] - before[user] for user in before)
        self._seen |= {each["executionArn"] for each in ended}
        end, key = self._end(ended[-1]) if ended else ("rotated", "")
        if not ended and application.credentials() == application.first:
            end = NOT_STARTED
        invocations = self.functions.invocations[invoked:]
        changed = any(changes_the_server(call) for _, calls in invocations for call in calls)
        looks = sum(state == "RollBack" for state, _ in invocations)
        return Attempt(told, end, key, machine.messages(), notices, refused, changed, looks)

    def _tell_of_ends(self) -> tuple[list[str], list[dict[str, Any]]]:
        """EventBridge's rules hear of every execution that did not succeed, also of those that they start.

        Returns what they told people, and the executions of this attempt, oldest first.
        """
        heard: set[str] = set()
        notices: list[str] = []
        while True:
            executions = self.application.machine.executions(but=self._seen)
            new = [each for each in executions if each["status"] != "SUCCEEDED" and each["name"] not in heard]
            if not new:
                return notices, executions
            for each in new:
                heard.add(each["name"])
                event = self.application.machine.status_change(each)
                notices += second_paths.notices(event).values()
                self.orchestration.execution_ended(event)
            self.application.machine.settle()

    def _end(self, execution: dict[str, Any]) -> tuple[str, str]:
        """The outcome of an execution, and what people are told of it.

        One that was stopped after it told them has nothing else to say, and nothing is started in its place.
        """
        if execution["status"] not in ("ABORTED", "TIMED_OUT"):
            return outcome_of(execution), _key(execution)
        history, exited = self.application.machine.history(execution["executionArn"]), "stateExitedEventDetails"
        left = [event[exited] for event in history if exited in event]
        told = [json.loads(state["output"])["Verdict"]["Report"] for state in left if state["name"] == "Alert"]
        if told:
            return told[0]["Outcome"], told[0]["Key"]
        # Nobody looks any more.
        return ("needs a person" if execution["name"].endswith(ROLLBACK) else str(execution["status"])), ""


def _key(execution: dict[str, Any]) -> str:
    """What people are told of an execution's report; nothing if there is none."""
    text = execution.get("cause", "")
    cause = json.loads(text) if text.startswith("{") else {}
    return str(cause.get("Report", cause).get("Key", ""))


def pending_value(application: Application) -> str:
    """The value that this rotation made, or nothing if it came to none."""
    with suppress(SecretsManagerError):
        answer = application.machine.secrets_manager.get_secret_value(
            SecretId=application.arn, VersionId=application.token
        )
        return str(answer["SecretString"])
    return ""


@dataclass(frozen=True)
class Stage:
    """A running server, a server of functions, and the machine without its wait for late statements."""

    server: Server
    functions: Functions
    definition: dict[str, Any]

    @classmethod
    @contextmanager
    def set_up(cls, kind: str) -> Iterator[Self]:
        definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
        definition["States"]["AwaitLateStatement"]["Seconds"] = 0
        with (
            tempfile.TemporaryDirectory() as name,
            WORLDS[kind]() as server,
            functions.running(Path(name), server.ca_pem) as started,
        ):
            yield cls(server, started, definition)

    @contextmanager
    def trial(self, case: Case, *faults: Fault) -> Iterator[Trial]:
        """An application whose functions run in processes of their own, with these faults laid."""
        with (
            patch.dict(os.environ, PRIVATE_CA=self.server.ca_pem),
            rotating(case, self.server, self.definition) as application,
        ):
            environment = {name: os.environ[name] for name in TOLD}
            called = Functions(self.functions.path, self.functions.log_file, environment, warm=self.functions.warm)
            application.machine.handlers.update({state: called.handler(state) for state in STATES})
            orchestration = Orchestration(application.machine)
            called.interrupt = orchestration.interrupt
            age = application.machine.secrets_manager.age_next_read
            called.age = lambda state: age(application.arn, state)
            orchestration.age = lambda: age(application.arn, ROTATE)
            trial = Trial(application, called, orchestration, io.StringIO())
            trial.lay(faults)
            with orchestration.disturbed(), logged_to(trial.log):
                yield trial
                application.machine.settle()


def recorded(stage: Stage, case: Case, *faults: Fault, retried: bool = False) -> list[Edge]:
    """The edges of one rotation: of a clean one, or of one with these faults and of its retry."""
    with stage.trial(case, *faults) as trial:
        attempt = trial.rotate()
        assert (attempt.end == "rotated") == (not faults), attempt
        if retried:
            attempt = trial.retry()
            assert attempt.end == "rotated", attempt
        return list(edges_of(trial))


def edges_of(trial: Trial) -> Iterator[Edge]:
    """Every edge that a trial has come by so far."""
    for where, made in trial.orchestration.calls.items():
        for time, calls in enumerate(made):
            yield from (Edge(where, time, number, name) for number, name in enumerate(calls))
    entered: list[str] = []
    for state in trial.orchestration.entered:
        if state not in STATES:
            yield Edge(state, entered.count(state), ENTRY, "entered")
        entered.append(state)
    invoked: list[str] = []
    for state, calls in trial.functions.invocations:
        yield Edge(state, invoked.count(state), INVOCATION, "invoked")
        yield from (Edge(state, invoked.count(state), number, name) for number, name in enumerate(calls))
        invoked.append(state)
    yield from (Edge(PUBLICATION, time, INVOCATION, "") for time in range(trial.orchestration.publications))
