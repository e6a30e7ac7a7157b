"""Stops and targets of what is held, moved by hand.

Pure functions of the core's memory. The exchange side carries them out and says where they stand.
"""

from decimal import Decimal

from engine import entries
from engine.effect import Done, NotDone, Outcome, Protect
from engine.errors import BadInput, Refused
from engine.instruction import BreakEven, MoveStops
from engine.levels import break_even, check_price, check_sides, grouped, money, net_at, plain
from engine.margin import liquidation
from engine.memory import Memory
from engine.order import Order, Side
from engine.position import Position
from engine.proposal import Change, Shown

NONE = "none"


def title(wanted: MoveStops) -> str:
    """What is done, in words."""
    levels = {"stop": wanted.stop_loss, "target": wanted.take_profit}
    named = [name for name, level in levels.items() if level is not None]
    return f"Move the {' and '.join(named)} of {wanted.symbol} for {wanted.bot_id}"


def shown(memory: Memory, wanted: MoveStops) -> Shown:
    """What moving them changes; raises Refused where it can't be done, or changes nothing."""
    position = _held(memory, wanted.bot_id, wanted.symbol)
    _check(memory, position, wanted)
    stop, target = levels_of(memory, position)
    new_stop, new_target = _after(stop, wanted.stop_loss), _after(target, wanted.take_profit)
    changes = [
        *_change(memory, position, "stop", stop, new_stop),
        *_change(memory, position, "target", target, new_target),
    ]
    if not changes:
        raise Refused(f"Stop and target of {wanted.symbol} stand there already.")
    risk = _risk(memory, position, stop, new_stop) if stop != new_stop else ""
    return Shown(tuple(changes), risk=risk)


def run(memory: Memory, wanted: MoveStops | BreakEven) -> Outcome:
    """Have the exchange move them; what stands there then is told."""
    try:
        position = _held(memory, wanted.bot_id, wanted.symbol)
        if isinstance(wanted, MoveStops):
            _check(memory, position, wanted)
            stop, target = wanted.stop_loss, wanted.take_profit
            text = f"{wanted.symbol}: the exchange is being told."
        else:
            stop, target = _break_even(memory, position), None
            level = f"{grouped(stop)}, the entry and both fees"
            text = f"{wanted.symbol}: the stop is being moved to {level}."
    except Refused as error:
        return NotDone(str(error)), []
    ts = memory.desk.now
    return Done(text), [Protect(position.account, position.symbol, stop, target, ts)]


def levels_of(memory: Memory, position: Position) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target as they stand now."""
    entry = _entry(memory, position)
    return (entry.stop_loss, entry.take_profit) if entry else (None, None)


def liquidation_of(memory: Memory, position: Position) -> Decimal:
    """Where the exchange takes a position away: as it says itself, else as isolated margin does."""
    survey = memory.accounts[position.account].survey
    for held in survey.positions if survey else ():
        if held.symbol == position.symbol and held.liquidation_price:
            return held.liquidation_price
    assert position.average_price is not None and position.side is not None
    price = liquidation(float(position.average_price), position.side.sign, position.leverage)
    return memory.instruments[position.symbol].price_down(price)


def _break_even(memory: Memory, position: Position) -> Decimal:
    """Where closing costs nothing; raises Refused where the stop may not go there."""
    assert position.side is not None
    symbol, sign = position.symbol, position.side.sign
    rules = memory.instruments[symbol]
    level = break_even(position, rules, memory.policy.taker_fee)
    price = memory.mark(symbol)
    stop, _ = levels_of(memory, position)
    if stop is not None and (stop - level) * sign >= 0:
        raise Refused(
            f"{symbol}: the stop stands at {grouped(stop)} already; break-even is {grouped(level)}."
        )
    if (price - level) * sign <= 0:
        raise Refused(
            f"{symbol} is at {grouped(price)}: closing costs nothing only beyond {grouped(level)}, "
            "where entry and fees are earned. The price has to pass it first."
        )
    return level


def _held(memory: Memory, bot_id: str, symbol: str) -> Position:
    if bot_id not in memory.bots:
        raise BadInput("bot", bot_id, ", ".join(memory.bots))
    position = memory.accounts[memory.bots[bot_id].account].positions.get(symbol)
    if position is None or position.is_flat:
        raise Refused(f"{bot_id} holds no {symbol}.")
    return position


def _entry(memory: Memory, position: Position) -> Order | None:
    return memory.accounts[position.account].entries.get(position.symbol)


def _check(memory: Memory, position: Position, wanted: MoveStops) -> None:
    """Raise Refused for levels that a position can't have."""
    stop, target = wanted.stop_loss, wanted.take_profit
    if stop is None and target is None:
        raise Refused("Say where to: stop=, target=, or both.")
    rules, price = memory.instruments[position.symbol], memory.mark(position.symbol)
    for field, level in (("stop", stop), ("target", target)):
        if level:
            check_price(field, level, rules, price)
    assert position.side is not None
    check_sides(position.side, price, stop or None, target or None)
    if stop:
        _check_liquidation(position.side, stop, liquidation_of(memory, position))
    if stop is not None:
        _check_cap(memory, position, stop or None)


def _check_cap(memory: Memory, position: Position, stop: Decimal | None) -> None:
    """Raise Refused for a stop so far away (None: taken away) that the day could lose more than the
    desk's hard cap."""
    cap = memory.policy.caps.daily_loss
    now = entries.stop_of(memory, position)
    more = entries.lost_at(memory, position, stop) - entries.lost_at(memory, position, now)
    if not cap or more <= 0:
        return
    use = entries.cap_use(memory, position.symbol, memory.desk.now)
    found = use.lost + use.at_stops + more
    if found > cap:
        raise Refused(f"hard caps: daily_loss would be {found:.2f}, the cap is {plain(cap)}.")


def _check_liquidation(side: Side, stop: Decimal, liquidated_at: Decimal) -> None:
    if (stop - liquidated_at) * side.sign <= 0:
        where = "above" if side is Side.BUY else "below"
        allowed = f"a price {where} {plain(liquidated_at)}, where the position is liquidated"
        raise BadInput("stop", plain(stop), allowed)


def _after(now: Decimal | None, wanted: Decimal | None) -> Decimal | None:
    """A level as it would stand; 0 takes it away."""
    return now if wanted is None else wanted or None


def _change(
    memory: Memory,
    position: Position,
    name: str,
    before: Decimal | None,
    after: Decimal | None,
) -> list[Change]:
    """How one level changes, and what closing there gains."""
    if before == after:
        return []
    fee = memory.policy.taker_fee
    gained = [
        NONE if level is None else money(net_at(position, level, fee)) for level in (before, after)
    ]
    levels = [NONE if level is None else grouped(level) for level in (before, after)]
    return [Change(name, *levels), Change(f"result at the {name}", *gained)]


def _risk(memory: Memory, position: Position, before: Decimal | None, after: Decimal | None) -> str:
    """What may be lost that could not be before, in a sentence."""
    assert position.side is not None
    if after is None:
        entry = _entry(memory, position)
        trails = " Its trailing stop goes on." if entry and entry.trailing_stop else ""
        margin = f"all of the margin, {position.margin:,.2f} USDT"
        return f"without a stop {margin}, may be lost.{trails}"
    if before is None or (after - before) * position.side.sign >= 0:
        return ""
    fee = memory.policy.taker_fee
    more = net_at(position, before, fee) - net_at(position, after, fee)
    return f"the stop moves away from the price: {more:,.2f} USDT more may be lost."
