"""Tickets that a person has confirmed: whether they still stand, and the orders they become.

Pure functions of the core's memory. What a person confirms is the ticket they were shown: its
quantity and levels are sent as they stand there, or it is void.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from engine import booking, resting
from engine.effect import Done, Effect, NotDone, Outcome, Record
from engine.errors import Refused
from engine.instrument import Instrument
from engine.levels import check_sides, plain
from engine.mail import Address
from engine.manual import refusal, ticket, whole
from engine.memory import Memory
from engine.order import (
    Order,
    OrderType,
    Reason,
    client_order_id,
    order_link_id,
)
from engine.proposal import Ticket
from engine.signal import Action, Approved

# How far a price may move between the ticket and its confirmation, as a fraction.
DRIFT_MAX = Decimal("0.005")
# How it is said that it moved further.
PRICE_MOVED = "the price was"


def drift(before: Ticket, now: Ticket) -> str:
    """What has changed too much since a ticket was shown, in words; empty when it still stands.

    A price that runs away is a reason not to enter at the market, and none not to leave. Raises
    Refused where the price has passed the stop or the target.
    """
    if now.held != before.held:
        return f"the position was {plain(before.held)}, it is {plain(now.held)}"
    if before.reduce_only:
        return ""
    if now.leverage != before.leverage:
        return f"the leverage was {before.leverage}, it is {now.leverage}"
    moved = (now.price - before.price) / before.price
    if before.order_type is OrderType.MARKET and abs(moved) > DRIFT_MAX:
        return (
            f"{PRICE_MOVED} {plain(before.price)}, it is {plain(now.price)} ({moved:+.2%}, "
            f"allowed {DRIFT_MAX:.1%})"
        )
    check_sides(before.side, now.price, before.stop_loss, before.take_profit)
    return refusal(now.gates)


def drift_of_all(memory: Memory, before: Sequence[Ticket], ts: int) -> str:
    """Why none of several tickets stands any more; empty while one does."""
    reasons = [_why_out(memory, each, ts) for each in before]
    return "" if "" in reasons else "; ".join(_named_out(before, reasons))


def _named_out(shown: Sequence[Ticket], reasons: Sequence[str]) -> list[str]:
    paired = zip(shown, reasons, strict=True)
    return [f"{each.symbol}: {reason}" for each, reason in paired if reason]


def _why_out(memory: Memory, before: Ticket, ts: int) -> str:
    """Why a position is not closed as its ticket showed it; empty where it can be."""
    try:
        return drift(before, ticket(memory, whole(before.bot_id, before.symbol), ts))
    except Refused as error:
        return str(error).rstrip(".")


# -- sending -----------------------------------------------------------------------------


def send(memory: Memory, confirmed: Ticket, asked_in: Address | None) -> Outcome:
    """Send the order of a ticket that a person has confirmed, with the record of why.

    What becomes of it is told in the chat where it was asked for. Whoever closes a position wants
    no more of it: an order that would still add to it is withdrawn.
    """
    order = _order(memory, confirmed)
    if asked_in is not None:
        memory.desk.asked_in[order.order_link_id] = asked_in
    slot = memory.slot(confirmed.bot_id, confirmed.symbol)
    action = Action.EXIT if confirmed.reduce_only else Action.ENTRY
    price, ts = memory.desk.prices[slot.symbol], order.created_at
    approved = Approved(order)
    decision = booking.decide(memory, slot, action, order.side, order.reason, price, ts, approved)
    effects: list[Effect] = [Record(decision)]
    if order.reduce_only:
        effects += resting.withdraw(memory, resting.entries(memory, order.account, order.symbol))
    resting.watch(memory, order)
    return Done(f"{_said(order)} is sent."), [*effects, *booking.intend(memory, approved)]


def send_all(memory: Memory, shown: Sequence[Ticket], asked_in: Address | None, ts: int) -> Outcome:
    """Send the orders of those tickets that still stand, and say which do not."""
    reasons = [_why_out(memory, each, ts) for each in shown]
    standing = [each for each, reason in zip(shown, reasons, strict=True) if not reason]
    if not standing:
        return NotDone("; ".join(_named_out(shown, reasons))), []
    effects = [effect for each in standing for effect in send(memory, each, asked_in)[1]]
    text = f"{', '.join(each.symbol for each in standing)}: closing at the market is sent."
    if out := _named_out(shown, reasons):
        text += f" Left out: {'; '.join(out)}."
    return Done(text), effects


def _said(order: Order) -> str:
    words = f"{order.side} {plain(order.quantity)} {order.symbol}"
    if order.price is not None:
        return f"{words} with the limit {plain(order.price)}"
    if order.trigger_price is not None:
        return f"{words} at {plain(order.trigger_price)}"
    return words


def _order(memory: Memory, shown: Ticket) -> Order:
    """The order of a ticket, in market time."""
    ts, sequence = memory.next_sequence(shown.bot_id, memory.desk.now)
    reason = Reason.MANUAL_EXIT if shown.reduce_only else Reason.MANUAL_ENTRY
    made = Order(
        account=shown.account,
        order_link_id=order_link_id(shown.bot_id, reason, ts, sequence),
        client_order_id=client_order_id(shown.bot_id, reason, ts),
        bot_id=shown.bot_id,
        symbol=shown.symbol,
        side=shown.side,
        order_type=shown.order_type,
        quantity=shown.quantity,
        leverage=shown.leverage,
        reason=reason,
        created_at=ts,
        updated_at=ts,
        reduce_only=shown.reduce_only,
    )
    return made if shown.reduce_only else _with_levels(memory, made, shown)


def _with_levels(memory: Memory, order: Order, shown: Ticket) -> Order:
    """An entry with its own price, its life, and the levels that its position will have."""
    exits = memory.slot(shown.bot_id, shown.symbol).exits
    rules = memory.instruments[shown.symbol]
    price = float(shown.price)
    return replace(
        order,
        price=shown.asked_price if shown.order_type is OrderType.LIMIT else None,
        trigger_price=shown.asked_price if shown.order_type is OrderType.STOP else None,
        post_only=shown.post_only,
        expires_at=order.created_at + shown.lasts_ms if shown.lasts_ms else 0,
        stop_loss=shown.stop_loss,
        take_profit=shown.take_profit,
        trailing_stop=_level(rules, price, exits.trail),
        trailing_activation=_level(rules, price, 1.0 + shown.side.sign * exits.trail_activation)
        if exits.trail
        else None,
    )


def _level(rules: Instrument, price: float, factor: float) -> Decimal | None:
    return rules.price_down(price * factor) if factor else None
