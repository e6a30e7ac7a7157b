"""The desk's own door: a unix socket in DATA_DIR, where consoles on this machine come in.

One JSON object a line, both ways. A client says `{"hello": {"format", "color", "width",
"notices"}}` and is told `{"welcome": {...}}`; then it sends `{"id": 1, "line": "/status"}` and
gets `{"id": 1, "ok": true, "output": "..."}`, in whatever order answers are ready. `{"notice":
"..."}` comes to text clients that asked for it, `{"error": "..."}` says that a line was not
understood, `{"bye": "..."}` that there will be no more. A hello may be said again at any time:
the terminal was resized, or the client wants to know how the desk is called by now.

Everything is rendered on this side. Who the client is comes from the kernel, never from it.
"""

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import structlog
from pydantic import Field, TypeAdapter, ValidationError

from bot.render.plain import to_text
from engine.errors import BadSettings
from handlers.reply import Reply

# A command has at most 4,096 characters (handlers.dispatch); escaped as JSON they fit.
LINE_BYTES_MAX = 64 * 1024
SOCKET_NAME = "desk.sock"
# People have a few terminals open; more than this is a script that forgets to hang up.
CLIENTS_MAX = 64
# Commands of one client at the same time; further ones wait in its own socket.
REQUESTS_MAX = 32
# Notices that a client may leave unread. A terminal in the background reads on; one that is
# stopped (Ctrl-Z) is let go before it costs memory.
NOTICES_MAX = 1000
# How long a client has to take the last words.
FAREWELL_S = 1.0
# `sun_path` holds 108 bytes on Linux and 104 on macOS, one of them a closing zero.
ADDRESS_BYTES_MAX = 103
SOCKET_MODE = 0o600
ROOT = 0

NOT_UNDERSTOOD = 'Say {"hello": {...}} first, then {"id": 1, "line": "/status"}, one a line.'
TOO_LONG = f"A line has at most {LINE_BYTES_MAX:,} bytes."
STRANGER = "This desk answers to the user who runs it, and to nobody else."
CROWDED = f"This desk has {CLIENTS_MAX} consoles open already. Close one first."

# What a client may say its terminal's width is, in characters.
WIDTH_MIN, WIDTH_MAX = 20, 1000

log = structlog.get_logger()


def socket_path(data_dir: Path) -> Path:
    """Where the desk of a data folder is to be asked."""
    return data_dir / SOCKET_NAME


@dataclass(frozen=True, slots=True)
class Hello:
    """How a client wants its answers. `width` is the terminal's, in characters.

    `newcomer` says that nobody has used a prompt on this desk's data before.
    """

    format: Literal["text", "json"] = "text"
    color: bool = False
    width: Annotated[int, Field(ge=WIDTH_MIN, le=WIDTH_MAX)] = 100
    notices: bool = False
    newcomer: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """What can follow a command: its summary, and the values there are for each argument."""

    summary: str
    arguments: list[list[str]]


@dataclass(frozen=True, slots=True)
class Welcome:
    """How the desk introduces itself. `completions` are by the command's name.

    `remarks` are what a person should know before believing a number.
    """

    badge: str
    mode: str
    version: str
    completions: dict[str, Completion]
    greeting: str
    remarks: list[str] = field(default_factory=list)


class Answered(NamedTuple):
    """A rendered reply, and whether it was the one hoped for."""

    ok: bool
    output: str


@dataclass(frozen=True, slots=True)
class _Introduction:
    hello: Hello


@dataclass(frozen=True, slots=True)
class _Request:
    id: Annotated[int, Field(ge=0, lt=2**53)]
    line: str


_Said = _Introduction | _Request
_SAID: TypeAdapter[_Said] = TypeAdapter(_Said)


def render_notice(reply: Reply, hello: Hello) -> str:
    return to_text(reply, hello.width, hello.color)


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel knows it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()  # elsewhere the mode of the socket file has kept strangers out
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    _, uid, _ = struct.unpack("iII", packed)
    return int(uid)


