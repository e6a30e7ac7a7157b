"""The money of one account: running sums, and the fold that must agree with them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from engine.order import ZERO, Fill
from engine.position import Position, apply


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding settlement; `amount` is in quote currency, positive when received."""

    account: str
    bot_id: str
    symbol: str
    ts: int
    amount: Decimal
    rate: Decimal
    price: Decimal
    quantity: Decimal


def payment_id(symbol: str, ts: int) -> str:
    """What a settlement is known by within its account, so that it is booked once."""
    return f"funding:{symbol}:{ts}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Sums over all fills and funding of an account, in quote currency.

    `realized` is gross; `fees` is positive when paid; `funding` positive when received.
    """

    deposit: Decimal
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    trades: int = 0

    @property
    def net(self) -> Decimal:
        return self.realized - self.fees + self.funding

    @property
    def balance(self) -> Decimal:
        return self.deposit + self.net

    def after_fill(self, realized: Decimal, fee: Decimal, closed: bool) -> "Ledger":
        return replace(
            self,
            realized=self.realized + realized,
            fees=self.fees + fee,
            trades=self.trades + closed,
        )

    def after_funding(self, amount: Decimal) -> "Ledger":
        return replace(self, funding=self.funding + amount)


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The worth of an account at `ts`: balance plus the open profit at the last prices."""

    account: str
    ts: int
    balance: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class Fold:
    """What the stored fills and funding add up to for one account."""

    ledger: Ledger
    quantities: dict[str, Decimal]
    costs: dict[str, Decimal]


def fold(
    account: str, deposit: Decimal, fills: Iterable[Fill], payments: Iterable[Funding]
) -> Fold:
    """Add up an account from its stored facts; `fills` must be in the order they happened."""
    ledger = Ledger(deposit)
    positions: dict[str, Position] = {}
    for fill in fills:
        before = positions.get(fill.symbol) or Position(account, fill.bot_id, fill.symbol)
        applied = apply(before, fill, leverage=1)
        positions[fill.symbol] = applied.position
        ledger = ledger.after_fill(applied.realized, fill.commission, applied.closed is not None)
    for payment in payments:
        ledger = ledger.after_funding(payment.amount)
    held = {symbol: position for symbol, position in positions.items() if not position.is_flat}
    return Fold(
        ledger,
        {symbol: position.quantity for symbol, position in held.items()},
        {symbol: position.cost for symbol, position in held.items()},
    )
