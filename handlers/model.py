"""What a model is asked for: questions, analyses, autopsies, suggestions, briefings; and its cost.

It explains and drafts. What it would have done a person says, or decides.
"""

from typing import Annotated

from engine.desk import Desk
from engine.errors import Refused
from engine.people import Role
from engine.position import Trade
from handlers import analysis_page, bias_page, cost_page
from handlers.arguments import parse_id
from handlers.command import (
    ArgumentType,
    BotId,
    Context,
    Symbol,
    command,
    one_of,
)
from handlers.consulting import begun
from handlers.parameters import which_bot
from handlers.reading import DeskReading
from handlers.reply import Reply
from handlers.spoken import Question

QUESTION_MAX = 1_000
DAILY, WEEKLY = "daily", "weekly"

Period = Annotated[str, one_of(DAILY, WEEKLY)]


def _parse_number(field: str, word: str, desk: Desk) -> int:
    return parse_id(field, word, "the number of an analysis, as /analysis lists them")


NUMBER = ArgumentType("an analysis's number", _parse_number, lambda desk: [], numeric=True)


def _parse_trade(field: str, word: str, desk: Desk) -> int:
    return parse_id(field, word.upper().removeprefix("T"), "a trade as /trades lists them, as T12")


TRADE = ArgumentType("a trade, as T12", _parse_trade, lambda desk: [], numeric=True)

Number = Annotated[int, NUMBER]
TradeNumber = Annotated[int, TRADE]


@command("ask", starts=True)
async def ask(context: Context, question: Question) -> Reply:
    """Ask anything about the desk, in your own words; the answer says what was looked at.

    It looks with your own reach and acts on nothing: what it would do it drafts, and nothing is
    done before you say it. A plain private message, or a reply to a card, asks too.

    Example: /ask why are we short ETH?
    """
    desk = context.desk
    about = context.about
    asked = question[:QUESTION_MAX]
    reading = DeskReading(context)
    return await begun(context, await desk.advisor.ask(asked, about, reading, context.asker))


@command("analyze", starts=True)
async def analyze(context: Context, symbol: Symbol | None = None) -> Reply:
    """What to make of a market: direction, how sure, levels, risks, and the reasons.

    Without a symbol all that the bots trade. Where no model answers, a vote of indicators does,
    and says so. It trades nothing.

    Example: /analyze BTC
    """
    desk = context.desk
    traded = dict.fromkeys(each for bot in desk.view().bots for each in bot.symbols)
    symbols = [symbol] if symbol else list(traded) or list(desk.symbols)
    return await begun(context, await desk.advisor.analyze(symbols, context.asker))


@command("analysis")
async def analysis(context: Context, number: Number | None = None) -> Reply:
    """What a model was asked and answered, what it cost, and what used it; 30 days are kept.

    Without a number the last ones.

    Example: /analysis 17
    """
    if number is None:
        return await analysis_page.listed(context)
    return await analysis_page.page(context, number)


@command("aicost")
async def aicost(context: Context) -> Reply:
    """What the model has cost today and this month, against its caps, and when they begin anew.

    Example: /aicost
    """
    desk = context.desk
    return await cost_page.page(desk, desk.advisor.spending(), desk.advisor.status())


@command("bias")
async def bias(context: Context) -> Reply:
    """Which way the model leans, until when, and what came of the entries it stopped.

    Example: /bias
    """
    return await bias_page.page(context.desk)


@command("autopsy", starts=True)
async def autopsy(
    context: Context, trade: TradeNumber | None = None, bot: BotId | None = None
) -> Reply:
    """What a closed trade teaches: entry, exit, what was to be had, and what to do better.

    The number is that of /trades; without one it is the last trade, of the bot if one is named.

    Example: /autopsy, or /autopsy T12 shortseller_001
    """
    desk = context.desk
    found = await _trade(desk, trade, bot)
    return await begun(context, await desk.advisor.autopsy(found, context.asker))


async def _trade(desk: Desk, number: int | None, bot_id: str | None) -> Trade:
    """The trade with this number, or the last one; of one bot where one is named."""
    accounts = [bot.account for bot in desk.view().bots if bot_id in (None, bot.bot_id)]
    whose = f" of {bot_id}" if bot_id else ""
    if number is None:
        lasts = [await desk.store.recent(Trade, account=each, limit=1) for each in accounts]
        closed = [trade for last in lasts for trade in last]
        if not closed:
            raise Refused(f"No trade{whose} has closed yet.")
        return max(closed, key=lambda trade: trade.exit_time)
    found = [await desk.store.one(Trade, account, number) for account in accounts]
    for trade in found:
        if trade is not None:
            return trade
    raise Refused(f"There is no trade T{number}{whose}. /trades lists the last ones.")


@command("suggest", role=Role.TRADER, starts=True)
async def suggest(context: Context, bot: BotId | None = None) -> Reply:
    """Have the model think of better parameters; what it finds is tried on unseen candles.

    Only what does better there is proposed, and waits for a person whatever its tier.

    Example: /suggest shortseller_001
    """
    found = which_bot(context.desk, bot, "/suggest")
    if isinstance(found, Reply):
        return found
    # What comes of it the desk proposes, because they asked.
    context.desk.runtime.check_may(context.asker, found)
    return await begun(context, await context.desk.advisor.suggest(found, context.asker))


@command("briefing", starts=True)
async def briefing(context: Context, period: Period = DAILY) -> Reply:
    """The last day or week in a few sentences, from the desk's own figures.

    Example: /briefing weekly; /schedule add 08:00 briefing has it come by itself
    """
    weekly = period == WEEKLY
    return await begun(context, await context.desk.advisor.brief(weekly, context.asker))
