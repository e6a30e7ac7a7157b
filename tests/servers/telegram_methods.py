"""The Bot API's methods, as far as a bot that sends, edits and asks for updates needs them."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.telegram_chat import Chat, Json, Media, Menu, Message
from tests.servers.telegram_refusal import bad_request
from tests.servers.telegram_text import Entities, parsed, units
from tests.servers.telegram_world import World

TEXT_MAX = 4096
CAPTION_MAX = 1024
CALLBACK_BYTES_MAX = 64
ANSWER_MAX = 200
COMMANDS_MAX = 100
COMMAND_MAX = 32
DESCRIPTION_MAX = 256
COMMAND_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
DELETABLE_S = 48 * 3600
# The first topic of a forum has an id, and yet can't be named.
GENERAL_TOPIC = 1
# A picture's width and height together, and the greater by the smaller.
PHOTO_SIDES_MAX, PHOTO_RATIO_MAX = 10_000, 20
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
ATTACHED = "attach://"
# What a button has besides the one thing that it does.
BUTTON_LOOKS = {"text", "style", "icon_custom_emoji_id"}
ACTIONS = {"typing", "upload_photo", "upload_document", "choose_sticker", "find_location"}

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the bot's, `at` in UTC ms; `params` are decoded where they came as JSON."""

    method: str
    params: Json
    files: Mapping[str, Upload] = field(default_factory=dict)
    at: int = 0


def send_message(world: World, call: Call) -> Json:
    chat = world.chat_of(call.params.get("chat_id"))
    text, entities = _text(call.params)
    return _send(world, chat, call.params, text=text, entities=entities)


def send_photo(world: World, call: Call) -> Json:
    return _send_media(world, call, "photo")


def send_document(world: World, call: Call) -> Json:
    return _send_media(world, call, "document")


def send_chat_action(world: World, call: Call) -> bool:
    chat = world.chat_of(call.params.get("chat_id"))
    _thread(chat, call.params, None)
    if call.params.get("action") not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


def edit_message_text(world: World, call: Call) -> Json:
    message = _editable(world, call.params)
    if message.media is not None:
        raise bad_request("there is no text in the message to edit")
    text, entities = _text(call.params)
    return _change(world, message, call.params, text=text, entities=entities)


def edit_message_caption(world: World, call: Call) -> Json:
    message = _editable(world, call.params)
    if message.media is None:
        raise bad_request("there is no caption in the message to edit")
    text, entities = _caption(call.params)
    return _change(world, message, call.params, text=text, entities=entities)


def edit_message_media(world: World, call: Call) -> Json:
    message = _editable(world, call.params)
    asked = call.params["media"]
    media = _media(world, call, asked["type"], asked["media"])
    text, entities = _caption(asked)
    return _change(world, message, call.params, text=text, entities=entities, media=media)


def edit_message_reply_markup(world: World, call: Call) -> Json:
    return _change(world, _editable(world, call.params), call.params)


def delete_message(world: World, call: Call) -> bool:
    chat = world.chat_of(call.params.get("chat_id"))
    message = chat.messages.get(call.params.get("message_id", 0))
    if message is None:
        raise bad_request("message to delete not found")
    # What others say in groups is an administrator's to delete, which the bot is nowhere.
    is_ours = message.sender == world.bot or chat.type == "private"
    if not is_ours or world.now_s - message.date > DELETABLE_S:
        raise bad_request("message can't be deleted")
    del chat.messages[message.id]
    return True


def answer_callback_query(world: World, call: Call) -> bool:
    press = call.params.get("callback_query_id", "")
    if units(call.params.get("text", "")) > ANSWER_MAX:
        raise bad_request("MESSAGE_TOO_LONG")
    pressed_at = world.presses.get(press)
    is_late = pressed_at is None or world.clock.now() - pressed_at > world.callback_age_s * 1000
    if is_late or press in world.answers:
        raise bad_request(QUERY_TOO_OLD)
    world.answers[press] = call.params
    return True


def set_my_commands(world: World, call: Call) -> bool:
    commands = call.params["commands"]
    if len(commands) > COMMANDS_MAX:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        _check_command(command["command"], command["description"])
    world.menus[_menu(world, call.params)] = commands
    return True


def delete_my_commands(world: World, call: Call) -> bool:
    world.menus.pop(_menu(world, call.params), None)
    return True


def get_my_commands(world: World, call: Call) -> list[Json]:
    return world.menus.get(_menu(world, call.params), [])


def get_me(world: World, call: Call) -> Json:
    return world.bot.json() | {
        "can_join_groups": True,
        "can_read_all_group_messages": not world.privacy,
        "supports_inline_queries": False,
    }


def get_chat(world: World, call: Call) -> Json:
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription")
    return world.chat_of(call.params.get("chat_id")).json() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys((*gifts, "gifts_from_channels"), False),
    }


def leave_chat(world: World, call: Call) -> bool:
    chat = world.chat_of(call.params.get("chat_id"))
    if chat.type == "private":
        raise bad_request("chat member status can't be changed in private chats")
    world.set_status(world.bot, chat, "left")
    return True


def delete_webhook(world: World, call: Call) -> bool:
    world.webhook = ""
    if call.params.get("drop_pending_updates"):
        world.pending.clear()
    return True


def get_webhook_info(world: World, call: Call) -> Json:
    return {
        "url": world.webhook,
        "has_custom_certificate": False,
        "pending_update_count": len(world.pending),
    }


