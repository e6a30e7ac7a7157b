"""The core: one event in, the effects it calls for out. No clock, no I/O, no chance.

It is a pure function with a memory: the same events in the same order give the same effects
and the same memory. The memory leaves as state rows and comes back from them after a restart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from engine import booking, errands, risk
from engine.audit import Act
from engine.bot import Bot, BotRow
from engine.candle import Candle
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
    Submit,
)
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
    PriceTicked,
    ResumeBot,
    StopMoved,
)
from engine.instrument import Instrument
from engine.memory import AccountState, Memory, Slot
from engine.order import (
    ZERO,
    Fill,
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    order_link_id,
)
from engine.ports import StateRow
from engine.position import Position
from engine.risk import EntryRequest
from engine.signal import Action, Approved, Decision, Denied
from engine.strategies.exits import too_old
from engine.strategies.kernel import REASONS, Signal
from engine.view import CoreView, WhyView, core_view, why_view


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
        self._mode = mode
        self._memory = Memory(bots, instruments, interval, books=f"{mode}-{market}")
        self._handlers: dict[type[Any], Callable[[Any], list[Effect]]] = {
            OrderAccepted: partial(booking.accepted, self._memory),
            OrderRejected: partial(booking.rejected, self._memory),
            OrderCanceled: partial(booking.canceled, self._memory),
            Executed: partial(booking.executed, self._memory),
            FundingSettled: partial(booking.funding, self._memory),
            StopMoved: partial(booking.stop_moved, self._memory),
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
        if type(event) is PriceTicked:
            return self._on_tick(event)
        return self._handlers[type(event)](event)

    # -- candles -------------------------------------------------------------------------

    def _on_candle(self, event: CandleClosed) -> list[Effect]:
        desk = self._memory.desk
        symbol, candle, closed_at = event.symbol, event.candle, event.closed_at
        effects = booking.sample(self._memory, closed_at)
        desk.candles += 1
        desk.market_time = closed_at
        desk.market_ended = False
        desk.cursors[symbol] = candle.ts
        desk.prices[symbol] = candle.close
        if desk.alerts and not event.ticked:
            effects += errands.price_alerts(
                self._memory, symbol, candle.low, candle.high, closed_at, candle.ts
            )
        for slot in self._memory.slots.get(symbol, ()):
            self._memory.touch_slot(slot)
            if slot.aggregator is None:
                self._on_bar(slot, candle, event, effects)
            else:
                for bar in slot.aggregator.push(candle):
                    self._on_bar(slot, bar, event, effects)
        return effects

    def _on_tick(self, event: PriceTicked) -> list[Effect]:
        desk = self._memory.desk
        desk.prices[event.symbol] = event.price
        desk.told_until = max(desk.told_until, event.ts)
        if not desk.alerts:
            return []
        return errands.price_alerts(
            self._memory, event.symbol, event.price, event.price, event.ts, event.ts
        )

    def _on_bar(self, slot: Slot, bar: Candle, event: CandleClosed, effects: list[Effect]) -> None:
        ts = event.closed_at
        slot.kernel, signal = slot.step(slot.params, slot.kernel, slot.window, bar)
        slot.last_bar = bar
        if slot.held:
            self._consider_exit(slot, signal, ts, effects)
        if signal.entry:
            self._consider_entry(slot, signal, bar, event, effects)

    # -- entries and exits ---------------------------------------------------------------

    def _consider_entry(
        self, slot: Slot, signal: Signal, bar: Candle, event: CandleClosed, effects: list[Effect]
    ) -> None:
        ts = event.closed_at
        side = Side.BUY if signal.entry > 0 else Side.SELL
        reason = REASONS[int(signal.reason)]
        request = self._entry_request(slot, bar, ts, event.late)
        refusal = risk.refusal(request)
        verdict: Approved | Denied
        if refusal:
            verdict = Denied(refusal.gate, refusal.detail)
        else:
            order = self._entry_order(slot, side, reason, bar.close, request.quantity, ts)
            verdict = Approved(order)
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
        if self._memory.order_open(slot):
            return
        state = self._memory.accounts[slot.bot.account]
        position = state.positions[slot.symbol]
        side = Side.SELL if position.quantity > 0 else Side.BUY
        price = self._memory.desk.prices[slot.symbol]
        order = replace(
            self._order(slot, side, reason, abs(position.quantity), ts), reduce_only=True
        )
        verdict = Approved(order)
        effects.append(Record(self._decision(slot, Action.EXIT, side, reason, price, ts, verdict)))
        self._submit(verdict, effects)

    def _entry_request(self, slot: Slot, bar: Candle, ts: int, late: bool = False) -> EntryRequest:
        bot = slot.bot
        memory = self._memory
        position = memory.accounts[bot.account].positions.get(slot.symbol)
        return EntryRequest(
            ts=ts,
            price=bar.close,
            instrument=self._memory.instruments[slot.symbol],
            sizing=bot.strategy.sizing,
            equity=memory.equity(bot.account),
            free_margin=memory.free_margin(bot.account),
            halted=self._memory.desk.halted,
            paused=bot.bot_id in self._memory.desk.paused,
            bars=slot.kernel.bars,
            bars_needed=bot.strategy.bars,
            ready=bot.strategy.ready(slot.params, slot.kernel),
            late=late,
            cooldown_until=slot.cooldown_until,
            holding=position.quantity if position else ZERO,
            order_open=self._memory.order_open(slot),
        )

    def _entry_order(
        self, slot: Slot, side: Side, reason: Reason, price: float, quantity: Decimal, ts: int
    ) -> Order:
        rules = self._memory.instruments[slot.symbol]
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
        named_at, sequence = self._memory.next_sequence(bot.bot_id, ts)
        return Order(
            account=bot.account,
            order_link_id=order_link_id(bot.bot_id, reason, named_at, sequence),
            client_order_id=client_order_id(bot.bot_id, reason, named_at),
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
        self._memory.desk.decisions += 1
        refused = verdict if isinstance(verdict, Denied) else None
        order = verdict.order if isinstance(verdict, Approved) else None
        return Decision(
            decision_id=self._memory.desk.decisions,
            account=slot.bot.account,
            bot_id=slot.bot.bot_id,
            symbol=slot.symbol,
            ts=ts,
            action=action,
            side=side,
            reason=reason,
            price=price,
            approved=order is not None,
            gate=refused.gate if refused else "",
            detail=refused.detail if refused else "",
            order_link_id=order.order_link_id if order else None,
        )

    def _submit(self, approved: Approved, effects: list[Effect]) -> None:
        order = approved.order
        self._memory.keep_order(order)
        kind = "reduce" if order.reduce_only else "open"
        detail = f"{kind} {order.side} {order.quantity} {order.symbol} {order.order_link_id}"
        effects.append(Record(order))
        effects.append(Audit(Act(order.created_at, order.bot_id, "order", detail)))
        effects.append(Submit(order))

    # -- what people say -----------------------------------------------------------------

    def _on_instructed(self, event: Instructed) -> list[Effect]:
        match event.instruction:
            case PauseBot(bot_id):
                return self._set_paused(event, bot_id, True)
            case ResumeBot(bot_id):
                return self._set_paused(event, bot_id, False)
            case errand:
                result, effects = errands.run(self._memory, errand, event.actor, event.ts)
                said = result.text if isinstance(result, Done) else result.reason
                return [*self._answer(event, result, said), *effects]

    def _set_paused(self, event: Instructed, bot_id: str, paused: bool) -> list[Effect]:
        word = "paused" if paused else "resumed"
        if bot_id not in self._memory.bots:
            return self._answer(event, NotDone(f"There is no bot {bot_id!r}."), f"{word} {bot_id}")
        if (bot_id in self._memory.desk.paused) == paused:
            state = "already paused" if paused else "already running"
            return self._answer(event, Done(f"{bot_id} is {state}."), f"{word} {bot_id}: {state}")
        if paused:
            self._memory.desk.paused.append(bot_id)
        else:
            self._memory.desk.paused.remove(bot_id)
        kind = NoticeKind.BOT_PAUSED if paused else NoticeKind.BOT_RESUMED
        return [
            *self._answer(event, Done(f"{bot_id} is {word}."), f"{word} {bot_id}"),
            Record(self._bot_row(self._memory.bots[bot_id])),
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
        self._memory.desk.halted = ""
        detail = f"version {event.version}, epoch {event.epoch}"
        return [
            *(Record(self._bot_row(bot)) for bot in self._memory.bots.values()),
            *(Record(instrument) for instrument in self._memory.instruments.values()),
            Audit(Act(event.ts, "desk", "started", detail)),
            Notify(Notice(NoticeKind.DESK_STARTED, event.ts, text=event.version)),
        ]

    def _on_stopped(self, event: DeskStopped) -> list[Effect]:
        return [
            Audit(Act(event.ts, "desk", "stopped", "")),
            Notify(Notice(NoticeKind.DESK_STOPPED, event.ts)),
        ]

    def _on_halted(self, event: DeskHalted) -> list[Effect]:
        self._memory.desk.halted = event.reason
        return [
            Audit(Act(event.ts, "desk", "halted", event.reason)),
            Notify(Notice(NoticeKind.DESK_HALTED, event.ts, text=event.reason)),
        ]

    def _on_market_ended(self, event: MarketEnded) -> list[Effect]:
        if self._memory.desk.market_ended:
            return []
        self._memory.desk.market_ended = True
        return [Notify(Notice(NoticeKind.MARKET_ENDED, event.ts))]

    def _on_market_remarked(self, event: MarketRemarked) -> list[Effect]:
        return [Notify(Notice(NoticeKind.MARKET_REMARK, event.ts, text=event.text))]

    def _bot_row(self, bot: Bot) -> BotRow:
        return BotRow(
            bot_id=bot.bot_id,
            account=bot.account,
            strategy_name=bot.strategy.name,
            symbols=",".join(bot.symbols),
            status=self._memory.status(bot),
            deployment_mode=self._mode,
            initial_capital=self._memory.accounts[bot.account].ledger.deposit,
        )

    # -- memory --------------------------------------------------------------------------

    def dirty_states(self) -> list[StateRow]:
        """The memory that changed since the last call, as rows to store."""
        return self._memory.dirty_rows()

    def restore(self, states: Mapping[str, StateRow], executed: Iterable[Fill]) -> None:
        """Take back the memory that an earlier process stored, and the executions it saw."""
        self._memory.restore(states, executed)

    def unfinished(self) -> list[Submit]:
        """Orders that were stored but not known to be received, oldest first."""
        return [Submit(order) for order in self._memory.unfinished()]

    def strays(self) -> list[Position]:
        """Positions in symbols that no bot of their account trades any more."""
        return self._memory.strays()

    def accounts(self) -> dict[str, AccountState]:
        """Each account's memory, to be compared with what its facts add up to."""
        return self._memory.accounts

    @property
    def cursors(self) -> dict[str, int]:
        """The open (ms) of the last candle taken, per symbol."""
        return dict(self._memory.desk.cursors)

    def view(self) -> CoreView:
        return core_view(self._memory)

    def why(self, symbol: str) -> list[WhyView]:
        """What each bot on `symbol` thinks of it, and what the gates would say now."""
        ts = self._memory.desk.market_time
        return [
            why_view(
                slot, slot.last_bar, ts, risk.verdicts(self._entry_request(slot, slot.last_bar, ts))
            )
            for slot in self._memory.slots.get(symbol, ())
            if slot.last_bar is not None
        ]


def _level(rules: Instrument, price: float, fraction: float) -> Decimal | None:
    """A price on the tick, or None where the rule that sets it is off."""
    return rules.price_down(price) if fraction else None
