"""What can happen: everything the core is ever told, in the past tense."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.candle import Candle
from engine.instruction import Instruction
from engine.order import Execution
from engine.people import Asker, Identity, Person
from engine.survey import Survey


@dataclass(slots=True)
class CandleClosed:
    """A bar of the market's own timeframe closed at `closed_at`.

    `late` says that it comes long after that, as when a gap is filled: it is too old to open a
    position on. `ticked` says that its prices were told before, the last of each second, by
    `PriceTicked`: stops and resting orders have met them already. `funding` is the rate settled
    last, as a fraction.

    Not frozen: it is made once a bar, and a frozen dataclass costs three times as much.
    """

    symbol: str
    candle: Candle
    closed_at: int
    late: bool = False
    ticked: bool = False
    funding: float = 0.0


@dataclass(slots=True)
class PriceTicked:
    """The last price of a symbol, told while its bar is still open. Kept out of the journal."""

    symbol: str
    price: float
    ts: int


@dataclass(frozen=True, slots=True)
class CandlesRecalled:
    """Candles of before, for a bot that has seen none of them: it warms up on them.

    They come oldest first, in several parts; `complete` is the last. `recall` is the number of the
    asking that they answer. Kept out of the journal.
    """

    bot_id: str
    symbol: str
    candles: Sequence[CandleClosed]
    complete: bool
    recall: int = 0


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
class OrderUnknown:
    """An order was sent, and nobody knows whether it arrived; the exchange is being asked."""

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
class StopsSet:
    """The levels of a position stand at the exchange as somebody wanted them; None: not set."""

    account: str
    symbol: str
    stop_loss: Decimal | None
    take_profit: Decimal | None
    ts: int


@dataclass(frozen=True, slots=True)
class StopsRefused:
    """The exchange did not take new levels of a position; the old ones stand."""

    account: str
    symbol: str
    reason: str
    ts: int


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A position has no stop at the exchange, and could be given none: it has to be closed."""

    account: str
    symbol: str
    reason: str
    ts: int


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the exchange holds for an account, after every execution until `synced_until` (UTC ms)
    was told."""

    account: str
    survey: Survey
    synced_until: int
    ts: int


@dataclass(frozen=True, slots=True)
class ExchangeLink:
    """The private connection of an account is up, or why it is not: then `down` says so."""

    account: str
    down: str
    ts: int


@dataclass(frozen=True, slots=True)
class ExchangeFailed:
    """The exchange failed to take or answer a request: counted by the circuit breaker."""

    account: str
    detail: str
    ts: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The exchange told of something that can't be booked; nothing is opened until a person
    looked."""

    account: str
    symbol: str
    detail: str
    ts: int


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """Executions of before were told up to `until` (UTC ms) of all that end at `end`; `found`
    counts them, those too that were booked before."""

    account: str
    until: int
    end: int
    found: int
    ts: int


@dataclass(frozen=True, slots=True)
class KillTold:
    """What an emergency stop did, step by step, told by whatever carried it out."""

    text: str
    ts: int
    over: bool = False


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
class Instructed:
    """Somebody asks for a change; the answer carries `request_id`."""

    instruction: Instruction
    asker: Asker
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
class PeopleNamed:
    """Whom the settings name, and their accounts, as this process read them."""

    people: Sequence[Person]
    identities: Sequence[Identity]
    ts: int


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The wall clock reached a moment that the core had asked to be told of."""

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
    | OrderUnknown
    | Executed
    | FundingSettled
    | StopMoved
    | StopsSet
    | StopsRefused
    | Unprotected
    | Surveyed
    | ExchangeLink
    | ExchangeFailed
    | Unreadable
    | HistoryRead
    | KillTold
    | MarketEnded
    | MarketRemarked
    | Instructed
    | CommandRun
    | DeskStarted
    | DeskStopped
    | DeskHalted
    | PeopleNamed
    | TimePassed
)
MarketEvent = CandleClosed | PriceTicked
Event = MarketEvent | CandlesRecalled | Journaled
