"""The gate: what may act at once, and what waits for a human.

Every instruction meets `take`, whoever sends it. What can hurt the account becomes a proposal,
bound to exactly what is shown of it. Pure functions of the core's memory; times are wall time,
UTC ms.
"""

from dataclasses import replace

from engine import access, manual
from engine.deciding import Perform, clock_time, decide, end, notice_of, pass_time, watch_clock
from engine.drafts import bot_of, draft, instruction_of, to_text
from engine.effect import (
    Effect,
    NotDone,
    NoticeKind,
    Notify,
    Outcome,
    Proposed,
    Record,
)
from engine.errors import Refused
from engine.instruction import (
    ClosePosition,
    ClosePositions,
    Decide,
    HaltDesk,
    Instruction,
    KillDesk,
    LockPerson,
    SetParameters,
    SetRole,
    UndoChange,
)
from engine.keys import derive
from engine.memory import Memory
from engine.people import (
    OPERATOR,
    Asker,
    PrincipalKind,
    Role,
)
from engine.proposal import (
    EXPIRES_AFTER_MS,
    Proposal,
    ProposalKind,
    ProposalState,
    digest,
    shown_of,
    shown_text,
)
from engine.tiers import RULES, role_for, tier_for
from engine.tunable import Tier
from engine.tuning import Source

# More proposals than these at once are a script's doing; so are more of one person.
OPEN_MAX, OPEN_OF_ONE_MAX = 50, 10
# Crockford's digits and letters: none that is taken for another.
NONCE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NONCE_LENGTH = 4
NO_HANDS = "A model has no hands: a person must say that."
# What only takes risk away, and still waits for a press.
CLOSING = (ClosePosition, ClosePositions)


def take(
    memory: Memory, instruction: Instruction, asker: Asker, ts: int, perform: Perform
) -> Outcome:
    """Let an instruction act, or make a proposal of it, or refuse it."""
    effects = watch_clock(memory, ts)
    effects += pass_time(memory, ts, perform)
    try:
        _admit(memory, instruction, asker, ts)
        if isinstance(instruction, Decide):
            result, more = decide(memory, instruction, asker, ts, perform)
        elif tier_for(memory, instruction) is Tier.GREEN:
            result, more = perform(instruction, asker, ts, None)
        else:
            result, more = _propose(memory, instruction, asker, ts)
    except Refused as error:
        result, more = NotDone(str(error)), []
    return result, [*effects, *more]


def _admit(memory: Memory, instruction: Instruction, asker: Asker, ts: int) -> None:
    """Raise Refused where this asker may not ask for this, here and now."""
    _check_hands(asker)
    rule = RULES[type(instruction)]
    role = access.role_of(memory, asker)
    needed = role_for(instruction)
    if role < needed and not access.asks_for_self(memory, instruction, asker):
        raise Refused(f"That needs the role {needed.word}; yours is {role.word}.")
    _check_speaker(instruction, asker)
    # Whoever may trade at all may stop all of it.
    free = rule.free and not _is_about_another(instruction, asker)
    bound = role > Role.VIEWER and not free and not isinstance(instruction, HaltDesk | KillDesk)
    if bound and (refusal := access.out_of_scope(memory, asker, bot_of(instruction))):
        raise Refused(refusal)
    if rule.reduces_risk:
        return
    _check_lock(memory, instruction, asker, ts)
    # Asking for a proposal harms nobody: whoever decides it is asked for proof.
    if free or tier_for(memory, instruction) is not Tier.GREEN:
        return
    if asker.principal.kind is PrincipalKind.PERSON and (
        refusal := access.session_refusal(memory, access.principal_of(asker), ts)
    ):
        raise Refused(refusal)


def _check_hands(asker: Asker) -> None:
    """Raise Refused for a model, whatever it wants and for whomever it reads."""
    if asker.principal.kind is PrincipalKind.MODEL:
        raise Refused(NO_HANDS)


