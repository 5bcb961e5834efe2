"""The judge: looks from outside at what a rotation with a fault has left, lets it be retried, and looks again."""

import base64
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.faults.functions import Functions
from tests.workflow.applications import Application

ENDS = ("rotated", "untouched", "rolled back", "needs a person")


@dataclass
class Verdict:
    """What came of one fault: how the attempt ended, and each promise that was broken."""

    edge: str
    kind: str
    end: str = ""
    broken: list[str] = field(default_factory=list)

    def hold(self, true: bool, promise: str) -> None:
        if not true:
            self.broken.append(promise)


def judged(application: Application, called: Functions, edge: str, kind: str) -> Verdict:
    """Rotate with the fault that is laid, judge; retry without it, judge again."""
    verdict = Verdict(edge, kind)
    logged = called.log_file.stat().st_size
    outcome = application.rotate()
    ends = application.outcomes()
    verdict.end = ends[-1]
    messages = application.machine.messages()
    verdict.hold(called.struck == 1, f"the fault struck {called.struck} times")
    verdict.hold(verdict.end in ENDS, f"the outcome {verdict.end!r} is none of the four")
    verdict.hold((outcome == "RotationSucceeded") == (verdict.end == "rotated"), "Secrets Manager was told otherwise")
    _look(application, verdict, messages)
    pending = _pending(application)
    if outcome != "RotationSucceeded":
        called.faults.clear()
        verdict.hold(application.retry() == "RotationSucceeded", "the retry did not rotate")
        verdict.hold(application.subjects() == ["Recovered, the secret is rotated"], "nobody heard of the recovery")
    _look_at_the_end(application, verdict, pending)
    _look_for_values(application, called, verdict, logged, messages)
    return verdict


def _pending(application: Application) -> str:
    """The value that this rotation made, or nothing if it came to none."""
    with suppress(SecretsManagerError):
        answer = application.machine.secrets_manager.get_secret_value(
            SecretId=application.arn, VersionId=application.token
        )
        return str(answer["SecretString"])
    return ""


def _look(application: Application, verdict: Verdict, messages: list[dict[str, Any]]) -> None:
    current = application.credentials()
    logs_in = application.server.logs_in(current)
    changed = current != application.first
    verdict.hold(changed == (verdict.end == "rotated"), f"{verdict.end!r}, but AWSCURRENT changed: {changed}")
    if verdict.end == "needs a person":
        verdict.hold(all(json.loads(each["Message"])["workingReason"] for each in messages), "no reason was told")
    else:
        verdict.hold(logs_in, f"{verdict.end!r}, but AWSCURRENT does not log in")
    expected = 0 if verdict.end == "rotated" else 1
    verdict.hold(len(messages) == expected, f"{len(messages)} messages instead of {expected}")


def _look_at_the_end(application: Application, verdict: Verdict, pending: str) -> None:
    """As after any rotation: one value was made, it is AWSCURRENT, it logs in, and the one before it no longer does."""
    server = application.server
    verdict.hold(pending in ("", application.text()), "AWSCURRENT is another value than was pending")
    verdict.hold(server.logs_in(application.credentials()), "AWSCURRENT does not log in at the end")
    expected = application.case.overlap
    verdict.hold(server.logs_in(application.first) == expected, f"the first password logs in: {not expected}")
    elsewhere = [
        version
        for version, labels in application.stages().items()
        if "AWSPENDING" in labels and "AWSCURRENT" not in labels
    ]
    verdict.hold(not elsewhere, "AWSPENDING is stuck")


def _look_for_values(
    application: Application, called: Functions, verdict: Verdict, logged: int, messages: list[dict[str, Any]]
) -> None:
    with called.log_file.open(errors="replace") as log:
        log.seek(logged)
        texts = [log.read(), json.dumps(messages)]
    for execution in application.machine.executions():
        texts += [execution.get("output", ""), execution.get("cause", "")]
    rotations = application.machine.secrets_manager.rotations(application.arn)
    values = [application.value()["password"], application.first.password, application.admin.password]
    for value in (*values, *(rotation.rotation_token for rotation in rotations)):
        for form in _forms(value):
            verdict.hold(not any(form in text for text in texts), "a secret value is to be seen")


def _forms(value: str) -> Iterator[str]:
    yield value
    yield base64.b64encode(value.encode()).decode().rstrip("=")
    yield urllib.parse.quote(value, safe="")
    yield json.dumps(value)[1:-1]
