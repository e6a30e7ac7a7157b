"""The local Telegram server, by the real client: it answers and refuses as Telegram does."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import SendMessage
from aiogram.types import (
    BotCommand,
    BotCommandScopeChat,
    BotCommandScopeChatMember,
    BufferedInputFile,
    ForceReply,
    InaccessibleMessage,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    LinkPreviewOptions,
    ReplyParameters,
    Update,
)

from tests.clock import FakeClock
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat, Menu, User
from tests.servers.telegram_pace import Pace

TOKEN = "123456:TEST"


class Session(AiohttpSession):
    """A session that closes at once: the library's waits for TLS, which is not here."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def client(server: TelegramServer, token: str = TOKEN) -> Bot:
    return Bot(token, session=Session(api=TelegramAPIServer.from_base(server.base)))


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> Path | None:
    """The published specification, where there is one."""
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return None
    return shared / "specs" / "telegram"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(spec: Path | None, clock: FakeClock) -> AsyncIterator[TelegramServer]:
    async with TelegramServer(TOKEN, spec, clock) as server:
        yield server


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    async with client(server) as bot:
        yield bot


@pytest.fixture
def ann(server: TelegramServer) -> User:
    return server.user("Ann", "ann")


@pytest.fixture
def chat(server: TelegramServer, ann: User) -> Chat:
    return server.private(ann)


@pytest.fixture
def forum(server: TelegramServer) -> Chat:
    return server.supergroup("Desk", topics=[5])


def keyboard(**buttons: str) -> InlineKeyboardMarkup:
    row = [InlineKeyboardButton(text=text, callback_data=data) for text, data in buttons.items()]
    return InlineKeyboardMarkup(inline_keyboard=[row])


def png(width: int = 640, height: int = 480) -> BufferedInputFile:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return BufferedInputFile(head, "chart.png")


async def polled(bot: Bot, offset: int | None = None, **params: Any) -> list[Update]:
    return await bot.get_updates(offset=offset, timeout=params.pop("timeout", 0), **params)


# What is right passes


async def test_every_right_call_passes_and_every_answer_is_one_of_telegrams(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat, forum: Chat, shared: Path
) -> None:
    me = await bot.get_me()
    question = server.write(ann, chat, "/status")
    [update] = await polled(bot, allowed_updates=["message", "callback_query"])
    first = await bot.send_message(
        chat.id,
        "<b>Flat</b> &amp; calm",
        parse_mode="HTML",
        reply_markup=keyboard(More="more"),
        reply_parameters=ReplyParameters(message_id=question.id),
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )
    await first.edit_text("Long", reply_markup=keyboard(Close="close"))
    await first.edit_reply_markup(reply_markup=None)
    picture = await bot.send_photo(chat.id, png(), caption="BTC")
    await picture.edit_caption(caption="<i>BTC</i>", parse_mode="HTML")
    await picture.edit_media(InputMediaPhoto(media=png(800, 600), caption="ETH"))
    await bot.send_document(chat.id, BufferedInputFile(b"a,b\n", "fills.csv"))
    await bot.send_message(forum.id, "Sure?", message_thread_id=5, reply_markup=ForceReply())
    await bot.send_chat_action(chat.id, "typing")
    await bot.delete_message(chat.id, question.id)
    await bot.answer_callback_query(server.press(ann, server.from_bot(chat)[0], "more"), "Done.")
    await bot.set_my_commands([BotCommand(command="status", description="How things are")])
    await bot.get_my_commands()
    await bot.delete_my_commands(scope=BotCommandScopeChat(chat_id=chat.id))
    await bot.get_chat(forum.id)
    await bot.delete_webhook(drop_pending_updates=True)
    await bot.get_webhook_info()
    await bot.leave_chat(forum.id)
    assert me.username == "countersign_bot"
    assert update.message is not None and update.message.text == "/status"
    assert server.violations == []


