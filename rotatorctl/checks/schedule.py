"""When Secrets Manager rotates the secret, and who else has it rotated."""

import json
from collections.abc import Iterator

from rotatorctl.checks.base import NOTE, WARNING, Check, Examined, Finding, day
from rotatorctl.cron import ScheduleError
from rotatorctl.result import Json
from rotatorctl.schedule import Schedule, rules_of, words

# The universal target of EventBridge Scheduler:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
_ROTATE = ":aws-sdk:secretsmanager:rotateSecret"


def _window(examined: Examined) -> Iterator[Finding]:
    secret, rules = examined.secret, rules_of(examined.secret.answer)
    if not rules or not secret.rotation_enabled:
        return
    expression = rules.get("ScheduleExpression") or f"{rules['AutomaticallyAfterDays']}d"
    following = secret.answer.get("NextRotationDate")
    until = f"; next until {day(following)}" if following else ""
    shows = f"aws secretsmanager describe-secret --secret-id {secret.arn} --query RotationRules"
    try:
        window = Schedule.parse(expression, rules.get("Duration", "")).window_words
    except ScheduleError as error:
        why = "Secrets Manager has taken it, so look whether it means what you want: it may be that no window opens"
        yield Finding(WARNING, "ScheduleUnclear", f"its schedule cannot be read here: {error}", why, shows)
        return
    yield Finding(
        NOTE,
        "Schedule",
        f"schedule: {words(rules)}; a window is open {window}{until}",
        "Secrets Manager chooses the moment in the window, and retries a failure while one is open; an attempt takes "
        "15 minutes at most (docs/architecture.md#time-limits)",
        shows,
    )


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
