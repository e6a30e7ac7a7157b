"""Whoever listens to a stream in a test."""

import asyncio

from engine.bybit.stream import Message


class Listener:
    """What a stream told, with a way to wait for it."""

    def __init__(self):
        self.events = []
        self.refuses = False

    def hear(self, event):
        self.events.append(event)
        if self.refuses and isinstance(event, Message):
            raise ValueError("not what was expected")

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition, seconds=30.0):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  the server is watched too, from outside
                await asyncio.sleep(0.005)

    async def until_told(self, kind, count=1):
        await self.until(lambda: len(self.told(kind)) >= count)
        return self.told(kind)
