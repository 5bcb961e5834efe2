"""The simulation, against cases whose answer is known."""

import copy
import random
from dataclasses import replace
from typing import Any

import pytest

from rotation import throttling
from tests.bench.account import Durations, Quotas
from tests.bench.events import Bucket, Concurrency, Process, Timeline
from tests.bench.retries import DEFINITION, ClientRetries, StateRetries
from tests.bench.simulation import Day

EXACT = Durations(varies=0)
# A second that serves one write, as the second after it does.
ONE_WRITE_A_SECOND = replace(Quotas(), writes=(1, 1))


def without_jitter() -> dict[str, Any]:
    definition = copy.deepcopy(DEFINITION)
    for state in definition["States"].values():
        for retrier in state.get("Retry", []):
            retrier["JitterStrategy"] = "NONE"
    return definition


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


def test_a_queue_that_refuses_nobody_serves_one_after_the_other() -> None:
    bucket = Bucket(Timeline(), size=2, refill=0.5)

    assert [bucket.turn() for _ in range(4)] == [0, 0, 2, 4]


def test_a_function_gets_no_more_environments_at_once_than_lambda_makes() -> None:
    functions = Concurrency(Timeline(), 10, (2, 0.1))

    assert [functions.enter(name) for name in "aaab"] == ["cold", "cold", "", "cold"]
    functions.leave("a")
    assert functions.enter("a") == "warm"


def test_an_environment_is_cold_once_and_there_are_no_more_than_the_account_has() -> None:
    functions = Concurrency(Timeline(), 2, (1_000, 100))

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
    assert [delay is not None and delay <= most for delay, most in zip(delays, (2, 5, 8), strict=False)] == [True] * 3
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
    assert outcome.rotated == [pytest.approx(2 * 1.0 + 3 * 0.01 + 2 * 0.1 + (2 + 3 + 3 + 2 + 2) * 0.02 + 6 * 0.02)]
    # From the end of SetSecret: two functions that are ready, a log-in, four calls, two states.
    assert outcome.gaps == [pytest.approx(2 * 0.01 + 0.1 + 4 * 0.02 + 2 * 0.02)]
    assert (outcome.failed, outcome.state_retries, day.functions.peak) == ([], 0, 6)
    assert (day.api.writes.taken, day.api.describe_execution.taken) == (2, 0)
    assert day.bound == pytest.approx(outcome.rotated[0])


@pytest.mark.parametrize(("size", "refused"), [(20, 0), (19, 1)])
def test_a_quota_that_just_fits_refuses_nobody_and_one_less_refuses_one(size: int, refused: int) -> None:
    # Refilled by one in a hundred seconds.
    day = Day(10, durations=EXACT, quotas=replace(Quotas(), writes=(size, 0.01)))

    outcome = day.run()

    assert (day.api.writes.refused > 0, len(outcome.failed)) == (refused > 0, refused)
    assert len(outcome.rotated) == 10 - refused


def test_the_second_write_of_a_second_waits_as_the_state_machine_says_and_the_promotion_comes_before_it() -> None:
    day = Day(2, quotas=ONE_WRITE_A_SECOND, durations=EXACT, definition=without_jitter())

    outcome = day.run()

    # Both new values are asked for at 2.16 s, after two cold starts, five calls and three states; one is stored. Its
    # promotion is asked for 0.45 s later and made a second after the value was stored, or a pause and a call later. The
    # other value comes 2 s and a warm start, three calls and a state after its first try, and is promoted as the first.
    stored, tried_again = 2.16, 2.16 + 2 + 0.02 + 0.01 + 3 * 0.02
    late = throttling.LONGEST_PAUSE["UpdateSecretVersionStage"] + EXACT.call
    assert outcome.rotated == [
        pytest.approx(stored + 1 + late / 2, abs=late / 2),
        pytest.approx(tried_again + 1 + late / 2, abs=late / 2),
    ]
    assert (outcome.failed, outcome.state_retries) == ([], 1)


def test_the_bound_is_what_a_quota_that_is_never_idle_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody ever waits for more than a hundredth of a second, so that each write comes as soon as it may.
    monkeypatch.setattr(throttling, "LONGEST_PAUSE", dict.fromkeys(throttling.LONGEST_PAUSE, 0.01))
    monkeypatch.setattr(throttling, "PATIENCE", 1_000)
    monkeypatch.setattr(throttling, "WAITING_OUTSIDE", 0)
    day = Day(10, quotas=ONE_WRITE_A_SECOND, durations=EXACT)

    last = max(day.run().rotated)

    # The first of twenty writes at 2.16 s, the others a second apart.
    assert last == pytest.approx(2.16 + 19, abs=0.1)
    assert last < day.bound < 1.03 * last


def test_a_rotation_needs_two_functions_at_once() -> None:
    short = Day(1, quotas=replace(Quotas(), functions=1)).run()
    enough = Day(1, quotas=replace(Quotas(), functions=2)).run()

    retrier, _ = DEFINITION["States"]["CreateSecret"]["Retry"]
    assert short.failed == ["CreateSecret: Lambda.TooManyRequestsException"]
    assert (short.alerts, short.state_retries) == (1, retrier["MaxAttempts"])
    assert len(enough.rotated) == 1


def test_the_same_seed_makes_the_same_day() -> None:
    assert Day(50, seed=7).run() == Day(50, seed=7).run() != Day(50, seed=8).run()
