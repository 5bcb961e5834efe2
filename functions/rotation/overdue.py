"""Secrets that were not rotated in time, whatever the reason: measured every day, told every week.

A failed rotation is told by its own execution. This tells of a secret that has none: nobody may call the rotate
function, it refuses, or Secrets Manager has stopped trying.
"""

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rotation.alert import afresh, runbook, subject_line
from rotation.errors import AlertFailedError, RotationError
from rotation.metrics import measure_ages
from rotation.model import Json
from rotation.secret_store import RotatedSecret, rotated_by
from rotation.standing import TOLD_EVERY, Standing
from rotation.topic import publish


def find_overdue(event: Mapping[str, Any]) -> Json:
    """Measure all secrets that name this stack's rotate function, tell of those that are overdue; returns the counts.

    The day is that of the schedule's event, so that a late or repeated call is one of the same day. Raises
    AlertFailedError when a message could not be published, but not before each was tried: Lambda then calls again.
    """
    today = datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC)
    secrets = rotated_by(os.environ["ROTATE_FUNCTION_ARN"])
    standings = sorted((Standing(secret, today.date()) for secret in secrets), key=lambda each: -each.age)
    overdue = [each for each in standings if each.overdue]
    _measure(standings, overdue)
    _tell([each for each in overdue if each.to_tell])
    return {"secrets": len(standings), "overdue": len(overdue)}


def _measure(standings: list[Standing], overdue: list[Standing]) -> None:
    days = {
        "OverdueSecrets": len(overdue),
        "MostOverdueDays": _most(each.overdue for each in overdue),
        "OldestSecretDays": _most(each.age for each in standings),
    }
    names = {"overdue": [each.secret.name for each in overdue], "oldest": [each.secret.name for each in standings[:1]]}
    measure_ages(days, names)


def _most(days: Iterable[int]) -> int:
    return max(days, default=0)


def _tell(standings: list[Standing]) -> None:
    failures = []
    for standing in standings:
        try:
            publish(*overdue_alert(standing))
        except RotationError as failure:
            failures.append(str(failure))
    if failures:
        raise AlertFailedError(f"{len(failures)} of {len(standings)} messages were not published: {failures[0]}")


def overdue_alert(standing: Standing) -> tuple[str, Json, str]:
    """Subject, JSON body and mail text."""
    secret = standing.secret
    headline = f"OVERDUE, not rotated for {standing.age} days" if secret.last_rotated else "OVERDUE, never rotated"
    commands = _commands(secret)
    body = {
        "alertId": f"{secret.arn.rpartition(':')[2]}-overdue-{standing.today}",
        "severity": "warning",
        "outcome": "overdue",
        "applicationsAffected": "not by its age; whether AWSCURRENT logs in was not tried",
        "whatHappensNext": f"Secrets Manager may retry; told again every {TOLD_EVERY} days until it is rotated",
        "nextCommand": commands[0][1],
        "secret": secret.name,
        "secretArn": secret.arn,
        "versionId": secret.pending,
        "created": str(secret.created),
        "lastRotated": str(secret.last_rotated or "never"),
        "ageDays": standing.age,
        "schedule": secret.schedule_expression or f"every {secret.after_days} days",
        "dueSince": str(standing.due),
        "overdueDays": standing.overdue,
        "runbook": runbook("overdue"),
    }
    return subject_line(f"{headline}: {secret.name}"), body, _email(headline, body, commands)


def _email(headline: str, body: Json, commands: list[tuple[str, str]]) -> str:
    pending = f"{body['versionId']}, of a rotation that did not end" if body["versionId"] else "none"
    lines = [
        f"{headline}.",
        "",
        f"Secret:        {body['secret']}",
        f"               {body['secretArn']}",
        f"Pending:       {pending}",
        f"Last rotated:  {body['lastRotated']} (the secret was made on {body['created']})",
        f"Due since:     {body['dueSince']}, {body['overdueDays']} days ago (schedule: {body['schedule']})",
        f"Applications:  {body['applicationsAffected']}",
        f"What is next:  {body['whatHappensNext']}",
        "",
    ]
    for when, command in commands:
        lines += [f"{when}:", "", *(f"    {line}" for line in command.split("\n")), ""]
    return "\n".join([*lines, f"Runbook:   {body['runbook']}", f"Alert id:  {body['alertId']}", ""])


def _commands(secret: RotatedSecret) -> list[tuple[str, str]]:
    """Pairs: when to give it, and the command."""
    rotate = f"aws secretsmanager rotate-secret --secret-id {secret.arn}"
    retry = ' (it answers "A previous rotation isn\'t complete"; that is the retry)' if secret.pending else ""
    events = (
        "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=RotationFailed "
        f"--query \"Events[?contains(CloudTrailEvent, '{secret.arn}')].CloudTrailEvent\""
    )
    commands = [
        (f"To rotate it now{retry}; if that fails in the workflow, a message tells why", rotate),
        ("If neither a rotation nor a message comes of that, why Secrets Manager could not rotate", events),
    ]
    if secret.pending:
        commands += afresh(secret.arn, secret.pending, "If the retry is refused, to start afresh with another value")
    return commands
