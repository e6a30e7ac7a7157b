"""Orders and what the exchange says of them, booked: each once.

Pure functions of the core's memory. They say what is to be stored and told, and decide nothing.
"""

from dataclasses import replace
from decimal import Decimal

from engine import resting, tally, unclosed, watching
from engine.audit import Act
from engine.candle import HOUR_MS
from engine.effect import Audit, Effect, Notice, NoticeKind, Notify, Record, Sample, Submit
from engine.errors import BadInput
from engine.event import (
    Executed,
    FundingSettled,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    StopMoved,
    StopsRefused,
    StopsSet,
)
from engine.ledger import EquityPoint, Funding, payment_id
from engine.levels import grouped
from engine.memory import AccountState, Memory
from engine.order import (
    Execution,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    client_order_id,
    decode_link_id,
    order_link_id,
)
from engine.position import Position, apply, round_trip
from engine.signal import Action, Approved, Decision, Denied
from engine.slot import Slot
from engine.strategies.exits import rests_until

SAMPLE_EVERY_MS = HOUR_MS
# What a person has to look at, by the reason of a fill.
STOOD_STILL_FOR = {
    Reason.EXTERNAL: "a trade that is not the desk's",
    Reason.LIQUIDATION: "the exchange liquidated a position",
    Reason.SETTLEMENT: "the exchange settled the contract",
}
ANOTHER_DESKS = (
    "an order in this bot's name that this desk did not send (does another desk trade with this "
    "API key?)"
)


def sample(memory: Memory, ts: int) -> list[Effect]:
    """Each account's worth at the last full hour, before the first news from after it.

    That may be an execution: a paper exchange speaks of a bar before the bar is taken.
    """
    desk = memory.desk
    due = desk.next_sample
    if ts <= due:
        return []
    hour = (ts - 1) // SAMPLE_EVERY_MS * SAMPLE_EVERY_MS
    desk.next_sample = hour + SAMPLE_EVERY_MS
    watched = [each for account in memory.accounts for each in tally.watch(memory, account, hour)]
    watched += watching.check(memory, hour)
    if not due:
        return watched
    samples = [
        Sample(EquityPoint(account, due, state.ledger.balance, memory.equity(account)))
        for account, state in memory.accounts.items()
    ]
    return [*samples, *watched]


def decide(
    memory: Memory,
    slot: Slot,
    action: Action,
    side: Side,
    reason: Reason,
    price: float,
    ts: int,
    verdict: Approved | Denied,
    confidence: float = 1.0,
) -> Decision:
    """The record of a decision, by whomever it was made."""
    memory.desk.decisions += 1
    refused = verdict if isinstance(verdict, Denied) else None
    order = verdict.order if isinstance(verdict, Approved) else None
    return Decision(
        decision_id=memory.desk.decisions,
        account=slot.bot.account,
        bot_id=slot.bot.bot_id,
        symbol=slot.symbol,
        ts=ts,
        action=action,
        side=side,
        reason=reason,
        price=price,
        approved=order is not None,
        gate=refused.gate if refused else "",
        detail=refused.detail if refused else "",
        order_link_id=order.order_link_id if order else None,
        confidence=confidence,
    )


def intend(memory: Memory, approved: Approved) -> list[Effect]:
    """Remember an order and have it sent, once that is stored."""
    order = approved.order
    memory.keep_order(order)
    tally.sent(memory, order.created_at)
    kind = "reduce" if order.reduce_only else "open"
    detail = f"{kind} {order.side} {order.quantity} {order.symbol} {order.order_link_id}"
    return [
        Record(order),
        Audit(Act(order.created_at, order.bot_id, "order", detail)),
        Submit(order),
    ]


def closable(memory: Memory, position: Position) -> Decimal:
    """What of a position one market order can close: the rest is left in the next (`leaving`)."""
    rules = memory.instruments.get(position.symbol)
    held = abs(position.quantity)
    return held if rules is None else min(held, rules.quantity_max)


def reduction(memory: Memory, position: Position, reason: Reason, ts: int) -> Order:
    """A market order that closes a position, whatever a strategy thinks of it."""
    assert position.side is not None
    bot = memory.owners[position.account]
    named_at, sequence = memory.next_sequence(bot.bot_id, ts)
    return Order(
        account=position.account,
        order_link_id=order_link_id(bot.bot_id, reason, named_at, sequence),
        client_order_id=client_order_id(bot.bot_id, reason, named_at),
        bot_id=bot.bot_id,
        symbol=position.symbol,
        side=position.side.opposite,
        order_type=OrderType.MARKET,
        quantity=closable(memory, position),
        leverage=position.leverage,
        reason=reason,
        created_at=ts,
        updated_at=ts,
        reduce_only=True,
    )


