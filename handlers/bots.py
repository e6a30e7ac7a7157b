"""Bots: what they are, how they do, and pausing them."""

from engine.bot import BotStatus
from engine.event import PauseBot, ResumeBot
from engine.people import Role
from engine.view import BotView, CoreView
from handlers.command import Act, BotId, Context, Kind, command
from handlers.reply import Button, Money, Reply, Table, Text, Value, reply


@command("bot list")
async def bot_list(context: Context) -> Reply:
    """The bots of this desk: strategy, status, symbols, open positions, trades and net result.

    Example: /bot list
    """
    view = context.desk.view()
    summaries = [Text(f"{bot.bot_id}: {bot.summary}.") for bot in view.bots]
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


def bots_table(view: CoreView) -> Table:
    """One row a bot; money is in quote currency, since the account was opened."""
    columns = ("bot", "strategy", "status", "symbols", "positions", "trades", "net")
    return Table("Bots", columns, tuple(_row(view, bot) for bot in view.bots))


def _row(view: CoreView, bot: BotView) -> tuple[Value, ...]:
    ledger = next(account.ledger for account in view.accounts if account.bot_id == bot.bot_id)
    held = sum(item.position.bot_id == bot.bot_id for item in view.positions)
    return (
        bot.bot_id,
        bot.strategy,
        str(bot.status),
        " ".join(bot.symbols),
        held,
        ledger.trades,
        Money(ledger.net, signed=True),
    )


def _switch(bot_id: str, paused: bool) -> Button:
    word = "resume" if paused else "pause"
    return Button(f"{word.capitalize()} {bot_id}", f"/bot {word} {bot_id}")
