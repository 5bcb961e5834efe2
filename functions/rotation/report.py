"""What people and machines are told: the report of one attempt, and the alert made from it.

A report is plain JSON. The state machine carries it, its Fail states end with it, `rotate` passes on its words and hands
what matters of it to the next attempt as `Previous`.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from rotation.model import AWSCURRENT, Json, Request

ROTATED, UNTOUCHED, ROLLED_BACK, NEEDS_A_PERSON = "rotated", "untouched", "rolled back", "needs a person"

# Each attempt that changes the service and takes it back reopens the moment in which applications are refused.
MOST_ROLLED_BACK_ATTEMPTS = 3

NOTHING_TOLD: Json = {"Told": False, "Key": "none", "ToldAt": "", "RolledBack": 0, "Alert": {}}
_LONGEST_REASON, _LONGEST_SUBJECT = 1_000, 99


@dataclass(frozen=True)
class Failure:
    """Which step failed, with which error and why; the reason is already free of secret values."""

    step: str
    error: str
    reason: str

    def __str__(self) -> str:
        return f"{self.error} in {self.step}: {self.reason[:_LONGEST_REASON]}"


@dataclass(frozen=True)
class Finding:
    """What is true after an attempt: the outcome, which label's credential logs in, and why if that is not AWSCURRENT."""

    outcome: str
    working: str = AWSCURRENT
    why: str = ""
    account: str = ""
    pending_removed: bool = False
    current_version: str = ""
    working_version: str = ""

    @property
    def key(self) -> str:
        """What has to change before people are told again."""
        return f"{self.outcome}/{self.working}"


def verdict(request: Request, finding: Finding, failure: Failure | None) -> Json:
    """The report and its alert, as the state machine keeps them under `$.Verdict`."""
    report = _report(request, finding, failure)
    unsent = request.previous.get("Alert") or {}
    if unsent.get("Key") == finding.key:
        return {"Report": report, "Alert": unsent}
    return {"Report": report, "Alert": _alert(request, finding, failure, report["RolledBack"])}


def _report(request: Request, finding: Finding, failure: Failure | None) -> Json:
    previous = {key: value for key, value in request.previous.items() if key != "Alert"}
    taken_back = finding.outcome == ROLLED_BACK or (finding.outcome == NEEDS_A_PERSON and finding.working != "unknown")
    return {
        "Outcome": finding.outcome,
        "Key": finding.key,
        "Tell": finding.outcome != ROTATED or bool(previous["Told"]),
        "Working": finding.working,
        "PendingRemoved": finding.pending_removed,
        "Step": failure.step if failure else "none",
        "Error": failure.error if failure else "none",
        "Reason": failure.reason[:_LONGEST_REASON] if failure else "",
        "RolledBack": previous["RolledBack"] + taken_back,
        "Attempt": request.attempt,
        "SecretId": request.secret_id,
        "ClientRequestToken": request.token,
        "Execution": request.execution,
        "At": datetime.now(UTC).isoformat(timespec="seconds"),
        "Previous": previous,
    }


def _alert(request: Request, finding: Finding, failure: Failure | None, rolled_back: int) -> Json:
    words = _words(request, finding, rolled_back)
    alert_id = f"{request.token}-{request.attempt}-{finding.key}".replace(" ", "-")
    url = f"{os.environ.get('CONSOLE_URL', '')}/{request.execution}"
    body = {
        "alertId": alert_id,
        "severity": words.severity,
        "outcome": finding.outcome,
        "workingCredential": finding.working,
        "applicationsAffected": words.applications,
        "whatHappensNext": words.next,
        "nextCommand": words.command,
        "secret": request.secret_name,
        "secretArn": request.secret_id,
        "versionId": request.token,
        "attempt": request.attempt,
        "step": failure.step if failure else "none",
        "error": failure.error if failure else "none",
        "reason": failure.reason[:_LONGEST_REASON] if failure else "",
        "executionArn": request.execution,
        "executionUrl": url,
    }
    return {
        "Key": finding.key,
        "Subject": _subject(f"{words.headline}: {request.secret_name}"),
        "Body": body,
        "Email": _email(request, finding, failure, words, body),
    }


