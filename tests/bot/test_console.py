"""The terminal surface, through real sockets and pipes; the desk behind it is a coroutine."""

import asyncio
import io
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import pytest
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot import client, console
from bot.client import run_client
from bot.door import Answered, Completion, Door, Hello, Welcome
from bot.terminal import commands, suggestions
from engine.desk import Desk
from engine.pace import Paces
from handlers.dispatch import LINE_MAX, RATES
from handlers.reply import Reply, Text, reply
from tests.clock import FakeClock

# Generous: it only ends a test that would hang.
PATIENCE_S = 20

OFFERED = {
    "status": Completion("How the desk stands", []),
    "start": Completion("What this desk is", []),
    "bot pause": Completion("Let a bot open nothing", [["shortseller_001", "breakout_002"]]),
    "bot list": Completion("All bots", []),
    "chart": Completion("Candles with fills", [["BTCUSDT", "ETHUSDT"], ["5m", "1h"]]),
}


async def echo(line: str, hello: Hello, uid: int) -> Answered:
    if hello.format == "json":
        return Answered(True, json.dumps({"command": line}))
    return Answered(True, f"answer to {line}")


async def refuse(line: str, hello: Hello, uid: int) -> Answered:
    return Answered(False, "No.")


def welcome(hello: Hello) -> Welcome:
    return Welcome("PAPER - here", "paper", "1.2", OFFERED, "Take the tour.")


def words(notice: Reply, hello: Hello) -> str:
    return " ".join(block.text for block in notice.blocks if isinstance(block, Text))


Answer = Callable[[str, Hello, int], Awaitable[Answered]]


class FakeDesk:
    """A desk behind a door, and what was asked of it."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.asked: list[str] = []
        self.hellos: list[Hello] = []
        self._answer = answer
        self.door = Door(path, answer=self._note, welcome=self._welcome, render=words)
        self.serving: asyncio.Task[None] | None = None

    def notify(self, text: str) -> None:
        self.door.broadcast(reply(Text(text)))

    async def stop(self) -> None:
        assert self.serving is not None
        self.serving.cancel()
        await asyncio.wait([self.serving])

    def _welcome(self, hello: Hello) -> Welcome:
        self.hellos.append(hello)
        return welcome(hello)

    async def _note(self, line: str, hello: Hello, uid: int) -> Answered:
        self.asked.append(line)
        return await self._answer(line, hello, uid)


@asynccontextmanager
async def desk_at(folder: Path, answer: Answer = echo) -> AsyncIterator[FakeDesk]:
    desk = FakeDesk(folder / "desk.sock", answer)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        desk.serving = tasks.create_task(desk.door.serve())
        await desk.door.opened.wait()
        yield desk
        desk.serving.cancel()


# -- one command a line --------------------------------------------------------------------


class Piped:
    """A console between two real pipes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors = io.StringIO()
        read_end, self._write_end = os.pipe()
        self.stdin: TextIO = os.fdopen(read_end)
        self._read_end, write_end = os.pipe()
        self.stdout: TextIO = os.fdopen(write_end, "w")

    def type(self, text: bytes) -> None:
        os.write(self._write_end, text)

    def read_from(self, path: Path) -> None:
        """Take a file or a device for the input, not the pipe."""
        self.stdin.close()
        self.stdin = path.open()

    def end_input(self) -> None:
        os.close(self._write_end)
        self._write_end = -1

    def run(self, *, json: bool = False) -> Awaitable[int]:
        return run_client(
            self.folder / "desk.sock",
            json=json,
            history=self.folder / "console_history",
            stdin=self.stdin,
            stdout=self.stdout,
            stderr=self.errors,
            environ={},
        )

    async def read(self, count: int = 65536) -> str:
        """What was printed, at most `count` bytes; waits until there is something."""
        return (await asyncio.to_thread(os.read, self._read_end, count)).decode()

    def printed(self) -> str:
        """All that was printed, once the console has ended."""
        self.stdout.close()
        with os.fdopen(self._read_end, closefd=False) as pipe:
            return pipe.read()

    def stop_reading(self) -> None:
        os.close(self._read_end)
        self._read_end = -1

    def close(self) -> None:
        self.stdin.close()
        self.stdout.close()
        for descriptor in (self._write_end, self._read_end):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Piped]:
    pipes = Piped(tmp_path)
    yield pipes
    pipes.close()


