"""Fetching into the archive from a Bybit on loopback, through the real pybit."""

from decimal import Decimal

import pytest

from engine.candle import DAY_MS, MINUTE_MS
from engine.columns import columns_of_candles, digest
from engine.errors import BadInput, Unreachable
from engine.market.archive import Archive
from engine.market.download import WAITS_S, fetch, open_rest, wanted
from tests.fast_clock import FastClock
from tests.servers.bybit import FUNDING_MS, BybitServer, Fault, candle_at, funding_at

BTC, ETH = "BTCUSDT", "ETHUSDT"
BAR = 5 * MINUTE_MS
KLINES = "/v5/market/kline"
# Twelve pages of a thousand bars, in three parts.
DAYS = 40


# Between two bars of any length and two settlements: clocks of two machines never agree at one.
NOON = 1_735_732_800_000 + 150_000


@pytest.fixture
def clock():
    return FastClock(200, NOON)


@pytest.fixture
async def server(clock):
    async with BybitServer(clock).running() as server:
        yield server


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


@pytest.fixture
def rest(server, clock):
    rest = open_rest(server.rest_base, clock)
    yield rest
    rest.close()


@pytest.fixture
async def asked(rest, clock):
    return await wanted(rest, clock, [BTC], BAR, DAYS * DAY_MS, replace=False, keeps=False)


def nobody(symbol, asked, total):
    """Hears of no progress."""


def theirs(bars, symbol=BTC):
    stamps = range(bars.start, bars.stop, BAR)
    return columns_of_candles([candle_at(symbol, BAR, ts) for ts in stamps])


async def test_all_that_has_closed_is_fetched_once(rest, archive, clock, server, asked):
    assert asked.stop - asked.start == DAYS * DAY_MS
    assert asked.stop <= server.now() < asked.stop + 2 * BAR
    heard = []
    told = await fetch(rest, archive, clock, BTC, asked, lambda *said: heard.append(said))

    bars = DAYS * 288
    assert told == [
        f"BTCUSDT 5m: {bars:,} bars new, 0 stored before.",
        f"BTCUSDT funding: {len(archive.rates(BTC).ts)} rates new, 0 stored before.",
    ]
    assert heard == [(BTC, part, bars) for part in (5_000, 10_000, bars)]
    assert digest(archive.read(BTC, BAR)) == digest(theirs(asked))

    before = server.requests[KLINES]
    told = await fetch(rest, archive, clock, BTC, asked, nobody)
    assert told[0] == f"BTCUSDT 5m: 0 bars new, {bars:,} stored before."
    assert server.requests[KLINES] == before


async def test_a_bar_that_is_still_forming_is_not_stored(rest, archive, clock, server):
    bars = await wanted(rest, clock, [BTC], DAY_MS, 3 * DAY_MS, replace=False, keeps=False)
    ahead = bars.__class__(DAY_MS, bars.start, bars.stop + 2 * DAY_MS)
    await fetch(rest, archive, clock, BTC, ahead, nobody)

    assert archive.read(BTC, DAY_MS).ts[-1] == bars.stop - DAY_MS


