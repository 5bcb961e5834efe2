"""The alert: what a person at night needs to know, and the same for machines."""

import os
from dataclasses import dataclass

from rotation.model import Json, Request
from rotation.outcome import (
    MOST_ROLLED_BACK_ATTEMPTS,
    NEEDS_A_PERSON,
    ROLLED_BACK,
    ROTATED,
    UNKNOWN,
    UNTOUCHED,
    Failure,
    Finding,
)

_LONGEST_SUBJECT = 99

# Where the messages of an outcome are explained: sections of docs/failures.md.
_SECTIONS = {ROTATED: "rotated", UNTOUCHED: "untouched", ROLLED_BACK: "rolled-back"}
_CHECK, _ACTION = "needs-a-person-check", "needs-a-person-action"

# RotateSecret meets AWSPENDING on another version, answers with an error, and reattempts that rotation:
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
_RETRY = 'to retry now (it answers "A previous rotation isn\'t complete"; that is the retry)'
_ABANDONED = (
    "AWSPENDING was taken off this version, or rotation was turned off, while it ran: perhaps nobody comes back to it. "
    "The next rotation makes another value"
)


@dataclass(frozen=True)
class _Words:
    """`commands` are pairs: when to give it, and the command."""

    severity: str
    headline: str
    applications: str
    what_next: str
    commands: tuple[tuple[str, str], ...] = ()
    no_failure: str = ""


def alert(request: Request, finding: Finding, failure: Failure, rolled_back: int) -> Json:
    """Subject, JSON body and mail text; `rolled_back` counts the attempts of this token that had to be put right."""
    words = _words(request, finding, failure, rolled_back)
    body = {
        "alertId": f"{request.token}-{request.attempt}-{finding.key}".replace(" ", "-"),
        "severity": words.severity,
        "outcome": finding.outcome,
        "workingCredential": finding.working,
        "workingReason": finding.why,
        "applicationsAffected": words.applications,
        "whatHappensNext": words.what_next,
        "nextCommand": words.commands[0][1] if words.commands else "",
        "secret": request.secret_name,
        "secretArn": request.secret_id,
        "versionId": request.token,
        "attempt": request.attempt,
        "step": failure.step,
        "error": failure.error,
        "reason": failure.reason,
        "executionArn": request.execution,
        "executionUrl": f"{os.environ['CONSOLE_URL']}/{request.execution}",
        "runbook": runbook(_SECTIONS.get(finding.outcome, _CHECK if finding.working == UNKNOWN else _ACTION)),
    }
    subject = subject_line(f"{words.headline}: {request.secret_name}")
    return {"Key": finding.key, "Subject": subject, "Body": body, "Email": _email(finding, failure, words, body)}


def of_a_failure(previous: Json) -> bool:
    """Whether people heard of a failure before this attempt, or would have if the alert could have been sent."""
    return bool(previous["Told"] or previous.get("Alert"))


def runbook(section: str) -> str:
    """The link to a section of docs/failures.md, where the stack's parameter says that it is to be read."""
    return f"{os.environ.get('RUNBOOK_URL') or 'docs/failures.md'}#{section}"


