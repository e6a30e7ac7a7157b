"""Orders by hand: what one would be, as the ticket that a person is shown.

Pure functions of the core's memory.
"""

from dataclasses import replace
from decimal import Decimal

from engine import resting, risk
from engine.candle import DAY_MS
from engine.entries import entry_request
from engine.errors import BadInput, Refused
from engine.instruction import ClosePosition, ClosePositions, PlaceOrder
from engine.instrument import Instrument
from engine.levels import check_price, check_sides, loss_at, plain, rounded
from engine.margin import liquidation
from engine.memory import Memory
from engine.order import ZERO, OrderType
from engine.position import Position
from engine.proposal import Ticket
from engine.request import EntryRequest
from engine.signal import GateResult
from engine.slot import Slot

# Nobody trades as much, and no database keeps any number.
AMOUNT_MAX = Decimal(10) ** 12
# A limit that may be filled so much worse than the price is a slip of the finger.
LIMIT_WORSE_MAX = Decimal("0.05")
# Nobody remembers an order that rests for longer.
LASTS_MAX_MS = 30 * DAY_MS
# What a price of each kind of order is called.
PRICE_FIELDS = {OrderType.LIMIT: "limit", OrderType.STOP: "at"}


def ticket(
    memory: Memory,
    instruction: PlaceOrder | ClosePosition,
    ts: int,
    shown: Ticket | None = None,
) -> Ticket:
    """What an order would be at the price of now (`ts`, wall ms); raises Refused where there can
    be none.

    An entry that was `shown` keeps the quantity and the levels that it was shown with.
    """
    slot = _slot(memory, instruction.bot_id, instruction.symbol)
    if instruction.symbol not in memory.desk.prices:
        raise Refused(f"{instruction.symbol} has no price yet.")
    if isinstance(instruction, PlaceOrder):
        return _entry(memory, slot, instruction, ts, shown)
    return _exit(memory, slot, instruction)


def tickets(memory: Memory, wanted: ClosePositions, ts: int) -> tuple[Ticket, ...]:
    """What closing several positions would be, one ticket each; raises Refused where there is
    none."""
    meant = [each for account in memory.accounts for each in memory.held(account)]
    if wanted.bot_id:
        _check_bot(memory, wanted.bot_id)
        meant = [each for each in meant if each.bot_id == wanted.bot_id]
    if not meant:
        raise Refused("Nothing is held.")
    if wanted.losers:
        meant = [each for each in meant if each.unrealized(memory.mark(each.symbol)) < 0]
    if not meant:
        raise Refused("Nothing that is held loses.")
    found: list[Ticket] = []
    refused: list[Refused] = []
    for each in meant:
        try:
            found.append(ticket(memory, whole(each.bot_id, each.symbol), ts))
        except Refused as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return tuple(found)


def whole(bot_id: str, symbol: str) -> ClosePosition:
    """What closes all of a position."""
    return ClosePosition(bot_id, symbol, Decimal(1))


def refusal(gates: tuple[GateResult, ...]) -> str:
    """What the first gate says that refuses; empty when all let pass."""
    return next((f"{gate.gate}: {gate.detail}" for gate in gates if not gate.passed), "")


# -- tickets -----------------------------------------------------------------------------


