"""The composition root: builds a desk out of its parts, starts and stops them in one place."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random

import structlog

from bot import console
from bot.anchors import Anchors
from bot.backtests import LIMIT_S, Backtests, Grounds
from bot.chats import Chats, open_chats
from bot.clock import SystemClock
from bot.door import Door
from bot.feed_watch import watch_feed
from bot.first_run import HISTORY_MS, History
from bot.following import ConsoleLines
from bot.outbox import Outbox
from bot.people import People, open_people, perhaps_one, too_few_admins
from bot.render import Drawn, Picture, draw_charts, draw_picture
from bot.settings import DEMO_SEED, Settings, effective, prepare_folder, secret_key
from bot.tour import greeting
from bot.version import VERSION
from bot.workers import Workers
from engine.bot import Bot, BotPlan
from engine.candle import DAY_MS, MINUTE_MS
from engine.core import Core
from engine.desk import Desk
from engine.effect import Notice, NoticeKind
from engine.errors import BadInput, BadSettings, LostLock
from engine.exchange.paper import PaperBook, PaperExchange, PaperSettings
from engine.keys import derive
from engine.mail import Address
from engine.market.bybit import BybitMarket, open_bybit
from engine.market.holdings import holdings
from engine.market.replay import open_replay
from engine.market.simulated import SimulatedMarket
from engine.memory import Policy, added_bots
from engine.pace import Paces
from engine.plans import candles_needed, made, strategy_of, unfit
from engine.ports import Clock, Commit, Market, StateRow, Store
from engine.position import Position
from engine.runtime import Runtime
from engine.store.lock import DeskLock, Lock, PostgresLock
from engine.store.sql import open_store
from engine.strategies.kernel import Strategy
from engine.view import CoreView
from handlers.dispatch import RATES
from handlers.notices import notice_reply
from handlers.reply import Reply, Text

SOCKET_NAME = "desk.sock"
LATCH_NAME = "KILLED"
# How long a desk may not know that its lock is gone. Its commits are fenced all the same.
LOCK_CHECK_S = 1.0
LOCK_NAME = "countersign desk"
# Live candles beyond those that strategies need: averages settle, charts have a past.
WARMUP_SPARE = 400
# A live market's own candles: what every strategy's are built of.
LIVE_INTERVAL = 5 * MINUTE_MS
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
    history: History | None
    locks: tuple[Lock, ...]

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
        ]
        if isinstance(self.desk.market, BybitMarket):
            surfaces.append(asyncio.create_task(self.desk.market.run(), name="market"))
            surfaces.append(asyncio.create_task(watch_feed(self.desk), name="feed watch"))
        trading = asyncio.create_task(runtime.run(), name="runtime")
        try:
            await asyncio.wait([trading, *surfaces], return_when=asyncio.FIRST_COMPLETED)
            runtime.stop()
            await trading
            if self.history and not self.outbox.skipped:
                await self.outbox.skip()
            await self.outbox.deliver()
            await self.chats.farewell()
        finally:
            for task in (trading, *surfaces):
                task.cancel()
            results = await asyncio.gather(trading, *surfaces, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

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
        store = await open_store(settings.database)
        stack.push_async_callback(store.close)
        epoch = await store.take_epoch(f"process {os.getpid()} on {socket.gethostname()}")
        market = await _market(settings, store, epoch, clock)
        if isinstance(market, BybitMarket):
            stack.callback(market.close)
        plans = planned(settings, added_bots(await store.states(), _books(settings, market)))
        bots, left_out = fit_bots(settings, market, plans)
        remarks = [*market.remarks(), *left_out, *settings.own.remarks]
        runtime = _runtime(settings, bots, market, store, clock)
        await runtime.start(epoch, remarks, halts=[*filter(None, [_latch(settings)])])
        remarks += _without_effect(bots, runtime.view(), market, runtime.strays())
        remarks += await _left_behind(store, settings, bots, market)
        people = await open_people(settings, runtime, store)
        remarks += filter(None, [too_few_admins(settings, people), perhaps_one(settings, people)])
        for remark in remarks:
            log.warning("note", text=remark)
        workers = Workers(clock)
        stack.push_async_callback(workers.close)
        heavy = Workers(clock, limit_s=LIMIT_S)
        stack.push_async_callback(heavy.close)
        grounds = Grounds(settings.data_dir, market, settings.bybit_rest_base, settings.own.sources)
        backtests = Backtests(grounds, clock, heavy, workers)
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
            holdings=partial(holdings, settings.data_dir),
            strategies=settings.strategies,
            remarks=tuple(remarks),
        )
        yield _assembled(settings, desk, people, workers, backtests, locks, on_progress)


def _assembled(
    settings: Settings,
    desk: Desk,
    people: People,
    workers: Workers,
    backtests: Backtests,
    locks: list[Lock],
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
        settings.data_dir / SOCKET_NAME,
        answer=partial(console.answer, desk, draw, settings.data_dir / "files"),
        welcome=partial(console.welcome, desk, partial(greeting, desk)),
    )
    chats = open_chats(settings, desk, people, draw)
    runtime.listen(chats.on_commit)
    backtests.listen(chats.following.on_change)
    backtests.listen(ConsoleLines(door.broadcast).on_change)

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

    outbox = Outbox(desk.store, desk.clock, tell, audience, lambda: desk.badge, chats.courier.wake)
    runtime.listen(outbox.on_commit)
    anchors = Anchors(desk, secret_key(settings))
    return App(desk, door, outbox, chats, anchors, workers, backtests, history, tuple(locks))


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
    """Whether consoles are told: not of what was asked there, nor of an end a second time."""
    asked = notice.kind is NoticeKind.PROPOSED and notice.proposal
    return not (asked and asked.surface == "console") and notice.kind != NoticeKind.PROPOSAL_ENDED


def log_notice(notice: Notice) -> None:
    """A notice as one line of the log, for whoever was not at a prompt."""
    texts = [block.text for block in notice_reply(notice).blocks if isinstance(block, Text)]
    log.info("notice", kind=notice.kind.value, text=" ".join(texts).replace("\n", " "))


def _without_effect(
    bots: list[Bot], view: CoreView, market: Market, strays: list[Position]
) -> list[str]:
    """What was set differently from what these books were opened with, in sentences."""
    remarks = []
    if view.market_ended and market.caught_up and market.name.startswith("replay"):
        remarks.append(
            "This replay was run to its end before; nothing is traded again. Another DATA_DIR "
            "runs it afresh, with the settings of now."
        )
    remarks.extend(
        f"{held.bot_id} holds {held.quantity.normalize():f} {held.symbol}, which it is not set to "
        "trade: its stop and target stand, nothing else closes it."
        for held in strays
    )
    opened = {account.bot_id: account.ledger.deposit for account in view.accounts}
    remarks.extend(
        f"{bot.bot_id}: capital {bot.capital:f} is set, but its books were opened with "
        f"{opened[bot.bot_id]:f}, which stays. Another DATA_DIR opens new books."
        for bot in bots
        if opened[bot.bot_id] != bot.capital
    )
    return remarks


async def _left_behind(
    store: Store, settings: Settings, bots: list[Bot], market: Market
) -> list[str]:
    """Positions on this market of bots that the settings no longer name, in sentences."""
    ours = {bot.account for bot in bots}
    books = f"{settings.mode}-{market.name}-"
    return [
        f"{position.bot_id} holds {position.quantity.normalize():f} {position.symbol} and is not "
        "in the settings any more: nothing manages it. Put the bot back to close it."
        for position in await store.recent(Position)
        if position.account.startswith(books)
        and position.account not in ours
        and not position.is_flat
    ]


def _runtime(
    settings: Settings, bots: list[Bot], market: Market, store: Store, clock: Clock
) -> Runtime:
    instruments = {symbol: market.instrument(symbol) for symbol in market.symbols}
    paper = PaperSettings(**settings.paper.model_dump())

    def new_book(account: str, deposit: Decimal) -> PaperBook:
        return PaperBook(account, deposit, paper, instruments, market.funding_rate)

    return Runtime(
        core=Core(
            bots,
            instruments,
            market.interval,
            settings.mode,
            market.name,
            _policy(settings),
            settings.strategies,
            forgiving=True,
        ),
        store=store,
        exchange=PaperExchange(
            [new_book(bot.account, bot.capital) for bot in bots],
            {bot.account: bot.symbols for bot in bots},
            new_book,
        ),
        market=market,
        clock=clock,
        audit_key=secret_key(settings),
        version=VERSION,
        killed=partial(_latch, settings),
    )


def _policy(settings: Settings) -> Policy:
    """What the core must know to guard the account."""
    return Policy(
        required=settings.approvals.required,
        delay_ms=settings.delay_ms,
        secret=derive(secret_key(settings), "office"),
        taker_fee=settings.paper.taker_fee,
        price_age_max_ms=LIVE_PRICE_AGE_MS if settings.market == "bybit" else 0,
    )


def _latch(settings: Settings) -> str:
    """Why no position may be opened: the latch that a person can set by hand, whatever else is
    down. Empty while the file named KILLED is not there."""
    latch = settings.data_dir / LATCH_NAME
    if not latch.exists():
        return ""
    return f"the file {latch} is there; remove it and start again to trade"


def _locks(settings: Settings, clock: Clock) -> list[Lock]:
    """One desk a data directory, and one a PostgreSQL database."""
    locks: list[Lock] = [DeskLock(settings.data_dir, clock.now())]
    if settings.database.startswith("postgresql"):
        locks.append(PostgresLock(settings.database, LOCK_NAME))
    return locks


async def _market(settings: Settings, store: Store, epoch: int, clock: Clock) -> Market:
    kind, _, rest = settings.market.partition(":")
    if kind == "replay":
        return open_replay(rest, settings.speed, clock)
    if kind == "bybit":
        added = added_bots(await store.states(), f"{settings.mode}-{kind}")
        plans = planned(settings, added).values()
        return await open_bybit(
            settings.bybit_rest_base,
            settings.bybit_ws_base,
            _symbols(plans),
            LIVE_INTERVAL,
            clock,
            Random(),
            warmup_bars=_warmup_bars(plans, settings.strategies),
        )
    seed = int(rest) if kind == "simulated" else DEMO_SEED
    anchor = await _anchor(store, epoch, seed, clock.now())
    return SimulatedMarket(seed, anchor, settings.speed, clock)


def _books(settings: Settings, market: Market) -> str:
    """What the accounts on this market begin with."""
    return f"{settings.mode}-{market.name}"


def planned(settings: Settings, added: Mapping[str, BotPlan]) -> dict[str, BotPlan]:
    """The bots of the settings and those that people added, by id.

    Raises BadSettings for an id that is both: its books would be two bots'.
    """
    own = {bot.id: bot.plan(settings.strategies) for bot in settings.bots}
    for bot_id in own:
        if bot_id in added:
            raise BadSettings(
                f"bots {bot_id} id: a bot of that id was added from chat. Allowed: another id, or "
                f"/bot remove {bot_id} before."
            )
    return own | dict(added)


def _symbols(plans: Iterable[BotPlan]) -> list[str]:
    """Every symbol that a bot trades, once."""
    return list(dict.fromkeys(symbol for plan in plans for symbol in plan.symbols))


def _warmup_bars(plans: Iterable[BotPlan], known: Mapping[str, Strategy]) -> int:
    """How many live candles the slowest strategy needs before it may trade."""
    strategies = [strategy_of(plan, known) for plan in plans if plan.strategy in known]
    slowest = max((candles_needed(each, LIVE_INTERVAL) for each in strategies), default=0)
    return slowest + WARMUP_SPARE


async def _anchor(store: Store, epoch: int, seed: int, now: int) -> int:
    """The first candle's open of a simulated market: fixed when it is first opened."""
    key = f"market:sim{seed}"
    row = (await store.states()).get(key)
    if row is None:
        anchor = (now - SIMULATED_PAST_MS) // DAY_MS * DAY_MS
        row = StateRow(key, 1, str(anchor))
        await store.commit(Commit(epoch=epoch, states=[row]))
    return int(row.body)


def fit_bots(
    settings: Settings, market: Market, plans: Mapping[str, BotPlan]
) -> tuple[list[Bot], list[str]]:
    """The bots that this market can carry, and what was left out, in sentences."""
    bots: list[Bot] = []
    remarks: list[str] = []
    for bot_id, plan in plans.items():
        traded = tuple(symbol for symbol in plan.symbols if symbol in market.symbols)
        missing = [symbol for symbol in plan.symbols if symbol not in market.symbols]
        here = replace(plan, symbols=traded)
        try:
            bot = made(bot_id, here, settings.strategies, _books(settings, market))
        except BadInput as error:
            remarks.append(f"{bot_id} does not trade, its books stay as they are: {error}")
            continue
        if refusal := unfit(bot.strategy, market.interval):
            remarks.append(f"{bot_id}: {refusal} The bot does not trade here.")
            continue
        if missing:
            remarks.append(f"{bot_id}: this market has no {', '.join(missing)}; left out.")
        if traded:
            bots.append(bot)
    return bots, remarks


def socket_path(settings: Settings) -> Path:
    return settings.data_dir / SOCKET_NAME
