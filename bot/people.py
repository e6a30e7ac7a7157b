"""Who may use the desk and which chats it knows: kept as tables, looked up in memory."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from bot.settings import Settings
from engine.mail import Address, Chat, ChatKind
from engine.people import Identity, Person, Role, beyond
from engine.ports import Commit, Store
from engine.runtime import Runtime


class People:
    """The people and chats of the desk, as they stand now."""

    def __init__(
        self, people: Iterable[Person], identities: Iterable[Identity], chats: Iterable[Chat]
    ) -> None:
        self._people = {person.principal_id: person for person in people}
        self._identities = {(each.surface, each.user_id): each for each in identities}
        self._chats = {chat.address: chat for chat in chats}

    def on_commit(self, batch: Commit) -> None:
        for fact in batch.facts:
            match fact:
                case Person():
                    self._people[fact.principal_id] = fact
                case Identity():
                    self._identities[fact.surface, fact.user_id] = fact
                case Chat():
                    self._chats[fact.address] = fact

    def find(self, surface: str, user_id: str) -> Person | None:
        """Whose account this is; None for a stranger."""
        identity = self._identities.get((surface, user_id))
        person = self._people.get(identity.principal_id) if identity else None
        return person if person and person.role > Role.NOBODY else None

    def is_dismissed(self, surface: str, user_id: str) -> bool:
        """Whether this account was somebody's who may not use the desk any more."""
        return (surface, user_id) in self._identities and self.find(surface, user_id) is None

    def chat(self, address: Address) -> Chat | None:
        """What is known of a chat; an admin's own is subscribed until they say otherwise."""
        return self._chats.get(address) or self._of_admins().get(address)

    def kind(self, surface: str, chat_id: str) -> ChatKind:
        """What kind of chat this is; one that nobody subscribed is a person's own."""
        for at, chat in self._chats.items():
            if (at.surface, at.chat_id) == (surface, chat_id):
                return chat.kind
        return ChatKind.PRIVATE

    def is_admitted(self, address: Address) -> bool:
        """Whether an admin has opened this chat, or any topic of it, to the desk."""
        return any(
            chat.subscribed
            for at, chat in self._chats.items()
            if (at.surface, at.chat_id) == (address.surface, address.chat_id)
        )

    def may_hear(self, address: Address) -> bool:
        """Whether this chat may be told anything: an open group, or somebody's own who may ask,
        unless nothing reaches it any more."""
        known = self._chats.get(address)
        if known is not None and known.gone:
            return False
        if self.kind(address.surface, address.chat_id) is not ChatKind.PRIVATE:
            return self.is_admitted(address)
        return self.find(address.surface, address.chat_id) is not None

    def menus(self, surface: str) -> dict[str, Role]:
        """The chats that get a list of commands, and for which role: each person's own, and the
        groups that are open, where it is what everybody may do."""
        found = {
            each.user_id: person.role
            for each in self._identities.values()
            if each.surface == surface and (person := self.find(surface, each.user_id))
        }
        for at, chat in self._chats.items():
            group = chat.subscribed and not chat.gone and chat.kind is not ChatKind.PRIVATE
            if at.surface == surface and group:
                found[at.chat_id] = Role.VIEWER
        return found

    def audience(self, surfaces: Collection[str]) -> list[Address]:
        """Where news goes: the admins' private chats, and wherever an admin subscribed."""
        chats = {**self._of_admins(), **self._chats}
        return [
            at
            for at, chat in chats.items()
            if at.surface in surfaces and chat.subscribed and not chat.gone and self.may_hear(at)
        ]

    def count(self, role: Role) -> int:
        """How many people with an account have at least this role."""
        reachable = {each.principal_id for each in self._identities.values()}
        people = self._people.values()
        return sum(each.role >= role and each.principal_id in reachable for each in people)

    def surfaces(self, principal_id: str) -> set[str]:
        """The platforms on which somebody has an account."""
        accounts = self._identities.values()
        return {each.surface for each in accounts if each.principal_id == principal_id}

    def own_chats(
        self, role: Role, surfaces: Collection[str], bot_id: str | None = None
    ) -> list[Address]:
        """The private chats of everybody with this role or more.

        With a `bot_id` (empty for what is about no bot), of those who may act on it there.
        """
        own = [
            (person, private_chat(each.surface, each.user_id))
            for each in self._identities.values()
            if each.surface in surfaces
            and (person := self._people.get(each.principal_id))
            and person.role >= role
        ]
        return [
            at
            for person, at in own
            if self.may_hear(at) and (bot_id is None or not beyond(person, at, "", bot_id))
        ]

    def _of_admins(self) -> dict[Address, Chat]:
        own = [
            private_chat(each.surface, each.user_id)
            for each in self._identities.values()
            if (person := self._people.get(each.principal_id)) and person.role is Role.ADMIN
        ]
        made = (new_chat(at, ChatKind.PRIVATE, "settings", 0) for at in own)
        return {chat.address: replace(chat, subscribed=True) for chat in made}


