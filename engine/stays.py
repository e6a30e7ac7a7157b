"""Positions from flat to flat, of a bot and of its backtest: which of them are one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.ledger import Funding
from engine.order import Reason, Side
from engine.position import Position, Trade
from engine.signal import Decision

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Traded:
    """What an account did: trades that closed, what it holds, funding, and what became of its
    strategy's signals."""

    trades: Sequence[Trade] = ()
    positions: Sequence[Position] = ()
    payments: Sequence[Funding] = ()
    decisions: Sequence[Decision] = ()


class Stay(NamedTuple):
    """A position from flat to flat; while it is held `left_at` is FOREVER, with no way out.

    `fee` is a share of what was traded.
    """

    symbol: str
    side: Side
    entered_at: int
    entry: float
    entered_by: Reason
    left_at: int
    exit: float
    left_by: Reason | None
    fee: float


class Pair(NamedTuple):
    """One trade of both sides, or of one alone."""

    live: Stay | None
    replayed: Stay | None

    @property
    def there(self) -> tuple[Stay, ...]:
        return tuple(stay for stay in self if stay is not None)

    @property
    def entered_at(self) -> int:
        return min(stay.entered_at for stay in self.there)

    @property
    def left_at(self) -> int:
        return max(stay.left_at for stay in self.there)


def stays(traded: Traded, end: int) -> list[Stay]:
    """Positions that were entered before `end`; what left one from then on has not happened yet."""
    closed = {(each.symbol, each.entry_time): _closed(each) for each in traded.trades}
    # One that closed while it was read stands in both.
    held = {(each.symbol, each.opened_at): _held(each) for each in traded.positions}
    return [_until(stay, end) for stay in (held | closed).values() if stay.entered_at < end]


def _until(stay: Stay, end: int) -> Stay:
    if stay.left_at < end:
        return stay
    return stay._replace(left_at=FOREVER, exit=0.0, left_by=None)


def _closed(trade: Trade) -> Stay:
    worth = (trade.entry_price + trade.exit_price) * trade.quantity
    return Stay(
        symbol=trade.symbol,
        side=trade.side,
        entered_at=trade.entry_time,
        entry=float(trade.entry_price),
        entered_by=trade.entry_reason,
        left_at=trade.exit_time,
        exit=float(trade.exit_price),
        left_by=trade.close_reason,
        fee=float(trade.commission / worth),
    )


def _held(position: Position) -> Stay:
    assert position.side is not None and position.entry_reason is not None
    return Stay(
        symbol=position.symbol,
        side=position.side,
        entered_at=position.opened_at,
        entry=float(position.entry_notional / position.entry_quantity),
        entered_by=position.entry_reason,
        left_at=FOREVER,
        exit=0.0,
        left_by=None,
        fee=float(position.commission / (position.entry_notional + position.exit_notional)),
    )


def paired(live: Sequence[Stay], replayed: Sequence[Stay], reach: int) -> list[Pair]:
    """Trades of both sides, those that were entered within `reach` ms as one; in their order, of
    one moment those of the backtest alone first: what was done instead follows from them."""
    alone = sorted(replayed, key=lambda stay: stay.entered_at)
    pairs = []
    for stay in sorted(live, key=lambda each: each.entered_at):
        near = [each for each in alone if _is_same(stay, each, reach)]
        twin = min(near, key=lambda each: abs(each.entered_at - stay.entered_at), default=None)
        if twin is not None:
            alone.remove(twin)
        pairs.append(Pair(stay, twin))
    pairs += [Pair(None, each) for each in alone]
    return sorted(pairs, key=lambda pair: (pair.entered_at, pair.live is not None))


def _is_same(one: Stay, other: Stay, reach: int) -> bool:
    near = abs(one.entered_at - other.entered_at) <= reach
    return near and (one.symbol, one.side) == (other.symbol, other.side)
