"""A clock for tests: time stands still but for sleepers, and nobody waits for real."""

import asyncio
from itertools import count

# Turns that others get before time moves to the next sleeper, so that whoever was woken
# before comes as far as its own next wait.
TURNS = 8


class FakeClock:
    """Virtual time. It moves to the earliest sleeper once the others had their turns.

    `slept` is the sum of all sleeps in seconds. Tasks that wait for real threads or sockets do
    not hold the time up: tests with those move it by hand, with `advance`.
    """

    def __init__(self, now: int = 1_735_689_600_000) -> None:
        self.ms = float(now)
        self.slept = 0.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int]] = []

    def now(self) -> int:
        return int(self.ms)

    def monotonic(self) -> float:
        return self.ms / 1000

    def advance(self, seconds: float) -> None:
        self.ms += seconds * 1000

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await turn()
            return
        self.slept += seconds
        me = (self.ms + seconds * 1000, next(self._numbers))
        self._sleepers.append(me)
        try:
            await self._until_earliest(me)
            self.ms = max(self.ms, me[0])
        finally:
            self._sleepers.remove(me)

    async def _until_earliest(self, me: tuple[float, int]) -> None:
        turns = 0
        while turns < TURNS:
            await turn()
            turns = turns + 1 if min(self._sleepers) == me else 0


async def turn() -> None:
    """Let every other task that can run do so once."""
    await asyncio.sleep(0)
