"""What people want to be told: the news, reports at times, prices that are reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.alert import Alert, Direction
from engine.candle import HOUR_MS, Candle
from engine.desk import Desk
from engine.effect import Notice, NoticeKind
from engine.errands import ALERTS_MAX, SCHEDULES_MAX
from engine.errors import Refused
from engine.event import CandleClosed, PriceTicked
from engine.instruction import ScheduleRan
from engine.mail import Address, Chat, ChatKind
from engine.people import DESK, Role
from engine.ports import Commit
from engine.schedule import Schedule
from engine.store.memory import MemoryStore
from handlers.alerts import CONSOLE
from handlers.dispatch import dispatch_line
from handlers.reply import Reply, Text
from tests.chat.desks import LiveMarket
from tests.handlers.desks import (
    BAR,
    BOT,
    BTC,
    CHAT,
    ETH,
    T0,
    build,
    context,
    course,
    quiet,
    rows,
    say,
    table,
)

D = Decimal


class Ticking(LiveMarket):
    """A market that also tells prices within a bar."""

    def tick(self, symbol: str, price: float) -> None:
        self.coming.append(PriceTicked(symbol, price, T0 + 4 * BAR))  # type: ignore[arg-type]
        self._told.set()

    def close(self, symbol: str, low: float, high: float, *, ticked: bool = False) -> None:
        """Let a bar close whose prices lay between `low` and `high`."""
        self.closed = getattr(self, "closed", 3) + 1
        bar = Candle(T0 + self.closed * BAR, low, high, low, low, 10.0)
        self.coming.append(CandleClosed(symbol, bar, bar.ts + BAR, ticked=ticked))
        self._told.set()


class Running:
    """A desk, its market, and what it tells people."""

    def __init__(self, desk: Desk, market: Ticking) -> None:
        self.desk = desk
        self.market = market
        self.told: list[Notice] = []

    def on_commit(self, batch: Commit) -> None:
        self.told += [each for each in batch.notices if each.kind is NoticeKind.PRICE_ALERT]

    async def taken(self) -> None:
        """Wait until the market's news is taken in."""
        before = self.desk.view().candles
        self.market.close(ETH, 3_500.0, 3_500.0)
        async with asyncio.timeout(5):
            while self.desk.view().candles == before:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def alerts(self) -> list[str]:
        found = table(await say(self.desk, "/alerts", in_chat=True), "Price alerts")
        return [f"{row['alert']} {row['symbol']} {row['when']}" for row in rows(found)]


@asynccontextmanager
async def running(
    store: MemoryStore | None = None, is_next: bool = False
) -> AsyncIterator[Running]:
    """A desk at a BTC of 100,015 and an ETH of 3,500; the next one of a store knows them."""
    bars = {BTC: course(100_000.0, [(3, 5.0)]), ETH: quiet(3)}
    market = Ticking(dict.fromkeys(bars, []) if is_next else bars)
    runtime, desk = await build(market, store)
    here = Running(desk, market)
    runtime.listen(here.on_commit)
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    try:
        yield here
    finally:
        runtime.stop()
        await task


def text_of(answer: Reply) -> str:
    assert answer.ok, answer.error
    return "\n".join(block.text for block in answer.blocks if isinstance(block, Text))


async def refusal(desk: Desk, line: str, role: Role = Role.ADMIN, in_chat: bool = True) -> str:
    answer = await say(desk, line, role, in_chat)
    assert answer.error is not None
    return answer.error


# -- prices ------------------------------------------------------------------------------


async def test_an_alert_is_told_once_where_it_was_set() -> None:
    async with running() as here:
        said = await say(here.desk, "/alert BTC above 101000", Role.TRADER, in_chat=True)
        assert text_of(said) == "Alert 1 waits for BTCUSDT above 101000."
        assert await here.alerts() == ["1 BTCUSDT above 101,000.0"]
        here.market.close(BTC, 100_000.0, 100_999.0)
        here.market.close(ETH, 3_500.0, 200_000.0)
        await here.taken()
        assert here.told == []
        here.market.close(BTC, 100_000.0, 101_000.0)
        here.market.close(BTC, 100_000.0, 105_000.0)
        await here.taken()
        [notice] = here.told
        assert (notice.symbol, notice.address) == (BTC, CHAT)
        assert notice.alert is not None and notice.alert.fired_at == notice.ts
        assert await here.alerts() == []
        [row] = await here.desk.store.recent(Alert)
        assert row == notice.alert


