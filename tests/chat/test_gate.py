"""Who is answered what: every command, by everybody, said in every way, in every kind of chat.

What should happen is written down here as a table and a few rules, and not taken from the code.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count, product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyotp
import pytest
from aiogram.types import Update as TelegramUpdate
from aiogram.types import User as TelegramUser
from structlog.testing import capture_logs

from bot.gate import AUDITED
from bot.telegram import read
from bot.update import Update, UpdateKind
from engine.desk import Desk
from engine.effect import Proposed
from engine.errors import Refused
from engine.instruction import (
    AddSchedule,
    BeginEnrollment,
    ConfirmEnrollment,
    HaltDesk,
    PauseBot,
    ResumeBot,
    ResumeDesk,
)
from engine.mail import Address, Chat, ChatKind, Offer
from engine.people import Asker, Identity, Person, Principal, PrincipalKind, Role
from engine.proposal import Proposal, ProposalState, Way
from engine.store.memory import MemoryStore
from engine.tunable import Tier
from handlers import COMMANDS, cards
from handlers.alerts import CONSOLE
from handlers.exchange import ON_PAPER
from tests.askers import OPERATING
from tests.chat.both_scene import HandClock
from tests.chat.desks import busy_market
from tests.chat.hall import Hall, open_hall
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import BOT
from tests.servers.telegram_chat import Chat as ServerChat
from tests.servers.telegram_chat import Message, without_none
from tests.servers.telegram_chat import User as ServerUser
from tests.switches import ScriptedSwitch

Json = dict[str, Any]


class Outcome(StrEnum):
    LOOKS = "looks"
    ACTS = "acts at once"
    YELLOW = "waits for a press"
    RED = "waits for a phrase"
    REFUSED = "refused in words"
    SILENCE = "silence"


# What should happen


class Row(NamedTuple):
    """A command: the least role that may run it, what it does, and arguments it is said with.

    `errors` are what it may say where it runs in vain.
    """

    role: Role
    does: Outcome
    arguments: dict[str, str] = {}
    errors: tuple[str, ...] = ()


ANYBODY, VIEWER, TRADER, ADMIN = Role.NOBODY, Role.VIEWER, Role.TRADER, Role.ADMIN

LOOKS, ACTS, YELLOW, RED = Outcome.LOOKS, Outcome.ACTS, Outcome.YELLOW, Outcome.RED
LOCKED_OUT = "You are locked out, until an admin says /unlock."
ONLY_ADMIN = "admin is the only admin who can act: only the console locks them out."
PRIVATELY = "Say that to me in a private chat."
ZOE = "zoe"
TOO_FEW_DAYS = "days: 1 is not valid. Allowed: 3 to 3650: shortseller warms up on 601 bars of 5m."
NO_LOCK = "No lock is there to lift. /locks lists them."
NOTHING_TO_CLEAR = "No limit of losses cuts or stops anything. /risk shows how they stand."
NO_BACKTEST = "There is no backtest 999. /backtest list shows them."
NO_SNAPSHOT = "There is no snapshot 999. /tune history lists them."
NO_OTHER_BACKTEST = "There is no backtest 998. /backtest list shows them."

TABLE = {
    "whoami": Row(ANYBODY, LOOKS),
    "access": Row(
        ANYBODY,
        RED,
        errors=(
            PRIVATELY,
            "You asked already. The admins know; wait for their answer.",
            *(
                f"You are {role} already. An admin changes that with /role."
                for role in ("viewer", "trader", "admin")
            ),
        ),
    ),
    "link": Row(
        ANYBODY,
        ACTS,
        errors=(
            PRIVATELY,
            "Say /link with the account that the desk knows, then here with its word.",
        ),
    ),
    "start": Row(VIEWER, LOOKS),
    "menu": Row(VIEWER, LOOKS),
    "help": Row(VIEWER, LOOKS, {"command": "status"}),
    "status": Row(VIEWER, LOOKS),
    "health": Row(VIEWER, LOOKS),
    "wait": Row(VIEWER, LOOKS),
    "version": Row(VIEWER, LOOKS),
    "bot list": Row(VIEWER, LOOKS),
    "positions": Row(VIEWER, LOOKS),
    "portfolio": Row(VIEWER, LOOKS),
    "pnl": Row(VIEWER, LOOKS, {"days": "7"}),
    "report": Row(VIEWER, LOOKS, {"period": "daily"}),
    "trades": Row(VIEWER, LOOKS, {"limit": "5"}),
    "orders": Row(VIEWER, LOOKS, {"limit": "5"}),
    "order": Row(VIEWER, LOOKS, {"order": "P00000001"}),
    "price": Row(VIEWER, LOOKS, {"symbol": "BTC"}),
    "chart": Row(VIEWER, LOOKS, {"symbol": "BTC", "timeframe": "5m"}),
    "symbols": Row(VIEWER, LOOKS),
    "data": Row(VIEWER, LOOKS),
    "backtest": Row(
        TRADER,
        LOOKS,
        {"strategy": "shortseller", "symbols": "BTC", "days": "1"},
        (TOO_FEW_DAYS,),
    ),
    "backtest list": Row(VIEWER, LOOKS),
    "backtest show": Row(VIEWER, LOOKS, {"number": "999"}, (NO_BACKTEST,)),
    "backtest cancel": Row(
        TRADER, LOOKS, {"number": "999"}, ("Backtest 999 neither waits nor runs.",)
    ),
    "compare": Row(VIEWER, LOOKS, {"first": "998", "second": "999"}, (NO_OTHER_BACKTEST,)),
    "why": Row(VIEWER, LOOKS, {"symbol": "BTC"}),
    "patterns": Row(VIEWER, LOOKS, {"symbol": "BTC", "timeframe": "5m"}),
    "regime": Row(VIEWER, LOOKS, {"symbol": "BTC", "timeframe": "5m"}),
    "signals": Row(VIEWER, LOOKS, {"symbol": "BTC", "count": "5"}),
    "quality": Row(VIEWER, LOOKS, {"days": "30"}),
    "strategy list": Row(VIEWER, LOOKS),
    "strategy show": Row(VIEWER, LOOKS, {"strategy": "rsi", "part": "parameters"}),
    "analytics": Row(VIEWER, LOOKS, {"bot": BOT, "days": "30", "part": "risk"}),
    "performance": Row(VIEWER, LOOKS, {"by": "exit", "days": "30"}),
    "exits": Row(VIEWER, LOOKS, {"days": "30"}),
    "daily": Row(VIEWER, LOOKS, {"count": "3"}),
    "weekly": Row(VIEWER, LOOKS, {"count": "3"}),
    "monthly": Row(VIEWER, LOOKS, {"count": "3"}),
    "alerts": Row(VIEWER, LOOKS),
    "schedule list": Row(VIEWER, LOOKS),
    "schedule run": Row(VIEWER, LOOKS, {"schedule": "1"}),
    "proposals": Row(VIEWER, LOOKS),
    "approvers": Row(VIEWER, LOOKS),
    "preview": Row(VIEWER, LOOKS, {"command": "status"}),
    "enroll": Row(VIEWER, ACTS, errors=(PRIVATELY,)),
    "lock": Row(VIEWER, ACTS, errors=(LOCKED_OUT, ONLY_ADMIN)),
    "unlock": Row(
        VIEWER, ACTS, errors=("code is missing: the six digits that your authenticator shows.",)
    ),
    "bot pause": Row(TRADER, ACTS, {"bot": BOT}),
    "bot resume": Row(TRADER, YELLOW, {"bot": BOT}),
    "bot add": Row(TRADER, YELLOW, {"strategy": "momentum", "symbols": "ETH"}),
    "bot remove": Row(
        TRADER,
        YELLOW,
        {"bot": BOT},
        (f"{BOT} stands in countersign.toml: it is removed there, for a restart.",),
    ),
    "strategy off": Row(TRADER, ACTS, {"name": BOT, "symbol": "ETH"}),
    "strategy on": Row(
        TRADER, YELLOW, {"name": BOT, "symbol": "BTC"}, (f"{BOT} on BTCUSDT is on already.",)
    ),
    "side": Row(TRADER, YELLOW, {"side": "long_only"}),
    "tune show": Row(VIEWER, LOOKS, {"name": "leverage", "bot": BOT}),
    "tune set": Row(TRADER, YELLOW, {"name": "leverage", "value": "9"}),
    "strategy set": Row(TRADER, YELLOW, {"bot": BOT, "name": "margin", "value": "4%"}),
    "tune history": Row(VIEWER, LOOKS, {"bot": BOT}),
    "tune outcomes": Row(VIEWER, LOOKS, {"bot": BOT}),
    "tune snapshot": Row(
        TRADER,
        ACTS,
        {"name": "calm"},
        ("There is a snapshot calm already. Choose another name.",),
    ),
    "tune diff": Row(VIEWER, LOOKS, {"snapshot": "999"}, (NO_SNAPSHOT,)),
    "tune rollback": Row(ADMIN, RED, {"snapshot": "999"}, (NO_SNAPSHOT,)),
    "undo": Row(
        TRADER,
        YELLOW,
        {"change": "999"},
        ("There is no change 999 to take back. /tune history lists them.",),
    ),
    "tune run": Row(TRADER, LOOKS, {"bot": BOT}),
    "tune study": Row(VIEWER, LOOKS, {"study": "999"}, ("There is no study 999.",)),
    "tune cancel": Row(TRADER, LOOKS, {"study": "999"}, ("Study 999 neither waits nor runs.",)),
    "tune check": Row(
        TRADER, LOOKS, {"bot": BOT}, (f"{BOT} traded nothing that could be compared.",)
    ),
    "tune stop": Row(TRADER, ACTS, {"reason": "news"}),
    "ask": Row(VIEWER, LOOKS, {"question": "what do we hold?"}),
    "analyze": Row(VIEWER, LOOKS, {"symbol": "BTC"}),
    "analysis": Row(
        VIEWER,
        LOOKS,
        {"number": "999"},
        ("There is no analysis 999. /analysis lists the last ones.",),
    ),
    "aicost": Row(VIEWER, LOOKS),
    "bias": Row(VIEWER, LOOKS),
    "autopsy": Row(
        VIEWER,
        LOOKS,
        {"trade": "T999"},
        ("There is no trade T999. /trades lists the last ones.",),
    ),
    "suggest": Row(TRADER, LOOKS, {"bot": BOT}),
    "briefing": Row(VIEWER, LOOKS, {"period": "weekly"}),
    "tune resume": Row(TRADER, YELLOW, errors=("Tuning is not stopped.",)),
    "buy": Row(TRADER, YELLOW, {"symbol": "ETH", "amount": "100"}),
    "sell": Row(TRADER, YELLOW, {"symbol": "ETH", "amount": "100"}),
    "close": Row(TRADER, YELLOW, {"symbol": "BTC", "share": "half"}),
    "stops": Row(TRADER, YELLOW, {"symbol": "BTC", "stop": "104000"}),
    "be": Row(TRADER, ACTS, {"symbol": "ETH"}, ("No ETHUSDT is held. Held: BTCUSDT.",)),
    "cancel": Row(TRADER, ACTS, {"order": "all"}, ("No order is open.",)),
    "risk": Row(VIEWER, LOOKS, {"bot": BOT}),
    "locks": Row(VIEWER, LOOKS),
    "lift": Row(TRADER, YELLOW, {"symbol": "BTC"}, (NO_LOCK,)),
    "breaker": Row(TRADER, YELLOW, {"action": "reset"}, ("The circuit breaker is not open.",)),
    "cooldown": Row(ADMIN, RED, {"action": "clear"}, (NOTHING_TO_CLEAR,)),
    "halt": Row(TRADER, ACTS),
    "kill": Row(TRADER, ACTS, {"scope": "stop"}),
    "approve": Row(
        TRADER,
        ACTS,
        {"proposal": "999"},
        ("There is no open proposal 999. /proposals lists them.",),
    ),
    "reject": Row(
        TRADER,
        ACTS,
        {"proposal": "999"},
        ("There is no open proposal 999. /proposals lists them.",),
    ),
    "alert": Row(TRADER, ACTS, {"symbol": "BTC", "direction": "above", "price": "900000"}),
    "unalert": Row(TRADER, ACTS, {"alert": "999"}, ("No alert 999 waits.",)),
    "schedule add": Row(TRADER, ACTS, {"when": "08:00", "command": "status"}),
    "schedule remove": Row(TRADER, ACTS, {"schedule": "999"}, ("There is no schedule 999.",)),
    "resume": Row(ADMIN, RED),
    "role": Row(ADMIN, RED, {"person": ZOE, "role": "trader"}),
    "unenroll": Row(ADMIN, RED, {"person": ZOE}),
    "reconcile": Row(VIEWER, LOOKS),
    "sync status": Row(VIEWER, LOOKS),
    "mode": Row(VIEWER, LOOKS),
    "discard": Row(TRADER, YELLOW, {"symbol": "BTC"}, (ON_PAPER,)),
    "accept": Row(TRADER, YELLOW, {"symbol": "BTC"}, (ON_PAPER,)),
    "sync run": Row(TRADER, YELLOW, {"days": "7"}, (ON_PAPER,)),
    "arm": Row(ADMIN, RED, errors=(ON_PAPER,)),
    "people": Row(ADMIN, LOOKS),
    "audit": Row(ADMIN, LOOKS),
    "audit export": Row(ADMIN, LOOKS),
    "settings": Row(ADMIN, LOOKS),
    "outbox": Row(ADMIN, LOOKS),
    "subscribe": Row(ADMIN, ACTS),
    "unsubscribe": Row(ADMIN, ACTS),
}


class Decision(NamedTuple):
    """A way to decide what waits: the least role that may, and of which tier it is."""

    role: Role
    tier: Tier
    approves: bool
    by_phrase: bool = False


DECISIONS = {
    "confirm": Decision(TRADER, Tier.YELLOW, approves=True),
    "reject yellow": Decision(TRADER, Tier.YELLOW, approves=False),
    "reject red": Decision(ADMIN, Tier.RED, approves=False),
    "phrase": Decision(ADMIN, Tier.RED, approves=True, by_phrase=True),
}
# What there is to be decided, and what has to be so before.
DECIDED = {
    Tier.YELLOW: (PauseBot(BOT), ResumeBot(BOT)),
    Tier.RED: (HaltDesk(), ResumeDesk()),
}

PRIVATE, OPENED, UNOPENED, CHANNEL = "private", "opened group", "unopened group", "channel"
# On Discord the settings may open all channels of a server.
OPEN_SERVER = "group of an open server"
PLACES = {
    "telegram": (PRIVATE, OPENED, UNOPENED, CHANNEL),
    "discord": (PRIVATE, OPENED, UNOPENED, CHANNEL, OPEN_SERVER),
}

# All other ways of saying something are met with silence, whoever it is and wherever.
TAKEN = {"message", "button", "slash", "component", "modal"}
PRESSED = {"button", "component"}


def expected(name: str, role: Role, way: str, place: str) -> Outcome:
    if way not in TAKEN or place not in HEARD:
        return Outcome.SILENCE
    heard = HEARD[place](role, way)
    if heard is not ALL and name not in heard:
        return Outcome.SILENCE
    return TABLE[name].does if role >= TABLE[name].role else Outcome.REFUSED


def expected_decision(name: str, role: Role, way: str, place: str) -> Outcome:
    """As of a command that is not heard of strangers, nor where the chat is not opened."""
    if way not in TAKEN or place in (UNOPENED, CHANNEL) or role is ANYBODY:
        return Outcome.SILENCE
    return ACTS if role >= DECISIONS[name].role else Outcome.REFUSED


ALL: frozenset[str] = frozenset(TABLE)
NOTHING: frozenset[str] = frozenset()


def heard_at_home(role: Role, way: str) -> frozenset[str]:
    return ALL if role is not ANYBODY else frozenset({"whoami", "access", "link"})


def heard_in_unopened_group(role: Role, way: str) -> frozenset[str]:
    """An admin has to be able to open it. A button that acts was never offered there."""
    if role is not ADMIN:
        return NOTHING
    return frozenset({"whoami"} if way in PRESSED else {"whoami", "subscribe"})


# Which commands are heard of whom; a channel hears none of anybody.
HEARD: dict[str, Callable[[Role, str], frozenset[str]]] = {
    PRIVATE: heard_at_home,
    OPENED: heard_at_home,
    OPEN_SERVER: heard_at_home,
    UNOPENED: heard_in_unopened_group,
}


class Case(NamedTuple):
    """Something said: by whom, in which way, in which kind of chat."""

    surface: str
    name: str
    role: Role
    way: str
    place: str

    @property
    def expected(self) -> Outcome:
        judge = expected if self.name in TABLE else expected_decision
        return judge(self.name, self.role, self.way, self.place)

    @property
    def line(self) -> str:
        return " ".join([f"/{self.name}", *TABLE[self.name].arguments.values()])

    @property
    def acts(self) -> bool:
        """Whether a button with it is good once: it does more than look, for people of the desk."""
        row = TABLE[self.name]
        return row.does is not LOOKS and row.role is not ANYBODY


# How things are said on Telegram, as its API tells them

ME = TelegramUser(id=123456, is_bot=True, first_name="Countersign", username="countersign_bot")
BOT_JSON = {"id": ME.id, "is_bot": True, "first_name": "Countersign"}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
AS_CHANNEL = {"id": 136817688, "is_bot": True, "first_name": "Channel"}
CHANNEL_JSON = {"id": -1009, "type": "channel", "title": "Signals"}


@dataclass(frozen=True)
class Said:
    """What a way of saying something is made of: a plain message, and a button's data."""

    message: Json
    data: str

    @property
    def sender(self) -> Json:
        sender: Json = self.message["from"]
        return sender

    def altered(self, **fields: Any) -> Json:
        return {"message": self.message | fields}

    def posted(self) -> Json:
        """A message in the name of its chat."""
        unsigned = {key: value for key, value in self.message.items() if key != "from"}
        return unsigned | {"sender_chat": self.message["chat"]}

    def pressed(self, card: Json | None = None, **fields: Any) -> Json:
        own = {"text": "Card", "from": BOT_JSON}
        query = {
            "id": "1",
            "from": self.sender,
            "chat_instance": "1",
            "message": without_none(**self.message | own | (card or {})),
            "data": self.data,
        }
        return {"callback_query": without_none(**query | fields)}


