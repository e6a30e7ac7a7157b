"""The pump chaser: each point of its score, each of its two rules, and what it leaves alone."""

from random import Random
from statistics import stdev

import pytest

from engine.candle import HOUR_MS, MINUTE_MS
from engine.strategies.exits import Exits
from engine.strategies.indicators import Roc, Rsi, Volatility
from engine.strategies.kernel import NOTHING, RULE_6, RULE_8, Bar, Signal
from engine.strategies.lxalgo import STRATEGY, Params, State, decide, spread_of
from engine.strategies.sizing import Sizing
from tests.engine.conftest import T0
from tests.engine.strategies.feeding import bars_of, feed

FIVE = 5 * MINUTE_MS
# A pump with all five points.
PUMP = {"pump": 0.1, "rsi": 70, "volume": 0.6, "spread": 0.02, "volatility": 0.01, "price": 0.06}
# Nothing but the pump, and one point: the spread.
BARE = {"pump": 0.1, "rsi": 50, "volume": 0, "spread": 0.02, "volatility": 0.001, "price": 0}


def seen(pump, rsi, volume, spread, volatility, price) -> tuple[State, Bar]:
    """What a kernel would know after a bar of that spread."""
    state = State(
        200.0,
        Roc(200.0, pump),
        Rsi(200.0, value=rsi),
        Volatility(200.0, 100.0, volatility),
        Roc(200.0, price),
        Roc(200.0, volume),
    )
    return state, Bar(T0, 100.0, 100.0 + 100.0 * spread, 100.0, 100.0, 1.0)


def enter(reason: float, score: int) -> Signal:
    return Signal(1.0, 0.0, 0.0, reason, score / 5)


RULES = {
    "all five points": ({}, enter(RULE_8, 5)),
    "a rise of 8 % is a pump": ({"pump": 0.08}, enter(RULE_8, 5)),
    "a smaller rise is none": ({"pump": 0.0799}, NOTHING),
    "RSI of 60 makes no point": ({"rsi": 60}, enter(RULE_8, 4)),
    "volume up by half makes no point": ({"volume": 0.5}, enter(RULE_8, 4)),
    "spread of 3 % makes no point": ({"spread": 0.03}, enter(RULE_8, 4)),
    "volatility of 0.005 makes no point": ({"volatility": 0.005}, enter(RULE_8, 4)),
    "price up by 5 % makes no point": ({"price": 0.05}, enter(RULE_8, 4)),
    "spread of 4 % leaves it to rule 6": ({"spread": 0.04}, enter(RULE_6, 4)),
    "rule 6 needs an RSI over 55": ({"spread": 0.04, "rsi": 55}, NOTHING),
    "an RSI of 56 will do": ({"spread": 0.04, "rsi": 56}, enter(RULE_6, 3)),
    "rule 6 needs a volatility over 0.008": ({"spread": 0.04, "volatility": 0.008}, NOTHING),
    "one of 0.009 will do": ({"spread": 0.04, "volatility": 0.009}, enter(RULE_6, 4)),
}


@pytest.mark.parametrize(("changes", "signal"), RULES.values(), ids=RULES)
def test_a_rule_decides(changes, signal):
    assert decide(Params(), *seen(**PUMP | changes)) == signal


@pytest.mark.parametrize("point", [{"rsi": 61}, {"volume": 0.51}, {"price": 0.051}])
def test_rule_8_needs_two_points(point):
    assert decide(Params(), *seen(**BARE)) == NOTHING
    assert decide(Params(), *seen(**BARE | point)) == enter(RULE_8, 2)


def test_a_price_of_zero_has_no_spread():
    assert spread_of(Bar(T0, 1.0, 1.0, 0.0, 0.0, 1.0)) == 0.0


