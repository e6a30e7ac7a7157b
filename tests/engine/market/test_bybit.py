"""The live market on a local Bybit: whatever goes wrong, in the end its candles and no others."""

import asyncio
import contextlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from engine.candle import MINUTE_MS, aggregate
from engine.errors import BadInput, BadSettings, Unreachable
from engine.event import CandleClosed, PriceTicked
from engine.market.bybit import open_bybit
from tests.fast_clock import FastClock
from tests.servers.bybit import FUNDING_MS, SYMBOLS, BybitServer, Fault, candle_at, funding_at

D = Decimal
HOUR = 60 * MINUTE_MS
WARM = 30


@pytest.fixture
def clock():
    return FastClock(200)


@pytest.fixture
async def server(clock):
    async with BybitServer(clock).running() as server:
        yield server


def opened(server, symbols=SYMBOLS, warmup_bars=WARM, interval=MINUTE_MS):
    return open_bybit(
        server.rest_base,
        server.ws_base,
        symbols,
        interval,
        server.clock,
        Random(7),
        warmup_bars=warmup_bars,
    )


@contextlib.asynccontextmanager
async def live(server, cursors=None, **options):
    """A market that runs, from `cursors` on."""
    market = await opened(server, **options)
    market.resume(cursors or {})
    task = asyncio.create_task(market.run())
    try:
        yield market
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        market.close()


async def take(market, enough, seconds=8.0, limit=100):
    """What the market hands out until `enough` of it is there."""
    events = []
    async with asyncio.timeout(seconds):
        while not enough(events):
            events += await market.next(limit)
    return events


def candles(events, symbol=None):
    closed = [event for event in events if isinstance(event, CandleClosed)]
    return [event for event in closed if symbol in (None, event.symbol)]


def ticks(events):
    return [event for event in events if isinstance(event, PriceTicked)]


def at_least(count, symbol=None):
    return lambda events: len(candles(events, symbol)) >= count


def assert_no_other_candles(events, symbols=SYMBOLS, interval=MINUTE_MS):
    """Each of the server's candles from the first on once, by close and then by symbol."""
    closed = candles(events)
    start, last = closed[0].candle.ts, max(event.candle.ts for event in closed)
    expected = [
        (symbol, candle_at(symbol, interval, ts))
        for ts in range(start, last + 1, interval)
        for symbol in symbols
    ]
    assert [(event.symbol, event.candle) for event in closed] == expected[: len(closed)]
    assert len(closed) > len(expected) - len(symbols)


# -- opening -------------------------------------------------------------------------------------


async def test_symbols_that_bybit_does_not_trade_are_left_out_and_told(server):
    server.untradable = {"OLDUSDT": "Closed"}
    market = await opened(server, ["ETHUSDT", "OLDUSDT", "NONEUSDT"])
    market.close()

    assert market.symbols == ("ETHUSDT",)
    assert [remark.split()[0] for remark in market.remarks()] == ["OLDUSDT", "NONEUSDT"]
    assert market.instrument("ETHUSDT").tick == D("0.1")


async def test_none_of_the_symbols_is_refused(server):
    with pytest.raises(BadSettings, match="trades none of NONEUSDT"):
        await opened(server, ["NONEUSDT"])


async def test_a_timeframe_that_bybit_does_not_have_is_refused(server):
    with pytest.raises(BadInput, match="timeframe"):
        await opened(server, interval=45 * MINUTE_MS)


async def test_opening_waits_until_bybit_is_there(server):
    left = [Fault(status=502), Fault(drop=True), Fault(code=10_016)]
    server.faults.rest = lambda path: left.pop() if left else None
    market = await opened(server)
    market.close()

    assert market.symbols == SYMBOLS


async def test_it_has_one_speed(server):
    market = await opened(server)
    market.speed = 1.0
    with pytest.raises(BadInput, match="speed"):
        market.speed = 60.0
    market.close()


