"""How a bar meets a position's protection, and how a trailing stop follows."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS
from engine.strategies.exits import (
    LIQUIDATION,
    NO_TOUCH,
    STOP,
    TARGET,
    Exits,
    Touch,
    broken_even,
    level,
    rests_until,
    too_old,
    touch,
    trailed_stop,
)
from tests.engine.conftest import T0

LONG, SHORT = 1, -1
many = settings(max_examples=400, deadline=None, derandomize=True)


class Case(NamedTuple):
    """A long with its levels (0 is not set), a bar, and what the bar did to it."""

    name: str
    bar: tuple[float, float, float]  # open, high, low
    stop: float
    target: float
    liquidation: float
    expected: Touch


CASES = [
    Case("nothing is reached", (100, 104, 96), 95, 105, 90, NO_TOUCH),
    Case("the stop", (100, 101, 94), 95, 105, 90, Touch(STOP, 95)),
    Case("the stop, just touched", (100, 101, 95), 95, 105, 90, Touch(STOP, 95)),
    Case("the target", (100, 106, 99), 95, 105, 90, Touch(TARGET, 105)),
    Case("the target, just touched", (100, 105, 99), 95, 105, 90, Touch(TARGET, 105)),
    Case("stop before target in one bar", (100, 110, 94), 95, 105, 90, Touch(STOP, 95)),
    Case("a gap through the stop", (93, 96, 92), 95, 105, 90, Touch(STOP, 93)),
    Case("an open right at the stop", (95, 99, 94), 95, 105, 90, Touch(STOP, 95)),
    Case("a gap through the target", (108, 109, 107), 95, 105, 90, Touch(TARGET, 108)),
    Case("a gap over the target that falls to the stop", (108, 109, 94), 95, 105, 90,
         Touch(TARGET, 108)),
    Case("stop nearer than liquidation", (100, 101, 89), 95, 105, 90, Touch(STOP, 95)),
    Case("liquidation nearer than stop", (100, 101, 89), 85, 105, 90, Touch(LIQUIDATION, 90)),
    Case("liquidation at the stop", (100, 101, 89), 90, 105, 90, Touch(LIQUIDATION, 90)),
    Case("a gap through stop and liquidation", (88, 91, 87), 95, 105, 90, Touch(LIQUIDATION, 90)),
    Case("liquidation without a stop", (100, 101, 90), 0, 105, 90, Touch(LIQUIDATION, 90)),
    Case("liquidation before target in one bar", (100, 106, 90), 0, 105, 90,
         Touch(LIQUIDATION, 90)),
    Case("no stop set", (100, 101, 91), 0, 105, 90, NO_TOUCH),
    Case("no target set", (100, 500, 99), 95, 0, 90, NO_TOUCH),
    Case("no level set", (100, 500, 1), 0, 0, 0, NO_TOUCH),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_bar_does_to_a_long(case):
    assert touch(LONG, *case.bar, case.stop, case.target, case.liquidation) == case.expected


def mirrored(price: float) -> float:
    """The price as far on the other side of 1,000; a level that is not set stays so."""
    return 2_000.0 - price if price else 0.0


prices = st.integers(500, 1_500).map(float)
levels = st.one_of(st.just(0.0), prices)


@st.composite
def bars(draw) -> tuple[float, float, float, float]:
    """Open, high, low and close."""
    values = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    inner = draw(st.permutations(values[1:3]))
    return inner[0], values[3], values[0], inner[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_short_is_a_long_in_the_mirror(case):
    open_, high, low = map(mirrored, case.bar)
    met = touch(SHORT, open_, low, high, *map(mirrored, (case.stop, case.target, case.liquidation)))
    assert met == Touch(case.expected.kind, mirrored(case.expected.price))


@many
@given(bars(), levels, levels, levels)
def test_every_touch_is_the_same_in_the_mirror(bar, stop, target, liquidation):
    open_, high, low, _ = bar
    met = touch(LONG, open_, high, low, stop, target, liquidation)
    other = touch(
        SHORT,
        *map(mirrored, (open_, low, high)),
        *map(mirrored, (stop, target, liquidation)),
    )
    assert other == Touch(met.kind, mirrored(met.price))


@many
@given(bars(), levels, levels)
def test_a_stop_is_never_better_than_its_level_and_a_target_never_worse(bar, stop, target):
    open_, high, low, _ = bar
    met = touch(LONG, open_, high, low, stop, target, 0.0)
    if met.kind == STOP:
        assert met.price == min(stop, open_)
    if met.kind == TARGET:
        assert met.price == max(target, open_)


# -- the trailing stop -------------------------------------------------------------------

TRAILS = {
    "not yet activated": ((109.0, 99.0), 95.0, 95.0),
    "activated at the touch": ((110.0, 99.0), 95.0, 107.0),
    "follows the best price": ((120.0, 99.0), 107.0, 117.0),
    "never moves back": ((111.0, 99.0), 117.0, 117.0),
    "starts where there was no stop": ((110.0, 99.0), 0.0, 107.0),
    "a nearer fixed stop stays": ((110.0, 99.0), 108.0, 108.0),
}


@pytest.mark.parametrize(("bar", "before", "after"), TRAILS.values(), ids=TRAILS)
def test_a_long_trails_by_3_once_110_is_reached(bar, before, after):
    assert trailed_stop(LONG, *bar, before, 3.0, 110.0) == after


def test_a_short_trails_from_above():
    assert trailed_stop(SHORT, 101.0, 88.0, 105.0, 3.0, 90.0) == 91.0
    assert trailed_stop(SHORT, 101.0, 91.0, 105.0, 3.0, 90.0) == 105.0
    assert trailed_stop(SHORT, 101.0, 89.0, 91.0, 3.0, 90.0) == 91.0


def test_without_a_distance_nothing_trails():
    assert trailed_stop(LONG, 200.0, 99.0, 95.0, 0.0, 110.0) == 95.0


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_without_an_activation_it_trails_from_the_first_bar(side):
    assert trailed_stop(side, 101.0, 99.0, 0.0, 3.0, 0.0) == 100.0 - 2.0 * side


@many
@given(bars(), levels, st.integers(0, 50).map(float), levels)
def test_trailing_is_the_same_in_the_mirror(bar, stop, distance, activation):
    _, high, low, _ = bar
    moved = trailed_stop(LONG, high, low, stop, distance, activation)
    other = trailed_stop(
        SHORT, mirrored(low), mirrored(high), mirrored(stop), distance, mirrored(activation)
    )
    assert other == mirrored(moved)


@many
@given(st.sampled_from([LONG, SHORT]), st.lists(bars(), max_size=20), levels, prices)
def test_a_trailing_stop_only_ever_ratchets(side, path, stop, activation):
    for _, high, low, _ in path:
        before, stop = stop, trailed_stop(side, high, low, stop, 40.0, activation)
        assert not before or (stop - before) * side >= 0


# -- break-even --------------------------------------------------------------------------

BREAKS = {
    "not far enough": ((104.9, 99.0), 95.0, 95.0),
    "at the touch": ((105.0, 99.0), 95.0, 101.0),
    "far beyond": ((150.0, 99.0), 95.0, 101.0),
    "where there was no stop": ((105.0, 99.0), 0.0, 101.0),
    "a better stop stays": ((105.0, 99.0), 102.0, 102.0),
}


@pytest.mark.parametrize(("bar", "before", "after"), BREAKS.values(), ids=BREAKS)
def test_a_longs_stop_stands_at_101_once_105_is_reached(bar, before, after):
    assert broken_even(LONG, *bar, before, 101.0, 105.0) == after


@pytest.mark.parametrize(("bar", "before", "after"), BREAKS.values(), ids=BREAKS)
def test_a_shorts_stop_breaks_even_in_the_mirror(bar, before, after):
    high, low = map(mirrored, bar)
    moved = broken_even(SHORT, low, high, mirrored(before), mirrored(101.0), mirrored(105.0))
    assert moved == mirrored(after)


def test_without_a_trigger_nothing_breaks_even():
    assert broken_even(LONG, 200.0, 99.0, 95.0, 101.0, 0.0) == 95.0
    assert broken_even(SHORT, 200.0, 1.0, 105.0, 99.0, 0.0) == 105.0


@many
@given(st.sampled_from([LONG, SHORT]), st.lists(bars(), max_size=20), levels, prices, prices)
def test_a_stop_at_break_even_never_moves_back(side, path, stop, level_, trigger):
    for _, high, low, _ in path:
        before, stop = stop, broken_even(side, high, low, stop, level_, trigger)
        assert not before or (stop - before) * side >= 0
        assert stop in (before, level_)


# -- levels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "distance", "price"),
    [(0.02, 0.0, 204.0), (-0.02, 0.0, 196.0), (0.02, 7.0, 207.0), (-0.02, -7.0, 193.0),
     (0.0, 7.0, 207.0), (0.0, 0.0, 200.0)],
)  # fmt: skip
def test_a_distance_wins_over_a_fraction(fraction, distance, price):
    assert level(200.0, fraction, distance) == price


# -- age and rest ------------------------------------------------------------------------

AGED = Exits(0.0, 0.0, 0.0, 0.0, DAY_MS, 0)
LOSING = Exits(0.0, 0.0, 0.0, 0.0, 0, 0, losing_age_ms=HOUR_MS)


@pytest.mark.parametrize("gain", [-1.0, 0.0, 1.0])
def test_a_position_is_too_old_at_its_greatest_age(gain):
    assert not too_old(AGED, T0, T0 + DAY_MS - 1, gain)
    assert too_old(AGED, T0, T0 + DAY_MS, gain)


def test_a_losing_position_is_too_old_sooner():
    assert not too_old(LOSING, T0, T0 + HOUR_MS - 1, -0.01)
    assert too_old(LOSING, T0, T0 + HOUR_MS, -0.01)


@pytest.mark.parametrize("gain", [0.0, 0.01])
def test_a_position_that_does_not_lose_has_no_age_of_losers(gain):
    assert not too_old(LOSING, T0, T0 + 1_000 * HOUR_MS, gain)


def test_the_greatest_age_holds_beside_that_of_losers():
    both = LOSING._replace(max_age_ms=DAY_MS)
    assert not too_old(both, T0, T0 + DAY_MS - 1, 1.0)
    assert too_old(both, T0, T0 + DAY_MS, 1.0)
    assert too_old(both, T0, T0 + HOUR_MS, -1.0)


def test_without_an_age_rule_nothing_is_too_old():
    assert not too_old(Exits(0.0, 0.0, 0.0, 0.0, 0, 0), T0, T0 + 1_000 * DAY_MS, -1.0)


def test_a_symbol_rests_so_long_after_a_fill():
    rule = Exits(0.0, 0.0, 0.0, 0.0, 0, cooldown_ms=HOUR_MS)
    assert rests_until(rule, T0 + 7) == T0 + 7 + HOUR_MS
    assert rests_until(rule._replace(cooldown_ms=0), T0 + 7) == T0 + 7


@pytest.mark.parametrize(("after", "blocks"), [(0, 1), (1, 1), (HOUR_MS - 1, 1), (HOUR_MS, 2)])
def test_a_symbol_rests_until_the_next_full_block_of_utc(after, blocks):
    rule = Exits(0.0, 0.0, 0.0, 0.0, 0, cooldown_ms=7, cooldown_block_ms=HOUR_MS)
    assert rests_until(rule, T0 + after) == T0 + blocks * HOUR_MS
