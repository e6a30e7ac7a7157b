"""Whether the books and a real exchange agree, and what is done about it where they do not.

Pure functions of the core's memory. What is found once may be a matter of moments: it shuts the
entries of its account, and people are told of what is found twice. Nothing is ever traded to make
books and exchange agree but the closing of a position that has no stop.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from engine import booking, resting
from engine.audit import Act
from engine.candle import DAY_MS, MINUTE_MS
from engine.effect import (
    Audit,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Outcome,
    Protect,
    ReadHistory,
    Resume,
    WithdrawThere,
)
from engine.errors import BadInput, Refused
from engine.event import ExchangeLink, HistoryRead, Surveyed, Unprotected, Unreadable
from engine.instruction import Accept, ArmAccount, CancelThere, SyncHistory
from engine.memory import AccountState, Memory
from engine.order import ZERO, Order, OrderStatus, Reason, decode_link_id
from engine.people import Asker
from engine.signal import Approved
from engine.survey import Difference, DifferenceKind, HeldThere, RestingThere, Survey

# The exchange keeps executions for two years; three months are what anybody asks for.
HISTORY_DAYS_MAX = 90
# Surveys come every five minutes; without two of them nobody knows what is held.
SURVEY_AGE_MAX_MS = 11 * MINUTE_MS
# A stop that was asked for has to stand after so long; two surveys may be closer together.
STOP_SET_MS = 10_000
# An order that ended so lately may still have rested when it was looked at.
JUST_NOW_MS = MINUTE_MS
NOT_YET = "it was not heard yet"

MendInstruction = CancelThere | Accept | SyncHistory | ArmAccount


# -- whether entries are open ------------------------------------------------------------


def shut(memory: Memory, account: str, symbol: str = "", ts: int = 0) -> str:
    """Why nothing is opened on an account (and symbol); empty where nothing stands against it.

    `ts` is the time of now, UTC ms; without it the survey's age is not looked at.
    """
    if not memory.policy.surveys:
        return ""
    state = memory.accounts[account]
    if state.down:
        return f"the exchange can't be heard: {state.down}"
    if state.survey is None:
        return "books and exchange were not compared yet"
    if memory.policy.real_money and state.uid not in memory.desk.armed:
        return "nobody has let the desk trade this account's real money yet: /arm"
    if found := [*state.different, *state.doubted]:
        return f"books and exchange differ: {found[0].detail} (/reconcile)"
    if looked := state.quarantined.get("") or state.quarantined.get(symbol):
        return f"{looked} (/reconcile)"
    if ts and ts - state.surveyed_at > SURVEY_AGE_MAX_MS:
        minutes = (ts - state.surveyed_at) // MINUTE_MS
        return f"books and exchange were last compared {minutes} min ago"
    return ""


def began(memory: Memory) -> None:
    """A process begins: what the last one knew of the exchange is no longer known."""
    if not memory.policy.surveys:
        return
    for account in memory.accounts:
        state = memory.touch_account(account)
        state.down, state.survey = NOT_YET, None


# -- what the exchange tells -------------------------------------------------------------


def linked(memory: Memory, event: ExchangeLink) -> list[Effect]:
    memory.touch_account(event.account).down = event.down
    detail = event.down or "heard again"
    return [Audit(Act(event.ts, "exchange", "link", f"{event.account}: {detail}"))]


def surveyed(memory: Memory, event: Surveyed) -> list[Effect]:
    """Compare what was found with the books, once they have all executions until then."""
    state = memory.touch_account(event.account)
    before = {*state.doubted, *state.different}
    told = set(state.different)
    found = list(differences(memory, event.account, event.survey, event.ts))
    waited = event.ts - state.surveyed_at >= STOP_SET_MS
    state.survey, state.surveyed_at = event.survey, event.ts
    state.uid = event.survey.uid or state.uid
    state.synced_until = max(state.synced_until, event.synced_until)
    state.different = tuple(each for each in found if each in before)
    state.doubted = tuple(each for each in found if each not in before)
    lacking = [each for each in found if each.kind is DifferenceKind.NO_STOP]
    again = {each for each in lacking if each in before}
    effects = [*_asked_after(memory, event)]
    effects += _protected_again(memory, event, [each for each in lacking if each not in again])
    effects += _given_up(memory, event, again) if waited else []
    if news := [each for each in state.different if each not in told]:
        effects.append(_told_difference(memory, event.account, news, event.ts))
    if told and not found:
        text = f"{_bot_id(memory, event.account)}: books and exchange agree again."
        effects.append(_notice(memory, NoticeKind.DIFFERENCE, event.account, text, event.ts))
    return effects


def _told_difference(memory: Memory, account: str, found: list[Difference], ts: int) -> Effect:
    lines = "; ".join(each.detail for each in found)
    text = (
        f"{_bot_id(memory, account)}: books and exchange differ. {lines}. Nothing is opened until "
        "they agree; /reconcile shows the ways to mend it."
    )
    return _notice(memory, NoticeKind.DIFFERENCE, account, text, ts)


def _asked_after(memory: Memory, event: Surveyed) -> Iterator[Effect]:
    """Ask for the orders that rest in the books and not at the exchange: they have ended."""
    resting = {order.order_link_id for order in event.survey.orders}
    for order in memory.accounts[event.account].orders.values():
        if _should_rest(order) and order.order_link_id not in resting:
            yield Resume(order)


def _should_rest(order: Order) -> bool:
    return order.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


def _protected_again(
    memory: Memory, event: Surveyed, found: Iterable[Difference]
) -> Iterator[Effect]:
    """Set stops that are not there."""
    for each in found:
        entry = memory.accounts[event.account].entries[each.symbol]
        yield Protect(event.account, each.symbol, entry.stop_loss, entry.take_profit, event.ts)


def _given_up(memory: Memory, event: Surveyed, found: Iterable[Difference]) -> Iterator[Effect]:
    """Close what still has no stop after it was set."""
    for each in found:
        gone = Unprotected(event.account, each.symbol, "it has no stop there", event.ts)
        yield from unprotected(memory, gone)


def unprotected(memory: Memory, event: Unprotected) -> list[Effect]:
    """Close a position that can be given no stop, and say so."""
    position = memory.accounts[event.account].positions.get(event.symbol)
    if position is None or position.is_flat:
        return []
    orders = memory.accounts[event.account].orders.values()
    if any(order.symbol == event.symbol and order.reduce_only for order in orders):
        return []
    order = booking.reduction(memory, position, Reason.UNPROTECTED, event.ts)
    text = (
        f"{position.bot_id} holds {event.symbol} without a stop at the exchange: {event.reason}. "
        "The position is being closed."
    )
    notice = _notice(memory, NoticeKind.PROTECTION, event.account, text, event.ts, event.symbol)
    # What waits to add to it would be unprotected too.
    waiting = resting.withdraw(memory, resting.entries(memory, event.account, event.symbol))
    return [notice, *waiting, *booking.intend(memory, Approved(order))]


def unreadable(memory: Memory, event: Unreadable) -> list[Effect]:
    state = memory.touch_account(event.account)
    if event.symbol in state.quarantined:
        return []
    state.quarantined[event.symbol] = event.detail
    text = (
        f"{_bot_id(memory, event.account)}: the exchange told of something that can't be booked: "
        f"{event.detail}. Nothing is opened until somebody looked: /reconcile."
    )
    return [
        Audit(Act(event.ts, "exchange", "unreadable", f"{event.account}: {event.detail}")),
        _notice(memory, NoticeKind.DIFFERENCE, event.account, text, event.ts),
    ]


def history_read(memory: Memory, event: HistoryRead) -> list[Effect]:
    state = memory.touch_account(event.account)
    state.history_until, state.history_end = event.until, event.end
    state.history_found = event.found
    if event.until < event.end:
        return []
    text = (
        f"{_bot_id(memory, event.account)}: history was read to its end, {event.found} executions. "
        "Those that were missing are booked now."
    )
    return [_notice(memory, NoticeKind.DIFFERENCE, event.account, text, event.ts)]


def unread(memory: Memory) -> list[Effect]:
    """The histories that an earlier process began to read, from where it stood."""
    return [
        ReadHistory(account, state.history_until, state.history_end)
        for account, state in memory.accounts.items()
        if memory.policy.surveys and state.history_until < state.history_end
    ]


# -- comparing ---------------------------------------------------------------------------


def differences(memory: Memory, account: str, survey: Survey, ts: int) -> Iterator[Difference]:
    """In what a survey of `ts` (UTC ms) is not as the books say, in the order in which it
    matters."""
    state = memory.accounts[account]
    there = {held.symbol: held for held in survey.positions if held.quantity}
    yield from _positions(state, there)
    yield from _stops(state, there)
    for order in survey.orders:
        if _is_known(memory, account, order.order_link_id, ts):
            continue
        if strange := _order_difference(memory, account, order, there):
            yield strange


def _positions(state: AccountState, there: dict[str, HeldThere]) -> Iterator[Difference]:
    ours = {p.symbol: p.quantity for p in state.positions.values() if not p.is_flat}
    for symbol in sorted({*ours, *there}):
        booked = ours.get(symbol, ZERO)
        held = there[symbol].quantity if symbol in there else ZERO
        if booked != held:
            detail = f"{symbol}: the books hold {_said(booked)}, the exchange {_said(held)}"
            yield Difference(DifferenceKind.POSITION, symbol, detail)


def _stops(state: AccountState, there: dict[str, HeldThere]) -> Iterator[Difference]:
    for symbol, held in there.items():
        entry = state.entries.get(symbol)
        position = state.positions.get(symbol)
        if entry is None or position is None or position.quantity != held.quantity:
            continue
        if entry.stop_loss and held.stop_loss is None:
            detail = f"{symbol}: the position has no stop at the exchange"
            yield Difference(DifferenceKind.NO_STOP, symbol, detail)


def _is_known(memory: Memory, account: str, link_id: str, ts: int) -> bool:
    """Whether an order that rests is open in the books, or ended there as it was looked at."""
    known = memory.order(account, link_id) if link_id else None
    return known is not None and (known.is_open or known.updated_at > ts - JUST_NOW_MS)


def _order_difference(
    memory: Memory, account: str, order: RestingThere, there: dict[str, HeldThere]
) -> Difference | None:
    """What is wrong with an order that rests at the exchange unknown, if anything."""
    said = f"{order.side} {order.quantity.normalize():f} {order.symbol}"
    if order.stop_kind:
        if order.symbol in there:
            return None
        detail = f"{order.symbol}: a {order.stop_kind} is left of a position that is gone"
        return Difference(DifferenceKind.ORPHAN, order.symbol, detail, order.order_id)
    if _is_ours(memory, account, order.order_link_id):
        detail = f"{order.symbol}: an order of ours that the books do not know ({said})"
        return Difference(DifferenceKind.ORPHAN, order.symbol, detail, order.order_id)
    detail = f"{order.symbol}: an order that is not the desk's ({said})"
    return Difference(DifferenceKind.STRANGE_ORDER, order.symbol, detail, order.order_id)


def _is_ours(memory: Memory, account: str, link_id: str) -> bool:
    try:
        return decode_link_id(link_id)[0] == memory.owners[account].bot_id
    except BadInput:
        return False


# -- what people say ---------------------------------------------------------------------


def check(memory: Memory, instruction: MendInstruction) -> None:
    """Raise Refused where a way to mend can't be gone, or would do nothing."""
    if not memory.policy.surveys:
        raise Refused("Paper accounts have no exchange to agree with.")
    match instruction:
        case CancelThere(account, _, order_ids):
            _check_account(memory, account)
            if not order_ids:
                raise Refused("No order is named.")
        case Accept(account, symbol):
            _check_account(memory, account)
            if not _waiting(memory, account, symbol):
                raise Refused("Nothing waits to be looked at.")
        case SyncHistory(bot_id, days):
            if bot_id not in memory.bots:
                raise BadInput("bot", bot_id, ", ".join(memory.bots))
            if not 1 <= days <= HISTORY_DAYS_MAX:
                raise BadInput("days", days, f"1 to {HISTORY_DAYS_MAX}")
            state = memory.accounts[memory.bots[bot_id].account]
            if state.history_until < state.history_end:
                raise Refused("A history is being read already; /sync status says how far it is.")
        case ArmAccount(uid):
            known = sorted({state.uid for state in memory.accounts.values() if state.uid})
            if uid not in known:
                raise BadInput("account", uid, ", ".join(known) or "none was heard of yet")
            if uid in memory.desk.armed:
                raise Refused(f"The desk may trade account {uid} already.")


