"""The judge of what may be seen: no secret value and no RotationToken anywhere."""

import base64
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

from tests.faults.trial import Attempt, Trial, pending_value
from tests.faults.verdict import Verdict


def look_for_values(trial: Trial, verdict: Verdict, logged: int, attempts: list[Attempt]) -> None:
    application = trial.application
    with trial.functions.log_file.open(errors="replace") as log:
        log.seek(logged)
        texts = [log.read(), trial.log.getvalue(), json.dumps([attempt.messages for attempt in attempts])]
    machine = application.machine
    for execution in machine.executions():
        texts += _outputs(machine.history(execution["executionArn"]))
    texts += [notice for attempt in attempts for notice in attempt.notices]
    texts += [str(rotation.steps) for rotation in machine.secrets_manager.rotations(application.arn)]
    tokens = [rotation.rotation_token for rotation in machine.secrets_manager.rotations(application.arn)]
    pending = json.loads(pending_value(application) or json.dumps(application.value()))
    everything = "\n".join(texts)
    for value in {pending["password"], application.first.password, application.admin.password, *tokens}:
        verdict.hold(not any(form in everything for form in _forms(value)), "a secret value is to be seen")


def _outputs(events: Any) -> Iterator[str]:
    """What the states and the execution gave out, and the words of their errors."""
    for key, value in events.items() if isinstance(events, dict) else enumerate(events):
        if isinstance(value, dict | list):
            yield from _outputs(value)
        elif key in ("output", "error", "cause"):
            yield str(value)


def _forms(value: str) -> Iterator[str]:
    yield value
    # The bytes before it shift a value in base64: of three shifts, what does not depend on its neighbours.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value.encode()).decode()
        yield encoded[4 if shift else 0 : -4]
    yield urllib.parse.quote(value, safe="")
    escaped = json.dumps(value)[1:-1]
    yield from (escaped, json.dumps(escaped)[1:-1])
