"""Bybit's REST through the real pybit, against a server that misbehaves on demand."""

import asyncio
from decimal import Decimal
from itertools import count

import pytest

from engine.bybit.address import Address
from engine.bybit.rest import BybitRest
from engine.candle import MINUTE_MS
from engine.errors import BadInput, Unreachable
from tests.fast_clock import FastClock
from tests.servers.bybit import FUNDING_MS, BybitServer, Fault, candle_at, funding_at

D = Decimal
TIME = "/v5/market/time"
BTC = "BTCUSDT"


@pytest.fixture
def rest(server, clock):
    rest = BybitRest(server.rest_base, clock, Address(clock, 300, 5.0))
    yield rest
    rest.close()


def answers(*faults):
    """The faults one after another, then none."""
    left = list(faults)
    return lambda path: left.pop(0) if left else None


# -- candles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bars", [1, 999, 1_000, 1_001, 2_500])
async def test_candles_come_oldest_first_over_all_pages(rest, server, bars):
    end = server.now() // MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS
    start = end - bars * MINUTE_MS

    candles = await rest.klines(BTC, MINUTE_MS, start, end)

    expected = [candle_at(BTC, MINUTE_MS, ts) for ts in range(start, end, MINUTE_MS)]
    assert candles == expected
    assert server.requests["/v5/market/kline"] == -(-bars // 1_000)


async def test_a_candle_that_is_not_finished_is_not_given(rest, server):
    now = server.now()
    candles = await rest.klines(BTC, 5 * MINUTE_MS, now - 3_600_000, now + 3_600_000)

    assert candles[-1].ts + 5 * MINUTE_MS <= server.now()
    assert candles == [candle_at(BTC, 5 * MINUTE_MS, candle.ts) for candle in candles]


async def test_what_has_closed_is_judged_by_the_servers_time(rest, server):
    server.faults.skew_ms = -1_800_000
    now = server.clock.now()

    candles = await rest.klines(BTC, MINUTE_MS, now - 3_600_000, now)

    assert candles[-1].ts + MINUTE_MS <= server.now()


async def test_a_start_between_two_candles_begins_with_the_next(rest, server):
    start = server.now() // MINUTE_MS * MINUTE_MS - 20 * MINUTE_MS
    candles = await rest.klines(BTC, MINUTE_MS, start + 1, start + 3 * MINUTE_MS)

    assert [candle.ts for candle in candles] == [start + MINUTE_MS, start + 2 * MINUTE_MS]


async def test_an_unknown_symbol_is_named(rest):
    with pytest.raises(BadInput, match="'DOGE'.*linear contract"):
        await rest.klines("DOGE", MINUTE_MS, 0, MINUTE_MS)


# -- the rest of the market ----------------------------------------------------------------------


async def test_instruments_are_found_on_any_page_if_they_are_traded(clock):
    server = BybitServer(clock, page=4)
    server.untradable = {"OLDUSDT": "Closed"}
    async with server.running():
        rest = BybitRest(server.rest_base, clock, Address(clock, 300, 5.0))
        found = await rest.instruments(["SOLUSDT", "OLDUSDT", "NONEUSDT"])
        rest.close()

    assert list(found) == ["SOLUSDT"]
    assert found["SOLUSDT"].quantity_max == D(500)
    assert found["SOLUSDT"].hourly_volume == D(100_000_000)
    assert server.requests["/v5/market/instruments-info"] > 1


async def test_tickers_are_given_by_symbol(rest):
    found = await rest.tickers([BTC, "NONEUSDT"])

    assert list(found) == [BTC]
    assert found[BTC].price > 0


async def test_funding_rates_come_over_all_pages(rest, server):
    last = server.now() // FUNDING_MS * FUNDING_MS
    start = last - 450 * FUNDING_MS

    rates = await rest.funding_rates(BTC, start, last)

    stamps = range(start, last + 1, FUNDING_MS)
    assert rates == {stamp: D(funding_at(BTC, stamp)) for stamp in stamps}


@pytest.mark.parametrize("skew_ms", [0, 4_000, -90_000])
async def test_the_offset_of_the_servers_clock_is_measured(rest, server, skew_ms):
    server.faults.skew_ms = skew_ms
    for _ in range(3):
        await rest.server_time()

    # A round trip of a few ms is a second or so of this clock.
    assert abs(rest.offset_ms - skew_ms) < 3_000


async def test_one_slow_measurement_does_not_move_the_offset(rest, server):
    for _ in range(4):
        await rest.server_time()
    before = rest.offset_ms
    server.faults.skew_ms = 3_600_000
    await rest.server_time()

    assert abs(rest.offset_ms - before) < 3_000


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=502, body="<html>Bad gateway</html>"), "HTTP 502"),
        (Fault(body="<html>Hello</html>"), "JSON"),
        (Fault(body="[]"), "makes no sense"),
        (Fault(body="5"), "makes no sense"),
        (Fault(body="{}"), "makes no sense"),
        (Fault(body='{"retCode": 7}'), "makes no sense"),
        (Fault(code=10_016, message="System error."), "10016: System error"),
        (Fault(code=10_000, message="Server Timeout"), "10000"),
        (Fault(drop=True), "does not answer"),
    ],
    ids=["502", "html", "array", "number", "empty", "no-text", "10016", "10000", "reset"],
)
async def test_an_answer_that_is_none_is_unreachable_and_the_next_is_asked_for(
    rest, server, fault, words
):
    server.faults.rest = answers(fault)

    with pytest.raises(Unreachable, match=words):
        await rest.server_time()
    assert await rest.server_time() > 0
    assert server.requests[TIME] == 2


