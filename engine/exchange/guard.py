"""The levels that a position should have at the exchange, and what is known to stand there."""

from dataclasses import dataclass
from decimal import Decimal
from math import inf

from engine.bybit.account import VenuePosition
from engine.order import Order


@dataclass(slots=True, eq=False)
class Guard:
    """A position that is watched over. Times are seconds of the clock that never goes back.

    `stop` and `target` are prices as they should stand, None where there should be none; `entry`
    is the order that opened the position, None where it is not known. `seen` says that the
    exchange has told of the position, `standing` that it has told of the stop, `trails` that the
    trailing stop is set or was refused. It is looked at when `check_at` comes; `attempts` were
    made to set a missing stop, `trail_attempts` a trailing one, and `renewed` says that it
    vanished once and was set again. The stop may go to break-even after `even_after`. While
    `moving` is above zero levels are on their way, and what is told of them may be old.
    """

    account: str
    symbol: str
    stop: Decimal | None = None
    target: Decimal | None = None
    entry: Order | None = None
    seen: bool = False
    standing: bool = False
    trails: bool = False
    renewed: bool = False
    check_at: float = inf
    even_after: float = 0.0
    moving: int = 0
    attempts: int = 0
    trail_attempts: int = 0
    flats: int = 0
    failure: str = ""

    @property
    def trailing(self) -> Decimal | None:
        """The distance of the trailing stop that the position should have."""
        return self.entry.trailing_stop if self.entry is not None else None

    def is_of(self, order: Order) -> bool:
        """Whether this order opened the position."""
        return self.entry is not None and self.entry.order_link_id == order.order_link_id

    def is_safe(self, held: VenuePosition) -> bool:
        """Whether the position has the fixed stop that it should have."""
        return self.stop is None or held.stop_loss is not None

    def is_on(self, held: VenuePosition) -> bool:
        """Whether it is the position that was opened: one on the other side is somebody else's."""
        return self.entry is None or held.quantity * self.entry.side.sign > 0

    def lacks_trail(self, held: VenuePosition) -> bool:
        return self.trailing is not None and held.trailing_stop is None and not self.trails

    def activation(self, held: VenuePosition) -> Decimal | None:
        """The price from which the stop trails; None where that was reached already, and the
        exchange would not take it any more."""
        if self.entry is None or self.entry.trailing_activation is None:
            return None
        price, sign = self.entry.trailing_activation, self.entry.side.sign
        reached = held.mark_price is not None and (held.mark_price - price) * sign >= 0
        return None if reached else price

    def breaks_even_at(self, price: float) -> Decimal | None:
        """Where the stop should be moved once the market is at `price`: only ever closer to it."""
        entry = self.entry
        if entry is None or not self.standing:
            return None
        trigger, stop = entry.break_even_trigger, entry.break_even_stop
        if trigger is None or stop is None:
            return None
        sign = entry.side.sign
        if (price < trigger) if sign > 0 else (price > trigger):
            return None
        return stop if self.stop is None or (stop - self.stop) * sign > 0 else None
