"""One of Bybit's streams, held for as long as the program runs; what is in it is not known here.

A connection that closes, falls silent, does not answer a ping or a subscription is given up and
made anew. Nothing is kept: what was missed has to be asked for by REST. A private stream logs
in before it subscribes.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import structlog

from engine.bybit import parse
from engine.bybit.parse import Fields
from engine.bybit.sign import REDACTED
from engine.errors import BadInput
from engine.pace import Pace
from engine.ports import Clock

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

# Bybit allows an address 500 connections in 5 min, and then shuts it out.
CONNECTIONS = 250
CONNECTIONS_S = 300.0
# Bybit's own limit for the topics of one connection, in characters.
TOPICS_LENGTH_MAX = 21_000
# Topics a request: what Bybit allows on its most restricted stream.
TOPICS_A_REQUEST = 10
# Bybit's advice is a ping each 20 s.
PING_S = 20.0
ANSWER_S = 10.0
# A candle's topic speaks at least once in 60 s, whether or not there are trades.
SILENCE_S = 70.0
WATCH_S = 1.0
# Waits before each new connection, which chance makes longer by up to half.
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
# A login that was refused will be again, until a person has mended it.
REFUSED_S = 60.0
# A connection that lived this long is not held against the server.
STABLE_S = 60.0
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
# The largest messages there are, snapshots of order books, have about 100 kB.
MESSAGE_BYTES_MAX = 1 << 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connected:
    """Every topic was granted or refused; `again` after the first time."""

    again: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The server does not know the key, or not any more; Disconnected follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class TopicRefused:
    """The server does not know the topic; the others go on."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` is `snapshot` or `delta`, empty on private streams; `ts` the server's UTC ms."""

    topic: str
    kind: str
    ts: int
    data: object


StreamEvent = Connected | Disconnected | LoginRefused | TopicRefused | Message
# Makes the frame that logs a connection in: signed anew each time.
Login = Callable[[], Fields]


class _Lost(Exception):
    """The connection is of no use any more; says why."""


class _Denied(Exception):
    """The server let nobody in; says why."""


class _Terms(NamedTuple):
    """What a connection is for, and when it is too quiet."""

    topics: Sequence[str]
    login: Login | None
    silence_s: float


class Stream:
    """Tells `handle` of all that comes on `topics` of a WebSocket such as
    `wss://stream.bybit.com/v5/public/linear`.

    Messages may come before Connected: a topic speaks as soon as it is granted. Where `handle`
    raises ValueError the message is counted as bad. With a `login` the stream is private.
    A stream that may have nothing to say for `silence_s` has none: pings alone are its proof.
    """

    def __init__(
        self,
        url: str,
        topics: Sequence[str],
        clock: Clock,
        rng: Random,
        handle: Callable[[StreamEvent], None],
        *,
        login: Login | None = None,
        silence_s: float | None = SILENCE_S,
    ) -> None:
        if sum(map(len, topics)) > TOPICS_LENGTH_MAX:
            allowed = f"at most {TOPICS_LENGTH_MAX:,} characters of topics: take fewer symbols"
            raise BadInput("topics", len(topics), allowed)
        self._url = url
        self._terms = _Terms(topics, login, inf if silence_s is None else silence_s)
        self._clock = clock
        self._rng = rng
        self._handle = handle
        self._connections = Pace(clock, CONNECTIONS, CONNECTIONS_S)
        self._connected_before = False
        self._connected_at = inf
        self.bad_frames = 0

    async def run(self) -> None:
        """Hold the stream until canceled."""
        failures = 0
        while True:
            await self._connections.wait()
            self._connected_at = inf
            # In a task of its own: what fails as it is canceled tells of the failure alone, and a
            # cancel that comes as the connection breaks would be lost.
            async with asyncio.TaskGroup() as group:
                connection = group.create_task(self._connection())
            denied, reason = connection.result()
            if denied:
                self._handle(LoginRefused(reason))
            self._handle(Disconnected(reason))
            if self._clock.monotonic() - self._connected_at >= STABLE_S:
                failures = 0
            delay = REFUSED_S if denied else DELAYS_S[min(failures, len(DELAYS_S) - 1)]
            failures += 1
            await self._clock.sleep(delay * self._rng.uniform(1.0, 1.5))

    async def _connection(self) -> tuple[bool, str]:
        """One connection from its beginning to its end; whether it was denied, and why it ended."""
        from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWSTimeout

        denied, reason = False, ""
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=OPEN_TIMEOUT_S)) as session,
                session.ws_connect(
                    self._url,
                    timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                    max_msg_size=MESSAGE_BYTES_MAX,
                ) as socket,
            ):
                await _Connection(
                    socket, self._terms, self._connected_before, self._clock, self._tell, self._bad
                ).run()
        except* _Denied as refused:
            denied, reason = True, str(refused.exceptions[0])
        except* _Lost as lost:
            reason = str(lost.exceptions[0])
        except* (ClientError, OSError) as failed:
            reason = f"{type(failed.exceptions[0]).__name__}: {failed.exceptions[0]}"
        return denied, reason

    def _tell(self, event: StreamEvent) -> None:
        if isinstance(event, Connected):
            self._connected_before = True
            self._connected_at = self._clock.monotonic()
        self._handle(event)

    def _bad(self, frame: object, error: Exception) -> None:
        self.bad_frames += 1
        # A server that talks nonsense does so all day: the log gets the 1st, 2nd, 4th, 8th, ...
        if self.bad_frames & (self.bad_frames - 1) == 0:
            log.warning(
                "bybit: a message makes no sense and is left out",
                error=str(error),
                message=f"{frame!r:.200}",
                so_far=self.bad_frames,
            )