async def test_an_answer_that_does_not_come_is_unreachable(server, clock):
    server.faults.rest = answers(Fault(hang=True))
    rest = BybitRest(server.rest_base, clock, Address(clock, 300, 5.0), timeout_s=0.1)
    with pytest.raises(Unreachable, match="ReadTimeout"):
        await rest.server_time()
    rest.close()


async def test_a_candle_that_makes_no_sense_is_unreachable(rest, server):
    body = '{"retCode":0,"retMsg":"OK","time":1735689600000,"result":{"list":[["1","2"]]}}'
    server.faults.rest = answers(Fault(body=body))

    with pytest.raises(Unreachable, match="not a candle"):
        await rest.klines(BTC, MINUTE_MS, 0, MINUTE_MS)


async def test_nobody_there_is_unreachable(clock):
    rest = BybitRest("http://127.0.0.1:9", clock, Address(clock, 300, 5.0))
    with pytest.raises(Unreachable, match="does not answer"):
        await rest.server_time()
    rest.close()


@pytest.mark.parametrize(
    "fault",
    [Fault(code=10_006), Fault(status=429, body="slow down")],
    ids=["10006", "429"],
)
@pytest.mark.parametrize(
    ("reset_in_ms", "waits"),
    [(5_000, (4.0, 60.0)), (-90_000, (0.1, 60.0)), (3_600_000, (9.9, 90.0)), (None, (2.0, 60.0))],
    ids=["ahead", "past", "far-ahead", "missing"],
)
async def test_too_many_requests_are_held_back_until_the_reset(
    rest, server, clock, fault, reset_in_ms, waits
):
    if reset_in_ms is not None:
        reset = str(server.now() + reset_in_ms)
        fault = Fault(**{**vars(fault), "headers": {"X-Bapi-Limit-Reset-Timestamp": reset}})
    server.faults.rest = answers(fault)
    began = clock.monotonic()

    await rest.server_time()

    assert waits[0] <= clock.monotonic() - began <= waits[1]
    assert server.requests[TIME] == 2


async def test_too_many_requests_for_ever_are_unreachable(rest, server):
    server.faults.rest = lambda path: Fault(code=10_006)

    with pytest.raises(Unreachable, match="too many"):
        await rest.server_time()
    assert server.requests[TIME] == 4


async def test_after_403_nothing_is_sent_for_ten_minutes(server):
    clock = FastClock(2_000)
    rest = BybitRest(server.rest_base, clock, Address(clock, 300, 5.0))
    server.faults.rest = answers(Fault(status=403, body="access too frequent"))
    began = clock.monotonic()
    refusals = 0

    for _ in count():
        try:
            await rest.server_time()
            break
        except Unreachable as error:
            assert "HTTP 403" in str(error)
            refusals += 1
            await clock.sleep(20)
    rest.close()

    assert clock.monotonic() - began >= 600
    assert refusals > 2
    assert server.requests[TIME] == 2


async def test_requests_keep_to_the_pace(server):
    clock = FastClock(100)
    rest = BybitRest(server.rest_base, clock, Address(clock, 10, 5.0))
    began = clock.monotonic()

    await asyncio.gather(*(rest.server_time() for _ in range(25)))
    rest.close()

    assert clock.monotonic() - began >= 10.0


async def test_all_requests_and_answers_are_as_documented(shared, clock):
    async with BybitServer(clock, spec=shared / "specs" / "bybit").running() as server:
        rest = BybitRest(server.rest_base, clock, Address(clock, 300, 5.0))
        await rest.server_time()
        await rest.instruments([BTC])
        await rest.klines(BTC, MINUTE_MS, server.now() - 3_600_000, server.now())
        await rest.funding_rates(BTC, server.now() - 3 * FUNDING_MS, server.now())
        rest.close()

        assert server.violations == []
        assert len(server.requests) == 5
