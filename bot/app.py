"""The composition root: builds a desk out of its parts, starts and stops them in one place."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random

import structlog

from bot import console
from bot.advisor import Consultations
from bot.advisor_clock import AdvisorClock
from bot.anchors import Anchors
from bot.backtests import LIMIT_S, Backtests, Grounds
from bot.chats import Chats, open_chats
from bot.clock import SystemClock
from bot.door import Door, socket_path
from bot.emergency import bybit_emergency
from bot.feed_watch import watch_feed
from bot.first_run import HISTORY_MS, History
from bot.following import ConsoleLines
from bot.kill import KillSwitch
from bot.latch import LatchFile
from bot.lineup import (
    LIVE_INTERVAL,
    books,
    fit_bots,
    left_behind,
    planned,
    symbols_of,
    tuned_above,
    tuned_plans,
    warmup_bars,
    without_effect,
)
from bot.modes import LIVE, PAPER
from bot.outbox import Outbox
from bot.people import People, open_people, perhaps_one, too_few_admins
from bot.redact import HIDDEN, Redactor
from bot.render import Drawn, Picture, draw_charts, draw_picture
from bot.settings import (
    DEMO_SEED,
    Settings,
    effective,
    open_model,
    prepare_folder,
    secret_key,
)
from bot.tour import greeting
from bot.trying import trying
from bot.tuner_clock import TunerClock, duties
from bot.tuner_round import TunerRound
from bot.tuner_subject import Subject
from bot.tunings import LIMIT_S as STUDY_LIMIT_S
from bot.tunings import Tunings
from bot.venues import Opened, Venues
from bot.version import VERSION
from bot.workers import Workers
from engine.bot import Bot
from engine.bybit.address import Address as BybitAddress
from engine.candle import DAY_MS, MINUTE_MS
from engine.core import Core
from engine.desk import Desk
from engine.effect import Notice, NoticeKind
from engine.errors import LostLock
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_emergency import PaperEmergency
from engine.exchange.paper_state import PaperSettings
from engine.keys import derive
from engine.killing import LATE_S
from engine.mail import Address
from engine.market.bybit import BybitMarket, open_bybit
from engine.market.holdings import holdings
from engine.market.replay import open_replay
from engine.market.simulated import SimulatedMarket
from engine.memory import Policy, added_bots, kept_uids, tuned_values
from engine.order import Order
from engine.pace import Paces
from engine.ports import Clock, Commit, Emergency, Exchange, Market, StateRow, Store
from engine.runtime import Runtime
from engine.store.cache import Mirror
from engine.store.lock import DeskLock, Lock, PostgresLock
from engine.store.sql import open_store
from handlers.dispatch import RATES
from handlers.notices import notice_reply
from handlers.reply import Reply, Text
from llm.counsel import Counsel

# How long a desk may not know that its lock is gone. Its commits are fenced all the same.
LOCK_CHECK_S = 1.0
LOCK_NAME = "countersign desk"
# How long a desk that ends goes on with an emergency stop, and one that can't go on without its
# database; the next one takes it up before anything else, for so long.
KILL_PATIENCE_S, KILL_PATIENCE_BROKEN_S, KILL_LEFT_S = 5.0, 60.0, 30.0
# A live price that is older is none to open a position at by hand.
LIVE_PRICE_AGE_MS = 2 * MINUTE_MS
# How much simulated history lies before the moment a demo is first started.
SIMULATED_PAST_MS = 30 * DAY_MS

log = structlog.get_logger()


@dataclass(frozen=True)
class App:
    """A built desk: started, holding its lock, not yet trading."""

    desk: Desk
    door: Door
    outbox: Outbox
    chats: Chats
    anchors: Anchors
    workers: Workers
    backtests: Backtests
    tunings: Tunings
    tuner: TunerClock
    advisor: Consultations
    asking: AdvisorClock
    history: History | None
    locks: tuple[Lock, ...]
    switch: KillSwitch
    emergency: Emergency
    mirror: Mirror

    async def run(self) -> None:
        """Trade and answer until `stop`; raises what makes going on impossible."""
        runtime = self.desk.runtime
        surfaces = [
            asyncio.create_task(self.door.serve(), name="door"),
            asyncio.create_task(self._deliver(), name="outbox"),
            asyncio.create_task(self.chats.run(), name="chats"),
            asyncio.create_task(self.anchors.run(), name="anchors"),
            asyncio.create_task(self._watch_locks(), name="locks"),
            asyncio.create_task(self.backtests.run(), name="backtests"),
            asyncio.create_task(self.tunings.run(), name="studies"),
            asyncio.create_task(self._tune(), name="tuner"),
            asyncio.create_task(self.advisor.run(self.desk), name="advisor"),
            asyncio.create_task(self._ask(), name="asking"),
            asyncio.create_task(self.mirror.run(), name="mirror"),
        ]
        if isinstance(self.desk.market, BybitMarket):
            surfaces.append(asyncio.create_task(self.desk.market.run(), name="market"))
            surfaces.append(asyncio.create_task(watch_feed(self.desk), name="feed watch"))
        trading = asyncio.create_task(runtime.run(), name="runtime")
        stopping = self.switch.run(self.emergency, runtime)
        surfaces.append(asyncio.create_task(stopping, name="emergency stop"))
        try:
            await asyncio.wait([trading, *surfaces], return_when=asyncio.FIRST_COMPLETED)
            runtime.stop()
            await trading
            if self.history and not self.outbox.skipped:
                await self.outbox.skip()
            await self.outbox.deliver()
            await self.chats.farewell()
        finally:
            await self._finish_kill(trading)
            for task in (trading, *surfaces):
                task.cancel()
            results = await asyncio.gather(trading, *surfaces, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _finish_kill(self, trading: asyncio.Task[None]) -> None:
        """An emergency stop that is under way goes on for a while: it needs no database."""
        broken = trading.done() and not trading.cancelled() and trading.exception() is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_PATIENCE_BROKEN_S if broken else KILL_PATIENCE_S):
                await self.switch.finish()

    async def _watch_locks(self) -> None:
        """End the desk when it holds its locks no longer: somebody else may trade now."""
        while all(lock.held for lock in self.locks):
            await self.desk.clock.sleep(LOCK_CHECK_S)
        raise LostLock("the desk's lock was lost; it ends, and another may take over")

    async def _deliver(self) -> None:
        """News of the demo's past is for nobody; what comes after it is delivered."""
        if self.history:
            await self.history.over.wait()
            await self.outbox.skip()
        await self.outbox.run()

    async def _tune(self) -> None:
        """Nothing is tuned on half of a history."""
        await self.until_ready()
        await self.tuner.run()

    async def _ask(self) -> None:
        """Nobody is asked about half of a history."""
        await self.until_ready()
        await self.asking.run()

    async def until_ready(self) -> None:
        """Return once there is something to show."""
        if self.history:
            await self.history.over.wait()

    def stop(self) -> None:
        self.desk.runtime.stop()


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    on_wait: Callable[[str], None] = lambda holder: None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> AsyncIterator[App]:
    """A desk for `settings`, its lock held and its memory loaded.

    `on_wait` is told who holds the lock when somebody else does; `on_progress` how far a first
    run's history is, from 0 to 1. Raises BadSettings before anything is changed where the
    settings do not fit the data.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        prepare_folder(settings)
        locks = _locks(settings, clock)
        for lock in locks:
            await lock.acquire(clock, on_wait)
            stack.push_async_callback(lock.release)
        switch = await _switch(settings, clock)
        store = await open_store(settings.database)
        stack.push_async_callback(store.close)
        epoch = await store.take_epoch(f"process {os.getpid()} on {socket.gethostname()}")
        address = BybitAddress(clock)
        market = await _market(settings, store, epoch, clock, address)
        if isinstance(market, BybitMarket):
            stack.callback(market.close)
        states = await store.states()
        plans = planned(settings, added_bots(states, books(settings, market)))
        bots, left_out = fit_bots(settings, market, plans)
        remarks = [*market.remarks(), *left_out, *settings.own.remarks]
        if settings.mode == PAPER:
            opened = Opened(_paper(settings, bots, market))
        else:
            venues = Venues(settings, clock, address, Random())
            stack.callback(venues.close)
            uids = kept_uids(states, [bot.account for bot in bots])
            opened = await venues.open(bots, uids, partial(_fence, switch, locks))
        emergency = _emergency(settings, bots, market, opened.exchange, clock, stack)
        runtime = _runtime(settings, bots, market, store, clock, opened, switch)
        await runtime.start(epoch, remarks, halts=[*filter(None, [switch.why()])])
        remarks += opened.remarks
        remarks += without_effect(bots, runtime.view(), market, runtime.strays())
        remarks += await left_behind(store, settings, bots, market)
        remarks += tuned_above(settings, runtime.tuning())
        people = await open_people(settings, runtime, store)
        remarks += filter(None, [too_few_admins(settings, people), perhaps_one(settings, people)])
        for remark in remarks:
            log.warning("note", text=remark)
        workers, backtests, grounds = _workers(settings, market, clock, stack)
        tunings = _tunings(settings, runtime, store, clock, grounds, stack)
        advisor = await _advisor(settings, runtime, store, clock, tunings, stack)
        mirror = Mirror(settings.cache_url, runtime.view, store, epoch, clock)
        runtime.listen(mirror.on_commit)
        desk = Desk(
            mode=settings.mode,
            version=VERSION,
            started_at=clock.now(),
            runtime=runtime,
            store=store,
            market=market,
            clock=clock,
            settings=effective(settings, market.label),
            rates=Paces(clock, RATES),
            studies=backtests,
            switch=switch,
            tuner=tunings,
            advisor=advisor,
            holdings=partial(holdings, settings.data_dir),
            strategies=settings.strategies,
            remarks=tuple(remarks),
            uids=opened.uids,
            mirror=mirror.condition,
            links=dict(opened.links),
        )
        parts = workers, backtests, tunings, advisor, locks, switch, emergency, mirror
        yield _assembled(settings, desk, people, *parts, on_progress)


def _workers(
    settings: Settings, market: Market, clock: Clock, stack: AsyncExitStack
) -> tuple[Workers, Backtests, Grounds]:
    """What draws pictures, what runs backtests in a process of its own, and on which candles."""
    workers = Workers(clock)
    stack.push_async_callback(workers.close)
    heavy = Workers(clock, limit_s=LIMIT_S)
    stack.push_async_callback(heavy.close)
    grounds = Grounds(settings.data_dir, market, settings.bases.rest, settings.own.sources)
    return workers, Backtests(grounds, clock, heavy, workers), grounds


def _tunings(
    settings: Settings,
    runtime: Runtime,
    store: Store,
    clock: Clock,
    grounds: Grounds,
    stack: AsyncExitStack,
) -> Tunings:
    """The tuner, with a process of its own for studies, which take minutes, and one for
    comparisons, which people wait for."""
    searching, comparing = (Workers(clock, limit_s=limit) for limit in (STUDY_LIMIT_S, LIMIT_S))
    for workers in (searching, comparing):
        stack.push_async_callback(workers.close)
    subject = Subject(
        runtime=runtime,
        store=store,
        clock=clock,
        grounds=grounds,
        strategies=settings.strategies,
        books=books(settings, grounds.market),
        paper=PaperSettings(**settings.paper.model_dump()),
        section=settings.tuning,
        scheduler=settings.dask_scheduler,
    )
    return Tunings(subject, searching, comparing)


async def _advisor(
    settings: Settings,
    runtime: Runtime,
    store: Store,
    clock: Clock,
    tunings: Tunings,
    stack: AsyncExitStack,
) -> Consultations:
    """Whoever answers questions: the model of the settings, or nobody but rules and figures."""
    counsel = Counsel(
        open_model(settings),
        store.calls,
        settings.gemini.limits(settings.gemini_daily_usd),
        clock,
        Random(),
        Redactor(settings.secrets),
        runtime.tuning().books,
    )
    stack.push_async_callback(counsel.close)
    await counsel.prepare()
    return Consultations(counsel, settings.gemini.bias_minutes * MINUTE_MS, trying(tunings))


def _assembled(
    settings: Settings,
    desk: Desk,
    people: People,
    workers: Workers,
    backtests: Backtests,
    tunings: Tunings,
    advisor: Consultations,
    locks: list[Lock],
    switch: KillSwitch,
    emergency: Emergency,
    mirror: Mirror,
    on_progress: Callable[[float], None],
) -> App:
    runtime = desk.runtime
    market = desk.market
    history = None
    if isinstance(market, SimulatedMarket) and settings.speed > 0:
        history = _history(runtime, market, settings.speed, on_progress)
    charts = settings.data_dir / "charts"

    async def draw(reply: Reply) -> list[Drawn | None]:
        async def in_worker(picture: Picture, path: Path) -> None:
            await workers.run(draw_picture, picture, path)

        return await draw_charts(reply, charts, in_worker, desk.enrollment)

    door = Door(
        socket_path(settings.data_dir),
        answer=partial(console.answer, desk, draw, settings.data_dir / "files"),
        welcome=partial(console.welcome, desk, partial(greeting, desk)),
    )
    chats = open_chats(settings, desk, people, draw)
    runtime.listen(chats.on_commit)
    lines = ConsoleLines(door.broadcast)
    backtests.listen(chats.following.on_change)
    backtests.listen(lines.on_change)
    tunings.listen(chats.following.on_study)
    tunings.listen(lines.on_study)
    advisor.listen(chats.following.on_advice)
    asking = AdvisorClock(desk, advisor, settings.gemini)
    runtime.listen(asking.on_commit)

    def is_news(notice: Notice) -> bool:
        # A replay at full speed makes thousands of fills a minute, which nobody can read.
        return market.speed > 0 or notice.kind not in (NoticeKind.ENTRY, NoticeKind.EXIT)

    def tell(notice: Notice) -> None:
        if is_news(notice):
            if is_for_consoles(notice):
                door.broadcast(notice_reply(notice))
            log_notice(notice)

    def audience(notice: Notice) -> Sequence[Address]:
        return chats.audience(notice) if is_news(notice) else ()

    def tell_kill(text: str) -> None:
        door.broadcast(Reply((Text(text),), badge=desk.badge))
        chats.tell_kill(text)

    switch.listen(tell_kill)
    outbox = Outbox(desk.store, desk.clock, tell, audience, lambda: desk.badge, chats.courier.wake)
    runtime.listen(outbox.on_commit)
    anchors = Anchors(desk, secret_key(settings))
    return App(
        desk,
        door,
        outbox,
        chats,
        anchors,
        workers,
        backtests,
        tunings,
        TunerClock(desk, duties(TunerRound(desk, tunings, settings.tuning)), tunings.folder),
        advisor,
        asking,
        history,
        tuple(locks),
        switch,
        emergency,
        mirror,
    )


def _history(
    runtime: Runtime,
    market: SimulatedMarket,
    speed: float,
    on_progress: Callable[[float], None],
) -> History | None:
    """The demo's history where it is not traded yet, or was broken off in the middle."""
    if runtime.view().market_time >= market.anchor + HISTORY_MS:
        return None
    history = History(runtime, market, market.anchor, speed, on_progress)
    runtime.listen(history.on_commit)
    return history


