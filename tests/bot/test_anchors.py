"""The end of the audit, posted once a day, and the audit kept to its days."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bot.anchors import LOOK_S, Anchors
from engine.audit import (
    KEPT_DAYS,
    Act,
    AuditAnchor,
    AuditRow,
    Chain,
    Verdict,
    Whole,
    cut_at,
    verify,
)
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.errors import LostLock, Refused, Unreachable
from engine.instruction import AnchorAudit, Instruction, ReportTrouble
from engine.people import DESK, Asker
from engine.ports import Commit
from engine.store.memory import MemoryStore
from tests.clock import FakeClock, turn

KEY = b"the key of these tests"
# Noon of a UTC day.
NOON = 20_000 * DAY_MS + DAY_MS // 2
HOUR_S = 3600.0


@dataclass
class Office:
    """A desk that only knows how to anchor, on a store that can be made to fail."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    asked: list[Instruction] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    epoch: int = 0
    numbers: int = 0

    @property
    def runtime(self) -> "Office":
        return self

    @property
    def desk(self) -> Desk:
        return cast(Desk, self)

    @property
    def posted(self) -> list[AnchorAudit]:
        return [each for each in self.asked if isinstance(each, AnchorAudit)]

    async def ask(self, instruction: Instruction, asker: Asker, seal: Any = None) -> str:
        """What the core does with an anchor: the fact and its own row, at once."""
        assert asker is DESK
        if self.fails:
            raise self.fails.pop(0)
        self.asked.append(instruction)
        now = self.clock.now()
        if isinstance(instruction, AnchorAudit):
            anchor = AuditAnchor(instruction.seq, instruction.mac, now)
            await self.keep(Act(now, "desk", "AnchorAudit", "posted"), anchor=anchor)
        return "Done."

    async def keep(self, *acts: Act, anchor: AuditAnchor | None = None) -> list[AuditRow]:
        chain = Chain(KEY, await self.store.last_audit())
        rows = chain.seal(acts)
        self.numbers += 1
        facts: list[Any] = [anchor] if anchor else []
        head = chain.head(rows)
        await self.store.commit(
            Commit(self.epoch, facts=facts, audit=rows, audit_head=head, number=self.numbers)
        )
        return rows

    async def aged(self, *days: float) -> list[AuditRow]:
        """Rows of so many days ago."""
        now = self.clock.now()
        return await self.keep(
            *(Act(now - round(age * DAY_MS), "telegram:7", "command", "/status") for age in days)
        )

    async def was_here(self, days: float = 1) -> None:
        """Have posted an anchor so many days ago."""
        last = await self.store.last_audit()
        assert last is not None
        ts = self.clock.now() - round(days * DAY_MS)
        self.numbers += 1
        facts: list[Any] = [AuditAnchor(last.seq, last.mac, ts)]
        await self.store.commit(Commit(self.epoch, facts=facts, number=self.numbers))

    async def verified(self) -> object:
        return verify(
            await self.store.audit_rows(0, 10_000),
            KEY,
            await self.store.last_head(),
            await self.store.last_cut(),
            await self.store.recent(AuditAnchor),
        )


@pytest.fixture
async def office() -> Office:
    made = Office()
    made.epoch = await made.store.take_epoch("test")
    return made


async def test_the_last_row_is_posted_at_the_first_look(office: Office) -> None:
    rows = await office.aged(1, 0)
    await Anchors(office.desk, KEY).look()
    assert office.posted == [AnchorAudit(rows[-1].seq, rows[-1].mac)]


