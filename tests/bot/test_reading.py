"""Decisions as the platforms tell of them: presses, replies, forms, and what looks like one."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest
from aiogram.types import Update as TelegramUpdate
from aiogram.types import User

from bot import discord as on_discord
from bot import telegram as on_telegram
from bot.letter import REPEATED
from bot.render.telegram import plain_text, telegram_messages
from bot.tokens import Tokens
from bot.update import Update, UpdateKind, called
from engine.mail import Address
from engine.proposal import Way
from handlers.cards import buttons, card
from handlers.reply import reply
from tests.chat.posts import KEY
from tests.proposals import NOW, PHRASE, RED, YELLOW

ME = User(id=1, is_bot=True, first_name="Desk", username="desk_bot")
ANN = {"id": 7, "is_bot": False, "first_name": "Ann"}
PRIVATE = {"id": 7, "type": "private"}
QUESTION = f"Proposal 17\nReply to this message with:\n{PHRASE}"


def shown(proposal: Any) -> str:
    """The text of a card as it stands in a chat."""
    return plain_text(telegram_messages(card(proposal, NOW))[0])


def replied(text: str | None, to: str, author: User = ME, **changes: Any) -> Update | None:
    """What is read of a reply to a message."""
    asked = {
        "message_id": 5,
        "date": 1,
        "chat": PRIVATE,
        "from": author.model_dump(),
        **({"photo": [], "caption": to} if changes.pop("picture", False) else {"text": to}),
    }
    message = {
        "message_id": 6,
        "date": 2,
        "chat": PRIVATE,
        "from": ANN,
        "reply_to_message": asked,
        "text": text,
        **changes,
    }
    came = TelegramUpdate.model_validate({"update_id": 1, "message": message})
    return on_telegram.read(came, ME, NOW)


# -- Telegram ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", [QUESTION, shown(RED), f"{REPEATED}\n\n{shown(RED)}"], ids=["question", "card", "again"]
)
@pytest.mark.parametrize("picture", [False, True])
def test_a_reply_to_a_card_or_its_question_is_a_phrase(to: str, picture: bool) -> None:
    update = replied(f"  {PHRASE} 123 456 ", to, picture=picture)
    assert update is not None
    assert (update.name, update.way) == ("approve", Way.REPLY)
    assert update.arguments == {"proposal": "17", "phrase": f"{PHRASE} 123 456"}
    assert (update.decision, update.edit, update.message_id) == ("", False, "6")


def test_what_an_account_calls_itself_comes_with_what_it_says() -> None:
    update = replied("/access", QUESTION)
    assert update is not None
    assert update.sender == ANN["first_name"]
    assert called("Sue  Fox", "sue") == "Sue  Fox (@sue)"
    assert replace(update, sender="a\nb " + "x" * 100).sender == "a b " + "x" * 56


def test_a_caption_is_a_phrase_too() -> None:
    update = replied(None, QUESTION, photo=[], caption=PHRASE)
    assert update is not None
    assert update.arguments["phrase"] == PHRASE


def test_a_wrong_phrase_is_one_too() -> None:
    update = replied("yes", shown(RED))
    assert update is not None
    assert (update.name, update.arguments["phrase"]) == ("approve", "yes")


@pytest.mark.parametrize("text", ["no way!", "thanks"])
@pytest.mark.parametrize(
    "to",
    [
        shown(YELLOW),
        "Proposal 17 (Resume trading) is rejected. Nothing was changed.",
        "Proposal 0: Resume trading\nAPPROVE X",
        f"Status\n{QUESTION}",
        "Positions",
        "",
    ],
)
def test_talk_about_anything_else_decides_nothing(text: str, to: str) -> None:
    update = replied(text, to)
    assert update is not None
    assert (update.name, update.way, update.line) == ("", Way.TYPED, text)


def test_a_phrase_may_come_when_its_card_asks_for_none_any_more() -> None:
    update = replied(PHRASE.lower(), shown(YELLOW))
    assert update is not None
    assert (update.name, update.way) == ("approve", Way.REPLY)


def test_a_reply_to_somebody_else_s_card_decides_nothing() -> None:
    other = User(id=2, is_bot=True, first_name="Desk", username="desk_bot")
    update = replied(PHRASE, shown(RED), author=other)
    assert update is not None
    assert (update.name, update.way) == ("", Way.TYPED)


def test_a_command_is_a_command_whatever_it_replies_to() -> None:
    update = replied("/status", shown(RED))
    assert update is not None
    assert (update.name, update.line, update.way) == ("", "/status", Way.TYPED)


def test_what_is_not_plainly_said_stays_so() -> None:
    origin = {"type": "hidden_user", "date": 1, "sender_user_name": "x"}
    update = replied(PHRASE, shown(RED), forward_origin=origin)
    assert update is not None
    assert update.faults == ("forwarded",)


def test_a_press_carries_its_token_and_the_command_it_stands_for() -> None:
    approve, reject = buttons(RED)
    for button, line in ((approve, "/approve 17"), (reject, "/reject 17")):
        assert button.decides is not None
        data = Tokens(KEY).make(button.decides, Address("telegram", "7"), "7")
        message = {"message_id": 5, "date": 1, "chat": PRIVATE, "from": ME.model_dump()}
        query = {"id": "1", "from": ANN, "chat_instance": "1", "data": data, "message": message}
        came = TelegramUpdate.model_validate({"update_id": 1, "callback_query": query})
        update = on_telegram.read(came, ME, NOW)
        assert update is not None
        assert (update.line, update.decision, update.way) == (line, data, Way.BUTTON)
        assert update.edit and not update.faults


# -- Discord -----------------------------------------------------------------------------

DESK = SimpleNamespace(id=1, bot=True)
TALLER = SimpleNamespace(id=7, bot=False, name="sue", display_name="Sue")
TOKEN = Tokens(KEY).make(cast(Any, buttons(RED)[0].decides), Address("discord", "7"), "7")
REJECTS = Tokens(KEY).make(cast(Any, buttons(RED)[1].decides), Address("discord", "7"), "7")


def interacted(kind: discord.InteractionType, data: dict[str, Any]) -> Update:
    """What is read of an interaction in a private chat, with a card of ours."""
    made = SimpleNamespace(
        id=9,
        type=kind,
        data=data,
        user=TALLER,
        client=SimpleNamespace(user=DESK),
        message=SimpleNamespace(id=5, author=DESK),
        created_at=datetime.fromtimestamp(NOW / 1000, UTC),
        channel=SimpleNamespace(type=discord.ChannelType.private),
        channel_id=3,
        guild_id=None,
        token="token",
    )
    return on_discord.read(cast(discord.Interaction, made))


def filled_in(custom_id: str, **values: str) -> Update:
    """What is read of a form."""
    inputs = [{"custom_id": name, "value": value} for name, value in values.items()]
    rows = [{"type": 1, "components": [each]} for each in inputs]
    data = {"custom_id": custom_id, "components": rows}
    return interacted(discord.InteractionType.modal_submit, data)


def test_a_press_on_discord_carries_its_token() -> None:
    update = interacted(discord.InteractionType.component, {"custom_id": TOKEN})
    assert update.sender == "Sue (@sue)"
    assert (update.kind, update.line, update.way) == (
        UpdateKind.BUTTON,
        "/approve 17",
        Way.BUTTON,
    )
    assert update.decision == TOKEN
    assert update.edit and not update.faults


def test_a_form_carries_its_token_and_what_was_typed() -> None:
    update = filled_in(f"m:{TOKEN}", phrase=PHRASE, code="123456")
    assert (update.kind, update.name, update.way) == (UpdateKind.MODAL, "approve", Way.FORM)
    assert update.arguments == {"proposal": "17", "phrase": PHRASE, "code": "123456"}
    assert update.decision == TOKEN
    # The card stays; what became of it comes beneath.
    assert not update.edit


def test_a_code_that_nobody_has_is_not_in_the_form() -> None:
    update = filled_in(f"m:{TOKEN}", phrase=PHRASE, code="")
    assert update.arguments == {"proposal": "17", "phrase": PHRASE}


def test_a_form_is_about_the_proposal_of_its_token() -> None:
    update = filled_in(f"m:{TOKEN}", phrase=PHRASE, proposal="18")
    assert update.arguments["proposal"] == "17"


@pytest.mark.parametrize("custom_id", [f"m:{REJECTS}", f"m:{TOKEN[:-1]}", TOKEN, "m:/approve 17"])
def test_no_other_form_decides(custom_id: str) -> None:
    update = filled_in(custom_id, phrase=PHRASE)
    assert (update.decision, update.way, update.name) == ("", Way.TYPED, "")


def test_a_form_asks_for_the_phrase_and_a_code_within_what_discord_takes() -> None:
    asked = on_discord.pressed(TOKEN)
    assert asked is not None
    form = on_discord._phrase_form(asked, PHRASE * 9).to_dict()
    assert len(form["custom_id"]) <= 100 and len(form["title"]) <= 45
    fields = [row["components"][0] for row in form["components"]]
    assert [(each["custom_id"], each["required"]) for each in fields] == [
        ("phrase", True),
        ("code", False),
    ]
    assert all(len(each["label"]) <= 45 for each in fields)
    assert len(fields[0]["placeholder"]) <= 100


def test_a_card_has_its_headline_first_on_telegram() -> None:
    assert shown(RED).startswith("Proposal 17: ")
    assert plain_text(telegram_messages(reply(*card(RED, NOW).blocks))[0]) == shown(RED)
