"""The judge: looks from outside at what a rotation with faults has left, lets it be retried, and looks again."""

import json
from typing import Any

from tests.faults.edges import (
    AFTER,
    BEFORE,
    GONE,
    KILLED,
    OUTAGE,
    RECOVER,
    ROTATE,
    STOPPED,
    TIMED_OUT,
    TIMEOUT,
    Fault,
    changes_the_server,
)
from tests.faults.messages import FAILED, look_at_the_failures, look_at_the_messages, look_at_the_words
from tests.faults.secrecy import look_for_values
from tests.faults.trial import NOT_STARTED, Attempt, Trial, pending_value
from tests.faults.verdict import Verdict
from tests.workflow.applications import ALTERNATING, Application

SUCCEEDED = "RotationSucceeded"
LOGGED_IN, NOT_LOGGED_IN = "TestRotationSucceeded", "TestRotationFailed"
MOST_REFUSED = 2


def judged(trial: Trial, faults: tuple[Fault, ...]) -> Verdict:
    """Rotate with the faults that are laid and judge; have it retried until it is rotated and judge again."""
    verdict = Verdict(list(map(str, faults)), faults[-1].kind)
    logged = trial.functions.log_file.stat().st_size
    attempts = [trial.rotate()]
    _look(trial, verdict, attempts[0], tuple(trial.struck))
    pending = pending_value(trial.application)
    before: set[Fault] = set()
    while attempts[-1].told != SUCCEEDED and before != set(faults) and len(attempts) <= len(faults):
        before = set(trial.struck)
        attempts.append(trial.retry())
        _look(trial, verdict, attempts[-1], tuple(fault for fault in trial.struck if fault not in before))
    verdict.ends = [attempt.end for attempt in attempts]
    verdict.hold(attempts[-1].told == SUCCEEDED, "the last retry, with nothing in its way, did not rotate")
    verdict.hold(set(trial.struck) == set(faults), f"struck: {', '.join(map(str, trial.struck))}")
    _look_at_the_end(trial.application, verdict, pending)
    look_at_the_messages(verdict, attempts, faults)
    look_for_values(trial, verdict, logged, attempts)
    return verdict


def judged_log_in(trial: Trial, faults: tuple[Fault, ...]) -> Verdict:
    """Nothing but a log-in is asked for: it changes nothing, whatever fails, and the first rotation is as ever."""
    application = trial.application
    verdict = Verdict(list(map(str, faults)), faults[-1].kind)
    logged = trial.functions.log_file.stat().st_size
    before = application.text(), application.stages()
    attempt = trial.log_in()
    verdict.ends = ["rotated" if attempt.told == LOGGED_IN else "untouched"]
    verdict.hold(attempt.told in (LOGGED_IN, NOT_LOGGED_IN), f"Secrets Manager heard {attempt.told!r}")
    verdict.hold(trial.struck == list(faults), f"struck: {', '.join(map(str, trial.struck))}")
    verdict.hold((application.text(), application.stages()) == before, "something was changed")
    verdict.hold(application.server.logs_in(application.first), "AWSCURRENT does not log in")
    verdict.hold(not attempt.changed and not attempt.refused, "the server was changed, or refused a log-in")
    verdict.hold(not attempt.messages, "people were told, though nothing was to be rotated")
    trial.mend()
    rotated = trial.rotate()
    verdict.hold(rotated.told == SUCCEEDED and not rotated.messages, "the first rotation did not work")
    _look_at_the_end(application, verdict, pending_value(application))
    look_for_values(trial, verdict, logged, [attempt, rotated])
    return verdict


def judged_rejection(trial: Trial, faults: tuple[Fault, ...]) -> Verdict:
    """A value that the service refuses for good is given up, whatever else fails; the next rotation makes another."""
    application = trial.application
    verdict = Verdict(list(map(str, faults)), faults[-1].kind)
    logged = trial.functions.log_file.stat().st_size
    attempts = [trial.rotate()]
    _look(trial, verdict, attempts[0], tuple(trial.struck), kept=False)
    if _is_pending(application):
        attempts.append(trial.retry())
        _look(trial, verdict, attempts[1], (), kept=False)
    verdict.ends = [attempt.end for attempt in attempts]
    verdict.hold(all(end in FAILED for end in verdict.ends), f"the outcomes were {verdict.ends}")
    verdict.hold(not _is_pending(application), "AWSPENDING stays on a value that is refused for good")
    verdict.hold(application.credentials() == application.first, "AWSCURRENT is another value")
    verdict.hold(set(trial.struck) == set(faults), f"struck: {', '.join(map(str, trial.struck))}")
    look_at_the_failures(verdict, attempts, faults)
    _look_at_what_was_given_up(verdict, attempts[-1], faults)
    trial.mend()
    rotated = trial.rotate()
    verdict.hold(rotated.told == SUCCEEDED and not rotated.messages, "the next rotation did not work")
    _look_at_the_end(application, verdict, pending_value(application))
    look_for_values(trial, verdict, logged, [*attempts, rotated])
    return verdict


