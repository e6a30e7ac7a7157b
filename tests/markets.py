"""Facts of markets for analyses: whole ones made of candles, and single ones as a test says."""

from collections.abc import Sequence
from random import Random

from engine.candle import MINUTE_MS, Candle, aggregate, timeframe_ms
from engine.market_facts import TIMEFRAMES, MarketFacts, Timeframe, levels, measured
from engine.strategies.agreement import Frame
from engine.strategies.indicators import (
    Adx,
    Bollinger,
    Macd,
    RelativeVolume,
    Rsi,
    Stochastic,
)

T0 = 1_735_689_600_000
BAR = 5 * MINUTE_MS
PRICE = 60_000.0


def walk(count: int, seed: int = 7, price: float = PRICE) -> list[Candle]:
    """A random walk of five-minute bars, with wicks and uneven volumes."""
    random, close, made = Random(seed), price, []
    for index in range(count):
        opened, close = close, close * (1 + random.gauss(0, 0.002))
        high = max(opened, close) * (1 + abs(random.gauss(0, 0.001)))
        low = min(opened, close) * (1 - abs(random.gauss(0, 0.001)))
        volume = random.lognormvariate(3.0, 0.8)
        made.append(Candle(T0 + index * BAR, opened, high, low, close, volume))
    return made


def facts_of(bars: Sequence[Candle], symbol: str = "BTCUSDT") -> MarketFacts:
    """The facts that five-minute bars make, with the hour as base."""
    found = {name: aggregate(list(bars), BAR, timeframe_ms(name)) for name in TIMEFRAMES}
    hours = found["1h"]
    supports, resistances = levels(hours, bars[-1].close)
    return MarketFacts(
        symbol=symbol,
        ts=bars[-1].ts + BAR,
        price=bars[-1].close,
        digits=1,
        base="1h",
        candles=tuple(hours),
        timeframes=tuple(measured(name, each) for name, each in found.items() if each),
        supports=supports,
        resistances=resistances,
    )


def timeframe(name: str, side: int, bars: int = 300, calmer: float | None = 0.5) -> Timeframe:
    """A timeframe whose five indicators are all for one side, +1 or -1; with 0 none is for any."""
    return Timeframe(
        name=name,
        bars=bars,
        close=PRICE,
        frame=Frame(
            macd=Macd(histogram=side * 10.0),
            rsi=Rsi(bars=float(bars), value=50.0 + side * 10.0),
            bands=Bollinger(position=0.5 - side * 0.3),
            stochastic=Stochastic(k=50.0 + side * 10.0, d=50.0),
            volume=RelativeVolume(value=1.5 if side else 1.0),
        ),
        trend=Adx(value=30.0, plus=25.0 + side * 5.0, minus=25.0),
        averages=(),
        atr=300.0,
        calmer=calmer,
    )


def voting(**sides: int) -> MarketFacts:
    """A market whose timeframes are each for one side, as in `voting(m15=1, h4=-1)`."""
    names = {"m15": "15m", "m30": "30m", "h1": "1h", "h4": "4h", "d1": "1d"}
    frames = tuple(timeframe(names[key], side) for key, side in sides.items())
    base = "1h" if "h1" in sides or not frames else frames[-1].name
    return MarketFacts("BTCUSDT", T0, PRICE, 1, base, (), frames)
