"""The system's clock: the one place that asks the operating system for the time."""

import asyncio
import time


class SystemClock:
    """Wall time in UTC ms, durations in seconds."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()  # noqa: TID251  this is the Clock port's own implementation

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  this is the Clock port's own implementation