async def test_it_is_posted_once_a_utc_day(office: Office) -> None:
    await office.aged(0)
    anchors = Anchors(office.desk, KEY)
    for _ in range(24 * 3):
        await anchors.look()
        office.clock.advance(HOUR_S)
    days = [anchor.ts // DAY_MS for anchor in await office.store.recent(AuditAnchor)]
    assert days == [20_000, 20_001, 20_002, 20_003]


async def test_a_restart_posts_nothing_that_was_posted_that_day(office: Office) -> None:
    await office.aged(0)
    await Anchors(office.desk, KEY).look()
    await Anchors(office.desk, KEY).look()
    assert len(office.posted) == 1
    office.clock.advance(24 * HOUR_S)
    await Anchors(office.desk, KEY).look()
    assert len(office.posted) == 2


async def test_a_clock_that_was_ahead_for_a_while_keeps_no_day_without_an_anchor(
    office: Office,
) -> None:
    await office.aged(0)
    office.clock.advance(30 * 24 * HOUR_S)
    await Anchors(office.desk, KEY).look()
    office.clock.advance(-30 * 24 * HOUR_S)
    await Anchors(office.desk, KEY).look()
    await Anchors(office.desk, KEY).look()
    assert len(office.posted) == 2


async def test_an_audit_without_rows_has_no_end_to_post(office: Office) -> None:
    await Anchors(office.desk, KEY).look()
    assert office.asked == []


@pytest.mark.parametrize("error", [Refused("The desk is busy."), Unreachable("no database")])
async def test_what_fails_is_tried_again_later(office: Office, error: Exception) -> None:
    await office.aged(0)
    office.fails = [error, error]
    running = asyncio.ensure_future(Anchors(office.desk, KEY).run())
    while not office.posted:
        await turn()
    running.cancel()
    (anchor,) = await office.store.recent(AuditAnchor)
    assert anchor.ts == NOON + 2 * LOOK_S * 1000


# -- the cut -----------------------------------------------------------------------------


async def test_what_is_older_than_the_kept_days_is_cut_away(office: Office) -> None:
    rows = await office.aged(KEPT_DAYS + 9, KEPT_DAYS + 1, KEPT_DAYS - 1, 3)
    await office.was_here()
    await Anchors(office.desk, KEY).look()
    left = await office.store.audit_rows(0, 10)
    assert left[:2] == rows[2:]
    cut = await office.store.last_cut()
    assert cut is not None
    assert (cut.seq, cut.mac, cut.ts) == (2, rows[1].mac, NOON)
    assert isinstance(await office.verified(), Whole)


async def test_a_row_of_exactly_the_kept_days_stays(office: Office) -> None:
    rows = await office.aged(KEPT_DAYS, 0)
    await office.was_here()
    await Anchors(office.desk, KEY).look()
    assert (await office.store.audit_rows(0, 2)) == rows


async def test_the_cut_goes_on_where_the_last_one_ended(office: Office) -> None:
    await office.aged(KEPT_DAYS + 1, KEPT_DAYS - 0.9, KEPT_DAYS - 0.8, KEPT_DAYS - 5)
    await office.was_here()
    anchors = Anchors(office.desk, KEY)
    for seq in (1, 3):
        await anchors.look()
        cut = await office.store.last_cut()
        assert cut is not None
        assert cut.seq == seq
        assert isinstance(await office.verified(), Whole)
        office.clock.advance(24 * HOUR_S)


async def test_many_old_rows_are_cut_at_once_and_the_last_row_never(office: Office) -> None:
    await office.aged(*[KEPT_DAYS + 1.0] * 1_200)
    await office.was_here()
    await Anchors(office.desk, KEY).look()
    # The anchor's own row is the last one.
    assert [row.seq for row in await office.store.audit_rows(0, 10)] == [1_201]
    assert isinstance(await office.verified(), Whole)


async def test_a_young_row_keeps_the_older_ones_behind_it(office: Office) -> None:
    rows = await office.aged(KEPT_DAYS + 2, 1, KEPT_DAYS + 1, 0)
    await office.was_here()
    await Anchors(office.desk, KEY).look()
    assert (await office.store.audit_rows(0, 3)) == rows[1:]


@pytest.mark.parametrize("days", [0, 4, 181])
async def test_nothing_is_cut_where_nothing_was_posted_on_the_days_before(
    office: Office, days: float
) -> None:
    rows = await office.aged(KEPT_DAYS + 2, KEPT_DAYS + 1, 0)
    await office.was_here(days)
    anchors = Anchors(office.desk, KEY)
    await anchors.look()
    assert await office.store.last_cut() is None
    # From the next day on, the desk was there the day before.
    office.clock.advance(24 * HOUR_S)
    await anchors.look()
    assert (await office.store.audit_rows(0, 1)) == rows[2:]


async def test_a_clock_that_leaps_ahead_destroys_nothing_at_once(office: Office) -> None:
    await office.aged(*(float(day) for day in range(40, -1, -1)))
    anchors = Anchors(office.desk, KEY)
    await anchors.look()
    office.clock.advance(300 * 24 * HOUR_S)
    for _ in range(3):
        await anchors.look()
        # A restart on that day is no other day.
        anchors = Anchors(office.desk, KEY)
    assert await office.store.last_cut() is None
    office.clock.advance(24 * HOUR_S)
    await anchors.look()
    cut = await office.store.last_cut()
    assert cut is not None
    assert cut.seq == 7


async def test_on_one_day_rows_of_seven_days_are_cut_and_no_more(office: Office) -> None:
    await office.aged(*(KEPT_DAYS + 20.0 - n / 2 for n in range(40)), 0)
    await office.was_here()
    for _ in range(3):
        await Anchors(office.desk, KEY).look()
        cut = await office.store.last_cut()
        assert cut is not None
        # Two rows a day, at noon and at midnight, from noon on.
        assert cut.seq == 13
    office.clock.advance(24 * HOUR_S)
    await Anchors(office.desk, KEY).look()
    cut = await office.store.last_cut()
    assert cut is not None
    assert cut.seq == 27
    assert isinstance(await office.verified(), Whole)


async def test_nothing_is_cut_while_rows_are_from_the_future(office: Office) -> None:
    await office.aged(KEPT_DAYS + 1, 0, -1)
    await office.was_here()
    await Anchors(office.desk, KEY).look()
    assert await office.store.last_cut() is None
    office.clock.advance(25 * HOUR_S)
    await Anchors(office.desk, KEY).look()
    assert await office.store.last_cut() is not None


async def test_no_cut_hides_a_row_that_was_changed(office: Office) -> None:
    rows = await office.aged(*[KEPT_DAYS + 1.0] * 4, 0)
    await office.was_here()
    office.store.audit[3] = AuditRow(3, 0, "somebody", "x", "y", rows[2].prev, rows[2].mac)
    await Anchors(office.desk, KEY).look()
    assert await office.store.last_cut() is None
    trouble = [each for each in office.asked if isinstance(each, ReportTrouble)]
    assert len(trouble) == 1
    assert "not cut: changed row. Row 3 is not as it was sealed" in trouble[0].text


async def test_a_forged_cut_is_told_and_not_gone_on_from(office: Office) -> None:
    rows = await office.aged(*[KEPT_DAYS + 1.0] * 4, 0)
    await office.store.cut_audit(cut_at(rows[0], NOON, b"a guess"), office.epoch)
    await Anchors(office.desk, KEY).look()
    cut = await office.store.last_cut()
    assert cut is not None
    assert cut.seq == 1
    trouble = [each.text for each in office.asked if isinstance(each, ReportTrouble)]
    assert [Verdict.FORGED_CUT in text for text in trouble] == [True]


async def test_a_desk_that_was_taken_over_cuts_nothing_and_ends(office: Office) -> None:
    rows = await office.aged(KEPT_DAYS + 1, 0)
    anchor = AuditAnchor(rows[1].seq, rows[1].mac, NOON)
    await office.keep(Act(NOON, "desk", "x", "y"), anchor=anchor)
    await office.store.take_epoch("another")
    with pytest.raises(LostLock):
        await Anchors(office.desk, KEY).run()
    assert len(await office.store.audit_rows(0, 10)) == 3
