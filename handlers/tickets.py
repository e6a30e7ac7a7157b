"""An order as its card shows it: a few lines for a phone, and every value for machines."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from engine.instruction import Instruction, PlaceOrder
from engine.order import ZERO, OrderType, Side
from engine.proposal import Ticket
from handlers.reply import (
    Block,
    Duration,
    Fields,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Table,
    Text,
    Value,
    show,
)

ARROW = "→"
KINDS = {
    OrderType.MARKET: "at the market",
    OrderType.LIMIT: "with a limit",
    OrderType.STOP: "once a price is reached",
}
BY_HAND = "Its stop, its target or a person closes it, never the bot's strategy"


def closing_blocks(tickets: Sequence[Ticket]) -> Iterator[Block]:
    """What each of several positions would realize, and all of them together."""
    columns = ("symbol", "held", "price", "value", "realizes", "bot")
    rows = tuple(
        (
            each.symbol,
            direction_of(each.held),
            exact_price(each.price),
            Money(each.value),
            None if each.realizes is None else Money(each.realizes, signed=True),
            each.bot_id,
        )
        for each in tickets
    )
    yield Table("Closes at the market", columns, rows)
    realizes = sum((each.realizes or ZERO for each in tickets), ZERO)
    fees = sum((each.fee for each in tickets), ZERO)
    values: dict[str, Value] = {"realizes": Money(realizes, signed=True), "fees": Money(fees)}
    words = f"Together about {_signed(realizes)}, fees of {show(Money(fees))} counted"
    yield Fields("Together", values, words=words)


def ticket_blocks(ticket: Ticket, instruction: Instruction) -> Iterator[Block]:
    """What would be bought, sold or closed, what each gate says, and what can be lost."""
    asked = instruction.value if isinstance(instruction, PlaceOrder) else None
    lines = _closing(ticket) if ticket.reduce_only else _opening(ticket, asked)
    yield Fields("Order", _values(ticket, asked), words="\n".join(lines))
    if ticket.gates:
        verdicts: dict[str, Value] = {
            gate.gate: f"{'passes' if gate.passed else 'refuses'}: {gate.detail}"
            for gate in ticket.gates
        }
        yield Fields("Gates", verdicts, words=_gates(ticket))
    if risk := risk_of(ticket):
        yield Text(f"Risk: {risk}")


def base_of(symbol: str) -> str:
    """What is bought and sold of a symbol: `BTC` of `BTCUSDT`."""
    return symbol.removesuffix("USDT")


def exact_price(price: Decimal | None) -> Price | None:
    """A price with the digits it has: levels and executions lie on the instrument's tick."""
    if price is None:
        return None
    return Price(price, max(0, -int(price.as_tuple().exponent)))


def direction_of(held: Decimal) -> str:
    """`0.28 long`: what is held, as people say it."""
    if not held:
        return "none"
    return f"{show(Quantity(abs(held)))} {'long' if held > 0 else 'short'}"


def risk_of(ticket: Ticket) -> str:
    """What a person might not expect to lose, in sentences; empty where there is nothing."""
    if ticket.reduce_only:
        return ""
    if ticket.stop_loss is None or ticket.loss_at_stop is None:
        return f"there is no stop: all of the margin, {show(Money(ticket.margin))}, may be lost."
    if ticket.quantity * abs(ticket.price - ticket.stop_loss) >= ticket.margin:
        return (
            "the stop lies beyond the liquidation: all of the margin, "
            f"{show(Money(ticket.margin))}, may be lost."
        )
    if ticket.share > 1:
        lost = ticket.loss_at_stop * ticket.share / ticket.value
        return f"{ticket.share:.1f} times the account; the stop costs {show(Percent(lost))} of it."
    return ""


def _opening(ticket: Ticket, asked: Decimal | None) -> Iterator[str]:
    of_asked = "" if asked is None else f" of the {show(Money(asked))} USDT asked"
    yield (
        f"{ticket.side.value} {_amount(ticket)} ({show(Money(ticket.value))}{of_asked}) "
        f"{_where(ticket)}"
    )
    if ticket.order_type is not OrderType.MARKET:
        yield _life(ticket)
    levels = [f"fee {show(Money(ticket.fee))}"]
    if ticket.take_profit is not None:
        levels.insert(0, f"target {show(exact_price(ticket.take_profit))}")
    if ticket.stop_loss is not None and ticket.loss_at_stop is not None:
        lost = show(Money(-ticket.loss_at_stop, signed=True))
        levels.insert(0, f"stop {show(exact_price(ticket.stop_loss))}: {lost}")
    yield _sentence(levels)
    liquidated = show(exact_price(ticket.liquidation))
    yield f"{_weight(ticket)} · liquidation at about {liquidated}"
    yield BY_HAND


