"""The private stream of the local Bybit: it tells of changes, and of nothing that was before."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from aiohttp import WSMsgType, web

from tests.servers import bybit_wire as wire
from tests.servers.bybit_auth import ApiKey, Keys
from tests.servers.bybit_book import Book
from tests.servers.bybit_faults import Fate, Pushed
from tests.servers.bybit_ledger import Account, Position
from tests.servers.bybit_public_stream import cut, send
from tests.servers.bybit_world import World

PATH = "/v5/private"
TOPICS = ("order", "execution", "position", "wallet")
# A topic may be asked for one kind of contract alone; of a wallet there is but one.
KNOWN = {*TOPICS, *(f"{topic}.linear" for topic in TOPICS[:-1])}
# A client that says nothing for this long is cut off, unless it asked for another time.
IDLE_S = 600.0
GARBAGE = '{"topic":"order","data":[{"sym'

Message = dict[str, object]


@dataclass(eq=False)
class Connection:
    """One socket; what is to be said to it waits in `queue`."""

    socket: web.WebSocketResponse
    queue: asyncio.Queue[str]
    key: ApiKey | None = None
    topics: set[str] = field(default_factory=set)
    swapped: deque[str] = field(default_factory=deque)
    heard: float = 0.0
    idle_s: float = IDLE_S


class PrivateStream:
    """`hear` takes what happened, `settle` tells it: all of one event in a message a topic."""

    def __init__(self, world: World, keys: Keys) -> None:
        self._world = world
        self._keys = keys
        self._happened: list[tuple[Account, str, object]] = []
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.book: Book | None = None
        self.connections: dict[web.WebSocketResponse, Connection] = {}
        self.opened: list[float] = []
        self.pings = 0

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(PATH, self._serve)

    def hear(self, account: Account, topic: str, what: object) -> None:
        self._happened.append((account, topic, what))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_idle(self) -> None:
        """End the connections of clients that fell silent."""
        moment = self._world.clock.monotonic()
        for connection in list(self.connections.values()):
            if moment - connection.heard > connection.idle_s:
                cut(connection.socket)

    # -- what comes in -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self.opened.append(self._world.clock.monotonic())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, asyncio.Queue(), idle_s=_idle(request))
        connection.heard = self._world.clock.monotonic()
        self.connections[socket] = connection
        self._start(self._speak(connection))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._on_frame(connection, json.loads(frame.data))
        finally:
            del self.connections[socket]
            connection.queue.put_nowait("")
        return socket

    async def _on_frame(self, connection: Connection, frame: Mapping[str, object]) -> None:
        connection.heard = self._world.clock.monotonic()
        if self._world.spec:
            self._world.spec.check_private_frame(frame)
        args = frame.get("args")
        args = args if isinstance(args, list) else []
        match frame.get("op"):
            case "ping":
                self.pings += 1
                if not self._world.faults.mute_pongs:
                    pong = {"op": "pong", "args": [str(self._world.now())], "conn_id": "c-2"}
                    self._say(connection, {"req_id": frame.get("req_id", ""), **pong})
            case "auth":
                connection.key = self._keys.of_stream(*args) if len(args) == 3 else None
                good = connection.key is not None
                why = "" if good else "Params Error"
                self._reply(connection, "auth", frame, why)
            case "subscribe":
                await self._world.clock.sleep(self._world.faults.ack_s)
                if not self._world.faults.mute_acks:
                    why = self._refusal(connection, args)
                    connection.topics.update(() if why else args)
                    self._reply(connection, "subscribe", frame, why)
            case "unsubscribe":
                connection.topics.difference_update(args)
                self._reply(connection, "unsubscribe", frame, "")
            case _:
                self._reply(connection, "", frame, "error:invalid op")

    def _refusal(self, connection: Connection, topics: list[str]) -> str:
        """Why a subscription is not granted; one wrong topic spoils it all."""
        if connection.key is None:
            return "Request not authorized"
        wrong = [t for t in topics if t not in KNOWN or t in self._world.faults.refused]
        mixed = {t.removesuffix(".linear") for t in topics if t.endswith(".linear")} & set(topics)
        if wrong or mixed:
            return f"error:handler not found,topic:{[*wrong, *sorted(mixed)][0]}"
        return ""

    def _reply(
        self, connection: Connection, op: str, frame: Mapping[str, object], why: str
    ) -> None:
        said: Message = {"success": not why, "ret_msg": why, "op": op, "conn_id": "c-2"}
        if "req_id" in frame:
            said["req_id"] = frame["req_id"]
        self._say(connection, said)

    # -- what goes out -----------------------------------------------------------------------

    def settle(self) -> None:
        """Tell all that was heard since the last time."""
        happened, self._happened = self._happened, []
        if not happened or not self.connections:
            return
        for account in dict.fromkeys(account for account, _, _ in happened):
            mine = [(topic, what) for whose, topic, what in happened if whose is account]
            for topic, rows in self._rows(account, mine):
                self._push(account, topic, rows)

    def _rows(
        self, account: Account, mine: list[tuple[str, object]]
    ) -> list[tuple[str, list[wire.Row]]]:
        """What there is to say on each topic; of positions and money as they are now."""
        book = self.book
        assert book is not None
        held: dict[int, Position] = {id(w): w for t, w in mine if t == "position"}
        rows = {
            "order": [wire.order_push(w) for t, w in mine if t == "order"],
            "execution": [wire.execution_push(w) for t, w in mine if t == "execution"],
            "position": [
                wire.position_push(account, position, book.margin, book.mark(position.symbol))
                for position in held.values()
            ],
            "wallet": [],
        }
        if any(topic == "wallet" for topic, _ in mine):
            rows["wallet"] = [wire.wallet_row(account, book.margin)]
        return [(topic, found) for topic, found in rows.items() if found]

    def _push(self, account: Account, topic: str, rows: list[wire.Row]) -> None:
        if self._world.faults.private_silent:
            return
        number = next(self._numbers)
        for connection in list(self.connections.values()):
            asked = next((t for t in (topic, f"{topic}.linear") if t in connection.topics), None)
            if asked is None or connection.key is None or connection.key.uid != account.uid:
                continue
            message: Message = {
                "id": f"{account.uid}_{number}", "topic": asked,
                "creationTime": self._world.now(), "data": rows,
            }  # fmt: skip
            if self._world.spec:
                self._world.spec.check_push(message)
            self._send(connection, Pushed(account.uid, topic, message))

    def _send(self, connection: Connection, pushed: Pushed) -> None:
        text = json.dumps(pushed.message)
        match self._world.faults.fate(pushed):
            case Fate.LOSE:
                return
            case Fate.CUT:
                cut(connection.socket)
                return
            case Fate.SWAP:
                connection.swapped.append(text)
                return
            case Fate.LATE:
                self._start(self._later(connection, text))
                return
            case Fate.GARBLE:
                connection.queue.put_nowait(GARBAGE)
            case Fate.TWICE:
                connection.queue.put_nowait(text)
        connection.queue.put_nowait(text)
        while connection.swapped:
            connection.queue.put_nowait(connection.swapped.popleft())

    async def _later(self, connection: Connection, text: str) -> None:
        await self._world.clock.sleep(self._world.faults.late_s)
        connection.queue.put_nowait(text)

    def _say(self, connection: Connection, message: Message) -> None:
        if self._world.spec:
            self._world.spec.check_private_control(message)
        connection.queue.put_nowait(json.dumps(message))

    async def _speak(self, connection: Connection) -> None:
        while text := await connection.queue.get():
            await send(connection.socket, text)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _idle(request: web.Request) -> float:
    """How long the client may be silent: it may say so as `30s` or `2m`."""
    said = request.query.get("max_active_time", "")
    if said.endswith("m"):
        return float(said[:-1]) * 60
    return float(said.removesuffix("s")) if said else IDLE_S