# An exchange may say twice, and late, what became of an order: what is known stands.


def accepted(memory: Memory, event: OrderAccepted) -> list[Effect]:
    order = memory.order(event.account, event.order_link_id)
    if order is None or order.order_id == event.order_id:
        return []
    return [_keep(memory, order.accepted(event.order_id, event.ts))]


def unknown(memory: Memory, event: OrderUnknown) -> list[Effect]:
    """Nobody knows whether an order arrived; people are told when that takes long: said twice."""
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    if order.status is OrderStatus.PENDING:
        return [_keep(memory, order.unknown(event.ts, event.reason))]
    notice = _notice_of(NoticeKind.ORDER_UNKNOWN, order, event.reason, event.ts)
    return [Notify(notice), *_told_who_asked(memory, notice, order)]


def rejected(memory: Memory, event: OrderRejected) -> list[Effect]:
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    if order.filled_quantity:
        return canceled(
            memory, OrderCanceled(event.account, event.order_link_id, event.reason, event.ts)
        )
    rejected = order.rejected(event.reason, event.ts)
    notice = _notice_of(NoticeKind.ORDER_REJECTED, rejected, event.reason, event.ts)
    told = _told_who_asked(memory, notice, rejected)
    unclosed.note_failed(memory, rejected, event.ts)
    said = [Notify(notice), *told] if unclosed.is_news(memory, rejected) else []
    return [_keep(memory, rejected), *said]


def _notice_of(kind: NoticeKind, order: Order, text: str, ts: int) -> Notice:
    return Notice(
        kind,
        ts,
        bot_id=order.bot_id,
        account=order.account,
        symbol=order.symbol,
        order=order,
        text=text,
    )


def canceled(memory: Memory, event: OrderCanceled) -> list[Effect]:
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    canceled = order.canceled(event.ts, event.reason)
    told = _told_canceled(memory, canceled, event)
    _forget_chat(memory, canceled)
    unclosed.note_failed(memory, canceled, event.ts)
    return [_keep(memory, canceled), *told]


def _told_canceled(memory: Memory, order: Order, event: OrderCanceled) -> list[Effect]:
    """What a person asked for and will not be filled is told; a strategy just asks again."""
    if order.reason not in (Reason.MANUAL_ENTRY, Reason.MANUAL_EXIT):
        return []
    notice = _notice_of(NoticeKind.ORDER_CANCELED, order, event.reason, event.ts)
    return [Notify(notice), *_told_who_asked(memory, notice, order)]


def _keep(memory: Memory, order: Order) -> Record:
    memory.keep_order(order)
    return Record(order)


def executed(memory: Memory, event: Executed) -> list[Effect]:
    execution = event.execution
    if not memory.see(execution.account, execution.exec_id):
        return []
    state = memory.touch_account(execution.account)
    # Somebody may trade before the market has told of a price.
    memory.desk.prices.setdefault(execution.symbol, float(execution.price))
    order = memory.order(execution.account, execution.order_link_id)
    fill = _attribute(memory, execution, order)
    effects = [*sample(memory, execution.ts), Record(fill)]
    if what := _what_is_odd(memory, execution, order, fill):
        effects += _stand_still(memory, fill, what)
    if order is not None:
        # A fill may come before the acceptance: whoever fills an order has received it.
        named = replace(order, order_id=order.order_id or execution.order_id)
        order = named.filled(execution.quantity, execution.ts)
        effects.append(_keep(memory, order))
        if not order.reduce_only:
            state.entries[fill.symbol] = _where_levels_stand(state, order)
    before = state.positions.get(fill.symbol) or Position(fill.account, fill.bot_id, fill.symbol)
    applied = apply(before, fill, _leverage(memory, fill, order, before))
    state.positions[fill.symbol] = applied.position
    state.ledger = state.ledger.after_fill(
        applied.realized, fill.commission, applied.closed is not None
    )
    _tell_slot(memory, fill, applied.position)
    effects.append(Record(applied.position))
    effects.extend(_fill_notices(memory, fill, order, before, applied.closed))
    effects += tally.watch(memory, fill.account, fill.exec_time)
    if order is not None:
        unclosed.note_rest(memory, order, applied.position, fill.exec_time)
    if applied.closed is not None:
        if order is None or order.reduce_only or applied.position.is_flat:
            # What stands there now, somebody else opened.
            state.entries.pop(fill.symbol, None)
        # What still waits to add to it would open another one.
        effects += resting.withdraw(memory, resting.entries(memory, fill.account, fill.symbol))
    return effects


