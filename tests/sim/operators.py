"""The people of a simulation: what each says and presses is drawn from the seed.

The admin halts and resumes, the trader buys, closes and pauses, and a stranger tries all of it.
Each decides what is put before them: once, twice, too late, wrongly, by somebody else, or not.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

from engine.people import Identity, Person, Role
from tests.sim.chat import NAME, Message, SimChat, mistyped
from tests.sim.weather import STORM_S, Fault, Kind

ADMIN = Person("ann", "ann", Role.ADMIN)
TRADER = Person("tom", "tom", Role.TRADER)
ADMIN_ID, TRADER_ID, STRANGER_ID = "7", "8", "555"
PEOPLE: tuple[Sequence[Person], Sequence[Identity]] = (
    (ADMIN, TRADER),
    (Identity(NAME, ADMIN_ID, "ann"), Identity(NAME, TRADER_ID, "tom")),
)
# What each says, in turn.
LINES = {
    ADMIN_ID: ("/halt", "/resume", "/status", "/resume"),
    TRADER_ID: (
        "/buy BTC {}",
        "/close ETH",
        "/bot pause puppet",
        "/bot resume puppet",
        "/sell ETH {}",
        "/positions",
        "/close BTC",
    ),
}
STRANGE = (
    "/halt",
    "/resume",
    "/buy BTC 500",
    "/approve 1",
    "/reject 1",
    "/whoami",
    "/bot pause puppet",
)
# Between two of them (s), how soon people look at what came, and how long they mean to take.
LEAST_S, MOST_S = 15.0, 120.0
LOOK_S = 4.0
SOON_S, LATE_S = 6.0, 75.0
# Nobody begins anything that late: all of it ends before the calm does.
LAST_S = STORM_S - 60.0


# In this share of the seeds nobody says anything: who halts and pauses keeps bots from trading.
QUIET = 0.4


class Mood(StrEnum):
    """What somebody does with a card."""

    APPROVE = "approves"
    TWICE = "approves twice"
    LATE = "approves late"
    FORWARD = "has somebody else press"
    REJECT = "rejects"
    WRONG = "gets it wrong"
    VANISH = "vanishes"


MOODS = (Mood.APPROVE, Mood.APPROVE, *Mood)


class Operators:
    """Whoever is in the chats."""

    def __init__(self, chat: SimChat) -> None:
        self._chat = chat
        self._weather = chat.weather
        self._seen: set[tuple[str, str]] = set()

    async def live(self) -> None:
        if self._weather.share("people are silent") < QUIET:
            return
        async with asyncio.TaskGroup() as tasks:
            for user_id in LINES:
                tasks.create_task(self._speak(user_id))
                tasks.create_task(self._decide(user_id, tasks))

    async def _speak(self, user_id: str) -> None:
        """Say one line after the other."""
        number = 0
        while True:
            number += 1
            share = self._weather.share(f"{user_id} waits {number}")
            await asyncio.sleep(LEAST_S + (MOST_S - LEAST_S) * share)
            if self._chat.loop.time() > LAST_S:
                return
            lines = LINES[user_id]
            which = int(self._weather.share(f"{user_id} says {number}") * len(lines))
            # An amount of its own, so that each is told from all others.
            self._chat.say(user_id, lines[which].format(300 + number))

    async def _decide(self, user_id: str, tasks: asyncio.TaskGroup) -> None:
        """Look at each card once, and do with it what the mood says."""
        while self._chat.loop.time() < STORM_S + LATE_S:
            await asyncio.sleep(LOOK_S)
            for card in self._chat.cards(user_id):
                if (user_id, card.message_id) not in self._seen:
                    self._seen.add((user_id, card.message_id))
                    tasks.create_task(self._treat(user_id, card))

    async def _treat(self, user_id: str, card: Message) -> None:
        what = f"{user_id} with {card.message_id}"
        mood = MOODS[int(self._weather.share(what) * len(MOODS))]
        # The card may be another when the time has come: it is pressed as it was seen.
        seen = Message(**vars(card))
        wait = LATE_S if mood is Mood.LATE else SOON_S * self._weather.share(f"{what} waits")
        await asyncio.sleep(wait)
        match mood:
            case Mood.APPROVE | Mood.LATE:
                self._approve(user_id, seen, what)
            case Mood.TWICE:
                self._approve(user_id, seen, what)
                self._approve(user_id, seen, what)
            case Mood.REJECT:
                self._chat.press(user_id, seen, False)
            case Mood.WRONG:
                self._wrong(user_id, seen)
            case Mood.FORWARD:
                other = TRADER_ID if user_id == ADMIN_ID else ADMIN_ID
                for somebody in (STRANGER_ID, other):
                    self._chat.press(somebody, seen, True, forwarded=True)

    def _approve(self, user_id: str, card: Message, what: str) -> None:
        token = card.token(True)
        if token is None:
            return
        again = 2 if self._weather.strikes(Kind.PRESSED_TWICE, what) else 1
        for _ in range(again):
            if token.asks_phrase:
                self._chat.reply(user_id, token.proposal_id, card.phrase, right=True)
            else:
                self._chat.press(user_id, card, True)

    def _wrong(self, user_id: str, card: Message) -> None:
        """A phrase that is mistyped, or a press where one is asked for, or none."""
        token = card.token(True)
        if token is not None and token.asks_phrase:
            self._chat.press(user_id, card, True)
            self._chat.reply(user_id, token.proposal_id, mistyped(card.phrase), right=False)

    def intrude(self, fault: Fault) -> None:
        """A stranger says something, and presses what they have seen somewhere."""
        self._weather.note(Kind.STRANGER)
        self._chat.say(STRANGER_ID, STRANGE[fault.number % len(STRANGE)])
        for card in self._chat.cards(TRADER_ID)[-1:]:
            self._chat.press(STRANGER_ID, card, True, forwarded=True)
