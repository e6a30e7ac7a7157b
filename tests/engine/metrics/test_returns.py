"""Daily equity and the ratios of daily returns."""

from math import sqrt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS
from engine.metrics.facts import Mark
from engine.metrics.returns import (
    Trials,
    annual_return,
    compounded,
    daily_equity,
    daily_returns,
    deflated_sharpe,
    expected_shortfall,
    luckiest_sharpe,
    omega,
    probabilistic_sharpe,
    sharpe,
    sharpe_confidence,
    sortino,
    value_at_risk,
    volatility,
)
from tests.engine.conftest import T0
from tests.engine.metrics.trips import daily, hourly

UP_DOWN_UP = [0.1, -0.1, 0.1]
DEVIATION = sqrt(0.04 / 3)


# -- days ---------------------------------------------------------------------------------


def test_a_day_is_worth_its_last_mark_before_midnight():
    marks = [
        Mark(T0 - HOUR_MS, 90.0),
        Mark(T0 - 1, 100.0),
        Mark(T0 + 1, 500.0),
        Mark(T0 + DAY_MS - 1, 110.0),
        Mark(T0 + DAY_MS + 1, 700.0),
    ]
    assert daily_equity(marks) == [Mark(T0, 100.0), Mark(T0 + DAY_MS, 110.0)]


def test_a_mark_at_midnight_counts_for_that_midnight():
    assert daily_equity(daily(100.0, 110.0)) == daily(100.0, 110.0)


def test_a_day_without_a_mark_keeps_the_worth_before():
    marks = [Mark(T0, 100.0), Mark(T0 + 3 * DAY_MS, 130.0)]
    assert [mark.equity for mark in daily_equity(marks)] == [100.0, 100.0, 100.0, 130.0]


def test_part_days_at_both_ends_have_no_return():
    marks = hourly(*[100.0] * 24, 100.0, *[110.0] * 24, 999.0)[5:]
    assert daily_returns(marks) == pytest.approx([0.1])


def test_less_than_a_midnight_has_no_day():
    assert daily_equity([Mark(T0 + 1, 1.0), Mark(T0 + DAY_MS - 1, 2.0)]) == []
    assert daily_equity([]) == []


def test_the_days_end_with_the_one_that_left_nothing():
    assert daily_returns(daily(100.0, 50.0, -5.0, 10.0)) == pytest.approx([-0.5, -1.1])
    assert daily_returns(daily(100.0, 0.0, 10.0)) == [-1.0]


def test_nothing_comes_back_from_zero():
    assert compounded([0.5, -1.2, -3.0, 1.0]) == [1.0, 1.5, 0.0, 0.0, 0.0]


# -- ratios, by hand ----------------------------------------------------------------------


def test_ratios_of_three_days():
    mean = 0.1 / 3
    assert volatility(UP_DOWN_UP).value == pytest.approx(DEVIATION * sqrt(365))
    assert sharpe(UP_DOWN_UP).value == pytest.approx(mean / DEVIATION * sqrt(365))
    assert sortino(UP_DOWN_UP).value == pytest.approx(mean / sqrt(0.01 / 3) * sqrt(365))
    assert omega(UP_DOWN_UP).value == pytest.approx(2.0)
    assert sharpe(UP_DOWN_UP, 252).value == pytest.approx(mean / DEVIATION * sqrt(252))
    assert {each(UP_DOWN_UP).n for each in (volatility, sharpe, sortino, omega)} == {3}


def test_what_is_required_is_subtracted_from_each_day():
    a_year = 1.05**2 - 1.0
    assert omega(UP_DOWN_UP, 2, a_year).value == pytest.approx(0.1 / 0.15)


def test_the_annual_return_compounds():
    assert annual_return(1.21, 2.0, 730).value == pytest.approx(0.1)
    assert annual_return(1.1, 0.5, 182).value == pytest.approx(0.21)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (annual_return(0.0, 1.0, 365), "nothing was left"),
        (annual_return(9.0, 1e-4, 1), "too large to be a number"),
        (sharpe([]), "needs 2 days, has 0"),
        (sharpe([0.1]), "needs 2 days, has 1"),
        (sharpe([0.01] * 9), "the returns do not vary"),
        (volatility([0.1]), "needs 2 days, has 1"),
        (sortino([0.1]), "needs 2 days, has 1"),
        (sortino([0.1, 0.2]), "no losing day"),
        (omega([0.1]), "needs 2 days, has 1"),
        (omega([0.1, 0.0]), "no losing day"),
        (probabilistic_sharpe([0.1]), "needs 2 days, has 1"),
        (probabilistic_sharpe([0.0] * 9), "the returns do not vary"),
        (value_at_risk([0.1] * 19), "needs 20 days, has 19"),
        (expected_shortfall([0.1] * 19), "needs 20 days, has 19"),
        (deflated_sharpe(UP_DOWN_UP, None), "one parameter set was tried, so none was picked"),
        (
            deflated_sharpe(UP_DOWN_UP, Trials(1, 0.1)),
            "one parameter set was tried, so none was picked",
        ),
    ],
)
def test_what_is_not_defined_says_why(found, why):
    assert (found.value, found.why) == (None, why)


