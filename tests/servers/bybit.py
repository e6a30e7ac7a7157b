"""A Bybit for tests: public REST and the public linear stream, over real HTTP and WebSocket.

Its candles are a function of symbol and time. Faults are attributes a test sets; with a folder
of recorded messages all that goes out and comes in is held to them, see `violations`.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import WSCloseCode, WSMsgType, web

from engine.bybit.parse import INTERVALS
from engine.candle import HOUR_MS, Candle
from engine.ports import Clock
from tests.servers.bybit_spec import Spec

LENGTHS = {name: length for length, name in INTERVALS.items()}
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
PRICES = {"BTCUSDT": 100_000.0, "ETHUSDT": 3_500.0, "SOLUSDT": 180.0}
FUNDING_MS = 8 * HOUR_MS
ACK_S = 0.03
JSON = "application/json"


def price_at(symbol: str, ts: int) -> float:
    """The price of a symbol at a moment, the same whenever it is asked for."""
    drift = Random(f"{symbol}:{ts}").uniform(-0.002, 0.002)
    return round(PRICES.get(symbol, 10.0) * (1 + drift), 2)


def candle_at(symbol: str, interval: int, ts: int) -> Candle:
    """The candle that opens at `ts`: four prices of its time in the right order."""
    prices = [price_at(symbol, ts + part * interval // 4) for part in range(4)]
    volume = round(Random(f"{symbol}:{interval}:{ts}").uniform(1, 9), 3)
    return Candle(ts, prices[0], max(prices), min(prices), prices[-1], volume)


def funding_at(symbol: str, stamp: int) -> str:
    return f"{Random(f'{symbol}:{stamp}:funding').uniform(-0.0003, 0.0005):.6f}"


@dataclass
class Fault:
    """How REST answers while it is set: with a status, a code, a body, or not at all."""

    status: int = 200
    code: int = 0
    message: str = "fault"
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drop: bool = False


@dataclass
class Faults:
    """What is wrong with the server; everything can be changed while it runs."""

    rest: Callable[[str], Fault | None] = lambda path: None
    ack_s: float = ACK_S
    mute_acks: bool = False
    mute_pongs: bool = False
    silent: bool = False
    refused: frozenset[str] = frozenset()
    skip: Callable[[str, int], bool] = lambda symbol, ts: False
    absent: Callable[[str, int], bool] = lambda symbol, ts: False
    duplicate: bool = False
    reorder: bool = False
    skew_ms: int = 0
    tickers: bool = True


class BybitServer:
    """Bybit on loopback; `clock` is its time, `symbols` what it lists."""

    def __init__(
        self,
        clock: Clock,
        symbols: Iterable[str] = SYMBOLS,
        *,
        spec: Path | None = None,
        ticker_s: float = 1.0,
        page: int = 500,
    ) -> None:
        self.clock = clock
        self.symbols = tuple(symbols)
        self.untradable: dict[str, str] = {}
        self.faults = Faults()
        self.spec = Spec(spec) if spec else None
        self.requests: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.connections: list[float] = []
        self.subscriptions: list[list[str]] = []
        self.pings = 0
        self.held: list[tuple[str, dict[str, object]]] = []
        self._ticker_s = ticker_s
        self._page = page
        self._sockets: dict[web.WebSocketResponse, set[str]] = {}
        self._port = 0

    @property
    def violations(self) -> list[str]:
        """What came in or went out that the recorded messages do not allow."""
        return self.spec.violations if self.spec else []

    @property
    def rest_base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_base(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def now(self) -> int:
        return self.clock.now() + self.faults.skew_ms

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["BybitServer"]:
        """Serve while the context lasts."""
        app = web.Application()
        for path, handler in {
            "/v5/market/time": self._time,
            "/v5/market/kline": self._kline,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/tickers": self._tickers,
            "/v5/market/funding/history": self._funding,
        }.items():
            app.router.add_get(path, self._rest(handler))
        app.router.add_get("/v5/public/linear", self._stream)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]
        beat = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat
            self.drop()
            await runner.cleanup()

    # -- what a test does to it --------------------------------------------------------------

    def drop(self) -> None:
        """Cut every stream's TCP connection."""
        for socket in list(self._sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    async def close_streams(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        for socket in list(self._sockets):
            await socket.close(code=code)

    async def say(self, text: str) -> None:
        """Send every stream a frame of the test's own."""
        for socket in list(self._sockets):
            await self._send(socket, text)

    @property
    def streams(self) -> int:
        return len(self._sockets)

    # -- REST --------------------------------------------------------------------------------

    def _rest(self, handler: Callable[[dict[str, str]], object]) -> Callable[..., object]:
        async def answer(request: web.Request) -> web.StreamResponse:
            query = dict(request.query)
            self.requests[request.path] += 1
            self.queries.append({"path": request.path, **query})
            if self.spec:
                self.spec.check_request(request.path, query)
            if fault := self.faults.rest(request.path):
                return await self._fail(request, fault)
            result = handler(query)
            code, message = (0, "OK") if isinstance(result, dict) else (10_001, str(result))
            body = self._body(code, message, result if code == 0 else {})
            if self.spec and code == 0:
                self.spec.check_answer(request.path, body)
            return web.json_response(body)

        return answer

    def _body(self, code: int, message: str, result: object) -> dict[str, object]:
        envelope = {"retCode": code, "retMsg": message, "result": result}
        return {**envelope, "retExtInfo": {}, "time": self.now()}

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.hang:
            # Until whoever asked has left, or the server ends.
            await asyncio.Event().wait()
        if fault.drop:
            request.transport.abort()
        body = fault.body
        if body is None:
            body = json.dumps(self._body(fault.code, fault.message, {}))
        return web.Response(
            status=fault.status, text=body, content_type=JSON, headers=fault.headers
        )

    def _time(self, query: dict[str, str]) -> dict[str, object]:
        now = self.now()
        return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}

    def _kline(self, query: dict[str, str]) -> dict[str, object] | str:
        symbol, interval = query["symbol"], LENGTHS[query["interval"]]
        if symbol not in self.symbols:
            return "params error: symbol invalid"
        now, limit = self.now(), int(query.get("limit", 200))
        last = min(int(query.get("end", now)), now) // interval * interval
        first = -(-int(query.get("start", 0)) // interval) * interval
        opens = range(last, max(first, last - limit * interval + 1) - 1, -interval)
        rows = [
            [*map(str, candle_at(symbol, interval, ts)), "1.5"]
            for ts in opens
            if not self.faults.absent(symbol, ts)
        ]
        if rows and int(rows[0][0]) + interval > now:
            rows[0][4], rows[0][5] = rows[0][3], "0.001"
        return {"symbol": symbol, "category": query["category"], "list": rows}

    def _instruments(self, query: dict[str, str]) -> dict[str, object]:
        """Those asked for in pages, with many others before and after them."""
        size = min(int(query.get("limit", 500)), self._page)
        names = [f"A{i}USDT" for i in range(7)] + [*self.symbols, *self.untradable]
        start = int(query.get("cursor", "0"))
        page = names[start : start + size]
        after = start + size
        return {
            "category": "linear",
            "list": [_rules(s, self.untradable.get(s, "Trading")) for s in page],
            "nextPageCursor": str(after) if after < len(names) else "",
        }

    def _tickers(self, query: dict[str, str]) -> dict[str, object]:
        names = [*self.symbols, *self.untradable]
        rows = [{**self._ticker(symbol), "basis": "", "basisRate": ""} for symbol in names]
        for row in rows:
            del row["tickDirection"]
        return {"category": "linear", "list": rows}

    def _funding(self, query: dict[str, str]) -> dict[str, object] | str:
        if "startTime" in query and "endTime" not in query:
            return "params error: endTime is required"
        symbol, limit = query["symbol"], int(query.get("limit", 200))
        last = min(int(query.get("endTime", self.now())), self.now()) // FUNDING_MS * FUNDING_MS
        first = max(int(query.get("startTime", 0)), last - (limit - 1) * FUNDING_MS)
        rows = [
            {
                "symbol": symbol,
                "fundingRate": funding_at(symbol, stamp),
                "fundingRateTimestamp": str(stamp),
            }
            for stamp in range(last, first - 1, -FUNDING_MS)
        ]
        return {"category": "linear", "list": rows}

    def _ticker(self, symbol: str) -> dict[str, object]:
        now = self.now()
        price = f"{price_at(symbol, now // 1000 * 1000):.2f}"
        stamp = (now // FUNDING_MS + 1) * FUNDING_MS
        same = dict.fromkeys(
            ["lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h", "prevPrice1h",
             "markPrice", "indexPrice", "bid1Price", "ask1Price"], price
        )  # fmt: skip
        return {
            "symbol": symbol, "tickDirection": "PlusTick", "price24hPcnt": "0.01", **same,
            "openInterest": "1000.5", "openInterestValue": "1000000.00",
            "turnover24h": "2400000000.5", "volume24h": "91705.276", "bid1Size": "84.489",
            "ask1Size": "83.020", "nextFundingTime": str(stamp),
            "fundingRate": funding_at(symbol, stamp), "fundingIntervalHour": "8",
        }  # fmt: skip

    # -- the stream --------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        self.connections.append(self.clock.monotonic())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[socket] = set()
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._on_frame(socket, json.loads(frame.data))
        finally:
            del self._sockets[socket]
        return socket

    async def _on_frame(self, socket: web.WebSocketResponse, frame: dict[str, object]) -> None:
        if self.spec:
            self.spec.check_frame(frame)
        if frame["op"] == "ping":
            self.pings += 1
            if not self.faults.mute_pongs:
                pong = {"success": True, "ret_msg": "pong", "conn_id": "c-1"}
                await self._tell(socket, {**pong, "req_id": frame.get("req_id", ""), "op": "ping"})
            return
        topics = list(frame["args"])
        self.subscriptions.append(topics)
        if self.faults.mute_acks:
            return
        await self.clock.sleep(self.faults.ack_s)
        known = {f"tickers.{symbol}" for symbol in self.symbols}
        known |= {f"kline.{name}.{s}" for name in LENGTHS for s in self.symbols}
        wrong = [t for t in topics if t not in known or t in self.faults.refused]
        if wrong:
            text = f"error:handler not found,topic:{wrong[0]}"
            refusal = {"success": False, "ret_msg": text, "conn_id": "c-1", "op": "subscribe"}
            await self._tell(socket, refusal)
            return
        ack = {"success": True, "ret_msg": "", "conn_id": "c-1"}
        await self._tell(socket, {**ack, "req_id": frame.get("req_id", ""), "op": "subscribe"})
        self._sockets[socket].update(topics)
        for topic in topics:
            if topic.startswith("tickers."):
                data = self._ticker(topic.removeprefix("tickers."))
                await self._tell(socket, self._push(topic, "snapshot", data, cs=1))

    def _push(self, topic: str, kind: str, data: object, **more: object) -> dict[str, object]:
        return {"topic": topic, "type": kind, "data": data, "ts": self.now(), **more}

    async def _beat(self) -> None:
        """Speak to the streams as time goes by: prices, open candles, and closes."""
        before = self.now()
        while True:
            await self.clock.sleep(self._ticker_s)
            now = self.now()
            for socket, topics in list(self._sockets.items()):
                for topic in sorted(topics):
                    if not self.faults.silent:
                        await self._speak(socket, topic, before, now)
            before = now

    async def _speak(
        self, socket: web.WebSocketResponse, topic: str, before: int, now: int
    ) -> None:
        name, _, symbol = topic.partition(".")
        if name == "tickers":
            if self.faults.tickers:
                price = f"{price_at(symbol, now // 1000 * 1000):.2f}"
                data = {"symbol": symbol, "lastPrice": price}
                await self._tell(socket, self._push(topic, "delta", data, cs=2))
            return
        length, _, symbol = symbol.partition(".")
        await self._speak_of_candles(socket, topic, symbol, LENGTHS[length], before, now)

    async def _speak_of_candles(
        self, socket: web.WebSocketResponse, topic: str, symbol: str, interval: int,
        before: int, now: int,
    ) -> None:  # fmt: skip
        current = now - now % interval
        closed = range(before - before % interval, current, interval)
        there = [
            ts
            for ts in closed
            if not self.faults.skip(symbol, ts) and not self.faults.absent(symbol, ts)
        ]
        for ts in reversed(there) if self.faults.reorder else there:
            message = self._kline_push(topic, symbol, interval, ts, confirm=True)
            for _ in range(1 + self.faults.duplicate):
                await self._tell(socket, message)
        message = self._kline_push(topic, symbol, interval, current, confirm=False)
        await self._tell(socket, message)

    def _kline_push(
        self, topic: str, symbol: str, interval: int, ts: int, *, confirm: bool
    ) -> dict[str, object]:
        _, open_, high, low, close, volume = map(str, candle_at(symbol, interval, ts))
        data = {
            "start": ts, "end": ts + interval - 1, "interval": INTERVALS[interval],
            "open": open_, "close": close, "high": high, "low": low, "volume": volume,
            "turnover": "1.5", "confirm": confirm, "timestamp": self.now(),
        }  # fmt: skip
        return self._push(topic, "snapshot", [data])

    async def _tell(self, socket: web.WebSocketResponse, message: dict[str, object]) -> None:
        if self.spec:
            self.spec.check_push(message)
        await self._send(socket, json.dumps(message))

    async def _send(self, socket: web.WebSocketResponse, text: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_str(text)


def _rules(symbol: str, status: str) -> dict[str, object]:
    return {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": status,
        "baseCoin": symbol.removesuffix("USDT"), "quoteCoin": "USDT",
        "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "75.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001",
            "postOnlyMaxOrderQty": "1190.000", "maxMktOrderQty": "500.000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": "USDT",
        "copyTrading": "both", "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375",
    }  # fmt: skip
