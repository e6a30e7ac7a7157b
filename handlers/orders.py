"""Orders by hand, and the switch that stops all entries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from engine.candle import HOUR_MS
from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.instruction import (
    CancelOrders,
    ClosePosition,
    ClosePositions,
    HaltDesk,
    PlaceOrder,
    ResumeDesk,
)
from engine.instrument import exact
from engine.order import Order, OrderType, Side, decode_link_id
from engine.people import Role
from handlers.arguments import SHARES, Amount, Fraction, Lasts, Price, reason_of
from handlers.command import (
    SYMBOL,
    Act,
    ArgumentType,
    BotId,
    Context,
    Kind,
    Symbol,
    Words,
    command,
    one_of,
)
from handlers.reply import Button, Money, Quantity, Text, reply, show
from handlers.tickets import base_of, direction_of, exact_price

# What rests is withdrawn after this time where nobody says otherwise.
LASTS_MS = HOUR_MS
# What a shortened id ends with, and how much of an id has to be said.
CUT, BEGINNING_MIN = "…", 4
# Ids that are named where several are meant.
NAMED_MAX = 4
ALL, LOSERS = "all", "losers"
HALT, RESUME = Button("Halt", "/halt"), Button("Resume", "/resume")
POSITIONS, ORDERS = Button("Positions", "/positions"), Button("Orders", "/orders")

Post = Annotated[str, one_of("post")]


@command("buy", role=Role.TRADER, kind=Kind.SENSITIVE)
async def buy(
    context: Context,
    symbol: Symbol,
    amount: Amount,
    bot: BotId | None = None,
    stop: Price | None = None,
    target: Price | None = None,
    limit: Price | None = None,
    at: Price | None = None,
    post: Post | None = None,
    lasts: Lasts | None = None,
) -> Act:
    """Open a long for an amount of USDT, once you have confirmed its card.

    At the market; with limit= for that price or better (post: it may only rest); with at= at the
    market once the price has risen there. What rests is withdrawn after an hour, or as lasts= says.
    Stop and target are prices; without them they are those of the bot's strategy.

    Example: /buy ETH 250, or /buy BTC 1.5k stop=60000 target=80000, or /buy BTC 1k limit=64000 post
    """
    wanted = _Wanted(Side.BUY, symbol, amount, bot, stop, target)
    return _place(context.desk, wanted, limit, at, post is not None, lasts)


@command("sell", role=Role.TRADER, kind=Kind.SENSITIVE)
async def sell(
    context: Context,
    symbol: Symbol,
    amount: Amount,
    bot: BotId | None = None,
    stop: Price | None = None,
    target: Price | None = None,
    limit: Price | None = None,
    at: Price | None = None,
    post: Post | None = None,
    lasts: Lasts | None = None,
) -> Act:
    """Open a short for an amount of USDT, once you have confirmed its card.

    At the market; with limit= for that price or better (post: it may only rest); with at= at the
    market once the price has fallen there. What rests is withdrawn after an hour, or as lasts=
    says. Stop and target are prices; without them they are those of the bot's strategy.

    Example: /sell ETH 250, or /sell BTC 1.5k stop=80000 target=60000, or /sell BTC 1k at=58000
    """
    wanted = _Wanted(Side.SELL, symbol, amount, bot, stop, target)
    return _place(context.desk, wanted, limit, at, post is not None, lasts)


def _parse_held(field: str, word: str, desk: Desk) -> str:
    """A symbol, or a word for several positions."""
    if word.lower() in (ALL, LOSERS):
        return word.lower()
    symbol: str = SYMBOL.parse(field, word, desk)
    return symbol


def _closable(desk: Desk) -> list[str]:
    held = sorted({each.position.symbol for each in desk.view().positions})
    return [*held, LOSERS, ALL]


HeldSymbol = Annotated[
    str, ArgumentType(f"a symbol, {LOSERS} or {ALL}", _parse_held, _closable, changing=True)
]


@command("close", role=Role.TRADER, kind=Kind.SENSITIVE)
async def close(
    context: Context, symbol: HeldSymbol, share: Fraction = SHARES["all"], bot: BotId | None = None
) -> Act:
    """Close a position, all of it or a part, at the market, once you have confirmed its card.

    With losers, every position that loses is closed; with all, every one there is.

    Example: /close BTC, or /close BTC half, or /close BTC 25%, or /close losers, or /close all
    """
    if symbol in (ALL, LOSERS):
        if share != SHARES["all"]:
            raise Refused(f"/close {symbol} closes each of them whole.")
        return _asked(ClosePositions(symbol == LOSERS, bot or ""))
    return _asked(ClosePosition(bot or holder(context.desk, "close", symbol), symbol, share))


def _parse_open(field: str, word: str, desk: Desk) -> str:
    """The id of an order, as it stands; a symbol, or all."""
    if word.lower() == ALL:
        return ALL
    found = called(desk.view().open_orders, word)
    if any(word in ids_of(each) for each in found) or _is_link_id(word):
        return word
    try:
        symbol: str = SYMBOL.parse(field, word, desk)
    except BadInput:
        if found:
            return word
        raise BadInput(field, word, f"{ALL}, a symbol, or an open order's id") from None
    return symbol


def _is_link_id(word: str) -> bool:
    """Whether it is an order's id, if perhaps of one that is over."""
    try:
        decode_link_id(word)
    except BadInput:
        return False
    return True