def _check_speaker(instruction: Instruction, asker: Asker) -> None:
    """Raise Refused where somebody says what only the desk says, or the desk what people say."""
    by_desk = asker.principal.kind is PrincipalKind.DESK
    if RULES[type(instruction)].desk_only and not by_desk:
        raise Refused("Only the desk itself says that.")
    if isinstance(instruction, SetParameters | UndoChange):
        source, by_person = instruction.source, instruction.source is Source.PERSON
        if by_desk == by_person or (
            source is Source.WATCH and not isinstance(instruction, UndoChange)
        ):
            raise Refused(f"{asker.called} can't speak for the source {source}.")
    if isinstance(instruction, SetParameters) and instruction.evidence and not by_desk:
        raise Refused("Only the desk's own studies have evidence.")


def _is_about_another(instruction: Instruction, asker: Asker) -> bool:
    """Whether somebody locks somebody else, which harms them."""
    own = ("", access.principal_of(asker))
    return isinstance(instruction, LockPerson) and instruction.principal_id not in own


def _check_lock(memory: Memory, instruction: Instruction, asker: Asker, ts: int) -> None:
    """Raise Refused for somebody locked out, but for what reduces risk."""
    principal_id = access.principal_of(asker)
    if not access.is_locked(memory, principal_id, ts):
        return
    if access.is_locked_by_hand(memory, principal_id):
        if isinstance(instruction, Decide) and not instruction.approves:
            return
        raise Refused("You are locked out, until an admin says /unlock.")
    if not _reduces_risk(memory, instruction):
        until = clock_time(access.locked_until(memory, principal_id))
        raise Refused(f"You are locked out until {until}. An admin's /unlock lets you in before.")


def _reduces_risk(memory: Memory, instruction: Instruction) -> bool:
    """Whether something only takes risk away: closing, and rejecting."""
    if isinstance(instruction, Decide):
        proposal = memory.office.proposals.get(instruction.proposal_id)
        closes = proposal is not None and isinstance(instruction_of(proposal), CLOSING)
        return closes or not instruction.approves
    return isinstance(instruction, CLOSING)


def check_may(memory: Memory, asker: Asker, bot_id: str, ts: int) -> None:
    """Raise Refused where somebody may have nothing done for a bot, here and now: what the desk
    does then, it does because they asked."""
    _check_hands(asker)
    if refusal := access.out_of_scope(memory, asker, bot_id):
        raise Refused(refusal)
    _check_lock(memory, SetParameters(bot_id, ()), asker, ts)


# -- proposing ---------------------------------------------------------------------------


def preview(memory: Memory, instruction: Instruction, asker: Asker, ts: int) -> Proposal:
    """The proposal that an instruction would become; nothing is remembered. Raises Refused."""
    if tier_for(memory, instruction) is Tier.GREEN:
        raise Refused("That acts at once and is not asked for.")
    _admit(memory, instruction, asker, ts)
    return _made(memory, instruction, asker, ts, 0)


def _propose(memory: Memory, instruction: Instruction, asker: Asker, ts: int) -> Outcome:
    office = memory.touch_office()
    proposal = _made(memory, instruction, asker, ts, office.proposals_made + 1)
    _check_room(memory, proposal, access.role_of(memory, asker))
    ticket = shown_of(proposal).ticket
    if ticket is not None and (refusal := manual.refusal(ticket.gates)):
        raise Refused(f"Refused by the gate {refusal}.")
    effects: list[Effect] = []
    for older in list(office.proposals.values()):
        if _supersedes(proposal, older):
            said = f"it was asked for again as proposal {proposal.proposal_id}"
            effects += end(memory, older, ProposalState.VOID, said, ts)
    office.proposals_made = proposal.proposal_id
    memory.keep_proposal(proposal)
    notice = notice_of(NoticeKind.PROPOSED, proposal, ts)
    return Proposed(proposal), [*effects, Record(proposal), Notify(notice)]


def _supersedes(proposal: Proposal, older: Proposal) -> bool:
    """Whether the same person asks for the same again, or what proposes by itself for the same
    parameters of a bot; who asks to be let in waits instead."""
    asked, before = ((each.books, each.instruction, each.asked_by) for each in (proposal, older))
    waits = older.state is ProposalState.OPEN and older.kind is not ProposalKind.ACCESS
    return waits and (asked == before or _thinks_better(proposal, older))


