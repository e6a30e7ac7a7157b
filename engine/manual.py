"""Orders by hand: what one would be, and the order that is sent once a person has confirmed it.

Pure functions of the core's memory. What a person confirms is the ticket they were shown: its
quantity and levels are sent as they stand there, or it is void.
"""

from dataclasses import replace
from decimal import Decimal

from engine import booking, risk
from engine.effect import Done, Outcome, Record
from engine.errors import BadInput, Refused
from engine.event import ClosePosition, PlaceOrder
from engine.instrument import Instrument
from engine.mail import Address
from engine.memory import Memory
from engine.order import (
    ZERO,
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    order_link_id,
)
from engine.proposal import Ticket
from engine.risk import EntryRequest
from engine.signal import Action, Approved, GateResult
from engine.slot import Slot

# How far a price may move between the ticket and its confirmation, as a fraction.
DRIFT_MAX = Decimal("0.005")
# How it is said that it moved further.
PRICE_MOVED = "the price was"
# Nobody trades as much, and no database keeps any number.
AMOUNT_MAX = Decimal(10) ** 12
# A stop or target farther away than so many times the price is a slip of the finger.
LEVEL_FARTHEST = 10
# What estimates are rounded to: a hundredth of a cent.
PLACES = Decimal("0.0001")


def ticket(memory: Memory, instruction: PlaceOrder | ClosePosition, ts: int) -> Ticket:
    """What an order would be at the price of now (`ts`, wall ms); raises Refused where there can
    be none."""
    slot = _slot(memory, instruction.bot_id, instruction.symbol)
    if instruction.symbol not in memory.desk.prices:
        raise Refused(f"{instruction.symbol} has no price yet.")
    if isinstance(instruction, PlaceOrder):
        return _entry(memory, slot, instruction, ts)
    return _exit(memory, slot, instruction)


def drift(before: Ticket, now: Ticket) -> str:
    """What has changed too much since a ticket was shown, in words; empty when it still stands.

    A price that runs away is a reason not to enter, and none not to leave. Raises Refused where
    the price has passed the stop or the target.
    """
    if now.held != before.held:
        return f"the position was {_plain(before.held)}, it is {_plain(now.held)}"
    if before.reduce_only:
        return ""
    if now.leverage != before.leverage:
        return f"the leverage was {before.leverage}, it is {now.leverage}"
    moved = (now.price - before.price) / before.price
    if abs(moved) > DRIFT_MAX:
        return (
            f"{PRICE_MOVED} {_plain(before.price)}, it is {_plain(now.price)} ({moved:+.2%}, "
            f"allowed {DRIFT_MAX:.1%})"
        )
    _check_levels(before.side, now.price, before.stop_loss, before.take_profit)
    return refusal(now.gates)


def refusal(gates: tuple[GateResult, ...]) -> str:
    """What the first gate says that refuses; empty when all let pass."""
    return next((f"{gate.gate}: {gate.detail}" for gate in gates if not gate.passed), "")


def send(memory: Memory, confirmed: Ticket, asked_in: Address | None) -> Outcome:
    """Send the order of a ticket that a person has confirmed, with the record of why.

    What becomes of it is told in the chat where it was asked for.
    """
    order = _order(memory, confirmed)
    if asked_in is not None:
        memory.desk.asked_in[order.order_link_id] = asked_in
    slot = memory.slot(confirmed.bot_id, confirmed.symbol)
    action = Action.EXIT if confirmed.reduce_only else Action.ENTRY
    price, ts = memory.desk.prices[slot.symbol], order.created_at
    approved = Approved(order)
    decision = booking.decide(memory, slot, action, order.side, order.reason, price, ts, approved)
    text = f"{order.side} {_plain(order.quantity)} {order.symbol} is sent."
    return Done(text), [Record(decision), *booking.intend(memory, approved)]


