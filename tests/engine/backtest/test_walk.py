"""Walk-forward by backtests: what is searched, on which time, and what unseen time begins with."""

from dataclasses import replace
from random import Random

import pytest

from engine.backtest import exact
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.backtest.serial import report_of
from engine.backtest.walk import Search, candidates, searched, stretch, walk
from engine.candle import DAY_MS, HOUR_MS
from engine.columns import Columns
from engine.errors import BadInput
from tests.engine.backtest.crosses import CROSS
from tests.engine.backtest.puppets import T0
from tests.engine.backtest.puppets import walk as random_candles

DAYS = 40
HOURLY = replace(CROSS, timeframe=HOUR_MS)
PLAN = Plan(HOURLY)
SEARCH = Search(trials=4, names=("length",), seed=7)


@pytest.fixture(scope="module")
def history() -> History:
    return random_candles(Random(3), ("BTCUSDT",), DAYS * 24, HOUR_MS, gaps=False)


class Runs:
    """The exact backtest, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int, int]] = []

    def __call__(self, plan: Plan, history: History) -> Outcome:
        self.asked.append((plan.strategy.params.length, history.start, history.end))
        return exact.run(plan, history)


def test_each_fold_is_searched_on_its_training_and_tried_once_after(history: History) -> None:
    runs = Runs()
    found = walk(runs, PLAN, history, 2, SEARCH)
    assert len(found.outcomes) == 2
    per_fold = 1 + SEARCH.trials + 1
    assert len(runs.asked) == 2 * per_fold
    for number, each in enumerate(found.outcomes):
        asked = runs.asked[number * per_fold : (number + 1) * per_fold]
        assert asked[0][0] == HOURLY.params.length
        assert {end for _, _, end in asked[:-1]} == {each.fold.train_end}
        picked = each.parameters["length"]
        warm_up = (int(picked) + 1) * HOUR_MS
        assert asked[-1] == (picked, each.fold.test_start - warm_up, each.fold.test_end)
        assert each.out_of_sample["start"].value == each.fold.test_start
        assert each.out_of_sample["end"].value == each.fold.test_end
    assert found.outcomes[-1].fold.test_end == history.end


def test_the_best_of_a_training_is_picked(history: History) -> None:
    found = walk(Runs(), PLAN, history, 1, SEARCH)
    [fold] = found.outcomes
    tried = [
        stretch(
            exact.run,
            replace(PLAN, strategy=HOURLY.tuned(values)),
            history,
            fold.fold.train_start,
            fold.fold.train_end,
        )
        for values in candidates(searched(PLAN, SEARCH), {"length": 15.0}, SEARCH)
    ]
    best = max(report_of(each)["sharpe"].value or -1e9 for each in tried)
    assert fold.in_sample["sharpe"].value == best
    assert fold.in_sample["deflated_sharpe"].value is not None
    assert found.spread["length"].why == "needs 2 folds, has 1"


def test_the_same_seed_searches_the_same(history: History) -> None:
    first, second = (walk(Runs(), PLAN, history, 2, SEARCH) for _ in range(2))
    assert first == second
    tuned = searched(PLAN, SEARCH)
    lists = [list(candidates(tuned, {}, SEARCH._replace(seed=seed))) for seed in (1, 1, 2)]
    assert lists[0] == lists[1] != lists[2]


def test_few_combinations_are_all_tried() -> None:
    search = Search(trials=300, names=("length", "holds"))
    tuned = searched(PLAN, search)
    found = list(candidates(tuned, {"length": 15.0, "holds": 0.0}, search))
    assert found[0] == {"length": 15.0, "holds": 0.0}
    assert len(found) == 1 + 99 * 2
    assert {each["length"] for each in found} == set(map(float, range(2, 101)))


def test_whatever_is_drawn_is_within_bounds_and_on_its_step() -> None:
    search = Search(trials=200, names=("length", "stop_loss", "cooldown", "confidence_min"))
    for values in candidates(searched(PLAN, search), {}, search):
        HOURLY.tuned(values)


def test_an_account_begins_with_the_unseen_time(history: History) -> None:
    start, end = T0 + 20 * DAY_MS, T0 + 30 * DAY_MS
    outcome = stretch(exact.run, PLAN, history, start, end)
    assert outcome.marks[0] == (start, PLAN.deposit)
    assert (outcome.start, outcome.end) == (start, end)
    assert min(trip.entry_time for trip in outcome.trips) >= start
    bars = history.columns["BTCUSDT"]
    at = int(bars.ts.searchsorted(start))
    assert outcome.prices["BTCUSDT"][0] == float(bars.open[at])


def test_a_set_that_can_not_run_is_left_out(history: History) -> None:
    """An average longer than the training finds too few bars."""
    short = history.within(T0, T0 + 6 * DAY_MS)
    search = Search(trials=200, names=("length",))
    found = walk(exact.run, PLAN, short, 2, search)
    assert all(each.parameters["length"] < 72 for each in found.outcomes)


@pytest.mark.parametrize(
    ("search", "folds", "said"),
    [
        (Search(names=("depth",)), 2, "tune: 'depth' is not valid. Allowed: length, holds, stop"),
        (Search(trials=0), 2, "trials: 0 is not valid. Allowed: 1 to 10,000"),
        (SEARCH, 0, "folds: 0 is not valid. Allowed: 1 to 100"),
        (SEARCH, 90, "folds: 90 is not valid. Allowed: so few"),
    ],
)
def test_bad_input_is_named(history: History, search: Search, folds: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        walk(exact.run, PLAN, history, folds, search)


def test_a_fold_without_candles_is_named(history: History) -> None:
    bars = history.columns["BTCUSDT"]
    kept = (bars.ts < T0 + 2 * DAY_MS) | (bars.ts >= T0 + 38 * DAY_MS)
    columns = {"BTCUSDT": Columns(*(column[kept] for column in bars))}
    gapped = made(HOUR_MS, columns, history.rates, history.instruments)
    with pytest.raises(BadInput, match="no candle from"):
        walk(exact.run, PLAN, gapped, 8, Search(names=("holds",)))
