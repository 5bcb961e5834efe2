"""The simulation, against cases whose answer is known; and what it says of the product as it is."""

import random
from dataclasses import replace

import pytest

from rotation import secret_store, waiting
from tests.bench import simulation
from tests.bench.account import Durations, Quotas
from tests.bench.calls import table
from tests.bench.events import Bucket, Concurrency, Process, Timeline
from tests.bench.retries import DEFINITION, ClientRetries, StateRetries
from tests.bench.scale import percentile, rows
from tests.bench.simulation import Day

EXACT = Durations(varies=0)


# ---- The parts


def test_a_bucket_grants_what_it_holds_and_then_what_is_refilled() -> None:
    timeline = Timeline()
    bucket = Bucket(timeline, size=2, refill=0.5)
    answers: list[tuple[float, bool]] = []

    def asking() -> Process[None]:
        for _ in range(6):
            answers.append((timeline.now, bucket.take()))
            yield 1.0 if len(answers) > 2 else 0.0

    timeline.begin(asking())
    timeline.run()

    assert answers == [(0, True), (0, True), (0, False), (1, False), (2, True), (3, False)]
    assert (bucket.taken, bucket.refused, bucket.lowest, bucket.busiest_second) == (3, 3, 0, 3)


def test_a_queue_for_a_bucket_is_as_long_as_its_refill_says() -> None:
    timeline = Timeline()
    bucket = Bucket(timeline, size=1, refill=10)
    served: list[float] = []

    def patient() -> Process[None]:
        while not bucket.take():
            yield 0.001
        served.append(timeline.now)

    for _ in range(50):
        timeline.begin(patient())
    timeline.run()

    assert served == pytest.approx([number / 10 for number in range(50)], abs=0.002)


def test_an_environment_is_cold_once_and_there_are_no_more_than_the_account_has() -> None:
    functions = Concurrency(2)

    assert [functions.enter("a"), functions.enter("a"), functions.enter("b")] == ["cold", "cold", ""]
    functions.leave("a")
    assert [functions.enter("a"), functions.refused, functions.peak] == ["warm", 1, 2]


def test_a_state_retries_as_its_definition_says() -> None:
    retries = StateRetries(DEFINITION["States"]["RollBack"], random.Random(1))

    assert [retries.delay("Runtime.ExitError") for _ in range(6)] == [5, 15, 45, 60, 60, None]


def test_a_step_gives_up_at_once_what_its_retry_does_not_name() -> None:
    retries = StateRetries(DEFINITION["States"]["SetSecret"], random.Random(1))

    assert retries.delay("LoginRefusedError") is None
    delays = [retries.delay("UnavailableError") for _ in range(4)]
    assert [delay is not None and delay <= most for delay, most in zip(delays, (2, 5, 12), strict=False)] == [True] * 3
    assert delays[3] is None


def test_the_client_makes_a_throttled_call_once_more() -> None:
    retries = ClientRetries(random.Random(1))

    first = retries.delay(1)
    assert first is not None and first <= 1
    assert retries.delay(2) is None


# ---- Whole days


def test_one_secret_takes_as_long_as_its_parts() -> None:
    day = Day(1, durations=EXACT)

    outcome = day.run()

    # Two cold functions, three that got ready meanwhile, two log-ins, the calls of rotate and of the steps, and the
    # states up to FinishSecret.
    assert outcome.rotated == [pytest.approx(2 * 1.0 + 3 * 0.01 + 2 * 0.1 + (2 + 4 + 3 + 3 + 2) * 0.02 + 6 * 0.02)]
    # From the end of SetSecret: two functions that are ready, a log-in, five calls, two states.
    assert outcome.gaps == [pytest.approx(2 * 0.01 + 0.1 + 5 * 0.02 + 2 * 0.02)]
    assert (outcome.failed, outcome.state_retries, day.functions.peak) == ([], 0, 6)
    assert (day.writes.taken, day.describe_execution.taken) == (2, 0)
    assert day.bound == pytest.approx(outcome.rotated[0])


