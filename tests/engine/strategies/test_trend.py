"""Trend following: when a trend begins, begins again and ends, and the stop it carries."""

import pytest

from engine.candle import HOUR_MS
from engine.strategies.exits import Exits
from engine.strategies.kernel import (
    LONG_ENTRY,
    LONG_EXIT,
    NOTHING,
    SHORT_ENTRY,
    SHORT_EXIT,
    Signal,
)
from engine.strategies.sizing import Sizing
from engine.strategies.trend import LEAVE_LONG, LEAVE_SHORT, STRATEGY, Params, trend_of
from tests.engine.strategies.feeding import bars_of, feed

CALM = [100.0] * 8
SMALL = {"fast": 2.0, "slow": 4.0, "atr_bars": 3.0}


def told(*closes: float) -> list[Signal]:
    """What is said with averages of 2 and 4 bars, after a market that stood still."""
    return feed(STRATEGY, bars_of([*CALM, *closes], HOUR_MS), **SMALL)[1][len(CALM) :]


def kinds(*closes: float) -> list[tuple[float, ...]]:
    return [signal[:4] for signal in told(*closes)]


ENTER_LONG, ENTER_SHORT = (1.0, 0.0, 1.0, LONG_ENTRY), (-1.0, 1.0, 0.0, SHORT_ENTRY)
OUT_OF_LONG, OUT_OF_SHORT = (0.0, 1.0, 0.0, LONG_EXIT), (0.0, 0.0, 1.0, SHORT_EXIT)

TRENDS = {
    "a rise is bought": ([110.0], [ENTER_LONG]),
    "a fall is sold": ([90.0], [ENTER_SHORT]),
    "a rise that goes on is nothing new": ([110.0, 120.0], [ENTER_LONG, OUT_OF_SHORT]),
    "nor is a fall that does": ([90.0, 80.0], [ENTER_SHORT, OUT_OF_LONG]),
    "after a pullback a rise begins again": (
        [110.0, 120.0, 114.0, 125.0],
        [ENTER_LONG, OUT_OF_SHORT, OUT_OF_SHORT, ENTER_LONG],
    ),
    "and so does a fall": (
        [90.0, 80.0, 86.0, 75.0],
        [ENTER_SHORT, OUT_OF_LONG, OUT_OF_LONG, ENTER_SHORT],
    ),
    "a rise that turns is sold": ([110.0, 80.0], [ENTER_LONG, ENTER_SHORT]),
    "a market that stands still is left alone": ([100.0] * 20, [NOTHING[:4]] * 20),
}


@pytest.mark.parametrize(("closes", "expected"), TRENDS.values(), ids=TRENDS)
def test_a_trend_is_joined_when_it_begins(closes, expected):
    assert kinds(*closes) == expected


ORDERS = {
    "up": (102.0, 101.0, 103.0, 1.0),
    "up, the close at the fast average": (102.0, 101.0, 102.0, 0.0),
    "up, the close below": (102.0, 101.0, 101.5, 0.0),
    "down": (101.0, 102.0, 100.0, -1.0),
    "down, the close at the fast average": (101.0, 102.0, 101.0, 0.0),
    "down, the close above": (101.0, 102.0, 103.0, 0.0),
    "neither, the close above": (101.0, 101.0, 103.0, 0.0),
    "neither, the close below": (101.0, 101.0, 99.0, 0.0),
}


@pytest.mark.parametrize(("fast", "slow", "close", "trend"), ORDERS.values(), ids=ORDERS)
def test_averages_and_close_stand_in_order(fast, slow, close, trend):
    assert trend_of(fast, slow, close) == trend


def test_averages_on_the_wrong_side_end_it_though_the_close_is_between():
    """The averages have crossed down, the close stands above the fast one: out, but not short."""
    falling = told(110.0, 90.0, 70.0, 88.0)
    assert falling[-1] == LEAVE_LONG
    assert told(90.0, 110.0, 130.0, 112.0)[-1] == LEAVE_SHORT


@pytest.mark.parametrize(("close", "multiple"), [(110.0, 2.0), (90.0, 2.0), (110.0, 3.0)])
def test_the_stop_is_two_true_ranges_away_and_trails(close, multiple):
    """Three ranges, of which the last is 10: the mean is 10 / 3."""
    bars = bars_of([*CALM, close], HOUR_MS)
    signal = feed(STRATEGY, bars, **SMALL, atr_multiple=multiple)[1][-1]
    assert signal.stop == signal.trail == pytest.approx(multiple * 10 / 3)
    assert signal.target == 0.0
    assert signal.confidence == 1.0


@pytest.mark.parametrize(
    ("changed", "needed"),
    [({}, 51), ({"fast": 80.0}, 81), ({"slow": 25.0}, 26), ({"atr_bars": 99.0}, 101)],
)
def test_nothing_is_said_before_warm_up(changed, needed):
    assert STRATEGY.bars(Params(**changed)) == needed
    falling = [1_000.0 - index for index in range(needed + 1)]
    signals = feed(STRATEGY, bars_of(falling, HOUR_MS), **changed)[1]
    assert signals[: needed - 1] == [NOTHING] * (needed - 1)
    assert NOTHING not in signals[needed - 1 :]


def test_the_averages_and_the_range_have_their_own_lengths():
    closes = [100.0 + index % 9 for index in range(150)]
    state = feed(STRATEGY, bars_of(closes, HOUR_MS))[0][-1]
    ranges = [abs(now - then) for then, now in zip(closes, closes[1:], strict=False)]
    for value, series, length, weight in (
        (state.fast, closes, 20, 2 / 21),
        (state.slow, closes, 50, 2 / 51),
        (state.atr.value, ranges, 14, 1 / 14),
    ):
        expected = sum(series[:length]) / length
        for each in series[length:]:
            expected += weight * (each - expected)
        assert value == pytest.approx(expected)


def test_it_trades_as_decided():
    assert Params() == (20, 50, 14, 2)
    assert STRATEGY.timeframe == HOUR_MS
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.0, 0.0, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3, risk=0.02, share_cap=1.0)


def test_it_puts_the_trend_into_words():
    params = Params(**SMALL)
    bars = bars_of([*CALM, 110.0, 120.0], HOUR_MS)
    states, _ = feed(STRATEGY, bars, **SMALL)
    name = "EMA 2 beyond EMA 4, the close beyond both"
    assert STRATEGY.explain(params, states[-2], bars[-2]) == [
        (name, True, "110 vs 106.667 and 104"),
        ("trend begins on this bar", True, "just now"),
    ]
    assert STRATEGY.explain(params, states[-1], bars[-1])[1].detail == "lasts"
    assert STRATEGY.explain(params, states[-3], bars[-3])[1].detail == "no trend"


def test_a_trend_that_ended_did_not_begin():
    bars = bars_of([*CALM, 110.0, 120.0, 114.0], HOUR_MS)
    states, _ = feed(STRATEGY, bars, **SMALL)
    assert STRATEGY.explain(Params(**SMALL), states[-1], bars[-1])[1][1:] == (False, "no trend")