async def test_an_alert_below_is_met_by_the_low_of_a_bar() -> None:
    async with running() as here:
        await say(here.desk, "/alert BTC below 99000", in_chat=True)
        here.market.close(BTC, 99_001.0, 100_000.0)
        await here.taken()
        assert here.told == []
        here.market.close(BTC, 98_000.0, 100_000.0)
        await here.taken()
        assert len(here.told) == 1


async def test_an_alert_is_met_by_a_price_within_a_bar_and_not_again_by_the_bar() -> None:
    async with running() as here:
        await say(here.desk, "/alert BTC above 101000", in_chat=True)
        here.market.tick(BTC, 100_500.0)
        here.market.tick(ETH, 200_000.0)
        await here.taken()
        assert here.told == []
        here.market.tick(BTC, 101_000.5)
        await here.taken()
        assert len(here.told) == 1
        # What the bar saw before the alert was set is no news.
        await say(here.desk, "/alert BTC above 102000", in_chat=True)
        here.market.close(BTC, 100_000.0, 103_000.0, ticked=True)
        await here.taken()
        assert len(here.told) == 1


async def test_each_of_several_alerts_is_told() -> None:
    async with running() as here:
        for level in (101_000, 102_000, 110_000):
            await say(here.desk, f"/alert BTC above {level}", in_chat=True)
        await say(here.desk, "/alert BTC below 90000")
        here.market.close(BTC, 80_000.0, 105_000.0)
        await here.taken()
        told = [(each.alert.alert_id, each.address) for each in here.told if each.alert]
        assert told == [(1, CHAT), (2, CHAT), (4, CONSOLE)]
        assert await here.alerts() == ["3 BTCUSDT above 110,000.0"]


async def test_an_alert_survives_a_restart_and_is_told_once_all_the_same() -> None:
    store = MemoryStore()
    async with running(store) as here:
        await say(here.desk, "/alert BTC above 101000", in_chat=True)
        await say(here.desk, "/alert BTC above 102000", in_chat=True)
        here.market.close(BTC, 100_000.0, 101_500.0)
        await here.taken()
        assert len(here.told) == 1
    async with running(store, is_next=True) as here:
        assert await here.alerts() == ["2 BTCUSDT above 102,000.0"]
        here.market.closed = 10
        here.market.close(BTC, 100_000.0, 101_500.0)
        await here.taken()
        assert here.told == []
        here.market.close(BTC, 100_000.0, 103_000.0)
        await here.taken()
        assert [each.alert.alert_id for each in here.told if each.alert] == [2]
        said = await say(here.desk, "/alert BTC above 200000", in_chat=True)
        assert "Alert 3 waits" in text_of(said)


async def test_what_is_so_already_is_not_waited_for() -> None:
    async with running() as here:
        error = await refusal(here.desk, "/alert BTC below 200000")
        assert "BTCUSDT is at" in error and "below that now" in error
        assert await here.alerts() == []


PRICES = {
    "70000": "",
    "70,000.5": "",
    "0.0525": "",
    "0": "a price above zero",
    "-1": "a price above zero",
    "nan": "a price above zero",
    "inf": "a price above zero",
    "1e13": "a price above zero",
    "cheap": "a price above zero",
    "1e-13": "decimals with a point, at most 12 of them",
    "1e-20000": "decimals with a point, at most 12 of them",
}


@pytest.mark.parametrize(("word", "told"), PRICES.items(), ids=PRICES)
async def test_a_price_is_a_price(word: str, told: str) -> None:
    async with running() as here:
        answer = await say(here.desk, f"/alert BTC below {word}", in_chat=True)
        assert answer.ok == (not told)
        assert told in (answer.error or "")
        assert len(answer.error or "") < 300


async def test_an_alert_names_what_is_wrong_with_it() -> None:
    async with running() as here:
        error = await refusal(here.desk, "/alert BTC beside 70000")
        assert "direction" in error and "'beside'" in error and "above, below" in error
        assert "BTCUSDT, ETHUSDT" in await refusal(here.desk, "/alert DOGE above 1")
        assert "price is missing" in await refusal(here.desk, "/alert BTC above")
        assert "role trader" in await refusal(here.desk, "/alert BTC above 1e6", Role.VIEWER)


async def test_an_alert_is_removed_by_its_number() -> None:
    async with running() as here:
        await say(here.desk, "/alert BTC above 101000", in_chat=True)
        assert "role trader" in await refusal(here.desk, "/unalert 1", Role.VIEWER)
        assert text_of(await say(here.desk, "/unalert 1")) == "Alert 1 is removed."
        assert await refusal(here.desk, "/unalert 1") == "No alert 1 waits."
        here.market.close(BTC, 100_000.0, 105_000.0)
        await here.taken()
        assert here.told == []
        [row] = await here.desk.store.recent(Alert)
        assert row.removed and not row.fired_at


