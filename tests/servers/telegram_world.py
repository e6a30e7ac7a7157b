"""Telegram's world without its door: people, chats, what stands in them, and the bot's updates.

Tests act through it as people do: they write, press buttons, add the bot and throw it out.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

from engine.ports import Clock
from tests.servers.telegram_chat import Chat, Json, Media, Menu, Message, User, without_none
from tests.servers.telegram_refusal import bad_request
from tests.servers.telegram_text import detected

T = TypeVar("T")

# How long tests wait for what must happen, in seconds.
DEADLINE_S = 10
# Updates that a bot gets only if it asks for them.
UNASKED = {"chat_member", "message_reaction", "message_reaction_count"}

# Telegram's own stand-ins for whoever writes in the name of a group or a channel.
GROUP_ANONYMOUS = User(1087968824, "Group", True, "GroupAnonymousBot")
CHANNEL_BOT = User(136817688, "Channel", True, "Channel_Bot")


class World:
    """Everything on Telegram's side that a bot can see.

    `privacy` is a bot's privacy mode, on as Telegram has it by default: of what people write in
    groups the bot gets commands, replies to itself, and what names it. `callback_age_s` is how
    long a press can be answered. `webhook` is an address that somebody has set: with one, nobody
    can poll.
    """

    def __init__(self, clock: Clock, bot: User) -> None:
        self.clock = clock
        self.bot = bot
        self.privacy = True
        self.callback_age_s = 15.0
        self.webhook = ""
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, Media] = {}
        self.menus: dict[Menu, list[Json]] = {}
        self.presses: dict[str, int] = {}
        self.answers: dict[str, Json] = {}
        self.pending: list[Json] = []
        self.allowed: frozenset[str] = frozenset()
        # Ids of people and chats are beyond 32 bits, as Telegram's own are.
        self._user_ids = count(7_000_000_001)
        self._group_ids = count(-4_000_000_001, -1)
        self._supergroup_ids = count(-1_002_000_000_001, -1)
        self._update_ids = count(500_000_001)
        self._query_ids = count(4_382_000_000_000_000_001)
        self._news = asyncio.Event()

    # What there is

    def user(self, first_name: str, username: str | None = None, *, is_bot: bool = False) -> User:
        return User(next(self._user_ids), first_name, is_bot, username)

    def private(self, user: User) -> Chat:
        """The user's private chat with the bot, which the user has started."""
        return self._add(Chat(user.id, "private", user.first_name, user.username))

    def group(self, title: str, *, status: str = "member") -> Chat:
        return self._add(Chat(next(self._group_ids), "group", title, status=status))

    def supergroup(self, title: str, *, topics: Iterable[int] = (), status: str = "member") -> Chat:
        """A supergroup; one with `topics` is a forum."""
        chat_id = next(self._supergroup_ids)
        return self._add(
            Chat(chat_id, "supergroup", title, topics=frozenset(topics), status=status)
        )

    def channel(self, title: str, username: str | None = None) -> Chat:
        return self._add(Chat(next(self._supergroup_ids), "channel", title, username))

    def messages(self, chat: Chat) -> list[Message]:
        """What stands in the chat now, oldest first."""
        return list(chat.messages.values())

    def from_bot(self, chat: Chat) -> list[Message]:
        """What the bot has standing in the chat now, oldest first."""
        return [each for each in self.messages(chat) if each.sender == self.bot]

    # What people do

    def write(
        self,
        user: User | None,
        chat: Chat,
        text: str,
        *,
        thread: int | None = None,
        reply_to: Message | None = None,
        forwarded: User | None = None,
        via_bot: User | None = None,
        sender_chat: Chat | None = None,
    ) -> Message:
        """Write into a chat; into a channel by nobody (`user` None).

        `forwarded` is who said it first, `sender_chat` in whose name it is written: the group
        itself for an anonymous administrator.
        """
        if sender_chat is not None:
            user = GROUP_ANONYMOUS if sender_chat is chat else CHANNEL_BOT
        extra = without_none(
            sender_chat=sender_chat.json() if sender_chat else None,
            via_bot=via_bot.json() if via_bot else None,
            forward_origin=self._origin(forwarded) if forwarded else None,
        )
        content = {"text": text, "entities": detected(text), "extra": extra}
        message = self.post(chat, user, thread=thread, reply_to=reply_to, **content)
        message.update_id = self._tell(message, "message", "channel_post")
        return message

    def edit(self, message: Message, text: str) -> int | None:
        """Have a message's author change it; returns the update's id, if the bot is told."""
        message.text, message.entities, message.edited = text, detected(text), self.now_s
        return self._tell(message, "edited_message", "edited_channel_post")

    def press(
        self, user: User, message: Message | None, data: str, *, accessible: bool = True
    ) -> str:
        """Press a button; returns the id of the callback query.

        Nothing says that the message has such a button: clients send what they like. A message
        of None is one that was sent in the bot's name from elsewhere, by an inline query; one
        that is not `accessible` comes without its contents.
        """
        press = str(next(self._query_ids))
        self.presses[press] = self.clock.now()
        query: Json = {"id": press, "from": user.json(), "chat_instance": "-1", "data": data}
        if message is None:
            query["inline_message_id"] = f"inline-{press}"
        elif accessible:
            query["message"] = message.json()
        else:
            query["message"] = {"chat": message.chat.json(), "message_id": message.id, "date": 0}
        self.push({"callback_query": query})
        return press

    def react(self, user: User, message: Message, emoji: str) -> int:
        reaction = {
            "chat": message.chat.json(),
            "message_id": message.id,
            "user": user.json(),
            "date": self.now_s,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": emoji}],
        }
        return self.push({"message_reaction": reaction})

    def ask_inline(self, user: User, query: str) -> int:
        """Type the bot's name and a query into any chat."""
        asked = {"id": str(next(self._query_ids)), "query": query, "offset": ""}
        return self.push({"inline_query": asked | {"from": user.json()}})

    def join(self, user: User, chat: Chat) -> int:
        """Have `user` add the bot to the chat, or unblock it in a private one."""
        return self.set_status(user, chat, "member")

    def kick(self, user: User, chat: Chat) -> int:
        """Have `user` throw the bot out of the chat, or block it in a private one."""
        return self.set_status(user, chat, "kicked")

    def set_status(self, user: User, chat: Chat, status: str) -> int:
        """Change the bot's status in the chat by hand of `user`; returns the update's id."""
        old, chat.status = chat.status, status
        change = {
            "chat": chat.json(),
            "from": user.json(),
            "date": self.now_s,
            "old_chat_member": self._member(old),
            "new_chat_member": self._member(status),
        }
        return self.push({"my_chat_member": change})

    def migrate(self, user: User, group: Chat) -> Chat:
        """Make a group a supergroup: it has a new id, and the old one is refused."""
        chat = self.supergroup(group.title)
        leaving = self.post(group, user, extra={"migrate_to_chat_id": chat.id})
        coming = self.post(chat, GROUP_ANONYMOUS, extra={"migrate_from_chat_id": group.id})
        group.migrated_to = chat.id
        self.push({"message": leaving.json()})
        self.push({"message": coming.json()})
        return chat

    def push(self, update: Json) -> int:
        """Have the bot told of something: an update but for its id, which is returned.

        One of a kind that the bot did not ask for is lost, as with Telegram.
        """
        update_id = next(self._update_ids)
        kinds = self.allowed or update.keys() - UNASKED
        if kinds & update.keys():
            self.pending.append({"update_id": update_id} | update)
        self.changed()
        return update_id

    # What everybody needs

    @property
    def now_s(self) -> int:
        return self.clock.now() // 1000

    def post(self, chat: Chat, sender: User | None, **content: Any) -> Message:
        """Put a message into a chat, without telling the bot."""
        message = Message(next(chat.ids), chat, self.now_s, sender, **content)
        chat.messages[message.id] = message
        return message

    def chat_of(self, chat_id: int | str | None) -> Chat:
        """The chat that a call names; raises Refused where the bot has no business."""
        if chat_id is None or chat_id == "":
            raise bad_request("chat_id is empty")
        chat = self._by_username(chat_id) if isinstance(chat_id, str) else self.chats.get(chat_id)
        if chat is None:
            raise bad_request("chat not found")
        if chat.refusal is not None:
            raise chat.refusal
        return chat

    def changed(self) -> None:
        """Wake everybody who waits for something to happen."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self) -> None:
        """Wait until anything happens."""
        await self._news.wait()

    async def until(self, happened: Callable[[], T], seconds: float = DEADLINE_S) -> T:
        """Wait for `happened` to return something true, and return it.

        It is asked again each time the bot calls or is told something; raises TimeoutError.
        """
        async with asyncio.timeout(seconds):
            while not (found := happened()):
                await self.news()
        return found

    async def sent(self, number: int, chat: Chat, seconds: float = DEADLINE_S) -> list[Message]:
        """Wait until the bot has at least `number` messages standing in the chat."""
        await self.until(lambda: len(self.from_bot(chat)) >= number, seconds)
        return self.from_bot(chat)

    def _add(self, chat: Chat) -> Chat:
        self.chats[chat.id] = chat
        return chat

    def _by_username(self, name: str) -> Chat | None:
        named = (each for each in self.chats.values() if each.username)
        return next((each for each in named if f"@{each.username}" == name), None)

    def _tell(self, message: Message, kind: str, kind_in_channel: str) -> int | None:
        if not self._hears(message):
            return None
        kind = kind_in_channel if message.chat.type == "channel" else kind
        return self.push({kind: message.json()})

    def _hears(self, message: Message) -> bool:
        """Whether privacy mode lets the bot know of what a person wrote."""
        if not self.privacy or not message.chat.is_group:
            return True
        if message.reply_to is not None and message.reply_to.sender == self.bot:
            return True
        if f"@{self.bot.username}".lower() in (message.text or "").lower().split():
            return True
        command, _, name = (message.text or "").split(maxsplit=1)[0].partition("@")
        return command.startswith("/") and name in {"", self.bot.username}

    def _origin(self, author: User) -> Json:
        return {"type": "user", "sender_user": author.json(), "date": self.now_s}

    def _member(self, status: str) -> Json:
        member = {"status": status, "user": self.bot.json()}
        return member | {"until_date": 0} if status == "kicked" else member
