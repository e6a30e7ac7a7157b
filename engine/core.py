"""The core: one event in, the effects it calls for out. No clock, no I/O, no chance.

It is a pure function with a memory: the same events in the same order give the same effects
and the same memory. The memory leaves as state rows and comes back from them after a restart.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from engine import risk
from engine.audit import Act
from engine.bot import Bot, BotRow, BotStatus
from engine.candle import HOUR_MS, Aggregator, Candle
from engine.effect import (
    Answer,
    Audit,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Record,
    Result,
    Sample,
    Submit,
)
from engine.errors import Broken
from engine.event import (
    CandleClosed,
    CommandRun,
    DeskHalted,
    DeskStarted,
    DeskStopped,
    Event,
    Executed,
    FundingSettled,
    Instructed,
    MarketEnded,
    MarketRemarked,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    PauseBot,
    ResumeBot,
)
from engine.instrument import Instrument
from engine.ledger import EquityPoint, Funding, Ledger
from engine.order import (
    ZERO,
    Execution,
    Fill,
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    decode_link_id,
    order_link_id,
)
from engine.ports import StateRow
from engine.position import Position, apply, round_trip
from engine.risk import EntryRequest
from engine.signal import Action, Approved, Decision, Denied
from engine.strategies.exits import too_old
from engine.strategies.kernel import REASONS, Signal
from engine.view import AccountView, BotView, CoreView, PositionView, WhyView

STATE_VERSION = 1
SAMPLE_EVERY_MS = HOUR_MS
# Executions remembered for telling repeats; an exchange repeats itself within minutes.
SEEN_EXECUTIONS = 20_000


@dataclass(slots=True)
class DeskState:
    """What belongs to the desk as a whole. `cursors` is the open of the last candle taken."""

    candles: int = 0
    market_time: int = 0
    market_ended: bool = False
    next_sample: int = 0
    decisions: int = 0
    trades: int = 0
    halted: str = ""
    paused: list[str] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    sequences: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class AccountState:
    """The money, positions and open orders of one account.

    `entries` keeps the order that opened each position, for the protection it carries.
    """

    ledger: Ledger
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    entries: dict[str, Order] = field(default_factory=dict)


@dataclass(slots=True)
class SlotState:
    """What a strategy remembers of one symbol."""

    kernel: tuple[float, ...]
    window: list[float]
    cooldown_until: int
    open_bar: Candle | None
    last_bar: Candle | None


_DESK = TypeAdapter(DeskState)
_ACCOUNT = TypeAdapter(AccountState)
_SLOT = TypeAdapter(SlotState)


class Slot:
    """A bot at work on one symbol: the strategy's memory and what it needs every bar."""

    __slots__ = (
        "aggregator",
        "bot",
        "cooldown_until",
        "exits",
        "held",
        "kernel",
        "key",
        "last_bar",
        "opened_at",
        "params",
        "step",
        "symbol",
        "window",
    )

    def __init__(self, bot: Bot, symbol: str, interval: int) -> None:
        strategy = bot.strategy
        self.bot = bot
        self.symbol = symbol
        self.key = f"slot:{bot.account}:{symbol}"
        self.params = strategy.params
        self.exits = strategy.exits_for(symbol)
        self.step = strategy.step
        self.kernel, self.window = strategy.start()
        self.aggregator = (
            None if interval == strategy.timeframe else Aggregator(interval, strategy.timeframe)
        )
        self.cooldown_until = 0
        self.held = False
        self.opened_at = 0
        self.last_bar: Candle | None = None

    def dump(self) -> str:
        open_bar = self.aggregator.open_bar if self.aggregator else None
        state = SlotState(
            tuple(self.kernel), list(self.window), self.cooldown_until, open_bar, self.last_bar
        )
        return _SLOT.dump_json(state).decode()

    def load(self, body: str) -> None:
        state = _SLOT.validate_json(body)
        self.kernel = self.bot.strategy.state(*state.kernel)
        self.window[:] = type(self.window)("d", state.window)
        self.cooldown_until = state.cooldown_until
        self.last_bar = state.last_bar
        if self.aggregator:
            self.aggregator.open_bar = state.open_bar


