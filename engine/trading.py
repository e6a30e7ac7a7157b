"""What a strategy's signals become: entries that every gate let pass, exits, and their orders.

Pure functions of the core's memory. Entries of a bot with few slots wait until all its symbols
have told of the same moment: the strongest take what is free.
"""

from dataclasses import replace
from decimal import Decimal

from engine import biases, booking, entries, resting, risk, tally
from engine.effect import Effect, Record
from engine.event import CandleClosed
from engine.instrument import Instrument
from engine.levels import plain
from engine.memory import Candidate, Memory
from engine.order import (
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    order_link_id,
)
from engine.request import EntryRequest
from engine.signal import Action, Approved, Decision, Denied, Opposed
from engine.slot import Slot
from engine.strategies.exits import Exits, level, too_old
from engine.strategies.kernel import REASONS, Bar, Signal
from engine.strategies.pipeline import hear

# What is noted of an entry that a bias speaks against and may not stop.
WATCHED = "the model would have stopped it"

# -- entries -----------------------------------------------------------------------------


def consider_entry(
    memory: Memory, slot: Slot, signal: Signal, bar: Bar, event: CandleClosed
) -> list[Effect]:
    """Decide an entry, now or once the bot's other symbols have told of this moment."""
    ts = event.closed_at
    bot = slot.bot
    slot.heard = hear(bot.strategy.pipeline, slot.heard, float(ts), signal.entry, signal.confidence)
    if not memory.desk.begun:
        # Candles of before these books were opened only warm the strategies up.
        return []
    if bot.strategy.sizing.slots and len(bot.symbols) > 1:
        candidate = Candidate(slot.symbol, ts, event.late, signal, bar)
        memory.desk.candidates.setdefault(bot.bot_id, []).append(candidate)
        return []
    return _decide_entry(memory, slot, signal, bar, ts, event.late)


def settle_older(memory: Memory, ts: int) -> list[Effect]:
    """Decide the entries that waited for symbols which told nothing before `ts`."""
    waiting = memory.desk.candidates
    older = [bot_id for bot_id, found in waiting.items() if found[0].closed_at < ts]
    return [effect for bot_id in older for effect in _settle(memory, bot_id)]


def settle_complete(memory: Memory) -> list[Effect]:
    """Decide the entries of each bot whose symbols have all told of their moment."""
    waiting = memory.desk.candidates
    complete = [
        bot_id
        for bot_id, found in waiting.items()
        if _all_told(memory, bot_id, max(each.closed_at for each in found))
    ]
    return [effect for bot_id in complete for effect in _settle(memory, bot_id)]


def _all_told(memory: Memory, bot_id: str, ts: int) -> bool:
    cursors, interval = memory.desk.cursors, memory.interval
    return all(cursors.get(symbol, 0) + interval >= ts for symbol in memory.bots[bot_id].symbols)


def _settle(memory: Memory, bot_id: str) -> list[Effect]:
    """The strongest signal first; of equals the one that came first."""
    effects: list[Effect] = []
    candidates = memory.desk.candidates.pop(bot_id)
    for each in sorted(candidates, key=lambda found: -found.signal.confidence):
        slot = memory.slot(bot_id, each.symbol)
        effects += _decide_entry(memory, slot, each.signal, each.bar, each.closed_at, each.late)
    return effects


def _decide_entry(
    memory: Memory, slot: Slot, signal: Signal, bar: Bar, ts: int, late: bool
) -> list[Effect]:
    side = Side.BUY if signal.entry > 0 else Side.SELL
    reason = REASONS[int(signal.reason)]
    watched = tally.watch(memory, slot.bot.account, ts)
    request = entry_request(memory, slot, bar, ts, late, signal)
    refusal = risk.refusal(request)
    verdict: Approved | Denied
    if refusal:
        verdict = Denied(refusal.gate, refusal.detail)
    else:
        order = _order(memory, slot, side, reason, request.quantity, ts)
        rules = memory.instruments[slot.symbol]
        verdict = Approved(_protected(order, slot.exits, rules, bar.close, signal))
    decision = booking.decide(
        memory, slot, Action.ENTRY, side, reason, bar.close, ts, verdict, signal.confidence
    )
    if memory.desk.biases:
        decision = _with_bias(memory, slot, signal, request, decision, verdict)
    sent = booking.intend(memory, verdict) if isinstance(verdict, Approved) else []
    return [*watched, Record(decision), *sent]


def entry_request(
    memory: Memory,
    slot: Slot,
    bar: Bar,
    ts: int,
    late: bool = False,
    signal: Signal | None = None,
) -> EntryRequest:
    """What the gates look at for an entry on `bar`; without a signal, for `/why`."""
    distance = signal.stop if signal is not None else 0.0
    stop = distance / bar.close if distance else slot.exits.stop_loss
    made = entries.entry_request(memory, slot, _side(signal), bar.close, stop, ts)
    return replace(
        made,
        late=late,
        confidence=signal.confidence if signal is not None else None,
        bias=biases.in_force(memory, slot.symbol, ts) if memory.policy.veto else None,
    )


def _side(signal: Signal | None) -> Side | None:
    if signal is None or not signal.entry:
        return None
    return Side.BUY if signal.entry > 0 else Side.SELL