def _look_at_what_was_given_up(verdict: Verdict, last: Attempt, faults: tuple[Fault, ...]) -> None:
    """Of an execution that was ended from outside only its end is known, and not that the service refused the value."""
    known = not any(fault.kind in (STOPPED, TIMED_OUT) for fault in faults)
    said = [json.loads(message["Message"])["whatHappensNext"] for message in last.messages]
    verdict.hold(not known or all("given up" in each for each in said), f"given up, but told {said}")


def _is_pending(application: Application) -> bool:
    return "AWSPENDING" in application.stages().get(application.token, [])


# ---- After each attempt


def _look(trial: Trial, verdict: Verdict, attempt: Attempt, faults: tuple[Fault, ...], *, kept: bool = True) -> None:
    """`faults` are those that struck in this attempt; `kept`: AWSPENDING has to be there for the next one."""
    application, end = trial.application, attempt.end
    verdict.refused = max(verdict.refused, attempt.refused)
    current = application.credentials()
    logs_in = application.server.logs_in(current)
    of_rotate = any(fault.edge.where in (ROTATE, RECOVER) for fault in faults)
    known = ("rotated", *FAILED, NOT_STARTED) if of_rotate else ("rotated", *FAILED)
    verdict.hold(end in known, f"the outcome {end!r} is none of {known}")
    verdict.hold((current != application.first) == (end == "rotated"), f"{end!r}, but AWSCURRENT says otherwise")
    verdict.hold(attempt.told != SUCCEEDED or end == "rotated", f"{end!r}, but Secrets Manager heard of a success")
    verdict.hold(attempt.told == SUCCEEDED or end != "rotated" or of_rotate, "rotated, but called a failure")
    verdict.hold(end == "rotated" or not any(map(_promotes, faults)), "a promotion that took effect was rolled back")
    verdict.hold(attempt.refused <= MOST_REFUSED, f"{attempt.refused} log-ins were refused")
    if end != "needs a person":
        verdict.hold(logs_in, f"{end!r}, but AWSCURRENT does not log in")
    for message in attempt.messages:
        look_at_the_words(application, verdict, message)
    if end in FAILED:
        verdict.hold(_is_pending(application) or not kept, "AWSPENDING was not kept for the retry")
        _look_at_a_failure(application, verdict, attempt, logs_in, faults)


def _look_at_a_failure(
    application: Application, verdict: Verdict, attempt: Attempt, logs_in: bool, faults: tuple[Fault, ...]
) -> None:
    if attempt.end == "needs a person":
        asked_for = any(map(_hides, faults)) or bool(attempt.notices)
        verdict.hold(asked_for, "a person is needed, though every service answers")
        for message in attempt.messages:
            _look_at_the_working_credential(application, verdict, json.loads(message["Message"]), logs_in)
        return
    # Where an answer of RollBack is lost, nobody can tell any more whether it had something to restore, and it says so
    # if it says anything.
    unsaid = [message for message in attempt.messages if "may have had to restore it" not in message["Message"]]
    may_have = attempt.changed or (attempt.looks > 1 and not unsaid)
    verdict.hold(attempt.end != "rolled back" or may_have, "rolled back, but nothing had been changed")
    # There the credential of AWSCURRENT is not touched before the promotion.
    spared = application.case.strategy == ALTERNATING or application.case.kind == "redis"
    verdict.hold(attempt.end != "rolled back" or not spared, "rolled back, but AWSCURRENT's had not been touched")
    if not application.case.overlap and _is_pending(application) and pending_value(application):
        never = [fault for fault in faults if fault.kind in (BEFORE, OUTAGE) and changes_the_server(fault.edge.name)]
        verdict.hold(
            attempt.end == "rolled back" or not attempt.changed or bool(never), "untouched, but it was changed"
        )
        works = application.server.logs_in(application.credentials("AWSPENDING"))
        verdict.hold(not works, f"{attempt.end!r}, but the pending password logs in")


def _hides(fault: Fault) -> bool:
    """Whether nobody can look any more who logs in."""
    return fault.kind == OUTAGE or (fault.kind, fault.edge.where) == (GONE, "RollBack")


def _promotes(fault: Fault) -> bool:
    promotion = fault.edge.where == "FinishSecret" and fault.edge.name.endswith(":UpdateSecretVersionStage")
    return promotion and fault.kind in (AFTER, KILLED, TIMEOUT)


def _look_at_the_working_credential(
    application: Application, verdict: Verdict, body: dict[str, Any], logs_in: bool
) -> None:
    working = body["workingCredential"]
    verdict.hold("AWSPENDING is kept" in body["whatHappensNext"], "not told that AWSPENDING is kept")
    if working in ("none", "unknown"):
        verdict.hold(bool(body["workingReason"]), "neither a credential that works nor a reason was told")
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
