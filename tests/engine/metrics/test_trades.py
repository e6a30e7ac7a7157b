"""Figures of closed trades, by hand."""

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import HOUR_MS
from engine.metrics.trades import (
    expectancy_r,
    kelly,
    longest_streaks,
    payoff,
    profit_factor,
    sqn,
    time_in_market,
    trade_figures,
    win_rate,
)
from tests.engine.conftest import T0
from tests.engine.metrics.trips import trip

NETS = [30.0, -10.0, 0.0, 20.0, -10.0, -5.0]


def test_net_is_after_fees_and_with_funding():
    assert trip(10.0, fees=2.0, funding=-1.0).net == 7.0


def test_a_trade_of_exactly_nothing_is_neither_won_nor_lost():
    figures = trade_figures([trip(net) for net in NETS])
    counts = [figures[key].value for key in ("trades", "wins", "losses", "break_even")]
    assert counts == [6, 2, 3, 1]
    assert win_rate(NETS).value == pytest.approx(2 / 6)


def test_what_is_won_against_what_is_lost():
    assert profit_factor(NETS).value == 2.0
    assert profit_factor(NETS).n == 6
    assert payoff(NETS).value == pytest.approx(25.0 / (25.0 / 3))
    assert payoff(NETS).n == 5


def test_kelly_counts_the_trades_that_were_decided():
    assert kelly(NETS).value == pytest.approx(0.4 - 0.6 / 3.0)
    assert kelly([10.0, -20.0]).value == pytest.approx(0.5 - 0.5 / 0.5)


def test_the_system_quality_number():
    nets = [30.0, -10.0, 10.0, 10.0]
    assert sqn(nets).value == pytest.approx(sqrt(4) * 10.0 / sqrt(800 / 3))


def test_multiples_of_the_risk_count_the_trades_that_had_a_stop():
    found = expectancy_r([trip(20.0, risk=10.0), trip(-10.0, risk=10.0), trip(99.0)])
    assert (found.value, found.n) == (0.5, 2)


def test_a_trade_filled_beyond_its_stop_has_no_multiple():
    found = expectancy_r([trip(20.0, risk=10.0), trip(-10.0, risk=-2.0), trip(-10.0, risk=0.0)])
    assert (found.value, found.n) == (2.0, 1)


def test_the_longest_streaks_end_with_a_trade_of_nothing():
    assert longest_streaks([1.0, 1.0, 0.0, 1.0, -1.0, -1.0, -1.0, 1.0]) == (2, 3)
    assert longest_streaks([]) == (0, 0)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (win_rate([]), "no trade closed"),
        (profit_factor([]), "no trade closed"),
        (profit_factor([1.0, 0.0]), "no losing trade"),
        (payoff([1.0]), "no losing trade"),
        (payoff([-1.0]), "no winning trade"),
        (kelly([1.0]), "no losing trade"),
        (sqn([1.0]), "needs 2 trades, has 1"),
        (sqn([0.1 + 0.2, 0.3, 0.3]), "all trades earned the same"),
        (expectancy_r([trip(1.0)]), "no trade with a known risk"),
    ],
)
def test_what_is_not_defined_says_why(found, why):
    assert (found.value, found.why) == (None, why)


# -- time ---------------------------------------------------------------------------------


def test_hours_held_by_two_positions_count_once():
    trips = [trip(0.0, hour=5, hours=2), trip(0.0, hour=0, hours=3), trip(0.0, hour=2, hours=2)]
    assert time_in_market(trips, T0, T0 + 10 * HOUR_MS) == 6 * HOUR_MS


def test_a_position_inside_another_adds_nothing():
    trips = [trip(0.0, hour=0, hours=9), trip(0.0, hour=1, hours=2)]
    assert time_in_market(trips, T0, T0 + 10 * HOUR_MS) == 9 * HOUR_MS


def test_only_time_inside_the_period_counts():
    trips = [trip(0.0, hour=0, hours=4), trip(0.0, hour=8, hours=4), trip(0.0, hour=20)]
    assert time_in_market(trips, T0 + 2 * HOUR_MS, T0 + 10 * HOUR_MS) == 4 * HOUR_MS


def test_durations_of_all_of_wins_and_of_losses():
    trips = [trip(1.0, hours=1), trip(1.0, hours=2), trip(1.0, hours=6), trip(-1.0, hours=8)]
    trips.append(trip(0.0, hours=3))
    figures = trade_figures(trips)
    hours = {
        key: metric.value / HOUR_MS for key, metric in figures.items() if key.endswith("duration")
    }
    assert hours == {
        "mean_duration": 4.0,
        "median_duration": 3.0,
        "mean_win_duration": 3.0,
        "median_win_duration": 2.0,
        "mean_loss_duration": 8.0,
        "median_loss_duration": 8.0,
    }


# -- money and excursions -----------------------------------------------------------------


def test_totals_of_money():
    figures = trade_figures(
        [
            trip(42.0, fees=2.0, funding=-1.0, slippage=0.5),
            trip(-8.0, fees=2.0, funding=1.0),
            trip(8.0, fees=1.0),
        ]
    )
    values = {key: figures[key].value for key in MONEY}
    assert values == MONEY
    assert figures["slippage"].n == 1


MONEY = {
    "net_profit": 37.0,
    "gross_profit": 46.0,
    "gross_loss": -9.0,
    "mean_win": 23.0,
    "mean_loss": -9.0,
    "best_trade": 39.0,
    "worst_trade": -9.0,
    "expectancy": 37.0 / 3,
    "fees": 5.0,
    "fees_share": 0.1,
    "funding": 0.0,
    "slippage": 0.5,
}


def test_excursions_are_the_means_of_those_known():
    figures = trade_figures([trip(1.0, adverse=0.01, favorable=0.04), trip(1.0, adverse=0.03)])
    assert figures["mean_adverse"].value == pytest.approx(0.02)
    assert (figures["mean_favorable"].value, figures["mean_favorable"].n) == (0.04, 1)


NETS_OF_ANY_SIZE = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)
quick = settings(max_examples=80, deadline=None, derandomize=True)


@quick
@given(NETS_OF_ANY_SIZE, st.sampled_from([0.25, 2.0, 1024.0]))
def test_ratios_do_not_know_the_currency(nets, scale):
    whole = [round(net, 2) for net in nets]
    scaled = [net * scale for net in whole]
    for figure in (win_rate, profit_factor, payoff, kelly, sqn):
        expected = figure(whole)
        assert figure(scaled).why == expected.why
        if expected.value is not None:
            assert figure(scaled).value == pytest.approx(expected.value)


@quick
@given(NETS_OF_ANY_SIZE)
def test_won_and_lost_add_up_to_the_net(nets):
    figures = trade_figures([trip(net) for net in nets])
    parts = figures["gross_profit"].value + figures["gross_loss"].value
    assert parts == pytest.approx(figures["net_profit"].value, abs=1e-6)


@quick
@given(NETS_OF_ANY_SIZE)
def test_a_positive_kelly_is_a_positive_expectancy(nets):
    whole = [float(round(net)) for net in nets]
    share = kelly(whole).value
    if share is not None and abs(share) > 1e-9:
        assert (share > 0) == (sum(whole) > 0)
