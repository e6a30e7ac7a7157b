"""What happens to the limits of an account: losses watched, trades counted, failures counted.

Pure functions of the core's memory. What goes too far is told once, with its numbers and its end.
Nothing here closes or holds back an exit.
"""

from dataclasses import replace
from decimal import Decimal

from engine import resting
from engine.audit import Act
from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.effect import Audit, Effect, Notice, NoticeKind, Notify
from engine.event import ExchangeFailed
from engine.layers import LOSS_NAMES, said
from engine.limits import Ladder, Span, Step
from engine.memory import Memory
from engine.order import ZERO, Reason
from engine.position import Trade
from engine.slot import Slot
from engine.standing import (
    LAST_TRADES,
    Lock,
    Result,
    Standing,
    Tally,
    Window,
    day_of,
    said_time,
    window,
)

# What a stop, the trailing one too, or a liquidation closed.
STOPPED_OUT = {Reason.STOP_LOSS, Reason.TRAILING_STOP, Reason.LIQUIDATION}
EXITS_GO_ON = "Stops, targets and exits go on."


# -- losses ------------------------------------------------------------------------------


def standing(memory: Memory, account: str, ts: int) -> tuple[Standing, ...]:
    """How an account stands by each limit of losses that is in force, at `ts`."""
    equity = memory.equity(account)
    return tuple(
        Standing(span, memory.ladders[span], found, found.change(equity))
        for span, found in _windows(memory, account, equity, ts).items()
    )


def _windows(memory: Memory, account: str, equity: Decimal, ts: int) -> dict[Span, Window]:
    kept = memory.accounts[account].tally.windows
    return {
        span: window_of(span, ladder, kept.get(span), equity, ts)
        for span, ladder in memory.ladders.items()
    }


def window_of(span: Span, ladder: Ladder, kept: Window | None, equity: Decimal, ts: int) -> Window:
    """The window of a moment: the one kept, or a new one, with the step that its losses lead to."""
    if kept is None:
        found = window(span, ts, equity)
    elif span is Span.PEAK:
        found = kept if equity <= kept.equity else _new_peak(kept, equity, ts)
    else:
        found = kept if ts < kept.until else window(span, ts, equity)
    if equity >= found.equity:
        return found
    step = ladder.step(-found.change(equity))
    return found if step <= found.step else replace(found, step=step)


def _new_peak(before: Window, equity: Decimal, ts: int) -> Window:
    """What a drawdown has stopped, a person starts again, not a new peak."""
    step = Step.STOPPED if before.step is Step.STOPPED else Step.FREE
    return replace(window(Span.PEAK, ts, equity), step=step)


def watch(memory: Memory, account: str, ts: int) -> list[Effect]:
    """Take note of an account's worth at `ts`; tell what it newly cuts or stops."""
    return [*_watch_ladders(memory, account, ts), *_watch_cap(memory, account, ts)]


def _watch_ladders(memory: Memory, account: str, ts: int) -> list[Effect]:
    if not memory.ladders:
        return []
    kept = memory.accounts[account].tally.windows
    equity = memory.equity(account)
    now = _windows(memory, account, equity, ts)
    if now == kept:
        return []
    memory.touch_account(account).tally.windows = now
    worse = [
        Standing(span, memory.ladders[span], found, found.change(equity))
        for span, found in now.items()
        if found.step > (kept[span].step if span in kept else Step.FREE)
    ]
    told = [effect for each in worse for effect in _tell(memory, account, _words(each), ts)]
    if any(each.step is Step.STOPPED for each in worse):
        told += _withdrawn(memory, account)
    return told


def _withdrawn(memory: Memory, account: str, symbol: str = "") -> list[Effect]:
    """Where nothing may be opened, what waits for its price must not open it later."""
    return resting.withdraw(memory, resting.entries(memory, account, symbol))


def _words(found: Standing) -> str:
    worth = found.window.equity
    return f"{LOSS_NAMES[found.span]}: {said(found)}. It was worth {worth:.2f}."


