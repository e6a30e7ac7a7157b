"""Bots: what they are, how they do, adding, pausing and removing them."""

from decimal import Decimal
from typing import Annotated

from engine.bot import BotPlan, BotStatus
from engine.candle import timeframe_ms, timeframe_name
from engine.desk import Desk
from engine.errors import BadInput
from engine.instruction import AddBot, PauseBot, RemoveBot, ResumeBot
from engine.people import Role
from engine.plans import FOLLOWED
from engine.view import BotView, CoreView
from handlers.arguments import Amount, StrategyName, listed_span
from handlers.command import SYMBOL, Act, ArgumentType, BotId, Context, Kind, command
from handlers.reply import Button, Money, Reply, Table, Text, Value, reply

# What a bot's books begin with where nobody says, USDT.
CAPITAL = Decimal(10_000)
TIMEFRAME = "timeframe"


def _parse_symbols(field: str, text: str, desk: Desk) -> str:
    words = [word.strip() for word in text.split(",") if word.strip()]
    found = [_parse_followed(word, desk) for word in words]
    if not found or len(set(found)) < len(found):
        raise BadInput(field, text, "different symbols with commas between them, as in BTC,ETH")
    return ",".join(found)


def _parse_followed(word: str, desk: Desk) -> str:
    """A symbol of the market; of a live one, with how another gets there."""
    try:
        return str(SYMBOL.parse("symbol", word, desk))
    except BadInput as error:
        if desk.market.health() is None:
            raise
        raise BadInput("symbol", word, error.allowed + FOLLOWED) from None


def _parse_values(field: str, text: str, desk: Desk) -> str:
    seen: set[str] = set()
    for word in text.split():
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise BadInput(field, word, "name=value, as in leverage=3 or timeframe=1h")
        if name.lower() in seen:
            raise BadInput(name.lower(), value, "one value")
        seen.add(name.lower())
    return text


SYMBOLS = ArgumentType(
    "symbols with commas between them", _parse_symbols, SYMBOL.choices, span=listed_span
)
VALUES = ArgumentType(
    "name=value of parameters", _parse_values, lambda desk: [], rest=True, numeric=True
)

Symbols = Annotated[str, SYMBOLS]
Values = Annotated[str, VALUES]


@command("bot list")
async def bot_list(context: Context) -> Reply:
    """The bots of this desk: strategy, timeframe, status, symbols, positions, trades, net result.

    Example: /bot list
    """
    view = context.desk.view()
    summaries = [Text(line) for bot in view.bots for line in _lines(view, bot)]
    buttons = tuple(_switch(bot.bot_id, bot.status is BotStatus.PAUSED) for bot in view.bots)
    return reply(bots_table(view), *summaries, buttons=buttons)


@command("bot pause", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def bot_pause(context: Context, bot: BotId) -> Act:
    """Stop a bot from opening positions; those it holds are still managed. Acts at once.

    Example: /bot pause shortseller_001
    """
    managed = "It opens nothing new; stops, targets and exits of open positions go on."
    return Act(
        PauseBot(bot),
        lambda done: reply(Text(f"{done} {managed}"), buttons=(_switch(bot, paused=True),)),
    )


@command("bot resume", role=Role.TRADER, kind=Kind.SENSITIVE)
async def bot_resume(context: Context, bot: BotId) -> Act:
    """Let a paused bot open positions again, once a trader has confirmed it.

    Example: /bot resume shortseller_001
    """
    return Act(
        ResumeBot(bot), lambda done: reply(Text(done), buttons=(_switch(bot, paused=False),))
    )


@command("bot add", role=Role.TRADER, kind=Kind.SENSITIVE)
async def bot_add(
    context: Context,
    strategy: StrategyName,
    symbols: Symbols,
    capital: Amount = CAPITAL,
    values: Values = "",
) -> Act:
    """Run another bot, on books of its own, once a trader has confirmed it.

    Then come its capital in USDT, and values of the strategy's parameters; timeframe=1h sets its
    bars. It warms up on the market's history, and stays until /bot remove.

    Example: /bot add rsi BTC,ETH 5000 leverage=2
    """
    words = dict(_pair(word) for word in values.split())
    timeframe = words.pop(TIMEFRAME, "")
    named = tuple(context.desk.strategies[strategy].parse(words).items())
    length = timeframe_ms(timeframe) if timeframe else 0
    plan = BotPlan(strategy, tuple(symbols.split(",")), capital, length, named)
    return Act(AddBot(plan), lambda done: reply(Text(done), buttons=(Button("Bots", "/bot list"),)))


@command("bot remove", role=Role.TRADER, kind=Kind.SENSITIVE)
async def bot_remove(context: Context, bot: BotId) -> Act:
    """Take away a bot that was added here, once it is flat and a trader has confirmed it.

    What it did stays stored. A bot of countersign.toml is removed there.

    Example: /bot remove rsi_001
    """
    return Act(RemoveBot(bot), lambda done: reply(Text(done)))


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.lower(), value


def bots_table(view: CoreView) -> Table:
    """One row a bot; money is in quote currency, since the account was opened."""
    columns = (
        "bot", "strategy", "timeframe", "status", "symbols", "positions", "trades", "net"
    )  # fmt: skip
    return Table("Bots", columns, tuple(_row(view, bot) for bot in view.bots))


def _row(view: CoreView, bot: BotView) -> tuple[Value, ...]:
    ledger = next(account.ledger for account in view.accounts if account.bot_id == bot.bot_id)
    held = sum(item.position.bot_id == bot.bot_id for item in view.positions)
    return (
        bot.bot_id,
        bot.strategy,
        timeframe_name(bot.timeframe),
        str(bot.status),
        " ".join(bot.symbols),
        held,
        ledger.trades,
        Money(ledger.net, signed=True),
    )


def _lines(view: CoreView, bot: BotView) -> list[str]:
    """What there is to say of a bot: its strategy, what was set, what it waits for."""
    lines = [f"{bot.bot_id}: {bot.summary}."]
    if bot.tuned:
        values = ", ".join(f"{name} {value}" for name, value in bot.tuned.items())
        own = f"{bot.bot_id} has values of its own: {values}."
        lines.append(f"{own} /tune show tells where each comes from.")
    if bot.missing:
        missing = ", ".join(f"{symbol} {bars}" for symbol, bars in bot.missing.items())
        lines.append(f"{bot.bot_id} warms up; bars missing: {missing}.")
    return [*lines, *switched_off(view, bot)]


def switched_off(view: CoreView, bot: BotView) -> list[str]:
    """On which symbols a bot may not enter, where there are any."""
    off = [symbol for symbol in bot.symbols if f"{bot.bot_id}:{symbol}" in view.disabled]
    return [f"{bot.bot_id} is switched off on {', '.join(off)}."] if off else []


def _switch(bot_id: str, paused: bool) -> Button:
    word = "resume" if paused else "pause"
    return Button(f"{word.capitalize()} {bot_id}", f"/bot {word} {bot_id}")
