"""What the core remembers: strategies, accounts and the desk, as objects and as state rows.

Pure like the core: it only keeps and adds up. A restart gives it back to the last digit.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pydantic import TypeAdapter

from engine import overlay
from engine.alert import Alert
from engine.bias import Bias
from engine.bot import Bot, BotPlan, BotRow, BotStatus
from engine.instrument import Instrument, exact
from engine.ledger import Funding, Ledger, payment_id
from engine.limits import NO_CAPS, NO_LIMITS, Caps, Limits, with_limits
from engine.mail import Address
from engine.margin import alarm_price
from engine.order import ZERO, Fill, Order, OrderStatus, Reason
from engine.people import Identity, Person
from engine.ports import StateRow, stored
from engine.position import Position
from engine.proposal import Proposal, Vote
from engine.schedule import Schedule
from engine.signal import Sides
from engine.slot import Slot
from engine.standing import CapLog, Tally, day_of
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Bar, Signal, Strategy
from engine.survey import Difference, Survey
from engine.tuning import DESK_SCOPE, Dropped, Snapshot, TuningState, values_of

STATE_VERSION = 1
# Executions remembered for telling repeats: all that are met again when three months of history
# are read once more.
SEEN_EXECUTIONS = 100_000
# Canceled orders remembered of each account: a fill that overtook the cancel comes in seconds.
CLOSED_ORDERS = 10
# Ended proposals remembered for telling whoever presses late; the store keeps them all.
ENDED_PROPOSALS = 200
OFFICE_KEY = "office"
# Why a position was opened that only people close: in chat, or past the desk.
BY_HAND = (Reason.MANUAL_ENTRY, Reason.EXTERNAL)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that waits for the other symbols of its bot: the strongest take the free slots."""

    symbol: str
    closed_at: int
    late: bool
    signal: Signal
    bar: Bar


@dataclass(frozen=True, slots=True)
class Leaving:
    """A position whose exit was not carried out; it is tried again at `retry_at` (market ms)."""

    account: str
    symbol: str
    reason: Reason
    tries: int
    retry_at: int


@dataclass(slots=True)
class DeskState:
    """What belongs to the desk as a whole.

    `cursors` is the open of the last candle taken, `told_until` when the last price was told.
    `halted` is what a process found wrong, `halted_by` what a person said; both stop entries.
    `priced_at` is market time; `asked_in` is where an order by hand was asked for, by its link id;
    `expiring` the account of an order that rests, and when (market time) it is withdrawn.
    `sides` holds until `sides_until` of market time (0: for good); `disabled` says who switched a
    bot's symbol off, by `bot_id:symbol`; `candidates` are entries that wait, by bot.
    `added` are the bots that people added, by id; `bot_ids` all that ever had books here.
    `begun` tells that a candle came in time: those before it are of a past without this desk.
    `armed` are the uids of exchange accounts whose real money a person let the desk trade;
    `leaving` the exits that have to be tried again, by `account:symbol`; `cap_log` is what the
    hard caps remember; `biases` are which way a model leans, by symbol, until they end.
    """

    begun: bool = False
    candles: int = 0
    market_time: int = 0
    told_until: int = 0
    market_ended: bool = False
    next_sample: int = 0
    decisions: int = 0
    trades: int = 0
    halted: str = ""
    halted_by: str = ""
    sides: Sides = Sides.BOTH
    sides_until: int = 0
    disabled: dict[str, str] = field(default_factory=dict)
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)
    added: dict[str, BotPlan] = field(default_factory=dict)
    bot_ids: list[str] = field(default_factory=list)
    armed: list[str] = field(default_factory=list)
    leaving: dict[str, Leaving] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    priced_at: dict[str, int] = field(default_factory=dict)
    asked_in: dict[str, Address] = field(default_factory=dict)
    expiring: dict[str, tuple[str, int]] = field(default_factory=dict)
    sequences: dict[str, tuple[int, int]] = field(default_factory=dict)
    schedules: dict[int, Schedule] = field(default_factory=dict)
    schedules_made: int = 0
    alerts: dict[int, Alert] = field(default_factory=dict)
    alerts_made: int = 0
    cap_log: CapLog = field(default_factory=CapLog)
    biases: dict[str, Bias] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The latest market time heard of, UTC ms."""
        return max(self.market_time, self.told_until)

    @property
    def why_halted(self) -> str:
        """Why no position may be opened; empty while some may."""
        return "; ".join(filter(None, (self.halted_by, self.halted)))


@dataclass(slots=True)
class Security:
    """What guards one person's doing. Times are UTC ms, steps those of their authenticator.

    `generation` is that of the seed in force, `offered` of one that is not confirmed yet, since
    `offered_at`; 0 is none. `open_until` is the end of their session.
    """

    generation: int = 0
    generations: int = 0
    offered: int = 0
    offered_at: int = 0
    last_step: int = 0
    open_until: int = 0
    bad_tries: list[int] = field(default_factory=list)
    locked_until: int = 0


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A one-time word that links an account, until `expires_at` (UTC ms); its digest is the key."""

    principal_id: str
    expires_at: int


