"""The market as it is: prices and charts."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from engine.candle import DAY_MS, HOUR_MS, Aggregator, Candle, timeframe_ms, timeframe_name
from engine.desk import Desk
from engine.errors import Refused
from engine.instrument import Instrument
from engine.order import ZERO, Fill, Side
from engine.view import CoreView, PositionView
from handlers.command import Context, Symbol, Timeframe, command, timeframes
from handlers.reply import (
    Button,
    CandleChart,
    Chart,
    Fields,
    Marker,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Reply,
    Table,
    Time,
    Value,
    reply,
    show,
)

# Enough for a pattern, few enough that a candle is still a candle on a phone.
CHART_CANDLES = 120
# Fills on one chart, the newest: forty for each candle. Those of one candle share a marker, so
# this bounds the work, not the picture; a chart that leaves any out says so.
FILLS_MAX = 5_000
CHART_TIMEFRAME = "1h"
# Bars of the market's own that are made candles of in one go: some 10 ms.
BARS_AT_ONCE = 3_000
# Offered as buttons beneath a chart, as far as the market has them.
CHART_BUTTONS = ("5m", "15m", "1h", "4h", "1d")


@command("price")
async def price(context: Context, symbol: Symbol | None = None) -> Reply:
    """The last price, its change in 1 and 24 hours, and the day's high and low.

    Example: /price BTC, or /price for all symbols
    """
    desk = context.desk
    if symbol is None:
        quotes = [await _quote(desk, each) for each in desk.symbols]
        columns = tuple(quotes[0]) if quotes else ()
        rows = tuple(tuple(quote.values()) for quote in quotes)
        return reply(Table("Prices", columns, rows))
    quote = await _quote(desk, symbol)
    if quote["price"] is None:
        raise no_candles(symbol)
    alert = Button("Alert", f"/alert {symbol}", asks=("direction", "price"))
    return reply(Fields(symbol, quote), buttons=(*symbol_buttons(symbol), alert))


@command("chart")
async def chart(
    context: Context, symbol: Symbol | None = None, timeframe: Timeframe | None = None
) -> Reply:
    """A picture of the candles with entries, exits, stop and target.

    Without a symbol it shows the first open position, without a timeframe 1h.

    Example: /chart BTC 15m
    """
    desk = context.desk
    symbol = symbol or default_symbol(desk)
    timeframe = timeframe or _default_timeframe(desk)
    interval = timeframe_ms(timeframe)
    view = desk.view()
    candles, until = await chart_candles(desk, symbol, interval, view.market_time)
    if not candles:
        raise no_candles(symbol)
    fills = await desk.recent(
        Fill,
        lambda fill: fill.exec_time,
        symbol=symbol,
        since=candles[0].ts,
        limit=FILLS_MAX + 1,
    )
    notes = [f"newest {FILLS_MAX:,} fills"] if len(fills) > FILLS_MAX else []
    held = [item for item in view.positions if item.position.symbol == symbol]
    forming = until < candles[-1].ts + interval
    picture = CandleChart(
        title=f"{symbol} {timeframe}",
        subtitle=" · ".join([shown_range(candles, until), *notes, desk.badge]),
        interval=interval,
        candles=tuple(candles),
        markers=_markers(view, symbol, fills[-FILLS_MAX:]),
        levels=tuple(level for item in held for level in _levels(desk, item)),
        forming_until=until if forming else None,
    )
    others = [name for name in CHART_BUTTONS if name in timeframes(desk) and name != timeframe]
    buttons = (Button(name, f"/chart {symbol} {name}") for name in others)
    return reply(Chart(picture), buttons=(*buttons, Button("Why", f"/why {symbol}")))


@command("symbols")
async def symbols(context: Context) -> Reply:
    """What can be traded here, and the exchange's rules for it.

    Quantities are in base currency; least is the smallest order's worth in quote currency.

    Example: /symbols
    """
    desk = context.desk
    traded = {symbol for bot in desk.view().bots for symbol in bot.symbols}
    columns = ("symbol", "tick", "step", "smallest", "largest", "least", "leverage", "traded")
    rows = tuple(_rules(desk.instrument(symbol), symbol in traded) for symbol in desk.symbols)
    return reply(Table("Symbols", columns, rows), buttons=(Button("Prices", "/price"),))


def _rules(rules: Instrument, traded: bool) -> tuple[Value, ...]:
    return (
        rules.symbol,
        Quantity(rules.tick),
        Quantity(rules.quantity_step),
        Quantity(rules.quantity_min),
        Quantity(rules.quantity_max),
        Money(rules.notional_min),
        Multiple(rules.leverage_max),
        traded,
    )


def price_of(desk: Desk, symbol: str, number: Decimal | float | None) -> Price | None:
    """A price with as many decimals as the symbol's tick."""
    return None if number is None else Price(number, digits_of(desk, symbol))


def default_symbol(desk: Desk) -> str:
    """What is meant when no symbol is named: the first open position, else the first symbol."""
    view = desk.view()
    traded = [symbol for bot in view.bots for symbol in bot.symbols]
    held = [item.position.symbol for item in view.positions]
    return [*held, *traded, *desk.symbols][0]


