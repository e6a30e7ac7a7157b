"""The report: all figures together, by hand."""

import json
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import TITLES, Mark, Report, RoundTrip, Trials, Unit, measure
from tests.engine.conftest import T0
from tests.engine.metrics.trips import daily, hourly, trip

# 10 % up, 10 % down, 10 % up.
MARKS = daily(1000.0, 1100.0, 990.0, 1089.0)
TRIPS = [
    trip(110.0, hour=0, hours=24, fees=10.0, risk=50.0, adverse=0.02, favorable=0.06),
    trip(-100.0, hour=24, hours=12, funding=-10.0, risk=55.0, slippage=1.0),
]


def values(report: Report, *keys: str) -> list[float | None]:
    return [report[key].value for key in keys]


def test_return_and_cagr_stand_on_first_and_last_mark():
    report = measure(MARKS, [])
    assert values(report, "start", "end", "days", "equity") == [
        T0,
        T0 + 3 * DAY_MS,
        3,
        1089.0,
    ]
    assert report["return"].value == pytest.approx(0.089)
    assert report["cagr"].value == pytest.approx(1.089 ** (365 / 3) - 1.0)
    assert measure(MARKS, [], days_a_year=252)["cagr"].value == pytest.approx(
        1.089 ** (252 / 3) - 1.0
    )


def test_ratios_stand_on_days():
    report = measure(MARKS, [])
    mean, deviation = 0.1 / 3, sqrt(0.04 / 3)
    assert report["sharpe"].value == pytest.approx(mean / deviation * sqrt(365))
    assert report["sortino"].value == pytest.approx(mean / sqrt(0.01 / 3) * sqrt(365))
    assert report["volatility"].value == pytest.approx(deviation * sqrt(365))
    assert report["omega"].value == pytest.approx(2.0)
    assert report["best_day"].value == pytest.approx(0.1)
    assert report["worst_day"].value == pytest.approx(-0.1)
    assert {report[key].n for key in ("sharpe", "sortino", "omega", "best_day", "cagr")} == {3}
    yearly = measure(MARKS, [], days_a_year=252)
    assert yearly["sharpe"].value == pytest.approx(mean / deviation * sqrt(252))


def test_drawdown_and_what_is_divided_by_it():
    report = measure(MARKS, [])
    assert report["max_drawdown"].value == pytest.approx(0.1)
    assert report["max_drawdown_money"].value == pytest.approx(110.0)
    assert report["recovery_factor"].value == pytest.approx(89.0 / 110.0)
    assert report["calmar"].value == pytest.approx((1.089 ** (365 / 3) - 1.0) / 0.1)
    assert report["calmar"].n == 3
    assert values(report, "drawdown_peak", "drawdown_trough") == [T0 + DAY_MS, T0 + 2 * DAY_MS]
    assert report["drawdown_recovery"].why == "not recovered yet"
    assert report["longest_underwater"].value == 2 * DAY_MS


def test_drawdown_sees_the_open_loss_inside_a_day_that_the_days_do_not():
    course = [1000.0] * 25
    course[7] = 600.0
    report = measure(hourly(*course), [])
    assert report["max_drawdown"].value == pytest.approx(0.4)
    assert report["worst_day"].value == 0.0


def test_activity():
    report = measure(MARKS, TRIPS)
    assert report["exposure"].value == pytest.approx(0.5)
    assert report["trades_a_day"].value == pytest.approx(2 / 3)
    assert report["turnover"].value == pytest.approx(2 * 201.0 / 3 / (4179.0 / 4))


def test_a_position_that_is_open_at_the_end_is_time_in_the_market():
    course = hourly(*[1000.0] * 11)
    report = measure(course, [trip(1.0, hour=1, hours=2)], opened=[T0 + 5 * HOUR_MS])
    assert (report["exposure"].value, report["exposure"].n) == (pytest.approx(0.7), 2)
    early = measure(course, [], opened=[T0 - HOUR_MS])
    assert early["exposure"].value == 1.0


def test_net_profit_is_set_against_the_deposit():
    assert measure(MARKS, TRIPS)["roi"].value == pytest.approx(-10.0 / 1000.0)
    assert measure(MARKS, TRIPS, deposit=500.0)["roi"].value == pytest.approx(-10.0 / 500.0)
    assert measure([], TRIPS, deposit=500.0)["roi"].value == pytest.approx(-10.0 / 500.0)


def test_trades_are_measured_in_the_order_of_their_exits():
    late, early = trip(1.0, hour=9), trip(1.0, hour=1)
    lost = trip(-1.0, hour=5)
    assert measure(MARKS, [late, early, lost])["longest_winning_streak"].value == 1
    assert measure(MARKS, [late, lost, early])["longest_winning_streak"].value == 1


def test_multiples_of_risk():
    assert measure(MARKS, TRIPS)["expectancy_r"].value == pytest.approx((2.0 - 2.0) / 2)


def test_buy_and_hold_is_in_equal_parts():
    report = measure(MARKS, [], prices={"BTCUSDT": (100.0, 150.0), "ETHUSDT": (10.0, 9.0)})
    assert report["buy_and_hold"].value == pytest.approx(0.2)
    assert report["buy_and_hold"].n == 2
    assert measure(MARKS, [])["buy_and_hold"].why == "no price is known"


def test_the_deflated_ratio_knows_what_was_tried():
    report = measure(MARKS, [], trials=Trials(50, 0.01))
    assert report["deflated_sharpe"].value < report["probabilistic_sharpe"].value


# -- what can't be told ---------------------------------------------------------------------


def test_without_equity_the_trades_are_still_measured():
    report = measure([], TRIPS)
    assert report["win_rate"].value == 0.5
    assert report["sharpe"].why == "needs 2 equity marks, has 0"
    assert report["roi"].why == "no deposit is known"
    assert measure(MARKS[:1], [])["max_drawdown"].why == "needs 2 equity marks, has 1"


