"""A chat platform without a network: it notes what it is sent, and fails when it is told to."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from bot.letter import REPEATED, Letter
from bot.surface import Take
from bot.update import Update
from engine.mail import Address
from engine.people import Role
from engine.ports import Clock
from handlers.command import Principal, PrincipalKind
from handlers.reply import Fields, Reply, Table, Text


@dataclass(frozen=True)
class Sent:
    """A letter that arrived, some time between two moments (seconds of the clock)."""

    began: float
    ended: float
    address: Address
    letter: Letter
    plain: bool
    nonce: str
    message_id: str

    @property
    def text(self) -> str:
        return words(self.letter.shown)

    @property
    def repeated(self) -> bool:
        return REPEATED in self.text

    @property
    def numbers(self) -> list[int]:
        """The numbers of the news in it, which are written `#7;`."""
        return [int(number) for number in re.findall(r"#(\d+);", self.text)]


@dataclass
class Post:
    """The port `Surface`. `faults` gives the errors that the next sends meet, None for none.

    One with an attribute `lost_after` comes after the letter arrived, others before.
    `roles` are the people it lets in, by their ids.
    """

    clock: Clock
    name: str = "telegram"
    faults: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    latency: Callable[[], float] = lambda: 0.0
    roles: dict[str, Role] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    tries: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def condition(self) -> tuple[bool, str]:
        return True, "connected"

    async def run(self, take: Take) -> None:
        await asyncio.Event().wait()

    def admit(self, update: Update) -> Principal | None:
        role = self.roles.get(update.user_id)
        return None if role is None else Principal(PrincipalKind.PERSON, update.user_id, role)

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        self.tries += 1
        began = self.clock.monotonic()
        fault = next(self.faults, None)
        if fault is not None and not getattr(fault, "lost_after", False):
            raise fault
        await self.clock.sleep(self.latency())
        message_id = f"{next(self._ids)}"
        ended = self.clock.monotonic()
        self.sent.append(Sent(began, ended, address, letter, plain, nonce, message_id))
        if fault is not None:
            raise fault
        return message_id

    def texts(self, chat_id: str) -> list[str]:
        return [each.text for each in self.sent if each.address.chat_id == chat_id]


def words(reply: Reply) -> str:
    """Everything that a reply says."""
    parts = [reply.error or ""]
    for block in reply.blocks:
        match block:
            case Text(text):
                parts.append(text)
            case Fields():
                parts += [f"{name}: {value}" for name, value in block.fields.items()]
            case Table():
                parts += [f"{row}" for row in block.rows] or [block.empty or ""]
    return "\n".join(part for part in parts if part)
