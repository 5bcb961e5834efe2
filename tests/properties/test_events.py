"""Events that no one of ours sends: refused by name, without a word of a secret, and nothing begins or changes."""

import copy
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rotate
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation import errors
from rotation.errors import RotationError
from rotation.report import NOTHING_TOLD
from rotatorctl.local.secrets_manager import FunctionError
from tests.function_log import logged_to
from tests.properties.inputs import STRUCTURES, WRONG, texts
from tests.workflow.conftest import create_secret
from tests.workflow.machine import FUNCTION_ARN, ROOT, STATES, Context, Machine

# In the values of the secret, as MARK is in what stands in the events.
KEPT = "Jd5sYb8tRf"
SECRET = json.dumps({"engine": "generic", "password": f"old-{KEPT}", "more": [KEPT]})
CALL = json.loads((ROOT / "events/secrets_manager/create_secret.json").read_text())
ENDED = json.loads((ROOT / "events/eventbridge/execution_aborted.json").read_text())
# Beside what is no text: identifiers of nothing, and some that no log, name or address takes.
HALVES = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
IDENTIFIERS = st.one_of(texts(), HALVES, st.sampled_from(("x" * 70_000, "a\0b", "arn:aws:secretsmanager:::secret:")))
ANYTHING = st.one_of(WRONG, STRUCTURES)


@dataclass
class Begun:
    """A secret whose rotation Secrets Manager has begun and told nobody of, and what is logged meanwhile."""

    machine: Machine
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        model = self.machine.secrets_manager
        number = len(model._secrets)
        self.arn = create_secret(self.machine, f"orders/{number}", SECRET)
        called, model.invoke = model.invoke, _lost
        rules = {"AutomaticallyAfterDays": 30}
        model.rotate_secret(SecretId=self.arn, RotationLambdaARN=f"{FUNCTION_ARN}rotate", RotationRules=rules)
        model.wait(self.arn)
        model.invoke = called
        rotation = model.rotations(self.arn)[-1]
        self.token, self.rotation_token = rotation.token, rotation.rotation_token

    def kept(self) -> Any:
        model = self.machine.secrets_manager
        return copy.deepcopy(model._find(self.arn).versions), model.describe_secret(SecretId=self.arn)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """What happens in the block is done, or refused in the words of ours: then nothing has changed."""
        before = self.kept()
        try:
            with logged_to(self.log):
                yield
        except RotationError as error:
            assert type(error) in vars(errors).values()
            assert self.kept() == before
            assert KEPT not in f"{error}"
            assert self.rotation_token not in f"{error}{self.log.getvalue()}"
            _ = str(error).encode()
        assert KEPT not in self.log.getvalue()


def _lost(function_arn: str, event: dict[str, str]) -> None:
    raise FunctionError("the function could not be called")


@st.composite
def changed(draw: st.DrawFn, event: dict[str, Any], paths: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """The event with one or two of these places missing, or with anything in them."""
    found = copy.deepcopy(event)
    for path in draw(st.permutations(paths))[: draw(st.sampled_from((1, 1, 1, 2)))]:
        inner: Any = found
        for key in path[:-1]:
            inner = inner[key] if isinstance(inner, dict) and key in inner else {}
        if draw(st.booleans()) and isinstance(inner, dict):
            inner.pop(path[-1], None)
        elif isinstance(inner, dict):
            inner[path[-1]] = draw(IDENTIFIERS if draw(st.booleans()) else ANYTHING)
    return found


CALLS = st.sampled_from(
    (
        *[changed(CALL, [("Step",), ("SecretId",), ("ClientRequestToken",)])] * 3,
        WRONG.map(lambda token: CALL | {"RotationToken": [token]}),
        changed(ENDED, [("detail",), ("detail", "executionArn")]),
        ANYTHING,
    )
).flatmap(lambda chosen: chosen)


@settings(max_examples=300)
@given(CALLS)
def test_a_call_that_is_not_secrets_managers_starts_nothing(machine: Machine, event: Any) -> None:
    begun = Begun(machine)
    real = {"SecretId": begun.arn, "ClientRequestToken": begun.token, "RotationToken": begun.rotation_token}
    if isinstance(event, dict):
        event |= {key: real[key] for key in real.keys() & event.keys() if event[key] == CALL[key]}

    with begun.refusing():
        rotate.handler(event, Context(60))
        raise AssertionError(f"done: {event!r}")

    assert machine.executions() == []


@st.composite
def states(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """One function of the state machine and an event that is nearly its own."""
    event: dict[str, Any] = {
        "Request": {"Mode": "Rotate", "SecretId": "", "ClientRequestToken": "", "Attempt": 1, "Previous": NOTHING_TOLD}
        | {"Execution": "arn:aws:states:eu-central-1:123456789012:execution:rotation:x"},
        "Completed": {"State": "none", "CurrentVersionId": "none"},
        "Failure": {"Error": "States.Timeout", "Cause": ""},
        "RetryCount": 0,
        "RotationToken": "",
    }
    inner = [(part, key) for part in ("Request", "Completed", "Failure") for key in event[part]]
    previous = [("Request", "Previous", key) for key in ("Told", "RolledBack", "Alert")]
    paths = [(key,) for key in event] + inner + previous
    return draw(st.sampled_from(STATES)), draw(changed(event, paths))


@settings(max_examples=500)
@given(states())
def test_an_event_that_is_not_the_state_machines_is_refused_by_name(
    machine: Machine, state: tuple[str, dict[str, Any]]
) -> None:
    name, event = state
    begun = Begun(machine)
    request = event.get("Request")
    if isinstance(request, dict):
        real = {"SecretId": begun.arn, "ClientRequestToken": begun.token}
        request |= {key: real[key] for key in real.keys() & request.keys() if request[key] == ""}
    if event.get("RotationToken") == "":
        event["RotationToken"] = begun.rotation_token

    with begun.refusing():
        machine.handlers[name](event, None)