def is_for_consoles(notice: Notice) -> bool:
    """Whether consoles are told: not of what was asked there, nor of anything a second time."""
    asked = notice.kind is NoticeKind.PROPOSED and notice.proposal
    told = (NoticeKind.PROPOSAL_ENDED, NoticeKind.KILL)
    return not (asked and asked.surface == "console") and notice.kind not in told


def log_notice(notice: Notice) -> None:
    """A notice as one line of the log, for whoever was not at a prompt; a phrase that approves is
    left to cards and consoles."""
    texts = [block.text for block in notice_reply(notice).blocks if isinstance(block, Text)]
    text = " ".join(texts).replace("\n", " ")
    if notice.proposal and notice.proposal.phrase:
        text = text.replace(notice.proposal.phrase, HIDDEN)
    log.info("notice", kind=notice.kind.value, text=text)


def _paper(settings: Settings, bots: list[Bot], market: Market) -> PaperExchange:
    instruments = {symbol: market.instrument(symbol) for symbol in market.symbols}
    paper = PaperSettings(**settings.paper.model_dump())

    def new_book(account: str, deposit: Decimal) -> PaperBook:
        return PaperBook(account, deposit, paper, instruments, market.funding_rate)

    return PaperExchange(
        [new_book(bot.account, bot.capital) for bot in bots],
        {bot.account: bot.symbols for bot in bots},
        new_book,
    )


