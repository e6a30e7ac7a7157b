"""What values did on candles that nobody had seen when they were picked, and the evidence of it.

A record is made of stretches, each a backtest of its own that begins flat with the same deposit;
one after the other they compound. Sharpe ratios stand on whole UTC days.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

from engine.backtest import fast
from engine.backtest.history import History
from engine.backtest.plan import Outcome, Plan
from engine.backtest.walk import Run, stretch
from engine.candle import DAY_MS
from engine.errors import BadInput
from engine.expectation import band_of
from engine.metrics import Mark, RoundTrip, daily_returns
from engine.metrics.drawdown import deepest
from engine.metrics.returns import Trials, luckiest_sharpe, probabilistic_sharpe, sharpe
from engine.tuning import CURVE_POINTS, Evidence, Figures, Point

Values = Mapping[str, float]

# Of the candles, the share at their end that a change somebody suggests is tried on.
SUGGESTED_SHARE = 1 / 3
NO_NEIGHBORS = "Its neighbors were not tried: the values are not from a search."


class Stretch(NamedTuple):
    """A time from `start` until before `end` (UTC ms) and the values that trade in it."""

    start: int
    end: int
    values: Values


@dataclass(frozen=True)
class Record:
    """What was done over all stretches: equity as a multiple of the first deposit, the return of
    each whole day, and the net result of each trade as a fraction of the equity it found."""

    marks: tuple[Mark, ...]
    days: tuple[float, ...]
    nets: tuple[float, ...]

    @cached_property
    def figures(self) -> Figures:
        return Figures(
            total_return=self.marks[-1].equity - 1.0,
            max_drawdown=deepest(self.marks).depth,
            sharpe=sharpe(self.days).value,
            trades=len(self.nets),
            wins=sum(net > 0.0 for net in self.nets),
        )

    @property
    def curve(self) -> tuple[Point, ...]:
        """The equity in few points, both ends among them."""
        last = len(self.marks) - 1
        points = min(CURVE_POINTS, len(self.marks))
        picked = [self.marks[round(k * last / max(points - 1, 1))] for k in range(points)]
        return tuple(Point(mark.ts, mark.equity) for mark in picked)


def recorded(
    plan: Plan, history: History, stretches: Sequence[Stretch], run: Run = fast.run
) -> Record:
    """Trade each stretch with its values; raises BadInput where one has no candles."""
    marks: list[Mark] = []
    nets: list[float] = []
    worth = 1.0
    for each in stretches:
        tuned = replace(plan, strategy=plan.strategy.tuned(each.values))
        outcome = stretch(run, tuned, history, each.start, each.end)
        marks += [Mark(ts, worth * equity / plan.deposit) for ts, equity in outcome.marks]
        nets += _nets(outcome)
        worth = marks[-1].equity
    return Record(tuple(marks), tuple(daily_returns(marks)), tuple(nets))


def _nets(outcome: Outcome) -> Iterator[float]:
    trips: list[RoundTrip] = sorted(outcome.trips, key=lambda trip: trip.exit_time)
    balances = accumulate((trip.net for trip in trips), initial=outcome.plan.deposit)
    for trip, (before, _) in zip(trips, pairwise(balances), strict=True):
        yield trip.net / before if before > 0.0 else 0.0


def deflated(days: Sequence[float], tried: int) -> float:
    """The probability that the true Sharpe ratio of these daily returns is above zero, where they
    are those of the best of `tried` sets; 0 where it is not defined.

    The deflated Sharpe ratio of Bailey and Lopez de Prado (2014) asks whether a ratio beats the one
    to expect of the luckiest of so many sets without skill. That needs the variance of the ratios
    of sets without skill. Across the sets of a search it is not to be seen: they differ in costs
    and, where there is an edge, in skill, which would hide the edge behind itself. Without skill
    it is the variance of the estimate, 1 / (n - 1) a day (Lo, The Statistics of Sharpe Ratios,
    2002), as if all sets were independent. Sets near one another are not: this is the strict side.
    """
    if len(days) < 2:
        return 0.0
    luck = luckiest_sharpe(Trials(tried, 1.0 / (len(days) - 1))) if tried > 1 else 0.0
    return probabilistic_sharpe(days, luck).value or 0.0


def surer(before: Sequence[float], after: Sequence[float]) -> float:
    """The probability that the days after earn more than those before, pair by pair.

    The probabilistic Sharpe ratio of their differences (Bailey and Lopez de Prado, The Sharpe
    Ratio Efficient Frontier, 2012); 0 where it is not defined.
    """
    pairs = zip(before, after, strict=False)
    return probabilistic_sharpe([new - old for old, new in pairs]).value or 0.0


def evaluate(before: Plan, after: Plan, history: History, seed: int = 0) -> Evidence:
    """What a change that nobody searched for would have done: both plans over the last third.

    Raises BadInput where the strategy of one can't run on so few candles.
    """
    end = history.end // DAY_MS * DAY_MS
    start = end - max(int((end - history.start) * SUGGESTED_SHARE) // DAY_MS, 1) * DAY_MS
    if start < history.start:
        raise BadInput("candles", f"{history.bars} bars", "at least 3 days")
    old, new = (recorded(plan, history, [Stretch(start, end, {})]) for plan in (before, after))
    return evidence(
        old, new, folds=1, trials=1, sure_of=deflated(new.days, 1), neighbors=1.0,
        digest=history.digest, remarks=(*history.remarks, NO_NEIGHBORS), seed=seed,
    )  # fmt: skip


def evidence(
    before: Record,
    after: Record,
    *,
    folds: int,
    trials: int,
    sure_of: float,
    neighbors: float,
    digest: str,
    remarks: tuple[str, ...] = (),
    seed: int = 0,
) -> Evidence:
    """The two records side by side; the study has no number yet."""
    start, end = after.marks[0].ts, after.marks[-1].ts
    return Evidence(
        study=0,
        start=start,
        end=end,
        days=(end - start) / DAY_MS,
        folds=folds,
        trials=trials,
        deflated=sure_of,
        neighbors=neighbors,
        before=before.figures,
        after=after.figures,
        before_curve=before.curve,
        after_curve=after.curve,
        expected=band_of(after.nets, seed),
        digest=digest,
        remarks=remarks,
    )