async def test_each_line_is_answered_under_its_echo_with_blank_lines_between(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path):
        piped.type(b"/status\n/pnl\n")
        piped.end_input()
        assert await piped.run() == 0
    assert piped.printed() == "> /status\nanswer to /status\n\n> /pnl\nanswer to /pnl\n"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"/status", ["/status"]),
        (b"status\r\n", ["status"]),
        (b"# a comment\n  # another\n\n   \n/pnl\n", ["/pnl"]),
        (b"/wait /status\t/trades 5\n", ["/wait", "/status", "/trades 5"]),
        (b"/status\n/quit\n/pnl\n", ["/status"]),
        (b"/status exit\nEXIT\n/pnl\n", ["/status exit"]),
        (b"/caf\xc3\xa9 \xff\n", ["/café \ufffd"]),
    ],
)
async def test_the_commands_in_the_input_are_asked_one_after_the_other(
    tmp_path: Path, piped: Piped, text: bytes, asked: list[str]
) -> None:
    async with desk_at(tmp_path) as desk:
        piped.type(text)
        piped.end_input()
        assert await piped.run() == 0
        assert desk.asked == asked


async def test_a_command_waits_until_the_one_before_it_was_answered(
    tmp_path: Path, piped: Piped
) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        begun.set()
        await gate.wait()
        return Answered(True, line)

    async with desk_at(tmp_path, answer) as desk, asyncio.TaskGroup() as tasks:
        piped.type(b"/wait\n/status\n")
        piped.end_input()
        running = tasks.create_task(as_coroutine(piped.run()))
        await begun.wait()
        assert desk.asked == ["/wait"]
        gate.set()
        assert await running == 0
        assert desk.asked == ["/wait", "/status"]


async def as_coroutine(work: Awaitable[int]) -> int:
    return await work


async def test_an_answer_comes_while_the_input_stays_open(tmp_path: Path, piped: Piped) -> None:
    async with desk_at(tmp_path), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(as_coroutine(piped.run()))
        piped.type(b"/status\n")
        printed = ""
        while "answer to /status\n" not in printed:
            printed += await piped.read()
        piped.end_input()
        assert await running == 0


@pytest.mark.parametrize("source", ["file", "/dev/null"])
async def test_files_and_devices_can_be_the_input(
    tmp_path: Path, piped: Piped, source: str
) -> None:
    script = tmp_path / "script"
    script.write_text("/status\n")
    piped.read_from(script if source == "file" else Path(source))
    async with desk_at(tmp_path) as desk:
        assert await piped.run() == 0
        assert desk.asked == (["/status"] if source == "file" else [])


async def test_a_line_without_end_is_cut_to_what_the_desk_refuses(
    tmp_path: Path, piped: Piped
) -> None:
    script = tmp_path / "script"
    script.write_text("/" + "x" * 1_000_000 + "\n/status\n")
    piped.read_from(script)
    async with desk_at(tmp_path) as desk:
        assert await piped.run(json=True) == 0
        assert [len(line) for line in desk.asked] == [LINE_MAX + 1, len("/status")]


async def test_a_refused_command_was_answered_too(tmp_path: Path, piped: Piped) -> None:
    async with desk_at(tmp_path, refuse):
        piped.type(b"/fly\n")
        piped.end_input()
        assert await piped.run() == 0
    assert piped.printed() == "> /fly\nNo.\n"


