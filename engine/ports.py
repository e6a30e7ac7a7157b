"""The doors of the engine: everything that touches the world stands behind one of these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar

from engine.audit import AuditCut, AuditFound, AuditHead, AuditRow
from engine.calls import Calls
from engine.candle import Candle
from engine.effect import Fact, Notice, ToExchange
from engine.errors import BadSettings
from engine.event import CandleClosed, Journaled, MarketEvent, PriceTicked
from engine.instrument import Instrument
from engine.mail import Address, DeadLetter, Delivery, Offer, Posted, Received, WaitingDelivery
from engine.order import Order

F = TypeVar("F", bound=Fact)


class Clock(Protocol):
    """Wall time. Nothing else in the program asks the system for the time."""

    def now(self) -> int:
        """UTC ms."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class StateRow:
    """One piece of the core's or the paper exchange's memory."""

    key: str
    version: int
    body: str


def stored(states: Mapping[str, StateRow], key: str, version: int) -> str | None:
    """The body of a state row; raises BadSettings for one that a newer version wrote."""
    row = states.get(key)
    if row is None:
        return None
    if row.version > version:
        raise BadSettings(
            f"state {key!r} has version {row.version}, made by a newer version of this program; "
            f"this one knows up to {version}"
        )
    return row.body


@dataclass(frozen=True, slots=True)
class JournalRow:
    """An event as it was received (all but candles), for bug reports and replays."""

    ts: int
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notice waiting to be delivered; `seq` is given by the store."""

    seq: int
    ts: int
    kind: str
    body: str


@dataclass(slots=True)
class Commit:
    """Everything that must be stored together, or not at all.

    `number` counts an epoch's commits up from 1, so that a store knows a batch it already has;
    a batch numbered 0 is stored each time it is committed. `answered` are the keys of updates
    from chats that are dealt with.
    """

    epoch: int
    states: Sequence[StateRow] = ()
    facts: list[Fact] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    audit: Sequence[AuditRow] = ()
    audit_head: AuditHead | None = None
    number: int = 0
    answered: list[str] = field(default_factory=list)
    answered_at: int = 0
    deliveries: list[Delivery] = field(default_factory=list)


class Mail(Protocol):
    """What came from chats and is not answered, and what goes to them and has not arrived.

    Once the store was given an epoch, each method that writes raises LostLock when that is over:
    what this process answered or sent since, its successor knows nothing of and does again.
    """

    async def receive(self, updates: Sequence[Received]) -> set[str]:
        """Keep what came; the keys that are new. A key is new once, for ever."""
        ...

    async def unanswered(self) -> list[Received]:
        """What came and was not dealt with, oldest first."""
        ...

    async def answered(self, keys: Sequence[str], ts: int) -> None:
        """Note that updates are dealt with."""
        ...

    async def route(self, notices: Sequence[int], deliveries: Sequence[Delivery], ts: int) -> None:
        """Turn notices into messages for chats, and mark the notices as delivered, at once."""
        ...

    async def waiting_chats(self) -> list[tuple[str, str]]:
        """Surface and id of each chat that messages wait for."""
        ...

    async def waiting(self, surface: str, chat_id: str, limit: int) -> list[WaitingDelivery]:
        """The messages that go to a chat next: by priority, then oldest first."""
        ...

    async def attempt(self, seqs: Sequence[int], ts: int | None) -> None:
        """Note that messages are about to be sent, or (`None`) that they surely were not."""
        ...

    async def arrived(self, seqs: Sequence[int], message_id: str, ts: int) -> None:
        """Note that messages are there; one that needed none of its own has no `message_id`."""
        ...

    async def given_up(self, seqs: Sequence[int], error: str, ts: int) -> None: ...

    async def first_of(self, address: Address, topic: str) -> str | None:
        """The id of the first message about a topic that arrived in a place."""
        ...

    async def posted(self, address: Address, topic: str) -> list[str]:
        """The ids of the messages about a topic that arrived in a place, oldest first."""
        ...

    async def posted_chats(self, topic: str) -> list[Address]:
        """Where messages about a topic arrived or still wait, each place once."""
        ...

    async def about(self, prefix: str) -> list[Posted]:
        """The messages whose topic begins so that are in chats or on their way, oldest first."""
        ...

    async def topic_of(self, address: Address, message_id: str) -> str:
        """What a message that arrived in a place is about; empty where nothing is known of it."""
        ...

    async def forgotten(self, seqs: Sequence[int]) -> None:
        """Note that messages are in no chat any more."""
        ...

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Messages that were given up, newest first."""
        ...

    async def offer(self, offers: Sequence[Offer]) -> list[int]:
        """Keep buttons; their ids, in the same order."""
        ...

    async def offered(self, offer_id: int) -> Offer | None: ...

    async def claim(self, offer_id: int, key: str) -> bool:
        """Use a button up for the update `key`; whether it is the only one that did."""
        ...

    async def prune(self, before: int) -> None:
        """Forget what was answered, arrived or expired before a moment (UTC ms)."""
        ...


