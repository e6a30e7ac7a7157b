"""The facts of a market, gathered from a running desk."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.candle import (
    DAY_MS,
    HOUR_MS,
    Candle,
    settled_before,
    timeframe_ms,
    timeframe_name,
)
from engine.desk import Desk
from engine.market_facts import (
    LISTED,
    SWING_BARS,
    TIMEFRAMES,
    Held,
    MarketFacts,
    Trader,
    levels,
    measured,
)
from engine.order import Side
from engine.patterns import BARS_MIN, patterns
from engine.position import Trade
from engine.regime import BARS, regime
from engine.signal import Decision
from engine.view import CoreView, PositionView
from handlers.command import timeframes
from handlers.market import digits_of, no_candles

# Of this timeframe, where the market has it, are regime, patterns and levels; the EMA 200 of so
# many bars has forgotten where it began. The others vote, for which fewer are enough.
BASE, BASE_CANDLES, CANDLES = "1h", 500, 250
CHANGES = {"1h": HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS}

Bars = Mapping[str, Sequence[Candle]]


async def market_facts(desk: Desk, symbol: str) -> MarketFacts:
    """What is known about a symbol now. Raises Refused before its first candle has closed."""
    view = desk.view()
    price = view.prices.get(symbol)
    if price is None:
        raise no_candles(symbol)
    bars = await _bars(desk, symbol, view.market_time)
    found = await asyncio.to_thread(_measured, symbol, view.market_time, price, bars)
    settled = settled_before(view.market_time)
    return replace(
        found,
        digits=digits_of(desk, symbol),
        changes=await _changes(desk, symbol, view.market_time, price),
        funding=float(desk.market.funding_rate(symbol, settled)),
        traders=_traders(view, symbol),
        held=tuple(_held(item) for item in view.positions if item.position.symbol == symbol),
        trades=tuple(
            await desk.recent(Trade, lambda trade: trade.exit_time, symbol=symbol, limit=LISTED)
        ),
        signals=tuple(
            await desk.recent(Decision, lambda signal: signal.ts, symbol=symbol, limit=LISTED)
        ),
    )


async def _bars(desk: Desk, symbol: str, now: int) -> Bars:
    """Closed candles by timeframe, shortest first; those that are too young have none."""
    names = [each for each in TIMEFRAMES if each in timeframes(desk)]
    names = names or [timeframe_name(desk.market.interval)]
    found = {}
    for name in names:
        limit = BASE_CANDLES if name == BASE else CANDLES
        found[name] = await desk.market.history(symbol, timeframe_ms(name), now, limit)
    return {name: bars for name, bars in found.items() if bars}


def _measured(symbol: str, ts: int, price: float, bars: Bars) -> MarketFacts:
    """What is computed from candles alone. For a thread: it takes a while."""
    base = BASE if BASE in bars else next(iter(bars), BASE)
    candles = bars.get(base, ())
    supports, resistances = levels(candles, price)
    return MarketFacts(
        symbol=symbol,
        ts=ts,
        price=price,
        digits=0,
        base=base,
        candles=tuple(candles[-SWING_BARS:]),
        timeframes=tuple(measured(name, each) for name, each in bars.items()),
        regime=regime(candles) if len(candles) >= BARS else None,
        patterns=tuple(patterns(candles)) if len(candles) >= BARS_MIN else (),
        supports=supports,
        resistances=resistances,
    )


async def _changes(
    desk: Desk, symbol: str, now: int, price: float
) -> tuple[tuple[str, float], ...]:
    """How far the price came since, as far as there are candles that old."""
    found = []
    for name, length in CHANGES.items():
        interval = desk.market.interval
        before = await desk.market.history(symbol, interval, now - length, 1)
        if before:
            found.append((name, price / before[-1].close - 1.0))
    return tuple(found)


def _traders(view: CoreView, symbol: str) -> tuple[Trader, ...]:
    return tuple(
        Trader(bot.bot_id, bot.strategy, timeframe_name(bot.timeframe), str(bot.status))
        for bot in view.bots
        if symbol in bot.symbols
    )


def _held(item: PositionView) -> Held:
    position = item.position
    entry = float(position.average_price or item.price)
    stop, target = item.stop_loss, item.take_profit
    return Held(
        bot_id=position.bot_id,
        side=position.side or Side.BUY,
        quantity=float(abs(position.quantity)),
        entry=entry,
        gain=float(item.unrealized / abs(position.cost)) if position.cost else 0.0,
        stop_loss=None if stop is None else float(stop),
        take_profit=None if target is None else float(target),
        age=item.age,
    )