async def test_json_mode_prints_one_line_for_each_command_and_nothing_else(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path) as desk:
        piped.type(b"# first\n/status\n\n/pnl /trades\n")
        piped.end_input()
        assert await piped.run(json=True) == 0
        assert desk.hellos == [Hello(format="json")]
    lines = piped.printed().splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["/status", "/pnl", "/trades"]
    assert piped.errors.getvalue() == ""


@pytest.mark.parametrize("as_json", [False, True])
async def test_notices_do_not_come_between_the_answers_of_a_script(
    tmp_path: Path, piped: Piped, as_json: bool
) -> None:
    desks: list[FakeDesk] = []

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        desks[0].notify("Sold BTC.")
        return await echo(line, hello, uid)

    async with desk_at(tmp_path, answer) as desk:
        desks.append(desk)
        piped.type(b"/status\n/pnl\n")
        piped.end_input()
        assert await piped.run(json=as_json) == 0
    assert "Sold BTC." not in piped.printed()


async def test_a_text_console_without_a_terminal_wants_no_color(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path) as desk:
        piped.end_input()
        assert await piped.run() == 0
        assert [hello.color for hello in desk.hellos] == [False]


async def test_a_desk_that_goes_away_in_the_middle_of_a_command_is_said_once(
    tmp_path: Path, piped: Piped
) -> None:
    begun = asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with desk_at(tmp_path, answer) as desk, asyncio.TaskGroup() as tasks:
        piped.type(b"/wait\n/status\n")
        running = tasks.create_task(as_coroutine(piped.run(json=True)))
        await begun.wait()
        await desk.stop()
        assert await running == 1
    assert piped.errors.getvalue() == f"{desk.door.farewell}\n"
    assert piped.printed() == ""


async def test_a_desk_that_goes_away_ends_a_console_that_waits_for_input(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path) as desk, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(as_coroutine(piped.run()))
        piped.type(b"/status\n")
        await piped.read()
        await desk.stop()
        assert await running == 1


async def test_a_desk_that_is_killed_says_no_goodbye(tmp_path: Path, piped: Piped) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.transport.abort()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "desk.sock")
    piped.type(b"/status\n")
    assert await piped.run() == 1
    assert piped.errors.getvalue() == f"{client.GONE}\n"
    server.close()


