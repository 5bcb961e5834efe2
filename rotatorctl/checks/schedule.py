"""When Secrets Manager rotates the secret, and who else has it rotated."""

import json
from collections.abc import Iterator

from rotatorctl.checks.base import NOTE, WARNING, Check, Examined, Finding
from rotatorctl.result import Json

# The universal target of EventBridge Scheduler:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
_ROTATE = ":aws-sdk:secretsmanager:rotateSecret"


def _window(examined: Examined) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html"""
    answer, rules = examined.secret.answer, examined.secret.answer.get("RotationRules")
    if not rules or not examined.secret.rotation_enabled:
        return
    every = rules.get("ScheduleExpression") or f"every {rules.get('AutomaticallyAfterDays')} days"
    window = rules.get("Duration") or _default_window(every)
    following = answer.get("NextRotationDate")
    yield Finding(
        NOTE,
        "Schedule",
        f"schedule: {every}; window: {window} (UTC)" + (f"; next until {following:%Y-%m-%d}" if following else ""),
        "Secrets Manager chooses the moment in the window, and retries a failure while one is open; an attempt takes "
        "15 minutes at most (docs/architecture.md#time-limits)",
        f"aws secretsmanager describe-secret --secret-id {examined.secret.arn} --query RotationRules",
    )


def _default_window(schedule: str) -> str:
    if schedule.startswith("cron"):
        return "an hour if that is in hours, else until the end of the day"
    return "an hour" if "hour" in schedule else "until the end of the day"


def _others(examined: Examined) -> Iterator[Finding]:
    client = examined.stack.aws.schedules
    for page in client.get_paginator("list_schedules").paginate(State="ENABLED"):
        for listed in page["Schedules"]:
            if listed["Target"]["Arn"].endswith(_ROTATE):
                schedule = client.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
                yield from _collides(examined, schedule)


def _collides(examined: Examined, schedule: Json) -> Iterator[Finding]:
    name, group = schedule["Name"], schedule["GroupName"]
    if _secret_in(schedule) in (examined.secret.name, examined.secret.arn):
        yield Finding(
            WARNING,
            "AnotherSchedule",
            f"the schedule {name!r} of EventBridge Scheduler has it rotated, too: {schedule['ScheduleExpression']}",
            "one that is asked for while another one runs is refused or joins it, and the value changes at other times "
            "than the secret's own schedule says",
            f"aws scheduler delete-schedule --name {name} --group-name {group}",
        )


def _secret_in(schedule: Json) -> str:
    try:
        return str(json.loads(schedule["Target"]["Input"])["SecretId"])
    except (ValueError, KeyError, TypeError):
        return ""


CHECKS = (
    Check("window", "it has no schedule", _window),
    Check("other schedules", "no schedule of EventBridge Scheduler has it rotated", _others),
)
