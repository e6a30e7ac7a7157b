"""Longer bars inside a kernel are those that the market's aggregation makes."""

import pytest

from engine.candle import HOUR_MS, MINUTE_MS, Candle, aggregate
from engine.strategies.kernel import Bar
from engine.strategies.resample import (
    NONE,
    Longer,
    Spacing,
    begins_after,
    extended,
    is_complete,
    spaced,
)
from tests.engine.conftest import T0
from tests.engine.strategies.walks import FIVE, rough, walk


def longer_bars(candles: list[Candle], length: float) -> list[Longer]:
    spacing, growing, made = Spacing(), NONE, []
    for candle in candles:
        spacing = spaced(spacing, float(candle.ts))
        if begins_after(growing, spacing.ts, length):
            made.append(growing)
            growing = NONE
        growing = extended(growing, Bar(*candle), spacing.ts, length)
        if is_complete(growing, spacing, length):
            made.append(growing)
            growing = NONE
    return made


@pytest.mark.parametrize("minutes", [15, 30, 60, 240, 1440])
@pytest.mark.parametrize("candles", [walk(1_000), rough(1_500)], ids=["whole", "with gaps"])
def test_they_equal_the_aggregated_candles(candles, minutes):
    length = minutes * MINUTE_MS
    expected = [tuple(map(float, bar)) for bar in aggregate(candles, FIVE, length)]
    assert [tuple(bar) for bar in longer_bars(candles, float(length))] == expected


def test_a_bar_as_long_as_the_longer_one_is_complete_at_once():
    hours = walk(10, timeframe=HOUR_MS)
    made = longer_bars(hours, 15.0 * MINUTE_MS)
    # The first is known to be whole with the second.
    assert [bar.start for bar in made] == [float(hour.ts) for hour in hours]


def test_the_length_of_a_bar_is_the_least_distance_seen():
    spacing = Spacing()
    for minutes, length in ((0, 0), (10, 10), (15, 5), (60, 5)):
        spacing = spaced(spacing, float(T0 + minutes * MINUTE_MS))
        assert spacing == Spacing(T0 + minutes * MINUTE_MS, length * MINUTE_MS)
