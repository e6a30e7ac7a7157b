"""The desk on Telegram, end to end: the real library, the local server, the rules of its API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import open_app
from bot.inbox import STALE, USED
from bot.letter import REPEATED
from bot.settings import Settings
from bot.surface import SurfaceEnded
from bot.telegram import ALLOWED_UPDATES
from engine.bot import BotStatus
from engine.effect import NoticeKind
from engine.ports import Store
from engine.proposal import ProposalKind
from engine.store.memory import MemoryStore
from engine.store.sql import open_store
from engine.tunable import Tier
from tests.chat.desks import DOT, ChatDesk, LiveMarket, busy_market, open_chat_desk
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import BOT, BTC, ETH, FALLING_TWICE, course, quiet
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat, Menu, Message

PAUSE = f"Pause {BOT}"
RESUME = f"Resume {BOT}"
# The news of it, which every subscriber gets.
HALTED = "HALTED by"
PAUSED = f"{BOT} is paused"


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as scene:
        yield scene


def is_paused(desk: ChatDesk) -> bool:
    return desk.desk.view().bots[0].status is BotStatus.PAUSED


def acts(store: MemoryStore, words: str) -> list[str]:
    """What the audit says of everything that has some words in it."""
    return [row.detail for row in store.audit.values() if words in f"{row.action} {row.detail}"]


# Answers


async def test_status_is_a_card_that_replies_to_the_question(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")

    assert card.text is not None
    assert card.text.startswith("Status\n")
    assert "open positions: 1" in card.text
    assert card.text.endswith("PAPER - scripted market")
    assert set(card.buttons) == {"Positions", "P&L", "Why", "Halt"}


async def test_positions_shows_what_is_held(scene: Scene) -> None:
    async with scene.open_desk(busy_market()) as desk:
        card = await scene.ask(scene.ann, "/positions")
        [held] = desk.desk.view().positions

    assert card.text is not None
    assert "BTCUSDT · short" in card.text
    assert f"quantity {abs(held.position.quantity):f}" in card.text
    assert set(card.buttons) == {
        "Chart BTCUSDT",
        "Why BTCUSDT",
        "Close BTCUSDT",
        "Half BTCUSDT",
        "Break-even BTCUSDT",
        "Edit stop BTCUSDT",
    }


async def test_help_lists_what_each_may_do(scene: Scene) -> None:
    async with scene.open_desk():
        helps = [await scene.ask(each, "/help") for each in (scene.vera, scene.tom, scene.ann)]

    lists = ["/bot pause" in (each.text or "") for each in helps]
    admins = ["/subscribe" in (each.text or "") for each in helps]
    assert lists == [False, True, True]
    assert admins == [False, False, True]


async def test_a_chart_is_a_picture_with_its_levels_in_words(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.vera, "/chart BTC 15m")

    assert card.media is not None
    assert (card.media.kind, card.media.content) == ("photo", DOT)
    assert (card.text or "").startswith("BTCUSDT 15m\n")
    assert {"5m", "1h", "4h", "1d", "Why"} <= set(card.buttons)


async def test_each_gets_the_menu_of_their_role(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.ask(scene.ann, "/whoami")
        menus = {
            menu.chat_id: {each["command"] for each in commands}
            for menu, commands in scene.server.menus.items()
        }

    assert menus[None] == {"whoami"}
    assert "alert" not in menus[scene.vera.id]
    assert "alert" in menus[scene.tom.id]
    assert "subscribe" not in menus[scene.tom.id]
    assert "subscribe" in menus[scene.ann.id]
    assert scene.sue.id not in menus
    assert Menu("chat", scene.ann.id) in scene.server.menus


# Buttons that look


async def test_a_button_puts_its_answer_in_the_place_of_its_card(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")
        press = scene.press(scene.ann, card, "Positions")
        await scene.shown(card, "Open positions")
        await scene.server.until(lambda: press in scene.server.answers)

    assert scene.server.from_bot(card.chat) == [card]
    assert "Chart BTCUSDT" in card.buttons


async def test_a_chart_changes_its_picture_in_place(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/chart BTC 1h")
        before = card.media
        scene.press(scene.ann, card, "4h")
        await scene.shown(card, "BTCUSDT 4h")

    assert card.media is not before
    assert scene.server.from_bot(card.chat) == [card]
    assert "1h" in card.buttons


async def test_a_text_becomes_a_picture_in_place(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/price BTC")
        scene.press(scene.ann, card, "Chart")
        await scene.server.until(lambda: card.media is not None)

    assert scene.server.from_bot(card.chat) == [card]
    assert (card.text or "").startswith("BTCUSDT 1h")


async def test_a_picture_stays_and_the_text_asked_for_comes_beneath_it(scene: Scene) -> None:
    """Telegram makes no text of a picture."""
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/chart BTC")
        before = card.text
        scene.press(scene.ann, card, "Why")
        await scene.server.sent(2, card.chat)

    first, second = scene.server.from_bot(card.chat)
    assert (first.text, first.media is None) == (before, False)
    assert second.media is None
    assert "BTCUSDT" in (second.text or "")


async def test_a_button_pressed_twice_changes_nothing_more(scene: Scene) -> None:
    """Telegram refuses an edit without a change, and that is no trouble."""
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")
        data = card.buttons["Positions"]
        scene.server.press(scene.ann, card, data)
        await scene.shown(card, "Open positions")
        scene.server.press(scene.ann, card, data)
        await scene.server.until(lambda: len(scene.server.called("editMessageText")) == 2)
        await scene.until_judged()

    answer = scene.server.from_bot(card.chat)[1:]
    assert [(each.text or "").splitlines()[0] for each in answer] == ["You"]


async def test_the_card_of_a_deleted_message_comes_as_a_new_one(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")
        del card.chat.messages[card.id]
        scene.press(scene.ann, card, "Positions")
        [fresh] = await scene.server.sent(1, card.chat)

    assert "Open positions" in (fresh.text or "")


async def test_a_question_deleted_meanwhile_is_answered(scene: Scene) -> None:
    async with scene.open_desk():
        question = scene.server.write(scene.ann, scene.private(scene.ann), "/status")
        del question.chat.messages[question.id]
        [card] = await scene.server.sent(1, question.chat)

    assert (card.text or "").startswith("Status")
    assert card.reply_to is None


async def test_a_press_that_is_too_old_to_acknowledge_is_answered(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")
        scene.server.callback_age_s = -1
        press = scene.press(scene.ann, card, "Positions")
        await scene.shown(card, "Open positions")

    assert press not in scene.server.answers


async def test_a_button_without_its_card_is_met_with_silence(scene: Scene) -> None:
    """A message sent by way of the inline mode has a button, but nobody vouches for its place."""
    async with scene.open_desk():
        scene.server.press(scene.ann, None, "r:status")
        await scene.until_judged()
        assert len(scene.server.from_bot(scene.private(scene.ann))) == 1


async def test_a_card_too_old_to_be_shown_to_the_desk_still_has_its_buttons(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "/status")
        scene.server.press(scene.ann, card, card.buttons["Positions"], accessible=False)
        await scene.shown(card, "Open positions")


# Buttons that act


async def test_a_button_that_acts_does_it_once_and_is_used_up(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        card = await scene.ask(scene.tom, "/bot list")
        data = card.buttons[PAUSE]
        scene.press(scene.tom, card, PAUSE)
        await scene.shown(card, PAUSED)
        assert is_paused(desk)
        assert set(card.buttons) == {RESUME}

        scene.server.press(scene.tom, card, data)
        await scene.told(card.chat, USED)

    assert len(acts(store, "PauseBot")) == 1
    assert PAUSED in (card.text or "")


async def test_of_two_people_who_press_one_acts_and_the_other_is_told(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        group = await scene.open_group()
        card = await scene.ask(scene.tom, "/bot list", group)
        presses = [scene.press(each, card, PAUSE) for each in (scene.tom, scene.ann)]
        await scene.told(group, USED)
        await scene.server.until(lambda: set(presses) <= scene.server.answers.keys())
        assert is_paused(desk)
        await scene.shown(card, PAUSED)

    assert len(acts(store, "PauseBot")) == 1


async def test_who_may_not_act_leaves_the_button_to_who_may(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        group = await scene.open_group()
        card = await scene.ask(scene.vera, "/bot list", group)
        scene.press(scene.vera, card, PAUSE)
        await scene.told(group, "/bot pause needs the role trader.")
        assert not is_paused(desk)

        scene.press(scene.tom, card, PAUSE)
        await scene.shown(card, PAUSED)


async def test_a_button_still_acts_after_a_restart(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        card = await scene.ask(scene.tom, "/bot list")
    async with scene.open_desk(store=store) as desk:
        scene.press(scene.tom, card, PAUSE)
        await scene.shown(card, PAUSED)
        assert is_paused(desk)


async def test_a_button_that_asks_runs_with_the_reply_to_its_question(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        card = await scene.ask(scene.tom, "/price BTC")
        scene.press(scene.tom, card, "Alert")
        question = await scene.told(card.chat, "/alert BTCUSDT")
        assert (question.markup or {})["force_reply"] is True
        assert (question.text or "").endswith("direction, price")

        await scene.ask(scene.tom, "above 900000", reply_to=question)
        [alert] = desk.desk.view().alerts

    assert (alert.symbol, alert.direction, alert.price) == (BTC, "above", 900_000)


async def test_the_reply_to_a_question_is_heard_in_a_group_and_by_role(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        group = await scene.open_group()
        card = await scene.ask(scene.tom, "/price BTC", group)
        scene.press(scene.tom, card, "Alert")
        question = await scene.told(group, "/alert BTCUSDT")

        refused = await scene.ask(scene.vera, "above 900000", group, reply_to=question)
        assert "needs the role trader" in (refused.text or "")
        scene.server.write(scene.sue, group, "above 900000", reply_to=question)
        await scene.ask(scene.tom, "below 5", group, reply_to=question)
        assert [each.price for each in desk.desk.view().alerts] == [5]


# Writes are stored with their answers


@pytest.mark.parametrize("hangs", [False, True], ids=["put-off", "in-flight"])
async def test_an_answer_outlives_the_process_that_owed_it(scene: Scene, hangs: bool) -> None:
    url = f"sqlite:///{scene.folder}/desk.db"
    chat = scene.private(scene.tom)
    kind = "hang" if hangs else 429
    fault = scene.server.fault("sendMessage", kind, chat_id=chat.id, retry_after=600)
    store = await open_store(url)
    async with scene.open_desk(store=store) as desk:
        question = scene.server.write(scene.tom, chat, f"/bot pause {BOT}")
        await scene.server.until(lambda: not fault.left)
        if not hangs:
            await eventually(lambda: is_put_off(store, chat))
        assert is_paused(desk)
    await store.close()
    assert scene.server.from_bot(chat) == []

    store = await open_store(url)
    async with scene.open_desk(store=store) as desk:
        answer = await scene.answer(question)
        await scene.until_judged()
        assert is_paused(desk)
    await store.close()

    # Only what was on its way when the process ended may have arrived.
    assert (REPEATED in (answer.text or "")) == hangs
    assert PAUSED in (answer.text or "")
    assert scene.server.from_bot(chat) == [answer]


async def is_put_off(store: Store, chat: Chat) -> bool:
    """Whether a message waits for a chat that surely has not arrived, by what is stored of it."""
    [waiting] = await store.mail.waiting("telegram", str(chat.id), 2)
    return waiting.attempted_at is None


async def test_an_update_that_comes_again_acts_once(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        question = scene.server.write(scene.tom, scene.private(scene.tom), f"/bot pause {BOT}")
        update = scene.server.pending[0]
        await scene.answer(question)
    scene.server.pending.insert(0, update)
    async with scene.open_desk(store=store):
        await scene.until_judged()

    assert len(acts(store, "PauseBot")) == 1
    assert len(scene.answers(question)) == 1


# News


FLAT_FOR, SOLD_FOR = FALLING_TWICE[0][0], FALLING_TWICE[1][0]


async def trade_once(scene: Scene, market: LiveMarket, places: list[Chat]) -> None:
    """Let a market that was flat fall and rise again: one entry and its exit."""
    bars = course(100_000.0, FALLING_TWICE[:3])
    for bar in bars[FLAT_FOR:]:
        market.tell(BTC, bar)
    for each in places:
        await scene.told(each, "Bought back")


def flat_market() -> LiveMarket:
    bars = course(100_000.0, FALLING_TWICE[:1])
    return LiveMarket({BTC: bars, ETH: quiet(len(bars))})


async def test_an_exit_replies_to_its_entry_in_every_chat(scene: Scene) -> None:
    market = flat_market()
    async with scene.open_desk(market):
        forum = scene.server.supergroup("Desk", topics=[5])
        await scene.ask(scene.ann, "/subscribe", forum, thread=5)
        places = [scene.private(scene.ann), forum]
        await trade_once(scene, market, places)
        for place in places:
            [entry] = scene.having(place, "Sold ")
            [exit_] = scene.having(place, "Bought back")
            assert exit_.reply_to is entry
            assert "stop" in (entry.text or "") and "net" in (exit_.text or "")
            assert entry.thread == exit_.thread == (5 if place is forum else None)
    assert scene.server.from_bot(scene.private(scene.vera)) == []


async def test_a_button_that_acts_beneath_news_leaves_the_news(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        await scene.ask(scene.ann, f"/bot pause {BOT}")
        chat = scene.private(scene.ann)
        asked = await scene.told(chat, "was paused by")
        paused = asked.text
        scene.press(scene.ann, asked, RESUME)
        card = await scene.told(chat, "Proposal 1: ")
        assert (asked.text, card.reply_to) == (paused, asked)
        scene.press(scene.ann, card, "Confirm")

        news = await scene.told(chat, "was resumed by")
        before = news.text
        scene.press(scene.ann, news, f"Pause {BOT}")
        answer = await scene.told(chat, f"{BOT} is paused.", times=2)
        assert is_paused(desk)
        assert (news.text, answer.reply_to) == (before, news)


async def test_a_chart_asked_for_beneath_news_leaves_the_news(scene: Scene) -> None:
    market = flat_market()
    async with scene.open_desk(market):
        chat = scene.private(scene.ann)
        await trade_once(scene, market, [chat])
        news = scene.having(chat, "Bought back")[0]
        before = news.text
        scene.press(scene.ann, news, "Chart")
        await scene.server.until(lambda: any(m.media for m in scene.server.from_bot(chat)))
        assert (news.text, news.media) == (before, None)


async def test_news_on_one_platform_is_told_to_every_subscriber_once(scene: Scene) -> None:
    async with scene.open_desk():
        group = await scene.open_group()
        await scene.ask(scene.tom, "/subscribe")
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        for place in (scene.private(scene.ann), group):
            await scene.told(place, "was paused by telegram:")
        await scene.until_judged()
        assert len(scene.having(group, "was paused by")) == 1
        assert not scene.having(scene.private(scene.tom), "was paused by")


async def test_who_starts_the_desk_is_told_of_it(scene: Scene) -> None:
    """The whole program, as `countersign run` runs it."""
    bars = course(100_000.0, [(3, 5.0)])
    rows = (f"{bar.ts},{bar.open},{bar.high},{bar.low},{bar.close}\n" for bar in bars)
    candles = scene.folder / "x_BTCUSDT_5m.csv"
    candles.write_text("ts,open,high,low,close\n" + "".join(rows))
    settings = Settings(
        market=f"replay:{candles}",
        market_speed=60,
        data_dir=scene.folder / "data",
        telegram_bot_token=scene.server.token,
        telegram_api_base=scene.server.base,
        telegram_admin_ids=str(scene.ann.id),
    )
    async with open_app(settings, clock=scene.clock) as app, asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run())
        news = await scene.told(scene.private(scene.ann), "The desk is running, version ")
        assert set(news.buttons) == {"Status"}
        app.stop()


async def test_a_stranger_asks_to_be_let_in_with_a_button(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        card = await scene.ask(scene.sue, "/whoami")
        scene.press(scene.sue, card, "Ask for access")
        await scene.shown(card, "The admins are asked")
        asked = await scene.told(scene.private(scene.ann), "Proposal 1: ")
        [proposal] = desk.desk.view().proposals

    assert f"telegram:{scene.sue.id}" in (asked.text or "")
    assert (proposal.kind, proposal.tier) == (ProposalKind.ACCESS, Tier.RED)


# Topics and groups


async def test_an_answer_goes_to_the_topic_of_its_question(scene: Scene) -> None:
    async with scene.open_desk(busy_market()):
        forum = scene.server.supergroup("Desk", topics=[5, 6])
        await scene.ask(scene.ann, "/subscribe", forum, thread=5)
        cards = [
            await scene.ask(scene.vera, "/chart BTC", forum, thread=5),
            await scene.ask(scene.vera, "/status", forum, thread=6),
        ]
        fresh = await pressed_beside(scene, cards[0], "Why")

    assert [each.thread for each in cards] == [5, 6]
    assert fresh.thread == 5


async def pressed_beside(scene: Scene, card: Message, label: str) -> Message:
    """The new message that a button gives which can't edit its card."""
    number = len(scene.server.from_bot(card.chat))
    scene.press(scene.vera, card, label)
    return (await scene.server.sent(number + 1, card.chat))[-1]


