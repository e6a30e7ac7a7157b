"""The stop and target of what is held: where they stand, and moving them."""

from engine.desk import Desk
from engine.errors import Refused
from engine.instruction import BreakEven, MoveStops
from engine.people import Role
from engine.view import PositionView
from handlers.arguments import KEEP, NONE, Level
from handlers.command import Act, BotId, Context, Kind, Symbol, command
from handlers.market import price_of
from handlers.orders import ORDERS, POSITIONS, holder
from handlers.reply import Button, Fields, Money, Reply, Text, Value, reply
from handlers.tickets import direction_of


@command("stops", role=Role.TRADER, kind=Kind.SENSITIVE)
async def stops(
    context: Context,
    symbol: Symbol,
    stop: Level = None,
    target: Level = None,
    bot: BotId | None = None,
) -> Reply | Act:
    """Where a position's stop and target stand; with prices, move them once you have confirmed.

    none takes one away, keep leaves it where it is.

    Example: /stops BTC, or /stops BTC 61000 72000, or /stops BTC target=none
    """
    desk = context.desk
    by = bot or holder(desk, "stops", symbol)
    if stop is None and target is None:
        return _shown(desk, by, symbol)
    instruction = MoveStops(by, symbol, stop, target)
    return Act(instruction, lambda done: reply(Text(done), buttons=(POSITIONS, ORDERS)))


@command("be", role=Role.TRADER, kind=Kind.WRITE)
async def be(context: Context, symbol: Symbol, bot: BotId | None = None) -> Act:
    """Move a position's stop to break-even, its entry and fees, at once: only ever closer.

    Example: /be BTC
    """
    by = bot or holder(context.desk, "be", symbol)
    return Act(BreakEven(by, symbol), lambda done: reply(Text(done), buttons=(POSITIONS,)))


def stop_buttons(item: PositionView, named: bool = True) -> tuple[Button, ...]:
    """What moves a position's stop; `named` says of which, where there are several."""
    symbol, bot_id = item.position.symbol, item.position.bot_id
    which = f" {symbol}" if named else ""
    return (
        Button(f"Break-even{which}", f"/be {symbol} {bot_id}"),
        Button(f"Edit stop{which}", f"/stops {symbol} bot={bot_id}", asks=("stop",)),
    )


def _shown(desk: Desk, bot_id: str, symbol: str) -> Reply:
    found = [
        item
        for item in desk.view().positions
        if (item.position.bot_id, item.position.symbol) == (bot_id, symbol)
    ]
    if not found:
        raise Refused(f"{bot_id} holds no {symbol}.")
    [item] = found
    stops_of = f"/stops {symbol} bot={bot_id}"
    buttons = [
        *stop_buttons(item, named=False),
        Button("Stop and target", stops_of, asks=("stop", "target")),
    ]
    if item.take_profit is not None:
        buttons.append(Button("No target", f"{stops_of} target={NONE}"))
    return reply(
        Fields(f"Stop and target of {symbol}", _values(desk, item)),
        Text(f"Where both are asked for, {KEEP} leaves one as it is and {NONE} takes it away."),
        buttons=tuple(buttons),
    )


def _values(desk: Desk, item: PositionView) -> dict[str, Value]:
    position, symbol = item.position, item.position.symbol
    trails = item.trailing_stop
    return {
        "bot": position.bot_id,
        "held": direction_of(position.quantity),
        "entry": price_of(desk, symbol, position.average_price),
        "price": price_of(desk, symbol, item.price),
        "stop": price_of(desk, symbol, item.stop_loss),
        "result_at_stop": None if item.at_stop is None else Money(item.at_stop, signed=True),
        "target": price_of(desk, symbol, item.take_profit),
        "result_at_target": None if item.at_target is None else Money(item.at_target, signed=True),
        "trails_by": price_of(desk, symbol, trails),
        "trails_from": price_of(desk, symbol, item.trailing_activation if trails else None),
        "break_even": price_of(desk, symbol, item.break_even),
        "liquidation": price_of(desk, symbol, item.liquidation),
    }