def _entry(memory: Memory, slot: Slot, wanted: PlaceOrder, ts: int, shown: Ticket | None) -> Ticket:
    _check_amount("amount", wanted.value)
    bot = slot.bot
    rules = memory.instruments[slot.symbol]
    last = memory.mark(slot.symbol)
    price = _entry_price(wanted, rules, last)
    if shown is None:
        quantity = _quantity(wanted, rules, price)
        stop, target = _levels(wanted, slot, rules, price)
    else:
        quantity, stop, target = shown.quantity, shown.stop_loss, shown.take_profit
    equity = memory.equity(bot.account)
    leverage = bot.strategy.sizing.leverage
    value = quantity * price
    fee = memory.policy.taker_fee
    request = _request(memory, slot, wanted, quantity, price, stop, ts)
    return Ticket(
        account=bot.account,
        bot_id=bot.bot_id,
        symbol=slot.symbol,
        side=wanted.side,
        quantity=quantity,
        price=price,
        value=rounded(value),
        leverage=leverage,
        margin=rounded(value / leverage),
        fee=rounded(value * fee),
        share=rounded(value / equity) if equity > 0 else ZERO,
        held=request.holding,
        reduce_only=False,
        stop_loss=stop,
        take_profit=target,
        loss_at_stop=None if stop is None else loss_at(quantity, price, stop, leverage, fee),
        gates=risk.verdicts_by_hand(request),
        order_type=wanted.order_type,
        asked_price=wanted.price,
        last=last,
        post_only=wanted.post_only,
        lasts_ms=wanted.lasts_ms,
        liquidation=rules.price_down(liquidation(float(price), wanted.side.sign, leverage)),
    )


def _quantity(wanted: PlaceOrder, rules: Instrument, price: Decimal) -> Decimal:
    """What the amount buys, in tradable steps."""
    # What a limit may be filled at counts where that is more.
    dearest = max(price, wanted.price or ZERO)
    most = rules.quantity_max * dearest
    if wanted.value > most:
        raise BadInput(
            "amount", f"{wanted.value:f}", f"at most {plain(rounded(most))} at this price"
        )
    return rules.quantize(float(wanted.value / dearest))


def _levels(
    wanted: PlaceOrder, slot: Slot, rules: Instrument, price: Decimal
) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target: those somebody asked for, else the strategy's."""
    exits, sign = slot.exits, wanted.side.sign
    stop = _protection("stop", rules, wanted.stop_loss, price, -sign * exits.stop_loss)
    target = _protection("target", rules, wanted.take_profit, price, sign * exits.take_profit)
    check_sides(wanted.side, price, stop, target)
    return stop, target


def _request(
    memory: Memory,
    slot: Slot,
    wanted: PlaceOrder,
    quantity: Decimal,
    price: Decimal,
    stop: Decimal | None,
    ts: int,
) -> EntryRequest:
    """What the gates look at for an entry by hand at a price, `ts` being the wall's time."""
    desk = memory.desk
    # A limit that the price has passed already may still be filled at the limit itself.
    worst = wanted.price if wanted.order_type is OrderType.LIMIT and wanted.price else price
    distance = 0.0 if stop is None else float(abs(worst - stop) / worst)
    made = entry_request(memory, slot, wanted.side, float(price), distance, desk.now)
    return replace(
        made,
        wanted=quantity,
        price_age=ts - desk.priced_at.get(slot.symbol, 0),
        resting=wanted.order_type is not OrderType.MARKET,
        dearest=float(max(price, worst)),
    )


def _entry_price(wanted: PlaceOrder, rules: Instrument, last: Decimal) -> Decimal:
    """Where an entry is expected to be filled; raises BadInput for a price it can't have."""
    kind, asked, sign = wanted.order_type, wanted.price, wanted.side.sign
    _check_kind(wanted)
    if kind is OrderType.MARKET or asked is None:
        return last
    field = PRICE_FIELDS[kind]
    check_price(field, asked, rules, last)
    reached = (asked - last) * sign >= 0
    beyond, before = ("above", "below") if sign > 0 else ("below", "above")
    if kind is OrderType.STOP:
        if (asked - last) * sign <= 0:
            raise BadInput(field, plain(asked), f"a price {beyond} {plain(last)}")
        return asked
    if reached and wanted.post_only:
        allowed = f"a price {before} {plain(last)}, or the order would take"
        raise BadInput(field, plain(asked), allowed)
    if (asked - last) * sign > last * LIMIT_WORSE_MAX:
        raise BadInput(field, plain(asked), f"at most {LIMIT_WORSE_MAX:.0%} {beyond} {plain(last)}")
    return last if reached else asked


