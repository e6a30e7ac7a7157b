"""Walk-forward: parameters are searched on one stretch, and tried on the next, unseen one.

The search is a grid where all combinations are few enough, else random, from a seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple

from engine.backtest.history import History
from engine.backtest.plan import Outcome, Plan
from engine.backtest.serial import report_of
from engine.candle import DAY_MS
from engine.errors import BadInput
from engine.market.candle_file import utc
from engine.metrics import Mark, Report, Trials
from engine.tunable import Parameter
from engine.walkforward import Fold, FoldResult, WalkForward, folds, walk_forward

TRIALS = 60
TRIALS_MAX = 10_000
GOAL = "sharpe"

Run = Callable[[Plan, History], Outcome]
Values = Mapping[str, float]


class Search(NamedTuple):
    """What is tried on each training: how many sets, of which parameters, toward which metric.

    No `names` are all parameters of the strategy's own.
    """

    trials: int = TRIALS
    names: tuple[str, ...] = ()
    goal: str = GOAL
    seed: int = 0


def walk(run: Run, plan: Plan, history: History, count: int, search: Search) -> WalkForward:
    """Cut the history into `count` folds, pick parameters in each, and sum up what they did.

    `run` is a backtest. Raises BadInput for folds that leave too little time, for a parameter
    that is not there, and where no set of parameters can run on a training.
    """
    tuned = searched(plan, search)
    tried = [
        _fold(run, plan, history, fold, tuned, search._replace(seed=search.seed + number))
        for number, fold in enumerate(folds(_day(history.start), history.end, count))
    ]
    bounds = {each.name: (each.low, each.high) for each in tuned}
    return walk_forward(tried, bounds)


def _day(ts: int) -> int:
    """The first midnight from `ts` on: folds are cut in whole days."""
    return -(-ts // DAY_MS) * DAY_MS


def searched(plan: Plan, search: Search) -> list[Parameter]:
    """The parameters that are varied; raises BadInput for one that is not there."""
    if not 1 <= search.trials <= TRIALS_MAX:
        raise BadInput("trials", search.trials, f"1 to {TRIALS_MAX:,}")
    known = plan.strategy.tunable
    for name in search.names:
        if name not in known:
            raise BadInput("tune", name, ", ".join(known))
    names = search.names or tuple(each.name for each in plan.strategy.parameters)
    if not names:
        raise BadInput("tune", plan.strategy.name, f"one of {', '.join(known)}")
    return [known[name] for name in names]


def _fold(
    run: Run,
    plan: Plan,
    history: History,
    fold: Fold,
    tuned: Sequence[Parameter],
    search: Search,
) -> FoldResult:
    best: tuple[float, Values, Outcome] | None = None
    ratios: list[float] = []
    refused: BadInput | None = None
    for values in candidates(tuned, current(plan, tuned), search):
        try:
            outcome = stretch(run, _tuned(plan, values), history, fold.train_start, fold.train_end)
        except BadInput as error:
            refused = error
            continue
        report = report_of(outcome)
        ratios += [each for each in [report["sharpe"].value] if each is not None]
        score = _score(report, search.goal)
        if best is None or score > best[0]:
            best = score, values, outcome
    if best is None:
        assert refused is not None
        raise refused
    _, values, seen = best
    unseen = stretch(run, _tuned(plan, values), history, fold.test_start, fold.test_end)
    return FoldResult(fold, values, report_of(seen, Trials.of(ratios)), report_of(unseen))


def _score(report: Report, goal: str) -> float:
    """How good a set is; one whose figure is not defined is worse than any other."""
    value = report[goal].value
    return float("-inf") if value is None else value


def _tuned(plan: Plan, values: Values) -> Plan:
    return replace(plan, strategy=plan.strategy.tuned(values))


def current(plan: Plan, tuned: Sequence[Parameter]) -> Values:
    """The values in force of the strategy's own parameters among those that are varied."""
    own = plan.strategy.params._asdict()
    return {each.name: own[each.name] for each in tuned if each.name in own}


def candidates(tuned: Sequence[Parameter], first: Values, search: Search) -> Iterator[Values]:
    """The sets to try: what is in force, then the whole grid, or as many random ones."""
    if len(first) == len(tuned):
        yield first
    if prod(_steps(each) for each in tuned) <= search.trials:
        axes = [[_at(each, step) for step in range(_steps(each))] for each in tuned]
        yield from (
            {each.name: value for each, value in zip(tuned, values, strict=True)}
            for values in product(*axes)
        )
        return
    chance = Random(search.seed)
    for _ in range(search.trials):
        yield {each.name: _at(each, chance.randrange(_steps(each))) for each in tuned}


def _steps(parameter: Parameter) -> int:
    """How many values it may take."""
    return round((parameter.high - parameter.low) / parameter.step) + 1


def _at(parameter: Parameter, step: int) -> float:
    return min(parameter.low + step * parameter.step, parameter.high)


def stretch(run: Run, plan: Plan, history: History, start: int, end: int) -> Outcome:
    """A backtest of the time from `start` to `end`, with as many bars before it as warm-up takes.

    Nothing is entered in warm-up, so its marks are cut off and the account begins at `start`.
    """
    warm_up = plan.strategy.bars_needed * plan.strategy.timeframe
    cut = history.within(start - warm_up, end)
    if not cut.columns:
        raise BadInput("folds", f"no candle from {utc(start)} to {utc(end)}", "time with candles")
    outcome = run(plan, cut)
    if outcome.start >= start:
        return outcome
    marks = (Mark(start, plan.deposit), *(mark for mark in outcome.marks if mark.ts > start))
    prices = {
        symbol: _ends(history, symbol, start, end) or ends
        for symbol, ends in outcome.prices.items()
    }
    return replace(outcome, start=start, marks=marks, prices=prices)


def _ends(history: History, symbol: str, start: int, end: int) -> tuple[float, float] | None:
    """The first and the last price of a symbol within a stretch."""
    cut = history.within(start, end).columns.get(symbol)
    return None if cut is None else (float(cut.open[0]), float(cut.close[-1]))
