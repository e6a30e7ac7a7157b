"""The exchange of a simulation: one account with a ledger of its own, whose answers, news and
acceptance come late, twice, or not at all.

What reached it is carried out whoever died meanwhile. Its stops are its own: a price that meets one
closes the position.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf

from engine.bybit.account import Page, Rows, VenueExecution, VenueOrder
from engine.bybit.stream import StreamEvent
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.exchange.venue import CLOCK_OFF_MS
from engine.instrument import MAJORS
from engine.order import ZERO, Order, Side
from tests.engine.exchange.fake_bybit import FakeBybit
from tests.sim.loop import SimClock, SimLoop
from tests.sim.weather import Kind, Weather

# What a request takes on its way there, and news on their way back (s).
LATENCY_S = 0.08
SLOW_S = (0.5, 8.0)
# Executions that a market order is filled in at most.
PARTS_MAX = 4
# What Bybit says to a link id it knows already.
DUPLICATE = 110_072
CHANGES = frozenset({"place", "cancel", "cancel_by_id", "protect", "set_leverage"})


class SimBybit(FakeBybit):
    """Outlives the desks that trade there. `on_placed` is told of each order that it takes; `twice`
    are the link ids that were sent to it again. By `off_ms` a desk's clock is behind it, and since
    `wrong_since` (virtual seconds) the desk that listens has found that too much.
    """

    def __init__(self, loop: SimLoop, weather: Weather) -> None:
        # The exchange's own clock is right, whatever the desk's says.
        super().__init__(SimClock(loop))
        self._loop = loop
        self._weather = weather
        self._asked = 0
        self._news = 0
        self.on_placed: Callable[[Order], None] = lambda order: None
        self.off_ms: Callable[[], int] = lambda: 0
        self.wrong_since = inf
        self.twice: list[str] = []
        self.under_way: set[asyncio.Task[None]] = set()

    def stream(self, handle: Callable[[StreamEvent], None], alive: Callable[[], bool]) -> None:
        """Tell a desk from now on, while it lives; whoever listened before hears no more."""
        self._handle = lambda event: handle(event) if alive() else None
        self.offset_ms, self.wrong_since = 0, inf
        self.reconnect()

    # -- the way there and back --------------------------------------------------------------

    async def _call(self, name: str, *arguments: object) -> None:
        self._asked += 1
        what = f"{name} {self._asked}"
        slow = self._weather.strikes(Kind.SLOW_REQUEST, what)
        least, most = SLOW_S
        share = self._weather.share(what)
        await asyncio.sleep(least + (most - least) * share if slow else LATENCY_S * share)
        if self._weather.strikes(Kind.REQUEST_LOST, what):
            raise self._lost(name)
        if self._weather.strikes(Kind.RATE_LIMITED, what):
            raise Unreachable("Too many visits.")
        if name == "place" and self._weather.strikes(Kind.REFUSED, what):
            raise ExchangeRefused(110_007, "The balance is not enough.")

    async def server_time(self) -> int:
        now = await super().server_time() - self.offset_ms
        self.offset_ms = self.off_ms()
        wrong = abs(self.offset_ms) > CLOCK_OFF_MS
        self.wrong_since = min(self.wrong_since, self._loop.time()) if wrong else inf
        return now

    async def executions(self, start: int, end: int, cursor: str = "") -> Page:
        page = await super().executions(start, end, cursor)
        return Page(self._shown(page.rows), page.cursor)

    async def executions_of(self, symbol: str, order_id: str) -> Rows[VenueExecution]:
        return self._shown(await super().executions_of(symbol, order_id))

    def _shown(self, rows: Rows[VenueExecution]) -> Rows[VenueExecution]:
        return Rows((row for row in rows if row.order_link_id not in self.hidden), rows.unread)

    def _lost(self, name: str) -> Exception:
        """A reader tries again; nobody knows whether what changes something arrived."""
        lost = "The connection broke."
        return OutcomeUnknown(lost) if name in CHANGES else Unreachable(lost)

    def _done(self, name: str) -> None:
        if self._weather.strikes(Kind.ANSWER_LOST, f"{name} done {self._asked}"):
            raise OutcomeUnknown("The answer did not come.")

    def _push(self, topic: str, row: Mapping[str, object]) -> None:
        if self.mute:
            return
        self._news += 1
        what = f"{topic} {self._news}"
        if self._weather.strikes(Kind.NEWS_LOST, what):
            return
        late = self._weather.strikes(Kind.NEWS_LATE, what)
        delay = 20.0 * self._weather.share(what) if late else LATENCY_S
        times = 2 if self._weather.strikes(Kind.NEWS_TWICE, what) else 1
        for _ in range(times):
            self._loop.call_later(delay, self.push, topic, dict(row))

    def push(self, topic: str, *rows: Mapping[str, object]) -> None:
        if not self.mute:
            super().push(topic, *rows)

    def cut(self) -> None:
        """Break the stream; it comes back by itself."""
        self._weather.note(Kind.STREAM_CUT)
        self.disconnect()
        self._loop.call_later(5.0, self.reconnect)

    # -- what happens there ------------------------------------------------------------------

    def accept(self, order: Order) -> VenueOrder:
        if order.order_link_id in self.orders:
            self.twice.append(order.order_link_id)
            raise ExchangeRefused(DUPLICATE, "OrderLinkedID is duplicate")
        if order.reduce_only and not self._reduces(order):
            raise ExchangeRefused(110_017, "current position is zero", benign=True)
        self.on_placed(order)
        if self._weather.strikes(Kind.NOT_VISIBLE, order.order_link_id):
            self.hidden.add(order.order_link_id)
            self._loop.call_later(3.0, self.hidden.discard, order.order_link_id)
        return super().accept(order)

    def fill(self, link_id: str, quantity: Decimal, price: Decimal | None = None) -> None:
        """Market orders meet several others, each for an execution of its own."""
        step = MAJORS[self.orders[link_id].symbol].quantity_step
        count = 1 + int(self._weather.share(f"parts {link_id}") * PARTS_MAX)
        part = quantity / count // step * step
        for _ in range(count - 1 if part else 0):
            super().fill(link_id, part, price)
            quantity -= part
        super().fill(link_id, quantity, price)

    def _reduces(self, order: Order) -> bool:
        held = self.held.get(order.symbol)
        return held is not None and held.quantity * order.side.sign < 0

    def move(self, symbol: str, price: Decimal) -> None:
        """The price of now; a stop or target that it meets closes the position."""
        self.prices[symbol] = price
        held = self.held.get(symbol)
        if held is None or not held.quantity:
            return
        sign = 1 if held.quantity > 0 else -1
        if held.stop_loss and sign * (price - held.stop_loss) <= 0:
            self._close(symbol, "StopLoss", "CreateByStopLoss")
        elif held.take_profit and sign * (price - held.take_profit) >= 0:
            self._close(symbol, "TakeProfit", "CreateByTakeProfit")

    def _close(self, symbol: str, stop_kind: str, made_by: str) -> VenueExecution:
        held = self.held[symbol]
        side = Side.SELL if held.quantity > 0 else Side.BUY
        return self.execute(symbol, side, abs(held.quantity), stop_kind=stop_kind, made_by=made_by)

    def deleverage(self, symbol: str) -> None:
        """Take a position away, as exchanges do where nobody else pays."""
        held = self.held.get(symbol)
        if held is not None and held.quantity:
            self._weather.note(Kind.DELEVERAGED)
            side = Side.SELL if held.quantity > 0 else Side.BUY
            self.execute(symbol, side, abs(held.quantity), exec_type="AdlTrade")

    def take_stop(self, symbol: str) -> None:
        """Take a position's stop away, as somebody does by hand."""
        held = self.held.get(symbol)
        if held is not None and held.stop_loss is not None:
            self._weather.note(Kind.STOP_TAKEN)
            self.change(symbol, stop_loss=None)

    def pay_funding(self, symbol: str) -> None:
        held = self.held.get(symbol)
        if held is not None and held.quantity:
            self._weather.note(Kind.FUNDING)
            side = Side.BUY if held.quantity > 0 else Side.SELL
            self.execute(
                symbol, side, abs(held.quantity), exec_type="Funding", made_by="",
                fee_rate=Decimal("0.0001"),
            )  # fmt: skip

    def size(self, symbol: str) -> Decimal:
        """What is held there, by its own executions."""
        rows = (row for row in self.rows if row.symbol == symbol and row.exec_type != "Funding")
        return sum((row.side.sign * row.quantity for row in rows), ZERO)

    def by_hand(self, symbol: str) -> bool:
        """Whether somebody else traded there, of whom a desk may not have heard yet."""
        strangers = (row for row in self.rows if not row.order_link_id and not row.stop_kind)
        return any(row.symbol == symbol and row.exec_type == "Trade" for row in strangers)
