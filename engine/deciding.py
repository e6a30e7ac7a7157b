"""A human's word on a proposal: what it is worth, and how a proposal ends.

At the decision everything is checked again: who says it and how, what it was bound to, and what
has changed since it was shown. Pure functions of the core's memory; times are wall time, UTC ms.
"""

import hmac
import string
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from engine import access, confirmation, manual, moves
from engine.audit import Act
from engine.drafts import bot_of, draft, instruction_of
from engine.effect import (
    Audit,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Outcome,
    Record,
)
from engine.errors import Refused
from engine.instruction import (
    ClosePosition,
    Decide,
    Instruction,
    PlaceOrder,
    RollBack,
    SetParameters,
    SetRole,
    UndoChange,
)
from engine.memory import Memory
from engine.people import (
    DESK,
    OPERATOR,
    Asker,
    PrincipalKind,
    Role,
    beyond_bots,
)
from engine.proposal import (
    Proposal,
    ProposalKind,
    ProposalState,
    Vote,
    Way,
    card_topic,
    digest,
    shown_of,
)
from engine.tiers import OF_THE_OFFICE, decider, tier_for
from engine.tunable import Tier

# Carries out an instruction that may act now: for whom, when, and by which proposal, if any.
Perform = Callable[[Instruction, Asker, int, Proposal | None], Outcome]

# How far a clock may go back before nothing that was timed by it is believed any more.
CLOCK_SLACK_MS = 2_000
# What phones put around words, and their small letters; of ASCII alone, since others become ASCII.
AROUND_WORDS = ".,;:!?\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb()"
CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


# -- deciding ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """A proposal before somebody who decides it, or before the clock."""

    memory: Memory
    proposal: Proposal
    instruction: Instruction
    asker: Asker
    ts: int
    perform: Perform

    @property
    def principal_id(self) -> str:
        return access.principal_of(self.asker)

    @property
    def role(self) -> Role:
        """The role that decides it."""
        return decider(self.proposal.tier, self.instruction)


def decide(memory: Memory, said: Decide, asker: Asker, ts: int, perform: Perform) -> Outcome:
    if said.by != asker or asker.principal.kind is not PrincipalKind.PERSON:
        raise Refused("Only a person decides, and only for themselves.")
    proposal = memory.office.proposals.get(said.proposal_id)
    if proposal is None:
        raise Refused(_why_not_open(memory, said.proposal_id))
    case = _Case(memory, proposal, instruction_of(proposal), asker, ts, perform)
    _check_bound(case, said)
    _check_person(case, said)
    if not said.approves:
        return _rejected(case)
    if proposal.state is ProposalState.APPROVED:
        raise Refused(f"{named(proposal)} is approved already, by {proposal.decided_by}.")
    _check_approver(case)
    refusal, effects = _proof(case, said)
    if refusal:
        return NotDone(refusal), effects
    if changed := _drift(case):
        ended = end(memory, proposal, ProposalState.VOID, changed, ts, asker)
        return NotDone(f"{named(proposal)} is void: {changed}."), [*effects, *ended]
    result, more = _approved(case)
    return result, [*effects, *more]


def _why_not_open(memory: Memory, proposal_id: int) -> str:
    ended = memory.ended.get(proposal_id)
    if ended is None:
        return f"There is no open proposal {proposal_id}. /proposals lists them."
    return told(ended)


def named(proposal: Proposal) -> str:
    """A proposal in a sentence."""
    return f"Proposal {proposal.proposal_id} ({proposal.title})"


def told(proposal: Proposal) -> str:
    """How a proposal stands or ended, in one sentence: who decided, and when."""
    name, at = named(proposal), clock_time(proposal.decided_at)
    match proposal.state:
        case ProposalState.OPEN:
            return f"{name} is open."
        case ProposalState.APPROVED:
            return f"{name} is approved by {proposal.decided_by}, and about to take effect."
        case ProposalState.EXPIRED:
            return f"{name} expired at {at}: nobody decided it in time."
        case ProposalState.VOID:
            return f"{name} is void since {at}: {proposal.outcome}."
        case ProposalState.DONE:
            return f"{name} was approved by {proposal.decided_by} at {at}."
        case ProposalState.REJECTED:
            return f"{name} was rejected by {proposal.decided_by} at {at}."


def clock_time(ts: int) -> str:
    """The time of day of a moment, UTC."""
    seconds = ts // 1000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"


def _check_bound(case: _Case, said: Decide) -> None:
    if said.digest and not hmac.compare_digest(said.digest, digest(case.proposal)):
        raise Refused("That card shows something else than what waits. Look at /proposals.")
    if not _is_ours(case):
        raise Refused(f"{named(case.proposal)} belongs to other books ({case.proposal.books}).")


