"""The report of one attempt: plain JSON, carried by the state machine and the last word of its executions.

`rotate` passes on its words, and hands what matters of it to the next attempt as `Previous`.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rotation.alert import alert, of_a_failure
from rotation.model import Json, Request
from rotation.outcome import (
    BEFORE_SET_SECRET,
    MOST_ROLLED_BACK_ATTEMPTS,
    NEEDS_A_PERSON,
    ROLLED_BACK,
    ROTATED,
    UNKNOWN,
    Failure,
    Finding,
)

# After this people are told again of a failure that nobody mended.
_REMIND_AFTER = timedelta(hours=24)

NOTHING_TOLD: Json = {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0, "Begun": False, "Alert": {}}


def verdict(request: Request, finding: Finding, failure: Failure) -> Json:
    """The report and its alert, as the state machine keeps them under `$.Verdict`.

    An alert that an earlier attempt could not publish, perhaps only for want of an answer, goes out in its own words
    and with its own id if it is still true.
    """
    rolled_back = request.previous["RolledBack"] + int(finding.outcome == ROLLED_BACK)
    if finding.outcome == ROLLED_BACK and rolled_back >= MOST_ROLLED_BACK_ATTEMPTS:
        finding = replace(finding, held=True)
    unsent: Json = request.previous.get("Alert") or {}
    still_true = unsent.get("Key") == finding.key
    return {
        "Report": _report(request, finding, failure, rolled_back),
        "Alert": unsent if still_true else alert(request, finding, failure, rolled_back),
    }


def _report(request: Request, finding: Finding, failure: Failure, rolled_back: int) -> Json:
    return {
        "Outcome": finding.outcome,
        "Step": failure.step,
        "Error": failure.error,
        "Reason": failure.reason,
        "Working": finding.working,
        "PendingRemoved": finding.pending_removed,
        "Key": finding.key,
        "Tell": finding.outcome != ROTATED or of_a_failure(request.previous) or _tells_success(),
        "RolledBack": rolled_back,
        "Begun": request.begun_before or failure.step not in BEFORE_SET_SECRET,
        "Attempt": request.attempt,
        "SecretId": request.secret_id,
        "ClientRequestToken": request.token,
        "Execution": request.execution,
        "At": _now(),
        "Previous": {key: value for key, value in request.previous.items() if key != "Alert"},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _tells_success() -> bool:
    return os.environ.get("TELL_SUCCESS") == "true"


def previous_of(verdict: Json, delivered: bool) -> Json:
    """What the next attempt has to know: what people were told last, and an alert that never reached them."""
    report = verdict["Report"]
    before: Json = report["Previous"] | {"RolledBack": report["RolledBack"], "Begun": report.get("Begun", True)}
    if not delivered:
        # Whatever is true next is told: it is another thing than what people could not be told.
        return before | {"Key": "none", "Alert": verdict["Alert"]}
    told_at = before["ToldAt"] if report["Key"] == before["Key"] else report["At"]
    reminded = datetime.now(UTC) - datetime.fromisoformat(told_at) > _REMIND_AFTER
    return before | {"Told": True, "Key": "none" if reminded else report["Key"], "ToldAt": told_at, "Alert": {}}


def words(report: Json) -> str:
    """The report in one line, for Secrets Manager's log and the people who read it."""
    return (
        f"{report['Outcome']}: {report['Error']} in {report['Step']}: {report['Reason']}. "
        f"Works now: {report['Working']}. Execution: {report['Execution']}"
    )


def unknown(execution: str, previous: Json, why: str) -> Json:
    """The verdict of an attempt whose rollback did not report either: nobody looked."""
    finding = Finding(NEEDS_A_PERSON, UNKNOWN)
    report = {
        "Outcome": finding.outcome,
        "Key": finding.key,
        "Step": "RollBack",
        "Error": "States.Runtime",
        "Reason": why,
        "Working": finding.working,
        "PendingRemoved": False,
        "RolledBack": previous["RolledBack"],
        "Execution": execution,
        "At": _now(),
        "Previous": previous,
    }
    return {"Report": report, "Alert": {}}