def test_without_trades_the_equity_is_still_measured():
    report = measure(MARKS, [])
    assert report["exposure"].value == 0.0
    assert report["trades"].value == 0
    assert report["win_rate"].why == "no trade closed"


def test_less_than_a_day_has_no_rate_of_a_day_or_a_year():
    report = measure(hourly(1000.0, 1010.0), TRIPS)
    for key in ("cagr", "calmar", "turnover", "trades_a_day"):
        assert report[key].why == "needs 1 day, has less"
    assert report["best_day"].why == "needs 1 day, has 0"
    assert report["return"].value == pytest.approx(0.01)
    assert measure(hourly(1000.0, 1010.0)[:1] * 2, [])["exposure"].why == "no time went by"


def test_a_year_that_no_number_can_hold_is_not_shown():
    report = measure(daily(1.0, 1000.0), [])
    assert report["cagr"].why == "too large to be a number"
    assert report["calmar"].value is None


def test_an_account_that_lost_all_has_no_yearly_return():
    report = measure(daily(1000.0, 500.0, -10.0, -10.0), [])
    assert report["cagr"].why == "nothing was left"
    assert report["return"].value == pytest.approx(-1.01)
    assert report["days"].value == 2
    assert report["sharpe"].value < 0.0
    assert measure(daily(10.0, -30.0), TRIPS)["turnover"].why == "nothing was left"


def test_an_account_that_began_with_nothing_has_no_figures_of_equity():
    report = measure(daily(0.0, 10.0), TRIPS)
    assert report["return"].why == "equity was not above zero at the start"
    assert report["roi"].why == "no deposit is known"
    assert report["trades"].value == 2


def test_equity_that_never_fell_has_nothing_to_divide_by():
    report = measure(daily(100.0, 101.0, 103.0), [])
    for key in ("calmar", "recovery_factor", "drawdown_peak"):
        assert report[key].why == "equity never fell"


# -- the form -----------------------------------------------------------------------------


def lively() -> tuple[list[Mark], list[RoundTrip]]:
    """Forty days with wins and losses, after which nothing is missing."""
    course = [1000.0 + 40.0 * (day % 4) - 30.0 * (day % 3) + 5 * day for day in range(40)]
    known = {"slippage": 1.0, "risk": 10.0, "adverse": 0.01, "favorable": 0.02}
    gross = (20.0, -10.0, 5.0)
    return daily(*course), [trip(each, hour=day, **known) for day, each in enumerate(gross)]


def test_nothing_is_missing_where_everything_is_known():
    report = measure(*lively(), prices={"BTCUSDT": (1.0, 2.0)}, trials=Trials(9, 0.001))
    assert {key: metric.why for key, _, metric in report.rows() if metric.value is None} == {}


def test_a_report_has_the_titles_in_their_order_and_their_units():
    for report in (measure(*lively()), measure([], [])):
        rows = list(report.rows())
        assert [key for key, _, _ in rows] == list(TITLES)
        assert all(title is TITLES[key] for key, title, _ in rows)
        assert all(metric.unit is TITLES[key].unit for key, _, metric in rows)
    assert TITLES["max_drawdown"].unit is Unit.FRACTION


def test_no_two_figures_have_one_label():
    assert len({title.label for title in TITLES.values()}) == len(TITLES)


def test_a_report_is_json_without_a_number_that_is_none():
    found = json.loads(json.dumps(measure(MARKS, []).as_dict(), allow_nan=False))
    assert found["omega"] == {"value": pytest.approx(2.0), "n": 3, "why": "", "unit": "ratio"}
    assert found["win_rate"] == {
        "value": None,
        "n": 0,
        "why": "no trade closed",
        "unit": "fraction",
    }


EQUITY = st.lists(st.floats(-100.0, 1e5), max_size=80)
NETS = st.lists(st.floats(-1e5, 1e5), max_size=20)
quick = settings(max_examples=80, deadline=None, derandomize=True)


@quick
@given(EQUITY, NETS)
def test_any_course_gives_numbers_or_reasons(equity, nets):
    marks = hourly(*equity)
    report = measure(marks, [trip(net, hour=hour) for hour, net in enumerate(nets)])
    json.dumps(report.as_dict(), allow_nan=False)
    assert all((metric.value is None) == bool(metric.why) for _, _, metric in report.rows())


@quick
@given(st.lists(st.floats(100.0, 1e4), min_size=30, max_size=80), NETS)
def test_a_larger_account_differs_in_money_only(equity, nets):
    marks = hourly(*equity)
    trips = [trip(float(round(net)), hour=hour, risk=8.0) for hour, net in enumerate(nets)]
    larger = [
        each._replace(gross=each.gross * 4, quantity=each.quantity * 4, risk=32.0) for each in trips
    ]
    small = measure(marks, trips)
    large = measure([Mark(mark.ts, mark.equity * 4) for mark in marks], larger)
    for key, title, metric in small.rows():
        scale = 4 if title.unit is Unit.MONEY else 1
        expected = None if metric.value is None else pytest.approx(metric.value * scale)
        assert large[key].value == expected, key


@quick
@given(st.lists(st.floats(100.0, 1e4), min_size=2, max_size=80))
def test_the_time_of_day_at_which_it_runs_changes_no_figure_of_marks(equity):
    """A shift by whole hours moves dates, not the return or the drawdown."""
    marks = hourly(*equity)
    later = [Mark(mark.ts + 7 * HOUR_MS, mark.equity) for mark in marks]
    for key in ("return", "cagr", "max_drawdown", "longest_underwater", "ulcer_index"):
        assert measure(marks, [])[key] == measure(later, [])[key]
