"""Our orders at one exchange account that are not over, and what the exchange said of them.

An order is over once the exchange has said so and every execution that it counts was told; what is
still missing has to be asked for, and each order knows when.
"""

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from engine.bybit.account import VenueExecution, VenueOrder, VenueStatus
from engine.event import Journaled, OrderAccepted, OrderCanceled, OrderRejected, OrderUnknown
from engine.order import ZERO, Order, OrderStatus, OrderType
from engine.ports import Clock

Tell = Callable[[Journaled], None]

# A fill and the report that counts it come by different topics, in any order.
MOMENT_S = 1.0
# A market order is over in milliseconds; one that says nothing for this long has lost its report.
SILENT_S = 5.0
# Orders remembered that ended with nothing filled.
UNFILLED_MAX = 100

SPOILED = "what was executed of it can't be read"
REASONS = {
    "EC_PerCancelRequest": "withdrawn",
    "CancelByUser": "withdrawn",
    "CancelByReduceOnly": "there was no position left to reduce",
    "CancelAllBeforeLiq": "canceled before a liquidation",
    "CancelByPrepareLiq": "canceled to prevent a liquidation",
    "EC_PostOnlyWillTakeLiquidity": "it would have taken, and is post-only",
    "EC_NoImmediateQtyToFill": "nobody was there to trade with",
    "EC_NoEnoughQtyToFill": "there was not enough to trade with",
    "EC_ReachMarketPriceLimit": "the price moved too far for a market order",
}


@dataclass(slots=True, eq=False)
class Tracked:
    """An order of ours. Times are seconds of the clock that never goes back.

    `unsure` says that nobody knows whether it arrived; `wanted_gone` that somebody wants it
    withdrawn; `final` is the report that it is over, held back until its executions are all told,
    unless one of them is `spoiled`: can't be read, ever.
    It is asked for at `ask_at`, after `asked` times; `absent_since` is since when the exchange is
    found to know nothing of it.
    """

    order: Order
    unsure: bool = False
    told_unsure: int = 0
    accepted: bool = False
    wanted_gone: bool = False
    spoiled: bool = False
    final: VenueOrder | None = None
    executed: dict[str, Decimal] = field(default_factory=dict)
    ask_at: float = inf
    asked: int = 0
    absent_since: float = inf
    absences: int = 0

    @property
    def found(self) -> Decimal:
        """What of it was executed, as far as this process was told."""
        return sum(self.executed.values(), ZERO)