def _protected(
    order: Order, exits: Exits, rules: Instrument, price: float, signal: Signal
) -> Order:
    """The order with the levels its position will have, each on the tick."""
    sign = order.side.sign
    trail = signal.trail or price * exits.trail
    stop, target = _stop_and_target(order.side, exits, rules, price, signal)
    return replace(
        order,
        stop_loss=stop,
        take_profit=target,
        trailing_stop=rules.price_down(trail) if trail else None,
        trailing_activation=(
            _level(rules, price, sign * exits.trail_activation, 0.0) if trail else None
        ),
        break_even_trigger=_level(rules, price, sign * exits.break_even, 0.0),
        break_even_stop=(
            rules.price_down(price * (1.0 + sign * exits.break_even_buffer))
            if exits.break_even
            else None
        ),
    )


def _stop_and_target(
    side: Side, exits: Exits, rules: Instrument, price: float, signal: Signal
) -> tuple[Decimal | None, Decimal | None]:
    sign = side.sign
    return (
        _level(rules, price, -sign * exits.stop_loss, -sign * signal.stop),
        _level(rules, price, sign * exits.take_profit, sign * signal.target),
    )


def _level(rules: Instrument, price: float, fraction: float, distance: float) -> Decimal | None:
    """A price on the tick, or None where the rule that sets it is off."""
    return rules.price_down(level(price, fraction, distance)) if fraction or distance else None


# -- what a model makes of it ------------------------------------------------------------


def _with_bias(
    memory: Memory,
    slot: Slot,
    signal: Signal,
    request: EntryRequest,
    decision: Decision,
    verdict: Approved | Denied,
) -> Decision:
    """The decision with the bias in force, and what the bias made of it, or would have made."""
    bias = biases.in_force(memory, slot.symbol, request.ts)
    if bias is None:
        return decision
    decision = replace(decision, consultation=bias.consultation)
    if isinstance(verdict, Denied):
        stopped = verdict.gate == risk.MODEL_BIAS
        return _stopped(memory, slot, signal, request, decision) if stopped else decision
    if not bias.stops(decision.side):
        return decision
    order = verdict.order
    sent = Opposed(order.quantity, order.stop_loss, order.take_profit)
    return replace(decision, instead=WATCHED, opposed=sent)


def _stopped(
    memory: Memory, slot: Slot, signal: Signal, request: EntryRequest, decision: Decision
) -> Decision:
    """The decision that a bias made, with what would have become of the signal without it."""
    without = replace(request, bias=None)
    if refusal := risk.refusal(without):
        said = f"{refusal.gate} would have stopped it: {refusal.detail}"
        return replace(decision, instead=said)
    rules = memory.instruments[slot.symbol]
    levels = _stop_and_target(decision.side, slot.exits, rules, request.price, signal)
    unsent = Opposed(without.quantity, *levels)
    return replace(decision, instead=_said(decision.side, unsent), opposed=unsent)


def _said(side: Side, entry: Opposed) -> str:
    """`would have bought 0.5 at the market, stop 95, target 110`."""
    done = "bought" if side is Side.BUY else "sold"
    levels = {"stop": entry.stop_loss, "target": entry.take_profit}
    words = "".join(f", {name} {plain(at)}" for name, at in levels.items() if at is not None)
    return f"would have {done} {plain(entry.quantity)} at the market{words}"


# -- exits -------------------------------------------------------------------------------


def consider_exit(memory: Memory, slot: Slot, signal: Signal, ts: int) -> list[Effect]:
    """Close what is too old, or has lost its reason; no gate is asked."""
    if memory.is_by_hand(slot):
        # Whoever opened it closes it; its stop and target stand at the exchange.
        return []
    position = memory.accounts[slot.bot.account].positions[slot.symbol]
    leaves = signal.exit_long if position.quantity > 0 else signal.exit_short
    gain = _gain(memory, slot) if slot.exits.losing_age_ms else 0.0
    if too_old(slot.exits, slot.opened_at, ts, gain):
        reason = Reason.TIME_EXIT
    elif leaves and ts >= slot.cooldown_until:
        reason = _exit_reason(signal)
    else:
        return []
    if resting.why_not_close(memory, slot.bot.account, slot.symbol):
        return []
    side = Side.SELL if position.quantity > 0 else Side.BUY
    price = memory.desk.prices[slot.symbol]
    order = replace(
        _order(memory, slot, side, reason, booking.closable(memory, position), ts),
        reduce_only=True,
    )
    verdict = Approved(order)
    decision = booking.decide(memory, slot, Action.EXIT, side, reason, price, ts, verdict)
    return [Record(decision), *booking.intend(memory, verdict)]


def _exit_reason(signal: Signal) -> Reason:
    """That of the signal; one that also enters the other side turns the position around."""
    return Reason.SIGNAL_REVERSAL if signal.entry else REASONS[int(signal.reason)]


def _gain(memory: Memory, slot: Slot) -> float:
    position = memory.accounts[slot.bot.account].positions[slot.symbol]
    return float(position.unrealized(memory.mark(slot.symbol)))


# -- orders ------------------------------------------------------------------------------


def _order(
    memory: Memory, slot: Slot, side: Side, reason: Reason, quantity: Decimal, ts: int
) -> Order:
    bot = slot.bot
    named_at, sequence = memory.next_sequence(bot.bot_id, ts)
    return Order(
        account=bot.account,
        order_link_id=order_link_id(bot.bot_id, reason, named_at, sequence),
        client_order_id=client_order_id(bot.bot_id, reason, named_at),
        bot_id=bot.bot_id,
        symbol=slot.symbol,
        side=side,
        order_type=OrderType.MARKET,
        quantity=quantity,
        leverage=bot.strategy.sizing.leverage,
        reason=reason,
        created_at=ts,
        updated_at=ts,
    )
