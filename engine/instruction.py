"""What can be asked of the desk: every instruction, in the imperative."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from engine.alert import Direction
from engine.bias import Bias
from engine.bot import BotPlan
from engine.mail import Address, Chat
from engine.order import OrderType, Side
from engine.people import Human, Role
from engine.proposal import Way
from engine.signal import Sides
from engine.tuning import Band, Comparison, Evidence, Source, TuningStudy

# A code or one-time word that somebody typed: it is checked, and kept nowhere.
Secret = Annotated[str, Field(exclude=True)]


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
    """Open a position for `value` of quote currency, for a bot's account: at the market, at the
    limit `price`, or at the market once `price` is reached (a stop).

    `stop_loss` and `take_profit` are prices; None means those of the bot's strategy. A `post_only`
    limit order never takes; what rests is withdrawn after `lasts_ms` of market time (0: never).
    """

    bot_id: str
    symbol: str
    side: Side
    value: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    post_only: bool = False
    lasts_ms: int = 0


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Close `fraction` (0 to 1) of what a bot holds of a symbol, at the market."""

    bot_id: str
    symbol: str
    fraction: Decimal


@dataclass(frozen=True, slots=True)
class ClosePositions:
    """Close all that is held, or all that loses, at the market; of one bot, where one is named."""

    losers: bool = False
    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class MoveStops:
    """Move the stop and target of a position; None leaves one as it is, 0 takes it away."""

    bot_id: str
    symbol: str
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Move a position's stop to where closing costs nothing; only ever closer to the price."""

    bot_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class CancelOrders:
    """Withdraw one open order, or all of a bot and symbol (empty: all there are)."""

    order_link_id: str = ""
    bot_id: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class KillDesk:
    """The emergency stop was pulled; the latch is set, whoever carries it out is at it already."""

    scope: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArmAccount:
    """Let the desk trade real money on an exchange account for the first time."""

    uid: str


@dataclass(frozen=True, slots=True)
class CancelThere:
    """Withdraw orders at the exchange that the books do not know, by the exchange's ids."""

    account: str
    symbol: str
    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Whoever looked at what could not be booked, or was not the desk's, lets a bot go on."""

    account: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class SyncHistory:
    """Read an account's executions of the last `days` again and book those that are missing."""

    bot_id: str
    days: int


@dataclass(frozen=True, slots=True)
class LiftLocks:
    """Let entries go on that a protection or a limit locked: of a bot and symbol (empty: all)."""

    bot_id: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class ClearCooldown:
    """Begin anew with the limits of losses: streaks, days, weeks, months and the drawdown."""

    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class ResetBreaker:
    """Let entries go on after the exchange failed too often (empty: of all accounts)."""

    bot_id: str = ""


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
class SetParameters:
    """Give parameters other values: of a bot, or of the desk itself (`bot_id` empty).

    `reason` is a sentence. `evidence` is a study's; `expected` is what live results are held
    against where there is none.
    """

    bot_id: str
    values: tuple[tuple[str, float], ...]
    reason: str = ""
    source: Source = Source.PERSON
    evidence: Evidence | None = None
    expected: Band | None = None


@dataclass(frozen=True, slots=True)
class UndoChange:
    """Take one change of a bot's parameters (of the desk's own: `bot_id` empty) back."""

    change_id: int
    bot_id: str
    reason: str = ""
    source: Source = Source.PERSON


@dataclass(frozen=True, slots=True)
class RollBack:
    """Give all parameters the values that a snapshot holds."""

    snapshot_id: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Keep all parameters as they are under a name."""

    name: str


@dataclass(frozen=True, slots=True)
class StopTuning:
    """No change of parameters by the tuner, rules or the model, until somebody lets them again."""

    reason: str


@dataclass(frozen=True, slots=True)
class LetTune:
    """Let the tuner, rules and the model change and propose parameters again."""


@dataclass(frozen=True, slots=True)
class NoteStudy:
    """A study came to its end: it is stored, and people are told where nothing is proposed, unless
    the desk itself had asked for it."""

    study: TuningStudy


@dataclass(frozen=True, slots=True)
class NoteRound:
    """The desk has looked at its bots by itself and proposes nothing: what people are told."""

    words: str


@dataclass(frozen=True, slots=True)
class NoteBias:
    """A model leans one way: what it speaks against is stopped while that lasts, where the settings
    say so, and noted everywhere."""

    bias: Bias


@dataclass(frozen=True, slots=True)
class NoteComparison:
    """Live trades were held against the exact backtest; a real divergence stops tuning."""

    comparison: Comparison


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
    | ClosePositions
    | MoveStops
    | BreakEven
    | CancelOrders
    | KillDesk
    | ArmAccount
    | CancelThere
    | Accept
    | SyncHistory
    | LiftLocks
    | ClearCooldown
    | ResetBreaker
    | AddBot
    | RemoveBot
    | TurnOff
    | TurnOn
    | SetSides
    | SetParameters
    | UndoChange
    | RollBack
    | TakeSnapshot
    | StopTuning
    | LetTune
    | NoteStudy
    | NoteRound
    | NoteComparison
    | NoteBias
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
