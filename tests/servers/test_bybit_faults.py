"""How requests to the local Bybit fail: before they are taken, after, or on their way."""

import asyncio
from collections import Counter
from random import Random

import pytest
from aiohttp import ClientError

from bot.clock import SystemClock
from tests.fast_clock import FastClock
from tests.servers.bybit import ApiKey, BybitServer, Call, Fate, Fault, dice
from tests.servers.bybit_client import client, stream

CREATE = "/v5/order/create"


@pytest.fixture
async def server():
    server = BybitServer(SystemClock(), accounts=[ApiKey()])
    server.trade("BTCUSDT", 100_000)
    async with server.running():
        yield server


@pytest.fixture
async def bybit(server):
    async with client(server) as bybit:
        yield bybit


def once(server: BybitServer, fault: Fault, path: str = CREATE) -> None:
    """The next request to `path` fails."""
    left = [fault]
    server.faults.private = lambda call: left.pop() if left and call.path == path else None


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "fault",
    [Fault(drop=True), Fault(status=502, body="<html>"), Fault(code=10_016), Fault(code=10_006)],
    ids=["drop", "html", "10016", "10006"],
)
async def test_an_order_whose_answer_is_lost_was_made_or_not(server, bybit, fault, after):
    fault.after = after
    once(server, fault)
    try:
        answer = await bybit.order(orderLinkId="mine")
        assert answer["retCode"] == fault.code
    except ClientError:
        # An HTML page is no JSON, and a cut connection no answer.
        assert fault.drop or fault.body

    assert ("mine" in server.account().links) == after
    assert (await bybit.order(orderLinkId="mine"))["retCode"] == (110_072 if after else 0)


@pytest.mark.parametrize("after", [False, True])
async def test_a_client_that_gives_up_leaves_its_order_where_it_is(server, bybit, after):
    once(server, Fault(hang=True, after=after))
    server.faults.private = _seen(server.faults.private, taken := asyncio.Event())
    asked = asyncio.ensure_future(bybit.order(orderLinkId="mine"))
    await taken.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await bybit.get("account/info")

    assert ("mine" in server.account().links) == after


def _seen(private, taken: asyncio.Event):
    """Tells when a request has met its fault."""

    def roll(call: Call) -> Fault | None:
        taken.set()
        return private(call)

    return roll


async def test_a_request_that_arrives_late_is_judged_by_then():
    async with BybitServer(FastClock(100), accounts=[ApiKey()]).running() as server:
        async with client(server) as bybit:
            once(server, Fault(late_s=90))
            answer = await bybit.order(orderLinkId="mine")
        assert (answer["retCode"], server.account().orders) == (10_002, {})


async def test_a_slow_answer_comes_after_the_order_was_filled(server, bybit):
    once(server, Fault(slow_s=0.05))
    async with stream(server, "order") as listener:
        asked = asyncio.ensure_future(bybit.order())
        message = await listener.hear("order")
        assert not asked.done()
        answer = await asked

    assert message["data"][0]["orderId"] == answer["result"]["orderId"]


async def test_reads_may_lag_behind(server, bybit):
    server.faults.lag_s = 3_600
    assert (await bybit.order(orderLinkId="mine"))["retCode"] == 0
    for path in ("order/realtime", "order/history", "execution/list"):
        assert (await bybit.linear(path, orderLinkId="mine"))["result"]["list"] == []
    assert (await bybit.order(orderLinkId="mine"))["retCode"] == 110_072

    server.faults.lag_s = 0
    for path in ("order/realtime", "order/history", "execution/list"):
        assert len((await bybit.linear(path, orderLinkId="mine"))["result"]["list"]) == 1


@pytest.mark.parametrize("first", [False, True])
async def test_an_order_is_told_whether_before_its_answer_or_after(server, bybit, first):
    server.faults.push_first = first
    async with stream(server, "order") as listener:
        answer = await bybit.order()
        message = await listener.hear("order")

    assert message["data"][0]["orderId"] == answer["result"]["orderId"]


async def test_any_request_can_fail_by_its_path(server, bybit):
    server.faults.rest = lambda path: Fault(code=10_000) if path == CREATE else None

    assert (await bybit.order())["retCode"] == 10_000
    assert (await bybit.get("account/info"))["retCode"] == 0


async def test_a_fault_is_chosen_by_what_was_asked(server, bybit):
    calls: list[Call] = []
    server.faults.private = lambda call: calls.append(call)
    await bybit.order(orderLinkId="a")
    await bybit.order(orderLinkId="b")

    assert [(call.path, call.uid, call.number) for call in calls] == [
        (CREATE, "1001", 1), (CREATE, "1001", 2),
    ]  # fmt: skip
    assert [call.params["orderLinkId"] for call in calls] == ["a", "b"]


def test_dice_fall_as_often_as_they_should_and_the_same_each_time():
    faces = [(0.1, Fate.LOSE), (0.2, Fate.TWICE)]
    one, two = (dice(Random(1), faces, Fate.DELIVER) for _ in range(2))
    rolls = [one(None) for _ in range(2_000)]

    assert rolls == [two(None) for _ in range(2_000)]
    counts = Counter(rolls)
    assert 150 < counts[Fate.LOSE] < 250
    assert 330 < counts[Fate.TWICE] < 470


async def test_an_order_is_made_though_its_client_has_left_on_the_way(server, bybit):
    once(server, Fault(late_s=0.05))
    server.faults.private = _seen(server.faults.private, taken := asyncio.Event())
    async with stream(server, "order") as listener:
        asked = asyncio.ensure_future(bybit.order(orderLinkId="mine"))
        await taken.wait()
        asked.cancel()
        message = await listener.hear("order")

    assert message["data"][0]["orderStatus"] == "Filled"
