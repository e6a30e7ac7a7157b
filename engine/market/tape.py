"""Serving candles of several symbols in the order they closed, at a pace, and looking back.

Both the replay and the simulated market are a tape over their bars; neither is known here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from math import inf, isfinite
from operator import attrgetter
from typing import Protocol

from engine.candle import FUNDING_EVERY_MS, Candle, aggregate, settled_before
from engine.errors import BadInput
from engine.event import CandleClosed
from engine.ports import Clock

# A pace changed from chat while the tape waits takes effect within this time.
NAP_S = 1.0


class Bars(Protocol):
    """The bars of one symbol, oldest first; times are opens in UTC ms."""

    @property
    def first(self) -> int:
        """The open of the oldest bar."""
        ...

    def since(self, start: int) -> Iterator[Candle]:
        """The bars that open at `start` or later; a simulated market has no last one."""
        ...

    def between(self, start: int, stop: int) -> Sequence[Candle]:
        """The bars that open at `start` or later and before `stop`."""
        ...


class Tape:
    """One market's candles, served by close time, then in the order of the symbols.

    `rate` tells the funding rate of a symbol that is settled at a stamp (UTC ms).

    `speed` is market time over wall time, 0 is as fast as it goes. With `live` no bar is
    shown before the wall clock has reached its close, whatever the speed.
    """

    def __init__(
        self,
        bars: Mapping[str, Bars],
        interval: int,
        speed: float,
        clock: Clock,
        rate: Callable[[str, int], Decimal] = lambda symbol, ts: Decimal(0),
        *,
        live: bool = False,
    ) -> None:
        self._bars = bars
        self._rate = rate
        self._interval = interval
        self._clock = clock
        self._live = live
        self.speed = speed
        self.resume({})

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not (isfinite(speed) and speed >= 0):
            raise BadInput("speed", speed, "0 (as fast as it goes) or a positive number")
        self._speed = speed
        self._anchor: tuple[int, float] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether every candle was served, of a live tape every one that has closed by now."""
        if self._head is None:
            return True
        return self._live and self._head.closed_at > self._clock.now()

    def resume(self, cursors: Mapping[str, int]) -> None:
        """Go on after the bars that opened at `cursors`; other symbols begin at their first."""
        feeds = [
            self._feed(symbol, cursors[symbol] + 1 if symbol in cursors else bars.first)
            for symbol, bars in self._bars.items()
        ]
        # A stable merge: at one moment the symbols keep their order.
        self._coming = merge(*feeds, key=attrgetter("closed_at"))
        self._head = next(self._coming, None)
        self._anchor = None

    def _feed(self, symbol: str, start: int) -> Iterator[CandleClosed]:
        interval = self._interval
        settled, funding = -1, 0.0
        for candle in self._bars[symbol].since(start):
            closed_at = candle.ts + interval
            if closed_at - settled >= FUNDING_EVERY_MS or settled < 0:
                settled = settled_before(closed_at)
                funding = float(self._rate(symbol, settled))
            yield CandleClosed(symbol, candle, closed_at, funding=funding)

    async def next(self, limit: int) -> list[CandleClosed]:
        """Wait until a candle is due, return up to `limit` of those due; [] at the end.

        At speed 0 a live tape that has caught up with the clock returns [] too, and goes on
        when it is asked again later.
        """
        # Others may change the speed or go elsewhere on the tape during a nap.
        while (delay := self._delay()) > 0:
            await self._clock.sleep(min(delay, NAP_S))
        horizon = self._horizon()
        taken: list[CandleClosed] = []
        while self._head is not None and self._head.closed_at <= horizon and len(taken) < limit:
            taken.append(self._head)
            self._head = next(self._coming, None)
        return taken

    def _horizon(self) -> float:
        """Bars that close up to this moment (ms of market time) are due."""
        paced = self._market_time(self._head) if self._head and self._speed else inf
        return min(paced, self._clock.now()) if self._live else paced

    def _delay(self) -> float:
        """Seconds of wall time until the next candle is due; none at the end, none at speed 0."""
        if self._head is None or not self._speed:
            return 0.0
        closed_at = self._head.closed_at
        paced = (closed_at - self._market_time(self._head)) / self._speed / 1000
        if not self._live:
            return paced
        return max(paced, (closed_at - self._clock.now()) / 1000)

    def _market_time(self, head: CandleClosed) -> float:
        """Market time in ms; it starts to run at the open of the bar that is served next."""
        if self._anchor is None:
            self._anchor = (head.closed_at - self._interval, self._clock.monotonic())
        started_at, started = self._anchor
        return started_at + (self._clock.monotonic() - started) * 1000 * self._speed

    def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        """The last `limit` bars of `interval` ms that had closed at `until`, oldest first."""
        if symbol not in self._bars:
            raise BadInput("symbol", symbol, ", ".join(self._bars))
        bars = self._bars[symbol]
        until = min(until, self._clock.now()) if self._live else until
        stop = until - self._interval + 1
        # Begin at a boundary of the long bars; where bars are missing, look further back.
        width = max(limit, 1)
        while True:
            start = (until // interval - width) * interval
            found = aggregate(list(bars.between(start, stop)), self._interval, interval)
            if len(found) >= limit or start <= bars.first:
                return found[-limit:] if limit > 0 else []
            width *= 2
