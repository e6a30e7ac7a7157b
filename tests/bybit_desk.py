"""A desk at the local Bybit: the real runtime, database, adapter and pybit, on a market that waits.

    world = World(server, clock, {KEY: [trader("alpha", BTC, ETH)]}, "sqlite:///desk.db")
    async with world.desk() as desk:
        await desk.up()                             # heard and compared
        await world.close({BTC: candle}, {BTC: BUY_NOW})
        await desk.settled()                        # all that the exchange did is booked
    assert await world.disagreements() == []

What its candles wish the puppet strategy does (tests/engine/conftest.py). A world outlives its
desks: each is a process that dies where one of its hooks raises Killed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from inspect import iscoroutinefunction
from random import Random
from time import monotonic

from engine.bot import Bot
from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.bybit.sign import ApiKey as DeskKey
from engine.bybit.sign import login
from engine.bybit.stream import Stream, StreamEvent
from engine.candle import Candle
from engine.core import Core
from engine.event import Journaled
from engine.exchange.bybit import BybitExchange
from engine.exchange.listening import TOPICS
from engine.exchange.surveying import Times
from engine.exchange.venue import Venue
from engine.instrument import MAJORS
from engine.ledger import Funding
from engine.order import Fill
from engine.ports import Clock, Commit, Store
from engine.runtime import Runtime
from engine.store.sql import open_store
from tests import bybit_proof
from tests.askers import POLICY
from tests.engine.conftest import BAR, puppet
from tests.fed_market import FedMarket
from tests.servers.bybit import ApiKey, BybitServer

MODE = "demo"
AUDIT_KEY = b"the key of a desk at the local Bybit"
# What has not come about by then never will, on however slow a machine.
DEADLINE_S = 90.0
POLL_S = 0.002


class Killed(Exception):
    """The process ends here."""


def account_of(bot_id: str) -> str:
    return f"{MODE}-bybit-{bot_id}"


def trader(bot_id: str, *symbols: str, capital: str = "100000", **changes: object) -> Bot:
    """A bot that does what candles wish; `changes` are those of its puppet."""
    return Bot(bot_id, puppet(**changes), symbols, account_of(bot_id), Decimal(capital))


@dataclass
class Hooks:
    """What a process may die of: what it just stored, what its exchange is about to tell."""

    stored: Callable[[Commit], None] = lambda batch: None
    told: Callable[[Journaled], None] = lambda event: None


class WatchedRest:
    """The door to an account; `busy` counts the requests that are under way."""

    def __init__(self, api: PrivateRest) -> None:
        self._api = api
        self.busy = 0

    def __getattr__(self, name: str) -> object:
        found = getattr(self._api, name)
        return self._counted(found) if iscoroutinefunction(found) else found

    def _counted(self, ask: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def counted(*arguments: object, **more: object) -> object:
            self.busy += 1
            try:
                return await ask(*arguments, **more)
            finally:
                self.busy -= 1

        return counted


class HookedExchange(BybitExchange):
    """An exchange whose news a test hears before the desk does."""

    def __init__(self, venues: Sequence[Venue], hooks: Hooks) -> None:
        super().__init__(venues)
        self._hooks = hooks

    async def run(self, post: Callable[[Journaled], None]) -> None:
        def tell(event: Journaled) -> None:
            self._hooks.told(event)
            post(event)

        await super().run(tell)


@dataclass
class World:
    """What outlives a process: the exchange, the clock, the market so far, the database.

    `shares` are the API keys with the bots that trade by each; a request is given up after
    `timeout_s` real seconds.
    """

    server: BybitServer
    clock: Clock
    shares: Mapping[ApiKey, Sequence[Bot]]
    database: str
    interval: int = BAR
    times: Times = field(default_factory=Times)
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        self.bots = [bot for bots in self.shares.values() for bot in bots]
        symbols = dict.fromkeys(symbol for bot in self.bots for symbol in bot.symbols)
        self.market = FedMarket(symbols, self.interval, self.clock)
        self.apis: list[WatchedRest] = []
        for symbol in self.market.symbols:
            rules = MAJORS[symbol]
            self.server.change_rules(
                symbol, tick=rules.tick, step=rules.quantity_step, quantity_min=rules.quantity_min
            )

    async def close(
        self, candles: Mapping[str, Candle], wishes: Mapping[str, float] | None = None
    ) -> None:
        """Let candles of one moment close, at which the clock stands."""
        await self.play(candles)
        self.tell(candles, wishes or {})

    async def play(self, candles: Mapping[str, Candle]) -> None:
        """Let the exchange go through the prices of candles."""
        for symbol, candle in candles.items():
            await self.server.feed(symbol, candle, self.interval)

    def tell(self, candles: Mapping[str, Candle], wishes: Mapping[str, float]) -> None:
        """Hand candles that were played to the desk, with what its bots shall do."""
        told = {s: each._replace(volume=wishes.get(s, 0.0)) for s, each in candles.items()}
        self.market.offer(told)

    @asynccontextmanager
    async def desk(self, hooks: Hooks | None = None) -> AsyncIterator["Desk"]:
        """A process on this world; it ends with the context, if not before."""
        hooks = hooks or Hooks()
        store = await open_store(self.database)
        self.apis = [self._api(key) for key in self.shares]
        venues = [self._venue(key, api) for key, api in zip(self.shares, self.apis, strict=True)]
        desk = Desk(self, store, HookedExchange(venues, hooks))
        desk.runtime.listen(lambda batch: hooks.stored(batch))
        try:
            async with desk.running():
                yield desk
        finally:
            for api in self.apis:
                api.close()
            await store.close()

    def _api(self, key: ApiKey) -> WatchedRest:
        mine = DeskKey(key.key, key.secret)
        base, clock = self.server.rest_base, self.clock
        address = Address(clock)
        return WatchedRest(PrivateRest(base, mine, clock, address, timeout_s=self.timeout_s))

    def _venue(self, key: ApiKey, api: WatchedRest) -> Venue:
        url = self.server.ws_base + "/v5/private"
        enter = login(DeskKey(key.key, key.secret), lambda: self.clock.now() + api.offset_ms)

        def connect(handle: Callable[[StreamEvent], None]) -> Stream:
            rng = Random(key.key)
            return Stream(url, TOPICS, self.clock, rng, handle, login=enter, silence_s=None)

        bots = {bot.account: bot.symbols for bot in self.shares[key]}
        return Venue(key.key, api, connect, bots, self.clock, self.times)

    async def disagreements(self) -> list[str]:
        """In what the database and the exchange's own ledgers differ."""
        store = await open_store(self.database)
        try:
            return await bybit_proof.disagreements(self.server, store, self.shares)
        finally:
            await store.close()

    async def stored(self, kind: type) -> list:
        """All facts of a kind."""
        store = await open_store(self.database)
        try:
            return await store.recent(kind)
        finally:
            await store.close()


