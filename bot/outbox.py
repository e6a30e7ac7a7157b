"""Stored notices on their way to people: in order, marked only once they were handed over.

A crash between handing over and marking means a second message, never a lost one.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from pydantic import TypeAdapter, ValidationError

from engine.effect import Notice, NoticeKind
from engine.errors import Unreachable
from engine.ports import Clock, Commit, OutboxRow, Store

# Notices handed over before they are marked together.
BATCH = 200
# What comes within this time goes out and is marked together: nobody sees the difference, and
# a fast replay is not slowed down by a transaction for each notice.
GATHER_S = 0.1
# How soon a database that could not be reached is asked again.
RETRY_S = 2.0

log = structlog.get_logger()

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


class Outbox:
    """Hands each stored notice to every surface, oldest first."""

    def __init__(
        self, store: Store, clock: Clock, surfaces: Sequence[Callable[[Notice], None]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._surfaces = surfaces
        self._failed = False
        self._wake = asyncio.Event()
        self._wake.set()

    def on_commit(self, batch: Commit) -> None:
        if batch.notices:
            self._wake.set()

    async def run(self) -> None:
        """Deliver for as long as the desk runs."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_S if not self._failed else RETRY_S)
            self._wake.clear()
            await self.deliver()

    async def deliver(self) -> None:
        """Hand over everything that waits. While the database can't be read it stays there."""
        try:
            await self._deliver()
        except Unreachable as error:
            log.warning("notices wait for the database", error=str(error))
            self._failed = True
            self._wake.set()
        else:
            self._failed = False

    async def _deliver(self) -> None:
        while rows := await self._store.undelivered(BATCH):
            for row in rows:
                self._hand_over(row)
            await self._store.mark_delivered([row.seq for row in rows], self._clock.now())

    async def skip(self) -> None:
        """Mark what waits as delivered without telling anybody: news of the past."""
        while rows := await self._store.undelivered(BATCH):
            await self._store.mark_delivered([row.seq for row in rows], self._clock.now())

    def _hand_over(self, row: OutboxRow) -> None:
        try:
            notice = _NOTICE.validate_json(row.body)
        except ValidationError as error:
            # Told as what it is: one unreadable row must not keep back all that follow.
            log.error("a notice can't be read", seq=row.seq, error=str(error))
            text = f"Notice {row.seq} ({row.kind}) can't be read. The log says why."
            notice = Notice(NoticeKind.MARKET_REMARK, row.ts, text=text)
        for surface in self._surfaces:
            surface(notice)
