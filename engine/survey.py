"""What an exchange holds for an account, as it was found, and where the books say otherwise."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.order import Side


@dataclass(frozen=True, slots=True)
class HeldThere:
    """A position at the exchange; `quantity` is signed, levels are prices, None where not set."""

    symbol: str
    quantity: Decimal
    average_price: Decimal | None = None
    leverage: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    liquidation_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RestingThere:
    """An open order at the exchange. `order_link_id` is empty where the desk did not make it.

    `stop_kind` is what the exchange calls an order that guards a position; empty for others.
    """

    order_id: str
    order_link_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False
    stop_kind: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """All that an exchange account holds and has resting in the symbols of one of our accounts,
    at a moment when every execution before was told. `foreign` is what stands in symbols that no
    bot trades, in words; `uid` is the account's own at the exchange. Money is in quote currency.
    """

    positions: tuple[HeldThere, ...]
    orders: tuple[RestingThere, ...]
    equity: Decimal
    available: Decimal
    uid: str = ""
    foreign: tuple[str, ...] = ()


class DifferenceKind(StrEnum):
    """What is not as the books say."""

    POSITION = "position"
    STRANGE_ORDER = "strange_order"
    ORPHAN = "orphan"
    MISSING_ORDER = "missing_order"
    NO_STOP = "no_stop"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which books and exchange do not agree; `order_id` names the order, if one."""

    kind: DifferenceKind
    symbol: str
    detail: str
    order_id: str = ""