class _Connection:
    """One connection: logs in, subscribes, sees that the server is there, hands messages on."""

    def __init__(
        self,
        socket: "ClientWebSocketResponse",
        terms: _Terms,
        again: bool,
        clock: Clock,
        tell: Callable[[StreamEvent], None],
        bad: Callable[[object, Exception], None],
    ) -> None:
        self._socket = socket
        self._login = terms.login
        self._silence_s = terms.silence_s
        self._again = again
        self._clock = clock
        self._tell = tell
        self._bad = bad
        self._batches = deque(
            tuple(terms.topics[start : start + TOPICS_A_REQUEST])
            for start in range(0, len(terms.topics), TOPICS_A_REQUEST)
        )
        self._requests = 0
        self._shown: list[str] = []
        self._ping_at = clock.monotonic() + PING_S
        self._pong_due = inf
        self._answer_due = inf
        self._message_due = inf

    async def run(self) -> None:
        """Raises, in a group, what ends the connection."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._read())

    async def _read(self) -> None:
        from aiohttp import WSMsgType

        await self._begin()
        async for frame in self._socket:
            try:
                if frame.type is not WSMsgType.TEXT:
                    raise ValueError("not a text")
                await self._take(parse.fields(json.loads(frame.data)))
            except (ValueError, RecursionError) as error:
                if self._login is not None:
                    # It may repeat the key, which no log may have.
                    raise _Lost("an answer to the login that makes no sense") from None
                self._bad(frame.data, error)
        raise _Lost(f"closed with code {self._socket.close_code}")

    async def _take(self, frame: Fields) -> None:
        match frame:
            case {"op": "auth"} | {"request": {"op": "auth"}}:
                await self._on_login(frame)
            case {"op": "subscribe", "success": bool(granted)}:
                await self._on_answer(granted, str(frame.get("ret_msg", "")))
            # On private streams a pong says so, on public ones it is called a ping.
            case {"op": "ping" | "pong"}:
                self._pong_due = inf
            case {"topic": str(topic), "type": str(kind), "ts": ts, "data": data}:
                self._heard(Message(topic, kind, parse.stamp(ts), data))
            case {"topic": str(topic), "creationTime": ts, "data": data}:
                self._heard(Message(topic, "", parse.stamp(ts), data))
            case _:
                raise ValueError("an unknown message")

    def _heard(self, message: Message) -> None:
        self._message_due = self._clock.monotonic() + self._silence_s
        self._tell(message)

    async def _begin(self) -> None:
        if self._login is None:
            await self._subscribe()
            return
        self._answer_due = self._clock.monotonic() + ANSWER_S
        frame = self._login()
        args = frame.get("args")
        shown = args if isinstance(args, list) else []
        self._shown = [each for each in shown if isinstance(each, str) and each]
        await self._socket.send_json(frame)

    async def _on_login(self, frame: Fields) -> None:
        if self._login is None:
            return
        if frame.get("success") is not True:
            said = frame.get("ret_msg") or frame.get("retMsg") or "no reason given"
            raise _Denied(f"{self._hidden(str(said)):.200}")
        self._login = None
        await self._subscribe()

    def _hidden(self, text: str) -> str:
        """What a server says of a login, without the key and the signature that it was shown."""
        for each in self._shown:
            text = text.replace(each, REDACTED)
        return text

    async def _subscribe(self) -> None:
        """Ask for the next topics; there is one request at a time, so an answer needs no id."""
        if not self._batches:
            self._answer_due = inf
            self._message_due = self._clock.monotonic() + self._silence_s
            self._tell(Connected(self._again))
            return
        self._requests += 1
        request = {"req_id": str(self._requests), "op": "subscribe", "args": self._batches[0]}
        self._answer_due = self._clock.monotonic() + ANSWER_S
        await self._socket.send_json(request)

    async def _on_answer(self, granted: bool, reason: str) -> None:
        if self._answer_due == inf or not self._requests:
            raise ValueError("an answer to no request")
        topics = self._batches.popleft()
        if not granted and len(topics) > 1:
            # One unknown topic spoils the request: ask for each alone.
            self._batches.extendleft((topic,) for topic in reversed(topics))
        elif not granted:
            self._tell(TopicRefused(topics[0], reason))
        await self._subscribe()

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(WATCH_S)
            now = self._clock.monotonic()
            if now >= self._answer_due:
                asked = "a subscription" if self._login is None else "the login"
                raise _Lost(f"no answer to {asked} in {ANSWER_S:g} s")
            if now >= self._pong_due:
                raise _Lost(f"no answer to a ping in {ANSWER_S:g} s")
            if now >= self._message_due:
                raise _Lost(f"no message in {self._silence_s:g} s")
            if now >= self._ping_at:
                self._ping_at = now + PING_S
                self._pong_due = now + ANSWER_S
                await self._socket.send_json({"req_id": "ping", "op": "ping"})