async def test_what_was_sent_stands_in_the_chat(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    question = server.write(ann, chat, "/chart")
    reply = ReplyParameters(message_id=question.id)
    await bot.send_message(
        chat.id,
        "<b>Hi</b>",
        parse_mode="HTML",
        reply_markup=keyboard(Go="go"),
        reply_parameters=reply,
    )
    await bot.send_photo(chat.id, png(), caption="BTC")
    text, picture = server.from_bot(chat)
    assert (text.text, text.buttons, text.reply_to) == ("Hi", {"Go": "go"}, question)
    assert text.entities == [{"type": "bold", "offset": 0, "length": 2}]
    assert picture.media is not None
    assert (picture.text, picture.media.size) == ("BTC", (640, 480))
    assert picture.media.content == png().data
    assert server.messages(chat) == [question, text, picture]


async def test_an_edit_replaces_text_and_keyboard(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    sent = await bot.send_message(chat.id, "Close?", reply_markup=keyboard(Yes="y"))
    await sent.edit_text("Closed.")
    [message] = server.from_bot(chat)
    assert (message.text, message.buttons) == ("Closed.", {})


async def test_an_edit_replaces_a_text_by_a_picture(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    sent = await bot.send_message(chat.id, "Drawing…")
    await sent.edit_media(InputMediaPhoto(media=png(), caption="BTC"))
    [message] = server.from_bot(chat)
    assert message.media is not None and message.text == "BTC"


async def test_a_picture_can_be_sent_again_by_its_id(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    sent = await bot.send_photo(chat.id, png())
    assert sent.photo is not None
    await bot.send_photo(chat.id, sent.photo[0].file_id)
    first, second = server.from_bot(chat)
    assert first.media is second.media


async def test_a_reply_in_a_topic_stays_there(
    bot: Bot, server: TelegramServer, ann: User, forum: Chat
) -> None:
    question = server.write(ann, forum, "/status", thread=5)
    await bot.send_message(
        forum.id, "Flat.", reply_parameters=ReplyParameters(message_id=question.id)
    )
    assert [each.thread for each in await server.sent(1, forum)] == [5]


async def test_menus_are_kept_by_scope_and_language(
    bot: Bot, server: TelegramServer, ann: User, forum: Chat
) -> None:
    command = BotCommand(command="kill", description="Stop everything")
    scope = BotCommandScopeChatMember(chat_id=forum.id, user_id=ann.id)
    await bot.set_my_commands([command], scope=scope, language_code="de")
    assert list(server.menus) == [Menu("chat_member", forum.id, ann.id, "de")]
    [kept] = await bot.get_my_commands(scope=scope, language_code="de")
    assert (kept.command, kept.description) == (command.command, command.description)
    assert await bot.get_my_commands() == []


async def test_a_dispatcher_runs_on_it(server: TelegramServer, ann: User, chat: Chat) -> None:
    dispatcher = Dispatcher()
    dispatcher.message()(echo)
    async with client(server) as bot, asyncio.TaskGroup() as tasks:
        tasks.create_task(dispatcher.start_polling(bot, handle_signals=False))
        server.write(ann, chat, "/status")
        [answer] = await server.sent(1, chat)
        await server.until(lambda: server.polling)
        await dispatcher.stop_polling()
    assert (answer.text, server.pending, server.violations) == ("/status", [], [])


async def echo(message: Any) -> None:
    await message.answer(message.text)


# What is wrong is refused

Trial = Callable[[Bot, Chat], Awaitable[object]]

REFUSALS: dict[str, tuple[Trial, str]] = {
    "no text": (lambda bot, chat: bot.send_message(chat.id, " "), "message text is empty"),
    "no text but markup": (
        lambda bot, chat: bot.send_message(chat.id, "<b></b>", parse_mode="HTML"),
        "message text is empty",
    ),
    "a text of 4,097": (
        lambda bot, chat: bot.send_message(chat.id, "a" * 4097),
        "message is too long",
    ),
    "a text of 2,049 beyond 16 bits": (
        lambda bot, chat: bot.send_message(chat.id, "🙂" * 2049),
        "message is too long",
    ),
    "a caption of 1,025": (
        lambda bot, chat: bot.send_photo(chat.id, png(), caption="a" * 1025),
        "message caption is too long",
    ),
    "an open tag": (
        lambda bot, chat: bot.send_message(chat.id, "<b>5", parse_mode="HTML"),
        "can't parse entities: Can't find end tag corresponding to start tag \"b\"",
    ),
    "a sign that is no tag": (
        lambda bot, chat: bot.send_message(chat.id, "1 < 2", parse_mode="HTML"),
        "can't parse entities: Unsupported start tag",
    ),
    "a point in MarkdownV2": (
        lambda bot, chat: bot.send_message(chat.id, "12.5", parse_mode="MarkdownV2"),
        "can't parse entities: Character '.' is reserved",
    ),
    "an unknown parse mode": (
        lambda bot, chat: bot.send_message(chat.id, "x", parse_mode="BBCode"),
        "unsupported parse_mode",
    ),
    "65 bytes of data": (
        lambda bot, chat: bot.send_message(chat.id, "x", reply_markup=keyboard(A="ж" * 33)),
        "BUTTON_DATA_INVALID",
    ),
    "a button that does nothing": (
        lambda bot, chat: bot.send_message(chat.id, "x", reply_markup=keyboard(A="")),
        "text buttons are unallowed",
    ),
    "an unknown chat": (lambda bot, chat: bot.send_message(1, "x"), "chat not found"),
    "the general topic": (
        lambda bot, chat: bot.send_message(chat.id, "x", message_thread_id=1),
        "message thread not found",
    ),
    "an unknown topic": (
        lambda bot, chat: bot.send_message(chat.id, "x", message_thread_id=9),
        "message thread not found",
    ),
    "a reply to nothing": (
        lambda bot, chat: bot.send_message(
            chat.id, "x", reply_parameters=ReplyParameters(message_id=99)
        ),
        "message to be replied not found",
    ),
    "an edit of nothing": (
        lambda bot, chat: bot.edit_message_text("x", chat_id=chat.id, message_id=99),
        "message to edit not found",
    ),
    "an edit of no message": (
        lambda bot, chat: bot.edit_message_text("x", chat_id=chat.id),
        "message identifier is not specified",
    ),
    "a deletion of nothing": (
        lambda bot, chat: bot.delete_message(chat.id, 99),
        "message to delete not found",
    ),
    "a picture that is none": (
        lambda bot, chat: bot.send_photo(chat.id, BufferedInputFile(b"%PDF", "a.png")),
        "IMAGE_PROCESS_FAILED",
    ),
    "a picture like a ribbon": (
        lambda bot, chat: bot.send_photo(chat.id, png(2100, 100)),
        "PHOTO_INVALID_DIMENSIONS",
    ),
    "an empty file": (
        lambda bot, chat: bot.send_document(chat.id, BufferedInputFile(b"", "a.csv")),
        "file must be non-empty",
    ),
    "an unknown file": (
        lambda bot, chat: bot.send_photo(chat.id, "AgAC"),
        "wrong file identifier",
    ),
    "an unknown action": (
        lambda bot, chat: bot.send_chat_action(chat.id, "singing"),
        "wrong parameter action in request",
    ),
    "an unknown press": (
        lambda bot, chat: bot.answer_callback_query("1"),
        "query is too old",
    ),
    "an answer of 201": (
        lambda bot, chat: bot.answer_callback_query("1", "a" * 201),
        "MESSAGE_TOO_LONG",
    ),
    "101 commands": (
        lambda bot, chat: bot.set_my_commands(
            [BotCommand(command=f"c{n}", description="x") for n in range(101)]
        ),
        "BOT_COMMANDS_TOO_MUCH",
    ),
    "a command in capitals": (
        lambda bot, chat: bot.set_my_commands([BotCommand(command="Kill", description="x")]),
        "BOT_COMMAND_INVALID",
    ),
    "a command of 33": (
        lambda bot, chat: bot.set_my_commands([BotCommand(command="a" * 33, description="x")]),
        "command length must not exceed 32",
    ),
    "a command without a name": (
        lambda bot, chat: bot.set_my_commands([BotCommand(command="", description="x")]),
        "command must be non-empty",
    ),
    "a description of 257": (
        lambda bot, chat: bot.set_my_commands([BotCommand(command="a", description="x" * 257)]),
        "command description length must not exceed 256",
    ),
    "a menu for an unknown chat": (
        lambda bot, chat: bot.set_my_commands([], scope=BotCommandScopeChat(chat_id=1)),
        "chat not found",
    ),
}


@pytest.mark.parametrize(("trial", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_refused(
    trial: Trial, words: str, bot: Bot, server: TelegramServer, forum: Chat
) -> None:
    with pytest.raises(TelegramBadRequest, match="Bad Request: ") as refused:
        await trial(bot, forum)
    assert words in refused.value.message
    assert server.from_bot(forum) == []
    assert server.violations == []


UNUSUAL_CALLS = {
    "a chat without a name": (
        "sendMessage",
        {"chat_id": "", "text": "x"},
        "Bad Request: chat_id is empty",
    ),
    "a file that did not come along": (
        "sendPhoto",
        {"chat_id": "@news", "photo": "attach://chart"},
        "Bad Request: there is no photo in the request",
    ),
    "JSON that is none": (
        "setMyCommands",
        {"commands": "[status]"},
        "Bad Request: can't parse commands JSON object",
    ),
    "a method that is not offered": ("logOut", {}, "Not Found: method not found"),
}


@pytest.mark.parametrize(("method", "form", "words"), UNUSUAL_CALLS.values(), ids=UNUSUAL_CALLS)
async def test_what_the_client_would_not_send_is_refused_too(
    method: str, form: dict[str, str], words: str
) -> None:
    async with TelegramServer(TOKEN) as server, client(server) as bot:
        server.channel("News", "news")
        assert await told(bot, server, method, form) == words


async def told(bot: Bot, server: TelegramServer, method: str, form: dict[str, str]) -> str:
    """The description with which a call is refused."""
    session = await bot.session.create_session()
    async with session.post(f"{server.base}/bot{TOKEN}/{method}", data=form) as answer:
        body = await answer.json()
        assert (body["ok"], body["error_code"]) == (False, answer.status)
        return body["description"]


async def test_a_method_that_is_not_offered_is_no_right_call(
    bot: Bot, server: TelegramServer
) -> None:
    with pytest.raises(TelegramNotFound):
        await bot.log_out()
    assert server.violations == ["logOut is not offered by this server"]


async def test_lengths_count_after_the_markup(bot: Bot, server: TelegramServer, chat: Chat) -> None:
    await bot.send_message(chat.id, "<b>" + "&amp;" * 4096 + "</b>", parse_mode="HTML")
    await bot.send_message(chat.id, "x", reply_markup=keyboard(A="ж" * 32))
    assert len(server.from_bot(chat)) == 2


async def test_the_same_again_is_no_edit(bot: Bot, chat: Chat) -> None:
    sent = await bot.send_message(
        chat.id, "<b>5</b>", parse_mode="HTML", reply_markup=keyboard(A="a")
    )
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await sent.edit_text("<strong>5</strong>", parse_mode="HTML", reply_markup=keyboard(A="a"))
    await sent.edit_text("<i>5</i>", parse_mode="HTML", reply_markup=keyboard(A="a"))
    await sent.edit_reply_markup(reply_markup=keyboard(A="b"))
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await sent.edit_reply_markup(reply_markup=keyboard(A="b"))


async def test_a_pictures_text_is_a_caption(bot: Bot, chat: Chat) -> None:
    picture = await bot.send_photo(chat.id, png())
    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await picture.edit_text("x")
    text = await bot.send_message(chat.id, "x")
    with pytest.raises(TelegramBadRequest, match="there is no caption in the message to edit"):
        await text.edit_caption(caption="x")


async def test_nobody_elses_message_can_be_edited(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    theirs = server.write(ann, chat, "/status")
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await bot.edit_message_text("x", chat_id=chat.id, message_id=theirs.id)


async def test_a_deleted_message_is_gone(bot: Bot, server: TelegramServer, chat: Chat) -> None:
    sent = await bot.send_message(chat.id, "x")
    await sent.delete()
    assert server.messages(chat) == []
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await sent.edit_text("y")


async def test_what_others_say_can_be_deleted_in_private_chats_alone(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    said = server.write(ann, chat, "123456")
    await bot.delete_message(chat.id, said.id)
    assert server.messages(chat) == []
    group = server.supergroup("Desk")
    said = server.write(ann, group, "123456")
    with pytest.raises(TelegramBadRequest, match="message can't be deleted"):
        await bot.delete_message(group.id, said.id)
    assert server.messages(group) == [said]


async def test_a_message_can_be_deleted_for_two_days(
    bot: Bot, chat: Chat, clock: FakeClock
) -> None:
    sent = await bot.send_message(chat.id, "x")
    clock.advance(48 * 3600 + 1)
    with pytest.raises(TelegramBadRequest, match="message can't be deleted"):
        await sent.delete()


async def test_a_reply_to_nothing_may_be_sent_without(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    reply = ReplyParameters(message_id=99, allow_sending_without_reply=True)
    await bot.send_message(chat.id, "x", reply_parameters=reply)
    assert [each.reply_to for each in server.from_bot(chat)] == [None]


async def test_a_press_is_answered_once_and_in_time(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat, clock: FakeClock
) -> None:
    await bot.send_message(chat.id, "x", reply_markup=keyboard(Yes="y"))
    [message] = server.from_bot(chat)
    press, late = server.press(ann, message, "y"), server.press(ann, message, "y")
    await bot.answer_callback_query(press, "Done.", show_alert=True)
    assert server.answers[press]["text"] == "Done."
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(press)
    clock.advance(16)
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(late)


async def test_a_revoked_and_a_broken_token(server: TelegramServer) -> None:
    async with client(server, "123456:OLD") as revoked, client(server, "0123:X") as broken:
        with pytest.raises(TelegramUnauthorizedError, match="Unauthorized$"):
            await revoked.get_me()
        with pytest.raises(TelegramUnauthorizedError, match="invalid token specified"):
            await broken.get_me()
    assert server.calls == []


# The specification


WRONG_CALLS = {
    "an unknown parameter": (
        "sendMessage",
        {"chat_id": "1", "text": "x", "colour": "red"},
        "sendMessage: 'colour' is not known",
    ),
    "a missing parameter": ("sendMessage", {"chat_id": "1"}, "sendMessage: 'text' is missing"),
    "a number that is none": (
        "deleteMessage",
        {"chat_id": "1", "message_id": "one"},
        "deleteMessage.message_id: 'one' is no Integer",
    ),
    "a truth for a number": (
        "deleteMessage",
        {"chat_id": "1", "message_id": "true"},
        "deleteMessage.message_id: True is no Integer",
    ),
    "a field deep inside": (
        "sendMessage",
        {
            "chat_id": "1",
            "text": "x",
            "reply_markup": '{"inline_keyboard": [[{"text": "A", "data": "a"}]]}',
        },
        "sendMessage.reply_markup.inline_keyboard[0][0]: 'data' is not known",
    ),
    "a scope that is none": (
        "setMyCommands",
        {"commands": "[]", "scope": '{"type": "everybody"}'},
        "setMyCommands.scope.type: 'everybody' is not 'default'",
    ),
    "JSON that is none": (
        "setMyCommands",
        {"commands": "[status]"},
        "setMyCommands.commands: '[status]' is no Array of BotCommand",
    ),
}


@pytest.mark.parametrize(("method", "form", "words"), WRONG_CALLS.values(), ids=WRONG_CALLS)
async def test_what_the_specification_does_not_know_is_refused(
    method: str,
    form: dict[str, str],
    words: str,
    bot: Bot,
    server: TelegramServer,
    shared: Path,
) -> None:
    assert await told(bot, server, method, form) == f"Bad Request: {words}"
    assert server.violations == [words]


async def test_an_unknown_method_is_not_found(
    bot: Bot, server: TelegramServer, shared: Path
) -> None:
    assert await told(bot, server, "sendGold", {}) == "Not Found: method not found"
    assert server.violations == ["sendGold is no method"]


async def test_an_update_that_telegram_would_not_send_is_not_sent(
    server: TelegramServer, shared: Path
) -> None:
    with pytest.raises(AssertionError, match="'text' is not known"):
        server.push({"callback_query": {"id": "1", "text": "x"}})


async def test_an_answer_that_telegram_would_not_give_is_told(
    bot: Bot, server: TelegramServer, shared: Path
) -> None:
    server.menus[Menu()] = [{"command": "kill", "description": "x", "icon": "y"}]
    await bot.get_my_commands()
    assert server.violations == ["the result of getMyCommands[0]: 'icon' is not known"]


async def test_without_the_specification_limits_are_kept_all_the_same(chat: Chat) -> None:
    async with TelegramServer(TOKEN) as server, client(server) as bot:
        with pytest.raises(TelegramBadRequest, match="chat not found"):
            await bot.send_message(chat.id, "x")
        server.private(server.user("Ben"))
        with pytest.raises(TelegramBadRequest, match="message is too long"):
            await bot.send_message(next(iter(server.chats)), "x" * 4097)


# What people do


async def test_messages_come_as_telegram_tells_them(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat, forum: Chat, clock: FakeClock
) -> None:
    via, author = User(9, "Gif", True, "gif"), server.user("Ben")
    server.write(ann, chat, "/close BTC")
    server.write(ann, forum, "/status", thread=5)
    server.write(ann, chat, "/kill", forwarded=author)
    server.write(ann, chat, "/kill", via_bot=via)
    server.write(ann, forum, "/kill", sender_chat=forum)
    plain, topic, forwarded, inline, anonymous = [each.message for each in await polled(bot)]
    assert plain.from_user.id == ann.id and plain.chat.type == "private"
    assert int(plain.date.timestamp()) == clock.now() // 1000
    assert plain.entities[0].type == "bot_command" and plain.entities[0].length == 6
    assert (topic.message_thread_id, topic.is_topic_message) == (5, True)
    assert forwarded.forward_origin.sender_user.id == author.id
    assert inline.via_bot.id == via.id
    assert anonymous.sender_chat.id == forum.id and anonymous.from_user.id == 1087968824


async def test_another_bot_says_that_it_is_one(
    bot: Bot, server: TelegramServer, forum: Chat
) -> None:
    server.write(server.user("Spam", is_bot=True), forum, "/kill")
    [update] = await polled(bot)
    assert update.message.from_user.is_bot


async def test_edits_and_channel_posts_have_updates_of_their_own(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    channel = server.channel("News")
    server.edit(server.write(ann, chat, "/status"), "/kill")
    server.edit(server.write(None, channel, "/status"), "/kill")
    updates = await polled(bot)
    assert [update.event_type for update in updates] == [
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
    ]
    assert updates[1].edited_message.text == "/kill"
    assert updates[2].channel_post.from_user is None


async def test_presses_come_with_the_message_or_without(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    await bot.send_message(chat.id, "x", reply_markup=keyboard(Yes="y"))
    [message] = server.from_bot(chat)
    server.press(ann, message, "y")
    server.press(ann, message, "y", accessible=False)
    server.press(ann, None, "y")
    full, empty, inline = [each.callback_query for each in await polled(bot)]
    assert full.message.text == "x" and full.data == "y" and full.from_user.id == ann.id
    assert isinstance(empty.message, InaccessibleMessage)
    assert empty.message.message_id == message.id
    assert inline.message is None and inline.inline_message_id


async def test_reactions_and_inline_queries_come_to_who_asks_for_them(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    message = server.write(ann, chat, "/status")
    server.react(ann, message, "👍")
    await polled(bot, allowed_updates=["message_reaction", "inline_query"])
    server.react(ann, message, "👍")
    server.ask_inline(ann, "status")
    server.write(ann, chat, "/status")
    first, reaction, query = await polled(bot)
    assert first.message.message_id == message.id
    assert reaction.message_reaction.new_reaction[0].emoji == "👍"
    assert query.inline_query.query == "status"


async def test_privacy_hides_what_is_not_for_the_bot(
    bot: Bot, server: TelegramServer, ann: User
) -> None:
    group = server.group("Desk")
    await bot.send_message(group.id, "Sure?")
    [ours] = server.from_bot(group)
    heard = [
        server.write(ann, group, "/status"),
        server.write(ann, group, "/status@countersign_bot now"),
        server.write(ann, group, "yes", reply_to=ours),
        server.write(ann, group, "good morning @Countersign_bot"),
    ]
    server.write(ann, group, "good morning")
    server.write(ann, group, "good morning @another_bot")
    server.write(ann, group, "/status@another_bot")
    assert [each.update_id for each in await polled(bot)] == [each.update_id for each in heard]
    server.privacy = False
    assert server.write(ann, group, "good morning").update_id is not None


async def test_a_bot_that_was_thrown_out_is_refused(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    group = server.group("Elsewhere", status="left")
    with pytest.raises(TelegramForbiddenError, match="bot is not a member of the group chat"):
        await bot.send_message(group.id, "x")
    server.join(ann, group)
    await bot.send_message(group.id, "x")
    server.kick(ann, group)
    server.kick(ann, chat)
    with pytest.raises(TelegramForbiddenError, match="bot was kicked from the group chat"):
        await bot.send_message(group.id, "x")
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(chat.id, "x")
    changes = [each.my_chat_member for each in await polled(bot)]
    assert [change.new_chat_member.status for change in changes] == ["member", "kicked", "kicked"]
    assert changes[0].old_chat_member.status == "left" and changes[0].from_user.id == ann.id


async def test_a_bot_can_leave_a_group(bot: Bot, server: TelegramServer, ann: User) -> None:
    group = server.group("Elsewhere")
    await bot.leave_chat(group.id)
    assert group.status == "left"
    with pytest.raises(TelegramBadRequest, match="private chats"):
        await bot.leave_chat(server.private(ann).id)


async def test_a_group_that_migrated_says_where_to(
    bot: Bot, server: TelegramServer, ann: User
) -> None:
    old = server.group("Desk")
    new = server.migrate(ann, old)
    with pytest.raises(TelegramMigrateToChat) as moved:
        await bot.send_message(old.id, "x")
    assert moved.value.migrate_to_chat_id == new.id
    leaving, coming = [each.message for each in await polled(bot)]
    assert leaving.migrate_to_chat_id == new.id and coming.migrate_from_chat_id == old.id


# Updates


def ids(updates: list[Update]) -> list[int]:
    return [each.update_id for each in updates]


async def test_updates_are_told_again_until_they_are_confirmed(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    first, second = [server.write(ann, chat, "/status").update_id for _ in range(2)]
    assert ids(await polled(bot, limit=1)) == [first]
    assert ids(await polled(bot)) == [first, second]
    assert ids(await polled(bot, offset=second)) == [second]
    assert ids(await polled(bot, offset=second + 1)) == []
    assert server.pending == []


async def test_a_negative_offset_keeps_the_last_updates(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    last = [server.write(ann, chat, "/status").update_id for _ in range(3)][-1]
    assert ids(await polled(bot, offset=-1)) == [last]
    assert ids(await polled(bot)) == [last]


async def test_a_poll_waits_for_what_comes(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    async with asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(polled(bot, timeout=30))
        await server.until(lambda: server.polling)
        written = server.write(ann, chat, "/status")
    assert ids(poll.result()) == [written.update_id]
    assert not server.polling


async def test_a_poll_for_nothing_ends(bot: Bot) -> None:
    assert await polled(bot, timeout=1) == []


async def test_the_kinds_once_asked_for_stay_asked_for(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    await polled(bot, allowed_updates=["callback_query"])
    server.write(ann, chat, "/status")
    assert await polled(bot) == []
    await polled(bot, allowed_updates=["message"])
    server.write(ann, chat, "/status")
    assert len(await polled(bot)) == 1


async def test_a_second_poller_ends_the_first(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    async with client(server) as other, asyncio.TaskGroup() as tasks:
        older = tasks.create_task(refused_poll(bot))
        await server.until(lambda: server.polling)
        newer = tasks.create_task(polled(other, timeout=30))
        assert "terminated by other getUpdates request" in await older
        written = server.write(ann, chat, "/status")
        assert ids(await newer) == [written.update_id]


async def refused_poll(bot: Bot) -> str:
    with pytest.raises(TelegramConflictError) as refused:
        await polled(bot, timeout=30)
    return refused.value.message


async def test_with_a_webhook_nobody_can_poll(bot: Bot, server: TelegramServer) -> None:
    server.webhook = "https://example.org/hook"
    with pytest.raises(TelegramConflictError, match="use deleteWebhook"):
        await polled(bot)
    assert (await bot.get_webhook_info()).url == "https://example.org/hook"
    await bot.delete_webhook()
    assert await polled(bot) == []


# Faults


async def test_a_flood_is_told_when_to_come_again(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    server.fault("sendMessage", 429, retry_after=7)
    with pytest.raises(TelegramRetryAfter) as flood:
        await bot.send_message(chat.id, "x")
    assert flood.value.retry_after == 7
    server.fault("getMe", 429, retry_after=8)
    session = await bot.session.create_session()
    async with session.post(f"{server.base}/bot{TOKEN}/getMe") as answer:
        assert answer.headers["Retry-After"] == "8"
    await bot.send_message(chat.id, "y")
    assert [each.text for each in server.from_bot(chat)] == ["y"]


REFUSING_FAULTS: dict[str, tuple[int, type[TelegramAPIError]]] = {
    "a revoked token": (401, TelegramUnauthorizedError),
    "a block": (403, TelegramForbiddenError),
    "a second poller": (409, TelegramConflictError),
    "a refusal": (400, TelegramBadRequest),
}


@pytest.mark.parametrize(("kind", "error"), REFUSING_FAULTS.values(), ids=REFUSING_FAULTS)
async def test_a_call_is_refused_on_demand(
    kind: int, error: type[TelegramAPIError], bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    server.fault("sendMessage", kind, text="Told: so")
    with pytest.raises(error, match="Told: so"):
        await bot.send_message(chat.id, "x")
    assert server.from_bot(chat) == []


@pytest.mark.parametrize("kind", [500, 502])
async def test_a_broken_gateway_answers_with_a_page(
    kind: int, bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    server.fault(None, kind)
    with pytest.raises(ClientDecodeError, match="<html>"):
        await bot.send_message(chat.id, "x")


async def test_a_fault_can_send_on_to_another_chat(bot: Bot, server: TelegramServer) -> None:
    group = server.group("Desk")
    server.fault("sendMessage", 400, migrate_to=-100_5)
    with pytest.raises(TelegramMigrateToChat) as moved:
        await bot.send_message(group.id, "x")
    assert moved.value.migrate_to_chat_id == -100_5


async def test_a_fault_is_for_its_chat_and_its_number_of_calls(
    bot: Bot, server: TelegramServer, chat: Chat, forum: Chat
) -> None:
    server.fault("sendMessage", 403, times=2, chat_id=chat.id)
    await bot.send_message(forum.id, "x")
    for _ in range(2):
        with pytest.raises(TelegramForbiddenError):
            await bot.send_message(chat.id, "x")
    await bot.send_message(chat.id, "x")
    server.fault("sendMessage", 403, times=100)
    server.heal()
    await bot.send_message(chat.id, "y")


async def test_a_call_that_hangs_is_heard_when_it_is_let_go(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    fault = server.fault("sendMessage", "hang")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.send_message(chat.id, "x"))
        await server.until(lambda: server.called("sendMessage"))
        assert server.from_bot(chat) == []
        fault.release()
    assert len(server.from_bot(chat)) == 1


async def test_a_call_that_hangs_too_long_is_never_heard(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    fault = server.fault("sendMessage", "hang")
    with pytest.raises(TelegramNetworkError, match="timeout"):
        await bot(SendMessage(chat_id=chat.id, text="x"), request_timeout=0.05)
    await bot.get_me()
    fault.release()
    await bot.get_me()
    assert server.from_bot(chat) == []


@pytest.mark.parametrize(("kind", "arrived"), [("drop", 0), ("drop_after", 1)])
async def test_a_connection_that_ends_leaves_the_client_in_doubt(
    kind: str, arrived: int, bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    server.fault("sendMessage", kind)
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(chat.id, "x")
    assert len(server.from_bot(chat)) == arrived


async def test_an_outage_ends_polls_and_refuses_calls_until_it_is_over(
    bot: Bot, server: TelegramServer, ann: User, chat: Chat
) -> None:
    async with asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(lost_poll(bot))
        await server.until(lambda: server.polling)
        await server.outage()
        await poll
        written = server.write(ann, chat, "/status")
        with pytest.raises(TelegramNetworkError):
            await bot.get_me()
    await server.back()
    assert ids(await polled(bot)) == [written.update_id]


async def lost_poll(bot: Bot) -> None:
    with pytest.raises(TelegramNetworkError):
        await polled(bot, timeout=30)


async def test_a_wait_ends_with_what_it_waits_for(
    bot: Bot, server: TelegramServer, chat: Chat
) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(server.sent(1, chat, seconds=5))
        await bot.send_message(chat.id, "x")
    assert [each.text for each in waiting.result()] == ["x"]


async def test_a_wait_for_what_never_comes_ends(server: TelegramServer) -> None:
    with pytest.raises(TimeoutError):
        await server.until(lambda: server.calls, seconds=0.01)


# How fast


async def test_too_fast_a_send_is_told(
    bot: Bot, server: TelegramServer, chat: Chat, forum: Chat, clock: FakeClock
) -> None:
    await bot.send_message(chat.id, "x")
    await bot.send_message(forum.id, "x")
    clock.advance(1)
    await bot.send_message(chat.id, "y")
    assert server.pace.too_fast == []
    clock.advance(0.9)
    await bot.send_message(chat.id, "z")
    assert server.pace.too_fast == [f"chat {chat.id}: 0.10 s too early at 1735689601.90"]


async def test_too_fast_a_send_is_refused_where_limits_are_kept(
    spec: Path | None, clock: FakeClock
) -> None:
    async with (
        TelegramServer(TOKEN, spec, clock, enforce_limits=True) as server,
        client(server) as bot,
    ):
        chat = server.group("Desk")
        for _ in range(20):
            await bot.send_message(chat.id, "x")
            clock.advance(1)
        with pytest.raises(TelegramRetryAfter) as flood:
            await bot.send_message(chat.id, "x")
        assert flood.value.retry_after == 40
        clock.advance(40)
        await bot.send_message(chat.id, "x")
        assert server.pace.too_fast == []


def test_thirty_messages_a_second_are_enough_for_all_chats() -> None:
    pace = Pace()
    for chat_id in range(31):
        pace.record(chat_id, False, 100.0)
    assert pace.too_fast == ["chat 30: 1.00 s too early at 100.00"]