class Orders:
    """The open orders of all bots of one key, by their link ids."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._open: dict[str, Tracked] = {}
        # Those that ended with nothing filled: a fill may still come late.
        self._unfilled: dict[str, Order] = {}
        self.changed = asyncio.Event()

    def __contains__(self, tracked: Tracked) -> bool:
        return self._open.get(tracked.order.order_link_id) is tracked

    def get(self, link_id: str) -> Tracked | None:
        return self._open.get(link_id)

    def track(self, order: Order) -> Tracked:
        """Follow an order from now on, as the books know it."""
        tracked = self._open.get(order.order_link_id)
        if tracked is None:
            known = order.status not in (OrderStatus.PENDING, OrderStatus.UNKNOWN)
            tracked = self._open[order.order_link_id] = Tracked(order, accepted=known)
        return tracked

    def resume(self, order: Order) -> None:
        """Ask what became of an order that an earlier process may have sent."""
        tracked = self.track(order)
        if not tracked.accepted:
            tracked.unsure = True
        self.ask(tracked, 0.0)

    # -- when to ask -------------------------------------------------------------------------

    def ask(self, tracked: Tracked, seconds: float) -> None:
        """Have an order asked for after so long, if not before."""
        tracked.ask_at = min(tracked.ask_at, self._clock.monotonic() + seconds)
        self.changed.set()

    def due(self) -> list[Tracked]:
        now = self._clock.monotonic()
        return [tracked for tracked in self._open.values() if tracked.ask_at <= now]

    @property
    def next_at(self) -> float:
        """When the next order is due; infinite where none is."""
        return min((tracked.ask_at for tracked in self._open.values()), default=inf)

    def missing(self, there: Container[str]) -> list[Tracked]:
        """Those that should rest at the exchange and are not among the link ids `there`."""
        return [
            tracked
            for link_id, tracked in self._open.items()
            if tracked.accepted and tracked.final is None and link_id not in there
        ]

    # -- what is told of them ----------------------------------------------------------------

    def heard(self, link_id: str, order_id: str) -> None:
        """The exchange has the order: told once."""
        tracked = self._open.get(link_id)
        if tracked is None or tracked.accepted:
            return
        tracked.accepted, tracked.unsure = True, False
        tracked.absent_since, tracked.absences, tracked.asked = inf, 0, 0
        order = tracked.order
        self._tell(OrderAccepted(order.account, link_id, order_id, self._clock.now()))
        if order.order_type is OrderType.MARKET:
            self.ask(tracked, SILENT_S)

    def rejected(self, link_id: str, reason: str) -> None:
        """The exchange has no such order, and never will: told once."""
        tracked = self._open.pop(link_id, None)
        if tracked is not None:
            self._note_unfilled(tracked)
            order = tracked.order
            self._tell(OrderRejected(order.account, link_id, reason, self._clock.now()))

    def gone(self, tracked: Tracked, reason: str) -> None:
        """What was not filled of an order never will be."""
        order = tracked.order
        del self._open[order.order_link_id]
        self._note_unfilled(tracked)
        now = self._clock.now()
        self._tell(OrderCanceled(order.account, order.order_link_id, reason, now))

    def unsure(self, tracked: Tracked, reason: str) -> None:
        """Nobody knows whether the order arrived; told again where that takes long."""
        order = tracked.order
        tracked.unsure = True
        tracked.told_unsure += 1
        self._tell(OrderUnknown(order.account, order.order_link_id, reason, self._clock.now()))

    def report(self, found: VenueOrder) -> None:
        """Take what the exchange says of an order, which may be late, and not for the first
        time."""
        tracked = self._open.get(found.order_link_id)
        if tracked is None:
            return
        if found.status is VenueStatus.REJECTED and not found.filled_quantity:
            self.rejected(found.order_link_id, _said(found))
            return
        self.heard(found.order_link_id, found.order_id)
        if found.status.is_final:
            tracked.final = found
            self._finish(tracked)

    def executed(self, row: VenueExecution) -> Order | None:
        """Count an execution of one of the orders; the order, where it is its first."""
        tracked = self._open.get(row.order_link_id)
        if tracked is None:
            return self._unfilled.pop(row.order_link_id, None)
        tracked.executed[row.exec_id] = row.quantity
        if tracked.final is not None:
            self._finish(tracked)
        elif tracked.found >= tracked.order.quantity:
            del self._open[row.order_link_id]
        return tracked.order if len(tracked.executed) == 1 else None

    def _note_unfilled(self, tracked: Tracked) -> None:
        if tracked.executed:
            return
        self._unfilled[tracked.order.order_link_id] = tracked.order
        if len(self._unfilled) > UNFILLED_MAX:
            del self._unfilled[next(iter(self._unfilled))]

    def spoiled(self, tracked: Tracked) -> None:
        """An execution of the order can't be read: nobody waits for it any more."""
        tracked.spoiled = True
        if tracked in self and tracked.final is not None:
            self._finish(tracked)

    def _finish(self, tracked: Tracked) -> None:
        """Let go of an order that is over, once its executions add up."""
        assert tracked.final is not None
        filled = tracked.final.filled_quantity
        if tracked.found < filled and not tracked.spoiled:
            self.ask(tracked, MOMENT_S)
        elif tracked.found < tracked.order.quantity:
            self.gone(tracked, SPOILED if tracked.found < filled else _said(tracked.final))
        else:
            del self._open[tracked.order.order_link_id]


def _said(final: VenueOrder) -> str:
    if final.status is VenueStatus.FILLED:
        return "the position was smaller than the order"
    return REASONS.get(final.reason, final.reason or str(final.status))
