"""Orders and fills: their words, their legal life, and the id an order keeps for ever."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from engine.errors import BadInput, Broken

ZERO = Decimal(0)


class Side(StrEnum):
    """The direction of an order or fill, spelled as the exchange does."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def direction(self) -> str:
        """How people name a position that it opened."""
        return "long" if self is Side.BUY else "short"


class OrderType(StrEnum):
    """How an order finds its price. A stop is a market order that waits for its trigger."""

    MARKET = "Market"
    LIMIT = "Limit"
    STOP = "Stop"


class OrderStatus(StrEnum):
    """Where an order stands.

    PENDING is the intent: stored, not yet known to be received. UNKNOWN is one that was sent and
    that nobody knows the outcome of: the exchange is asked until it is known.
    """

    PENDING = "Pending"
    UNKNOWN = "Unknown"
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELED = "Cancelled"
    REJECTED = "Rejected"


# What may follow what. A fill may come before the acceptance that announces it, and after a
# cancel that it overtook: both are met on real exchanges.
TRANSITIONS = {
    OrderStatus.PENDING: {
        OrderStatus.UNKNOWN,
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
    },
    OrderStatus.UNKNOWN: {
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
    },
    OrderStatus.NEW: {
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
    },
    OrderStatus.PARTIALLY_FILLED: {
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
    },
    # A fill that comes late does not open it again.
    OrderStatus.CANCELED: {OrderStatus.CANCELED, OrderStatus.FILLED},
    OrderStatus.REJECTED: set(),
    OrderStatus.FILLED: set(),
}

OPEN_STATUSES = {
    OrderStatus.PENDING,
    OrderStatus.UNKNOWN,
    OrderStatus.NEW,
    OrderStatus.PARTIALLY_FILLED,
}


class Reason(StrEnum):
    """Why an order was made: the one vocabulary of entries and exits."""

    EMA_CROSS = "ema_cross"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    MA_EXIT = "ma_exit"
    TIME_EXIT = "time_exit"
    LIQUIDATION = "liquidation"
    MANUAL_ENTRY = "manual_entry"
    MANUAL_EXIT = "manual_exit"
    LONG_ENTRY = "long_entry"
    SHORT_ENTRY = "short_entry"
    LONG_EXIT = "long_exit"
    SHORT_EXIT = "short_exit"
    SIGNAL_REVERSAL = "signal_reversal"
    VOLATILITY_BREAKOUT = "volatility_breakout"
    RULE_6 = "rule_6"
    RULE_8 = "rule_8"
    AUTO_DELEVERAGING = "auto_deleveraging"
    SETTLEMENT = "settlement"
    EXTERNAL = "external"
    UNPROTECTED = "unprotected"
    KILL = "kill"


# Two letters a reason, for the id that travels to the exchange. Never reuse a code.
REASON_CODES = {
    Reason.EMA_CROSS: "ec",
    Reason.STOP_LOSS: "sl",
    Reason.TAKE_PROFIT: "tp",
    Reason.TRAILING_STOP: "ts",
    Reason.MA_EXIT: "mx",
    Reason.TIME_EXIT: "tx",
    Reason.LIQUIDATION: "lq",
    Reason.MANUAL_ENTRY: "me",
    Reason.MANUAL_EXIT: "mo",
    Reason.LONG_ENTRY: "le",
    Reason.SHORT_ENTRY: "se",
    Reason.LONG_EXIT: "lx",
    Reason.SHORT_EXIT: "sx",
    Reason.SIGNAL_REVERSAL: "sr",
    Reason.VOLATILITY_BREAKOUT: "vb",
    Reason.RULE_6: "rs",
    Reason.RULE_8: "re",
    Reason.AUTO_DELEVERAGING: "ad",
    Reason.SETTLEMENT: "st",
    Reason.EXTERNAL: "ex",
    Reason.UNPROTECTED: "up",
    Reason.KILL: "kl",
}
CODE_REASONS = {code: reason for reason, code in REASON_CODES.items()}

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 8
_SEQUENCE_DIGITS = 3
SEQUENCE_LIMIT = 36**_SEQUENCE_DIGITS
# The eight digits of the time last until 2059.
TIME_LIMIT = 36**_TIME_DIGITS
# Strict, because `int(text, 36)` also takes capitals, signs, spaces and underscores.
_LINK_ID = re.compile(
    rf"([a-z0-9_]{{1,20}})-([a-z]{{2}})-([0-9a-z]{{{_TIME_DIGITS}}})([0-9a-z]{{{_SEQUENCE_DIGITS}}})"
)


def client_order_id(bot_id: str, reason: Reason, ts: int) -> str:
    """The id in our books, `{bot_id}:{reason}:{timestamp}`."""
    return f"{bot_id}:{reason}:{ts}"


def order_link_id(bot_id: str, reason: Reason, ts: int, sequence: int) -> str:
    """The id on the wire: the same facts in at most 35 of Bybit's 36 characters.

    `sequence` tells apart the orders that one bot decides in the same millisecond. The same
    decision gives the same id on every attempt.
    """
    if not 0 <= sequence < SEQUENCE_LIMIT:
        raise Broken(f"order sequence {sequence} is outside 0 to {SEQUENCE_LIMIT - 1}")
    if not 0 <= ts < TIME_LIMIT:
        raise Broken(f"order time {ts} is outside 0 to {TIME_LIMIT - 1}")
    time, number = _base36(ts, _TIME_DIGITS), _base36(sequence, _SEQUENCE_DIGITS)
    return f"{bot_id}-{REASON_CODES[reason]}-{time}{number}"


