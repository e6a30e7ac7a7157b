"""Cards of proposals in chats: posted, pressed, replied to, filled in, and kept up to date."""

from bot.inbox import NOT_OURS
from engine.bot import BotStatus
from engine.proposal import Proposal
from tests.chat import discord_scene, telegram_scene
from tests.chat.desks import ChatDesk
from tests.chat.discord_scene import said
from tests.handlers.desks import BOT


def is_paused(desk: ChatDesk) -> bool:
    return desk.desk.view().bots[0].status is BotStatus.PAUSED


def the_proposal(desk: ChatDesk) -> Proposal:
    """The one that waits."""
    [proposal] = desk.desk.view().proposals
    return proposal


# -- Telegram ----------------------------------------------------------------------------


async def test_a_press_decides_and_every_card_says_so(telegram: telegram_scene.Scene) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        other = await scene.told(scene.private(scene.ann), "Proposal 1:")
        assert set(card.buttons) == set(other.buttons) == {"Confirm", "Reject"}
        scene.press(scene.ann, other, "Confirm")
        await scene.shown(other, "was approved by")
        await scene.shown(card, "was approved by")
        assert not is_paused(desk)
        assert card.buttons == other.buttons == {}
        assert len(scene.having(scene.private(scene.ann), "Proposal 1:")) == 1


async def test_a_press_of_somebody_else_s_card_is_not_believed(
    telegram: telegram_scene.Scene,
) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        stolen = card.buttons["Confirm"]
        mine = await scene.told(scene.private(scene.ann), "Proposal 1:")
        scene.server.press(scene.ann, mine, stolen)
        await scene.told(scene.private(scene.ann), NOT_OURS)
        assert is_paused(desk) and the_proposal(desk)


async def test_a_phrase_is_asked_for_and_the_reply_to_the_question_decides(
    telegram: telegram_scene.Scene,
) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        await scene.ask(scene.ann, "/halt")
        card = await scene.ask(scene.ann, "/resume")
        phrase = the_proposal(desk).phrase
        scene.press(scene.ann, card, "Approve...")
        question = await scene.told(card.chat, "Reply to this message with")
        assert (question.markup or {})["force_reply"] is True
        assert phrase in (question.text or "")
        await scene.ask(scene.ann, phrase, reply_to=question)
        await scene.shown(card, "was approved by")
        assert not desk.desk.view().halted


async def test_a_reply_to_the_card_decides_and_one_with_a_code_is_deleted(
    telegram: telegram_scene.Scene,
) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        await scene.ask(scene.ann, "/halt")
        card = await scene.ask(scene.ann, "/resume")
        wrong = await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=card)
        assert desk.desk.view().halted and wrong.reply_to
        phrase = the_proposal(desk).phrase
        with_code = scene.server.write(scene.ann, card.chat, f"{phrase} 123 456", reply_to=card)
        await scene.shown(card, "was approved by")
        await scene.server.until(lambda: with_code.id not in card.chat.messages)
        assert wrong.reply_to.id in card.chat.messages


async def test_a_code_in_a_group_is_refused_and_stays_where_nobody_may_delete_it(
    telegram: telegram_scene.Scene,
) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        group = await scene.open_group()
        await scene.ask(scene.ann, "/halt", group)
        card = await scene.ask(scene.ann, "/resume", group)
        phrase = the_proposal(desk).phrase
        refused = await scene.ask(scene.ann, f"{phrase} 123456", group, reply_to=card)
        assert "Say that to me in a private chat." in (refused.text or "")
        assert desk.desk.view().halted


async def test_a_card_that_was_deleted_on_telegram_is_not_posted_again(
    telegram: telegram_scene.Scene,
) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        own = await scene.told(scene.private(scene.ann), "Proposal 1:")
        del own.chat.messages[own.id]
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "was approved by")
        await scene.told(own.chat, "was resumed by")
        assert not is_paused(desk)
        assert scene.having(own.chat, "Proposal 1:") == []


