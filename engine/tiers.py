"""What each instruction takes: its tier, who may ask for it, and who decides it."""

from dataclasses import dataclass
from typing import Any

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
    LiftLocks,
    LockPerson,
    MakeLinkCode,
    MoveStops,
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
    ScheduleRan,
    SetRole,
    SetSides,
    SyncHistory,
    TurnOff,
    TurnOn,
    UnlockPerson,
    UseLinkCode,
)
from engine.people import Role
from engine.tunable import Tier


@dataclass(frozen=True, slots=True)
class Rule:
    """What an instruction takes: its tier, and the role of whoever asks for it.

    What `reduces_risk` is taken from somebody locked out, and without a session. What is `free`
    takes no session and is taken anywhere: it harms nobody, or proves by itself who asks.
    """

    tier: Tier
    role: Role
    reduces_risk: bool = False
    free: bool = False


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


def tier_for(instruction: Instruction) -> Tier:
    """What it takes to carry out an instruction."""
    return RULES[type(instruction)].tier


def decider(tier: Tier, instruction: Instruction) -> Role:
    """The role that decides: that of the tier, and none lower than whoever may ask for it."""
    return max(DECIDERS[tier], RULES[type(instruction)].role)