def _is_ours(case: _Case) -> bool:
    same = case.proposal.books == case.memory.books
    return same or isinstance(case.instruction, OF_THE_OFFICE)


def _check_person(case: _Case, said: Decide) -> None:
    role = access.role_of(case.memory, case.asker)
    own = bool(case.proposal.asked_by) and case.proposal.asked_by == case.principal_id
    # Whoever asked may always think better of it.
    if role < case.role and (said.approves or not own):
        raise Refused(f"Deciding that needs the role {case.role.word}; yours is {role.word}.")
    if refusal := access.out_of_scope(case.memory, case.asker, bot_of(case.instruction)):
        raise Refused(refusal)


def _check_approver(case: _Case) -> None:
    proposal = case.proposal
    if proposal.needed:
        if case.principal_id == proposal.asked_by:
            raise Refused(f"You asked for it yourself: {_people(proposal.needed)} must approve it.")
        if case.principal_id == OPERATOR:
            raise Refused(
                "Nobody knows who sits at the console: here other people must approve, in a chat."
            )
    votes = case.memory.office.votes.get(proposal.proposal_id, [])
    if any(vote.principal_id == case.principal_id for vote in votes):
        raise Refused("You approved it already; it waits for somebody else.")


def _people(count: int) -> str:
    return "somebody else" if count == 1 else f"{count} other people"


def _proof(case: _Case, said: Decide) -> tuple[str, list[Effect]]:
    """Why an approval is not proven to be this person's will; empty where it is."""
    memory, proposal, asker, ts = case.memory, case.proposal, case.asker, case.ts
    if proposal.tier is not Tier.RED:
        if said.way not in (Way.BUTTON, Way.TYPED):
            # Words of a reply may as well say no.
            return f"Press its button, or say /approve {proposal.proposal_id}.", []
        if said.phrase:
            number = proposal.proposal_id
            return f"Proposal {number} takes no phrase: say /approve {number} alone.", []
        return access.session_refusal(memory, case.principal_id, ts), []
    at_console = asker.surface == "console" and said.way is Way.TYPED
    if said.way not in (Way.REPLY, Way.FORM) and not at_console:
        return f"Reply to the card of proposal {proposal.proposal_id} with its phrase.", []
    if wrong := wrong_part(proposal.phrase, said.phrase):
        if proposal.nonce in _spoken_words(said.phrase):
            # Whoever has its last word has the card before them, and mistyped.
            return wrong, []
        return access.bad_try(memory, asker, wrong, ts)
    if access.is_enrolled(memory, case.principal_id):
        return access.prove(memory, asker, said.code, ts)
    return "", []


def wrong_part(phrase: str, typed: str) -> str:
    """Which part of a typed phrase differs, in a sentence; empty where it is the same.

    Small letters are as good as capital ones, and quotes or a full stop around a word are none of
    it: a phone puts them there. Letters that only look alike stay different.
    """
    wanted = phrase.split()
    found = _spoken_words(typed)
    if wanted == found:
        return ""
    if not found:
        return "The phrase of the card is missing."
    for place, word in enumerate(wanted):
        if place >= len(found):
            return f"The phrase ends too early: {word!r} is missing."
        if found[place] != word:
            return f"Word {place + 1} of the phrase is {_quoted(found[place])}, not {word!r}."
    return f"The phrase has more words than it should: {_quoted(found[len(wanted)])}."


def _spoken_words(typed: str) -> list[str]:
    """The words of a typed phrase as the card has them."""
    words = (word.strip(AROUND_WORDS) for word in unicodedata.normalize("NFKC", typed).split())
    return [word.translate(CAPITALS) for word in words if word]


def _quoted(word: str) -> str:
    """A typed word as it may be said back: one with digits may be a code."""
    return "another" if any(letter.isdigit() for letter in word) else repr(word[:40])


def _drift(case: _Case) -> str:
    """What has changed since it was shown, in words; empty where it still stands."""
    memory, instruction = case.memory, case.instruction
    before = shown_of(case.proposal)
    try:
        if before.ticket is not None and isinstance(instruction, PlaceOrder | ClosePosition):
            found = manual.ticket(memory, instruction, case.ts, before.ticket)
            return confirmation.drift(before.ticket, found)
        if before.tickets:
            return confirmation.drift_of_all(memory, before.tickets, case.ts)
        if tier_for(memory, instruction) is not case.proposal.tier:
            return "it takes something else now than it did"
        now = draft(memory, instruction, case.asker, case.ts).shown
    except Refused as error:
        return str(error).rstrip(".")
    if len(before.changes) != len(now.changes):
        return "it would change something else now"
    for old, new in zip(before.changes, now.changes, strict=True):
        if old.before != new.before:
            return f"{old.name} was {old.before!r}, it is {new.before!r} now"
        if case.proposal.kind is ProposalKind.TUNING and old != new:
            return f"{old.name} would become {new.after!r} now, not {old.after!r}"
    return ""


