"""The emergency stop from the chats: with the database locked, a platform down, and by whom."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from bot.latch import LATCH_NAME, LatchFile
from engine.effect import Submit
from engine.instruction import LockPerson
from engine.killing import Scope
from engine.order import Order, OrderType, Reason, Side, client_order_id, order_link_id
from engine.ports import Store
from engine.position import Trade
from engine.store.sql import open_store
from tests.askers import OPERATING
from tests.chat import discord_scene
from tests.chat.both_scene import open_both, said_of, until_said
from tests.chat.desks import ChatDesk, LiveMarket, busy_market, quiet_market
from tests.chat.discord_scene import said
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import BOT, BTC, ETH, FALLING_TWICE, course
from tests.servers.discord_call import refused

# Where an interaction is acknowledged.
CALLBACK = "POST /interactions/*/callback"
BNB = "BNBUSDT"
D = Decimal
FLAT = "Flat: no positions, no orders, confirmed by the exchange at"
STOPPED = "Entries are stopped."


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as scene:
        yield scene


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Store]:
    """A database in a file, as other processes find it."""
    store = await open_store(f"sqlite:///{tmp_path / 'desk.db'}")
    yield store
    await store.close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes into the database, and does not come to an end."""
    with closing(sqlite3.connect(folder / "desk.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def three_shorts() -> LiveMarket:
    """A market that the strategy is short of in each symbol at its end."""
    return LiveMarket({each: course(100_000.0, FALLING_TWICE) for each in (BTC, ETH, BNB)})


def rest(desk: ChatDesk, count: int) -> None:
    """Have so many orders rest at the exchange, far from the price."""
    [account] = desk.exchange.books

    def order(number: int) -> Order:
        return Order(
            account=account,
            order_link_id=order_link_id(BOT, Reason.MANUAL_ENTRY, 1, number),
            client_order_id=client_order_id(BOT, Reason.MANUAL_ENTRY, 1),
            bot_id=BOT,
            symbol=ETH,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=D("0.01"),
            price=D(1_000),
            leverage=1,
            reason=Reason.MANUAL_ENTRY,
            created_at=1,
            updated_at=1,
        )

    for number in range(count):
        desk.exchange.by_force(account, lambda book, n=number: book.step(Submit(order(n))))


def open_there(desk: ChatDesk) -> tuple[int, int]:
    """How many positions and orders are open at the exchange."""
    states = [book.state for book in desk.exchange.books.values()]
    return sum(len(s.positions) for s in states), sum(len(s.orders) for s in states)


async def recorded(store: Store, times: int = 1) -> str:
    return await until_said(store, "KillDesk", times)


# -- T2 ----------------------------------------------------------------------------------


async def test_t2_a_kill_with_three_positions_and_five_orders_ends_flat_and_running(
    scene: Scene, stored: Store, tmp_path: Path
) -> None:
    async with scene.open_desk(three_shorts(), stored) as desk:
        rest(desk, 5)
        assert open_there(desk) == (3, 5)
        with locked(tmp_path):
            began = desk.desk.clock.monotonic()
            answer = await scene.ask(scene.tom, "/kill flatten")
            assert STOPPED in (answer.text or "")
            await scene.told(scene.private(scene.tom), FLAT)
            took = (desk.desk.clock.monotonic() - began) / scene.clock.rate
            assert open_there(desk) == (0, 0)
            assert took < 5
            assert len(desk.desk.view().positions) == 3
        # What was done is booked, recorded and told once the database is there again.
        assert "tom" in await recorded(stored)
        await scene.told(scene.private(scene.ann), "KILL: tom pulled the emergency stop")
        await scene.told(scene.private(scene.ann), f"KILL: {FLAT}")
        assert desk.desk.view().positions == ()
        trades = await stored.recent(Trade)
        assert [trade.close_reason for trade in trades[-3:]] == [Reason.KILL] * 3
        assert "halted" in (await scene.ask(scene.tom, "/status")).text.lower()
    async with scene.open_desk(three_shorts(), stored) as desk:
        halted = desk.desk.view().halted
        assert "killed by tom" in halted
        assert "not the sum of the fills" not in halted
        assert desk.desk.view().positions == ()


# -- what may stand in the way -----------------------------------------------------------


async def test_a_kill_behind_commands_that_wait_for_the_database_does_not_wait(
    scene: Scene, stored: Store, tmp_path: Path
) -> None:
    async with scene.open_desk(busy_market(), stored) as desk:
        with locked(tmp_path):
            waiting = scene.server.write(scene.tom, scene.private(scene.tom), "/status")
            await until_polled(scene)
            began = desk.desk.clock.monotonic()
            killed = await scene.ask(scene.tom, "/kill flatten")
            assert (desk.desk.clock.monotonic() - began) / scene.clock.rate < 5
            await scene.told(scene.private(scene.tom), FLAT)
            assert open_there(desk) == (0, 0)
        await recorded(stored)
        await scene.answer(waiting)
        assert scene.answers(killed.reply_to or killed) == [killed]
        assert len(await said_of(stored, "KillDesk")) == 1


async def until_polled(scene: Scene) -> None:
    """Return when Telegram was asked for what is new, and asked again."""
    asked = sum(call.method == "getUpdates" for call in scene.server.calls)
    await scene.server.until(
        lambda: sum(call.method == "getUpdates" for call in scene.server.calls) > asked
    )


async def test_its_card_and_buttons_need_no_database(
    scene: Scene, stored: Store, tmp_path: Path
) -> None:
    async with scene.open_desk(busy_market(), stored) as desk:
        with locked(tmp_path):
            card = await scene.ask(scene.tom, "/kill")
            assert "BTCUSDT" in (card.text or "")
            assert "short" in (card.text or "")
            assert list(card.buttons) == [
                "Stop entries",
                "Also cancel orders",
                "Also close positions",
            ]
            assert open_there(desk) == (1, 0)
            scene.press(scene.tom, card, "Also close positions")
            await scene.shown(card, STOPPED)
            await scene.told(scene.private(scene.tom), FLAT)
            assert open_there(desk) == (0, 0)
        await recorded(stored)


async def test_a_stop_offers_to_go_further(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        answer = await scene.ask(scene.tom, "/kill stop")
        assert list(answer.buttons) == ["Also cancel orders", "Also close positions", "Status"]
        assert open_there(desk) == (1, 0)
        scene.press(scene.tom, answer, "Also close positions")
        await scene.told(scene.private(scene.tom), FLAT)
        assert open_there(desk) == (0, 0)


async def test_the_latch_is_there_before_the_answer(scene: Scene, tmp_path: Path) -> None:
    async with scene.open_desk():
        await scene.ask(scene.tom, "/kill stop")
        latch = LatchFile(tmp_path).read()
        assert latch is not None
        assert (latch.scope, latch.by) == (Scope.STOP, "tom")


async def test_who_is_locked_out_may_pull_it(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        await desk.desk.ask(LockPerson("tom"), OPERATING)
        await scene.ask(scene.tom, "/kill flatten")
        await scene.told(scene.private(scene.tom), FLAT)
        assert open_there(desk) == (0, 0)


async def test_a_kill_that_waited_for_hours_is_carried_out(scene: Scene) -> None:
    scene.server.write(scene.tom, scene.private(scene.tom), "/kill flatten")
    scene.clock.leap(5 * 3_600_000)
    async with scene.open_desk(busy_market()) as desk:
        await scene.told(scene.private(scene.tom), FLAT)
        assert open_there(desk) == (0, 0)


async def test_a_desk_with_too_many_commands_to_note_is_stopped_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.NOTES_MAX", 0)
    async with scene.open_desk(busy_market()) as desk:
        await scene.ask(scene.tom, "/kill flatten")
        await scene.told(scene.private(scene.tom), FLAT)
        assert open_there(desk) == (0, 0)


async def test_steps_that_telegram_does_not_take_come_later(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        scene.server.fault("sendMessage", "drop", times=3)
        question = scene.server.write(scene.tom, scene.private(scene.tom), "/kill flatten")
        await eventually(lambda: is_flat(desk))
        await scene.answer(question)
        await scene.told(scene.private(scene.tom), FLAT)


async def test_whoever_pulled_it_hears_each_step_once(scene: Scene, stored: Store) -> None:
    async with scene.open_desk(busy_market(), stored):
        chat = scene.private(scene.ann)
        await scene.ask(scene.ann, "/kill flatten")
        await scene.told(chat, FLAT)
        await until_said(stored, "The emergency stop is carried out")
        await scene.ask(scene.ann, "/status")
        assert len(scene.having(chat, FLAT)) == 1
        assert scene.having(chat, "KILL:", 0) == []


async def test_it_works_while_the_other_platform_is_down(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with open_both(tmp_path, request) as both:
        here, there = both.telegram, both.discord
        async with both.open_desk(busy_market()) as desk:
            here.server.fault(None, 500, times=float("inf"))
            answer = await there.ask(there.tom, "kill", scope="flatten")
            assert STOPPED in said(answer)
            await there.told(there.dm(there.tom), FLAT)
            assert open_there(desk) == (0, 0)
            here.server.heal()


async def is_flat(desk: ChatDesk) -> bool:
    return open_there(desk) == (0, 0)


# -- Discord ----------------------------------------------------------------------------


@pytest.fixture
async def channel(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[discord_scene.Scene]:
    async with discord_scene.open_scene(tmp_path, request) as scene:
        yield scene


async def test_on_discord_it_needs_no_database_either(
    channel: discord_scene.Scene, stored: Store, tmp_path: Path
) -> None:
    async with channel.open_desk(busy_market(), stored) as desk:
        with locked(tmp_path):
            card = await channel.ask(channel.tom, "kill")
            assert "BTCUSDT" in said(card)
            await channel.press(channel.tom, card, "Also close positions")
            await channel.shown(card, STOPPED)
            await channel.told(channel.dm(channel.tom), FLAT)
            assert open_there(desk) == (0, 0)
        assert "tom" in await recorded(stored)


async def test_discord_need_not_know_that_we_are_at_it(channel: discord_scene.Scene) -> None:
    async with channel.open_desk(busy_market()) as desk:
        channel.server.fail(CALLBACK, refused(10062))
        await channel.slash(channel.tom, "kill", scope="flatten")
        await channel.told(channel.dm(channel.tom), STOPPED)
        await channel.told(channel.dm(channel.tom), FLAT)
        assert open_there(desk) == (0, 0)


async def test_a_viewer_on_discord_stops_nothing(channel: discord_scene.Scene) -> None:
    async with channel.open_desk(busy_market()) as desk:
        answer = await channel.ask(channel.vera, "kill", scope="flatten")
        assert "/kill needs the role trader." in said(answer)
        assert open_there(desk) == (1, 0)
        assert desk.switch.latch is None


# -- who it is taken from ----------------------------------------------------------------


async def until_judged(scene: Scene, desk: ChatDesk) -> None:
    await scene.until_judged()
    assert open_there(desk) == (1, 0)
    assert desk.switch.latch is None


async def test_a_forwarded_or_edited_kill_is_not_the_senders_own(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        chat = scene.private(scene.tom)
        scene.server.write(scene.tom, chat, "/kill flatten", forwarded=scene.ann)
        said_first = scene.server.write(scene.tom, chat, "/status")
        scene.server.edit(said_first, "/kill flatten")
        await until_judged(scene, desk)


async def test_strangers_and_viewers_stop_nothing(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        refused = await scene.ask(scene.vera, "/kill flatten")
        assert "/kill needs the role trader." in (refused.text or "")
        scene.server.write(scene.sue, scene.private(scene.sue), "/kill flatten")
        await until_judged(scene, desk)


async def test_a_viewers_press_of_a_traders_card_stops_nothing(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        group = await scene.open_group()
        card = await scene.ask(scene.tom, "/kill", group)
        scene.server.press(scene.vera, card, card.buttons["Also close positions"])
        await until_judged(scene, desk)


async def test_a_kill_in_a_group_that_is_not_opened_is_not_heard(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        group = scene.server.group("Elsewhere")
        scene.server.write(scene.tom, group, "/kill flatten")
        await until_judged(scene, desk)


# -- the end of it -----------------------------------------------------------------------


async def test_only_the_phrase_of_a_resume_lifts_it(scene: Scene, tmp_path: Path) -> None:
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, "/kill flatten")
        await scene.told(scene.private(scene.tom), FLAT)
        refused = await scene.ask(scene.tom, "/resume")
        assert "needs the role admin" in (refused.text or "")
        await scene.server.until(lambda: "killed by tom" in desk.desk.view().halted)
        card = await scene.ask(scene.ann, "/resume")
        assert (tmp_path / LATCH_NAME).exists()
        phrase = desk.desk.view().proposals[0].phrase
        scene.server.write(scene.ann, scene.private(scene.ann), phrase, reply_to=card)
        await scene.shown(card, "approved")
        await eventually(lambda: is_lifted(tmp_path, desk))


async def is_lifted(folder: Path, desk: ChatDesk) -> bool:
    gone = not (folder / LATCH_NAME).exists() and desk.switch.latch is None
    return gone and not desk.desk.view().halted


async def test_a_restart_is_latched_and_says_by_whom(scene: Scene, stored: Store) -> None:
    async with scene.open_desk(quiet_market(), stored):
        await scene.ask(scene.tom, "/kill stop")
        await recorded(stored)
    async with scene.open_desk(quiet_market(), stored) as desk:
        assert "killed by tom" in desk.desk.view().halted
        answer = await scene.ask(scene.tom, "/kill")
        assert "It was pulled already" in (answer.text or "")
        assert "by tom" in (answer.text or "")