async def test_the_general_topic_is_answered_without_naming_it(scene: Scene) -> None:
    async with scene.open_desk():
        forum = scene.server.supergroup("Desk", topics=[5])
        answer = await scene.ask(scene.ann, "/subscribe", forum)
        card = await scene.ask(scene.vera, "/status", forum)

    assert (answer.thread, card.thread) == (None, None)


async def test_talk_in_an_open_group_is_not_for_the_desk(scene: Scene) -> None:
    scene.server.privacy = False
    async with scene.open_desk():
        group = await scene.open_group()
        number = len(scene.server.from_bot(group))
        for line in ("hello", "status", "/status@other_bot", "what is /status?"):
            scene.server.write(scene.tom, group, line)
        card = await scene.ask(scene.tom, "/status@countersign_bot", group)
        await scene.until_judged()
        assert scene.server.from_bot(group)[number:] == [card]


async def test_it_leaves_a_group_that_no_admin_brought_it_to(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.until_judged()
        theirs, ours = scene.server.group("Pump"), scene.server.group("Desk")
        theirs.status = ours.status = "left"
        scene.server.join(scene.tom, theirs)
        scene.server.join(scene.ann, ours)
        await scene.server.until(lambda: theirs.status == "left")
        await scene.ask(scene.ann, "/subscribe", ours)

    assert ours.status == "member"


async def test_a_stranger_learns_who_they_are_and_nothing_else(scene: Scene) -> None:
    async with scene.open_desk() as desk:
        chat = scene.private(scene.sue)
        for line in ("/status", "hello", f"/bot pause {BOT}", "/start"):
            scene.server.write(scene.sue, chat, line)
        answer = await scene.ask(scene.sue, "/whoami")
        assert not is_paused(desk)

    assert str(scene.sue.id) in (answer.text or "")
    assert "PAPER" not in (answer.text or "")
    assert scene.server.from_bot(chat) == [answer]


# Polling


async def test_every_poll_says_which_updates_it_wants(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.until_judged()
        await scene.until_judged()

    polls = scene.server.called("getUpdates")
    assert len(polls) >= 3
    assert all(each.params["allowed_updates"] == ALLOWED_UPDATES for each in polls)


async def test_a_webhook_that_somebody_set_is_taken_away(scene: Scene) -> None:
    scene.server.webhook = "https://thief.example"
    async with scene.open_desk():
        await scene.ask(scene.ann, "/status")

    assert scene.server.webhook == ""


async def test_a_second_poller_is_told_once_and_so_is_its_end(scene: Scene) -> None:
    scene.server.fault("getUpdates", 409, times=3)
    async with scene.open_desk() as desk:
        chat = scene.private(scene.ann)
        await scene.told(chat, "another program polls for this bot")
        await scene.until_judged()
        await scene.told(chat, "Telegram is well again")
        told = [each.text for each in desk.told if each.kind is NoticeKind.TROUBLE]

    assert len(told) == 2


async def test_one_conflict_as_at_every_restart_is_no_news(scene: Scene) -> None:
    scene.server.fault("getUpdates", 409)
    async with scene.open_desk() as desk:
        await scene.until_judged()
        assert desk.told == []


async def test_without_its_token_telegram_ends_and_the_desk_goes_on(scene: Scene) -> None:
    market = flat_market()
    async with scene.open_desk(market) as desk:

        async def was_told() -> bool:
            return bool(desk.told)

        async def is_counted() -> bool:
            return desk.desk.view().candles == before + 1

        await scene.until_judged()
        scene.server.fault(None, 401, times=float("inf"))
        scene.server.write(scene.ann, scene.private(scene.ann), "/status")
        await eventually(was_told)
        [notice] = desk.told

        before = desk.desk.view().candles
        market.tell(BTC, course(100_000.0, [(FLAT_FOR + 1, 5.0)])[-1])
        await eventually(is_counted)

    assert notice.kind is NoticeKind.TROUBLE
    assert (notice.text or "").startswith("Telegram is lost until the desk starts again: ")
    assert "TELEGRAM_BOT_TOKEN" in (notice.text or "")


async def test_a_token_that_is_none_is_refused_at_the_start(scene: Scene) -> None:
    with pytest.raises(SurfaceEnded, match="TELEGRAM_BOT_TOKEN"):
        async with scene.open_desk(telegram_bot_token="nonsense"):
            pass


async def test_an_outage_is_waited_out(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.until_judged()
        await scene.server.outage()
        question = scene.server.write(scene.ann, scene.private(scene.ann), "/status")
        await scene.until_logged("telegram can't be reached")
        await scene.server.back()
        await scene.answer(question)


@pytest.mark.parametrize("kind", [500, 502, 429, "drop"])
async def test_a_poll_that_fails_is_made_again(scene: Scene, kind: int | str) -> None:
    scene.server.fault("getUpdates", kind, times=2)
    async with scene.open_desk():
        await scene.ask(scene.ann, "/status")


async def test_a_start_that_fails_is_made_again(scene: Scene) -> None:
    for method in ("getMe", "deleteWebhook", "setMyCommands"):
        scene.server.fault(method, 502)
    async with scene.open_desk():
        await scene.ask(scene.ann, "/status")


# What came too late


def long_ago(scene: Scene, line: str) -> Message:
    """Something that was written in Tom's chat 61 seconds before the desk hears of it."""
    message = scene.server.post(scene.private(scene.tom), scene.tom, text=line)
    message.date -= 61
    scene.server.push({"message": message.json()})
    return message


async def test_what_was_asked_while_the_desk_was_away_comes_too_late(scene: Scene) -> None:
    look, act = long_ago(scene, "/status"), long_ago(scene, f"/bot resume {BOT}")
    async with scene.open_desk():
        answers = [await scene.answer(each) for each in (look, act)]

    assert all(f"✗ {STALE}" in (each.text or "") for each in answers)


async def test_a_button_that_acts_is_too_late_only_if_pressed_while_the_desk_was_away(
    scene: Scene,
) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, "/bot list")
    scene.press(scene.tom, card, RESUME)
    async with scene.open_desk(store=store) as desk:
        await scene.told(card.chat, STALE)
        assert is_paused(desk)
    async with scene.open_desk(store=store) as desk:
        polls = len(scene.server.called("getUpdates"))
        await scene.server.until(lambda: len(scene.server.called("getUpdates")) >= polls + 2)
        scene.press(scene.tom, card, RESUME)
        await scene.shown(card, "Proposal 1: ")
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "was approved by")
        assert not is_paused(desk)


async def test_what_reduces_risk_is_never_too_late(scene: Scene) -> None:
    question = long_ago(scene, f"/bot pause {BOT}")
    async with scene.open_desk() as desk:
        await scene.answer(question)
        assert is_paused(desk)


# Sending that fails


async def test_an_answer_that_has_to_wait_comes_when_it_may(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.until_judged()
        scene.server.fault("sendMessage", 429, retry_after=5)
        card = await scene.ask(scene.ann, "/status")
        refused, taken = scene.server.called("sendMessage")[-2:]

    assert taken.at - refused.at >= 5000
    assert REPEATED not in (card.text or "")
    assert scene.answers(card.reply_to or card) == [card]


@pytest.mark.parametrize("kind", [500, 502, "drop_after"])
@pytest.mark.parametrize("line", ["/status", f"/bot pause {BOT}"], ids=["look", "act"])
async def test_an_answer_that_may_have_come_says_so(
    scene: Scene, line: str, kind: int | str
) -> None:
    chat = scene.private(scene.tom)
    async with scene.open_desk():
        scene.server.fault("sendMessage", kind, chat_id=chat.id)
        scene.server.write(scene.tom, chat, line)
        await scene.told(chat, REPEATED)

    assert len(scene.server.from_bot(chat)) == (2 if kind == "drop_after" else 1)


async def test_what_surely_did_not_come_says_nothing_of_it(scene: Scene) -> None:
    async with scene.open_desk():
        fault = scene.server.fault("sendMessage", 429, retry_after=5)
        question = scene.server.write(scene.ann, scene.private(scene.ann), "/status")
        await scene.server.until(lambda: not fault.left)
        await scene.server.outage()
        await scene.until_logged("a platform can't be reached")
        await scene.server.back()
        card = await scene.answer(question)

    assert REPEATED not in (card.text or "")
    assert scene.answers(question) == [card]


@pytest.mark.parametrize("method", ["sendMessage", "editMessageText"])
async def test_markup_that_is_not_understood_comes_as_plain_text(scene: Scene, method: str) -> None:
    async with scene.open_desk(busy_market()):
        words = "Bad Request: can't parse entities: unsupported start tag"
        if method == "sendMessage":
            scene.server.fault(method, 400, text=words)
            card = await scene.ask(scene.ann, "/status")
        else:
            card = await scene.ask(scene.ann, "/pnl")
            card = await scene.ask(scene.ann, "/portfolio")
            scene.server.fault(method, 400, text=words)
            scene.press(scene.ann, card, "Positions")
            await scene.shown(card, "Open positions")

    assert card.entities == []
    assert "<b>" not in (card.text or "")


async def test_a_chat_that_blocks_the_desk_is_told_to_others_and_may_come_back(
    scene: Scene,
) -> None:
    bob = scene.server.user("Bob")
    chat, admins = scene.server.private(bob), f"{scene.ann.id}, {bob.id}"
    async with scene.open_desk(telegram_admin_ids=admins):
        await scene.until_judged()
        scene.server.kick(bob, chat)
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        await scene.told(scene.private(scene.ann), f"telegram chat {chat.id}: Forbidden")
        outbox = await scene.ask(scene.ann, "/outbox")
        assert f"telegram {chat.id}" in (outbox.text or "")
        assert "blocked" in (outbox.text or "")

        scene.server.join(bob, chat)
        await scene.ask(bob, "/status")
        await scene.ask(scene.tom, "/halt")
        await scene.told(chat, HALTED)
    assert not scene.having(chat, "was paused by")


async def test_a_group_that_became_a_supergroup_has_to_be_opened_again(scene: Scene) -> None:
    async with scene.open_desk():
        group = scene.server.group("Desk")
        await scene.ask(scene.ann, "/subscribe", group)
        fresh = scene.server.migrate(scene.ann, group)
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        await scene.told(scene.private(scene.ann), f"its id is {fresh.id}")

        scene.server.write(scene.tom, fresh, "/status")
        await scene.until_judged()
        assert scene.server.from_bot(fresh) == []

        await scene.ask(scene.ann, "/subscribe", fresh)
        await scene.ask(scene.tom, "/status", fresh)
        await scene.ask(scene.tom, "/halt")
        await scene.told(fresh, HALTED)
        # The dead chat is tried no more.
        assert not [
            each
            for each in scene.server.called("sendMessage")
            if each.params["chat_id"] == group.id and HALTED in each.params["text"]
        ]


async def test_an_update_that_can_not_be_read_hides_no_other(tmp_path: Path) -> None:
    """Telegram may send what this program does not know yet."""
    async with TelegramServer() as server:
        ann = server.user("Ann")
        chat = server.private(ann)
        settings = {
            "telegram_bot_token": server.token,
            "telegram_api_base": server.base,
            "telegram_admin_ids": str(ann.id),
        }
        async with open_chat_desk(tmp_path, **settings):
            odd = {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}}
            server.push({"message": {**odd, "forward_origin": {"type": "of the future"}}})
            server.write(ann, chat, "/status")
            await server.until(lambda: server.from_bot(chat))
            assert "Status" in (server.from_bot(chat)[0].text or "")
