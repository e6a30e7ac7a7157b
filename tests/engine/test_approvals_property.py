"""Any sequence of wishes, words, waits, links, locks and restarts, beside a model of its own.

The model knows nothing of the engine: it is what the design says, in as few words as will do.
After each move the desk and the model must agree on everything that a decision can change.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

import pyotp
import pytest

from engine.drafts import instruction_of
from engine.effect import Audit, Done, Effect, NotDone, Proposed, Record, Result, Submit
from engine.event import DeskHalted, OrderRejected
from engine.instruction import (
    Decide,
    HaltDesk,
    Instruction,
    LockPerson,
    MakeLinkCode,
    OpenSession,
    PauseBot,
    PlaceOrder,
    ResumeBot,
    ResumeDesk,
    SetRole,
    UnlockPerson,
    UseLinkCode,
)
from engine.people import DESK, UNTIL_UNLOCKED, Asker, Human, Principal, PrincipalKind, Role
from engine.proposal import Proposal, ProposalState, Way, digest
from tests.askers import OPERATING, asking, user_id
from tests.engine.conftest import ACCOUNT, BOT, BTC, BUY, T0, D, instrument
from tests.engine.office import EVERYBODY, Office, required

SEEDS, MOVES = 30, 500
STEP = 30_000
SESSION = TRY_WINDOW = LOCK_OUT = 15 * 60_000
SESSION *= 2
LINK = 10 * 60_000
SLACK = 2_000
WAITS = {"order": 60_000, "command": 300_000}
ENROLLED = ("ann", "tom")
NAMES = [who.name for who in EVERYBODY]
PLATFORMS = ("telegram", "discord")
RED, YELLOW = "red", "yellow"
# What waits for whom, and who may ask: the design's table.
TIERS = {
    ResumeBot: (YELLOW, Role.TRADER, Role.TRADER),
    PlaceOrder: (YELLOW, Role.TRADER, Role.TRADER),
    UnlockPerson: (YELLOW, Role.ADMIN, Role.ADMIN),
    ResumeDesk: (RED, Role.ADMIN, Role.ADMIN),
    SetRole: (RED, Role.ADMIN, Role.ADMIN),
}


# -- the model ---------------------------------------------------------------------------


@dataclass
class Waiting:
    """A proposal, as the model has it."""

    instruction: Instruction
    asked_by: str
    expires: int
    needed: int
    shown: object
    voters: list[str] = field(default_factory=list)
    approved: bool = False
    effective: int = 0


@dataclass
class Tally:
    locked_until: int = 0
    open_until: int = 0
    last_step: int = 0
    tries: list[int] = field(default_factory=list)


@dataclass
class Code:
    """An authenticator's code as somebody typed it: for which step, of whose phone."""

    text: str = ""
    step: int | None = None


