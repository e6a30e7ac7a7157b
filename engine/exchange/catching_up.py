"""Asking for the executions that no stream has told: of the last moments, and of long ago.

Only what was read here moves `synced_until`: a stream that loses a message says nothing of it.
"""

import asyncio
from collections.abc import Iterator

import structlog

from engine.bybit.account import AccountApi, Rows, VenueExecution
from engine.candle import DAY_MS
from engine.effect import ReadHistory
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.event import HistoryRead
from engine.exchange.orders import Tell
from engine.exchange.tape import Tape
from engine.ports import Clock

# What asking Bybit may raise.
FAILURES = (ExchangeRefused, Unreachable, OutcomeUnknown)

# Read again each time: what happened just before a reading may not have been visible to it.
OVERLAP_MS = 60_000
# The longest time that may be asked for at once (documentation of `execution/list`).
WINDOW_MS = 7 * DAY_MS
# More pages of 100 than there can be in a window.
PAGES_MAX = 2_000
# Waits while a history can't be read.
HISTORY_RETRY_S = 5.0
HISTORY_RETRY_MAX_S = 60.0

log = structlog.get_logger()


class CatchUp:
    """Reads executions of one account, from where the last reading ended."""

    def __init__(self, api: AccountApi, tape: Tape, clock: Clock) -> None:
        self._api = api
        self._tape = tape
        self._clock = clock
        self._lock = asyncio.Lock()
        # Until when (Bybit's UTC ms) all executions were told; 0 before the first reading.
        self.synced_until = 0
        self.synced_at = 0.0

    async def catch_up(self) -> None:
        """Tell what is missing until now. Raises FAILURES; then nothing was told of a window that
        could not be read to its end."""
        async with self._lock:
            end = self._clock.now() + self._api.offset_ms
            start = (self.synced_until or end) - OVERLAP_MS
            before = self._tape.recovered
            for begin, until in windows(start, end):
                found = await self.read(begin, until)
                for row in found:
                    self._tape.take(row, missed=self.synced_until > 0)
                for spoiled in found.unread:
                    self._tape.spoiled(spoiled)
            self.synced_until = end
            self.synced_at = self._clock.monotonic()
        if recovered := self._tape.recovered - before:
            log.warning("bybit: the stream had not told of executions", recovered=recovered)

    async def read(self, start: int, end: int) -> Rows[VenueExecution]:
        """All executions of a window, oldest first."""
        rows: Rows[VenueExecution] = Rows()
        cursor = ""
        for _ in range(PAGES_MAX):
            page = await self._api.executions(start, end, cursor)
            rows.add(page.rows)
            cursor = page.cursor
            if not cursor:
                return in_time(rows)
        raise Unreachable(f"Bybit's list of executions has more than {PAGES_MAX} pages")


def windows(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The time from `start` to `end` in parts that may be asked for, oldest first."""
    while start < end:
        until = min(start + WINDOW_MS, end)
        yield start, until
        start = until


def in_time(rows: Rows[VenueExecution]) -> Rows[VenueExecution]:
    """Rows as Bybit lists them, newest first, in the order in which they happened."""
    ordered = Rows(reversed(rows), rows.unread)
    ordered.sort(key=lambda row: row.ts)
    return ordered


class History:
    """Reads executions of long ago again, for accounts whose books lack them."""

    def __init__(self, catch_up: CatchUp, tape: Tape, tell: Tell, clock: Clock) -> None:
        self._read = catch_up.read
        self._tape = tape
        self._tell = tell
        self._clock = clock
        self._wanted: asyncio.Queue[ReadHistory] = asyncio.Queue()

    def want(self, wanted: ReadHistory) -> None:
        self._wanted.put_nowait(wanted)

    async def run(self) -> None:
        """Read what is wanted, one account after the other, until canceled."""
        while True:
            await self._go_through(await self._wanted.get())

    async def _go_through(self, wanted: ReadHistory) -> None:
        found, account = 0, wanted.account
        for begin, until in windows(wanted.since, wanted.until):
            rows = await self._patiently(begin, until)
            found += sum(self._tape.repeat(row, account) for row in rows)
            for spoiled in rows.unread:
                self._tape.spoiled(spoiled)
            self._tell(HistoryRead(account, until, wanted.until, found, self._clock.now()))

    async def _patiently(self, begin: int, until: int) -> Rows[VenueExecution]:
        wait = HISTORY_RETRY_S
        while True:
            try:
                return await self._read(begin, until)
            except FAILURES as error:
                log.warning("bybit: a history can't be read yet", error=str(error), wait_s=wait)
            await self._clock.sleep(wait)
            wait = min(2 * wait, HISTORY_RETRY_MAX_S)
