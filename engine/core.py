"""The core: one event in, the effects it calls for out. No clock, no I/O, no chance.

It is a pure function with a memory: the same events in the same order give the same effects
and the same memory. The memory leaves as state rows and comes back from them after a restart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from engine import (
    access,
    approvals,
    biases,
    booking,
    changing,
    deciding,
    errands,
    halting,
    leaving,
    reconcile,
    relief,
    resting,
    risk,
    staff,
    stops,
    tally,
    trading,
    watching,
)
from engine.audit import Act, AuditAnchor
from engine.board import BoardView, board
from engine.bot import Bot
from engine.effect import (
    Answer,
    Audit,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Outcome,
    Proposed,
    Record,
    Result,
    Resume,
)
from engine.errors import Broken
from engine.event import (
    CandleClosed,
    CandlesRecalled,
    CommandRun,
    DeskHalted,
    DeskStarted,
    DeskStopped,
    Event,
    ExchangeFailed,
    ExchangeLink,
    Executed,
    FundingSettled,
    HistoryRead,
    Instructed,
    KillTold,
    MarketEnded,
    MarketRemarked,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    PeopleNamed,
    PriceTicked,
    StopMoved,
    StopsRefused,
    StopsSet,
    Surveyed,
    TimePassed,
    Unprotected,
    Unreadable,
)
from engine.instruction import (
    Accept,
    AddBot,
    AnchorAudit,
    ArmAccount,
    BreakEven,
    CancelOrders,
    CancelThere,
    ClearCooldown,
    ClosePosition,
    ClosePositions,
    Decide,
    HaltDesk,
    Instruction,
    KillDesk,
    LiftLocks,
    MoveStops,
    NoteBias,
    PauseBot,
    PlaceOrder,
    RemoveBot,
    ResetBreaker,
    ResumeBot,
    ResumeDesk,
    SetSides,
    SyncHistory,
    TurnOff,
    TurnOn,
    UndoChange,
    UseLinkCode,
)
from engine.instrument import Instrument
from engine.ledger import Funding
from engine.memory import AccountState, Memory, Policy, desk_key
from engine.order import (
    Fill,
)
from engine.people import Asker
from engine.ports import Books, StateRow
from engine.position import Position
from engine.proposal import Proposal
from engine.signal import Sides
from engine.slot import Slot, StepFailed, naming_failures
from engine.strategies import STRATEGIES
from engine.strategies.kernel import NOTHING, Bar, Signal, Strategy, legal
from engine.tiers import tier_for
from engine.tunable import Tier
from engine.tuning import Source
from engine.tuning_view import TuningView, tuning_view
from engine.view import CoreView, WhyView, core_view, why_view


class Core:
    """The desk's decisions, for one mode and market.

    `interval` is the length of the market's own candles, ms. Another mode or market has other
    books: its name is part of every key. `bots` are all that are at work, those too that people
    added before; `strategies` are those that bots may be added of. A `forgiving` core switches
    off a bot's symbol where the strategy's step fails, and goes on; else the failure is raised.
    """

    def __init__(
        self,
        bots: Sequence[Bot],
        instruments: Mapping[str, Instrument],
        interval: int,
        mode: str,
        market: str,
        policy: Policy,
        strategies: Mapping[str, Strategy] = STRATEGIES,
        forgiving: bool = False,
    ) -> None:
        self._forgiving = forgiving
        books = f"{mode}-{market}"
        self._memory = Memory(bots, instruments, interval, books, policy, strategies)
        self._handlers: dict[type[Any], Callable[[Any], list[Effect]]] = {
            OrderAccepted: partial(booking.accepted, self._memory),
            OrderRejected: partial(booking.rejected, self._memory),
            OrderCanceled: partial(booking.canceled, self._memory),
            Executed: partial(booking.executed, self._memory),
            FundingSettled: partial(booking.funding, self._memory),
            StopMoved: partial(booking.stop_moved, self._memory),
            StopsSet: partial(booking.stops_set, self._memory),
            StopsRefused: partial(booking.stops_refused, self._memory),
            OrderUnknown: partial(booking.unknown, self._memory),
            ExchangeFailed: partial(tally.failed, self._memory),
            ExchangeLink: partial(reconcile.linked, self._memory),
            Surveyed: partial(reconcile.surveyed, self._memory),
            Unprotected: partial(reconcile.unprotected, self._memory),
            Unreadable: partial(reconcile.unreadable, self._memory),
            HistoryRead: partial(reconcile.history_read, self._memory),
            Instructed: self._on_instructed,
            CommandRun: self._on_command,
            MarketEnded: self._on_market_ended,
            MarketRemarked: self._on_market_remarked,
            DeskStarted: self._on_started,
            DeskStopped: self._on_stopped,
            DeskHalted: self._on_halted,
            KillTold: halting.told,
            PeopleNamed: self._on_named,
            TimePassed: self._on_time,
            CandlesRecalled: self._on_recalled,
        }

    # -- the one door --------------------------------------------------------------------

    def step(self, event: Event) -> list[Effect]:
        """Take one event, remember what it changes, return what it calls for."""
        if type(event) is CandleClosed:
            return self._on_candle(event)
        if type(event) is PriceTicked:
            return self._on_tick(event)
        told = event.execution if type(event) is Executed else event
        account = getattr(told, "account", None)
        if account is not None and account not in self._memory.accounts:
            # Its bot was removed; an exchange may still tell of it.
            return []
        return self._handlers[type(event)](event)

    # -- candles -------------------------------------------------------------------------

    def _on_candle(self, event: CandleClosed) -> list[Effect]:
        desk = self._memory.desk
        symbol, candle, closed_at = event.symbol, event.candle, event.closed_at
        desk.begun = desk.begun or not event.late
        effects = booking.sample(self._memory, closed_at) if desk.begun else []
        desk.candles += 1
        desk.market_time = closed_at
        desk.market_ended = False
        desk.cursors[symbol] = candle.ts
        desk.prices[symbol] = candle.close
        desk.priced_at[symbol] = max(desk.priced_at.get(symbol, 0), closed_at)
        if desk.alerts and not event.ticked:
            effects += errands.price_alerts(
                self._memory, symbol, candle.low, candle.high, closed_at, candle.ts
            )
        if desk.expiring:
            effects += resting.expire(self._memory, closed_at)
        if desk.leaving:
            effects += leaving.try_again(self._memory, closed_at)
        if desk.candidates:
            effects += trading.settle_older(self._memory, closed_at)
        if desk.sides_until and closed_at >= desk.sides_until:
            effects += staff.end_sides(self._memory, closed_at)
        if desk.biases:
            biases.forget(self._memory, closed_at)
        for slot in self._memory.slots.get(symbol, ()):
            if slot.alarm and not event.ticked and not event.late:
                effects += tally.margin_call(self._memory, slot, candle.low, candle.high, closed_at)
            if slot.kept_back is not None:
                slot.kept_back.append(event)
            else:
                self._memory.touch_slot(slot)
                for bar in slot.take(candle, event.funding):
                    self._on_bar(slot, bar, event, effects)
            if slot.successor is not None:
                effects += staff.follow(self._memory, slot, event)
        if desk.candidates:
            effects += trading.settle_complete(self._memory)
        return effects

    def _on_tick(self, event: PriceTicked) -> list[Effect]:
        desk = self._memory.desk
        desk.prices[event.symbol] = event.price
        desk.priced_at[event.symbol] = max(desk.priced_at.get(event.symbol, 0), event.ts)
        desk.told_until = max(desk.told_until, event.ts)
        effects = resting.expire(self._memory, event.ts) if desk.expiring else []
        if desk.leaving:
            effects += leaving.try_again(self._memory, event.ts)
        if desk.alerts:
            effects += errands.price_alerts(
                self._memory, event.symbol, event.price, event.price, event.ts, event.ts
            )
        for slot in self._memory.slots.get(event.symbol, ()):
            if slot.alarm:
                effects += tally.margin_call(self._memory, slot, event.price, event.price, event.ts)
        return effects

    def _on_bar(self, slot: Slot, bar: Bar, event: CandleClosed, effects: list[Effect]) -> None:
        signal = self._signal(slot, bar, effects)
        if slot.held:
            effects += trading.consider_exit(self._memory, slot, signal, event.closed_at)
        if signal.entry:
            effects += trading.consider_entry(self._memory, slot, signal, bar, event)

    def _signal(self, slot: Slot, bar: Bar, effects: list[Effect]) -> Signal:
        """What a strategy wants after a bar: nothing, where its step fails."""
        if not self._forgiving:
            return slot.see(bar)
        try:
            with naming_failures():
                return legal(slot.see(bar))
        except StepFailed as failure:
            effects += staff.switch_off(self._memory, slot, failure)
            return NOTHING

    def _on_recalled(self, event: CandlesRecalled) -> list[Effect]:
        return staff.recalled(self._memory, event)

    # -- what people say -----------------------------------------------------------------

    def _on_instructed(self, event: Instructed) -> list[Effect]:
        result, effects = approvals.take(
            self._memory, event.instruction, event.asker, event.ts, self._perform
        )
        if isinstance(event.instruction, UndoChange) and event.instruction.source is Source.WATCH:
            said = watching.answered(self._memory, event.instruction, result, event.ts)
            effects = [*effects, *said]
        act = Act(event.ts, event.asker.actor, type(event.instruction).__name__, _said(result))
        return [Audit(act), Answer(event.request_id, result), *effects]

    def _perform(
        self, instruction: Instruction, asker: Asker, ts: int, proposal: Proposal | None
    ) -> Outcome:
        """Carry out an instruction that needs nobody's word, or has it."""
        memory = self._memory
        match instruction:
            case PauseBot(bot_id):
                return self._set_paused(bot_id, True, asker, ts)
            case ResumeBot(bot_id):
                return self._set_paused(bot_id, False, asker, ts)
            case HaltDesk() | KillDesk() | ResumeDesk():
                return halting.run(memory, instruction, asker, ts)
            case UseLinkCode():
                return self._link(instruction, asker, ts)
            case AnchorAudit(seq, mac):
                text = f"{seq}:{mac}"
                anchor = AuditAnchor(seq, mac, ts)
                notice = Notice(NoticeKind.AUDIT_ANCHOR, ts, text=text)
                return Done(f"The audit's end is posted: {text}"), [Record(anchor), Notify(notice)]
            case TurnOff():
                return self._turn_off(instruction, asker, ts)
            case RemoveBot():
                return self._remove_bot(instruction, asker, ts)
            case AddBot() | TurnOn() | SetSides():
                return staff.run(memory, instruction, asker, ts)
            case CancelThere() | Accept() | SyncHistory() | ArmAccount():
                return reconcile.run(memory, instruction, asker, ts)
            case LiftLocks() | ClearCooldown() | ResetBreaker():
                return relief.run(memory, instruction, asker, ts)
            case MoveStops() | BreakEven():
                return stops.run(memory, instruction)
            case CancelOrders():
                return resting.run(memory, instruction)
            case NoteBias():
                return biases.run(memory, instruction)
            case PlaceOrder() | ClosePosition() | ClosePositions() | Decide():
                raise Broken(f"{type(instruction).__name__} is not carried out this way")
            case _ if isinstance(instruction, changing.TuningInstruction):
                return changing.run(memory, instruction, asker, ts, proposal)
            case _ if isinstance(instruction, access.Errand):
                return access.run(memory, instruction, asker, ts)
            case _:
                return errands.run(memory, instruction, asker.actor, ts)

    def _set_paused(self, bot_id: str, paused: bool, asker: Asker, ts: int) -> Outcome:
        word = "paused" if paused else "resumed"
        if bot_id not in self._memory.bots:
            return NotDone(f"There is no bot {bot_id!r}."), []
        if (bot_id in self._memory.desk.paused) == paused:
            state = "already paused" if paused else "already running"
            return Done(f"{bot_id} is {state}."), []
        if paused:
            self._memory.desk.paused.append(bot_id)
        else:
            self._memory.desk.paused.remove(bot_id)
        kind = NoticeKind.BOT_PAUSED if paused else NoticeKind.BOT_RESUMED
        halted = not paused and self._memory.desk.why_halted
        more = " The desk is halted: nothing is opened until /resume." if halted else ""
        return Done(f"{bot_id} is {word}.{more}"), [
            Record(self._memory.bot_row(self._memory.bots[bot_id])),
            Notify(Notice(kind, ts, bot_id=bot_id, text=asker.actor)),
        ]

    def _remove_bot(self, instruction: RemoveBot, asker: Asker, ts: int) -> Outcome:
        result, effects = staff.run(self._memory, instruction, asker, ts)
        if isinstance(result, Done):
            forgotten = changing.forget(self._memory, instruction.bot_id, asker.actor, ts)
            effects = [*effects, *forgotten]
        return result, effects

    def _turn_off(self, instruction: TurnOff, asker: Asker, ts: int) -> Outcome:
        said = f"{asker.called} switched it off meanwhile"
        on_again = TurnOn(instruction.bot_id, instruction.symbol)
        voided = deciding.void_waiting(self._memory, on_again, said, ts)
        result, effects = staff.run(self._memory, instruction, asker, ts)
        return result, [*voided, *effects]

    def _link(self, instruction: UseLinkCode, asker: Asker, ts: int) -> Outcome:
        """Two accounts that were two people's become one human's: their words count once."""
        before = access.owner_of(self._memory, asker)
        result, effects = access.run(self._memory, instruction, asker, ts)
        if before and isinstance(result, Done):
            effects = [*effects, *deciding.void_those_of(self._memory, [before], ts)]
        return result, effects

    def _on_named(self, event: PeopleNamed) -> list[Effect]:
        return access.named(self._memory, event)

    def _on_time(self, event: TimePassed) -> list[Effect]:
        effects = deciding.watch_clock(self._memory, event.ts)
        return [*effects, *deciding.pass_time(self._memory, event.ts, self._perform)]

    def _on_command(self, event: CommandRun) -> list[Effect]:
        return [Audit(Act(event.ts, event.actor, "command", f"{event.command}: {event.outcome}"))]

    # -- the desk itself -----------------------------------------------------------------

    def _on_started(self, event: DeskStarted) -> list[Effect]:
        # What halted the last process is looked for again by this one.
        self._memory.desk.halted = ""
        reconcile.began(self._memory)
        detail = f"version {event.version}, epoch {event.epoch}"
        return [
            *(Record(self._memory.bot_row(bot)) for bot in self._memory.bots.values()),
            *(Record(instrument) for instrument in self._memory.instruments.values()),
            Audit(Act(event.ts, "desk", "started", detail)),
            *changing.dropped(self._memory, "desk", event.ts),
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
            *resting.withdraw(self._memory, resting.all_entries(self._memory)),
        ]

    def _on_market_ended(self, event: MarketEnded) -> list[Effect]:
        if self._memory.desk.market_ended:
            return []
        self._memory.desk.market_ended = True
        return [Notify(Notice(NoticeKind.MARKET_ENDED, event.ts))]

    def _on_market_remarked(self, event: MarketRemarked) -> list[Effect]:
        return [Notify(Notice(NoticeKind.MARKET_REMARK, event.ts, text=event.text))]

    # -- memory --------------------------------------------------------------------------

    def dirty_states(self) -> list[StateRow]:
        """The memory that changed since the last call, as rows to store."""
        return self._memory.dirty_rows()

    def restore(
        self,
        states: Mapping[str, StateRow],
        executed: Iterable[Fill],
        payments: Iterable[Funding] = (),
    ) -> None:
        """Take back the memory that an earlier process stored, and the executions and funding it
        saw."""
        self._memory.restore(states, executed, payments)

    def warm_ups(self) -> list[Effect]:
        """What the strategies that have seen nothing need to warm up, after a restart."""
        slots = [slot for slots in self._memory.slots.values() for slot in slots]
        return staff.recall(self._memory, slots)

    @property
    def key(self) -> str:
        """The key of the row in which the desk of these books is stored."""
        return desk_key(self._memory.books)

    def set_sides(self, sides: Sides, until: int = 0) -> None:
        """Which sides may be entered, until a market time (UTC ms; 0: for good)."""
        self._memory.desk.sides, self._memory.desk.sides_until = sides, until

    def recall(self, proposals: Iterable[Proposal]) -> None:
        """Take back how the last proposals ended, for telling whoever decides late."""
        self._memory.recall(proposals)

    def unfinished(self) -> list[Effect]:
        """What an earlier process stored and may not have carried out, oldest first: orders not
        known to be received, histories not read to their end, and changes of parameters that
        failed and were not taken back."""
        memory = self._memory
        resumed = [Resume(order) for order in memory.unfinished()]
        return [*resumed, *reconcile.unread(memory), *watching.unfinished(memory)]

    def books(self) -> list[Books]:
        """What an exchange has to know of each account when a process begins."""
        return [
            Books(
                account=account,
                uid=state.uid,
                synced_until=state.synced_until,
                orders=dict(state.orders),
                positions={p.symbol: p.quantity for p in self._memory.held(account)},
                entries=dict(state.entries),
            )
            for account, state in self._memory.accounts.items()
        ]

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

    @property
    def wakes_at(self) -> int | None:
        """When the core wants to be told that time has passed (UTC ms); None for never."""
        return deciding.wakes_at(self._memory)

    def view(self) -> CoreView:
        return core_view(self._memory)

    def preview(self, instruction: Instruction, asker: Asker, ts: int) -> Proposal:
        """What an instruction would do and cost, with nothing remembered. Raises Refused."""
        return approvals.preview(self._memory, instruction, asker, ts)

    def check_may(self, asker: Asker, bot_id: str, ts: int) -> None:
        """Raise Refused where somebody may have nothing done for a bot now."""
        approvals.check_may(self._memory, asker, bot_id, ts)

    def ended(self, proposal_id: int) -> Proposal | None:
        """A proposal that ended lately."""
        return self._memory.ended.get(proposal_id)

    def enrollment(self, principal_id: str, ts: int) -> str | None:
        """The otpauth URI of somebody's enrollment while it waits for its first code."""
        return access.enrollment(self._memory, principal_id, ts)

    def risk(self) -> BoardView:
        """How every bot stands by its limits, and the desk by its hard caps."""
        return board(self._memory)

    def tuning(self) -> TuningView:
        """Every parameter with its bounds for now, and what came of the changes."""
        return tuning_view(self._memory)

    def tier(self, instruction: Instruction) -> Tier:
        """What it takes to carry out an instruction now. Raises Refused where it can't be told."""
        return tier_for(self._memory, instruction)

    def why(self, symbol: str) -> list[WhyView]:
        """What each bot on `symbol` thinks of it, and what the gates would say now."""
        ts = self._memory.desk.market_time
        return [
            why_view(
                slot,
                slot.last_bar,
                ts,
                risk.verdicts(trading.entry_request(self._memory, slot, slot.last_bar, ts)),
            )
            for slot in self._memory.slots.get(symbol, ())
            if slot.last_bar is not None
        ]


def _said(result: Result) -> str:
    """An outcome in words, for the audit."""
    match result:
        case Done(text, audited):
            return audited or text
        case NotDone(reason):
            return f"refused: {reason}"
        case Proposed(proposal):
            return f"proposal {proposal.proposal_id}: {proposal.title}"
