"""One desk of a simulation: it dies where it is told to, and nothing of it goes on then."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from engine.bybit.stream import StreamEvent
from engine.errors import Unreachable
from engine.event import CandleClosed
from engine.ports import Commit
from engine.store.memory import MemoryStore
from tests.fed_market import FedMarket
from tests.sim.loop import SimClock, SimLoop
from tests.sim.venue import SimBybit
from tests.sim.weather import Kind, Weather

T = TypeVar("T")

# What a commit takes, and one of a database that is slow (s).
COMMIT_S = 0.002
SLOW_COMMIT_S = 3.0


class Died(BaseException):
    """The process ends here."""


class Life:
    """Whether a process lives, and at which of its next commits it dies: before, or right after."""

    def __init__(self) -> None:
        self.ended = False
        self._left = -1
        self._after = False

    @property
    def goes_on(self) -> bool:
        return not self.ended

    def end(self) -> None:
        self.ended = True

    def end_at_commit(self, left: int, after: bool) -> None:
        self._left, self._after = left, after

    def is_struck(self, after: bool) -> bool:
        """Whether it ends at this side of the commit that is being made."""
        if self._left < 0:
            return False
        if after:
            self._left -= 1
            return self._left < 0 and self._after
        return self._left == 0 and not self._after

    def check(self) -> None:
        """Raise Died where nothing may be done any more."""
        if self.ended:
            raise Died


class StoreDoor:
    """The database as one process has it. `on_commit` is told of all that was stored."""

    mail: Any

    def __init__(
        self,
        store: MemoryStore,
        life: Life,
        weather: Weather,
        clock: SimClock,
        on_commit: Callable[[Commit], None],
    ) -> None:
        self._store = store
        self._life = life
        self._weather = weather
        self._clock = clock
        self._on_commit = on_commit
        self._commits = 0

    def __getattr__(self, name: str) -> Any:
        self._life.check()
        return getattr(self._store, name)

    async def commit(self, batch: Commit) -> None:
        self._commits += 1
        what = f"commit {batch.epoch} {self._commits}"
        slow = self._weather.strikes(Kind.STORE_SLOW, what)
        await self._clock.sleep(SLOW_COMMIT_S if slow else COMMIT_S)
        self._life.check()
        if self._weather.strikes(Kind.STORE_DOWN, what):
            raise Unreachable("the database does not answer")
        about = batch.journal[0].kind if batch.journal else "candles"
        self._weather.commits[about] += 1
        self._die_at(f"before {about}", after=False)
        await self._store.commit(batch)
        self._on_commit(batch)
        self._die_at(f"after {about}", after=True)

    def _die_at(self, place: str, *, after: bool) -> None:
        if self._life.is_struck(after):
            self._weather.note(Kind.CRASH_AT_COMMIT)
            self._weather.crashed[place] += 1
            self._life.end()
            raise Died


class ExchangeDoor:
    """The exchange as one process asks it; what was asked goes on without it."""

    def __init__(self, bybit: SimBybit, life: Life, loop: SimLoop) -> None:
        self._bybit = bybit
        self._life = life
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._bybit, name)
        return self._asking(found) if iscoroutinefunction(found) else found

    def _asking(self, ask: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def asked(*arguments: Any, **more: Any) -> T:
            self._life.check()
            answer: list[T | Exception] = []
            came = self._loop.create_future()

            async def carry_out() -> None:
                try:
                    answer.append(await ask(*arguments, **more))
                except Exception as error:
                    answer.append(error)
                if not came.done():
                    came.set_result(None)

            task = self._loop.create_task(carry_out())
            self._bybit.under_way.add(task)
            task.add_done_callback(self._bybit.under_way.discard)
            await came
            self._life.check()
            if isinstance(answer[0], Exception):
                raise answer[0]
            return answer[0]

        return asked


class SimMarket(FedMarket):
    """The market as one process takes it: what closed before it began, it gets from there on."""

    def __init__(
        self, symbols: Sequence[str], interval: int, clock: SimClock, past: Sequence[CandleClosed]
    ) -> None:
        super().__init__(symbols, interval, clock)
        self._all = list(past)


class StreamDoor:
    """The private stream as one process listens to it, once it runs."""

    def __init__(self, bybit: SimBybit, life: Life, handle: Callable[[StreamEvent], None]) -> None:
        self._bybit = bybit
        self._life = life
        self._handle = handle

    async def run(self) -> None:
        self._bybit.stream(self._handle, lambda: self._life.goes_on)
        await asyncio.Event().wait()
