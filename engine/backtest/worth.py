"""What the account is worth at full hours, and what of it is bound."""

from engine.backtest.records import ENTRY, Book, Out, Symbol, Symbols, Tape
from engine.backtest.seek import next_close, seek
from engine.candle import HOUR_MS


def next_hour(ts: int) -> int:
    """The first full hour that is not before `ts`."""
    return (ts - 1) // HOUR_MS * HOUR_MS + HOUR_MS


def sample_before(now: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """The worth at each full hour that the first candle after it tells of before `now`."""
    while True:
        told_by = next_close(symbols, book, tape, book.next_sample)
        if told_by >= now:
            return
        sample(told_by, symbols, book, tape, out)


def sample(now: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """The worth at the hour that is due, before the first news from after it."""
    due = book.next_sample
    if now <= due:
        return
    book.next_sample = next_hour(now)
    equity = book.balance
    for s in range(len(symbols)):
        if symbols[s].quantity != 0.0:
            equity += open_profit(symbols[s], book, tape, due + 1)
    out.samples[book.samples, 0] = due
    out.samples[book.samples, 1] = book.balance
    out.samples[book.samples, 2] = equity
    book.samples += 1


def mark(symbol: Symbol, book: Book, tape: Tape, before: int) -> float:
    """The close of the last candle that closed before `before`."""
    return tape.close[
        seek(tape.ts, symbol.first, symbol.end, before - book.interval, book.per_ms) - 1
    ]


def open_profit(symbol: Symbol, book: Book, tape: Tape, before: int) -> float:
    return symbol.quantity * (mark(symbol, book, tape, before) - symbol.price)


def known_before(s: int, q: int, now: int) -> int:
    """Before when a candle of symbol `q` must have closed to be known as that of `s`, which
    closed at `now`, is taken: symbols of one moment are taken in their order."""
    return now + 1 if q <= s else now


def equity_at(s: int, now: int, symbols: Symbols, book: Book, tape: Tape) -> float:
    """The account with its open positions, as the candle of symbol `s` is taken at `now`."""
    equity = book.balance
    for q in range(len(symbols)):
        if symbols[q].quantity != 0.0:
            equity += open_profit(symbols[q], book, tape, known_before(s, q, now))
    return equity


def margin_bound(
    s: int, now: int, least: int, fee: float, symbols: Symbols, book: Book, tape: Tape
) -> float:
    """The margin that positions bind, and entries on their way from the state `least` on, each
    with `fee` as a fraction of its worth."""
    bound = 0.0
    for q in range(len(symbols)):
        symbol = symbols[q]
        bound += abs(symbol.quantity) * symbol.price / book.leverage
        if least <= symbol.order <= ENTRY:
            value = symbol.order_quantity * mark(symbol, book, tape, known_before(s, q, now))
            bound += value / book.leverage + value * fee
    return bound
