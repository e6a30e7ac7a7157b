"""The chat platform of a simulation: what is said there outlives the desks.

What people say is handed over until it was taken, and now and then once more. What the desk sends
may not get there, be refused for a while, or get there without an answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.gate import Gate
from bot.letter import Letter
from bot.offers import Offers, Pressed, pressed
from bot.surface import NotSent, Take, Throttled
from bot.tokens import LENGTH
from bot.update import Update, UpdateKind
from engine.errors import LostLock, Unreachable
from engine.mail import Address, ChatKind
from engine.people import PrincipalKind
from engine.ports import Mail
from engine.proposal import Way
from handlers.command import Principal
from handlers.reply import Code, Reply
from tests.sim.loop import SimClock, SimLoop
from tests.sim.process import Life
from tests.sim.weather import Kind, Weather

NAME = "telegram"
# What a message takes on its way, and what the platform asks for where it asks for patience (s).
LATENCY_S = 0.1
PATIENCE_S = 3.0
# How soon a desk that could not fetch or keep updates tries again, and how late what was taken
# already is handed over again.
RETRY_S, AGAIN_S = 1.0, 15.0
# What an access to the database takes (s).
MAIL_S = 0.001
PHRASE = re.compile(r"APPROVE [^\n`]*")


@dataclass
class Message:
    """A message of the desk's in somebody's own chat; `buttons` are what they carry."""

    user_id: str
    message_id: str
    reply: Reply
    buttons: tuple[str, ...]
    posted_at: float
    nonce: str = ""

    def token(self, approves: bool) -> Pressed | None:
        """What the button says that approves or rejects; None where there is none."""
        word = "/approve " if approves else "/reject "
        tokens = (data for data in self.buttons if len(data) == LENGTH)
        found = [each for data in tokens if (each := pressed(data)) and each.decision]
        return next((each for each in found if each.line.startswith(word)), None)

    @property
    def phrase(self) -> str:
        """The phrase that the card asks for, empty where it asks for none."""
        codes = [block.code for block in self.reply.blocks if isinstance(block, Code)]
        return next((code for code in codes if PHRASE.fullmatch(code)), "")


@dataclass
class SimChat:
    """Everybody's own chat with the desk. `approvals` are the proposals with who really approved
    each: the right person's press or phrase, in their own chat. `unkept` counts the answers that
    neither the chat nor the database took: the next desk gives them."""

    loop: SimLoop
    weather: Weather
    messages: list[Message] = field(default_factory=list)
    waiting: list[Update] = field(default_factory=list)
    said: dict[str, Update] = field(default_factory=dict)
    approvals: set[tuple[int, str]] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    unkept: int = 0
    _sends: int = 0

    def __post_init__(self) -> None:
        # The platform's own clock is right, whatever the desk's says.
        self._clock = SimClock(self.loop)

    # -- people ----------------------------------------------------------------------------

    def say(self, user_id: str, line: str) -> None:
        """Somebody types something."""
        self._said(user_id, UpdateKind.MESSAGE, line=line)

    def press(self, user_id: str, on: Message, approves: bool, *, forwarded: bool = False) -> None:
        """Somebody presses a button; one that was forwarded to them in their own chat."""
        token = on.token(approves)
        if token is None:
            return
        if approves and not forwarded and not token.asks_phrase:
            self.approvals.add((token.proposal_id, user_id))
        self._said(
            user_id,
            UpdateKind.BUTTON,
            line=token.line,
            decision=token.decision,
            way=Way.BUTTON,
            edit=token.edit,
            message_id=on.message_id,
        )

    def reply(self, user_id: str, proposal_id: int, phrase: str, *, right: bool) -> None:
        """Somebody types a phrase in reply to a card."""
        if right:
            self.approvals.add((proposal_id, user_id))
        self._said(
            user_id,
            UpdateKind.MESSAGE,
            name="approve",
            arguments={"proposal": str(proposal_id), "phrase": phrase},
            way=Way.REPLY,
        )

    def _said(
        self, user_id: str, kind: UpdateKind, *, message_id: str = "", **more: object
    ) -> None:
        number = len(self.said) + 1
        update = Update(
            NAME,
            f"{NAME}:{number:05}",
            kind,
            user_id,
            Address(NAME, user_id),
            ChatKind.PRIVATE,
            self._clock.now(),
            message_id=message_id or f"q{number}",
            **more,  # type: ignore[arg-type]
        )
        self.said[update.key] = update
        self._hand(update)

    def _hand(self, update: Update) -> None:
        self.waiting.append(update)
        self.news.set()

    def cards(self, user_id: str) -> list[Message]:
        """What in somebody's chat can be decided now."""
        own = (each for each in self.messages if each.user_id == user_id and each.buttons)
        return [each for each in own if each.token(True) is not None]

    # -- desks -----------------------------------------------------------------------------

    def took(self, updates: list[Update]) -> None:
        """What a desk has taken is not handed over again, but where it is."""
        for update in updates:
            if update in self.waiting:
                self.waiting.remove(update)
            if self.weather.strikes(Kind.UPDATE_TWICE, update.key):
                self.loop.call_later(AGAIN_S, self._hand, update)

    def attempt(self) -> str:
        self._sends += 1
        return f"send {self._sends}"

    def post(self, user_id: str, letter: Letter, buttons: tuple[str, ...], nonce: str) -> str:
        """A message arrives, in the place of another if the letter says so; its id."""
        for message in self.messages:
            if letter.edit and message.message_id == letter.edit and message.user_id == user_id:
                message.reply, message.buttons = letter.shown, buttons
                return message.message_id
        message_id = f"m{len(self.messages) + 1}"
        now = self.loop.time()
        self.messages.append(Message(user_id, message_id, letter.shown, buttons, now, nonce))
        return message_id

    def edit(self, message_id: str, letter: Letter, buttons: tuple[str, ...]) -> None:
        for message in self.messages:
            if message.message_id == message_id:
                message.reply, message.buttons = letter.shown, buttons


