"""Keeping to a rate that somebody else has set: at most so many in so much time."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping

from engine.ports import Clock

# Whose pace is kept; those who were not seen for longest are forgotten first.
KEPT_MAX = 10_000


async def until(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait so long, or until the event is set, whichever comes first."""
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(clock.sleep(seconds)), tasks.create_task(event.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


class Pace:
    """At most `count` in any `seconds`, whenever the window begins."""

    def __init__(self, clock: Clock, count: int, seconds: float) -> None:
        self._clock = clock
        self._count = count
        self._seconds = seconds
        self._taken: deque[float] = deque()

    def delay(self) -> float:
        """Seconds until one more may go; 0 when it may go now."""
        now = self._now()
        if len(self._taken) < self._count:
            return 0.0
        return self._taken[-self._count] + self._seconds - now

    def take(self) -> None:
        """Note that one goes now, whether or not it was due."""
        self._taken.append(self._now())

    async def wait(self) -> None:
        """Return when one more may go, and count it."""
        while (delay := self.delay()) > 0:
            await self._clock.sleep(delay)
        self.take()

    def _now(self) -> float:
        """The time, by which what left the window is forgotten."""
        now = self._clock.monotonic()
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        return now


class Paces:
    """A pace of each one's own for each class of what they do: `limits` are (count, seconds)."""

    def __init__(self, clock: Clock, limits: Mapping[str, tuple[int, float]]) -> None:
        self._clock = clock
        self._limits = limits
        self._paces: OrderedDict[tuple[str, str], Pace] = OrderedDict()

    def take(self, who: str, what: str) -> float:
        """Count one of the class `what`, and 0; or the seconds until one may go, uncounted."""
        pace = self._pace(who, what)
        delay = pace.delay()
        if delay <= 0:
            pace.take()
        return delay

    def _pace(self, who: str, what: str) -> Pace:
        key = (who, what)
        if key not in self._paces:
            self._paces[key] = Pace(self._clock, *self._limits[what])
        self._paces.move_to_end(key)
        if len(self._paces) > KEPT_MAX:
            self._paces.popitem(last=False)
        return self._paces[key]
