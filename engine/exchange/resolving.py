"""Orders of which too little was told: the exchange is asked until all is known.

Nothing is ever sent again. An order that the exchange does not know is given up only once no
request could still arrive, and it was looked for everywhere, twice.
"""

from collections.abc import Awaitable, Callable
from math import inf

from engine.bybit.account import AccountApi, VenueOrder
from engine.bybit.channel import ORDER_WINDOW
from engine.exchange.catching_up import FAILURES, in_time
from engine.exchange.orders import Orders, Tracked
from engine.exchange.tape import Tape
from engine.order import OrderType
from engine.pace import until
from engine.ports import Clock

# An order is accepted only while Bybit's clock is no more than `recv_window` after its signature,
# and less than a second before it (documentation, "Integration Guidance"). Another second for what
# our two clocks may be apart; then an order that was accepted may take some seconds to be seen by
# those who ask.
AHEAD_S = 1.0
CLOCK_MARGIN_S = 1.0
VISIBLE_S = 5.0
HORIZON_S = ORDER_WINDOW / 1000 + AHEAD_S + CLOCK_MARGIN_S + VISIBLE_S
# Times an order has to be absent after that, a moment apart.
ABSENCES = 2
# Waits between questions, the last one for as long as it takes.
WAITS_S = (0.5, 1.0, 2.0, 2.0, 2.0, 3.0, 2.0, 2.5, 5.0, 15.0)
# The desk is told again when nobody knows of an order after this many questions, about 15 s.
TOLD_AFTER = 8
# Nothing is due; looked after now and then all the same.
IDLE_S = 60.0

NEVER_ARRIVED = "it never reached the exchange"
FORGOTTEN = "the exchange does not know it any more"
ASKED = "the exchange could not say so far"


class Resolver:
    """Asks for orders when they are due."""

    def __init__(
        self,
        api: AccountApi,
        orders: Orders,
        tape: Tape,
        catch_up: Callable[[], Awaitable[None]],
        want_survey: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._api = api
        self._orders = orders
        self._tape = tape
        self._catch_up = catch_up
        self._want_survey = want_survey
        self._clock = clock

    async def run(self) -> None:
        """Ask, until canceled."""
        while True:
            self._orders.changed.clear()
            for tracked in self._orders.due():
                await self.ask(tracked)
            wait = self._orders.next_at - self._clock.monotonic()
            if wait > 0:
                await until(self._orders.changed, self._clock, min(wait, IDLE_S))

    async def ask(self, tracked: Tracked) -> None:
        """Ask for an order once, and say when it is due again if that told too little."""
        tracked.ask_at = inf
        was_unsure = tracked.unsure
        try:
            settled = await self._ask(tracked)
        except FAILURES:
            settled = False
        if was_unsure and not (tracked.unsure and tracked in self._orders):
            self._want_survey()
        if tracked not in self._orders or settled:
            return
        if tracked.unsure and tracked.told_unsure < 1 + (tracked.asked >= TOLD_AFTER):
            self._orders.unsure(tracked, ASKED)
        self._orders.ask(tracked, WAITS_S[min(tracked.asked, len(WAITS_S) - 1)])
        tracked.asked += 1

    async def _ask(self, tracked: Tracked) -> bool:
        """Whether all is known of the order that can be."""
        order = tracked.order
        found = await self._api.order(order.symbol, order.order_link_id)
        if found is None:
            await self._absent(tracked)
            return False
        tracked.absences, tracked.absent_since = 0, inf
        self._orders.report(found)
        if found.filled_quantity > tracked.found:
            await self._fetch(tracked, found)
        if found.status.is_final:
            return False
        if tracked.wanted_gone:
            await self._api.cancel(order.symbol, order.order_link_id)
        # A market order does not rest: what was seen of it was old.
        return not tracked.wanted_gone and order.order_type is not OrderType.MARKET

    async def _fetch(self, tracked: Tracked, found: VenueOrder) -> None:
        rows = await self._api.executions_of(found.symbol, found.order_id)
        for row in in_time(rows):
            self._tape.take(row, missed=True)
            self._orders.executed(row)
        for spoiled in rows.unread:
            self._tape.spoiled(spoiled)
        if rows.unread:
            self._orders.spoiled(tracked)

    async def _absent(self, tracked: Tracked) -> None:
        """The exchange knows nothing of the order, which is no proof that it has none."""
        now = self._clock.monotonic()
        tracked.absent_since = min(tracked.absent_since, now)
        if now < tracked.absent_since + HORIZON_S:
            return
        # Its executions may be known where it is not.
        await self._catch_up()
        if tracked not in self._orders:
            return
        tracked.absences += 1
        if tracked.absences < ABSENCES:
            return
        if tracked.accepted:
            self._orders.gone(tracked, FORGOTTEN)
        else:
            self._orders.rejected(tracked.order.order_link_id, NEVER_ARRIVED)