def _watch_cap(memory: Memory, account: str, ts: int) -> list[Effect]:
    today = memory.accounts[account].tally.today
    if today is None or today.began < day_of(ts):
        equity = memory.equity(account)
        memory.touch_account(account).tally.today = window(Span.DAY, ts, equity)
    cap = memory.policy.caps.daily_loss
    if not cap:
        return []
    log, lost = memory.desk.cap_log, lost_today(memory, ts)
    if lost < cap or log.told_on == day_of(ts):
        return []
    log.told_on = day_of(ts)
    until = said_time(day_of(ts) + DAY_MS)
    text = (
        f"Hard cap: the desk lost {lost:.2f} today, the cap is {cap:.2f}. Nothing is opened until "
        f"{until}. {EXITS_GO_ON}"
    )
    waiting = resting.withdraw(memory, resting.all_entries(memory))
    return [*_told(memory, None, text, ts), *waiting]


def lost_today(memory: Memory, ts: int) -> Decimal:
    """What all bots lost on the UTC day of `ts`, also those removed; negative when they gained."""
    log = memory.desk.cap_log
    removed = log.removed if log.removed_on == day_of(ts) else ZERO
    return sum((memory.lost_today(account, ts) for account in memory.accounts), removed)


# -- trades ------------------------------------------------------------------------------


def closed(memory: Memory, trade: Trade) -> list[Effect]:
    """Count a closed trade: losses in a row, stops, and what the symbol earned lately.

    One that was closed before another that counted is a history that is read again: it does not.
    """
    tally = memory.touch_account(trade.account).tally
    if trade.exit_time < tally.closed_at:
        return []
    tally.closed_at = trade.exit_time
    tally.wins += trade.net_pnl > 0
    tally.last = (*tally.last, Result(trade.exit_time, trade.net_pnl))[-LAST_TRADES:]
    return [
        *_count_streak(memory, tally, trade),
        *_count_stop_outs(memory, tally, trade),
        *_count_results(memory, tally, trade),
    ]


def _count_streak(memory: Memory, tally: Tally, trade: Trade) -> list[Effect]:
    limits = memory.policy.limits
    if trade.net_pnl > 0:
        tally.streak = 0
    if trade.net_pnl >= 0:
        return []
    tally.streak += 1
    if not limits.losses or tally.streak < limits.losses:
        return []
    rests_already = trade.exit_time < tally.rests_until
    tally.rests_until = trade.exit_time + limits.losses_rest_ms
    if rests_already or tally.rests_until <= memory.desk.now:
        return []
    text = (
        f"{tally.streak} losses in a row: nothing is opened until {said_time(tally.rests_until)}."
    )
    told = _tell(memory, trade.account, text, trade.exit_time)
    return [*told, *_withdrawn(memory, trade.account)]


def _count_stop_outs(memory: Memory, tally: Tally, trade: Trade) -> list[Effect]:
    limits, ts = memory.policy.limits, trade.exit_time
    if not limits.stop_outs or trade.close_reason not in STOPPED_OUT or trade.net_pnl >= 0:
        return []
    recent = (*stop_outs(memory, trade.account, ts), ts)
    tally.stop_outs = recent[-limits.stop_outs :]
    if len(tally.stop_outs) < limits.stop_outs:
        return []
    reason = f"{limits.stop_outs} stops lost within {limits.stop_outs_ms // HOUR_MS} h"
    return _lock(memory, trade.account, Lock("", reason, ts, ts + limits.stop_outs_lock_ms))


def stop_outs(memory: Memory, account: str, ts: int) -> tuple[int, ...]:
    """When stops lost lately."""
    since = ts - memory.policy.limits.stop_outs_ms
    return tuple(each for each in memory.accounts[account].tally.stop_outs if each > since)


