"""The desk on Discord, end to end: the real library, the local server, the rules of its API."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.discord import NOT_KEPT, Discord
from bot.inbox import STALE, USED
from bot.letter import REPEATED, Letter
from engine.bot import BotStatus
from engine.effect import NoticeKind
from engine.errors import Unreachable
from engine.mail import Address, Received
from engine.store.memory import MemoryMail, MemoryStore
from handlers.reply import Button, Reply, Text
from tests.chat.desks import DOT, ChatDesk, LiveMarket, busy_market
from tests.chat.discord_scene import Scene, buttons, open_scene, replied_to, said, until
from tests.handlers.desks import BOT, BTC, ETH, FALLING_TWICE, course, quiet
from tests.servers.discord_call import Answer, Drop, failing, rate_limited, refused
from tests.servers.discord_gateway import DIRECT_MESSAGES, GUILD_MESSAGES, GUILDS, PRIVILEGED
from tests.servers.discord_world import Channel, Message
from tests.servers.telegram import TelegramServer

PAUSE = f"Pause {BOT}"
RESUME = f"Resume {BOT}"
# The news of it, which every subscriber gets.
HALTED = "HALTED by"
PAUSED = f"{BOT} is paused"
CALLBACK = "POST /interactions/*/callback"
SAY = "POST /channels/*/messages"
ORIGINAL = "PATCH /webhooks/*/messages/@original"


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as scene:
        yield scene


def is_paused(desk: ChatDesk) -> bool:
    return desk.desk.view().bots[0].status is BotStatus.PAUSED


def acts(store: MemoryStore, words: str) -> list[str]:
    """What the audit says of everything that has some words in it."""
    return [row.detail for row in store.audit.values() if words in f"{row.action} {row.detail}"]


def surface(desk: ChatDesk) -> Discord:
    found = desk.chats.surfaces["discord"]
    assert isinstance(found, Discord)
    return found


def calls(scene: Scene, method: str, part: str) -> list[Any]:
    return [call for call in scene.server.calls if call.method == method and part in call.path]


# Commands


async def test_status_is_a_card_that_fills_the_place_kept_for_it(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        asked = await scene.slash(scene.ann, "status")
        card = await scene.answer(asked)

    assert asked.answer == {"type": 5}
    assert card.embeds[0]["title"] == "Status"
    assert "open positions: 1" in said(card)
    assert card.embeds[-1]["footer"]["text"] == "PAPER - scripted market"
    assert set(buttons(card)) == {"Positions", "P&L", "Why", "Halt"}
    assert scene.server.messages(scene.dm(scene.ann)) == [card]


async def test_positions_shows_what_is_held(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        card = await scene.ask(scene.ann, "positions")
        [held] = desk.desk.view().positions

    assert "BTCUSDT · short" in said(card)
    assert f"{abs(held.position.quantity):f}" in said(card)
    assert set(buttons(card)) == {
        "Chart BTCUSDT",
        "Why BTCUSDT",
        "Close BTCUSDT",
        "Half BTCUSDT",
        "Break-even BTCUSDT",
        "Edit stop BTCUSDT",
    }


async def test_help_lists_what_each_may_do(scene: Scene) -> None:
    async with scene.open_desk():
        cards = [await scene.ask(each, "help") for each in (scene.vera, scene.tom, scene.ann)]

    assert ["/bot pause" in said(card) for card in cards] == [False, True, True]
    assert ["/subscribe" in said(card) for card in cards] == [False, False, True]


async def test_a_chart_is_a_picture_in_its_card(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.vera, "chart", symbol="BTC", timeframe="15m")

    [name] = card.files
    assert card.files[name] == DOT
    assert card.embeds[0]["image"] == {"url": f"attachment://{name}"}
    assert "BTCUSDT 15m" in said(card) and "stop" in said(card)


async def test_a_command_of_two_words_is_a_subcommand(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        card = await scene.ask(scene.tom, "bot pause", bot=BOT)
        assert is_paused(desk)
        how = {"when": "08:00", "zone": "Europe/Berlin", "command": "report daily"}
        added = await scene.ask(scene.tom, "schedule add", **how)
        [schedule] = desk.desk.view().schedules

    assert PAUSED in said(card)
    assert (schedule.cron, schedule.zone, schedule.command) == (
        "0 8 * * *",
        "Europe/Berlin",
        "report daily",
    )
    assert "/report daily comes by itself" in said(added)


async def test_a_number_is_asked_for_as_one(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, "alert", symbol="BTC", direction="above", price="120000")
        [option] = option_of(scene, "unalert")
        await scene.ask(scene.tom, "unalert", alert=1)
        assert desk.desk.view().alerts == ()

    assert (option["type"], option["min_value"]) == (4, 1)


async def test_a_few_words_are_offered_as_choices(scene: Scene) -> None:
    async with scene.open_desk():
        _, direction, _ = option_of(scene, "alert")

    assert [each["value"] for each in direction["choices"]] == ["above", "below"]


def option_of(scene: Scene, name: str) -> list[Any]:
    [command] = [each for each in scene.server.commands() if each["name"] == name]
    options: list[Any] = command["options"]
    return options


async def test_values_are_offered_that_fit_what_is_typed(scene: Scene) -> None:
    async with scene.open_desk():
        offered = []
        for text in ("", "eth", "xyz"):
            asked = await scene.server.autocomplete(
                scene.vera, scene.channel, "chart", "symbol", text
            )
            await scene.server.until(lambda asked=asked: asked.answer)
            offered.append([each["value"] for each in asked.choices])
        asked = await scene.server.autocomplete(
            scene.tom, scene.channel, "bot", "bot", "SHORT", subcommand="pause"
        )
        await scene.server.until(lambda: asked.answer)

    assert offered == [[BTC, ETH], [ETH], []]
    assert [each["value"] for each in asked.choices] == [BOT]


async def test_who_may_not_say_it_is_offered_nothing(scene: Scene) -> None:
    async with scene.open_desk():
        asked = [
            await scene.server.autocomplete(
                user, scene.channel, "bot", "bot", "", subcommand="pause"
            )
            for user in (scene.sue, scene.vera)
        ]
        await scene.until_judged()

    assert [each.answer for each in asked] == [None, None]


async def test_people_are_offered_to_admins_alone(scene: Scene) -> None:
    async with scene.open_desk():
        offered = []
        for user in (scene.ann, scene.tom, scene.vera):
            asked = await scene.server.autocomplete(user, scene.channel, "lock", "person", "")
            await scene.server.until(lambda asked=asked: asked.answer)
            offered.append({each["value"] for each in asked.choices})

    assert offered == [{"tom", "vera", f"discord:{scene.ann.id}"}, set(), set()]


async def test_who_mistypes_a_person_is_told_of_nobody(scene: Scene) -> None:
    async with scene.open_desk():
        for line in ("lock", "preview"):
            given = {"person": "nobody"} if line == "lock" else {"command": "lock nobody"}
            answer = said(await scene.ask(scene.vera, line, **given))
            assert "There is nobody called that" in answer
            assert "tom" not in answer and str(scene.ann.id) not in answer


async def test_a_message_of_ours_is_deleted_and_no_other(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        ours = await scene.ask(scene.vera, "version")
        [message_id] = [each.id for each in scene.server.messages(scene.dm(scene.vera))]
        at = address(scene.dm(scene.vera))
        assert await surface(desk).forget(at, str(message_id))
        # What is gone is gone.
        assert await surface(desk).forget(at, str(message_id))
        assert ours not in scene.server.messages(scene.dm(scene.vera))
        assert not await surface(desk).forget(Address("discord", "1"), str(message_id))


async def test_values_that_come_too_late_are_no_fault(scene: Scene) -> None:
    async with scene.open_desk():
        scene.server.fail(CALLBACK, refused(10062))
        asked = await scene.server.autocomplete(scene.ann, scene.channel, "chart", "symbol", "b")
        await scene.until_judged()

    assert asked.answer is None


async def test_what_is_too_long_for_messages_ends_in_a_file(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        text = Text("\n".join(f"line {number} of a long story" for number in range(4_000)))
        letter = Letter(Reply((text,), (Button("Status", "/status"),)))
        await surface(desk).send(address(scene.channel), letter, plain=False, nonce="")

    *_, last = scene.server.messages(scene.channel)
    [content] = last.files.values()
    assert "line 3999 of a long story" in content.decode()
    assert set(buttons(last)) == {"Status"}


def address(channel: Channel) -> Address:
    return Address("discord", str(channel.person.id if channel.person else channel.id))


# Buttons


async def test_a_button_that_looks_edits_its_card(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "status")
        pressed = await scene.press(scene.ann, card, "Positions")
        await scene.shown(card, "Open positions")

    assert pressed.answer == {"type": 6}
    assert scene.server.messages(scene.dm(scene.ann)) == [card]


async def test_a_card_becomes_a_picture_and_words_again(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.vera, "positions")
        await scene.press(scene.vera, card, "Chart BTCUSDT")
        await scene.shown(card, "BTCUSDT 1h")
        first = set(card.files)
        await scene.press(scene.vera, card, "4h")
        await scene.shown(card, "BTCUSDT 4h")
        second = set(card.files)
        await scene.press(scene.vera, card, "Why")
        await scene.server.until(lambda: not card.files)

    assert len(first) == len(second) == 1 and first != second
    assert "image" not in card.embeds[0]


async def test_a_button_that_acts_does_it_once_and_is_used_up(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        card = await scene.ask(scene.tom, "bot list", scene.channel)
        custom_id = buttons(card)[PAUSE]
        for user in (scene.tom, scene.ann):
            await scene.server.press(user, card, custom_id)
        await scene.shown(card, PAUSED)
        refusal = await scene.told(scene.channel, USED)
        assert is_paused(desk)

    assert len(acts(store, "PauseBot")) == 1
    # Whoever came second is told so beneath the card, which keeps what the first one made of it.
    assert refusal is not card and set(buttons(card)) == {RESUME}


async def test_who_may_not_act_leaves_the_card_and_its_button_to_who_may(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        card = await scene.ask(scene.tom, "bot list", scene.channel)
        before = said(card)
        await scene.press(scene.vera, card, PAUSE)
        await scene.told(scene.channel, "needs the role trader")
        assert (said(card), is_paused(desk)) == (before, False)
        await scene.press(scene.tom, card, PAUSE)
        await scene.shown(card, PAUSED)
        assert is_paused(desk)


async def test_buttons_work_after_a_restart(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        status = await scene.ask(scene.tom, "status")
        bots = await scene.ask(scene.tom, "bot list")
    async with scene.open_desk(store=store) as desk:
        await scene.press(scene.tom, status, "P&L")
        await scene.press(scene.tom, bots, PAUSE)
        await scene.server.until(lambda: status.embeds[0]["title"] != "Status")
        await scene.shown(bots, PAUSED)
        assert is_paused(desk)


async def test_a_button_beneath_news_answers_with_a_message_of_its_own(scene: Scene) -> None:
    market = flat_market()
    async with scene.open_desk(market):
        await trade_once(scene, market, [scene.dm(scene.ann)])
        news = scene.having(scene.dm(scene.ann), "Bought back")[0]
        before = said(news)
        chart = await scene.answer(await scene.press(scene.ann, news, "Chart"))

    assert chart is not news and chart.files
    assert (said(news), news.files) == (before, {})


async def test_a_button_that_asks_opens_a_form_that_completes_the_command(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        card = await scene.ask(scene.tom, "price", scene.channel, symbol="BTC")
        before = said(card)
        opened = await scene.press(scene.tom, card, "Alert")
        await scene.server.until(lambda: opened.modal)
        sent = await scene.server.submit(
            scene.tom, opened, {"direction": "above", "price": "120,000"}
        )
        answer = await scene.answer(sent)
        [alert] = desk.desk.view().alerts

    assert (alert.symbol, alert.direction, int(alert.price)) == (BTC, "above", 120_000)
    assert alert.address == address(scene.channel)
    assert BTC in said(answer) and said(card) == before


async def test_a_form_that_is_filled_in_wrong_is_answered_in_words(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        card = await scene.ask(scene.tom, "price", symbol="BTC")
        opened = await scene.press(scene.tom, card, "Alert")
        await scene.server.until(lambda: opened.modal)
        words = {"direction": "sideways", "price": "a lot of money"}
        answer = await scene.answer(await scene.server.submit(scene.tom, opened, words))
        assert desk.desk.view().alerts == ()

    assert "direction" in said(answer) and "above, below" in said(answer)


async def test_a_form_is_opened_and_taken_from_nobody_unknown(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        card = await scene.ask(scene.tom, "price", scene.channel, symbol="BTC")
        refused_ = await scene.press(scene.sue, card, "Alert")
        opened = await scene.press(scene.tom, card, "Alert")
        await scene.server.until(lambda: opened.modal)
        words = {"direction": "above", "price": "120000"}
        stolen = await scene.server.submit(scene.sue, opened, words)
        await scene.until_judged()
        assert desk.desk.view().alerts == ()

    assert (refused_.answer, stolen.answer) == (None, None)


async def test_nothing_is_remembered_of_messages_with_buttons(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        discord = surface(desk)
        letter = Letter(Reply((Text("look"),), (Button("Status", "/status"),)), is_news=True)
        for _ in range(200):
            await discord.send(address(scene.channel), letter, plain=False, nonce="")
        card = await scene.ask(scene.tom, "price", symbol="BTC")
        opened = await scene.press(scene.tom, card, "Alert")
        await scene.server.until(lambda: opened.modal)
        client = discord._client
        assert client is not None
        views = client._connection._view_store
        kept = [*views._views.values(), *views._modals, *views._synced_message_views]

    assert kept == []
    assert len(scene.having(scene.channel, "look")) == 200


# In time


class HeldMail(MemoryMail):
    """Keeps what comes only while `go` is set; `is_down` has it fail."""

    def __init__(self, delivered: Callable[[Sequence[int]], None]) -> None:
        super().__init__(delivered)
        self.go = asyncio.Event()
        self.go.set()
        self.is_down = False

    async def receive(self, updates: Sequence[Received]) -> set[str]:
        await self.go.wait()
        if self.is_down:
            raise Unreachable("the database is away")
        return await super().receive(updates)


class HeldStore(MemoryStore):
    mail: HeldMail

    def __init__(self) -> None:
        super().__init__()
        self.mail = HeldMail(self._delivered)


async def test_it_says_that_it_is_at_it_before_the_database_has_answered(scene: Scene) -> None:
    store = HeldStore()
    async with scene.open_desk(store=store):
        store.mail.go.clear()
        asked = await scene.slash(scene.ann, "status")
        await scene.server.until(lambda: asked.answer)
        assert asked.original and asked.original.loading
        store.mail.go.set()
        await scene.answer(asked)


async def test_what_could_not_be_kept_is_to_be_sent_again(scene: Scene) -> None:
    store = HeldStore()
    async with scene.open_desk(store=store) as desk:
        card = await scene.ask(scene.tom, "bot list")
        before = said(card)
        store.mail.is_down = True
        assert NOT_KEPT in said(await scene.ask(scene.tom, "bot pause", bot=BOT))
        await scene.press(scene.tom, card, PAUSE)
        await scene.told(scene.dm(scene.tom), NOT_KEPT, times=2)
        store.mail.is_down = False
        assert (said(card), is_paused(desk)) == (before, False)
        await scene.press(scene.tom, card, PAUSE)
        await scene.shown(card, PAUSED)


async def test_what_came_too_late_for_discord_is_not_done(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        scene.server.fail(CALLBACK, refused(10062))
        asked = await scene.slash(
            scene.tom, "alert", symbol="BTC", direction="above", price="120000"
        )
        await scene.until_judged()
        assert desk.desk.view().alerts == ()

    assert asked.answer is None
    assert scene.server.messages(scene.dm(scene.tom)) == []


async def test_what_reduces_risk_is_never_too_late(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        scene.server.fail(CALLBACK, refused(10062))
        await scene.slash(scene.tom, "bot pause", bot=BOT)
        await scene.told(scene.dm(scene.tom), PAUSED)
        assert is_paused(desk)


@pytest.mark.parametrize("performed", [True, False])
async def test_an_acknowledgement_that_got_lost_is_made_again(
    scene: Scene, performed: bool
) -> None:
    async with scene.open_desk() as desk:
        scene.server.fail(CALLBACK, Drop(performed=performed))
        assert PAUSED in said(await scene.ask(scene.tom, "bot pause", bot=BOT))
        assert is_paused(desk)


async def test_an_interaction_that_comes_again_acts_once(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        asked = await scene.slash(scene.tom, "bot pause", bot=BOT)
        await scene.server.redeliver(asked)
        await scene.answer(asked)
        await scene.server.redeliver(asked)
        await scene.until_judged()
    async with scene.open_desk(store=store):
        await scene.server.redeliver(asked)
        await scene.until_judged()

    assert len(acts(store, "PauseBot")) == 1
    assert len(scene.server.messages(scene.dm(scene.tom))) == 1


async def test_a_form_that_is_asked_for_again_is_no_fault(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.tom, "price", symbol="BTC")
        opened = await scene.press(scene.tom, card, "Alert")
        await scene.server.until(lambda: opened.modal)
        await scene.server.redeliver(opened)
        await scene.until_judged()


async def test_after_a_quarter_of_an_hour_the_answer_comes_as_a_message(scene: Scene) -> None:
    store = HeldStore()
    async with scene.open_desk(store=store):
        store.mail.go.clear()
        asked = await scene.slash(scene.ann, "status", scene.channel)
        await scene.server.until(lambda: asked.answer)
        scene.clock.skip(15 * 60 + 1)
        store.mail.go.set()
        await scene.told(scene.channel, STALE)

    assert not calls(scene, "PATCH", "@original")


@pytest.mark.parametrize("code", [50027, 10015, 10062, 10008])
async def test_where_the_token_is_not_good_any_more_the_answer_comes_as_a_message(
    scene: Scene, code: int
) -> None:
    async with scene.open_desk(busy_market()):
        scene.server.fail(ORIGINAL, refused(code))
        await scene.slash(scene.ann, "chart", symbol="BTC")
        card = await scene.told(scene.dm(scene.ann), "BTCUSDT 1h")

    assert list(card.files.values()) == [DOT]


# News


FLAT_FOR = FALLING_TWICE[0][0]


def flat_market() -> LiveMarket:
    bars = course(100_000.0, FALLING_TWICE[:1])
    return LiveMarket({BTC: bars, ETH: quiet(len(bars))})


async def trade_once(scene: Scene, market: LiveMarket, places: list[Channel]) -> None:
    """Let a market that was flat fall and rise again: one entry and its exit."""
    bars = course(100_000.0, FALLING_TWICE[:3])
    market.tell(BTC, *bars[FLAT_FOR:])
    for each in places:
        await scene.told(each, "Bought back")


async def subscribe(scene: Scene, channel: Channel) -> Message:
    return await scene.ask(scene.ann, "subscribe", channel)


async def test_an_exit_replies_to_its_entry_in_every_chat(scene: Scene) -> None:
    market = flat_market()
    thread = scene.server.add_thread(scene.channel, "trades")
    async with scene.open_desk(market):
        places = [scene.dm(scene.ann), scene.channel, thread]
        for each in places[1:]:
            await subscribe(scene, each)
        await trade_once(scene, market, places)
        for place in places:
            [entry] = scene.having(place, "Sold ")
            [exit_] = scene.having(place, "Bought back")
            assert replied_to(exit_) == entry.id
    assert scene.server.messages(scene.dm(scene.vera)) == []


async def test_a_message_that_arrived_although_nobody_said_so_stands_there_once(
    scene: Scene,
) -> None:
    async with scene.open_desk():
        scene.server.fail(SAY, Drop(performed=True))
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        news = await scene.told(scene.dm(scene.ann), "was paused by")
        await until_sent(scene, 2)
        await scene.until_judged()

    assert scene.having(scene.dm(scene.ann), "was paused by") == [news]
    assert REPEATED not in said(news)


async def until_sent(scene: Scene, times: int) -> None:
    """Let time pass until so many messages were sent to channels, arrived or not."""
    async with asyncio.timeout(10):
        while len(calls(scene, "POST", "/messages")) < times:
            scene.clock.skip(1)
            await asyncio.sleep(0.01)


async def test_a_message_that_may_have_got_lost_comes_again_and_says_so(scene: Scene) -> None:
    async with scene.open_desk():
        scene.server.fail(SAY, Drop(performed=False))
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        await until_sent(scene, 2)
        news = await scene.told(scene.dm(scene.ann), "was paused by")

    assert REPEATED in said(news)


@pytest.mark.parametrize(
    "fault",
    [failing(503), failing(403), failing(404), refused(0)],
    ids=["503", "403", "404", "401"],
)
async def test_a_fault_on_the_way_does_not_lose_a_chat(scene: Scene, fault: Answer) -> None:
    async with scene.open_desk() as desk:
        scene.server.fail(SAY, fault)
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        await until_sent(scene, 2)
        await scene.told(scene.dm(scene.ann), "was paused by")
        assert not [each for each in desk.told if each.kind is NoticeKind.TROUBLE]


async def test_a_short_rate_limit_is_waited_for(scene: Scene) -> None:
    async with scene.open_desk():
        scene.server.fail(SAY, rate_limited(0.1))
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        news = await scene.told(scene.dm(scene.ann), "was paused by")

    assert REPEATED not in said(news)


async def test_a_long_rate_limit_is_kept_while_others_are_served(scene: Scene) -> None:
    async with scene.open_desk():
        await subscribe(scene, scene.channel)
        scene.server.fail(f"POST /channels/{scene.channel.id}/messages", rate_limited(600.0))
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        await scene.told(scene.dm(scene.ann), "was paused by")
        assert not scene.having(scene.channel, "was paused by")
        await until_sent(scene, 2)
        scene.clock.skip(590)
        await scene.until_judged()
        assert len(calls(scene, "POST", "/messages")) == 2
        scene.clock.skip(11)
        news = await scene.told(scene.channel, "was paused by")

    assert REPEATED not in said(news)


# Chats that are gone


async def test_somebody_who_closed_their_chat_is_told_to_others_and_may_come_back(
    scene: Scene,
) -> None:
    async with scene.open_desk():
        await subscribe(scene, scene.channel)
        scene.ann.closed = True
        await scene.ask(
            scene.tom,
            "bot pause",
            bot=BOT,
        )
        await scene.told(scene.channel, f"the discord chat {scene.ann.id}")
        dead = await scene.ask(scene.ann, "outbox", scene.channel)
        assert "50007" in said(dead)
        scene.ann.closed = False
        await scene.ask(scene.ann, "status")
        await scene.ask(scene.tom, "halt")
        await scene.told(scene.dm(scene.ann), HALTED)


@pytest.mark.parametrize("code", [10003, 50001])
async def test_a_channel_that_is_gone_is_told_to_others(scene: Scene, code: int) -> None:
    async with scene.open_desk():
        await subscribe(scene, scene.channel)
        if code == 10003:
            del scene.server.world.channels[scene.channel.id]
        scene.channel.visible = False
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        await scene.told(scene.dm(scene.ann), f"the discord chat {scene.channel.id}")
        dead = await scene.ask(scene.ann, "outbox")

    assert str(code) in said(dead)


async def test_a_channel_that_discord_has_not_told_of_yet_is_written_to(scene: Scene) -> None:
    scene.server.gateway.identify_close = 4000
    async with scene.open_desk(connects=False) as desk:
        await scene.server.until(lambda: scene.server.gateway.count(2))
        letter = Letter(Reply((Text("good morning"),)), is_news=True)
        await surface(desk).send(address(scene.channel), letter, plain=False, nonce="")

    assert scene.having(scene.channel, "good morning")


# Who may speak where


async def test_the_channels_of_an_open_server_are_open(scene: Scene) -> None:
    async with scene.open_desk():
        for user in (scene.vera, scene.ann):
            await scene.ask(user, "status", scene.channel)


async def test_in_another_server_there_is_silence(scene: Scene) -> None:
    other = scene.server.add_guild("Other", scene.sue, scene.ann, scene.tom)
    channel = scene.server.add_channel(other, "talk")
    async with scene.open_desk():
        asked = [await scene.slash(user, "status", channel) for user in (scene.ann, scene.tom)]
        asked.append(await scene.slash(scene.sue, "whoami", channel))
        await scene.until_judged()
        assert [each.answer for each in asked] == [None, None, None]
        await subscribe(scene, channel)
        await scene.ask(scene.tom, "status", channel)


class NewsChannel(Channel):
    """A channel whose messages go to the channels of others."""

    type = 5


async def test_channels_of_announcements_are_refused(scene: Scene) -> None:
    channel = NewsChannel(scene.server.world.ids.next(), "news", scene.guild)
    scene.guild.channels.append(scene.server.world.keep(channel))
    async with scene.open_desk():
        asked = await scene.slash(scene.ann, "status", channel)
        await scene.until_judged()

    assert asked.answer is None


async def test_a_stranger_learns_who_they_are_and_nothing_else(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        card = await scene.ask(scene.tom, "bot list", scene.channel)
        asked = [
            await scene.slash(scene.sue, "status"),
            await scene.slash(scene.sue, "status", scene.channel),
            await scene.slash(scene.sue, "bot pause", bot=BOT),
            await scene.press(scene.sue, card, PAUSE),
        ]
        answer = await scene.ask(scene.sue, "whoami")
        assert not is_paused(desk)

    assert [each.answer for each in asked] == [None] * 4
    assert str(scene.sue.id) in said(answer) and "PAPER" not in said(answer)
    assert len(acts(store, "refused at the gate")) == 4


async def test_who_is_known_but_may_not_is_told_so(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        answer = await scene.ask(scene.vera, "bot pause", bot=BOT)
        assert not is_paused(desk)

    assert "needs the role trader" in said(answer)


# The gateway


async def test_what_was_missed_while_reconnecting_is_answered_once(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        gateway = scene.server.gateway
        gateway.repeat = 3
        first = await scene.slash(scene.tom, "bot pause", bot=BOT)
        await scene.answer(first)
        await gateway.reconnect()
        await scene.server.until(lambda: not gateway.connected)
        missed = await scene.slash(scene.tom, "halt")
        await scene.answer(missed)
        await scene.until_judged()
        assert gateway.count(6) == 1 and is_paused(desk) and desk.desk.view().halted

    assert len(acts(store, "PauseBot")) == len(acts(store, "HaltDesk")) == 1


async def test_a_connection_that_breaks_is_made_again(scene: Scene) -> None:
    async with scene.open_desk():
        scene.server.gateway.drop()
        await scene.answer(await scene.slash(scene.ann, "status"))

    assert scene.server.gateway.count(6) == 1


async def test_an_invalid_session_is_begun_anew_and_said_meanwhile(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        discord, gateway = surface(desk), scene.server.gateway
        await until(lambda: discord.condition()[0])
        await gateway.invalidate()
        await until(lambda: discord.condition() == (False, "not connected"))
        await scene.server.until(lambda: gateway.count(2) == 2)
        await scene.ask(scene.ann, "status")
        assert discord.condition() == (True, f"connected as {scene.server.bot.name}")


@pytest.mark.parametrize("where", ["login", "gateway"])
async def test_without_its_token_discord_ends_and_telegram_is_told(
    scene: Scene, where: str
) -> None:
    async with TelegramServer(clock=scene.clock) as telegram:
        ann = telegram.user("Ann")
        chat = telegram.private(ann)
        settings = {
            "telegram_bot_token": telegram.token,
            "telegram_api_base": telegram.base,
            "telegram_admin_ids": str(ann.id),
        }
        if where == "login":
            scene.server.fail("GET /users/@me", refused(0))
        else:
            scene.server.gateway.identify_close = 4004
        async with scene.open_desk(connects=False, **settings) as desk:
            news = await telegram.until(
                lambda: [m for m in telegram.from_bot(chat) if "Discord is lost" in (m.text or "")]
            )
            question = telegram.write(ann, chat, "/status")
            await telegram.until(
                lambda: [m for m in telegram.from_bot(chat) if m.reply_to is question]
            )
        assert desk.desk.links["discord"]() == (False, "not connected")

    assert scene.server.token not in (news[0].text or "").replace("DISCORD_BOT_TOKEN", "")


@pytest.mark.parametrize("fault", [failing(503), Drop(performed=False)], ids=["503", "drop"])
async def test_a_start_that_fails_is_made_again(scene: Scene, fault: Answer | Drop) -> None:
    scene.server.fail("GET /users/@me", fault, times=2)
    async with scene.open_desk(connects=False):
        async with asyncio.timeout(10):
            while not scene.server.gateway.connected:
                scene.clock.skip(1)
                await asyncio.sleep(0.02)
        await scene.ask(scene.ann, "status")


async def test_commands_are_registered_where_discord_has_others(scene: Scene) -> None:
    for _ in range(2):
        async with scene.open_desk():
            pass
    assert scene.puts() == 1

    scene.server.world.commands[None][0]["description"] = "something else"
    async with scene.open_desk():
        pass
    assert scene.puts() == 2


async def test_what_is_registered_for_everybody_names_nothing_of_this_desk(scene: Scene) -> None:
    async with scene.open_desk():
        said = json.dumps(scene.server.world.commands[None])
    assert BTC not in said
    assert BOT not in said


async def test_it_asks_for_no_privilege(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.ask(scene.ann, "status")

    sessions = scene.server.gateway.sessions.values()
    asked = GUILDS | GUILD_MESSAGES | DIRECT_MESSAGES
    assert [session.intents for session in sessions] == [asked]
    assert not asked & PRIVILEGED