def private_chat(surface: str, user_id: str) -> Address:
    """The chat of one person with the bot: on every platform it is named by the person."""
    return Address(surface, user_id)


def new_chat(address: Address, kind: ChatKind, added_by: str, ts: int) -> Chat:
    return Chat(
        surface=address.surface,
        chat_id=address.chat_id,
        thread_id=address.thread_id,
        kind=kind,
        subscribed=False,
        added_by=added_by,
        ts=ts,
    )


async def open_people(settings: Settings, runtime: Runtime, store: Store) -> People:
    """Bring who may use the desk to what the settings say, and keep up with it from then on."""
    await runtime.know(*people_of(settings))
    view = runtime.view()
    people = People(view.people, view.identities, await store.recent(Chat))
    runtime.listen(people.on_commit)
    return people


def too_few_admins(settings: Settings, people: People) -> str:
    """That nothing RED can ever be approved, in a sentence; empty where there are enough."""
    required, admins = settings.approvals.required, people.count(Role.ADMIN)
    if not required or admins > required:
        return ""
    return (
        f"approvals.required is {required}: whoever asks and {required} others must be admins with "
        f"an account, and there are {admins}. Nothing red can be approved."
    )


def perhaps_one(settings: Settings, people: People) -> str:
    """That admins of two platforms count as different people, in a sentence; empty where none
    do, or it makes no difference."""
    if not settings.approvals.required:
        return ""
    alone = {
        surface: [
            f"{surface}:{user_id}"
            for user_id in ids
            if (person := people.find(surface, user_id))
            and people.surfaces(person.principal_id) == {surface}
        ]
        for surface, ids in settings.admin_ids.items()
    }
    if not all(alone.values()):
        return ""
    accounts = [account for each in alone.values() for account in each]
    count = "two" if len(accounts) == 2 else str(len(accounts))
    return (
        f"{' and '.join(accounts)} count as {count} people; if they are one, use [[people]] or "
        "/link."
    )


def people_of(settings: Settings) -> tuple[list[Person], list[Identity]]:
    """The people that the settings name, and their accounts."""
    people: dict[str, Person] = {}
    identities: dict[tuple[str, str], Identity] = {}
    for named in settings.people:
        role, scopes = Role[named.role.upper()], " ".join(named.scopes)
        people[named.name] = Person(named.name, named.name, role, scopes=scopes)
        for surface, number in (("telegram", named.telegram), ("discord", named.discord)):
            if number is not None:
                identities[surface, str(number)] = Identity(surface, str(number), named.name)
    for surface, ids in settings.admin_ids.items():
        for user_id in ids:
            if (surface, user_id) not in identities:
                principal_id = f"{surface}:{user_id}"
                people[principal_id] = Person(principal_id, user_id, Role.ADMIN)
                identities[surface, user_id] = Identity(surface, user_id, principal_id)
    return list(people.values()), list(identities.values())
