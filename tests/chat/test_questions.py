"""Questions in plain words, and replies to cards, through both platforms' own libraries."""

from collections.abc import Callable
from random import Random

from bot.advisor import Consultations
from bot.inbox import NOT_YOURS
from bot.trying import Tried
from engine.advice import Advice, Answer, Draft
from engine.desk import Desk
from engine.store.memory import MemoryStore
from handlers.command import HIDDEN
from llm.counsel import Counsel
from llm.limits import Limits
from tests.advisors import ScriptedAdvisor
from tests.chat import discord_scene, telegram_scene
from tests.chat.both_scene import until_said
from tests.chat.desks import ChatDesk, busy_market
from tests.chat.discord_scene import buttons, replied_to, said
from tests.handlers.desks import BOT

WHY = "why are we short ETH?"
THINKING = f"Thinking about {WHY}"
PAUSE = Answer("It loses.", "a script", drafts=(Draft(f"/bot pause {BOT}", "Pauses a bot"),))


def script(desk: ChatDesk) -> ScriptedAdvisor:
    advisor = desk.desk.advisor
    assert isinstance(advisor, ScriptedAdvisor)
    return advisor


def asked(desk: ChatDesk) -> list[str]:
    return [question for question, _ in script(desk).asked]


def about(desk: ChatDesk) -> list[str]:
    """The cards that were asked about."""
    return [card for _, card in script(desk).asked]


# -- on Telegram -------------------------------------------------------------------------