def _approved(case: _Case) -> Outcome:
    """Count one person's word; carry out what has enough of them."""
    memory, asker, ts = case.memory, case.asker, case.ts
    proposal = case.proposal
    vote = Vote(proposal.proposal_id, case.principal_id, True, asker.actor, ts)
    votes = [*_valid_votes(case), vote]
    effects: list[Effect] = [
        Record(vote),
        Audit(Act(ts, asker.actor, "approved", named(proposal))),
    ]
    names = ", ".join(_called(memory, each) for each in votes)
    proposal = replace(proposal, approved=len(votes), decided_by=names, decided_at=ts)
    memory.touch_office().votes[proposal.proposal_id] = votes
    missing = _needed(proposal) - len(votes)
    if missing > 0:
        text = f"Approved by you. {missing} more must approve {named(proposal)}."
        return Done(text), [*effects, *_kept(memory, proposal, ts)]
    delay = memory.policy.delay_ms if _raises_risk(case) else 0
    if delay:
        proposal = replace(proposal, state=ProposalState.APPROVED, effective_at=ts + delay)
        text = f"Approved. It takes effect in {delay // 1000} s, unless an admin rejects it."
        return Done(text), [*effects, *_kept(memory, proposal, ts)]
    result, more = _carried_out(replace(case, proposal=proposal))
    return result, [*effects, *more]


def _called(memory: Memory, vote: Vote) -> str:
    """What people call somebody who gave their word."""
    person = memory.office.people.get(vote.principal_id)
    return person.name if person else vote.actor


def _raises_risk(case: _Case) -> bool:
    """Whether a RED instruction gives away more than there is now; what takes away is not
    delayed."""
    memory, instruction = case.memory, case.instruction
    if isinstance(instruction, SetParameters | UndoChange | RollBack):
        moved = moves.checked(memory, instruction)
        return case.proposal.tier is Tier.RED and moves.raises_risk(memory, moved)
    if not isinstance(instruction, SetRole):
        return case.proposal.tier is Tier.RED
    known = memory.office.people.get(instruction.principal_id)
    if instruction.role is Role.NOBODY:
        return False
    if known is None or instruction.user_id:
        return True
    # To be bound where one was not is less; whether other bounds are less is not looked into.
    wider = bool(known.scopes) and known.scopes != instruction.scopes
    return wider or instruction.role > known.role


def _needed(proposal: Proposal) -> int:
    """How many people must approve it."""
    return max(proposal.needed, 1)


def _valid_votes(case: _Case) -> list[Vote]:
    """The words already given by people who may still decide."""
    votes = case.memory.office.votes.get(case.proposal.proposal_id, [])
    return [vote for vote in votes if _may_still(case, vote.principal_id)]


def _may_still(case: _Case, principal_id: str) -> bool:
    if principal_id == OPERATOR:
        return True
    person = case.memory.office.people.get(principal_id)
    locked = access.is_locked(case.memory, principal_id, case.ts)
    if person is None or person.role < case.role or locked:
        return False
    return not beyond_bots(person, bot_of(case.instruction))


def _carried_out(case: _Case) -> Outcome:
    memory, proposal, ts = case.memory, case.proposal, case.ts
    shown = shown_of(proposal)
    if shown.ticket is not None:
        result, done = confirmation.send(memory, shown.ticket, proposal.address)
    elif shown.tickets:
        result, done = confirmation.send_all(memory, shown.tickets, proposal.address, ts)
    else:
        result, done = case.perform(case.instruction, case.asker, ts, proposal)
    if isinstance(result, Done):
        ended = end(memory, proposal, ProposalState.DONE, result.text, ts, case.asker)
        return result, [*done, *ended]
    reason = result.reason.rstrip(".") if isinstance(result, NotDone) else "it waits again"
    ended = end(memory, proposal, ProposalState.VOID, reason, ts, case.asker)
    return NotDone(f"{named(proposal)} is void: {reason}."), [*done, *ended]


def _rejected(case: _Case) -> Outcome:
    proposal, asker, ts = case.proposal, case.asker, case.ts
    vote = Vote(proposal.proposal_id, case.principal_id, False, asker.actor, ts)
    ended = end(case.memory, proposal, ProposalState.REJECTED, "", ts, asker)
    return Done(f"{named(proposal)} is rejected. Nothing was changed."), [Record(vote), *ended]


# -- time --------------------------------------------------------------------------------


