"""What can happen: everything the core is ever told, in the past tense."""

from dataclasses import dataclass
from decimal import Decimal

from engine.candle import Candle
from engine.order import Execution


@dataclass(slots=True)
class CandleClosed:
    """A bar of the market's own timeframe closed at `closed_at`.

    Not frozen: it is made once a bar, and a frozen dataclass costs three times as much.
    """

    symbol: str
    candle: Candle
    closed_at: int


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    account: str
    order_link_id: str
    order_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class OrderRejected:
    account: str
    order_link_id: str
    reason: str
    ts: int


@dataclass(frozen=True, slots=True)
class OrderCanceled:
    account: str
    order_link_id: str
    reason: str
    ts: int


@dataclass(frozen=True, slots=True)
class Executed:
    """The exchange reports an execution; it may say so more than once."""

    execution: Execution

    @property
    def ts(self) -> int:
        return self.execution.ts


@dataclass(frozen=True, slots=True)
class FundingSettled:
    """Funding was exchanged; `amount` in quote currency, positive when received."""

    account: str
    symbol: str
    ts: int
    amount: Decimal
    rate: Decimal
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class StopMoved:
    """The exchange trails a position's stop; it stands at the price `stop` now."""

    account: str
    symbol: str
    stop: Decimal
    ts: int


@dataclass(frozen=True, slots=True)
class MarketEnded:
    """A replay has shown its last candle, or a simulated market caught up with the clock."""

    ts: int


@dataclass(frozen=True, slots=True)
class MarketRemarked:
    """Something about the market's data that a person should know."""

    ts: int
    text: str


@dataclass(frozen=True, slots=True)
class PauseBot:
    """No new entries for this bot; open positions are still managed."""

    bot_id: str


@dataclass(frozen=True, slots=True)
class ResumeBot:
    bot_id: str


Instruction = PauseBot | ResumeBot


@dataclass(frozen=True, slots=True)
class Instructed:
    """Somebody asks for a change; the answer carries `request_id`."""

    instruction: Instruction
    actor: str
    request_id: int
    ts: int


@dataclass(frozen=True, slots=True)
class CommandRun:
    """Somebody ran a command; kept for the audit."""

    actor: str
    command: str
    outcome: str
    ts: int


@dataclass(frozen=True, slots=True)
class DeskStarted:
    """A process took the desk's lock and loaded its state."""

    version: str
    epoch: int
    ts: int


@dataclass(frozen=True, slots=True)
class DeskStopped:
    ts: int


@dataclass(frozen=True, slots=True)
class DeskHalted:
    """Something is wrong enough that no position may be opened until a person looked."""

    reason: str
    ts: int


# All that is kept in the journal.
Journaled = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | Executed
    | FundingSettled
    | StopMoved
    | MarketEnded
    | MarketRemarked
    | Instructed
    | CommandRun
    | DeskStarted
    | DeskStopped
    | DeskHalted
)
Event = CandleClosed | Journaled