def _emergency(
    settings: Settings,
    bots: list[Bot],
    market: Market,
    exchange: Exchange,
    clock: Clock,
    stack: AsyncExitStack,
) -> Emergency:
    """The desk's way to flat."""
    if isinstance(exchange, PaperExchange):
        return PaperEmergency(exchange, f"{books(settings, market)}-")
    traded = {bot.bot_id: bot.symbols for bot in bots}
    return stack.enter_context(bybit_emergency(settings, traded, clock, are_all=True))


async def _switch(settings: Settings, clock: Clock) -> KillSwitch:
    """The emergency stop as it was left; what is not done of it at a real exchange comes first."""
    file = LatchFile(settings.data_dir)
    if settings.mode == PAPER:
        return KillSwitch(file, clock, redo=True)
    switch = KillSwitch(file, clock, LATE_S)
    traded = {bot.id: bot.symbols for bot in settings.bots}
    with bybit_emergency(settings, traded, clock) as emergency:
        await switch.finish_left(emergency, KILL_LEFT_S)
    return switch


def _runtime(
    settings: Settings,
    bots: list[Bot],
    market: Market,
    store: Store,
    clock: Clock,
    opened: Opened,
    switch: KillSwitch,
) -> Runtime:
    return Runtime(
        core=Core(
            bots,
            {symbol: market.instrument(symbol) for symbol in market.symbols},
            market.interval,
            settings.mode,
            market.name,
            _policy(settings, opened),
            settings.strategies,
            forgiving=True,
        ),
        store=store,
        exchange=opened.exchange,
        market=market,
        clock=clock,
        audit_key=secret_key(settings),
        version=VERSION,
        killed=switch.why,
        lift_latch=switch.lift,
    )


