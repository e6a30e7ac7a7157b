"""A desk in memory behind doors that stand for platforms: what is said goes in as plain values."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.clock import SystemClock
from bot.courier import Courier
from bot.gate import Gate
from bot.inbox import Inbox
from bot.letter import Letter
from bot.offers import Offers
from bot.people import People
from bot.surface import Take
from bot.update import Update
from engine.desk import Desk
from engine.mail import Address, Chat
from engine.people import Identity, Person
from engine.ports import Clock, Store
from engine.store.memory import MemoryStore
from handlers import cards
from handlers.command import Principal, PrincipalKind
from handlers.reply import Reply
from tests.chat.desks import quiet_market
from tests.chat.posts import offers_of
from tests.handlers.desks import ScriptedMarket, build

PLATFORMS = ("telegram", "discord")
DEADLINE_S = 10


class Door:
    """A platform that is a gate and a letter box, and nothing else."""

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self.letters: dict[str, Letter] = {}
        self.admitted: set[str] = set()
        self._gate = gate
        self._came = asyncio.Event()

    async def run(self, take: Take) -> None:
        """Nobody comes by themselves: `Hall.say` brings them."""
        await asyncio.Event().wait()

    def condition(self) -> tuple[bool, str]:
        return True, "there"

    def admit(self, update: Update) -> Principal | None:
        person = self._gate.judge(update)
        if person is None:
            return None
        self.admitted.add(update.message_id)
        return Principal(
            PrincipalKind.PERSON, update.user_id, person.role, person.name, person.principal_id
        )

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        self.letters[letter.edit or letter.reply_to] = letter
        self._came.set()
        return "1"

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        """Nothing is posted that could change."""

    async def forget(self, address: Address, message_id: str) -> bool:
        """Nothing stands here."""
        return True

    async def answer(self, message_id: str) -> Reply:
        async with asyncio.timeout(DEADLINE_S):
            while message_id not in self.letters:
                self._came.clear()
                await self._came.wait()
        return self.letters[message_id].reply


@dataclass
class Hall:
    """The desk, and the doors by platform."""

    desk: Desk
    inbox: Inbox
    offers: Offers
    doors: dict[str, Door]

    async def say(self, update: Update) -> Reply | None:
        """The answer to an update; None where the gate does not let it in."""
        door = self.doors[update.surface]
        await self.inbox.take([update])
        if update.message_id not in door.admitted:
            return None
        return await door.answer(update.message_id)


@asynccontextmanager
async def open_hall(
    persons: Sequence[Person],
    accounts: Sequence[Identity],
    chats: Sequence[Chat] = (),
    open_places: Collection[str] = (),
    store: Store | None = None,
    clock: Clock | None = None,
    market: ScriptedMarket | None = None,
) -> AsyncIterator[Hall]:
    """A desk whose doors know the same people and chats for ever, whatever is said."""
    clock, store = clock or SystemClock(), store or MemoryStore()
    people = People(persons, accounts, chats)
    runtime, desk = await build(market or quiet_market(), store, clock)
    await runtime.know(persons, accounts)
    gate = Gate(people, runtime, clock, open_places)
    doors = {name: Door(name, gate) for name in PLATFORMS}

    async def lost(address: Address, reason: str) -> None:
        raise AssertionError(reason)

    async def card(proposal_id: int) -> Reply:
        proposal = await desk.proposal(proposal_id)
        assert proposal is not None
        return cards.card(proposal, clock.now())

    offers = offers_of(store.mail, clock, people, desk.proposal)
    courier = Courier(store.mail, clock, people, doors, lost, card)
    inbox = Inbox(desk, people, courier, doors, offers)
    runtime.listen(courier.on_commit)
    async with asyncio.TaskGroup() as tasks:
        trading = tasks.create_task(runtime.run())
        serving = [tasks.create_task(courier.run()), tasks.create_task(inbox.run())]
        await runtime.until_caught_up()
        yield Hall(desk, inbox, offers, doors)
        for task in serving:
            task.cancel()
        runtime.stop()
        await trading