def _open_ids(desk: Desk) -> list[str]:
    return [ALL, *(order.order_link_id for order in entries(desk))]


OpenOrder = Annotated[
    str, ArgumentType("an order, a symbol, or all", _parse_open, _open_ids, changing=True)
]


@command("cancel", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def cancel(context: Context, order: OpenOrder, bot: BotId | None = None) -> Act:
    """Withdraw an order that is not filled yet, those of a symbol, or all of them, at once.

    Orders that close a position go on. /orders shows the ids.

    Example: /cancel BTC, or /cancel all, or /cancel P00000017
    """
    return Act(
        _to_cancel(context.desk, order, bot),
        lambda done: reply(Text(done), buttons=(ORDERS, POSITIONS)),
    )


def _to_cancel(desk: Desk, word: str, bot: str | None) -> CancelOrders:
    orders = [each for each in desk.view().open_orders if bot in (None, each.bot_id)]
    if named := called(orders, word):
        order = the_one(named, word)
        return CancelOrders(order.order_link_id, order.bot_id, order.symbol)
    if _is_link_id(word):
        return CancelOrders(word, decode_link_id(word)[0])
    return CancelOrders("", bot or "", "" if word == ALL else word)


@command("halt", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def halt(context: Context, reason: Words = "") -> Act:
    """Open no new positions anywhere, at once; those that are open are still managed.

    Orders that wait to open one are withdrawn. Why may follow. /halt! and the words stop, panic and
    /stopentry do the same.

    Example: /halt, or /halt news from the exchange
    """
    may_resume = context.principal.role >= Role.ADMIN
    buttons = (RESUME, POSITIONS) if may_resume else (POSITIONS,)
    why = reason_of(reason)
    return Act(HaltDesk(why), lambda done: reply(Text(done), buttons=buttons))


@command("resume", role=Role.ADMIN, kind=Kind.CRITICAL)
async def resume(context: Context) -> Act:
    """Let bots open positions again after a halt, once an admin has typed the card's phrase.

    Example: /resume
    """
    return Act(ResumeDesk(), lambda done: reply(Text(done), buttons=(HALT,)))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An entry as it was asked for, but for how it finds its price."""

    side: Side
    symbol: str
    amount: Decimal
    bot: str | None
    stop: Decimal | None
    target: Decimal | None


def _place(
    desk: Desk,
    wanted: _Wanted,
    limit: Decimal | None,
    at: Decimal | None,
    post: bool,
    lasts: int | None,
) -> Act:
    kind = _kind(limit, at, post, lasts)
    rests = kind is not OrderType.MARKET
    price = at if limit is None else limit
    bot = _trader(desk, wanted)
    _check_flat(desk, bot, wanted.symbol)
    _check_least(desk, wanted, price)
    instruction = PlaceOrder(
        bot,
        wanted.symbol,
        wanted.side,
        wanted.amount,
        wanted.stop,
        wanted.target,
        order_type=kind,
        price=price,
        post_only=post,
        lasts_ms=(LASTS_MS if lasts is None else lasts) if rests else 0,
    )
    return _asked(instruction)


def _kind(limit: Decimal | None, at: Decimal | None, post: bool, lasts: int | None) -> OrderType:
    """What kind of order is meant; raises Refused where that is not clear."""
    if limit is not None and at is not None:
        raise Refused("Say limit= for that price or better, or at= to wait for it: not both.")
    if limit is not None:
        return OrderType.LIMIT
    if post:
        raise Refused("post goes with a limit, as in limit=64000 post.")
    if at is not None:
        return OrderType.STOP
    if lasts is not None:
        raise Refused("An order at the market never waits: lasts goes with limit= or at=.")
    return OrderType.MARKET


def _trader(desk: Desk, wanted: _Wanted) -> str:
    """The bot on whose account it is opened."""
    symbol, bots = wanted.symbol, desk.view().bots
    traders = [each.bot_id for each in bots if symbol in each.symbols]
    if not traders:
        traded = sorted({each for bot_view in bots for each in bot_view.symbols})
        raise BadInput("symbol", symbol, ", ".join(traded) or "none: no bot trades here")
    if wanted.bot is not None and wanted.bot not in traders:
        raise BadInput("bot", wanted.bot, ", ".join(traders))
    return wanted.bot or only(wanted.side.lower(), symbol, traders)


def holder(desk: Desk, verb: str, symbol: str) -> str:
    """The one bot that holds a symbol; raises Refused where none does, or several."""
    held = [each.position for each in desk.view().positions]
    holders = [each.bot_id for each in held if each.symbol == symbol]
    if not holders:
        symbols = ", ".join(sorted({each.symbol for each in held}))
        waits = any(order.symbol == symbol for order in entries(desk))
        more = f" An order waits: /cancel {base_of(symbol)}." if waits else ""
        more = more or (f" Held: {symbols}." if symbols else "")
        raise Refused(f"No {symbol} is held.{more}")
    return only(verb, symbol, holders)


def entries(desk: Desk) -> list[Order]:
    """Open orders that can be withdrawn: all but those that close something."""
    return [order for order in desk.view().open_orders if not order.reduce_only]


def ids_of(order: Order) -> tuple[str, ...]:
    """What an order is called: by us, and by the exchange once it has it."""
    return (order.order_link_id, order.order_id) if order.order_id else (order.order_link_id,)


def called(orders: Iterable[Order], word: str) -> list[Order]:
    """The orders with this id; where there is none those with an id that begins so, as a narrow
    table cuts it."""
    known = list(orders)
    exactly = [each for each in known if word in ids_of(each)]
    begins = word.removesuffix(CUT)
    if exactly or len(begins) < BEGINNING_MIN:
        return exactly
    return [each for each in known if any(id_.startswith(begins) for id_ in ids_of(each))]


def the_one(found: Sequence[Order], word: str) -> Order:
    """The one order that is meant; raises Refused where several have the id, or begin so."""
    if len(found) > 1:
        ids = ", ".join(each.order_link_id for each in found[:NAMED_MAX])
        more = ", ..." if len(found) > NAMED_MAX else ""
        raise Refused(f"Several orders are called {word}. Say which: {ids}{more}.")
    return found[0]


def _check_flat(desk: Desk, bot: str, symbol: str) -> None:
    """Raise Refused where the bot holds the symbol: it holds one position of each."""
    for each in desk.view().positions:
        if (each.position.bot_id, each.position.symbol) == (bot, symbol):
            held = direction_of(each.position.quantity)
            raise Refused(f"{symbol} is held already ({held}): /close {base_of(symbol)} first.")


def _check_least(desk: Desk, wanted: _Wanted, asked: Decimal | None) -> None:
    """Raise Refused where an amount is too small for any order, with the least that is not."""
    symbol = wanted.symbol
    if symbol not in desk.view().prices:
        raise Refused(f"{symbol} has no price yet.")
    price, rules = asked or exact(desk.view().prices[symbol]), desk.instrument(symbol)
    steps = max(rules.quantity_min, rules.notional_min / price) / rules.quantity_step
    least = steps.to_integral_value(ROUND_CEILING) * rules.quantity_step
    if rules.quantize(float(wanted.amount / price)) < least:
        costs = (least * price).to_integral_value(ROUND_CEILING)
        raise Refused(
            f"{show(Money(wanted.amount))} USDT {wanted.side.lower()}s less than "
            f"{show(Quantity(least))} {base_of(symbol)}, the least there is: about {costs:,f} USDT "
            f"at {show(exact_price(price))}."
        )


def only(verb: str, symbol: str, bots: Sequence[str]) -> str:
    """The one bot that is meant where none is named."""
    if len(bots) > 1:
        raise Refused(
            f"bot is missing: {', '.join(bots)} have {symbol}. Say which, as in "
            f"/{verb} {symbol} ... bot={bots[0]}."
        )
    return bots[0]


def _asked(instruction: PlaceOrder | ClosePosition | ClosePositions) -> Act:
    return Act(instruction, lambda done: reply(Text(done), buttons=(POSITIONS, ORDERS)))