def origin(said: Said) -> Json:
    return {"type": "user", "sender_user": said.sender, "date": said.message["date"]}


def inline(said: Said) -> Json:
    query = {"id": "1", "from": said.sender, "query": said.message["text"], "offset": ""}
    return {"inline_query": query}


def chosen(said: Said) -> Json:
    result = {"result_id": "1", "from": said.sender, "query": said.message["text"]}
    return {"chosen_inline_result": result}


def reaction(said: Said) -> Json:
    at = {key: said.message[key] for key in ("chat", "message_id", "date")}
    return {"message_reaction": at | {"user": said.sender, "old_reaction": [], "new_reaction": []}}


def edited(said: Said) -> Json:
    return said.message | {"edit_date": said.message["date"]}


def addressed(said: Said) -> Json:
    word, _, rest = said.message["text"].partition(" ")
    return said.altered(text=f"{word}@another_bot {rest}")


ON_TELEGRAM: dict[str, Callable[[Said], Json]] = {
    "message": lambda said: said.altered(),
    "edited message": lambda said: {"edited_message": edited(said)},
    "edited message without a date": lambda said: {"edited_message": said.message},
    "message with an edit": lambda said: {"message": edited(said)},
    "channel post": lambda said: {"channel_post": said.posted()},
    "edited channel post": lambda said: {"edited_channel_post": said.posted()},
    "message in a chat's name": lambda said: {"message": said.posted()},
    "forwarded message": lambda said: said.altered(forward_origin=origin(said)),
    "message forwarded by itself": lambda said: said.altered(is_automatic_forward=True),
    "message via a bot": lambda said: said.altered(via_bot=BOT_JSON | {"id": 42}),
    "anonymous admin": lambda said: said.altered(
        **{"from": ANONYMOUS, "sender_chat": said.message["chat"]}
    ),
    "anonymous admin without a chat": lambda said: said.altered(**{"from": ANONYMOUS}),
    "somebody as a channel": lambda said: said.altered(
        **{"from": AS_CHANNEL, "sender_chat": CHANNEL_JSON}
    ),
    "person and a channel": lambda said: said.altered(sender_chat=CHANNEL_JSON),
    "message from a bot": lambda said: said.altered(**{"from": said.sender | {"is_bot": True}}),
    "message for a business": lambda said: said.altered(business_connection_id="1"),
    "business message": lambda said: {"business_message": said.message},
    "message to another bot": addressed,
    "button": lambda said: said.pressed(),
    "button with data of our own making": lambda said: said.pressed(data=said.message["text"]),
    "button that is forged": lambda said: said.pressed(data="r:bot pause " + BOT),
    "button without data": lambda said: said.pressed(data=None, game_short_name="x"),
    "button on a foreign card": lambda said: said.pressed({"from": said.sender}),
    "button on a card of nobody": lambda said: said.pressed({"from": None}),
    "button without its card": lambda said: said.pressed(message=None, inline_message_id="1"),
    "button pressed by a bot": lambda said: said.pressed(
        **{"from": said.sender | {"is_bot": True}}
    ),
    "inline query": inline,
    "chosen inline result": chosen,
    "reaction": reaction,
}