def _subject(text: str) -> str:
    """SNS takes less than 100 characters without line breaks; the older rule, ASCII only, is kept too.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    printable = "".join(character if " " <= character <= "~" else "?" for character in text)
    return printable if len(printable) <= _LONGEST_SUBJECT else printable[: _LONGEST_SUBJECT - 3] + "..."


def _email(request: Request, finding: Finding, failure: Failure | None, words: "_Words", body: Json) -> str:
    cause = str(failure) if failure else "none; an earlier attempt had failed and people were told"
    works = f"{finding.working} {finding.account}".strip()
    lines = [
        f"{words.headline}.",
        "",
        f"Secret:        {request.secret_name}",
        f"               {request.secret_id}",
        f"Attempt:       {request.attempt} for version {request.token}",
        f"Failure:       {cause}",
        f"Works now:     {works}{'. ' + finding.why if finding.why else ''}",
        f"Applications:  {words.applications}",
        f"What is next:  {words.next}",
    ]
    if words.command:
        lines += ["What to do:", ""] + [f"    {command}" for command in words.command.split("\n")] + [""]
    return "\n".join([*lines, f"Execution:     {body['executionUrl']}", f"Alert id:      {body['alertId']}", ""])


@dataclass(frozen=True)
class _Words:
    severity: str
    headline: str
    applications: str
    next: str
    command: str = ""


def _words(request: Request, finding: Finding, rolled_back: int) -> _Words:
    if finding.outcome == ROTATED:
        return _Words("info", "Recovered, the secret is rotated", "no; AWSCURRENT is the new value", "nothing to do")
    if finding.outcome == NEEDS_A_PERSON:
        return _needs_a_person(request, finding)
    if finding.outcome == UNTOUCHED:
        headline, applications = "Rotation failed, nothing changed", "no; AWSCURRENT was never changed and logs in"
    else:
        headline = "Rotation failed, the old credential is restored"
        applications = "new log-ins were refused for a moment; AWSCURRENT logs in again, which was proven by a log-in; open sessions went on"
    what_next, command = _go_on(request, finding, rolled_back)
    return _Words("warning", headline, applications, what_next, command)


def _go_on(request: Request, finding: Finding, rolled_back: int) -> tuple[str, str]:
    rotate = f"aws secretsmanager rotate-secret --secret-id {request.secret_id}"
    if finding.pending_removed:
        return "the service refuses this new value, so it was given up; the next rotation makes another", rotate
    give_up = (
        f"aws secretsmanager update-secret-version-stage --secret-id {request.secret_id} "
        f"--version-stage AWSPENDING --remove-from-version-id {request.token}"
    )
    if rolled_back >= MOST_ROLLED_BACK_ATTEMPTS:
        return (
            f"nothing by itself: this was attempt {rolled_back} that had to be put right, and no further one is made with this "
            "version. Mend the cause, then start afresh with another value",
            f"{give_up}\n{rotate}",
        )
    return (
        "Secrets Manager retries by itself with the same new value, and a message says when it worked. After "
        f"{MOST_ROLLED_BACK_ATTEMPTS} attempts that had to be put right no further one is made; then (or to start afresh "
        "with another value) mend the cause and give both commands, else the second alone retries now",
        f"{give_up}\n{rotate}",
    )


def _needs_a_person(request: Request, finding: Finding) -> _Words:
    rotate = f"aws secretsmanager rotate-secret --secret-id {request.secret_id}"
    if finding.working == "unknown":
        return _Words(
            "critical",
            "CHECK NEEDED, AWSCURRENT could not be tried",
            "unknown",
            "AWSPENDING is kept; the next attempt looks again. Mend what keeps the rotator from looking, then rotate",
            rotate,
        )
    if finding.working_version:
        return _Words(
            "critical",
            f"ACTION NEEDED, AWSCURRENT does not log in but {finding.working} does",
            "yes: whoever reads AWSCURRENT is refused",
            "nothing by itself. Make the credential that works the current one",
            f"aws secretsmanager update-secret-version-stage --secret-id {request.secret_id} --version-stage AWSCURRENT "
            f"--move-to-version-id {finding.working_version} --remove-from-version-id {finding.current_version}",
        )
    return _Words(
        "critical",
        "ACTION NEEDED, no known credential logs in",
        "yes: whoever reads AWSCURRENT is refused",
        "AWSPENDING is kept. As an administrator of the service, give the user the password labelled AWSCURRENT, then rotate",
        rotate,
    )