def _count_results(memory: Memory, tally: Tally, trade: Trade) -> list[Effect]:
    limits, ts, symbol = memory.policy.limits, trade.exit_time, trade.symbol
    if not limits.losers:
        return []
    recent = (*tally.results.get(symbol, ()), Result(ts, trade.net_pnl))[-limits.losers :]
    tally.results[symbol] = recent
    lost = -sum((each.net for each in recent), ZERO)
    most = limits.losers_loss * memory.accounts[trade.account].ledger.deposit
    if len(recent) < limits.losers or recent[0].ts <= ts - limits.losers_ms or lost <= most:
        return []
    reason = f"its last {limits.losers} trades lost {lost:.2f}, more than {most:.2f}"
    return _lock(memory, trade.account, Lock(symbol, reason, ts, ts + limits.losers_lock_ms))


def _lock(memory: Memory, account: str, lock: Lock) -> list[Effect]:
    tally = memory.accounts[account].tally
    others = (each for each in tally.locks if each.until > lock.since)
    tally.locks = (*(each for each in others if each.symbol != lock.symbol), lock)
    if lock.until <= memory.desk.now:
        return []
    what = lock.symbol or "all its symbols"
    text = f"{what} locked, {lock.reason}: nothing is opened there until {said_time(lock.until)}."
    return [*_tell(memory, account, text, lock.since), *_withdrawn(memory, account, lock.symbol)]


# -- the exchange ------------------------------------------------------------------------


def failed(memory: Memory, event: ExchangeFailed) -> list[Effect]:
    """Count a failure of the exchange; too many of them shut the entries of the account."""
    limits = memory.policy.limits
    if not limits.failures or event.account not in memory.accounts:
        return []
    tally = memory.touch_account(event.account).tally
    was_shut = event.ts < tally.shut_until
    recent = (*failures(memory, event.account, event.ts), event.ts)
    tally.failures = recent[-limits.failures :]
    if not was_shut and len(tally.failures) < limits.failures:
        return []
    tally.shut_until = event.ts + limits.failures_rest_ms
    if was_shut:
        return []
    text = (
        f"circuit breaker: the exchange failed {limits.failures} times within "
        f"{limits.failures_ms // MINUTE_MS} min, last with: {event.detail}. Nothing is opened "
        f"until it did not fail for {limits.failures_rest_ms // MINUTE_MS} min, or /breaker reset."
    )
    return _tell(memory, event.account, text, event.ts)


def failures(memory: Memory, account: str, ts: int) -> tuple[int, ...]:
    """When the exchange failed lately."""
    since = ts - memory.policy.limits.failures_ms
    return tuple(each for each in memory.accounts[account].tally.failures if each > since)


def margin_call(memory: Memory, slot: Slot, low: float, high: float, ts: int) -> list[Effect]:
    """Tell once that the prices between `low` and `high` bring a position near its liquidation."""
    alarm = slot.alarm
    if low > alarm if alarm > 0 else high < -alarm:
        return []
    slot.alarm = 0.0
    level = memory.policy.limits.margin_level
    text = (
        f"{slot.bot.bot_id}: {slot.symbol} is near its liquidation: at {abs(alarm):.10g} what is "
        f"left of its margin is {level:.0%} of what must be."
    )
    return _told(memory, slot.bot.account, text, ts, slot.symbol)


# -- orders ------------------------------------------------------------------------------


def sent(memory: Memory, ts: int) -> None:
    """Count an order for the hard cap on how many are sent a minute."""
    if not memory.policy.caps.orders_a_minute:
        return
    log = memory.desk.cap_log
    log.sent = [*(each for each in log.sent if each > ts - MINUTE_MS), ts]


# -- telling -----------------------------------------------------------------------------


def _tell(memory: Memory, account: str, text: str, ts: int) -> list[Effect]:
    """Have people told of what shuts or cuts a bot's entries, and the record say so."""
    return _told(memory, account, f"{memory.owners[account].bot_id}: {text} {EXITS_GO_ON}", ts)


def _told(
    memory: Memory, account: str | None, text: str, ts: int, symbol: str | None = None
) -> list[Effect]:
    bot_id = memory.owners[account].bot_id if account else None
    notice = Notice(NoticeKind.RISK, ts, bot_id=bot_id, account=account, symbol=symbol, text=text)
    return [Audit(Act(ts, bot_id or "desk", "limit", text)), Notify(notice)]