def _order(memory: Memory, shown: Ticket) -> Order:
    """The order of a ticket, in market time."""
    desk = memory.desk
    ts, sequence = memory.next_sequence(shown.bot_id, max(desk.market_time, desk.told_until))
    reason = Reason.MANUAL_EXIT if shown.reduce_only else Reason.MANUAL_ENTRY
    exits = memory.slot(shown.bot_id, shown.symbol).exits
    rules = memory.instruments[shown.symbol]
    made = Order(
        account=shown.account,
        order_link_id=order_link_id(shown.bot_id, reason, ts, sequence),
        client_order_id=client_order_id(shown.bot_id, reason, ts),
        bot_id=shown.bot_id,
        symbol=shown.symbol,
        side=shown.side,
        order_type=OrderType.MARKET,
        quantity=shown.quantity,
        leverage=shown.leverage,
        reason=reason,
        created_at=ts,
        updated_at=ts,
        reduce_only=shown.reduce_only,
    )
    if shown.reduce_only:
        return made
    price = float(shown.price)
    return replace(
        made,
        stop_loss=shown.stop_loss,
        take_profit=shown.take_profit,
        trailing_stop=_level(rules, price, exits.trail),
        trailing_activation=_level(rules, price, 1.0 + shown.side.sign * exits.trail_activation)
        if exits.trail
        else None,
    )


# -- tickets -----------------------------------------------------------------------------


def _entry(memory: Memory, slot: Slot, wanted: PlaceOrder, ts: int) -> Ticket:
    _check_amount("amount", wanted.value)
    bot = slot.bot
    rules = memory.instruments[slot.symbol]
    price = memory.mark(slot.symbol)
    most = rules.quantity_max * price
    if wanted.value > most:
        raise BadInput(
            "amount", f"{wanted.value:f}", f"at most {_plain(_rounded(most))} at this price"
        )
    quantity = rules.quantize(float(wanted.value / price))
    stop = _protection(rules, wanted.stop_loss, price, -wanted.side.sign * slot.exits.stop_loss)
    target = _protection(
        rules, wanted.take_profit, price, wanted.side.sign * slot.exits.take_profit
    )
    _check_levels(wanted.side, price, stop, target)
    equity = memory.equity(bot.account)
    leverage = bot.strategy.sizing.leverage
    value = quantity * price
    fee = value * memory.policy.taker_fee
    held = _held(memory, slot)
    request = EntryRequest(
        ts=memory.desk.market_time,
        price=memory.desk.prices[slot.symbol],
        instrument=rules,
        sizing=bot.strategy.sizing,
        equity=equity,
        free_margin=memory.free_margin(bot.account),
        halted=memory.desk.why_halted,
        paused=bot.bot_id in memory.desk.paused,
        bars=slot.bars,
        bars_needed=bot.strategy.bars_needed,
        late=False,
        cooldown_until=0,
        holding=held,
        order_open=memory.order_open(slot),
        market_ended=memory.desk.market_ended,
        wanted=quantity,
        price_age=ts - memory.desk.priced_at.get(slot.symbol, 0),
        price_age_max=memory.policy.price_age_max_ms,
    )
    return Ticket(
        account=bot.account,
        bot_id=bot.bot_id,
        symbol=slot.symbol,
        side=wanted.side,
        quantity=quantity,
        price=price,
        value=_rounded(value),
        leverage=leverage,
        margin=_rounded(value / leverage),
        fee=_rounded(fee),
        share=_rounded(value / equity) if equity > 0 else ZERO,
        held=held,
        reduce_only=False,
        stop_loss=stop,
        take_profit=target,
        loss_at_stop=None if stop is None else _loss(memory, quantity, price, stop, leverage),
        gates=risk.verdicts_by_hand(request),
    )


