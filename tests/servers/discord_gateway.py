"""The local Discord's gateway: sessions that are identified, fed, broken and resumed."""

import copy
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from engine.ports import Clock
from tests.servers.discord_schema import Json

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME = 0, 1, 2, 3, 6
RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 7, 9, 10, 11

UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, AUTHENTICATION_FAILED = 4001, 4002, 4003, 4004
ALREADY_AUTHENTICATED, INVALID_SEQ, RATE_LIMITED = 4005, 4007, 4008
INVALID_VERSION, INVALID_INTENTS, DISALLOWED_INTENTS = 4012, 4013, 4014

GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 0, 1 << 9, 1 << 12, 1 << 15
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
# Bits 17 to 19, 22 and 23 have no meaning; 25 is the highest that has one.
KNOWN_INTENTS = (1 << 26) - 1 & ~(0b111 << 17 | 0b11 << 22)

FRAME_BYTES_MAX = 4096
FRAMES_MAX = 120
FRAMES_WINDOW_S = 60.0
HEARTBEAT_MS = 41_250
CLOSE_S = 0.5


@dataclass
class Session:
    """What one IDENTIFY began; `log` has every dispatched frame, to be replayed on a RESUME."""

    id: str
    intents: int
    log: list[Json] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None


class Gateway:
    """Speaks to clients. Whatever happens to the sessions and sockets is told by `changed`.

    `frames` are all frames that were sent to clients, `received` all that came from them;
    `accepted` holds the privileged intents that the application was given. For faults:
    `silent` keeps heartbeats unacknowledged, `refuse_resume` answers each RESUME with op 9,
    `identify_close` closes with this code at the next IDENTIFYs, `repeat` sends that many frames
    again, which the client had already, when it resumes.
    """

    def __init__(
        self,
        token: str,
        clock: Clock,
        ready: Json,
        guilds: Callable[[], list[Json]],
        changed: Callable[[], None],
    ) -> None:
        self._token = token
        self._clock = clock
        self._ready = ready
        self._guilds = guilds
        self._changed = changed
        self._sockets: dict[web.WebSocketResponse, web.Request] = {}
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.frames: list[Json] = []
        self.received: list[Json] = []
        self.heartbeat_ms = HEARTBEAT_MS
        self.accepted = 0
        self.silent = False
        self.refuse_resume = False
        self.identify_close: int | None = None
        self.repeat = 0

    @property
    def connected(self) -> bool:
        """Whether a client is identified and its socket open."""
        return any(session.socket for session in self.sessions.values())

    def count(self, op: int) -> int:
        """How many frames with this opcode came from clients."""
        return sum(1 for frame in self.received if frame["op"] == op)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One client's connection, from HELLO to its end."""
        socket = web.WebSocketResponse(timeout=CLOSE_S)
        await socket.prepare(request)
        self._sockets[socket] = request
        try:
            if request.query.get("v") != "10" or request.query.get("encoding") != "json":
                await socket.close(code=INVALID_VERSION)
            else:
                await self._converse(socket)
        finally:
            self._forget(socket)
        return socket

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        hello = {"heartbeat_interval": self.heartbeat_ms, "_trace": ["local"]}
        await self._send(socket, {"t": None, "s": None, "op": HELLO, "d": hello})
        times: deque[float] = deque(maxlen=FRAMES_MAX)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                code: int | None = DECODE_ERROR
            elif self._too_many(times):
                code = RATE_LIMITED
            else:
                code = await self._take(socket, message.data)
            if code:
                await socket.close(code=code)
            self._changed()

    def _too_many(self, times: deque[float]) -> bool:
        """Whether a client sends more frames than it may; `times` has those of the last ones."""
        now = self._clock.monotonic()
        full = len(times) == FRAMES_MAX and now - times[0] < FRAMES_WINDOW_S
        times.append(now)
        return full

    async def _take(self, socket: web.WebSocketResponse, text: str) -> int | None:
        """Do what a frame asks for; the code to close with, where it may not."""
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame.get("d")
        except (ValueError, TypeError, KeyError):
            return DECODE_ERROR
        if len(text.encode()) > FRAME_BYTES_MAX:
            return DECODE_ERROR
        self.received.append(frame)
        if op == HEARTBEAT:
            return await self._beat(socket)
        if op in (IDENTIFY, RESUME) and self._session(socket):
            return ALREADY_AUTHENTICATED
        if op == IDENTIFY:
            return await self._identify(socket, data)
        if op == RESUME:
            return await self._resume(socket, data)
        if not self._session(socket):
            return NOT_AUTHENTICATED
        return None if op == PRESENCE else UNKNOWN_OPCODE

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        if not self.silent:
            await self._send(socket, {"t": None, "s": None, "op": HEARTBEAT_ACK, "d": None})

    async def _identify(self, socket: web.WebSocketResponse, data: Json) -> int | None:
        intents = data.get("intents")
        if self.identify_close:
            return self.identify_close
        if data.get("token") != self._token:
            return AUTHENTICATION_FAILED
        if not isinstance(intents, int) or intents & ~KNOWN_INTENTS:
            return INVALID_INTENTS
        if intents & PRIVILEGED & ~self.accepted:
            return DISALLOWED_INTENTS
        session = Session(f"session{len(self.sessions) + 1}", intents, socket=socket)
        self.sessions[session.id] = session
        guilds = self._guilds()
        ready = self._ready | {
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "guilds": [{"id": guild["id"], "unavailable": True} for guild in guilds],
        }
        await self._dispatch(session, "READY", ready)
        for guild in guilds:
            await self._dispatch(session, "GUILD_CREATE", guild)
        return None

    async def _resume(self, socket: web.WebSocketResponse, data: Json) -> int | None:
        if data.get("token") != self._token:
            return AUTHENTICATION_FAILED
        session = self.sessions.get(data.get("session_id") or "")
        if session is None or self.refuse_resume:
            await self._send(socket, {"t": None, "s": None, "op": INVALID_SESSION, "d": False})
            return None
        seq = data.get("seq")
        if not isinstance(seq, int) or seq > len(session.log):
            return INVALID_SEQ
        for frame in session.log[max(0, seq - self.repeat) :]:
            await self._send(socket, frame)
        session.socket = socket
        await self._dispatch(session, "RESUMED", {"_trace": ["local"]})
        return None

    async def dispatch(self, event: str, payload: Json) -> None:
        """Send an event to every session whose intents ask for it; it waits for the absent."""
        for session in tuple(self.sessions.values()):
            if _wanted(event, payload, session.intents):
                shown = _readable(event, payload, session.intents, self._ready["user"]["id"])
                await self._dispatch(session, event, shown)

    async def _dispatch(self, session: Session, event: str, payload: Json) -> None:
        # What a client missed is told as it was then, whatever became of it since.
        data = copy.deepcopy(payload)
        frame = {"t": event, "s": len(session.log) + 1, "op": DISPATCH, "d": data}
        session.log.append(frame)
        if session.socket:
            await self._send(session.socket, frame)

    async def reconnect(self) -> None:
        """Ask every client to reconnect and resume (op 7)."""
        await self._send_all({"t": None, "s": None, "op": RECONNECT, "d": None})

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Tell every client that its session is invalid (op 9)."""
        if not resumable:
            self.sessions.clear()
        await self._send_all({"t": None, "s": None, "op": INVALID_SESSION, "d": resumable})

    async def close(self, code: int) -> None:
        """Close every connection with this code."""
        for socket in tuple(self._sockets):
            self._forget(socket)
            await socket.close(code=code)

    def drop(self) -> None:
        """Cut every TCP connection, without a word."""
        for socket, request in tuple(self._sockets.items()):
            self._forget(socket)
            if request.transport:
                request.transport.abort()

    def _session(self, socket: web.WebSocketResponse) -> Session | None:
        return next((s for s in self.sessions.values() if s.socket is socket), None)

    def _forget(self, socket: web.WebSocketResponse) -> None:
        self._sockets.pop(socket, None)
        if session := self._session(socket):
            session.socket = None
        self._changed()

    async def _send_all(self, frame: Json) -> None:
        for socket in tuple(self._sockets):
            await self._send(socket, frame)

    async def _send(self, socket: web.WebSocketResponse, frame: Json) -> None:
        text = json.dumps(frame)
        self.frames.append(json.loads(text))
        with suppress(ConnectionError):
            await socket.send_str(text)
        self._changed()


def _wanted(event: str, payload: Json, intents: int) -> bool:
    if event.startswith(("GUILD_", "CHANNEL_", "THREAD_")):
        return bool(intents & GUILDS)
    if event.startswith("MESSAGE_"):
        return bool(intents & (GUILD_MESSAGES if "guild_id" in payload else DIRECT_MESSAGES))
    return True


def _readable(event: str, payload: Json, intents: int, reader: str) -> Json:
    """A message without what people wrote, for a client that may not read it.

    Without the intent it has the words of private messages, of its own, and of those that mention
    it; so it is with the message that one replies to.
    """
    if event != "MESSAGE_CREATE" or "guild_id" not in payload or intents & MESSAGE_CONTENT:
        return payload
    shown = payload
    if payload.get("referenced_message"):
        shown = payload | {"referenced_message": _emptied(payload["referenced_message"], reader)}
    return _emptied(shown, reader)


def _emptied(message: Json, reader: str) -> Json:
    known = [message["author"], *message["mentions"]]
    if reader in {user["id"] for user in known}:
        return message
    return message | {"content": "", "embeds": [], "attachments": [], "components": []}
