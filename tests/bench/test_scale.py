"""What the simulation says of the product as it is."""

from statistics import median

import pytest

from rotation import throttling, waiting
from tests.bench import simulation
from tests.bench.calls import table
from tests.bench.retries import DEFINITION
from tests.bench.scale import RAISED, over, percentile, rows
from tests.bench.simulation import Day

# Several tests ask for the same days, each of which is reckoned once in a process.
pytestmark = pytest.mark.xdist_group("simulation")


def all_rotate_in_time(day: Day) -> None:
    outcome, looks = day.outcome, day.api.describe_execution

    assert (len(outcome.rotated), outcome.failed, outcome.alerts) == (day.secrets, [], 0)
    assert max(outcome.rotated) <= 1.2 * day.bound
    # No storm: a rotation waits six times at most before anything has changed, and meets so many refusals.
    assert outcome.state_retries <= 6 * day.secrets
    assert day.api.writes.refused <= 25 * day.secrets
    # DescribeExecution is there for others: seven in ten of the calls that it is refilled with, and the whole bucket.
    assert (looks.refused, looks.busiest_second <= 3) == (0, True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("secrets", "spread"),
    [(100, 60), (800, 0), (1_000, 60), (1_000, 30), (1_000, 20), (1_000, 10)],
)
def test_all_rotate_in_time(secrets: int, spread: float, seed: int) -> None:
    all_rotate_in_time(over(secrets, spread, seed=seed))


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_of_the_same_second_rotate_in_as_many_seconds_as_a_new_value_may_wait_once(seed: int) -> None:
    """All could be rotated in less than that wait, so that one that draws a long one is late by it."""
    day = over(100, 0, seed=seed)
    outcome = day.outcome

    longest = max(retrier.get("MaxDelaySeconds", 0) for retrier in DEFINITION["States"]["CreateSecret"]["Retry"])
    assert (len(outcome.rotated), outcome.failed, outcome.alerts) == (100, [], 0)
    assert max(outcome.rotated) <= longest < 1.5 * day.bound


@pytest.mark.parametrize("spread", [0, 1, 2, 5])
def test_a_thousand_of_any_second_rotate_in_time_where_the_account_has_room_for_what_waits_and_what_works(
    spread: float,
) -> None:
    all_rotate_in_time(over(1_000, spread, RAISED))


def test_a_clean_minute_of_a_thousand_makes_no_retry_and_no_look() -> None:
    day = over(1_000, 60)

    assert (day.outcome.state_retries, day.api.writes.refused, day.api.describe_execution.taken) == (0, 0, 0)


def gap(secrets: int, spread: float, number: int) -> float:
    """Seconds between change and promotion, of so many of a hundred rotations; the median of some days."""
    return median(percentile(over(secrets, spread, seed=seed).outcome.gaps, number) for seed in range(3))


@pytest.mark.parametrize("number", [50, 90, 95])
@pytest.mark.parametrize(("of_a_thousand", "of_a_hundred", "times"), [(60, 60, 1.05), (30, 0, 1.2), (20, 0, 1.5)])
def test_between_change_and_promotion_a_thousand_wait_about_as_long_as_a_hundred_spread_or_bunched(
    of_a_thousand: float, of_a_hundred: float, times: float, number: int
) -> None:
    assert gap(1_000, of_a_thousand, number) <= times * gap(100, of_a_hundred, number)


@pytest.mark.parametrize(("secrets", "spread"), [(100, 0), (100, 60), (1_000, 60), (1_000, 30)])
def test_functions_that_get_ready_beforehand_shorten_that_wait_for_any_number_of_secrets(
    monkeypatch: pytest.MonkeyPatch, secrets: int, spread: float
) -> None:
    ready = over(secrets, spread).outcome.gaps
    monkeypatch.setattr(simulation, "GOT_READY", ())
    unready = Day(secrets, spread).run().gaps

    for number in (50, 95):
        assert percentile(ready, number) < percentile(unready, number)


def test_promotions_come_before_new_values_when_both_are_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    sooner = over(1_000, 30).outcome.gaps
    monkeypatch.setattr(throttling, "LONGEST_PAUSE", dict.fromkeys(throttling.LONGEST_PAUSE, 2.0))
    alike = Day(1_000, 30).run().gaps

    assert percentile(sooner, 95) * 3 < percentile(alike, 95)


def test_looking_often_would_use_up_describe_execution_for_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LABELS_EVERY", 0.1)
    monkeypatch.setattr(waiting, "EXECUTION_FIRST", (0, 0))
    monkeypatch.setattr(waiting, "EXECUTION_AGAIN", (0.1, 0.2))

    day = Day(1_000, 60)
    day.run()

    assert day.api.describe_execution.refused > 100


def test_the_page_has_the_table_of_today() -> None:
    """When retries, waiting or calls have changed: PYTHONPATH=functions:. python -m tests.bench.scale."""
    assert table("Many secrets at once") == list(rows())