@pytest.mark.parametrize("said", [b"Hello!\n", b'{"welcome": {}}\n', b'{"error": "?"}\n'])
async def test_a_desk_of_another_version_is_said_to_be_one(
    tmp_path: Path, piped: Piped, said: bytes
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(speak, tmp_path / "desk.sock")
    assert await piped.run() == 1
    assert len(piped.errors.getvalue().splitlines()) == 1
    server.close()


async def test_no_desk_is_an_error_that_names_the_socket(tmp_path: Path, piped: Piped) -> None:
    assert await piped.run() == 1
    assert str(tmp_path / "desk.sock") in piped.errors.getvalue()


async def test_a_reader_who_closes_the_output_ends_the_console_quietly(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path):
        piped.type(b"/status\n")
        piped.stop_reading()
        assert await piped.run() == 0
    assert piped.errors.getvalue() == ""


async def test_an_answer_that_nobody_reads_any_more_ends_the_console_quietly(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(as_coroutine(piped.run()))
        piped.type(b"/status\n")
        await piped.read()
        piped.stop_reading()
        piped.type(b"/status\n")
        assert await running == 0
    assert piped.errors.getvalue() == ""


async def test_a_full_output_pipe_holds_up_the_console_and_not_the_loop(
    tmp_path: Path, piped: Piped
) -> None:
    large = "x" * 1_000_000

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        return Answered(True, large)

    async with desk_at(tmp_path, answer) as desk, asyncio.TaskGroup() as tasks:
        piped.type(b"/trades\n")
        piped.end_input()
        running = tasks.create_task(as_coroutine(piped.run(json=True)))
        printed = await piped.read(1)
        # The pipe is full by now, and this loop still serves another console.
        other = Piped(tmp_path)
        other.end_input()
        assert await other.run() == 0
        other.close()
        while not printed.endswith("\n"):
            printed += await piped.read()
        assert await running == 0
        assert printed == f"{large}\n"
        assert desk.asked == ["/trades"]


async def test_a_console_that_is_cancelled_leaves_no_thread_that_must_end(
    tmp_path: Path, piped: Piped
) -> None:
    async with desk_at(tmp_path), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(as_coroutine(piped.run()))
        piped.type(b"/status\n")
        await piped.read()
        running.cancel()
    assert all(thread.daemon for thread in threading.enumerate() if "console" in thread.name)


# -- a prompt ------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal that remembers what it showed."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._changed.set()
        return super().write(text)

    async def shows(self, text: str) -> None:
        while text not in self.getvalue():
            self._changed.clear()
            await self._changed.wait()


class Window(DummyOutput):
    """Where the prompt is drawn; it only tells that something was."""

    def __init__(self) -> None:
        self.painted = asyncio.Event()

    def flush(self) -> None:
        self.painted.set()


class Typist:
    """Somebody at a terminal with a console."""

    def __init__(self, folder: Path, keys: PipeInput, window: Window, desk: FakeDesk) -> None:
        self.history = folder / "console_history"
        self.desk = desk
        self.screen = Screen()
        self.errors = io.StringIO()
        self._keys = keys
        self._window = window

    def type(self, text: str) -> None:
        self._keys.send_text(text)

    async def is_at(self, text: str, *, offered: int = 0) -> None:
        """Wait until the line being typed is `text`, and that many completions are offered."""
        while (line := get_app().current_buffer).text != text or _offers(line) < offered:
            self._window.painted.clear()
            await self._window.painted.wait()

    async def sit_down(self) -> int:
        return await run_client(
            self.desk.path,
            json=False,
            history=self.history,
            stdin=self.screen,
            stdout=self.screen,
            stderr=self.errors,
            environ={},
        )


def _offers(line: Buffer) -> int:
    return len(line.complete_state.completions) if line.complete_state else 0


@asynccontextmanager
async def typist_at(folder: Path, answer: Answer = echo) -> AsyncIterator[Typist]:
    window = Window()
    with create_pipe_input() as keys, create_app_session(input=keys, output=window):
        async with desk_at(folder, answer) as desk:
            yield Typist(folder, keys, window, desk)


async def test_a_typed_command_is_answered_and_the_tour_is_shown_once(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type("/status\r/pnl\r/quit\r")
        assert await typist.sit_down() == 0
        shown = typist.screen.getvalue()
        assert shown == "Take the tour.\n\nanswer to /status\n\nanswer to /pnl\n\n"
        assert typist.desk.hellos[0] == Hello(color=True, width=100, notices=True, newcomer=True)


@pytest.mark.parametrize("farewell", ["/quit\r", "/exit\r", "exit\r", "\x04"])
async def test_leaving_still_waits_for_what_was_asked(tmp_path: Path, farewell: str) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type(f"/status\r{farewell}")
        assert await typist.sit_down() == 0
        assert "answer to /status" in typist.screen.getvalue()


async def test_several_commands_on_a_line_are_answered_in_their_order(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type("/wait /status  /trades\r# not this\r\r\x04")
        assert await typist.sit_down() == 0
        assert typist.desk.asked == ["/wait", "/status", "/trades"]


async def test_ctrl_c_clears_the_line(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type("/bot pause\x03/status\r\x04")
        assert await typist.sit_down() == 0
        assert typist.desk.asked == ["/status"]


async def test_ctrl_c_on_an_empty_line_stops_waiting_for_an_answer(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        if line == "/wait":
            begun.set()
            await asyncio.Event().wait()
        return await echo(line, hello, uid)

    async with typist_at(tmp_path, answer) as typist, asyncio.TaskGroup() as tasks:
        sitting = tasks.create_task(typist.sit_down())
        typist.type("/wait\r")
        await begun.wait()
        typist.type("/sta\x03")
        typist.type("\x03/status\r")
        await typist.screen.shows("answer to /status")
        typist.type("\x04")
        assert await sitting == 0
        assert client.LET_GO in typist.screen.getvalue()


async def test_what_is_typed_while_a_command_runs_waits_for_its_turn(tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        if line == "/wait":
            begun.set()
            await gate.wait()
        return await echo(line, hello, uid)

    async with typist_at(tmp_path, answer) as typist, asyncio.TaskGroup() as tasks:
        sitting = tasks.create_task(typist.sit_down())
        typist.type("/wait\r/status\r\x04")
        await begun.wait()
        assert typist.desk.asked == ["/wait"]
        gate.set()
        assert await sitting == 0
        assert typist.screen.getvalue().endswith("answer to /wait\n\nanswer to /status\n\n")


async def test_a_notice_appears_without_breaking_the_line_being_typed(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist, asyncio.TaskGroup() as tasks:
        sitting = tasks.create_task(typist.sit_down())
        typist.type("/sta")
        await typist.screen.shows("Take the tour.")
        typist.desk.notify("Sold BTC.")
        await typist.screen.shows("Sold BTC.\n")
        typist.type("tus\r")
        await typist.screen.shows("answer to /status")
        typist.type("\x04")
        assert await sitting == 0
        assert typist.desk.asked == ["/status"]


async def test_tab_completes_a_command_and_its_arguments(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist, asyncio.TaskGroup() as tasks:
        sitting = tasks.create_task(typist.sit_down())
        typist.type("/bot p")
        await typist.is_at("/bot p", offered=1)
        typist.type("\t")
        await typist.is_at("/bot pause")
        typist.type(" break")
        await typist.is_at("/bot pause break", offered=1)
        typist.type("\t")
        await typist.is_at("/bot pause breakout_002")
        typist.type("\r\x04")
        assert await sitting == 0
        assert typist.desk.asked == ["/bot pause breakout_002"]


async def test_the_history_is_kept_where_only_its_owner_can_read_it(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type("/status\r\x04")
        assert await typist.sit_down() == 0
        assert typist.history.stat().st_mode & 0o777 == 0o600
        assert "+/status" in typist.history.read_text()


async def test_a_history_that_can_not_be_opened_keeps_nobody_from_talking(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist:
        typist.history.mkdir()
        typist.type("/status\r\x04")
        assert await typist.sit_down() == 0
        assert typist.desk.asked == ["/status"]


async def test_a_desk_that_goes_away_ends_the_prompt_with_one_sentence(tmp_path: Path) -> None:
    async with typist_at(tmp_path) as typist, asyncio.TaskGroup() as tasks:
        sitting = tasks.create_task(typist.sit_down())
        typist.type("/status\r/half a comm")
        await typist.screen.shows("answer to /status")
        await typist.desk.stop()
        assert await sitting == 1
        assert typist.errors.getvalue() == f"{typist.desk.door.farewell}\n"


@pytest.mark.parametrize(
    ("environ", "color"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
async def test_color_is_left_out_where_it_is_not_wanted(
    tmp_path: Path, environ: dict[str, str], color: bool
) -> None:
    async with typist_at(tmp_path) as typist:
        typist.type("\x04")
        await run_client(
            typist.desk.path,
            json=False,
            history=typist.history,
            stdin=typist.screen,
            stdout=typist.screen,
            environ=environ,
        )
        assert typist.desk.hellos[0].color is color


# -- words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/status", ["/status"]),
        ("status", ["status"]),
        ("/wait /status", ["/wait", "/status"]),
        ("/price BTC/USDT", ["/price BTC/USDT"]),
        ("/preview /halt", ["/preview /halt"]),
        ("/status /preview /halt /wait", ["/status", "/preview /halt /wait"]),
        ("help /halt", ["help /halt"]),
        ("/schedule add 08:00 /report daily", ["/schedule add 08:00 /report daily"]),
        ("/halt now /status", ["/halt now", "/status"]),
        ("/note 1 / 2", ["/note 1 / 2"]),
        ("/wait\n/status", ["/wait", "/status"]),
        ("  # /status", []),
        ("", []),
    ],
)
def test_commands_are_split_where_a_new_one_begins(text: str, said: list[str]) -> None:
    assert commands(text) == said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/sta", [("/status", 4), ("/start", 4)]),
        ("STAR", [("/start", 4)]),
        ("/sts", [("/status", 4)]),
        ("/bot", [("/bot pause", 4), ("/bot list", 4)]),
        ("/bot p", [("/bot pause", 6)]),
        ("/bot pause ", [("shortseller_001", 0), ("breakout_002", 0)]),
        ("/bot pause b", [("breakout_002", 1)]),
        ("/bot pause s1", [("shortseller_001", 2)]),
        ("/chart btc", [("BTCUSDT", 3)]),
        ("/chart BTC ", [("5m", 0), ("1h", 0)]),
        ("/chart BTC 1", [("1h", 1)]),
        ("/chart BTC 1h ", []),
        ("/wait /chart e", [("ETHUSDT", 1)]),
        ("/status", []),
        ("/zzz", []),
    ],
)
def test_suggestions_are_what_can_follow(text: str, found: list[tuple[str, int]]) -> None:
    assert [(s.text, s.replaces) for s in suggestions(text, OFFERED)] == found


def test_a_suggested_command_comes_with_its_summary() -> None:
    assert suggestions("/star", OFFERED)[0].summary == "What this desk is"


# -- the desk's side -----------------------------------------------------------------------


class QuietRuntime:
    busy = False

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str]] = []

    def note_command(self, actor: str, command: str, outcome: str) -> None:
        self.noted.append((actor, command, outcome))


class BrokenRuntime:
    busy = False

    def note_command(self, actor: str, command: str, outcome: str) -> None:
        raise KeyError(command)


class DeskStub:
    badge = "PAPER - here"
    rates = Paces(FakeClock(), RATES)

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime


async def answered(runtime: Any, hello: Hello, uid: int) -> Answered:
    async def draw(reply: Reply) -> list[Path | None]:
        return []

    desk = cast(Desk, DeskStub(runtime))
    return await console.answer(desk, draw, Path("files"), "/nonsense", hello, uid)


async def test_who_types_is_named_by_the_system_and_audited() -> None:
    runtime = QuietRuntime()
    await answered(runtime, Hello(), 0)
    await answered(runtime, Hello(), 2**31 - 7)
    assert [actor for actor, _, _ in runtime.noted] == ["console:root", f"console:{2**31 - 7}"]


async def test_a_desk_that_can_not_keep_up_runs_no_command_and_says_so() -> None:
    runtime = QuietRuntime()
    runtime.busy = True
    found = await answered(runtime, Hello(), 0)
    assert not found.ok
    assert "The desk is busy. Nothing was changed" in found.output
    assert runtime.noted == []


async def test_a_refusal_is_rendered_as_the_client_wished() -> None:
    text = await answered(QuietRuntime(), Hello(), 0)
    assert not text.ok
    assert "There is no command /nonsense" in text.output
    assert "\x1b" not in text.output
    machine = await answered(QuietRuntime(), Hello(format="json"), 0)
    found = json.loads(machine.output)
    assert found["command"] == "/nonsense"
    assert found["ok"] is False


async def test_a_bug_in_one_answer_is_told_and_does_not_end_the_desk() -> None:
    machine = await answered(BrokenRuntime(), Hello(format="json"), 0)
    assert json.loads(machine.output)["error"] == console.OUR_FAULT
