"""A client of the local Bybit for tests: it signs by the server's own clock, and adds nothing."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse
from yarl import URL

from tests.servers.bybit import ApiKey, BybitServer

Answer = dict[str, object]
PRIVATE = "/v5/private"
TOPICS = ["order", "execution", "position", "wallet"]


def recorded(request: pytest.FixtureRequest) -> Path | None:
    """The folder of recorded messages to hold a server to, where there is one."""
    try:
        return request.getfixturevalue("shared") / "specs" / "bybit"
    except pytest.skip.Exception:
        return None


class Client:
    """`headers` are those of the last answer."""

    def __init__(self, server: BybitServer, session: ClientSession, key: ApiKey) -> None:
        self._server = server
        self._session = session
        self._key = key
        self.headers: dict[str, str] = {}

    async def get(self, path: str, *, cursor: str = "", **query: object) -> Answer:
        """`cursor` is put in the query as it came."""
        payload = urlencode(query) + (f"&cursor={cursor}" if cursor else "")
        url = f"{self._server.rest_base}/v5/{path}?{payload}"
        return await self._send("GET", url, payload)

    async def linear(self, path: str, **query: object) -> Answer:
        return await self.get(path, category="linear", **query)

    async def post(self, path: str, **body: object) -> Answer:
        """Of BTCUSDT, but for what is said of the account."""
        if not path.startswith("account"):
            body = {"category": "linear", "symbol": "BTCUSDT", **body}
        return await self._send(
            "POST", f"{self._server.rest_base}/v5/{path}", json.dumps(body), data=json.dumps(body)
        )

    async def order(self, **body: object) -> Answer:
        """A market order to buy, where nothing else is said."""
        return await self.post(
            "order/create", **{"side": "Buy", "orderType": "Market", "qty": "0.01", **body}
        )

    async def pages(self, path: str, **query: object) -> list[list[Answer]]:
        """All pages there are, by their cursors."""
        pages, cursor = [], ""
        while True:
            result = (await self.linear(path, cursor=cursor, **query))["result"]
            pages.append(result["list"])
            cursor = result["nextPageCursor"]
            if not cursor:
                return pages

    async def _send(self, method: str, url: str, payload: str, **more: object) -> Answer:
        headers = self.signed(payload)
        target = URL(url, encoded=True)
        async with self._session.request(method, target, headers=headers, **more) as answer:
            self.headers = dict(answer.headers)
            return await answer.json()

    def signed(self, payload: str, *, ahead_ms: int = 0, window: str = "60000") -> dict[str, str]:
        stamp = str(self._server.now() + ahead_ms)
        return {
            "X-BAPI-API-KEY": self._key.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": self._key.sign(f"{stamp}{self._key.key}{window}{payload}"),
        }


class Listener:
    """A private stream; `auth` and `subscribe` hold what the server said to them."""

    def __init__(self, server: BybitServer, socket: ClientWebSocketResponse, key: ApiKey) -> None:
        self._server = server
        self.socket = socket
        self._key = key

    async def ask(self, op: str, *args: object, **more: object) -> Answer:
        await self.socket.send_json({"op": op, "args": list(args), **more})
        return await self.socket.receive_json()

    async def auth(self, *, in_ms: int = 60_000) -> Answer:
        expires = self._server.now() + in_ms
        signature = self._key.sign(f"GET/realtime{expires}")
        return await self.ask("auth", self._key.key, expires, signature)

    async def hear(self, topic: str, wanted: Callable[[Answer], bool] = bool) -> Answer:
        """The next message of a topic in which a row is wanted."""
        async for frame in self.socket:
            message = json.loads(frame.data)
            if message.get("topic") == topic and any(map(wanted, message["data"])):
                return message
        raise ConnectionError(f"the stream ended before there was a message of {topic}")


@contextlib.asynccontextmanager
async def client(server: BybitServer, key: ApiKey | None = None) -> AsyncIterator[Client]:
    async with ClientSession() as session:
        yield Client(server, session, key or ApiKey())


@contextlib.asynccontextmanager
async def stream(
    server: BybitServer, *topics: str, key: ApiKey | None = None, query: str = ""
) -> AsyncIterator[Listener]:
    """A private stream that is logged in and subscribed; with no topics neither is done."""
    url = server.ws_base + PRIVATE + query
    async with ClientSession() as session, session.ws_connect(url) as socket:
        listener = Listener(server, socket, key or ApiKey())
        if topics:
            assert (await listener.auth())["success"]
            assert (await listener.ask("subscribe", *topics))["success"]
        yield listener
