"""Candles of the past, fed to the local Bybit one by one: traded, served and told."""

import json
from decimal import Decimal

import pytest
from aiohttp import ClientSession

from engine.candle import HOUR_MS, MINUTE_MS, Candle
from tests.servers.bybit import ApiKey, BybitServer
from tests.servers.bybit_client import client, recorded, stream
from tests.servers.bybit_clock import SteppedClock
from tests.servers.bybit_prices import FUNDING_MS, path

START = 1_735_689_600_000
FIVE = 5 * MINUTE_MS
CANDLES = [
    Candle(START + i * FIVE, 100.0 + i, 103.0 + i, 99.0 + i, 101.0 + i, 2.0) for i in range(13)
]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
async def server(clock, request):
    async with BybitServer(
        clock, ["BTCUSDT"], accounts=[ApiKey()], spec=recorded(request)
    ).running() as server:
        yield server
        assert server.violations == []


async def feed(server: BybitServer, candle: Candle) -> None:
    server.clock.step_to(candle.ts + FIVE)
    await server.feed("BTCUSDT", candle, FIVE)


def test_a_clock_steps_forward_and_never_back(clock):
    before = clock.monotonic()
    clock.step_to(START + HOUR_MS)
    clock.step_to(START)

    assert START + HOUR_MS <= clock.now() < START + 2 * HOUR_MS
    assert clock.monotonic() - before < 3_600


@pytest.mark.parametrize(
    ("candle", "prices"),
    [
        (Candle(0, 10, 13, 9, 12, 1), (10, 9, 13, 12)),
        (Candle(0, 10, 13, 9, 9.5, 1), (10, 13, 9, 9.5)),
    ],
)  # fmt: skip
def test_a_rising_candle_falls_first_and_a_falling_one_rises(candle, prices):
    assert path(candle) == prices


async def test_orders_are_met_on_the_way_through_a_candle(server):
    server.trade("BTCUSDT", 100)
    server.place_foreign("1001", "BTCUSDT", "Buy", "1", stopLoss="99.5", takeProfit="102")
    await feed(server, CANDLES[0])

    fill = server.account().fills[-1]
    # The candle falls before it rises, so that the stop is met and the target is not.
    assert (fill.order.stop_type, fill.price) == ("StopLoss", Decimal("99.5"))
    assert fill.ts >= CANDLES[0].ts + FIVE
    assert server.price("BTCUSDT") == 101


async def test_an_order_after_a_candle_fills_at_its_close(server):
    await feed(server, CANDLES[0])
    async with client(server) as bybit:
        assert (await bybit.order(qty="1"))["retCode"] == 0

    assert server.account().fills[-1].price == 101


async def klines(server: BybitServer, interval: str) -> list[list[str]]:
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": interval}
    async with (
        ClientSession() as session,
        session.get(f"{server.rest_base}/v5/market/kline", params=query) as answer,
    ):
        return (await answer.json())["result"]["list"]


async def test_what_was_fed_is_served_at_every_length(server):
    server.load("BTCUSDT", CANDLES[:5], FIVE)
    for candle in CANDLES[5:12]:
        await feed(server, candle)

    unfinished, *closed = await klines(server, "5")
    assert int(unfinished[0]) == START + HOUR_MS
    assert [[float(cell) for cell in row[:6]] for row in closed] == [
        list(candle) for candle in CANDLES[11::-1]
    ]
    hour = (await klines(server, "60"))[1]
    assert [float(cell) for cell in hour[:6]] == [START, 100.0, 114.0, 99.0, 112.0, 24.0]


async def test_the_stream_tells_of_every_candle_that_ends(server):
    topics = ["kline.5.BTCUSDT", "kline.60.BTCUSDT", "tickers.BTCUSDT"]
    server.load("BTCUSDT", CANDLES[:10], FIVE)
    server.clock.step_to(CANDLES[10].ts)
    async with (
        ClientSession() as session,
        session.ws_connect(server.ws_base + "/v5/public/linear") as socket,
    ):
        await socket.send_json({"op": "subscribe", "args": topics})
        await socket.receive()
        for candle in CANDLES[10:12]:
            await feed(server, candle)
        told, prices = [], []
        while len(told) < 3:
            message = json.loads((await socket.receive()).data)
            if message["topic"].startswith("kline"):
                (row,) = message["data"]
                told.append((row["interval"], row["start"], row["close"], row["confirm"]))
            else:
                prices.append(message["data"]["lastPrice"])

    assert told == [
        ("5", CANDLES[10].ts, "111.0", True), ("5", CANDLES[11].ts, "112.0", True),
        ("60", START, "112.0", True),
    ]  # fmt: skip
    assert "112.00" in prices


async def test_funding_is_settled_at_the_candle_that_ends_with_its_stamp(server):
    server.load("BTCUSDT", CANDLES[:1], FIVE)
    server.place_foreign("1001", "BTCUSDT", "Buy", "1")
    stamp = START + FUNDING_MS
    async with stream(server, "execution") as listener:
        await feed(server, CANDLES[0]._replace(ts=stamp - FIVE))
        (row,) = (await listener.hear("execution"))["data"]

    assert (row["execType"], row["execTime"]) == ("Funding", str(stamp))
    assert len(server.account().funding) == 1
