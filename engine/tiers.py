"""What each instruction takes: its tier, who may ask for it, and who decides it."""

from dataclasses import dataclass
from typing import Any

from engine import moves, plans
from engine.bot import BotPlan
from engine.instruction import (
    Accept,
    AddAlert,
    AddBot,
    AddSchedule,
    AnchorAudit,
    ArmAccount,
    BeginEnrollment,
    BreakEven,
    CancelOrders,
    CancelThere,
    ClearCooldown,
    ClosePosition,
    ClosePositions,
    ConfirmEnrollment,
    Decide,
    EndEnrollment,
    HaltDesk,
    Instruction,
    KillDesk,
    LetTune,
    LiftLocks,
    LockPerson,
    MakeLinkCode,
    MoveStops,
    NoteBias,
    NoteComparison,
    NoteRound,
    NoteStudy,
    OpenSession,
    PauseBot,
    PlaceOrder,
    PutChat,
    RemoveAlert,
    RemoveBot,
    RemoveSchedule,
    ReportTrouble,
    ResetBreaker,
    ResumeBot,
    ResumeDesk,
    RollBack,
    ScheduleRan,
    SetParameters,
    SetRole,
    SetSides,
    StopTuning,
    SyncHistory,
    TakeSnapshot,
    TurnOff,
    TurnOn,
    UndoChange,
    UnlockPerson,
    UseLinkCode,
)
from engine.memory import Memory
from engine.people import Role
from engine.tunable import Tier, strictest
from engine.tuning import DESK_SCOPE


@dataclass(frozen=True, slots=True)
class Rule:
    """What an instruction takes: its tier, and the role of whoever asks for it.

    Of one that gives parameters values it is the least there is: see `tier_for` and `role_for`.
    What `reduces_risk` is taken from somebody locked out, and without a session. What is `free`
    takes no session and is taken anywhere: it harms nobody, or proves by itself who asks.
    What is `desk_only` the desk says to itself, and nobody else.
    """

    tier: Tier
    role: Role
    reduces_risk: bool = False
    free: bool = False
    desk_only: bool = False


RULES: dict[type[Any], Rule] = {
    PauseBot: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    HaltDesk: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    TurnOff: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    KillDesk: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    BreakEven: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    CancelOrders: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    ResumeBot: Rule(Tier.YELLOW, Role.TRADER),
    TurnOn: Rule(Tier.YELLOW, Role.TRADER),
    SetSides: Rule(Tier.YELLOW, Role.TRADER),
    AddBot: Rule(Tier.YELLOW, Role.TRADER),
    RemoveBot: Rule(Tier.YELLOW, Role.TRADER),
    PlaceOrder: Rule(Tier.YELLOW, Role.TRADER),
    ClosePosition: Rule(Tier.YELLOW, Role.TRADER),
    ClosePositions: Rule(Tier.YELLOW, Role.TRADER),
    MoveStops: Rule(Tier.YELLOW, Role.TRADER),
    CancelThere: Rule(Tier.YELLOW, Role.TRADER),
    Accept: Rule(Tier.YELLOW, Role.TRADER),
    SyncHistory: Rule(Tier.YELLOW, Role.TRADER),
    LiftLocks: Rule(Tier.YELLOW, Role.TRADER),
    ResetBreaker: Rule(Tier.YELLOW, Role.TRADER),
    SetParameters: Rule(Tier.GREEN, Role.TRADER),
    UndoChange: Rule(Tier.GREEN, Role.TRADER),
    TakeSnapshot: Rule(Tier.GREEN, Role.TRADER),
    RollBack: Rule(Tier.GREEN, Role.ADMIN),
    StopTuning: Rule(Tier.GREEN, Role.TRADER, reduces_risk=True),
    LetTune: Rule(Tier.YELLOW, Role.TRADER),
    NoteStudy: Rule(Tier.GREEN, Role.ADMIN, desk_only=True),
    NoteRound: Rule(Tier.GREEN, Role.ADMIN, desk_only=True),
    NoteComparison: Rule(Tier.GREEN, Role.ADMIN, desk_only=True),
    NoteBias: Rule(Tier.GREEN, Role.ADMIN, desk_only=True),
    UnlockPerson: Rule(Tier.YELLOW, Role.ADMIN),
    ResumeDesk: Rule(Tier.RED, Role.ADMIN),
    ArmAccount: Rule(Tier.RED, Role.ADMIN),
    ClearCooldown: Rule(Tier.RED, Role.ADMIN),
    SetRole: Rule(Tier.RED, Role.ADMIN),
    EndEnrollment: Rule(Tier.RED, Role.ADMIN),
    LockPerson: Rule(Tier.GREEN, Role.VIEWER, free=True),
    OpenSession: Rule(Tier.GREEN, Role.VIEWER, free=True),
    BeginEnrollment: Rule(Tier.GREEN, Role.VIEWER, free=True),
    ConfirmEnrollment: Rule(Tier.GREEN, Role.VIEWER, free=True),
    MakeLinkCode: Rule(Tier.GREEN, Role.VIEWER),
    UseLinkCode: Rule(Tier.GREEN, Role.NOBODY, free=True),
    PutChat: Rule(Tier.GREEN, Role.ADMIN),
    AddSchedule: Rule(Tier.GREEN, Role.TRADER),
    RemoveSchedule: Rule(Tier.GREEN, Role.TRADER),
    AddAlert: Rule(Tier.GREEN, Role.TRADER),
    RemoveAlert: Rule(Tier.GREEN, Role.TRADER),
    ReportTrouble: Rule(Tier.GREEN, Role.ADMIN),
    ScheduleRan: Rule(Tier.GREEN, Role.VIEWER),
    AnchorAudit: Rule(Tier.GREEN, Role.ADMIN),
    Decide: Rule(Tier.GREEN, Role.VIEWER, free=True),
}
# Who may decide what waits, whatever it is.
DECIDERS = {Tier.YELLOW: Role.TRADER, Tier.RED: Role.ADMIN}
# What belongs to the people of the desk, whatever books are open.
OF_THE_OFFICE = (SetRole, EndEnrollment, UnlockPerson)


def tier_for(memory: Memory, instruction: Instruction) -> Tier:
    """What it takes to carry out an instruction; where it gives parameters values, at least what
    the strictest of them takes. Raises Refused for parameters that are not there."""
    least = RULES[type(instruction)].tier
    match instruction:
        case SetParameters() | UndoChange() | RollBack():
            return strictest([least, moves.tier(memory, instruction)])
        case AddBot(plan):
            return strictest([least, *_tiers_of(memory, plan)])
        case _:
            return least


def _tiers_of(memory: Memory, plan: BotPlan) -> list[Tier]:
    """The tiers of the parameters that a new bot would have other values of than its strategy."""
    strategy = memory.strategies.get(plan.strategy)
    known = strategy.tunable if strategy else {}
    return [
        known[name].tier
        for name, value in plan.values
        if strategy and name in known and plans.value_of(strategy, name) != value
    ]


def role_for(instruction: Instruction) -> Role:
    """The role that it takes to ask for an instruction."""
    if isinstance(instruction, SetParameters | UndoChange) and instruction.bot_id == DESK_SCOPE:
        return Role.ADMIN
    return RULES[type(instruction)].role


def decider(tier: Tier, instruction: Instruction) -> Role:
    """The role that decides: that of the tier, and none lower than whoever may ask for it."""
    return max(DECIDERS[tier], role_for(instruction))
