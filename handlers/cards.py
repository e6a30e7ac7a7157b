"""The card of a proposal: what is asked, what it would change, and who decides how.

Every surface shows the same card, made anew from the proposal as it stands whenever it is sent.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from engine.confirmation import PRICE_MOVED
from engine.deciding import told
from engine.drafts import instruction_of
from engine.instruction import PlaceOrder
from engine.order import Side
from engine.people import Role
from engine.proposal import Change, Proposal, ProposalKind, ProposalState, digest, shown_of
from engine.tiers import decider
from engine.tunable import Tier
from handlers.reply import (
    Block,
    Button,
    Code,
    Decides,
    Fields,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
)
from handlers.tickets import closing_blocks, ticket_blocks
from handlers.tuning_cards import grounds, picture, study_button, study_of, why_blocks

# Brighter than words.
LIGHTS = {Tier.GREEN: "🟢", Tier.YELLOW: "🟡", Tier.RED: "🔴"}
HOW = {Tier.YELLOW: "with one press", Tier.RED: "with a typed phrase"}
ARTICLES = {Role.ADMIN: "an"}
UNCHANGED = "Nothing was changed."
# True wherever it is read: a card is the same everywhere.
HOW_TO_APPROVE = (
    "To approve, give exactly this phrase (Telegram: reply to this message; Discord: press "
    "Approve...; console: /approve {} and the phrase), and after it the code of your "
    "authenticator if you have one:"
)


def card(proposal: Proposal, now: int) -> Reply:
    """The proposal as it stands at `now` (UTC ms), with the buttons that decide it."""
    instruction = instruction_of(proposal)
    return reply(
        *_blocks(proposal, now),
        *picture(instruction),
        buttons=(
            *(buttons(proposal) or _again(proposal)),
            *study_button(study_of(instruction)),
        ),
    )


def headline(proposal: Proposal) -> str:
    """`Proposal 17: Resume shortseller_001`; the surfaces find the number there."""
    return f"Proposal {proposal.proposal_id}: {proposal.title}"


def buttons(proposal: Proposal, numbered: bool = False) -> tuple[Button, ...]:
    """What may still be decided; `numbered` names the proposal, where several are listed."""
    number = f" {proposal.proposal_id}" if numbered else ""
    label = f"Approve{number}..." if proposal.tier is Tier.RED else f"Confirm{number}"
    no = f"{'Cancel' if proposal.kind is ProposalKind.ORDER else 'Reject'}{number}"
    found = {
        ProposalState.OPEN: ((label, True), (no, False)),
        ProposalState.APPROVED: ((no, False),),
    }
    return tuple(
        _button(proposal, approves, label) for label, approves in found.get(proposal.state, ())
    )


def details(proposal: Proposal) -> Iterator[Block]:
    """What it would change and cost, and what can go wrong."""
    shown, instruction = shown_of(proposal), instruction_of(proposal)
    yield from why_blocks(instruction)
    if shown.changes:
        yield _changes(shown.changes)
    if shown.ticket is not None:
        yield from ticket_blocks(shown.ticket, instruction)
    if shown.tickets:
        yield from closing_blocks(shown.tickets)
    if shown.risk:
        yield Text(f"Risk: {shown.risk}")
    yield from grounds(instruction, proposal.tier)


def ended(proposal: Proposal) -> str:
    """How a proposal ended, in words: who decided it when, and what came of it."""
    came_of_it = proposal.outcome if proposal.state is ProposalState.DONE else UNCHANGED
    return f"{told(proposal)} {came_of_it}"


def standing(proposal: Proposal) -> str:
    """How far a proposal is that has not ended, in words."""
    if proposal.state is ProposalState.APPROVED:
        when = _moment(proposal.effective_at, proposal.decided_at)
        return (
            f"Approved by {proposal.decided_by}; it takes effect at {when}, unless an admin "
            "rejects it before."
        )
    counted = f"; {approvals(proposal)} approved" if proposal.needed > 1 else ""
    return f"Waits for {decided_by(proposal)}{counted}."


def decided_by(proposal: Proposal) -> str:
    """Who may decide it and how, in words: `a trader, with one press`."""
    role = decider(proposal.tier, instruction_of(proposal))
    return f"{ARTICLES.get(role, 'a')} {role.word}, {HOW[proposal.tier]}"


def approvals(proposal: Proposal) -> str:
    """`1 of 2`: how many approved, and how many must."""
    return f"{proposal.approved} of {max(1, proposal.needed)}"


def _blocks(proposal: Proposal, now: int) -> Iterator[Block]:
    yield Text(headline(proposal))
    if proposal.state.is_final:
        yield Text(ended(proposal))
        if changes := shown_of(proposal).changes:
            yield _changes(changes)
        return
    yield from details(proposal)
    yield Fields("Approval", _facts(proposal), words=_terms(proposal, now))
    if proposal.state is ProposalState.APPROVED:
        yield Text(standing(proposal))
    elif proposal.phrase:
        yield Text(HOW_TO_APPROVE.format(proposal.proposal_id))
        yield Code(proposal.phrase)


def _facts(proposal: Proposal) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "tier": str(proposal.tier),
        "asked_by": proposal.asker,
        "approved": approvals(proposal),
    }
    if proposal.needed:
        facts["needed"] = f"{proposal.needed} other than {proposal.asker}"
    if proposal.state is ProposalState.APPROVED:
        decided: dict[str, Value] = {
            "approved_by": proposal.decided_by,
            "takes_effect": Time(proposal.effective_at),
        }
        return facts | decided
    return facts | {"ends": Time(proposal.expires_at)}


def _terms(proposal: Proposal, now: int) -> str:
    """The same on one line: until when there is time, not how long, which would stand still."""
    words = [f"{LIGHTS[proposal.tier]} {proposal.tier}", f"asked by {proposal.asker}"]
    if proposal.needed:
        words.append(f"needs {proposal.needed} other than {proposal.asker}")
    if proposal.needed > 1:
        words.append(f"approved {approvals(proposal)}")
    if proposal.state is ProposalState.OPEN:
        verb = "Approve" if proposal.tier is Tier.RED else "Confirm"
        words.append(f"{verb} until {_moment(proposal.expires_at, now)}")
    return " · ".join(words)


def _moment(ts: int, now: int) -> str:
    """The time of day, to the second; with the day where that is another one."""
    at, today = (datetime.fromtimestamp(each / 1000, UTC) for each in (ts, now))
    return f"{at:%H:%M:%S} UTC" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _again(proposal: Proposal) -> tuple[Button, ...]:
    """The same order once more, where only the price ran away from it."""
    instruction = instruction_of(proposal)
    moved = proposal.state is ProposalState.VOID and proposal.outcome.startswith(PRICE_MOVED)
    if not moved or not isinstance(instruction, PlaceOrder):
        return ()
    verb = "buy" if instruction.side is Side.BUY else "sell"
    levels = {"stop": instruction.stop_loss, "target": instruction.take_profit}
    words = [f"/{verb} {instruction.symbol} {instruction.value:f} bot={instruction.bot_id}"]
    words += [f"{name}={level:f}" for name, level in levels.items() if level is not None]
    return (Button(f"{verb.capitalize()} again", " ".join(words)),)


def _changes(changes: Sequence[Change]) -> Table:
    rows = tuple((change.name, change.before or "-", change.after or "-") for change in changes)
    return Table("What changes", ("what", "before", "after"), rows)


def _button(proposal: Proposal, approves: bool, label: str) -> Button:
    asks_phrase = approves and proposal.tier is Tier.RED
    return Button(
        label,
        f"/{'approve' if approves else 'reject'} {proposal.proposal_id}",
        asks=("phrase",) if asks_phrase else (),
        decides=decides(proposal, approves),
    )


def decides(proposal: Proposal, approves: bool) -> Decides:
    """What a button that decides a proposal is bound to."""
    return Decides(
        proposal.proposal_id,
        approves,
        proposal.tier,
        proposal.nonce,
        proposal.expires_at,
        digest(proposal),
    )
