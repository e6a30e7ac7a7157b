"""The exchange's doing: funding, fills at the open, and the protection inside a candle."""

import numpy as np

from engine.backtest.records import (
    BY_LIQUIDATION,
    BY_STOP,
    BY_TARGET,
    BY_TRAILING,
    ENTRY,
    NO_ORDER,
    Book,
    Out,
    Symbol,
    Symbols,
    Tape,
    exits_of,
)
from engine.backtest.rounding import price_down, slipped, toward
from engine.backtest.worth import sample
from engine.candle import FUNDING_EVERY_MS
from engine.strategies.exits import (
    LIQUIDATION,
    STOP,
    UNTOUCHED,
    broken_even,
    rests_until,
    touch,
    trailed_stop,
)


def at_open(s: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Funding due by the open, then the order on its way, at the open."""
    symbol = symbols[s]
    i = symbol.at
    opened = tape.ts[i]
    while symbol.quantity != 0.0 and symbol.next_stamp <= opened:
        sample(symbol.next_stamp, symbols, book, tape, out)
        price = tape.open[i] if symbol.next_stamp == opened else tape.close[i - 1]
        settle_funding(symbol, book, tape, price)
    if symbol.order == NO_ORDER:
        return
    sample(opened, symbols, book, tape, out)
    if symbol.order == ENTRY:
        enter(symbol, book, tape)
    elif symbol.quantity != 0.0:
        price = slipped(symbol, -symbol.quantity, tape.open[i], book.slippage)
        leave(s, symbols, book, out, price, tape.open[i], symbol.order_reason, opened)
    symbol.order = NO_ORDER


def settle_funding(symbol: Symbol, book: Book, tape: Tape, price: float) -> None:
    """Pay or get what the next settlement takes of the position at `price`."""
    number = (symbol.next_stamp - symbol.first_stamp) // FUNDING_EVERY_MS
    amount = -symbol.quantity * price * tape.rates[symbol.rates_first + number]
    book.balance += amount
    symbol.funding += amount
    symbol.next_stamp += FUNDING_EVERY_MS


def enter(symbol: Symbol, book: Book, tape: Tape) -> None:
    """Fill the entry on its way at the open of the candle."""
    i = symbol.at
    opened = tape.ts[i]
    side = symbol.order_side
    symbol.price = slipped(symbol, side, tape.open[i], book.slippage)
    symbol.quantity = side * symbol.order_quantity
    symbol.opened_at = opened
    symbol.reason = symbol.order_reason
    symbol.fees = symbol.order_quantity * symbol.price * book.fee
    symbol.funding = 0.0
    symbol.slippage = abs(symbol.price - tape.open[i]) * symbol.order_quantity
    symbol.risk = np.nan
    if symbol.stop > 0.0:
        symbol.risk = (symbol.price - symbol.stop) * symbol.quantity
    symbol.liquidation = symbol.price * (1.0 - side * book.liquidation_loss)
    symbol.trailing = 0
    symbol.next_stamp = opened - opened % FUNDING_EVERY_MS + FUNDING_EVERY_MS
    symbol.rests_until = rests_until(exits_of(symbol), opened)
    book.balance -= symbol.fees


def leave(
    s: int,
    symbols: Symbols,
    book: Book,
    out: Out,
    price: float,
    wanted: float,
    reason: float,
    ts: int,
) -> None:
    """Close the position at `price` and write its trade; without slippage it would have been
    `wanted`."""
    symbol = symbols[s]
    quantity = abs(symbol.quantity)
    gross = symbol.quantity * (price - symbol.price)
    fee = quantity * price * book.fee
    book.balance += gross - fee
    trade = out.trades[book.trades]
    book.trades += 1
    trade.symbol = s
    trade.side = 1.0 if symbol.quantity > 0.0 else -1.0
    trade.quantity = quantity
    trade.entry_time, trade.entry_price = symbol.opened_at, symbol.price
    trade.entry_reason = symbol.reason
    trade.exit_time, trade.exit_price, trade.exit_reason = ts, price, reason
    trade.gross, trade.fees, trade.funding = gross, symbol.fees + fee, symbol.funding
    trade.risk = symbol.risk
    trade.slippage = symbol.slippage + abs(price - wanted) * quantity
    symbol.quantity = 0.0
    symbol.rests_until = rests_until(exits_of(symbol), ts)


def inside(s: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Let the candle meet the position's protection, and the stop follow it."""
    symbol = symbols[s]
    if symbol.quantity == 0.0:
        return
    i = symbol.at
    side = 1 if symbol.quantity > 0.0 else -1
    met = touch(
        side, tape.open[i], tape.high[i], tape.low[i], symbol.stop, symbol.target,
        symbol.liquidation,
    )  # fmt: skip
    kind, wanted = met.kind, met.price
    if kind == UNTOUCHED:
        if not follow(symbol, side, tape.high[i], tape.low[i]):
            return
        if (tape.close[i] - symbol.stop) * side > 0.0:
            return
        kind, wanted = STOP, symbol.stop
    if kind == LIQUIDATION:
        wanted = symbol.price * (1.0 - side * book.bankruptcy_loss)
        price = toward(symbol, float(-side), wanted)
    else:
        price = slipped(symbol, float(-side), wanted, book.slippage)
    reason = reason_of(kind, symbol.trailing)
    leave(s, symbols, book, out, price, wanted, reason, tape.ts[i] + book.interval)


def reason_of(kind: int, trailing: int) -> float:
    if kind == LIQUIDATION:
        return BY_LIQUIDATION
    if kind == STOP:
        return BY_TRAILING if trailing else BY_STOP
    return BY_TARGET


def follow(symbol: Symbol, side: int, high: float, low: float) -> bool:
    """Let the stop follow the candle; whether it moved."""
    raised = broken_even(side, high, low, symbol.stop, symbol.break_even_stop, symbol.break_even_at)
    trailed = trailed_stop(side, high, low, raised, symbol.distance, symbol.activation)
    stop = price_down(symbol, trailed)
    if symbol.stop == trailed or symbol.stop == stop:
        return False
    symbol.stop = stop
    if trailed != raised:
        symbol.trailing = 1
    return True