def _where_levels_stand(state: AccountState, order: Order) -> Order:
    """An entry that is filled in parts, with its levels as they were moved since the first."""
    before = state.entries.get(order.symbol)
    if before is None or before.order_link_id != order.order_link_id:
        return order
    return replace(order, stop_loss=before.stop_loss, take_profit=before.take_profit)


def _leverage(memory: Memory, fill: Fill, order: Order | None, before: Position) -> int:
    """That of the order, else of the position, else what the bot trades with."""
    if order is not None:
        return order.leverage
    if not before.is_flat:
        return before.leverage
    return memory.owners[fill.account].strategy.sizing.leverage


def _attribute(memory: Memory, execution: Execution, order: Order | None) -> Fill:
    """Whose execution it was: by its order, by its id, or by who owns the position."""
    if order is not None:
        bot_id, reason, our_id = order.bot_id, order.reason, order.client_order_id
    elif (decoded := _ours(memory, execution)) is not None:
        bot_id, reason, ts = decoded
        our_id = client_order_id(bot_id, reason, ts)
    else:
        bot_id = memory.owners[execution.account].bot_id
        reason = execution.trigger or Reason.EXTERNAL
        our_id = client_order_id(bot_id, reason, execution.ts)
    return execution.as_fill(bot_id, our_id, reason)


def _ours(memory: Memory, execution: Execution) -> tuple[str, Reason, int] | None:
    """Bot, reason and time by the id of an order that the account's own bot made."""
    try:
        bot_id, reason, ts, _ = decode_link_id(execution.order_link_id)
    except BadInput:
        return None
    return (bot_id, reason, ts) if memory.owners[execution.account].bot_id == bot_id else None


def _what_is_odd(memory: Memory, execution: Execution, order: Order | None, fill: Fill) -> str:
    """What a person has to look at; empty where it is the desk's own trade, or was read from
    before."""
    if fill.close_reason in STOOD_STILL_FOR:
        return STOOD_STILL_FOR[fill.close_reason]
    if order is not None or not memory.policy.surveys or _ours(memory, execution) is None:
        return ""
    # The emergency stop closes without the books.
    known = fill.close_reason is Reason.KILL
    known |= execution.ts <= memory.accounts[execution.account].history_end
    return "" if known else ANOTHER_DESKS


def _stand_still(memory: Memory, fill: Fill, what: str) -> list[Effect]:
    """Enter a symbol no more until a person looked; said once."""
    waiting = memory.accounts[fill.account].quarantined
    # On paper there is nothing to look at: the desk simulates it.
    is_play = fill.close_reason is Reason.LIQUIDATION and not memory.policy.surveys
    if is_play or fill.symbol in waiting:
        return []
    detail = f"{what}: {fill.side} {grouped(fill.exec_qty)} at {grouped(fill.exec_price)}"
    waiting[fill.symbol] = detail
    until = "a person has looked: /reconcile"
    text = f"{fill.bot_id} {fill.symbol}: {detail}. Nothing is opened there until {until}."
    notice = Notice(
        NoticeKind.DIFFERENCE,
        fill.exec_time,
        bot_id=fill.bot_id,
        account=fill.account,
        symbol=fill.symbol,
        text=text,
    )
    return [Notify(notice)]


def _fill_notices(
    memory: Memory, fill: Fill, order: Order | None, before: Position, closed: Position | None
) -> list[Effect]:
    trade = None
    effects: list[Effect] = []
    if closed is not None and before.side is not None:
        memory.desk.trades += 1
        trade = round_trip(memory.desk.trades, closed, before.side, fill)
        effects.append(Record(trade))
    opens = before.is_flat or before.side is fill.side
    notice = Notice(
        NoticeKind.ENTRY if opens else NoticeKind.EXIT,
        fill.exec_time,
        bot_id=fill.bot_id,
        account=fill.account,
        symbol=fill.symbol,
        order=order,
        fill=fill,
        trade=trade,
        balance=memory.accounts[fill.account].ledger.balance,
        topic=_topic(fill, before),
    )
    counted = [*tally.closed(memory, trade), *watching.closed(memory, trade)] if trade else []
    return [*effects, Notify(notice), *_told_who_asked(memory, notice, order), *counted]


