"""Walk-forward: parameters are picked on one stretch of time and tried on the next, unseen one.

Arithmetic only: it cuts time into folds and sums up the reports of backtests made elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, prod
from typing import NamedTuple

from engine.candle import DAY_MS
from engine.errors import BadInput
from engine.metrics.facts import Metric, Unit, known, too_few, undefined
from engine.metrics.moments import mean
from engine.metrics.report import Report

# The share of a fold that parameters are picked on.
IN_SHARE = 0.8
FOLDS_MAX = 100
# A share such as 0.8 has no exact float: a length that comes out just below a whole is whole.
ROUNDING = 1e-9

# What training must earn a day for a share of it to mean anything: 3.7 % a year.
TRAINED_MIN = 0.0001

NO_RESULT = "no fold has a result"


class Fold(NamedTuple):
    """Two stretches of time, each with its start and without its end, in UTC ms."""

    train_start: int
    train_end: int
    test_start: int
    test_end: int


class FoldResult(NamedTuple):
    """What a fold has shown: the parameters picked in it, and their reports on both stretches."""

    fold: Fold
    parameters: Mapping[str, float]
    in_sample: Report
    out_of_sample: Report


def folds(
    start: int,
    end: int,
    count: int,
    *,
    in_share: float = IN_SHARE,
    purge: int = 0,
    anchored: bool = False,
    grid: int = DAY_MS,
) -> list[Fold]:
    """Cut a range of time into `count` folds whose tests are equally long and end at `end`.

    A test begins where the one before ended. Its training lasts `in_share` of the two together
    and ends `purge` ms before it, so that no trade reaches from one into the other; `anchored`
    training begins at `start` in every fold and grows. Lengths are multiples of `grid` ms. What
    is left over lies before the first fold, or in its training where that is anchored.
    Raises BadInput for what leaves no time to train or to test.
    """
    test, train = _lengths(end - start, count, in_share, purge, grid)
    cut = []
    for test_end in range(end - (count - 1) * test, end + 1, test):
        train_end = test_end - test - purge
        train_start = start if anchored else train_end - train
        cut.append(Fold(train_start, train_end, train_end + purge, test_end))
    return cut


def _lengths(span: int, count: int, in_share: float, purge: int, grid: int) -> tuple[int, int]:
    """How long a test and its (shortest) training are, in ms."""
    if not 1 <= count <= FOLDS_MAX:
        raise BadInput("folds", count, f"1 to {FOLDS_MAX}")
    if not 0.0 < in_share < 1.0:
        raise BadInput("in_share", in_share, "between 0 and 1")
    if purge < 0:
        raise BadInput("purge", purge, "0 or more ms")
    ratio = in_share / (1.0 - in_share)
    test = floor((span - purge) / (ratio + count) / grid + ROUNDING) * grid
    train = floor(test * ratio / grid + ROUNDING) * grid
    if test < grid or train < grid:
        raise BadInput("folds", count, "so few that training and test each last a day or a bar")
    return test, train


@dataclass(frozen=True, slots=True)
class WalkForward:
    """All folds together.

    `efficiency` is what unseen time earned a day over what training earned a day (Pardo's
    ratio; the year cancels out), `profitable` the share of folds that earned anything unseen,
    `total_return` that of all tests one after the other, and `spread` for each parameter the
    distance between the lowest and the highest choice as a fraction of its allowed range:
    0 is always the same, 1 is anything.
    """

    outcomes: tuple[FoldResult, ...]
    efficiency: Metric
    profitable: Metric
    total_return: Metric
    spread: Mapping[str, Metric]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "folds": [_outcome_dict(outcome) for outcome in self.outcomes],
            "efficiency": self.efficiency.as_dict(),
            "profitable": self.profitable.as_dict(),
            "total_return": self.total_return.as_dict(),
            "spread": {name: metric.as_dict() for name, metric in self.spread.items()},
        }


def _outcome_dict(outcome: FoldResult) -> dict[str, object]:
    return {
        **outcome.fold._asdict(),
        "parameters": dict(outcome.parameters),
        "in_sample": outcome.in_sample.as_dict(),
        "out_of_sample": outcome.out_of_sample.as_dict(),
        "efficiency": efficiency([outcome]).as_dict(),
    }


def walk_forward(
    outcomes: Sequence[FoldResult], bounds: Mapping[str, tuple[float, float]]
) -> WalkForward:
    """Sum up the folds; `bounds` holds the lowest and highest allowed value of each parameter."""
    figures = [outcome.out_of_sample["return"].value for outcome in outcomes]
    returns = [value for value in figures if value is not None]
    return WalkForward(
        outcomes=tuple(outcomes),
        efficiency=efficiency(outcomes),
        profitable=_profitable(returns),
        total_return=_total(returns),
        spread={
            name: spread([outcome.parameters[name] for outcome in outcomes], *limits)
            for name, limits in bounds.items()
        },
    )


def _profitable(returns: Sequence[float]) -> Metric:
    if not returns:
        return _fraction(undefined(NO_RESULT))
    return _fraction(known(sum(value > 0.0 for value in returns) / len(returns), len(returns)))


def _total(returns: Sequence[float]) -> Metric:
    if not returns:
        return _fraction(undefined(NO_RESULT))
    return _fraction(known(prod(1.0 + value for value in returns) - 1.0, len(returns)))


def efficiency(outcomes: Sequence[FoldResult]) -> Metric:
    """Mean return a day out of sample over that in sample, of the folds that have both.

    Undefined where training earned less than TRAINED_MIN a day: over next to nothing any result
    is a huge multiple, and over a loss the sign turns round.
    """
    pairs = [
        (seen, unseen)
        for outcome in outcomes
        if (seen := _return_a_day(outcome.in_sample)) is not None
        and (unseen := _return_a_day(outcome.out_of_sample)) is not None
    ]
    if not pairs:
        return undefined(NO_RESULT)
    trained, tested = (mean(column) for column in zip(*pairs, strict=True))
    if trained < TRAINED_MIN:
        return undefined(f"training earned less than {TRAINED_MIN:.2%} a day", len(pairs))
    return known(tested / trained, len(pairs))


def _return_a_day(report: Report) -> float | None:
    start, end, earned = (report[key].value for key in ("start", "end", "return"))
    if start is None or end is None or earned is None or end <= start:
        return None
    return earned * DAY_MS / (end - start)


def spread(values: Sequence[float], low: float, high: float) -> Metric:
    """How far apart the chosen values of a parameter are, as a fraction of its range."""
    if len(values) < 2:
        return _fraction(too_few(2, len(values), "fold"))
    if high <= low:
        return _fraction(undefined("there is one allowed value", len(values)))
    return _fraction(known((max(values) - min(values)) / (high - low), len(values)))


def _fraction(metric: Metric) -> Metric:
    return metric._replace(unit=Unit.FRACTION)