class Desk:
    """One process: a runtime over its core, and what it has booked."""

    def __init__(self, world: World, store: Store, exchange: BybitExchange) -> None:
        self._world = world
        self._store = store
        self._booked: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None
        self.exchange = exchange
        self.core = Core(
            world.bots,
            {symbol: MAJORS[symbol] for symbol in world.market.symbols},
            world.interval,
            MODE,
            "bybit",
            replace(POLICY, surveys=True),
        )
        self.runtime = Runtime(
            self.core, store, exchange, world.market, world.clock, AUDIT_KEY, "1.0"
        )
        self.runtime.listen(self._on_commit)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for fact in [*await self._store.recent(Fill), *await self._store.recent(Funding)]:
            self._note(fact)
        await self.runtime.start(await self._store.take_epoch("a test"))
        self._task = asyncio.create_task(self.runtime.run())
        try:
            yield
        finally:
            await self._end()

    async def _end(self) -> None:
        assert self._task is not None
        self.runtime.stop()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) and not _is_kill(error):
            raise error

    def kill(self) -> None:
        """End the process where it stands: nothing more is stored or sent."""
        assert self._task is not None
        self._task.cancel()

    async def died(self) -> None:
        """Return once it was killed."""
        assert self._task is not None
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait([self._task])

    def _on_commit(self, batch: Commit) -> None:
        for fact in batch.facts:
            self._note(fact)

    @property
    def booked(self) -> int:
        """Executions and funding that are stored."""
        return len(self._booked)

    def _note(self, fact: object) -> None:
        match fact:
            case Fill():
                self._booked.add((fact.account, fact.exec_id))
            case Funding():
                self._booked.add((fact.account, f"{fact.symbol} {fact.ts}"))

    # -- waiting ---------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], why: str = "") -> None:
        """Return once a condition holds; fails where it never does, or the process ended."""
        assert self._task is not None
        deadline = monotonic() + DEADLINE_S
        while not condition():
            if self._task.done():
                self._task.result()
                raise AssertionError("the desk ended")
            assert monotonic() < deadline, f"waited in vain: {why or self.state()}"
            await asyncio.sleep(POLL_S)

    async def up(self) -> None:
        """Return once all accounts are heard and were compared."""
        await self.until(lambda: not any(self.shut.values()))

    @property
    def shut(self) -> dict[str, str]:
        """Why nothing is opened, by account."""
        found = self.core.view().accounts
        return {each.account: each.exchange.shut for each in found if each.exchange is not None}

    async def settled(self) -> None:
        """Return once the market is taken, no order is on its way, and all is booked."""
        await self.taken()
        await self.until(self.agrees)

    async def still(self) -> None:
        """Return when no request is under way: the clock may jump, and no signature gets old."""
        await self.until(lambda: not any(api.busy for api in self._world.apis))

    async def taken(self) -> None:
        """Return once all candles that were offered are taken and stored."""
        assert self._task is not None
        taking = asyncio.ensure_future(self._world.market.taken())
        await asyncio.wait([taking, self._task], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()

    def agrees(self) -> bool:
        """Whether all that the exchange executed is booked, and no market order is open."""
        executed = sum(len(a.executions) for a in self._world.server.book.accounts.values())
        open_ = (state.orders for state in self.core.accounts().values())
        return executed == self.booked and not any(open_)

    def state(self) -> str:
        """What a test that waits in vain is told."""
        view, accounts = self.core.view(), self._world.server.book.accounts
        return (
            f"booked {self.booked}, executed "
            f"{ {uid: len(a.executions) for uid, a in accounts.items()} }, open "
            f"{view.open_orders}, shut {self.shut}, health {self.exchange.health()}"
        )


def _is_kill(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_kill, error.exceptions))
    return isinstance(error, Killed)
