"""One simulation: a market, an exchange and a database that outlive the desks that die on them.

First a storm, in which the faults of the plan strike; then calm, in which no entry is wished for;
then the books are held against the exchange's own.
"""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from engine.bot import Bot
from engine.candle import MINUTE_MS, Candle
from engine.core import Core
from engine.errors import Broken
from engine.event import CandleClosed
from engine.exchange.bybit import BybitExchange
from engine.exchange.venue import Venue
from engine.instrument import MAJORS
from engine.order import Order, Side
from engine.ports import Commit
from engine.runtime import Runtime
from engine.store.memory import MemoryStore
from tests.askers import POLICY
from tests.engine.conftest import BUY_NOW, LEAVE_NOW, NO_EXITS, SELL_NOW, puppet
from tests.sim import chats
from tests.sim.chat import MailDoor, SimChat
from tests.sim.chat_promises import ChatPromises
from tests.sim.loop import EPOCH, SimClock, SimLoop, simulate
from tests.sim.operators import Operators
from tests.sim.process import Died, ExchangeDoor, Life, SimMarket, StoreDoor, StreamDoor
from tests.sim.promises import AUDIT_KEY, Promises, Violation
from tests.sim.venue import SimBybit
from tests.sim.weather import CALM_S, STORM_S, Fault, Kind, Plan, Weather

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START = {"BTCUSDT": 100_000.0, "ETHUSDT": 3_500.0}
ACCOUNT = "demo-bybit-puppet"
BAR_S = MINUTE_MS / 1000
# How soon a desk that ended begins again.
RESTART_S = 2.0
EXITS = NO_EXITS._replace(stop_loss=0.02, take_profit=0.04)
# How far a price goes in a minute at most, as a fraction.
MOVE = 0.012
WISHES = (BUY_NOW, SELL_NOW, LEAVE_NOW, 0.0, 0.0)
SKEW_MS = 1_500
# How soon somebody takes a stop away again.
STOP_TAKEN_S = 20.0


