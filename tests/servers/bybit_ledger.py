"""What the local Bybit knows of an account: orders, executions, positions and every coin moved.

This is the truth that checkers compare a client with; amounts are exact.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

ZERO = Decimal(0)
CLOSED_KEPT = 500
LEVERAGE = Decimal(10)
# Maintenance margin as a fraction of a position's value.
MAINTENANCE = Decimal("0.005")
PNL_STEP = Decimal("1E-8")
OPEN = frozenset({"New", "PartiallyFilled", "Untriggered"})
# The orders Bybit makes itself to end a position, by what a position calls them.
FULL_STOPS = ("TakeProfit", "StopLoss", "TrailingStop")


@dataclass(frozen=True, slots=True)
class Order:
    """One order at one moment; a change makes a new one. Times are UTC ms."""

    order_id: str
    link_id: str
    symbol: str
    side: str
    kind: str
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    created: int
    updated: int
    status: str = "Created"
    position_idx: int = 0
    reduce_only: bool = False
    close_on_trigger: bool = False
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fee: Decimal = ZERO
    pnl: Decimal = ZERO
    trigger: Decimal | None = None
    direction: int = 0
    trigger_by: str = ""
    stop_type: str = ""
    create_type: str = "CreateByUser"
    parent_link: str = ""
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit_limit: Decimal | None = None
    stop_loss_limit: Decimal | None = None
    stops_mode: str = ""
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    last_on_created: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_conditional(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.status == "Untriggered"

    @property
    def sign(self) -> int:
        return 1 if self.side == "Buy" else -1

    @property
    def average(self) -> Decimal:
        return self.value / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill or a payment of funding. `fee` is positive when paid, for funding as well."""

    exec_id: str
    kind: str
    order: Order
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_rate: Decimal
    maker: bool
    closed: Decimal
    pnl: Decimal
    mark: Decimal
    ts: int
    seq: int

    @property
    def symbol(self) -> str:
        return self.order.symbol

    @property
    def value(self) -> Decimal:
        return self.price * self.quantity

    @property
    def moves_position(self) -> bool:
        return self.kind != "Funding"

    @property
    def signed(self) -> Decimal:
        """What it adds to the position."""
        if not self.moves_position:
            return ZERO
        return self.quantity if self.side == "Buy" else -self.quantity


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the transaction log: `change` = `cash_flow` - `fee` + `funding`."""

    number: int
    kind: str
    execution: Execution
    size_after: Decimal
    cash_flow: Decimal
    fee: Decimal
    funding: Decimal
    balance: Decimal

    @property
    def change(self) -> Decimal:
        return self.cash_flow - self.fee + self.funding


@dataclass(slots=True)
class Position:
    """`size` is signed; `cost` is what the size was bought or sold for, never below zero.

    `stops` holds the ids of the orders that end all of it, by FULL_STOPS; `trailing` is a
    distance in price that counts from `best`, once the price has met `active`.
    """

    symbol: str
    idx: int
    size: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    realized_ever: Decimal = ZERO
    created: int = 0
    updated: int = 0
    opened: int = 0
    seq: int = -1
    stops: dict[str, str] = field(default_factory=dict)
    trailing: Decimal = ZERO
    active: Decimal | None = None
    best: Decimal | None = None
    status: str = "Normal"

    @property
    def side(self) -> str:
        return "Buy" if self.size > 0 else "Sell" if self.size < 0 else ""

    @property
    def exit_side(self) -> str:
        return "Sell" if self.size > 0 else "Buy"

    @property
    def average(self) -> Decimal:
        return self.cost / abs(self.size) if self.size else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        return self.size * mark - (self.cost if self.size > 0 else -self.cost)

    def take(self, change: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
        """Add a fill; returns how much of it closed and what that earned before fees."""
        closed, pnl = ZERO, ZERO
        if self.size * change < 0:
            closed = min(abs(change), abs(self.size))
            sign = 1 if self.size > 0 else -1
            cost = self.cost * closed / abs(self.size)
            pnl = (sign * (closed * price - cost)).quantize(PNL_STEP)
            # What leaves the cost is what the rounded profit says, so that sums stay exact.
            self.cost -= closed * price - sign * pnl
            self.size -= sign * closed
            self.cost = self.cost if self.size else ZERO
        opened = abs(change) - closed
        if opened:
            self.size += opened if change > 0 else -opened
            self.cost += opened * price
        return closed, pnl


Told = Callable[["Account", str, object], None]


class Account:
    """One Bybit account in USDT. `tell` hears each change: the account, its topic, what is new.

    `moment` is monotonic time, by which reads that lag behind are told what was.
    """

    def __init__(self, uid: str, balance: Decimal, tell: Told, moment: Callable[[], float]) -> None:
        self.uid = uid
        self.wallet = balance
        self.deposit = balance
        self.margin_mode = "REGULAR_MARGIN"
        self.hedged: set[str] = set()
        self.leverage: dict[str, Decimal] = {}
        self.orders: dict[str, Order] = {}
        self.links: dict[str, str] = {}
        self.executions: list[Execution] = []
        self.log: list[Entry] = []
        self.positions: dict[tuple[str, int], Position] = {}
        self.recent: deque[str] = deque(maxlen=CLOSED_KEPT)
        self._moment = moment
        self._versions: dict[str, list[tuple[float, Order]]] = {}
        self._executed: list[float] = []
        self._open: dict[str, dict[str, None]] = {}
        self._tell = tell
        self._numbers = count(1)

    # -- what a checker asks -----------------------------------------------------------------

    def order(self, link_id: str) -> Order:
        """The order as it is now; raises KeyError when there never was one."""
        return self.orders[self.links[link_id]]

    @property
    def funding(self) -> list[Execution]:
        return [e for e in self.executions if e.kind == "Funding"]

    @property
    def fills(self) -> list[Execution]:
        return [e for e in self.executions if e.moves_position]

    @property
    def sizes(self) -> dict[str, Decimal]:
        """The signed sizes of what is held, by symbol; the two sides of a hedge are netted."""
        sizes: dict[str, Decimal] = {}
        for (symbol, _), position in self.positions.items():
            if position.size:
                sizes[symbol] = sizes.get(symbol, ZERO) + position.size
        return sizes

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        symbols = [symbol] if symbol else list(self._open)
        return [self.orders[i] for s in symbols for i in self._open.get(s, ())]

    def version(self, order_id: str, moment: float) -> Order | None:
        """The order as it was at a moment of monotonic time; None before it was told of."""
        versions = self._versions.get(order_id, ())
        return next((order for at, order in reversed(versions) if at <= moment), None)

    def executions_seen(self, moment: float) -> list[Execution]:
        """Those made up to a moment of monotonic time."""
        return self.executions[: bisect_right(self._executed, moment)]

    # -- what changes it ---------------------------------------------------------------------

    def position(self, symbol: str, idx: int = 0) -> Position:
        return self.positions.setdefault((symbol, idx), Position(symbol, idx))

    def positions_of(self, symbol: str) -> list[Position]:
        return [self.position(symbol, i) for i in ((1, 2) if symbol in self.hedged else (0,))]

    def leverage_of(self, symbol: str) -> Decimal:
        return self.leverage.get(symbol, LEVERAGE)

    def enter(self, order: Order) -> None:
        """Know a new order of which nobody is told yet."""
        self.orders[order.order_id] = order
        if order.link_id:
            self.links[order.link_id] = order.order_id

    def replace(self, order: Order, **changes: object) -> Order:
        """Change an order and tell nobody."""
        order = replace(order, **changes)
        self.orders[order.order_id] = order
        self._versions.setdefault(order.order_id, []).append((self._moment(), order))
        return order

    def record(self, order: Order, **changes: object) -> Order:
        """Change an order and tell of it."""
        order = self.replace(order, **changes)
        opened = self._open.setdefault(order.symbol, {})
        if order.is_open:
            opened[order.order_id] = None
        elif order.status != "Triggered":
            opened.pop(order.order_id, None)
            self.recent.append(order.order_id)
        self._tell(self, "order", order)
        return order

    def book(self, execution: Execution, kind: str, size_after: Decimal) -> None:
        """Move the money of an execution and tell of it."""
        funding = execution.kind == "Funding"
        fee, paid = (ZERO, execution.fee) if funding else (execution.fee, ZERO)
        balance = self.wallet + execution.pnl - fee - paid
        number = next(self._numbers)
        entry = Entry(number, kind, execution, size_after, execution.pnl, fee, -paid, balance)
        self.wallet = balance
        self.executions.append(execution)
        self._executed.append(self._moment())
        self.log.append(entry)
        self._tell(self, "execution", execution)

    def touch(self, position: Position) -> None:
        self._tell(self, "position", position)
        self._tell(self, "wallet", self)
