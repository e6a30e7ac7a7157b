"""What a live market knows of one symbol: its closed bars without a hole, its last prices."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from typing import NamedTuple

from engine.candle import Candle
from engine.event import PriceTicked

# Bars kept for looking back once they were handed out: 10 days of bars of 5 min.
BARS_KEPT = 3_000
# Bars kept that nobody takes; what comes later is asked for again by REST.
BARS_WAITING = 5_000
# Bars kept that came before one that is missing.
BARS_AHEAD = 1_000
# A price is told when its second is over, the last of the second.
SECOND_MS = 1_000
# Tickers speak ten times a second; after such a silence a price may have been missed.
FLOW_GAP_MS = 15_000


class Bar(NamedTuple):
    """A closed candle; `ticked` when its prices came by ticker as they were made."""

    candle: Candle
    ticked: bool


class LiveBars:
    """The closed bars of one symbol, in order, each once, whatever order they come in.

    `given` is the open of the next bar to hand out: all that open before it were. All bars that
    open before `known` are known; those from `given` to `known` wait to be handed out.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._bars: deque[Bar] = deque()
        self._waiting = 0
        self._ahead: dict[int, Bar] = {}
        self.given = 0
        self.known = 0

    def begin(self, start: int) -> None:
        """Hand out from the bar that opens at `start` on, again if need be."""
        first = self._bars[0].candle.ts if self._bars else inf
        if not first <= start <= self.known:
            self._bars.clear()
            self._ahead.clear()
            self.known = start
        self.given = start
        self._waiting = sum(bar.candle.ts >= start for bar in self._bars)

    @property
    def has_gap(self) -> bool:
        """Whether a bar is known that opens after one that is not."""
        return bool(self._ahead)

    @property
    def room(self) -> int:
        """How many more bars may wait to be handed out."""
        return BARS_WAITING - self._waiting

    def add(self, bar: Bar) -> bool:
        """Take one bar, in any order; whether it was news."""
        ts = bar.candle.ts
        if ts < self.known or ts in self._ahead or len(self._ahead) >= BARS_AHEAD:
            return False
        self._ahead[ts] = bar
        self._join()
        return True

    def fill(self, start: int, end: int, bars: Iterable[Bar]) -> int:
        """Take all the bars there are that open from `start` to before `end`; how many are news.

        What begins after a hole is of no use, and left.
        """
        if start > self.known or end <= self.known:
            return 0
        found = {ts: bar for ts, bar in self._ahead.items() if ts < end}
        found |= {bar.candle.ts: bar for bar in bars if self.known <= bar.candle.ts < end}
        for ts in sorted(found):
            self._append(found[ts])
            self._ahead.pop(ts, None)
        self.known = end
        self._join()
        return len(found)

    def _join(self) -> None:
        while self.room > 0 and (bar := self._ahead.pop(self.known, None)):
            self._append(bar)
            self.known += self._interval

    def _append(self, bar: Bar) -> None:
        self._bars.append(bar)
        self._waiting += 1
        while len(self._bars) - self._waiting > BARS_KEPT:
            self._bars.popleft()

    def waiting(self, before: float) -> Iterator[Bar]:
        """The bars to hand out next that open before `before`, oldest first."""
        start = len(self._bars) - self._waiting
        for bar in islice(self._bars, start, None):
            if bar.candle.ts >= before:
                return
            yield bar

    def give(self, bar: Bar) -> None:
        """Note that the first bar of those waiting was handed out."""
        self.given = bar.candle.ts + self._interval
        self._waiting -= 1

    def between(self, start: int, stop: int) -> list[Candle] | None:
        """The bars that open from `start` to before `stop`; None where that is not all known."""
        if not self._bars or start < self._bars[0].candle.ts or stop > self.known:
            return None
        return [bar.candle for bar in self._bars if start <= bar.candle.ts < stop]


class LivePrices:
    """The last prices of one symbol, told at most once a second, and how gaplessly they came.

    All times are the exchange's, in UTC ms. Of prices that nobody takes only the newest is kept.
    """

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._second: PriceTicked | None = None
        self._untold: PriceTicked | None = None
        self._untold_since = 0
        self._newest = 0
        self._heard: int | None = None
        self._flows_since = 0
        self._prompt_since = 0

    def hear(self, ts: int, price: float | None) -> bool:
        """A ticker spoke at `ts`; without a price the last one stands.

        Whether there is a price to take now.
        """
        if self._heard is None or ts - self._heard > FLOW_GAP_MS:
            self._flows_since = ts
        self._heard = max(ts, self._heard or 0)
        self.pass_seconds(ts)
        if price is not None and ts >= self._newest:
            self._newest = ts
            self._second = PriceTicked(self._symbol, price, ts)
        return self._untold is not None

    def lose(self) -> None:
        """The connection is gone: what comes next may have missed a price."""
        self._heard = None

    def pass_seconds(self, now: int) -> None:
        """Have a price told whose second is over at `now`."""
        if self._second is None or self._second.ts // SECOND_MS >= now // SECOND_MS:
            return
        if self._untold is None:
            self._untold_since = self._second.ts
        self._untold, self._second = self._second, None

    def flowed(self, candle: Candle, closed_at: int) -> bool:
        """Whether the ticker spoke all through the candle without an interruption."""
        if self._heard is None:
            return False
        return self._flows_since <= candle.ts and self._heard >= closed_at - FLOW_GAP_MS

    def was_told(self, candle: Candle) -> bool:
        """Whether no price of the candle waited so long that others took its place."""
        return self._prompt_since <= candle.ts

    def take(self) -> PriceTicked | None:
        """The price to hand out next, if there is one."""
        self._note_delay()
        tick, self._untold = self._untold, None
        return tick

    def _note_delay(self) -> None:
        if self._untold is not None and self._untold.ts - self._untold_since > FLOW_GAP_MS:
            self._prompt_since = self._untold.ts

    def close(self, closed_at: int) -> PriceTicked | None:
        """A candle that closed at `closed_at` is to be handed out: the price that goes before.

        No price from before the close is told afterwards.
        """
        self.pass_seconds(closed_at)
        self._note_delay()
        untold = self._untold
        tick = self.take() if untold is not None and untold.ts < closed_at else None
        self._newest = max(self._newest, closed_at)
        return tick
