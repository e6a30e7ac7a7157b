"""What stops all entries: a halt, the emergency stop, and the word that ends either.

Pure functions of the core's memory.
"""

from engine import resting
from engine.audit import Act
from engine.deciding import void_waiting
from engine.effect import Audit, Done, Effect, LiftLatch, Notice, NoticeKind, Notify, Outcome
from engine.event import KillTold
from engine.instruction import HaltDesk, KillDesk, ResumeDesk
from engine.memory import Memory
from engine.people import Asker, PrincipalKind

HaltingInstruction = HaltDesk | KillDesk | ResumeDesk

# What each scope of the emergency stop does, by its name.
KILLS = {
    "stop": "stop entries",
    "cancel": "stop entries, withdraw all orders",
    "flatten": "stop entries, withdraw all orders, close all positions",
}


def run(memory: Memory, instruction: HaltingInstruction, asker: Asker, ts: int) -> Outcome:
    """Stop entries, or let them go on; the answer, and what it calls for."""
    match instruction:
        case HaltDesk(reason):
            return _halt(memory, reason, asker, ts)
        case KillDesk(scope, reason):
            return _kill(memory, scope, reason, asker, ts)
        case ResumeDesk():
            return _resume(memory, asker, ts)


def _halt(memory: Memory, reason: str, asker: Asker, ts: int) -> Outcome:
    desk = memory.desk
    said = f"{asker.called} halted the desk meanwhile"
    voided = void_waiting(memory, ResumeDesk(), said, ts)
    if desk.halted_by:
        void = " The /resume that waited is void." if voided else ""
        return Done(f"The desk is halted already, {desk.halted_by}.{void}"), voided
    desk.halted_by = f"by {asker.called}: {reason}" if reason else f"by {asker.called}"
    text = "Halted: no position is opened. Stops, targets and exits of open ones go on."
    notice = Notice(NoticeKind.DESK_HALTED, ts, actor=asker.called, text=reason or None)
    # What waits for its price would open a position later.
    waiting = resting.all_entries(memory)
    if waiting:
        orders = "order that waited is" if len(waiting) == 1 else "orders that waited are"
        text += f" {len(waiting)} {orders} withdrawn."
    return Done(text), [*voided, Notify(notice), *resting.withdraw(memory, waiting)]


def _kill(memory: Memory, scope: str, by: str, asker: Asker, ts: int) -> Outcome:
    """Record that somebody pulled the emergency stop, which acted before it could be recorded.

    What the desk itself records was done by somebody else, or before a restart: `by` says who.
    """
    by = by if asker.principal.kind is PrincipalKind.DESK else asker.called
    voided = void_waiting(memory, ResumeDesk(), f"{by} pulled the emergency stop meanwhile", ts)
    killed = f"killed by {by}: {KILLS[scope]}"
    known = memory.desk.halted_by == killed and asker.principal.kind is PrincipalKind.DESK
    memory.desk.halted_by = killed
    text = f"{by} pulled the emergency stop: {KILLS[scope]}."
    notice = Notice(NoticeKind.KILL, ts, actor=by, text=text)
    told = [] if known else [Notify(notice)]
    entries = resting.withdraw(memory, resting.all_entries(memory))
    return Done(f"The desk is {killed}."), [*voided, *told, *entries]


def told(event: KillTold) -> list[Effect]:
    """A step of the emergency stop, which was taken already."""
    return [
        Audit(Act(event.ts, "desk", "kill", event.text)),
        Notify(Notice(NoticeKind.KILL, event.ts, text=event.text)),
    ]


def _resume(memory: Memory, asker: Asker, ts: int) -> Outcome:
    memory.desk.halted = memory.desk.halted_by = ""
    notice = Notice(NoticeKind.DESK_RESUMED, ts, actor=asker.called)
    return Done("Trading is on again."), [Notify(notice), LiftLatch()]
