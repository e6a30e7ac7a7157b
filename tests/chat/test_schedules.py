"""Reports that come by themselves: each once, at its hour, whatever the clocks and the desk do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import letter as letters
from bot.people import People
from bot.schedule import PATIENCE_MS, Scheduler
from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.desk import Desk
from engine.event import CandleClosed
from engine.instruction import AddSchedule, PutChat
from engine.mail import Chat, ChatKind, Delivery, Priority
from engine.people import Asker, Identity, Person, Role
from engine.ports import Store
from engine.schedule import Schedule
from engine.store.memory import MemoryStore
from engine.store.sql import open_store
from handlers.dispatch import dispatch_line
from handlers.reply import Fields
from tests.chat.desks import LiveMarket
from tests.chat.posts import words
from tests.clock import FakeClock, turn
from tests.handlers.desks import (
    BAR,
    BTC,
    CHAT,
    ETH,
    ScriptedMarket,
    build,
    context,
    course,
    quiet,
    say,
)

ANN = Person("ann", "Ann", Role.TRADER)
PEOPLE = People([ANN], [Identity("telegram", CHAT.chat_id, "ann")], [])
NOBODY = People([], [], [])
LOOK_MS = MINUTE_MS
EIGHT = round(datetime(2025, 1, 1, 8, tzinfo=UTC).timestamp() * 1000)
DAY = timedelta(days=1)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class Town:
    """A store and a clock, which somebody moves, that outlive the desk's processes."""

    def __init__(self, store: Store, now: int) -> None:
        self.store = store
        self.clock = FakeClock(now)
        self.market = LiveMarket({BTC: course(100_000.0, [(3, 5.0)]), ETH: quiet(3)})

    @asynccontextmanager
    async def process(
        self, people: People = PEOPLE, missed: "MissedBars | None" = None
    ) -> AsyncIterator[tuple[Desk, Scheduler]]:
        """A desk that runs until it is killed; of what it `missed` it has got nothing yet."""
        market = missed or self.market
        runtime, desk = await build(market, self.store, self.clock)
        runtime.listen(people.on_commit)
        task = asyncio.create_task(runtime.run())
        try:
            if missed is None:
                await runtime.until_caught_up()
            yield desk, Scheduler(desk, people.may_hear)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look_until(self, scheduler: Scheduler, until: int) -> None:
        """Let time pass, and the scheduler look now and then."""
        while self.clock.now() + LOOK_MS <= until:
            await scheduler.look()
            self.clock.advance(LOOK_MS / 1000)
            await self._strike()
        self.clock.advance((until - self.clock.now()) / 1000)

    async def _strike(self) -> None:
        """With each full hour a bar closes, so that the market's day is that of the clock."""
        hour = self.clock.now() // HOUR_MS * HOUR_MS
        if self.clock.now() - hour >= LOOK_MS:
            return
        for symbol, price in ((BTC, 100_000.0), (ETH, 3_500.0)):
            self.market.tell(symbol, Candle(hour - BAR, price, price, price, price, 1.0))
        while not self.market.caught_up:
            await turn()

    async def letters(self, chat_id: str = CHAT.chat_id) -> list[tuple[int, str]]:
        """When each letter was written, and what it says."""
        rows = await self.store.mail.waiting("telegram", chat_id, 10_000)
        return [(row.delivery.ts, _words(row.delivery)) for row in rows]


class MissedBars(ScriptedMarket):
    """What a market had to tell while the desk was away; it comes when `comes` is set."""

    def __init__(self, bars: dict[str, list[Candle]]) -> None:
        super().__init__(bars)
        self.comes = asyncio.Event()

    async def next(self, limit: int) -> list[CandleClosed]:
        await self.comes.wait()
        return await super().next(limit)


def _words(delivery: Delivery) -> str:
    reply = letters.from_body(delivery.body).shown
    titles = [block.title for block in reply.blocks if isinstance(block, Fields)]
    return "\n".join([words(reply), *titles])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/desk.db")
    yield opened
    await opened.close()


