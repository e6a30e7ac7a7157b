"""What people are shown of an instruction before it acts, and how it is kept until then.

Pure functions of the core's memory. The same draft is made for the card and again for the
decision, so that the two can be compared.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from engine import access, manual, reconcile, relief, staff, stops, tuning_draft
from engine.errors import Refused
from engine.instruction import (
    Accept,
    AddBot,
    ArmAccount,
    CancelThere,
    ClearCooldown,
    ClosePosition,
    ClosePositions,
    EndEnrollment,
    Instruction,
    LetTune,
    LiftLocks,
    MoveStops,
    PlaceOrder,
    RemoveBot,
    ResetBreaker,
    ResumeBot,
    ResumeDesk,
    RollBack,
    SetParameters,
    SetRole,
    SetSides,
    SyncHistory,
    TurnOn,
    UndoChange,
    UnlockPerson,
)
from engine.levels import plain
from engine.memory import Memory
from engine.order import OrderType
from engine.people import Asker, Role, parse_scope
from engine.proposal import Change, Proposal, ProposalKind, Shown

# A title with more symbols is no title.
NAMED_MAX = 5


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
        case ClosePositions(losers):
            return _closing(memory, instruction, losers, ts)
        case MoveStops():
            changed = stops.shown(memory, instruction)
            return Draft(ProposalKind.ORDER, stops.title(instruction), "", changed)
        case AddBot() | RemoveBot() | TurnOn() | SetSides():
            changed = staff.shown(memory, instruction)
            return Draft(ProposalKind.COMMAND, staff.title(instruction), "", changed)
        case CancelThere() | Accept() | SyncHistory() | ArmAccount():
            return _mend(memory, instruction)
        case LiftLocks() | ResetBreaker():
            changed, title = relief.shown(memory, instruction), relief.title(instruction)
            return Draft(ProposalKind.COMMAND, title, "", changed)
        case ClearCooldown(bot_id):
            changed, title = relief.shown(memory, instruction), relief.title(instruction)
            meaning = f"CLEAR LIMITS {_spoken(bot_id)}".rstrip()
            return Draft(ProposalKind.COMMAND, title, meaning, changed)
        case SetParameters() | UndoChange() | RollBack() | LetTune():
            return _tuning(memory, instruction)
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


def _tuning(memory: Memory, wanted: tuning_draft.Drafted) -> Draft:
    named, phrase = tuning_draft.title(memory, wanted), tuning_draft.meaning(memory, wanted)
    kind = ProposalKind.COMMAND if isinstance(wanted, LetTune) else ProposalKind.TUNING
    return Draft(kind, named, phrase, tuning_draft.shown(memory, wanted))


def _order(memory: Memory, instruction: PlaceOrder | ClosePosition, ts: int) -> Draft:
    ticket = manual.ticket(memory, instruction, ts)
    amount = f"{plain(ticket.quantity)} {ticket.symbol}"
    title = f"Close {amount}" if ticket.reduce_only else f"{ticket.side.value} {amount}"
    if ticket.asked_price is not None:
        word = "with the limit" if ticket.order_type is OrderType.LIMIT else "at"
        title += f" {word} {plain(ticket.asked_price)}"
    shown = Shown(ticket=ticket)
    return Draft(ProposalKind.ORDER, f"{title} for {ticket.bot_id}", "", shown)


def _closing(memory: Memory, instruction: ClosePositions, losers: bool, ts: int) -> Draft:
    tickets = manual.tickets(memory, instruction, ts)
    what = "all that loses" if losers else "all that is held"
    of_bot = f" by {instruction.bot_id}" if instruction.bot_id else ""
    symbols = ", ".join(ticket.symbol for ticket in tickets)
    named = symbols if len(tickets) <= NAMED_MAX else f"{len(tickets)} positions"
    return Draft(ProposalKind.ORDER, f"Close {what}{of_bot}: {named}", "", Shown(tickets=tickets))


def _mend(memory: Memory, instruction: CancelThere | Accept | SyncHistory | ArmAccount) -> Draft:
    reconcile.check(memory, instruction)
    match instruction:
        case CancelThere(_, symbol, order_ids):
            risk = "If one of them guards a position of yours, nothing else does it afterwards."
            change = Change(symbol, f"{len(order_ids)} orders at the exchange", "withdrawn")
            return _command(f"Withdraw orders in {symbol}", change, risk)
        case Accept(account, symbol):
            bot_id = memory.owners[account].bot_id
            waiting = memory.accounts[account].quarantined
            change = Change(symbol or bot_id, "; ".join(waiting.values()), "looked at, goes on")
            return _command(f"Let {bot_id} go on", change, "")
        case SyncHistory(bot_id, days):
            risk = "What is found and not booked yet is booked to this bot: its P&L counts it."
            change = Change(bot_id, "its books", f"with all executions of the last {days} days")
            return _command(f"Read {days} days of history for {bot_id}", change, risk)
        case ArmAccount(uid):
            risk = f"Bots trade this account's real money from now on.{_uncapped(memory)}"
            shown = Shown((Change(f"account {uid}", "watched only", "traded"),), risk=risk)
            meaning = f"LIVE {uid[-4:]}"
            return Draft(ProposalKind.COMMAND, f"Trade account {uid}", meaning, shown)


def _uncapped(memory: Memory) -> str:
    """That no sum in USDT holds them back, where nobody set one."""
    caps = memory.policy.caps
    if any((caps.order_value, caps.position_value, caps.gross_exposure, caps.daily_loss)):
        return ""
    return " No hard cap in USDT is set: [caps] in countersign.toml."


def _command(title: str, change: Change, risk: str) -> Draft:
    return Draft(ProposalKind.COMMAND, title, "", Shown((change,), risk=risk))


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


def bot_of(instruction: Instruction) -> str:
    """The bot that an instruction is about; empty where it is about none."""
    return str(getattr(instruction, "bot_id", ""))


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


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {kind.__name__: TypeAdapter(kind) for kind in get_args(Instruction)}
