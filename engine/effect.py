"""What the core wants done: facts to store, notices to send, instructions to carry out."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.alert import Alert
from engine.audit import Act, AuditAnchor
from engine.bot import BotRow
from engine.instruction import Instruction
from engine.instrument import Instrument
from engine.ledger import EquityPoint, Funding
from engine.mail import Address, Chat
from engine.order import Fill, Order
from engine.people import Identity, Person
from engine.position import Position, Trade
from engine.proposal import Proposal, Vote
from engine.schedule import Schedule
from engine.signal import Decision
from engine.tuning import Evidence, ParameterChange, ParameterValue, Snapshot, TuningStudy

Fact = (
    Order
    | Fill
    | Position
    | Trade
    | Funding
    | Decision
    | EquityPoint
    | BotRow
    | Instrument
    | Person
    | Identity
    | Chat
    | Schedule
    | Alert
    | Proposal
    | Vote
    | AuditAnchor
    | ParameterChange
    | ParameterValue
    | Snapshot
    | TuningStudy
)


@dataclass(frozen=True, slots=True)
class Record:
    """Store a fact with the event that caused it."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Sample:
    """Store a fact that nothing waits for; it does not close a group of candles."""

    fact: EquityPoint


@dataclass(frozen=True, slots=True)
class Submit:
    """Send an order to the exchange, once it is stored."""

    order: Order


@dataclass(frozen=True, slots=True)
class Cancel:
    """Withdraw an order that the exchange has accepted."""

    account: str
    symbol: str
    order_link_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Finish an order that was stored and not known to be received: send it where nobody else can
    have, else ask what became of it."""

    order: Order


@dataclass(frozen=True, slots=True)
class Protect:
    """Set the levels of a position at the exchange; None leaves one as it is, 0 takes it away."""

    account: str
    symbol: str
    stop_loss: Decimal | None
    take_profit: Decimal | None
    ts: int


@dataclass(frozen=True, slots=True)
class WithdrawThere:
    """Withdraw orders that the books do not know, by the exchange's own ids."""

    account: str
    symbol: str
    order_ids: tuple[str, ...]
    ts: int


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Tell the executions of an account from `since` to `until` (UTC ms) once more."""

    account: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class LiftLatch:
    """Take the emergency stop's latch away: somebody may who typed the phrase."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Have the exchange keep an account for a bot that was added, with its paper deposit."""

    account: str
    deposit: Decimal
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseAccount:
    """Have the exchange follow an account no longer: it is flat, and its bot is gone."""

    account: str


@dataclass(frozen=True, slots=True)
class RecallCandles:
    """Look up the last `count` candles of the market's own interval that closed by `until` (ms),
    for a bot that has to warm up. The answer carries the number `recall`."""

    bot_id: str
    symbol: str
    until: int
    count: int
    recall: int = 0


@dataclass(frozen=True, slots=True)
class Instruct:
    """Give the desk itself an instruction, which takes the way of everybody's."""

    instruction: Instruction


class NoticeKind(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"
    ORDER_REJECTED = "order_rejected"
    ORDER_CANCELED = "order_canceled"
    BOT_PAUSED = "bot_paused"
    BOT_RESUMED = "bot_resumed"
    DESK_STARTED = "desk_started"
    DESK_STOPPED = "desk_stopped"
    DESK_HALTED = "desk_halted"
    MARKET_ENDED = "market_ended"
    MARKET_REMARK = "market_remark"
    PRICE_ALERT = "price_alert"
    TROUBLE = "trouble"
    DESK_RESUMED = "desk_resumed"
    PROPOSED = "proposed"
    PROPOSAL_CHANGED = "proposal_changed"
    PROPOSAL_ENDED = "proposal_ended"
    SECURITY = "security"
    AUDIT_ANCHOR = "audit_anchor"
    DESK_CHANGED = "desk_changed"
    DIFFERENCE = "difference"
    PROTECTION = "protection"
    KILL = "kill"
    RISK = "risk"
    ORDER_UNKNOWN = "order_unknown"
    TUNED = "tuned"
    TUNING = "tuning"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something people are told, in numbers; the words are made where it is shown.

    Only the fields that the kind calls for are set. Money is in quote currency. Notices of one
    `topic` belong together, as one trade's do; one with an `address` is for that chat alone.
    `actor` is what people call whoever did it, where a person did.
    """

    kind: NoticeKind
    ts: int
    bot_id: str | None = None
    account: str | None = None
    symbol: str | None = None
    order: Order | None = None
    fill: Fill | None = None
    trade: Trade | None = None
    balance: Decimal | None = None
    text: str | None = None
    topic: str | None = None
    alert: Alert | None = None
    address: Address | None = None
    proposal: Proposal | None = None
    actor: str | None = None
    change: ParameterChange | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    notice: Notice


@dataclass(frozen=True, slots=True)
class Audit:
    act: Act


@dataclass(frozen=True, slots=True)
class Done:
    """An instruction took effect. `audited` stands in the audit where the words are a secret."""

    text: str
    audited: str = ""


@dataclass(frozen=True, slots=True)
class NotDone:
    """An instruction was refused, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Proposed:
    """An instruction waits for a human's countersign."""

    proposal: Proposal


Result = Done | NotDone | Proposed


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the instruction with this id."""

    request_id: int
    result: Result


# What is carried out once it is stored.
Outgoing = (
    Submit
    | Cancel
    | Resume
    | Protect
    | WithdrawThere
    | ReadHistory
    | LiftLatch
    | OpenAccount
    | CloseAccount
    | RecallCandles
    | Instruct
)
# What an exchange is told to do.
ToExchange = Submit | Cancel | Resume | Protect | WithdrawThere | ReadHistory
Effect = Record | Sample | Notify | Audit | Answer | Outgoing
# What became of an instruction, and what it calls for.
Outcome = tuple[Result, list[Effect]]