# -- candles -------------------------------------------------------------------------------------


async def test_it_begins_before_now_to_warm_up_and_goes_on_live(server):
    start = server.now() // MINUTE_MS * MINUTE_MS - WARM * MINUTE_MS
    async with live(server) as market:
        assert not market.caught_up
        events = await take(market, at_least(3 * (WARM + 3)))

    assert_no_other_candles(events)
    assert abs(candles(events)[0].candle.ts - start) <= 2 * MINUTE_MS
    assert {event.late for event in candles(events)[: 3 * (WARM - 5)]} == {True}
    assert {event.late for event in candles(events)[-3:]} == {False}


async def test_it_goes_on_after_the_last_candle_of_each_symbol(server):
    now = server.now() // MINUTE_MS * MINUTE_MS
    cursors = {symbol: now - (9 - 4 * index) * MINUTE_MS for index, symbol in enumerate(SYMBOLS)}
    async with live(server, cursors) as market:
        events = await take(market, at_least(20))

    for symbol, cursor in cursors.items():
        assert candles(events, symbol)[0].candle.ts == cursor + MINUTE_MS
    closes = [event.closed_at for event in candles(events)]
    assert closes == sorted(closes)


async def test_taken_back_it_hands_out_the_same_again(server):
    async with live(server) as market:
        first = await take(market, at_least(3 * WARM))
        market.resume({symbol: candles(first, symbol)[4].candle.ts for symbol in SYMBOLS})
        again = await take(market, at_least(3 * (WARM - 5)))

    assert [e.candle for e in candles(again)[:30]] == [e.candle for e in candles(first)[15:45]]


async def test_no_more_is_handed_out_at_a_time_than_asked_for(server):
    async with live(server) as market:
        taken = [await market.next(1) for _ in range(3 * WARM)]

    assert {len(events) for events in taken} == {1}


async def test_it_is_caught_up_when_all_that_closed_was_handed_out(server):
    async with live(server) as market:
        await take(market, lambda events: market.caught_up)


async def test_a_candle_the_stream_leaves_out_is_asked_for_before_the_next(server):
    server.faults.skip = lambda symbol, ts: symbol == "ETHUSDT" and ts % (2 * MINUTE_MS) == 0
    async with live(server) as market:
        events = await take(market, at_least(3 * (WARM + 6)))
        health = market.health()

    assert_no_other_candles(events)
    assert health.gaps_filled >= 2


async def test_without_a_stream_candles_still_come_soon_after_their_close(server):
    server.faults.mute_acks = True
    async with live(server) as market:
        await take(market, at_least(3 * WARM))
        events = await take(market, at_least(9))
        assert not market.health().connected

    assert {(event.late, event.ticked) for event in candles(events)} == {(False, False)}
    assert ticks(events) == []


async def test_without_rest_candles_still_come_by_stream(server):
    async with live(server) as market:
        await take(market, at_least(3 * (WARM + 1)))
        server.faults.rest = lambda path: Fault(status=502)
        events = await take(market, at_least(9))

    assert {event.late for event in candles(events)} == {False}


async def test_a_gap_with_rest_out_of_reach_holds_up_the_others_only_for_a_while(server):
    async with live(server) as market:
        await take(market, at_least(3 * (WARM + 1)))
        server.faults.rest = lambda path: Fault(status=502)
        missing = server.now() // MINUTE_MS * MINUTE_MS
        server.faults.skip = lambda symbol, ts: symbol == "BTCUSDT" and ts == missing
        events = await take(market, at_least(4, "SOLUSDT"))
        assert missing not in [event.candle.ts for event in candles(events, "BTCUSDT")]
        assert not market.health().rest_reachable
        server.faults.rest = lambda path: None
        events += await take(market, at_least(4, "BTCUSDT"))

    mine = [event.candle.ts for event in candles(events, "BTCUSDT")]
    assert mine == list(range(mine[0], mine[-1] + 1, MINUTE_MS))
    assert missing in mine
    assert any(event.late for event in candles(events, "BTCUSDT"))


