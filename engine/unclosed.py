"""Positions that an exit should have closed and did not: noted here, left again by `leaving`.

Pure functions of the core's memory.
"""

from engine.memory import Leaving, Memory
from engine.order import Order, OrderStatus, OrderType, Reason
from engine.position import Position

# Waits before an exit is tried again that was not carried out, doubled up to the longest.
AGAIN_MS = 5_000
AGAIN_MAX_MS = 60_000


def note_failed(memory: Memory, order: Order, ts: int) -> None:
    """Have an exit tried again that was not carried out. A person who closes by hand sees it fail,
    and what waits for a price was not to be filled yet."""
    if not _should_close(order) or not order.remaining:
        return
    before = memory.desk.leaving.get(f"{order.account}:{order.symbol}")
    _leave_again(memory, order, before.tries + 1 if before else 1, ts)


def is_news(memory: Memory, order: Order) -> bool:
    """Whether people are told that an order was not carried out: of an exit that is tried again
    and again, the tries 1, 2, 4, 8 and so on."""
    found = memory.desk.leaving.get(f"{order.account}:{order.symbol}")
    tries = found.tries if found and _should_close(order) else 1
    return tries & (tries - 1) == 0


def note_rest(memory: Memory, order: Order, position: Position, ts: int) -> None:
    """Have what is left closed after an exit that was filled: it was too much for one order, or
    more came meanwhile."""
    is_left = order.status is OrderStatus.FILLED and position.side is order.side.opposite
    if is_left and _should_close(order):
        _leave_again(memory, order, 1, ts)


def _should_close(order: Order) -> bool:
    """Whether an order was to close its whole position, at once."""
    by_hand = order.reason is Reason.MANUAL_EXIT or order.order_type is not OrderType.MARKET
    return order.reduce_only and not by_hand


def _leave_again(memory: Memory, order: Order, tries: int, ts: int) -> None:
    wait = min(AGAIN_MS * 2 ** (tries - 1), AGAIN_MAX_MS)
    now = max(ts, memory.desk.market_time, memory.desk.told_until)
    leaving = Leaving(order.account, order.symbol, order.reason, tries, now + wait)
    memory.desk.leaving[f"{order.account}:{order.symbol}"] = leaving
