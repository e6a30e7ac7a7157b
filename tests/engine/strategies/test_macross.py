"""Moving average crossover: each cross, once, and nothing between."""

import pytest

from engine.candle import HOUR_MS
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL
from engine.strategies.kernel import NOTHING, Signal
from engine.strategies.macross import STRATEGY, Params
from engine.strategies.sizing import Sizing
from tests.engine.strategies.feeding import bars_of, feed

CALM = [100.0] * 5


def told(*closes: float) -> list[Signal]:
    """What is said with averages of 2 and 4 bars, after a market that stood still."""
    return feed(STRATEGY, bars_of([*CALM, *closes], HOUR_MS), fast=2, slow=4)[1][len(CALM) :]


CROSSES = {
    "a rise buys": ([110.0], [BUY]),
    "a fall sells": ([90.0], [SELL]),
    "a rise that goes on is nothing new": ([110.0, 120.0], [BUY, NOTHING]),
    "nor is a fall that does": ([90.0, 80.0], [SELL, NOTHING]),
    "a rise that turns is sold": ([110.0, 80.0], [BUY, SELL]),
    "a fall that turns is bought": ([90.0, 120.0], [SELL, BUY]),
    "a market that stands still is left alone": ([100.0] * 20, [NOTHING] * 20),
}


@pytest.mark.parametrize(("closes", "expected"), CROSSES.values(), ids=CROSSES)
def test_a_cross_is_traded_once(closes, expected):
    assert told(*closes) == expected


def test_nothing_is_said_before_bar_27():
    """The 26th bar crosses unheard: 27 takes the lot of two bars with averages."""
    falling = [100.0 - index for index in range(25)]
    assert set(feed(STRATEGY, bars_of([*falling, 200.0, 201.0], HOUR_MS))[1]) == {NOTHING}
    assert feed(STRATEGY, bars_of([*falling, 74.0, 200.0], HOUR_MS))[1] == [NOTHING] * 26 + [BUY]
    assert STRATEGY.bars_needed == 27


def test_each_average_has_its_own_length():
    closes = [100.0 + index % 9 for index in range(80)]
    state = feed(STRATEGY, bars_of(closes, HOUR_MS))[0][-1]
    for value, length in ((state.fast, 12), (state.slow, 26)):
        expected = sum(closes[:length]) / length
        for close in closes[length:]:
            expected += 2 / (length + 1) * (close - expected)
        assert value == pytest.approx(expected)


def test_it_trades_as_decided():
    assert Params() == (12, 26)
    assert STRATEGY.timeframe == HOUR_MS
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.02, 0.0, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


def test_it_puts_the_cross_into_words():
    params = Params(fast=2.0, slow=4.0)
    bars = bars_of([*CALM, 110.0, 120.0], HOUR_MS)
    states, _ = feed(STRATEGY, bars, fast=2, slow=4)
    name = "EMA 2 crossed EMA 4 on this bar"
    assert STRATEGY.explain(params, states[-2], bars[-2]) == [(name, True, "106.667 vs 104")]
    assert STRATEGY.explain(params, states[-1], bars[-1]) == [(name, False, "115.556 vs 110.4")]
