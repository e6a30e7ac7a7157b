"""The prices of the local Bybit: a function of symbol and time, until a test makes its own."""

from decimal import Decimal
from random import Random

from engine.candle import HOUR_MS, Candle

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
PRICES = {"BTCUSDT": 100_000.0, "ETHUSDT": 3_500.0, "SOLUSDT": 180.0}
FUNDING_MS = 8 * HOUR_MS


def price_at(symbol: str, ts: int) -> float:
    """The price of a symbol at a moment, the same whenever it is asked for."""
    drift = Random(f"{symbol}:{ts}").uniform(-0.002, 0.002)
    return round(PRICES.get(symbol, 10.0) * (1 + drift), 2)


def candle_at(symbol: str, interval: int, ts: int) -> Candle:
    """The candle that opens at `ts`: four prices of its time in the right order."""
    prices = [price_at(symbol, ts + part * interval // 4) for part in range(4)]
    volume = round(Random(f"{symbol}:{interval}:{ts}").uniform(1, 9), 3)
    return Candle(ts, prices[0], max(prices), min(prices), prices[-1], volume)


def funding_at(symbol: str, stamp: int) -> str:
    return f"{Random(f'{symbol}:{stamp}:funding').uniform(-0.0003, 0.0005):.6f}"


def exact(price: float) -> Decimal:
    """The shortest decimal that is this price."""
    return Decimal(repr(price))


def path(candle: Candle) -> tuple[float, float, float, float]:
    """The prices of a candle in the order they are played: a rising one falls first."""
    rises = candle.close >= candle.open
    first, second = (candle.low, candle.high) if rises else (candle.high, candle.low)
    return candle.open, first, second, candle.close


class Prices:
    """What each symbol costs now: what a test said last, else what `price_at` says."""

    def __init__(self) -> None:
        self._said: dict[str, Decimal] = {}
        self._marks: dict[str, Decimal] = {}
        # What was fed, by symbol, with the length of the candles in ms.
        self._candles: dict[str, tuple[int, dict[int, Candle]]] = {}

    def last(self, symbol: str, now: int) -> Decimal:
        said = self._said.get(symbol)
        return exact(price_at(symbol, now // 1000 * 1000)) if said is None else said

    def mark(self, symbol: str, now: int) -> Decimal:
        return self._marks.get(symbol) or self.last(symbol, now)

    def is_scripted(self, symbol: str) -> bool:
        return symbol in self._said

    def say(self, symbol: str, price: Decimal, mark: Decimal | None = None) -> None:
        """From now on a trade was at `price`, and the mark price is that where none is given."""
        self._said[symbol] = price
        self._marks[symbol] = price if mark is None else mark

    def keep(self, symbol: str, interval: int, candle: Candle) -> None:
        self._candles.setdefault(symbol, (interval, {}))[1][candle.ts] = candle

    def is_fed(self, symbol: str) -> bool:
        return symbol in self._candles

    def candle(self, symbol: str, interval: int, ts: int) -> Candle | None:
        """The candle that opens at `ts`: of a fed symbol made of its candles, else made up.

        None where the test has fed nothing.
        """
        if symbol not in self._candles:
            return candle_at(symbol, interval, ts)
        base, fed = self._candles[symbol]
        found = [fed[t] for t in range(ts, ts + interval, base) if t in fed]
        if not found or interval < base:
            return None
        return Candle(
            ts,
            found[0].open,
            max(candle.high for candle in found),
            min(candle.low for candle in found),
            found[-1].close,
            sum(candle.volume for candle in found),
        )
