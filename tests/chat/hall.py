"""A desk in memory behind doors that stand for platforms: what is said goes in as plain values."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.clock import SystemClock
from bot.courier import Courier
from bot.gate import Gate
from bot.inbox import Inbox
from bot.letter import Letter
from bot.people import People
from bot.surface import Take
from bot.update import Update
from engine.desk import Desk
from engine.mail import Address
from engine.ports import Store
from engine.store.memory import MemoryStore
from handlers.command import Principal, PrincipalKind
from handlers.reply import Reply
from tests.chat.desks import quiet_market
from tests.handlers.desks import build

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
        return Principal(PrincipalKind.PERSON, update.user_id, person.role, person.name)

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        self.letters[letter.edit or letter.reply_to] = letter
        self._came.set()
        return "1"

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
    people: People, open_places: Collection[str] = (), store: Store | None = None
) -> AsyncIterator[Hall]:
    """A desk whose people and chats stay what they are, whatever is said."""
    clock, store = SystemClock(), store or MemoryStore()
    runtime, desk = await build(quiet_market(), store, clock)
    gate = Gate(people, runtime, clock, open_places)
    doors = {name: Door(name, gate) for name in PLATFORMS}

    async def lost(address: Address, reason: str) -> None:
        raise AssertionError(reason)

    courier = Courier(store.mail, clock, people, doors, lost)
    inbox = Inbox(desk, people, courier, doors)
    runtime.listen(courier.on_commit)
    async with asyncio.TaskGroup() as tasks:
        trading = tasks.create_task(runtime.run())
        serving = [tasks.create_task(courier.run()), tasks.create_task(inbox.run())]
        await runtime.until_caught_up()
        yield Hall(desk, inbox, doors)
        for task in serving:
            task.cancel()
        runtime.stop()
        await trading
