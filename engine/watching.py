"""Changes that are watched: live results against what was expected of them.

Pure functions of the core's memory. All times are market time, UTC ms. Counted are the trades of
the bot that it entered by itself since the change, whichever change moved it to; those of before,
and those that people opened, say nothing about it.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from engine import tally
from engine.candle import DAY_MS
from engine.effect import (
    Effect,
    Instruct,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Record,
    Result,
)
from engine.instruction import UndoChange
from engine.layers import LOSS_NAMES, said
from engine.limits import Step
from engine.memory import BY_HAND, Memory
from engine.order import ZERO
from engine.position import Position, Trade
from engine.standing import LAST_TRADES
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Band, ChangeKind, Fate, ParameterChange, Source, Watch

# A change that was not found wanting by then has kept to what was expected.
WATCH_MS = 14 * DAY_MS


# -- begin -------------------------------------------------------------------------------


def begin(
    memory: Memory, change: ParameterChange, band: Band | None
) -> tuple[ParameterChange, list[Effect]]:
    """Watch a change from the time it is made, where something is expected of it: the change with
    its fate. The watches of those that it takes back, or whose parameters it moves on, end."""
    ended = [effect for each in _superseded(memory, change) for effect in each]
    accounts = _accounts(memory, change.scopes[0])
    equity = sum((memory.equity(account) for account in accounts), ZERO)
    if band is None or len(change.scopes) > 1 or equity <= 0:
        return replace(change, fate=Fate.UNWATCHED), ended
    memory.touch_tuning().watches[change.change_id] = Watch(
        change_id=change.change_id,
        bot_id=change.scopes[0],
        band=band,
        began_at=change.made_at,
        ends_at=change.made_at + WATCH_MS,
        equity=equity,
    )
    return replace(change, fate=Fate.WATCHED, expected=band), ended


def _superseded(memory: Memory, change: ParameterChange) -> Iterable[list[Effect]]:
    """What ends for the changes that a new one undoes or replaces."""
    moved = {(each.scope, each.name) for each in change.moved}
    for older in list(memory.tuning.changes):
        watch = memory.tuning.watches.get(older.change_id)
        if older.change_id == change.undoes:
            yield _undone(memory, older, watch, change.made_at)
        elif watch is not None and moved & {(each.scope, each.name) for each in older.moved}:
            fate = Fate.UNDONE if change.kind is ChangeKind.ROLLBACK else Fate.REPLACED
            yield _end(memory, watch, fate, change.made_at)


def _undone(memory: Memory, change: ParameterChange, watch: Watch | None, ts: int) -> list[Effect]:
    if watch is not None:
        return _end(memory, watch, Fate.UNDONE, ts)
    if change.fate is not Fate.UNWATCHED:
        return []
    return _kept(memory, replace(change, fate=Fate.UNDONE, ended_at=ts))


# -- count -------------------------------------------------------------------------------


def closed(memory: Memory, trade: Trade) -> list[Effect]:
    """Count a closed trade for the changes of its bot that are watched."""
    if not memory.tuning.watches:
        return []
    for watch in _open(memory):
        is_of = watch.bot_id in (trade.bot_id, DESK_SCOPE)
        if is_of and trade.entry_time > watch.began_at and trade.entry_reason not in BY_HAND:
            memory.touch_tuning()
            watch.trades += 1
            watch.net += trade.net_pnl
            watch.peak = max(watch.peak, watch.net)
    return check(memory, trade.exit_time)


def check(memory: Memory, ts: int) -> list[Effect]:
    """Compare what is watched with what was expected: after each closed trade, and every hour with
    positions that are open at their last prices."""
    if not memory.tuning.watches:
        return []
    return [effect for watch in _open(memory) for effect in _check(memory, watch, ts)]


def _check(memory: Memory, watch: Watch, ts: int) -> list[Effect]:
    if watch.bot_id not in (*memory.bots, DESK_SCOPE):
        return _end(memory, watch, Fate.REPLACED, ts)
    fall = float((watch.peak - watch.net - _unclosed(memory, watch)) / watch.equity)
    if fall > watch.deepest:
        memory.touch_tuning()
        watch.deepest = fall
    if why := _why_failed(watch):
        return _trip(memory, watch, why, ts)
    if watch.trades < len(watch.band.lows) and ts < watch.ends_at:
        return []
    return _end(memory, watch, _fate(watch), ts)


def _unclosed(memory: Memory, watch: Watch) -> Decimal:
    """What the positions that are open brought so far, after costs."""
    held = (p for account in _accounts(memory, watch.bot_id) for p in memory.held(account))
    counted = (
        position
        for position in held
        if position.opened_at > watch.began_at and position.entry_reason not in BY_HAND
    )
    return sum((_so_far(memory, position) for position in counted), ZERO)


def _so_far(memory: Memory, position: Position) -> Decimal:
    booked = position.realized - position.commission + position.funding
    return booked + position.unrealized(memory.mark(position.symbol))


def _why_failed(watch: Watch) -> str:
    """In what it left its band; empty where it did not."""
    share, band = _share(watch), watch.band
    at = min(watch.trades, len(band.lows)) - 1
    if watch.trades and share < band.lows[at]:
        return f"it stands at {share:+.2%}, and {band.lows[at]:+.2%} was the least expected by now"
    if watch.deepest > band.drawdown:
        return (
            f"it fell by {watch.deepest:.2%} from its peak, and {band.drawdown:.2%} was the most "
            f"expected"
        )
    return ""


def _fate(watch: Watch) -> Fate:
    if not watch.trades:
        return Fate.UNWATCHED
    at = min(watch.trades, len(watch.band.highs)) - 1
    return Fate.BETTER if _share(watch) > watch.band.highs[at] else Fate.KEPT


def _share(watch: Watch) -> float:
    return float(watch.net / watch.equity)


# -- end ---------------------------------------------------------------------------------


def _trip(memory: Memory, watch: Watch, why: str, ts: int) -> list[Effect]:
    """Have a change taken back that left its band; the watch stays until that was answered."""
    memory.touch_tuning()
    watch.tripped = why
    change = _change(memory, watch)
    if change is None:
        del memory.tuning.watches[watch.change_id]
        return []
    failed = _ended(change, watch, Fate.FAILED, ts)
    what = (
        "It is taken back by itself" if change.tier is Tier.GREEN else "To take it back is proposed"
    )
    text = f"{_called(change)} left what was expected of it: {why}, {_trades(watch)}. {what}."
    return [*_kept(memory, failed), _told(failed, text, ts), _undoing(watch)]


def _undoing(watch: Watch) -> Instruct:
    return Instruct(UndoChange(watch.change_id, watch.bot_id, watch.tripped, Source.WATCH))


def unfinished(memory: Memory) -> list[Effect]:
    """The roll-backs that an earlier process asked for and did not see answered."""
    return [_undoing(watch) for watch in memory.tuning.watches.values() if watch.tripped]


def answered(memory: Memory, wanted: UndoChange, result: Result, ts: int) -> list[Effect]:
    """The watch's own roll-back was done, is proposed, or was refused, which people are told.

    `ts` is wall time.
    """
    watch = memory.touch_tuning().watches.pop(wanted.change_id, None)
    change = _change(memory, watch) if watch else None
    if change is None or not isinstance(result, NotDone):
        return []
    return [_told(change, f"{_called(change)} could not be taken back: {result.reason}", ts)]


def _end(memory: Memory, watch: Watch, fate: Fate, ts: int) -> list[Effect]:
    """End a watch; people are told where that is news. One that failed before stays so."""
    memory.touch_tuning().watches.pop(watch.change_id)
    change = _change(memory, watch)
    if change is None or watch.tripped:
        return []
    ended = _ended(change, watch, fate, ts)
    text = _words(change, watch, fate)
    return [*_kept(memory, ended), *([_told(ended, text, ts)] if text else [])]


def _words(change: ParameterChange, watch: Watch, fate: Fate) -> str:
    """What came of a change; empty where whatever ended its watch says so."""
    match fate:
        case Fate.KEPT:
            return f"{_called(change)} kept to what was expected of it: {_results(watch)}."
        case Fate.BETTER:
            return f"{_called(change)} did better than was expected of it: {_results(watch)}."
        case Fate.UNWATCHED:
            days = (watch.ends_at - watch.began_at) // DAY_MS
            return f"Of {_called(change, 'change')} nothing is known: no trade within {days} days."
        case _:
            return ""


def _results(watch: Watch) -> str:
    fall = f"it fell by {watch.deepest:.2%} at most"
    return f"{_share(watch):+.2%} ({watch.net:+.2f} USDT) {_trades(watch)}, {fall}"


def _trades(watch: Watch) -> str:
    return f"after {watch.trades} trade{'' if watch.trades == 1 else 's'}"


def _called(change: ParameterChange, begins: str = "Change") -> str:
    """`Change 3 of rsi_001 (rsi_oversold)`."""
    names = ", ".join(each.name for each in change.moved)
    return f"{begins} {change.change_id} of {' and '.join(change.scopes) or 'the desk'} ({names})"


def _told(change: ParameterChange, text: str, ts: int) -> Effect:
    bot_id = change.scopes[0] or None
    return Notify(Notice(NoticeKind.TUNING, ts, bot_id=bot_id, text=text, change=change))


# -- keeping -----------------------------------------------------------------------------


def _open(memory: Memory) -> list[Watch]:
    return [watch for watch in memory.tuning.watches.values() if not watch.tripped]


def _accounts(memory: Memory, scope: str) -> list[str]:
    """The account of a bot; all, of the desk's own."""
    return list(memory.accounts) if scope == DESK_SCOPE else [memory.bots[scope].account]


