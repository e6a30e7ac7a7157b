"""What goes between the desk and chats: places, what came in, what is on its way out."""

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

# Halves of characters have no UTF-8, and PostgreSQL has no place for the character zero.
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Text that every database takes: what none of them can keep becomes a replacement mark."""
    return _NOT_STORABLE.sub("\ufffd", text)


@dataclass(frozen=True, slots=True)
class Address:
    """A place where people talk: ids as the platform gives them, `thread_id` a topic or none."""

    surface: str
    chat_id: str
    thread_id: str = ""


class ChatKind(StrEnum):
    PRIVATE = "private"
    GROUP = "group"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Chat:
    """A place that the desk knows.

    `subscribed` chats are told the news, and commands are taken there; `gone` says why nothing
    can be sent there any more, and is empty while it can. `added_by` is the actor who
    subscribed it.
    """

    surface: str
    chat_id: str
    thread_id: str
    kind: ChatKind
    subscribed: bool
    added_by: str
    ts: int
    gone: str = ""

    @property
    def address(self) -> Address:
        return Address(self.surface, self.chat_id, self.thread_id)


class Priority(IntEnum):
    """What goes first to a chat where several messages wait."""

    URGENT = 0
    ANSWER = 1
    NEWS = 2


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for one place. Those of one `topic` belong together, as one trade's do.

    `body` is what the surfaces' side wrote, and only it can read.
    """

    surface: str
    chat_id: str
    thread_id: str
    ts: int
    priority: Priority
    topic: str
    body: str

    @property
    def address(self) -> Address:
        return Address(self.surface, self.chat_id, self.thread_id)


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """A stored message not yet known to have arrived.

    `attempted_at` (UTC ms) says that it was sent without an answer: it may have arrived.
    """

    seq: int
    delivery: Delivery
    attempted_at: int | None


@dataclass(frozen=True, slots=True)
class Posted:
    """A message about a topic: in its chat since `ts` (UTC ms), or still on its way there.

    The platform's id of it is empty while it is on its way.
    """

    seq: int
    address: Address
    topic: str
    message_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that can't be delivered, and why."""

    seq: int
    surface: str
    chat_id: str
    ts: int
    error: str


@dataclass(frozen=True, slots=True)
class Received:
    """Something that came from a chat, kept until it is answered; `key` is the platform's id."""

    key: str
    ts: int
    body: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A button that acts: good once, in one chat, until `expires_at` (UTC ms).

    `user_id` is the platform's id of the only person who may press it; empty: anybody there.
    """

    surface: str
    chat_id: str
    command: str
    expires_at: int
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """That an update is dealt with, and the answer it gets: stored together with its effect.

    `key` is the update's, empty where nobody sent one, as for a schedule.
    """

    key: str
    delivery: Delivery
