"""What the compiled loops run over: a symbol's candles, and the bars a strategy makes of them."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.backtest.compiled import cached
from engine.candle import FUNDING_EVERY_MS
from engine.columns import Columns, Floats, Rates, Times, no_columns, take

NO_HIGHER = -1

Indexes = NDArray[np.int64]


class Resampled(NamedTuple):
    """Longer bars, and for each the index of the candle that completed it."""

    bars: Columns
    completed_by: Indexes


class Feed(NamedTuple):
    """One symbol of a backtest.

    `candles` are the market's own, `bars` those of the strategy's timeframe, `completed_by` the
    index of the candle with which each was known. `higher` are the longer bars, `higher_at` is
    for each bar the index of the last of them known by then (-1: none), and `higher_is_new`
    whether it became known with this bar; all are empty for a strategy that sees none. `rates`
    are the funding rates of every settlement from `first_stamp` (UTC ms) on.
    """

    candles: Columns
    bars: Columns
    completed_by: Indexes
    higher: Columns
    higher_at: Indexes
    higher_is_new: NDArray[np.uint8]
    first_stamp: int
    rates: Floats


def feed(
    candles: Columns, rates: Rates, default_rate: float, interval: int, timeframe: int, higher: int
) -> Feed:
    """Prepare one symbol; `interval`, `timeframe` and `higher` (0: none) are lengths in ms."""
    bars, completed_by = resample(candles, interval, timeframe)
    longer, higher_at, is_new = no_columns(), _no_indexes(), np.empty(0, np.uint8)
    if higher:
        longer, longer_known = resample(candles, interval, higher)
        higher_at, is_new = _latest(completed_by, longer_known)
    first_stamp, dense = _dense(candles, rates, default_rate)
    return Feed(candles, bars, completed_by, longer, higher_at, is_new, first_stamp, dense)


def resample(candles: Columns, interval: int, target: int) -> Resampled:
    """The bars of `target` ms that candles of `interval` ms complete.

    The same bars at the same moments as engine.candle.Aggregator: a bar whose end is missing is
    completed by the first candle after it, and nothing is filled in.
    """
    if interval == target:
        return Resampled(candles, np.arange(len(candles.ts)))
    size = len(candles.ts) + 1
    bars = Columns(np.empty(size, np.int64), *(np.empty(size) for _ in range(5)))
    completed_by = np.empty(size, np.int64)
    count = _resampler()(*candles, interval, target, *bars, completed_by)
    return Resampled(take(bars, slice(0, count)), completed_by[:count])


@cache
def _resampler() -> Any:
    return cached(_resample, "resample")


def _resample(
    ts: Times,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    interval: int,
    target: int,
    starts: Times,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    completed_by: Indexes,
) -> int:
    count = 0
    is_open = False
    for i in range(ts.size):
        start = ts[i] - ts[i] % target
        if is_open and starts[count] != start:
            completed_by[count] = i
            count += 1
            is_open = False
        if is_open:
            highs[count] = max(highs[count], high[i])
            lows[count] = min(lows[count], low[i])
            closes[count] = close[i]
            volumes[count] += volume[i]
        else:
            starts[count], is_open = start, True
            opens[count], highs[count], lows[count] = open_[i], high[i], low[i]
            closes[count], volumes[count] = close[i], volume[i]
        if ts[i] + interval == start + target:
            completed_by[count] = i
            count += 1
            is_open = False
    return count


def _latest(bars_known: Indexes, longer_known: Indexes) -> tuple[Indexes, NDArray[np.uint8]]:
    """For each bar the last longer bar known by then, and whether it is news."""
    latest = np.searchsorted(longer_known, bars_known, side="right") - 1
    before = np.concatenate(([NO_HIGHER], latest[:-1]))
    return latest, (latest > before).astype(np.uint8)


def _dense(candles: Columns, rates: Rates, default: float) -> tuple[int, Floats]:
    """Rates of every settlement that the candles can meet; the default where none is known."""
    first = int(candles.ts[0]) // FUNDING_EVERY_MS * FUNDING_EVERY_MS
    last = int(candles.ts[-1]) + FUNDING_EVERY_MS
    dense = np.full((last - first) // FUNDING_EVERY_MS + 2, default)
    at, off = np.divmod(rates.ts - first, FUNDING_EVERY_MS)
    known = (off == 0) & (at >= 0) & (at < len(dense))
    dense[at[known]] = rates.rate[known]
    return first, dense


def _no_indexes() -> Indexes:
    return np.empty(0, np.int64)
