"""What can happen: everything the core is ever told, in the past tense."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from engine.alert import Direction
from engine.bot import BotPlan
from engine.candle import Candle
from engine.mail import Address, Chat
from engine.order import Execution, Side
from engine.people import Asker, Human, Identity, Person, Role
from engine.proposal import Way
from engine.signal import Sides

# A code or one-time word that somebody typed: it is checked, and kept nowhere.
Secret = Annotated[str, Field(exclude=True)]


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

    They come oldest first, in several parts; `complete` is the last. Kept out of the journal.
    """

    bot_id: str
    symbol: str
    candles: Sequence[CandleClosed]
    complete: bool


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


@dataclass(frozen=True, slots=True)
class HaltDesk:
    """No new positions, until somebody resumes it; open ones are still managed."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResumeDesk:
    """Let the desk open positions again, whatever halted it."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Open a position for `value` of quote currency at the market, for a bot's account.

    `stop_loss` and `take_profit` are prices; None means those of the bot's strategy.
    """

    bot_id: str
    symbol: str
    side: Side
    value: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Close `fraction` (0 to 1) of what a bot holds of a symbol, at the market."""

    bot_id: str
    symbol: str
    fraction: Decimal


@dataclass(frozen=True, slots=True)
class AddBot:
    """Run another bot, on an account of its own."""

    plan: BotPlan


@dataclass(frozen=True, slots=True)
class RemoveBot:
    """Take a bot off the desk that was added to it; what it did stays stored."""

    bot_id: str


@dataclass(frozen=True, slots=True)
class TurnOff:
    """No new entries of a bot, or of all bots of a strategy, in a symbol (empty: in all)."""

    bot_id: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class TurnOn:
    """Let a bot, or all bots of a strategy, enter a symbol again (empty: all)."""

    bot_id: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class SetSides:
    """Which sides may be entered, for `lasts_ms` of market time (0: for good)."""

    sides: Sides
    lasts_ms: int = 0


@dataclass(frozen=True, slots=True)
class SetRole:
    """Give somebody a role, within scopes (words separated by spaces; empty: everywhere).

    Who is not known yet is named by an account of theirs, `surface` and `user_id`.
    """

    principal_id: str
    name: str
    role: Role
    scopes: str = ""
    surface: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class MakeLinkCode:
    """A one-time word by which another account of the asker's can be linked."""


@dataclass(frozen=True, slots=True)
class UseLinkCode:
    """Make the asking account one of whoever the one-time word was given to."""

    code: Secret = ""


@dataclass(frozen=True, slots=True)
class BeginEnrollment:
    """Start to prove oneself with an authenticator's codes."""


@dataclass(frozen=True, slots=True)
class ConfirmEnrollment:
    """The first code: from now on they are asked for."""

    code: Secret = ""


@dataclass(frozen=True, slots=True)
class EndEnrollment:
    """Ask somebody for no codes any more, say because their phone is lost."""

    principal_id: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Let the asker act for a while, by a code."""

    code: Secret = ""


@dataclass(frozen=True, slots=True)
class LockPerson:
    """Somebody may only look from now on, until they unlock with a code or an admin lets them."""

    principal_id: str


@dataclass(frozen=True, slots=True)
class UnlockPerson:
    principal_id: str


@dataclass(frozen=True, slots=True)
class AnchorAudit:
    """Tell the admins where the audit ends, so that a later cut shows."""

    seq: int
    mac: str


@dataclass(frozen=True, slots=True)
class Decide:
    """A human's word on a proposal. `phrase` is as typed, `code` an authenticator's.

    `digest` is what the pressed card was bound to, empty where nothing was pressed.
    """

    by: Human
    proposal_id: int
    approves: bool
    way: Way
    phrase: Secret = ""
    code: Secret = ""
    digest: str = ""


Instruction = (
    PauseBot
    | ResumeBot
    | HaltDesk
    | ResumeDesk
    | PlaceOrder
    | ClosePosition
    | AddBot
    | RemoveBot
    | TurnOff
    | TurnOn
    | SetSides
    | SetRole
    | MakeLinkCode
    | UseLinkCode
    | BeginEnrollment
    | ConfirmEnrollment
    | EndEnrollment
    | OpenSession
    | LockPerson
    | UnlockPerson
    | AnchorAudit
    | Decide
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
    | PeopleNamed
    | TimePassed
)
MarketEvent = CandleClosed | PriceTicked
Event = MarketEvent | CandlesRecalled | Journaled