def symbol_buttons(symbol: str) -> tuple[Button, ...]:
    """What one may want to see next of a symbol."""
    return Button("Chart", f"/chart {symbol}"), Button("Why", f"/why {symbol}")


def no_candles(symbol: str) -> Refused:
    return Refused(f"No candle of {symbol} has closed yet. Ask again in a moment, or say /wait.")


def digits_of(desk: Desk, symbol: str) -> int:
    """How many decimals a symbol's tick has."""
    tick = desk.instrument(symbol).tick.normalize()
    return max(0, -int(tick.as_tuple().exponent))


async def _quote(desk: Desk, symbol: str) -> dict[str, Value]:
    """The last price and what the last day did, from the market's own candles."""
    view = desk.view()
    now, interval = view.market_time, desk.market.interval
    bars = await desk.candles(symbol, interval, DAY_MS // interval + 1)
    day = [bar for bar in bars if bar.ts >= now - DAY_MS]
    last = view.prices.get(symbol)
    return {
        "symbol": symbol,
        "price": price_of(desk, symbol, last),
        "change_1h": _change(bars, interval, now - HOUR_MS, last),
        "change_24h": _change(bars, interval, now - DAY_MS, last),
        "high_24h": price_of(desk, symbol, max((bar.high for bar in day), default=None)),
        "low_24h": price_of(desk, symbol, min((bar.low for bar in day), default=None)),
    }


def _change(bars: Iterable[Candle], interval: int, since: int, last: float | None) -> Value:
    """The change from the last close at or before `since`; None when there is no such bar."""
    before = [bar.close for bar in bars if bar.ts + interval <= since]
    if not before or last is None:
        return None
    return Percent(last / before[-1] - 1, signed=True)


def _default_timeframe(desk: Desk) -> str:
    if CHART_TIMEFRAME in timeframes(desk):
        return CHART_TIMEFRAME
    return timeframe_name(desk.market.interval)


async def chart_candles(
    desk: Desk, symbol: str, interval: int, now: int
) -> tuple[list[Candle], int]:
    """The last candles of a chart, and until when they are known: the newest may be forming.

    That one is made of the market's own bars that have closed since the one before it, so that
    the chart ends with the last price there is. Both are asked as of `now`: the desk goes on
    meanwhile.
    """
    market = desk.market
    candles = await market.history(symbol, interval, now, CHART_CANDLES)
    closed_at = candles[-1].ts + interval if candles else 0
    shorts = await market.history(symbol, market.interval, now, interval // market.interval)
    aggregator = Aggregator(market.interval, interval)
    for short in shorts:
        if short.ts >= closed_at:
            candles += aggregator.push(short)
    if aggregator.open_bar is None:
        return candles, closed_at
    return [*candles, aggregator.open_bar][-CHART_CANDLES:], shorts[-1].ts + market.interval


async def past_candles(
    desk: Desk, symbol: str, interval: int, until: int, limit: int
) -> list[Candle]:
    """The last `limit` candles that had closed at `until`, however long they are: made in parts, so
    that the desk goes on meanwhile. Raises Unreachable."""
    at_once = max(1, BARS_AT_ONCE * desk.market.interval // interval)
    parts: list[list[Candle]] = []
    while limit > 0:
        part = await desk.market.history(symbol, interval, until, min(limit, at_once))
        if not part:
            break
        parts.append(part)
        until, limit = part[0].ts, limit - len(part)
        await desk.clock.sleep(0)
    return [candle for part in reversed(parts) for candle in part]


def shown_range(candles: Sequence[Candle], until: int) -> str:
    """From when until when a chart shows its candles, in words."""
    first = show(Time(candles[0].ts)).removesuffix(" UTC")
    return f"{first} to {show(Time(until))}"


def _levels(desk: Desk, item: PositionView) -> Iterator[tuple[str, float]]:
    """Entry, stop and target, as far as they are set, on the symbol's tick."""
    levels = {
        "entry": item.position.average_price,
        "stop": item.stop_loss,
        "target": item.take_profit,
    }
    for name, level in levels.items():
        if level is not None:
            yield name, round(float(level), digits_of(desk, item.position.symbol))


def _markers(view: CoreView, symbol: str, fills: Sequence[Fill]) -> tuple[Marker, ...]:
    """Each fill as an entry or an exit: told by walking back from what is held now."""
    held = {
        item.position.account: item.position.quantity
        for item in view.positions
        if item.position.symbol == symbol
    }
    markers = []
    for fill in reversed(fills):
        after = held.get(fill.account, ZERO)
        held[fill.account] = before = after - fill.exec_qty * fill.side.sign
        markers.append(_marker(fill, is_entry=_opens(before, fill.side)))
    return tuple(reversed(markers))


def _opens(before: Decimal, side: Side) -> bool:
    """Whether a fill of this side makes the position it meets larger."""
    return before == 0 or (before > 0) == (side is Side.BUY)


def _marker(fill: Fill, is_entry: bool) -> Marker:
    if is_entry:
        label = f"{fill.side} {show(Quantity(fill.exec_qty))}"
    else:
        label = fill.close_reason.replace("_", " ")
    return Marker(fill.exec_time, float(fill.exec_price), fill.side, is_entry, label)
