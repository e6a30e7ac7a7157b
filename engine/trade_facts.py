"""A closed trade as it is looked into: what the market did before, during and after it.

Pure. Moves are fractions of the entry price, positive in the trade's favor; times are UTC ms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import NamedTuple

from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.order import Reason
from engine.position import Trade

# Prices by name.
Levels = tuple[tuple[str, float], ...]

# How long after the exit the price is looked at again.
LATER_HOURS = (1, 4, 24)
# Candles that go into words at most, half of them of until the exit.
SHOWN = 24
STOP, TARGET = "stop", "target"
CLOSED_BY = {STOP: Reason.STOP_LOSS, TARGET: Reason.TAKE_PROFIT}


class Measured(NamedTuple):
    """What was to be had of a trade. `best` and `worst` are its greatest gain and loss while it was
    open (MFE and MAE), at their prices: of whole candles, so that those of its first and last one
    may lie just outside of it. `gain` is that of the prices it was entered and left at. `later` are
    the moves from the entry so many hours after the exit, None where the market has not come so far
    or its candles are not known. `met` are its stop and target by name with the ms from the exit
    until a price reached them, None where none did."""

    best: float
    best_price: float
    worst: float
    worst_price: float
    gain: float
    later: tuple[tuple[int, float | None], ...]
    met: tuple[tuple[str, int | None], ...] = ()

    @property
    def captured(self) -> float | None:
        """The share of its greatest gain that it kept; None where there was nothing to keep."""
        return self.gain / self.best if self.best > 0 else None


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """A trade with what led to it. `leverage`, `confidence` and `levels` (the prices of stop and
    target) are those that it was opened with, as far as they are known; `digits` are the decimals
    of its prices. `candles` are of `interval` ms, from before it to after it; `measured` is None
    where those of its time are not known any more."""

    trade: Trade
    leverage: int | None
    confidence: float | None
    levels: Levels
    digits: int
    interval: int
    candles: tuple[Candle, ...]
    measured: Measured | None

    def to_text(self) -> str:
        """The facts, a line each."""
        return "\n".join(_lines(self))


def measure(
    trade: Trade, candles: Sequence[Candle], interval: int, now: int, levels: Levels = ()
) -> Measured | None:
    """What `candles` (oldest first, of `interval` ms) say of a trade; None without those of its
    time."""
    held = [c for c in candles if c.ts + interval > trade.entry_time and c.ts < trade.exit_time]
    if not held:
        return None
    entry, left, sign = float(trade.entry_price), float(trade.exit_price), trade.side.sign
    # A fill may lie beyond what candles show: of ticks, or of another book.
    prices = (entry, left, *(c.high for c in held), *(c.low for c in held))
    best, worst = (max(prices), min(prices)) if sign > 0 else (min(prices), max(prices))

    def move(price: float) -> float:
        return sign * (price / entry - 1.0)

    return Measured(
        best=move(best),
        best_price=best,
        worst=move(worst),
        worst_price=worst,
        gain=move(left),
        later=tuple(
            (hours, None if price is None else move(price))
            for hours, price in _prices_later(trade.exit_time, candles, interval, now)
        ),
        met=tuple(_met(trade, candles, interval, levels)),
    )


def _prices_later(
    exit_time: int, candles: Sequence[Candle], interval: int, now: int
) -> Iterator[tuple[int, float | None]]:
    for hours in LATER_HOURS:
        at = exit_time + hours * HOUR_MS
        closed = [c for c in candles if at - interval < c.ts + interval <= at]
        yield hours, closed[-1].close if closed and at <= now else None


def _met(
    trade: Trade, candles: Sequence[Candle], interval: int, levels: Levels
) -> Iterator[tuple[str, int | None]]:
    """When each level was reached that was not reached by the exit itself."""
    after = [candle for candle in candles if candle.ts >= trade.exit_time]
    for name, level in levels:
        if trade.close_reason is not CLOSED_BY[name]:
            reached = (c.ts + interval for c in after if c.low <= level <= c.high)
            at = next(reached, None)
            yield name, None if at is None else at - trade.exit_time


def _lines(facts: TradeFacts) -> Iterator[str]:
    trade = facts.trade

    def price(number: float | Decimal) -> str:
        return f"{number:.{facts.digits}f}"

    yield f"trade: {trade.name} of {trade.bot_id}, {trade.symbol}, {trade.side.direction}"
    yield f"entered: {price(trade.entry_price)} because of {trade.entry_reason}"
    yield f"left: {price(trade.exit_price)} because of {trade.close_reason}"
    yield f"held: {(trade.exit_time - trade.entry_time) / HOUR_MS:.2f} hours"
    if facts.leverage is not None:
        yield f"leverage: {facts.leverage}"
    for name, level in facts.levels:
        yield f"{name} at the entry: {price(level)}"
    if facts.confidence is not None:
        yield f"confidence of its signal: {facts.confidence:.2f}"
    yield f"profit before costs: {trade.gross_pnl:.2f}"
    yield f"net profit: {trade.net_pnl:.2f} ({trade.pnl_pct:.2%} of its value)"
    for name, words in measures(facts):
        yield f"{name}: {words}"
    yield f"candles of {facts.interval // MINUTE_MS} minutes (minutes from the entry, close):"
    for candle in _shown(facts):
        minutes = (candle.ts + facts.interval - trade.entry_time) // MINUTE_MS
        yield f"  {minutes}, {price(candle.close)}"


def _shown(facts: TradeFacts) -> Iterator[Candle]:
    """Half of them of until the exit, and half of after it, where a day is that is looked at."""
    left = facts.trade.exit_time
    until = [candle for candle in facts.candles if candle.ts < left]
    after = facts.candles[len(until) :]
    for part in (until, after):
        yield from part[:: ceil(2 * len(part) / SHOWN) or 1]


def measures(facts: TradeFacts) -> Iterator[tuple[str, str]]:
    """The figures by name, as people read them."""
    yield "costs", _costs(facts.trade)
    measured = facts.measured
    if measured is None:
        yield "prices", "the candles of its time are not known any more"
        return

    def at(move: float, price: float) -> str:
        return f"{move:+.2%} at {price:,.{facts.digits}f}"

    yield "greatest gain while open", at(measured.best, measured.best_price)
    yield "greatest loss while open", at(measured.worst, measured.worst_price)
    yield "when left", at(measured.gain, float(facts.trade.exit_price))
    if measured.captured is not None and measured.gain > 0:
        yield "kept of the greatest gain", f"{measured.captured:.0%}"
    for hours, move in measured.later:
        words = "not known yet" if move is None else f"{move:+.2%} from the entry"
        yield f"{hours} h after the exit", words
    known = all(move is not None for _, move in measured.later)
    for name, after in measured.met:
        span = f"in {LATER_HOURS[-1]} h" if known else "so far"
        words = f"not reached {span}" if after is None else f"reached {_span(after)} later"
        yield f"{name} after the exit", words


def _span(ms: int) -> str:
    return f"{ms // MINUTE_MS} min" if ms < HOUR_MS else f"{ms / HOUR_MS:.1f} h"


def _costs(trade: Trade) -> str:
    """Commission and funding together, and what that is of the profit they were paid of."""
    paid = trade.commission - trade.funding
    words = f"{paid:.2f} (commission {trade.commission:.2f}, funding {trade.funding:+.2f})"
    if paid > 0 and trade.gross_pnl > 0:
        words += f", {paid / trade.gross_pnl:.0%} of the profit before costs"
    return words
