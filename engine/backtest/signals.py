"""A strategy's signals over all its bars: the step function in one compiled loop.

Signals do not depend on positions, so they are found first and traded after.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.backtest.compiled import bound, cached, is_kept
from engine.backtest.feed import Feed, Indexes
from engine.candle import FUNDING_EVERY_MS
from engine.columns import Floats, Times
from engine.strategies.kernel import SIGNAL_REVERSAL, Bar, Signal, Strategy
from engine.strategies.pipeline import UNHEARD, Pipeline, hear, passes

# The columns of an entry: the index of its bar, and what the signal said.
ENTRY_FIELDS = 8
BAR, SIDE, REASON, CONFIDENCE, STOP, TARGET, TRAIL, PRICE = range(ENTRY_FIELDS)
# An exit is one byte: whom it asks to leave, and the index of the reason above that.
LONGS_LEAVE = 1
SHORTS_LEAVE = 2
REASON_SHIFT = 2


class Signals(NamedTuple):
    """`exits` is a byte a bar; `entries` a row of ENTRY_FIELDS for each signal to enter that the
    strategy's own pipeline lets pass."""

    exits: NDArray[np.uint8]
    entries: Floats


def signals(strategy: Strategy, feed: Feed, interval: int, source: Path | None = None) -> Signals:
    """Run a strategy over its bars. `source` is the file of one that is not the program's own."""
    state, window = strategy.start(strategy.params)
    exits = np.zeros(len(feed.bars.ts), np.uint8)
    # As many as there can be: what is never written takes no memory.
    entries = np.empty((len(feed.bars.ts), ENTRY_FIELDS))
    loop = compiled_loop(strategy.name, strategy.step, source)
    count = loop(
        *feed.bars,
        feed.candles.ts,
        feed.completed_by,
        interval,
        feed.rates,
        feed.first_stamp,
        *feed.higher[1:],
        feed.higher_at,
        feed.higher_is_new,
        strategy.params,
        state,
        np.array(window, dtype=np.float64),
        strategy.pipeline,
        strategy.bars_needed,
        exits,
        entries,
    )
    return Signals(exits, entries[:count])


@lru_cache(maxsize=64)
def compiled_loop(name: str, step: Callable[..., Any], source: Path | None) -> Any:
    """The loop over one strategy's step, compiled when it is first called."""
    return cached(*_kernel(name, step, source))


def is_compiled(strategy: Strategy, source: Path | None) -> bool:
    """Whether the loop over a strategy's step is kept on disk, so that nothing is to compile."""
    return is_kept(*_kernel(strategy.name, strategy.step, source))


def _kernel(
    name: str, step: Callable[..., Any], source: Path | None
) -> tuple[FunctionType, str, tuple[Path, ...]]:
    sources = () if source is None else (source,)
    return bound(_loop, step=step), f"signals-{name}", sources


step: Callable[[Any, Any, Any, Bar], tuple[Any, Signal]]
"""Bound to each strategy's own before the loop is compiled."""


def _loop(
    ts: Times,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    candles: Times,
    completed_by: Indexes,
    interval: int,
    rates: Floats,
    first_stamp: int,
    higher_open: Floats,
    higher_high: Floats,
    higher_low: Floats,
    higher_close: Floats,
    higher_volume: Floats,
    higher_at: Indexes,
    higher_is_new: NDArray[np.uint8],
    params: Any,
    state: Any,
    window: Floats,
    pipeline: Pipeline,
    needed: int,
    exits: NDArray[np.uint8],
    entries: Floats,
) -> int:
    count = 0
    heard = UNHEARD
    has_higher = higher_close.size > 0
    for i in range(ts.size):
        closed = candles[completed_by[i]] + interval
        funding = rates[(closed - first_stamp) // FUNDING_EVERY_MS]
        bar = Bar(
            ts[i], open_[i], high[i], low[i], close[i], volume[i], funding,
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        )  # fmt: skip
        if has_higher and higher_at[i] >= 0:
            at = higher_at[i]
            bar = Bar(
                ts[i], open_[i], high[i], low[i], close[i], volume[i], funding,
                float(higher_is_new[i]), higher_open[at], higher_high[at], higher_low[at],
                higher_close[at], higher_volume[at],
            )  # fmt: skip
        state, signal = step(params, state, window, bar)  # noqa: F821  bound below
        if signal.exit_long != 0.0 or signal.exit_short != 0.0:
            leaving = int(signal.exit_long != 0.0) | int(signal.exit_short != 0.0) << 1
            reason = SIGNAL_REVERSAL if signal.entry != 0.0 else signal.reason
            exits[i] = leaving | int(reason) << REASON_SHIFT
        if signal.entry != 0.0:
            heard = hear(pipeline, heard, float(closed), signal.entry, signal.confidence)
            warm = i + 1 >= needed
            if warm and passes(pipeline, heard, float(closed), signal.confidence):
                entries[count, BAR] = i
                entries[count, SIDE] = signal.entry
                entries[count, REASON] = signal.reason
                entries[count, CONFIDENCE] = signal.confidence
                entries[count, STOP] = signal.stop
                entries[count, TARGET] = signal.target
                entries[count, TRAIL] = signal.trail
                entries[count, PRICE] = close[i]
                count += 1
    return count