def _check_kind(wanted: PlaceOrder) -> None:
    """Raise BadInput for a price, a life or a promise that this kind of order does not have."""
    rests = wanted.order_type is not OrderType.MARKET
    if rests == (wanted.price is None):
        needed = "a price" if rests else "none, at the market"
        raise BadInput("price", f"{wanted.price or 'none'}"[:40], needed)
    if wanted.post_only and wanted.order_type is not OrderType.LIMIT:
        raise BadInput("post", "yes", "only with a limit")
    if not 0 <= wanted.lasts_ms <= (LASTS_MAX_MS if rests else 0):
        days = LASTS_MAX_MS // DAY_MS
        allowed = f"at most {days}d" if rests else "nothing: an order at the market never rests"
        raise BadInput("lasts", f"{wanted.lasts_ms} ms", allowed)


def _exit(memory: Memory, slot: Slot, wanted: ClosePosition) -> Ticket:
    rules = memory.instruments[slot.symbol]
    held = _held(memory, slot)
    price = memory.mark(slot.symbol)
    if not (wanted.fraction.is_finite() and 0 < wanted.fraction <= 1):
        raise BadInput("fraction", str(wanted.fraction), "more than 0, at most 1")
    if not held:
        raise Refused(f"{slot.bot.bot_id} holds no {slot.symbol}.")
    if refused := resting.why_not_close(memory, slot.bot.account, slot.symbol):
        raise Refused(refused)
    if memory.desk.market_ended:
        raise Refused("The market has ended: nothing would be filled.")
    whole = wanted.fraction == 1
    quantity = abs(held) if whole else rules.quantize(float(abs(held) * wanted.fraction))
    # What one order can close; the rest shows, and can be closed by the next.
    quantity = min(quantity, rules.quantity_max)
    if quantity < rules.quantity_min and not whole:
        raise Refused(
            f"{wanted.fraction:.0%} of {plain(abs(held))} {slot.symbol} is below the least "
            f"quantity, {plain(rules.quantity_min)}. /close {slot.symbol} all closes it."
        )
    position = memory.accounts[slot.bot.account].positions[slot.symbol]
    return _closing(memory, position, quantity, price)


def _closing(memory: Memory, position: Position, quantity: Decimal, price: Decimal) -> Ticket:
    assert position.side is not None
    held, equity = position.quantity, memory.equity(position.account)
    value = quantity * price
    fee = value * memory.policy.taker_fee
    return Ticket(
        account=position.account,
        bot_id=position.bot_id,
        symbol=position.symbol,
        side=position.side.opposite,
        quantity=quantity,
        price=price,
        value=rounded(value),
        leverage=position.leverage,
        margin=rounded(value / position.leverage),
        fee=rounded(fee),
        share=rounded(value / equity) if equity > 0 else ZERO,
        held=held,
        reduce_only=True,
        realizes=rounded(position.unrealized(price) * quantity / abs(held) - fee),
    )


def _slot(memory: Memory, bot_id: str, symbol: str) -> Slot:
    _check_bot(memory, bot_id)
    symbols = memory.bots[bot_id].symbols
    if symbol not in symbols:
        raise BadInput("symbol", symbol, ", ".join(symbols))
    return memory.slot(bot_id, symbol)


def _check_bot(memory: Memory, bot_id: str) -> None:
    if bot_id not in memory.bots:
        raise BadInput("bot", bot_id, ", ".join(memory.bots))


def _held(memory: Memory, slot: Slot) -> Decimal:
    position = memory.accounts[slot.bot.account].positions.get(slot.symbol)
    return position.quantity if position else ZERO


def _protection(
    field: str, rules: Instrument, asked: Decimal | None, price: Decimal, distance: float
) -> Decimal | None:
    """The level somebody asked for, else the strategy's; None where it has none."""
    if asked is not None:
        check_price(field, asked, rules, price)
        return asked
    return rules.price_down(float(price) * (1.0 + distance)) if distance else None


def _check_amount(field: str, amount: Decimal) -> None:
    if not (amount.is_finite() and 0 < amount < AMOUNT_MAX):
        raise BadInput(field, str(amount), f"more than 0, less than {AMOUNT_MAX:,}")