def wakes_at(memory: Memory) -> int | None:
    """When the clock next ends or starts something; None while nothing waits."""
    moments = [
        each.effective_at if each.state is ProposalState.APPROVED else each.expires_at
        for each in memory.office.proposals.values()
    ]
    return min(moments, default=None)


def pass_time(memory: Memory, ts: int, perform: Perform) -> list[Effect]:
    """End what nobody decided in time, and carry out what has waited long enough."""
    effects: list[Effect] = []
    for proposal in list(memory.office.proposals.values()):
        if proposal.state is ProposalState.OPEN and ts >= proposal.expires_at:
            effects += end(memory, proposal, ProposalState.EXPIRED, "", ts)
        elif proposal.state is ProposalState.APPROVED and ts >= proposal.effective_at:
            effects += _take_effect(memory, proposal, ts, perform)
    return effects


def _take_effect(memory: Memory, proposal: Proposal, ts: int, perform: Perform) -> list[Effect]:
    """Carry out what was approved and has waited; the desk does it, in the approver's name."""
    in_their_name = replace(DESK, principal=replace(DESK.principal, name=proposal.decided_by))
    case = _Case(memory, proposal, instruction_of(proposal), in_their_name, ts, perform)
    if not _is_ours(case):
        changed = f"it belongs to other books ({proposal.books})"
    elif len(_valid_votes(case)) < _needed(proposal):
        changed = "who approved it may not any more"
    else:
        changed = _drift(case)
    if changed:
        return end(memory, proposal, ProposalState.VOID, changed, ts)
    _, effects = _carried_out(case)
    return effects


def watch_clock(memory: Memory, ts: int) -> list[Effect]:
    """Take note of the time; void what was timed by a clock that has gone back since."""
    office = memory.touch_office()
    back = office.wall_time - ts
    office.wall_time = ts if back > CLOCK_SLACK_MS else max(office.wall_time, ts)
    if back <= CLOCK_SLACK_MS:
        return []
    office.links.clear()
    for guard in office.security.values():
        guard.open_until = 0
    said = f"the desk's clock went back by {back // 1000} s"
    return [
        effect
        for proposal in list(office.proposals.values())
        for effect in end(memory, proposal, ProposalState.VOID, said, ts)
    ]


def void_waiting(memory: Memory, instruction: Instruction, said: str, ts: int) -> list[Effect]:
    """Void what waits, or is approved and about to act, of just this instruction in these books."""
    return [
        effect
        for proposal in list(memory.office.proposals.values())
        if proposal.books == memory.books and instruction_of(proposal) == instruction
        for effect in end(memory, proposal, ProposalState.VOID, said, ts)
    ]


def void_those_of(memory: Memory, principals: Iterable[str], ts: int) -> list[Effect]:
    """Void what these people asked for or voted on: their accounts turned out to be one human's."""
    ids = set(principals)
    votes = memory.office.votes
    said = "two accounts of one person were linked meanwhile"
    return [
        effect
        for proposal in list(memory.office.proposals.values())
        if proposal.asked_by in ids
        or any(vote.principal_id in ids for vote in votes.get(proposal.proposal_id, []))
        for effect in end(memory, proposal, ProposalState.VOID, said, ts)
    ]


# -- ends --------------------------------------------------------------------------------


def end(
    memory: Memory,
    proposal: Proposal,
    state: ProposalState,
    outcome: str,
    ts: int,
    by: Asker = DESK,
) -> list[Effect]:
    """A proposal is over: stored, sealed, its cards updated, whoever asked elsewhere told."""
    waited = proposal.state is ProposalState.APPROVED
    ended = replace(proposal, state=state, outcome=outcome)
    if state is not ProposalState.DONE:
        ended = replace(ended, decided_by=by.called, decided_at=ts)
    said = f"{named(ended)}: {outcome}" if outcome else named(ended)
    effects = [*_kept(memory, ended, ts), Audit(Act(ts, by.actor, state.value, said))]
    people_did = by.principal.kind is PrincipalKind.PERSON
    elsewhere = by.address != proposal.address and (people_did or waited)
    if elsewhere and proposal.address is not None:
        notice = notice_of(NoticeKind.PROPOSAL_ENDED, ended, ts)
        effects.append(Notify(replace(notice, address=proposal.address)))
    return effects


def _kept(memory: Memory, proposal: Proposal, ts: int) -> list[Effect]:
    """A proposal stands differently: stored, and its cards updated."""
    memory.keep_proposal(proposal)
    return [Record(proposal), Notify(notice_of(NoticeKind.PROPOSAL_CHANGED, proposal, ts))]


def notice_of(kind: NoticeKind, proposal: Proposal, ts: int) -> Notice:
    return Notice(kind, ts, proposal=proposal, topic=card_topic(proposal.proposal_id))
