"""Trades and orders: what was done, and what is under way."""

from collections.abc import Sequence
from typing import Annotated

from engine.candle import MINUTE_MS
from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.order import ZERO, Fill, Order, OrderStatus
from engine.people import Role
from engine.position import Trade
from engine.signal import Decision
from handlers.command import ArgumentType, Context, command, whole
from handlers.market import price_of, symbol_buttons
from handlers.orders import called, the_one
from handlers.reply import (
    Block,
    Button,
    Duration,
    Fields,
    Money,
    Percent,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
    show,
)

LISTED = 10
LISTED_MAX = 50

# Orders that get buttons of their own.
BUTTONS_FOR = 4
# Orders among which one is looked for: years of them.
SEARCHED_MAX = 10_000
# An exchange's clock may be so much behind ours.
CLOCK_SLACK_MS = MINUTE_MS
ID_MAX = 64
ASKED = "nobody knows whether it arrived; the exchange is being asked"

Limit = Annotated[int, whole(1, LISTED_MAX)]


def _parse_id(field: str, word: str, desk: Desk) -> str:
    if len(word) > ID_MAX or not word.isprintable():
        raise BadInput(field, word[:ID_MAX], "an order's id, as /orders shows it")
    return word


def _open_ids(desk: Desk) -> list[str]:
    return [order.order_link_id for order in desk.view().open_orders]


OrderId = Annotated[str, ArgumentType("an order's id", _parse_id, _open_ids, changing=True)]


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

    Stops and targets are not listed: they rest with the position, see /positions. /order with an
    id tells all about one.

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
        "price",
        "filled",
        "status",
        "reason",
        "created",
        "note",
    )
    rows = tuple(_order_row(desk, order) for order in [*under_way, *done][:limit])
    table = Table("Orders", columns, rows, empty="No order was made yet.")
    may_cancel = context.principal.role >= Role.TRADER
    return reply(table, buttons=_cancel(under_way) if may_cancel else ())


def _cancel(under_way: Sequence[Order]) -> tuple[Button, ...]:
    """Buttons that withdraw what waits to open a position."""
    waiting = [order for order in under_way if not order.reduce_only]
    each = tuple(
        Button(f"Cancel {order.symbol}", f"/cancel {order.order_link_id}")
        for order in waiting[:BUTTONS_FOR]
    )
    return (*each, Button("Cancel all", "/cancel all")) if len(waiting) > 1 else each


@command("order")
async def order(context: Context, order: OrderId) -> Reply:
    """One order: its life, its fills with prices and fees, why it was made, and its trade.

    The id is that of the exchange or our own, or how it begins, as /orders shows them.

    Example: /order P00000017
    """
    desk = context.desk
    found = await _find(desk, order)
    fills = await _fills(desk, found)
    columns = ("time", "quantity", "price", "fee", "as", "id")
    rows = tuple(_fill_row(desk, fill) for fill in fills)
    blocks: list[Block] = [
        Fields(f"Order {found.order_id or found.order_link_id}", _life(desk, found)),
        Table("Fills", columns, rows, empty="Nothing of it was filled."),
    ]
    if (decision := await _decision(desk, found)) is not None:
        blocks.append(Text(_why(desk, decision)))
    if (trade := await _trade(desk, found)) is not None:
        blocks.append(Text(_of_trade(trade)))
    may_cancel = context.principal.role >= Role.TRADER and found.is_open
    buttons = (*(_cancel([found]) if may_cancel else ()), *symbol_buttons(found.symbol))
    return reply(*blocks, buttons=buttons)


def won(trades: Sequence[Trade]) -> int:
    """How many trades gained something after costs."""
    return sum(trade.net_pnl > 0 for trade in trades)