async def test_who_may_not_decide_is_asked_for_no_phrase(telegram: telegram_scene.Scene) -> None:
    scene = telegram
    async with scene.open_desk() as desk:
        group = await scene.open_group()
        await scene.ask(scene.ann, "/halt", group)
        card = await scene.ask(scene.ann, "/resume", group)
        scene.press(scene.tom, card, "Approve...")
        refused = await scene.told(group, "role admin")
        assert refused.reply_to is card
        assert scene.having(group, "Reply to this message with") == []
        assert desk.desk.view().halted


# -- Discord -----------------------------------------------------------------------------


async def test_a_form_decides_and_the_card_says_so(discord: discord_scene.Scene) -> None:
    scene = discord
    async with scene.open_desk() as desk:
        await scene.ask(scene.ann, "halt", scene.channel)
        card = await scene.ask(scene.ann, "resume", scene.channel)
        phrase = the_proposal(desk).phrase
        opened = await scene.press(scene.ann, card, "Approve...")
        modal = await scene.server.until(lambda: opened.modal)
        assert phrase in str(modal)
        wrong = await scene.server.submit(scene.ann, opened, {"phrase": "APPROVE NOTHING"})
        await scene.answer(wrong)
        assert desk.desk.view().halted

        opened = await scene.press(scene.ann, card, "Approve...")
        await scene.server.until(lambda: opened.modal)
        sent = await scene.server.submit(scene.ann, opened, {"phrase": phrase})
        await scene.answer(sent)
        await scene.shown(card, "was approved by")
        own = await scene.told(scene.dm(scene.ann), "Proposal 1:")
        await scene.shown(own, "was approved by")
        assert not desk.desk.view().halted
        assert card.controls == own.controls == {}


async def test_a_trader_is_shown_no_form(discord: discord_scene.Scene) -> None:
    scene = discord
    async with scene.open_desk() as desk:
        await scene.ask(scene.ann, "halt", scene.channel)
        card = await scene.ask(scene.ann, "resume", scene.channel)
        pressed = await scene.press(scene.tom, card, "Approve...")
        await scene.told(scene.channel, "role admin")
        assert pressed.modal is None
        assert desk.desk.view().halted


async def test_a_card_that_was_deleted_is_not_posted_again(discord: discord_scene.Scene) -> None:
    scene = discord
    async with scene.open_desk() as desk:
        await scene.ask(scene.tom, "bot pause", bot=BOT)
        card = await scene.ask(scene.tom, "bot resume", scene.channel, bot=BOT)
        own = await scene.told(scene.dm(scene.ann), "Proposal 1:")
        own.channel.messages.remove(own)
        await scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "was approved by")
        await scene.ask(scene.ann, "status")
        assert not is_paused(desk)
        assert scene.having(scene.dm(scene.ann), "Proposal 1:") == []


# -- both --------------------------------------------------------------------------------


async def test_what_is_asked_on_one_platform_is_decided_on_the_other(
    telegram: telegram_scene.Scene, discord: discord_scene.Scene
) -> None:
    there = discord.settings
    people = (
        {
            "name": "tom",
            "role": "trader",
            "telegram": telegram.tom.id,
            "discord": discord.tom.id,
        },
    )
    async with telegram.open_desk(**there | {"people": people}) as desk:
        await discord.server.until(lambda: discord.server.gateway.connected)
        await telegram.ask(telegram.tom, f"/bot pause {BOT}")
        card = await telegram.ask(telegram.tom, f"/bot resume {BOT}")
        cards = [
            await discord.told(discord.dm(user), "Proposal 1:")
            for user in (discord.ann, discord.tom)
        ]
        await discord.press(discord.tom, cards[1], "Confirm")
        for each in cards:
            await discord.shown(each, "was approved by")
            assert each.controls == {}
        await telegram.shown(card, "was approved by")
        assert not is_paused(desk)
        assert "Confirm" not in said(cards[0])
