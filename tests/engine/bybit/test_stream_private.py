"""The private stream: it logs in before it subscribes, and is not taken for dead when quiet."""

import asyncio
import contextlib
import json
from itertools import pairwise
from random import Random

import pytest
from aiohttp import web

from engine.bybit.sign import ApiKey, login
from engine.bybit.stream import Connected, Disconnected, LoginRefused, Message, Stream
from tests.engine.bybit.clocks import JumpingClock
from tests.engine.bybit.listener import Listener
from tests.fast_clock import FastClock
from tests.servers import bybit
from tests.servers.bybit import BybitServer

BTC = "BTCUSDT"
TOPICS = ("order", "execution", "position", "wallet")
KEY = ApiKey("kEy-0f-theDesk-77", "s3cret-0f-theDesk-99")


@pytest.fixture
def clock():
    return JumpingClock(10)


@pytest.fixture
async def server(clock):
    accounts = [bybit.ApiKey(KEY.key, KEY.secret)]
    async with BybitServer(clock, accounts=accounts).running() as server:
        server.trade(BTC, 100_000)
        yield server


@contextlib.asynccontextmanager
async def streaming(server, clock, key=KEY):
    listener = Listener()
    stream = Stream(
        f"{server.ws_base}/v5/private", TOPICS, clock, Random(1), listener.hear,
        login=login(key, clock.now), silence_s=None,
    )  # fmt: skip
    task = asyncio.create_task(stream.run())
    try:
        yield listener
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Scripted:
    """A server that answers each login with the same frames; it counts the logins."""

    def __init__(self, clock, *frames, then_close=False):
        self.clock = clock
        self.frames = frames
        self.then_close = then_close
        self.logins = []
        self.ws_base = ""

    @contextlib.asynccontextmanager
    async def running(self):
        app = web.Application()
        app.router.add_get("/v5/private", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.ws_base = f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            asked = json.loads(frame.data)
            if asked["op"] == "auth":
                self.logins.append((self.clock.monotonic(), asked))
                for said in self.frames:
                    await socket.send_str(said)
            if self.then_close:
                break
        await socket.close()
        return socket


async def test_it_logs_in_subscribes_and_tells_what_happens(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        server.place_foreign("1001", BTC, "Buy", "0.010")
        await listener.until(lambda: {m.topic for m in listener.told(Message)} == set(TOPICS))

    assert listener.told(Connected) == [Connected(again=False)]
    message = next(m for m in listener.told(Message) if m.topic == "execution")
    assert message.data[0]["execQty"] == "0.010"
    assert abs(message.ts - server.now()) < 60_000


async def test_each_connection_logs_in_anew(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        server.drop()
        await listener.until_told(Connected, 2)

    assert listener.told(Connected)[1] == Connected(again=True)
    assert listener.told(LoginRefused) == []


async def test_a_refused_login_is_told_and_tried_again_after_a_minute_at_least(server):
    clock = FastClock(200)
    async with streaming(server, clock, ApiKey("nobody-knows-me", "x" * 20)) as listener:
        began = clock.monotonic()
        await listener.until_told(LoginRefused, 2)

    assert clock.monotonic() - began >= 60
    assert [type(event) for event in listener.events[:2]] == [LoginRefused, Disconnected]
    assert listener.told(LoginRefused)[0].reason == "Params Error"
    assert listener.told(Connected) == []


def recorded_refusals(shared):
    recorded = json.loads((shared / "specs/bybit/recorded_errors.json").read_text())
    old = next(entry["frame"] for entry in recorded["ws"] if "auth" in entry["context"])
    new = json.loads((shared / "specs/bybit/nautilus/ws_auth_failure.json").read_text())
    return [(old, "error:USVC1111"), (new, "Invalid apikey")]


async def test_recorded_refusals_of_a_login_are_understood(shared, clock):
    for frame, reason in recorded_refusals(shared):
        scripted = Scripted(clock, json.dumps(frame))
        async with scripted.running(), streaming(scripted, clock) as listener:
            [refused, *_] = await listener.until_told(LoginRefused)

        assert refused.reason == reason


async def test_recorded_acknowledgements_of_a_login_are_understood(shared, clock):
    control = json.loads((shared / "specs/bybit/ws/_control.json").read_text())
    frames = [
        next(f["json"] for f in control["frames"] if "Successful authentication" in f["context"]),
        json.loads((shared / "specs/bybit/nautilus/ws_auth_success.json").read_text()),
    ]
    granted = next(f["json"] for f in control["frames"] if f["label"] == "Private")
    for frame in frames:
        scripted = Scripted(clock, json.dumps(frame), json.dumps(granted))
        async with scripted.running(), streaming(scripted, clock) as listener:
            await listener.until_told(Connected)


@pytest.mark.parametrize(
    "frame",
    [
        f'{{"op": "auth?", "args": ["{KEY.key}"]}}',
        f"{KEY.key} is not JSON",
        f'["{KEY.key}"]',
        '{"op": "subscribe", "success": true}',
    ],
    ids=["unknown", "no-json", "array", "too-early"],
)
async def test_nonsense_for_a_login_ends_the_connection_and_is_not_repeated(clock, capsys, frame):
    scripted = Scripted(clock, frame)
    async with scripted.running(), streaming(scripted, clock) as listener:
        [lost, *_] = await listener.until_told(Disconnected)

    assert "makes no sense" in lost.reason
    assert KEY.key not in f"{listener.events} {capsys.readouterr()}"


async def test_a_refusal_that_repeats_the_key_is_told_without_it(clock, capsys):
    said = f"Params Error: api_key {KEY.key} of no account"
    frame = json.dumps({"op": "auth", "success": False, "ret_msg": said})
    scripted = Scripted(clock, frame)
    async with scripted.running(), streaming(scripted, clock) as listener:
        [refused, *_] = await listener.until_told(LoginRefused)

    assert refused.reason == "Params Error: api_key [redacted] of no account"
    assert KEY.key not in f"{listener.events} {capsys.readouterr()}"


async def test_a_login_without_an_answer_is_given_up(clock):
    scripted = Scripted(clock)
    async with scripted.running(), streaming(scripted, clock) as listener:
        await listener.until(lambda: scripted.logins)
        clock.jump(11)
        [lost, *_] = await listener.until_told(Disconnected)

    assert lost.reason == "no answer to the login in 10 s"


async def test_delays_between_connections_are_1_2_4_8_and_16_seconds():
    clock = FastClock(100)
    scripted = Scripted(clock, then_close=True)
    async with scripted.running(), streaming(scripted, clock) as listener:
        await listener.until(lambda: len(scripted.logins) == 7, seconds=30)

    times = [at for at, _ in scripted.logins]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= due for wait, due in zip(waits, [1, 2, 4, 8, 16, 16], strict=True))
    # Each is signed for its own time.
    assert len({asked["args"][1] for _, asked in scripted.logins}) == 7


async def test_a_quiet_account_is_no_dead_stream(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        for _ in range(2):
            clock.jump(75)
            await clock.sleep(3)
        server.place_foreign("1001", BTC, "Buy", "0.010")
        await listener.until_told(Message)

    assert listener.told(Disconnected) == []


async def test_a_private_stream_that_answers_no_ping_is_given_up(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        server.faults.mute_pongs = True
        clock.jump(21)
        await clock.sleep(3)
        clock.jump(11)
        [lost, *_] = await listener.until_told(Disconnected)

    assert lost.reason == "no answer to a ping in 10 s"


async def test_garbage_between_messages_is_counted_and_the_reader_lives(server, clock):
    async with streaming(server, clock) as listener:
        await listener.until_told(Connected)
        await server.say_privately('{"topic":"order","data":[{"sym')
        server.place_foreign("1001", BTC, "Buy", "0.010")
        await listener.until_told(Message)

    assert listener.told(Disconnected) == []
