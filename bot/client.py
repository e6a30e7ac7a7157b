"""The terminal surface, on the person's side: lines go to the desk, answers come back."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from bot.door import WIDTH_MAX, WIDTH_MIN, Answered, Hello, Welcome, connect, encode
from bot.terminal import Terminal, commands, leaves
from engine.errors import Unreachable
from handlers.dispatch import LINE_MAX

# The longest answer that is shown. The desk's own limits keep answers far below it.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# What is kept of a line without end; the desk refuses it for its length, whatever it says.
INPUT_BYTES_MAX = 64 * 1024
READ_BYTES = 64 * 1024
WIDTH_UNKNOWN = 100

GONE = "The desk went away. What it had begun is stored; start it again to go on."
LET_GO = "No longer waiting. The desk carries on with it."
OTHER_VERSION = "The desk is of another version. Restart it, or use the console it came with."

T = TypeVar("T")

_WELCOME: TypeAdapter[Welcome] = TypeAdapter(Welcome)


class DeskGone(Unreachable):
    """The desk can't be talked to any more; `str()` is the sentence shown."""


async def run_client(
    path: Path,
    *,
    json: bool,
    history: Path,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Talk to the desk at `path`: a prompt on a terminal, else one command a line.

    Returns the exit code: 0 once everything that was asked was answered, be the answer a
    refusal or not; 1 where the desk went away before that. A reader who closed standard output
    has heard enough: 0. The streams default to the process's own; where they are no terminals
    they must have file descriptors.
    """
    source, out = stdin or sys.stdin, stdout or sys.stdout
    typed = not json and bool(source) and source.isatty() and out.isatty()
    hello = partial(_hello, json, typed, out, environ)
    err = stderr or sys.stderr
    talk = Terminal(out, hello, history) if typed else Pipe(source, out, err, hello())
    code = 0
    try:
        await _attach(path, talk)
    except* DeskGone as gone:
        err.write(f"{gone.exceptions[0]}\n")
        code = 1
    except* BrokenPipeError:
        pass
    return code


async def _attach(path: Path, talk: "Terminal | Pipe") -> None:
    try:
        reader, writer = await connect(path, ANSWER_BYTES_MAX)
    except OSError as error:
        raise DeskGone(f"No desk answers at {path} ({error.strerror}).") from error
    link = Link(reader, writer, talk.show)
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(link.listen(), name="desk's answers")
            await talk.run(link)
            listening.cancel()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _hello(json: bool, typed: bool, stdout: TextIO, environ: Mapping[str, str]) -> Hello:
    """How answers are wanted on this output; asked again whenever its width may have changed.

    Notices are for people at a prompt; whoever pipes commands in wants their answers alone.
    """
    if json:
        return Hello(format="json")
    try:
        width = os.get_terminal_size(stdout.fileno()).columns
    except OSError:
        width = WIDTH_UNKNOWN
    plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
    return Hello(
        color=stdout.isatty() and not plain,
        width=min(max(width, WIDTH_MIN), WIDTH_MAX),
        notices=typed,
    )


class Link:
    """A connection to a desk. `on_notice` shows what the desk says by itself."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_notice: Callable[[str], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_notice = on_notice
        self._welcome: asyncio.Future[Welcome] | None = None
        self._answers: dict[int, asyncio.Future[Answered]] = {}
        self._asked = 0

    async def greet(self, hello: Hello) -> Welcome:
        """Tell the desk how answers are wanted; returns how it introduces itself."""
        self._welcome = asyncio.get_running_loop().create_future()
        self._writer.write(encode({"hello": asdict(hello)}))
        return await self._welcome

    async def ask(self, line: str) -> Answered:
        """Send a command and wait for its answer."""
        self._asked += 1
        waiting: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = waiting
        # One character too many is enough for the desk to see that a line is too long.
        self._writer.write(encode({"id": self._asked, "line": line[: LINE_MAX + 1]}))
        return await waiting

    def let_go(self) -> None:
        """Stop waiting for answers; they are dropped when they come."""
        for waiting in self._answers.values():
            _settle(waiting, Answered(False, LET_GO))
        self._answers.clear()

    async def listen(self) -> None:
        """Hand out what the desk says. Raises DeskGone when it has said its last."""
        while True:
            await self._hand_out(await self._next())

    async def _next(self) -> Any:
        try:
            line = await self._reader.readline()
            return json.loads(line) if line else {"bye": GONE}
        except (ConnectionError, ValueError) as error:
            raise DeskGone(f"{GONE} ({error})") from error

    async def _hand_out(self, message: Any) -> None:
        match message:
            case {"notice": str(text)}:
                await self._on_notice(text)
            case {"id": int(number), "ok": bool(ok), "output": str(output)}:
                _settle(self._answers.pop(number, None), Answered(ok, output))
            case {"welcome": fields}:
                _settle(self._welcome, _introduced(fields))
            case {"bye": str(reason)}:
                raise DeskGone(reason)
            case _:
                raise DeskGone(OTHER_VERSION)


def _introduced(fields: object) -> Welcome:
    try:
        return _WELCOME.validate_python(fields)
    except ValidationError as error:
        raise DeskGone(OTHER_VERSION) from error


def _settle(waiting: asyncio.Future[T] | None, result: T) -> None:
    """Give a result to whoever waits for it; they may have stopped waiting."""
    if waiting is not None and not waiting.done():
        waiting.set_result(result)


class Pipe:
    """Commands from a file or a pipe, answers to another: a log in text, or lines of JSON."""

    def __init__(self, stdin: TextIO | None, stdout: TextIO, stderr: TextIO, hello: Hello) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._hello = hello
        self._writing = asyncio.Lock()
        self._gap = ""

    async def run(self, link: Link) -> None:
        """Answer each command before the next is sent, until the input ends."""
        welcome = await link.greet(self._hello)
        for remark in welcome.remarks:
            self._stderr.write(f"Note: {remark}\n")
        async for line in _lines(self._stdin):
            for command in commands(line):
                if leaves(command):
                    return
                await self._echo(command)
                _, output = await link.ask(command)
                await self.show(output)

    async def show(self, text: str) -> None:
        await self._write(text, gap_after="\n")

    async def _echo(self, command: str) -> None:
        if self._hello.format == "text":
            await self._write(f"> {command}", gap_after="")

    async def _write(self, text: str, gap_after: str) -> None:
        """Write a block whole, apart from the one before."""
        async with self._writing:
            gap, self._gap = self._gap, gap_after if self._hello.format == "text" else ""
            block = f"{gap}{text.rstrip()}\n".encode("utf-8", "replace")
            await _in_thread(partial(_write_all, self._stdout.fileno(), block))


async def _lines(stdin: TextIO | None) -> AsyncIterator[str]:
    """The lines of a file, pipe or device, the last one with or without its newline."""
    if stdin is None:  # closed, as in `countersign console <&-`
        return
    rest = b""
    while chunk := await _in_thread(partial(os.read, stdin.fileno(), READ_BYTES)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        rest = rest[:INPUT_BYTES_MAX]
    yield rest.decode("utf-8", "replace")


def _write_all(descriptor: int, block: bytes) -> None:
    while block:
        block = block[os.write(descriptor, block) :]


async def _in_thread(work: Callable[[], T]) -> T:
    """Read or write a descriptor in a thread that nobody waits for at exit.

    It may block for as long as a pipe is full or empty, while the desk in this very loop goes
    on trading. Not a TextIO: a thread that waits inside one holds its lock, and the interpreter
    aborts when it meets that lock at exit.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def fail(error: OSError) -> None:
        if not outcome.done():
            outcome.set_exception(error)

    def run() -> None:
        with suppress(RuntimeError):  # the loop has ended, nobody is waiting any more
            try:
                loop.call_soon_threadsafe(_settle, outcome, work())
            except OSError as error:
                loop.call_soon_threadsafe(fail, error)

    threading.Thread(target=run, name="console stream", daemon=True).start()
    return await outcome
