"""What is known about a market and the desk's own doings in it: the facts an analysis rests on.

Nouns, the indicators of one timeframe, and the whole as compact text. Times are UTC ms, prices are
in quote currency. What is not defined yet is None, and left out of the text; nothing here is NaN
or infinite where the candles are not.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS, Candle
from engine.order import Side
from engine.patterns import Pattern, mirrored, swing_highs
from engine.position import Trade
from engine.regime import Regime
from engine.signal import Action, Decision
from engine.strategies import agreement
from engine.strategies.indicators import (
    Adx,
    Atr,
    Percentile,
    adx,
    adx_bars,
    atr,
    ema,
    macd_bars,
    percentile,
    stochastic_bars,
)
from engine.strategies.resample import Longer

# The timeframes that are looked at, as far as a market has them.
TIMEFRAMES = ("15m", "30m", "1h", "4h")
LENGTH = 14.0
AVERAGES = (20, 50, 200)
PERCENTILE_BARS = 90
# Swing points are looked for among so many last bars, and so many are told on either side.
SWING_BARS, LEVELS_MAX = 120, 3
# The last trades and signals that are told.
LISTED = 5
# Candles in the text: each costs some 20 tokens, with so many digits in its prices at most.
CANDLES_TOLD, DIGITS_TOLD = 12, 5
# What of a gate's words is told.
DETAIL_MAX = 80


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The indicators of a timeframe after its last closed bar, of `bars` that were seen.

    `frame` holds those that vote; `averages` are the EMA of 20, 50 and 200 bars as far as there
    are twice as many; `atr` is the average true range of 14 bars in price, `calmer` the share of
    the last 90 bars whose range was smaller.
    """

    name: str
    bars: int
    close: float
    frame: agreement.Frame
    trend: Adx
    averages: tuple[tuple[int, float], ...]
    atr: float
    calmer: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """A bot's open position: `quantity` in base currency, `gain` as a fraction of its cost before
    fees, `age` in ms."""

    bot_id: str
    side: Side
    quantity: float
    entry: float
    gain: float
    stop_loss: float | None
    take_profit: float | None
    age: int


@dataclass(frozen=True, slots=True)
class Trader:
    """A bot that trades the symbol, the name of its strategy and its bars, and how it stands."""

    bot_id: str
    strategy: str
    timeframe: str
    status: str


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """A market at `ts`, with `digits` decimals in its prices.

    `changes` are fractions by the length of time they took; `funding` is the rate settled last
    (positive: longs pay). `regime`, `patterns`, `supports` and `resistances` (nearest first) and
    `candles` are of the timeframe called `base`.
    """

    symbol: str
    ts: int
    price: float
    digits: int
    base: str
    candles: tuple[Candle, ...]
    timeframes: tuple[Timeframe, ...]
    changes: tuple[tuple[str, float], ...] = ()
    funding: float | None = None
    regime: Regime | None = None
    patterns: tuple[Pattern, ...] = ()
    supports: tuple[float, ...] = ()
    resistances: tuple[float, ...] = ()
    traders: tuple[Trader, ...] = ()
    held: tuple[Held, ...] = ()
    trades: tuple[Trade, ...] = ()
    signals: tuple[Decision, ...] = ()

    def timeframe(self, name: str) -> Timeframe | None:
        return next((each for each in self.timeframes if each.name == name), None)

    def to_text(self) -> str:
        """All of it in lines, rounded to what matters."""
        return "\n".join(_lines(self))


# -- measuring ---------------------------------------------------------------------------


def measured(name: str, candles: Sequence[Candle]) -> Timeframe:
    """The indicators after the last of these closed candles, oldest first; at least one."""
    window, ring = (array("d", bytes(8 * size)) for size in (agreement.PIECE, PERCENTILE_BARS))
    frame, trend, ranges, spread = agreement.Frame(), Adx(), Atr(), Percentile()
    averages = dict.fromkeys(AVERAGES, 0.0)
    for count, bar in enumerate(candles, start=1):
        frame = agreement.closed(frame._replace(growing=Longer(*bar)), window, 0)
        trend = adx(trend, bar.high, bar.low, bar.close, LENGTH)
        ranges = atr(ranges, bar.high, bar.low, bar.close, LENGTH)
        if ranges.bars > LENGTH:
            spread = percentile(spread, ring, 0, ranges.value / bar.close, PERCENTILE_BARS)
        for length in AVERAGES:
            averages[length] = ema(averages[length], bar.close, float(count), float(length))
    return Timeframe(
        name=name,
        bars=len(candles),
        close=candles[-1].close,
        frame=frame,
        trend=trend,
        averages=tuple(each for each in averages.items() if 2 * each[0] <= len(candles)),
        atr=ranges.value,
        calmer=spread.value if spread.bars >= PERCENTILE_BARS else None,
    )


