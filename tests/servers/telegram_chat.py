"""What stands on Telegram's side: people, chats, messages and menus, each with its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from tests.servers.telegram_refusal import Refused
from tests.servers.telegram_text import Entities

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    id: int
    first_name: str
    is_bot: bool = False
    username: str | None = None

    def json(self) -> Json:
        return without_none(
            id=self.id, is_bot=self.is_bot, first_name=self.first_name, username=self.username
        )


@dataclass(eq=False, slots=True)
class Chat:
    """A chat and the messages that stand in it now, by id.

    `topics` are the threads of a forum. `status` is the bot's own: member, left or kicked,
    which in a private chat means blocked.
    """

    id: int
    type: str
    title: str
    username: str | None = None
    topics: frozenset[int] = frozenset()
    status: str = "member"
    migrated_to: int | None = None
    messages: dict[int, "Message"] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def is_group(self) -> bool:
        return self.type in {"group", "supergroup"}

    @property
    def refusal(self) -> Refused | None:
        """Why the bot can't do anything here, if it can't."""
        if self.migrated_to:
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            return Refused(400, words, migrate_to_chat_id=self.migrated_to)
        match self.status:
            case "member":
                return None
            case "kicked" if self.type == "private":
                return Refused(403, "Forbidden: bot was blocked by the user")
            case "kicked":
                return Refused(403, f"Forbidden: bot was kicked from the {self.type} chat")
            case _:
                return Refused(403, f"Forbidden: bot is not a member of the {self.type} chat")

    def json(self) -> Json:
        name = "first_name" if self.type == "private" else "title"
        return without_none(
            id=self.id,
            type=self.type,
            username=self.username,
            is_forum=bool(self.topics) or None,
            **{name: self.title},
        )


@dataclass(eq=False, slots=True)
class Media:
    """A picture (`kind` photo) or a file (`kind` document), as it was uploaded."""

    kind: str
    file_id: str
    name: str
    content: bytes
    size: tuple[int, int] = (0, 0)

    def json(self) -> Json:
        file = {
            "file_id": self.file_id,
            "file_unique_id": f"unique-{self.file_id}",
            "file_size": len(self.content),
        }
        if self.kind == "photo":
            return {"photo": [file | {"width": self.size[0], "height": self.size[1]}]}
        return {"document": file | {"file_name": self.name}}


@dataclass(eq=False, slots=True)
class Message:
    """A message as it stands in its chat. `text` is the caption where there is `media`.

    Times are in UTC seconds. `update_id` is the update by which the bot was told of it, None
    if it was not. `extra` are further fields of Telegram's own Message.
    """

    id: int
    chat: Chat
    date: int
    sender: User | None
    text: str | None = None
    entities: Entities = field(default_factory=list)
    media: Media | None = None
    markup: Json | None = None
    reply_to: "Message | None" = None
    thread: int | None = None
    edited: int | None = None
    update_id: int | None = None
    extra: Json = field(default_factory=dict)

    @property
    def buttons(self) -> dict[str, str]:
        """Callback data by label."""
        rows = (self.markup or {}).get("inline_keyboard", [])
        return {
            button["text"]: button["callback_data"]
            for row in rows
            for button in row
            if "callback_data" in button
        }

    def json(self, *, quoted: bool = False) -> Json:
        """Telegram's Message; a `quoted` one leaves out what it replies to."""
        text, entities = ("caption", "caption_entities") if self.media else ("text", "entities")
        replied = None if quoted or self.reply_to is None else self.reply_to.json(quoted=True)
        author, in_channel = self.sender, self.chat.type == "channel"
        is_inline = self.markup is not None and "inline_keyboard" in self.markup
        known = without_none(
            message_id=self.id,
            date=self.date,
            chat=self.chat.json(),
            sender_chat=self.chat.json() if in_channel else None,
            reply_to_message=replied,
            message_thread_id=self.thread,
            is_topic_message=True if self.thread else None,
            edit_date=self.edited,
            reply_markup=self.markup if is_inline else None,
            **{"from": None if author is None or in_channel else author.json()},
            **{text: self.text or None, entities: self.entities or None},
            **(self.media.json() if self.media else {}),
        )
        return known | self.extra


class Menu(NamedTuple):
    """Whom a command menu is for: `scope` as in Telegram's BotCommandScope."""

    scope: str = "default"
    chat_id: int | None = None
    user_id: int | None = None
    language: str = ""


def without_none(**fields: Any) -> Json:
    """Fields that are not there are left out, as Telegram does."""
    return {name: value for name, value in fields.items() if value is not None}
