"""What can happen: everything the core is ever told, in the past tense."""

from dataclasses import dataclass
from decimal import Decimal

from engine.alert import Direction
from engine.candle import Candle
from engine.mail import Address, Chat
from engine.order import Execution


@dataclass(slots=True)
class CandleClosed:
    """A bar of the market's own timeframe closed at `closed_at`.

    `late` says that it comes long after that, as when a gap is filled: it is too old to open a
    position on. `ticked` says that its prices were told before, the last of each second, by
    `PriceTicked`: stops and resting orders have met them already.

    Not frozen: it is made once a bar, and a frozen dataclass costs three times as much.
    """

    symbol: str
    candle: Candle
    closed_at: int
    late: bool = False
    ticked: bool = False


@dataclass(slots=True)
class PriceTicked:
    """The last price of a symbol, told while its bar is still open. Kept out of the journal."""

    symbol: str
    price: float
    ts: int


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


@dataclass(frozen=True, slots=True)
class PutChat:
    """A chat is known from now on as it stands here: subscribed, or gone, or neither."""

    chat: Chat


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """Something outside of trading is wrong, and people should be told wherever they can be."""

    text: str


@dataclass(frozen=True, slots=True)
class AddSchedule:
    """Say a command at times, in the wall time of `zone`; the answers go to a chat."""

    cron: str
    zone: str
    command: str
    address: Address


@dataclass(frozen=True, slots=True)
class RemoveSchedule:
    schedule_id: int


@dataclass(frozen=True, slots=True)
class ScheduleRan:
    """The run of a schedule that was due at `due` (UTC ms) has its answer."""

    schedule_id: int
    due: int


@dataclass(frozen=True, slots=True)
class AddAlert:
    """Tell a chat once when a price is reached."""

    symbol: str
    direction: Direction
    price: Decimal
    address: Address


@dataclass(frozen=True, slots=True)
class RemoveAlert:
    alert_id: int


Instruction = (
    PauseBot
    | ResumeBot
    | PutChat
    | ReportTrouble
    | AddSchedule
    | RemoveSchedule
    | ScheduleRan
    | AddAlert
    | RemoveAlert
)


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
MarketEvent = CandleClosed | PriceTicked
Event = MarketEvent | Journaled