async def test_a_symbol_that_bybit_stops_trading_does_not_hold_up_the_others(server):
    async with live(server) as market:
        await take(market, at_least(3 * (WARM + 1)))
        server.faults.absent = lambda symbol, ts: symbol == "ETHUSDT"
        events = await take(market, at_least(5, "SOLUSDT"))
        assert market.health().quiet == ("ETHUSDT",)
        server.faults.absent = lambda symbol, ts: False
        events = await take(market, at_least(6, "ETHUSDT"))

    mine = [event.candle.ts for event in candles(events, "ETHUSDT")]
    assert mine == list(range(mine[0], mine[-1] + 1, MINUTE_MS))


async def test_a_candle_that_never_was_is_passed_over(server):
    start = server.now() // MINUTE_MS * MINUTE_MS - WARM * MINUTE_MS
    hole = start + 7 * MINUTE_MS
    server.faults.absent = lambda symbol, ts: symbol == "BTCUSDT" and ts == hole
    async with live(server) as market:
        events = await take(market, at_least(3 * WARM))

    mine = [event.candle.ts for event in candles(events, "BTCUSDT")]
    assert mine == [ts for ts in range(mine[0], mine[-1] + 1, MINUTE_MS) if ts != hole]
    assert mine[0] < hole


class Trouble:
    """A server's bad days, drawn from a seed: what breaks, and for how long."""

    def __init__(self, server, seed):
        self.server = server
        self.rng = Random(seed)

    async def run(self):
        while True:
            await self.server.clock.sleep(self.rng.uniform(20, 90))
            self.mend()
            await getattr(self, self.rng.choice(self.KINDS))()

    KINDS = ("drop", "close", "silence", "repeat", "reorder", "skip", "fail", "garbage", "mute")

    def mend(self):
        faults = self.server.faults
        faults.silent = faults.duplicate = faults.reorder = faults.mute_acks = False
        faults.skip, faults.rest = (lambda symbol, ts: False), (lambda path: None)

    async def drop(self):
        self.server.drop()

    async def close(self):
        await self.server.close_streams(self.rng.choice([1000, 1001, 1002, 1012]))

    async def silence(self):
        self.server.faults.silent = True

    async def repeat(self):
        self.server.faults.duplicate = True

    async def reorder(self):
        self.server.faults.reorder = True

    async def mute(self):
        self.server.faults.mute_acks = True
        self.server.drop()

    async def skip(self):
        self.server.faults.skip = lambda symbol, ts: self.rng.random() < 0.5

    async def fail(self):
        kinds = [Fault(status=502), Fault(drop=True), Fault(code=10_016), Fault(code=10_006)]
        rng = self.rng
        self.server.faults.rest = lambda path: rng.choice(kinds) if rng.random() < 0.7 else None

    async def garbage(self):
        for text in (
            "}",
            '{"topic":"tickers.BTCUSDT","type":"delta","ts":1,"data":{"lastPrice":"0"}}',
        ):
            await self.server.say(text)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_goes_wrong_it_hands_out_exactly_the_candles_there_are(shared_spec, seed):
    clock = FastClock(600)
    async with BybitServer(clock, spec=shared_spec, ticker_s=3.0).running() as server:
        trouble = Trouble(server, seed)
        async with live(server, warmup_bars=60) as market:
            task = asyncio.create_task(trouble.run())
            events = await take(market, at_least(90, "SOLUSDT"), seconds=30)
            task.cancel()
            trouble.mend()
            events += await take(market, lambda _: market.caught_up)

        for symbol in SYMBOLS:
            mine = candles(events, symbol)
            assert_no_other_candles(mine, [symbol])
            assert len(mine) >= 85
        assert_prices_in_order(events)
        assert server.violations == []