def decode_link_id(link_id: str) -> tuple[str, Reason, int, int]:
    """Bot, reason, decision time (ms) and sequence of an `order_link_id`.

    Raises BadInput for an id that this program did not make.
    """
    found = _LINK_ID.fullmatch(link_id)
    if found is None or found[2] not in CODE_REASONS:
        raise BadInput("order link id", link_id, "<bot_id>-<reason>-<time><sequence>")
    return found[1], CODE_REASONS[found[2]], int(found[3], 36), int(found[4], 36)


def _base36(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


@dataclass(frozen=True, slots=True)
class Order:
    """One instruction to the exchange, with the protection its position will carry.

    Prices are in quote currency, quantities in base currency, times in UTC ms.
    `stop_loss`, `take_profit`, `trailing_activation` and the two of break-even are prices,
    `trailing_stop` is a distance; the exchange side applies them to the position this order opens.
    A limit order that is `post_only` never takes; one that still rests at `expires_at` (market
    time, UTC ms; 0: never) is withdrawn.
    """

    account: str
    order_link_id: str
    client_order_id: str
    bot_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    leverage: int
    reason: Reason
    created_at: int
    updated_at: int
    status: OrderStatus = OrderStatus.PENDING
    order_id: str | None = None
    filled_quantity: Decimal = ZERO
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trailing_stop: Decimal | None = None
    trailing_activation: Decimal | None = None
    break_even_trigger: Decimal | None = None
    break_even_stop: Decimal | None = None
    reject_reason: str | None = None
    post_only: bool = False
    expires_at: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled_quantity

    def accepted(self, order_id: str, ts: int) -> "Order":
        """The order after the exchange has named it; later news stands if it came first."""
        unsure = (OrderStatus.PENDING, OrderStatus.UNKNOWN)
        status = OrderStatus.NEW if self.status in unsure else self.status
        return replace(self, status=status, order_id=order_id, updated_at=ts)

    def unknown(self, ts: int, reason: str) -> "Order":
        """The order after a send of which nobody knows the outcome; later news stands."""
        if self.status is not OrderStatus.PENDING:
            return self
        return replace(self._to(OrderStatus.UNKNOWN), reject_reason=reason, updated_at=ts)

    def filled(self, quantity: Decimal, ts: int) -> "Order":
        """The order after `quantity` more of it was executed."""
        total = self.filled_quantity + quantity
        over = self.status is OrderStatus.CANCELED
        part = OrderStatus.CANCELED if over else OrderStatus.PARTIALLY_FILLED
        status = OrderStatus.FILLED if total >= self.quantity else part
        return replace(self._to(status), filled_quantity=total, updated_at=ts)

    def canceled(self, ts: int, reason: str | None = None) -> "Order":
        return replace(self._to(OrderStatus.CANCELED), updated_at=ts, reject_reason=reason)

    def rejected(self, reason: str, ts: int) -> "Order":
        return replace(self._to(OrderStatus.REJECTED), reject_reason=reason, updated_at=ts)

    def _to(self, status: OrderStatus) -> "Order":
        if status not in TRANSITIONS[self.status]:
            raise Broken(f"order {self.order_link_id}: {self.status} can't become {status}")
        return replace(self, status=status)


class ExecType(StrEnum):
    """What an execution was. Funding is not one of them: it moves money, not quantity."""

    TRADE = "Trade"
    LIQUIDATION = "BustTrade"
    AUTO_DELEVERAGING = "AdlTrade"
    DELIVERY = "Delivery"
    SETTLEMENT = "Settle"
    BLOCK = "BlockTrade"
    MOVE = "MovePosition"


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as the exchange reports it, before anybody says whose it was.

    `order_link_id` is empty and `trigger` set where the exchange itself made the order (a
    stop, target, trailing stop or liquidation). `fee` is positive when paid.
    """

    account: str
    exec_id: str
    order_id: str
    order_link_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    is_maker: bool
    exec_type: ExecType
    ts: int
    trigger: Reason | None = None

    def as_fill(self, bot_id: str, client_order_id: str, reason: Reason) -> "Fill":
        """The execution in somebody's books."""
        return Fill(
            exec_id=self.exec_id,
            account=self.account,
            bot_id=bot_id,
            symbol=self.symbol,
            order_id=self.order_id,
            client_order_id=client_order_id,
            side=self.side,
            exec_price=self.price,
            exec_qty=self.quantity,
            exec_time=self.ts,
            commission=self.fee,
            is_maker=self.is_maker,
            exec_type=self.exec_type,
            close_reason=reason,
        )


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution in our books, attributed to a bot and a reason; never changed again.

    Column names are those of the reference system; `commission` is positive when paid.
    """

    exec_id: str
    account: str
    bot_id: str
    symbol: str
    order_id: str
    client_order_id: str
    side: Side
    exec_price: Decimal
    exec_qty: Decimal
    exec_time: int
    commission: Decimal
    is_maker: bool
    exec_type: ExecType
    close_reason: Reason
