"""Orders by hand, and the switch that stops all entries."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.event import ClosePosition, HaltDesk, PlaceOrder, ResumeDesk
from engine.instrument import exact
from engine.order import Side
from engine.people import Role
from handlers.arguments import SHARES, Amount, Fraction, Price
from handlers.command import (
    HIDDEN,
    STRAY_CODES,
    SYMBOL,
    Act,
    ArgumentType,
    BotId,
    Context,
    Kind,
    Symbol,
    Words,
    command,
)
from handlers.reply import Button, Money, Quantity, Text, reply, show
from handlers.tickets import base_of, direction_of, exact_price

# What of a reason is kept.
REASON_MAX = 200
HALT, RESUME = Button("Halt", "/halt"), Button("Resume", "/resume")
POSITIONS, ORDERS = Button("Positions", "/positions"), Button("Orders", "/orders")


@command("buy", role=Role.TRADER, kind=Kind.SENSITIVE)
async def buy(
    context: Context,
    symbol: Symbol,
    amount: Amount,
    bot: BotId | None = None,
    stop: Price | None = None,
    target: Price | None = None,
) -> Act:
    """Open a long at the market for an amount of USDT, once you have confirmed its card.

    Stop and target are prices; without them they are those of the bot's strategy.

    Example: /buy ETH 250, or /buy BTC 1.5k stop=60000 target=80000
    """
    return _place(context.desk, Side.BUY, symbol, amount, bot, stop, target)


@command("sell", role=Role.TRADER, kind=Kind.SENSITIVE)
async def sell(
    context: Context,
    symbol: Symbol,
    amount: Amount,
    bot: BotId | None = None,
    stop: Price | None = None,
    target: Price | None = None,
) -> Act:
    """Open a short at the market for an amount of USDT, once you have confirmed its card.

    Stop and target are prices; without them they are those of the bot's strategy.

    Example: /sell ETH 250, or /sell BTC 1.5k stop=80000 target=60000
    """
    return _place(context.desk, Side.SELL, symbol, amount, bot, stop, target)


def _parse_held(field: str, word: str, desk: Desk) -> str:
    """A symbol; whoever wants to close all of them is told how."""
    if word.lower() != "all":
        symbol: str = SYMBOL.parse(field, word, desk)
        return symbol
    held = sorted({each.position.symbol for each in desk.view().positions})
    if not held:
        raise Refused("Nothing is held.")
    first = base_of(held[0])
    raise Refused(f"One symbol at a time: /close {first}. Held: {', '.join(held)}.")


HeldSymbol = Annotated[str, ArgumentType("symbol", _parse_held, SYMBOL.choices)]


@command("close", role=Role.TRADER, kind=Kind.SENSITIVE)
async def close(
    context: Context, symbol: HeldSymbol, share: Fraction = SHARES["all"], bot: BotId | None = None
) -> Act:
    """Close a position, all of it or a part, at the market, once you have confirmed its card.

    Example: /close BTC, or /close BTC half, or /close BTC 25%
    """
    desk = context.desk
    held = [each.position for each in desk.view().positions]
    holders = [each.bot_id for each in held if each.symbol == symbol]
    if not holders:
        symbols = ", ".join(sorted({each.symbol for each in held}))
        raise Refused(f"No {symbol} is held. {f'Held: {symbols}.' if symbols else ''}".strip())
    return _asked(ClosePosition(bot or _only("close", symbol, holders), symbol, share))


@command("halt", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def halt(context: Context, reason: Words = "") -> Act:
    """Open no new positions anywhere, at once; those that are open are still managed.

    Why may follow. /halt! and the words stop, panic and /stopentry do the same.

    Example: /halt, or /halt news from the exchange
    """
    may_resume = context.principal.role >= Role.ADMIN
    buttons = (RESUME, POSITIONS) if may_resume else (POSITIONS,)
    why = STRAY_CODES.sub(HIDDEN, reason)[:REASON_MAX]
    return Act(HaltDesk(why), lambda done: reply(Text(done), buttons=buttons))


@command("resume", role=Role.ADMIN, kind=Kind.CRITICAL)
async def resume(context: Context) -> Act:
    """Let bots open positions again after a halt, once an admin has typed the card's phrase.

    Example: /resume
    """
    return Act(ResumeDesk(), lambda done: reply(Text(done), buttons=(HALT,)))


def _place(
    desk: Desk,
    side: Side,
    symbol: str,
    amount: Decimal,
    bot: str | None,
    stop: Decimal | None,
    target: Decimal | None,
) -> Act:
    bots = desk.view().bots
    traders = [each.bot_id for each in bots if symbol in each.symbols]
    if not traders:
        traded = sorted({each for bot_view in bots for each in bot_view.symbols})
        raise BadInput("symbol", symbol, ", ".join(traded) or "none: no bot trades here")
    if bot is not None and bot not in traders:
        raise BadInput("bot", bot, ", ".join(traders))
    by = bot or _only(side.lower(), symbol, traders)
    _check_flat(desk, by, symbol)
    _check_least(desk, side, symbol, amount)
    return _asked(PlaceOrder(by, symbol, side, amount, stop, target))


def _check_flat(desk: Desk, bot: str, symbol: str) -> None:
    """Raise Refused where the bot holds the symbol: it holds one position of each."""
    for each in desk.view().positions:
        if (each.position.bot_id, each.position.symbol) == (bot, symbol):
            held = direction_of(each.position.quantity)
            raise Refused(f"{symbol} is held already ({held}): /close {base_of(symbol)} first.")


def _check_least(desk: Desk, side: Side, symbol: str, amount: Decimal) -> None:
    """Raise Refused where an amount is too small for any order, with the least that is not."""
    if symbol not in desk.view().prices:
        raise Refused(f"{symbol} has no price yet.")
    price, rules = exact(desk.view().prices[symbol]), desk.instrument(symbol)
    steps = max(rules.quantity_min, rules.notional_min / price) / rules.quantity_step
    least = steps.to_integral_value(ROUND_CEILING) * rules.quantity_step
    if rules.quantize(float(amount / price)) < least:
        costs = (least * price).to_integral_value(ROUND_CEILING)
        raise Refused(
            f"{show(Money(amount))} USDT {side.lower()}s less than {show(Quantity(least))} "
            f"{base_of(symbol)}, the least there is: about {costs:,f} USDT at "
            f"{show(exact_price(price))}."
        )


def _only(verb: str, symbol: str, bots: Sequence[str]) -> str:
    """The one bot that is meant where none is named."""
    if len(bots) > 1:
        raise Refused(
            f"bot is missing: {', '.join(bots)} have {symbol}. Say which, as in "
            f"/{verb} {symbol} ... bot={bots[0]}."
        )
    return bots[0]


def _asked(instruction: PlaceOrder | ClosePosition) -> Act:
    return Act(instruction, lambda done: reply(Text(done), buttons=(POSITIONS, ORDERS)))