def talib_rsi(closes: list[float], length: int) -> float:
    changes = [now - then for then, now in zip(closes, closes[1:], strict=False)]
    gains, losses = ([max(sign * c, 0.0) for c in changes] for sign in (1, -1))
    gain, loss = sum(gains[:length]) / length, sum(losses[:length]) / length
    for up, down in zip(gains[length:], losses[length:], strict=True):
        gain, loss = (gain * (length - 1) + up) / length, (loss * (length - 1) + down) / length
    return 100 * gain / (gain + loss)


def test_each_indicator_has_its_own_length():
    random, closes, volumes = Random(3), [100.0], [10.0]
    for _ in range(219):
        closes.append(closes[-1] * (1 + random.gauss(0, 0.01)))
        volumes.append(random.uniform(1, 20))
    state = feed(STRATEGY, bars_of(closes, FIVE, volumes=volumes))[0][-1]
    returns = [now / then - 1 for then, now in zip(closes, closes[1:], strict=False)]
    assert state.pump.value == pytest.approx(closes[-1] / closes[-13] - 1)
    assert state.price.value == pytest.approx(closes[-1] / closes[-145] - 1)
    assert state.volume.value == pytest.approx(volumes[-1] / volumes[-145] - 1)
    assert state.volatility.value == pytest.approx(stdev(returns[-144:]))
    assert state.rsi.value == pytest.approx(talib_rsi(closes, 84))


def test_nothing_is_said_before_bar_150():
    _, signals = feed(STRATEGY, bars_of((1.01**index for index in range(160)), FIVE))
    assert signals[:149] == [NOTHING] * 149
    assert signals[149:] == [enter(RULE_8, 3)] * 11


@pytest.mark.parametrize(
    ("changed", "needed"),
    [({}, 150), ({"pump_bars": 200}, 201), ({"rsi_bars": 200}, 201),
     ({"volatility_bars": 200}, 201), ({"change_bars": 200}, 201)],
)  # fmt: skip
def test_warm_up_takes_the_longest_length_and_150_bars(changed, needed):
    assert STRATEGY.bars(STRATEGY.params._replace(**changed)) == needed
    rising = bars_of((1.01**index for index in range(needed)), FIVE)
    assert feed(STRATEGY, rising, **changed)[1][-2:] == [NOTHING, enter(RULE_8, 3)]


def test_a_fall_is_not_sold():
    _, signals = feed(STRATEGY, bars_of((0.99**index for index in range(300)), FIVE))
    assert signals == [NOTHING] * 300


def test_it_trades_by_these_numbers():
    assert Params() == (12, 0.08, 84, 144, 144, 60, 0.5, 0.03, 0.005, 0.05, 2, 0.04, 55, 0.008)
    assert STRATEGY.timeframe == FIVE
    assert STRATEGY.exits_for("PEPEUSDT") == Exits(
        0.08, 0.25, 0.08, 0.15, 72 * HOUR_MS, 0, 0.08, 0.0002, 8 * HOUR_MS, 4 * HOUR_MS
    )
    assert STRATEGY.sizing == Sizing(
        0.015, 0.015, 1, fixed=150.0, slots=15, free_at_break_even=1, free_min=200.0
    )


def test_it_puts_both_rules_into_words():
    pumped, rules = STRATEGY.explain(Params(), *seen(**PUMP | {"spread": 0.05}))
    assert pumped == ("up 8.0% in 12 bars", True, "10.00%")
    assert rules.detail == (
        "8: score 4 of 5, needs 2, spread 5.00%, under 4.00% (volume +60%, price +6.00%); "
        "6: RSI 70.0, over 55, volatility 1.00%, over 0.80%"
    )


@pytest.mark.parametrize(
    ("changes", "holds"),
    [({"rsi": 50}, True), ({"spread": 0.05}, True), ({"spread": 0.05, "rsi": 50}, False)],
    ids=["rule 8 alone", "rule 6 alone", "neither"],
)
def test_either_rule_is_enough(changes, holds):
    _, rules = STRATEGY.explain(Params(), *seen(**PUMP | changes))
    assert rules.holds is holds