class Core:
    """The desk's decisions, for one mode and market.

    `interval` is the length of the market's own candles, ms. Another mode or market has other
    books: its name is part of every key.
    """

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        interval: int,
        mode: str,
        market: str,
    ) -> None:
        self._bots = {bot.bot_id: bot for bot in bots}
        self._instruments = instruments
        self._mode = mode
        self._key = f"desk:{mode}-{market}"
        self._desk = DeskState()
        self._accounts = {bot.account: AccountState(Ledger(bot.capital)) for bot in bots}
        self._owners = {(bot.account, symbol): bot for bot in bots for symbol in bot.symbols}
        self._slots: dict[str, list[Slot]] = defaultdict(list)
        for bot in bots:
            for symbol in bot.symbols:
                self._slots[symbol].append(Slot(bot, symbol, interval))
        self._seen: dict[tuple[str, str], None] = {}
        self._dirty_slots: dict[Slot, None] = {}
        self._dirty_accounts: dict[str, None] = {}
        self._handlers: dict[type[Any], Callable[[Any], list[Effect]]] = {
            OrderAccepted: self._on_accepted,
            OrderRejected: self._on_rejected,
            OrderCanceled: self._on_canceled,
            Executed: self._on_executed,
            FundingSettled: self._on_funding,
            Instructed: self._on_instructed,
            CommandRun: self._on_command,
            MarketEnded: self._on_market_ended,
            MarketRemarked: self._on_market_remarked,
            DeskStarted: self._on_started,
            DeskStopped: self._on_stopped,
            DeskHalted: self._on_halted,
        }

    # -- the one door --------------------------------------------------------------------

    def step(self, event: Event) -> list[Effect]:
        """Take one event, remember what it changes, return what it calls for."""
        if type(event) is CandleClosed:
            return self._on_candle(event)
        return self._handlers[type(event)](event)

    # -- candles -------------------------------------------------------------------------

    def _on_candle(self, event: CandleClosed) -> list[Effect]:
        desk = self._desk
        symbol, candle, closed_at = event.symbol, event.candle, event.closed_at
        effects = self._sample(closed_at)
        desk.candles += 1
        desk.market_time = closed_at
        desk.market_ended = False
        desk.cursors[symbol] = candle.ts
        desk.prices[symbol] = candle.close
        for slot in self._slots.get(symbol, ()):
            self._dirty_slots[slot] = None
            if slot.aggregator is None:
                self._on_bar(slot, candle, closed_at, effects)
            else:
                for bar in slot.aggregator.push(candle):
                    self._on_bar(slot, bar, closed_at, effects)
        return effects

    def _on_bar(self, slot: Slot, bar: Candle, ts: int, effects: list[Effect]) -> None:
        slot.kernel, signal = slot.step(slot.params, slot.kernel, slot.window, bar)
        slot.last_bar = bar
        if slot.held:
            self._consider_exit(slot, signal, ts, effects)
        if signal.entry:
            self._consider_entry(slot, signal, bar, ts, effects)

    def _sample(self, ts: int) -> list[Effect]:
        """Each account's worth at the last full hour, before the first news from after it.

        That may be an execution: a paper exchange speaks of a bar before the bar is taken.
        """
        desk = self._desk
        due = desk.next_sample
        if ts <= due:
            return []
        desk.next_sample = (ts - 1) // SAMPLE_EVERY_MS * SAMPLE_EVERY_MS + SAMPLE_EVERY_MS
        if not due:
            return []
        return [
            Sample(EquityPoint(account, due, state.ledger.balance, self._equity(account)))
            for account, state in self._accounts.items()
        ]

    # -- entries and exits ---------------------------------------------------------------

    def _consider_entry(
        self, slot: Slot, signal: Signal, bar: Candle, ts: int, effects: list[Effect]
    ) -> None:
        side = Side.BUY if signal.entry > 0 else Side.SELL
        reason = REASONS[int(signal.reason)]
        request = self._entry_request(slot, bar, ts)
        results = risk.check(request)
        verdict: Approved | Denied
        if results[-1].passed:
            order = self._entry_order(slot, side, reason, bar.close, request.quantity, ts)
            verdict = Approved(order, results)
        else:
            verdict = Denied(results[-1].gate, results[-1].detail, results)
        effects.append(
            Record(self._decision(slot, Action.ENTRY, side, reason, bar.close, ts, verdict))
        )
        if isinstance(verdict, Approved):
            self._submit(verdict, effects)

    def _consider_exit(self, slot: Slot, signal: Signal, ts: int, effects: list[Effect]) -> None:
        if too_old(slot.exits, slot.opened_at, ts):
            reason = Reason.TIME_EXIT
        elif signal.exit and ts >= slot.cooldown_until:
            reason = REASONS[int(signal.reason)]
        else:
            return
        if self._order_open(slot):
            return
        state = self._accounts[slot.bot.account]
        position = state.positions[slot.symbol]
        side = Side.SELL if position.quantity > 0 else Side.BUY
        price = self._desk.prices[slot.symbol]
        order = replace(
            self._order(slot, side, reason, abs(position.quantity), ts), reduce_only=True
        )
        verdict = Approved(order, ())
        effects.append(Record(self._decision(slot, Action.EXIT, side, reason, price, ts, verdict)))
        self._submit(verdict, effects)

    def _entry_request(self, slot: Slot, bar: Candle, ts: int) -> EntryRequest:
        bot = slot.bot
        state = self._accounts[bot.account]
        position = state.positions.get(slot.symbol)
        equity = self._equity(bot.account)
        bound = sum((held.margin for held in state.positions.values()), ZERO)
        return EntryRequest(
            ts=ts,
            price=bar.close,
            instrument=self._instruments[slot.symbol],
            sizing=bot.strategy.sizing,
            equity=equity,
            free_margin=equity - bound - self._pending_margin(state),
            halted=self._desk.halted,
            paused=bot.bot_id in self._desk.paused,
            bars=slot.kernel.bars,
            bars_needed=bot.strategy.bars,
            ready=bot.strategy.ready(slot.params, slot.kernel),
            cooldown_until=slot.cooldown_until,
            holding=position.quantity if position else ZERO,
            order_open=self._order_open(slot),
        )

    def _pending_margin(self, state: AccountState) -> Decimal:
        return sum(
            (
                order.remaining * self._mark(order.symbol) / order.leverage
                for order in state.orders.values()
                if not order.reduce_only
            ),
            ZERO,
        )

    def _entry_order(
        self, slot: Slot, side: Side, reason: Reason, price: float, quantity: Decimal, ts: int
    ) -> Order:
        rules = self._instruments[slot.symbol]
        exits = slot.exits
        sign = side.sign
        return replace(
            self._order(slot, side, reason, quantity, ts),
            stop_loss=_level(rules, price * (1.0 - sign * exits.stop_loss), exits.stop_loss),
            take_profit=_level(rules, price * (1.0 + sign * exits.take_profit), exits.take_profit),
            trailing_stop=_level(rules, price * exits.trail, exits.trail),
            trailing_activation=_level(
                rules, price * (1.0 + sign * exits.trail_activation), exits.trail
            ),
        )

    def _order(self, slot: Slot, side: Side, reason: Reason, quantity: Decimal, ts: int) -> Order:
        bot = slot.bot
        return Order(
            account=bot.account,
            order_link_id=order_link_id(bot.bot_id, reason, ts, self._sequence(bot.bot_id, ts)),
            client_order_id=client_order_id(bot.bot_id, reason, ts),
            bot_id=bot.bot_id,
            symbol=slot.symbol,
            side=side,
            order_type=OrderType.MARKET,
            quantity=quantity,
            leverage=bot.strategy.sizing.leverage,
            reason=reason,
            created_at=ts,
            updated_at=ts,
        )

    def _sequence(self, bot_id: str, ts: int) -> int:
        last_ts, last = self._desk.sequences.get(bot_id, (0, 0))
        sequence = last + 1 if last_ts == ts else 0
        self._desk.sequences[bot_id] = (ts, sequence)
        return sequence

    def _decision(
        self,
        slot: Slot,
        action: Action,
        side: Side,
        reason: Reason,
        price: float,
        ts: int,
        verdict: Approved | Denied,
    ) -> Decision:
        self._desk.decisions += 1
        approved = isinstance(verdict, Approved)
        return Decision(
            decision_id=self._desk.decisions,
            account=slot.bot.account,
            bot_id=slot.bot.bot_id,
            symbol=slot.symbol,
            ts=ts,
            action=action,
            side=side,
            reason=reason,
            price=price,
            approved=approved,
            gate="" if isinstance(verdict, Approved) else verdict.gate,
            detail="" if isinstance(verdict, Approved) else verdict.detail,
            order_link_id=verdict.order.order_link_id if isinstance(verdict, Approved) else None,
        )

    def _submit(self, approved: Approved, effects: list[Effect]) -> None:
        order = approved.order
        self._remember_order(order)
        kind = "reduce" if order.reduce_only else "open"
        detail = f"{kind} {order.side} {order.quantity} {order.symbol} {order.order_link_id}"
        effects.append(Record(order))
        effects.append(Audit(Act(order.created_at, order.bot_id, "order", detail)))
        effects.append(Submit(order))

    # -- what the exchange says ----------------------------------------------------------

    def _on_accepted(self, event: OrderAccepted) -> list[Effect]:
        order = self._accounts[event.account].orders.get(event.order_link_id)
        if order is None:
            return []
        return [self._remember_order(order.accepted(event.order_id, event.ts))]

    def _on_rejected(self, event: OrderRejected) -> list[Effect]:
        order = self._accounts[event.account].orders.get(event.order_link_id)
        if order is None:
            return []
        rejected = order.rejected(event.reason, event.ts)
        notice = Notice(
            NoticeKind.ORDER_REJECTED,
            event.ts,
            bot_id=order.bot_id,
            account=order.account,
            symbol=order.symbol,
            order=rejected,
            text=event.reason,
        )
        return [self._remember_order(rejected), Notify(notice)]

    def _on_canceled(self, event: OrderCanceled) -> list[Effect]:
        order = self._accounts[event.account].orders.get(event.order_link_id)
        if order is None:
            return []
        return [self._remember_order(order.canceled(event.ts, event.reason))]

    def _on_executed(self, event: Executed) -> list[Effect]:
        execution = event.execution
        key = (execution.account, execution.exec_id)
        if key in self._seen:
            return []
        self._see(key)
        state = self._accounts[execution.account]
        order = state.orders.get(execution.order_link_id)
        fill = self._attribute(execution, order)
        effects = [*self._sample(execution.ts), Record(fill)]
        if order is not None:
            # A fill may come before the acceptance: whoever fills an order has received it.
            named = replace(order, order_id=order.order_id or execution.order_id)
            order = named.filled(execution.quantity, execution.ts)
            effects.append(self._remember_order(order))
        before = state.positions.get(fill.symbol) or Position(
            fill.account, fill.bot_id, fill.symbol
        )
        leverage = order.leverage if order else before.leverage
        applied = apply(before, fill, leverage)
        state.positions[fill.symbol] = applied.position
        state.ledger = state.ledger.after_fill(
            applied.realized, fill.commission, applied.closed is not None
        )
        self._dirty_accounts[fill.account] = None
        if order is not None and not order.reduce_only:
            state.entries[fill.symbol] = order
        self._tell_slot(fill, applied.position)
        effects.append(Record(applied.position))
        effects.extend(self._fill_notices(fill, order, before, applied.closed))
        return effects

    def _attribute(self, execution: Execution, order: Order | None) -> Fill:
        """Whose execution it was: by its order, by its id, or by who owns the position."""
        if order is not None:
            bot_id, reason, our_id = order.bot_id, order.reason, order.client_order_id
        elif execution.order_link_id:
            bot_id, reason, ts, _ = decode_link_id(execution.order_link_id)
            our_id = client_order_id(bot_id, reason, ts)
        else:
            bot = self._owners[execution.account, execution.symbol]
            if execution.trigger is None:
                raise Broken(f"execution {execution.exec_id} has neither an order nor a trigger")
            bot_id, reason = bot.bot_id, execution.trigger
            our_id = client_order_id(bot_id, reason, execution.ts)
        return Fill(
            exec_id=execution.exec_id,
            account=execution.account,
            bot_id=bot_id,
            symbol=execution.symbol,
            order_id=execution.order_id,
            client_order_id=our_id,
            side=execution.side,
            exec_price=execution.price,
            exec_qty=execution.quantity,
            exec_time=execution.ts,
            commission=execution.fee,
            is_maker=execution.is_maker,
            exec_type=execution.exec_type,
            close_reason=reason,
        )

    def _fill_notices(
        self, fill: Fill, order: Order | None, before: Position, closed: Position | None
    ) -> list[Effect]:
        trade = None
        effects: list[Effect] = []
        if closed is not None and before.side is not None:
            self._desk.trades += 1
            trade = round_trip(self._desk.trades, closed, before.side, fill)
            effects.append(Record(trade))
        opens = before.is_flat or before.side is fill.side
        notice = Notice(
            NoticeKind.ENTRY if opens else NoticeKind.EXIT,
            fill.exec_time,
            bot_id=fill.bot_id,
            account=fill.account,
            symbol=fill.symbol,
            order=order,
            fill=fill,
            trade=trade,
            balance=self._accounts[fill.account].ledger.balance,
        )
        return [*effects, Notify(notice)]

    def _tell_slot(self, fill: Fill, position: Position) -> None:
        for slot in self._slots.get(fill.symbol, ()):
            if slot.bot.bot_id == fill.bot_id:
                slot.held = not position.is_flat
                slot.opened_at = position.opened_at
                slot.cooldown_until = fill.exec_time + slot.exits.cooldown_ms
                self._dirty_slots[slot] = None

    def _on_funding(self, event: FundingSettled) -> list[Effect]:
        state = self._accounts[event.account]
        bot = self._owners[event.account, event.symbol]
        effects = self._sample(event.ts)
        state.ledger = state.ledger.after_funding(event.amount)
        position = state.positions[event.symbol].with_funding(event.amount)
        state.positions[event.symbol] = position
        self._dirty_accounts[event.account] = None
        payment = Funding(
            account=event.account,
            bot_id=bot.bot_id,
            symbol=event.symbol,
            ts=event.ts,
            amount=event.amount,
            rate=event.rate,
            price=event.price,
            quantity=event.quantity,
        )
        return [*effects, Record(payment), Record(position)]

    # -- what people say -----------------------------------------------------------------

    def _on_instructed(self, event: Instructed) -> list[Effect]:
        match event.instruction:
            case PauseBot(bot_id):
                return self._set_paused(event, bot_id, True)
            case ResumeBot(bot_id):
                return self._set_paused(event, bot_id, False)

    def _set_paused(self, event: Instructed, bot_id: str, paused: bool) -> list[Effect]:
        word = "paused" if paused else "resumed"
        if bot_id not in self._bots:
            return self._answer(event, NotDone(f"There is no bot {bot_id!r}."), f"{word} {bot_id}")
        if (bot_id in self._desk.paused) == paused:
            state = "already paused" if paused else "already running"
            return self._answer(event, Done(f"{bot_id} is {state}."), f"{word} {bot_id}: {state}")
        if paused:
            self._desk.paused.append(bot_id)
        else:
            self._desk.paused.remove(bot_id)
        kind = NoticeKind.BOT_PAUSED if paused else NoticeKind.BOT_RESUMED
        return [
            *self._answer(event, Done(f"{bot_id} is {word}."), f"{word} {bot_id}"),
            Record(self._bot_row(self._bots[bot_id])),
            Notify(Notice(kind, event.ts, bot_id=bot_id, text=event.actor)),
        ]

    def _answer(self, event: Instructed, result: Result, detail: str) -> list[Effect]:
        act = Act(event.ts, event.actor, type(event.instruction).__name__, detail)
        return [Audit(act), Answer(event.request_id, result)]

    def _on_command(self, event: CommandRun) -> list[Effect]:
        return [Audit(Act(event.ts, event.actor, "command", f"{event.command}: {event.outcome}"))]

    # -- the desk itself -----------------------------------------------------------------

    def _on_started(self, event: DeskStarted) -> list[Effect]:
        # What halted the last process is looked for again by this one.
        self._desk.halted = ""
        detail = f"version {event.version}, epoch {event.epoch}"
        return [
            *(Record(self._bot_row(bot)) for bot in self._bots.values()),
            *(Record(instrument) for instrument in self._instruments.values()),
            Audit(Act(event.ts, "desk", "started", detail)),
            Notify(Notice(NoticeKind.DESK_STARTED, event.ts, text=event.version)),
        ]

    def _on_stopped(self, event: DeskStopped) -> list[Effect]:
        return [Audit(Act(event.ts, "desk", "stopped", ""))]

    def _on_halted(self, event: DeskHalted) -> list[Effect]:
        self._desk.halted = event.reason
        return [
            Audit(Act(event.ts, "desk", "halted", event.reason)),
            Notify(Notice(NoticeKind.DESK_HALTED, event.ts, text=event.reason)),
        ]

    def _on_market_ended(self, event: MarketEnded) -> list[Effect]:
        if self._desk.market_ended:
            return []
        self._desk.market_ended = True
        return [Notify(Notice(NoticeKind.MARKET_ENDED, event.ts))]

    def _on_market_remarked(self, event: MarketRemarked) -> list[Effect]:
        return [Notify(Notice(NoticeKind.MARKET_REMARK, event.ts, text=event.text))]

    def _bot_row(self, bot: Bot) -> BotRow:
        return BotRow(
            bot_id=bot.bot_id,
            account=bot.account,
            strategy_name=bot.strategy.name,
            symbols=",".join(bot.symbols),
            status=self._status(bot),
            deployment_mode=self._mode,
            initial_capital=bot.capital,
        )

    def _status(self, bot: Bot) -> BotStatus:
        return BotStatus.PAUSED if bot.bot_id in self._desk.paused else BotStatus.ACTIVE

    # -- memory --------------------------------------------------------------------------

    def _remember_order(self, order: Order) -> Record:
        orders = self._accounts[order.account].orders
        if order.is_open:
            orders[order.order_link_id] = order
        else:
            orders.pop(order.order_link_id, None)
        self._dirty_accounts[order.account] = None
        return Record(order)

    def _see(self, key: tuple[str, str]) -> None:
        self._seen[key] = None
        if len(self._seen) > SEEN_EXECUTIONS:
            del self._seen[next(iter(self._seen))]

    def _order_open(self, slot: Slot) -> bool:
        orders = self._accounts[slot.bot.account].orders
        return any(order.symbol == slot.symbol for order in orders.values())

    def _mark(self, symbol: str) -> Decimal:
        return Decimal(repr(self._desk.prices[symbol]))

    def _unrealized(self, account: str) -> Decimal:
        positions = self._accounts[account].positions.values()
        return sum(
            (
                position.unrealized(self._mark(position.symbol))
                for position in positions
                if not position.is_flat
            ),
            ZERO,
        )

    def _equity(self, account: str) -> Decimal:
        return self._accounts[account].ledger.balance + self._unrealized(account)

    def dirty_states(self) -> list[StateRow]:
        """The memory that changed since the last call, as rows to store."""
        rows = [StateRow(self._key, STATE_VERSION, _DESK.dump_json(self._desk).decode())]
        rows.extend(StateRow(slot.key, STATE_VERSION, slot.dump()) for slot in self._dirty_slots)
        for account in self._dirty_accounts:
            body = _ACCOUNT.dump_json(self._accounts[account]).decode()
            rows.append(StateRow(f"account:{account}", STATE_VERSION, body))
        self._dirty_slots.clear()
        self._dirty_accounts.clear()
        return rows

    def restore(self, states: Mapping[str, StateRow], executed: Iterable[Fill]) -> None:
        """Take back the memory that an earlier process stored, and the executions it saw."""
        if row := states.get(self._key):
            self._desk = _DESK.validate_json(row.body)
        for account in self._accounts:
            if row := states.get(f"account:{account}"):
                self._accounts[account] = _ACCOUNT.validate_json(row.body)
        for slot in (slot for slots in self._slots.values() for slot in slots):
            if row := states.get(slot.key):
                slot.load(row.body)
            position = self._accounts[slot.bot.account].positions.get(slot.symbol)
            slot.held = position is not None and not position.is_flat
            slot.opened_at = position.opened_at if position else 0
        for fill in executed:
            self._see((fill.account, fill.exec_id))

    def unfinished(self) -> list[Submit]:
        """Orders that were stored but not known to be received, oldest first."""
        orders = (order for state in self._accounts.values() for order in state.orders.values())
        pending = [order for order in orders if order.order_id is None]
        pending.sort(key=lambda order: (order.created_at, order.order_link_id))
        return [Submit(order) for order in pending]

    @property
    def cursors(self) -> dict[str, int]:
        """The open (ms) of the last candle taken, per symbol."""
        return dict(self._desk.cursors)

    # -- views ---------------------------------------------------------------------------

    def accounts(self) -> dict[str, AccountState]:
        """Each account's memory, to be compared with what its facts add up to."""
        return self._accounts

    def view(self) -> CoreView:
        desk = self._desk
        accounts = self._accounts
        return CoreView(
            candles=desk.candles,
            market_time=desk.market_time,
            market_ended=desk.market_ended,
            halted=desk.halted,
            prices=dict(desk.prices),
            bots=tuple(self._bot_view(bot) for bot in self._bots.values()),
            accounts=tuple(self._account_view(bot) for bot in self._bots.values()),
            positions=tuple(
                self._position_view(position)
                for state in accounts.values()
                for position in state.positions.values()
                if not position.is_flat
            ),
            open_orders=tuple(
                order for state in accounts.values() for order in state.orders.values()
            ),
        )

    def why(self, symbol: str) -> list[WhyView]:
        """What each bot on `symbol` thinks of it, and what the gates would say now."""
        views = []
        for slot in self._slots.get(symbol, ()):
            if slot.last_bar is None:
                continue
            request = self._entry_request(slot, slot.last_bar, self._desk.market_time)
            views.append(
                WhyView(
                    bot_id=slot.bot.bot_id,
                    symbol=symbol,
                    ts=self._desk.market_time,
                    price=slot.last_bar.close,
                    conditions=tuple(
                        slot.bot.strategy.explain(slot.params, slot.kernel, slot.last_bar)
                    ),
                    gates=risk.verdicts(request),
                )
            )
        return views

    def _bot_view(self, bot: Bot) -> BotView:
        return BotView(
            bot_id=bot.bot_id,
            strategy=bot.strategy.name,
            summary=bot.strategy.summary,
            symbols=bot.symbols,
            timeframe=bot.strategy.timeframe,
            account=bot.account,
            status=self._status(bot),
        )

    def _account_view(self, bot: Bot) -> AccountView:
        state = self._accounts[bot.account]
        return AccountView(
            account=bot.account,
            bot_id=bot.bot_id,
            ledger=state.ledger,
            unrealized=self._unrealized(bot.account),
            margin=sum((position.margin for position in state.positions.values()), ZERO),
        )

    def _position_view(self, position: Position) -> PositionView:
        entry = self._accounts[position.account].entries.get(position.symbol)
        return PositionView(
            position=position,
            price=self._mark(position.symbol),
            stop_loss=entry.stop_loss if entry else None,
            take_profit=entry.take_profit if entry else None,
            trailing_stop=entry.trailing_stop if entry else None,
            trailing_activation=entry.trailing_activation if entry else None,
        )


def _level(rules: Instrument, price: float, fraction: float) -> Decimal | None:
    """A price on the tick, or None where the rule that sets it is off."""
    return rules.price_down(price) if fraction else None
