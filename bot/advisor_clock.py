"""What the desk asks the model by itself: analyses by the clock and on signals, and autopsies of
trades that lost. Nothing is asked where no model would answer."""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import partial

import structlog

from bot.sections import GeminiSection
from engine.advice import Advisor, Consultation
from engine.candle import HOUR_MS, MINUTE_MS
from engine.desk import Desk
from engine.errors import CountersignError
from engine.people import DESK
from engine.ports import Commit
from engine.position import Trade
from engine.signal import Action, Decision

# How often is looked whether something is due.
LOOK_S = 5.0
# A symbol is not looked at again for its signals sooner than this.
FRESH_MS = 15 * MINUTE_MS
# Losing trades are looked into so often, and so many of them, the newest.
LOSSES_MS = 2 * HOUR_MS
LOSSES_MAX = 10

Begin = Callable[[], Awaitable[Consultation]]

log = structlog.get_logger()


class AdvisorClock:
    """Asks for what is due, one after the other. Times are wall time (UTC ms)."""

    def __init__(self, desk: Desk, advisor: Advisor, section: GeminiSection) -> None:
        self._desk = desk
        self._advisor = advisor
        self._section = section
        self._all_at = 0
        self._looked_at: dict[str, int] = {}
        self._losses_at = desk.clock.now()
        self._signaled: set[str] = set()
        self._lost: deque[Trade] = deque(maxlen=LOSSES_MAX)

    def on_commit(self, batch: Commit) -> None:
        """Note what gives reason to ask; no order waits for the answer."""
        for fact in batch.facts:
            if isinstance(fact, Decision) and fact.action is Action.ENTRY:
                self._signaled.add(fact.symbol)
            elif isinstance(fact, Trade) and fact.net_pnl < 0:
                self._lost.append(fact)

    async def run(self) -> None:
        """Ask for as long as the desk runs, of what happens from now on."""
        self._signaled.clear()
        self._lost.clear()
        while True:
            await self.look()
            await self._desk.clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask for what is due now, and wait for the answers."""
        signaled, self._signaled = self._signaled, set()
        if self._advisor.status().why_not:
            return
        for begin in self._due(signaled):
            try:
                begun = await begin()
                await self._advisor.end_of(begun.number)
            except CountersignError as error:
                log.warning("the model was not asked", error=str(error))

    def _due(self, signaled: Collection[str]) -> Iterator[Begin]:
        now = self._desk.clock.now()
        if symbols := self._symbols(signaled, now):
            self._looked_at.update(dict.fromkeys(symbols, now))
            yield partial(self._advisor.analyze, symbols, DESK)
        if now - self._losses_at >= LOSSES_MS:
            self._losses_at = now
            while self._lost:
                yield partial(self._advisor.autopsy, self._lost.popleft(), DESK)

    def _symbols(self, signaled: Collection[str], now: int) -> list[str]:
        """What is to be looked at: all that is traded when its time has come, else what had a
        signal and was not looked at lately."""
        traded = dict.fromkeys(each for bot in self._desk.view().bots for each in bot.symbols)
        every = self._section.analyze_minutes * MINUTE_MS
        if every and now - self._all_at >= every:
            self._all_at = now
            return list(traded)
        if not self._section.on_signal:
            return []
        stale = (each for each in signaled if now - self._looked_at.get(each, 0) >= FRESH_MS)
        return sorted(each for each in stale if each in traded)
