"""Schedules of a rotation: which ones Secrets Manager takes, and when their windows open.

Source of every rule: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
"""

import time
from datetime import UTC, datetime

import pytest

from rotatorctl.cron import ScheduleError
from rotatorctl.schedule import Schedule, moment, rules_of, words

# A Wednesday.
NOW = datetime(2026, 1, 14, 9, 30, tzinfo=UTC)


def openings(text: str, now: datetime = NOW) -> list[str]:
    return [f"{at:%Y-%m-%d %H}" for at in Schedule.parse(text).openings(now)]


@pytest.mark.parametrize(
    ("text", "window", "rules"),
    [
        ("30d", "", {"ScheduleExpression": "rate(30 days)"}),
        ("1d", "", {"ScheduleExpression": "rate(1 day)"}),
        ("999d", "24h", {"ScheduleExpression": "rate(999 days)", "Duration": "24h"}),
        ("rate(1 days)", "", {"ScheduleExpression": "rate(1 day)"}),
        ("rate(4 hours)", "4h", {"ScheduleExpression": "rate(4 hours)", "Duration": "4h"}),
        ("cron(0 8 1 * ? *)", "16h", {"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "16h"}),
    ],
)
def test_a_schedule_becomes_the_rules_that_rotate_secret_takes(text: str, window: str, rules: dict[str, str]) -> None:
    assert Schedule.parse(text, window).rules == rules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("monthly", "it may be 30d, rate(30 days)"),
        ("30", "it may be 30d"),
        ("0d", "every 0 days"),
        ("1000d", "every 999 days at least"),
        ("rate(3 hours)", "every 4 hours at most"),
        ("rate(30 minutes)", "it may be 30d"),
        ("rate(30 days", "it may be 30d"),
        ("cron(0 8 1 * ? *", "does not end with )"),
        ("cron(0 8 1 * ?)", "has 5 fields; Secrets Manager's have six"),
        ("cron(30 8 1 * ? *)", "Minutes '30': it has to be 0"),
        ("cron(0 8 1 * ? 2027)", "Year '2027': it has to be *"),
        ("cron(0 8 1 * MON *)", "of Day-of-month and Day-of-week one has to be ?"),
        ("cron(0 8 ? * ? *)", "of Day-of-month and Day-of-week one has to be ?"),
        ("cron(0 24 1 * ? *)", "Hours '24': it may be 0 to 23"),
        ("cron(0 * 1 * ? *)", "Hours '*': it may be 0 to 23"),
        ("cron(0 /2 1 * ? *)", "less than 4 hours apart"),
        ("cron(0 1/11 * * ? *)", "windows would open at 1:00, 12:00, 23:00 each day"),
        ("cron(0 8 32 * ? *)", "Day-of-month '32': it may be 1 to 31"),
        ("cron(0 8 1/0 * ? *)", "after / comes a number from 1 to 31"),
        ("cron(0 8 1 13 ? *)", "Month '13': it may be 1 to 12 or JAN to DEC"),
        ("cron(0 8 ? * XYZ *)", "Day-of-week 'XYZ': it may be 1 to 7 or SUN to SAT"),
        ("cron(0 8 ? * FRI-MON *)", "a range begins with the smaller"),
        ("cron(0 8 ? * SUN#6 *)", "after # comes a number from 1 to 5"),
        ("cron(0 8 30 2 ? *)", "names no day of the coming year"),
    ],
)
def test_a_schedule_that_secrets_manager_does_not_take_is_told_by_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Schedule.parse(text)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "window", "words"),
    [
        ("30d", "0h", "it may be 1h to 24h"),
        ("30d", "25h", "it may be 1h to 24h"),
        ("30d", "3", "it may be 1h to 24h"),
        ("rate(4 hours)", "5h", "would reach into the next one, 4 h later"),
        ("cron(0 20 * * ? *)", "5h", "into the next day of UTC; at most 4h"),
        ("cron(0 8/8 * * ? *)", "9h", "would reach into the next one, 8 h later"),
    ],
)
def test_a_window_reaches_neither_into_the_next_one_nor_into_the_next_day(text: str, window: str, words: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Schedule.parse(text, window)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("30d", ["2026-02-13 00", "2026-03-15 00", "2026-04-14 00"]),
        ("rate(8 hours)", ["2026-01-15 00", "2026-01-15 08", "2026-01-15 16"]),
        # The page's own examples.
        ("cron(0 /8 * * ? *)", ["2026-01-14 16", "2026-01-15 00", "2026-01-15 08"]),
        ("cron(0 2/10 * * ? *)", ["2026-01-14 12", "2026-01-14 22", "2026-01-15 02"]),
        ("cron(0 10 * * ? *)", ["2026-01-14 10", "2026-01-15 10", "2026-01-16 10"]),
        ("cron(0 18 ? * SAT *)", ["2026-01-17 18", "2026-01-24 18", "2026-01-31 18"]),
        ("cron(0 8 1 * ? *)", ["2026-02-01 08", "2026-03-01 08", "2026-04-01 08"]),
        ("cron(0 1 ? 1/3 SUN#1 *)", ["2026-04-05 01", "2026-07-05 01", "2026-10-04 01"]),
        ("cron(0 17 L * ? *)", ["2026-01-31 17", "2026-02-28 17", "2026-03-31 17"]),
        ("cron(0 8 ? * MON-FRI *)", ["2026-01-15 08", "2026-01-16 08", "2026-01-19 08"]),
        ("cron(0 16 1,15 * ? *)", ["2026-01-15 16", "2026-02-01 16", "2026-02-15 16"]),
        ("cron(0 0 ? 1/11 2#1 *)", ["2026-12-07 00", "2027-01-04 00"]),
        # What the page says of single wildcards.
        ("cron(0 8 ? * SUNL *)", ["2026-01-25 08", "2026-02-22 08", "2026-03-29 08"]),
        ("cron(0 8 ? * L *)", ["2026-01-17 08", "2026-01-24 08", "2026-01-31 08"]),
        ("cron(0 8 ? * 1/2 *)", ["2026-01-15 08", "2026-01-17 08", "2026-01-18 08"]),
        ("cron(0 8 1 JAN,APR,JUL,OCT ? *)", ["2026-04-01 08", "2026-07-01 08", "2026-10-01 08"]),
    ],
)
def test_the_next_windows_are_those_that_the_page_describes(text: str, dates: list[str]) -> None:
    assert openings(text) == dates