def _thinks_better(proposal: Proposal, older: Proposal) -> bool:
    """Whether the tuner, a rule or the model proposes once more for parameters of before."""
    if {proposal.kind, older.kind} != {ProposalKind.TUNING} or proposal.books != older.books:
        return False
    wanted, before = instruction_of(proposal), instruction_of(older)
    if not isinstance(wanted, SetParameters) or not isinstance(before, SetParameters):
        return False
    same = (wanted.bot_id, wanted.source) == (before.bot_id, before.source)
    common = dict(wanted.values).keys() & dict(before.values).keys()
    return same and wanted.source is not Source.PERSON and bool(common)


def _check_room(memory: Memory, proposal: Proposal, role: Role) -> None:
    proposals = memory.office.proposals.values()
    waiting = [each for each in proposals if not _supersedes(proposal, each)]
    account = _account(proposal)
    if proposal.kind is ProposalKind.ACCESS and account in map(_account, waiting):
        raise Refused("You asked already. The admins know; wait for their answer.")
    # What others fill must not shut out an admin.
    if len(waiting) >= OPEN_MAX and role < Role.ADMIN:
        raise Refused(f"{OPEN_MAX} proposals wait already. Decide some of them first.")
    own = [each for each in waiting if _of_whom(each) == _of_whom(proposal)]
    if len(own) >= OPEN_OF_ONE_MAX and not _is_of_watch(proposal):
        raise Refused(f"{OPEN_OF_ONE_MAX} {_of_whom(proposal)[1]} wait already.")


def _is_of_watch(proposal: Proposal) -> bool:
    """Whether it takes back what failed: it comes once, and has to come."""
    instruction = instruction_of(proposal)
    return isinstance(instruction, UndoChange) and instruction.source is Source.WATCH


def _of_whom(proposal: Proposal) -> tuple[str, str]:
    """Whose proposals are counted together, and what they are called."""
    if proposal.asked_by:
        return proposal.asked_by, "proposals of yours"
    strangers = proposal.kind is ProposalKind.ACCESS
    return "", "people who would be let in" if strangers else "proposals of the desk"


def _account(proposal: Proposal) -> str:
    """The account that asks to be let in, empty for any other proposal."""
    instruction = instruction_of(proposal)
    if proposal.kind is not ProposalKind.ACCESS or not isinstance(instruction, SetRole):
        return ""
    return f"{instruction.surface}:{instruction.user_id}"


def _made(
    memory: Memory, instruction: Instruction, asker: Asker, ts: int, proposal_id: int
) -> Proposal:
    tier = tier_for(memory, instruction)
    drafted = draft(memory, instruction, asker, ts)
    at = asker.address
    proposal = Proposal(
        proposal_id=proposal_id,
        books=memory.books,
        kind=drafted.kind,
        tier=tier,
        title=drafted.title,
        instruction=to_text(instruction),
        shown=shown_text(drafted.shown),
        asked_by=access.principal_of(asker),
        asker=asker.called,
        surface=asker.surface,
        chat_id=at.chat_id if at else "",
        thread_id=at.thread_id if at else "",
        created_at=ts,
        expires_at=ts + EXPIRES_AFTER_MS[drafted.kind],
        needed=_people_needed(memory, tier, access.principal_of(asker)),
    )
    nonce = _nonce(memory.policy.secret, proposal)
    phrase = f"APPROVE {drafted.meaning} {nonce}" if tier is Tier.RED else ""
    return replace(proposal, nonce=nonce, phrase=phrase)


def _people_needed(memory: Memory, tier: Tier, asked_by: str) -> int:
    """How many others must approve; one more where nobody knows which human it was that asked."""
    required = memory.policy.required if tier is Tier.RED else 0
    unknown = asked_by in ("", OPERATOR)
    return required + 1 if required and unknown else required


def _nonce(secret: bytes, proposal: Proposal) -> str:
    """A word that only this proposal has."""
    word = derive(secret, "nonce", digest(proposal))
    return "".join(NONCE_LETTERS[byte % 32] for byte in word[:NONCE_LENGTH])