# How things are said on Discord, as the desk reads them

ON_DISCORD: dict[str, Callable[[Update], Update]] = {
    "slash": lambda said: replace(said, kind=UpdateKind.SLASH),
    "component": lambda said: replace(said, kind=UpdateKind.BUTTON),
    "modal": lambda said: replace(said, kind=UpdateKind.MODAL),
    "autocomplete": lambda said: replace(said, kind=UpdateKind.AUTOCOMPLETE),
    "interaction of a new kind": lambda said: replace(said, kind=UpdateKind.OTHER),
    "slash by nobody": lambda said: replace(said, kind=UpdateKind.SLASH, user_id=""),
    "slash by a bot": lambda said: replace(said, kind=UpdateKind.SLASH, faults=("a bot",)),
    "component on a foreign card": lambda said: replace(
        said, kind=UpdateKind.BUTTON, faults=("a button on a card that is not ours",)
    ),
}

CASES = [
    Case(surface, name, role, way, place)
    for surface, ways in (("telegram", ON_TELEGRAM), ("discord", ON_DISCORD))
    for name, role, way, place in product(TABLE, Role, ways, PLACES[surface])
]


def decides(name: str, way: str) -> bool:
    """Whether a decision can be tried in that way: a press with buttons, a phrase without."""
    is_press = way.startswith(("button", "component"))
    # A command that is typed is none of both; what is said to another bot is no phrase.
    is_typed = way.startswith("slash") or way == "message to another bot"
    return not is_press and not is_typed if DECISIONS[name].by_phrase else is_press


