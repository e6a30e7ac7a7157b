"""A chat platform without a network: it notes what it is sent, and fails when it is told to."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from bot.letter import REPEATED, Letter
from bot.offers import Offers
from bot.people import People
from bot.surface import Take
from bot.tokens import Tokens
from bot.update import Update
from engine.mail import Address
from engine.people import Role
from engine.ports import Clock, Mail
from engine.proposal import Proposal
from handlers.command import Principal, PrincipalKind
from handlers.reply import Fields, Reply, Table, Text

KEY = b"the key of tokens in tests"


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
    """The port `Surface`. `faults` gives the errors that the next calls meet, None for none.

    One with an attribute `lost_after` comes after the letter arrived, others before.
    `roles` are the people it lets in, by their ids; `renewed` are the edits, each as the id of its
    message and the letter, `forgotten` the ids of what was deleted,
    but for those that are `kept`.
    """

    clock: Clock
    name: str = "telegram"
    faults: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    latency: Callable[[], float] = lambda: 0.0
    roles: dict[str, Role] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    renewed: list[tuple[str, Letter]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    tries: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def condition(self) -> tuple[bool, str]:
        return True, "connected"

    async def run(self, take: Take) -> None:
        await asyncio.Event().wait()

    def admit(self, update: Update) -> Principal | None:
        role = self.roles.get(update.user_id)
        if role is None:
            return None
        return Principal(PrincipalKind.PERSON, update.user_id, role, principal_id=update.user_id)

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        self.tries += 1
        began = self.clock.monotonic()
        fault = next(self.faults, None)
        if fault is not None and not getattr(fault, "lost_after", False):
            raise fault
        await self.clock.sleep(self.latency())
        message_id = letter.edit or f"{next(self._ids)}"
        ended = self.clock.monotonic()
        self.sent.append(Sent(began, ended, address, letter, plain, nonce, message_id))
        if fault is not None:
            raise fault
        return message_id

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        self.tries += 1
        if fault := next(self.faults, None):
            raise fault
        self.renewed.append((message_id, letter))

    async def forget(self, address: Address, message_id: str) -> bool:
        if fault := next(self.faults, None):
            raise fault
        self.forgotten.append(message_id)
        return message_id not in self.kept

    def texts(self, chat_id: str) -> list[str]:
        return [each.text for each in self.sent if each.address.chat_id == chat_id]


async def no_card(proposal_id: int) -> None:
    """There are no proposals."""


def offers_of(
    mail: Mail,
    clock: Clock,
    people: People,
    proposal: Callable[[int], Awaitable[Proposal | None]] = no_card,
) -> Offers:
    """What buttons carry, with a key of the test's own."""
    return Offers(mail, clock, people, Tokens(KEY), proposal)


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
