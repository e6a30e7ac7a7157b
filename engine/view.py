"""The desk as it stands, in values that commands can show: a copy, never the thing itself."""

from dataclasses import dataclass
from decimal import Decimal

from engine.bot import BotStatus
from engine.ledger import Ledger
from engine.order import Order
from engine.position import Position
from engine.signal import GateResult
from engine.strategies.kernel import Condition


@dataclass(frozen=True, slots=True)
class PositionView:
    """An open position at the last price, with the protection its entry order set."""

    position: Position
    price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    trailing_stop: Decimal | None
    trailing_activation: Decimal | None

    @property
    def unrealized(self) -> Decimal:
        return self.position.unrealized(self.price)


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's money, in quote currency."""

    account: str
    bot_id: str
    ledger: Ledger
    unrealized: Decimal
    margin: Decimal

    @property
    def equity(self) -> Decimal:
        return self.ledger.balance + self.unrealized


@dataclass(frozen=True, slots=True)
class BotView:
    bot_id: str
    strategy: str
    summary: str
    symbols: tuple[str, ...]
    timeframe: int
    account: str
    status: BotStatus


@dataclass(frozen=True, slots=True)
class WhyView:
    """What one bot thinks of one symbol: its conditions, and each gate's answer right now."""

    bot_id: str
    symbol: str
    ts: int
    price: float
    conditions: tuple[Condition, ...]
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class CoreView:
    """The core's memory at one moment. `market_time` is the close of the last candle, ms."""

    candles: int
    market_time: int
    market_ended: bool
    halted: str
    prices: dict[str, float]
    bots: tuple[BotView, ...]
    accounts: tuple[AccountView, ...]
    positions: tuple[PositionView, ...]
    open_orders: tuple[Order, ...]