# All but getUpdates, which waits. SENDS are those that Telegram's limits count.
METHODS: dict[str, Callable[[World, Call], object]] = {
    "answerCallbackQuery": answer_callback_query,
    "deleteMessage": delete_message,
    "deleteMyCommands": delete_my_commands,
    "deleteWebhook": delete_webhook,
    "editMessageCaption": edit_message_caption,
    "editMessageMedia": edit_message_media,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "editMessageText": edit_message_text,
    "getChat": get_chat,
    "getMe": get_me,
    "getMyCommands": get_my_commands,
    "getWebhookInfo": get_webhook_info,
    "leaveChat": leave_chat,
    "sendChatAction": send_chat_action,
    "sendDocument": send_document,
    "sendMessage": send_message,
    "sendPhoto": send_photo,
    "setMyCommands": set_my_commands,
}
SENDS = {"sendMessage", "sendPhoto", "sendDocument"}


def _send_media(world: World, call: Call, kind: str) -> Json:
    chat = world.chat_of(call.params.get("chat_id"))
    text, entities = _caption(call.params)
    media = _media(world, call, kind, call.params.get(kind, ATTACHED + kind))
    return _send(world, chat, call.params, text=text, entities=entities, media=media)


def _send(world: World, chat: Chat, params: Json, **content: Any) -> Json:
    replied = _replied(chat, params)
    thread = _thread(chat, params, replied)
    markup = _markup(params)
    message = world.post(chat, world.bot, reply_to=replied, thread=thread, markup=markup, **content)
    return message.json()


def _text(params: Json) -> tuple[str, Entities]:
    text, entities = parsed(params.get("text", ""), params.get("parse_mode"))
    if not text.strip():
        raise bad_request("message text is empty")
    if units(text) > TEXT_MAX:
        raise bad_request("message is too long")
    return text.rstrip(), params.get("entities", entities)


def _caption(params: Json) -> tuple[str, Entities]:
    text, entities = parsed(params.get("caption", ""), params.get("parse_mode"))
    if units(text) > CAPTION_MAX:
        raise bad_request("message caption is too long")
    return text.rstrip(), params.get("caption_entities", entities)


def _markup(params: Json) -> Json | None:
    markup = params.get("reply_markup", {})
    for row in markup.get("inline_keyboard", ()):
        for button in row:
            _check_button(button)
    is_empty = not markup or markup.get("inline_keyboard") == []
    return None if is_empty else markup


def _check_button(button: Json) -> None:
    does = {name for name, value in button.items() if name not in BUTTON_LOOKS and value != ""}
    if not does:
        raise bad_request("text buttons are unallowed in the inline keyboard")
    if len(button.get("callback_data", "").encode()) > CALLBACK_BYTES_MAX:
        raise bad_request("BUTTON_DATA_INVALID")


def _replied(chat: Chat, params: Json) -> Message | None:
    asked = params.get("reply_parameters")
    if asked is None:
        return None
    message = chat.messages.get(asked.get("message_id"))
    if message is None and not asked.get("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")
    return message


def _thread(chat: Chat, params: Json, replied: Message | None) -> int | None:
    """The topic that a message goes to: the one it names, or that of what it replies to."""
    thread: int | None = params.get("message_thread_id")
    if thread is None:
        return replied.thread if replied else None
    if thread == GENERAL_TOPIC or thread not in chat.topics:
        raise bad_request("message thread not found")
    return thread


def _media(world: World, call: Call, kind: str, source: str) -> Media:
    """A file that came with the call, or one that was sent before, by its file_id."""
    if not source.startswith(ATTACHED):
        if source in world.files:
            return world.files[source]
        raise bad_request("wrong file identifier/HTTP URL specified")
    upload = call.files.get(source.removeprefix(ATTACHED))
    if upload is None:
        raise bad_request(f"there is no {kind} in the request")
    if not upload.content:
        raise bad_request("file must be non-empty")
    size = _picture_size(upload.content) if kind == "photo" else (0, 0)
    file_id = f"file-{len(world.files) + 1}"
    media = world.files[file_id] = Media(kind, file_id, upload.name, upload.content, size)
    return media


def _picture_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG; a JPEG passes without."""
    if content.startswith(JPEG):
        return 0, 0
    if not content.startswith(PNG) or len(content) < 24:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = struct.unpack(">II", content[16:24])
    least, most = sorted((width, height))
    if width + height > PHOTO_SIDES_MAX or most > least * PHOTO_RATIO_MAX:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height


def _editable(world: World, params: Json) -> Message:
    chat = world.chat_of(params.get("chat_id"))
    if "message_id" not in params:
        raise bad_request("message identifier is not specified")
    message = chat.messages.get(params["message_id"])
    if message is None:
        raise bad_request("message to edit not found")
    if message.sender != world.bot:
        raise bad_request("message can't be edited")
    return message


def _change(world: World, message: Message, params: Json, **content: Any) -> Json:
    """Give a message new content and its new buttons, which go where none are named."""
    content["markup"] = _markup(params)
    if all(getattr(message, name) == value for name, value in content.items()):
        raise bad_request(NOT_MODIFIED)
    for name, value in content.items():
        setattr(message, name, value)
    message.edited = world.now_s
    return message.json()


def _menu(world: World, params: Json) -> Menu:
    scope = params.get("scope", {"type": "default"})
    if "chat_id" in scope:
        world.chat_of(scope["chat_id"])
    chat_id, user_id = scope.get("chat_id"), scope.get("user_id")
    return Menu(scope["type"], chat_id, user_id, params.get("language_code", ""))


def _check_command(command: str, description: str) -> None:
    """Length by TDLib, letters by the server behind it."""
    for name, text, longest in (
        ("command", command, COMMAND_MAX),
        ("command description", description, DESCRIPTION_MAX),
    ):
        if not text.strip():
            raise bad_request(f"{name} must be non-empty")
        if len(text) > longest:
            raise bad_request(f"{name} length must not exceed {longest}")
    if not COMMAND_LETTERS.issuperset(command):
        raise bad_request("BOT_COMMAND_INVALID")
