"""The judge: looks from outside at what a rotation with faults has left, lets it be retried, and looks again."""

import base64
import itertools
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.faults.edges import (
    AFTER,
    BEFORE,
    KILLED,
    OUTAGE,
    PUBLICATION,
    REFUSED,
    ROTATE,
    TIMEOUT,
    Fault,
    changes_the_server,
)
from tests.faults.trial import NOT_STARTED, Attempt, Trial
from tests.workflow.applications import Application

FAILED = ("untouched", "rolled back", "needs a person")
RECOVERED = "rotated/AWSCURRENT"
SUCCEEDED = "RotationSucceeded"
MOST_REFUSED = 3


@dataclass
class Verdict:
    """What came of the faults: how each attempt ended, and each promise that was broken."""

    faults: list[str]
    kind: str
    ends: list[str] = field(default_factory=list)
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, true: bool, promise: str) -> None:
        if not true:
            self.broken.append(promise)


def judged(trial: Trial, faults: tuple[Fault, ...]) -> Verdict:
    """Rotate with the faults that are laid and judge; have it retried until it is rotated and judge again."""
    verdict = Verdict(list(map(str, faults)), faults[-1].kind)
    logged = trial.functions.log_file.stat().st_size
    attempts = [trial.rotate()]
    _look(trial, verdict, attempts[0], tuple(trial.struck))
    pending = _pending(trial.application)
    while attempts[-1].told != SUCCEEDED and len(attempts) <= len(faults):
        before = set(trial.struck)
        attempts.append(trial.retry())
        _look(trial, verdict, attempts[-1], tuple(fault for fault in trial.struck if fault not in before))
    verdict.ends = [attempt.end for attempt in attempts]
    verdict.hold(attempts[-1].told == SUCCEEDED, "the last retry, with nothing in its way, did not rotate")
    verdict.hold(set(trial.struck) == set(faults), f"struck: {', '.join(map(str, trial.struck))}")
    _look_at_the_end(trial.application, verdict, pending)
    _look_at_the_messages(verdict, attempts, faults)
    _look_for_values(trial, verdict, logged, attempts)
    return verdict


def _pending(application: Application) -> str:
    """The value that this rotation made, or nothing if it came to none."""
    with suppress(SecretsManagerError):
        answer = application.machine.secrets_manager.get_secret_value(
            SecretId=application.arn, VersionId=application.token
        )
        return str(answer["SecretString"])
    return ""


# ---- After each attempt


def _look(trial: Trial, verdict: Verdict, attempt: Attempt, faults: tuple[Fault, ...]) -> None:
    """`faults` are those that struck in this attempt."""
    application, end = trial.application, attempt.end
    verdict.refused = max(verdict.refused, attempt.refused)
    current = application.credentials()
    logs_in = application.server.logs_in(current)
    of_rotate = any(fault.edge.where == ROTATE for fault in faults)
    known = ("rotated", *FAILED, NOT_STARTED) if of_rotate else ("rotated", *FAILED)
    verdict.hold(end in known, f"the outcome {end!r} is none of {known}")
    verdict.hold((current != application.first) == (end == "rotated"), f"{end!r}, but AWSCURRENT says otherwise")
    verdict.hold(attempt.told != SUCCEEDED or end == "rotated", f"{end!r}, but Secrets Manager heard of a success")
    verdict.hold(attempt.told == SUCCEEDED or end != "rotated" or of_rotate, "rotated, but called a failure")
    verdict.hold(end == "rotated" or not any(map(_promotes, faults)), "a promotion that took effect was rolled back")
    verdict.hold(attempt.refused <= MOST_REFUSED, f"{attempt.refused} log-ins were refused")
    if end != "needs a person":
        verdict.hold(logs_in, f"{end!r}, but AWSCURRENT does not log in")
    if end in FAILED:
        _look_at_a_failure(application, verdict, attempt, logs_in, faults)