async def test_plain_private_words_are_asked(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk() as desk:
        answer = await telegram.ask(telegram.vera, WHY)
        assert THINKING in (answer.text or "")
        status = await telegram.ask(telegram.vera, "status")
        slip = await telegram.ask(telegram.vera, "statsu")
        assert asked(desk) == [WHY] and about(desk) == [""]
        assert "open positions" in (status.text or "")
        assert "Did you mean /status?" in (slip.text or "")


async def test_a_reply_to_a_card_asks_about_it(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk() as desk:
        card = await telegram.ask(telegram.tom, "/status")
        await telegram.ask(telegram.tom, "explain", reply_to=card)
        await telegram.ask(telegram.tom, f"/ask {WHY}", reply_to=card)
        mine = telegram.server.post(telegram.private(telegram.tom), telegram.tom, text="mine")
        await telegram.ask(telegram.tom, WHY, reply_to=mine)
        assert asked(desk) == ["explain", WHY, WHY]
        assert about(desk) == [card.text, card.text, ""]


async def test_what_a_group_says_to_the_bot_is_asked_and_other_talk_is_not(
    telegram: telegram_scene.Scene,
) -> None:
    telegram.server.privacy = False
    async with telegram.open_desk() as desk:
        group = await telegram.open_group()
        card = await telegram.ask(telegram.vera, "/status", group)
        number = len(telegram.server.from_bot(group))
        for talk in (WHY, "@other_bot why is that?", "mail me@countersign_bot.com, will you?"):
            telegram.server.write(telegram.vera, group, talk)
        telegram.server.write(telegram.vera, group, "nice one", reply_to=card)
        await telegram.until_judged()
        assert asked(desk) == [] and len(telegram.server.from_bot(group)) == number

        named = await telegram.ask(telegram.vera, f"@Countersign_bot {WHY}", group)
        replied = await telegram.ask(telegram.vera, "is that good?", group, reply_to=card)
        assert asked(desk) == [WHY, "is that good?"] and about(desk) == ["", card.text]
        assert THINKING in (named.text or "") and "is that good?" in (replied.text or "")
        command = await telegram.ask(telegram.vera, "status @countersign_bot", group)
        assert "open positions" in (command.text or "")


async def test_privacy_mode_lets_a_question_in_a_group_through(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk() as desk:
        group = await telegram.open_group()
        await telegram.ask(telegram.vera, f"{WHY} @countersign_bot", group)
        assert asked(desk) == [WHY]


async def test_a_group_that_is_not_opened_asks_nothing(telegram: telegram_scene.Scene) -> None:
    telegram.server.privacy = False
    async with telegram.open_desk() as desk:
        group = telegram.server.supergroup("Elsewhere")
        for words in (WHY, "whoami, and why are we short?", "subscribe to what exactly?"):
            telegram.server.write(telegram.ann, group, f"@countersign_bot {words}")
        await until_said(desk.desk.store, "the chat is not opened to the desk", 3)
        assert asked(desk) == [] and telegram.server.from_bot(group) == []


async def test_strangers_ask_nothing(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk() as desk:
        group = await telegram.open_group()
        card = await telegram.ask(telegram.vera, "/status", group)
        telegram.server.write(telegram.sue, group, WHY, reply_to=card)
        telegram.server.write(telegram.sue, group, f"@countersign_bot {WHY}")
        telegram.server.write(telegram.sue, telegram.private(telegram.sue), WHY)
        await telegram.ask(telegram.sue, "/whoami")
        told = await telegram.ask(telegram.sue, "access to what, please?")
        assert "role: 'to' is not valid" in (told.text or "")
        assert asked(desk) == []
        assert len(telegram.server.from_bot(telegram.private(telegram.sue))) == 2


async def test_a_question_about_a_card_is_no_phrase_and_learns_none(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk() as desk:
        await telegram.ask(telegram.ann, "/halt")
        card = await telegram.ask(telegram.ann, "/resume")
        [proposal] = desk.desk.view().proposals
        await telegram.ask(telegram.ann, "should I?", reply_to=card)
        assert asked(desk) == ["should I?"]
        assert proposal.phrase in (card.text or "") and proposal.phrase not in about(desk)[0]
        await telegram.ask(telegram.ann, proposal.phrase, reply_to=card)
        assert not desk.desk.view().halted


async def test_a_code_in_a_question_goes_nowhere_and_a_price_does(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk() as desk:
        chat = telegram.private(telegram.tom)
        code = telegram.server.write(telegram.tom, chat, "my code is 123456, does it work?")
        await telegram.server.until(lambda: code.id not in chat.messages)
        price = await telegram.ask(telegram.tom, "is BTC above 104500 a buy?")
        typed = await telegram.ask(telegram.tom, "/ask does the code 654321 work?")
        assert asked(desk) == [
            f"my code is {HIDDEN}, does it work?",
            "is BTC above 104500 a buy?",
            f"does the code {HIDDEN} work?",
        ]
        assert price.reply_to is not None and price.reply_to.id in chat.messages
        assert typed.reply_to is not None
        audit = [row.action for row in await desk.desk.store.audit_rows(0, 1_000)]
        assert not [each for each in audit if "123456" in each or "654321" in each]


async def test_a_question_that_a_crash_left_unanswered_is_asked_again(
    telegram: telegram_scene.Scene,
) -> None:
    store = MemoryStore()
    async with telegram.open_desk(store=store):
        await telegram.ask(telegram.vera, "/status")
    question = telegram.server.write(telegram.vera, telegram.private(telegram.vera), WHY)
    async with telegram.open_desk(store=store) as desk:
        await telegram.answer(question)
        assert asked(desk) == [WHY]


async def test_a_draft_of_a_group_is_for_whoever_asked(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk() as desk:
        group = await telegram.open_group()
        card = await telegram.ask(telegram.tom, f"@countersign_bot {WHY}", group)
        script(desk).end(1, PAUSE)
        [consultation] = [found for found in [script(desk).consultation(1)] if found]
        desk.chats.following.on_advice(consultation)
        await telegram.shown(card, "It loses.")
        telegram.press(telegram.ann, card, f"/bot pause {BOT}")
        await telegram.told(group, NOT_YOURS)
        assert desk.desk.view().bots[0].status == "active"
        telegram.press(telegram.tom, card, f"/bot pause {BOT}")
        await telegram.shown(card, "paused")
        assert desk.desk.view().bots[0].status == "paused"


async def test_a_draft_does_what_its_asker_may_and_no_more(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk() as desk:
        script(desk).result = PAUSE
        card = await telegram.ask(telegram.vera, WHY)
        telegram.press(telegram.vera, card, f"/bot pause {BOT}")
        await telegram.told(card.chat, "/bot pause needs the role trader.")
        assert desk.desk.view().bots[0].status == "active"


# -- on Discord --------------------------------------------------------------------------


async def test_plain_words_in_private_are_asked_or_said(discord: discord_scene.Scene) -> None:
    async with discord.open_desk() as desk:
        dm = discord.dm(discord.vera)
        question = await discord.server.say(discord.vera, dm, WHY)
        answer = await discord.told(dm, THINKING)
        assert replied_to(answer) == question.id
        await discord.server.say(discord.vera, dm, "status")
        await discord.told(dm, "open positions")
        await discord.server.say(discord.vera, dm, "statsu")
        await discord.told(dm, "Did you mean /status?")
        assert asked(desk) == [WHY]


async def test_an_emergency_in_plain_words_halts(discord: discord_scene.Scene) -> None:
    async with discord.open_desk() as desk:
        await discord.server.say(discord.tom, discord.dm(discord.tom), "stop")
        await discord.told(discord.dm(discord.tom), "Halted")
        assert desk.desk.view().halted and asked(desk) == []


async def test_a_channel_is_heard_where_it_mentions_the_bot_or_asks_about_a_card(
    discord: discord_scene.Scene,
) -> None:
    async with discord.open_desk() as desk:
        server, channel, me = discord.server, discord.channel, f"<@{discord.server.bot.id}>"
        await discord.ask(discord.vera, "status", channel)
        card = await discord.told(channel, "open positions")
        number = len(server.messages(channel))
        talk = [
            await server.say(discord.vera, channel, WHY),
            await server.say(discord.vera, channel, f"<@{discord.tom.id}> {WHY}"),
            await server.say(discord.vera, channel, WHY, reply_to=card, pings=False),
            await server.say(discord.vera, channel, "nice one", reply_to=card),
            await server.say(discord.sue, channel, f"{me} {WHY}"),
            await server.say(discord.vera, channel, f"{me} {WHY}", webhook=True),
            await server.say(discord.server.bot, channel, f"{me} {WHY}"),
        ]
        await server.say(discord.vera, channel, f"{me} {WHY}")
        await discord.told(channel, THINKING)
        await server.say(discord.vera, channel, "is that good?", reply_to=card)
        await discord.told(channel, "is that good?", 2)
        assert asked(desk) == [WHY, "is that good?"]
        assert about(desk)[0] == ""
        assert {"Status", "open positions: 0"} <= set(about(desk)[1].splitlines())
        assert len(server.messages(channel)) == number + len(talk) + 4


async def test_a_code_typed_in_private_is_read_and_can_not_be_deleted(
    discord: discord_scene.Scene,
) -> None:
    async with discord.open_desk() as desk:
        dm = discord.dm(discord.tom)
        code = await discord.server.say(discord.tom, dm, "my code is 123456, does it work?")
        await discord.told(dm, "Thinking about my code is")
        await discord.server.until(
            lambda: [e for e in discord.server.calls if e.method == "DELETE"]
        )
        assert asked(desk) == [f"my code is {HIDDEN}, does it work?"]
        assert code in discord.server.messages(dm)


async def test_a_message_that_comes_again_is_asked_once(discord: discord_scene.Scene) -> None:
    async with discord.open_desk() as desk:
        dm = discord.dm(discord.vera)
        await discord.server.say(discord.vera, dm, WHY)
        await discord.told(dm, THINKING)
        discord.server.gateway.repeat = 1
        discord.server.gateway.drop()
        await discord.server.until(lambda: discord.server.gateway.count(6) == 1)
        await discord.server.until(lambda: discord.server.gateway.connected)
        await discord.server.say(discord.vera, dm, "and why BTC?")
        await discord.told(dm, "Thinking about and why BTC?")
        assert asked(desk) == [WHY, "and why BTC?"]


async def test_a_draft_of_a_channel_is_for_whoever_asked(discord: discord_scene.Scene) -> None:
    async with discord.open_desk() as desk:
        script(desk).result = PAUSE
        words = f"<@{discord.server.bot.id}> {WHY}"
        await discord.server.say(discord.tom, discord.channel, words)
        card = await discord.told(discord.channel, "It loses.")
        assert f"/bot pause {BOT}" in buttons(card)
        await discord.press(discord.ann, card, f"/bot pause {BOT}")
        await discord.told(discord.channel, NOT_YOURS)
        assert desk.desk.view().bots[0].status == "active"
        await discord.press(discord.tom, card, f"/bot pause {BOT}")
        await discord.shown(card, "paused")


# -- a desk without a key ----------------------------------------------------------------


async def untried(desk: Desk, number: int, advice: Advice) -> Tried:
    """Nothing is suggested here."""
    raise AssertionError(advice)


def rules(store: MemoryStore, scene: telegram_scene.Scene | discord_scene.Scene) -> Consultations:
    """Whoever answers on a desk without a key."""
    same: Callable[[str], str] = str
    counsel = Counsel(None, store.calls, Limits(), scene.clock, Random(1), same, "paper:sim42")
    return Consultations(counsel, 60_000, untried)


ABOUT_BOT = f"why did {BOT} not trade ETH today?"


async def test_a_desk_without_a_key_answers_from_its_own_facts_on_telegram(
    telegram: telegram_scene.Scene,
) -> None:
    store = MemoryStore()
    advisor = rules(store, telegram)
    async with telegram.open_desk(busy_market(), store, advisor=advisor):
        card = await telegram.ask(telegram.vera, ABOUT_BOT)
        await telegram.shown(card, "Read: ")
        assert "GEMINI_API_KEY is set" in (card.text or "")
        assert "/why" in (card.text or "")


async def test_a_desk_without_a_key_answers_from_its_own_facts_on_discord(
    discord: discord_scene.Scene,
) -> None:
    store = MemoryStore()
    advisor = rules(store, discord)
    async with discord.open_desk(busy_market(), store, advisor=advisor):
        dm = discord.dm(discord.vera)
        await discord.server.say(discord.vera, dm, ABOUT_BOT)
        card = await discord.told(dm, "Read: ")
        assert "GEMINI_API_KEY is set" in said(card)
        assert "/why" in said(card)
