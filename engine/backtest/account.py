"""One paper account over signals that are known: the loop of the fast backtest.

Compiled by engine.backtest.fast together with the modules it is made of: sleep, fills (the
exchange's doing), gates (the strategy's doing) and worth, over the arrays of records. Plain
functions of them, so that they run as Python too.
"""

from engine.backtest.fills import at_open, inside
from engine.backtest.gates import at_close, settle, submit
from engine.backtest.records import NEVER, NO_ORDER, Book, Out, Symbols, Tape
from engine.backtest.seek import advance, all_told, next_close
from engine.backtest.sleep import wakes_at
from engine.backtest.worth import next_hour, sample, sample_before


def trade(symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Trade all signals, as the real core and the paper exchange would.

    `symbols` is an array of SYMBOL, `book` a record of BOOK; both then hold what is left at the
    end, and `out` the closed trades and the worth at full hours.

    It is only ever awake where something can happen. `wake` of a symbol is the close (UTC ms) of
    the next such candle: the next bar with a signal to enter while it is flat; while it holds a
    position the first candle that comes near a level, meets a settlement of funding, reaches a
    greatest age or brings the strategy's wish to leave; with an order on its way simply the next
    candle. NEVER is none. Each round takes the soonest `wake` of all symbols, and `settle_at`
    where entries wait for symbols that tell nothing of that moment. It first writes the worth at
    the full hours that were slept through, lets that moment happen, and finds anew when whoever
    was awake wakes again. Waking too early costs time, never a trade: a candle on which nothing
    happens changes nothing.
    """
    book.settle_at = NEVER
    first = next_close(symbols, book, tape, 0)
    book.next_sample = next_hour(first)
    for s in range(len(symbols)):
        symbols[s].wake = wakes_at(symbols[s], book, tape, 0)
    while True:
        now = book.settle_at
        for s in range(len(symbols)):
            now = min(now, symbols[s].wake)
        if now == NEVER:
            break
        sample_before(now, symbols, book, tape, out)
        moment(now, symbols, book, tape, out)
        for s in range(len(symbols)):
            if symbols[s].wake <= now or symbols[s].order != NO_ORDER:
                symbols[s].wake = wakes_at(symbols[s], book, tape, now)
    sample_before(NEVER, symbols, book, tape, out)


def moment(now: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Everything that happens as the candles which close at `now` are taken, in the order of
    the symbols: the exchange's doing first, then the strategy's."""
    for s in range(len(symbols)):
        symbol = symbols[s]
        if not advance(symbol, tape.ts, now - book.interval, book.per_ms):
            continue
        older = book.settle_at <= now
        awake = symbol.wake == now or symbol.order != NO_ORDER
        if awake:
            symbol.wake = now
            at_open(s, symbols, book, tape, out)
        sample(now, symbols, book, tape, out)
        if awake:
            inside(s, symbols, book, tape, out)
        if older:
            settle(s, now, symbols, book, tape, out)
        if awake:
            at_close(s, symbols, book, tape, out)
        submit(s, now, symbols, book, tape)
    if book.candidates == 0:
        return
    if all_told(symbols, tape, now - book.interval):
        settle(len(symbols) - 1, now, symbols, book, tape, out)
        submit(len(symbols) - 1, now, symbols, book, tape)
    else:
        book.settle_at = next_close(symbols, book, tape, now)
