"""The public linear stream of the local Bybit."""

import contextlib
import json

from aiohttp import WSMsgType, web

from engine.bybit.parse import INTERVALS
from engine.candle import Candle
from tests.servers.bybit_prices import candle_at
from tests.servers.bybit_public import LENGTHS, ticker
from tests.servers.bybit_world import World

PATH = "/v5/public/linear"

Message = dict[str, object]


class PublicStream:
    def __init__(self, world: World) -> None:
        self._world = world
        self.connections: list[float] = []
        self.subscriptions: list[list[str]] = []
        self.pings = 0
        self.sockets: dict[web.WebSocketResponse, set[str]] = {}

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(PATH, self._serve)

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self.connections.append(self._world.clock.monotonic())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = set()
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._on_frame(socket, json.loads(frame.data))
        finally:
            del self.sockets[socket]
        return socket

    async def _on_frame(self, socket: web.WebSocketResponse, frame: Message) -> None:
        if self._world.spec:
            self._world.spec.check_frame(frame)
        if frame["op"] == "ping":
            self.pings += 1
            if not self._world.faults.mute_pongs:
                pong = {"success": True, "ret_msg": "pong", "conn_id": "c-1"}
                await self._tell(socket, {**pong, "req_id": frame.get("req_id", ""), "op": "ping"})
            return
        topics = list(frame["args"])
        self.subscriptions.append(topics)
        if not self._world.faults.mute_acks:
            await self._subscribe(socket, topics, frame.get("req_id", ""))

    async def _subscribe(
        self, socket: web.WebSocketResponse, topics: list[str], req_id: object
    ) -> None:
        await self._world.clock.sleep(self._world.faults.ack_s)
        symbols = self._world.symbols
        known = {f"tickers.{symbol}" for symbol in symbols}
        known |= {f"kline.{name}.{symbol}" for name in LENGTHS for symbol in symbols}
        wrong = [t for t in topics if t not in known or t in self._world.faults.refused]
        if wrong:
            text = f"error:handler not found,topic:{wrong[0]}"
            refusal = {"success": False, "ret_msg": text, "conn_id": "c-1", "op": "subscribe"}
            await self._tell(socket, refusal)
            return
        ack = {"success": True, "ret_msg": "", "conn_id": "c-1"}
        await self._tell(socket, {**ack, "req_id": req_id, "op": "subscribe"})
        self.sockets[socket].update(topics)
        for topic in topics:
            if topic.startswith("tickers."):
                data = ticker(self._world, topic.removeprefix("tickers."))
                await self._tell(socket, self._push(topic, "snapshot", data, cs=1))

    def _push(self, topic: str, kind: str, data: object, **more: object) -> Message:
        return {"topic": topic, "type": kind, "data": data, "ts": self._world.now(), **more}

    async def speak(self, before: int, now: int) -> None:
        """Tell every stream what happened from one moment to another."""
        for socket, topics in list(self.sockets.items()):
            for topic in sorted(topics):
                if not self._world.faults.silent:
                    await self._speak(socket, topic, before, now)

    async def _speak(
        self, socket: web.WebSocketResponse, topic: str, before: int, now: int
    ) -> None:
        name, _, symbol = topic.partition(".")
        if name == "tickers":
            await self._tell_price(socket, symbol)
            return
        length, _, symbol = symbol.partition(".")
        if not self._world.prices.is_fed(symbol):
            await self._speak_of_candles(socket, topic, symbol, LENGTHS[length], before, now)

    async def _tell_price(self, socket: web.WebSocketResponse, symbol: str) -> None:
        if self._world.faults.tickers:
            price = f"{self._world.prices.last(symbol, self._world.now()):.2f}"
            data = {"symbol": symbol, "lastPrice": price}
            await self._tell(socket, self._push(f"tickers.{symbol}", "delta", data, cs=2))

    async def _speak_of_candles(
        self, socket: web.WebSocketResponse, topic: str, symbol: str, interval: int,
        before: int, now: int,
    ) -> None:  # fmt: skip
        faults = self._world.faults
        current = now - now % interval
        closed = range(before - before % interval, current, interval)
        for ts in reversed(closed) if faults.reorder else closed:
            await self._tell_close(socket, symbol, interval, ts)
        candle = candle_at(symbol, interval, current)
        await self._tell(socket, self._kline_push(topic, interval, candle, confirm=False))

    async def feed(self, symbol: str, base: int, ts: int) -> None:
        """Tell of a candle that was fed: of its price, and of every candle that ends with it."""
        if self._world.faults.silent:
            return
        ends = [length for length in INTERVALS if (ts + base) % length == 0 and length >= base]
        for socket, topics in list(self.sockets.items()):
            if f"tickers.{symbol}" in topics:
                await self._tell_price(socket, symbol)
            for length in ends:
                if f"kline.{INTERVALS[length]}.{symbol}" in topics:
                    await self._tell_close(socket, symbol, length, ts + base - length)

    async def _tell_close(
        self, socket: web.WebSocketResponse, symbol: str, interval: int, ts: int
    ) -> None:
        faults, candle = self._world.faults, self._world.prices.candle(symbol, interval, ts)
        if candle is None or faults.skip(symbol, ts) or faults.absent(symbol, ts):
            return
        topic = f"kline.{INTERVALS[interval]}.{symbol}"
        for _ in range(1 + faults.duplicate):
            await self._tell(socket, self._kline_push(topic, interval, candle, confirm=True))

    def _kline_push(self, topic: str, interval: int, candle: Candle, *, confirm: bool) -> Message:
        ts, open_, high, low, close, volume = candle
        data = {
            "start": ts, "end": ts + interval - 1, "interval": INTERVALS[interval],
            "open": str(open_), "close": str(close), "high": str(high), "low": str(low),
            "volume": str(volume), "turnover": "1.5", "confirm": confirm,
            "timestamp": self._world.now(),
        }  # fmt: skip
        return self._push(topic, "snapshot", [data])

    async def _tell(self, socket: web.WebSocketResponse, message: Message) -> None:
        if self._world.spec:
            self._world.spec.check_push(message)
        await send(socket, json.dumps(message))


async def send(socket: web.WebSocketResponse, text: str) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        await socket.send_str(text)


def cut(socket: web.WebSocketResponse) -> None:
    """End the TCP connection without a word."""
    if socket._req is not None and socket._req.transport is not None:
        socket._req.transport.abort()
