"""How long a symbol of the account loop can sleep: until something can happen to it."""

import numpy as np

from engine.backtest.records import NEVER, NO_ORDER, Book, Symbol, Tape
from engine.backtest.seek import seek
from engine.backtest.signals import BAR, LONGS_LEAVE, SHORTS_LEAVE

# A level is looked at a little before it is reached: rounding can then miss none.
NEARLY = 1e-12


def wakes_at(symbol: Symbol, book: Book, tape: Tape, now: int) -> int:
    """When the next candle of a symbol closes on which something can happen."""
    i = seek(
        tape.ts, max(symbol.at, symbol.first), symbol.end, now - book.interval + 1, book.per_ms
    )
    if i < symbol.end and symbol.order == NO_ORDER:
        if symbol.quantity == 0.0:
            i = entry_after(symbol, book, tape, i)
        else:
            i = news_after(symbol, book, tape, i)
    return tape.ts[i] + book.interval if i < symbol.end else NEVER


def entry_after(symbol: Symbol, book: Book, tape: Tape, i: int) -> int:
    """The candle from `i` on with which the strategy wants to enter, and the rest is over."""
    first = seek(tape.ts, i, symbol.end, symbol.rests_until - book.interval, book.per_ms)
    while symbol.entry < symbol.entries_end:
        candle = tape.completed_by[int(tape.entries[symbol.entry, BAR])]
        if candle >= first:
            return candle
        symbol.entry += 1
    return symbol.end


def news_after(symbol: Symbol, book: Book, tape: Tape, i: int) -> int:
    """The candle from `i` on that can change a position."""
    end = seek(tape.ts, i, symbol.end, symbol.next_stamp, book.per_ms)
    end = min(end, too_old_after(symbol, book, tape, i))
    end = min(end, leaves_after(symbol, book, tape, i, end))
    return touched_after(symbol, tape, i, end)


def too_old_after(symbol: Symbol, book: Book, tape: Tape, i: int) -> int:
    """The candle from `i` on that completes a bar on which a greatest age is reached."""
    age = NEVER
    if symbol.max_age_ms > 0:
        age = symbol.max_age_ms
    if symbol.losing_age_ms > 0:
        age = min(age, symbol.losing_age_ms)
    if age == NEVER:
        return symbol.end
    first = seek(tape.ts, i, symbol.end, symbol.opened_at + age - book.interval, book.per_ms)
    bar = seek(tape.completed_by, symbol.bar, symbol.bars_end, first, book.per_candle)
    return tape.completed_by[bar] if bar < symbol.bars_end else symbol.end


def leaves_after(symbol: Symbol, book: Book, tape: Tape, i: int, end: int) -> int:
    """The candle from `i` and before `end` with which the strategy asks the position to leave."""
    first = seek(tape.ts, i, symbol.end, symbol.rests_until - book.interval, book.per_ms)
    symbol.bar = seek(tape.completed_by, symbol.bar, symbol.bars_end, i, book.per_candle)
    bar = seek(tape.completed_by, symbol.bar, symbol.bars_end, first, book.per_candle)
    asked = LONGS_LEAVE if symbol.quantity > 0.0 else SHORTS_LEAVE
    while bar < symbol.bars_end and tape.completed_by[bar] < end:
        if tape.exits[bar] & asked:
            return tape.completed_by[bar]
        bar += 1
    return end


def touched_after(symbol: Symbol, tape: Tape, i: int, end: int) -> int:
    """The first candle from `i` and before `end` that comes near a level that matters."""
    if symbol.quantity > 0.0:
        lowest = max(symbol.stop, symbol.liquidation)
        highest = gain_that_matters(symbol, 1.0)
    else:
        lowest = -gain_that_matters(symbol, -1.0)
        highest = symbol.liquidation
        if symbol.stop > 0.0:
            highest = min(highest, symbol.stop)
    lowest *= 1.0 + NEARLY
    highest *= 1.0 - NEARLY
    high, low = tape.high, tape.low
    while i < end and low[i] > lowest and high[i] < highest:
        i += 1
    return i


def gain_that_matters(symbol: Symbol, side: float) -> float:
    """The nearest price in favor that is a target or moves the stop, times the side."""
    nearest = np.inf if side > 0.0 else 0.0
    if symbol.target > 0.0:
        nearest = min(nearest, symbol.target * side)
    if symbol.break_even_at > 0.0:
        better = symbol.stop <= 0.0 or (symbol.break_even_stop - symbol.stop) * side > 0.0
        if better:
            nearest = min(nearest, symbol.break_even_at * side)
    if symbol.distance > 0.0:
        moves = -np.inf
        if symbol.activation > 0.0:
            moves = symbol.activation * side
        if symbol.stop > 0.0:
            moves = max(moves, symbol.stop * side + symbol.distance)
        nearest = min(nearest, moves)
    return nearest
