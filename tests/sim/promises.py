"""What a desk promises, whatever happens to it, and how each promise is looked at.

Some are looked at with each commit, some as the exchange takes an order, the rest once all is calm.
"""

from collections import Counter
from dataclasses import dataclass

from engine.audit import Fault, Verifier
from engine.effect import NoticeKind
from engine.instrument import MAJORS
from engine.ledger import Funding
from engine.order import ZERO, Fill, Order, Reason
from engine.ports import Commit
from engine.position import Position
from engine.store.memory import MemoryStore
from tests.sim.loop import SimLoop
from tests.sim.process import Life
from tests.sim.venue import SimBybit

AUDIT_KEY = b"the key of a simulated desk's audit"

# What of an order has to reach the exchange as it was decided.
TERMS = ("symbol", "side", "quantity", "reduce_only", "stop_loss", "take_profit")
# What was decided before a desk knew better is stored by then, however slow its database is (s).
NOTED_S = 70.0
OLD_S = 130.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, when (virtual seconds), and how."""

    promise: str
    at: float
    words: str

    def __str__(self) -> str:
        return f"{self.at:10.3f} BROKEN: {self.promise}: {self.words}"


class Promises:
    """Looks at all promises. `checks` counts how often each was looked at."""

    def __init__(self, loop: SimLoop, store: MemoryStore, bybit: SimBybit) -> None:
        self._loop = loop
        self._store = store
        self._bybit = bybit
        self.violations: list[Violation] = []
        self.checks: Counter[str] = Counter()
        self._intents: dict[str, Order] = {}
        self._open: dict[str, Order] = {}
        self._known: dict[str, Order] = {}
        # Where somebody traded by hand: in this commit, and in one before it.
        self._meddled: set[str] = set()
        self._looked_for: set[str] = set()
        self._booked: set[str] = set()
        self._audited = 0

    def broken(self, promise: str, words: str) -> None:
        self.violations.append(Violation(promise, self._loop.time(), words))

    def hold(self, promise: str, holds: bool, words: str) -> None:
        """Note that a promise was looked at, and whether it held."""
        self._hold(promise, holds, words)

    def _hold(self, promise: str, holds: bool, words: str) -> None:
        self.checks[promise] += 1
        if not holds:
            self.broken(promise, words)

    # -- at each commit ------------------------------------------------------------------------

    def on_commit(self, batch: Commit) -> None:
        self._looked_for |= self._meddled
        for fact in batch.facts:
            match fact:
                case Order():
                    self._stored(fact, batch)
                case Fill():
                    self._filled(fact)
        for notice in batch.notices:
            halted = notice.kind is NoticeKind.DESK_HALTED and not notice.actor
            self._hold("the books add up", not halted, notice.text)
        for row in batch.audit:
            self._hold("the audit has no gap", row.seq == self._audited + 1, f"row {row.seq}")
            self._audited = row.seq

    def _stored(self, order: Order, batch: Commit) -> None:
        link = order.order_link_id
        if link not in self._intents:
            self._intents[link] = order
            self._intended(order, batch)
        known = self._known.get(link, order)
        same = known.is_open or known.filled_quantity == order.filled_quantity
        words = f"{link} {known.status} {known.filled_quantity}, then {order.filled_quantity}"
        self._hold("an order that ended stays as it ended", same, words)
        self._known[link] = order
        if order.is_open:
            self._open[link] = order
        else:
            self._open.pop(link, None)

    def _intended(self, order: Order, batch: Commit) -> None:
        link = order.order_link_id
        audited = any(row.action == "order" and link in row.detail for row in batch.audit)
        self._hold("an order is in the audit as it is stored", audited, link)
        if order.reduce_only:
            return
        waits = [each for each, other in self._open.items() if other.symbol == order.symbol]
        self._hold("an entry waits for no other order", not waits, f"{link} beside {waits}")
        free = order.symbol not in self._looked_for
        self._hold("nothing is opened where a person has to look", free, link)
        age_s = (self._bybit.clock.now() - order.created_at) / 1000
        self._hold("nothing is opened on old news", age_s < OLD_S, f"{link}: {age_s} s")
        wrong_s = self._loop.time() - self._bybit.wrong_since
        self._hold("nothing is opened by a wrong clock", wrong_s < NOTED_S, f"{link}: {wrong_s} s")

    def _filled(self, fill: Fill) -> None:
        if fill.close_reason is Reason.EXTERNAL:
            self._meddled.add(fill.symbol)
        known = any(row.exec_id == fill.exec_id for row in self._bybit.rows)
        self._hold("a fill is the exchange's", known, fill.exec_id)
        self._hold("a fill is booked once", fill.exec_id not in self._booked, fill.exec_id)
        self._booked.add(fill.exec_id)

    # -- as the exchange takes an order --------------------------------------------------------

    def on_placed(self, order: Order) -> None:
        link = order.order_link_id
        self._hold("an order is stored before it is sent", link in self._intents, link)
        step = MAJORS[order.symbol].quantity_step
        self._hold("an order is sent as it was stored", self._as_stored(order), link)
        self._hold("an order is a multiple of its step", order.quantity % step == 0, link)
        held = self._bybit.size(order.symbol)
        is_ours = not self._bybit.by_hand(order.symbol)
        grows = is_ours and not order.reduce_only and held * order.side.sign > 0
        self._hold("a position is entered once", not grows, f"{link} onto {held}")
        turns = is_ours and not order.reduce_only and held * order.side.sign < 0
        self._hold("what closes only reduces", not turns, f"{link} against {held}")

    def _as_stored(self, order: Order) -> bool:
        intent = self._intents.get(order.order_link_id, order)
        return all(getattr(order, name) == getattr(intent, name) for name in TERMS)

    # -- once all is calm ----------------------------------------------------------------------

    async def in_calm(self, life: Life) -> None:
        """The books against the exchange's own, and that the desk is there again."""
        self._hold("a desk is there again", life.goes_on, "the last one is not")
        self._hold("no order is sent twice", not self._bybit.twice, str(self._bybit.twice))
        await self._fills()
        await self._positions()
        self._stops()
        await self._orders()
        await self._audit()

    async def _fills(self) -> None:
        rows = self._bybit.rows
        there = Counter(row.exec_id for row in rows if row.exec_type != "Funding")
        here = Counter(fill.exec_id for fill in await self._store.recent(Fill))
        differs = [*(here - there), *(there - here)]
        self._hold("fills are the exchange's executions", not differs, str(differs))
        paid = sum(row.exec_type == "Funding" for row in rows)
        booked = len(await self._store.recent(Funding))
        self._hold("funding is booked", paid == booked, f"{paid} there, {booked} here")

    async def _positions(self) -> None:
        stored = {p.symbol: p.quantity for p in await self._store.recent(Position)}
        for symbol in MAJORS:
            there, here = self._bybit.size(symbol), stored.get(symbol, ZERO)
            self._hold("positions are the exchange's", there == here, f"{symbol} {there} {here}")

    def _stops(self) -> None:
        for symbol in MAJORS:
            held = self._bybit.held.get(symbol)
            if held is not None and held.quantity and not self._bybit.by_hand(symbol):
                stands = held.stop_loss is not None
                self._hold("a position has its stop", stands, f"{symbol} {held.quantity}")

    async def _orders(self) -> None:
        open_ = [order for order in await self._store.recent(Order) if order.is_open]
        words = ", ".join(f"{order.order_link_id} {order.status}" for order in open_)
        self._hold("no order's fate stays unknown", not open_, words)
        for order in await self._store.recent(Order):
            there = self._bybit.orders.get(order.order_link_id)
            filled = there.filled_quantity if there else ZERO
            words = f"{order.order_link_id} {order.status}: {filled} there, {order.filled_quantity}"
            same = filled == order.filled_quantity
            self._hold("an order's fills are the exchange's", same, words)

    async def _audit(self) -> None:
        store = self._store
        check = Verifier(AUDIT_KEY, await store.last_head(), await store.last_cut(), [])
        fault: Fault | None = check.begin()
        for row in await store.audit_rows(0, 1_000_000):
            fault = fault or check.take(row)
        end = fault or check.end()
        self._hold("the audit verifies", not isinstance(end, Fault), str(end))
