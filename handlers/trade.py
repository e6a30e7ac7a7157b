"""Trades and orders: what was done, and what is under way."""

from collections.abc import Sequence
from typing import Annotated

from engine.desk import Desk
from engine.order import ZERO, Order, Side
from engine.position import Trade
from handlers.command import Context, command, whole
from handlers.market import price_of
from handlers.reply import (
    Button,
    Duration,
    Fields,
    Money,
    Percent,
    Quantity,
    Reply,
    Table,
    Time,
    Value,
    Word,
    reply,
)

LISTED = 10
LISTED_MAX = 50

Limit = Annotated[int, whole(1, LISTED_MAX)]


@command("trades")
async def trades(context: Context, limit: Limit = LISTED) -> Reply:
    """The last closed trades, newest first: 10, or as many as you say, up to 50.

    Net is after fees and funding; the percentage is net over the entry's value.

    Example: /trades 20
    """
    desk = context.desk
    found = await desk.recent(Trade, lambda trade: trade.exit_time, limit=limit)
    columns = (
        "id",
        "symbol",
        "side",
        "quantity",
        "entry",
        "exit",
        "net",
        "net_pct",
        "reason",
        "held",
        "closed",
    )
    rows = tuple(_trade_row(desk, trade) for trade in reversed(found))
    table = Table("Trades", columns, rows, empty="No trade has closed yet.")
    blocks = (table, _summary(found)) if found else (table,)
    return reply(*blocks, buttons=(Button("P&L", "/pnl"), Button("Positions", "/positions")))


@command("orders")
async def orders(context: Context, limit: Limit = LISTED) -> Reply:
    """Open orders first, then the last ones, with status and reason.

    Stops and targets are not listed: they rest with the position, see /positions.

    Example: /orders 20
    """
    desk = context.desk
    stored = await desk.recent(Order, lambda order: order.created_at, limit=limit)
    under_way = sorted(desk.view().open_orders, key=lambda order: order.created_at, reverse=True)
    known = {order.order_link_id for order in under_way}
    done = [order for order in reversed(stored) if order.order_link_id not in known]
    columns = (
        "order",
        "bot",
        "symbol",
        "side",
        "type",
        "quantity",
        "filled",
        "status",
        "reason",
        "created",
        "note",
    )
    rows = tuple(_order_row(order) for order in [*under_way, *done][:limit])
    return reply(Table("Orders", columns, rows, empty="No order was made yet."))


def direction(side: Side) -> str:
    """How people name a position that was opened by buying or by selling."""
    return "long" if side is Side.BUY else "short"


def won(trades: Sequence[Trade]) -> int:
    """How many trades gained something after costs."""
    return sum(trade.net_pnl > 0 for trade in trades)


def _trade_row(desk: Desk, trade: Trade) -> tuple[Value, ...]:
    return (
        f"T{trade.trade_id}",
        trade.symbol,
        direction(trade.side),
        Quantity(trade.quantity),
        price_of(desk, trade.symbol, trade.entry_price),
        price_of(desk, trade.symbol, trade.exit_price),
        Money(trade.net_pnl, signed=True),
        Percent(trade.pnl_pct, signed=True),
        Word(str(trade.close_reason)),
        Duration(trade.exit_time - trade.entry_time),
        Time(trade.exit_time),
    )


def _summary(found: Sequence[Trade]) -> Fields:
    wins = won(found)
    return Fields(
        "Of these",
        {
            "wins": wins,
            "losses": len(found) - wins,
            "win_rate": Percent(wins / len(found)),
            "net": Money(sum((trade.net_pnl for trade in found), ZERO), signed=True),
        },
    )


def _order_row(order: Order) -> tuple[Value, ...]:
    return (
        order.order_id or order.order_link_id,
        order.bot_id,
        order.symbol,
        str(order.side),
        str(order.order_type),
        Quantity(order.quantity),
        Quantity(order.filled_quantity),
        str(order.status),
        Word(str(order.reason)),
        Time(order.created_at),
        order.reject_reason,
    )