# -- a week ------------------------------------------------------------------------------


def first_shown(day: datetime, hour: int, minute: int, zone: ZoneInfo) -> int:
    """The first minute at which the clocks of `zone` show that time of the day, or are past it."""
    wanted = day.replace(hour=hour, minute=minute, tzinfo=None)
    moment = wanted.replace(tzinfo=UTC) - timedelta(hours=15)
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += timedelta(minutes=1)
    return ms(moment)


WEEKS = {
    "Berlin in spring": ("Europe/Berlin", datetime(2025, 3, 27, tzinfo=UTC)),
    "Berlin in autumn": ("Europe/Berlin", datetime(2025, 10, 23, tzinfo=UTC)),
    "New York in spring": ("America/New_York", datetime(2025, 3, 6, tzinfo=UTC)),
    "New York in autumn": ("America/New_York", datetime(2025, 10, 30, tzinfo=UTC)),
}


@pytest.mark.parametrize(("name", "monday"), WEEKS.values(), ids=WEEKS)
async def test_a_week_with_a_change_of_the_clocks_a_restart_and_an_outage(
    store: Store, name: str, monday: datetime
) -> None:
    zone, start, end = ZoneInfo(name), ms(monday) + 20_000, ms(monday + 7 * DAY)
    # Before, in and after the hour that is skipped or comes twice.
    times = {1: (8, 0), 2: (2, 30), 3: (0, 10)}
    due = {
        number: sorted(
            at for n in range(-1, 8) if start < (at := first_shown(monday + n * DAY, *time, zone))
            and at <= end
        )
        for number, time in times.items()
    }  # fmt: skip
    due[4] = list(range(ms(monday) + HOUR_MS, end + 1, HOUR_MS))
    due[5] = due[1]
    away = (due[1][4] - HOUR_MS - 5 * MINUTE_MS, due[1][4] + HOUR_MS - 5 * MINUTE_MS)
    restart = ms(monday + 2 * DAY) + 37 * MINUTE_MS

    town = Town(store, start)
    async with town.process() as (desk, scheduler):
        for hour, minute in times.values():
            line = f"/schedule add {hour}:{minute:02d} {name} status"
            assert (await say(desk, line, in_chat=True)).ok
        assert (await say(desk, f"/schedule add 0 * * * * {name} pnl", in_chat=True)).ok
        daily = f"/schedule add 8:00 {name} report daily"
        assert (await say(desk, daily, in_chat=True)).ok
        await town.look_until(scheduler, restart)
    async with town.process() as (_, scheduler):
        await town.look_until(scheduler, away[0])
    town.clock.advance((away[1] - away[0]) / 1000)
    async with town.process() as (_, scheduler):
        await town.look_until(scheduler, end + LOOK_MS)

    sent = await town.letters()
    for number, expected in due.items():
        mine = [(at, text) for at, text in sent if text.startswith(f"Schedule {number}: ")]
        missed = [at for at in expected if away[0] < at <= away[1]]
        # Of what was missed the newest comes, once.
        wanted = [at for at in expected if at not in missed[:-1]]
        assert len(mine) == len(wanted)
        for at, (came, text) in zip(wanted, mine, strict=True):
            late = at in missed
            assert ("Late: the desk was away" in text) == late
            assert at <= came <= (away[1] if late else at) + LOOK_MS + 60_000
            if number == 5:
                day = datetime.fromtimestamp(at / 1000, UTC).date() - DAY
                assert text.startswith("Schedule 5: /report daily") and f" {day}" in text
    assert len(sent) == sum(text.startswith("Schedule ") for _, text in sent)


# -- once --------------------------------------------------------------------------------


