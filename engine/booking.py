"""Orders and what the exchange says of them, booked: each once.

Pure functions of the core's memory. They say what is to be stored and told, and decide nothing.
"""

from dataclasses import replace

from engine.audit import Act
from engine.candle import HOUR_MS
from engine.effect import Audit, Effect, Notice, NoticeKind, Notify, Record, Sample, Submit
from engine.errors import Broken
from engine.event import (
    Executed,
    FundingSettled,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    StopMoved,
)
from engine.ledger import EquityPoint, Funding
from engine.memory import Memory
from engine.order import (
    Execution,
    Fill,
    Order,
    Reason,
    Side,
    client_order_id,
    decode_link_id,
)
from engine.position import Position, apply, round_trip
from engine.signal import Action, Approved, Decision, Denied
from engine.slot import Slot
from engine.strategies.exits import rests_until

SAMPLE_EVERY_MS = HOUR_MS


def sample(memory: Memory, ts: int) -> list[Effect]:
    """Each account's worth at the last full hour, before the first news from after it.

    That may be an execution: a paper exchange speaks of a bar before the bar is taken.
    """
    desk = memory.desk
    due = desk.next_sample
    if ts <= due:
        return []
    desk.next_sample = (ts - 1) // SAMPLE_EVERY_MS * SAMPLE_EVERY_MS + SAMPLE_EVERY_MS
    if not due:
        return []
    return [
        Sample(EquityPoint(account, due, state.ledger.balance, memory.equity(account)))
        for account, state in memory.accounts.items()
    ]


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
    kind = "reduce" if order.reduce_only else "open"
    detail = f"{kind} {order.side} {order.quantity} {order.symbol} {order.order_link_id}"
    return [
        Record(order),
        Audit(Act(order.created_at, order.bot_id, "order", detail)),
        Submit(order),
    ]


def accepted(memory: Memory, event: OrderAccepted) -> list[Effect]:
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    return [_keep(memory, order.accepted(event.order_id, event.ts))]


def rejected(memory: Memory, event: OrderRejected) -> list[Effect]:
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    rejected = order.rejected(event.reason, event.ts)
    notice = Notice(
        NoticeKind.ORDER_REJECTED,
        event.ts,
        bot_id=order.bot_id,
        account=order.account,
        symbol=order.symbol,
        order=rejected,
        text=event.reason,
    )
    told = _told_who_asked(memory, notice, rejected)
    return [_keep(memory, rejected), Notify(notice), *told]


def canceled(memory: Memory, event: OrderCanceled) -> list[Effect]:
    order = memory.accounts[event.account].orders.get(event.order_link_id)
    if order is None:
        return []
    canceled = order.canceled(event.ts, event.reason)
    _forget_chat(memory, canceled)
    return [_keep(memory, canceled)]


def _keep(memory: Memory, order: Order) -> Record:
    memory.keep_order(order)
    return Record(order)


def executed(memory: Memory, event: Executed) -> list[Effect]:
    execution = event.execution
    if not memory.see(execution.account, execution.exec_id):
        return []
    state = memory.touch_account(execution.account)
    order = state.orders.get(execution.order_link_id)
    fill = _attribute(memory, execution, order)
    effects = [*sample(memory, execution.ts), Record(fill)]
    if order is not None:
        # A fill may come before the acceptance: whoever fills an order has received it.
        named = replace(order, order_id=order.order_id or execution.order_id)
        order = named.filled(execution.quantity, execution.ts)
        effects.append(_keep(memory, order))
        if not order.reduce_only:
            state.entries[fill.symbol] = order
    before = state.positions.get(fill.symbol) or Position(fill.account, fill.bot_id, fill.symbol)
    applied = apply(before, fill, _leverage(memory, fill, order, before))
    state.positions[fill.symbol] = applied.position
    state.ledger = state.ledger.after_fill(
        applied.realized, fill.commission, applied.closed is not None
    )
    _tell_slot(memory, fill, applied.position)
    effects.append(Record(applied.position))
    effects.extend(_fill_notices(memory, fill, order, before, applied.closed))
    return effects


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
    elif execution.order_link_id:
        bot_id, reason, ts, _ = decode_link_id(execution.order_link_id)
        our_id = client_order_id(bot_id, reason, ts)
    else:
        bot = memory.owners[execution.account]
        if execution.trigger is None:
            raise Broken(f"execution {execution.exec_id} has neither an order nor a trigger")
        bot_id, reason = bot.bot_id, execution.trigger
        our_id = client_order_id(bot_id, reason, execution.ts)
    return execution.as_fill(bot_id, our_id, reason)


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
    return [*effects, Notify(notice), *_told_who_asked(memory, notice, order)]


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
            slot.cooldown_until = rests_until(slot.exits, fill.exec_time)
            memory.touch_slot(slot)


def funding(memory: Memory, event: FundingSettled) -> list[Effect]:
    state = memory.touch_account(event.account)
    if event.ts <= state.funded.get(event.symbol, 0):
        return []
    effects = sample(memory, event.ts)
    state.funded[event.symbol] = event.ts
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
    if position is not None and not position.is_flat:
        position = position.with_funding(event.amount)
        state.positions[event.symbol] = position
        effects.append(Record(position))
    return effects


def stop_moved(memory: Memory, event: StopMoved) -> list[Effect]:
    """Nothing waits for it: it is stored with what comes next."""
    entries = memory.touch_account(event.account).entries
    if event.symbol in entries:
        entries[event.symbol] = replace(entries[event.symbol], stop_loss=event.stop)
    return []
