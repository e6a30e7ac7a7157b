"""How far and how long equity was below its peak, on every mark there is."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import sqrt
from typing import NamedTuple

from engine.metrics.facts import Mark, Metric, known, undefined
from engine.metrics.moments import mean


class Drawdown(NamedTuple):
    """The deepest fall from a peak, as a fraction of the peak; times are UTC ms.

    `recovery` is the first mark that is back at the peak, None where none is. Where equity
    never fell, depth is 0 and the other times are None.
    """

    depth: float
    peak: int | None
    trough: int | None
    recovery: int | None


def depths(equity: Sequence[float]) -> list[float]:
    """How far each is below the highest so far, as a fraction of it; the first is above zero."""
    peaks = accumulate(equity, max)
    return [1.0 - value / peak for value, peak in zip(equity, peaks, strict=True)]


def deepest(marks: Sequence[Mark]) -> Drawdown:
    """The deepest drawdown, the first of equals, of marks whose first is above zero."""
    below = depths([mark.equity for mark in marks])
    depth = max(below)
    if depth <= 0.0:
        return Drawdown(0.0, None, None, None)
    trough = below.index(depth)
    peak = _peaks(marks)[trough]
    back = (mark.ts for mark in marks[trough:] if mark.equity >= peak.equity)
    return Drawdown(depth, peak.ts, marks[trough].ts, next(back, None))


def deepest_money(marks: Sequence[Mark]) -> float:
    """The greatest fall from a peak in money, which need not be the deepest as a fraction."""
    peaks = _peaks(marks)
    return max(peak.equity - mark.equity for peak, mark in zip(peaks, marks, strict=True))


def longest_underwater(marks: Sequence[Mark]) -> int:
    """The longest time in ms from a peak until equity was back there, or until the last mark."""
    stretches = (
        after.ts - peak.ts
        for peak, (before, after) in zip(_peaks(marks), pairwise(marks), strict=False)
        if min(before.equity, after.equity) < peak.equity
    )
    return max(stretches, default=0)


def ulcer_index(marks: Sequence[Mark]) -> float:
    """The root of the mean square of all drawdowns (Martin, 1987), as a fraction."""
    return sqrt(mean([depth * depth for depth in depths([mark.equity for mark in marks])]))


def _peaks(marks: Sequence[Mark]) -> list[Mark]:
    """For each mark the last one, up to it, at which equity was highest."""
    return list(accumulate(marks, _higher))


def _higher(peak: Mark, mark: Mark) -> Mark:
    return mark if mark.equity >= peak.equity else peak


def drawdown_figures(marks: Sequence[Mark]) -> dict[str, Metric]:
    """The figures of a report, of at least two marks whose first is above zero."""
    n = len(marks)
    fall = deepest(marks)
    never = undefined("equity never fell", n)
    recovery = never if fall.peak is None else undefined("not recovered yet", n)
    return {
        "max_drawdown": known(fall.depth, n),
        "max_drawdown_money": known(deepest_money(marks), n),
        "drawdown_peak": never if fall.peak is None else known(fall.peak, n),
        "drawdown_trough": never if fall.trough is None else known(fall.trough, n),
        "drawdown_recovery": recovery if fall.recovery is None else known(fall.recovery, n),
        "longest_underwater": known(longest_underwater(marks), n),
        "ulcer_index": known(ulcer_index(marks), n),
    }
