"""The first run of the demo: weeks of simulated history, traded before anybody asks.

The history is traded by the same desk on the same market, only without waiting; it ends on
the first order after it, so that the first fill is seen within one candle.
"""

import asyncio
from collections.abc import Callable

from engine.candle import DAY_MS
from engine.order import Order
from engine.ports import Commit, Market
from engine.runtime import Runtime

HISTORY_MS = 21 * DAY_MS
# A strategy that finds no entry for this long is let go at the usual speed.
PATIENCE_MS = 3 * DAY_MS


class History:
    """Runs the market at full speed for HISTORY_MS from `since` (ms) and on to the next entry,
    then at `speed`."""

    def __init__(
        self,
        runtime: Runtime,
        market: Market,
        since: int,
        speed: float,
        on_progress: Callable[[float], None],
    ) -> None:
        self._runtime = runtime
        self._since = since
        self._until = since + HISTORY_MS
        self._speed = speed
        self._on_progress = on_progress
        self.over = asyncio.Event()
        market.speed = 0

    def on_commit(self, batch: Commit) -> None:
        if self.over.is_set():
            return
        now = self._runtime.view().market_time
        self._on_progress(min((now - self._since) / HISTORY_MS, 1.0) if now else 0.0)
        ordered = any(isinstance(fact, Order) and not fact.reduce_only for fact in batch.facts)
        if (now > self._until and ordered) or now > self._until + PATIENCE_MS:
            self._runtime.set_speed(self._speed)
            self.over.set()