@pytest.fixture
def shared_spec():
    """The recorded messages, where they are: the server is held to them."""
    folder = Path(__file__).parents[4] / "shared" / "specs" / "bybit"
    return folder if folder.is_dir() else None


# -- prices --------------------------------------------------------------------------------------


def assert_prices_in_order(events):
    """No price after a candle that closed later, none twice, at most one a second."""
    seconds, closed = defaultdict(list), defaultdict(int)
    for event in events:
        if isinstance(event, CandleClosed):
            closed[event.symbol] = event.closed_at
        else:
            assert event.ts >= closed[event.symbol]
            seconds[event.symbol].append(event.ts // 1000)
    for told in seconds.values():
        assert told == sorted(set(told))


async def test_prices_are_told_at_most_once_a_second_and_before_the_close_they_belong_to(clock):
    async with BybitServer(clock, ticker_s=0.3).running() as server, live(server) as market:
        await take(market, at_least(3 * (WARM + 1)))
        events = await take(market, at_least(9))

    assert_prices_in_order(events)
    told = [tick for tick in ticks(events) if tick.symbol == "BTCUSDT"]
    assert len(told) > 60


async def test_candles_are_ticked_while_the_ticker_speaks_on_one_connection(server):
    async with live(server) as market:
        before = await take(market, at_least(3 * (WARM + 4)))
        server.drop()
        broken = await take(market, at_least(3))
        after = await take(market, at_least(9))

    assert not any(event.ticked for event in candles(before)[: 3 * WARM])
    assert {event.ticked for event in candles(before)[-3:]} == {True}
    assert {event.ticked for event in candles(broken)[:3]} == {False}
    assert {event.ticked for event in candles(after)[-3:]} == {True}


async def test_candles_are_not_ticked_when_the_ticker_falls_silent(server):
    async with live(server) as market:
        await take(market, at_least(3 * (WARM + 3)))
        server.faults.tickers = False
        events = await take(market, at_least(9))

    assert {event.ticked for event in candles(events)[-3:]} == {False}
    assert {event.late for event in candles(events)} == {False}


async def test_nobody_sees_old_prices_after_a_pause(server):
    async with live(server) as market:
        await take(market, at_least(3 * (WARM + 3)))
        heard = market.health().last_message_at + 2 * MINUTE_MS
        async with asyncio.timeout(8):
            # The market goes on listening while nobody asks it for anything.
            while market.health().last_message_at < heard:
                await server.clock.sleep(1)
        events = await market.next(100)

    told = ticks(events)
    assert {tick.symbol for tick in told} == set(SYMBOLS)
    assert_prices_in_order(events)
    assert len(told) <= 6
    assert not any(event.ticked for event in candles(events)[-3:])


@pytest.mark.parametrize("price", ['"0"', '"-5"', '"NaN"', '"x"', "null5", "true"])
async def test_a_price_that_can_not_be_is_counted_and_dropped(server, price):
    async with live(server, symbols=["BTCUSDT"]) as market:
        await take(market, at_least(WARM + 1))
        data = f'{{"symbol":"BTCUSDT","lastPrice":{price}}}'
        text = f'{{"topic":"tickers.BTCUSDT","type":"delta","ts":{server.now()},"data":{data}}}'
        await server.say(text)
        events = await take(market, lambda _: market.health().bad_frames == 1)
        events += await take(market, at_least(1))

    assert all(tick.price > 1_000 for tick in ticks(events))


async def test_a_message_from_the_future_is_not_believed(server):
    async with live(server, symbols=["BTCUSDT"]) as market:
        await take(market, at_least(WARM + 1))
        ts = server.now() + 10 * HOUR
        data = '{"symbol":"BTCUSDT","lastPrice":"7"}'
        await server.say(f'{{"topic":"tickers.BTCUSDT","type":"delta","ts":{ts},"data":{data}}}')
        await take(market, lambda _: market.health().bad_frames == 1)
        events = await take(market, lambda events: len(ticks(events)) > 3)

    assert all(tick.price > 1_000 for tick in ticks(events))


# -- what else it knows --------------------------------------------------------------------------


async def test_funding_rates_of_the_past_are_asked_for_and_the_next_is_told_by_ticker(server):
    stamp = server.now() // FUNDING_MS * FUNDING_MS
    async with live(server, warmup_bars=500) as market:
        await take(market, at_least(3 * 501))

        assert market.funding_rate("BTCUSDT", stamp) == D(funding_at("BTCUSDT", stamp))
        told = stamp + FUNDING_MS
        assert market.funding_rate("BTCUSDT", told) == D(funding_at("BTCUSDT", told))
        assert market.funding_rate("BTCUSDT", told + FUNDING_MS) == D("0.0001")


async def test_it_looks_back_in_its_own_bars_or_asks_bybit(server):
    async with live(server) as market:
        await take(market, at_least(3 * WARM))
        now = server.now() // MINUTE_MS * MINUTE_MS
        asked = server.requests["/v5/market/kline"]
        near = await market.history("BTCUSDT", MINUTE_MS, now - MINUTE_MS, 5)
        assert server.requests["/v5/market/kline"] == asked
        far = await market.history("BTCUSDT", HOUR, now, 100)
        none = await market.history("BTCUSDT", HOUR, 0, 100)

    starts = range(now - 6 * MINUTE_MS, now - MINUTE_MS, MINUTE_MS)
    assert near == [candle_at("BTCUSDT", MINUTE_MS, ts) for ts in starts]
    end = now // HOUR * HOUR
    assert [candle.ts for candle in far] == list(range(end - 100 * HOUR, end, HOUR))
    assert none == []


async def test_longer_bars_are_made_of_its_own(server):
    async with live(server) as market:
        await take(market, at_least(3 * WARM))
        now = server.now()
        bars = await market.history("ETHUSDT", 5 * MINUTE_MS, now, 3)

    end = now // (5 * MINUTE_MS) * 5 * MINUTE_MS
    minutes = range(end - 15 * MINUTE_MS, end, MINUTE_MS)
    own = [candle_at("ETHUSDT", MINUTE_MS, ts) for ts in minutes]
    assert bars == aggregate(own, MINUTE_MS, 5 * MINUTE_MS)


async def test_looking_back_says_what_is_wrong(server):
    market = await opened(server)
    with pytest.raises(BadInput, match="symbol"):
        await market.history("DOGEUSDT", HOUR, server.now(), 5)
    server.faults.rest = lambda path: Fault(status=502)
    with pytest.raises(Unreachable):
        await market.history("BTCUSDT", HOUR, server.now(), 5)
    market.close()


async def test_health_says_how_the_prices_come_in(server):
    server.faults.refused = frozenset({"tickers.SOLUSDT"})
    async with live(server) as market:
        before = market.health()
        await take(market, at_least(3 * (WARM + 1)))
        server.drop()
        await take(market, lambda _: market.health().reconnects == 1)
        again = market.health().since
        await take(market, lambda _: market.health().last_message_at >= again)
        health = market.health()

    assert (before.connected, before.since, before.last_message_at) == (False, None, None)
    assert health.connected and health.rest_reachable
    assert health.since <= health.last_message_at
    assert any("tickers.SOLUSDT" in remark for remark in market.remarks())


async def test_rules_and_clocks_are_looked_at_again_now_and_then():
    bybit = BybitServer(FastClock(5_000), ["BTCUSDT"], ticker_s=60.0)
    async with bybit.running() as server, live(server, symbols=["BTCUSDT"]), asyncio.timeout(8):
        while server.requests["/v5/market/instruments-info"] < 2:
            await server.clock.sleep(60)

    assert server.requests["/v5/market/time"] > 30
