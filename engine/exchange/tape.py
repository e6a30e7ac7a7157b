"""The executions of one exchange account: each told once, to the bot whose symbol it is."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import structlog

from engine.bybit.account import Unread, VenueExecution
from engine.event import Executed, Unreadable
from engine.exchange.attributing import attribute, moves
from engine.exchange.orders import Orders, Tell
from engine.exchange.owners import Owners
from engine.order import ZERO, Order
from engine.ports import Clock

# Executions remembered for telling repeats: those of the overlap of two readings, many times over.
SEEN_MAX = 20_000

FirstFill = Callable[[Order], None]

log = structlog.get_logger()


class Tape:
    """Takes executions from the stream and from REST, in any order and more than once.

    `news` counts those in symbols of ours that were not known before, `recovered` those of them
    that the stream did not tell while it was up. `holds` are the positions as they were when last
    looked at with all that was executed since; None before that. `strange` counts executions in
    symbols of nobody's.
    """

    def __init__(self, owners: Owners, orders: Orders, tell: Tell, clock: Clock) -> None:
        self._owners = owners
        self._orders = orders
        self._tell = tell
        self._clock = clock
        self._seen: dict[str, None] = {}
        self._begins: dict[str, int] = {}
        self.on_first_fill: FirstFill = lambda order: None
        self.news = 0
        self.recovered = 0
        self.holds: dict[str, Decimal] | None = None
        self.strange: Counter[str] = Counter()

    def begin(self, account: str, ts: int) -> None:
        """Tell an account nothing that was executed before `ts` (UTC ms)."""
        self._begins[account] = ts

    def take(self, row: VenueExecution, *, missed: bool = False) -> None:
        """Tell of an execution that is not known yet; `missed` says that the stream had not."""
        if not self._remember(row.exec_id):
            return
        account = self._owners.of(row.symbol)
        if account is None:
            self.strange[row.symbol] += 1
            return
        self.news += 1
        self.recovered += missed
        if row.ts >= self._begins.get(account, 0):
            self._say(row, account)
            if self.holds is not None and moves(row):
                held = self.holds.get(row.symbol, ZERO)
                self.holds[row.symbol] = held + row.side.sign * row.quantity

    def repeat(self, row: VenueExecution, account: str) -> bool:
        """Tell of an execution once more, whenever it was, if it is in one of the account's
        symbols; whether it is."""
        if self._owners.of(row.symbol) != account:
            return False
        self._remember(row.exec_id)
        self._say(row, account)
        return True

    def spoiled(self, row: Unread) -> None:
        """Tell once of a row that can't be read: nobody knows what it did to positions. Its owner,
        or all where it names none, must not go on as if it were nothing."""
        owner = self._owners.of(row.symbol)
        if row.symbol and owner is None:
            return
        if not self._remember(f"unread:{row.exec_id or row.detail}"):
            return
        log.warning("bybit: a row can't be read", row=row.detail)
        for account in self._owners.accounts if owner is None else (owner,):
            self._tell(Unreadable(account, row.symbol, row.detail, self._clock.now()))

    def _remember(self, exec_id: str) -> bool:
        if exec_id in self._seen:
            return False
        self._seen[exec_id] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return True

    def _say(self, row: VenueExecution, account: str) -> None:
        is_ours = self._owners.made(account, row.order_link_id)
        told = attribute(row, account, is_ours, self._clock.now())
        counts = isinstance(told, Executed) and bool(told.execution.order_link_id)
        if counts:
            self._orders.heard(row.order_link_id, row.order_id)
        self._tell(told)
        if counts and (order := self._orders.executed(row)):
            self.on_first_fill(order)
