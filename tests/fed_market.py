"""A market of candles that a test hands over, one moment after the other."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from engine.candle import Candle
from engine.event import CandleClosed, MarketEvent, PriceTicked
from engine.instrument import MAJORS, Instrument
from engine.ports import Clock
from tests.servers.bybit_prices import path

# A candle that is handed out later than this after its close opens no position.
LATE_MS = 60_000


class FedMarket:
    """Hands out what it is offered; a desk that begins again gets what it had not stored."""

    name = "bybit"
    label = "candles that are fed"
    speed = 1.0

    def __init__(self, symbols: Iterable[str], interval: int, clock: Clock) -> None:
        self.symbols = tuple(symbols)
        self.interval = interval
        self._clock = clock
        self._all: list[CandleClosed] = []
        self._waiting: list[MarketEvent] = []
        self._offered = asyncio.Event()
        self._idle = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        return not self._waiting

    def instrument(self, symbol: str) -> Instrument:
        return MAJORS[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        return Decimal("0.0001")

    def remarks(self) -> Sequence[str]:
        return []

    def health(self) -> None:
        return None

    def resume(self, cursors: Mapping[str, int]) -> None:
        self._waiting = [e for e in self._all if e.candle.ts > cursors.get(e.symbol, -1)]
        if self._waiting:
            self._idle.clear()

    async def next(self, limit: int) -> Sequence[MarketEvent]:
        while not self._waiting:
            self._idle.set()
            self._offered.clear()
            await self._offered.wait()
        batch, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return [self._aged(event) for event in batch]

    def _aged(self, event: MarketEvent) -> MarketEvent:
        if isinstance(event, PriceTicked) or self._clock.now() - event.closed_at < LATE_MS:
            return event
        return replace(event, late=True)

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        return []

    def offer(self, candles: Mapping[str, Candle]) -> None:
        """Have a desk take candles of one moment: each after the prices that it went through."""
        for symbol, candle in candles.items():
            closed_at = candle.ts + self.interval
            _, *prices = path(candle)
            closed = CandleClosed(symbol, candle, closed_at)
            self._all.append(closed)
            self._waiting += [*(PriceTicked(symbol, price, closed_at) for price in prices), closed]
        self._idle.clear()
        self._offered.set()

    async def taken(self) -> None:
        """Return once all that was offered was taken and stored."""
        await self._idle.wait()