def _fence(switch: KillSwitch, locks: Sequence[Lock], order: Order) -> str:
    """Why an order that opens a position must not be sent after all; empty where it may be.

    Asked on another thread, when it is signed already.
    """
    if not all(lock.held for lock in locks):
        return "the desk's lock is lost, and another desk may trade now"
    return switch.why()


def _policy(settings: Settings, opened: Opened) -> Policy:
    """What the core must know to guard the account."""
    return Policy(
        required=settings.approvals.required,
        delay_ms=settings.delay_ms,
        secret=derive(secret_key(settings), "office"),
        taker_fee=settings.paper.taker_fee,
        limits=settings.risk.limits(),
        caps=settings.caps.caps(),
        price_age_max_ms=LIVE_PRICE_AGE_MS if settings.market == "bybit" else 0,
        veto=settings.gemini.veto,
        surveys=settings.mode != PAPER,
        real_money=settings.mode == LIVE,
        key_of=opened.key_of,
    )


def _locks(settings: Settings, clock: Clock) -> list[Lock]:
    """One desk a data directory, and one a PostgreSQL database."""
    locks: list[Lock] = [DeskLock(settings.data_dir, clock.now())]
    if settings.database.startswith("postgresql"):
        locks.append(PostgresLock(settings.database, LOCK_NAME))
    return locks


