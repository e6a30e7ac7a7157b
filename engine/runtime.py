"""The loop around the core: takes events in, commits what they caused, then carries it out.

One task owns the core. People and exchange answers go before candles. A turn is one input
with every answer that follows from it at once; its facts, state and notices are stored in one
transaction, and only then is anything sent. Candles without consequences share a transaction.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from pydantic import TypeAdapter

from engine import proof
from engine.audit import Act, Chain, broken_end, is_sealed_with
from engine.board import BoardView
from engine.candle import settled_before
from engine.core import Core
from engine.effect import (
    Answer,
    Audit,
    CloseAccount,
    Effect,
    Instruct,
    LiftLatch,
    Notify,
    OpenAccount,
    Outgoing,
    RecallCandles,
    Record,
    Result,
    Resume,
    Sample,
    Submit,
    ToExchange,
)
from engine.errors import BadInput, BadSettings, Broken, Refused, Unreachable
from engine.event import (
    CandleClosed,
    CandlesRecalled,
    CommandRun,
    DeskHalted,
    DeskStarted,
    DeskStopped,
    Instructed,
    Journaled,
    KillTold,
    MarketEnded,
    MarketEvent,
    MarketRemarked,
    OrderRejected,
    PeopleNamed,
    PriceTicked,
    TimePassed,
)
from engine.instruction import Instruction
from engine.ledger import Funding
from engine.mail import Sealed
from engine.memory import ENDED_PROPOSALS, SEEN_EXECUTIONS
from engine.order import Fill, Order
from engine.pace import until
from engine.people import DESK, Asker, Identity, Person
from engine.ports import Clock, Commit, Exchange, JournalRow, Market, StateRow, Store
from engine.position import Position
from engine.proposal import Proposal
from engine.tunable import Tier
from engine.tuning_view import TuningView
from engine.view import CoreView, WhyView

# Candles without consequences that share one transaction. After a crash they are taken
# again, in a few milliseconds.
GROUP_CANDLES = 512
# Candles of before that a bot is told at once, of those that a live market has to look up.
RECALLED_PER_TURN = 1_000
# Waits between tries while a live market can't be asked for them.
RECALL_RETRY_S = 5.0
RECALL_RETRY_MAX_S = 60.0
# What an exchange told that shares one transaction.
REPORTS_PER_TURN = 256
# Candles stepped before other tasks get a turn: about 2 ms of work.
CANDLES_PER_TURN = 64
# People waiting for an answer. A desk that is this far behind says so instead of queueing.
PEOPLE_WAITING_MAX = 256
# A database that does not answer is tried again for about a minute, then the process ends:
# a new one starts from what is stored.
COMMIT_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)

# A desk that was told to end does not wait longer for its database: it is killed otherwise.
STOPPING_PATIENCE_S = 1.0
# The request of an instruction that the desk gives itself.
NOBODY_WAITS = 0
# Commands not yet in the audit; a commit takes all of them.
NOTES_MAX = 2_000
BUSY = "The desk is busy. Nothing was changed; try again in a moment."
STOPPING = "The desk is stopping. Ask again when it is back."
OTHER_KEY = (
    "SECRET_KEY is not the key that sealed this audit. Put the old one back: where it was not set, "
    "it is in secret.key in DATA_DIR. A desk with another key needs another database. If it is the "
    "right one, the end of the audit was changed: `countersign audit verify` names the row."
)

# What is stored with an instruction's outcome; nothing, where that says that it did not happen.
Seal = Callable[[Result], Sealed | None]

log = structlog.get_logger()


class Runtime:
    """Runs one core against one market, one exchange and one store."""

    def __init__(
        self,
        core: Core,
        store: Store,
        exchange: Exchange,
        market: Market,
        clock: Clock,
        audit_key: bytes,
        version: str,
        killed: Callable[[], str] = lambda: "",
        lift_latch: Callable[[], str] = lambda: "",
    ) -> None:
        """`killed` is asked before each order that opens a position; its answer is a reason.
        `lift_latch` ends that, once a person may have it so, or says why not."""
        self._core = core
        self._store = store
        self._exchange = exchange
        self._market = market
        self._clock = clock
        self._audit_key = audit_key
        self._version = version
        self._killed = killed
        self._lift_latch = lift_latch
        self._reports: deque[Journaled] = deque()
        self._people: deque[Journaled] = deque()
        self._notes: deque[CommandRun] = deque()
        self._candles: deque[MarketEvent] = deque()
        self._wanted: deque[RecallCandles] = deque()
        self._recalled: deque[CandlesRecalled] = deque()
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()
        self._drained = asyncio.Event()
        self._resumed = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._alarm = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._seals: dict[int, Seal] = {}
        self._requests = 0
        self._stopping = False
        self._epoch = 0
        self._commits = 0
        self._chain = Chain(audit_key, None)
        self._commit = Commit(epoch=0)
        self._acts: list[Act] = []
        self._answers: list[Answer] = []
        self._outgoing: list[Outgoing] = []
        self._grouped = 0
        self._listeners: list[Callable[[Commit], None]] = []
        self._settled: list[asyncio.Future[None]] = []

    # -- for surfaces --------------------------------------------------------------------

    def listen(self, listener: Callable[[Commit], None]) -> None:
        """Call `listener` after each commit, with what was stored."""
        self._listeners.append(listener)

    def view(self) -> CoreView:
        return self._core.view()

    def strays(self) -> list[Position]:
        """Positions in symbols that no bot of their account trades any more."""
        return self._core.strays()

    def why(self, symbol: str) -> list[WhyView]:
        return self._core.why(symbol)

    def risk(self) -> BoardView:
        return self._core.risk()

    def tuning(self) -> TuningView:
        return self._core.tuning()

    def tier(self, instruction: Instruction) -> Tier:
        return self._core.tier(instruction)

    @property
    def epoch(self) -> int:
        """Which process of this database's desk this is, counted up at each start."""
        return self._epoch

    @property
    def waiting(self) -> int:
        """Events in the inbox: what people said and did, and candles."""
        return self._inbox

    def preview(self, instruction: Instruction, asker: Asker) -> Proposal:
        """What an instruction would do and cost; nothing is changed. Raises Refused."""
        return self._core.preview(instruction, asker, self._clock.now())

    def check_may(self, asker: Asker, bot_id: str) -> None:
        """Raise Refused where somebody may have nothing done for a bot now."""
        self._core.check_may(asker, bot_id, self._clock.now())

    def ended(self, proposal_id: int) -> Proposal | None:
        """A proposal that ended lately."""
        return self._core.ended(proposal_id)

    def enrollment(self, principal_id: str) -> str | None:
        """The otpauth URI of somebody's enrollment while it waits for its first code."""
        return self._core.enrollment(principal_id, self._clock.now())

    async def ask(self, instruction: Instruction, asker: Asker, seal: Seal | None = None) -> Result:
        """Give the core an instruction and wait until its outcome is stored.

        `seal` makes of the outcome what is stored with it: that an update from a chat is dealt
        with, and the answer on its way there. Raises Refused when too many people are waiting
        already, or the desk is stopping.
        """
        if self._stopping:
            raise Refused(STOPPING)
        if len(self._people) >= PEOPLE_WAITING_MAX:
            raise Refused(BUSY)
        self._requests += 1
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[self._requests] = answer
        if seal is not None:
            self._seals[self._requests] = seal
        self._post(Instructed(instruction, asker, self._requests, self._clock.now()))
        return await answer

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def busy(self) -> bool:
        """Whether so many commands wait for the audit that no other should be run."""
        return len(self._notes) >= NOTES_MAX

    def note_command(self, actor: str, command: str, outcome: str) -> None:
        """Have a command written to the audit, with whatever is stored next.

        Commands never stand in the way of candles or of instructions. Ask `busy` before one is
        run: what was done is always noted.
        """
        self._notes.append(CommandRun(actor, command, outcome, self._clock.now()))
        self._wake.set()

    def note_kill(self, told: KillTold) -> None:
        """Have a step of the emergency stop, which was taken already, stored and told."""
        self._post(told)

    async def survey(self) -> None:
        """Have the exchange looked at now; return once what was found is booked and compared.

        Raises Unreachable where it can't be.
        """
        await self._exchange.survey()
        booked = asyncio.get_running_loop().create_future()
        self._settled.append(booked)
        self._wake.set()
        await booked

    async def until_caught_up(self) -> None:
        """Return once every candle that has closed by now is taken and stored."""
        await self._caught_up.wait()

    def stop(self) -> None:
        """End `run` after the present turn."""
        self._stopping = True
        self._wake.set()

    # -- life ----------------------------------------------------------------------------

    async def start(
        self, epoch: int, remarks: Sequence[str] = (), halts: Sequence[str] = ()
    ) -> None:
        """Load what was stored, check it, finish what was begun, and say that we are here.

        `remarks` are told on the first run of these books; each of `halts` is a reason to open
        no position. Raises BadSettings where another key sealed the audit: what this one would
        add could never be verified.
        """
        self._epoch = epoch
        self._commit = Commit(epoch=epoch)
        last_row, last_head = await self._store.last_audit(), await self._store.last_head()
        if last_row is not None and not is_sealed_with(last_row, last_head, self._audit_key):
            raise BadSettings(OTHER_KEY)
        self._chain = Chain(self._audit_key, last_row)
        states = await self._store.states()
        fills = await self._store.recent(Fill)
        payments = await self._store.recent(Funding)
        self._core.restore(states, fills[-SEEN_EXECUTIONS:], payments[-SEEN_EXECUTIONS:])
        self._core.recall(await self._store.recent(Proposal, limit=ENDED_PROPOSALS))
        self._exchange.restore(states)
        self._exchange.take_over(self._core.books())
        first_run = self._core.key not in states
        self._market.resume(self._core.cursors)
        now = self._clock.now()
        await self._take(DeskStarted(self._version, epoch, now))
        if first_run:
            for remark in [*remarks, *_other_books(states)]:
                await self._take(MarketRemarked(now, remark))
        broken = broken_end(last_row, last_head, self._audit_key)
        if last_row is None and any(key.startswith("desk:") for key in states):
            broken = "the audit is empty, but this desk has run before"
        for reason in [*halts, *self._differences(fills, payments), *filter(None, [broken])]:
            await self._take(DeskHalted(reason, now))
        self._sort(self._core.unfinished())
        self._sort(self._core.warm_ups())
        await self._settle()

    async def know(self, people: Sequence[Person], identities: Sequence[Identity]) -> None:
        """Bring who may use the desk to what the settings say; before `run`."""
        await self._take(PeopleNamed(people, identities, self._clock.now()))

    def set_speed(self, speed: float) -> None:
        """Change the market's speed from the next candle on."""
        self._candles.clear()
        self._market.resume(self._core.cursors)
        self._market.speed = speed
        self._resumed.set()

    async def run(self) -> None:
        """Take events until told to stop; raises what makes going on impossible."""
        feed = asyncio.create_task(self._feed(), name="market feed")
        feed.add_done_callback(lambda _: self._wake.set())
        alarm = asyncio.create_task(self._ring(), name="alarm")
        alarm.add_done_callback(lambda _: self._wake.set())
        archive = asyncio.create_task(self._look_up(), name="candles of before")
        archive.add_done_callback(lambda _: self._wake.set())
        exchange = asyncio.create_task(self._exchange.run(self._hear), name="exchange")
        exchange.add_done_callback(lambda _: self._wake.set())
        tasks = (feed, alarm, archive, exchange)
        try:
            while not self._stopping:
                await self._next_turns()
                for task in tasks:
                    if task.done():
                        task.result()
            await self._take(DeskStopped(self._clock.now()))
        finally:
            self._stopping = True
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Refused(STOPPING))

    async def _feed(self) -> None:
        """Fetch the next candles once the last ones were worked on."""
        while True:
            batch = await self._market.next(GROUP_CANDLES)
            if batch:
                self._candles.extend(batch)
                self._wake.set()
                self._drained.clear()
                await self._drained.wait()
            else:
                self._post(MarketEnded(self._clock.now()))
                self._resumed.clear()
                await self._resumed.wait()

    async def _ring(self) -> None:
        """Tell the core when the time it waits for has come, once each time."""
        told = None
        while True:
            self._alarm.clear()
            wakes_at = self._core.wakes_at
            if wakes_at is None or wakes_at == told:
                await self._alarm.wait()
            elif (left := wakes_at - self._clock.now()) > 0:
                await until(self._alarm, self._clock, left / 1000)
            else:
                told = wakes_at
                self._post(TimePassed(self._clock.now()))

    async def _look_up(self) -> None:
        """Ask a live market for candles of before, one bot after the other."""
        while True:
            while not self._wanted:
                self._asked.clear()
                await self._asked.wait()
            for part in in_parts(await self._patiently(self._wanted[0]), RECALLED_PER_TURN):
                self._recalled.append(part)
            self._wanted.popleft()
            self._wake.set()

    async def _patiently(self, wanted: RecallCandles) -> CandlesRecalled:
        delay = RECALL_RETRY_S
        while True:
            try:
                return await self._recall(wanted)
            except Unreachable as error:
                log.warning("no candles to warm up on yet", error=str(error), bot=wanted.bot_id)
                await self._clock.sleep(delay)
                delay = min(2 * delay, RECALL_RETRY_MAX_S)

    async def _recall(self, wanted: RecallCandles) -> CandlesRecalled:
        market, symbol, interval = self._market, wanted.symbol, self._market.interval
        try:
            found = await market.history(symbol, interval, wanted.until, wanted.count)
        except BadInput as error:
            # The bot then warms up on what is yet to come.
            log.warning("no candles to warm up on", error=str(error), bot=wanted.bot_id)
            found = []
        closes = [candle.ts + interval for candle in found]
        rates = {ts: float(market.funding_rate(symbol, ts)) for ts in map(settled_before, closes)}
        candles = [
            CandleClosed(symbol, candle, ts, late=True, funding=rates[settled_before(ts)])
            for candle, ts in zip(found, closes, strict=True)
        ]
        return CandlesRecalled(wanted.bot_id, symbol, candles, True, wanted.recall)

    @property
    def _inbox(self) -> int:
        """Events that wait to be taken."""
        said = len(self._people) + len(self._notes) + len(self._reports)
        return said + len(self._candles) + len(self._recalled)

    def _hear(self, report: Journaled) -> None:
        """Take what the exchange tells, ahead of people and market; nothing of it is dropped."""
        self._reports.append(report)
        self._wake.set()

    def _post(self, event: Journaled) -> None:
        self._people.append(event)
        self._wake.set()

    # -- turns ---------------------------------------------------------------------------

    async def _next_turns(self) -> None:
        while self._reports or self._people:
            await self._take_reports()
            if self._people:
                await self._take(self._people.popleft())
        if self._recalled:
            self._sort(self._core.step(self._recalled.popleft()))
        if self._candles:
            await self._take_candles()
        if not self._candles:
            await self._rest()

    async def _take_reports(self) -> None:
        """Book what the exchange told, as much as there is in one transaction."""
        if not self._reports:
            return
        for _ in range(min(len(self._reports), REPORTS_PER_TURN)):
            report = self._reports.popleft()
            self._collect(report, self._core.step(report))
        await self._settle()
        self._alarm.set()

    async def _rest(self) -> None:
        """Store what is open, tell the feed, and wait for something to do."""
        await self._settle()
        if not self._reports:
            self._tell_settled()
        # While the turn was stored the feed may have brought the last candles.
        if self._market.caught_up and not self._candles:
            self._caught_up.set()
        else:
            self._caught_up.clear()
        self._drained.set()
        if not (self._inbox or self._stopping):
            await self._wake.wait()
        self._wake.clear()

    async def _take_candles(self) -> None:
        """Step through waiting candles until one has consequences or somebody calls."""
        candles, core, exchange = self._candles, self._core, self._exchange
        for _ in range(CANDLES_PER_TURN):
            if not candles:
                return
            event = candles.popleft()
            closes = False
            if type(event) is CandleClosed:
                self._grouped += 1
                answers = exchange.on_candle(event)
            else:
                assert type(event) is PriceTicked
                answers = exchange.on_tick(event)
            for answer in answers:
                closes = self._collect(answer, core.step(answer)) or closes
            if effects := core.step(event):
                closes = self._sort(effects) or closes
            if closes or self._grouped >= GROUP_CANDLES:
                await self._settle()
            if self._people or self._reports:
                return
        await self._clock.sleep(0)

    def _tell_settled(self) -> None:
        """Let go whoever waited until all that the exchange told was stored."""
        waiting, self._settled = self._settled, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _take(self, event: Journaled) -> None:
        self._collect(event, self._core.step(event))
        await self._settle()
        self._alarm.set()

    def _collect(self, event: Journaled, effects: list[Effect]) -> bool:
        self._commit.journal.append(_journal_row(event))
        return self._sort(effects)

    def _sort(self, effects: Iterable[Effect]) -> bool:
        """Put effects where the commit finds them; whether any of them calls for one now."""
        commit = self._commit
        closes = False
        for effect in effects:
            match effect:
                case Sample(fact):
                    commit.facts.append(fact)
                    continue
                case Record(fact):
                    commit.facts.append(fact)
                case Notify(notice):
                    commit.notices.append(notice)
                case Audit(act):
                    self._acts.append(act)
                case Answer():
                    self._answers.append(effect)
                    self._seal(effect)
                case _:
                    self._outgoing.append(effect)
            closes = True
        return closes

    def _seal(self, answer: Answer) -> None:
        """Store the answer's own letter in the same commit as what it answers."""
        seal = self._seals.pop(answer.request_id, None)
        if seal is None:
            return
        sealed = seal(answer.result)
        if sealed is None:
            return
        self._commit.deliveries.append(sealed.delivery)
        self._commit.answered_at = self._clock.now()
        if sealed.key:
            self._commit.answered.append(sealed.key)

    async def _settle(self) -> None:
        """Commit, then carry out. What the exchange answers is stored with what comes next.

        Until then the order stands stored as pending, which is what a restart finishes.
        """
        await self._store_turn()
        while self._outgoing:
            stored, self._outgoing = self._outgoing, []
            for instruction in stored:
                for answer in await self._carry_out(instruction):
                    self._collect(answer, self._core.step(answer))
            if self._outgoing:
                await self._store_turn()

    async def _carry_out(self, effect: Outgoing) -> Sequence[Journaled]:
        match effect:
            case OpenAccount(account, deposit, symbols):
                self._exchange.open_account(account, deposit, symbols)
            case CloseAccount(account):
                self._exchange.close_account(account)
            case RecallCandles():
                await self._warm_up(effect)
            case Instruct(instruction):
                self._post(Instructed(instruction, DESK, NOBODY_WAITS, self._clock.now()))
            case LiftLatch():
                if reason := self._lift_latch():
                    return (DeskHalted(reason, self._clock.now()),)
            case _:
                return await self._send(effect)
        return ()

    async def _warm_up(self, wanted: RecallCandles) -> None:
        """Candles that are at hand are taken at once, so that every run takes them alike; for
        those of a live market nobody waits."""
        if self._market.health() is None:
            self._sort(self._core.step(await self._recall(wanted)))
        else:
            self._wanted.append(wanted)
            self._asked.set()

    async def _send(self, instruction: ToExchange) -> Sequence[Journaled]:
        """Send an instruction, unless it opens a position and somebody has pulled the plug."""
        order = self._sent_by(instruction)
        if order is None or order.reduce_only or not (reason := self._killed()):
            return await self._exchange.carry_out(instruction)
        now = self._clock.now()
        return (
            OrderRejected(order.account, order.order_link_id, reason, now),
            DeskHalted(reason, now),
        )

    def _sent_by(self, instruction: ToExchange) -> Order | None:
        """The order that an instruction sends: resuming one at a real exchange only asks for it."""
        if isinstance(instruction, Resume):
            return instruction.order if self._exchange.quantities() is not None else None
        return instruction.order if isinstance(instruction, Submit) else None

    async def _store_turn(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            self._collect(note, self._core.step(note))
        batch = self._commit
        if not (self._grouped or batch.facts or batch.journal or batch.notices or self._acts):
            return
        self._commits += 1
        batch.number = self._commits
        batch.states = [*self._core.dirty_states(), *self._exchange.dirty_states()]
        rows = self._chain.seal(self._acts)
        if rows:
            batch.audit, batch.audit_head = rows, self._chain.head(rows)
        await self._persist(batch)
        self._chain.advance(rows)
        answers, self._answers = self._answers, []
        self._commit, self._acts, self._grouped = Commit(epoch=self._epoch), [], 0
        for answer in answers:
            self._resolve(answer)
        for listener in self._listeners:
            listener(batch)

    async def _persist(self, batch: Commit) -> None:
        for delay in COMMIT_DELAYS:
            try:
                return await self._store.commit(batch)
            except Unreachable as error:
                log.warning("commit failed, trying again", error=str(error), delay_s=delay)
                if self._stopping and delay > STOPPING_PATIENCE_S:
                    break
                await self._clock.sleep(delay)
        try:
            await self._store.commit(batch)
        except Unreachable as error:
            raise Broken(f"the database can't be written: {error}") from error

    def _resolve(self, answer: Answer) -> None:
        waiting = self._waiting.pop(answer.request_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.result)

    # -- checks --------------------------------------------------------------------------

    def _differences(self, fills: Sequence[Fill], payments: Sequence[Funding]) -> list[str]:
        """Where the restored positions and money are not what the stored fills add up to."""
        there = self._exchange.quantities()
        found = (
            proof.difference(
                account,
                state,
                (fill for fill in fills if fill.account == account),
                (payment for payment in payments if payment.account == account),
                None if there is None else there.get(account, {}),
            )
            for account, state in self._core.accounts().items()
        )
        return [each for each in found if each]


def _other_books(states: Mapping[str, StateRow]) -> list[str]:
    """That older books exist beside the ones now opened, which a person may miss otherwise."""
    others = sorted(key.removeprefix("desk:") for key in states if key.startswith("desk:"))
    if not others:
        return []
    return [f"New books are opened for this market; those of {', '.join(others)} stay as they are."]


def in_parts(recalled: CandlesRecalled, size: int) -> list[CandlesRecalled]:
    """The same candles, so many at a time; at least one part, the last of which is complete."""
    candles = recalled.candles
    starts = range(0, len(candles), size) or range(1)
    return [
        replace(recalled, candles=candles[start : start + size], complete=start == starts[-1])
        for start in starts
    ]


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _journal_row(event: Journaled) -> JournalRow:
    kind = type(event)
    adapter = _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, TypeAdapter(kind))
    return JournalRow(event.ts, kind.__name__, adapter.dump_json(event).decode())
