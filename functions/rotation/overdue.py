"""Secrets that were not rotated in time, whatever the reason: measured every day, told every week.

A failed rotation is told by its own execution. This tells of a secret that has none: nobody may call the rotate
function, it refuses, or Secrets Manager has stopped trying.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rotation.alert import runbook, subject_line
from rotation.errors import AlertFailedError, RotationError
from rotation.metrics import measure_ages
from rotation.model import Json
from rotation.secret_store import RotatedSecret, rotated_by
from rotation.topic import publish

# Whole days of UTC after the day on which a secret is due. A rotation window ends with the day in which it began:
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html
# Told on the first of them that comes after one day of grace, and every seventh from then on.
_FIRST_DAY, _TOLD_EVERY = 2, 7

_RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")


@dataclass(frozen=True)
class Standing:
    """How old a secret's credential is on a day, and for how many days it has been overdue."""

    secret: RotatedSecret
    today: date

    @property
    def age(self) -> int:
        """Days since it was rotated, or since the secret was made if it never was."""
        begun = self.secret.last_rotated or self.secret.created
        return max((self.today - begun).days, 0)

    @property
    def due(self) -> date | None:
        """The day by which it had to be rotated.

        NextRotationDate is "the latest date that rotation will occur", and "if rotation is unsuccessful, this date may
        be in the past" (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html).
        Whether a failed rotation can move it on all the same is documented nowhere, so it counts for no more than two
        intervals after the last rotation. For two, because a value written by hand moves it on as well, being "a valid
        rotation" (API_RotationRulesType), and LastRotatedDate does not tell of it.
        """
        secret, interval = self.secret, _interval(self.secret)
        if secret.next_rotation is None:
            return (secret.last_rotated or secret.created) + interval if interval else None
        if secret.last_rotated is None or interval is None:
            return secret.next_rotation
        return min(secret.next_rotation, secret.last_rotated + 2 * interval)

    @property
    def overdue(self) -> int:
        """Days since it was due; 0 in its rotation window and on the day of grace after it."""
        days = (self.today - self.due).days if self.due else 0
        return days if days >= _FIRST_DAY else 0

    @property
    def to_tell(self) -> bool:
        """Once a week, by the date alone, so that nothing has to be remembered.

        If the run of such a day is missed, the message is: the metrics show the secret, and the next one comes a week
        later. A run that is repeated makes the same message with the same alert id.
        """
        return self.overdue > 0 and (self.overdue - _FIRST_DAY) % _TOLD_EVERY == 0


def _interval(secret: RotatedSecret) -> timedelta | None:
    """AutomaticallyAfterDays is worked out from a schedule expression only when a rotation has succeeded."""
    if rate := _RATE.fullmatch(secret.schedule_expression):
        return timedelta(**{f"{rate[2]}s": int(rate[1])})
    return timedelta(days=secret.after_days) if secret.after_days else None


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
        "whatHappensNext": f"Secrets Manager may retry; told again every {_TOLD_EVERY} days until it is rotated",
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
        afresh = (
            f"aws secretsmanager update-secret-version-stage --secret-id {secret.arn} "
            f"--version-stage AWSPENDING --remove-from-version-id {secret.pending}\n{rotate}"
        )
        commands.append(("If the retry is refused and you know that AWSCURRENT logs in, to start afresh", afresh))
    return commands
