"""What a platform tells the desk, read and not yet believed."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter

from engine.mail import Address, ChatKind, storable


class UpdateKind(StrEnum):
    MESSAGE = "message"
    EDITED_MESSAGE = "edited_message"
    CHANNEL_POST = "channel_post"
    BUTTON = "button"
    INLINE = "inline"
    SLASH = "slash"
    MODAL = "modal"
    AUTOCOMPLETE = "autocomplete"
    OTHER = "other"


# How people speak to the desk. Everything else is refused.
SPOKEN = frozenset({UpdateKind.MESSAGE, UpdateKind.BUTTON, UpdateKind.SLASH, UpdateKind.MODAL})


@dataclass(frozen=True, slots=True)
class Update:
    """One update, as plain values. `key` is the platform's own id of it.

    `user_id` is whose doing it is, empty where the platform names nobody; `faults` are the
    reasons why the words are not plainly that person's own: forwarded, by an anonymous admin.
    `line` is what was said, or `name` and `arguments` where it was said by a form. `message_id`
    is the message that it is or that its button belongs to; `edit` says that the answer takes
    that message's place. `offer` is the stored button that was pressed, `place` the server that the
    chat belongs to. `sent_at` is UTC ms. What no database can hold of the words is replaced.
    """

    surface: str
    key: str
    kind: UpdateKind
    user_id: str
    address: Address
    chat_kind: ChatKind
    sent_at: int
    line: str = ""
    name: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    message_id: str = ""
    edit: bool = False
    offer: int = 0
    token: str = ""
    place: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", storable(self.line))
        object.__setattr__(self, "name", storable(self.name))
        arguments = {storable(k): storable(v) for k, v in self.arguments.items()}
        object.__setattr__(self, "arguments", arguments)

    @property
    def words(self) -> list[str]:
        """The words of the command, however it was said."""
        return (self.name or self.line.strip().removeprefix("/")).split()

    @property
    def shown(self) -> str:
        """What was said, on one line, for logs and the audit."""
        if not self.name:
            return self.line
        return " ".join([f"/{self.name}", *(f"{k}={v}" for k, v in self.arguments.items())])


def to_body(update: Update) -> str:
    return _updates().dump_json(update).decode()


def from_body(body: str) -> Update:
    """The update that `to_body` wrote; raises pydantic's ValidationError for anything else."""
    return _updates().validate_json(body)


@cache
def _updates() -> TypeAdapter[Update]:
    return TypeAdapter(Update)
