"""The local Bybit answers as Bybit does, and notices what Bybit would not do or allow."""

import json

import pytest
from aiohttp import ClientSession

from engine.candle import MINUTE_MS
from tests.fast_clock import FastClock
from tests.servers.bybit import FUNDING_MS, BybitServer, candle_at
from tests.servers.bybit_spec import Spec, leaves

URL_PATH = "/v5/public/linear"
KLINE = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"}
ORDER = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "1",
    "positionIdx": 0, "reduceOnly": True,
}  # fmt: skip


@pytest.fixture
def folder(shared):
    return shared / "specs" / "bybit"


@pytest.fixture
async def server():
    async with BybitServer(FastClock(200)).running() as server:
        yield server


@pytest.fixture
async def get(server):
    async with ClientSession(server.rest_base) as session:

        async def ask(path, **query):
            async with session.get(f"/v5/market/{path}", params=query) as answer:
                return await answer.json()

        yield ask


async def test_candles_are_newest_first_and_the_first_is_not_finished(server, get):
    rows = (await get("kline", **KLINE))["result"]["list"]

    opens = [int(row[0]) for row in rows]
    assert len(opens) == 200
    assert opens == sorted(opens, reverse=True)
    assert opens[0] + MINUTE_MS > server.now() - MINUTE_MS
    assert rows[0][1:6] != [str(cell) for cell in candle_at("BTCUSDT", MINUTE_MS, opens[0])[1:]]
    assert rows[1][1:6] == [str(cell) for cell in candle_at("BTCUSDT", MINUTE_MS, opens[1])[1:]]


async def test_start_end_and_limit_choose_candles(server, get):
    end = server.now() // MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS
    query = {**KLINE, "start": end - 5 * MINUTE_MS + 1, "end": end, "limit": 3}
    rows = (await get("kline", **query))["result"]["list"]

    assert [int(row[0]) for row in rows] == [end, end - MINUTE_MS, end - 2 * MINUTE_MS]


async def test_an_error_comes_with_http_200(get):
    answer = await get("kline", **{**KLINE, "symbol": "NONE"})

    assert (answer["retCode"], answer["result"]) == (10_001, {})


async def test_funding_is_newest_first_and_needs_an_end(server, get):
    query = {"category": "linear", "symbol": "BTCUSDT"}
    rows = (await get("funding/history", **query, limit=3))["result"]["list"]

    last = server.now() // FUNDING_MS * FUNDING_MS
    stamps = [int(row["fundingRateTimestamp"]) for row in rows]
    assert stamps == [last, last - FUNDING_MS, last - 2 * FUNDING_MS]
    assert (await get("funding/history", **query, startTime=0))["retCode"] == 10_001


async def test_a_stream_answers_then_snapshots_then_speaks(server):
    async with ClientSession() as session, session.ws_connect(server.ws_base + URL_PATH) as socket:
        topics = ["tickers.BTCUSDT", "kline.1.BTCUSDT"]
        await socket.send_json({"req_id": "1", "op": "subscribe", "args": topics})
        await socket.send_json({"op": "ping"})
        told = [await socket.receive_json() for _ in range(40)]

    assert (told[0]["op"], told[0]["success"], told[0]["req_id"]) == ("subscribe", True, "1")
    assert (told[1]["topic"], told[1]["type"]) == ("tickers.BTCUSDT", "snapshot")
    assert any(message.get("ret_msg") == "pong" for message in told)
    klines = [m["data"][0] for m in told if m.get("topic") == "kline.1.BTCUSDT"]
    assert {kline["confirm"] for kline in klines} <= {True, False}
    assert any(message.get("type") == "delta" for message in told)


async def test_one_unknown_topic_spoils_a_subscription(server):
    async with ClientSession() as session, session.ws_connect(server.ws_base + URL_PATH) as socket:
        await socket.send_json({"op": "subscribe", "args": ["tickers.BTCUSDT", "tickers.NONE"]})
        answer = await socket.receive_json()
        await socket.send_json({"op": "ping"})
        after = await socket.receive_json()

    assert not answer["success"]
    # Had the known topic been taken, its snapshot would stand before the pong.
    assert after["ret_msg"] == "pong"
    assert "tickers.NONE" in answer["ret_msg"]


