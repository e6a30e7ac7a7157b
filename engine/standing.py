"""What is remembered of an account's losses, locks and failures, and how it stands by them.

Nouns and their sums. Money is in quote currency, times are UTC ms of the market.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from engine.candle import DAY_MS
from engine.limits import Ladder, Span, Step
from engine.order import ZERO

WEEK_MS = 7 * DAY_MS
# 1970-01-05, the first Monday of the count.
MONDAY_MS = 4 * DAY_MS
# No month is longer, and with so many days more every moment is in the next one.
MONTH_AND_MORE_MS = 32 * DAY_MS
# Trades that tell how things go lately.
LAST_TRADES = 10
MOMENT = "%Y-%m-%d %H:%M UTC"


def said_time(ts: int) -> str:
    """A moment as people read it: `2026-11-21 18:00 UTC`."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):{MOMENT}}"


def day_of(ts: int) -> int:
    """When the UTC day of a moment began."""
    return ts - ts % DAY_MS


def began(span: Span, ts: int) -> int:
    """When the day, week or month of a moment began; of the peak, the moment itself."""
    match span:
        case Span.DAY:
            return day_of(ts)
        case Span.WEEK:
            return ts - (ts - MONDAY_MS) % WEEK_MS
        case Span.MONTH:
            first = datetime.fromtimestamp(ts / 1000, UTC).replace(day=1)
            return day_of(int(first.timestamp() * 1000))
        case Span.PEAK:
            return ts


@dataclass(frozen=True, slots=True)
class Window:
    """What an account was worth when a day, week or month began, or at its peak, and the step that
    the losses since then led to; a step is never taken back within the window. It holds before
    `until`; one since the peak (0) until there is another peak."""

    began: int
    until: int
    equity: Decimal
    step: Step = Step.FREE

    def change(self, equity: Decimal) -> Decimal:
        """How the worth changed since, as a fraction."""
        return equity / self.equity - 1 if self.equity > 0 else ZERO


def window(span: Span, ts: int, equity: Decimal) -> Window:
    """The window that a moment falls into, as it begins with what the account is worth."""
    start = began(span, ts)
    match span:
        case Span.DAY:
            return Window(start, start + DAY_MS, equity)
        case Span.WEEK:
            return Window(start, start + WEEK_MS, equity)
        case Span.MONTH:
            return Window(start, began(span, start + MONTH_AND_MORE_MS), equity)
        case Span.PEAK:
            return Window(start, 0, equity)


@dataclass(frozen=True, slots=True)
class Lock:
    """Entries of a bot are shut until `until`: in one symbol, or in all (`symbol` empty)."""

    symbol: str
    reason: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a trade gained after costs, and when it was closed."""

    ts: int
    net: Decimal


@dataclass(slots=True)
class Tally:
    """What an account's limits remember.

    `today` is the window of the hard cap, which nobody clears. `wins` counts all trades that
    gained, `last` are the results of the last LAST_TRADES. `streak` counts losses in a row,
    `rests_until` is the end of the rest after too many; `closed_at` is the exit of the last trade
    that counted. `stop_outs` are the times of exits by a stop that lost, `results` the last trades
    by symbol. `failures` are those of the exchange, `shut_until` is until when they shut entries.
    """

    windows: dict[Span, Window] = field(default_factory=dict)
    today: Window | None = None
    streak: int = 0
    rests_until: int = 0
    closed_at: int = 0
    locks: tuple[Lock, ...] = ()
    stop_outs: tuple[int, ...] = ()
    results: dict[str, tuple[Result, ...]] = field(default_factory=dict)
    failures: tuple[int, ...] = ()
    shut_until: int = 0
    wins: int = 0
    last: tuple[Result, ...] = ()

    def lock(self, symbol: str, ts: int) -> Lock | None:
        """The lock that keeps a symbol shut the longest; None where none does."""
        shut = [each for each in self.locks if each.until > ts and each.symbol in ("", symbol)]
        return max(shut, key=lambda each: each.until, default=None)


@dataclass(slots=True)
class CapLog:
    """What the hard caps remember of the desk: when the last orders were sent, on which day (its
    beginning) the daily loss was told, what bots lost that were removed on `removed_on`."""

    sent: list[int] = field(default_factory=list)
    told_on: int = 0
    removed_on: int = 0
    removed: Decimal = ZERO


class Standing(NamedTuple):
    """How an account stands by one limit of losses: `change` is since the window began, signed."""

    span: Span
    ladder: Ladder
    window: Window
    change: Decimal

    @property
    def step(self) -> Step:
        return self.window.step

    @property
    def until(self) -> int:
        """When its step ends by itself; 0 where it is free, or time does not end it."""
        return self.window.until if self.step else 0


class Committed(NamedTuple):
    """What an account has at risk, entries on their way counted as filled: the worth of longs and
    of shorts, the symbols, and what equity would lose from now if every stop were met."""

    longs: Decimal = ZERO
    shorts: Decimal = ZERO
    positions: int = 0
    at_stops: Decimal = ZERO


class CapUse(NamedTuple):
    """What of the hard caps is used, entries on their way counted as filled: the worth of a symbol
    and of all, the orders of the last minute, what the day lost and whether that `reached` its cap,
    what the stops would cost."""

    position_value: Decimal = ZERO
    gross_exposure: Decimal = ZERO
    orders: int = 0
    lost: Decimal = ZERO
    at_stops: Decimal = ZERO
    reached: bool = False


NOTHING_COMMITTED = Committed()
NO_CAP_USED = CapUse()
