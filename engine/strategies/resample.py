"""Longer bars inside a kernel, for strategies that look at more than their higher timeframe.

A longer bar is complete with its last shorter one, or, where that is missing, with the first one
after its end; nothing is filled in. How long the shorter bars are is the least distance seen
between two, so that the second bar is the first to be known whole.
"""

from typing import NamedTuple

from engine.strategies.kernel import Bar


class Spacing(NamedTuple):
    """The open of the last bar and the length of a bar, in ms; 0 while unknown."""

    ts: float = 0.0
    length: float = 0.0


def spaced(state: Spacing, ts: float) -> Spacing:
    if state.ts == 0.0:
        return Spacing(ts, 0.0)
    apart = ts - state.ts
    return Spacing(ts, apart if state.length == 0.0 else min(state.length, apart))


class Longer(NamedTuple):
    """A longer bar that grows; `start` is its open in ms, 0 while there is none."""

    start: float = 0.0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0


NONE = Longer()


def begins_after(longer: Longer, ts: float, length: float) -> bool:
    """Whether a bar that opens at `ts` lies beyond a longer one that still waits for its end."""
    return longer.start > 0.0 and ts - ts % length != longer.start


def extended(longer: Longer, bar: Bar, ts: float, length: float) -> Longer:
    """The longer bar of `length` ms with a shorter one in it."""
    if longer.start == 0.0:
        return Longer(ts - ts % length, bar.open, bar.high, bar.low, bar.close, bar.volume)
    return Longer(
        longer.start,
        longer.open,
        max(longer.high, bar.high),
        min(longer.low, bar.low),
        bar.close,
        longer.volume + bar.volume,
    )


def is_complete(longer: Longer, spacing: Spacing, length: float) -> bool:
    """Whether the last bar ends where the longer one does, or beyond it."""
    return spacing.ts + spacing.length >= longer.start + length
