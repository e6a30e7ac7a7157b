"""A desk with people in it: asked, decided and restarted through the core's one door."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyotp

from engine.audit import Act
from engine.bot import Bot
from engine.core import Core
from engine.effect import (
    Answer,
    Audit,
    Effect,
    Notice,
    NoticeKind,
    Notify,
    Proposed,
    Record,
    Result,
)
from engine.event import Event, Instructed, PeopleNamed, TimePassed
from engine.instruction import BeginEnrollment, ConfirmEnrollment, Decide, Instruction
from engine.instrument import Instrument
from engine.memory import Policy
from engine.people import Asker, Identity, Person, Role, human
from engine.ports import StateRow
from engine.proposal import Proposal, Way, digest
from engine.totp import STEP_MS
from tests.askers import OPERATING, account, asking, person
from tests.engine.conftest import BAR, BTC, T0, D, bar, bot, closed, instrument

ANN, BEN, EVA = (person(name, Role.ADMIN) for name in ("ann", "ben", "eva"))
TOM, TIM = (person(name, Role.TRADER) for name in ("tom", "tim"))
VIC = person("vic", Role.VIEWER)
EVERYBODY = (ANN, BEN, EVA, TOM, TIM, VIC)
POLICY = Policy(secret=b"a secret of the desk" * 2, taker_fee=D("0.001"))
SECOND, MINUTE = 1_000, 60_000


def telegram_and_discord(people: Sequence[Person]) -> list[Identity]:
    """An account on either platform for each."""
    platforms = ("telegram", "discord")
    return [account(who.principal_id, platform) for who in people for platform in platforms]


@dataclass
class Office:
    """A core and what it has stored, at the wall time `now` (UTC ms).

    `effects` are those of the last step, `acts` the whole audit; `rows` and `proposals` are what a
    restart reads.
    """

    policy: Policy = POLICY
    people: Sequence[Person] = EVERYBODY
    bots: Sequence[Bot] = field(default_factory=lambda: [bot()])
    rules: dict[str, Instrument] = field(default_factory=dict)
    market: str = "test"
    now: int = T0
    effects: list[Effect] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    rows: dict[str, StateRow] = field(default_factory=dict)
    proposals: dict[int, Proposal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for symbol in {symbol for each in self.bots for symbol in each.symbols}:
            self.rules.setdefault(symbol, instrument(symbol))
        self.core = self._opened()
        self.name(self.people)

    def _opened(self) -> Core:
        return Core(self.bots, self.rules, BAR, "paper", self.market, self.policy)

    def restart(self) -> None:
        """Another process, with what this one has stored."""
        self.core = self._opened()
        self.core.restore(self.rows, [])
        self.core.recall(self.proposals.values())

    def step(self, event: Event) -> list[Effect]:
        self.effects = self.core.step(event)
        self.acts += [each.act for each in self.effects if isinstance(each, Audit)]
        self.rows |= {row.key: row for row in self.core.dirty_states()}
        facts = [each.fact for each in self.effects if isinstance(each, Record)]
        self.proposals |= {each.proposal_id: each for each in facts if isinstance(each, Proposal)}
        return self.effects

    def name(self, people: Sequence[Person], identities: Sequence[Identity] | None = None) -> None:
        """Say whom the settings name, each with an account on either platform if none is given."""
        accounts = telegram_and_discord(people) if identities is None else identities
        self.step(PeopleNamed(people, accounts, self.now))

    def candle(self, index: int = 0, price: float = 100, wish: float = 0, symbol: str = BTC):
        return self.step(closed(bar(index, price, volume=wish), symbol))

    def wait(self, ms: int) -> list[Effect]:
        """Let wall time pass, and the core be told."""
        self.now += ms
        return self.step(TimePassed(self.now))

    def ask(self, instruction: Instruction, asker: Asker = OPERATING) -> Result:
        effects = self.step(Instructed(instruction, asker, 1, self.now))
        [answer] = [each for each in effects if isinstance(each, Answer)]
        return answer.result

    def propose(self, instruction: Instruction, asker: Asker = OPERATING) -> Proposal:
        result = self.ask(instruction, asker)
        assert isinstance(result, Proposed), result
        return result.proposal

    # -- deciding ------------------------------------------------------------------------

    def press(self, proposal: Proposal, asker: Asker, approves: bool = True) -> Result:
        """Press a button of the proposal's card."""
        said = Decide(
            human(asker), proposal.proposal_id, approves, Way.BUTTON, digest=digest(proposal)
        )
        return self.ask(said, asker)

    def reply(
        self,
        proposal: Proposal,
        asker: Asker,
        phrase: str | None = None,
        code: str = "",
        way: Way = Way.REPLY,
    ) -> Result:
        """Say a phrase, the right one if none is given."""
        typed = proposal.phrase if phrase is None else phrase
        said = Decide(human(asker), proposal.proposal_id, True, way, typed, code)
        return self.ask(said, asker)

    # -- looking -------------------------------------------------------------------------

    def enroll(self, who: Person) -> pyotp.TOTP:
        """Give somebody an authenticator; its code of now is used up, their session open."""
        asker = asking(who)
        self.ask(BeginEnrollment(), asker)
        uri = self.core.enrollment(who.principal_id, self.now)
        assert uri is not None
        authenticator = pyotp.parse_uri(uri)
        assert isinstance(authenticator, pyotp.TOTP)
        self.ask(ConfirmEnrollment(self.code(authenticator)), asker)
        return authenticator

    def code(self, authenticator: pyotp.TOTP, steps: int = 0) -> str:
        """What an authenticator shows now, or so many steps later."""
        return authenticator.generate_otp(self.now // STEP_MS + steps)

    def open(self, proposal: Proposal) -> Proposal | None:
        """The proposal as it stands, while it waits."""
        waiting = {each.proposal_id: each for each in self.core.view().proposals}
        return waiting.get(proposal.proposal_id)

    def ended(self, proposal: Proposal) -> Proposal:
        """How a proposal ended."""
        found = self.core.ended(proposal.proposal_id)
        assert found is not None
        return found

    def who(self, name: str) -> Person:
        return {each.principal_id: each for each in self.core.view().people}[name]

    def owner(self, surface: str, user_id: str) -> str | None:
        """Whose an account is."""
        accounts = self.core.view().identities
        return {(each.surface, each.user_id): each.principal_id for each in accounts}.get(
            (surface, user_id)
        )

    @property
    def notices(self) -> list[Notice]:
        """What the last step has people told."""
        return [each.notice for each in self.effects if isinstance(each, Notify)]

    def told(self, kind: NoticeKind) -> list[Notice]:
        return [notice for notice in self.notices if notice.kind is kind]

    @property
    def audited(self) -> list[tuple[str, str, str]]:
        """What the last step wrote to the audit: who, what, and what of it."""
        acts = [each.act for each in self.effects if isinstance(each, Audit)]
        return [(act.actor, act.action, act.detail) for act in acts]


def required(count: int, delay_ms: int = 0) -> Policy:
    return replace(POLICY, required=count, delay_ms=delay_ms)