def subject_line(text: str) -> str:
    """SNS takes less than 100 characters without line breaks; its older rule, printable ASCII only, is kept too.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    printable = "".join(character if " " <= character <= "~" else "?" for character in text)
    return printable if len(printable) <= _LONGEST_SUBJECT else printable[: _LONGEST_SUBJECT - 3] + "..."


def afresh(secret_id: str, version: str, when: str) -> tuple[tuple[str, str], ...]:
    """How another value comes in place of this version's: by the tool, which proves first that AWSCURRENT logs in, and
    by hand. Pairs: when to give it (`when` for the tool), and the command.
    """
    stack = os.environ.get("POWERTOOLS_SERVICE_NAME", "secret-rotation")
    tool = " && ".join(f"rotatorctl {command} --stack {stack} {secret_id}" for command in ("unstick", "rotate"))
    hand = (
        f"aws secretsmanager update-secret-version-stage --secret-id {secret_id} "
        f"--version-stage AWSPENDING --remove-from-version-id {version}\n"
        f"aws secretsmanager rotate-secret --secret-id {secret_id}"
    )
    return (when, tool), ("The same without rotatorctl, only while AWSCURRENT logs in", hand)


def _email(finding: Finding, failure: Failure, words: _Words, body: Json) -> str:
    works = " ".join(part for part in (finding.working, finding.account, finding.why and f"- {finding.why}") if part)
    lines = [
        f"{words.headline}.",
        "",
        f"Secret:        {body['secret']}",
        f"               {body['secretArn']}",
        f"Version:       {body['versionId']}, attempt {body['attempt']}",
        f"Failure:       {failure if failure.error != 'none' else words.no_failure}",
        f"Works now:     {works}",
        f"Applications:  {words.applications}",
        f"What is next:  {words.what_next}",
        "",
    ]
    for when, command in words.commands:
        lines += [f"{when}:", "", *(f"    {line}" for line in command.split("\n")), ""]
    last = (f"Runbook:   {body['runbook']}", f"Execution: {body['executionUrl']}", f"Alert id:  {body['alertId']}", "")
    return "\n".join([*lines, *last])


def _words(request: Request, finding: Finding, failure: Failure, rolled_back: int) -> _Words:
    if finding.outcome == ROTATED:
        before = ("Recovered, the secret is rotated", "none now; an earlier attempt had failed")
        headline, none = before if of_a_failure(request.previous) else ("Rotated", "none")
        return _Words("info", headline, "no, AWSCURRENT is the new value", "nothing to do", no_failure=none)
    if finding.outcome == NEEDS_A_PERSON:
        return _needs_a_person(request, finding, failure)
    if finding.outcome == UNTOUCHED:
        headline, applications = "Rotation failed, nothing changed", "no, AWSCURRENT was never changed and logs in"
    else:
        headline = "Rotation failed, the old credential is restored"
        applications = (
            "new log-ins may have been refused for a moment; "
            "AWSCURRENT was proven to log in again, open sessions went on"
        )
    return _Words("warning", headline, applications, *_go_on(request, finding, rolled_back))


def _go_on(request: Request, finding: Finding, rolled_back: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    if finding.pending_removed or finding.abandoned:
        rejected = (
            "the service refuses this new value for good, so it was given up; the next rotation makes another one"
        )
        another = ("To rotate with another value now", _rotate(request))
        again = afresh(request.secret_id, request.token, 'If it answers "A previous rotation isn\'t complete"')
        return rejected if finding.pending_removed else _ABANDONED, (another, *again)
    if finding.held:
        held = (
            f"nothing by itself: {rolled_back} attempts with this version had to be put right, no further one is made"
        )
        when = "When the cause is mended, to start afresh with another value"
        return held, afresh(request.secret_id, request.token, when)
    retried = (
        "Secrets Manager retries by itself with the same new value; a message tells when that worked. After "
        f"{MOST_ROLLED_BACK_ATTEMPTS} attempts that had to be put right (so far {rolled_back}) no further one is made"
    )
    new = afresh(request.secret_id, request.token, "Or to start afresh with another value")
    return retried, ((f"When the cause is mended, {_RETRY}", _rotate(request)), *new)


def _needs_a_person(request: Request, finding: Finding, failure: Failure) -> _Words:
    if finding.working == UNKNOWN:
        return _check(request, finding, failure)
    affected = "yes, whoever reads AWSCURRENT is refused"
    if finding.working_version:
        headline = f"ACTION NEEDED, AWSCURRENT does not log in but {finding.working} does"
        promote = ("To make the credential that works the current one", _promote(request, finding))
        kept = "AWSPENDING is kept, and the next attempt may mend it; do not wait for it"
        mends = "nothing by itself" if finding.abandoned else kept
        return _Words("critical", headline, affected, mends, (promote,))
    pending = _ABANDONED if finding.abandoned else "AWSPENDING is kept"
    what_next = f"nothing by itself. {pending}. Perhaps somebody changed the password by hand"
    read = f"aws secretsmanager get-secret-value --secret-id {request.secret_id} --version-stage AWSCURRENT"
    restore = ("As the service's administrator, give the user the password that this shows", read)
    retry = ("After that" if finding.abandoned else f"After that, {_RETRY}", _rotate(request))
    return _Words("critical", "ACTION NEEDED, AWSCURRENT does not log in", affected, what_next, (restore, retry))


def _check(request: Request, finding: Finding, failure: Failure) -> _Words:
    # Before the first SetSecret nothing has changed: whoever logged in before still does.
    unchanged = failure.step == "CreateSecret" and request.attempt == 1
    return _Words(
        "warning" if unchanged else "critical",
        "CHECK NEEDED, AWSCURRENT could not be tried",
        "no, nothing had been changed" if unchanged else "unknown",
        _ABANDONED if finding.abandoned else "AWSPENDING is kept, and the next attempt looks again",
        (("When that is mended" if finding.abandoned else f"When that is mended, {_RETRY}", _rotate(request)),),
    )


def _rotate(request: Request) -> str:
    return f"aws secretsmanager rotate-secret --secret-id {request.secret_id}"


def _promote(request: Request, finding: Finding) -> str:
    return (
        f"aws secretsmanager update-secret-version-stage --secret-id {request.secret_id} --version-stage AWSCURRENT "
        f"--move-to-version-id {finding.working_version} --remove-from-version-id {finding.current_version}"
    )
