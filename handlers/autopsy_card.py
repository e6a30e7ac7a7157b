"""An autopsy as it is shown: the verdict, what was to be had, and what it teaches."""

from collections.abc import Iterator

from engine.advice import NO_KEY, Autopsy
from engine.autopsy import MEASURED, RULES
from engine.candle import timeframe_ms, timeframe_name
from engine.desk import Desk
from engine.errors import Unreachable
from engine.position import Trade
from handlers.command import timeframes
from handlers.market import CHART_CANDLES, digits_of, past_candles, price_of, shown_range
from handlers.marking import marked, warning
from handlers.reply import (
    Block,
    Button,
    CandleChart,
    Chart,
    Duration,
    Fields,
    Marker,
    Money,
    Percent,
    Quantity,
    Reply,
    Text,
    Value,
    reply,
    show,
)

# Candles of a chart before the entry, and after the exit.
AROUND = 30


async def card(desk: Desk, number: int, autopsy: Autopsy) -> Reply:
    trade = autopsy.trade
    picture = await _picture(desk, autopsy)
    blocks = [*_blocks(desk, autopsy), *([Chart(picture)] if picture else [])]
    buttons = (
        Button("Trades", "/trades"),
        Button("Why", f"/why {trade.symbol}"),
        Button("How it was made", f"/analysis {number}"),
    )
    return reply(*blocks, buttons=buttons)


def _blocks(desk: Desk, autopsy: Autopsy) -> Iterator[Block]:
    trade, invented = autopsy.trade, autopsy.invented
    if autopsy.instead not in ("", NO_KEY):
        yield Text(f"Measured figures stand in for the model: {autopsy.instead.rstrip('.')}.")
    yield Text(marked(f"{trade.name}: {autopsy.summary}", invented))
    title = f"Autopsy of {trade.name}, {trade.symbol} {trade.side.direction}"
    yield Fields(title, {**_trade(desk, trade), **_verdicts(desk, autopsy), **_measured(autopsy)})
    for heading, lines in (
        ("What decided it", autopsy.factors),
        ("Lessons", autopsy.lessons),
        ("What to do", autopsy.advice),
    ):
        if lines:
            found = "\n".join(f"- {marked(line, invented)}" for line in lines)
            yield Text(f"{heading}:\n{found}")
    if words := warning(invented):
        yield Text(words)
    yield Text(_by(autopsy))


def _trade(desk: Desk, trade: Trade) -> dict[str, Value]:
    net, share = show(Money(trade.net_pnl, signed=True)), show(Percent(trade.pnl_pct, signed=True))
    return {
        "bot": trade.bot_id,
        "net": f"{net} ({share})",
        "entered_at": price_of(desk, trade.symbol, trade.entry_price),
        "left_at": price_of(desk, trade.symbol, trade.exit_price),
        "held": Duration(trade.exit_time - trade.entry_time),
    }


def _verdicts(desk: Desk, autopsy: Autopsy) -> dict[str, Value]:
    found: dict[str, Value] = {
        "verdict": str(autopsy.verdict),
        "entry": marked(f"{autopsy.entry}. {autopsy.entry_words}", autopsy.invented),
        "exit": marked(f"{autopsy.exit}. {autopsy.exit_words}", autopsy.invented),
    }
    # By the figures it is that of the greatest gain, which stands among them.
    if autopsy.by != MEASURED and autopsy.better_exit is not None:
        found["better_exit"] = price_of(desk, autopsy.trade.symbol, autopsy.better_exit)
    return found


def _measured(autopsy: Autopsy) -> dict[str, Value]:
    return {name.replace(" ", "_"): words for name, words in autopsy.measured}


def _by(autopsy: Autopsy) -> str:
    if autopsy.by == MEASURED:
        no_key = f" {NO_KEY}" if autopsy.instead == NO_KEY else ""
        return f"By these rules: {RULES}{no_key}"
    return f"By {autopsy.by}, {autopsy.confidence:.0%} sure."


# -- the picture -------------------------------------------------------------------------


async def _picture(desk: Desk, autopsy: Autopsy) -> CandleChart | None:
    """The trade with the candles around it; None where they are not known any more."""
    trade = autopsy.trade
    interval = _interval(desk, trade)
    until = min(trade.exit_time + AROUND * interval, desk.view().market_time)
    limit = (until - trade.entry_time) // interval + AROUND
    try:
        candles = await past_candles(desk, trade.symbol, interval, until, limit)
    except Unreachable:
        return None
    if not candles or candles[0].ts > trade.entry_time:
        return None
    shown = shown_range(candles, candles[-1].ts + interval)
    return CandleChart(
        title=f"{trade.symbol} {trade.name} {timeframe_name(interval)}",
        subtitle=f"{shown} · {desk.badge}",
        interval=interval,
        candles=tuple(candles),
        markers=_markers(trade),
        levels=tuple(_levels(desk, autopsy)),
    )


def _interval(desk: Desk, trade: Trade) -> int:
    """The shortest timeframe of which a trade leaves room around itself on a chart."""
    offered = [timeframe_ms(name) for name in timeframes(desk)]
    held = trade.exit_time - trade.entry_time
    fitting = [ms for ms in offered if held // ms <= CHART_CANDLES - 2 * AROUND]
    return min(fitting, default=max(offered))


def _markers(trade: Trade) -> tuple[Marker, Marker]:
    entry, leaving = float(trade.entry_price), float(trade.exit_price)
    quantity = f"{trade.side} {show(Quantity(trade.quantity))}"
    reason = trade.close_reason.replace("_", " ")
    return (
        Marker(trade.entry_time, entry, trade.side, True, quantity),
        Marker(trade.exit_time, leaving, trade.side.opposite, False, reason),
    )


def _levels(desk: Desk, autopsy: Autopsy) -> Iterator[tuple[str, float]]:
    """Stop and target of the entry, and where it had better been left, on the symbol's tick."""
    best = [] if autopsy.better_exit is None else [("best exit", autopsy.better_exit)]
    for name, level in (*autopsy.levels, *best):
        yield name, round(level, digits_of(desk, autopsy.trade.symbol))
