"""What waits for a human: looking at it, deciding it, and trying without changing anything."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from engine.errors import Refused
from engine.instruction import Decide
from engine.manual import refusal
from engine.people import Identity, Person, Role, human
from engine.proposal import Proposal, Way, shown_of
from engine.tiers import DECIDERS
from engine.tunable import Tier
from handlers.arguments import Code, Phrase, ProposalId, code_span, is_code
from handlers.cards import approvals, buttons, card, decided_by, details
from handlers.command import WORDS, Act, Command, Context, Kind, command, find, parse
from handlers.dispatch import authorize
from handlers.proof import check_unseen, locked_out
from handlers.reply import Button, Duration, Fields, Reply, Table, Text, Time, Value, reply

LISTED = 10
# Ended ones are read together with those that are still open, of which there are no more.
READ = 60
# Proposals that get buttons of their own in a list.
BUTTONS_FOR = 4
WOULD_BE_REFUSED = "This would be refused:"
TRY_WHAT = "Which command? As in /preview buy ETH 250."


@command("proposals")
async def proposals(context: Context, proposal: ProposalId | None = None) -> Reply:
    """What waits for a human, and how the last ten ended; with a number, that one's card.

    Example: /proposals, or /proposals 17
    """
    desk = context.desk
    if proposal is not None:
        found = await desk.proposal(proposal)
        if found is None:
            raise Refused(f"There is no proposal {proposal}. /proposals lists them.")
        return card(found, desk.clock.now())
    open_ = desk.view().proposals
    stored = await desk.store.recent(Proposal, limit=READ)
    over = [each for each in stored if each.state.is_final]
    over.sort(key=lambda each: each.proposal_id, reverse=True)
    decide = tuple(button for each in open_[:BUTTONS_FOR] for button in buttons(each, True))
    return reply(_waiting(open_, desk.clock.now()), _over(over[:LISTED]), buttons=decide)


def _waiting(open_: Sequence[Proposal], now: int) -> Table:
    columns = ("proposal", "what", "tier", "asked_by", "state", "time_left")
    rows: list[tuple[Value, ...]] = [
        (
            each.proposal_id,
            each.title,
            str(each.tier),
            each.asker,
            f"{each.state}, {approvals(each)}" if each.needed > 1 else str(each.state),
            Duration(max(0, (each.effective_at or each.expires_at) - now)),
        )
        for each in open_
    ]
    return Table("Waiting", columns, tuple(rows), empty="No proposal waits.")


def _over(over: Sequence[Proposal]) -> Table:
    columns = ("proposal", "what", "result", "by", "when")
    rows: list[tuple[Value, ...]] = [
        (
            each.proposal_id,
            each.title,
            str(each.state),
            each.decided_by or None,
            Time(each.decided_at),
        )
        for each in over
    ]
    return Table("Ended", columns, tuple(rows), empty="None has ended yet.")


# -- deciding ----------------------------------------------------------------------------


@command("approve", role=Role.TRADER, kind=Kind.WRITE)
async def approve(
    context: Context, proposal: ProposalId, code: Code | None = None, phrase: Phrase = ""
) -> Act:
    """Approve what waits. What is red takes the phrase of its card, and a code if you have one.

    In Telegram reply to the card, in Discord press Approve...; typed, it is taken at the console.

    Example: /approve 17
    """
    if code is None:
        phrase, code = _parted(phrase)
    if code:
        check_unseen(context)
    return _decide(context, proposal, approves=True, phrase=phrase, code=code)


@command("reject", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def reject(context: Context, proposal: ProposalId) -> Act:
    """Reject what waits: nothing is changed. Whoever asked for it may always do so.

    Example: /reject 17
    """
    return _decide(context, proposal, approves=False)


def _decide(
    context: Context, proposal: int, *, approves: bool, phrase: str = "", code: str = ""
) -> Act:
    decide = Decide(
        by=human(context.asker),
        proposal_id=proposal,
        approves=approves,
        way=context.way,
        phrase=phrase,
        code=code,
        digest=context.digest,
    )
    # What was pressed is answered where it was pressed.
    pressed = proposal if context.way is Way.BUTTON else 0
    return Act(decide, lambda done: reply(Text(done)), card=pressed)


def _parted(text: str) -> tuple[str, str]:
    """A phrase, and the code typed after or before it; empty where there is none.

    However it is written: with a full stop, with a hyphen in it, with the digits of another script.
    """
    words = unicodedata.normalize("NFKC", text).split()
    for count in (1, 2):
        for typed, rest in ((words[-count:], words[:-count]), (words[:count], words[count:])):
            digits = [re.sub(r"\W", "", word) for word in typed]
            code = "".join(digits)
            if is_code(code) and (count == 1 or code_span(digits) == 2):
                return " ".join(rest), code
    return text, ""


# -- who decides -------------------------------------------------------------------------


@command("approvers")
async def approvers(context: Context) -> Reply:
    """Who may decide what: their role, platforms, and whether they prove themselves with codes.

    Example: /approvers
    """
    view = context.desk.view()
    now = context.desk.clock.now()
    people = [person for person in view.people if person.role >= min(DECIDERS.values())]
    columns = ("name", "role", "decides", "where", "platforms", "enrolled", "locked_out")
    rows = tuple(_approver(person, view.identities, now) for person in people)
    return reply(Table("Approvers", columns, rows, empty="Nobody but the console."))


def _approver(person: Person, identities: Sequence[Identity], now: int) -> tuple[Value, ...]:
    tiers = [str(tier) for tier, role in DECIDERS.items() if person.role >= role]
    surfaces = {each.surface for each in identities if each.principal_id == person.principal_id}
    return (
        person.name,
        person.role.word,
        " and ".join(tiers),
        person.scopes or "everywhere",
        ", ".join(sorted(surfaces)) or None,
        person.enrolled,
        locked_out(person, now),
    )


# -- trying ------------------------------------------------------------------------------


Tried = Annotated[str, replace(WORDS, missing=lambda desk: TRY_WHAT)]


@command("preview", starts=True)
async def preview(context: Context, command: Tried) -> Reply:
    """What a command would do and cost, and what it would take. Nothing is changed.

    Example: /preview buy ETH 250
    """
    words = command.removeprefix("/").split()
    found = find(context.commands, words)
    if found is None:
        raise Refused(f"There is no command /{words[0][:40] if words else ''}. /help lists them.")
    target, rest = found
    authorize(context, target)
    arguments = parse(target, rest, context.desk)
    if target.kind is Kind.READ:
        return reply(Text(f"/{target.name} only looks: it changes nothing."))
    if target.emergency:
        # Its handler acts by itself.
        return reply(Text(f"{_at_once(target)} Nothing was changed now."))
    try:
        return await _tried(context, target, arguments, f"/{' '.join(words)}")
    except Refused as error:
        raise Refused(f"{WOULD_BE_REFUSED} {error}") from None


async def _tried(context: Context, target: Command, arguments: dict[str, Any], line: str) -> Reply:
    act = await target.handler(context, **arguments)
    if isinstance(act, Reply):
        # Said like this, it shows what it could change.
        return act
    if context.desk.tier(act.instruction) is Tier.GREEN:
        return reply(Text(f"{_at_once(target)} Nothing was changed now."))
    draft = context.desk.preview(act.instruction, context.asker)
    ticket = shown_of(draft).ticket
    refused = refusal(ticket.gates) if ticket is not None else ""
    said = f"{WOULD_BE_REFUSED} {refused}" if refused else f"Preview: {draft.title}"
    return reply(
        Text(f"{said}. Nothing was changed."),
        Fields("What it takes", _takes(draft)),
        *details(draft),
        buttons=() if refused else (Button("Ask for it", line),),
    )


def _at_once(target: Command) -> str:
    return f"/{target.name} acts at once and waits for nobody: {target.summary}."


def _takes(draft: Proposal) -> dict[str, Value]:
    takes: dict[str, Value] = {
        "tier": str(draft.tier),
        "decided_by": decided_by(draft),
        "waits_for": Duration(draft.expires_at - draft.created_at),
    }
    if draft.needed:
        takes["needed"] = f"{draft.needed} other than you"
    return takes
