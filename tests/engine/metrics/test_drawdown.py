"""How far and how long below the peak."""

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS
from engine.metrics.drawdown import (
    Drawdown,
    deepest,
    deepest_money,
    depths,
    drawdown_figures,
    longest_underwater,
    ulcer_index,
)
from tests.engine.conftest import T0
from tests.engine.metrics.trips import daily

# Down 10 % and back, then down 25 % and back two days later, then down a little to the end.
COURSE = daily(100.0, 90.0, 100.0, 120.0, 90.0, 110.0, 120.0, 119.0)


def test_the_deepest_fall_has_its_peak_trough_and_recovery():
    assert deepest(COURSE) == Drawdown(0.25, T0 + 3 * DAY_MS, T0 + 4 * DAY_MS, T0 + 6 * DAY_MS)


def test_of_equal_falls_the_first_is_told():
    assert deepest(daily(100.0, 50.0, 100.0, 50.0)).trough == T0 + DAY_MS


def test_a_fall_begins_at_the_last_moment_at_its_peak():
    assert deepest(daily(100.0, 100.0, 80.0)).peak == T0 + DAY_MS


def test_a_fall_that_lasts_has_no_recovery():
    assert deepest(daily(100.0, 80.0, 99.0)).recovery is None


def test_equity_that_never_fell_has_no_dates():
    assert deepest(daily(100.0, 100.0, 110.0)) == Drawdown(0.0, None, None, None)


def test_money_and_fraction_can_fall_deepest_at_different_times():
    course = daily(100.0, 50.0, 1000.0, 900.0)
    assert deepest(course).depth == 0.5
    assert deepest_money(course) == 100.0


def test_underwater_lasts_from_the_peak_to_the_mark_that_is_back():
    assert longest_underwater(COURSE) == 3 * DAY_MS


def test_underwater_lasts_to_the_end_where_nothing_came_back():
    assert longest_underwater(daily(100.0, 99.0, 98.0, 97.0, 96.0)) == 4 * DAY_MS


def test_a_flat_or_rising_account_is_never_underwater():
    assert longest_underwater(daily(100.0, 100.0, 110.0, 110.0)) == 0


def test_the_ulcer_index_is_the_root_mean_square_of_depths():
    assert ulcer_index(daily(100.0, 90.0, 80.0, 100.0)) == pytest.approx(sqrt(0.05 / 4))


def test_open_losses_beyond_all_there_is_show():
    assert depths([100.0, -50.0]) == [0.0, 1.5]


@pytest.mark.parametrize(
    ("course", "whys"),
    [
        (daily(100.0, 110.0), ["equity never fell"] * 3),
        (daily(100.0, 90.0), ["", "", "not recovered yet"]),
        (daily(100.0, 90.0, 100.0), ["", "", ""]),
    ],
)
def test_dates_that_are_missing_say_why(course, whys):
    figures = drawdown_figures(course)
    keys = ("drawdown_peak", "drawdown_trough", "drawdown_recovery")
    assert [figures[key].why for key in keys] == whys


EQUITY = st.lists(st.floats(0.01, 1e6), min_size=2, max_size=60)
quick = settings(max_examples=80, deadline=None, derandomize=True)


@quick
@given(EQUITY)
def test_positive_equity_falls_by_less_than_all(equity):
    assert all(0.0 <= depth < 1.0 for depth in depths(equity))
    assert 0.0 <= ulcer_index(daily(*equity)) <= deepest(daily(*equity)).depth + 1e-12


@quick
@given(EQUITY, st.sampled_from([0.25, 2.0, 1024.0]))
def test_depth_does_not_know_how_large_the_account_is(equity, scale):
    scaled = daily(*(value * scale for value in equity))
    assert deepest(scaled) == deepest(daily(*equity))
    assert deepest_money(scaled) == deepest_money(daily(*equity)) * scale


@quick
@given(EQUITY)
def test_the_deepest_fall_is_what_its_dates_say(equity):
    marks = daily(*equity)
    fall = deepest(marks)
    at = {mark.ts: mark.equity for mark in marks}
    if fall.depth == 0.0:
        assert equity == sorted(equity)
        return
    assert fall.depth == 1.0 - at[fall.trough] / at[fall.peak]
    assert fall.peak < fall.trough
    assert longest_underwater(marks) >= (fall.recovery or marks[-1].ts) - fall.peak
