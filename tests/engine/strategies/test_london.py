"""London breakout: what makes a range, and what breaks it."""

import pytest

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL
from engine.strategies.kernel import LONG_ENTRY, NOTHING, SHORT_ENTRY, Bar
from engine.strategies.london import STRATEGY, Params
from engine.strategies.sizing import Sizing
from tests.engine.conftest import T0
from tests.engine.strategies.feeding import bars_of, feed

FIVE = 5 * MINUTE_MS
EIGHT = T0 + 8 * HOUR_MS
NINE = T0 + 9 * HOUR_MS


def first_hour(high: float = 101.0, low: float = 99.0, start: int = EIGHT) -> list[Bar]:
    """Twelve bars, two of which make the range."""
    bars = bars_of([100.0] * 12, FIVE, start=start)
    bars[3] = bars[3]._replace(high=high)
    bars[7] = bars[7]._replace(low=low)
    return bars


def after(*closes: float, start: int = NINE) -> list[Bar]:
    return bars_of(closes, FIVE, start=start)


def signals(*bars: Bar, **params: float) -> list:
    return feed(STRATEGY, bars, **params)[1]


BREAKS = {
    "a close above the range buys": ([100.5, 101.1], [NOTHING, BUY]),
    "a close below it sells": ([98.9], [SELL]),
    "a close at an edge is no break": ([101.0, 99.0], [NOTHING, NOTHING]),
    "the second break of a day is not followed": ([101.1, 100.0, 98.0], [BUY, NOTHING, NOTHING]),
    "nor is a second close beyond": ([98.9, 98.0], [SELL, NOTHING]),
}


@pytest.mark.parametrize(("closes", "expected"), BREAKS.values(), ids=BREAKS)
def test_the_first_close_beyond_the_range_decides(closes, expected):
    assert signals(*first_hour(), *after(*closes)) == [NOTHING] * 12 + expected


def test_a_high_beyond_the_range_is_no_break():
    assert signals(*first_hour(), *bars_of([100.0], FIVE, start=NINE, reach=0.05))[-1] == NOTHING


def test_bars_before_and_after_the_hour_do_not_widen_the_range():
    before = bars_of([120.0, 80.0], FIVE, start=EIGHT - 2 * FIVE)
    wick = bars_of([100.0], FIVE, start=NINE, reach=0.05)
    assert signals(*before, *first_hour(), *wick, *after(101.1, start=NINE + FIVE))[-1] == BUY


@pytest.mark.parametrize(("high", "signal"), [(100.09, NOTHING), (100.12, BUY)])
def test_a_range_of_less_than_ten_pips_is_not_traded(high, signal):
    assert signals(*first_hour(high=high, low=100.0), *after(101.0))[-1] == signal


def test_a_range_of_just_the_least_height_is_traded():
    bars = [*first_hour(high=101.0, low=100.0), *after(128.0)]
    assert signals(*bars, range_min=1 / 128)[-1] == BUY


def test_hours_in_the_wrong_order_make_no_range():
    for end in (8, 7):
        assert STRATEGY.bars(Params(range_start=8, range_end=end)) == 1
        assert set(signals(*first_hour(), *after(105.0), range_end=end)) == {NOTHING}


@pytest.mark.parametrize("missing", [0, 5, 11])
def test_a_range_with_a_missing_bar_is_not_traded(missing):
    bars = first_hour()
    del bars[missing]
    assert set(signals(*bars, *after(105.0, 95.0))) == {NOTHING}


@pytest.mark.parametrize(("start", "signal"), [(17 * HOUR_MS - FIVE, BUY), (17 * HOUR_MS, NOTHING)])
def test_breaks_count_until_five_in_the_afternoon(start, signal):
    assert signals(*first_hour(), *after(105.0, start=T0 + start))[-1] == signal


def test_each_day_has_its_own_range_and_break():
    night = after(90.0, start=T0 + DAY_MS + 7 * HOUR_MS)
    second = first_hour(start=EIGHT + DAY_MS)
    told = signals(*first_hour(), *after(101.1), *night, *second, *after(98.9, start=NINE + DAY_MS))
    assert told == [NOTHING] * 12 + [BUY] + [NOTHING] * 13 + [SELL]


def test_other_hours_can_be_asked_for():
    late = bars_of([100.0, 101.0] * 12, FIVE, start=NINE)
    told = signals(*late, *after(101.5, start=NINE + 2 * HOUR_MS), range_start=9, range_end=11)
    assert told[-1] == BUY
    assert STRATEGY.bars(Params(range_start=9, range_end=11)) == 25


def test_a_break_ends_what_is_held_on_the_other_side():
    assert BUY[:5] == (1.0, 0.0, 1.0, LONG_ENTRY, 1.0)
    assert SELL[:5] == (-1.0, 1.0, 0.0, SHORT_ENTRY, 1.0)


def test_a_market_that_stands_still_is_left_alone():
    assert set(signals(*bars_of([100.0] * 600, FIVE, volumes=[0.0] * 600))) == {NOTHING}


def test_it_trades_by_these_numbers():
    assert Params() == (8, 9, 17, 0.0010)
    assert STRATEGY.timeframe == FIVE
    assert STRATEGY.bars_needed == 13
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.0020, 0.0040, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


def words(*bars: Bar) -> list[tuple[str, bool, str]]:
    states, _ = feed(STRATEGY, bars)
    return [tuple(each) for each in STRATEGY.explain(Params(), states[-1], bars[-1])]


def test_it_puts_the_day_into_words():
    assert words(*first_hour(), *after(101.1, 102.0)) == [
        ("range of 08:00 to 09:00 UTC is whole", True, "12 of 12 bars"),
        ("range of 0.10% or more", True, "2, needs 0.102"),
        ("before 17:00 UTC", True, "hour 9.08"),
        ("first break of the day", False, "had one"),
        ("close beyond the range", True, "102 vs 99 to 101"),
    ]


def test_it_says_which_break_is_the_first():
    first = ("first break of the day", True, "none before")
    assert words(*first_hour(), *after(100.0))[3] == first
    assert words(*first_hour(), *after(101.1))[3] == first
    assert words(*first_hour(), *after(100.0, start=T0 + 17 * HOUR_MS))[2:4] == [
        ("before 17:00 UTC", False, "hour 17.00"),
        first,
    ]


def test_it_says_that_a_range_is_too_small():
    told = words(*first_hour(high=100.05, low=100.0), *after(100.0))
    assert told[1] == ("range of 0.10% or more", False, "0.05, needs 0.1")
