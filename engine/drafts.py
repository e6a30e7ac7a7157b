"""What people are shown of an instruction before it acts, and how it is kept until then.

Pure functions of the core's memory. The same draft is made for the card and again for the
decision, so that the two can be compared.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from engine import access, manual, staff
from engine.errors import Refused
from engine.event import (
    AddBot,
    ClosePosition,
    EndEnrollment,
    Instruction,
    PlaceOrder,
    RemoveBot,
    ResumeBot,
    ResumeDesk,
    SetRole,
    SetSides,
    TurnOn,
    UnlockPerson,
)
from engine.memory import Memory
from engine.people import Asker, Role, parse_scope
from engine.proposal import Change, Proposal, ProposalKind, Shown


@dataclass(frozen=True, slots=True)
class Draft:
    """What a proposal says: its title, the words of its phrase, and what is shown."""

    kind: ProposalKind
    title: str
    meaning: str
    shown: Shown


def draft(memory: Memory, instruction: Instruction, asker: Asker, ts: int) -> Draft:
    """What is shown of an instruction as things stand; raises Refused where it would do nothing."""
    match instruction:
        case ResumeBot(bot_id):
            return _resume_bot(memory, bot_id)
        case ResumeDesk():
            return _resume_desk(memory)
        case PlaceOrder() | ClosePosition():
            return _order(memory, instruction, ts)
        case AddBot() | RemoveBot() | TurnOn() | SetSides():
            changed = staff.shown(memory, instruction)
            return Draft(ProposalKind.COMMAND, staff.title(instruction), "", changed)
        case SetRole():
            return _role(memory, instruction, asker)
        case EndEnrollment(principal_id):
            return _end_enrollment(memory, principal_id)
        case UnlockPerson(principal_id):
            return _unlock(memory, principal_id, ts)
        case _:
            raise Refused(f"{type(instruction).__name__} is nothing that waits.")


def _resume_bot(memory: Memory, bot_id: str) -> Draft:
    if bot_id not in memory.bots:
        raise Refused(f"There is no bot {bot_id!r}.")
    if bot_id not in memory.desk.paused:
        raise Refused(f"{bot_id} is running already.")
    shown = Shown((Change(bot_id, "paused", "running"),))
    return Draft(ProposalKind.COMMAND, f"Resume {bot_id}", "", shown)


def _resume_desk(memory: Memory) -> Draft:
    why = memory.desk.why_halted
    if not why:
        raise Refused("The desk is not halted.")
    risk = "Bots may open positions again, with all that this account holds."
    shown = Shown((Change("trading", f"halted: {why}", "on"),), risk=risk)
    return Draft(ProposalKind.COMMAND, "Resume trading", "RESUME TRADING", shown)


def _order(memory: Memory, instruction: PlaceOrder | ClosePosition, ts: int) -> Draft:
    ticket = manual.ticket(memory, instruction, ts)
    amount = f"{ticket.quantity.normalize():f} {ticket.symbol}"
    verb = ticket.side.value
    title = f"Close {amount}" if ticket.reduce_only else f"{verb} {amount}"
    shown = Shown(ticket=ticket)
    return Draft(ProposalKind.ORDER, f"{title} for {ticket.bot_id}", "", shown)


def _end_enrollment(memory: Memory, principal_id: str) -> Draft:
    name = _name_of(memory, principal_id)
    if not access.is_enrolled(memory, principal_id):
        raise Refused(f"{name} has no authenticator.")
    risk = f"Whoever holds {name}'s chat account can act without a code."
    change = Change(name, "proves themselves with codes", "is asked for none")
    shown = Shown((change,), risk=risk)
    return Draft(
        ProposalKind.COMMAND, f"Ask {name} for no codes", f"UNENROLL {_spoken(name)}", shown
    )


def _unlock(memory: Memory, principal_id: str, ts: int) -> Draft:
    name = _name_of(memory, principal_id)
    if not access.is_locked(memory, principal_id, ts):
        raise Refused(f"{name} is not locked out.")
    shown = Shown((Change(name, "locked out", "let in"),))
    return Draft(ProposalKind.COMMAND, f"Unlock {name}", "", shown)


def _role(memory: Memory, wanted: SetRole, asker: Asker) -> Draft:
    for word in wanted.scopes.split():
        parse_scope(word)
    known = memory.office.people.get(wanted.principal_id)
    name = known.name if known else wanted.name or wanted.principal_id
    renamed = f", called {wanted.name}" if known and wanted.name not in ("", name) else ""
    before = _rights(known.role, known.scopes) if known else _rights(Role.NOBODY, "")
    after = _rights(wanted.role, wanted.scopes) + renamed
    if before == after:
        raise Refused(f"{name} is {after} already.")
    if refusal := access.leaves_no_admin(memory, wanted.principal_id, wanted.role):
        raise Refused(refusal)
    can = {
        Role.NOBODY: "They may not use the desk any more.",
        Role.VIEWER: "They see every position and every trade.",
        Role.TRADER: "They may trade with this account and confirm orders.",
        Role.ADMIN: "They may do everything: trade, approve, let others in and shut you out.",
    }
    if known and known.role > Role.VIEWER:
        can[Role.VIEWER] = "They may decide nothing any more."
    own = access.asks_for_self(memory, wanted, asker)
    kind = ProposalKind.ACCESS if own else ProposalKind.COMMAND
    account = f"{wanted.surface}:{wanted.user_id}" if wanted.user_id else name
    # Anybody may call themselves anything: the account says who it is.
    by_itself = own and known is None
    spoken = "" if by_itself else _spoken(name)
    meaning = f"ROLE {spoken or _spoken(wanted.principal_id)} {wanted.role.name}"
    itself = "as the account calls itself, " if by_itself else ""
    called = name if name == account else f"{name} ({itself}{account})"
    shown = Shown((Change(called, before, after),), risk=can[wanted.role])
    title = f"Let in {name} as" if own else f"Make {name}"
    return Draft(kind, f"{title} {wanted.role.word}{renamed}", meaning, shown)


def _rights(role: Role, scopes: str) -> str:
    return f"{role.word}, only within {scopes}" if scopes else role.word


def _name_of(memory: Memory, principal_id: str) -> str:
    person = memory.office.people.get(principal_id)
    if person is None:
        raise Refused(f"There is nobody called {principal_id!r}.")
    return person.name


def _spoken(name: str) -> str:
    """A name as a phone types it: capital letters and digits alone."""
    # In this order: the letters that phones call fancy have no capitals until they are plain.
    plain = unicodedata.normalize("NFKD", name).upper()
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())


# -- instructions as text ----------------------------------------------------------------


def to_text(instruction: Instruction) -> str:
    """The instruction, exactly, as a proposal keeps it."""
    name = type(instruction).__name__
    return f"{name} {_adapters()[name].dump_json(instruction).decode()}"


def instruction_of(proposal: Proposal) -> Instruction:
    """The exact instruction that waits."""
    name, _, body = proposal.instruction.partition(" ")
    instruction: Instruction = _adapters()[name].validate_json(body)
    return instruction


def bot_of(instruction: Instruction) -> str:
    """The bot that an instruction is about; empty where it is about none."""
    return str(getattr(instruction, "bot_id", ""))


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {kind.__name__: TypeAdapter(kind) for kind in get_args(Instruction)}
