"""The request for an entry, made in one place: whoever wants one meets every layer of risk.

Pure functions of the core's memory.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from engine import reconcile, resting, tally
from engine.candle import MINUTE_MS
from engine.limits import NO_CAPS, NO_LIMITS
from engine.memory import Memory
from engine.order import ZERO, Order, Side
from engine.position import Position
from engine.request import NO_LAYERS, EntryRequest, Layers
from engine.slot import Slot
from engine.standing import NO_CAP_USED, CapUse, Committed, day_of


def entry_request(
    memory: Memory, slot: Slot, side: Side | None, price: float, stop: float, ts: int
) -> EntryRequest:
    """What the gates look at for an entry of a bot's symbol at `ts`, market ms.

    `stop` is the distance of the stop as a fraction of the price, 0 where there is none. Whoever
    wants the entry sets what is only theirs: a signal's confidence, the quantity of a person.
    """
    bot, desk = slot.bot, memory.desk
    account, strategy = bot.account, bot.strategy
    position = memory.accounts[account].positions.get(slot.symbol)
    return EntryRequest(
        ts=ts,
        price=price,
        instrument=memory.instruments[slot.symbol],
        sizing=strategy.sizing,
        equity=memory.equity(account),
        free_margin=memory.free_margin(account),
        halted=desk.why_halted,
        paused=bot.bot_id in desk.paused,
        bars=slot.bars,
        bars_needed=strategy.bars_needed,
        late=False,
        cooldown_until=slot.cooldown_until,
        holding=position.quantity if position else ZERO,
        order_open=memory.order_open(slot),
        order_waits=bool(resting.entries(memory, account, slot.symbol)),
        market_ended=desk.market_ended,
        price_age=desk.now - desk.priced_at.get(slot.symbol, 0),
        price_age_max=memory.policy.price_age_max_ms,
        side=side,
        stop=stop,
        pipeline=strategy.pipeline,
        heard=slot.heard,
        sides=memory.sides(ts),
        disabled=desk.disabled.get(f"{bot.bot_id}:{slot.symbol}", ""),
        taken=_slots_taken(memory, slot) if strategy.sizing.slots else 0,
        layers=_layers(memory, slot, ts),
    )


def _slots_taken(memory: Memory, slot: Slot) -> int:
    """Positions that risk something, and entries on their way."""
    sizing = slot.bot.strategy.sizing
    account = memory.accounts[slot.bot.account]
    held = [p for p in memory.held(slot.bot.account) if p.symbol != slot.symbol]
    if sizing.free_at_break_even:
        held = [p for p in held if not memory.is_safe(p)]
    taken = {position.symbol for position in held}
    taken |= {order.symbol for order in account.orders.values() if not order.reduce_only}
    return len(taken)


def _layers(memory: Memory, slot: Slot, ts: int) -> Layers:
    policy, account = memory.policy, slot.bot.account
    shut = reconcile.shut(memory, account, slot.symbol, ts) if policy.surveys else None
    if policy.limits == NO_LIMITS and policy.caps == NO_CAPS:
        return NO_LAYERS if shut is None else Layers(shut=shut)
    kept = memory.accounts[account].tally
    return Layers(
        limits=policy.limits,
        caps=policy.caps,
        shut=shut,
        standing=tally.standing(memory, account, ts),
        streak=kept.streak,
        rests_until=kept.rests_until,
        failures=len(tally.failures(memory, account, ts)),
        shut_until=kept.shut_until,
        lock=kept.lock(slot.symbol, ts),
        committed=committed(memory, account),
        cap_use=cap_use(memory, slot.symbol, ts),
        fee=policy.taker_fee,
        last=memory.desk.prices.get(slot.symbol, 0.0),
    )


# -- what is at risk ---------------------------------------------------------------------


class Exposed(NamedTuple):
    """One position, or one entry on its way: its worth, and what it loses from now on when its
    stop is met, or all of its margin where it has none."""

    symbol: str
    side: Side
    worth: Decimal
    at_stop: Decimal


def exposed(memory: Memory, account: str) -> Iterator[Exposed]:
    """All that an account holds or is about to hold."""
    for position in memory.held(account):
        yield _held(memory, position)
    for order in memory.accounts[account].orders.values():
        if not order.reduce_only:
            yield _coming(memory, order)


def _held(memory: Memory, position: Position) -> Exposed:
    assert position.side is not None
    worth = abs(position.quantity) * memory.mark(position.symbol)
    lost = lost_at(memory, position, stop_of(memory, position))
    return Exposed(position.symbol, position.side, worth, lost + worth * memory.policy.taker_fee)


def stop_of(memory: Memory, position: Position) -> Decimal | None:
    """Where the stop of a position stands; None where it has none of ours."""
    entry = memory.accounts[position.account].entries.get(position.symbol)
    opened_it = entry and entry.client_order_id == position.entry_client_order_id
    return entry.stop_loss if entry and opened_it else None


def lost_at(memory: Memory, position: Position, stop: Decimal | None) -> Decimal:
    """What a position loses from now on when a stop is met, before fees: without one, all that is
    left of its margin."""
    assert position.side is not None
    price = memory.mark(position.symbol)
    left = max(position.margin + position.unrealized(price), ZERO)
    return _lost(abs(position.quantity), price, stop, position.side, left) if stop else left


def _coming(memory: Memory, order: Order) -> Exposed:
    price = order.price or order.trigger_price or memory.mark(order.symbol)
    worth = order.remaining * price
    margin = worth / order.leverage
    stop = order.stop_loss
    lost = margin if not stop else _lost(order.remaining, price, stop, order.side, margin)
    return Exposed(order.symbol, order.side, worth, lost + 2 * worth * memory.policy.taker_fee)


def _lost(quantity: Decimal, price: Decimal, stop: Decimal, side: Side, margin: Decimal) -> Decimal:
    """What is lost from `price` to the stop: nothing of one that is passed, at most the margin."""
    return min(max((price - stop) * side.sign * quantity, ZERO), margin)


def committed(memory: Memory, account: str) -> Committed:
    """What an account has at risk, entries on their way counted as filled."""
    found = list(exposed(memory, account))
    return Committed(
        longs=sum((each.worth for each in found if each.side is Side.BUY), ZERO),
        shorts=sum((each.worth for each in found if each.side is Side.SELL), ZERO),
        positions=len({each.symbol for each in found}),
        at_stops=sum((each.at_stop for each in found), ZERO),
    )


def cap_use(memory: Memory, symbol: str, ts: int) -> CapUse:
    """What of the hard caps all bots together use, as an entry in `symbol` would find it."""
    if memory.policy.caps == NO_CAPS:
        return NO_CAP_USED
    found = [each for account in memory.accounts for each in exposed(memory, account)]
    log = memory.desk.cap_log
    return CapUse(
        position_value=sum((each.worth for each in found if each.symbol == symbol), ZERO),
        gross_exposure=sum((each.worth for each in found), ZERO),
        orders=sum(sent > ts - MINUTE_MS for sent in log.sent),
        lost=tally.lost_today(memory, ts),
        at_stops=sum((each.at_stop for each in found), ZERO),
        reached=log.told_on == day_of(ts),
    )
