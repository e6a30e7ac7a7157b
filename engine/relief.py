"""What people do about limits that shut or cut entries: lift a lock, begin anew, reset the breaker.

Pure functions of the core's memory, like `staff`. The hard caps are nobody's to lift.
"""

from engine import tally
from engine.effect import Done, Effect, NotDone, Notice, NoticeKind, Notify, Outcome
from engine.errors import BadInput, Refused
from engine.instruction import ClearCooldown, LiftLocks, ResetBreaker
from engine.layers import LOSS_NAMES, consequence
from engine.limits import Step
from engine.memory import Memory
from engine.people import Asker
from engine.proposal import Change, Shown
from engine.standing import Lock, said_time, window

Relief = LiftLocks | ClearCooldown | ResetBreaker

OPENS_AGAIN = {
    LiftLocks: "What lost there may lose there again: positions may be opened at once.",
    ClearCooldown: (
        "Losses up to now count no more: as much may be lost again before a limit stops it. The "
        "hard caps stay."
    ),
    ResetBreaker: "Orders go to an exchange that failed a moment ago.",
}


def title(instruction: Relief) -> str:
    """What it is, in a few words."""
    match instruction:
        case LiftLocks(bot_id, symbol):
            return f"Lift the locks of {' '.join(filter(None, (bot_id, symbol))) or 'all bots'}"
        case ClearCooldown(bot_id):
            return f"Begin anew with the limits of losses of {bot_id or 'all bots'}"
        case ResetBreaker(bot_id):
            return f"Reset the circuit breaker of {bot_id or 'all bots'}"


def shown(memory: Memory, instruction: Relief) -> Shown:
    """What people are shown of it; raises Refused where it would do nothing."""
    match instruction:
        case LiftLocks(bot_id, symbol):
            found = [
                Change(_place(memory, account, lock), _said(lock), "open")
                for account in _meant(memory, bot_id)
                for lock in _locks(memory, account, symbol)
            ]
            nothing = "No lock is there to lift. /locks lists them."
        case ClearCooldown(bot_id):
            found = [
                each for account in _meant(memory, bot_id) for each in _in_force(memory, account)
            ]
            nothing = "No limit of losses cuts or stops anything. /risk shows how they stand."
        case ResetBreaker(bot_id):
            found = [
                Change(memory.owners[account].bot_id, "shut: the exchange failed", "open")
                for account in _shut(memory, bot_id)
            ]
            nothing = "The circuit breaker is not open."
    if not found:
        raise Refused(nothing)
    return Shown(tuple(found), risk=OPENS_AGAIN[type(instruction)])


def run(memory: Memory, instruction: Relief, asker: Asker, ts: int) -> Outcome:
    """Carry it out; the answer, and who is told. `ts` is wall ms."""
    try:
        changes = shown(memory, instruction).changes
    except Refused as error:
        return NotDone(str(error)), []
    match instruction:
        case LiftLocks(bot_id, symbol):
            for account in _meant(memory, bot_id):
                _lift(memory, account, symbol)
        case ClearCooldown(bot_id):
            for account in _meant(memory, bot_id):
                _clear(memory, account)
        case ResetBreaker(bot_id):
            for account in _shut(memory, bot_id):
                kept = memory.touch_account(account).tally
                kept.failures, kept.shut_until = (), 0
    names = ", ".join(change.name for change in changes)
    text = f"{title(instruction)}: {names}."
    return Done(text), [_told(f"{asker.called}: {text}", ts)]


def _told(text: str, ts: int) -> Effect:
    return Notify(Notice(NoticeKind.RISK, ts, text=text))


def _meant(memory: Memory, bot_id: str) -> list[str]:
    """The accounts of one bot, or of all."""
    if not bot_id:
        return list(memory.accounts)
    if bot_id not in memory.bots:
        raise BadInput("bot", bot_id, ", ".join(memory.bots))
    return [memory.bots[bot_id].account]


# -- locks -------------------------------------------------------------------------------


def _locks(memory: Memory, account: str, symbol: str) -> list[Lock]:
    """The locks that hold now: of one symbol, or all of the bot."""
    locks = memory.accounts[account].tally.locks
    now = memory.desk.now
    return [each for each in locks if each.until > now and symbol in ("", each.symbol)]


def _place(memory: Memory, account: str, lock: Lock) -> str:
    return " ".join(filter(None, (memory.owners[account].bot_id, lock.symbol)))


def _said(lock: Lock) -> str:
    """What it is that is lifted: a lock that lasts longer is another one."""
    return f"locked until {said_time(lock.until)}, {lock.reason}"


def _lift(memory: Memory, account: str, symbol: str) -> None:
    """Take the locks away, and what led to them: the next loss is the first again."""
    kept = memory.touch_account(account).tally
    lifted = _locks(memory, account, symbol)
    kept.locks = tuple(each for each in kept.locks if each not in lifted)
    for lock in lifted:
        if lock.symbol:
            kept.results.pop(lock.symbol, None)
        else:
            kept.stop_outs = ()


# -- losses ------------------------------------------------------------------------------


def _in_force(memory: Memory, account: str) -> list[Change]:
    """Each limit of losses that cuts or stops a bot's entries now."""
    bot_id, now = memory.owners[account].bot_id, memory.desk.now
    found = [
        Change(f"{bot_id} {LOSS_NAMES[each.span]}", consequence(each), "begins anew")
        for each in tally.standing(memory, account, now)
        if each.step is not Step.FREE
    ]
    rests_until = memory.accounts[account].tally.rests_until
    if rests_until > now:
        rests = f"nothing is opened until {said_time(rests_until)}"
        found.append(Change(f"{bot_id} loss streak", rests, "begins anew"))
    return found


def _clear(memory: Memory, account: str) -> None:
    """Count losses from what the account is worth now; what the hard cap counts stays."""
    kept, now = memory.touch_account(account).tally, memory.desk.now
    equity = memory.equity(account)
    kept.windows = {span: window(span, now, equity) for span in kept.windows}
    kept.streak = kept.rests_until = 0


def _shut(memory: Memory, bot_id: str) -> list[str]:
    """The accounts whose entries the circuit breaker shuts now."""
    now = memory.desk.now
    accounts = memory.accounts
    return [each for each in _meant(memory, bot_id) if accounts[each].tally.shut_until > now]
