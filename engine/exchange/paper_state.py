"""What a paper account is made of: its settings, and everything it remembers."""

from dataclasses import dataclass, field
from decimal import Decimal

from engine.ledger import Ledger
from engine.order import Order
from engine.position import Position


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """Costs and frictions. Fees and slippage are fractions of the notional.

    `slippage` goes against every order that takes; `slippage_max` bounds a uniform draw on top;
    `impact` adds the order's size against the usual hourly volume; `partial_fills` leaves part of
    one order in ten for the next bar; `latency_ms` moves the price of a market order along its
    bar.
    """

    taker_fee: Decimal = Decimal("0.00055")
    maker_fee: Decimal = Decimal("0.0002")
    slippage: float = 0.0
    slippage_max: float = 0.0005
    impact: bool = False
    partial_fills: bool = False
    latency_ms: int = 0
    seed: int = 42


@dataclass(slots=True)
class Protection:
    """The stop, target, trailing stop and break-even of a position; 0 where not set."""

    stop: float
    target: float
    trail: float
    activation: float
    break_even: float = 0.0
    break_even_stop: float = 0.0
    trailing: bool = False


UNPROTECTED = Protection(stop=0.0, target=0.0, trail=0.0, activation=0.0)


@dataclass(slots=True)
class PaperState:
    """Everything a paper account remembers. `opens` is the open of the last bar seen, `told_until`
    until when (market time, UTC ms) prices were told; `fresh` are the orders that have met no price
    yet."""

    ledger: Ledger
    positions: dict[str, Position] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    fresh: dict[str, None] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    opens: dict[str, int] = field(default_factory=dict)
    told_until: int = 0
    accepted: int = 0
    executions: int = 0


def protection_of(order: Order) -> Protection:
    """The levels that an order brings to the position it opens."""
    return Protection(
        stop=float(order.stop_loss or 0),
        target=float(order.take_profit or 0),
        trail=float(order.trailing_stop or 0),
        activation=float(order.trailing_activation or 0),
        break_even=float(order.break_even_trigger or 0),
        break_even_stop=float(order.break_even_stop or 0),
    )
