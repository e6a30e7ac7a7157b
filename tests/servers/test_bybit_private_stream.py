"""The private stream of the local Bybit: who hears it, what it says, and how it fails."""

import json
from decimal import Decimal

import pytest
from aiohttp import WSMsgType

from bot.clock import SystemClock
from tests.fast_clock import FastClock
from tests.servers.bybit import ApiKey, BybitServer, Fate, Liquidity
from tests.servers.bybit_client import TOPICS, recorded, stream

KEYS = [ApiKey(), ApiKey("key-2", "secret-2", uid="2002"), ApiKey("old", "secret-5", expires=1)]


@pytest.fixture
async def server(request):
    server = BybitServer(SystemClock(), accounts=KEYS, spec=recorded(request))
    server.trade("BTCUSDT", 100_000)
    async with server.running():
        yield server
        assert server.violations == []


def buy(server: BybitServer, qty: str = "0.01", uid: str = "1001", **fields: object) -> str:
    return server.place_foreign(uid, "BTCUSDT", "Buy", qty, **fields).order_id


# -- who hears it --------------------------------------------------------------------------------


async def test_a_stream_is_for_who_signs_in_time(server):
    async with stream(server) as listener:
        assert (await listener.ask("subscribe", "order"))["ret_msg"] == "Request not authorized"
        assert not (await listener.auth(in_ms=-1))["success"]
        answer = await listener.auth()
        assert (answer["success"], answer["op"]) == (True, "auth")
        assert (await listener.ask("subscribe", "order"))["success"]


@pytest.mark.parametrize("key", [ApiKey("none", "x"), ApiKey("key-1", "wrong"), KEYS[2]])
async def test_a_stream_is_not_for_others(server, key):
    async with stream(server, key=key) as listener:
        assert not (await listener.auth())["success"]


@pytest.mark.parametrize("topics", [["order", "order.linear"], ["order", "execution.fast"]])
async def test_a_topic_that_is_not_granted_spoils_the_request(server, topics):
    async with stream(server, "wallet") as listener:
        assert not (await listener.ask("subscribe", *topics))["success"]


async def test_a_pong_says_pong_and_the_time(server):
    async with stream(server) as listener:
        pong = await listener.ask("ping", req_id="7")

    assert (pong["op"], pong["req_id"]) == ("pong", "7")
    assert abs(int(pong["args"][0]) - server.now()) < 60_000


async def test_nothing_is_told_of_what_was_before_or_of_others(server):
    buy(server)
    async with stream(server, *TOPICS) as listener:
        buy(server, uid="2002")
        mine = buy(server)
        message = await listener.hear("order")

    assert [row["orderId"] for row in message["data"]] == [mine]


async def test_a_client_that_is_silent_for_too_long_is_cut_off():
    clock = FastClock(5_000)
    async with (
        BybitServer(clock, accounts=KEYS).running() as server,
        stream(server, query="?max_active_time=30s") as listener,
    ):
        frame = await listener.socket.receive()

    assert frame.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)


# -- what it says --------------------------------------------------------------------------------


async def test_an_order_is_told_on_every_topic(server):
    async with stream(server, *TOPICS) as listener:
        name = buy(server)
        order = await listener.hear("order")
        execution = await listener.hear("execution")
        position = await listener.hear("position")
        wallet = await listener.hear("wallet")

    assert [row["orderStatus"] for row in order["data"]] == ["Filled"]
    (fill,) = execution["data"]
    assert (fill["orderId"], fill["execPnl"], fill["isMaker"]) == (name, "0", False)
    (held,) = position["data"]
    assert (held["side"], held["size"], held["entryPrice"]) == ("Buy", "0.01", "100000")
    (coin,) = wallet["data"][0]["coin"]
    assert Decimal(coin["walletBalance"]) == server.account("1001").wallet


async def test_several_executions_come_in_one_message_with_one_number(server):
    server.liquidity = lambda order: Liquidity(parts=3)
    async with stream(server, "execution") as listener:
        buy(server, "0.03")
        message = await listener.hear("execution")

    assert len(message["data"]) == 3
    assert len({row["seq"] for row in message["data"]}) == 1


