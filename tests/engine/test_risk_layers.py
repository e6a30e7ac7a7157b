"""The layers of risk one by one, each at its edge: exposure, liquidation, caps, the price."""

from dataclasses import replace

import pytest

from engine.bias import Bias
from engine.limits import NO_LIMITS, USUAL_LIMITS, Caps, Limits, Step
from engine.request import EntryRequest, Layers
from engine.risk import GATES, GATES_BY_HAND, refusal, verdicts, verdicts_by_hand
from engine.signal import GateResult, Sides
from engine.standing import CapUse, Committed, Lock, Standing, window
from engine.strategies.pipeline import OPEN
from tests.engine.conftest import BUY, GOOD, SELL, T0, USUAL_SIZING, D, instrument

# An entry of 50 coins at 100: worth 5,000, with 500 of margin, of 10,000.
LIMITS = Limits(
    one_way=D("0.7"),
    one_way_from=3,
    open_risk=D("0.1"),
    positions=5,
    stop_first=True,
    price_off=D("0.05"),
)
LAYERS = Layers(limits=LIMITS, last=100.0)


def asked(layers: Layers = LAYERS, **changes: object) -> EntryRequest:
    return replace(GOOD, layers=layers, **changes)


def said(gate: str, request: EntryRequest) -> GateResult | None:
    """What a gate says; None where it is not in force."""
    return next((each for each in verdicts(request) if each.gate == gate), None)


def committed(longs: int = 0, shorts: int = 0, positions: int = 3, at_stops: str = "0") -> Layers:
    held = Committed(D(longs), D(shorts), positions, D(at_stops))
    return replace(LAYERS, committed=held)


# -- one way -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "side", "passes", "detail"),
    [
        (committed(0, 90_000, 2), SELL, True, "2 open, it counts from 3 on"),
        (committed(3_000, 2_000), SELL, True, "30% long, 70% short; at most 70% one way"),
        (committed(3_000, 2_100), SELL, False, "30% long, 70% short; at most 70% one way"),
        (committed(0, 90_000), SELL, False, "0% long, 100% short; at most 70% one way"),
        (committed(0, 90_000), BUY, True, "5% long, 95% short; at most 70% one way"),
        (committed(90_000, 0), BUY, False, "100% long, 0% short; at most 70% one way"),
    ],
)
def test_exposure_is_not_all_one_way(held, side, passes, detail):
    assert said("one-way exposure", asked(held, side=side)) == (
        "one-way exposure",
        passes,
        detail,
    )


def test_without_a_signal_no_side_is_refused():
    assert said("one-way exposure", asked(committed(90_000, 0), side=None)).passed


# -- what the stops would cost -----------------------------------------------------------


@pytest.mark.parametrize(
    ("at_stops", "stop", "passes"),
    [
        ("500", 0.0, True),
        ("500.01", 0.0, False),
        ("900", 0.02, True),
        ("900.01", 0.02, False),
        ("500", 0.5, True),
    ],
)
def test_all_stops_together_cost_at_most_a_share_of_equity(at_stops, stop, passes):
    """Without a stop, and with one beyond its liquidation, an entry costs its margin."""
    limits = replace(LIMITS, stop_first=False)
    layers = replace(committed(at_stops=at_stops, positions=1), limits=limits)
    found = said("portfolio risk", asked(layers, stop=stop))
    assert found.passed is passes


def test_both_fees_are_part_of_what_a_stop_costs():
    layers = replace(committed(positions=1), fee=D("0.001"))
    assert asked(layers, stop=0.02).at_stop == D(110)
    assert said("portfolio risk", asked(layers, stop=0.02)).detail == (
        "every stop met would cost 110.00, at most 1000.00 (10% of equity)"
    )


# -- positions, liquidation, locks -------------------------------------------------------


def test_a_bot_holds_so_many_positions_and_no_more():
    assert said("positions of the bot", asked(committed(positions=4))).passed
    full = said("positions of the bot", asked(committed(positions=5)))
    assert (full.passed, full.detail) == (False, "5 of 5 open")