def _trade_row(desk: Desk, trade: Trade) -> tuple[Value, ...]:
    return (
        trade.name,
        trade.symbol,
        trade.side.direction,
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


def _order_row(desk: Desk, order: Order) -> tuple[Value, ...]:
    return (
        order.order_id or order.order_link_id,
        order.bot_id,
        order.symbol,
        str(order.side),
        str(order.order_type),
        Quantity(order.quantity),
        price_of(desk, order.symbol, order.price or order.trigger_price),
        Quantity(order.filled_quantity),
        str(order.status),
        Word(str(order.reason)),
        Time(order.created_at),
        _note(order),
    )


def _note(order: Order) -> str | None:
    """What more there is to say of an order: how long it waits, or why it did not go on."""
    if order.status is OrderStatus.UNKNOWN:
        return ASKED
    if order.status is OrderStatus.PENDING:
        return "on its way"
    if order.is_open and order.expires_at:
        return f"until {show(Time(order.expires_at))}"
    return order.reject_reason


# -- one order ---------------------------------------------------------------------------


async def _find(desk: Desk, word: str) -> Order:
    """The order with this id, of the exchange or our own; raises Refused where there is none."""
    stored = await desk.recent(Order, lambda order: order.created_at, limit=SEARCHED_MAX)
    # What is open is newer than what is stored of it.
    known = {each.order_link_id: each for each in (*stored, *desk.view().open_orders)}
    found = called(known.values(), word)
    if not found:
        raise Refused(f"There is no order {word}. /orders lists them.")
    return the_one(found, word)


def _life(desk: Desk, order: Order) -> dict[str, Value]:
    kind = f"{order.order_type}, post only" if order.post_only else str(order.order_type)
    fields: dict[str, Value] = {
        "order": order.order_id,
        "our_id": order.order_link_id,
        "bot": order.bot_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": f"{order.side}, only to close" if order.reduce_only else str(order.side),
        "type": kind,
        "quantity": Quantity(order.quantity),
        "price": price_of(desk, order.symbol, order.price),
        "at": price_of(desk, order.symbol, order.trigger_price),
        "stop": price_of(desk, order.symbol, order.stop_loss),
        "target": price_of(desk, order.symbol, order.take_profit),
        "filled": Quantity(order.filled_quantity),
        "status": str(order.status),
        "reason": Word(str(order.reason)),
        "created": Time(order.created_at),
        "updated": Time(order.updated_at),
        "note": _note(order),
    }
    return {name: value for name, value in fields.items() if value is not None}


async def _fills(desk: Desk, order: Order) -> list[Fill]:
    fills = await desk.store.recent(
        Fill, account=order.account, symbol=order.symbol, since=order.created_at - CLOCK_SLACK_MS
    )
    return [fill for fill in fills if fill.order_id == order.order_id]


def _fill_row(desk: Desk, fill: Fill) -> tuple[Value, ...]:
    return (
        Time(fill.exec_time),
        Quantity(fill.exec_qty),
        price_of(desk, fill.symbol, fill.exec_price),
        Money(fill.commission),
        "maker" if fill.is_maker else "taker",
        fill.exec_id,
    )


async def _decision(desk: Desk, order: Order) -> Decision | None:
    found = await desk.store.recent(
        Decision, account=order.account, symbol=order.symbol, since=order.created_at
    )
    return next((each for each in found if each.order_link_id == order.order_link_id), None)


def _why(desk: Desk, decision: Decision) -> str:
    price = show(price_of(desk, decision.symbol, decision.price))
    sure = f", {decision.confidence:.2f} sure" if decision.confidence < 1 else ""
    return (
        f"Decision {decision.decision_id} at {price}, {show(Time(decision.ts))}: "
        f"{decision.action} for {show(Word(str(decision.reason)))}{sure}."
    )


async def _trade(desk: Desk, order: Order) -> Trade | None:
    """The round trip that an order began or ended, once that is closed."""
    found = await desk.store.recent(
        Trade, account=order.account, symbol=order.symbol, since=order.created_at - CLOCK_SLACK_MS
    )
    of_order = (
        each
        for each in found
        if order.client_order_id in (each.entry_client_order_id, each.exit_client_order_id)
    )
    return next(of_order, None)


def _of_trade(trade: Trade) -> str:
    net, share = Money(trade.net_pnl, signed=True), Percent(trade.pnl_pct, signed=True)
    return (
        f"Trade T{trade.trade_id}: {trade.side.direction}, {show(net)} USDT net ({show(share)}), "
        f"closed {show(Time(trade.exit_time))}."
    )