def test_a_window_that_has_opened_already_today_is_none_of_the_next() -> None:
    assert openings("cron(0 8 14 * ? *)", NOW.replace(hour=7))[0] == "2026-01-14 08"
    assert openings("cron(0 8 14 * ? *)", NOW.replace(hour=8, minute=0))[0] == "2026-02-14 08"


@pytest.mark.parametrize(
    ("text", "window", "words"),
    [
        ("30d", "", "until the end of that day in UTC"),
        ("cron(0 8 1 * ? *)", "", "until the end of that day in UTC"),
        ("rate(24 hours)", "", "for 1 h"),
        ("cron(0 /8 * * ? *)", "", "for 1 h"),
        ("30d", "3h", "for 3 h"),
    ],
)
def test_a_window_closes_after_an_hour_in_a_schedule_in_hours_and_with_the_day_else(
    text: str, window: str, words: str
) -> None:
    assert Schedule.parse(text, window).window_words == words


@pytest.mark.parametrize(("zone", "local"), [("Asia/Kolkata", " (2026-01-14 15:00 IST)"), ("Europe/London", "")])
def test_a_moment_is_told_in_utc_and_in_local_time_where_that_is_another(
    zone: str, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    told = moment(NOW)
    monkeypatch.undo()
    time.tzset()

    assert told == f"2026-01-14 09:30 UTC{local}"


@pytest.mark.parametrize(
    ("shown", "sent", "told"),
    [
        ({}, {}, "none"),
        ({"AutomaticallyAfterDays": 30}, {"AutomaticallyAfterDays": 30}, "every 30 days"),
        (
            {"AutomaticallyAfterDays": 10, "ScheduleExpression": "rate(10 days)", "Duration": "3h"},
            {"ScheduleExpression": "rate(10 days)", "Duration": "3h"},
            "rate(10 days), window 3h",
        ),
    ],
)
def test_of_what_describe_secret_shows_only_one_schedule_is_sent_again(
    shown: dict[str, object], sent: dict[str, object], told: str
) -> None:
    rules = rules_of({"RotationRules": shown} if shown else {})

    assert rules == sent
    assert words(rules) == told
