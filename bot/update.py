"""What a platform tells the desk, read and not yet believed."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter

from bot.redact import HIDDEN as REDACTED
from bot.redact import redact
from engine.mail import Address, ChatKind, storable
from engine.proposal import Way
from handlers import COMMANDS
from handlers.command import CODES, HIDDEN, Command, find, kept


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


# What of a name is kept that an account gives itself, and of a message that is replied to.
SENDER_MAX = 60
ABOUT_MAX = 2_000
# What stands on a card for people's eyes alone: phrases that approve, keys of authenticators, and
# the one-time words of /link.
FOR_EYES = re.compile(
    r"\bAPPROVE [^\n`]*|\b[A-Z2-7]{4}(?: ?[A-Z2-7]{4}){3,}\b|\b[A-Z2-7]{4}-[A-Z2-7]{4}\b"
)
# How people speak to the desk. Everything else is refused.
SPOKEN = frozenset({UpdateKind.MESSAGE, UpdateKind.BUTTON, UpdateKind.SLASH, UpdateKind.MODAL})


@dataclass(frozen=True, slots=True)
class Update:
    """One update, as plain values. `key` is the platform's own id of it.

    `user_id` is whose doing it is, empty where the platform names nobody; `faults` are the
    reasons why the words are not plainly that person's own: forwarded, by an anonymous admin.
    `line` is what was said, or `name` and `arguments` where it was said by a form. `message_id`
    is the message that it is or that its button belongs to; `edit` says that the answer takes
    that message's place. `offer` is the stored button that was pressed, `decision` the token of a
    proposal that was pressed or came with a form, `way` how a decision was said, `place` the server
    that the chat belongs to. `sender` is what the account calls itself, which is never believed.
    `about` is what a message of the desk's says that it replies to, without what is
    for people's eyes alone.
    `sent_at` is UTC ms. What no database can hold of the words is replaced. Of one that was `cut`,
    a code is missing: codes are stored nowhere.
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
    decision: str = ""
    way: Way = Way.TYPED
    cut: bool = False
    sender: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", storable(self.line))
        object.__setattr__(self, "name", storable(self.name))
        arguments = {storable(k): storable(v) for k, v in self.arguments.items()}
        object.__setattr__(self, "arguments", arguments)
        sender = " ".join(storable(self.sender).split())
        object.__setattr__(self, "sender", sender[:SENDER_MAX])
        about = FOR_EYES.sub(REDACTED, redact(storable(self.about)))
        object.__setattr__(self, "about", about[:ABOUT_MAX])

    @property
    def words(self) -> list[str]:
        """The words of the command, however it was said."""
        return (self.name or self.line.strip().removeprefix("/")).split()

    @property
    def shown(self) -> str:
        """What was said, on one line, for logs and the audit: without codes."""
        said = without_codes(self)
        if not said.name:
            return said.line
        return " ".join([f"/{said.name}", *(f"{k}={v}" for k, v in said.arguments.items())])

    @property
    def always(self) -> bool:
        """Whether it acts however late it comes, and is never dropped."""
        found = find(COMMANDS, self.words) if self.words else None
        return found is not None and found[0].is_always(bool(found[1] or self.arguments))

    @property
    def is_emergency(self) -> bool:
        """Whether it waits for nothing."""
        return self.command is not None and self.command.emergency

    @property
    def command(self) -> Command | None:
        """The command that was said; None where it is none."""
        found = find(COMMANDS, self.words) if self.words else None
        return found[0] if found else None


def called(name: str, username: str | None) -> str:
    """What an account calls itself: `Sue (@sue)`."""
    return f"{name} (@{username})" if username and username != name else name


def without_codes(update: Update) -> Update:
    """The update with a mark for each code in it, and then `cut`; itself where it holds none."""
    target = update.command
    line, arguments = update.line, update.arguments
    if update.name and target is not None:
        arguments = {name: _without_code(target, name, text) for name, text in arguments.items()}
    elif target is None or not target.holds_secrets or CODES.search(line) or _is_all_secret(target):
        line = kept(COMMANDS, line)
    if (line, arguments) == (update.line, update.arguments):
        return update
    return replace(update, line=line, arguments=arguments, cut=True)


def _without_code(target: Command, name: str, text: str) -> str:
    """An argument as it may be kept. A phrase is on its card; a code may stand behind it."""
    types = {argument.name: argument.type for argument in target.arguments}
    if name in types and types[name].secret and text:
        return CODES.sub(HIDDEN, text) if types[name].rest else HIDDEN
    if name in types and types[name].rest:
        return kept(COMMANDS, text)
    return text


def _is_all_secret(target: Command) -> bool:
    return all(each.type.secret for each in target.arguments)


def to_body(update: Update) -> str:
    return _updates().dump_json(update).decode()


def from_body(body: str) -> Update:
    """The update that `to_body` wrote; raises pydantic's ValidationError for anything else."""
    return _updates().validate_json(body)


@cache
def _updates() -> TypeAdapter[Update]:
    return TypeAdapter(Update)