@dataclass
class Outcome:
    """What came of one simulation."""

    plan: Plan
    violations: list[Violation] = field(default_factory=list)
    checks: dict[str, int] = field(default_factory=dict)
    struck: dict[Kind, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    commits: dict[str, int] = field(default_factory=dict)
    crashed: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    desks: int = 0
    seconds: float = 0.0


def run(plan: Plan) -> Outcome:
    """Simulate a plan from its beginning to its end."""
    return simulate(lambda loop: World(loop, plan).live())


class World:
    """What outlives the desks, and what is known of them."""

    def __init__(self, loop: SimLoop, plan: Plan) -> None:
        self._loop = loop
        self.weather = Weather(plan, loop)
        self.clock = SimClock(loop)
        self.store = MemoryStore()
        self.bybit = SimBybit(loop, self.weather)
        self.bybit.on_placed = self._placed
        self.bybit.off_ms = lambda: -self.clock.skew_ms
        self.outcome = Outcome(plan)
        self.promises = Promises(loop, self.store, self.bybit)
        self.chat = SimChat(loop, self.weather)
        self.chat_promises = ChatPromises(self.chat, self.promises.hold)
        self.operators = Operators(self.chat)
        self._epoch = 0
        self._past: list[CandleClosed] = []
        self._desks: list[tuple[Life, SimMarket]] = []
        self._processes: dict[int, tuple[Life, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._next_ends: tuple[int, bool] | None = None
        self._over = False
        self._price = dict(START)

    async def live(self) -> Outcome:
        self._skew()
        for symbol, price in START.items():
            self.bybit.prices[symbol] = Decimal(str(price))
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            market = tasks.create_task(self._trade())
            faults = tasks.create_task(self._strike())
            desks = tasks.create_task(self._supervise())
            people = tasks.create_task(self.operators.live())
            await asyncio.sleep(STORM_S + CALM_S)
            await self.promises.in_calm(self._desks[-1][0])
            await self.chat_promises.in_calm(self.store)
            self._over = True
            for life, _ in self._desks:
                life.end()
            for task in (market, faults, desks, people):
                task.cancel()
        return self._concluded()

    def _concluded(self) -> Outcome:
        found = self.outcome
        for failure in self._loop.failures:
            self.promises.broken("no error is left alone", str(failure.get("exception")))
        found.violations, found.checks = self.promises.violations, dict(self.promises.checks)
        found.struck = dict(self.weather.struck)
        found.commits, found.crashed = dict(self.weather.commits), dict(self.weather.crashed)
        found.trace += [str(each) for each in found.violations]
        found.orders, found.fills = len(self.bybit.orders), len(self.bybit.rows)
        found.seconds = self._loop.time()
        return found

    def tell(self, words: str) -> None:
        """Note what happened, for whoever compares two runs or looks for a cause."""
        self.outcome.trace.append(f"{self._loop.time():10.3f} {words}")

    # -- desks ---------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while not self._over:
            await self._one_desk()
            await asyncio.sleep(RESTART_S)

    async def _one_desk(self) -> None:
        """One process from its start to its end, whatever that is."""
        self.outcome.desks += 1
        life, number = Life(), self.outcome.desks
        if self._next_ends is not None:
            left, after = self._next_ends
            life.end_at_commit(left, after=after)
            self._next_ends = None
        self.tell(f"desk {number} begins")
        task = self._loop.create_task(self._serve(life, number))
        self._processes[number] = life, task
        try:
            await asyncio.wait([task])
        finally:
            life.end()
            task.cancel()
            del self._processes[number]
        self._ended(number, task)

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not _is_death(error):
            self.promises.broken("a desk ends only for what it can say", repr(error))
        self.tell(f"desk {number} ended: {error!r}")

    async def _serve(self, life: Life, number: int) -> None:
        market = SimMarket(SYMBOLS, MINUTE_MS, self.clock, self._past)
        self._desks.append((life, market))
        store = StoreDoor(self.store, life, self.weather, self.clock, self._committed)
        door = ExchangeDoor(self.bybit, life, self._loop)
        connect = partial(StreamDoor, self.bybit, life)
        venue = Venue("main", door, connect, {ACCOUNT: SYMBOLS}, self.clock)
        bot = Bot("puppet", puppet(EXITS, timeframe=MINUTE_MS), SYMBOLS, ACCOUNT, Decimal(10_000))
        rules = {symbol: MAJORS[symbol] for symbol in SYMBOLS}
        policy = replace(POLICY, surveys=True)
        core = Core([bot], rules, MINUTE_MS, "demo", "bybit", policy)
        runtime = Runtime(core, store, BybitExchange([venue]), market, self.clock, AUDIT_KEY, "1.0")
        epoch = await store.take_epoch(f"desk {number}")
        self._epoch = epoch
        mail = self.store.mail
        store.mail = MailDoor(mail, self.chat, life, self.clock, lambda: self._epoch != epoch)
        await runtime.start(epoch)
        await chats.serve(self.chat, runtime, store, market, self.clock, life)

    def _committed(self, batch: Commit) -> None:
        self.tell(f"commit {batch.epoch} {batch.number}: {len(batch.facts)} facts")
        self.promises.on_commit(batch)
        self.chat_promises.on_commit(batch)

    def _placed(self, order: Order) -> None:
        self.tell(f"placed {order.order_link_id} {order.side} {order.quantity}")
        self.promises.on_placed(order)

    # -- the market ----------------------------------------------------------------------

    async def _trade(self) -> None:
        """A bar each minute: its prices at the exchange, then its close for the desks."""
        for number in range(int((STORM_S + CALM_S) / BAR_S)):
            candles = {symbol: self._bar(symbol, number) for symbol in SYMBOLS}
            for symbol, candle in candles.items():
                self.bybit.move(symbol, Decimal(str(round(candle.close, 1))))
            await asyncio.sleep(BAR_S)
            self._past += [
                CandleClosed(symbol, candle, candle.ts + MINUTE_MS)
                for symbol, candle in candles.items()
            ]
            for life, market in self._desks:
                if life.goes_on:
                    market.offer(candles)

    def _bar(self, symbol: str, number: int) -> Candle:
        share = self.weather.share(f"bar {symbol} {number}")
        before = self._price[symbol]
        after = before * (1.0 + (2.0 * share - 1.0) * MOVE)
        self._price[symbol] = after
        calm = number * BAR_S > STORM_S
        wish = 0.0 if calm else WISHES[int(self.weather.share(f"wish {symbol} {number}") * 5)]
        ts = EPOCH + number * MINUTE_MS
        return Candle(ts, before, max(before, after), min(before, after), after, wish)

    def _skew(self) -> None:
        """Have the wall clock of the desks' machine wrong for as long as the plan says."""
        for fault in self.weather.plan.faults:
            if fault.kind is Kind.SKEW:
                self._loop.call_later(
                    fault.at, self._set_skew, SKEW_MS if fault.number % 2 else -SKEW_MS
                )
                self._loop.call_later(fault.at + fault.lasts, self._set_skew, 0)

    def _set_skew(self, ms: int) -> None:
        if ms:
            self.weather.note(Kind.SKEW)
        self.clock.skew_ms = ms

    # -- what happens once -----------------------------------------------------------------

    async def _strike(self) -> None:
        for fault in self.weather.plan.once():
            await asyncio.sleep(max(0.0, fault.at - self._loop.time()))
            self.tell(f"{fault.kind}")
            self._happen(fault)
        await asyncio.sleep(STORM_S + CALM_S)

    def _happen(self, fault: Fault) -> None:
        symbol = SYMBOLS[fault.number % 2]
        match fault.kind:
            case Kind.CRASH:
                self.weather.note(fault.kind)
                self._kill()
            case Kind.SECOND_DESK:
                assert self._tasks is not None
                self.weather.note(fault.kind)
                self._tasks.create_task(self._one_desk())
            case Kind.CRASH_AT_COMMIT:
                self._end_at_commit(fault.number)
            case Kind.STREAM_CUT:
                self.bybit.cut()
            case Kind.STRANGER:
                self.operators.intrude(fault)
            case Kind.FUNDING:
                self.bybit.pay_funding(symbol)
            case Kind.DELEVERAGED:
                self.bybit.deleverage(symbol)
            case Kind.STOP_TAKEN:
                for again in range(1 + fault.number % 3):
                    self._loop.call_later(again * STOP_TAKEN_S, self.bybit.take_stop, symbol)
            case Kind.BY_HAND:
                self.weather.note(fault.kind)
                side = Side.BUY if fault.number % 3 else Side.SELL
                self.bybit.execute(symbol, side, MAJORS[symbol].quantity_step * 10)

    def _kill(self) -> None:
        for life, task in self._processes.values():
            life.end()
            task.cancel()

    def _end_at_commit(self, number: int) -> None:
        """Have a desk die at one of its next commits; sometimes the next desk, at its first."""
        left, after = number % 7, number % 8 < 4
        if number % 4 == 3:
            self._kill()
            self._next_ends = left % 3, after
        for life, _ in self._processes.values():
            life.end_at_commit(left, after=after)


def _is_death(error: BaseException | None) -> bool:
    """Whether a process may end so: it was killed, or says that it can't go on."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_death, error.exceptions))
    return isinstance(error, Died | Broken | asyncio.CancelledError)
