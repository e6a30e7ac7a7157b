"""Finding candles, bars and entries by their time."""

from engine.backtest.records import NEVER, Book, Symbol, Symbols, Tape
from engine.columns import Times


def seek(values: Times, start: int, end: int, wanted: int, density: float) -> int:
    """The index of the first value from `start` on that is not below `wanted`; `end` for none.

    `density` is how many values there usually are to one unit: what it foretells is right
    nearly always.
    """
    if start >= end or values[start] >= wanted:
        return start
    guess = start + int((wanted - values[start]) * density)
    if values[min(guess, end - 1)] < wanted:
        guess += 1
    if start < guess < end and values[guess] >= wanted > values[guess - 1]:
        return guess
    low, high = start + 1, end
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def next_close(symbols: Symbols, book: Book, tape: Tape, now: int) -> int:
    """When the first candle after `now` closes."""
    soonest = NEVER
    for s in range(len(symbols)):
        symbol = symbols[s]
        i = seek(
            tape.ts, max(symbol.at, symbol.first), symbol.end, now - book.interval + 1, book.per_ms
        )
        if i < symbol.end:
            soonest = min(soonest, tape.ts[i] + book.interval)
    return soonest


def advance(symbol: Symbol, ts: Times, opened: int, density: float) -> bool:
    """Take the candle that opened at `opened`; whether there is one."""
    i = seek(ts, max(symbol.at, symbol.first), symbol.end, opened, density)
    if i == symbol.end or ts[i] != opened:
        return False
    symbol.at = i
    return True


def all_told(symbols: Symbols, tape: Tape, opened: int) -> bool:
    """Whether every symbol had a candle that opened at `opened`."""
    for s in range(len(symbols)):
        symbol = symbols[s]
        if symbol.at < symbol.first or tape.ts[symbol.at] != opened:
            return False
    return True
