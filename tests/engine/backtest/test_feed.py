"""The bars of the fast backtest are those that the desk makes of the same candles."""

from bisect import bisect_right

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest.feed import NO_HIGHER, feed, resample
from engine.candle import HOUR_MS, MINUTE_MS, Aggregator, Candle
from engine.columns import Columns, Rates, columns_of_candles

T0 = 1_735_689_600_000
NO_RATES = Rates(np.empty(0, np.int64), np.empty(0))
# Base and target in minutes.
LENGTHS = ((1, 1), (1, 3), (1, 5), (5, 15), (5, 60), (15, 240))
# A gap in candles: within a bar, a bar's worth, many bars.
STEPS = st.sampled_from([1] * 12 + [2, 3, 5, 12, 60])
PRICES = st.integers(90, 110).map(float)


@st.composite
def candles(draw: st.DrawFn, interval: int) -> list[Candle]:
    """Some candles of `interval` ms with gaps, that begin anywhere in a bar."""
    ts = T0 + draw(st.integers(0, 20)) * interval
    found = []
    for step in draw(st.lists(STEPS, min_size=1, max_size=120)):
        low, open_, close, high = sorted(draw(st.tuples(PRICES, PRICES, PRICES, PRICES)))
        found.append(Candle(ts, open_, high, low, close, draw(st.integers(0, 9)) / 4))
        ts += step * interval
    return found


@st.composite
def recorded(draw: st.DrawFn) -> tuple[list[Candle], int, int]:
    base, target = draw(st.sampled_from(LENGTHS))
    return draw(candles(base * MINUTE_MS)), base * MINUTE_MS, target * MINUTE_MS


def aggregated(found: list[Candle], base: int, target: int) -> list[tuple[int, Candle]]:
    """Each long bar with the index of the candle that completed it."""
    aggregator = Aggregator(base, target)
    return [(i, bar) for i, candle in enumerate(found) for bar in aggregator.push(candle)]


def rows(bars: Columns) -> list[Candle]:
    return [Candle._make(row) for row in zip(*(each.tolist() for each in bars), strict=True)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(recorded())
def test_a_resampled_bar_is_the_aggregators_and_known_with_the_same_candle(given_candles):
    found, base, target = given_candles
    bars, completed_by = resample(columns_of_candles(found), base, target)
    expected = aggregated(found, base, target)
    assert rows(bars) == [bar for _, bar in expected]
    assert completed_by.tolist() == [i for i, _ in expected]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(candles(5 * MINUTE_MS))
def test_a_bar_sees_the_last_higher_one_that_was_known_by_then(found):
    base, target, higher = 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS
    made = feed(columns_of_candles(found), NO_RATES, 0.0, base, target, higher)
    known = [i for i, _ in aggregated(found, base, higher)]
    latest = [bisect_right(known, i) - 1 for i, _ in aggregated(found, base, target)]
    assert made.higher_at.tolist() == latest
    before = [NO_HIGHER, *latest]
    news = [int(now > then) for now, then in zip(latest, before, strict=False)]
    assert made.higher_is_new.tolist() == news


def test_rates_are_those_of_every_stamp_with_the_default_between():
    eight_hours = 8 * HOUR_MS
    found = [Candle(T0 + n * 4 * HOUR_MS, 1.0, 1.0, 1.0, 1.0, 1.0) for n in range(1, 6)]
    settled = Rates(
        np.array([T0 - eight_hours, T0, T0 + 2 * eight_hours, T0 + 9 * eight_hours]),
        np.array([0.9, 0.1, 0.2, 0.9]),
    )
    bars = columns_of_candles(found)
    made = feed(bars, settled, 0.5, 4 * HOUR_MS, 4 * HOUR_MS, 0)
    assert made.first_stamp == T0
    assert made.rates[:3].tolist() == [0.1, 0.5, 0.2]