async def test_there_is_room_for_so_many_alerts() -> None:
    async with running() as here:
        for n in range(ALERTS_MAX):
            assert (await say(here.desk, f"/alert BTC above {200_000 + n}", in_chat=True)).ok
        assert f"{ALERTS_MAX} alerts already" in await refusal(here.desk, "/alert BTC above 1e6")
        await say(here.desk, "/unalert 7")
        assert (await say(here.desk, "/alert BTC above 1e6", in_chat=True)).ok


@pytest.mark.parametrize("direction", list(Direction))
def test_a_level_that_is_just_reached_is_met(direction: Direction) -> None:
    alert = Alert(1, BTC, direction, D("100.5"), "telegram", "7", "", "ann", 1)
    assert alert.met(100.5, 100.5)
    assert alert.met(100.4, 100.6)
    assert alert.met(100.6, 100.7) == (direction is Direction.ABOVE)
    assert alert.met(100.3, 100.4) == (direction is Direction.BELOW)


# -- schedules ---------------------------------------------------------------------------

SAID = {
    "08:00": ("0 8 * * *", "UTC", "report daily"),
    "8:05 status": ("5 8 * * *", "UTC", "status"),
    "23:59 Europe/Berlin /status": ("59 23 * * *", "Europe/Berlin", "status"),
    "daily pnl": ("@daily", "UTC", "pnl"),
    "Hourly chart BTC 1h": ("@hourly", "UTC", "chart BTC 1h"),
    "weekly America/New_York": ("@weekly", "America/New_York", "report daily"),
    "0 8 * * mon-fri status": ("0 8 * * mon-fri", "UTC", "status"),
    "*/15 * * * * Asia/Tokyo price ETH": ("*/15 * * * *", "Asia/Tokyo", "price ETH"),
    "0 8 * * 1": ("0 8 * * 1", "UTC", "report daily"),
    "when=09:30 zone=Asia/Tokyo command=report weekly": ("30 9 * * *", "Asia/Tokyo",
                                                         "report weekly"),
    "08:00 command=status zone=UTC": None,
}  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), SAID.items(), ids=SAID)
async def test_a_schedule_can_be_said_in_these_ways(
    words: str, expected: tuple[str, str, str] | None
) -> None:
    async with running() as here:
        answer = await say(here.desk, f"/schedule add {words}", Role.TRADER, in_chat=True)
        if expected is None:
            # A command takes all the words after it.
            assert not answer.ok
            return
        assert answer.ok, answer.error
        [found] = here.desk.view().schedules
        assert (found.cron, found.zone, found.command) == expected
        assert Address(found.surface, found.chat_id, found.thread_id) == CHAT
        assert found.created_by.startswith("telegram:8 (tom)")


WRONG = {
    "25:00": ("25", "0 to 23"),
    "08:60": ("60", "0 to 59"),
    "8:5": ("'8:5'", "cron"),
    "0 8 * * someday status": ("someday", "weekday"),
    "0 8 * *": ("'0'", "cron"),
    "sometimes": ("'sometimes'", "cron"),
    "08:00 Mars/Olympus": ("Mars/Olympus", "a command"),
    "08:00 zone=Mars/Olympus": ("'Mars/Olympus'", "time zone"),
    "08:00 dance": ("'dance'", "a command"),
    "08:00 chart DOGE": ("'DOGE'", "BTCUSDT"),
    f"08:00 bot pause {BOT}": ("bot pause", "only looks"),
    "08:00 alert BTC above 1e6": ("alert BTC", "only looks"),
    "08:00 schedule add 08:00": ("schedule add", "only looks"),
    "08:00 subscribe": ("subscribe", "only looks"),
    "08:00 wait": ("wait", "only looks"),
    "08:00 outbox": ("/outbox", "role admin"),
}


@pytest.mark.parametrize(("words", "told"), WRONG.items(), ids=WRONG)
async def test_a_schedule_names_what_is_wrong_with_it(words: str, told: tuple[str, str]) -> None:
    async with running() as here:
        error = await refusal(here.desk, f"/schedule add {words}")
        assert all(part in error for part in told), error
        assert here.desk.view().schedules == ()