@pytest.mark.parametrize(
    ("leverage", "stop", "passes", "detail"),
    [
        (10, 0.0974, True, "9.75% away, the stop 9.74%"),
        (
            10,
            0.0976,
            False,
            "it would come 9.75% from the entry, before the stop at 9.76%: take a closer stop, or "
            "less leverage",
        ),
        (10, 0.0, True, "9.75% away, no stop before it"),
        (
            100,
            0.009,
            False,
            "it would come 0.88% from the entry, before the stop at 0.90%: take a closer stop, or "
            "less leverage",
        ),
        (1, 0.5, True, "99.00% away, the stop 50.00%"),
    ],
)
def test_a_position_meets_its_stop_before_its_liquidation(leverage, stop, passes, detail):
    limits = replace(LIMITS, open_risk=D(0))
    layers = replace(LAYERS, limits=limits)
    request = asked(layers, stop=stop, sizing=USUAL_SIZING._replace(leverage=leverage))
    assert said("liquidation", request) == ("liquidation", passes, detail)


def test_a_lock_names_its_reason_and_its_end():
    lock = Lock("", "4 stops lost within 24 h", T0, T0 + 60_000)
    assert refusal(asked(replace(LAYERS, lock=lock))) == (
        "locked",
        False,
        "4 stops lost within 24 h: until 2025-01-01 00:01 UTC, or /lift",
    )


@pytest.mark.parametrize(
    ("shut", "answer"),
    [
        (None, None),
        ("", ("reconciled", True, "books and exchange agree")),
        ("books and exchange differ", ("reconciled", False, "books and exchange differ")),
    ],
)
def test_books_and_exchange_must_agree_where_there_is_one(shut, answer):
    assert said("reconciled", asked(replace(LAYERS, shut=shut))) == answer


# -- hard caps ---------------------------------------------------------------------------

USE = CapUse(D(1_000), D(20_000), 9, D(100), D(300))
ROOMY = {
    "order_value": D(5_000),
    "position_value": D(6_000),
    "gross_exposure": D(25_000),
    "leverage": 10,
    "orders_a_minute": 10,
    "daily_loss": D(900),
}


@pytest.mark.parametrize("field", ROOMY)
def test_a_hard_cap_may_be_used_up_and_not_passed(field):
    just = Layers(caps=Caps(**{field: ROOMY[field]}), cap_use=USE)
    assert said("hard caps", asked(just)) == ("hard caps", True, f"within {field}")
    step = 1 if isinstance(ROOMY[field], int) else D("0.01")
    tight = replace(just, caps=Caps(**{field: ROOMY[field] - step}))
    for found in (refusal(asked(tight)), refusal_by_hand(asked(tight, wanted=D(50)))):
        assert (found.gate, found.passed) == ("hard caps", False)
        assert found.detail.startswith(f"{field} would be ")


def refusal_by_hand(request: EntryRequest) -> GateResult:
    return next(each for each in verdicts_by_hand(request) if not each.passed)


def test_a_daily_loss_that_was_reached_stays_reached():
    layers = Layers(caps=Caps(daily_loss=D(10_000)), cap_use=CapUse(reached=True))
    assert refusal(asked(layers)) == (
        "hard caps",
        False,
        "daily_loss is used up: no more before 00:00 UTC",
    )


def test_all_caps_in_force_are_named():
    layers = Layers(caps=Caps(**ROOMY), cap_use=USE)
    assert said("hard caps", asked(layers)).detail == f"within {', '.join(ROOMY)}"


# -- the price ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "passes", "detail"),
    [
        ({}, True, "100, the last one is 100"),
        ({"price": 105.0}, True, "105, the last one is 100"),
        ({"price": 95.0, "instrument": instrument(tick=D("0.1"))}, True, "95, the last one is 100"),
        ({"price": 105.01}, False, "105.01 is +5.01% off the last 100, 5% is allowed"),
        ({"price": 94.9}, False, "94.9 is -5.10% off the last 100, 5% is allowed"),
        ({"price": 50.0, "resting": True, "instrument": instrument(tick=D("0.1"))}, True, None),
        ({"price": 0.0}, False, "0 against 100 is no price"),
        ({"price": -1.0}, False, "-1 against 100 is no price"),
        ({"price": float("nan")}, False, "nan against 100 is no price"),
        ({"price": float("inf")}, False, "inf against 100 is no price"),
        ({"instrument": instrument(tick=D(2))}, False, "a tick of 2 is too coarse for 100"),
        ({"price_age": 60_000, "price_age_max": 60_000}, True, None),
        ({"price_age": 60_001, "price_age_max": 60_000}, False, "the last price is 60 s old"),
        ({"price_age": 10**15}, True, None),
    ],
)
def test_a_price_is_sane(changes, passes, detail):
    found = said("price sanity", asked(**changes))
    assert found.passed is passes
    assert detail in (None, found.detail)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0])