def _change(memory: Memory, watch: Watch) -> ParameterChange | None:
    """The change of a watch; None of one so old that it is in the database alone."""
    changes = memory.tuning.changes
    return next((each for each in changes if each.change_id == watch.change_id), None)


def _ended(change: ParameterChange, watch: Watch, fate: Fate, ts: int) -> ParameterChange:
    return replace(
        change,
        fate=fate,
        trades=watch.trades,
        net=watch.net,
        drawdown=watch.deepest,
        ended_at=ts,
    )


def _kept(memory: Memory, change: ParameterChange) -> list[Effect]:
    """Remember a change as it stands now, and have it stored."""
    state = memory.touch_tuning()
    state.changes = [
        change if each.change_id == change.change_id else each for each in state.changes
    ]
    return [Record(change)]


# -- losing ------------------------------------------------------------------------------


def losing(memory: Memory) -> str:
    """Why the desk counts as losing now; empty where it does not."""
    now = memory.desk.now
    lost = tally.lost_today(memory, now)
    if lost > 0:
        return f"it lost {lost:.2f} USDT today"
    trades = [each for state in memory.accounts.values() for each in state.tally.last]
    last = sorted(trades, key=lambda each: each.ts)[-LAST_TRADES:]
    net = sum((each.net for each in last), ZERO)
    if net < 0:
        which = "trade" if len(last) == 1 else f"{len(last)} trades together"
        return f"its last {which} lost {-net:.2f} USDT"
    for account, bot in memory.owners.items():
        for each in tally.standing(memory, account, now):
            if each.step is not Step.FREE:
                return f"{LOSS_NAMES[each.span]} of {bot.bot_id}: {said(each)}"
    return ""