def _exit(memory: Memory, slot: Slot, wanted: ClosePosition) -> Ticket:
    rules = memory.instruments[slot.symbol]
    held = _held(memory, slot)
    price = memory.mark(slot.symbol)
    if not (wanted.fraction.is_finite() and 0 < wanted.fraction <= 1):
        raise BadInput("fraction", str(wanted.fraction), "more than 0, at most 1")
    if not held:
        raise Refused(f"{slot.bot.bot_id} holds no {slot.symbol}.")
    if memory.order_open(slot):
        raise Refused(f"{slot.symbol}: an order is on its way already.")
    if memory.desk.market_ended:
        raise Refused("The market has ended: nothing would be filled.")
    whole = wanted.fraction == 1
    quantity = abs(held) if whole else rules.quantize(float(abs(held) * wanted.fraction))
    if quantity < rules.quantity_min:
        raise Refused(
            f"{wanted.fraction:.0%} of {_plain(abs(held))} {slot.symbol} is below the least "
            f"quantity, {_plain(rules.quantity_min)}. /close {slot.symbol} all closes it."
        )
    equity = memory.equity(slot.bot.account)
    value = quantity * price
    position = memory.accounts[slot.bot.account].positions[slot.symbol]
    return Ticket(
        account=slot.bot.account,
        bot_id=slot.bot.bot_id,
        symbol=slot.symbol,
        side=Side.SELL if held > 0 else Side.BUY,
        quantity=quantity,
        price=price,
        value=_rounded(value),
        leverage=position.leverage,
        margin=_rounded(value / position.leverage),
        fee=_rounded(value * memory.policy.taker_fee),
        share=_rounded(value / equity) if equity > 0 else ZERO,
        held=held,
        reduce_only=True,
        realizes=_rounded(
            position.unrealized(price) * quantity / abs(held) - value * memory.policy.taker_fee
        ),
    )


def _slot(memory: Memory, bot_id: str, symbol: str) -> Slot:
    if bot_id not in memory.bots:
        raise BadInput("bot", bot_id, ", ".join(memory.bots))
    symbols = memory.bots[bot_id].symbols
    if symbol not in symbols:
        raise BadInput("symbol", symbol, ", ".join(symbols))
    return memory.slot(bot_id, symbol)


def _held(memory: Memory, slot: Slot) -> Decimal:
    position = memory.accounts[slot.bot.account].positions.get(slot.symbol)
    return position.quantity if position else ZERO


def _protection(
    rules: Instrument, asked: Decimal | None, price: Decimal, distance: float
) -> Decimal | None:
    """The level somebody asked for, else the strategy's; None where it has none."""
    if asked is not None:
        least, most = rules.tick, price * LEVEL_FARTHEST
        if not (asked.is_finite() and least <= asked <= most):
            allowed = f"a price from {_plain(least)} to {_plain(_rounded(most))}"
            raise BadInput("price", f"{asked}"[:40], allowed)
        if asked % rules.tick:
            raise BadInput("price", f"{asked:f}", f"steps of {_plain(rules.tick)}")
        return asked
    return rules.price_down(float(price) * (1.0 + distance)) if distance else None


def _check_amount(field: str, amount: Decimal) -> None:
    if not (amount.is_finite() and 0 < amount < AMOUNT_MAX):
        raise BadInput(field, str(amount), f"more than 0, less than {AMOUNT_MAX:,}")


def _check_levels(side: Side, price: Decimal, stop: Decimal | None, target: Decimal | None) -> None:
    """A stop beyond the price would close at once, and so would a target."""
    long = side is Side.BUY
    below, above = ("below", "above") if long else ("above", "below")
    if stop is not None and (stop >= price if long else stop <= price):
        raise BadInput("stop", _plain(stop), f"a price {below} {_plain(price)}")
    if target is not None and (target <= price if long else target >= price):
        raise BadInput("target", _plain(target), f"a price {above} {_plain(price)}")


def _loss(
    memory: Memory, quantity: Decimal, price: Decimal, stop: Decimal, leverage: int
) -> Decimal:
    """What the stop costs with both fees; margin is isolated, so no more than that by price."""
    fees = quantity * (price + stop) * memory.policy.taker_fee
    return _rounded(min(quantity * abs(price - stop), quantity * price / leverage) + fees)


def _level(rules: Instrument, price: float, factor: float) -> Decimal | None:
    return rules.price_down(price * factor) if factor else None


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(PLACES)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
