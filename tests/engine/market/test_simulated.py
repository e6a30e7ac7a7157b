"""The simulated market: the same on every run, and like a market."""

from decimal import Decimal
from itertools import pairwise
from math import isfinite, log, sqrt
from statistics import correlation, pstdev

import pytest

from engine.candle import DAY_MS, HOUR_MS, Candle, aggregate
from engine.errors import BadInput
from engine.event import CandleClosed
from engine.instrument import MAJORS
from engine.market.simulated import DAYS_KEPT, INTERVAL, SimulatedMarket
from engine.ports import Market

ANCHOR = 1_750_000_000_000
START = ANCHOR - ANCHOR % DAY_MS
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


async def drained(market: Market, limit: int = 5000) -> list[CandleClosed]:
    events = []
    while batch := await market.next(limit):
        events += batch
    return events


async def month(clock, seed: int) -> dict[str, list[Candle]]:
    clock.ms = START + 30 * DAY_MS
    market = SimulatedMarket(seed, ANCHOR, 0, clock)
    return {symbol: await market.history(symbol, INTERVAL, clock.now(), 9999) for symbol in SYMBOLS}


def returns(candles: list[Candle]) -> list[float]:
    return [log(after.close / before.close) for before, after in pairwise(candles)]


async def test_two_runs_and_other_batches_give_the_same_candles(clock):
    clock.ms = START + 3.3 * DAY_MS
    once = await drained(SimulatedMarket(7, ANCHOR, 0, clock))
    assert once == await drained(SimulatedMarket(7, ANCHOR, 0, clock), 17)
    assert len(once) == 3 * int(3.3 * 288)
    assert [event.symbol for event in once[:3]] == list(SYMBOLS)
    assert once[0].candle.ts == SimulatedMarket(7, ANCHOR, 0, clock).anchor == START


async def test_the_order_of_asking_changes_nothing(clock):
    clock.ms = START + (DAYS_KEPT + 9) * DAY_MS
    forward = SimulatedMarket(7, ANCHOR, 0, clock)
    backward = SimulatedMarket(7, ANCHOR, 0, clock, symbols=("SOLUSDT", "BTCUSDT"))
    moments = [START + days * DAY_MS for days in (1, 2, DAYS_KEPT + 5)]
    ahead = [await forward.history("SOLUSDT", INTERVAL, until, 400) for until in moments]
    back = [await backward.history("SOLUSDT", INTERVAL, until, 400) for until in moments[::-1]]
    assert ahead == back[::-1]
    assert await forward.history("SOLUSDT", INTERVAL, moments[0], 400) == ahead[0]


async def test_it_is_the_market_it_was_when_this_test_was_written(clock):
    clock.ms = START + 40 * DAY_MS
    market = SimulatedMarket(42, ANCHOR, 0, clock)
    closes = [(await market.history(symbol, INTERVAL, clock.now(), 1))[0] for symbol in SYMBOLS]
    assert [candle.close for candle in closes] == [103323.8, 3788.35, 198.66]


async def test_another_seed_is_another_market(clock):
    clock.ms = START + DAY_MS
    first, second = [await drained(SimulatedMarket(seed, ANCHOR, 0, clock)) for seed in (1, 2)]
    assert first != second


async def test_it_goes_on_after_the_given_opens(clock):
    clock.ms = START + 2 * DAY_MS
    whole = await drained(SimulatedMarket(7, ANCHOR, 0, clock))
    market = SimulatedMarket(7, ANCHOR, 0, clock)
    market.resume({event.symbol: event.candle.ts for event in whole[:900]})
    assert await drained(market) == whole[900:]


async def test_it_ends_at_the_clock_and_goes_on_when_time_has_passed(clock):
    clock.ms = START + INTERVAL - 1
    market = SimulatedMarket(7, ANCHOR, 0, clock)
    assert market.caught_up
    assert await market.next(99) == []
    clock.ms += 1
    assert not market.caught_up
    assert len(await market.next(99)) == 3
    assert await market.next(99) == []
    assert market.caught_up


async def test_after_a_fast_start_it_runs_at_60_until_it_waits_for_the_clock(clock):
    clock.ms = START + 10 * INTERVAL
    market = SimulatedMarket(7, ANCHOR, 0, clock)
    await market.next(3 * 8)
    market.speed = 60
    moments = []
    for _ in range(4):
        assert len(await market.next(99)) == 3
        moments.append(round(clock.slept))
    assert moments == [5, 10, 300, 600]
    assert clock.now() == START + 12 * INTERVAL


