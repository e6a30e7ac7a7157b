"""What the candles show: patterns in them, and what kind of market they make."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from engine.candle import Candle, timeframe_ms, timeframe_name
from engine.desk import Desk
from engine.patterns import BARS_MAX, BARS_MIN, Pattern, patterns
from engine.regime import BARS, Kind, Readings, Regime, regime
from handlers.command import Context, Symbol, Timeframe, command, timeframes
from handlers.market import CHART_TIMEFRAME, default_symbol, no_candles, price_of
from handlers.reply import (
    Button,
    CandleChart,
    Chart,
    Fields,
    Percent,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)

# The EMA 200 of so many bars has forgotten where it began.
REGIME_BARS = 500
# Offered as buttons, as far as the market has them.
OTHERS = ("15m", "1h", "4h", "1d")
READ_AS = {1: "bullish", -1: "bearish", 0: "undecided"}

MEANING = {
    Kind.BREAKOUT: "the close is beyond the Bollinger bands, which were narrow just before",
    Kind.STRONG_UPTREND: "above the EMA 200, and an ADX of 25 or more points up",
    Kind.STRONG_DOWNTREND: "below the EMA 200, and an ADX of 25 or more points down",
    Kind.CALM: "the Bollinger bands are in the narrowest fifth of their last 90 bars",
    Kind.VOLATILE: "the average true range is in the widest tenth of its last 90 bars",
    Kind.WEAK_UPTREND: "above the EMA 200, with an ADX of 20 or more",
    Kind.WEAK_DOWNTREND: "below the EMA 200, with an ADX of 20 or more",
    Kind.RANGING: "no trend, and neither calm nor volatile",
}


@command("patterns")
async def patterns_(
    context: Context, symbol: Symbol | None = None, timeframe: Timeframe | None = None
) -> Reply:
    """The patterns that end with the last closed candle, and the levels that confirm them.

    Engulfing, doji, hammer, shooting star; double top and bottom, triangles. Without a symbol it
    looks at the first open position, without a timeframe at 1h. Nothing trades on them.

    Example: /patterns BTC 1h
    """
    desk = context.desk
    symbol, timeframe = symbol or default_symbol(desk), timeframe or usual_timeframe(desk)
    candles = await desk.candles(symbol, timeframe_ms(timeframe), BARS_MAX)
    buttons = _buttons(desk, "patterns", symbol, timeframe)
    if too_few := _too_few(candles, BARS_MIN, symbol, timeframe):
        return reply(too_few, buttons=buttons)
    found = await asyncio.to_thread(patterns, candles)
    rows = tuple(_pattern_row(desk, symbol, each) for each in found)
    at = show(Time(candles[-1].ts + timeframe_ms(timeframe)))
    table = Table(
        f"Patterns in {symbol} {timeframe}",
        ("pattern", "read_as", "state", "level", "since"),
        rows,
        empty=f"No pattern in {symbol} {timeframe} at {at}.",
    )
    picture = _picture(desk, symbol, timeframe, candles, found)
    return reply(table, Chart(picture), buttons=buttons)


def _pattern_row(desk: Desk, symbol: str, found: Pattern) -> tuple[Value, ...]:
    state = "confirmed" if found.confirmed else "waits for a close beyond its level"
    return (
        found.name,
        READ_AS[found.bias],
        state if found.level else "complete",
        price_of(desk, symbol, found.level or None),
        Time(found.ts),
    )


def _picture(
    desk: Desk, symbol: str, timeframe: str, candles: Sequence[Candle], found: Sequence[Pattern]
) -> CandleChart:
    """The candles that were looked at, with the level of each formation."""
    interval = timeframe_ms(timeframe)
    first = show(Time(candles[0].ts)).removesuffix(" UTC")
    return CandleChart(
        title=f"{symbol} patterns {timeframe}",
        subtitle=f"{first} to {show(Time(candles[-1].ts + interval))} · {desk.badge}",
        interval=interval,
        candles=tuple(candles),
        levels=tuple(
            (each.name, _rounded(desk, symbol, each.level)) for each in found if each.level
        ),
    )


def _rounded(desk: Desk, symbol: str, level: float) -> float:
    """A level on the symbol's tick."""
    tick = desk.instrument(symbol).tick
    return float(round(Decimal(repr(level)) / tick) * tick)


