"""The strategy's doing: what its signals become, and the gates that an entry must pass.

The gates are those of engine.risk, in an order of their own: which one refuses is not told.
"""

from engine.backtest.records import (
    APPROVED,
    BY_AGE,
    ENTRY,
    EXIT,
    NEVER,
    NO_ORDER,
    Book,
    Out,
    Symbol,
    Symbols,
    Tape,
    exits_of,
    sizing_of,
)
from engine.backtest.rounding import price_down, quantity_down
from engine.backtest.seek import seek
from engine.backtest.signals import (
    BAR,
    CONFIDENCE,
    LONGS_LEAVE,
    PRICE,
    REASON,
    REASON_SHIFT,
    SHORTS_LEAVE,
    SIDE,
    STOP,
    TARGET,
    TRAIL,
)
from engine.backtest.worth import equity_at, known_before, margin_bound, mark
from engine.columns import Floats
from engine.strategies.exits import level, too_old
from engine.strategies.sizing import notional


def at_close(s: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Each bar that the candle completes: exits first, then entries."""
    symbol = symbols[s]
    now = tape.ts[symbol.at] + book.interval
    symbol.bar = seek(tape.completed_by, symbol.bar, symbol.bars_end, symbol.at, book.per_candle)
    while symbol.bar < symbol.bars_end and tape.completed_by[symbol.bar] == symbol.at:
        if symbol.quantity != 0.0 and symbol.order == NO_ORDER:
            consider_exit(symbol, tape, now)
        while symbol.entry < symbol.entries_end:
            bar = tape.entries[symbol.entry, BAR]
            if bar > symbol.bar:
                break
            if bar == symbol.bar:
                consider_entry(s, now, symbols, book, tape, out)
            symbol.entry += 1
        symbol.bar += 1


def consider_exit(symbol: Symbol, tape: Tape, now: int) -> None:
    """Order a position to leave that is too old, or that the strategy asks to leave."""
    asked = LONGS_LEAVE if symbol.quantity > 0.0 else SHORTS_LEAVE
    code = tape.exits[symbol.bar]
    gain = symbol.quantity * (tape.close[symbol.at] - symbol.price)
    if too_old(exits_of(symbol), symbol.opened_at, now, gain):
        symbol.order_reason = BY_AGE
    elif code & asked and now >= symbol.rests_until:
        symbol.order_reason = code >> REASON_SHIFT
    else:
        return
    symbol.order = EXIT


def consider_entry(s: int, now: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Decide an entry now, or once the other symbols have told where slots are few."""
    if book.slots > 0 and len(symbols) > 1:
        out.candidates[book.candidates, 0] = s
        out.candidates[book.candidates, 1] = symbols[s].entry
        out.candidates[book.candidates, 2] = now
        book.candidates += 1
    else:
        decide(s, s, symbols[s].entry, now, now, symbols, book, tape)


def settle(s: int, now: int, symbols: Symbols, book: Book, tape: Tape, out: Out) -> None:
    """Decide the entries that wait, the strongest first; of equals the one that came first."""
    waiting = out.candidates
    for _ in range(book.candidates):
        best = -1
        for row in range(book.candidates):
            if waiting[row, 0] < 0:
                continue
            if best < 0 or confidence(tape, waiting[row, 1]) > confidence(tape, waiting[best, 1]):
                best = row
        q, entry, then = waiting[best, 0], waiting[best, 1], waiting[best, 2]
        decide(s, q, entry, then, now, symbols, book, tape)
        waiting[best, 0] = -1
    book.candidates = 0
    book.settle_at = NEVER


def confidence(tape: Tape, entry: int) -> float:
    return tape.entries[entry, CONFIDENCE]


def decide(
    s: int,
    q: int,
    entry: int,
    then: int,
    now: int,
    symbols: Symbols,
    book: Book,
    tape: Tape,
) -> None:
    """Ask the gates about an entry of symbol `q` that was signaled at `then`, and approve what
    they pass; `s` is the symbol whose candle is taken at `now`."""
    symbol = symbols[q]
    signal = tape.entries[entry]
    side = signal[SIDE]
    price = signal[PRICE]
    if symbol.quantity != 0.0 or symbol.order != NO_ORDER or then < symbol.rests_until:
        return
    if book.sides * side < 0.0 or not has_slot(q, symbols, book):
        return
    fraction = signal[STOP] / price if signal[STOP] > 0.0 else symbol.stop_loss
    equity = equity_at(s, now, symbols, book, tape)
    quantity = quantity_down(symbol, notional(sizing_of(book), equity, fraction) / price)
    free = equity - margin_bound(s, now, APPROVED, 0.0, symbols, book, tape)
    value = quantity * price
    is_affordable = equity > 0.0 and value / book.leverage <= free
    if not is_affordable or free < book.free_min:
        return
    if not symbol.quantity_min <= quantity <= symbol.quantity_max:
        return
    if value < symbol.notional_min or book.leverage > symbol.leverage_max:
        return
    symbol.order, symbol.order_side = APPROVED, side
    symbol.order_rank = book.approved
    book.approved += 1
    symbol.order_quantity, symbol.order_reason = quantity, signal[REASON]
    protect(symbol, side, price, signal)


def submit(s: int, now: int, symbols: Symbols, book: Book, tape: Tape) -> None:
    """Send what was approved, in that order; the exchange refuses what it finds no margin for.

    It asks for the fee too, at its own last price. `s` is the symbol whose candle is taken.
    """
    for rank in range(book.approved):
        for q in range(len(symbols)):
            symbol = symbols[q]
            if symbol.order != APPROVED or symbol.order_rank != rank:
                continue
            value = symbol.order_quantity * mark(symbol, book, tape, known_before(s, q, now))
            needed = value / book.leverage + value * book.fee
            equity = equity_at(s, now, symbols, book, tape)
            bound = margin_bound(s, now, ENTRY, book.fee, symbols, book, tape)
            symbol.order = ENTRY if needed <= equity - bound else NO_ORDER
    book.approved = 0


def has_slot(q: int, symbols: Symbols, book: Book) -> bool:
    """Whether the other symbols leave a slot for an entry of symbol `q`."""
    if book.slots == 0:
        return True
    taken = 0
    for other in range(len(symbols)):
        symbol = symbols[other]
        if other == q:
            continue
        if symbol.order == ENTRY or symbol.order == APPROVED:
            taken += 1
        elif symbol.quantity != 0.0:
            side = 1.0 if symbol.quantity > 0.0 else -1.0
            is_safe = symbol.stop > 0.0 and (symbol.stop - symbol.price) * side >= 0.0
            if not (is_safe and book.free_at_break_even):
                taken += 1
    return taken < book.slots


def protect(symbol: Symbol, side: float, price: float, signal: Floats) -> None:
    """Set the levels that the position will have, each on the tick; `price` is the signal's."""
    symbol.stop = symbol.target = symbol.distance = symbol.activation = 0.0
    symbol.break_even_at = symbol.break_even_stop = 0.0
    if symbol.stop_loss > 0.0 or signal[STOP] > 0.0:
        at = level(price, -side * symbol.stop_loss, -side * signal[STOP])
        symbol.stop = price_down(symbol, at)
    if symbol.take_profit > 0.0 or signal[TARGET] > 0.0:
        at = level(price, side * symbol.take_profit, side * signal[TARGET])
        symbol.target = price_down(symbol, at)
    distance = signal[TRAIL] if signal[TRAIL] > 0.0 else price * symbol.trail
    if distance > 0.0:
        symbol.distance = price_down(symbol, distance)
        if symbol.trail_activation > 0.0:
            symbol.activation = price_down(symbol, price * (1.0 + side * symbol.trail_activation))
    if symbol.break_even > 0.0:
        symbol.break_even_at = price_down(symbol, price * (1.0 + side * symbol.break_even))
        symbol.break_even_stop = price_down(symbol, price * (1.0 + side * symbol.break_even_buffer))
