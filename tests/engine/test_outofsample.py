"""Records of unseen time and the evidence made of them."""

from dataclasses import replace
from random import Random
from statistics import NormalDist

import pytest

from engine.backtest import exact
from engine.backtest.history import History
from engine.backtest.plan import Plan
from engine.backtest.serial import report_of
from engine.backtest.walk import stretch
from engine.candle import DAY_MS, HOUR_MS
from engine.errors import BadInput
from engine.outofsample import Stretch, deflated, evaluate, recorded, surer
from engine.tuning import CURVE_POINTS
from tests.engine.backtest.crosses import CROSS
from tests.engine.backtest.puppets import T0, walk

DAYS = 60
PLAN = Plan(replace(CROSS, timeframe=HOUR_MS))
MIDDLE, END = T0 + 40 * DAY_MS, T0 + DAYS * DAY_MS


@pytest.fixture(scope="module")
def history() -> History:
    return walk(Random(5), ("BTCUSDT",), DAYS * 24, HOUR_MS, gaps=False)


def test_stretches_compound_and_each_begins_flat(history: History) -> None:
    first, second = (
        Stretch(MIDDLE, MIDDLE + 8 * DAY_MS, {"length": 9.0}),
        Stretch(MIDDLE + 8 * DAY_MS, END, {"length": 30.0}),
    )
    found = recorded(PLAN, history, [first, second], exact.run)
    alone = [
        stretch(
            exact.run,
            replace(PLAN, strategy=PLAN.strategy.tuned(each.values)),
            history,
            each.start,
            each.end,
        )
        for each in (first, second)
    ]
    worths = [each.equity / PLAN.deposit for each in alone]
    assert found.figures.total_return == pytest.approx(worths[0] * worths[1] - 1.0)
    assert found.figures.trades == sum(len(each.trips) for each in alone) > 10
    assert found.figures.wins == sum(trip.net > 0.0 for each in alone for trip in each.trips)
    assert len(found.days) == (END - MIDDLE) // DAY_MS
    assert found.marks[0] == (MIDDLE, 1.0)
    assert found.marks[-1].ts == END


def test_a_record_of_one_stretch_has_the_figures_of_its_report(history: History) -> None:
    outcome = stretch(exact.run, PLAN, history, MIDDLE, END)
    figures = recorded(PLAN, history, [Stretch(MIDDLE, END, {})], exact.run).figures
    report = report_of(outcome)
    assert figures.sharpe == pytest.approx(report["sharpe"].value)
    assert figures.max_drawdown == pytest.approx(report["max_drawdown"].value)
    assert figures.total_return == pytest.approx(report["return"].value)


def test_a_trade_counts_as_a_share_of_the_equity_it_found(history: History) -> None:
    outcome = stretch(exact.run, PLAN, history, MIDDLE, END)
    found = recorded(PLAN, history, [Stretch(MIDDLE, END, {})], exact.run)
    balance = PLAN.deposit
    for net, trip in zip(found.nets, outcome.trips, strict=True):
        assert net == pytest.approx(trip.net / balance)
        balance += trip.net


def test_evidence_is_of_the_last_third_and_has_a_band(history: History) -> None:
    after = replace(PLAN, strategy=PLAN.strategy.tuned({"length": 9.0}))
    found = evaluate(PLAN, after, history, seed=3)
    assert (found.start, found.end, found.days) == (MIDDLE, END, 20.0)
    assert (found.folds, found.trials, found.digest) == (1, 1, history.digest)
    assert found.before == recorded(PLAN, history, [Stretch(MIDDLE, END, {})]).figures
    assert found.after == recorded(after, history, [Stretch(MIDDLE, END, {})]).figures
    assert found.before != found.after
    for curve, figures in (
        (found.before_curve, found.before),
        (found.after_curve, found.after),
    ):
        assert len(curve) == CURVE_POINTS
        assert [point.ts for point in curve] == sorted({point.ts for point in curve})
        assert curve[0] == (MIDDLE, 1.0)
        assert curve[-1].worth == pytest.approx(1.0 + figures.total_return)
    assert found.expected.lows[0] < 0.0 < found.expected.highs[0]
    assert found == evaluate(PLAN, after, history, seed=3)


def test_too_few_trades_or_candles_are_no_evidence(history: History) -> None:
    few = history.within(T0, T0 + 9 * DAY_MS)
    with pytest.raises(BadInput, match="trades: .* at least 10"):
        evaluate(PLAN, PLAN, few)
    with pytest.raises(BadInput, match="candles: .* at least"):
        evaluate(PLAN, PLAN, history.within(T0, T0 + DAY_MS))


# -- probabilities -----------------------------------------------------------------------


def _days(sharpe_a_day: float, n: int = 500) -> list[float]:
    """Returns that alternate around a mean; they are as good as normal for these formulas."""
    chance = Random(1)
    raw = [chance.gauss(0.0, 1.0) for _ in range(n)]
    mean = sum(raw) / n
    spread = (sum((each - mean) ** 2 for each in raw) / (n - 1)) ** 0.5
    return [0.01 * ((each - mean) / spread + sharpe_a_day) for each in raw]


def test_more_trials_make_the_same_record_less_sure() -> None:
    found = [deflated(_days(0.15), tried) for tried in (1, 2, 10, 100, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.999
    assert found[-1] < 0.6


def test_the_luckiest_of_many_without_skill_is_even_odds() -> None:
    """What the best of 100 sets without skill reaches on 500 days deflates to one half."""
    normal = NormalDist()
    euler = 0.5772156649
    luck = (1 - euler) * normal.inv_cdf(0.99) + euler * normal.inv_cdf(1 - 0.01 / 2.718281828)
    assert deflated(_days(luck / 499**0.5), 100) == pytest.approx(0.5, abs=0.001)


def test_what_is_not_defined_is_not_sure() -> None:
    assert deflated([], 10) == deflated([0.01], 10) == deflated([0.0] * 50, 10) == 0.0
    assert surer([0.0] * 50, [0.0] * 50) == 0.0


def test_days_are_compared_pair_by_pair() -> None:
    """A small advantage every day is sure, however much the days themselves vary."""
    days = _days(0.0)
    edge = _days(0.5)
    better = [each + 0.02 * other for each, other in zip(days, edge, strict=True)]
    assert surer(days, better) > 0.99
    assert surer(better, days) < 0.01
    assert deflated(better, 1) < 0.7