class Store(Protocol):
    """Durable memory. One writer; the epoch it was given fences it from its successors."""

    @property
    def mail(self) -> Mail: ...

    @property
    def calls(self) -> Calls: ...

    async def take_epoch(self, holder: str) -> int:
        """Count the epoch up and become the only writer that may commit."""
        ...

    async def commit(self, batch: Commit) -> None:
        """Store all of `batch` in one transaction.

        Orders and positions replace their older row, a known fill or trade is left as it is.
        Raises LostLock when the epoch has moved on, Unreachable when the outcome is unknown;
        the same batch may then be committed again.
        """
        ...

    async def states(self) -> Mapping[str, StateRow]: ...

    async def recent(
        self,
        kind: type[F],
        *,
        account: str | None = None,
        bot_id: str | None = None,
        symbol: str | None = None,
        books: str | None = None,
        consultation: int | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[F]:
        """Facts of one kind, oldest first: the last `limit` that match, from `since` (ms) on."""
        ...

    async def one(self, kind: type[F], *key: str | int) -> F | None:
        """The fact of a kind with this key: a change, snapshot or study by its books and number."""
        ...

    async def undelivered(self, limit: int) -> list[OutboxRow]:
        """Notices not yet marked delivered, oldest first."""
        ...

    async def last_audit(self) -> AuditRow | None: ...

    async def last_head(self) -> AuditHead | None:
        """The sealed end of the audit, which must fit the last row."""
        ...

    async def last_cut(self) -> AuditCut | None:
        """Up to where rows of the audit were cut away."""
        ...

    async def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        """The rows of the audit numbered above `after`, lowest first."""
        ...

    async def find_audit(self, since: int, word: str, limit: int) -> AuditFound:
        """Rows from `since` (UTC ms) on, the last `limit` of them.

        A `word` takes those whose actor it is a part of, in small letters or capitals, or whose
        action it is; an empty one takes all.
        """
        ...

    async def cut_audit(self, cut: AuditCut, epoch: int) -> None:
        """Remove the row of `cut` and all before it, and keep `cut`, in one transaction.

        Raises LostLock when the epoch has moved on, Broken where that row is not there or is the
        last one.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How live prices come in; times are UTC ms by our clock, None is never.

    `quiet` are the symbols that have no candle where there should be one; `offset_ms` is the
    exchange's clock less ours.
    """

    connected: bool
    since: int | None
    reconnects: int
    last_message_at: int | None
    bad_frames: int
    gaps_filled: int
    rest_reachable: bool
    quiet: tuple[str, ...]
    offset_ms: int


class Market(Protocol):
    """Closed candles in the order they closed, and what is known about the symbols."""

    name: str
    label: str
    symbols: Sequence[str]
    interval: int
    speed: float

    @property
    def caught_up(self) -> bool:
        """Whether every candle that has closed by now was handed out."""
        ...

    def instrument(self, symbol: str) -> Instrument: ...

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        """The rate, as a fraction, settled at the stamp `ts` (ms); positive: longs pay."""
        ...

    def remarks(self) -> Sequence[str]:
        """What a person should know about this market's data, in sentences."""
        ...

    def health(self) -> FeedHealth | None:
        """How a live market's prices come in; None for one that is not live."""
        ...

    def resume(self, cursors: Mapping[str, int]) -> None:
        """Go on after the candles that opened at `cursors`, by symbol."""
        ...

    async def next(self, limit: int) -> Sequence[MarketEvent]:
        """The next closed candles and prices, at least one and at most `limit`; waits for one.

        An empty list says that none will be due: a replay has ended, or a simulated market at
        speed 0 has caught up with the clock.
        """
        ...

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        """The last `limit` bars of `interval` ms that had closed at `until`, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Books:
    """What a process that begins knows of an account: the uid it belongs to there (empty on its
    first run), until when (UTC ms) executions are booked, its open orders, what it holds, and the
    orders that opened it, whose levels stand where they were last."""

    account: str
    uid: str
    synced_until: int
    orders: Mapping[str, Order]
    positions: Mapping[str, Decimal]
    entries: Mapping[str, Order]


class Exchange(Protocol):
    """Where orders go. What becomes of them comes back as events."""

    def restore(self, states: Mapping[str, StateRow]) -> None:
        """Take back the memory that an earlier process stored."""
        ...

    def take_over(self, books: Sequence[Books]) -> None:
        """Know what the desk's own books say, before anything is carried out."""
        ...

    def open_account(self, account: str, deposit: Decimal, symbols: Sequence[str]) -> None:
        """Keep an account for a bot that was added, with its paper deposit in quote currency."""
        ...

    def close_account(self, account: str) -> None:
        """Follow an account no longer that is flat and has no orders."""
        ...

    def quantities(self) -> Mapping[str, Mapping[str, Decimal]] | None:
        """What the exchange holds: signed quantities by account and symbol, none that are 0.

        None where it has to be asked: then surveys tell.
        """
        ...

    async def run(self, post: Callable[[Journaled], None]) -> None:
        """Work on what was carried out and listen to the exchange, until canceled.

        `post` takes what happens. Returns at once where nothing happens by itself.
        """
        ...

    async def survey(self) -> None:
        """Look at all accounts now; return once what was found has been posted."""
        ...

    async def carry_out(self, instruction: ToExchange) -> Sequence[Journaled]:
        """Send an instruction that is already stored, once, and say what became of it.

        An exchange that has to be waited for takes it and says so later, through `run`.
        """
        ...

    def on_candle(self, candle: CandleClosed) -> Sequence[Journaled]:
        """What the bar did to resting orders and positions, where the exchange is simulated."""
        ...

    def on_tick(self, tick: PriceTicked) -> Sequence[Journaled]:
        """What a price did to resting orders and positions, where the exchange is simulated."""
        ...

    def dirty_states(self) -> list[StateRow]:
        """Memory that changed since the last call, to be stored with the answers."""
        ...


@dataclass(frozen=True, slots=True)
class Exposure:
    """What an exchange account has at risk: signed quantities by symbol, and open orders."""

    account: str
    positions: Mapping[str, Decimal]
    orders: int


class Emergency(Protocol):
    """The way to flat. It needs no journal, no database, no lock and none of the desk's memory;
    whatever it does is booked afterwards. Each method raises Unreachable, OutcomeUnknown or
    ExchangeRefused, and may be tried again at once: everything here can only reduce."""

    @property
    def accounts(self) -> Sequence[str]:
        """Exchange accounts, each once, by a name that people know."""
        ...

    async def look(self, account: str) -> Exposure: ...

    async def cancel_all(self, account: str) -> None:
        """Withdraw every open order of the account; the stops of positions stay."""
        ...

    async def close(self, account: str, symbol: str, quantity: Decimal) -> None:
        """Close `quantity` (signed, as held) at the market, reducing only."""
        ...