@command("regime")
async def regime_(
    context: Context, symbol: Symbol | None = None, timeframe: Timeframe | None = None
) -> Reply:
    """What kind of market it is: one of eight regimes, with the numbers it rests on.

    Breakout, strong or weak trend up or down, calm, volatile, ranging; told by the EMA 200, ADX,
    Bollinger bands and true range of closed candles. Without a symbol all that the bots trade.

    Example: /regime, or /regime BTC 4h
    """
    desk = context.desk
    timeframe = timeframe or usual_timeframe(desk)
    if symbol is None:
        return await _regimes(desk, timeframe)
    candles = await desk.candles(symbol, timeframe_ms(timeframe), REGIME_BARS)
    buttons = _buttons(desk, "regime", symbol, timeframe)
    if too_few := _too_few(candles, BARS, symbol, timeframe):
        return reply(too_few, buttons=buttons)
    found = await asyncio.to_thread(regime, candles)
    sentence = Text(f"{symbol} {timeframe}: {found.kind} ({MEANING[found.kind]}).")
    card = Fields(f"Regime of {symbol} {timeframe}", _readings(desk, symbol, found.readings))
    return reply(sentence, card, buttons=buttons)


def _readings(desk: Desk, symbol: str, found: Readings) -> dict[str, Value]:
    return {
        "close": price_of(desk, symbol, found.close),
        "ema_200": price_of(desk, symbol, found.average),
        "from_ema": Percent(found.distance, signed=True),
        "adx": f"{found.adx:.1f} (up {found.plus:.1f}, down {found.minus:.1f})",
        "bandwidth": f"{show(Percent(found.bandwidth))}, {_narrower(found.bandwidth_percentile)}",
        "true_range": f"{show(Percent(found.atr))}, {_narrower(found.atr_percentile)}",
        "bands": {1: "above them", -1: "below them", 0: "inside"}[found.beyond],
    }


def _narrower(percentile: float) -> str:
    return f"wider than {percentile:.0%} of 90 bars"


async def _regimes(desk: Desk, timeframe: str) -> Reply:
    """A row for each symbol that a bot trades."""
    traded = dict.fromkeys(symbol for bot in desk.view().bots for symbol in bot.symbols)
    rows = []
    for symbol in traded:
        candles = await desk.candles(symbol, timeframe_ms(timeframe), REGIME_BARS)
        found = await asyncio.to_thread(regime, candles) if len(candles) >= BARS else None
        rows.append(_regime_row(symbol, found, len(candles)))
    columns = ("symbol", "regime", "from_ema", "adx", "range")
    buttons = (
        *(Button(symbol, f"/regime {symbol} {timeframe}") for symbol in traded),
        *_timeframes(desk, "/regime", timeframe),
    )
    return reply(Table(f"Regimes {timeframe}", columns, tuple(rows)), buttons=buttons)


def _regime_row(symbol: str, found: Regime | None, bars: int) -> tuple[Value, ...]:
    if found is None:
        return symbol, f"n/a: needs {BARS} bars, has {bars}", None, None, None
    readings = found.readings
    return (
        symbol,
        str(found.kind),
        Percent(readings.distance, signed=True),
        round(readings.adx),
        Percent(readings.atr),
    )


def usual_timeframe(desk: Desk) -> str:
    """The timeframe that is looked at where nobody names one."""
    if CHART_TIMEFRAME in timeframes(desk):
        return CHART_TIMEFRAME
    return timeframe_name(desk.market.interval)


def _too_few(candles: Sequence[Candle], least: int, symbol: str, timeframe: str) -> Text | None:
    if not candles:
        raise no_candles(symbol)
    if len(candles) >= least:
        return None
    return Text(
        f"{symbol} has {len(candles)} closed candles of {timeframe}; it takes {least}. "
        "A shorter timeframe has more."
    )


def _buttons(desk: Desk, name: str, symbol: str, timeframe: str) -> tuple[Button, ...]:
    other = "regime" if name == "patterns" else "patterns"
    return (
        *_timeframes(desk, f"/{name} {symbol}", timeframe),
        Button(other.capitalize(), f"/{other} {symbol} {timeframe}"),
        Button("Chart", f"/chart {symbol} {timeframe}"),
        Button("Why", f"/why {symbol}"),
    )


def _timeframes(desk: Desk, said: str, timeframe: str) -> tuple[Button, ...]:
    offered = timeframes(desk)
    return tuple(
        Button(each, f"{said} {each}") for each in OTHERS if each in offered and each != timeframe
    )
