"""The tuner: searches better values for a strategy and says whether they are worth a proposal.

Walk-forward over the candles there are: in each fold a search (Optuna's tree-structured Parzen
estimator) sees the training alone, what it chooses trades the next, unseen stretch, and all unseen
stretches together are the record that counts, beside the values in force over the same time. The
trainings are anchored and grow, so one backtest of a set over all candles holds its figures at the
end of each of them: no rule looks ahead. A search goes on with what the one before it tried and
sees no figure from beyond its own training. The values proposed are those of the last training:
they have at least one stretch behind them that nothing saw.

The same candles, search and seed give the same result on any number of workers: sets are asked
for in batches of a fixed size and told in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from engine.axes import Axes, Limits, Places, axes_of
from engine.backtest import exact, fast, speed
from engine.backtest.history import History, check
from engine.backtest.plan import Plan
from engine.backtest.sweep import KnownSignals, Summary, summary_until
from engine.backtest.walk import TRIALS_MAX
from engine.candle import DAY_MS, timeframe_name
from engine.errors import BadInput
from engine.expectation import TRADES_MIN as EXPECTED_MIN
from engine.outofsample import (
    Record,
    Stretch,
    Values,
    deflated,
    evidence,
    recorded,
    surer,
)
from engine.spread import Crew, Grounds, Lost
from engine.tuning import Evidence, Figures
from engine.verdict import TRADES_MIN, Proof, disagreement, proposed, verdict
from engine.walkforward import Fold, folds

TRIALS = 120
FOLDS = 4
# Of the first training and its test; with four folds two thirds of all time are unseen by then.
TRAINED_SHARE = 2 / 3
# The first search begins from nothing and gets this share of all trials.
FIRST_SHARE = 0.5
# Sets that are asked for before any of them is told: as many workers can help.
BATCH = 12
# Random sets before the sampler follows what it saw.
STARTUP = 24
# A sampler that keeps asking for what is known has seen it all.
ASKS_PER_TRIAL = 4
# The shortest test of a fold.
TEST_DAYS_MIN = 4
# What a set loses of its Sharpe ratio that closes no trade; in part where it closes too few.
TOO_SELDOM = 2.0
# The score of a set that nothing is known of: no trade at all, or it can't run.
NO_SCORE = -10.0

Tell = Callable[[int, int, str], None]
"""Told sets done, sets in all, and what is being done."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is tried: so many sets over so many folds, of which parameters, between which values.

    No `names` are the strategy's own numbers. `limits` are the lowest and highest value by name;
    where there are none a value is searched as far as it may come within a day.
    """

    trials: int = TRIALS
    folds: int = FOLDS
    seed: int = 0
    names: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What a study came to. `values` are proposed, those alone that change; empty where nothing
    is. `verdict` says in a sentence what or why not. `lost` trials went down with their worker.
    """

    values: Mapping[str, float]
    verdict: str
    evidence: Evidence | None
    trials: int
    lost: int = 0


class Arena:
    """What a worker needs to try values: the plan, the candles, and the ends of the trainings.

    What one worker found of the candles stays with it.
    """

    def __init__(
        self, plan: Plan, history: History, ends: Sequence[int], source: Path | None = None
    ) -> None:
        self.plan = plan
        self.history = history
        self.ends = tuple(ends)
        self.source = source

    def __getstate__(self) -> dict[str, Any]:
        return {name: each for name, each in vars(self).items() if name != "known"}

    @cached_property
    def known(self) -> KnownSignals:
        return KnownSignals(self.history, self.source)


def tried(arena: Arena, values: Values) -> tuple[Summary, ...]:
    """What a set had done by the end of each training."""
    plan = replace(arena.plan, strategy=arena.plan.strategy.tuned(values))
    account = arena.known.account(plan)
    start = arena.history.start
    return tuple(summary_until(account, plan, values, start, end) for end in arena.ends)


def study(
    plan: Plan,
    history: History,
    search: Search,
    crew: Crew,
    tell: Tell = lambda done, total, words: None,
    source: Path | None = None,
) -> Found:
    """Search better values for the plan's strategy, and say whether they are worth a proposal.

    `source` is the file of a strategy that is not the program's own. Raises BadInput for a search
    that can't be made, and for too few candles.
    """
    return _Study(plan, history, search, crew, tell, source).found()


