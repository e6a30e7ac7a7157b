"""The gate before every command from a chat. Fail-closed: what is not let in is refused.

It asks whose doing an update is, by numeric id and nothing else; whether the words are plainly
that person's own; and whether this chat may be used. Commands and their roles come after it.
"""

from collections.abc import Collection

import structlog

from bot.people import People
from bot.update import SPOKEN, Update
from engine.mail import ChatKind
from engine.pace import Pace
from engine.people import Person, Role
from engine.ports import Clock
from engine.runtime import Runtime

STRANGER = Person("", "", Role.NOBODY)
# What a stranger may say, and what an admin may say in a chat that is not opened yet.
OF_STRANGERS = ("whoami", "access", "link")
OF_ADMINS_ANYWHERE = ("whoami", "subscribe")
# Refusals written to the audit; a flood of them must not bury what people did.
AUDITED, AUDITED_S = 20, 600.0

log = structlog.get_logger()


class Gate:
    """Judges updates. `open_places` are the Discord servers that the settings open."""

    def __init__(
        self, people: People, runtime: Runtime, clock: Clock, open_places: Collection[str] = ()
    ) -> None:
        self._people = people
        self._runtime = runtime
        self._open_places = frozenset(open_places)
        self._pace = Pace(clock, AUDITED, AUDITED_S)

    def judge(self, update: Update) -> Person | None:
        """Who is let in; None when nobody is, which is noted."""
        person = self._people.find(update.surface, update.user_id) or STRANGER
        refusal = self._refusal(update, person)
        if not refusal:
            return person
        self._note(update, refusal)
        return None

    def _refusal(self, update: Update, person: Person) -> str:
        """Why an update is refused; empty when it is not."""
        if update.kind not in SPOKEN:
            return f"not taken from {update.kind}"
        if update.faults:
            return ", ".join(update.faults)
        if not update.user_id:
            return "nobody is named"
        if update.chat_kind is ChatKind.CHANNEL:
            return "not taken from channels"
        first = update.words[0].lower() if update.words else ""
        if update.chat_kind is not ChatKind.PRIVATE and not self._is_open(update):
            may_anyway = person.role is Role.ADMIN and first in OF_ADMINS_ANYWHERE
            return "" if may_anyway else "the chat is not opened to the desk"
        if person.role is Role.NOBODY and first not in OF_STRANGERS:
            return "a stranger"
        return ""

    def opens(self, place: str) -> bool:
        """Whether the settings open this server to the desk."""
        return place in self._open_places

    def _is_open(self, update: Update) -> bool:
        return self.opens(update.place) or self._people.is_admitted(update.address)

    def _note(self, update: Update, refusal: str) -> None:
        actor = f"{update.surface}:{update.user_id or 'nobody'}"
        log.info("refused at the gate", actor=actor, chat=update.address.chat_id, why=refusal)
        if self._pace.delay() <= 0 and not self._runtime.busy:
            self._pace.take()
            self._runtime.note_command(actor, update.shown[:200], f"refused at the gate: {refusal}")