def _where(ticket: Ticket) -> str:
    """At what price, in words."""
    asked, last = show(exact_price(ticket.asked_price)), show(exact_price(ticket.last))
    match ticket.order_type:
        case OrderType.MARKET:
            return f"at about {show(exact_price(ticket.price))}"
        case OrderType.LIMIT:
            return f"at {asked} or better; the price is {last}"
        case OrderType.STOP:
            return f"at the market once the price is {asked}; it is {last}"


def _life(ticket: Ticket) -> str:
    """How long it waits, and what it never does."""
    if ticket.order_type is OrderType.LIMIT and ticket.price != ticket.asked_price:
        return "The price is there already: it is filled at once"
    lasts = f"at most {show(Duration(ticket.lasts_ms))}" if ticket.lasts_ms else "until you cancel"
    never = ", and never takes" if ticket.post_only else ""
    return f"It waits {lasts}{never}"


def _closing(ticket: Ticket) -> Iterator[str]:
    yield (
        f"Close {_amount(ticket)} ({show(Money(ticket.value))} USDT) at about "
        f"{show(exact_price(ticket.price))}"
    )
    yield f"Held {direction_of(ticket.held)} {ARROW} {direction_of(_left(ticket))}"
    fee = show(Money(ticket.fee))
    gained = "" if ticket.realizes is None else f"Realizes about {_signed(ticket.realizes)}"
    yield f"{gained}, fee {fee} counted" if gained else f"Fee {fee}"
    yield _weight(ticket)


def _weight(ticket: Ticket) -> str:
    leverage, share = show(Multiple(ticket.leverage)), show(Percent(ticket.share))
    return f"{leverage}, margin {show(Money(ticket.margin))} · {share} of the account"


def _gates(ticket: Ticket) -> str:
    passed = [gate.gate for gate in ticket.gates if gate.passed]
    refused = [f"Refused by {gate.gate}: {gate.detail}" for gate in ticket.gates if not gate.passed]
    if not refused:
        return f"All {len(passed)} gates pass: {', '.join(passed)}"
    return "\n".join([*refused, *([f"The others pass: {', '.join(passed)}"] if passed else [])])


def _values(ticket: Ticket, asked: Decimal | None) -> dict[str, Value]:
    side = "buy" if ticket.side is Side.BUY else "sell"
    only = ", only to close" if ticket.reduce_only else ""
    fields: dict[str, Value] = {
        "order": f"{side} {KINDS[ticket.order_type]}{only}",
        "symbol": ticket.symbol,
        "quantity": Quantity(ticket.quantity),
        "price": exact_price(ticket.price),
        "value": Money(ticket.value),
        "leverage": Multiple(ticket.leverage),
        "margin": Money(ticket.margin),
        "fee": Money(ticket.fee),
        "share_of_account": Percent(ticket.share),
        "held_before": Quantity(ticket.held),
    }
    if ticket.reduce_only:
        return fields | {
            "held_after": Quantity(_left(ticket)),
            "realizes": None if ticket.realizes is None else Money(ticket.realizes, signed=True),
        }
    return fields | {
        **_resting(ticket),
        "asked": None if asked is None else Money(asked),
        "stop": exact_price(ticket.stop_loss),
        "target": exact_price(ticket.take_profit),
        "loss_at_stop": None if ticket.loss_at_stop is None else Money(ticket.loss_at_stop),
        "liquidation": exact_price(ticket.liquidation),
    }


def _resting(ticket: Ticket) -> dict[str, Value]:
    """What only an order has that waits for its price."""
    if ticket.order_type is OrderType.MARKET:
        return {}
    return {
        "limit" if ticket.order_type is OrderType.LIMIT else "at": exact_price(ticket.asked_price),
        "post_only": ticket.post_only,
        "lasts": Duration(ticket.lasts_ms) if ticket.lasts_ms else None,
    }


def _amount(ticket: Ticket) -> str:
    return f"{show(Quantity(ticket.quantity))} {base_of(ticket.symbol)}"


def _left(ticket: Ticket) -> Decimal:
    """What would be held after closing."""
    return ticket.held + ticket.side.sign * ticket.quantity


def _signed(amount: Decimal) -> str:
    return show(Money(amount, signed=True))


def _sentence(parts: list[str]) -> str:
    text = " · ".join(parts)
    return text[:1].upper() + text[1:]
