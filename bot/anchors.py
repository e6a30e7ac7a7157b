"""Once a day: tells the admins where the audit ends, and cuts away what is too old to keep.

Whoever has the end of the audit in a chat can show later that rows before it are gone or others,
even where somebody had the key. What is cut away is verified first, so that no cut hides a fault,
and little at a time, so that a clock that was set ahead does not destroy what it makes old.
"""

from collections.abc import AsyncIterator, Sequence

import structlog

from engine.audit import KEPT_DAYS, AuditAnchor, AuditCut, AuditRow, Fault, Verifier, cut_at
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import Refused, Unreachable
from engine.instruction import AnchorAudit, ReportTrouble
from engine.people import DESK

# How often is looked whether a new day has begun, or what failed can be done now.
LOOK_S = 60.0
ROWS_AT_ONCE = 500
# Of how many days rows are cut away on one day.
CUT_DAYS_MAX = 7
# A desk that posted no anchor for longer was off, or its clock has leapt.
ANCHOR_DAYS_MAX = 3
# How far clocks may be apart that are right: rows of orders have the exchange's time.
AHEAD_MS = HOUR_MS

log = structlog.get_logger()


class Anchors:
    """Posts the end of the audit each UTC day, and keeps the audit to its days."""

    def __init__(self, desk: Desk, audit_key: bytes) -> None:
        self._desk = desk
        self._key = audit_key
        self._done: int | None = None

    async def run(self) -> None:
        """Look for as long as the desk runs. Raises LostLock where another desk took over."""
        while True:
            await self.look()
            await self._desk.clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Do what this day asks for and was not done yet; what fails is tried at the next look."""
        today = self._desk.clock.now() // DAY_MS
        if today == self._done:
            return
        try:
            await self._anchor(today)
            await self._cut()
        except (Unreachable, Refused) as error:
            log.warning("the audit's end could not be posted", error=str(error))
        else:
            self._done = today

    async def _anchor(self, today: int) -> None:
        """Post the last row, unless that was done on this day."""
        store = self._desk.store
        # Anchors of a day to come are those of a clock that was wrong.
        posted = await store.recent(AuditAnchor, since=today * DAY_MS)
        if any(anchor.ts // DAY_MS == today for anchor in posted):
            return
        last = await store.last_audit()
        if last is not None:
            await self._desk.ask(AnchorAudit(last.seq, last.mac), DESK)

    async def _cut(self) -> None:
        """Cut away what is too old, unless there is a fault in it."""
        store, now = self._desk.store, self._desk.clock.now()
        cut = await store.last_cut()
        anchors = await store.recent(AuditAnchor)
        check = Verifier(self._key, await store.last_head(), cut, anchors)
        if fault := check.begin():
            await self._tell(fault)
            return
        if not await self._may_cut(now, cut, anchors):
            return
        oldest: AuditRow | None = None
        async for row in self._rows_before(now - KEPT_DAYS * DAY_MS, cut.seq if cut else 0):
            if fault := check.take(row):
                await self._tell(fault)
                return
            oldest = row
        if oldest is not None:
            await store.cut_audit(cut_at(oldest, now, self._key), self._desk.runtime.epoch)
            log.info("old rows of the audit are cut away", up_to=oldest.seq)

    async def _may_cut(
        self, now: int, cut: AuditCut | None, anchors: Sequence[AuditAnchor]
    ) -> bool:
        """Whether the clock is believed, and nothing was cut away on this day.

        It is not when nothing was posted on the days before this one, or rows are from the future.
        """
        today = now // DAY_MS
        days = [anchor.ts // DAY_MS for anchor in anchors]
        posted = any(today - ANCHOR_DAYS_MAX <= day < today for day in days)
        was_cut = cut is not None and cut.ts // DAY_MS >= today
        if was_cut or not posted:
            return False
        ahead = await self._desk.store.find_audit(now + AHEAD_MS, "", 1)
        if ahead.total:
            log.warning("the audit is not cut: it has rows from the future", count=ahead.total)
        return not ahead.total

    async def _rows_before(self, ts: int, after: int) -> AsyncIterator[AuditRow]:
        """Rows up to the first one that is not older than `ts` (UTC ms), never the last of all,
        and of no more days than may be cut away at once."""
        last = await self._desk.store.last_audit()
        days: set[int] = set()
        while rows := await self._desk.store.audit_rows(after, ROWS_AT_ONCE):
            for row in rows:
                days.add(row.ts // DAY_MS)
                if row.ts >= ts or row == last or len(days) > CUT_DAYS_MAX:
                    return
                yield row
            after = rows[-1].seq

    async def _tell(self, fault: Fault) -> None:
        log.error("the audit is not cut", verdict=fault.verdict, row=fault.row)
        text = f"The audit is kept whole and not cut: {fault.verdict}. {fault.text}"
        await self._desk.ask(ReportTrouble(text), DESK)
