"""What may be expected of the next trades, by resampling those that were seen."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from engine.errors import BadInput
from engine.metrics.moments import mean, quantile
from engine.metrics.montecarlo import futures
from engine.tuning import Band

# Fewer say too little of what is usual.
TRADES_MIN = 10
# Trades that are looked ahead; a watch that saw so many is over.
HORIZON = 30
PATHS = 400
# The share of futures that are left out on either side.
TAIL = 0.05


def band_of(returns: Sequence[float], seed: int = 0) -> Band:
    """The band that the next trades keep to, where they are like those of the past.

    `returns` are net results as fractions of equity, oldest first. The futures are of HORIZON
    trades. All bounds of a side together, not each alone, are left at any time by TAIL of the
    futures: whoever compares after every trade is alarmed falsely no more often than that.
    `drawdown` is exceeded by TAIL of them, and never less than a usual trade, since positions that
    are open are held against it. Raises BadInput for fewer than TRADES_MIN trades.
    """
    if len(returns) < TRADES_MIN:
        raise BadInput("trades", len(returns), f"at least {TRADES_MIN}")
    paths = futures(returns, steps=HORIZON, runs=PATHS, seed=seed)
    usual = mean([abs(each) for each in returns])
    mirrored = _floor([[-each for each in path] for path in paths])
    return Band(
        lows=_floor(paths),
        highs=tuple(-each for each in mirrored),
        drawdown=max(quantile(sorted(map(_deepest, paths)), 1.0 - TAIL), usual),
    )


def _floor(paths: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Bounds below which no more than TAIL of the paths ever come: at each step the same rank, the
    highest that so many keep to."""
    columns = [sorted(column) for column in zip(*paths, strict=True)]
    ranks = sorted(
        min(bisect_right(column, each) for column, each in zip(columns, path, strict=True))
        for path in paths
    )
    kept = ranks[int(TAIL * len(paths))] - 1
    return tuple(column[kept] for column in columns)


def _deepest(path: Sequence[float]) -> float:
    """The greatest fall of a sum from its peak, which begins at 0."""
    peaks = accumulate(path, max, initial=0.0)
    return max(0.0, *(peak - each for peak, each in zip(peaks, path, strict=False)))
