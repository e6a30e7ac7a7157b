"""Prices that an order or a position may have, and what they would cost or gain.

Pure: it checks and works out, and decides nothing. Money and prices are in quote currency, fees
are fractions of what is traded.
"""

from decimal import Decimal

from engine.errors import BadInput
from engine.instrument import Instrument
from engine.order import Side
from engine.position import Position

# A price farther away than so many times the last one is a slip of the finger.
FARTHEST = 10
# What estimates are rounded to: a hundredth of a cent.
PLACES = Decimal("0.0001")


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(PLACES)


def plain(number: Decimal) -> str:
    """A number with the digits it has, and no more."""
    return f"{number.normalize():f}"


def grouped(number: Decimal) -> str:
    """A number as people are told it: with the digits it has, thousands apart."""
    return f"{number.normalize():,f}"


def money(amount: Decimal) -> str:
    """A gain or a loss as people are told it: `-1,020.06 USDT`."""
    return f"{amount:+,.2f} USDT"


def check_price(field: str, asked: Decimal, rules: Instrument, last: Decimal) -> None:
    """Raise BadInput for a price that is none, off the tick, or far from the last one."""
    least, most = rules.tick, last * FARTHEST
    if not (asked.is_finite() and least <= asked <= most):
        allowed = f"a price from {plain(least)} to {plain(rounded(most))}"
        raise BadInput(field, f"{asked}"[:40], allowed)
    if asked % rules.tick:
        raise BadInput(field, f"{asked:f}", f"steps of {plain(rules.tick)}")


def check_sides(side: Side, price: Decimal, stop: Decimal | None, target: Decimal | None) -> None:
    """Raise BadInput for a stop or target that a position of `side` would meet at once."""
    long = side is Side.BUY
    below, above = ("below", "above") if long else ("above", "below")
    if stop is not None and (stop >= price if long else stop <= price):
        raise BadInput("stop", plain(stop), f"a price {below} {plain(price)}")
    if target is not None and (target <= price if long else target >= price):
        raise BadInput("target", plain(target), f"a price {above} {plain(price)}")


def loss_at(
    quantity: Decimal, price: Decimal, stop: Decimal, leverage: int, fee: Decimal
) -> Decimal:
    """What an order loses at its stop with both fees; margin is isolated, so no more than that by
    price."""
    fees = quantity * (price + stop) * fee
    return rounded(min(quantity * abs(price - stop), quantity * price / leverage) + fees)


def net_at(position: Position, price: Decimal, fee: Decimal) -> Decimal:
    """What is held gains when it is closed at `price`, with the fees of entry and exit; it loses no
    more than its margin and those."""
    fees = (abs(position.cost) + abs(position.quantity) * price) * fee
    return rounded(max(position.unrealized(price), -position.margin) - fees)


def break_even(position: Position, rules: Instrument, fee: Decimal) -> Decimal:
    """The first price on the tick at which closing costs nothing.

    With the fee f on entry and exit: entry (1 + f) / (1 - f) for a long, its inverse for a short.
    """
    assert position.average_price is not None
    if position.side is Side.BUY:
        return rules.price_up(float(position.average_price * (1 + fee) / (1 - fee)))
    return rules.price_down(float(position.average_price * (1 - fee) / (1 + fee)))