def _told_who_asked(memory: Memory, notice: Notice, order: Order | None) -> list[Effect]:
    """The same for the chat where an order by hand was asked for, or the position it opened."""
    state = memory.accounts[notice.account or ""]
    entry = state.entries.get(notice.symbol or "")
    asked_in = memory.desk.asked_in
    orders = {each.order_link_id for each in (order, entry) if each is not None}
    places = {asked_in[link_id] for link_id in orders if link_id in asked_in}
    if notice.trade is not None and entry is not None:
        asked_in.pop(entry.order_link_id, None)
    if order is not None:
        _forget_chat(memory, order)
    return [Notify(replace(notice, address=at)) for at in sorted(places, key=str)]


def _forget_chat(memory: Memory, order: Order) -> None:
    """Nothing more is told of an order that is over; of a position, until it is closed."""
    opened = order.filled_quantity and not order.reduce_only
    if not order.is_open and not opened:
        memory.desk.asked_in.pop(order.order_link_id, None)


def _topic(fill: Fill, before: Position) -> str:
    """The trade that a fill belongs to: named by the order that opened it."""
    opened_by = fill.client_order_id if before.is_flat else before.entry_client_order_id
    return f"trade:{fill.account}:{fill.symbol}:{opened_by}"


def _tell_slot(memory: Memory, fill: Fill, position: Position) -> None:
    for slot in memory.slots.get(fill.symbol, ()):
        if slot.bot.bot_id == fill.bot_id:
            slot.held = not position.is_flat
            slot.opened_at = position.opened_at
            memory.watch_margin(slot)
            slot.cooldown_until = rests_until(slot.exits, fill.exec_time)
            memory.touch_slot(slot)


def funding(memory: Memory, event: FundingSettled) -> list[Effect]:
    if not memory.see(event.account, payment_id(event.symbol, event.ts)):
        return []
    state = memory.touch_account(event.account)
    effects = sample(memory, event.ts)
    state.ledger = state.ledger.after_funding(event.amount)
    payment = Funding(
        account=event.account,
        bot_id=memory.owners[event.account].bot_id,
        symbol=event.symbol,
        ts=event.ts,
        amount=event.amount,
        rate=event.rate,
        price=event.price,
        quantity=event.quantity,
    )
    effects.append(Record(payment))
    position = state.positions.get(event.symbol)
    # What is told late may be of a position that was closed since.
    if position is not None and not position.is_flat and position.opened_at <= event.ts:
        position = position.with_funding(event.amount)
        state.positions[event.symbol] = position
        effects.append(Record(position))
    return effects


def stops_set(memory: Memory, event: StopsSet) -> list[Effect]:
    """The levels of a position stand as somebody, or something, wanted them."""
    entries = memory.touch_account(event.account).entries
    entry = entries.get(event.symbol)
    if entry is None:
        return []
    moved = replace(entry, stop_loss=event.stop_loss, take_profit=event.take_profit)
    if moved == entry:
        return []
    entries[event.symbol] = moved
    text = f"{moved.bot_id} {event.symbol}: the exchange holds {_levels(moved)}."
    notice = _notice_of(NoticeKind.PROTECTION, moved, text, event.ts)
    return [Notify(notice)]


def stops_refused(memory: Memory, event: StopsRefused) -> list[Effect]:
    entry = memory.accounts[event.account].entries.get(event.symbol)
    bot_id = memory.owners[event.account].bot_id
    kept = f" The position keeps {_levels(entry)}." if entry else ""
    text = f"{bot_id} {event.symbol}: the levels were not moved: {event.reason}{kept}"
    notice = Notice(
        NoticeKind.PROTECTION,
        event.ts,
        bot_id=bot_id,
        account=event.account,
        symbol=event.symbol,
        order=entry,
        text=text,
    )
    return [Notify(notice)]


def _levels(order: Order) -> str:
    stop, target = order.stop_loss, order.take_profit
    said = [f"stop {grouped(stop)}" if stop else "no stop"]
    if target:
        said.append(f"target {grouped(target)}")
    return ", ".join(said)


def stop_moved(memory: Memory, event: StopMoved) -> list[Effect]:
    """Nothing waits for it: it is stored with what comes next."""
    entries = memory.touch_account(event.account).entries
    if event.symbol in entries:
        entries[event.symbol] = replace(entries[event.symbol], stop_loss=event.stop)
    return []
