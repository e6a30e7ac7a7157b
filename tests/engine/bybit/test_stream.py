"""The stream client against a server that drops, falls silent and talks nonsense."""

import asyncio
import contextlib
from itertools import pairwise
from random import Random

import pytest

from engine.bybit.stream import Connected, Disconnected, Message, Stream, TopicRefused
from engine.errors import BadInput
from tests.clock import turn
from tests.engine.bybit.listener import Listener
from tests.fast_clock import FastClock
from tests.servers.bybit import BybitServer

TOPICS = ("kline.1.BTCUSDT", "tickers.BTCUSDT")
URL_PATH = "/v5/public/linear"


@contextlib.asynccontextmanager
async def streaming(server, clock, topics=TOPICS):
    listener = Listener()
    stream = Stream(server.ws_base + URL_PATH, topics, clock, Random(1), listener.hear)
    listener.stream = stream
    task = asyncio.create_task(stream.run())
    try:
        yield listener
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_says_connected_once_its_topics_are_granted(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        await listener.until_told(Message, 5)

    assert server.subscriptions == [list(TOPICS)]
    assert listener.told(Connected) == [Connected(again=False)]
    assert {message.topic for message in listener.told(Message)} == set(TOPICS)


@pytest.mark.parametrize("turns", range(24))
async def test_it_ends_when_canceled_also_as_the_connection_breaks(server, clock, turns):
    listener = Listener()
    stream = Stream(server.ws_base + URL_PATH, TOPICS, clock, Random(1), listener.hear)
    task = asyncio.create_task(stream.run())
    await listener.until_told(Connected)
    server.drop()
    for _ in range(turns):
        await turn()
    task.cancel()
    ended, _ = await asyncio.wait([task], timeout=2)
    # What goes on is canceled once more, so that a red test ends.
    task.cancel()
    assert ended


async def test_a_slow_answer_is_waited_for(server, clock):
    server.faults.ack_s = 5.0
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)

    assert listener.told(Disconnected) == []


async def test_it_subscribes_in_batches_one_after_another(server, clock):
    topics = [f"kline.{interval}.{symbol}" for interval in ("1", "3", "5", "15", "30", "60", "D")
              for symbol in server.symbols]  # fmt: skip
    async with streaming(server, clock, topics) as listener:
        await listener.until_told(Connected)

    assert [len(batch) for batch in server.subscriptions] == [10, 10, 1]
    assert [topic for batch in server.subscriptions for topic in batch] == topics


async def test_one_refused_topic_is_named_and_the_others_go_on(server, clock):
    server.faults.refused = frozenset({"tickers.ETHUSDT"})
    topics = (*TOPICS, "tickers.ETHUSDT", "tickers.SOLUSDT")
    async with streaming(server, clock, topics) as listener:
        await listener.until_told(Connected)
        await listener.until(
            lambda: {m.topic for m in listener.told(Message)} == {*TOPICS, "tickers.SOLUSDT"}
        )

    [refused] = listener.told(TopicRefused)
    assert refused.topic == "tickers.ETHUSDT"
    assert "handler not found" in refused.reason


async def test_a_ping_goes_out_every_twenty_seconds():
    # Slow enough that a machine which pauses for a second leaves no 70 s without a message.
    clock = FastClock(20)
    async with BybitServer(clock).running() as server, streaming(server, clock) as listener:
        await listener.until(lambda: server.pings >= 3)

    assert listener.told(Disconnected) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"mute_acks": True}, "no answer to a subscription"),
        ({"mute_pongs": True}, "no answer to a ping"),
        ({"silent": True}, "no message in 70 s"),
    ],
    ids=["no-ack", "no-pong", "only-pongs"],
)
async def test_a_connection_that_is_open_but_dead_is_given_up(server, clock, fault, words):
    for name, value in fault.items():
        setattr(server.faults, name, value)
    async with streaming(server, clock) as listener:
        [lost, *_] = await listener.until_told(Disconnected)
        for name in fault:
            setattr(server.faults, name, False)
        await listener.until(lambda: isinstance(listener.events[-1], Message))

    assert words in lost.reason
    assert len(server.connections) >= 2


@pytest.mark.parametrize("how", ["reset", "code"])
async def test_a_lost_connection_is_made_anew_with_all_topics(server, clock, how):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        if how == "code":
            await server.close_streams(1001)
        else:
            server.drop()
        await listener.until_told(Connected, 2)

    assert listener.told(Connected) == [Connected(again=False), Connected(again=True)]
    assert server.subscriptions == [list(TOPICS)] * 2


async def test_delays_between_connections_grow_and_end_at_half_a_minute():
    clock = FastClock(500)
    async with BybitServer(clock).running() as server, streaming(server, clock) as listener:
        server.faults.mute_acks = True
        await listener.until_told(Disconnected, 9)

    # Each connection is given up after 10 s without an answer.
    waits = [later - earlier - 10 for earlier, later in pairwise(server.connections)]
    assert waits[0] < min(waits[-3:])
    assert min(waits[-3:]) >= 15
    assert max(waits) < 90


@pytest.mark.parametrize(
    "frame",
    [
        "nonsense",
        "{",
        "[]",
        "5",
        '{"op": "dance"}',
        '{"op": "subscribe", "success": true}',
        '{"topic": "tickers.BTCUSDT", "type": "delta", "ts": "soon", "data": {}}',
        '{"topic": 5, "type": "delta", "ts": 1, "data": {}}',
        "[" * 100_000,
    ],
    ids=lambda frame: frame[:30],
)
async def test_a_bad_frame_is_counted_and_the_reader_lives(server, clock, frame):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        await server.say(frame)
        await listener.until(lambda: listener.stream.bad_frames == 1)
        told = len(listener.told(Message))
        await listener.until_told(Message, told + 3)

    assert listener.told(Disconnected) == []


async def test_a_message_the_listener_can_not_use_is_counted(server, clock):
    async with streaming(server, clock) as listener:
        listener.refuses = True
        await listener.until(lambda: listener.stream.bad_frames >= 3)

    assert listener.told(Disconnected) == []


async def test_nobody_there_is_tried_again(clock):
    class Nowhere:
        ws_base = "ws://127.0.0.1:9"

    async with streaming(Nowhere(), clock) as listener:
        lost = await listener.until_told(Disconnected, 2)

    assert "Connect" in lost[0].reason


def test_more_topics_than_a_connection_may_have_are_refused(clock):
    with pytest.raises(BadInput, match="fewer symbols"):
        Stream("ws://x", ["tickers.BTCUSDT"] * 2_000, clock, Random(1), lambda event: None)
