"""Candles, and the longer ones built from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import HOUR_MS, MINUTE_MS, Aggregator, Candle, aggregate, timeframe_ms
from engine.candle import timeframe_name as name_of
from engine.errors import BadInput
from tests.engine.conftest import BTC_4H, BTC_5M, T0

FIVE = 5 * MINUTE_MS
QUARTER = 15 * MINUTE_MS


def short(index: int, open_: float, high: float, low: float, close: float) -> Candle:
    """The five minutes number `index` after midnight, with a volume of index + 1."""
    return Candle(T0 + index * FIVE, open_, high, low, close, index + 1.0)


FIRST = [short(0, 10, 12, 9, 11), short(1, 11, 15, 11, 14), short(2, 14, 14, 8, 9)]
SECOND = [short(3, 9, 10, 9, 10), short(4, 10, 11, 7, 8), short(5, 8, 9, 8, 9)]
LONG_FIRST = Candle(T0, 10, 15, 8, 9, 6.0)
LONG_SECOND = Candle(T0 + QUARTER, 9, 11, 7, 9, 15.0)


def test_a_long_bar_is_exact_and_complete_with_its_last_short_one():
    aggregator = Aggregator(FIVE, QUARTER)
    assert [aggregator.push(candle) for candle in FIRST] == [[], [], [LONG_FIRST]]
    assert aggregator.open_bar is None


CASES = {
    "two whole bars": ([*FIRST, *SECOND], [LONG_FIRST, LONG_SECOND]),
    "a bar begun is not shown": ([*FIRST, SECOND[0]], [LONG_FIRST]),
    "an unaligned start keeps the slot's own time": (
        FIRST[1:],
        [Candle(T0, 11, 15, 8, 9, 5.0)],
    ),
    "a gap inside is not filled in": (
        [FIRST[0], FIRST[2]],
        [Candle(T0, 10, 14, 8, 9, 4.0)],
    ),
    "where the last is missing the next bar completes it": (
        [*FIRST[:2], SECOND[0]],
        [Candle(T0, 10, 15, 9, 14, 3.0)],
    ),
    "where whole bars are missing none is invented": (
        [*FIRST, short(9, 20, 21, 19, 20), short(10, 20, 20, 20, 20), short(11, 20, 22, 20, 21)],
        [LONG_FIRST, Candle(T0 + 3 * QUARTER, 20, 22, 19, 21, 33.0)],
    ),
    "one short bar can complete two": (
        [FIRST[0], SECOND[2]],
        [Candle(T0, 10, 12, 9, 11, 1.0), Candle(T0 + QUARTER, 8, 9, 8, 9, 6.0)],
    ),
}


@pytest.mark.parametrize(("given_", "expected"), CASES.values(), ids=CASES)
def test_aggregation(given_, expected):
    assert aggregate(given_, FIVE, QUARTER) == expected


def test_a_bar_of_the_same_length_passes_unchanged():
    assert aggregate(FIRST, FIVE, FIVE) == FIRST


def test_an_aggregator_goes_on_from_the_bar_it_left_open():
    before = Aggregator(FIVE, QUARTER)
    before.push(FIRST[0])
    after = Aggregator(FIVE, QUARTER, before.open_bar)
    assert [*after.push(FIRST[1]), *after.push(FIRST[2])] == [LONG_FIRST]


def test_a_length_that_is_no_multiple_is_refused():
    with pytest.raises(BadInput, match="a multiple of 5m"):
        Aggregator(FIVE, 7 * MINUTE_MS)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 200), min_size=1), st.randoms(use_true_random=False))
def test_nothing_is_lost_or_invented_whatever_is_missing(indexes, random):
    shorts = [
        short(index, 50, 50 + random.randrange(9), 50 - random.randrange(9), 50)
        for index in sorted(indexes)
    ]
    aggregator = Aggregator(FIVE, HOUR_MS)
    longs = [bar for candle in shorts for bar in aggregator.push(candle)]
    longs += [aggregator.open_bar] if aggregator.open_bar else []
    assert sum(bar.volume for bar in longs) == sum(candle.volume for candle in shorts)
    assert [bar.ts for bar in longs] == sorted(
        {candle.ts // HOUR_MS * HOUR_MS for candle in shorts}
    )
    assert max(bar.high for bar in longs) == max(candle.high for candle in shorts)
    assert min(bar.low for bar in longs) == min(candle.low for candle in shorts)


def test_five_minutes_of_btc_add_up_to_the_exchanges_own_four_hours(recorded):
    ours = aggregate(list(recorded(BTC_5M)), FIVE, 4 * HOUR_MS)
    theirs = {bar.ts: bar for bar in recorded(BTC_4H)}
    both = [(bar, theirs[bar.ts]) for bar in ours if bar.ts in theirs]
    assert len(both) == 1_804
    for our, their in both:
        assert our[:5] == their[:5]
        assert our.volume == pytest.approx(their.volume, abs=1e-6)


def test_timeframes_have_names():
    assert (timeframe_ms("5m"), timeframe_ms("4h")) == (FIVE, 4 * HOUR_MS)
    assert (name_of(FIVE), name_of(4 * HOUR_MS), name_of(7 * MINUTE_MS)) == ("5m", "4h", "7m")
    with pytest.raises(BadInput, match="1m, 3m, 5m"):
        timeframe_ms("7m")
