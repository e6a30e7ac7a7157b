"""A month of real candles traded on the local Bybit in bad weather: at its end the books are the
exchange's own, to the last digit, and no order was sent twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from engine.candle import DAY_MS, HOUR_MS, Candle, aggregate
from engine.errors import Unreachable
from engine.instrument import MAJORS
from engine.ledger import Funding, fold
from engine.market.simulated import SimulatedMarket
from engine.order import Fill, Order, OrderStatus, Reason
from engine.position import Position
from engine.strategies.exits import Exits
from tests.bybit_ccxt import second_client
from tests.bybit_desk import Desk, World, trader
from tests.bybit_storm import ON_READS, ON_SENDS, ON_STREAM, Storm
from tests.clock import FakeClock
from tests.engine.conftest import BAR, BTC, BUY_NOW, DATA, LEAVE_NOW, SELL_NOW, _read
from tests.servers.bybit import ApiKey, BybitServer
from tests.servers.bybit_clock import SteppedClock

ETH, SOL = "ETHUSDT", "SOLUSDT"
SYMBOLS = (BTC, ETH, SOL)
INTERVAL = HOUR_MS
WISH_MS = 2 * HOUR_MS
DAYS = 30
SEED = 20250306
MONEY = Decimal(1_000_000)
# Two bots share an account, the third has its own.
SHARED = ApiKey("key-1", "secret-1", "1001", MONEY)
OWN = ApiKey("key-2", "secret-2", "1002", MONEY)
# Hardly a price gets as far as stop or target in these hours: age closes it, or who leaves before.
PATIENT = Exits(0.08, 0.08, 0, 0, 8 * HOUR_MS, 0)
FIXED = Exits(0.008, 0.012, 0, 0, 8 * HOUR_MS, 0, break_even=0.004, break_even_buffer=0.0012)
TRAILED = Exits(0.01, 0, 0.006, 0.004, 12 * HOUR_MS, 0)
# What a bot may wish.
WHEN_FLAT = (BUY_NOW, SELL_NOW)
WHEN_HELD = (LEAVE_NOW, 0.0, 0.0)
# How orders ended, and why there were fills, by the end of the month.
ENDS = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED}
REASONS = {
    Reason.EMA_CROSS,
    Reason.MA_EXIT,
    Reason.TIME_EXIT,
    Reason.STOP_LOSS,
    Reason.TAKE_PROFIT,
    Reason.TRAILING_STOP,
    Reason.AUTO_DELEVERAGING,
}
# Seconds of the desk in a real one; real seconds after which a request is given up.
RATE = 50.0
TIMEOUT_S = 0.5

# The candles of one moment by symbol.
Moment = dict[str, Candle]


@pytest.fixture(scope="module")
def steps() -> list[Moment]:
    """A month of candles: real ones where they are at hand, else simulated ones."""
    paths = {s: DATA / f"binanceusdm_{s}_perp_5m_2025-03.csv.gz" for s in SYMBOLS}
    known = all(path.exists() for path in paths.values())
    found = {s: list(_read(p)) for s, p in paths.items()} if known else asyncio.run(_simulated())
    longer = [{c.ts: c for c in aggregate(found[s], BAR, INTERVAL)} for s in SYMBOLS]
    moments = sorted(set.intersection(*map(set, longer)))[: DAYS * DAY_MS // INTERVAL]
    return [dict(zip(SYMBOLS, (each[ts] for each in longer), strict=True)) for ts in moments]


async def _simulated() -> dict[str, list[Candle]]:
    begin = 1_741_219_200_000
    clock = FakeClock(begin + (DAYS + 1) * DAY_MS)
    market = SimulatedMarket(SEED, begin, 0, clock, symbols=SYMBOLS)
    found: dict[str, list[Candle]] = {symbol: [] for symbol in SYMBOLS}
    while len(found[SOL]) < DAYS * DAY_MS // BAR:
        for event in await market.next(1_000):
            found[event.symbol].append(event.candle)
    return found


@pytest.fixture
def spec() -> Path | None:
    """What messages are held to, where it is at hand."""
    folder = DATA.parents[1] / "specs" / "bybit"
    return folder if folder.is_dir() else None


@pytest.fixture
async def world(steps: list[Moment], spec: Path | None, tmp_path: Path) -> AsyncIterator[World]:
    clock = SteppedClock(steps[0][BTC].ts, RATE)
    shares = {
        SHARED: [
            trader("alpha", BTC, exits=PATIENT, timeframe=INTERVAL),
            trader("beta", ETH, exits=FIXED, timeframe=INTERVAL),
        ],
        OWN: [trader("gamma", SOL, exits=TRAILED, timeframe=INTERVAL)],
    }
    server = BybitServer(clock, SYMBOLS, accounts=shares, spec=spec, ticker_s=RATE, seed=SEED)
    database = f"sqlite:///{tmp_path}/desk.db"
    async with server.running():
        yield World(server, clock, shares, database, INTERVAL, timeout_s=TIMEOUT_S)


@dataclass
class Month:
    """What bots wish, and accidents that no desk can foresee."""

    world: World
    rng: Random

    async def trade(self, desk: Desk, steps: Sequence[Moment]) -> None:
        """Let the candles of these moments close, one after the other."""
        world, server = self.world, self.world.server
        for number, candles in enumerate(steps):
            await desk.still()
            world.clock.step_to(candles[BTC].ts + INTERVAL)
            if number % 50 == 49:
                server.drop()
            if number % 80 == 79:
                server.restart()
            if number % 30 == 29:
                self.deleverage()
            wishes = self.wishes(desk, candles)
            await world.play(candles)
            if wishes:
                # Nothing is opened on an account that was not looked at for ten minutes.
                with suppress(Unreachable):
                    await desk.runtime.survey()
            world.tell(candles, wishes)
            # The market does not always wait for a desk that is asking for its orders.
            await (desk.taken() if self.rng.random() < 0.1 else desk.settled())

    def wishes(self, desk: Desk, candles: Moment) -> dict[str, float]:
        """Now and then: to open what is not held, or to leave what is."""
        if (candles[BTC].ts + INTERVAL) % WISH_MS:
            return {}
        # On some days nobody leaves: what is held grows old, or meets its stop or target.
        when_held = (0.0,) if candles[BTC].ts // DAY_MS % 4 == 0 else WHEN_HELD
        held = {each.position.symbol for each in desk.core.view().positions}
        return {s: self.rng.choice(when_held if s in held else WHEN_FLAT) for s in SYMBOLS}

    def deleverage(self) -> None:
        """Take a part of the first position there is."""
        server = self.world.server
        for uid, account in server.book.accounts.items():
            for symbol, size in list(account.sizes.items())[:1]:
                server.adl(uid, symbol, MAJORS[symbol].quantize(float(abs(size)) / 2))


@pytest.mark.timeout(300)
async def test_a_month_in_bad_weather_leaves_the_books_of_the_exchange(
    world: World, steps: list[Moment]
) -> None:
    server, month, storm = world.server, Month(world, Random(SEED)), Storm(world.server, SEED)
    storm.begin()
    third = len(steps) // 3
    for begin in (0, third):
        async with world.desk() as desk:
            await desk.up()
            await month.trade(desk, steps[begin : begin + third])
            desk.kill()
            await desk.died()
    async with world.desk() as desk:
        await desk.up()
        await month.trade(desk, steps[2 * third :])
        storm.end()
        await desk.up()
        await desk.settled()
        await desk.runtime.survey()
        assert not any(desk.shut.values())

    assert await world.disagreements() == []
    assert server.violations == []
    await check_it_was_a_month(world, storm)
    for key in world.shares:
        await check_with_ccxt(world, key, steps[0][BTC].ts)
    async with world.desk() as desk:
        await desk.up()
        assert desk.core.view().halted == ""
    assert await world.disagreements() == []


async def check_it_was_a_month(world: World, storm: Storm) -> None:
    """That there was much to be lost, and every kind of fault to lose it by."""
    fills, orders = await world.stored(Fill), await world.stored(Order)
    assert {*ON_SENDS, *ON_READS, *ON_STREAM} == set(storm.struck)
    assert len(orders) > 300
    assert {each.close_reason for each in fills} == REASONS
    assert {each.status for each in orders} == ENDS
    assert len(await world.stored(Funding)) > 50
    assert len(world.server.private_connections) > 10


# -- a second client ---------------------------------------------------------------------


async def check_with_ccxt(world: World, key: ApiKey, since: int) -> None:
    """That ccxt reads of an account at the exchange what our books say of it."""
    bots = {bot.account for bot in world.shares[key]}
    symbols = [symbol for bot in world.shares[key] for symbol in bot.symbols]
    fills, orders, payments, positions = [
        [fact for fact in await world.stored(kind) if fact.account in bots]
        for kind in (Fill, Order, Funding, Position)
    ]
    async with second_client(world.server, key, since) as client:
        assert await client.trades(symbols) == sorted(
            (f.exec_id, f.order_id, f.side.lower(), f.exec_price, f.exec_qty, f.commission)
            for f in fills
        )
        assert await client.payments(symbols) == sorted(
            (p.symbol, p.ts, -p.amount) for p in payments
        )
        assert await client.filled(symbols) == {
            o.order_link_id: o.filled_quantity for o in orders if o.filled_quantity
        }
        assert await client.positions() == {
            p.symbol: p.quantity for p in positions if not p.is_flat
        }
        assert round(await client.balance() - balance(fills, payments), 6) == 0


def balance(fills: Sequence[Fill], payments: Sequence[Funding]) -> Decimal:
    in_order = sorted(fills, key=lambda fill: fill.exec_time)
    return fold("", MONEY, in_order, payments).ledger.balance
