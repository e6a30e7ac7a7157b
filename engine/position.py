"""Positions and round trips: folds over fills and funding, exact to the last digit."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from engine.order import ZERO, Fill, Reason, Side

# Where a cost has no finite decimal form (a third of a position closed), the part taken out
# is rounded here; the rest stays in the position, so that nothing is lost over a round trip.
COST_PLACES = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class Position:
    """What one bot holds of one symbol.

    `quantity` is signed, negative when short. `cost` is the signed quote amount paid for it,
    so that the average price is `cost / quantity`. The other sums run over the present round
    trip, from flat to flat.
    """

    account: str
    bot_id: str
    symbol: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    leverage: int = 1
    opened_at: int = 0
    updated_at: int = 0
    entry_reason: Reason | None = None
    entry_client_order_id: str | None = None
    entry_quantity: Decimal = ZERO
    entry_notional: Decimal = ZERO
    exit_notional: Decimal = ZERO
    realized: Decimal = ZERO
    commission: Decimal = ZERO
    funding: Decimal = ZERO

    @property
    def is_flat(self) -> bool:
        return self.quantity == 0

    @property
    def side(self) -> Side | None:
        if self.is_flat:
            return None
        return Side.BUY if self.quantity > 0 else Side.SELL

    @property
    def average_price(self) -> Decimal | None:
        return None if self.is_flat else self.cost / self.quantity

    @property
    def margin(self) -> Decimal:
        """Initial margin bound by the position, in quote currency."""
        return abs(self.cost) / self.leverage

    def unrealized(self, price: Decimal) -> Decimal:
        """Profit, before fees, if the position were closed at `price`."""
        return self.quantity * price - self.cost

    def with_funding(self, amount: Decimal) -> "Position":
        return replace(self, funding=self.funding + amount)


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed round trip. Profit and funding are in quote currency, positive when gained.

    `gross_pnl` is before costs; `net_pnl = gross_pnl - commission + funding`; `pnl_pct` is
    the net profit as a fraction of the entry's notional.
    """

    trade_id: int
    account: str
    bot_id: str
    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    entry_time: int
    entry_reason: Reason
    exit_price: Decimal
    exit_time: int
    close_reason: Reason
    gross_pnl: Decimal
    commission: Decimal
    funding: Decimal
    net_pnl: Decimal
    pnl_pct: Decimal
    entry_client_order_id: str
    exit_client_order_id: str

    @property
    def name(self) -> str:
        """How people call it, as `T12`."""
        return f"T{self.trade_id}"


class Applied(NamedTuple):
    """What a fill did: the position after it, the profit it realized, the trip it closed."""

    position: Position
    realized: Decimal
    closed: Position | None


def apply(position: Position, fill: Fill, leverage: int) -> Applied:
    """Fold one fill into a position; a fill that crosses zero closes and opens."""
    signed = fill.exec_qty * fill.side.sign
    if position.is_flat or (position.quantity > 0) == (signed > 0):
        return Applied(_add(position, fill, signed, fill.commission, leverage), ZERO, None)
    if abs(signed) <= abs(position.quantity):
        return _reduce(position, fill, signed, fill.commission)
    closing_fee = (fill.commission * abs(position.quantity) / fill.exec_qty).quantize(COST_PLACES)
    closed = _reduce(position, fill, -position.quantity, closing_fee)
    opened = _add(
        closed.position,
        fill,
        signed + position.quantity,
        fill.commission - closing_fee,
        leverage,
    )
    return Applied(opened, closed.realized, closed.closed)


def _add(
    position: Position, fill: Fill, signed: Decimal, commission: Decimal, leverage: int
) -> Position:
    if position.is_flat:
        position = Position(
            account=fill.account,
            bot_id=fill.bot_id,
            symbol=fill.symbol,
            leverage=leverage,
            opened_at=fill.exec_time,
            entry_reason=fill.close_reason,
            entry_client_order_id=fill.client_order_id,
        )
    notional = signed * fill.exec_price
    return replace(
        position,
        quantity=position.quantity + signed,
        cost=position.cost + notional,
        entry_quantity=position.entry_quantity + abs(signed),
        entry_notional=position.entry_notional + abs(notional),
        commission=position.commission + commission,
        updated_at=fill.exec_time,
    )


def _reduce(position: Position, fill: Fill, signed: Decimal, commission: Decimal) -> Applied:
    remaining = position.quantity + signed
    cost_out = (
        position.cost
        if remaining == 0
        else (position.cost * -signed / position.quantity).quantize(COST_PLACES)
    )
    proceeds = -signed * fill.exec_price
    realized = proceeds - cost_out
    after = replace(
        position,
        quantity=remaining,
        cost=position.cost - cost_out,
        exit_notional=position.exit_notional + abs(proceeds),
        realized=position.realized + realized,
        commission=position.commission + commission,
        updated_at=fill.exec_time,
    )
    if remaining != 0:
        return Applied(after, realized, None)
    flat = Position(after.account, after.bot_id, after.symbol, updated_at=fill.exec_time)
    return Applied(flat, realized, after)


def round_trip(trade_id: int, closed: Position, entry_side: Side, last: Fill) -> Trade:
    """The trade of a position that `last` has brought back to flat."""
    net = closed.realized - closed.commission + closed.funding
    assert closed.entry_reason is not None and closed.entry_client_order_id is not None
    return Trade(
        trade_id=trade_id,
        account=closed.account,
        bot_id=closed.bot_id,
        symbol=closed.symbol,
        side=entry_side,
        quantity=closed.entry_quantity,
        entry_price=closed.entry_notional / closed.entry_quantity,
        entry_time=closed.opened_at,
        entry_reason=closed.entry_reason,
        exit_price=closed.exit_notional / closed.entry_quantity,
        exit_time=last.exec_time,
        close_reason=last.close_reason,
        gross_pnl=closed.realized,
        commission=closed.commission,
        funding=closed.funding,
        net_pnl=net,
        pnl_pct=net / closed.entry_notional,
        entry_client_order_id=closed.entry_client_order_id,
        exit_client_order_id=last.client_order_id,
    )