# -- the spec it is held to ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/v5/market/kline", KLINE | {"from": "1"}, "unknown parameter from"),
        ("/v5/market/kline", {"interval": "1"}, "symbol is missing"),
        ("/v5/market/kline", KLINE | {"start": "1.5"}, "start=1.5 is not an integer"),
        ("/v5/market/kline", KLINE | {"limit": "1001"}, "limit=1001"),
    ],
)
def test_a_request_that_is_not_documented_is_a_violation(folder, path, query, words):
    spec = Spec(folder)
    spec.check_request("/v5/market/kline", KLINE)
    assert spec.violations == []

    spec.check_request(path, query)
    assert words in spec.violations[0]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"op": "dance"}, "op dance"),
        ({"op": "subscribe", "args": ["kline.7m.BTCUSDT"]}, "topic kline.7m.BTCUSDT"),
        ({"op": "subscribe", "args": [], "id": 1}, "unknown fields"),
        ({"op": "subscribe", "args": ["tickers.BTCUSDT"] * 2_000}, "too long"),
    ],
)
def test_a_frame_that_is_not_documented_is_a_violation(folder, frame, words):
    spec = Spec(folder)
    spec.check_frame({"req_id": "1", "op": "subscribe", "args": ["kline.1.BTCUSDT"]})
    assert spec.violations == []

    spec.check_frame(frame)
    assert words in spec.violations[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"ts": "1"}, ".ts is a string"), ({"seq": 1}, ".seq is a number (allowed: no such field)")],
)
def test_a_message_unlike_the_recorded_ones_is_a_violation(folder, change, words):
    spec = Spec(folder)
    recorded = json.loads((folder / "nautilus" / "ws_kline.json").read_text())
    spec.check_push(recorded)
    assert spec.violations == []

    spec.check_push(recorded | change)
    assert words in spec.violations[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ORDER | {"leverage": "5"}, "unknown parameter leverage"),
        (ORDER | {"qty": 1}, "qty=1 is not a string"),
        (ORDER | {"positionIdx": "0.5"}, "positionIdx=0.5 is not an integer"),
        (ORDER | {"reduceOnly": "true"}, "reduceOnly=true is not a boolean"),
        ({name: ORDER[name] for name in ORDER if name != "side"}, "side is missing"),
    ],
)
def test_a_body_that_is_not_documented_is_a_violation(folder, body, words):
    spec = Spec(folder)
    spec.check_request("/v5/order/create", ORDER)
    assert spec.violations == []

    spec.check_request("/v5/order/create", body)
    assert words in spec.violations[0]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"op": "auth", "args": ["key", 1.5, "sign"]}, "auth takes"),
        ({"op": "subscribe", "args": ["fills"]}, "topic fills"),
        ({"op": "order.create", "args": []}, "op order.create"),
    ],
)
def test_a_private_frame_that_is_not_documented_is_a_violation(folder, frame, words):
    spec = Spec(folder)
    spec.check_private_frame({"op": "auth", "args": ["key", 1, "sign"]})
    spec.check_private_frame({"op": "subscribe", "args": ["order.linear", "wallet"]})
    assert spec.violations == []

    spec.check_private_frame(frame)
    assert words in spec.violations[0]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("ws_account_execution", {"execQty": 1}, "execQty is a number"),
        ("ws_account_order_filled", {"filled": "1"}, "filled is a string (allowed: no such field)"),
        ("ws_account_position", {"liqPrice": None}, "liqPrice is a null"),
    ],
)
def test_a_private_message_unlike_the_recorded_ones_is_a_violation(folder, name, change, words):
    spec = Spec(folder)
    recorded = json.loads((folder / "nautilus" / f"{name}.json").read_text())
    spec.check_push(recorded)
    assert spec.violations == []

    recorded["data"][0] |= change
    spec.check_push(recorded)
    assert words in spec.violations[0]


def test_an_answer_unlike_the_recorded_ones_is_a_violation(folder):
    spec = Spec(folder)
    recorded = json.loads((folder / "nautilus" / "http_get_positions.json").read_text())
    spec.check_answer("/v5/position/list", recorded)
    assert spec.violations == []

    recorded["result"]["list"][0]["entryPrice"] = "1"
    spec.check_answer("/v5/position/list", recorded)
    assert ".result.list[].entryPrice" in spec.violations[0]


def test_leaves_are_all_places_of_a_message():
    message = {"a": [1, {"b": None}], "c": True, "d": "x"}

    assert list(leaves(message)) == [
        ("", "object"), (".a", "array"), (".a[]", "number"), (".a[]", "object"),
        (".a[].b", "null"), (".c", "boolean"), (".d", "string"),
    ]  # fmt: skip
