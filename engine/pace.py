"""Keeping to a rate that somebody else has set: at most so many in so much time."""

from collections import deque

from engine.ports import Clock


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