async def test_a_position_is_told_when_an_order_comes_or_goes(server):
    async with stream(server, "position.linear") as listener:
        name = buy(server, price=90_000)
        first = await listener.hear("position.linear")
        server.cancel_foreign("1001", name)
        second = await listener.hear("position.linear")

    assert [m["data"][0]["size"] for m in (first, second)] == ["0", "0"]


async def test_an_amount_that_is_not_there_is_empty_or_zero_as_on_bybit(server):
    async with stream(server, "position") as listener:
        buy(server, price=90_000)
        (row,) = (await listener.hear("position"))["data"]

    assert (row["liqPrice"], row["positionIM"], row["side"]) == ("", "0", "")


@pytest.mark.parametrize(
    ("force", "args", "kind", "create_type"),
    [
        ("liquidate", [], "BustTrade", "CreateByTakeOver_PassThrough"),
        ("adl", ["0.01"], "AdlTrade", "CreateByAdl_PassThrough"),
        ("close_foreign", ["0.01"], "Trade", "CreateByClosing"),
        ("force", ["Delivery", "0.01"], "Delivery", "CreateByAdminClosing"),
    ],
)
async def test_what_bybit_or_somebody_in_its_app_does_has_no_link_id(
    server, force, args, kind, create_type
):
    buy(server)
    async with stream(server, "execution") as listener:
        getattr(server, force)("1001", "BTCUSDT", *args)
        (row,) = (await listener.hear("execution"))["data"]

    assert (row["execType"], row["createType"], row["orderLinkId"]) == (kind, create_type, "")
    assert server.account("1001").sizes == {}


async def test_funding_is_told_as_an_execution(server):
    buy(server)
    async with stream(server, "execution") as listener:
        server.settle_funding("BTCUSDT", "0.0001")
        (row,) = (await listener.hear("execution"))["data"]

    assert (row["execType"], row["execFee"]) == ("Funding", "0.100000")


# -- how it fails --------------------------------------------------------------------------------


async def fates(server: BybitServer, *fates: Fate) -> list[str]:
    """The link to the orders that were told, when each message of theirs has its fate."""
    left = list(fates)
    server.faults.fate = lambda pushed: left.pop(0) if left else Fate.DELIVER
    async with stream(server, "order") as listener:
        names = [buy(server) for _ in range(len(fates) + 1)]
        told = []
        while names[-1] not in told:
            frame = await listener.socket.receive()
            if frame.type is not WSMsgType.TEXT:
                return [*told, "cut"]
            try:
                message = json.loads(frame.data)
            except ValueError:
                told.append("garbage")
                continue
            told.append(message["data"][0]["orderId"])
    return ["garbage" if name == "garbage" else str(names.index(name)) for name in told]


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        (Fate.DELIVER, ["0", "1"]),
        (Fate.LOSE, ["1"]),
        (Fate.TWICE, ["0", "0", "1"]),
        (Fate.SWAP, ["1"]),
        (Fate.GARBLE, ["garbage", "0", "1"]),
        (Fate.CUT, ["cut"]),
    ],
)
async def test_a_message_meets_its_fate(server, fate, told):
    assert await fates(server, fate) == told


async def test_a_message_that_is_swapped_comes_after_the_next(server):
    left = [Fate.SWAP]
    server.faults.fate = lambda pushed: left.pop() if left else Fate.DELIVER
    async with stream(server, "order") as listener:
        names = [buy(server) for _ in range(3)]
        told = [(await listener.hear("order"))["data"][0]["orderId"] for _ in names]

    assert told == [names[1], names[0], names[2]]


async def test_a_late_message_comes_after_all(server):
    left = [Fate.LATE]
    server.faults.fate = lambda pushed: left.pop() if left else Fate.DELIVER
    server.faults.late_s = 0.05
    async with stream(server, "order") as listener:
        names = [buy(server) for _ in range(2)]
        told = [(await listener.hear("order"))["data"][0]["orderId"] for _ in names]

    assert told == names[::-1]


async def test_a_silent_stream_still_answers_pings(server):
    server.faults.private_silent = True
    async with stream(server, "order") as listener:
        buy(server)
        assert (await listener.ask("ping"))["op"] == "pong"


async def test_every_stream_ends_when_the_server_restarts(server):
    async with stream(server, "order") as listener:
        server.restart()
        frame = await listener.socket.receive()

    assert frame.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
    async with stream(server, "order") as listener:
        buy(server)
        await listener.hear("order")
    assert len(server.private_connections) == 2