@dataclass(slots=True)
class OfficeState:
    """Who works at the desk, and what waits for them: the same for all books of a database.

    `identities` are keyed by `surface:user_id`. `named` and `named_identities` are what the
    settings said when they were last read. `wall_time` is the latest wall time seen, UTC ms.
    """

    people: dict[str, Person] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    named_identities: dict[str, str] = field(default_factory=dict)
    security: dict[str, Security] = field(default_factory=dict)
    links: dict[str, LinkCode] = field(default_factory=dict)
    links_made: int = 0
    proposals: dict[int, Proposal] = field(default_factory=dict)
    votes: dict[int, list[Vote]] = field(default_factory=dict)
    proposals_made: int = 0
    wall_time: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say of approvals and manual orders.

    `required` people other than the asker approve what is RED; 0 means one, who may be the asker.
    `delay_ms` passes before an approved RED takes effect that raises risk. `secret` is what codes
    and code words are derived from, `taker_fee` a fraction. An order by hand opens nothing at a
    price older than `price_age_max_ms`; 0 where the market's time is not the clock's. `surveys`
    says that the exchange is a real one, which has to agree with the books; `real_money` that each
    account there has to be armed by a person first; `key_of` by which API key a bot trades there
    (empty: by none), of which no two bots share a symbol. `limits` are those of each account,
    `caps` those of the desk. With `veto` what a model speaks against is not entered; else it is
    only noted.
    """

    secret: bytes
    taker_fee: Decimal
    required: int = 0
    delay_ms: int = 0
    price_age_max_ms: int = 0
    surveys: bool = False
    real_money: bool = False
    key_of: Callable[[str], str] | None = None
    limits: Limits = NO_LIMITS
    caps: Caps = NO_CAPS
    veto: bool = False


@dataclass(slots=True)
class AccountState:
    """The money, positions and open orders of one account.

    `entries` keeps the order that opened each position, with its stop where it stands now;
    `closed` are the orders canceled last: a fill may still come for them. `tally` is what the
    limits remember.

    Of an account at a real exchange: its `uid` there; until when (UTC ms) executions are proven to
    be booked; what the last survey found, and when; in what the books differ, `doubted` once,
    `different` at least twice; `quarantined` what a person has to look at before a symbol (empty:
    any) is entered again, be it what can't be booked or a trade that is not the desk's; `down` why
    the exchange can't be heard. `history_until` is how far executions of before were read, of all
    until `history_end`, and `history_found` how many there were.
    """

    ledger: Ledger
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    entries: dict[str, Order] = field(default_factory=dict)
    closed: dict[str, Order] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    uid: str = ""
    synced_until: int = 0
    survey: Survey | None = None
    surveyed_at: int = 0
    doubted: tuple[Difference, ...] = ()
    different: tuple[Difference, ...] = ()
    quarantined: dict[str, str] = field(default_factory=dict)
    down: str = ""
    history_until: int = 0
    history_end: int = 0
    history_found: int = 0


def desk_key(books: str) -> str:
    """The key of the row in which the desk of these books is stored."""
    return f"desk:{books}"


def added_bots(states: Mapping[str, StateRow], books: str) -> dict[str, BotPlan]:
    """The bots that people added to these books, by id, as they are stored."""
    body = stored(states, desk_key(books), STATE_VERSION)
    return _DESK.validate_json(body).added if body else {}


def tuning_key(books: str) -> str:
    """The key of the row in which the tuning of these books is stored."""
    return f"tuning:{books}"


def snapshots_key(books: str) -> str:
    """The key of the row in which the snapshots of parameters of these books are stored."""
    return f"snapshots:{books}"


def tuned_values(states: Mapping[str, StateRow], books: str) -> dict[str, dict[str, float]]:
    """The values of parameters that somebody set in these books, by scope and name, as stored."""
    body = stored(states, tuning_key(books), STATE_VERSION)
    if not body:
        return {}
    state = _TUNING.validate_json(body)
    return {scope: dict(values_of(state, scope)) for scope in state.values}


def kept_uids(states: Mapping[str, StateRow], accounts: Iterable[str]) -> dict[str, str]:
    """The exchange accounts that stored books belong to, by ours; none of books that are new."""
    bodies = {account: stored(states, f"account:{account}", STATE_VERSION) for account in accounts}
    found = {name: _ACCOUNT.validate_json(body).uid for name, body in bodies.items() if body}
    return {name: uid for name, uid in found.items() if uid}


_DESK = TypeAdapter(DeskState)
_ACCOUNT = TypeAdapter(AccountState)
_OFFICE = TypeAdapter(OfficeState)
_TUNING = TypeAdapter(TuningState)
_SNAPSHOTS = TypeAdapter(list[Snapshot])


class Memory:
    """Everything the core knows, and which parts of it changed since it was last stored.

    `bases` and `base_limits` are the bots and limits as the settings have them, `bots` and `policy`
    those in force, with what was tuned. `dropped` are tuned values that this program has no place
    for any more.
    """

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        interval: int,
        books: str,
        policy: Policy,
        strategies: Mapping[str, Strategy] = STRATEGIES,
    ) -> None:
        self.strategies = strategies
        self.instruments = instruments
        self.interval = interval
        self.books = books
        self.policy = policy
        self.ladders = policy.limits.ladders
        self.base_limits = policy.limits
        self.bases: dict[str, Bot] = {}
        self.desk = DeskState()
        self.office = OfficeState()
        self.tuning = TuningState()
        self.snapshots: list[Snapshot] = []
        self.dropped: list[Dropped] = []
        self.ended: dict[int, Proposal] = {}
        self.bots: dict[str, Bot] = {}
        self.accounts: dict[str, AccountState] = {}
        self.owners: dict[str, Bot] = {}
        self.slots: dict[str, list[Slot]] = defaultdict(list)
        self._key = desk_key(books)
        self._seen: dict[tuple[str, str], None] = {}
        self._dirty_slots: dict[Slot, None] = {}
        self._dirty_accounts: dict[str, None] = {}
        self._office_is_dirty = False
        self._tuning_is_dirty = False
        self._snapshots_are_dirty = False
        self._recalls = 0
        for bot in bots:
            self.put_bot(bot)

    # -- bots ----------------------------------------------------------------------------

    def put_bot(self, bot: Bot) -> list[Slot]:
        """Set a bot to work on an account of its own; its slots, one for each symbol."""
        self.bots[bot.bot_id] = self.bases[bot.bot_id] = bot
        self.owners[bot.account] = bot
        self.accounts[bot.account] = AccountState(Ledger(bot.capital))
        slots = [Slot(bot, symbol, self.interval) for symbol in bot.symbols]
        for slot in slots:
            self.slots[slot.symbol].append(slot)
        if bot.bot_id not in self.desk.bot_ids:
            self.desk.bot_ids.append(bot.bot_id)
        return slots

    def drop_bot(self, bot: Bot) -> None:
        """Forget a bot that is flat, and all that belongs to it alone, but never its id."""
        self._keep_loss(bot.account)
        del self.bots[bot.bot_id], self.owners[bot.account], self.accounts[bot.account]
        del self.bases[bot.bot_id]
        self._dirty_accounts.pop(bot.account, None)
        for symbol in bot.symbols:
            self.slots[symbol] = [slot for slot in self.slots[symbol] if slot.bot is not bot]
            self.desk.disabled.pop(f"{bot.bot_id}:{symbol}", None)
        self._dirty_slots = {s: None for s in self._dirty_slots if s.bot is not bot}
        self.desk.added.pop(bot.bot_id, None)
        self.desk.candidates.pop(bot.bot_id, None)
        self.desk.sequences.pop(bot.bot_id, None)
        if bot.bot_id in self.desk.paused:
            self.desk.paused.remove(bot.bot_id)

    def employ(self, bot: Bot) -> list[Slot]:
        """Have another version of a bot work from now on; its slots, which obey it."""
        self.bots[bot.bot_id] = self.owners[bot.account] = bot
        slots = [self.slot(bot.bot_id, symbol) for symbol in bot.symbols]
        for slot in slots:
            slot.work_for(bot)
        return slots

    def limit(self, limits: Limits) -> None:
        """Have other limits in force from now on."""
        self.policy = replace(self.policy, limits=limits)
        self.ladders = limits.ladders

    def put_slot(self, before: Slot, after: Slot) -> None:
        """Have a slot work in the place of another, and stored instead of it."""
        slots = self.slots[before.symbol]
        slots[slots.index(before)] = after
        self._dirty_slots.pop(before, None)
        self.touch_slot(after)

    def next_recall(self) -> int:
        """A number for asking for candles of before."""
        self._recalls += 1
        return self._recalls

    def _keep_loss(self, account: str) -> None:
        """What an account lost today still counts for the desk's cap when it is gone."""
        log, today = self.desk.cap_log, day_of(self.desk.now)
        if log.removed_on != today:
            log.removed_on, log.removed = today, ZERO
        log.removed += self.lost_today(account, self.desk.now)

    def bot_row(self, bot: Bot) -> BotRow:
        """The bot as other readers of the database see it."""
        return BotRow(
            bot_id=bot.bot_id,
            account=bot.account,
            strategy_name=bot.strategy.name,
            symbols=",".join(bot.symbols),
            status=self.status(bot),
            deployment_mode=self.books.partition("-")[0],
            initial_capital=self.accounts[bot.account].ledger.deposit,
        )

    # -- keeping -------------------------------------------------------------------------

    def slot(self, bot_id: str, symbol: str) -> Slot:
        """A bot's work on a symbol that it trades."""
        return next(slot for slot in self.slots[symbol] if slot.bot.bot_id == bot_id)

    def touch_slot(self, slot: Slot) -> None:
        """Have the slot stored with the next commit."""
        self._dirty_slots[slot] = None

    def touch_account(self, account: str) -> AccountState:
        """The account's state, to be changed now and stored with the next commit."""
        self._dirty_accounts[account] = None
        return self.accounts[account]

    def touch_office(self) -> OfficeState:
        """The office, to be changed now and stored with the next commit."""
        self._office_is_dirty = True
        return self.office

    def touch_tuning(self) -> TuningState:
        """What is remembered of tuning, to be changed now and stored with the next commit."""
        self._tuning_is_dirty = True
        return self.tuning

    def keep_snapshots(self, kept: list[Snapshot]) -> None:
        """Remember these snapshots: a row of their own, since they are large and change seldom."""
        self.snapshots = kept
        self._snapshots_are_dirty = True

    def keep_proposal(self, proposal: Proposal) -> None:
        """Remember a proposal as it stands; one that ended, for a while."""
        office = self.touch_office()
        if not proposal.state.is_final:
            office.proposals[proposal.proposal_id] = proposal
            return
        office.proposals.pop(proposal.proposal_id, None)
        office.votes.pop(proposal.proposal_id, None)
        self.recall([proposal])

    def recall(self, proposals: Iterable[Proposal]) -> None:
        """Remember how proposals ended, for as long as no more than so many did since."""
        for proposal in proposals:
            if proposal.state.is_final:
                self.ended[proposal.proposal_id] = proposal
            if len(self.ended) > ENDED_PROPOSALS:
                del self.ended[next(iter(self.ended))]

    def keep_order(self, order: Order) -> None:
        """Remember the order while it is open, and after for as long as a fill may come late."""
        state = self.touch_account(order.account)
        state.orders.pop(order.order_link_id, None)
        state.closed.pop(order.order_link_id, None)
        if order.is_open:
            state.orders[order.order_link_id] = order
            return
        if order.status is not OrderStatus.CANCELED:
            return
        state.closed[order.order_link_id] = order
        if len(state.closed) > CLOSED_ORDERS:
            del state.closed[next(iter(state.closed))]

    def order(self, account: str, order_link_id: str) -> Order | None:
        """An order that is open, or was canceled lately."""
        state = self.accounts[account]
        return state.orders.get(order_link_id) or state.closed.get(order_link_id)

    def see(self, account: str, exec_id: str) -> bool:
        """Remember an execution; whether it is news."""
        key = (account, exec_id)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > SEEN_EXECUTIONS:
            del self._seen[next(iter(self._seen))]
        return True

    def next_sequence(self, bot_id: str, ts: int) -> tuple[int, int]:
        """A time and number that no order of the bot had before.

        A bar of another symbol may come late; its orders then carry the later time.
        """
        last_ts, last = self.desk.sequences.get(bot_id, (0, 0))
        fresh = (ts, 0) if ts > last_ts else (last_ts, last + 1)
        self.desk.sequences[bot_id] = fresh
        return fresh

    # -- adding up -----------------------------------------------------------------------

    def bots_of(self, strategy: str) -> list[Bot]:
        return [bot for bot in self.bots.values() if bot.strategy.name == strategy]

    def sides(self, ts: int) -> Sides:
        """Which sides may be entered at a market time (UTC ms)."""
        over = self.desk.sides_until and ts >= self.desk.sides_until
        return Sides.BOTH if over else self.desk.sides

    def status(self, bot: Bot) -> BotStatus:
        return BotStatus.PAUSED if bot.bot_id in self.desk.paused else BotStatus.ACTIVE

    def is_by_hand(self, slot: Slot) -> bool:
        """Whether a person opened the position that a slot holds."""
        position = self.accounts[slot.bot.account].positions.get(slot.symbol)
        return position is not None and position.entry_reason in BY_HAND

    def is_safe(self, position: Position) -> bool:
        """Whether a position's stop stands beyond its entry: it has nothing left to lose."""
        entry = self.accounts[position.account].entries.get(position.symbol)
        if entry is None or entry.stop_loss is None or position.side is None:
            return False
        assert position.average_price is not None
        return (entry.stop_loss - position.average_price) * position.side.sign >= 0

    def order_open(self, slot: Slot) -> bool:
        orders = self.accounts[slot.bot.account].orders
        return any(order.symbol == slot.symbol for order in orders.values())

    def mark(self, symbol: str) -> Decimal:
        """The last price, exactly as the candle gave it."""
        return exact(self.desk.prices[symbol])

    def held(self, account: str) -> Iterator[Position]:
        positions = self.accounts[account].positions.values()
        return (position for position in positions if not position.is_flat)

    def lost_today(self, account: str, ts: int) -> Decimal:
        """What an account lost on the UTC day of `ts`, negative when it gained."""
        today = self.accounts[account].tally.today
        if today is None or today.began != day_of(ts):
            return ZERO
        return today.equity - self.equity(account)

    def watch_margin(self, slot: Slot) -> None:
        """Have the slot tell when the margin of what it holds runs out."""
        position = self.accounts[slot.bot.account].positions.get(slot.symbol)
        level = float(self.policy.limits.margin_level)
        slot.alarm = 0.0
        if position is not None and position.side is not None and level:
            assert position.average_price is not None
            price, sign = float(position.average_price), position.side.sign
            slot.alarm = sign * alarm_price(price, sign, position.leverage, level)

    def unrealized(self, account: str) -> Decimal:
        return sum((p.unrealized(self.mark(p.symbol)) for p in self.held(account)), ZERO)

    def equity(self, account: str) -> Decimal:
        return self.accounts[account].ledger.balance + self.unrealized(account)

    def margin(self, account: str) -> Decimal:
        """What open positions bind."""
        return sum((position.margin for position in self.held(account)), ZERO)

    def free_margin(self, account: str) -> Decimal:
        """Equity less what open positions and entries on their way bind."""
        pending = sum(
            (
                order.remaining
                * (order.price or order.trigger_price or self.mark(order.symbol))
                / order.leverage
                for order in self.accounts[account].orders.values()
                if not order.reduce_only
            ),
            ZERO,
        )
        return self.equity(account) - self.margin(account) - pending

    def unfinished(self) -> list[Order]:
        """Orders that were stored but not known to be received, oldest first."""
        orders = (order for state in self.accounts.values() for order in state.orders.values())
        pending = [order for order in orders if order.order_id is None]
        return sorted(pending, key=lambda order: (order.created_at, order.order_link_id))

    def strays(self) -> list[Position]:
        """Positions of our accounts in symbols that their bots no longer trade."""
        return [
            position
            for account, bot in self.owners.items()
            for position in self.held(account)
            if position.symbol not in bot.symbols
        ]

    # -- rows ----------------------------------------------------------------------------

    def dirty_rows(self) -> list[StateRow]:
        """What changed since the last call, as rows to store."""
        rows = [StateRow(self._key, STATE_VERSION, _DESK.dump_json(self.desk).decode())]
        rows.extend(StateRow(slot.key, STATE_VERSION, slot.dump()) for slot in self._dirty_slots)
        for account in self._dirty_accounts:
            body = _ACCOUNT.dump_json(self.accounts[account]).decode()
            rows.append(StateRow(f"account:{account}", STATE_VERSION, body))
        if self._office_is_dirty:
            body = _OFFICE.dump_json(self.office).decode()
            rows.append(StateRow(OFFICE_KEY, STATE_VERSION, body))
        if self._tuning_is_dirty:
            body = _TUNING.dump_json(self.tuning).decode()
            rows.append(StateRow(tuning_key(self.books), STATE_VERSION, body))
        if self._snapshots_are_dirty:
            body = _SNAPSHOTS.dump_json(self.snapshots).decode()
            rows.append(StateRow(snapshots_key(self.books), STATE_VERSION, body))
        self._dirty_slots.clear()
        self._dirty_accounts.clear()
        self._office_is_dirty = False
        self._tuning_is_dirty = False
        self._snapshots_are_dirty = False
        return rows

    def restore(
        self,
        states: Mapping[str, StateRow],
        executed: Iterable[Fill],
        payments: Iterable[Funding] = (),
    ) -> None:
        """Take back what an earlier process stored, and the executions and funding it saw."""
        if body := stored(states, self._key, STATE_VERSION):
            self.desk = _DESK.validate_json(body)
            self._recall_ids(states)
            # Books of before this was noted had begun when they had a candle.
            self.desk.begun = self.desk.begun or "begun" not in json.loads(body)
            self.desk.candidates = self._still_traded(self.desk.candidates)
        if body := stored(states, OFFICE_KEY, STATE_VERSION):
            self.office = _OFFICE.validate_json(body)
        for account in self.accounts:
            if body := stored(states, f"account:{account}", STATE_VERSION):
                self.accounts[account] = _ACCOUNT.validate_json(body)
        if body := stored(states, tuning_key(self.books), STATE_VERSION):
            self._restore_tuning(_TUNING.validate_json(body))
        if body := stored(states, snapshots_key(self.books), STATE_VERSION):
            self.snapshots = _SNAPSHOTS.validate_json(body)
        for slot in (slot for slots in self.slots.values() for slot in slots):
            if body := stored(states, slot.key, STATE_VERSION):
                slot.load(body)
            position = self.accounts[slot.bot.account].positions.get(slot.symbol)
            slot.held = position is not None and not position.is_flat
            slot.opened_at = position.opened_at if position else 0
            self.watch_margin(slot)
        for payment in payments:
            self.see(payment.account, payment_id(payment.symbol, payment.ts))
        for fill in executed:
            self.see(fill.account, fill.exec_id)

    def _restore_tuning(self, state: TuningState) -> None:
        """Have in force what was tuned, as far as there is a place for it; no slot has seen
        anything yet."""
        self.tuning = state
        now = max(state.clock, self.desk.now)
        self.dropped = overlay.sift(state, self.bases, self.base_limits, now)
        self._tuning_is_dirty = bool(self.dropped)
        for bot_id, base in self.bases.items():
            values = values_of(state, bot_id)
            if not values:
                continue
            bot = overlay.tuned_bot(base, values)
            for slot in self.employ(bot):
                self.put_slot(slot, Slot(bot, slot.symbol, self.interval))
        self.limit(with_limits(self.base_limits, values_of(state, DESK_SCOPE)))

    def _recall_ids(self, states: Mapping[str, StateRow]) -> None:
        """Every id that has books here, also of before they were noted."""
        begins = f"account:{self.books}-"
        known = [key.removeprefix(begins) for key in states if key.startswith(begins)]
        self.desk.bot_ids = list(dict.fromkeys([*self.desk.bot_ids, *known, *self.bots]))

    def _still_traded(self, waiting: Mapping[str, list[Candidate]]) -> dict[str, list[Candidate]]:
        """The entries of bots and symbols that the settings still name."""
        traded = {(bot.bot_id, symbol) for bot in self.bots.values() for symbol in bot.symbols}
        kept = {
            bot_id: [each for each in found if (bot_id, each.symbol) in traded]
            for bot_id, found in waiting.items()
        }
        return {bot_id: found for bot_id, found in kept.items() if found}
