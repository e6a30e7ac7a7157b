"""Candle shapes and formations, drawn by hand."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from engine.candle import HOUR_MS, Candle
from engine.errors import BadInput
from engine.patterns import (
    Pattern,
    ascending_triangle,
    bearish_engulfing,
    bullish_engulfing,
    doji,
    double_top,
    hammer,
    mirrored,
    patterns,
    shooting_star,
    swing_highs,
)


def bar(open_: float, high: float, low: float, close: float) -> Candle:
    return Candle(0, open_, high, low, close, 1.0)


FALLEN = bar(104, 105, 99, 100)

ENGULFING = {
    "covers more on both sides": (bar(99, 106, 98, 105), True),
    "shares the edge, as where bars open at the last close": (bar(100, 106, 98, 105), True),
    "reaches the open and no more": (bar(99, 105, 98, 104), True),
    "stops short of the open": (bar(99, 105, 98, 103.9), False),
    "opens inside": (bar(100.1, 106, 98, 105), False),
    "falls again": (bar(105, 106, 98, 99), False),
    "is of the same size": (bar(100, 105, 98, 104), False),
}


@pytest.mark.parametrize(("after", "holds"), ENGULFING.values(), ids=ENGULFING)
def test_a_bullish_engulfing_covers_the_fall_before(after, holds):
    assert bullish_engulfing(FALLEN, after) is holds
    assert bearish_engulfing(mirrored(FALLEN), mirrored(after)) is holds


@pytest.mark.parametrize("before", [bar(100, 105, 99, 104), bar(102, 105, 99, 102)])
def test_only_a_fall_can_be_engulfed_by_a_rise(before):
    assert not bullish_engulfing(before, bar(99, 106, 98, 105))


ONE_BAR: dict[str, tuple[Callable[[Candle], bool], Candle, bool]] = {
    "a doji has hardly a body": (doji, bar(100, 105, 95, 100.9), True),
    "a doji may fall": (doji, bar(100, 105, 95, 99.1), True),
    "a tenth of the range is a body": (doji, bar(100, 105, 95, 101), False),
    "a bar without a range is no doji": (doji, bar(100, 100, 100, 100), False),
    "a hammer has a long lower shadow": (hammer, bar(100, 102, 92, 102), True),
    "a hammer may fall": (hammer, bar(102, 102, 92, 100), True),
    "a shadow of two bodies is long": (hammer, bar(100, 102, 96, 102), True),
    "a shorter one is not": (hammer, bar(100, 102, 96.1, 102), False),
    "a hammer has next to no upper shadow": (hammer, bar(100, 103.2, 92, 102), False),
    "a tenth above is allowed": (hammer, bar(100, 103, 93, 102), True),
    "a doji is no hammer": (hammer, bar(100, 100.5, 90, 100.5), False),
    "a bar without a range is no hammer": (hammer, bar(100, 100, 100, 100), False),
    "a shooting star is a hammer turned over": (shooting_star, bar(102, 110, 100, 100), True),
    "a hammer is no shooting star": (shooting_star, bar(100, 102, 92, 102), False),
}


@pytest.mark.parametrize(("shape", "candle", "holds"), ONE_BAR.values(), ids=ONE_BAR)
def test_a_shape_of_one_bar(shape, candle, holds):
    assert shape(candle) is holds


def path(*turns: float, steps: int = 8) -> list[Candle]:
    """Bars along straight lines between the turns, half a unit beyond their body."""
    closes = [turns[0]]
    for start, end in pairwise(turns):
        closes += [start + (end - start) * step / steps for step in range(1, steps + 1)]
    opens = [closes[0], *closes[:-1]]
    return [
        Candle(
            index * HOUR_MS, opened, max(opened, close) + 0.5, min(opened, close) - 0.5, close, 1
        )
        for index, (opened, close) in enumerate(zip(opens, closes, strict=True))
    ]


def formations(bars: list[Candle]) -> list[Pattern]:
    names = ("double top", "double bottom", "ascending triangle", "descending triangle")
    return [pattern for pattern in patterns(bars) if pattern.name in names]


def negated(*turns: float) -> list[Candle]:
    return [
        Candle(each.ts, *(price + 300.0 for price in mirrored(each)[1:5]), 1.0)
        for each in path(*turns)
    ]


TOP = (90.0, 120.0, 106.0, 120.0, 110.0)


# With an average true range of 4: levels within 2, valleys of 12, highs and lows half a unit out.
TOPS = {
    "equal within half a range": ((90, 120, 106, 118, 110), True),
    "further apart": ((90, 120, 106, 117.9, 110), False),
    "a valley of three ranges": ((90, 120, 109, 120, 112), True),
    "a shallower one": ((90, 120, 109.1, 120, 112), False),
    "a rise from just below the valley": ((105.9, 120, 106, 120, 110), True),
    "a rise from the valley's low": ((106, 120, 106, 120, 110), False),
}


@pytest.mark.parametrize(("turns", "found"), TOPS.values(), ids=TOPS)
def test_a_double_top_is_measured_in_true_ranges(turns, found):
    assert bool(double_top(path(*turns), 4.0)) is found


@pytest.mark.parametrize(("since", "found"), [(39, True), (40, False)])
def test_a_formation_is_fresh_for_forty_bars(since, found):
    bars = [*path(90.0, 120.0, 106.0, 120.0), *path(119.0, 110.0, steps=since - 1)]
    assert bool(double_top(bars, 4.0)) is found


def test_two_equal_highs_after_a_rise_are_a_double_top():
    assert formations(path(*TOP)) == [
        Pattern("double top", -1, 8 * HOUR_MS, level=105.5, confirmed=False)
    ]


def test_a_close_below_the_valley_confirms_it():
    (found,) = formations(path(*TOP, 104.0))
    assert found.confirmed


def test_a_low_below_the_valley_does_not():
    *bars, last = path(*TOP)
    (found,) = formations([*bars, last._replace(low=100.0, close=105.5)])
    assert not found.confirmed


NO_TOP = {
    "the second high is lower": (90.0, 120.0, 106.0, 117.0, 110.0),
    "the second high is higher": (90.0, 120.0, 106.0, 124.0, 110.0),
    "the valley is shallow": (90.0, 120.0, 117.0, 120.0, 116.0),
    "no rise from below the valley": (115.0, 110.0, 120.0, 106.0, 120.0, 110.0),
    "the price went above since": (*TOP, 130.0),
    "it is long ago": (*TOP, *(108.0, 110.0) * 4),
}


@pytest.mark.parametrize("turns", NO_TOP.values(), ids=NO_TOP)
def test_no_double_top_where(turns):
    assert "double top" not in [found.name for found in formations(path(*turns))]


@pytest.mark.parametrize(("steps", "names"), [(3, []), (4, ["double top"])])
def test_two_tops_are_at_least_eight_bars_apart(steps, names):
    slow, quick = path(90.0, 120.0, steps=30), path(120.0, 106.0, 120.0, 110.0, steps=steps)
    assert [found.name for found in formations([*slow, *quick[1:]])] == names


def test_a_double_bottom_is_the_same_turned_over():
    assert formations(negated(*TOP)) == [
        Pattern("double bottom", 1, 8 * HOUR_MS, level=194.5, confirmed=False)
    ]


RISING_LOWS = (100.0, 120.0, 110.0, 120.0, 114.0, 119.0)


def triangles(bars: list[Candle]) -> list[Pattern]:
    return [found for found in formations(bars) if "triangle" in found.name]


def test_a_flat_top_over_rising_lows_is_an_ascending_triangle():
    assert triangles(path(*RISING_LOWS)) == [
        Pattern("ascending triangle", 1, 8 * HOUR_MS, level=120.5, confirmed=False)
    ]


def test_a_close_above_the_top_confirms_it():
    (found,) = triangles(path(*RISING_LOWS, 122.0, steps=8)[:-1])
    assert found.confirmed


def test_a_close_that_only_meets_the_top_does_not():
    (found,) = triangles([*path(*RISING_LOWS), bar(119, 121, 118, 120.5)])
    assert not found.confirmed


def test_a_descending_triangle_is_the_same_turned_over():
    assert triangles(negated(*RISING_LOWS)) == [
        Pattern("descending triangle", -1, 8 * HOUR_MS, level=179.5, confirmed=False)
    ]


NO_TRIANGLE = {
    "the lows fall": (100.0, 120.0, 114.0, 120.0, 110.0, 119.0),
    "the lows are level": (100.0, 120.0, 112.0, 120.0, 112.0, 119.0),
    "one low": (100.0, 120.0, 112.0, 120.0, 118.0),
    "the top is not flat": (100.0, 120.0, 110.0, 125.0, 114.0, 124.0),
    "the last low gave way": (*RISING_LOWS, 112.0),
    "it is long ago": (*RISING_LOWS[:-1], *(117.0, 116.0) * 4),
}


# With an average true range of 4: a top within 2, lows that rise by 2 together.
MEASURED = {
    "lows that rise by half a range": (path(100, 120, 110, 120, 112, 119), True),
    "lows that rise by less": (path(100, 120, 110, 120, 111.9, 119), False),
    "touches within half a range": (path(100, 120, 110, 118, 114, 117), True),
    "touches further apart": (path(100, 120, 110, 117.9, 114, 117), False),
    "touches eight bars apart": (path(100, 120, 110, 120, 114, 119, steps=4), True),
    "touches nearer": (path(100, 120, 110, 120, 114, 119, steps=3), False),
    "a close on the last low": ([*path(*RISING_LOWS), bar(119, 119, 113, 113.5)], True),
    "a close below it": ([*path(*RISING_LOWS), bar(119, 119, 113, 113.4)], False),
}


@pytest.mark.parametrize(("bars", "found"), MEASURED.values(), ids=MEASURED)
def test_a_triangle_is_measured_in_true_ranges(bars, found):
    assert bool(ascending_triangle(bars, 4.0)) is found


@pytest.mark.parametrize("turns", NO_TRIANGLE.values(), ids=NO_TRIANGLE)
def test_no_triangle_where(turns):
    assert triangles(path(*turns)) == []


def test_a_swing_high_stands_above_three_bars_on_either_side():
    bars = path(100.0, 110.0, 105.0, 112.0, 100.0, steps=4)
    assert [(swing.index, swing.price) for swing in swing_highs(bars)] == [(4, 110.5), (12, 112.5)]


SWINGS = {
    "of equal highs the first": ((1, 2, 3, 9, 9, 3, 2, 1), [3]),
    "of neighbors the higher": ((1, 2, 3, 8, 9, 3, 2, 1, 0), [4]),
    "a higher one four bars later is no matter": ((1, 2, 3, 9, 3, 2, 1, 10), [3]),
    "a higher one three bars later is": ((1, 2, 3, 9, 3, 2, 10, 1), []),
    "a higher one four bars before is no matter": ((10, 1, 2, 3, 9, 3, 2, 1), [4]),
    "a higher one three bars before is": ((1, 10, 2, 3, 9, 3, 2, 1), []),
}


@pytest.mark.parametrize(("highs", "found"), SWINGS.values(), ids=SWINGS)
def test_a_swing_high_is(highs, found):
    assert [swing.index for swing in swing_highs([bar(0, high, 0, 0) for high in highs])] == found


def shapes(before: float, *last: Candle) -> list[tuple[str, int]]:
    """The shapes and their bias after forty bars that went from `before` to 100."""
    run = [
        bar(price, price + 1, price - 1, price)
        for price in (before + (100 - before) * index / 40 for index in range(40))
    ]
    return [(found.name, found.bias) for found in patterns([*run, *last])]


PLAIN = bar(100, 101, 99, 100.5)
FALLING = bar(103, 104, 101, 102)
STRUCK = bar(100, 102, 92, 102)
STAR = bar(102, 110, 100, 100)


def test_a_hammer_counts_after_a_fall_and_a_star_after_a_rise():
    assert shapes(140, PLAIN, STRUCK) == [("hammer", 1)]
    assert shapes(60, PLAIN, STRUCK) == []
    assert shapes(60, FALLING, STAR) == [("shooting star", -1)]
    assert shapes(140, FALLING, STAR) == []


def test_neither_counts_where_the_price_stood():
    assert shapes(100, STRUCK) == []
    assert shapes(100, STAR) == []


def test_the_last_two_bars_are_looked_at_for_shapes_of_two():
    rise, fall = bar(100, 106, 98, 105), bar(104, 105, 97, 98)
    assert shapes(60, FALLEN, rise) == [("bullish engulfing", 1)]
    assert shapes(60, FALLEN, rise, PLAIN) == []
    assert shapes(60, bar(100, 105, 99, 104), fall) == [("bearish engulfing", -1)]
    assert shapes(60, PLAIN, bar(100, 105, 95, 100)) == [("doji", 0)]


def test_a_shape_names_its_first_bar():
    bars = [*path(90.0, 104.0, steps=40), bar(104, 105, 99, 100)._replace(ts=7)]
    (found,) = patterns([*bars, bar(100, 106, 98, 105)._replace(ts=8)])
    assert found == Pattern("bullish engulfing", 1, 7)


def test_too_few_candles_are_refused():
    with pytest.raises(BadInput, match="candles: 29 is not valid. Allowed: at least 30"):
        patterns(path(1.0, 2.0, steps=28))
    assert patterns(path(1.0, 90.0, steps=29)) == []