async def _market(
    settings: Settings, store: Store, epoch: int, clock: Clock, address: BybitAddress
) -> Market:
    kind, _, rest = settings.market.partition(":")
    if kind == "replay":
        return open_replay(rest, settings.speed, clock)
    if kind == "bybit":
        states, own = await store.states(), f"{settings.mode}-{kind}"
        added = planned(settings, added_bots(states, own))
        plans = tuned_plans(added, tuned_values(states, own), settings.strategies)
        return await open_bybit(
            settings.bases.rest,
            settings.bases.ws,
            symbols_of(plans),
            LIVE_INTERVAL,
            clock,
            Random(),
            warmup_bars=warmup_bars(plans, settings.strategies),
            address=address,
        )
    seed = int(rest) if kind == "simulated" else DEMO_SEED
    anchor = await _anchor(store, epoch, seed, clock.now())
    return SimulatedMarket(seed, anchor, settings.speed, clock)


async def _anchor(store: Store, epoch: int, seed: int, now: int) -> int:
    """The first candle's open of a simulated market: fixed when it is first opened."""
    key = f"market:sim{seed}"
    row = (await store.states()).get(key)
    if row is None:
        anchor = (now - SIMULATED_PAST_MS) // DAY_MS * DAY_MS
        row = StateRow(key, 1, str(anchor))
        await store.commit(Commit(epoch=epoch, states=[row]))
    return int(row.body)
