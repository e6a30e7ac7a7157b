"""A letter: an answer or news for one chat, as it is stored until it has arrived."""

from dataclasses import dataclass, replace
from functools import cache

from pydantic import TypeAdapter

from engine.proposal import card_topic
from handlers.reply import Enrollment, Reply, Text

REPEATED = "Repeated: this may have come before."
# What topics of enrollments begin with.
ENROLLING = "enroll:"


@dataclass(frozen=True, slots=True)
class Letter:
    """A reply, and how it takes its place in the chat. Ids are the platform's own.

    `edit` is the message it replaces, `reply_to` the one it answers; `token` lets it answer a
    Discord interaction for 15 minutes. News is no card: what its buttons show comes beneath it.
    `repeated` says that it may have arrived before. `user_id` is the account that it answers, empty
    where it answers nobody.

    A `card` is the number of a proposal: the reply is made when it is sent, of the proposal as it
    stands then. One that `renews` posts nothing: it takes the place of that card wherever it was
    posted in the chat.
    """

    reply: Reply
    edit: str = ""
    reply_to: str = ""
    token: str = ""
    is_news: bool = False
    repeated: bool = False
    card: int = 0
    renews: bool = False
    user_id: str = ""

    @property
    def gives_way(self) -> bool:
        """Whether what its buttons show takes its place; news and cards of proposals stay."""
        return not self.is_news and not self.card

    @property
    def topic(self) -> str:
        """What a card belongs to, and what renews it."""
        return f"renews:{self.card}" if self.renews else card_topic(self.card)

    @property
    def shown(self) -> Reply:
        """The reply as people get it."""
        if not self.repeated:
            return self.reply
        return replace(self.reply, blocks=(Text(REPEATED), *self.reply.blocks))


def topic_of(reply: Reply) -> str:
    """What an answer belongs to: the enrollment that it shows, or nothing."""
    for block in reply.blocks:
        if isinstance(block, Enrollment):
            return f"{ENROLLING}{block.principal_id}"
    return ""


def to_body(letter: Letter) -> str:
    return _letters().dump_json(letter).decode()


def from_body(body: str) -> Letter:
    """The letter that `to_body` wrote; raises pydantic's ValidationError for anything else."""
    return _letters().validate_json(body)


@cache
def _letters() -> TypeAdapter[Letter]:
    return TypeAdapter(Letter)