@pytest.mark.parametrize(("size", "refused"), [(20, 0), (19, 1)])
def test_a_quota_that_just_fits_refuses_nobody_and_one_less_refuses_one(size: int, refused: int) -> None:
    # Refilled by one in a hundred seconds.
    day = Day(10, durations=EXACT, quotas=replace(Quotas(), writes=(size, 0.01)))

    outcome = day.run()

    assert (day.writes.refused > 0, len(outcome.failed)) == (refused > 0, refused)
    assert len(outcome.rotated) == 10 - refused


def test_a_rotation_needs_two_functions_at_once() -> None:
    short = Day(1, quotas=replace(Quotas(), functions=1)).run()
    enough = Day(1, quotas=replace(Quotas(), functions=2)).run()

    (retrier,) = DEFINITION["States"]["CreateSecret"]["Retry"]
    assert short.failed == ["CreateSecret: Lambda.TooManyRequestsException"]
    assert (short.alerts, short.state_retries) == (1, retrier["MaxAttempts"])
    assert len(enough.rotated) == 1


def test_the_same_seed_makes_the_same_day() -> None:
    assert Day(50, seed=7).run() == Day(50, seed=7).run() != Day(50, seed=8).run()


# ---- The product as it is


@pytest.mark.parametrize(("secrets", "spread"), [(100, 0), (100, 60), (1_000, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_a_calm_day(secrets: int, spread: float, seed: int) -> None:
    day = Day(secrets, spread, seed=seed)

    outcome = day.run()

    assert len(outcome.rotated) == secrets
    assert (outcome.failed, outcome.alerts) == ([], 0)
    assert max(outcome.rotated) <= 1.2 * day.bound
    # No storm of retries, and all of DescribeExecution's quota is there for others.
    assert outcome.state_retries <= secrets / 20
    assert day.describe_execution.taken == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_that_come_faster_than_they_can_be_written_all_rotate_in_time(seed: int) -> None:
    day = Day(1_000, 30, seed=seed)

    outcome = day.run()

    assert (len(outcome.rotated), outcome.failed) == (1_000, [])
    # The bound is what the quota of writes allows, with no place for those that were refused.
    assert max(outcome.rotated) <= 1.25 * day.bound
    # No storm: where 33 come a second and 25 can be served, a rotation meets a dozen refusals and a retry at most.
    assert day.writes.refused <= 12 * day.secrets
    assert outcome.state_retries <= day.secrets
    assert day.describe_execution.busiest_second <= 1


@pytest.mark.parametrize("number", [50, 90, 95])
def test_between_change_and_promotion_a_thousand_of_a_minute_wait_no_longer_than_a_hundred(number: int) -> None:
    thousand, hundred = Day(1_000, 60).run().gaps, Day(100, 60).run().gaps

    assert percentile(thousand, number) <= percentile(hundred, number) * 1.05


@pytest.mark.parametrize(("secrets", "spread"), [(100, 0), (100, 60), (1_000, 60), (1_000, 30)])
@pytest.mark.parametrize("number", [50, 95])
def test_functions_that_get_ready_beforehand_shorten_that_wait_for_any_number_of_secrets(
    monkeypatch: pytest.MonkeyPatch, secrets: int, spread: float, number: int
) -> None:
    ready = Day(secrets, spread).run().gaps
    monkeypatch.setattr(simulation, "GOT_READY", ())
    unready = Day(secrets, spread).run().gaps

    assert percentile(ready, number) < percentile(unready, number)


def test_promotions_come_before_new_values_when_both_are_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    sooner = Day(1_000, 30).run().gaps
    monkeypatch.setattr(secret_store, "LONGEST_PAUSE", dict.fromkeys(secret_store.LONGEST_PAUSE, 2.0))
    alike = Day(1_000, 30).run().gaps

    assert percentile(sooner, 95) * 3 < percentile(alike, 95)


def test_looking_often_would_use_up_describe_execution_for_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "EXECUTION_FIRST", (0, 0))
    monkeypatch.setattr(waiting, "EXECUTION_AGAIN", (1, 2))

    day = Day(1_000, 60)
    day.run()

    assert day.describe_execution.refused > 100


def test_the_page_has_the_table_of_today() -> None:
    """When retries, waiting or calls have changed: PYTHONPATH=functions:. python -m tests.bench.scale."""
    assert table("Many secrets at once") == list(rows())