def _check_account(memory: Memory, account: str) -> None:
    if account not in memory.accounts:
        raise BadInput("account", account, ", ".join(memory.accounts))


def _waiting(memory: Memory, account: str, symbol: str) -> list[str]:
    """What waits to be looked at: of a symbol, or of all."""
    return [each for each in memory.accounts[account].quarantined if symbol in ("", each)]


def run(memory: Memory, instruction: MendInstruction, asker: Asker, ts: int) -> Outcome:
    """Carry out a way to mend a difference."""
    try:
        check(memory, instruction)
    except Refused as error:
        return NotDone(str(error)), []
    match instruction:
        case CancelThere(account, symbol, order_ids):
            done = Done(f"{len(order_ids)} orders in {symbol} are being withdrawn.")
            return done, [WithdrawThere(account, symbol, order_ids, ts)]
        case Accept(account, symbol):
            looked_at = memory.touch_account(account).quarantined
            for each in _waiting(memory, account, symbol):
                del looked_at[each]
            return Done(f"{_bot_id(memory, account)} may go on."), []
        case SyncHistory(bot_id, days):
            return _sync(memory, bot_id, days, ts)
        case ArmAccount(uid):
            memory.desk.armed.append(uid)
            text = f"{asker.called} let the desk trade real money on account {uid}."
            notice = Notice(NoticeKind.DESK_CHANGED, ts, text=text)
            return Done(f"The desk may trade account {uid}."), [Notify(notice)]


def _sync(memory: Memory, bot_id: str, days: int, ts: int) -> Outcome:
    account = memory.bots[bot_id].account
    state = memory.touch_account(account)
    since = ts - days * DAY_MS
    state.history_until, state.history_end, state.history_found = since, ts, 0
    done = Done(f"The executions of the last {days} days are being read; /sync status follows it.")
    return done, [ReadHistory(account, since, ts)]


# -- words -------------------------------------------------------------------------------


def _bot_id(memory: Memory, account: str) -> str:
    return memory.owners[account].bot_id


def _said(quantity: Decimal) -> str:
    if not quantity:
        return "nothing"
    return f"{abs(quantity).normalize():f} {'long' if quantity > 0 else 'short'}"


def _notice(
    memory: Memory, kind: NoticeKind, account: str, text: str, ts: int, symbol: str | None = None
) -> Notify:
    bot_id = _bot_id(memory, account)
    return Notify(Notice(kind, ts, bot_id=bot_id, account=account, symbol=symbol, text=text))
