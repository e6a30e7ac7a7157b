"""People: who may do what, by which accounts they are known, and who asks for something."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

from engine.errors import BadInput, Refused
from engine.mail import Address


class Role(IntEnum):
    """Who may do what; a higher role may do all that a lower one may."""

    NOBODY = 0
    VIEWER = 1
    TRADER = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Origin(StrEnum):
    """Who said what somebody's role is: the settings, or people at the desk."""

    SETTINGS = "settings"
    DESK = "desk"


class ScopeKind(StrEnum):
    """What somebody's rights can be bound to. A chat is named as `surface:id`."""

    CHAT = "chat"
    TOPIC = "topic"
    GUILD = "guild"
    CHANNEL = "channel"
    BOT = "bot"


@dataclass(frozen=True, slots=True)
class Scope:
    """A place or a bot outside of which somebody may only look.

    `chat:telegram:-100123`, `topic:telegram:-100123:7`, `guild:123`, `channel:456`,
    `bot:shortseller_001`.
    """

    kind: ScopeKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def parse_scope(text: str) -> Scope:
    """The scope that a word names; raises BadInput."""
    kind, _, value = text.partition(":")
    parts = {ScopeKind.CHAT: 2, ScopeKind.TOPIC: 3}
    if kind in set(ScopeKind) and value:
        scope = Scope(ScopeKind(kind), value)
        pieces = value.split(":")
        if len(pieces) == parts.get(scope.kind, 1) and all(pieces):
            return scope
    raise BadInput(
        "scope", text, "bot:ID, chat:SURFACE:ID, topic:SURFACE:ID:TOPIC, guild:ID, channel:ID"
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may use the desk; with the role NOBODY they may no more.

    `scopes` are words separated by spaces (see `Scope`); empty means everywhere. `enrolled` tells
    that they prove themselves with codes, `locked_until` (UTC ms) that they are locked out.
    """

    principal_id: str
    name: str
    role: Role
    origin: Origin = Origin.SETTINGS
    scopes: str = ""
    enrolled: bool = False
    locked_until: int = 0


def beyond(person: Person, at: Address | None, place: str, bot_id: str) -> str:
    """Why somebody may only look in a chat, or may not touch a bot; empty when they may.

    `place` is the Discord server of the chat, `bot_id` empty for what is about no bot alone.
    """
    scopes = [parse_scope(word) for word in person.scopes.split()]
    places = [scope for scope in scopes if scope.kind is not ScopeKind.BOT]
    if places and not any(_is_in(scope, at, place) for scope in places):
        return f"You may act only in {', '.join(map(str, places))}."
    return beyond_bots(person, bot_id)


def beyond_bots(person: Person, bot_id: str) -> str:
    """Why somebody may not touch a bot, wherever they are; empty when they may."""
    scopes = [parse_scope(word) for word in person.scopes.split()]
    bots = [scope.value for scope in scopes if scope.kind is ScopeKind.BOT]
    if bots and bot_id not in bots:
        which = ", ".join(bots)
        return f"You may act only on {which}." if bot_id else f"Your rights end at {which}."
    return ""


def _is_in(scope: Scope, at: Address | None, place: str) -> bool:
    if at is None:
        return False
    here = {
        ScopeKind.CHAT: f"{at.surface}:{at.chat_id}",
        ScopeKind.TOPIC: f"{at.surface}:{at.chat_id}:{at.thread_id}",
        ScopeKind.GUILD: place,
        ScopeKind.CHANNEL: at.chat_id,
    }
    return here[scope.kind] == scope.value


@dataclass(frozen=True, slots=True)
class Identity:
    """An account on a platform, by its numeric id, and whose it is; nobody's where empty."""

    surface: str
    user_id: str
    principal_id: str


class PrincipalKind(StrEnum):
    """What acts. A MODEL reads for somebody, as far as they may, and acts on nothing."""

    PERSON = "person"
    SCHEDULE = "schedule"
    DESK = "desk"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that acts. Only the chat surfaces and the console make a PERSON.

    `id` is the platform's own, never a name; `name` is what people call them, or empty.
    `principal_id` says which human it is, however many accounts they have; strangers have none.
    """

    kind: PrincipalKind
    id: str
    role: Role
    name: str = ""
    principal_id: str = ""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks the core for something: by which door, and in which chat, if it is one.

    `place` is the Discord server that the chat belongs to.
    """

    principal: Principal
    surface: str
    address: Address | None = None
    place: str = ""

    @property
    def actor(self) -> str:
        """Who this is in the audit: the door and the id, and the name where there is one."""
        if self.principal.kind is PrincipalKind.DESK:
            return self.surface
        name = self.principal.name
        known_as = f" ({name})" if name and name != self.principal.id else ""
        return f"{self.surface}:{self.principal.id}{known_as}"

    @property
    def called(self) -> str:
        """What people call them."""
        if self.surface == "console":
            return f"{self.principal.id} at the console"
        return self.principal.name or f"{self.surface}:{self.principal.id}"


# Accounts of platforms are numbers, which databases and buttons hold in so many bits.
ACCOUNT_MAX = 2**63 - 1
# Whoever sits at the machine: may open the desk's files, and so do anything with it already.
OPERATOR = "operator"
# Whose doing something is where it is nobody's of the desk by name: no person is called so.
DESK_NAMES = (OPERATOR, "desk", "console", "schedule")
# Locked for as long as nobody unlocks: the last day that calendars know, UTC ms.
UNTIL_UNLOCKED = 253_402_214_400_000
# What the desk itself does.
DESK = Asker(Principal(PrincipalKind.DESK, "desk", Role.ADMIN, "desk"), "desk")

# An asker of whom it is certain that a human speaks. Nothing else can decide.
Human = NewType("Human", Asker)


def human(asker: Asker) -> Human:
    """The asker as one who may decide; raises Refused for anything that is no person."""
    if asker.principal.kind is not PrincipalKind.PERSON:
        raise Refused(f"Only a person decides; this is {asker.principal.kind}.")
    return Human(asker)
