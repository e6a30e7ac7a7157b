"""Facts for autopsies, suggestions and briefings, gathered from the desk."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from engine.bot_facts import TRADES, BotFacts, Choice
from engine.candle import DAY_MS, HOUR_MS, timeframe_ms
from engine.desk import Desk
from engine.errors import Refused
from engine.order import Order
from engine.position import Trade
from engine.regime import BARS, regime
from engine.signal import Action, Decision
from engine.trade_facts import LATER_HOURS, STOP, TARGET, TradeFacts, measure
from handlers.command import timeframes
from handlers.market import digits_of, past_candles
from handlers.technical import REGIME_BARS, usual_timeframe

# A trade is looked at on the shortest candles of which no more than this lie in its time.
CANDLES_MAX = 500
# How much before the entry is looked at, in candles.
BEFORE = 24
# Signals among which the gates are counted.
DECISIONS_MAX = 1_000


async def trade_facts(desk: Desk, trade: Trade) -> TradeFacts:
    """A closed trade with the candles around it. Raises Unreachable."""
    now = desk.view().market_time
    start = trade.entry_time
    end = min(trade.exit_time + LATER_HOURS[-1] * HOUR_MS, now)
    interval = _interval(desk, end - start)
    limit = (end - start) // interval + BEFORE + 1
    candles = await past_candles(desk, trade.symbol, interval, end, limit)
    entry = await _entry(desk, trade)
    levels = tuple(_levels(entry)) if entry else ()
    return TradeFacts(
        trade=trade,
        leverage=entry.leverage if entry else None,
        confidence=await _confidence(desk, entry) if entry else None,
        levels=levels,
        digits=digits_of(desk, trade.symbol),
        interval=interval,
        candles=tuple(candles),
        measured=await asyncio.to_thread(measure, trade, candles, interval, now, levels),
    )


def _levels(entry: Order) -> Iterator[tuple[str, float]]:
    for name, level in ((STOP, entry.stop_loss), (TARGET, entry.take_profit)):
        if level is not None:
            yield name, float(level)


def _interval(desk: Desk, length: int) -> int:
    """The shortest timeframe that the market has of which a length holds not too many bars."""
    offered = [timeframe_ms(name) for name in timeframes(desk)]
    fitting = [ms for ms in offered if length // ms <= CANDLES_MAX]
    return min(fitting, default=max(offered))


async def _entry(desk: Desk, trade: Trade) -> Order | None:
    """The order that opened it, with the levels that it was entered with."""
    found = await desk.store.recent(
        Order, account=trade.account, symbol=trade.symbol, since=trade.entry_time - DAY_MS
    )
    named = (each for each in found if each.client_order_id == trade.entry_client_order_id)
    return next(named, None)


async def _confidence(desk: Desk, entry: Order) -> float | None:
    """How sure the signal was that opened it; None for one that a person opened."""
    since = entry.created_at - DAY_MS
    found = await desk.store.recent(
        Decision, account=entry.account, symbol=entry.symbol, since=since
    )
    named = (each for each in found if each.order_link_id == entry.order_link_id)
    decision = next(named, None)
    return decision.confidence if decision else None


async def bot_facts(desk: Desk, bot_id: str) -> BotFacts:
    """A bot with its parameters and results. Raises Refused, Unreachable."""
    bot = next((bot for bot in desk.view().bots if bot.bot_id == bot_id), None)
    if bot is None:
        raise Refused(f"There is no bot {bot_id}. /bots lists them.")
    tuning = desk.tuning()
    scope = tuning.scopes[bot_id]
    trades = await desk.store.recent(Trade, account=bot.account, bot_id=bot_id, limit=TRADES)
    decisions = await desk.store.recent(Decision, account=bot.account, limit=DECISIONS_MAX)
    stopped = Counter(
        each.gate
        for each in decisions
        if each.bot_id == bot_id and each.action is Action.ENTRY and not each.approved
    )
    return BotFacts(
        bot_id=bot_id,
        strategy=bot.strategy,
        summary=bot.summary,
        symbols=bot.symbols,
        choices=tuple(
            Choice(each.parameter, each.value, each.lowest, each.highest)
            for each in scope.parameters.values()
            if each.rests_until <= tuning.now and each.lowest < each.highest
        ),
        trades=tuple(trades),
        gates=tuple(stopped.most_common()),
        regimes=tuple([(symbol, await _regime(desk, symbol)) for symbol in bot.symbols]),
        losing=tuning.losing,
        stopped=tuning.stopped,
    )


async def _regime(desk: Desk, symbol: str) -> str:
    candles = await desk.candles(symbol, timeframe_ms(usual_timeframe(desk)), REGIME_BARS)
    if len(candles) < BARS:
        return "not known yet"
    return str((await asyncio.to_thread(regime, candles)).kind)