@dataclass
class Model:
    """What the desk must be."""

    required: int
    delay: int
    roles: dict[str, Role]
    owners: dict[tuple[str, str], str]
    said: dict[str, Role] = field(default_factory=dict)
    guards: dict[str, Tally] = field(default_factory=dict)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    made: int = 0
    believed: int = T0
    paused: bool = False
    halted_by: str = ""
    halted: str = ""
    price: float = 100
    orders: int = 0

    # -- who ---------------------------------------------------------------------------

    def role(self, asker: Asker) -> Role:
        if asker.surface == "console":
            return Role.ADMIN
        owner = self.owners.get((asker.surface, asker.principal.id), "")
        known = owner and owner == asker.principal.principal_id
        return self.roles[owner] if known else Role.NOBODY

    def tally(self, name: str) -> Tally:
        return self.guards.setdefault(name, Tally())

    def locked(self, name: str, ts: int) -> bool:
        return self.tally(name).locked_until > ts

    def locked_by_hand(self, name: str) -> bool:
        return self.tally(name).locked_until == UNTIL_UNLOCKED

    def session(self, name: str, ts: int) -> bool:
        """Whether somebody may act; it keeps their session open."""
        if name not in ENROLLED:
            return True
        if self.tally(name).open_until <= ts:
            return False
        self.tally(name).open_until = ts + SESSION
        return True

    def bad_try(self, asker: Asker, ts: int) -> None:
        name = asker.principal.principal_id
        if asker.surface == "console" or not name:
            return
        tally = self.tally(name)
        tally.tries = [tried for tried in tally.tries if tried > ts - TRY_WINDOW] + [ts]
        if len(tally.tries) == 5:
            tally.tries = []
            tally.locked_until, tally.open_until = ts + LOCK_OUT, 0

    # -- what stands -------------------------------------------------------------------

    @property
    def why_halted(self) -> str:
        return "; ".join(filter(None, (self.halted_by, self.halted)))

    def now_shown(self, instruction: Instruction, ts: int) -> object:
        """What somebody would be shown now; None where there is nothing to do."""
        match instruction:
            case ResumeBot():
                return "paused" if self.paused else None
            case ResumeDesk():
                return self.why_halted or None
            case SetRole():
                name, wanted = instruction.principal_id, instruction.role
                role = self.roles[name]
                headless = self.loses_all_admins({**self.roles, name: wanted}, self.owners)
                return None if role is wanted or headless else role
            case UnlockPerson(name):
                return "locked" if self.locked(name, ts) else None
            case PlaceOrder():
                return None if self.why_halted else self.price
        raise AssertionError(instruction)

    def stands(self, proposal: Waiting, ts: int) -> bool:
        now = self.now_shown(proposal.instruction, ts)
        if isinstance(proposal.instruction, PlaceOrder) and isinstance(now, float | int):
            return abs(now - proposal.shown) / proposal.shown <= 0.005
        return now is not None and now == proposal.shown

    def may_still(self, name: str, proposal: Waiting, ts: int) -> bool:
        if name == "operator":
            return True
        needed = TIERS[type(proposal.instruction)][2]
        return self.roles[name] >= needed and not self.locked(name, ts)

    # -- time --------------------------------------------------------------------------

    def tick(self, ts: int) -> None:
        if self.believed - ts > SLACK:
            self.believed = ts
            self.links.clear()
            for tally in self.guards.values():
                tally.open_until = 0
            for number in list(self.waiting):
                self.end(number, "void")
            return
        self.believed = max(self.believed, ts)
        for number, proposal in list(self.waiting.items()):
            if not proposal.approved and ts >= proposal.expires:
                self.end(number, "expired")
            elif proposal.approved and ts >= proposal.effective:
                voters = [name for name in proposal.voters if self.may_still(name, proposal, ts)]
                if len(voters) >= max(proposal.needed, 1) and self.stands(proposal, ts):
                    self.carry_out(number, DESK, ts)
                else:
                    self.end(number, "void")

    def end(self, number: int, how: str) -> None:
        del self.waiting[number]
        self.ended[number] = how

    # -- wishes ------------------------------------------------------------------------

    def ask(self, instruction: Instruction, asker: Asker, ts: int, code: Code) -> str:
        """What must become of a wish: done, refused or proposed."""
        self.tick(ts)
        role, name = self.role(asker), who(asker)
        match instruction:
            case PauseBot() | HaltDesk():
                if role < Role.TRADER:
                    return "refused"
                if isinstance(instruction, PauseBot):
                    self.paused = True
                    return "done"
                self.halted_by = self.halted_by or f"by {asker.called}"
                for number, each in list(self.waiting.items()):
                    if isinstance(each.instruction, ResumeDesk):
                        self.end(number, "void")
                return "done"
        if asker.surface != "console" and self.locked(name, ts):
            return "refused"
        match instruction:
            case UseLinkCode(word):
                return self.link(word, asker, ts)
            case _ if role < Role.VIEWER:
                return "refused"
            case MakeLinkCode():
                return (
                    "done" if asker.surface != "console" and self.session(name, ts) else "refused"
                )
            case OpenSession():
                if name not in ENROLLED:
                    return "refused"
                return "done" if self.proven(asker, code, ts) else "refused"
            case LockPerson(target):
                return self.lock(target, asker, role, ts)
        return self.propose(instruction, role, name, ts)

    def propose(self, instruction: Instruction, role: Role, name: str, ts: int) -> str:
        tier, may_ask, _ = TIERS[type(instruction)]
        shown = self.now_shown(instruction, ts)
        if role < may_ask or shown is None:
            return "refused"
        same = [
            number
            for number, each in self.waiting.items()
            if (each.instruction, each.asked_by) == (instruction, name) and not each.approved
        ]
        own = [each for each in self.waiting.values() if each.asked_by == name]
        if len(own) - len(same) >= 10:
            return "refused"
        for number in same:
            self.end(number, "void")
        self.made += 1
        lasts = WAITS["order" if isinstance(instruction, PlaceOrder) else "command"]
        needed = self.required if tier == RED else 0
        if needed and name == "operator":
            needed += 1
        self.waiting[self.made] = Waiting(instruction, name, ts + lasts, needed, shown)
        return "proposed"

    def lock(self, target: str, asker: Asker, role: Role, ts: int) -> str:
        name, at_console = who(asker), asker.surface == "console"
        if target == name and name in ENROLLED:
            self.tally(name).open_until = 0
            return "done"
        if target != name and not at_console and not self.session(name, ts):
            return "refused"
        if target != name and role < Role.ADMIN:
            return "refused"
        reachable = self.admins(self.roles, self.owners)
        able = {each for each in reachable if not self.locked(each, ts)}
        if not at_console and target in reachable and not able - {target}:
            return "refused"
        tally = self.tally(target)
        tally.locked_until, tally.open_until = UNTIL_UNLOCKED, 0
        return "done"

    def link(self, word: str, asker: Asker, ts: int) -> str:
        if asker.surface == "console":
            return "refused"
        if asker.address is None or asker.address.chat_id != asker.principal.id:
            self.links = {giver: each for giver, each in self.links.items() if each[0] != word}
            return "refused"
        before = self.owners.get((asker.surface, asker.principal.id), "")
        if not self.session(before, ts):
            return "refused"
        givers = [giver for giver, (made, _) in self.links.items() if made == word]
        if not givers or self.links[givers[0]][1] <= ts:
            self.bad_try(asker, ts)
            return "refused"
        giver, account = givers[0], (asker.surface, asker.principal.id)
        del self.links[giver]
        if before == giver or self.loses_all_admins(self.roles, {**self.owners, account: giver}):
            return "refused"
        self.owners[account] = giver
        for number, each in list(self.waiting.items()):
            if before and (each.asked_by == before or before in each.voters):
                self.end(number, "void")
        return "done"

    def loses_all_admins(self, roles: dict[str, Role], owners: dict[tuple[str, str], str]) -> bool:
        """Whether a change takes away the last admin who can be reached in a chat."""
        return bool(self.admins(self.roles, self.owners)) and not self.admins(roles, owners)

    def admins(self, roles: dict[str, Role], owners: dict[tuple[str, str], str]) -> set[str]:
        """Those who can be reached in a chat."""
        return {name for name, role in roles.items() if role is Role.ADMIN} & set(owners.values())

    # -- words -------------------------------------------------------------------------

    def decide(self, said: "Said", ts: int) -> str:
        """What must become of a decision."""
        self.tick(ts)
        asker, name = said.asker, who(said.asker)
        proposal = self.waiting.get(said.number)
        role = self.role(asker)
        if role < Role.VIEWER:
            return "refused"
        if said.approves and asker.surface != "console" and self.locked(name, ts):
            return "refused"
        if said.by != asker or asker.principal.kind is not PrincipalKind.PERSON:
            return "refused"
        if proposal is None or not said.bound:
            return "refused"
        tier, _, needs = TIERS[type(proposal.instruction)]
        if role < needs and (said.approves or proposal.asked_by != name):
            return "refused"
        if not said.approves:
            self.end(said.number, "rejected")
            return "done"
        alone = proposal.needed and name in (proposal.asked_by, "operator")
        if proposal.approved or alone or name in proposal.voters:
            return "refused"
        if not self.believed_to_be_meant(said, tier, name, ts):
            return "refused"
        if not self.stands(proposal, ts):
            self.end(said.number, "void")
            return "refused"
        proposal.voters = [
            voter for voter in proposal.voters if self.may_still(voter, proposal, ts)
        ] + [name]
        if len(proposal.voters) < max(proposal.needed, 1):
            return "done"
        if self.delay and tier == RED and self.gives_more(proposal.instruction):
            proposal.approved, proposal.effective = True, ts + self.delay
            return "done"
        return self.carry_out(said.number, asker, ts)

    def believed_to_be_meant(self, said: "Said", tier: str, name: str, ts: int) -> bool:
        """Whether an approval is proven to be this person's will."""
        if tier == YELLOW and said.way not in (Way.BUTTON, Way.TYPED):
            return False
        if tier == YELLOW and said.phrase:
            return False
        if tier == YELLOW:
            return said.asker.surface == "console" or self.session(name, ts)
        typed = said.asker.surface == "console" and said.way is Way.TYPED
        if said.way not in (Way.REPLY, Way.FORM) and not typed:
            return False
        if said.phrase is not Phrase.RIGHT:
            if said.phrase is not Phrase.MISTYPED:
                self.bad_try(said.asker, ts)
            return False
        if said.asker.surface == "console" or name not in ENROLLED:
            return True
        return self.proven(said.asker, said.code, ts)

    def proven(self, asker: Asker, code: Code, ts: int) -> bool:
        tally = self.tally(who(asker))
        if not code.text:
            return False
        if code.step is None or abs(code.step - ts // STEP) > 1:
            self.bad_try(asker, ts)
            return False
        if code.step <= tally.last_step:
            return False
        tally.last_step, tally.open_until, tally.tries = code.step, ts + SESSION, []
        return True

    def gives_more(self, instruction: Instruction) -> bool:
        if isinstance(instruction, SetRole):
            return instruction.role > self.roles[instruction.principal_id]
        return True

    def carry_out(self, number: int, asker: Asker, ts: int) -> str:
        instruction = self.waiting[number].instruction
        match instruction:
            case ResumeBot():
                self.paused = False
            case ResumeDesk():
                self.halted_by = self.halted = ""
            case PlaceOrder():
                self.orders += 1
            case UnlockPerson(name):
                tally = self.tally(name)
                tally.locked_until, tally.tries = 0, []
            case SetRole():
                roles = {**self.roles, instruction.principal_id: instruction.role}
                if self.loses_all_admins(roles, self.owners):
                    self.end(number, "void")
                    return "refused"
                self.roles = roles
        self.end(number, "done")
        return "done"


def who(asker: Asker) -> str:
    return "operator" if asker.surface == "console" else asker.principal.principal_id


class Phrase(Enum):
    """What is right about the words of a decision. Who mistypes has the last word right."""

    NONE = 0
    RIGHT = 1
    MISTYPED = 2
    WRONG = 3

    def __bool__(self) -> bool:
        return self is not Phrase.NONE


@dataclass
class Said:
    """A decision as somebody says it, and what is right about it."""

    number: int
    asker: Asker
    by: Asker
    approves: bool
    way: Way
    words: str
    phrase: Phrase
    bound: bool
    code: Code


# -- the driver --------------------------------------------------------------------------


class Drive:
    """Moves by chance, made to the desk and to the model."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        needed, delay = self.chance.choice([(0, 0), (0, 60_000), (1, 0), (2, 0), (1, 60_000)])
        self.desk = Office(policy=required(needed, delay), rules={BTC: instrument(tick=D("0.1"))})
        people = self.desk.people
        self.phones: dict[str, pyotp.TOTP] = {
            each.name: self.desk.enroll(each) for each in people if each.name in ENROLLED
        }
        self.model = Model(
            required=needed,
            delay=delay,
            roles={each.name: each.role for each in people},
            owners={(at, user_id(each.name)): each.name for each in people for at in PLATFORMS},
            said={each.name: each.role for each in people},
            guards={
                name: Tally(open_until=T0 + SESSION, last_step=T0 // STEP) for name in ENROLLED
            },
        )
        self.bars = 0
        self.proposals: dict[int, Proposal] = {}
        self.words: list[str] = ["AAAA-AAAA"]
        self.codes: dict[str, list[Code]] = {name: [] for name in ENROLLED}
        self.history: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.candle()

    # -- choices -----------------------------------------------------------------------

    def asker(self, needed: Role = Role.NOBODY) -> Asker:
        """Somebody, as their door knows them, and often one who may; now and then with what it
        knew long ago."""
        if self.chance.random() < 0.07:
            return OPERATING
        able = [account for account, owner in self.model.owners.items() if self.may(owner, needed)]
        account = (self.chance.choice(PLATFORMS), user_id(self.chance.choice(NAMES)))
        chat = "-100" if self.chance.random() < 0.08 else None
        if able and self.chance.random() < 0.75:
            account = self.chance.choice(able)
        owner = self.model.owners[account]
        if self.chance.random() < 0.03:
            owner = self.chance.choice(NAMES)
        made = asking(
            next(each for each in EVERYBODY if each.name == owner), account[0], chat or account[1]
        )
        return replace(made, principal=replace(made.principal, id=account[1]))

    def may(self, name: str, needed: Role) -> bool:
        return self.model.roles[name] >= needed and not self.model.locked(name, self.desk.now)

    def code(self, asker: Asker) -> Code:
        """A code: the right one mostly, else one of before, of another time, or none."""
        name = who(asker)
        if name not in ENROLLED:
            return self.chance.choice([Code(), Code("123456")])
        kind = self.chance.random()
        if kind < 0.1:
            return Code()
        if kind < 0.2 and self.codes[name]:
            return self.chance.choice(self.codes[name][-2:])
        step = self.desk.now // STEP + self.chance.choice([0, 0, 0, 1, 1, 1, -1, 2, -2])
        made = Code(self.phones[name].generate_otp(step), step)
        self.codes[name].append(made)
        return made

    def wish(self) -> Instruction:
        somebody = self.chance.choice(NAMES)
        return self.chance.choice(
            [
                PauseBot(BOT),
                HaltDesk(),
                ResumeBot(BOT),
                ResumeBot(BOT),
                ResumeDesk(),
                ResumeDesk(),
                ResumeDesk(),
                PlaceOrder(BOT, BTC, BUY, D(1000)),
                PlaceOrder(BOT, BTC, BUY, D(1000)),
                PlaceOrder(BOT, BTC, BUY, D(self.chance.randint(500, 600))),
                SetRole(somebody, somebody, self.chance.choice(list(Role))),
                SetRole(somebody, somebody, self.chance.choice(list(Role))),
                SetRole(somebody, somebody, Role.ADMIN),
                UnlockPerson(self.locked_one()),
                UnlockPerson(self.locked_one()),
                LockPerson(somebody) if self.chance.random() < 0.3 else PauseBot(BOT),
                MakeLinkCode(),
                UseLinkCode(self.chance.choice(self.words[-3:])),
                OpenSession(),
                OpenSession(),
            ]
        )

    def locked_one(self) -> str:
        names = [each for each in NAMES if self.model.locked(each, self.desk.now)]
        return self.chance.choice(names or NAMES)

    # -- moves -------------------------------------------------------------------------

    def move(self) -> None:
        moves: list[tuple[int, Callable[[], None]]] = [
            (30, self.ask),
            (45, self.decide),
            (8, self.wait),
            (1, self.go_back),
            (4, self.restart),
            (2, self.trouble),
            (3, self.candle),
            (2, self.settings),
            (1, self.blunder),
        ]
        weights = [weight for weight, _ in moves]
        [(_, made)] = self.chance.choices(moves, weights)
        made()
        self.compare()

    def ask(self) -> None:
        instruction = self.wish()
        needed = TIERS[type(instruction)][1] if type(instruction) in TIERS else Role.TRADER
        self.say(instruction, self.asker(needed))

    def blunder(self) -> None:
        """Somebody says wrong words, often enough to be locked out or nearly."""
        asker = self.asker(Role.ADMIN)
        for _ in range(self.chance.randint(3, 6)):
            self.say(UseLinkCode("AAAA-AAAA"), asker)

    def say(self, instruction: Instruction, asker: Asker) -> None:
        code = Code()
        if isinstance(instruction, OpenSession):
            code = self.code(asker)
            instruction = OpenSession(code.text)
        before = self.snapshot()
        wanted = self.model.ask(instruction, asker, self.desk.now, code)
        result = self.desk.ask(instruction, asker)
        self.note(f"{asker.actor} asks {instruction}: {result}")
        self.check(result, wanted)
        self.check_audit(before)
        if isinstance(result, Proposed):
            self.proposals[result.proposal.proposal_id] = result.proposal
        if isinstance(instruction, MakeLinkCode) and isinstance(result, Done):
            word = result.text.split()[-1]
            self.words.append(word)
            self.model.links[who(asker)] = (word, self.desk.now + LINK)

    def decide(self) -> None:
        known = sorted(self.proposals)
        waiting = sorted(self.model.waiting)
        late = self.chance.random() < 0.1
        if not (known if late else waiting):
            self.ask()
            return
        number = self.chance.choice(known if late else waiting)
        said = self.said(number)
        proposal = self.proposals[number]
        other = self.proposals[self.chance.choice(known)]
        shown = self.chance.choice([*[digest(proposal), ""] * 4, digest(other)])
        said.bound = shown in ("", digest(proposal))
        before = self.snapshot()
        wanted = self.model.decide(said, self.desk.now)
        instruction = Decide(
            Human(said.by), number, said.approves, said.way, said.words, said.code.text, shown
        )
        result = self.desk.ask(instruction, said.asker)
        self.note(f"{said.asker.actor} decides {instruction}: {result}")
        self.check(result, wanted)
        self.check_audit(before)

    def said(self, number: int) -> Said:
        asker = self.asker(TIERS[type_of(self.proposals[number])][2])
        by = asker
        if self.chance.random() < 0.04:
            by = self.asker()
        if self.chance.random() < 0.02:
            asker = by = DESK
        if self.chance.random() < 0.02:
            kind = Principal(PrincipalKind.SCHEDULE, "1", Role.ADMIN, "", "ann")
            asker = by = Asker(kind, "schedule")
        usual = [Way.REPLY, Way.FORM] if self.proposals[number].phrase else [Way.BUTTON]
        if asker.surface == "console":
            usual = [Way.TYPED]
        words, phrase = self.phrase(self.proposals[number])
        return Said(
            number=number,
            asker=asker,
            by=by,
            approves=self.chance.random() < 0.88,
            way=self.chance.choice([*usual * 6, *Way]),
            words=words,
            phrase=phrase,
            bound=True,
            code=self.code(asker),
        )

    def phrase(self, proposal: Proposal) -> tuple[str, Phrase]:
        """Words for a card: mostly as it has them or as a phone spells them."""
        other = self.proposals[self.chance.choice(sorted(self.proposals))].phrase
        right = proposal.phrase
        if self.chance.random() < 0.1:
            wrong = Phrase.RIGHT if other == right and right else Phrase.WRONG
            return other, wrong if other else Phrase.NONE
        if not right:
            return "", Phrase.NONE
        if self.chance.random() < 0.05:
            return right.replace("APPROVE", "APROVE"), Phrase.MISTYPED
        return self.chance.choice([right, right.lower(), f"\u201c{right}\u201d."]), Phrase.RIGHT

    def wait(self) -> None:
        moments = [each.expires for each in self.model.waiting.values()]
        moments += [each.effective for each in self.model.waiting.values() if each.approved]
        moments += [each.open_until for each in self.model.guards.values()]
        moments += [each.locked_until % UNTIL_UNLOCKED for each in self.model.guards.values()]
        moments += [until for _, until in self.model.links.values()]
        near = sorted(m for m in moments if self.desk.now <= m)[:2]
        if near and self.chance.random() < 0.6:
            self.desk.now = max(
                self.chance.choice(near) + self.chance.choice([-1, 0, 1]), self.desk.now
            )
        else:
            self.desk.now += self.chance.choice([1_000, 1_000, 15_000, 30_000, 59_000, 900_000])
        if self.chance.random() < 0.5:
            self.tell_time()

    def go_back(self) -> None:
        self.desk.now -= self.chance.choice([1_000, 2_000, 2_001, 60_000])
        self.tell_time()

    def tell_time(self) -> None:
        before = self.snapshot()
        self.model.tick(self.desk.now)
        self.desk.wait(0)
        self.note(f"it is {self.desk.now}")
        self.check_audit(before)

    def restart(self) -> None:
        before = repr((self.desk.core.view(), self.desk.core.wakes_at))
        self.desk.restart()
        self.note("restart")
        assert repr((self.desk.core.view(), self.desk.core.wakes_at)) == before, self.story()

    def trouble(self) -> None:
        reason = self.chance.choice(["books differ", "no stream"])
        self.model.halted = reason
        self.desk.step(DeskHalted(reason, self.desk.now))
        self.note(f"halted: {reason}")

    def candle(self) -> None:
        self.model.price = self.chance.choice([100.0, 100.0, 100.5, 101.0, 99.5])
        self.desk.candle(self.bars, self.model.price)
        self.bars += 1
        self.note(f"price {self.model.price}")

    def settings(self) -> None:
        name = self.chance.choice(NAMES)
        role = self.chance.choice([Role.TRADER, Role.ADMIN, Role.ADMIN, Role.VIEWER])
        named = {**self.model.said, name: role}
        if named[name] is not self.model.said[name]:
            self.model.roles[name] = role
        self.model.said = named
        self.desk.name([replace(each, role=named[each.name]) for each in EVERYBODY])
        self.note(f"settings: {name} is {role.word}")

    # -- looking -----------------------------------------------------------------------

    def check(self, result: Result, wanted: str) -> None:
        words = {Done: "done", NotDone: "refused", Proposed: "proposed"}
        assert words[type(result)] == wanted, self.story()
        self.outcomes[wanted] += 1

    def snapshot(self) -> object:
        """All that takes a decision or a permitted word to change."""
        view = self.desk.core.view()
        return (
            [each.status for each in view.bots],
            view.halted,
            [(each.principal_id, each.role, each.locked_until) for each in view.people],
            view.identities,
        )

    def check_audit(self, before: object) -> None:
        """Whatever changed has its row, and each end of a proposal has one of its own."""
        effects = self.desk.effects
        acts = [effect.act for effect in effects if isinstance(effect, Audit)]
        if self.snapshot() != before or any(isinstance(each, Submit) for each in effects):
            assert acts, self.story()
        for ended in of_proposals(effects):
            if ended.state.is_final:
                named = f"Proposal {ended.proposal_id} ("
                rows = [each for each in acts if each.detail.startswith(named)]
                assert [each.action for each in rows].count(ended.state.value) == 1, self.story()
                self.outcomes[ended.state.value] += 1
            elif ended.state is ProposalState.OPEN and ended.approved:
                assert "approved" in [each.action for each in acts], self.story()
        for submit in [each for each in effects if isinstance(each, Submit)]:
            # The exchange refuses each order, so that the next one meets no position.
            self.outcomes["order"] += 1
            self.desk.step(
                OrderRejected(ACCOUNT, submit.order.order_link_id, "busy", self.desk.now)
            )

    def compare(self) -> None:
        """The desk and the model agree."""
        model, view = self.model, self.desk.core.view()
        now = (
            view.bots[0].status.value == "paused",
            view.halted,
            {each.principal_id: each.role for each in view.people},
            {each.principal_id: each.locked_until for each in view.people},
            {(each.surface, each.user_id): each.principal_id for each in view.identities},
            {name: view.sessions[name] for name in ENROLLED},
            {each.proposal_id: (each.state, each.effective_at) for each in view.proposals},
            self.outcomes["order"],
        )
        wanted = (
            model.paused,
            model.why_halted,
            model.roles,
            {name: model.tally(name).locked_until for name in NAMES},
            model.owners,
            {name: model.tally(name).open_until for name in ENROLLED},
            {
                number: (
                    ProposalState.APPROVED if each.approved else ProposalState.OPEN,
                    each.effective,
                )
                for number, each in model.waiting.items()
            },
            model.orders,
        )
        assert now == wanted, self.story()

    def note(self, what: str) -> None:
        self.history.append(what)

    def story(self) -> str:
        return "\n".join(["", *self.history[-25:], f"model: {self.model}"])


def type_of(proposal: Proposal) -> type:
    return type(instruction_of(proposal))


def of_proposals(effects: list[Effect]) -> list[Proposal]:
    facts = [effect.fact for effect in effects if isinstance(effect, Record)]
    return [fact for fact in facts if isinstance(fact, Proposal)]


def driven(seed: int) -> Drive:
    drive = Drive(seed)
    for _ in range(MOVES):
        drive.move()
    return drive


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_takes_effect_but_by_a_word_that_was_good_at_that_moment(seed):
    drive = driven(seed)
    done = Counter(drive.model.ended.values())
    assert drive.outcomes["done"] and done["done"]


def test_the_moves_reach_every_end_of_a_proposal():
    ends: Counter[str] = Counter()
    for seed in range(6):
        ends += Counter(driven(seed).model.ended.values())
    assert set(ends) == {"done", "rejected", "expired", "void"}
    assert min(ends.values()) > 10