DECIDING = [
    Case(surface, name, role, way, place)
    for surface, ways in (("telegram", ON_TELEGRAM), ("discord", ON_DISCORD))
    for name, role, way, place in product(DECISIONS, Role, ways, PLACES[surface])
    if decides(name, way)
]

# Where, and who: a person's id is their role's number and more.

SERVER = "77"
GROUPS = {OPENED: "-11", UNOPENED: "-12", CHANNEL: "-13", OPEN_SERVER: "-14"}
TYPES = {PRIVATE: "private", OPENED: "supergroup", UNOPENED: "group", CHANNEL: "channel"}
KINDS = {PRIVATE: ChatKind.PRIVATE, CHANNEL: ChatKind.CHANNEL}


def user_id(role: Role) -> int:
    return 7_000_000_000 + role


KNOWN = [role for role in Role if role is not ANYBODY]
PERSONS = [*(Person(role.word, role.word, role) for role in KNOWN), Person(ZOE, ZOE, VIEWER)]
ACCOUNTS = [
    *(
        Identity(surface, str(user_id(role)), role.word)
        for role, surface in product(KNOWN, ("telegram", "discord"))
    ),
    Identity("telegram", "26", ZOE),
]
# A channel is marked as open, too: nobody can, and it must make no difference.
CHATS = [
    Chat(surface, GROUPS[place], "", ChatKind.GROUP, True, "ann", 0)
    for surface, place in product(("telegram", "discord"), (OPENED, CHANNEL))
]


