"""What is to be done at an exchange: in order within a symbol, symbols at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

Job = Callable[[], Awaitable[None]]


class Lanes:
    """Does jobs, one lane a symbol. Who may go first of those that meet is said where they meet:
    at the budget of requests that all lanes share."""

    def __init__(self) -> None:
        self._lanes: dict[str, asyncio.Queue[Job]] = {}
        self._begun: asyncio.Queue[asyncio.Queue[Job]] = asyncio.Queue()

    def put(self, symbol: str, job: Job) -> None:
        """Have a job done after those of the same symbol."""
        if symbol not in self._lanes:
            self._lanes[symbol] = asyncio.Queue()
            self._begun.put_nowait(self._lanes[symbol])
        self._lanes[symbol].put_nowait(job)

    async def run(self) -> None:
        """Do what is put, until canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._work(await self._begun.get()))

    async def _work(self, lane: asyncio.Queue[Job]) -> None:
        while True:
            job = await lane.get()
            await job()
