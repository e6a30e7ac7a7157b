"""The gates an entry must pass, one by one and in their order."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import MINUTE_MS
from engine.risk import refusal, verdicts, verdicts_by_hand
from engine.signal import Sides
from engine.strategies.pipeline import OPEN, Heard
from tests.engine.conftest import BUY, GOOD, T0, USUAL_SIZING, D, instrument

# Asked of every entry.
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
    "warming up": ({"bars": 12}, "warm-up", "12 of 601 bars"),
    "one bar short": ({"bars": 600}, "warm-up", "600 of 601 bars"),
    "late": ({"late": True}, "fresh candle", "the candle came long after it had closed"),
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
    "too little free margin": (
        {"free_margin": D(600), "sizing": USUAL_SIZING._replace(free_min=600.01)},
        "size",
        "600.00 is free, at least 600.01 must be",
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


def test_the_first_gate_that_refuses_is_the_one_named():
    request = replace(GOOD, paused=True, bars=0, holding=D(1), equity=D(0))
    assert refusal(request).gate == "mode and kill"


def test_a_cool_down_is_over_at_its_end():
    assert refusal(replace(GOOD, cooldown_until=T0)) is None
    assert refusal(replace(GOOD, cooldown_until=T0 + 1)).gate == "cool-down"


def test_the_bars_seen_are_counted_to_what_is_needed_and_no_further():
    [seen] = [each for each in verdicts(replace(GOOD, bars=10_000)) if each.gate == "warm-up"]
    assert seen == ("warm-up", True, "601 of 601 bars")


def test_margin_may_be_used_to_the_last_unit():
    assert refusal(replace(GOOD, free_margin=Decimal(500))) is None


# -- gates that are in force where somebody wants them -----------------------------------

STRICT = OPEN._replace(confidence_min=0.5, flips=2, confirmed=1)
# Said twice in the same direction, two minutes apart, after two changes long ago.
CONFIRMED = Heard(-1.0, T0 - 120_000, T0, T0 - 3_600_000, T0 - 7_200_000)
IN_FORCE = replace(
    GOOD,
    pipeline=STRICT,
    heard=CONFIRMED,
    sides=Sides.SHORT_ONLY,
    sizing=USUAL_SIZING._replace(slots=3),
    taken=2,
)
ALL_NAMES = [
    "confidence",
    "side mode",
    "calm market",
    "confirmed",
    "mode and kill",
    "warm-up",
    "fresh candle",
    "symbol enabled",
    "cool-down",
    "one position a symbol",
    "free slot",
    "size",
    "instrument limits",
]
REFUSED_BY_ALL = {
    "confidence": 0.49,
    "sides": Sides.LONG_ONLY,
    "heard": Heard(-1.0, T0, T0, T0 - 60_000, T0 - 120_000),
    "pipeline": STRICT._replace(apart_ms=120_001),
    "halted": "books differ",
    "bars": 0,
    "late": True,
    "disabled": "ann",
    "cooldown_until": T0 + 1,
    "holding": D(1),
    "taken": 3,
    "equity": D(0),
    "instrument": instrument(quantity_max=D(1)),
}


def test_a_gate_that_is_in_force_and_holds_says_so():
    answers = {each.gate: each for each in verdicts(IN_FORCE)}
    assert list(answers) == [name for name in ALL_NAMES if name != "symbol enabled"]
    assert refusal(IN_FORCE) is None
    assert answers["confidence"].detail == "0.80, it needs 0.50"
    assert answers["side mode"].detail == "short only"
    assert answers["calm market"].detail == "0 changes of direction in 15 min, 2 stop it"
    assert answers["confirmed"].detail == "a second signal says the same"
    assert answers["free slot"].detail == "2 of 3 in use"


def test_the_gates_stand_in_their_order():
    """Each is asked before all those behind it: mending one refusal shows the next."""
    request = replace(IN_FORCE, **REFUSED_BY_ALL)
    assert [each.gate for each in verdicts(request)] == ALL_NAMES
    refusals = []
    for field in REFUSED_BY_ALL:
        refusals.append(refusal(request).gate)
        request = replace(request, **{field: getattr(IN_FORCE, field)})
    assert refusals == ALL_NAMES
    assert refusal(request) is None


FLIPPED_TWICE = Heard(-1.0, T0 - 120_000, T0, T0 - 60_000, T0 - 120_000)
HEARD_ONCE = Heard(-1.0, T0, T0)
HEARD_TWICE = Heard(-1.0, T0 - 60_000, T0)

STRICT_REFUSALS = {
    "not confident": (
        {"confidence": 0.7, "pipeline": OPEN._replace(confidence_min=0.75)},
        ("confidence", False, "0.70, it needs 0.75"),
    ),
    "short while long only": (
        {"sides": Sides.LONG_ONLY},
        ("side mode", False, "long only"),
    ),
    "long while short only": (
        {"sides": Sides.SHORT_ONLY, "side": BUY},
        ("side mode", False, "short only"),
    ),
    "choppy": (
        {"heard": FLIPPED_TWICE, "pipeline": OPEN._replace(flips=2)},
        ("calm market", False, "2 changes of direction in 15 min, 2 stop it"),
    ),
    "not confirmed": (
        {"heard": HEARD_ONCE, "pipeline": OPEN._replace(confirmed=1)},
        ("confirmed", False, "waits for a second signal"),
    ),
    "switched off": ({"disabled": "ann"}, ("symbol enabled", False, "switched off by ann")),
    "no slot": (
        {"sizing": USUAL_SIZING._replace(slots=2), "taken": 2},
        ("free slot", False, "2 of 2 in use"),
    ),
}
JUST_LET_PASS = {
    "confident enough": {"confidence": 0.75, "pipeline": OPEN._replace(confidence_min=0.75)},
    "a long while long only": {"sides": Sides.LONG_ONLY, "side": BUY},
    "a short while short only": {"sides": Sides.SHORT_ONLY},
    "fewer changes": {"heard": FLIPPED_TWICE, "pipeline": OPEN._replace(flips=3)},
    "heard a minute ago": {"heard": HEARD_TWICE, "pipeline": OPEN._replace(confirmed=1)},
    "a slot": {"sizing": USUAL_SIZING._replace(slots=2), "taken": 1},
}
NOT_IN_FORCE = {
    "no least confidence": {"confidence": 0.0},
    "both sides": {"sides": Sides.BOTH, "side": BUY},
    "no filter of flips": {"heard": FLIPPED_TWICE},
    "no confirmation": {"heard": HEARD_ONCE},
    "no slots": {"taken": 100},
}


@pytest.mark.parametrize(("changes", "answer"), STRICT_REFUSALS.values(), ids=STRICT_REFUSALS)
def test_a_gate_in_force_refuses_in_words(changes, answer):
    assert refusal(replace(GOOD, **changes)) == answer


@pytest.mark.parametrize("changes", JUST_LET_PASS.values(), ids=JUST_LET_PASS)
def test_a_gate_in_force_lets_pass_what_just_meets_it(changes):
    request = replace(GOOD, **changes)
    assert refusal(request) is None
    assert len(verdicts(request)) == len(NAMES) + 1


@pytest.mark.parametrize("changes", NOT_IN_FORCE.values(), ids=NOT_IN_FORCE)
def test_a_gate_not_in_force_says_nothing(changes):
    assert [each.gate for each in verdicts(replace(GOOD, **changes))] == NAMES


def test_without_a_signal_the_gates_say_what_one_would_need():
    asked = replace(IN_FORCE, side=None, confidence=None, heard=HEARD_ONCE)
    answers = {each.gate: each for each in verdicts(asked)}
    assert all(each.passed for each in answers.values())
    assert answers["confidence"].detail == "no signal; it needs 0.50"
    assert answers["confirmed"].detail == "no signal; it needs two of the same direction"
    assert answers["side mode"].detail == "short only"


def test_flips_are_forgotten_after_their_time():
    rules = OPEN._replace(flips=2, flips_ms=10 * MINUTE_MS)
    heard = Heard(-1.0, T0, T0, T0, T0 - 10 * MINUTE_MS + 1)
    request = replace(GOOD, pipeline=rules, heard=heard)
    assert refusal(request).gate == "calm market"
    assert refusal(replace(request, ts=T0 + 1)) is None


# -- the size that the gates look at -----------------------------------------------------


def test_the_size_follows_the_stop_where_risk_is_asked_for():
    """1 % of 10,000 may be lost by a stop 2 % away: 5,000, 50 coins at 100."""
    sizing = USUAL_SIZING._replace(risk=0.01)
    assert replace(GOOD, sizing=sizing, stop=0.02).quantity == D(50)
    assert replace(GOOD, sizing=sizing, stop=0.04).quantity == D(25)


def test_what_a_person_asked_for_is_not_sized_again():
    assert replace(GOOD, wanted=D(3), sizing=USUAL_SIZING._replace(fixed=1e6)).quantity == D(3)


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
    changes = {"paused": True, "bars": 0, "late": True, "cooldown_until": T0 + 1}
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
