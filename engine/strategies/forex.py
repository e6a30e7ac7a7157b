"""What the rules from the currency market share: the pip, the size, two signals, and a session.

A pip is 1/10,000 of the price on any instrument: a stop of 20 pips is the fraction 0.0020.
Hours are those of the UTC day in summer and winter.
"""

from typing import NamedTuple

from engine.candle import DAY_MS, HOUR_MS, TIMEFRAMES
from engine.strategies.kernel import LONG_ENTRY, SHORT_ENTRY, Condition, Signal
from engine.strategies.sizing import Sizing

# The same share of the account on every instrument; these rules say nothing of size.
SIZING = Sizing(margin=0.02, margin_cap=0.02, leverage=3)

# An entry ends what is held on the other side.
BUY = Signal(1.0, 0.0, 1.0, LONG_ENTRY, 1.0, 0.0, 0.0, 0.0)
SELL = Signal(-1.0, 1.0, 0.0, SHORT_ENTRY, 1.0, 0.0, 0.0, 0.0)

SESSION_TIMEFRAME = TIMEFRAMES["5m"]
BARS_AN_HOUR = HOUR_MS / SESSION_TIMEFRAME


class Session(NamedTuple):
    """What is known of today's session: the day (since 1970), how many of its bars there were,
    and their highest and lowest price."""

    day: float = 0.0
    bars: float = 0.0
    high: float = 0.0
    low: float = 0.0


def hour_of(ts: int) -> float:
    """The hour of the UTC day, half past nine as 9.5."""
    return (ts % DAY_MS) / HOUR_MS


def session(state: Session, ts: int, high: float, low: float, start: float, end: float) -> Session:
    """The session after a bar that opened at `ts`; it lasts from hour `start` until before `end`
    and begins anew each UTC day."""
    day = float(ts // DAY_MS)
    before = state if day == state.day else Session(day, 0.0, 0.0, 0.0)
    hour = hour_of(ts)
    if hour < start or hour >= end:
        return before
    if before.bars == 0.0:
        return Session(day, 1.0, high, low)
    return Session(day, before.bars + 1.0, max(before.high, high), min(before.low, low))


def session_bars(start: float, end: float) -> float:
    """How many bars a whole session has."""
    return max(end - start, 0.0) * BARS_AN_HOUR


def is_range(today: Session, width: float, start: float, end: float) -> bool:
    """Whether a session is whole, no bar missing, and at least `width` (in price) high."""
    return today.bars == session_bars(start, end) and today.high - today.low >= width


def range_conditions(
    today: Session, close: float, range_min: float, start: float, end: float
) -> list[Condition]:
    """What `is_range` asks for, in words; `range_min` is a fraction of the close."""
    whole = session_bars(start, end)
    least = range_min * close
    return [
        Condition(
            f"range of {start:02.0f}:00 to {end:02.0f}:00 UTC is whole",
            today.bars == whole,
            f"{today.bars:.0f} of {whole:.0f} bars",
        ),
        Condition(
            f"range of {range_min:.2%} or more",
            today.high - today.low >= least,
            f"{today.high - today.low:.6g}, needs {least:.6g}",
        ),
    ]