@dataclass
class Trial:
    """The desk that cases are brought before."""

    hall: Hall
    store: MemoryStore
    clock: HandClock
    numbers: Iterator[int]
    waiting: Proposal | None = None

    async def outcome(self, case: Case) -> Outcome:
        if case.role is ANYBODY and case.expected is not Outcome.SILENCE:
            # Of strangers only so many are answered in a minute.
            self.clock.leap(3_000)
        desk, row = self.hall.desk, TABLE[case.name]
        before, noted = desk.view(), max(self.store.audit, default=0)
        assert isinstance(desk.switch, ScriptedSwitch)
        pulled = len(desk.switch.pulled)
        made = max((each.proposal_id for each in before.proposals), default=0)
        update = await self.update(case)
        reply = await self.hall.say(update) if update else None
        if reply is None:
            return Outcome.SILENCE
        if reply.error == f"/{case.name} needs the role {row.role.word}.":
            return Outcome.REFUSED
        assert reply.error is None or reply.error in row.errors, (case, reply.error)
        found = [each.tier for each in desk.view().proposals if each.proposal_id > made]
        if found == [Tier.YELLOW]:
            return Outcome.YELLOW
        if found == [Tier.RED]:
            return Outcome.RED
        assert found == []
        if reply.error:
            return row.does
        if self._acted_since(noted) or len(desk.switch.pulled) > pulled:
            return ACTS
        assert desk.view() == before
        return LOOKS

    def _acted_since(self, seq: int) -> bool:
        """Whether more than words stands in the audit after a row."""
        fresh = (row for number, row in self.store.audit.items() if number > seq)
        return any(row.action != "command" for row in fresh)

    async def decision(self, case: Case) -> Outcome:
        """What a press or a phrase does about a proposal that waits."""
        proposal = await self.proposal(case)
        update = await self.update(case)
        reply = await self.hall.say(update) if update else None
        found = await self.hall.desk.proposal(proposal.proposal_id)
        assert found is not None
        if found.state in (ProposalState.DONE, ProposalState.REJECTED):
            assert reply is not None and reply.ok
            return ACTS
        assert found.state is ProposalState.OPEN
        if reply is None:
            return Outcome.SILENCE
        assert "needs the role" in (reply.error or ""), (case, reply)
        return Outcome.REFUSED

    async def proposal(self, case: Case) -> Proposal:
        """A fresh one that waits for what the case says."""
        desk = self.hall.desk
        prepare, ask = DECIDED[DECISIONS[case.name].tier]
        with suppress(Refused):
            await desk.ask(prepare, OPERATING)
        made = await desk.ask(ask, OPERATING)
        assert isinstance(made, Proposed)
        self.waiting = made.proposal
        return made.proposal

    async def token(self, at: Address, approves: bool) -> str:
        """What the button of the card that waits carries, where it stands in that chat."""
        found = [
            button
            for button in cards.buttons(self.waiting)
            if button.decides and button.decides.approves is approves
        ]
        [data] = await self.hall.offers.data(at, found, edit=True)
        return data

    async def update(self, case: Case) -> Update | None:
        if case.surface == "discord":
            return await self._interaction(case)
        number, now, chat = next(self.numbers), self.hall.desk.clock.now(), chat_json(case)
        at = Address("telegram", str(chat["id"]))
        if self.waiting is None:
            data, text, card = await button_data(case, at, self.hall.desk), case.line, None
        else:
            wanted = DECISIONS[case.name]
            data = await self.token(at, wanted.approves)
            text = self.waiting.phrase if wanted.by_phrase else "Card"
            card = card_json(self.waiting, chat, now // 1000) if wanted.by_phrase else None
        raw = as_telegram_tells(
            case, number, now // 1000, chat, user_id(case.role), data, text, card
        )
        return read(TelegramUpdate.model_validate({"update_id": number} | raw), ME, now)

    async def _interaction(self, case: Case) -> Update:
        number = str(next(self.numbers))
        is_private = case.place == PRIVATE
        chat_id = str(user_id(case.role)) if is_private else GROUPS[case.place]
        at = Address("discord", chat_id)
        said = Update(
            "discord",
            f"discord:{number}",
            UpdateKind.OTHER,
            str(user_id(case.role)),
            at,
            KINDS.get(case.place, ChatKind.GROUP),
            self.hall.desk.clock.now(),
            message_id=number,
            place=SERVER if case.place == OPEN_SERVER else "",
        )
        if self.waiting is not None:
            said = replace(said, **await self._decided(case, at))
        elif case.way.startswith("component") and case.acts:
            said = replace(said, offer=await offered(case, at, self.hall.desk), edit=True)
        elif case.way.startswith(("component", "modal")):
            said = replace(said, line=case.line)
        else:
            said = replace(said, name=case.name, arguments=TABLE[case.name].arguments)
        return ON_DISCORD[case.way](said)

    async def _decided(self, case: Case, at: Address) -> Json:
        """How a press on Discord, or a form that was filled in, decides what waits."""
        assert self.waiting is not None
        wanted, number = DECISIONS[case.name], str(self.waiting.proposal_id)
        token = await self.token(at, wanted.approves)
        if wanted.by_phrase:
            words = {"proposal": number, "phrase": self.waiting.phrase}
            return {"name": "approve", "arguments": words, "decision": token, "way": Way.FORM}
        verb = "approve" if wanted.approves else "reject"
        return {"line": f"/{verb} {number}", "decision": token, "way": Way.BUTTON, "edit": True}

    def audited(self) -> list[str]:
        return [row.detail for row in self.store.audit.values() if "at the gate" in row.detail]


def card_json(proposal: Proposal, chat: Json, date: int) -> Json:
    """The card of a proposal, as a reply to it shows it."""
    text = f"Proposal {proposal.proposal_id}: {proposal.title}\n{proposal.phrase}"
    return {"message_id": 1, "date": date, "chat": chat, "from": BOT_JSON, "text": text}


def as_telegram_tells(
    case: Case,
    number: int,
    date: int,
    chat: Json,
    user: int,
    data: str,
    text: str,
    card: Json | None = None,
) -> Json:
    """An update without its id. `number` is the message's, `data` is that of a button, `text`
    what is said, to a `card` where there is one."""
    sender = {"id": user, "is_bot": False, "first_name": "Somebody"}
    message = {"message_id": number, "date": date, "chat": chat, "from": sender}
    said = without_none(**message, text=text, reply_to_message=card)
    return ON_TELEGRAM[case.way](Said(said, data))


async def button_data(case: Case, at: Address, desk: Desk) -> str:
    """What the button with a case's command carries, where it stands in that chat."""
    if case.way in PRESSED and case.acts:
        return f"b:{await offered(case, at, desk)}"
    return f"r:{case.line[1:]}"


async def offered(case: Case, at: Address, desk: Desk) -> int:
    expires_at = desk.clock.now() + 60_000
    offer = Offer(at.surface, at.chat_id, case.line, expires_at)
    [number] = await desk.store.mail.offer([offer])
    return number


def chat_json(case: Case) -> Json:
    chat_id = user_id(case.role) if case.place == PRIVATE else int(GROUPS[case.place])
    name = "first_name" if case.place == PRIVATE else "title"
    return {"id": chat_id, "type": TYPES[case.place], name: "Chat"}


@asynccontextmanager
async def open_trial() -> AsyncIterator[Trial]:
    store, clock, market = MemoryStore(), HandClock(), busy_market()
    clock.leap(market.coming[-1].closed_at - clock.now())
    # Thousands of refusals are logged.
    with capture_logs():
        async with open_hall(PERSONS, ACCOUNTS, CHATS, {SERVER}, store, clock, market) as hall:
            await hall.desk.ask(AddSchedule("0 8 * * *", "UTC", "status", CONSOLE), OPERATING)
            yield Trial(hall, store, clock, count(1))


@pytest.fixture
async def trial() -> AsyncIterator[Trial]:
    async with open_trial() as trial:
        yield trial


async def prepare(desk: Desk, name: str) -> None:
    """Make it so that a command has something to do."""
    if name == "resume":
        await desk.ask(HaltDesk(), OPERATING)
    if name == "bot resume":
        await desk.ask(PauseBot(BOT), OPERATING)
    if name == "unenroll":
        zoe = Principal(PrincipalKind.PERSON, "26", VIEWER, ZOE, ZOE)
        asker = Asker(zoe, "telegram", Address("telegram", "26"))
        await desk.ask(BeginEnrollment(), asker)
        uri = desk.enrollment(ZOE)
        assert uri is not None
        code = pyotp.parse_uri(uri).at(desk.clock.now() // 1000)
        await desk.ask(ConfirmEnrollment(code), asker)


def test_every_command_has_its_row() -> None:
    assert TABLE.keys() == {command.name for command in COMMANDS}


@pytest.mark.parametrize("name", TABLE)
async def test_everything_said_has_the_outcome_of_the_table(trial: Trial, name: str) -> None:
    await prepare(trial.hall.desk, name)
    cases = [case for case in CASES if case.name == name]
    wrong = [
        f"{case}: {case.expected}, but {found}"
        for case in cases
        if (found := await trial.outcome(case)) is not case.expected
    ]

    assert wrong == []
    assert {TABLE[name].does, Outcome.SILENCE} <= {case.expected for case in cases}


@pytest.mark.parametrize("name", DECISIONS)
async def test_everything_that_decides_has_the_outcome_of_the_table(
    trial: Trial, name: str
) -> None:
    cases = [case for case in DECIDING if case.name == name]
    wrong = [
        f"{case}: {case.expected}, but {found}"
        for case in cases
        if (found := await trial.decision(case)) is not case.expected
    ]

    assert wrong == []
    assert {case.expected for case in cases} == {ACTS, Outcome.REFUSED, Outcome.SILENCE}


async def test_what_is_denied_changes_nothing_and_is_noted_within_bounds(trial: Trial) -> None:
    before = trial.hall.desk.view()
    for case in CASES:
        if case.expected in (Outcome.REFUSED, Outcome.SILENCE):
            assert await trial.outcome(case) is case.expected
    await trial.hall.inbox.flush()
    await trial.hall.desk.runtime.until_caught_up()

    assert trial.hall.desk.view() == before
    assert await trial.store.recent(Chat) == []
    assert await trial.store.mail.unanswered() == []
    assert len(trial.audited()) == AUDITED


async def test_a_refusal_is_noted_with_who_what_and_why(trial: Trial) -> None:
    await trial.outcome(Case("telegram", "bot pause", ANYBODY, "message", PRIVATE))

    async def is_noted() -> bool:
        return bool(trial.audited())

    await eventually(is_noted)
    [row] = [row for row in trial.store.audit.values() if "at the gate" in row.detail]
    assert row.actor == f"telegram:{user_id(ANYBODY)}"
    assert row.detail == f"/bot pause {BOT}: refused at the gate: a stranger"


# The same through the real server


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as scene:
        yield scene


# These change who is heard afterwards, or where.
OPENERS = {"subscribe", "unsubscribe", "lock"}
UNHEARD = {Outcome.REFUSED, Outcome.SILENCE}


def sample() -> list[Case]:
    """Some cases of each outcome, in a mixed order."""
    chance = Random(20)
    cases = [each for each in CASES if each.surface == "telegram" and each.name not in OPENERS]
    of = {outcome: [each for each in cases if each.expected is outcome] for outcome in UNHEARD}
    runs = [each for each in cases if each.expected not in UNHEARD]
    found = [
        *chance.sample(runs, 40),
        *chance.sample(of[Outcome.REFUSED], 10),
        *chance.sample(of[Outcome.SILENCE], 60),
    ]
    chance.shuffle(found)
    return found


async def test_a_sample_has_the_same_outcomes_through_the_real_server(scene: Scene) -> None:
    people = {ANYBODY: scene.sue, VIEWER: scene.vera, TRADER: scene.tom, ADMIN: scene.ann}
    async with scene.open_desk() as desk:
        groups = {
            OPENED: await scene.open_group(),
            UNOPENED: scene.server.group("Elsewhere"),
            CHANNEL: scene.server.channel("Signals"),
        }
        await desk.desk.ask(AddSchedule("0 8 * * *", "UTC", "status", CONSOLE), OPERATING)
        for case in sample():
            person = people[case.role]
            chat = groups.get(case.place) or scene.private(person)
            found = await outcome_at_server(case, scene, desk.desk, person, chat)
            wanted = case.expected if case.expected in UNHEARD else None
            assert found is wanted, case


async def outcome_at_server(
    case: Case, scene: Scene, desk: Desk, person: ServerUser, chat: ServerChat
) -> Outcome | None:
    """Whether the desk refuses an update that Telegram tells it, or is silent; None for neither."""
    server, is_press = scene.server, case.way.startswith("button")
    message = server.post(chat, server.bot if is_press else person, text="Card")
    data = await button_data(case, Address("telegram", str(chat.id)), desk)
    told = as_telegram_tells(
        case, message.id, message.date, chat.json(), person.id, data, case.line
    )
    server.push(told)

    def answer() -> Message | None:
        answers = [each for each in server.from_bot(chat) if each.reply_to is message]
        return message if message.text != "Card" else next(iter(answers), None)

    if case.expected is Outcome.SILENCE:
        await scene.ask(scene.eve, "/whoami")
        assert answer() is None, case
        return Outcome.SILENCE
    found = await server.until(answer)
    return Outcome.REFUSED if "needs the role" in (found.text or "") else None


async def test_an_admin_opens_a_group_and_closes_it(scene: Scene) -> None:
    async with scene.open_desk():
        group = scene.server.group("Desk")
        scene.server.write(scene.tom, group, "/status")
        scene.server.write(scene.ann, group, "/status")
        opened = await scene.ask(scene.ann, "/subscribe", group)
        assert scene.server.from_bot(group) == [opened]

        await scene.ask(scene.tom, "/status", group)
        closed = await scene.ask(scene.ann, "/unsubscribe", group)
        scene.server.write(scene.tom, group, "/status")
        await scene.until_judged()
        assert scene.server.from_bot(group)[-1] is closed