async def test_a_schedule_needs_a_chat_and_a_trader() -> None:
    async with running() as here:
        error = await refusal(here.desk, "/schedule add 08:00 status", in_chat=False)
        assert "Telegram or Discord" in error
        assert "role trader" in await refusal(here.desk, "/schedule add 08:00", Role.VIEWER)


async def test_there_is_room_for_so_many_schedules() -> None:
    async with running() as here:
        for _ in range(SCHEDULES_MAX):
            assert (await say(here.desk, "/schedule add 08:00 status", in_chat=True)).ok
        error = await refusal(here.desk, "/schedule add 08:00 status")
        assert f"{SCHEDULES_MAX} schedules already" in error


async def test_schedules_are_listed_run_and_removed_by_their_numbers() -> None:
    async with running() as here:
        desk = here.desk
        await say(desk, "/schedule add 08:00 Europe/Berlin price BTC", in_chat=True)
        await say(desk, "/schedule add daily status", in_chat=True)
        [before, _] = desk.view().schedules
        [first, second] = rows(table(await say(desk, "/schedule list", in_chat=True), "Schedules"))
        assert (first["command"], first["when"], first["to"]) == (
            "/price BTC", "0 8 * * * (Europe/Berlin)", "here",
        )  # fmt: skip
        assert second["when"] == "@daily (UTC)"
        ran = await say(desk, "/schedule run 1", Role.VIEWER, in_chat=True)
        assert ran == await say(desk, "/price BTC", Role.VIEWER, in_chat=True)
        assert desk.view().schedules[0] == before
        assert "1, 2" in await refusal(desk, "/schedule run 9")
        assert text_of(await say(desk, "/schedule remove 1")) == "Schedule 1 is removed."
        assert [each.schedule_id for each in desk.view().schedules] == [2]
        assert "There is no schedule 1" in await refusal(desk, "/schedule remove 1")


async def test_a_schedule_runs_once_for_each_time() -> None:
    async with running() as here:
        await say(here.desk, "/schedule add 08:00 status", in_chat=True)
        [schedule] = here.desk.view().schedules
        due = schedule.last_due + HOUR_MS
        await here.desk.ask(ScheduleRan(1, due), DESK)
        for number, again in ((1, due), (1, due - 1), (2, due)):
            with pytest.raises(Refused, match="has run for that time, or is removed"):
                await here.desk.ask(ScheduleRan(number, again), DESK)
        [schedule] = await here.desk.store.recent(Schedule)
        assert schedule.last_due == due


async def test_a_removed_schedule_s_number_is_not_given_again() -> None:
    store = MemoryStore()
    async with running(store) as here:
        await say(here.desk, "/schedule add 08:00 status", in_chat=True)
        await say(here.desk, "/schedule remove 1")
    async with running(store, is_next=True) as here:
        await say(here.desk, "/schedule add 09:00 status", in_chat=True)
        assert [each.schedule_id for each in here.desk.view().schedules] == [2]
    removed = {each.schedule_id: each.removed for each in await store.recent(Schedule)}
    assert removed == {1: True, 2: False}


# -- the news ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChatKind.PRIVATE, ChatKind.GROUP])
async def test_a_chat_is_subscribed_and_unsubscribed(kind: ChatKind) -> None:
    async with running() as here:
        at = Address("telegram", "-100", "5")
        said = replace(context(here.desk, in_chat=True), address=at, chat_kind=kind)
        assert "told the desk's news" in text_of(await dispatch_line(said, "/subscribe"))
        [chat] = await here.desk.store.recent(Chat)
        assert (chat.address, chat.kind, chat.subscribed) == (at, kind, True)
        assert chat.added_by == "telegram:7 (ann)"
        assert "no more news" in text_of(await dispatch_line(said, "/unsubscribe"))
        [chat] = await here.desk.store.recent(Chat)
        assert not chat.subscribed


@pytest.mark.parametrize("line", ["/subscribe", "/unsubscribe"])
async def test_only_an_admin_in_a_chat_subscribes_it(line: str) -> None:
    async with running() as here:
        assert "role admin" in await refusal(here.desk, line, Role.TRADER)
        assert "no chat to answer in" in await refusal(here.desk, line, in_chat=False)
        assert await here.desk.store.recent(Chat) == []


@pytest.mark.parametrize("line", ["schedule run 1", "wait", "bot pause shortseller_001"])
async def test_what_would_never_end_or_would_act_is_not_scheduled(line: str) -> None:
    async with running() as here:
        error = await refusal(here.desk, f"/schedule add 08:00 {line}")
        assert "only looks" in error