async def test_funding_rates_come_along(rest, archive, clock, asked):
    await fetch(rest, archive, clock, BTC, asked, nobody)

    rates = archive.rates(BTC)
    stamps = range(-(-asked.start // FUNDING_MS) * FUNDING_MS, asked.stop + 1, FUNDING_MS)
    assert rates.ts.tolist() == list(stamps)
    assert rates.rate.tolist() == [float(Decimal(funding_at(BTC, stamp))) for stamp in stamps]


async def test_a_fetch_that_broke_off_goes_on_where_it_was(rest, archive, clock, server, asked):
    asked_before = server.requests[KLINES]
    answered = asked_before + 7
    server.faults.rest = lambda path: (
        Fault(code=10_000) if path == KLINES and server.requests[KLINES] > answered else None
    )
    with pytest.raises(Unreachable):
        await fetch(rest, archive, clock, BTC, asked, nobody)
    assert archive.read(BTC, BAR).ts[-1] == asked.start + 4_999 * BAR

    server.faults.rest = lambda path: None
    asked_before = server.requests[KLINES]
    told = await fetch(rest, archive, clock, BTC, asked, nobody)
    assert told[0] == f"BTCUSDT 5m: {DAYS * 288 - 5_000:,} bars new, 5,000 stored before."
    assert server.requests[KLINES] - asked_before == 7
    assert digest(archive.read(BTC, BAR)) == digest(theirs(asked))


async def test_a_request_without_an_answer_is_sent_again(rest, archive, clock, server, asked):
    faults = [Fault(drop=True), Fault(code=10_000), Fault(status=502), Fault(body="<html>")]
    server.faults.rest = lambda path: faults.pop() if faults and path == KLINES else None
    await fetch(rest, archive, clock, BTC, asked, nobody)

    assert digest(archive.read(BTC, BAR)) == digest(theirs(asked))


async def test_bybit_out_of_reach_is_told_in_half_a_minute(rest, clock, server):
    server.faults.rest = lambda path: Fault(code=10_000)
    with pytest.raises(Unreachable):
        await wanted(rest, clock, [BTC], BAR, DAY_MS, replace=False, keeps=False)
    assert server.requests["/v5/market/time"] == len(WAITS_S) + 1
    assert 25 <= sum(WAITS_S) <= 35


async def test_bars_that_bybit_lacks_are_told_and_asked_for_again(
    rest, archive, clock, server, asked
):
    gone = {asked.start + n * BAR for n in (10, 11, 500)}
    server.faults.absent = lambda symbol, ts: ts in gone
    told = await fetch(rest, archive, clock, BTC, asked, nobody)
    assert told[-1].startswith("BTCUSDT 5m: 2 gaps (3 bars missing), the first after ")
    assert told[-1].endswith("; nothing is filled in.")
    assert len(archive.read(BTC, BAR).ts) == DAYS * 288 - 3

    gone.clear()
    told = await fetch(rest, archive, clock, BTC, asked, nobody)
    assert told[0].startswith("BTCUSDT 5m: 3 bars new")
    assert digest(archive.read(BTC, BAR)) == digest(theirs(asked))


@pytest.mark.parametrize("replace", [False, True])
async def test_bars_stored_with_other_values_are_replaced_only_when_told(
    rest, archive, clock, asked, replace
):
    mine = theirs(asked)
    mine.close[7] = mine.high[7] = mine.high[7] + 5.0
    archive.append(BTC, BAR, mine)
    again = asked.__class__(BAR, asked.start, asked.stop, replace)
    told = await fetch(rest, archive, clock, BTC, again, nobody)

    said = [line for line in told if "differs from what was stored" in line]
    assert bool(said) is replace
    assert all("the new were taken" in line for line in said)
    expected = theirs(asked) if replace else mine
    assert digest(archive.read(BTC, BAR)) == digest(expected)


async def test_an_unknown_symbol_is_named_before_anything_is_fetched(rest, archive, clock):
    with pytest.raises(BadInput, match="symbol: 'NONEUSDT'"):
        await wanted(rest, clock, [BTC, "NONEUSDT"], BAR, DAY_MS, replace=False, keeps=False)
    assert archive.holdings() == []


@pytest.mark.parametrize("keeps", [False, True])
async def test_what_was_asked_for_on_purpose_is_not_pruned(rest, archive, clock, keeps):
    bars = await wanted(rest, clock, [BTC], DAY_MS, 200 * DAY_MS, replace=False, keeps=keeps)
    await fetch(rest, archive, clock, BTC, bars, nobody)
    dropped = archive.prune(bars.stop - 90 * DAY_MS)

    first = archive.read(BTC, DAY_MS).ts[0]
    assert bool(first == bars.start) is keeps
    assert bars.stop - first >= 90 * DAY_MS
    assert [each.timeframe for each in dropped] == ([] if keeps else ["1d", "funding"])
