"""Candles: the closed bars everything is decided on, and their aggregation to longer ones."""

from typing import NamedTuple

from engine.errors import BadInput

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Funding is settled at 00, 08 and 16 UTC.
FUNDING_EVERY_MS = 8 * HOUR_MS

TIMEFRAMES = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}


class Candle(NamedTuple):
    """One closed bar. `ts` is its open in UTC ms, volume is in base currency."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def settled_before(ts: int) -> int:
    """The last stamp (UTC ms) at which funding was settled by `ts`."""
    return ts - ts % FUNDING_EVERY_MS


def timeframe_ms(name: str) -> int:
    """The length of a timeframe such as `5m`; raises BadInput naming the ones there are."""
    try:
        return TIMEFRAMES[name]
    except KeyError:
        raise BadInput("timeframe", name, ", ".join(TIMEFRAMES)) from None


def timeframe_name(interval: int) -> str:
    """The name of a length in ms; a length without a name is given in minutes."""
    names = {length: name for name, length in TIMEFRAMES.items()}
    return names.get(interval, f"{interval / MINUTE_MS:g}m")


class Aggregator:
    """Builds bars of `target` ms out of bars of `base` ms, one at a time.

    A long bar is complete when its last short bar has closed. Where short bars are missing
    it is built from those there are, and completed by the first bar after its end; nothing
    is ever filled in.
    """

    def __init__(self, base: int, target: int, open_bar: Candle | None = None) -> None:
        if target % base:
            raise BadInput(
                "timeframe", timeframe_name(target), f"a multiple of {timeframe_name(base)}"
            )
        self.base = base
        self.target = target
        self.open_bar = open_bar

    def push(self, candle: Candle) -> list[Candle]:
        """Take the next short bar, return the long bars it completes (none, one or two)."""
        if self.base == self.target:
            return [candle]
        completed = []
        start = candle.ts - candle.ts % self.target
        if self.open_bar is not None and self.open_bar.ts != start:
            completed.append(self.open_bar)
            self.open_bar = None
        self.open_bar = _extend(self.open_bar, candle, start)
        if candle.ts + self.base == start + self.target:
            completed.append(self.open_bar)
            self.open_bar = None
        return completed


def _extend(long: Candle | None, short: Candle, start: int) -> Candle:
    if long is None:
        return short._replace(ts=start)
    return Candle(
        long.ts,
        long.open,
        max(long.high, short.high),
        min(long.low, short.low),
        short.close,
        long.volume + short.volume,
    )


def aggregate(candles: list[Candle], base: int, target: int) -> list[Candle]:
    """The bars of `target` ms that `candles` complete, oldest first."""
    aggregator = Aggregator(base, target)
    return [bar for candle in candles for bar in aggregator.push(candle)]
