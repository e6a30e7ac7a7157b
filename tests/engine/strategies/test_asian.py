"""Asian range: what makes a range, which edge is faded, and when the day is over."""

import pytest

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.strategies.asian import STRATEGY, Params
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL
from engine.strategies.kernel import NOTHING, Bar
from engine.strategies.sizing import Sizing
from tests.engine.conftest import T0
from tests.engine.strategies.feeding import bars_of, feed

FIVE = 5 * MINUTE_MS
NINE = T0 + 9 * HOUR_MS
NIGHT = 9 * 12


def night(high: float = 101.0, low: float = 99.0, start: int = T0) -> list[Bar]:
    """Nine hours in the middle of the range that two bars make."""
    bars = bars_of([(high + low) / 2] * NIGHT, FIVE, start=start)
    bars[30] = bars[30]._replace(high=high)
    bars[70] = bars[70]._replace(low=low)
    return bars


def after(*closes: float, start: int = NINE) -> list[Bar]:
    return bars_of(closes, FIVE, start=start)


def signals(*bars: Bar, **params: float) -> list:
    return feed(STRATEGY, bars, **params)[1]


# Five pips of 101 and of 99 are about 0.05.
EDGES = {
    "a close just under the upper edge sells": ([100.96], [SELL]),
    "a close just over the lower edge buys": ([99.04], [BUY]),
    "a close between them is left alone": ([100.94, 99.06], [NOTHING, NOTHING]),
    "a close a little beyond the upper edge sells": ([101.04], [SELL]),
    "a close a little beyond the lower edge buys": ([98.96], [BUY]),
    "a close above ends the day": ([101.06, 100.97, 99.02], [NOTHING] * 3),
    "a close below ends the day": ([98.94, 100.97, 99.02], [NOTHING] * 3),
    "an edge is faded once": ([100.96, 100.0, 100.97], [SELL, NOTHING, NOTHING]),
    "and so is the other": ([99.04, 100.0, 99.02], [BUY, NOTHING, NOTHING]),
    "each edge has its turn": ([100.96, 99.04], [SELL, BUY]),
}


@pytest.mark.parametrize(("closes", "expected"), EDGES.values(), ids=EDGES)
def test_the_edges_are_faded(closes, expected):
    assert signals(*night(), *after(*closes)) == [NOTHING] * NIGHT + expected


JUST = {
    "above the upper edge": (127.0, 110.0, SELL),
    "below the upper edge": (129.0, 110.0, SELL),
    "above the lower edge": (140.0, 127.0, BUY),
    "below the lower edge": (140.0, 129.0, BUY),
}


@pytest.mark.parametrize(("high", "low", "signal"), JUST.values(), ids=JUST)
def test_just_within_the_tolerance_is_near(high, low, signal):
    """A tolerance of 1/128 is exactly 1 from a close of 128."""
    assert signals(*night(high, low), *after(128.0), tolerance=1 / 128)[-1] == signal


def test_nothing_is_said_before_the_range_is_made():
    bars = night()
    bars[-1] = bars[-1]._replace(close=100.98)
    assert set(signals(*bars)) == {NOTHING}


@pytest.mark.parametrize(("high", "signal"), [(100.14, NOTHING), (100.16, SELL)])
def test_a_range_of_less_than_fifteen_pips_is_not_traded(high, signal):
    assert signals(*night(high=high, low=100.0), *after(high))[-1] == signal


@pytest.mark.parametrize("missing", [0, 50, NIGHT - 1])
def test_a_range_with_a_missing_bar_is_not_traded(missing):
    bars = night()
    del bars[missing]
    assert set(signals(*bars, *after(101.0, 99.0))) == {NOTHING}


def test_bars_after_the_night_do_not_widen_the_range():
    wick = bars_of([100.0], FIVE, start=NINE, reach=0.05)
    assert signals(*night(), *wick, *after(101.0, start=NINE + FIVE))[-1] == SELL


def test_a_new_day_begins_anew():
    """A day that was sold, bought and broken; and one of which all of that is forgotten."""
    second = after(100.96, 99.04, start=NINE + DAY_MS)
    told = signals(*night(), *after(100.96, 99.04, 105.0), *night(start=T0 + DAY_MS), *second)
    assert told[NIGHT : NIGHT + 3] == [SELL, BUY, NOTHING]
    assert told[-2:] == [SELL, BUY]


def test_the_edges_are_faded_until_midnight():
    assert signals(*night(), *after(101.0, start=T0 + DAY_MS - FIVE))[-1] == SELL
    assert signals(*night(), *after(101.0, start=T0 + DAY_MS))[-1] == NOTHING


def test_a_market_that_stands_still_is_left_alone():
    assert set(signals(*bars_of([100.0] * 600, FIVE, volumes=[0.0] * 600))) == {NOTHING}


def test_it_trades_by_these_numbers():
    assert Params() == (0, 9, 0.0005, 0.0015)
    assert STRATEGY.timeframe == FIVE
    assert STRATEGY.bars_needed == NIGHT + 1
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.0015, 0.0030, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


def words(*closes: float) -> list[tuple[bool, str]]:
    bars = [*night(), *after(*closes)]
    states, _ = feed(STRATEGY, bars)
    return [each[1:] for each in STRATEGY.explain(Params(), states[-1], bars[-1])]


def test_it_puts_the_day_into_words():
    bars = night()
    states, _ = feed(STRATEGY, bars)
    told = STRATEGY.explain(Params(), states[-2], bars[-2])
    assert [(each.name, each.holds, each.detail) for each in told] == [
        ("range of 00:00 to 09:00 UTC is whole", False, "107 of 108 bars"),
        ("range of 0.15% or more", True, "2, needs 0.15"),
        ("after 09:00 UTC", False, "hour 8.83"),
        ("not broken today", True, "unbroken"),
        ("close within 0.05% of an edge", False, "100 vs 99 and 101"),
        ("first time at that edge today", False, "not traded today"),
    ]


SAID = {
    "at the upper edge": ([100.96], [(True, "100.96 vs 99 and 101"), (True, "sold today")]),
    "at the lower edge": ([99.04], [(True, "99.04 vs 99 and 101"), (True, "bought today")]),
    "below the upper edge": (
        [100.94], [(False, "100.94 vs 99 and 101"), (False, "not traded today")],
    ),
    "above the lower edge": (
        [99.06], [(False, "99.06 vs 99 and 101"), (False, "not traded today")],
    ),
    "at an edge again": (
        [99.04, 100.96, 99.04],
        [(True, "99.04 vs 99 and 101"), (False, "sold and bought today")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("closes", "said"), SAID.values(), ids=SAID)
def test_it_says_which_edges_have_been_faded(closes, said):
    assert words(*closes)[2][0]
    assert words(*closes)[4:] == said


def test_it_says_that_the_day_is_over():
    assert words(105.0)[3] == (False, "broken")
