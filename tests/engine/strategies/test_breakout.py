"""Breakout: what is a break, what volume it needs, and where its stop lies."""

import pytest

from engine.candle import MINUTE_MS
from engine.strategies.breakout import STRATEGY, Params
from engine.strategies.exits import Exits
from engine.strategies.kernel import LONG_ENTRY, NOTHING, SHORT_ENTRY, Bar, Signal
from engine.strategies.sizing import Sizing
from tests.engine.strategies.feeding import bars_of, feed

FIFTEEN = 15 * MINUTE_MS


def market(*closes: float, volumes: tuple[float, ...] = (), before: int = 50) -> list[Bar]:
    """Bars that make a range of 99 to 101, then bars at these closes."""
    bars = bars_of([100.0] * before + list(closes), FIFTEEN, volumes=[1.0] * before + [*volumes])
    bars[0] = bars[0]._replace(high=101.0, low=99.0)
    return bars


def answer(bars: list[Bar], **params: float) -> Signal:
    return feed(STRATEGY, bars, **params)[1][-1]


def test_a_close_above_the_range_buys_with_a_stop_below_it():
    signal = answer(market(102.0))
    assert signal[:5] == (1.0, 0.0, 1.0, LONG_ENTRY, 1.0)
    assert signal.stop == pytest.approx(102.0 - (99.0 - 0.0005 * 102.0))
    assert signal[6:] == (0.0, 0.0)


def test_a_close_below_the_range_sells_with_a_stop_above_it():
    signal = answer(market(98.0))
    assert signal[:5] == (-1.0, 1.0, 0.0, SHORT_ENTRY, 1.0)
    assert signal.stop == pytest.approx((101.0 + 0.0005 * 98.0) - 98.0)
    assert signal[6:] == (0.0, 0.0)


@pytest.mark.parametrize(("close", "entry"), [(101.1, 0), (101.11, 1), (98.91, 0), (98.9, -1)])
def test_a_break_is_ten_pips_beyond(close, entry):
    assert answer(market(close)).entry == entry


def test_a_high_beyond_the_range_is_no_break():
    wick = bars_of([100.0], FIFTEEN, reach=0.1)
    assert answer([*market(), *wick]) == NOTHING


def test_the_range_is_that_of_the_last_fifty_bars():
    """The bar that made the range is the 50th before the first answer, the 51st of the second."""
    assert answer(market(100.2)) == NOTHING
    assert answer(market(100.0, 100.2)).entry == 1.0


@pytest.mark.parametrize("lookback", [5, 50])
def test_nothing_is_said_before_warm_up(lookback):
    rising = bars_of((100.0 + index for index in range(lookback + 1)), FIFTEEN)
    entries = [signal.entry for signal in feed(STRATEGY, rising, lookback=lookback)[1]]
    assert entries == [0.0] * lookback + [1.0]
    assert STRATEGY.bars(Params(lookback=lookback)) == lookback + 1


@pytest.mark.parametrize(
    ("volume", "filtered", "entry"), [(0.0, 0, 1.0), (1.51, 1, 0.0), (1.53, 1, 1.0)]
)
def test_the_volume_filter_is_off_unless_asked_for(volume, filtered, entry):
    bars = market(102.0, volumes=(volume,))
    assert answer(bars, volume_filter=filtered).entry == entry


def test_volume_of_just_the_ratio_will_do():
    assert answer(market(102.0), volume_filter=1, volume_ratio=1.0).entry == 1.0


def test_a_market_that_stands_still_is_left_alone():
    still = bars_of([100.0] * 200, FIFTEEN, volumes=[0.0] * 200)
    assert set(feed(STRATEGY, still, threshold=0.0)[1]) == {NOTHING}


def test_it_trades_by_these_numbers():
    assert Params() == (50, 0.0010, 0.0005, 0, 1.5)
    assert STRATEGY.timeframe == FIFTEEN
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.0, 0.0, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


def test_it_puts_the_break_into_words():
    bars = market(102.0, volumes=(3.0,))
    state = feed(STRATEGY, bars)[0][-1]
    broken = ("close 0.10% beyond 50 bars", True, "102 vs 99 to 101")
    assert STRATEGY.explain(Params(), state, bars[-1]) == [broken]
    filtered = Params(volume_filter=1.0, volume_ratio=3.0)
    assert STRATEGY.explain(filtered, state, bars[-1]) == [
        broken,
        ("volume 3 times its mean", False, "2.88 times"),
    ]
