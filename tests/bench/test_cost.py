"""The cost of rotations, against sums made by hand."""

import pytest

from rotation import waiting
from tests.bench.calls import PAGE, table
from tests.bench.cost import US_EAST_1, Prices, Usage, dollars, further, gigabytes
from tests.templates import TEMPLATE
from tests.workflow.applications import ALTERNATING, SINGLE


def test_each_price_counts_once() -> None:
    usage = Usage(SINGLE, 4, {"CreateSecret": 1, "TestSecret": 0.5}, {"FinishSecret": 2})
    prices = Prices(
        transition=1,
        secrets_manager_call=1_000,
        invocation=1_000_000,
        gigabyte_second=1_000_000_000,
        trace=1_000_000_000_000,
    )
    seconds = 4 * gigabytes("Rotate") + gigabytes("CreateSecret") + gigabytes("TestSecret") / 2
    seconds += 2 * gigabytes("FinishSecret")

    assert dollars(1, usage, prices) == {
        "Step Functions": 9,
        # Fourteen that are listed, and one for each second of waiting.
        "Secrets Manager": 18_000,
        "Lambda": 12 * 1_000_000 + seconds * 1_000_000_000,
        # Four calls of Secrets Manager and four of EventBridge, and an execution.
        "X-Ray": 9_000_000_000_000,
        "in all": 9_000_012_018_009 + seconds * 1_000_000_000,
    }


def test_looks_cost_what_the_products_pause_says(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage.assumed(SINGLE)
    often = usage.secrets_manager_calls
    monkeypatch.setattr(waiting, "LABELS_EVERY", 2 * waiting.LABELS_EVERY)

    assert often - usage.secrets_manager_calls == usage.rotate / waiting.LABELS_EVERY


def test_memory_and_tracing_are_the_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage.assumed(SINGLE)
    before = usage.gigabyte_seconds
    monkeypatch.setitem(TEMPLATE["Resources"]["RotateFunction"]["Properties"], "MemorySize", 2048)
    monkeypatch.setitem(TEMPLATE["Globals"]["Function"], "Tracing", "PassThrough")

    assert usage.gigabyte_seconds - before == 4 * (2 - 0.5)
    assert usage.traces == 0


def test_a_thousand_cost_a_thousand_times_as_much() -> None:
    usage = Usage.assumed(ALTERNATING)

    one, thousand = dollars(1, usage), dollars(1_000, usage)

    assert thousand == {service: pytest.approx(1_000 * price) for service, price in one.items()}


def test_a_message_is_published_and_mailed_and_a_key_is_asked_for_each_value() -> None:
    prices = Prices(0, 0, 0, 0, publication=1, mail=10, key_request=1_000)

    # Four values are read and one is written.
    assert further(Usage.assumed(SINGLE), prices) == {"a message to one address": 11, "a secret's own key": 5_000}


def test_the_page_has_the_sums_of_today() -> None:
    usage = Usage.assumed(SINGLE)
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
    assert f"${US_EAST_1.trace * 1_000_000:.2f} for 1,000,000 traces" in text
    assert f"${US_EAST_1.publication * 1_000_000:.2f} for 1,000,000 publications" in text
    assert f"${US_EAST_1.mail * 100_000:.2f} for 100,000 mails" in text
    assert f"${US_EAST_1.key_request * 10_000:.2f} for 10,000 requests" in text
    for extra in further(Usage.assumed(SINGLE)).values():
        assert f"${extra:.7f}" in text
