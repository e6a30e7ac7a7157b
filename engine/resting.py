"""Orders that wait: withdrawing them, and what stands against closing while there are some.

Pure functions of the core's memory. Only entries are withdrawn: what closes a position goes on.
"""

from collections.abc import Iterable

from engine.candle import MINUTE_MS
from engine.effect import Cancel, Done, Effect, NotDone, Outcome
from engine.errors import Refused
from engine.instruction import CancelOrders
from engine.levels import plain
from engine.memory import Memory
from engine.order import Order, OrderStatus, OrderType

# How soon an order is withdrawn once more that is still there.
AGAIN_AFTER_MS = MINUTE_MS


def is_resting(order: Order) -> bool:
    """Whether an order waits for its price."""
    return order.order_type is not OrderType.MARKET


def entries(memory: Memory, account: str, symbol: str = "") -> list[Order]:
    """The orders of an account that wait to open or add to a position in a symbol, or in any."""
    return [
        order
        for order in memory.accounts[account].orders.values()
        if symbol in ("", order.symbol) and not order.reduce_only and is_resting(order)
    ]


def all_entries(memory: Memory) -> list[Order]:
    """All orders of the desk that wait to open a position."""
    orders = (order for state in memory.accounts.values() for order in state.orders.values())
    return [order for order in orders if not order.reduce_only and is_resting(order)]


def why_not_close(memory: Memory, account: str, symbol: str) -> str:
    """Why a position can't be closed just now; empty where it can.

    An order that waits for its price is no reason: it is withdrawn with the close.
    """
    for order in memory.accounts[account].orders.values():
        if order.symbol != symbol or (is_resting(order) and not order.reduce_only):
            continue
        if order.status is OrderStatus.UNKNOWN:
            return f"{symbol}: nobody knows whether an order arrived; the exchange is being asked."
        return f"{symbol}: an order is on its way already."
    return ""


def withdraw(memory: Memory, orders: Iterable[Order]) -> list[Effect]:
    """Have the exchange withdraw orders."""
    ts = memory.desk.now
    return [Cancel(order.account, order.symbol, order.order_link_id, ts) for order in orders]


# -- what people say ---------------------------------------------------------------------


def run(memory: Memory, wanted: CancelOrders) -> Outcome:
    """Withdraw the entries that are meant, at once."""
    try:
        found = _meant(memory, wanted)
    except Refused as error:
        return NotDone(str(error)), []
    said = ", ".join(f"{each.side} {plain(each.remaining)} {each.symbol}" for each in found)
    verb = "is" if len(found) == 1 else "are"
    return Done(f"{said} {verb} being withdrawn."), withdraw(memory, found)


def _meant(memory: Memory, wanted: CancelOrders) -> list[Order]:
    orders = [
        order
        for state in memory.accounts.values()
        for order in state.orders.values()
        if wanted.order_link_id in ("", order.order_link_id)
        and wanted.bot_id in ("", order.bot_id)
        and wanted.symbol in ("", order.symbol)
    ]
    if not orders:
        what = "That order is not open any more." if wanted.order_link_id else "No order is open."
        raise Refused(what)
    found = [order for order in orders if not order.reduce_only]
    if not found:
        raise Refused("It closes a position: what reduces risk is not withdrawn.")
    return found


# -- time --------------------------------------------------------------------------------


def watch(memory: Memory, order: Order) -> None:
    """Remember when an order that waits has to be withdrawn."""
    if order.expires_at:
        memory.desk.expiring[order.order_link_id] = (order.account, order.expires_at)


def expire(memory: Memory, ts: int) -> list[Effect]:
    """Withdraw what has waited long enough at a market time (UTC ms)."""
    expiring = memory.desk.expiring
    effects: list[Effect] = []
    for link_id, (account, due) in list(expiring.items()):
        state = memory.accounts.get(account)
        order = state.orders.get(link_id) if state else None
        if order is None:
            del expiring[link_id]
        elif ts >= due:
            expiring[link_id] = (account, ts + AGAIN_AFTER_MS)
            effects += withdraw(memory, [order])
    return effects
