"""Mean reversion: a touch of a band, the way back, and no second try outside."""

from statistics import mean, pstdev

import pytest

from engine.candle import MINUTE_MS
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL
from engine.strategies.kernel import LONG_EXIT, NOTHING, SHORT_EXIT, Signal
from engine.strategies.meanreversion import (
    LEAVE_LONG,
    LEAVE_SHORT,
    STRATEGY,
    Params,
    side_of,
)
from engine.strategies.sizing import Sizing
from tests.engine.strategies.feeding import bars_of, feed

FIFTEEN = 15 * MINUTE_MS
CALM = [99.0, 101.0] * 15


def told(*closes: float, **params: float) -> list[Signal]:
    return feed(STRATEGY, bars_of([*CALM, *closes], FIFTEEN), **params)[1][len(CALM) :]


ANSWERS = {
    "a close below the lower band buys": ([95.0], [BUY]),
    "a close above the upper band sells": ([105.0], [SELL]),
    "there is no second try outside": ([105.0, 110.0], [SELL, LEAVE_LONG]),
    "nor below": ([95.0, 90.0], [BUY, LEAVE_SHORT]),
    "back inside, a touch counts again": ([95.0, 99.0, 94.0], [BUY, LEAVE_SHORT, BUY]),
    "beyond the middle a long leaves": ([100.5], [LEAVE_LONG]),
    "beyond the middle a short leaves": ([99.5], [LEAVE_SHORT]),
    "a close at the middle stays": ([100.0], [NOTHING]),
}


@pytest.mark.parametrize(("closes", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_close_decides(closes, expected):
    # 29 bars of 99 and 101 have no mean of 100, 30 and a close of 100 leave it to 20 bars.
    assert told(*closes, length=21 if closes == [100.0] else 20) == expected


SIDES = {
    "at the lower band": (0.0, 0.5, 1.0),
    "over it": (0.01, 0.5, 0.0),
    "at the upper band": (1.0, 0.5, -1.0),
    "under it": (0.99, 0.5, 0.0),
    "from the lower band to itself": (-0.1, 0.0, 0.0),
    "from the upper band to itself": (1.1, 1.0, 0.0),
    "from one band to the other": (0.0, 1.0, 0.0),
}


@pytest.mark.parametrize(("position", "before", "side"), SIDES.values(), ids=SIDES)
def test_a_touch_comes_from_inside(position, before, side):
    assert side_of(position, before) == side


def test_the_bands_stand_two_deviations_around_the_mean():
    closes = [100.0 + index % 7 for index in range(60)]
    bands = feed(STRATEGY, bars_of(closes, FIFTEEN))[0][-1].bands
    assert bands.middle == pytest.approx(mean(closes[-20:]))
    assert bands.upper == pytest.approx(mean(closes[-20:]) + 2 * pstdev(closes[-20:]))


@pytest.mark.parametrize("length", [20, 6])
def test_nothing_is_said_before_warm_up(length):
    rising = bars_of((100.0 + index for index in range(length + 1)), FIFTEEN)
    assert feed(STRATEGY, rising, length=length)[1] == [NOTHING] * length + [LEAVE_LONG]
    assert STRATEGY.bars(Params(length=length)) == length + 1


def test_a_market_that_stands_still_is_left_alone():
    still = bars_of([100.0] * 100, FIFTEEN, volumes=[0.0] * 100)
    assert set(feed(STRATEGY, still)[1]) == {NOTHING}


def test_the_ways_out_say_why():
    assert LEAVE_LONG[:4] == (0.0, 1.0, 0.0, LONG_EXIT)
    assert LEAVE_SHORT[:4] == (0.0, 0.0, 1.0, SHORT_EXIT)


def test_it_trades_by_these_numbers():
    assert Params() == (20, 2)
    assert STRATEGY.timeframe == FIFTEEN
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.0010, 0.0, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


SAID = {
    "at the lower band": ([95.0], [True, True], "95 vs 96.8606 and 102.739, middle 99.8"),
    "at the upper band": ([105.0], [True, True], "105 vs 97.3948 and 103.205, middle 100.3"),
    "at a band again": ([105.0, 110.0], [True, False], "110 vs 95.6168 and 105.883, middle 100.75"),
    "between them": ([100.0, 100.0], [False, True], "100 vs 98.1026 and 101.897, middle 100"),
}


@pytest.mark.parametrize(("closes", "holds", "detail"), SAID.values(), ids=SAID)
def test_it_puts_the_touch_into_words(closes, holds, detail):
    bars = bars_of([*CALM, *closes], FIFTEEN)
    state = feed(STRATEGY, bars)[0][-1]
    told = STRATEGY.explain(Params(), state, bars[-1])
    assert [each.name for each in told] == ["close at a band", "the close before between them"]
    assert [each.holds for each in told] == holds
    assert told[0].detail == detail
    assert told[1].detail == f"at {state.before:.0%} of the width"
