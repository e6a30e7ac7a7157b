"""What `countersign health` makes of a desk's answer; the desk is a door with a coroutine."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.door import Answered, Door, Hello, Welcome
from bot.health import probe
from bot.render.plain import to_json
from engine.errors import Unreachable
from handlers.reply import Reply, Table, Text, reply

WELL = ("trading", "green", "entries allowed")
SLOW = ("database", "yellow", "one read in\n700 ms")
HALTED = ("inbox", "red", "halted")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.sock"


def told(*rows: tuple[str, str, str]) -> Reply:
    return reply(Text("How it is"), Table("Health", ("part", "state", "detail"), rows))


def saying(answer: Reply) -> Callable[[str, Hello, int], Awaitable[Answered]]:
    async def say(line: str, hello: Hello, uid: int) -> Answered:
        assert (line, hello.format) == ("/health", "json")
        return Answered(answer.ok, to_json(answer, line))

    return say


@asynccontextmanager
async def desk_at(
    path: Path, answer: Callable[[str, Hello, int], Awaitable[Answered]]
) -> AsyncIterator[None]:
    door = Door(path, answer=answer, welcome=lambda hello: Welcome("", "paper", "1", {}, ""))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(door.serve())
        await door.opened.wait()
        try:
            yield
        finally:
            serving.cancel()


@asynccontextmanager
async def socket_at(path: Path, *lines: bytes) -> AsyncIterator[None]:
    """Something that says `lines` to whoever comes, and hangs up."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.writelines(lines)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(speak, str(path)):
        yield


@pytest.mark.parametrize(
    ("rows", "code", "line"),
    [
        ([WELL], 0, "green: trading"),
        ([WELL, SLOW], 0, "yellow: database: one read in 700 ms"),
        ([WELL, HALTED, SLOW], 1, "red: inbox: halted"),
        ([HALTED, ("feed", "red", "silent")], 1, "red: inbox: halted; feed: silent"),
    ],
)
async def test_the_worst_state_decides_and_is_told_in_one_line(
    path: Path, rows: list[Any], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with desk_at(path, saying(told(*rows))):
        assert await probe(path, json=False) == code
    assert capsys.readouterr().out == f"{line}\n"


async def test_as_json_every_part_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with desk_at(path, saying(told(WELL, HALTED))):
        assert await probe(path, json=True) == 1
    assert json.loads(capsys.readouterr().out) == {
        "state": "red",
        "parts": [
            {"part": "trading", "state": "green", "detail": "entries allowed"},
            {"part": "inbox", "state": "red", "detail": "halted"},
        ],
    }


async def test_a_desk_that_does_not_answer_in_time_is_told(path: Path) -> None:
    async def think(line: str, hello: Hello, uid: int) -> Answered:
        await asyncio.Event().wait()
        raise AssertionError

    async with desk_at(path, think):
        with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
            await probe(path, json=False, deadline_s=0.05)


async def test_no_desk_is_told_with_the_place_it_was_looked_for(path: Path) -> None:
    with pytest.raises(Unreachable, match=r"No desk answers at .*desk\.sock"):
        await probe(path, json=False)


async def test_a_desk_that_could_not_look_is_not_taken_for_a_healthy_one(path: Path) -> None:
    async with desk_at(path, saying(Reply(error="Our fault."))):
        with pytest.raises(Unreachable, match=r"Our fault\."):
            await probe(path, json=False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "went away"),
        (b'{"bye": "Too many consoles."}\n', "Too many consoles"),
        (b'{"error": "Not understood."}\n', "Not understood"),
        (b"HTTP/1.1 400 Bad Request\n", "another version"),
        (b'{"id": 1, "ok": true, "output": "{}"}\n', "another version"),
        (b'{"id": 1, "output": "{\\"ok\\": true, \\"blocks\\": []}"}\n', "another version"),
    ],
)
async def test_what_is_no_answer_is_never_taken_for_health(
    path: Path, line: bytes, words: str
) -> None:
    async with socket_at(path, line):
        with pytest.raises(Unreachable, match=words):
            await probe(path, json=False)


async def test_an_unknown_state_is_never_taken_for_health(path: Path) -> None:
    async with desk_at(path, saying(told(("trading", "blue", "")))):
        with pytest.raises(Unreachable, match="another version"):
            await probe(path, json=False)
