"""A letter: an answer or news for one chat, as it is stored until it has arrived."""

from dataclasses import dataclass, replace
from functools import cache

from pydantic import TypeAdapter

from handlers.reply import Reply, Text

REPEATED = "Repeated: this may have come before."


@dataclass(frozen=True, slots=True)
class Letter:
    """A reply, and how it takes its place in the chat. Ids are the platform's own.

    `edit` is the message it replaces, `reply_to` the one it answers; `token` lets it answer a
    Discord interaction for 15 minutes. News is no card: what its buttons show comes beneath it.
    `repeated` says that it may have arrived before.
    """

    reply: Reply
    edit: str = ""
    reply_to: str = ""
    token: str = ""
    is_news: bool = False
    repeated: bool = False

    @property
    def shown(self) -> Reply:
        """The reply as people get it."""
        if not self.repeated:
            return self.reply
        return replace(self.reply, blocks=(Text(REPEATED), *self.reply.blocks))


def to_body(letter: Letter) -> str:
    return _letters().dump_json(letter).decode()


def from_body(body: str) -> Letter:
    """The letter that `to_body` wrote; raises pydantic's ValidationError for anything else."""
    return _letters().validate_json(body)


@cache
def _letters() -> TypeAdapter[Letter]:
    return TypeAdapter(Letter)