class ChatDoor:
    """The platform as one process has it: the port `Surface`."""

    name = NAME

    def __init__(self, chat: SimChat, gate: Gate, offers: Offers, life: Life) -> None:
        self._chat = chat
        self._gate = gate
        self._offers = offers
        self._life = life
        self._polls = 0

    async def run(self, take: Take) -> None:
        while True:
            self._chat.news.clear()
            await self._poll(take)
            if not self._chat.waiting:
                await self._chat.news.wait()

    async def _poll(self, take: Take) -> None:
        self._polls += 1
        await asyncio.sleep(LATENCY_S)
        self._life.check()
        came = list(self._chat.waiting)
        if not came:
            return
        if self._chat.weather.strikes(Kind.CHAT_AWAY, f"poll {came[0].key} {self._polls}"):
            await asyncio.sleep(RETRY_S)
            return
        try:
            await take(came)
        except Unreachable:
            await asyncio.sleep(RETRY_S)
        else:
            self._life.check()
            self._chat.took(came)

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        sent: list[str] = []

        async def post() -> None:
            buttons = await self._buttons(address, letter)
            sent.append(self._chat.post(address.chat_id, letter, buttons, nonce))

        await self._carry(post)
        return sent[0]

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        async def edit() -> None:
            buttons = await self._buttons(address, letter)
            self._chat.edit(message_id, letter, buttons)

        await self._carry(edit)

    async def _carry(self, there: Callable[[], Awaitable[None]]) -> None:
        """Do something there, as the weather lets it."""
        what, weather = self._chat.attempt(), self._chat.weather
        await asyncio.sleep(LATENCY_S * weather.share(what))
        self._life.check()
        if weather.strikes(Kind.CHAT_AWAY, what):
            raise NotSent("the chat is out of reach")
        if weather.strikes(Kind.CHAT_BUSY, what):
            raise Throttled(PATIENCE_S)
        await there()
        await asyncio.sleep(LATENCY_S * weather.share(f"{what} back"))
        self._life.check()
        if weather.strikes(Kind.CHAT_SILENT, what):
            raise Unreachable("the answer did not come")

    async def _buttons(self, address: Address, letter: Letter) -> tuple[str, ...]:
        buttons = letter.shown.buttons
        if not buttons:
            return ()
        data = await self._offers.data(address, buttons, letter.gives_way, letter.user_id)
        return tuple(data)

    async def forget(self, address: Address, message_id: str) -> bool:
        return False

    def condition(self) -> tuple[bool, str]:
        return True, "connected"

    def is_open(self, address: Address) -> bool:
        return False

    def admit(self, update: Update) -> Principal | None:
        person = self._gate.judge(update)
        if person is None:
            return None
        return Principal(
            PrincipalKind.PERSON, update.user_id, person.role, person.name, person.principal_id
        )


class MailDoor:
    """The mail of the database as one process has it. What `is_over` may not write any more."""

    def __init__(
        self,
        mail: Mail,
        chat: SimChat,
        life: Life,
        clock: SimClock,
        is_over: Callable[[], bool],
    ) -> None:
        self._mail = mail
        self._chat = chat
        self._life = life
        self._weather = chat.weather
        self._clock = clock
        self._is_over = is_over
        self._asked = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        there = getattr(self._mail, name)

        async def asked(*arguments: object) -> object:
            self._asked += 1
            what = f"mail {name} {self._asked}"
            await self._clock.sleep(MAIL_S)
            self._life.check()
            if self._is_over():
                raise LostLock("another desk has the database")
            if self._weather.strikes(Kind.STORE_DOWN, what):
                # An answer that the chat did not take either: letters of no notice.
                self._chat.unkept += name == "route" and not arguments[0]
                raise Unreachable("the database does not answer")
            return await there(*arguments)

        return asked


def mistyped(phrase: str) -> str:
    """A phrase with another word at its end."""
    return " ".join([*phrase.split()[:-1], "ZZZZ"])