def _look_at_a_failure(
    application: Application, verdict: Verdict, attempt: Attempt, logs_in: bool, faults: tuple[Fault, ...]
) -> None:
    pending = "AWSPENDING" in application.stages().get(application.token, [])
    verdict.hold(pending, "AWSPENDING was not kept for the retry")
    if attempt.end == "needs a person":
        verdict.hold(any(fault.kind == OUTAGE for fault in faults), "a person is needed, though every service answers")
        for message in attempt.messages:
            _look_at_the_working_credential(application, verdict, json.loads(message["Message"]), logs_in)
        return
    # Where an answer of RollBack is lost, nobody can tell any more whether it had something to restore.
    may_have = attempt.changed or any(fault.edge.where == "RollBack" for fault in faults)
    verdict.hold(attempt.end != "rolled back" or may_have, "rolled back, but nothing had been changed")
    if not application.case.overlap and pending and _pending(application):
        never = [fault for fault in faults if fault.kind in (BEFORE, OUTAGE) and changes_the_server(fault.edge.name)]
        verdict.hold(
            attempt.end == "rolled back" or not attempt.changed or bool(never), "untouched, but it was changed"
        )
        works = application.server.logs_in(application.credentials("AWSPENDING"))
        verdict.hold(not works, f"{attempt.end!r}, but the pending password logs in")


def _promotes(fault: Fault) -> bool:
    promotion = fault.edge.where == "FinishSecret" and fault.edge.name.endswith(":UpdateSecretVersionStage")
    return promotion and fault.kind in (AFTER, KILLED, TIMEOUT)


def _look_at_the_working_credential(
    application: Application, verdict: Verdict, body: dict[str, Any], logs_in: bool
) -> None:
    working = body["workingCredential"]
    if working in ("none", "unknown"):
        verdict.hold(bool(body["workingReason"]), "neither a credential that works nor a reason was told")
        verdict.hold("AWSPENDING is kept" in body["whatHappensNext"], "not told that AWSPENDING is kept")
        verdict.hold(working == "unknown" or not logs_in, "AWSCURRENT logs in, but none was said to")
    else:
        verdict.hold(application.server.logs_in(application.credentials(working)), f"{working} does not log in")


# ---- At the end


def _look_at_the_end(application: Application, verdict: Verdict, pending: str) -> None:
    """As after any rotation: one value was made, it is AWSCURRENT, it logs in, and the one before it no longer does."""
    server = application.server
    verdict.hold(pending in ("", application.text()), "AWSCURRENT is another value than was pending")
    verdict.hold(server.logs_in(application.credentials()), "AWSCURRENT does not log in at the end")
    expected = application.case.overlap
    verdict.hold(server.logs_in(application.first) == expected, f"the first password logs in: {not expected}")
    stages = application.stages()
    stuck = [version for version, labels in stages.items() if "AWSPENDING" in labels and "AWSCURRENT" not in labels]
    verdict.hold(not stuck, "AWSPENDING is stuck")
    verdict.hold(len(stages) == 2, f"{len(stages)} versions are labelled")


def _look_at_the_messages(verdict: Verdict, attempts: list[Attempt], faults: tuple[Fault, ...]) -> None:
    """Once for each change of what is true, and at last that it is over."""
    refused = any(fault.kind == REFUSED for fault in faults)
    ids: list[str] = []
    for attempt in attempts:
        ids += [json.loads(message["Message"])["alertId"] for message in attempt.messages]
        told = ids[-1] if ids else ""
        if attempt.end in FAILED and not (refused and attempt is attempts[0]):
            verdict.hold(told.endswith(f"-{attempt.key.replace(' ', '-')}"), f"nobody was told {attempt.key!r}")
    repeated = len(ids) - len(set(ids))
    lost = sum((fault.edge.where, fault.kind) == (PUBLICATION, AFTER) for fault in faults)
    verdict.hold(repeated == lost, f"{repeated} messages came twice")
    keys = [each.split("-", 6)[-1] for each in dict.fromkeys(ids)]
    verdict.hold(all(a != b for a, b in itertools.pairwise(keys)), f"told again of the same: {keys}")
    failed = any(attempt.end in FAILED for attempt in attempts)
    recovered = [RECOVERED] if failed else []
    verdict.hold([key for key in keys if key == RECOVERED] == recovered, f"told of the recovery: {keys}")
    verdict.hold(keys[-1:] == recovered, f"the last word is {keys[-1:]}")


def _look_for_values(trial: Trial, verdict: Verdict, logged: int, attempts: list[Attempt]) -> None:
    application = trial.application
    with trial.functions.log_file.open(errors="replace") as log:
        log.seek(logged)
        texts = [log.read(), json.dumps([attempt.messages for attempt in attempts])]
    machine = application.machine
    for execution in machine.executions():
        history = machine.stepfunctions.get_execution_history(executionArn=execution["executionArn"])
        texts += _outputs(history["events"])
    tokens = [rotation.rotation_token for rotation in machine.secrets_manager.rotations(application.arn)]
    pending = json.loads(_pending(application) or json.dumps(application.value()))
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
    yield json.dumps(value)[1:-1]