async def test_a_report_is_stored_with_that_it_ran(store: Store) -> None:
    town = Town(store, ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
        await scheduler.look()
        assert await town.letters() == []
        town.clock.advance(61)
        for _ in range(5):
            await scheduler.look()
        [(ts, text)] = await town.letters()
        [row] = await store.recent(Schedule)
        [waiting] = await store.mail.waiting("telegram", CHAT.chat_id, 9)
    assert ts == town.clock.now()
    assert text.startswith("Schedule 1: /status")
    assert row.last_due == ms(datetime(2025, 1, 1, 8, tzinfo=UTC))
    assert waiting.delivery.priority is Priority.NEWS
    assert letters.from_body(waiting.delivery.body).is_news


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=4))
def test_whenever_the_desk_is_killed_a_report_comes_once(kills: list[int]) -> None:
    asyncio.run(killed(kills))


async def killed(kills: list[int]) -> None:
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, _):
        await say(desk, "/schedule add 08:00 report daily", in_chat=True)
    town.clock.advance(90)
    for turns in kills:
        async with town.process() as (_, scheduler):
            task = asyncio.create_task(scheduler.look())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    async with town.process() as (_, scheduler):
        await scheduler.look()
        assert len(await town.letters()) == 1


async def test_a_run_for_the_same_moment_changes_nothing_more() -> None:
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
        town.clock.advance(61)
        # Two looks at once, as nobody should.
        await scheduler.look()
        await Scheduler(desk, PEOPLE.may_hear).look()
        assert len(await town.letters()) == 1


# -- what it waits for -------------------------------------------------------------------


def after_eight(last: float) -> MissedBars:
    """Five more bars, in the last of which BTC closes at that price."""
    bars = course(100_015.0, [(4, 1.0), (1, last - 100_019.0)], at=EIGHT - 5 * BAR)
    return MissedBars({BTC: bars, ETH: course(3_500.0, [(5, 0.0)], at=EIGHT - 5 * BAR)})


async def test_what_was_missed_waits_for_the_candles_that_were_missed_with_it(
    store: Store,
) -> None:
    town = Town(store, EIGHT - MINUTE_MS)
    async with town.process() as (desk, _):
        await say(desk, "/schedule add 08:00 price BTC", in_chat=True)
    town.clock.advance(3_600)
    missed = after_eight(last=99_123.0)
    async with town.process(missed=missed) as (desk, scheduler):
        for _ in range(5):
            await scheduler.look()
            town.clock.advance(60)
        assert await town.letters() == []

        missed.comes.set()
        await desk.runtime.until_caught_up()
        for _ in range(5):
            await scheduler.look()
            town.clock.advance(60)
    [(_, text)] = await town.letters()
    assert "Late: the desk was away" in text and "99123" in text


async def test_it_waits_for_missed_candles_no_longer_than_its_patience(store: Store) -> None:
    town = Town(store, EIGHT - MINUTE_MS)
    async with town.process() as (desk, _):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
    town.clock.advance(3_600)
    async with town.process(missed=after_eight(last=99_123.0)) as (_, scheduler):
        town.clock.advance(PATIENCE_MS / 1000 - 1)
        await scheduler.look()
        assert await town.letters() == []
        town.clock.advance(1)
        for _ in range(5):
            await scheduler.look()
        [(_, text)] = await town.letters()
    assert "Late: the desk was away" in text


async def test_what_is_due_now_waits_for_no_candles(store: Store) -> None:
    town = Town(store, EIGHT - MINUTE_MS)
    async with town.process() as (desk, _):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
    town.clock.advance(61)
    async with town.process(missed=after_eight(last=99_123.0)) as (_, scheduler):
        await scheduler.look()
        [(_, text)] = await town.letters()
    assert "Late" not in text


# -- who hears it ------------------------------------------------------------------------