def levels(candles: Sequence[Candle], price: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Supports below and resistances above a price, nearest first: the last swing lows and highs.

    Levels within half a true range of a nearer one are left out, and so is what is further than
    half the price.
    """
    bars = candles[-SWING_BARS:]
    apart = measured("", bars).atr / 2.0 if bars else 0.0
    lows = [-swing.price for swing in swing_highs([mirrored(bar) for bar in bars])]
    highs = [swing.price for swing in swing_highs(bars)]
    supports = sorted((low for low in lows if price / 2.0 <= low < price), reverse=True)
    resistances = sorted(high for high in highs if price < high <= price * 1.5)
    return _spread(supports, apart), _spread(resistances, apart)


def _spread(nearest_first: Sequence[float], apart: float) -> tuple[float, ...]:
    kept: list[float] = []
    for level in nearest_first:
        if not kept or abs(level - kept[-1]) > apart:
            kept.append(level)
    return tuple(kept[:LEVELS_MAX])


# -- as text -----------------------------------------------------------------------------


def _lines(facts: MarketFacts) -> Iterator[str]:
    yield f"{facts.symbol} at {_time(facts.ts)} UTC, prices in USDT"
    yield f"price {_price(facts, facts.price)}"
    if changes := [f"{name} {_percent(change, signed=True)}" for name, change in facts.changes]:
        yield f"change: {', '.join(changes)}"
    if facts.funding is not None:
        yield f"funding rate {facts.funding:.4%} (positive: longs pay)"
    if facts.regime is not None:
        yield _regime(facts, facts.regime)
    for timeframe in facts.timeframes:
        yield f"{timeframe.name}: {', '.join(_indicators(facts, timeframe))}"
    if found := [_pattern(facts, each) for each in facts.patterns]:
        yield f"patterns {facts.base}: {', '.join(found)}"
    yield from _swings(facts)
    yield from _candles(facts)
    yield from _doings(facts)


def _regime(facts: MarketFacts, regime: Regime) -> str:
    found = regime.readings
    return (
        f"regime {facts.base}: {regime.kind}; {_percent(found.distance, signed=True)} from "
        f"EMA 200, ADX {found.adx:.1f}, bandwidth {_percent(found.bandwidth)} (wider than "
        f"{found.bandwidth_percentile:.0%} of 90 bars)"
    )


def _indicators(facts: MarketFacts, timeframe: Timeframe) -> Iterator[str]:
    frame, trend, bars = timeframe.frame, timeframe.trend, timeframe.bars
    yield f"close {_price(facts, timeframe.close)}"
    if bars > LENGTH:
        yield f"RSI {frame.rsi.value:.1f}"
    if bars >= macd_bars(26.0, 9.0):
        yield f"MACD histogram {_share(frame.macd.histogram, timeframe.close)}"
        yield f"before {_share(frame.macd.previous_histogram, timeframe.close)}"
    if bars >= agreement.BANDS:
        yield f"Bollinger position {frame.bands.position:.2f}"
        yield f"width {_percent(frame.bands.bandwidth)}"
    if bars >= stochastic_bars(agreement.RANGE, agreement.SMOOTH, agreement.SIGNAL):
        yield f"stochastic K {frame.stochastic.k:.0f}"
        yield f"D {frame.stochastic.d:.0f}"
    if bars >= agreement.VOLUME:
        yield f"volume {frame.volume.value:.2f}x its mean"
    if bars >= adx_bars(LENGTH):
        yield f"ADX {trend.value:.0f} (+DI {trend.plus:.0f}, -DI {trend.minus:.0f})"
    for length, average in timeframe.averages:
        yield f"EMA {length} {_rounded(facts, average)}"
    if bars > LENGTH:
        yield f"ATR {_percent(timeframe.atr / timeframe.close)}"
    if timeframe.calmer is not None:
        yield f"wider than {timeframe.calmer:.0%} of 90 bars"


def _pattern(facts: MarketFacts, found: Pattern) -> str:
    read_as = {1: "bullish", -1: "bearish", 0: "undecided"}[found.bias]
    if not found.level:
        return f"{found.name} ({read_as})"
    state = "confirmed" if found.confirmed else "not confirmed"
    return f"{found.name} ({read_as}, level {_price(facts, found.level)}, {state})"


def _swings(facts: MarketFacts) -> Iterator[str]:
    for name, found in (("supports", facts.supports), ("resistances", facts.resistances)):
        if found:
            prices = ", ".join(_price(facts, level) for level in found)
            yield f"{name} {facts.base}, swing points: {prices}"


def _candles(facts: MarketFacts) -> Iterator[str]:
    told = facts.candles[-CANDLES_TOLD:]
    if told:
        yield f"last {len(told)} candles of {facts.base}, oldest first, high low close:"
    for bar in told:
        yield " ".join(_rounded(facts, each) for each in (bar.high, bar.low, bar.close))


def _doings(facts: MarketFacts) -> Iterator[str]:
    for trader in facts.traders:
        yield f"bot {trader.bot_id}: {trader.strategy} on {trader.timeframe}, {trader.status}"
    for held in facts.held:
        yield f"position of {held.bot_id}: {_held(facts, held)}"
    for trade in facts.trades:
        yield f"closed trade: {_trade(facts, trade)}"
    for signal in facts.signals:
        yield f"signal {_time(signal.ts)}: {_signal(facts, signal)}"


def _held(facts: MarketFacts, held: Held) -> str:
    levels = {"stop": held.stop_loss, "target": held.take_profit}
    told = [f", {name} {_price(facts, at)}" for name, at in levels.items() if at is not None]
    return (
        f"{held.side.direction} {held.quantity:g} from {_price(facts, held.entry)}, "
        f"{_percent(held.gain, signed=True)} so far, open for {_length(held.age)}{''.join(told)}"
    )


def _trade(facts: MarketFacts, trade: Trade) -> str:
    prices = (_price(facts, float(each)) for each in (trade.entry_price, trade.exit_price))
    return (
        f"{trade.side.direction} {trade.quantity.normalize():f} of {trade.bot_id} from "
        f"{' to '.join(prices)}, net {trade.net_pnl:+.2f} USDT "
        f"({_percent(float(trade.pnl_pct), signed=True)}), closed {_time(trade.exit_time)} by "
        f"{trade.close_reason.replace('_', ' ')}"
    )


def _signal(facts: MarketFacts, signal: Decision) -> str:
    enters = signal.action is Action.ENTRY
    side = (signal.side if enters else signal.side.opposite).direction
    became = (
        "done" if signal.approved else f"stopped by {signal.gate} ({signal.detail[:DETAIL_MAX]})"
    )
    return f"{'open' if enters else 'close'} {side} at {_price(facts, signal.price)}, {became}"


def _price(facts: MarketFacts, price: float) -> str:
    return f"{price:.{facts.digits}f}"


def _rounded(facts: MarketFacts, price: float) -> str:
    """A price where the last digits of a long one do not matter."""
    decimals = DIGITS_TOLD - 1 - floor(log10(price))
    return f"{price:.{min(facts.digits, max(0, decimals))}f}"


def _percent(fraction: float, signed: bool = False) -> str:
    return f"{fraction:+.2%}" if signed else f"{fraction:.2%}"


def _share(amount: float, price: float) -> str:
    """An amount in price as a share of it: what compares between symbols."""
    return f"{amount / price:+.3%}"


def _time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M}"


def _length(ms: int) -> str:
    days, hours, minutes = ms // DAY_MS, ms % DAY_MS // HOUR_MS, ms % HOUR_MS // MINUTE_MS
    return f"{days}d {hours}h" if days else f"{hours}h {minutes}m"
