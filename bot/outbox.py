"""Stored notices on their way to people: in order, marked only once they were handed over.

A crash between handing over and marking means a second message, never a lost one.
"""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import TypeAdapter

from engine.effect import Notice
from engine.ports import Clock, Commit, OutboxRow, Store

# Notices handed over before they are marked together.
BATCH = 200
# What comes within this time goes out and is marked together: nobody sees the difference, and
# a fast replay is not slowed down by a transaction for each notice.
GATHER_S = 0.1

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


class Outbox:
    """Hands each stored notice to every surface, oldest first."""

    def __init__(
        self, store: Store, clock: Clock, surfaces: Sequence[Callable[[Notice], None]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._surfaces = surfaces
        self._wake = asyncio.Event()
        self._wake.set()

    def on_commit(self, batch: Commit) -> None:
        if batch.notices:
            self._wake.set()

    async def run(self) -> None:
        """Deliver for as long as the desk runs."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_S)
            self._wake.clear()
            await self.deliver()

    async def deliver(self) -> None:
        """Hand over everything that waits."""
        while rows := await self._store.undelivered(BATCH):
            for row in rows:
                self._hand_over(row)
            await self._store.mark_delivered([row.seq for row in rows], self._clock.now())

    async def skip(self) -> None:
        """Mark what waits as delivered without telling anybody: news of the past."""
        while rows := await self._store.undelivered(BATCH):
            await self._store.mark_delivered([row.seq for row in rows], self._clock.now())

    def _hand_over(self, row: OutboxRow) -> None:
        notice = _NOTICE.validate_json(row.body)
        for surface in self._surfaces:
            surface(notice)