def test_rounding_is_neither_a_loss_nor_a_deviation():
    returns = [3e-16, -2e-16, 1e-16, 0.0]
    assert [each(returns).value for each in (sharpe, sortino, omega)] == [None] * 3


# -- the tail -----------------------------------------------------------------------------


def test_the_tail_of_a_hundred_days():
    returns = [(day - 50) / 1000 for day in range(101)]
    assert value_at_risk(returns).value == pytest.approx(0.045)
    assert expected_shortfall(returns).value == pytest.approx(0.0475)
    assert value_at_risk(returns).n == 101


def test_between_two_days_the_value_at_risk_is_interpolated():
    returns = [-0.2, -0.1, *[0.0] * 19]
    assert value_at_risk(returns).value == pytest.approx(0.1)
    assert value_at_risk([-0.2, *[0.0] * 19]).value == pytest.approx(0.2 * 0.05)


# -- is it luck? --------------------------------------------------------------------------


def test_the_probabilistic_ratio_is_that_of_the_paper():
    """Bailey and Lopez de Prado (2012), their fund of 24 months: 0.458 a month."""
    assert sharpe_confidence(0.458, 0.0, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5e-4)
    assert sharpe_confidence(0.458, 0.0, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)


def test_the_probabilistic_ratio_takes_the_shape_of_the_returns():
    """Skewness -0.7071 and kurtosis 1.5, so z = 0.2887 x root of (2 / 1.2146) = 0.3704."""
    found = probabilistic_sharpe(UP_DOWN_UP)
    assert found.value == pytest.approx(0.6445, abs=5e-5)
    assert found.n == 3


def test_the_deflated_ratio_is_that_of_the_paper():
    """Bailey and Lopez de Prado (2014): 2.5 a year of 250 days is the best of 100 trials."""
    best = luckiest_sharpe(Trials(100, 0.5 / 250))
    assert best == pytest.approx(0.1132, abs=5e-5)
    confidence = sharpe_confidence(2.5 / sqrt(250), best, 1250, -3.0, 10.0)
    assert confidence == pytest.approx(0.9004, abs=5e-5)


def test_trials_are_counted_from_annualized_ratios():
    trials = Trials.of([1.0, 2.0, 3.0], 250)
    assert trials.tried == 3
    assert trials.variance == pytest.approx(1.0 / 250)
    assert Trials.of([1.0]) == Trials(1, 0.0)


def test_the_more_was_tried_the_less_the_best_is_worth():
    returns = [0.02, -0.01, 0.03, -0.005] * 20
    plain = probabilistic_sharpe(returns).value
    few, many = (deflated_sharpe(returns, Trials(tried, 0.01)).value for tried in (5, 500))
    assert plain > few > many


def test_two_outcomes_say_nothing_of_the_error():
    """All the kurtosis there can be at this ratio leaves no variance to the estimate."""
    assert sharpe_confidence(1.0, 0.0, 10, 1.0, 1.0) is None


# -- invariants ---------------------------------------------------------------------------

RETURNS = st.lists(st.floats(-0.5, 0.5), min_size=20, max_size=60)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@quick
@given(RETURNS, st.sampled_from([0.25, 0.5, 2.0, 1024.0]))
def test_ratios_do_not_know_how_large_the_account_is(returns, scale):
    marks = daily(*(1000.0 * value for value in compounded(returns)))
    scaled = [mark._replace(equity=mark.equity * scale) for mark in marks]
    assert daily_returns(marks) == daily_returns(scaled)


@quick
@given(RETURNS)
def test_the_mean_of_the_worst_days_is_no_better_than_the_best_of_them(returns):
    assert expected_shortfall(returns).value >= value_at_risk(returns).value - 1e-12


@quick
@given(RETURNS)
def test_no_measured_ratio_is_beyond_numbers(returns):
    assume(max(returns) - min(returns) > 1e-6)
    found = [each(returns) for each in (sharpe, sortino, omega, probabilistic_sharpe)]
    assert all((metric.value is None) == bool(metric.why) for metric in found)
    assert 0.0 <= (found[3].value or 0.0) <= 1.0


@quick
@given(RETURNS)
def test_daily_returns_compound_to_the_whole(returns):
    equity = compounded(returns)
    assert compounded(daily_returns(daily(*equity)))[-1] == pytest.approx(equity[-1])
