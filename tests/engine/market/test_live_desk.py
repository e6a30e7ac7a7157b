"""A whole desk on a local Bybit that fails in every way: each candle acted on, and once."""

import asyncio
from decimal import Decimal
from random import Random

from engine.candle import MINUTE_MS
from engine.core import Core
from engine.event import CandleClosed, Event
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.market.bybit import open_bybit
from engine.order import Fill
from engine.runtime import Runtime
from engine.signal import Decision
from engine.store.memory import MemoryStore
from tests.askers import POLICY
from tests.engine.conftest import BUY_NOW, LEAVE_NOW, SELL_NOW, bot, puppet
from tests.fast_clock import FastClock
from tests.servers.bybit import SYMBOLS, BybitServer, Fault, candle_at

RATE = 240
WARM = 20
LIVE_CANDLES = 40


class WatchedCore(Core):
    """Writes down every candle it is told of."""

    taken: list[CandleClosed]

    def step(self, event: Event):
        if isinstance(event, CandleClosed):
            self.taken.append(event)
            # What the puppet strategy is wished to do comes with the volume.
            wish = (BUY_NOW, 0, LEAVE_NOW, SELL_NOW, 0, LEAVE_NOW)[event.candle.ts // MINUTE_MS % 6]
            event = CandleClosed(
                event.symbol,
                event.candle._replace(volume=wish),
                event.closed_at,
                event.late,
                event.ticked,
            )
        return super().step(event)


async def one_process(
    server: BybitServer, store: MemoryStore, taken: list[CandleClosed], enough: int
) -> None:
    """A desk on the server's prices, killed once it has taken `enough` candles in all."""
    market = await open_bybit(
        server.rest_base,
        server.ws_base,
        SYMBOLS,
        MINUTE_MS,
        server.clock,
        Random(7),
        warmup_bars=WARM,
    )
    rules = {symbol: market.instrument(symbol) for symbol in SYMBOLS}
    trader = bot(puppet(timeframe=MINUTE_MS), symbols=SYMBOLS)
    book = PaperBook(trader.account, Decimal(10_000), PaperSettings(), rules, market.funding_rate)
    core = WatchedCore([trader], rules, MINUTE_MS, "paper", market.name, POLICY)
    core.taken = taken
    exchange = PaperExchange([book], {trader.account: SYMBOLS})
    runtime = Runtime(core, store, exchange, market, server.clock, b"k" * 32, "1")
    await runtime.start(await store.take_epoch("a test"))
    tasks = [asyncio.create_task(runtime.run()), asyncio.create_task(market.run())]
    try:
        async with asyncio.timeout(60):
            while len(taken) < enough:
                done, _ = await asyncio.wait(tasks, timeout=0.02)
                for task in done:
                    task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        market.close()


async def misbehave(server: BybitServer, dice: Random) -> None:
    """Drops, silence, lost and doubled messages, and REST that fails, one after the other."""
    faults = server.faults
    while True:
        await server.clock.sleep(dice.uniform(20, 90))
        match dice.randrange(5):
            case 0:
                server.drop()
            case 1:
                await server.close_streams()
            case 2:
                faults.silent = True
                await server.clock.sleep(dice.uniform(30, 120))
                faults.silent = False
            case 3:
                lost = dice.choice(SYMBOLS)
                faults.skip = lambda symbol, ts, lost=lost: symbol == lost
                await server.clock.sleep(90)
                faults.skip = lambda symbol, ts: False
            case 4:
                faults.rest = lambda path: Fault(502, body="<html>Bad gateway</html>")
                await server.clock.sleep(dice.uniform(5, 20))
                faults.rest = lambda path: None
        faults.duplicate = dice.random() < 0.5
        faults.reorder = dice.random() < 0.5


async def test_a_desk_takes_exactly_the_candles_there_are_each_once_also_over_a_restart():
    clock = FastClock(RATE)
    server = BybitServer(clock)
    store, taken = MemoryStore(), list[CandleClosed]()
    async with server.running():
        trouble = asyncio.create_task(misbehave(server, Random(11)))
        total = len(SYMBOLS) * (WARM + LIVE_CANDLES)
        await one_process(server, store, taken, total // 2)
        again = list[CandleClosed]()
        await one_process(server, store, again, total - total // 2)
        trouble.cancel()

    for symbol in SYMBOLS:
        first = [event.candle.ts for event in taken if event.symbol == symbol]
        later = [event.candle.ts for event in again if event.symbol == symbol]
        # What the first process took and had not stored is taken again, and nothing else.
        assert first == list(range(first[0], first[-1] + 1, MINUTE_MS))
        assert later == list(range(later[0], later[-1] + 1, MINUTE_MS))
        assert later[0] <= first[-1] + MINUTE_MS
    for event in [*taken, *again]:
        assert event.candle == candle_at(event.symbol, MINUTE_MS, event.candle.ts)
    fills = await store.recent(Fill)
    assert fills, "the desk should have traded"
    decisions = [(each.symbol, each.ts, each.action) for each in await store.recent(Decision)]
    assert len(set(decisions)) == len(decisions)
