"""Any sequence of settings, studies' results, decisions, trades, restarts and clock jumps.

After each move it is checked from outside, with what was seen and stored alone: no parameter leaves
its bounds or comes further within a day than it may, none changes without its row of the audit and
a decision that was good at that moment, and the audit adds up to the values in force.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import pytest

from engine import changing, retuning
from engine.candle import DAY_MS, HOUR_MS
from engine.drafts import instruction_of
from engine.effect import Audit, Instruct, NotDone, Record, Result, Submit
from engine.event import Executed, OrderAccepted
from engine.instruction import (
    Instruction,
    LetTune,
    NoteComparison,
    NoteStudy,
    PauseBot,
    ResumeBot,
    RollBack,
    SetParameters,
    StopTuning,
    TakeSnapshot,
    UndoChange,
)
from engine.people import DESK, Asker, Role
from engine.proposal import Proposal, ProposalState, Vote, digest
from engine.strategies import STRATEGIES
from engine.strategies.exits import Exits
from engine.tunable import Parameter, Tier
from engine.tuning import (
    DESK_SCOPE,
    Band,
    ChangeKind,
    Comparison,
    Evidence,
    Figures,
    ParameterValue,
    Snapshot,
    Source,
    StudyStage,
    TuningStudy,
)
from tests.askers import OPERATING, asking
from tests.engine.conftest import BAR, BOT, BUY_NOW, LEAVE_NOW, T0, bot, execution, puppet
from tests.engine.office import EVERYBODY, required
from tests.engine.tuned import BOOKS, LIMITED, Tuned

SEEDS, MOVES = 12, 200
OTHER = "other_001"
PEOPLE = [asking(who) for who in EVERYBODY]
ADMINS = PEOPLE[:3]
ROLES = {who.principal_id: who.role for who in EVERYBODY}
STOPS = Exits(0.02, 0.0, 0.0, 0.0, 0, 0)
# What is moved mostly: some of each tier and unit.
NAMES = {
    BOT: ("confidence_min", "confidence_min", "leverage", "stop_loss", "confirmed", "warm_up"),
    OTHER: ("rsi_oversold", "rsi_overbought", "leverage"),
    DESK_SCOPE: ("day_stops", "day_halves", "positions", "losses_rest"),
}
FIGURES = Figures(0.1, 0.05, 1.0, 30)
NARROW = Band((-0.0005, -0.0008), (0.01, 0.02), 0.001)
WIDE = Band((-1.0,) * 5, (1.0,) * 5, 1.0)


@dataclass
class Past:
    """The values that a parameter was seen to have, each from when on (market ms)."""

    seen: list[tuple[int, float]]

    def within_a_day(self, now: int) -> list[float]:
        """Those in force at any moment of the last 24 hours."""
        lasts = [*(ts for ts, _ in self.seen[1:]), now + 1]
        pairs = zip(self.seen, lasts, strict=True)
        return [value for (_, value), until in pairs if until > now - DAY_MS]


class Drive:
    """Moves of a seed, and the checks after each."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        needed, delay = self.chance.choice([(0, 0), (0, 0), (1, 60_000), (2, 0)])
        policy = replace(required(needed, delay), limits=LIMITED.limits)
        bots = [bot(puppet(exits=STOPS)), bot(STRATEGIES["rsi"], OTHER)]
        self.desk = Tuned(policy=policy, bots=bots)
        self.bars = 1
        self.changed_at: dict[tuple[str, str], int] = {}
        self.versions: Counter[tuple[str, str]] = Counter()
        self.snapshots: dict[int, dict[str, dict[str, float]]] = {}
        self.votes: defaultdict[int, list[Vote]] = defaultdict(list)
        self.applied: set[int] = set()
        self.reached: Counter[str] = Counter()
        self.history: list[str] = []
        self.before = self.desk.values()
        self.past = {
            (scope, name): Past([(self.market, value)])
            for scope, values in self.before.items()
            for name, value in values.items()
        }

    @property
    def market(self) -> int:
        return self.desk.market_now

    def parameter(self, scope: str, name: str) -> Parameter:
        return retuning.parameters(self.desk.memory, scope)[name]

    # -- moves -------------------------------------------------------------------------

    def move(self) -> None:
        moves: list[tuple[int, Callable[[], None]]] = [
            (40, self.set),
            (4, self.push),
            (30, self.decide),
            (10, self.undo),
            (4, self.roll_back),
            (3, self.snapshot),
            (25, self.market_goes_on),
            (6, self.wall_clock),
            (4, self.restart),
            (6, self.trade),
            (2, self.pause),
            (3, self.stop_or_let),
            (4, self.note),
        ]
        [(_, made)] = self.chance.choices(moves, [weight for weight, _ in moves])
        made()

    def values(self, scope: str) -> tuple[tuple[str, float], ...]:
        """Values for one or two parameters, most of them allowed."""
        names = {self.chance.choice(NAMES[scope]) for _ in range(self.chance.choice((1, 1, 1, 2)))}
        return tuple((name, self.value(scope, name)) for name in sorted(names))

    def value(self, scope: str, name: str) -> float:
        parameter, now = self.parameter(scope, name), self.before[scope][name]
        kind = self.chance.random()
        if kind < 0.05:
            return self.chance.choice((float("nan"), -1.0, parameter.high + parameter.step, now))
        if kind < 0.15:
            return parameter.stepped(parameter.low, self.chance.randrange(10**4))
        most = max(round(parameter.reach / parameter.step), 1)
        steps = self.chance.randint(1, max(most // self.chance.choice((1, 2, 2)), 1))
        # Small steps that add up, mostly one way.
        return parameter.stepped(now, self.chance.choice((-1, 1, 1, 1)) * steps)

    def set(self) -> None:
        scope = self.chance.choice((BOT, BOT, OTHER, OTHER, DESK_SCOPE))
        source = self.chance.choice((Source.PERSON,) * 4 + tuple(Source))
        wanted = SetParameters(scope, self.values(scope), "as a trial", source)
        if source is Source.PERSON:
            wanted = replace(wanted, expected=self.chance.choice((None, NARROW, WIDE)))
        elif self.chance.random() < 0.8:
            wanted = replace(wanted, evidence=self.evidence())
        person = self.chance.choice([*PEOPLE, *ADMINS, OPERATING])
        asker = DESK if source is not Source.PERSON else person
        self.want(wanted, asker)

    def push(self) -> None:
        """Move one parameter one way, as soon as it may be moved again."""
        scope, name = self.chance.choice(((BOT, "confidence_min"), (OTHER, "rsi_oversold")))
        parameter, way = self.parameter(scope, name), self.chance.choice((-1, 1))
        for _ in range(5):
            steps = way * self.chance.randint(1, round(parameter.reach / parameter.step / 2))
            value = parameter.stepped(self.before[scope][name], steps)
            self.want(SetParameters(scope, ((name, value),), "further"), ADMINS[0])
            self.desk.later(parameter.cooldown_ms)
            self.check()

    def want(self, wanted: SetParameters, asker: Asker) -> None:
        """Ask for other values; they are refused just where the parameters' figures say so."""
        scope, source = wanted.bot_id, wanted.source
        refusal = self.refusal(wanted)
        result = self.ask(wanted, asker)
        if refusal:
            assert isinstance(result, NotDone), self.story(refusal)
        elif source is Source.PERSON and self.may_ask(asker, scope):
            together = any(f"day_{each}" in dict(wanted.values) for each in ("stops", "halves"))
            waits = isinstance(result, NotDone) and "wait already" in result.reason
            assert together or waits or not isinstance(result, NotDone), self.story("refused")

    def may_ask(self, asker: Asker, scope: str) -> bool:
        role = Role.ADMIN if asker is OPERATING else ROLES[asker.principal.principal_id]
        return role >= (Role.ADMIN if scope == DESK_SCOPE else Role.TRADER)

    def refusal(self, wanted: SetParameters) -> str:
        """Why a setting must be refused, as the parameters' own figures say."""
        paused = [each.bot_id for each in self.desk.core.view().bots if each.status == "paused"]
        if wanted.bot_id in paused:
            return "paused"
        if wanted.source is Source.WATCH:
            return "the watch sets nothing"
        if wanted.source is not Source.PERSON and self.desk.core.tuning().stopped:
            return "stopped"
        for name, to in wanted.values:
            parameter, now = self.parameter(wanted.bot_id, name), self.before[wanted.bot_id][name]
            if not parameter.low <= to <= parameter.high:
                return "out of bounds"
            if abs(to - now) < parameter.step / 2:
                return "the same"
            changed_at = self.changed_at.get((wanted.bot_id, name), -DAY_MS * 99)
            if self.market < changed_at + parameter.cooldown_ms:
                return "rests"
            if self.is_beyond(wanted.bot_id, name, to):
                return "beyond the day's reach"
        return ""

    def is_beyond(self, scope: str, name: str, to: float) -> bool:
        parameter = self.parameter(scope, name)
        values = [*self.past[scope, name].within_a_day(self.market), to]
        return max(values) - min(values) > parameter.reach + parameter.step / 2

    def evidence(self) -> Evidence:
        band = self.chance.choice((NARROW, WIDE))
        return Evidence(
            1, T0, T0 + DAY_MS, 30.0, 3, 100, 0.96, 0.9, FIGURES, FIGURES, (), (), band, "candles"
        )

    def decide(self) -> None:
        waiting = self.desk.core.view().proposals
        if not waiting:
            return
        proposal = self.chance.choice(waiting)
        asker = self.chance.choice([*PEOPLE, *ADMINS * 3, OPERATING])
        kind = self.chance.random()
        if kind < 0.1:
            self.check(self.desk.press(proposal, asker, approves=False))
        elif kind < 0.15:
            self.check(self.desk.reply(proposal, asker, f"APPROVE {proposal.nonce}"))
        elif proposal.tier is Tier.RED and asker is not OPERATING:
            self.check(self.desk.reply(proposal, asker))
        else:
            self.check(self.desk.press(proposal, asker))

    def undo(self) -> None:
        changes = self.desk.core.tuning().changes
        if not changes:
            return
        change = changes[0] if self.chance.random() < 0.8 else self.chance.choice(changes)
        scope = self.chance.choice([*change.scopes] * 5 + [DESK_SCOPE])
        asker = self.chance.choice([*PEOPLE, *ADMINS])
        self.ask(UndoChange(change.change_id, scope, "worse"), asker)

    def roll_back(self) -> None:
        kept = self.desk.core.tuning().snapshots
        number = self.chance.choice(kept).snapshot_id if kept else 1
        self.ask(RollBack(number, "all back"), self.chance.choice(PEOPLE))

    def snapshot(self) -> None:
        self.ask(TakeSnapshot(f"s{self.chance.randrange(30)}"), self.chance.choice(PEOPLE))

    def market_goes_on(self) -> None:
        lasts = self.chance.choice((HOUR_MS, 6 * HOUR_MS - 1, 6 * HOUR_MS, 6 * HOUR_MS, DAY_MS))
        self.desk.later(lasts)
        self.check()

    def wall_clock(self) -> None:
        self.desk.wait(self.chance.choice((1_000, 60_000, HOUR_MS, DAY_MS, -1_000, -HOUR_MS)))
        self.check()

    def restart(self) -> None:
        before = (self.desk.core.tuning(), self.desk.core.view().proposals)
        self.desk.start_again()
        after = (self.desk.core.tuning(), self.desk.core.view().proposals)
        assert after == before, self.story("forgotten at a restart")
        self.check()
        self.undo_by_itself(self.desk.core.unfinished())

    def trade(self) -> None:
        """Open a position and close it, mostly with a loss, so that what is watched may fail."""
        if self.desk.market_now % BAR:
            self.desk.later(BAR - self.desk.market_now % BAR)
            self.check()
        for price, wish in ((100.0, BUY_NOW), (self.chance.choice((99.0, 99.5, 101.0)), LEAVE_NOW)):
            self.bars = (self.desk.market_now - T0) // BAR
            self.desk.market_now += BAR
            self.desk.candle(self.bars, price, wish)
            orders = [each.order for each in self.desk.effects if isinstance(each, Submit)]
            self.check()
            for order in orders:
                self.desk.step(OrderAccepted(order.account, order.order_link_id, "P1", self.market))
                self.check()
                filled = execution(order, price=str(price), ts=self.market)
                self.desk.step(Executed(filled))
                self.check()
                self.reached["trade"] += 1

    def pause(self) -> None:
        self.ask(self.chance.choice((PauseBot(BOT), ResumeBot(BOT), ResumeBot(BOT))), PEOPLE[0])

    def stop_or_let(self) -> None:
        self.ask(self.chance.choice((StopTuning("a look"), LetTune(), LetTune())), PEOPLE[0])

    def note(self) -> None:
        study = TuningStudy(7, BOOKS, BOT, "desk", "desk", "desk", T0, StudyStage.NOTHING)
        diverges = self.chance.choice(("", "", "a trade is missing."))
        found = Comparison(BOT, T0, T0 + DAY_MS, 288, 3, 3, 3, (), diverges)
        noted = self.chance.choice((NoteStudy(study), NoteComparison(found)))
        self.ask(noted, self.chance.choice((DESK, DESK, *PEOPLE)))

    def ask(self, instruction: Instruction, asker: Asker) -> Result:
        result = self.desk.ask(instruction, asker)
        self.history.append(f"{asker.called}: {instruction}: {str(result)[:200]}")
        self.check(result, by_desk=asker is DESK)
        return result

    def undo_by_itself(self, effects: list[Any]) -> None:
        """Do what the desk gives itself to do."""
        for each in effects:
            if isinstance(each, Instruct):
                self.reached["watch"] += 1
                self.ask(each.instruction, DESK)

    # -- checks ------------------------------------------------------------------------

    def check(self, result: Result | None = None, by_desk: bool = False) -> None:
        """All that must hold after a step, by what it did and what is in force now."""
        effects = list(self.desk.effects)
        after = self.desk.values()
        facts = [each.fact for each in effects if isinstance(each, Record)]
        for fact in facts:
            if isinstance(fact, Vote):
                self.votes[fact.proposal_id].append(fact)
            if isinstance(fact, Snapshot):
                self.snapshots[fact.snapshot_id] = self.desk.set_values()
        rows = [changing.parts_of(each.act) for each in effects if isinstance(each, Audit)]
        written = {(str(row["scope"]), str(row["name"])): row for row in rows if row}
        self.check_versions([each for each in facts if isinstance(each, ParameterValue)], written)
        for scope, values in after.items():
            for name, value in values.items():
                if value != self.before[scope][name]:
                    assert (scope, name) in written, self.story(f"{scope} {name} has no row")
        for (scope, name), row in written.items():
            self.check_row(scope, name, row, after)
        self.before = after
        assert self.desk.replayed() == self.desk.set_values(), self.story("the audit differs")
        self.reached[type(result).__name__] += 1
        self.undo_by_itself(effects)

    def check_versions(self, facts: list[ParameterValue], written: dict[Any, Any]) -> None:
        for fact in facts:
            self.versions[fact.scope, fact.name] += 1
            assert fact.version == self.versions[fact.scope, fact.name], self.story("version")
        assert len(facts) == len(written), self.story("rows and versions differ")

    def check_row(self, scope: str, name: str, row: dict[str, Any], after: Any) -> None:
        """One parameter that got a value: within bounds and reach, rested, and let through."""
        parameter, value = self.parameter(scope, name), after[scope][name]
        assert (row["before"], row["after"]) == (self.before[scope][name], value), self.story(name)
        assert parameter.low <= value <= parameter.high, self.story(f"{name} is out of bounds")
        assert not self.is_beyond(scope, name, value), self.story(f"{name} came too far")
        if row["kind"] == ChangeKind.SET:
            last = self.changed_at.get((scope, name), -DAY_MS * 99)
            assert self.market >= last + parameter.cooldown_ms, self.story(f"{name} rests")
        self.changed_at[scope, name] = self.market
        self.past[scope, name].seen.append((self.market, value))
        self.check_tier(parameter, row)
        self.reached[f"{row['kind']} {row['tier']} {row['source']}"] += 1

    def check_tier(self, parameter: Parameter, row: dict[str, Any]) -> None:
        order = list(Tier)
        assert order.index(Tier(row["tier"])) >= order.index(parameter.tier), self.story("tier")
        if row["source"] == Source.MODEL:
            assert row["tier"] != Tier.GREEN, self.story("a model acted")
        if row["tier"] == Tier.GREEN:
            assert row["proposal"] == 0, self.story("green was decided")
            return
        assert row["proposal"] in self.desk.proposals, self.story("nobody decided it")
        self.check_decision(self.desk.proposals[row["proposal"]], row)

    def check_decision(self, proposal: Proposal, row: dict[str, Any]) -> None:
        """What waited was let through by enough people who may, in time, and took effect once."""
        assert proposal.state is ProposalState.DONE, self.story("not decided")
        assert (row["digest"], row["tier"]) == (digest(proposal), proposal.tier)
        key = (proposal.proposal_id, row["change"])
        assert proposal.proposal_id not in self.applied or key in self.applied, self.story("twice")
        self.applied |= {proposal.proposal_id, key}
        wanted = instruction_of(proposal)
        assert isinstance(wanted, SetParameters | UndoChange | RollBack)
        of_desk = isinstance(wanted, RollBack) or wanted.bot_id == DESK_SCOPE
        needed = Role.ADMIN if proposal.tier is Tier.RED or of_desk else Role.TRADER
        votes = {
            each.principal_id
            for each in self.votes[proposal.proposal_id]
            if each.approves and each.ts < proposal.expires_at
        }
        able = [each for each in votes if ROLES.get(each, Role.ADMIN) >= needed]
        assert len(able) >= max(proposal.needed, 1), self.story("nobody approved it")
        if proposal.needed:
            assert proposal.asked_by not in votes, self.story("approved by the asker")

    def story(self, why: str) -> str:
        return "\n".join(["", *self.history[-12:], why])


@cache
def driven(seed: int) -> Counter[str]:
    """What the moves of a seed came to, all of it checked."""
    drive = Drive(seed)
    for _ in range(MOVES):
        drive.move()
    return drive.reached


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_parameter_moves_but_within_its_bounds_and_by_a_decision_that_was_good(seed):
    assert driven(seed)["Done"]


def test_the_moves_reach_every_way_to_change_a_parameter():
    reached = sum(map(driven, range(SEEDS)), Counter[str]())
    for tier in ("green", "yellow", "red"):
        assert reached[f"set {tier} person"]
        assert reached[f"undo {tier} person"]
    for source in ("tuner", "rule", "model"):
        assert reached[f"set yellow {source}"]
    assert reached["set green tuner"]
    assert reached["watch"]
    assert sum(count for way, count in reached.items() if way.startswith("rollback"))
