"""The tuner: what it searches, that it can't see ahead, and what crashes and few candles do."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.own_strategies import load_own
from engine.backtest import exact
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.backtest.sweep import sweep
from engine.candle import DAY_MS, HOUR_MS
from engine.columns import Columns
from engine.errors import BadInput
from engine.spread import Crew, Grounds, Lost
from engine.strategies import STRATEGIES
from engine.tuner import Arena, Found, Search, study, tried
from engine.tuning import CURVE_POINTS
from tests.planted import EDGES, T0, drifting

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "dip.py"
PLAN = EDGES["macross"].plan
SMALL = Search(trials=30, folds=3, seed=4)
# Of 30 sets the first search has half.
FIRST = 15
TREND = EDGES["trend"].plan
PLAIN = Search(trials=40, folds=3, seed=1, names=("slow", "atr_multiple"))

Values = dict[str, float]


class Threads(Crew):
    """Workers on threads, and what they were asked; one of the sets may kill them."""

    def __init__(self, seats: int = 1, deadly: int | None = None) -> None:
        super().__init__(lambda: ThreadPoolExecutor(1), seats)
        self.asked: list[Values] = []
        self._deadly = deadly

    def do(
        self,
        fn: Callable[..., Any],
        grounds: Grounds[Any],
        jobs: Sequence[Any],
        on_done: Callable[[int], None] = lambda done: None,
    ) -> list[Any]:
        first = len(self.asked)
        self.asked += jobs
        found: list[Any] = super().do(fn, grounds, jobs, on_done)
        if self._deadly is not None and 0 <= self._deadly - first < len(jobs):
            found[self._deadly - first] = Lost("its worker died 2 times")
        return found


def studied(
    history: History, search: Search = SMALL, plan: Plan = PLAN, crew: Crew | None = None
) -> Found:
    with closing(crew or Threads()) as workers:
        return study(plan, history, search, workers)


@pytest.fixture(scope="module")
def history() -> History:
    """A year and a half with a slight edge."""
    return EDGES["macross"].market(5, 1.5)


@pytest.fixture(scope="module")
def plain() -> History:
    """Two years with an edge that nobody who trails far enough can miss."""
    return drifting(8, 2.0, hours=700.0, drift=0.1)


def test_any_number_of_workers_finds_the_same(history: History) -> None:
    first, second = (studied(history, crew=Threads(seats)) for seats in (1, 3))
    assert first == second
    assert first.trials == SMALL.trials
    other = Threads()
    studied(history, replace(SMALL, seed=5), crew=other)
    same = Threads()
    studied(history, crew=same)
    assert other.asked != same.asked


def test_the_values_in_force_are_tried_first_and_all_within_the_limits(history: History) -> None:
    limits = {"fast": (8.0, 40.0), "slow": (20.0, 90.0)}
    crew = Threads()
    studied(history, replace(SMALL, limits=limits), crew=crew)
    assert crew.asked[0] == {"fast": 12.0, "slow": 26.0}
    assert len({tuple(each.values()) for each in crew.asked}) == len(crew.asked)
    for values in crew.asked:
        for name, (low, high) in limits.items():
            assert low <= values[name] <= high
        PLAN.strategy.tuned(values)


def test_only_what_is_named_is_searched(history: History) -> None:
    crew = Threads()
    studied(history, replace(SMALL, names=("slow",)), crew=crew)
    assert {tuple(each) for each in crew.asked} == {("slow",)}


def test_what_a_set_had_done_by_a_training_s_end_is_a_backtest_that_ends_there(
    history: History,
) -> None:
    ends = [T0 + days * DAY_MS for days in (100, 250, 400)]
    values = {"fast": 20.0, "slow": 60.0}
    for end, found in zip(ends, tried(Arena(PLAN, history, ends), values), strict=True):
        [alone] = sweep(PLAN, history.within(T0, end), [values])
        # What is paid at the very end, for a fill or funding, the last mark may not hold yet.
        assert found.trades == pytest.approx(alone.trades, abs=1)
        assert found.total_return == pytest.approx(alone.total_return, abs=2e-4)
        assert found.sharpe == pytest.approx(alone.sharpe, abs=0.02)
        assert found.max_drawdown == pytest.approx(alone.max_drawdown, abs=2e-4)


def test_no_search_sees_beyond_its_training(history: History) -> None:
    """Other candles after the first training: the first search asks for the same sets."""
    # Two fifths of the time are the first training.
    end = T0 + int(0.4 * 1.5 * 365) * DAY_MS
    other = EDGES["macross"].market(6, 1.5)
    [symbol] = history.symbols
    old, new = history.columns[symbol], other.columns[symbol]
    joined = Columns(
        *(np.where(old.ts < end, before, after) for before, after in zip(old, new, strict=True))
    )
    spliced = made(HOUR_MS, {symbol: joined}, history.rates, history.instruments)
    crews = Threads(), Threads()
    for crew, candles in zip(crews, (history, spliced), strict=True):
        studied(candles, crew=crew)
    one, two = (crew.asked for crew in crews)
    assert one[:FIRST] == two[:FIRST]
    assert one[FIRST:] != two[FIRST:]


def test_a_set_that_kills_its_worker_is_lost_and_the_study_goes_on(history: History) -> None:
    for deadly in (0, 7, SMALL.trials - 1):
        found = studied(history, crew=Threads(deadly=deadly))
        assert (found.trials, found.lost) == (SMALL.trials, 1)
        assert found.verdict


def test_progress_never_goes_back_nor_beyond_its_end(history: History) -> None:
    told: list[tuple[int, int, str]] = []
    with closing(Threads(2)) as crew:
        study(PLAN, history, SMALL, crew, lambda *each: told.append(each))
    done = [each for each, _, _ in told]
    assert done == sorted(done)
    assert {total for _, total, _ in told} == {SMALL.trials} == {done[-1]}
    words = list(dict.fromkeys(each for _, _, each in told))
    assert words[0] == "searching, fold 1 of 3"
    assert words[-1] in ("trying the neighbors", "repeating by the exact backtest")


# -- what comes of it ----------------------------------------------------------------------


def test_a_plain_edge_is_proposed_with_its_evidence(
    plain: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeated: list[tuple[Any, int]] = []

    def run(plan: Plan, candles: History) -> Outcome:
        repeated.append((plan.strategy.params, candles.end))
        return exact_run(plan, candles)

    exact_run = exact.run
    monkeypatch.setattr(exact, "run", run)
    found = studied(plain, PLAIN, TREND)
    present = TREND.strategy.params._asdict()
    assert set(found.values) <= set(PLAIN.names)
    assert all(present[name] != value for name, value in found.values.items())
    tuned = TREND.strategy.tuned(found.values)
    [(params, end)] = repeated
    assert params == tuned.params
    made_ = found.evidence
    assert made_ is not None
    assert end == made_.end == T0 + 730 * DAY_MS
    assert (made_.folds, made_.trials, made_.digest[:16]) == (3, PLAIN.trials, plain.digest)
    assert made_.days == 3 * 146
    assert made_.start == made_.end - 3 * 146 * DAY_MS
    assert made_.after.sharpe > made_.before.sharpe + 0.3
    assert made_.deflated > 0.95
    assert len(made_.before_curve) == len(made_.after_curve) == CURVE_POINTS
    assert made_.after_curve[-1].worth == pytest.approx(1.0 + made_.after.total_return)
    assert f"Sharpe ratio of {made_.after.sharpe:.2f}" in found.verdict


def test_nothing_is_proposed_where_the_exact_backtest_disagrees(
    plain: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact_run = exact.run
    monkeypatch.setattr(
        exact, "run", lambda plan, candles: exact_run(replace(plan, slippage=0.01), candles)
    )
    found = studied(plain, PLAIN, TREND)
    assert found.values == {}
    assert found.verdict.startswith("The exact backtest gives")


def test_values_in_force_that_are_the_best_stay(plain: History) -> None:
    limits = {"fast": (12.0, 12.0), "slow": (26.0, 26.0)}
    found = studied(plain, replace(SMALL, limits=limits))
    assert found.values == {}
    assert found.trials == 1
    assert found.verdict == "Nothing better was found: of 1 set the values in force are the best."


def test_symbols_are_searched_over_the_time_they_share(plain: History) -> None:
    younger = drifting(9, 2.0, hours=500.0, drift=0.12).columns["ETHUSDT"]
    kept = younger.ts >= T0 + 200 * DAY_MS
    columns = {
        "ETHUSDT": plain.columns["ETHUSDT"],
        "BTCUSDT": Columns(*(column[kept] for column in younger)),
    }
    rates = dict.fromkeys(columns, plain.rates["ETHUSDT"])
    both = made(HOUR_MS, columns, rates, plain.instruments)
    found = studied(both, SMALL)
    assert found.evidence is not None
    assert found.evidence.days == 3 * 106


# -- bad input ---------------------------------------------------------------------------


def test_too_few_candles_say_how_many_it_takes(history: History) -> None:
    """Averages of up to 275 bars warm up in 12 days; each of two tests lasts 4 days or more, the
    first training twice as long."""
    few = history.within(T0, T0 + 20 * DAY_MS)
    with pytest.raises(BadInput) as error:
        studied(few, replace(SMALL, folds=2))
    assert "candles: '480 bars of 1h'" in str(error.value)
    assert "at least 672 bars of 1h (28 whole days)" in str(error.value)
    assert studied(history.within(T0, T0 + 28 * DAY_MS), replace(SMALL, folds=2)).values == {}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (Search(trials=0), "trials: 0 is not valid"),
        (Search(folds=0), "folds: 0 is not valid"),
        (Search(names=("depth",)), "tune: 'depth' is not valid. Allowed: fast, slow"),
    ],
)
def test_bad_input_is_named(history: History, search: Search, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        studied(history, search)


def test_a_strategy_without_numbers_of_its_own_is_named(history: History) -> None:
    bare = replace(STRATEGIES["macross"], parameters=())
    with pytest.raises(BadInput, match="tune: 'macross'"):
        studied(history, plan=Plan(bare))


def own(folder: Path, text: str) -> tuple[Plan, Path]:
    """A strategy of the user's own, from a file with that text."""
    path = folder / "dip.py"
    path.write_text(text)
    return Plan(load_own(folder).strategies["dip"]), path


def test_a_strategy_of_ones_own_is_searched_too(history: History, tmp_path: Path) -> None:
    plan, path = own(tmp_path, EXAMPLE.read_text())
    with closing(Threads()) as crew:
        found = study(plan, history, replace(SMALL, folds=1), crew, source=path)
    assert found.trials == SMALL.trials
    assert found.verdict


def test_a_step_that_does_not_compile_can_not_be_searched(history: History, tmp_path: Path) -> None:
    slow = EXAMPLE.read_text().replace(
        "    trend = ema(", '    assert f"{bar.close:.2f}"\n    trend = ema('
    )
    plan, path = own(tmp_path, slow)
    with closing(Threads()) as crew, pytest.raises(BadInput) as error:
        study(plan, history, SMALL, crew, source=path)
    said = "strategy: 'dip' is not valid. Allowed: a step that compiles; dip.py, line"
    assert said in str(error.value)