async def test_a_removed_schedule_is_silent(store: Store) -> None:
    town = Town(store, ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
        await say(desk, "/schedule remove 1", in_chat=True)
        town.clock.advance(61)
        await scheduler.look()
    async with town.process() as (desk, scheduler):
        await scheduler.look()
        assert desk.view().schedules == ()
        assert "There is no schedule 1" in ((await say(desk, "/schedule remove 1")).error or "")
    assert await town.letters() == []
    [row] = await store.recent(Schedule)
    assert row.removed


async def test_a_schedule_that_is_removed_while_it_is_answered_is_silent() -> None:
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        await say(desk, "/schedule add 08:00 report daily", in_chat=True)
        town.clock.advance(61)
        recent = town.store.recent

        async def slow(kind: type, **filters: object) -> list[object]:
            await say(desk, "/schedule remove 1", in_chat=True)
            return list(await recent(kind, **filters))  # type: ignore[arg-type]

        town.store.recent = slow  # type: ignore[method-assign, assignment]
        await scheduler.look()
    assert await town.letters() == []


async def test_who_lost_access_hears_nothing_of_what_was_due_meanwhile(store: Store) -> None:
    town = Town(store, ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, _):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
    town.clock.advance(90)
    async with town.process(NOBODY) as (_, scheduler):
        for _ in range(3):
            await scheduler.look()
    town.clock.advance(3_600)
    async with town.process() as (_, scheduler):
        await scheduler.look()
        assert await town.letters() == []
        town.clock.advance(23 * 3_600)
        await scheduler.look()
    [(_, text)] = await town.letters()
    assert "Late" not in text


async def test_a_group_hears_its_reports_while_it_is_open() -> None:
    group = Chat("telegram", "-100", "5", ChatKind.GROUP, True, "ann", 1)
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    people = People([ANN], [], [group])
    async with town.process(people) as (desk, scheduler):
        add = "/schedule add * * * * * status"
        await say_in(desk, group, add)
        town.clock.advance(61)
        await scheduler.look()
        assert len(await town.letters("-100")) == 1
        closed = Chat("telegram", "-100", "5", ChatKind.GROUP, False, "ann", 1)
        await desk.ask(PutChat(closed), ann_on(desk))
        town.clock.advance(61)
        await scheduler.look()
        assert len(await town.letters("-100")) == 1
        await desk.ask(PutChat(group), ann_on(desk))
        town.clock.advance(61)
        await scheduler.look()
        assert len(await town.letters("-100")) == 2
    [row, *_] = await town.store.mail.waiting("telegram", "-100", 9)
    assert row.delivery.thread_id == "5"


def ann_on(desk: Desk) -> Asker:
    return context(desk, in_chat=True).asker


async def say_in(desk: Desk, chat: Chat, line: str) -> None:
    here = replace(context(desk, in_chat=True), address=chat.address, chat_kind=chat.kind)
    assert (await dispatch_line(here, line)).ok


async def test_a_command_that_is_refused_says_so_and_runs_again_next_time() -> None:
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        # What could be scheduled once may be gone in a later version.
        wanted = AddSchedule("* * * * *", "UTC", "horoscope", CHAT)
        await desk.ask(wanted, ann_on(desk))
        for _ in range(2):
            town.clock.advance(61)
            await scheduler.look()
    texts = [text for _, text in await town.letters()]
    assert len(texts) == 2
    assert all("There is no command /horoscope" in text for text in texts)


async def test_it_looks_by_itself_while_the_desk_runs() -> None:
    town = Town(MemoryStore(), ms(datetime(2025, 1, 1, 7, 59, tzinfo=UTC)))
    async with town.process() as (desk, scheduler):
        await say(desk, "/schedule add 08:00 status", in_chat=True)
        task = asyncio.create_task(scheduler.run())
        async with asyncio.timeout(10):
            while not await town.letters():  # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    [(ts, text)] = await town.letters()
    assert ts - ms(datetime(2025, 1, 1, 8, tzinfo=UTC)) < 2_000
    assert "Late" not in text