def test_without_a_price_nothing_is_opened(price):
    assert refusal(asked(price=price)) is not None
    assert refusal(replace(GOOD, price=price)) is not None


def test_a_symbol_without_a_last_price_is_not_entered():
    assert refusal(asked(replace(LAYERS, last=0.0))).gate == "price sanity"


# -- the order of all --------------------------------------------------------------------

STOPPED = tuple(
    Standing(span, ladder, replace(window(span, T0, D(10_000)), step=Step.STOPPED), D(-1))
    for span, ladder in USUAL_LIMITS.ladders.items()
)
# What each layer refuses, in the order of the design.
IN_ORDER = {
    "reconciled": {"shut": "not compared yet"},
    "circuit breaker": {"shut_until": T0 + 1},
    "daily loss": {"standing": STOPPED},
    "weekly loss": {"standing": STOPPED[1:]},
    "monthly loss": {"standing": STOPPED[2:]},
    "drawdown": {"standing": STOPPED[3:]},
    "loss streak": {"rests_until": T0 + 1},
    "one-way exposure": {"committed": Committed(D(0), D(9_000), 4)},
    "portfolio risk": {"committed": Committed(D(9_000), D(0), 4, D(1_000))},
    "locked": {"lock": Lock("", "a guard", T0, T0 + 1)},
    "positions of the bot": {"committed": Committed(D(9_000), D(0), 5)},
    "hard caps": {"cap_use": CapUse(reached=True)},
    "price sanity": {"last": 1.0},
}


@pytest.mark.parametrize("gates", [GATES, GATES_BY_HAND], ids=["by signal", "by hand"])
def test_the_layers_stand_in_the_order_of_the_design(gates):
    caps = Caps(daily_loss=D(10_000))
    free = Layers(limits=USUAL_LIMITS, caps=caps, shut="", last=100.0)
    answers = verdicts if gates is GATES else verdicts_by_hand
    changes: dict[str, object] = {}
    for later in list(IN_ORDER)[::-1]:
        changes |= IN_ORDER[later]
        found = [each for each in answers(asked(replace(free, **changes))) if not each.passed]
        assert found[0].gate == later


# Design, section 6, with the signal's own gates before it.
ALL_GATES = """
confidence, side mode, calm market, confirmed, model bias, mode and kill, warm-up, fresh candle,
reconciled, circuit breaker, daily loss, weekly loss, monthly loss, drawdown, loss streak, one-way
exposure, portfolio risk, symbol enabled, locked, cool-down, one position a symbol, free slot,
positions of the bot, size, liquidation, instrument limits, hard caps, price sanity
"""


def test_every_gate_in_force_answers_in_its_order():
    free = [each._replace(window=window(each.span, T0, D(10_000))) for each in STOPPED]
    layers = Layers(
        limits=USUAL_LIMITS,
        caps=Caps(leverage=1),
        shut="",
        standing=tuple(free),
        lock=Lock("", "a guard", T0, T0 + 1),
        last=100.0,
    )
    request = asked(
        layers,
        pipeline=OPEN._replace(confidence_min=0.5, flips=2, confirmed=1),
        sides=Sides.SHORT_ONLY,
        sizing=USUAL_SIZING._replace(slots=3),
        disabled="ann",
        bias=Bias("BTCUSDT", 0.0, 0.9, T0, T0 + 1, 7),
    )
    named = [name.strip() for name in ALL_GATES.replace("\n", " ").split(",")]
    assert [each.gate for each in verdicts(request)] == named


def test_layers_that_nobody_set_say_nothing():
    names = {each.gate for each in verdicts(replace(GOOD, layers=Layers(limits=NO_LIMITS)))}
    assert not names & {*IN_ORDER, "liquidation"}
