"""What a Bybit account tells of itself, as values, and the door that it is asked through.

Nothing here belongs to a bot yet: whose an execution is, the exchange adapter says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeVar

from engine.order import Order, Side

T = TypeVar("T")


class VenueStatus(StrEnum):
    """Where an order stands, in Bybit's words."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    FILLED = "Filled"
    CANCELED = "Cancelled"
    PARTIALLY_FILLED_CANCELED = "PartiallyFilledCanceled"
    REJECTED = "Rejected"
    DEACTIVATED = "Deactivated"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = {
    VenueStatus.FILLED,
    VenueStatus.CANCELED,
    VenueStatus.PARTIALLY_FILLED_CANCELED,
    VenueStatus.REJECTED,
    VenueStatus.DEACTIVATED,
}


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as Bybit reports it. Prices are in quote currency, None where there is none.

    `order_link_id` is empty where somebody else made it, or Bybit itself: then `made_by` says how
    (`CreateByStopLoss`, `CreateByLiq`, ...), and `stop_kind` what it waits for (`StopLoss`,
    `TakeProfit`, `TrailingStop`, `Stop`, ...). `reason` is why it was refused or canceled.
    """

    order_id: str
    order_link_id: str
    symbol: str
    side: Side
    order_type: str
    status: VenueStatus
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    made_by: str
    stop_kind: str
    reason: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class VenueExecution:
    """One row of the executions, funding among them. `fee` is positive when paid.

    `exec_type` is Bybit's word (`Trade`, `Funding`, `BustTrade`, `AdlTrade`, ...), which may be one
    that is not known here. `quantity` of funding is the position's. `fee_rate` is a fraction.
    """

    exec_id: str
    order_id: str
    order_link_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_rate: Decimal
    is_maker: bool
    exec_type: str
    made_by: str
    stop_kind: str
    ts: int


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A position as Bybit reports it; `quantity` is signed, negative when short.

    Levels are None where they are not set; `index` is 0 in one-way mode, 1 and 2 in hedge mode.
    """

    symbol: str
    quantity: Decimal
    average_price: Decimal | None
    leverage: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    trailing_stop: Decimal | None
    liquidation_price: Decimal | None
    mark_price: Decimal | None
    index: int
    is_reduce_only: bool
    updated_at: int


@dataclass(frozen=True, slots=True)
class Wallet:
    """The money of an account, in USDT: `equity` with open profit, `available` for new margin."""

    equity: Decimal
    wallet_balance: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What an API key may do. `expires_at` is UTC ms, None where it never does.

    `permissions` are Bybit's words, as in `ContractTrade:Order`; `ips` the addresses it is bound
    to, empty where it is bound to none.
    """

    uid: str
    read_only: bool
    permissions: frozenset[str]
    ips: tuple[str, ...]
    expires_at: int | None

    @property
    def may_trade(self) -> bool:
        return (
            not self.read_only
            and {
                "ContractTrade:Order",
                "ContractTrade:Position",
            }
            <= self.permissions
        )

    @property
    def may_withdraw(self) -> bool:
        return any(each.startswith("Wallet:Withdraw") for each in self.permissions)


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """`margin_mode` is Bybit's word: `ISOLATED_MARGIN`, `REGULAR_MARGIN`, `PORTFOLIO_MARGIN`."""

    margin_mode: str
    unified: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that makes no sense. `symbol` and `exec_id` are empty where it does not tell them;
    `detail` says what is wrong, and how the row begins."""

    symbol: str
    exec_id: str
    detail: str


class Rows(list[T]):
    """The rows of an answer, and beside them those that could not be read."""

    def __init__(self, rows: Iterable[T] = (), unread: Iterable[Unread] = ()) -> None:
        super().__init__(rows)
        self.unread = list(unread)

    def add(self, more: "Rows[T]") -> None:
        self.extend(more)
        self.unread.extend(more.unread)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of executions, newest first; `cursor` is empty on the last."""

    rows: Rows[VenueExecution]
    cursor: str


class AccountApi(Protocol):
    """The private REST of one API key; linear USDT perpetuals in one-way mode.

    What a method raises: `ExchangeRefused` where Bybit said no, and surely did nothing;
    `Unreachable` where the request surely was not taken (a pace, a ban, no connection);
    `OutcomeUnknown` where it may have been. Only reads are ever sent twice by themselves.
    A row that can't be read hides no other.
    """

    async def place(self, order: Order, index: int = 0) -> str:
        """Send an order once, with its stop and target; Bybit's order id.

        `index` is the position's that it is for. One that only reduces and has no quantity closes
        as much as Bybit lets one order close.
        """
        ...

    async def cancel(self, symbol: str, order_link_id: str) -> None: ...

    async def cancel_by_id(self, symbol: str, order_id: str) -> None: ...

    async def amend(
        self,
        symbol: str,
        order_link_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None: ...

    async def cancel_all(self, symbol: str | None = None) -> None:
        """Cancel every order of the account, conditional ones too (of one symbol, where named)."""
        ...

    async def protect(
        self,
        symbol: str,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        trailing_stop: Decimal | None = None,
        activation: Decimal | None = None,
    ) -> None:
        """Set a position's levels; None leaves one as it is, 0 takes it away."""
        ...

    async def set_leverage(self, symbol: str, leverage: int) -> None: ...

    async def set_one_way(self, symbol: str) -> None: ...

    async def set_margin_mode(self, mode: str) -> None: ...

    async def order(self, symbol: str, order_link_id: str) -> VenueOrder | None:
        """An order by its link id among the open, the last closed, and the history; None where
        none of them has it, which is no proof yet that there is none."""
        ...

    async def open_orders(self) -> Rows[VenueOrder]:
        """All that are open, conditional ones too."""
        ...

    async def executions(self, start: int, end: int, cursor: str = "") -> Page:
        """Executions from `start` to `end` (UTC ms, at most 7 days apart)."""
        ...

    async def executions_of(self, symbol: str, order_id: str) -> Rows[VenueExecution]:
        """All executions of one order."""
        ...

    async def positions(self) -> Rows[VenuePosition]:
        """All that are open."""
        ...

    async def position(self, symbol: str) -> VenuePosition:
        """The one of a symbol, open or not, with leverage and mode."""
        ...

    async def wallet(self) -> Wallet: ...

    async def key_info(self) -> KeyInfo: ...

    async def account_info(self) -> AccountInfo: ...

    async def server_time(self) -> int:
        """UTC ms; measures the clocks' offset on the way."""
        ...

    @property
    def offset_ms(self) -> int:
        """How far Bybit's clock is ahead of ours."""
        ...

    def close(self) -> None: ...
