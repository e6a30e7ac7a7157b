"""Many parameter sets at once give what each gives alone."""

from random import Random

import pytest

from engine.backtest import fast
from engine.backtest.plan import Plan
from engine.backtest.sweep import sweep
from engine.candle import HOUR_MS, MINUTE_MS
from engine.errors import BadInput
from engine.metrics import measure
from engine.strategies import STRATEGIES
from tests.engine.backtest.puppets import SYMBOLS, walk

PLAN = Plan(STRATEGIES["shortseller"].tuned({"fast": 20.0, "slow": 50.0}))


@pytest.fixture(scope="module")
def history():
    return walk(Random(7), SYMBOLS[:2], 4_000, 5 * MINUTE_MS)


def candidates() -> list[dict[str, float]]:
    return [
        {"fast": fast, "slow": slow, "stop_loss": stop}
        for fast in (10.0, 30.0)
        for slow in (60.0, 120.0)
        for stop in (0.01, 0.03, 0.5)
    ]


def test_each_summary_is_that_of_its_set_alone(history):
    for summary in sweep(PLAN, history, candidates()):
        alone = fast.run(Plan(PLAN.strategy.tuned(summary.values)), history)
        report = measure(alone.marks, alone.trips)
        assert summary.trades == len(alone.trips) > 5
        assert summary.wins == sum(trip.net > 0 for trip in alone.trips)
        assert summary.total_return == pytest.approx(report["return"].value, abs=1e-12)
        assert summary.max_drawdown == pytest.approx(report["max_drawdown"].value, abs=1e-12)
        assert summary.sharpe == pytest.approx(report["sharpe"].value, rel=1e-9)


def test_the_number_of_threads_changes_nothing(history):
    assert sweep(PLAN, history, candidates(), threads=1) == sweep(PLAN, history, candidates())


def test_less_than_two_days_have_no_sharpe_ratio(history):
    short = history.within(history.start, history.start + 40 * HOUR_MS)
    assert sweep(PLAN, short, [{"stop_loss": 0.02}])[0].sharpe is None


def test_a_value_out_of_bounds_is_refused_before_anything_runs(history):
    with pytest.raises(BadInput, match="stop_loss: 0.7 is not valid"):
        sweep(PLAN, history, [{"stop_loss": 0.02}, {"stop_loss": 0.7}])


def test_candles_that_one_set_can_not_run_on_are_refused(history):
    short = history.within(history.start, history.start + 40 * HOUR_MS)
    with pytest.raises(BadInput, match="candles: '.* bars of BTCUSDT'"):
        sweep(PLAN, short, [{"stop_loss": 0.02}, {"slow": 900.0}])


def test_no_set_is_no_work(history):
    assert sweep(PLAN, history, []) == []
