"""The cost of rotations, against sums made by hand."""

import pytest

from tests.bench.calls import PAGE, table
from tests.bench.cost import US_EAST_1, Prices, Usage, dollars, further
from tests.workflow.applications import ALTERNATING, SINGLE


def test_each_price_counts_once() -> None:
    usage = Usage(SINGLE, rotate_seconds=4, seconds_of_the_others=2, gigabytes=0.5)
    prices = Prices(transition=1, secrets_manager_call=1_000, invocation=1_000_000, gigabyte_second=1_000_000_000)

    assert dollars(1, usage, prices) == {
        "Step Functions": 9,
        # Sixteen that are listed, and one for each second of waiting.
        "Secrets Manager": 20_000,
        "Lambda": 12 * 1_000_000 + 3 * 1_000_000_000,
        "in all": 3_012_020_009,
    }


def test_a_thousand_cost_a_thousand_times_as_much() -> None:
    usage = Usage(ALTERNATING, 4, 2)

    one, thousand = dollars(1, usage), dollars(1_000, usage)

    assert thousand == {service: pytest.approx(1_000 * price) for service, price in one.items()}


def test_a_message_is_published_and_mailed_and_a_key_is_asked_for_each_value() -> None:
    prices = Prices(0, 0, 0, 0, publication=1, mail=10, key_request=1_000)

    # Six values are read and one is written.
    assert further(Usage(SINGLE, 4, 2), prices) == {"a message to one address": 11, "a secret's own key": 7_000}


def test_the_page_has_the_sums_of_today() -> None:
    usage = Usage(SINGLE, rotate_seconds=4, seconds_of_the_others=2)
    rows = {int(number.replace(",", "")): sums for number, *sums in table("Costs")}

    assert sorted(rows) == [1, 1_000, 100_000]
    for rotations, sums in rows.items():
        assert sums == [f"${price:,.{6 if rotations == 1 else 2}f}" for price in dollars(rotations, usage).values()]


def test_the_page_has_the_prices_that_were_reckoned_with() -> None:
    text = PAGE.read_text()

    assert f"${US_EAST_1.transition * 1_000:g} for 1,000" in text
    assert f"${US_EAST_1.secrets_manager_call * 10_000:g} for 10,000" in text
    assert f"${US_EAST_1.invocation * 1_000_000:.2f} for 1,000,000" in text
    assert f"${US_EAST_1.gigabyte_second:.10f} for a gigabyte-second" in text
    assert f"${US_EAST_1.publication * 1_000_000:.2f} for 1,000,000 publications" in text
    assert f"${US_EAST_1.mail * 100_000:.2f} for 100,000 mails" in text
    assert f"${US_EAST_1.key_request * 10_000:.2f} for 10,000 requests" in text
    for extra in further(Usage(SINGLE, rotate_seconds=4, seconds_of_the_others=2)).values():
        assert f"${extra:.7f}" in text