class Door:
    """Serves consoles until cancelled.

    `answer` is called with a line, its client's hello and user id; `welcome` with a hello.
    """

    def __init__(
        self,
        path: Path,
        *,
        answer: Callable[[str, Hello, int], Awaitable[Answered]],
        welcome: Callable[[Hello], Welcome],
        render: Callable[[Reply, Hello], str] = render_notice,
        read_uid: Callable[[socket.socket], int] = peer_uid,
    ) -> None:
        self._path = path
        self._answer = answer
        self._welcome = welcome
        self._render = render
        self._read_uid = read_uid
        self._clients: set[_Client] = set()
        self._tasks = asyncio.TaskGroup()
        self._closed = False
        self.farewell = "The desk was stopped."
        self.opened = asyncio.Event()

    async def serve(self) -> None:
        """Open the socket and answer whoever connects; on cancellation say goodbye to all.

        Raises BadSettings where the socket can't be opened.
        """
        if await reachable(self._path):
            raise BadSettings(f"{self._path}: another desk answers there already.")
        listening = _bind(self._path)
        inode = self._path.stat().st_ino
        try:
            async with self._tasks:
                await self._listen(listening)
        finally:
            _remove(self._path, inode)

    def broadcast(self, reply: Reply) -> None:
        """Show a notice on every terminal that asked for notices."""
        for client in tuple(self._clients):
            hello = client.hello
            if hello and hello.notices and hello.format == "text":
                client.notify(self._render(reply, hello))

    async def _listen(self, listening: socket.socket) -> None:
        server = await asyncio.start_unix_server(
            self._arrived, sock=listening, limit=LINE_BYTES_MAX
        )
        self.opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._closed = True
            server.close()
            for client in self._clients:
                client.say_now({"bye": self.farewell})

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        self._tasks.create_task(self._attend(_Client(reader, writer)), name="console client")

    async def _attend(self, client: "_Client") -> None:
        """Everything between a client's arrival and its leaving."""
        try:
            uid = self._read_uid(client.socket)
            if refusal := self._refusal(uid):
                client.say_now({"bye": refusal})
                return
            self._clients.add(client)
            await self._converse(client, uid)
        finally:
            self._clients.discard(client)
            await client.leave()

    def _refusal(self, uid: int) -> str | None:
        if uid not in (os.getuid(), ROOT):
            log.warning("stranger at the desk's socket", uid=uid)
            return STRANGER
        return CROWDED if len(self._clients) >= CLIENTS_MAX else None

    async def _converse(self, client: "_Client", uid: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            notifying = tasks.create_task(client.pass_on_notices())
            async with asyncio.TaskGroup() as requests:
                async for line in client.lines():
                    await self._take(client, uid, line, requests)
            notifying.cancel()

    async def _take(
        self, client: "_Client", uid: int, line: bytes | None, requests: asyncio.TaskGroup
    ) -> None:
        match _understood(line):
            case _Introduction(hello):
                client.hello = hello
                await client.say({"welcome": asdict(self._welcome(hello))})
            case _Request() as request if client.hello:
                await client.slots.acquire()
                requests.create_task(self._respond(client, client.hello, uid, request))
            case str(complaint):
                await client.say({"error": complaint})
            case _:
                await client.say({"error": NOT_UNDERSTOOD})

    async def _respond(self, client: "_Client", hello: Hello, uid: int, request: _Request) -> None:
        try:
            ok, output = await self._answer(request.line, hello, uid)
            await client.say({"id": request.id, "ok": ok, "output": output})
        finally:
            client.slots.release()


class _Client:
    """One connection, as the desk sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._notices: asyncio.Queue[str] = asyncio.Queue(NOTICES_MAX)
        self.slots = asyncio.Semaphore(REQUESTS_MAX)
        self.hello: Hello | None = None

    @property
    def socket(self) -> socket.socket:
        connection: socket.socket = self._writer.get_extra_info("socket")
        return connection

    async def lines(self) -> AsyncIterator[bytes | None]:
        """What the client says, a line at a time; None stands for one that was too long."""
        too_long = False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                try:
                    line = await self._reader.readuntil(b"\n")
                except asyncio.LimitOverrunError as error:
                    await self._reader.readexactly(error.consumed)
                    too_long = True
                else:
                    yield None if too_long else line
                    too_long = False

    async def say(self, message: Mapping[str, Any]) -> None:
        """Send a message and wait until the socket took it; one to nobody is lost."""
        with suppress(ConnectionError):
            async with self._writing:
                self.say_now(message)
                await self._writer.drain()

    def say_now(self, message: Mapping[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def notify(self, text: str) -> None:
        """Have a notice sent when its turn comes; a client that does not read is let go."""
        try:
            self._notices.put_nowait(text)
        except asyncio.QueueFull:
            log.warning("console does not read, let go", unread=NOTICES_MAX)
            self._writer.transport.abort()

    async def pass_on_notices(self) -> None:
        while True:
            await self.say({"notice": await self._notices.get()})

    async def leave(self) -> None:
        """Close the connection; what was said last has a moment to arrive."""
        self._writer.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self._writer.transport.abort()


def _understood(line: bytes | None) -> _Said | str:
    """What a line says, or why it says nothing."""
    if line is None:
        return TOO_LONG
    try:
        return _SAID.validate_json(line, strict=True)
    except ValidationError:
        return NOT_UNDERSTOOD


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the socket, in one line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


async def connect(
    path: Path, line_bytes_max: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the desk at `path`; raises OSError where none answers."""
    with _address(path) as address:
        return await asyncio.open_unix_connection(address, limit=line_bytes_max)


async def reachable(path: Path) -> bool:
    """Whether a desk answers at `path`."""
    try:
        _, writer = await connect(path, LINE_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return False
    except PermissionError:
        raise BadSettings(f"{path} belongs to another user; run this as that user.") from None
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return True


def _bind(path: Path) -> socket.socket:
    """A socket bound to `path` with mode 0600, in place of one that a dead desk left.

    It gets its name only when its mode is right, so that nobody finds it open for a moment.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise BadSettings(f"{path} is no socket, and stands where the desk's belongs.")
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 - SOCKET_MODE)
    try:
        with _address(fresh) as address:
            bound.bind(address)
        fresh.chmod(SOCKET_MODE)
        fresh.replace(path)
    except BaseException:
        bound.close()
        raise
    finally:
        os.umask(umask)
    return bound


def _remove(path: Path, inode: int) -> None:
    """Take the socket file away, unless a successor has put its own there."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name for `path` that fits into a socket's address, however deep DATA_DIR lies."""
    for name in (str(path), os.path.relpath(path)):
        if len(os.fsencode(name)) <= ADDRESS_BYTES_MAX:
            yield name
            return
    # Linux names the folder by an open descriptor: /proc/self/fd/7/desk.sock.
    if not os.path.isdir("/proc/self/fd") or len(os.fsencode(path.name)) > 64:
        raise BadSettings(
            f"DATA_DIR: {str(path.parent)!r} is too long; the path of {path.name} has at most "
            f"{ADDRESS_BYTES_MAX} bytes here."
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