class _Study:
    """One study from its candles to its verdict."""

    def __init__(
        self,
        plan: Plan,
        history: History,
        search: Search,
        crew: Crew,
        tell: Tell,
        source: Path | None,
    ) -> None:
        if not 1 <= search.trials <= TRIALS_MAX:
            raise BadInput("trials", search.trials, f"1 to {TRIALS_MAX:,}")
        self._plan = plan
        self._search = search
        self._crew = crew
        self._tell = tell
        self._source = source
        self._axes = axes_of(plan.strategy, search.names, search.limits)
        self._space: dict[str, BaseDistribution] = {
            axis.name: IntDistribution(0, axis.places - 1) for axis in self._axes
        }
        if source and (fault := speed.compile_fault(plan.strategy, source)):
            raise BadInput("strategy", plan.strategy.name, f"a step that compiles; {fault}")
        self._remarks = check(plan.strategy, history)
        self._folds = _folds(plan, history, search, self._axes)
        first, last = self._folds[0], self._folds[-1]
        self._history = history.within(first.train_start, last.test_end)
        ends = [fold.train_end for fold in self._folds]
        self._grounds = Grounds(Arena(plan, self._history, ends, source))
        # What is known of the sets that were tried, by their places on the axes.
        self._known: dict[Places, tuple[Summary, ...] | Lost] = {}

    def found(self) -> Found:
        """Search, try on unseen time, and judge."""
        chosen = [self._chosen(number) for number in range(len(self._folds))]
        final = chosen[-1]
        before, after = self._records(chosen)
        proof = self._proof(final, before, after)
        why_not = verdict(proof) or disagreement(*self._repeated(final))
        return Found(
            values={} if why_not else self._axes.changes(final),
            verdict=why_not or proposed(proof),
            evidence=self._evidence(before, after, proof),
            trials=proof.trials,
            lost=sum(isinstance(each, Lost) for each in self._known.values()),
        )

    def _proof(self, final: Places, before: Record, after: Record) -> Proof:
        """All that the checks look at.

        What was unseen has not been chosen by and needs no deflating. The final values have been:
        their Sharpe ratio over all candles, most of it from trainings, is set against what the
        luckiest of all trials would have reached on so many days.
        """
        trials = len(self._known)
        return Proof(
            trials=trials,
            changed=final != self._axes.present,
            before=before.figures,
            after=after.figures,
            sure=surer(before.days, after.days),
            deflated=deflated(self._whole(final).days, trials),
            neighbors=self._neighbors(final),
        )

    def _evidence(self, before: Record, after: Record, proof: Proof) -> Evidence | None:
        """The records for people; None where too few trades say what to expect."""
        if len(after.nets) < EXPECTED_MIN:
            return None
        return evidence(
            before,
            after,
            folds=len(self._folds),
            trials=proof.trials,
            sure_of=proof.deflated,
            neighbors=proof.neighbors,
            digest=self._history.digest,
            remarks=(*self._history.remarks, *self._remarks),
            seed=self._search.seed,
        )

    # -- the search ------------------------------------------------------------------------

    def _chosen(self, number: int) -> Places:
        """Search in a fold's training, and what is best there of all sets that were tried."""
        searched = self._begun(number)
        budget = self._budget(number)
        for _ in range(budget * ASKS_PER_TRIAL // BATCH + 1):
            wanted = min(BATCH, budget - len(self._known))
            if wanted > 0:
                self._batch(searched, number, wanted)
        scores = {places: self._score(places, number) for places in self._known}
        return max(scores, key=lambda places: _or_worst(scores[places]))

    def _begun(self, number: int) -> optuna.Study:
        """A search that knows what those before it tried, by its own training."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seed = self._search.seed + number
        sampler = TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)
        searched = optuna.create_study(sampler=sampler, direction="maximize")
        for places in self._known:
            searched.add_trial(self._tried_before(places, number))
        if not self._known:
            searched.enqueue_trial(self._axes.named(self._axes.present))
        return searched

    def _tried_before(self, places: Places, number: int) -> FrozenTrial:
        score = self._score(places, number)
        return create_trial(
            state=TrialState.FAIL if score is None else TrialState.COMPLETE,
            value=score,
            params=self._axes.named(places),
            distributions=self._space,
        )

    def _budget(self, number: int) -> int:
        """How many sets there may be by the end of a fold's search."""
        last = len(self._folds) - 1
        share = FIRST_SHARE + (1.0 - FIRST_SHARE) * number / last if last else 1.0
        return max(round(self._search.trials * share), 1)

    def _batch(self, searched: optuna.Study, number: int, wanted: int) -> None:
        """Ask for some sets, try those that are new, and tell all of them in their order."""
        asked = [searched.ask(self._space) for _ in range(wanted)]
        places = [tuple(each.params[axis.name] for axis in self._axes) for each in asked]
        words = f"searching, fold {number + 1} of {len(self._folds)}"
        known = len(self._known)
        self._try(places, lambda done: self._tell(known + done, self._search.trials, words))
        for trial, each in zip(asked, places, strict=True):
            score = self._score(each, number)
            state = TrialState.FAIL if score is None else TrialState.COMPLETE
            searched.tell(trial, score, state)

    def _try(self, wanted: Sequence[Places], on_done: Callable[[int], None]) -> None:
        """Find out what the sets do that nobody has tried."""
        new = [each for each in dict.fromkeys(wanted) if each not in self._known]
        jobs = [self._axes.values(each) for each in new]
        found = self._crew.do(tried, self._grounds, jobs, on_done)
        self._known |= zip(new, found, strict=True)

    def _score(self, places: Places, number: int) -> float | None:
        """How good a set was in a fold's training; None where its worker died of it.

        It is the Sharpe ratio after costs. A set that trades too seldom to close TRADES_MIN in all
        unseen time loses as much of it as it lacks.
        """
        found = self._known[places]
        if isinstance(found, Lost):
            return None
        seen = found[number]
        if seen.sharpe is None or not self._is_in_order(places):
            return NO_SCORE
        fold = self._folds[number]
        unseen = self._folds[-1].test_end - self._folds[0].test_start
        wanted = TRADES_MIN * (fold.train_end - fold.train_start) / unseen
        return seen.sharpe - TOO_SELDOM * max(1.0 - seen.trades / wanted, 0.0)

    def _is_in_order(self, places: Places) -> bool:
        """Whether every value stays below those it has to: others may not be set."""
        strategy = self._plan.strategy
        values = strategy.params._asdict() | self._axes.values(places)
        return all(values[lower] < values[upper] for lower, upper in strategy.ordered)

    # -- what is chosen, tried ---------------------------------------------------------------

    def _prove(self, words: str) -> None:
        self._tell(self._search.trials, self._search.trials, words)

    def _records(self, chosen: Sequence[Places]) -> tuple[Record, Record]:
        """The values in force and those chosen, each over all unseen stretches."""
        before, after = (
            [
                Stretch(fold.test_start, fold.test_end, self._axes.values(places))
                for fold, places in zip(self._folds, each, strict=True)
            ]
            for each in ([self._axes.present] * len(chosen), chosen)
        )
        self._prove("trying what was chosen")
        run = partial(fast.run, source=self._source)
        old, new = (recorded(self._plan, self._history, each, run) for each in (before, after))
        return old, new

    def _whole(self, places: Places) -> Record:
        """A set over all time there is."""
        first, last = self._folds[0], self._folds[-1]
        whole = [Stretch(first.train_start, last.test_end, self._axes.values(places))]
        return recorded(self._plan, self._history, whole, partial(fast.run, source=self._source))

    def _neighbors(self, final: Places) -> float:
        """The share of the final values' Sharpe ratio in the last training that their neighbors
        reach on average, those one and two steps of the search away in each parameter."""
        around = list(self._axes.around(final))
        self._try(around, lambda done: self._prove("trying the neighbors"))
        own, *others = (self._sharpe(each) for each in (final, *around))
        return fmean(others) / own if others and own > 0.0 else 0.0

    def _sharpe(self, places: Places) -> float:
        found = self._known[places]
        return 0.0 if isinstance(found, Lost) else found[-1].sharpe or 0.0

    def _repeated(self, final: Places) -> tuple[Figures, Figures]:
        """The final values over the unseen time by the fast and by the exact backtest."""
        self._prove("repeating by the exact backtest")
        first, last = self._folds[0], self._folds[-1]
        over = [Stretch(first.test_start, last.test_end, self._axes.values(final))]
        quick = partial(fast.run, source=self._source)
        runs = (recorded(self._plan, self._history, over, run) for run in (quick, exact.run))
        fast_, exact_ = (each.figures for each in runs)
        return fast_, exact_


def _or_worst(score: float | None) -> float:
    return float("-inf") if score is None else score


def _folds(plan: Plan, history: History, search: Search, axes: Axes) -> list[Fold]:
    """The folds, in whole days; raises BadInput where the candles are too few for them."""
    timeframe = plan.strategy.timeframe
    widest = plan.strategy.tuned(axes.widest)
    warm_up = -(-widest.bars_needed * timeframe // DAY_MS) * DAY_MS
    # The time that all symbols have.
    first = max(int(each.ts[0]) for each in history.columns.values())
    last = min(int(each.ts[-1]) for each in history.columns.values()) + history.interval
    start, end = -(-first // DAY_MS) * DAY_MS, last // DAY_MS * DAY_MS
    ratio = TRAINED_SHARE / (1.0 - TRAINED_SHARE)
    needed = warm_up + round((ratio + search.folds) * TEST_DAYS_MIN) * DAY_MS
    if end - start < needed:
        name = timeframe_name(timeframe)
        there = max(end - start, 0) // timeframe
        raise BadInput(
            "candles",
            f"{there:,} bars of {name}",
            f"at least {needed // timeframe:,} bars of {name} ({needed // DAY_MS} whole days)",
        )
    return folds(start, end, search.folds, in_share=TRAINED_SHARE, anchored=True)