async def test_history_is_the_aggregate_and_ends_at_the_clock(clock):
    clock.ms = START + 20 * DAY_MS + 5 * HOUR_MS
    market = SimulatedMarket(7, ANCHOR, 0, clock)
    short = await market.history("ETHUSDT", INTERVAL, clock.now() + DAY_MS, 99_999)
    assert short[0].ts == START
    assert short[-1].ts + INTERVAL == clock.now()
    long = await market.history("ETHUSDT", 4 * HOUR_MS, clock.now() + DAY_MS, 50)
    assert long == aggregate(short, INTERVAL, 4 * HOUR_MS)[-50:]


@pytest.mark.parametrize("seed", [1, 42, 2024])
async def test_every_candle_is_well_formed(clock, seed):
    for symbol, candles in (await month(clock, seed)).items():
        assert [candle.ts for candle in candles] == [*range(START, clock.now(), INTERVAL)]
        for before, candle in pairwise(candles):
            assert all(map(isfinite, candle))
            assert candle.open == before.close
            assert 0 < candle.low <= min(candle.open, candle.close)
            assert max(candle.open, candle.close) <= candle.high
            assert candle.volume > 0
            for price in candle[1:5]:
                assert Decimal(str(price)) % MAJORS[symbol].tick == 0


VOLATILITY = {"BTCUSDT": (0.45, 0.75), "ETHUSDT": (0.6, 0.95), "SOLUSDT": (0.8, 1.25)}


@pytest.mark.parametrize("seed", [1, 7, 42])
async def test_a_month_moves_like_a_market(clock, seed):
    candles = await month(clock, seed)
    moves = {symbol: returns(candles[symbol]) for symbol in SYMBOLS}
    for symbol, (least, most) in VOLATILITY.items():
        assert least < pstdev(moves[symbol]) * sqrt(365 * 288) < most
    for other in ("ETHUSDT", "SOLUSDT"):
        assert 0.5 < correlation(moves["BTCUSDT"], moves[other]) < 0.95
    for symbol in SYMBOLS:
        sizes = [abs(move) for move in moves[symbol]]
        assert 1.7 < sum(log(bar.high / bar.low) for bar in candles[symbol][1:]) / sum(sizes) < 2.4
        # Large moves come in clusters, and with volume.
        assert correlation(sizes[:-1], sizes[1:]) > 0.1
        assert correlation(sizes, [candle.volume for candle in candles[symbol][1:]]) > 0.4


async def test_a_year_stays_within_bounds(clock):
    clock.ms = START + 365 * DAY_MS
    market = SimulatedMarket(3, ANCHOR, 0, clock)
    first = {"BTCUSDT": 100_000, "ETHUSDT": 3_500, "SOLUSDT": 180}
    for symbol, price in first.items():
        days = await market.history(symbol, DAY_MS, clock.now(), 365)
        assert len(days) == 365
        assert price / 4 < min(day.low for day in days)
        assert max(day.high for day in days) < price * 4


def test_funding_rates_are_small_and_always_the_same(clock):
    first, second = (SimulatedMarket(7, ANCHOR, 0, clock) for _ in range(2))
    stamps = range(START, START + 365 * DAY_MS, 8 * HOUR_MS)
    rates = [first.funding_rate("BTCUSDT", ts) for ts in stamps]
    assert rates == [second.funding_rate("BTCUSDT", ts) for ts in stamps]
    assert all(Decimal("-0.0003") <= rate <= Decimal("0.0005") for rate in rates)
    assert all(rate.as_tuple().exponent == -8 for rate in rates)
    assert abs(sum(rates) / len(rates) - Decimal("0.0001")) < Decimal("0.00002")
    assert first.funding_rate("ETHUSDT", START) != rates[0]


def test_it_says_that_it_is_simulated(clock):
    market: Market = SimulatedMarket(42, ANCHOR, 0, clock)
    assert market.name == "sim42"
    assert market.label == "simulated market, seed 42"
    assert list(market.remarks()) == ["This market is simulated (seed 42): no price in it is real."]
    assert market.instrument("BTCUSDT") is MAJORS["BTCUSDT"]


def test_what_cannot_be_simulated_is_refused(clock):
    with pytest.raises(BadInput, match="seed: -1 .* at least 0"):
        SimulatedMarket(-1, ANCHOR, 0, clock)
    with pytest.raises(BadInput, match="symbol: 'WIFUSDT' .* BTCUSDT, ETHUSDT, SOLUSDT"):
        SimulatedMarket(1, ANCHOR, 0, clock, symbols=("WIFUSDT",))
