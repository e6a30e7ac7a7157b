"""A clock for tests with real sockets: time runs `rate` times as fast, and never stands still."""

import asyncio
import time


class FastClock:
    """Wall time from `now` (UTC ms) on; a sleep of `rate` seconds takes one."""

    def __init__(self, rate: float, now: int = 1_735_689_600_000) -> None:
        self.rate = rate
        self._began = time.monotonic()
        self._now = now

    def now(self) -> int:
        return self._now + int(self._passed() * 1000)

    def monotonic(self) -> float:
        return self._passed()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)

    def _passed(self) -> float:
        return (time.monotonic() - self._began) * self.rate
