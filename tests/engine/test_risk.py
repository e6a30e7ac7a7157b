"""The gates an entry must pass, one by one and in their order."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.risk import GATES, EntryRequest, refusal, verdicts, verdicts_by_hand
from engine.strategies.sizing import Sizing
from tests.engine.conftest import T0, D, instrument

# 5 % of 10,000 at ten times, at a price of 100: 50 coins for 500 of margin.
GOOD = EntryRequest(
    ts=T0,
    price=100.0,
    instrument=instrument(),
    sizing=Sizing(0.05, 0.07, 10),
    equity=D(10_000),
    free_margin=D(10_000),
    halted="",
    paused=False,
    bars=601.0,
    bars_needed=601,
    ready=True,
    late=False,
    cooldown_until=0,
    holding=D(0),
    order_open=False,
)

NAMES = [
    "mode and kill",
    "warm-up",
    "fresh candle",
    "cool-down",
    "one position a symbol",
    "size",
    "instrument limits",
]


def test_a_good_entry_passes_every_gate_in_order():
    results = verdicts(GOOD)
    assert [result.gate for result in results] == NAMES
    assert all(result.passed for result in results)
    assert refusal(GOOD) is None


def test_the_size_is_whole_steps_of_what_equity_allows():
    assert (GOOD.quantity, GOOD.margin) == (D(50), D(500))
    assert replace(GOOD, price=99.0).quantity == D("50.5")


REFUSALS = {
    "halted": ({"halted": "books differ"}, "mode and kill", "halted: books differ"),
    "paused": ({"paused": True}, "mode and kill", "the bot is paused"),
    "warming up": ({"ready": False, "bars": 12.0}, "warm-up", "12 of 601 bars"),
    "cooling down": ({"cooldown_until": T0 + 60_001}, "cool-down", "2 min left"),
    "holding a long": ({"holding": D("0.10")}, "one position a symbol", "holds 0.1"),
    "holding a short": ({"holding": D(-100)}, "one position a symbol", "holds -100"),
    "an order underway": (
        {"order_open": True},
        "one position a symbol",
        "an order is on its way",
    ),
    "no equity": ({"equity": D("-1")}, "size", "equity is -1.00"),
    "no free margin": (
        {"free_margin": D("499.99")},
        "size",
        "needs 500.00 margin, 499.99 is free",
    ),
    "below the minimum": (
        {"equity": D(10)},
        "instrument limits",
        "0.0 is below the minimum 0.1",
    ),
    "above the maximum": (
        {"instrument": instrument(quantity_max=D(40))},
        "instrument limits",
        "50.0 is above the maximum 40",
    ),
    "worth too little": (
        {"instrument": instrument(notional_min=D("5000.01"))},
        "instrument limits",
        "worth 5000.00, the minimum is 5000.01",
    ),
    "leverage beyond the symbol's": (
        {"instrument": instrument(leverage_max=5)},
        "instrument limits",
        "leverage 10 is above 5",
    ),
}


@pytest.mark.parametrize(("changes", "gate", "detail"), REFUSALS.values(), ids=REFUSALS)
def test_a_gate_refuses_in_words(changes, gate, detail):
    found = refusal(replace(GOOD, **changes))
    assert found == (gate, False, detail)


@pytest.mark.parametrize(("changes", "gate", "detail"), REFUSALS.values(), ids=REFUSALS)
def test_every_gate_answers_whatever_the_others_say(changes, gate, detail):
    request = replace(GOOD, **changes)
    assert [result.gate for result in verdicts(request)] == NAMES
    assert len(GATES) == len(NAMES)


def test_the_first_gate_that_refuses_is_the_one_named():
    request = replace(GOOD, paused=True, ready=False, holding=D(1), equity=D(0))
    assert refusal(request).gate == "mode and kill"


def test_a_cool_down_is_over_at_its_end():
    assert refusal(replace(GOOD, cooldown_until=T0)) is None
    assert refusal(replace(GOOD, cooldown_until=T0 + 1)).gate == "cool-down"


def test_margin_may_be_used_to_the_last_unit():
    assert refusal(replace(GOOD, free_margin=Decimal(500))) is None


# -- by hand -----------------------------------------------------------------------------

BY_HAND = replace(GOOD, wanted=D(10), price_age_max=60_000)
NAMES_BY_HAND = [
    "mode and kill",
    "market open",
    "fresh price",
    "one position a symbol",
    "size",
    "instrument limits",
]


def refused_by_hand(**changes: object) -> list[tuple[str, bool, str]]:
    return [each for each in verdicts_by_hand(replace(BY_HAND, **changes)) if not each.passed]


def test_an_order_by_hand_passes_its_gates_in_order():
    assert [each.gate for each in verdicts_by_hand(BY_HAND)] == NAMES_BY_HAND
    assert refused_by_hand() == []
    assert (BY_HAND.quantity, BY_HAND.margin) == (D(10), D(100))


def test_an_order_by_hand_knows_no_signal_of_a_strategy():
    changes = {"paused": True, "ready": False, "late": True, "cooldown_until": T0 + 1}
    assert refused_by_hand(**changes) == []


def test_nothing_is_opened_by_hand_after_the_markets_end():
    assert refused_by_hand(market_ended=True) == [
        ("market open", False, "the market has ended: nothing would be filled")
    ]


@pytest.mark.parametrize(
    ("age", "detail"), [(-5_000, "0 s old"), (0, "0 s old"), (60_000, "60 s old")]
)
def test_a_price_is_fresh_to_its_last_moment(age, detail):
    results = {each.gate: each for each in verdicts_by_hand(replace(BY_HAND, price_age=age))}
    assert results["fresh price"] == ("fresh price", True, detail)


def test_an_old_price_opens_nothing_by_hand():
    assert refused_by_hand(price_age=60_001) == [
        ("fresh price", False, "the last price is 60 s old")
    ]


def test_prices_of_no_clock_are_never_old():
    assert refused_by_hand(price_age=10**15, price_age_max=0) == []
