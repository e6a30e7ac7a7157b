"""The desk's socket, through real connections; the desk behind it is a coroutine."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.door import (
    CLIENTS_MAX,
    LINE_BYTES_MAX,
    NOTICES_MAX,
    REQUESTS_MAX,
    ROOT,
    Answered,
    Completion,
    Door,
    Hello,
    Welcome,
    connect,
    reachable,
)
from engine.errors import BadSettings
from handlers.reply import Reply, Text, reply

# Generous: it only ends a test that would hang.
PATIENCE_S = 20
ANSWER_BYTES_MAX = 1024 * 1024


class Client:
    """The other end of a connection, speaking plain JSON lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, message: Any) -> None:
        self.send(json.dumps(message).encode() + b"\n")

    def send(self, line: bytes) -> None:
        self.writer.write(line)

    async def hear(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            line = await self.reader.readline()
        return json.loads(line) if line else None

    async def ask(self, line: str, number: int = 1) -> Any:
        self.say({"id": number, "line": line})
        return await self.hear()


async def echo(line: str, hello: Hello, uid: int) -> Answered:
    return Answered(True, f"{hello.format} {hello.width} {line}")


def welcome(hello: Hello) -> Welcome:
    return Welcome("PAPER - here", "paper", "1.2", {"status": Completion("How", [])}, "Hello!")


def words(notice: Reply, hello: Hello) -> str:
    return " ".join(block.text for block in notice.blocks if isinstance(block, Text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.sock"


def door_at(
    path: Path,
    answer: Callable[[str, Hello, int], Awaitable[Answered]] = echo,
    read_uid: Callable[[socket.socket], int] | None = None,
) -> Door:
    if read_uid is None:
        return Door(path, answer=answer, welcome=welcome, render=words)
    return Door(path, answer=answer, welcome=welcome, render=words, read_uid=read_uid)


@asynccontextmanager
async def served(door: Door) -> AsyncIterator[Door]:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(door.serve())
        await door.opened.wait()
        yield door
        serving.cancel()


@asynccontextmanager
async def client_at(path: Path, **hello: Any) -> AsyncIterator[Client]:
    """A client; with keywords it has introduced itself."""
    reader, writer = await connect(path, ANSWER_BYTES_MAX)
    client = Client(reader, writer)
    try:
        if hello:
            client.say({"hello": hello})
            await client.hear()
        yield client
    finally:
        writer.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def kind(path: Path) -> str:
    """What stands at `path`, said in a word."""
    if path.is_socket():
        return "socket"
    return "file" if path.exists() else "nothing"


async def test_a_client_that_says_hello_is_welcomed_with_what_can_be_typed(path: Path) -> None:
    async with served(door_at(path)), client_at(path) as client:
        client.say({"hello": {"format": "text", "color": True, "width": 80}})
        assert await client.hear() == {
            "welcome": {
                "badge": "PAPER - here",
                "mode": "paper",
                "version": "1.2",
                "completions": {"status": {"summary": "How", "arguments": []}},
                "greeting": "Hello!",
                "remarks": [],
            }
        }


async def test_an_answer_carries_the_id_of_its_question(path: Path) -> None:
    async with served(door_at(path)), client_at(path, format="json", width=80) as client:
        assert await client.ask("/status", 7) == {
            "id": 7,
            "ok": True,
            "output": "json 80 /status",
        }


async def test_two_clients_are_each_answered_in_their_own_way(path: Path) -> None:
    async with (
        served(door_at(path)),
        client_at(path, format="json") as one,
        client_at(path, width=40) as other,
    ):
        assert (await one.ask("/pnl"))["output"] == "json 100 /pnl"
        assert (await other.ask("/pnl"))["output"] == "text 40 /pnl"


async def test_a_second_hello_changes_how_later_answers_look(path: Path) -> None:
    async with served(door_at(path)), client_at(path, width=80) as client:
        client.say({"hello": {"width": 120}})
        assert "welcome" in await client.hear()
        assert (await client.ask("/pnl"))["output"] == "text 120 /pnl"


async def test_a_slow_command_holds_up_neither_its_client_nor_another(path: Path) -> None:
    gate = asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        if line == "/wait":
            await gate.wait()
        return Answered(True, line)

    async with (
        served(door_at(path, answer)),
        client_at(path, width=80) as one,
        client_at(path, width=80) as other,
    ):
        one.say({"id": 1, "line": "/wait"})
        assert (await one.ask("/status", 2))["id"] == 2
        assert (await other.ask("/status", 1))["output"] == "/status"
        gate.set()
        assert (await one.hear())["output"] == "/wait"


async def test_one_client_runs_only_so_many_commands_at_once(path: Path) -> None:
    gate = asyncio.Event()
    begun: list[str] = []
    full = asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        begun.append(line)
        if len(begun) == REQUESTS_MAX:
            full.set()
        await gate.wait()
        return Answered(True, line)

    async with served(door_at(path, answer)), client_at(path, width=80) as client:
        for number in range(REQUESTS_MAX + 1):
            client.say({"id": number, "line": "/wait"})
        async with asyncio.timeout(PATIENCE_S):
            await full.wait()
        # Another client's round trip shows that the desk had the time to begin one more.
        async with client_at(path, width=80):
            assert len(begun) == REQUESTS_MAX
        gate.set()
        heard = {(await client.hear())["id"] for _ in range(REQUESTS_MAX + 1)}
    assert heard == set(range(REQUESTS_MAX + 1))


async def test_notices_reach_text_clients_that_asked_for_them_and_nobody_else(path: Path) -> None:
    async with (
        served(door_at(path)) as door,
        client_at(path, notices=True) as asked,
        client_at(path, width=80) as silent,
        client_at(path, format="json", notices=True) as machine,
        client_at(path) as stranger,
    ):
        door.broadcast(reply(Text("Sold BTC.")))
        assert await asked.hear() == {"notice": "Sold BTC."}
        assert (await silent.ask("/pnl"))["id"] == 1
        assert (await machine.ask("/pnl"))["id"] == 1
        assert "error" in await stranger.ask("/pnl")


async def test_a_client_that_does_not_read_is_dropped_and_the_others_live(path: Path) -> None:
    stalled = socket.socket(socket.AF_UNIX)
    async with served(door_at(path)) as door, client_at(path, notices=True) as healthy:
        stalled.connect(str(path))
        stalled.sendall(b'{"hello": {"notices": true}}\n')
        assert b"welcome" in await asyncio.to_thread(stalled.recv, 65536)
        told = NOTICES_MAX + 200
        for number in range(told):
            door.broadcast(reply(Text(f"{number}:{'x' * 10_000}")))
            assert (await healthy.hear())["notice"].startswith(f"{number}:")
        assert (await healthy.ask("/status"))["ok"]
        with stalled:
            received = await asyncio.to_thread(read_to_the_end, stalled)
    assert 0 < received.count(b"\n") < told - NOTICES_MAX


def read_to_the_end(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(1 << 20):
        received += chunk
    return received


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"\n",
        b"[]\n",
        b"null\n",
        b"\xff\xfe\n",
        b'{"id": 1}\n',
        b'{"line": "/status"}\n',
        b'{"id": "1", "line": "/status"}\n',
        b'{"id": -1, "line": "/status"}\n',
        b'{"id": 1' + b"0" * 5000 + b', "line": "/status"}\n',
        b'{"id": 1, "line": "\\ud800"}\n',
        b'{"hello": {"format": "html"}}\n',
        b'{"hello": {"width": 0}}\n',
        b"[" * 20_000 + b"\n",
    ],
)
async def test_a_line_that_makes_no_sense_gets_an_error_and_the_talk_goes_on(
    path: Path, line: bytes
) -> None:
    async with served(door_at(path)), client_at(path, width=80) as client:
        client.send(line)
        assert set(await client.hear()) == {"error"}
        assert (await client.ask("/status"))["ok"]


@pytest.mark.parametrize("length", [LINE_BYTES_MAX + 1, LINE_BYTES_MAX * 5])
async def test_an_overlong_line_gets_one_error_and_the_talk_goes_on(
    path: Path, length: int
) -> None:
    async with served(door_at(path)), client_at(path, width=80) as client:
        client.send(b"x" * length + b"\n")
        assert f"{LINE_BYTES_MAX:,}" in (await client.hear())["error"]
        assert (await client.ask("/status"))["ok"]


async def test_a_command_before_the_hello_is_refused(path: Path) -> None:
    async with served(door_at(path)), client_at(path) as client:
        assert "hello" in (await client.ask("/status"))["error"]


async def test_a_client_that_only_stopped_talking_still_gets_its_answers(path: Path) -> None:
    gate = asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        await gate.wait()
        return Answered(True, line)

    async with served(door_at(path, answer)), client_at(path, width=80) as client:
        client.say({"id": 1, "line": "/status"})
        client.writer.write_eof()
        gate.set()
        assert (await client.hear())["output"] == "/status"
        assert await client.hear() is None


async def test_a_client_that_left_does_not_disturb_the_desk(path: Path) -> None:
    begun, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        begun.set()
        await gate.wait()
        done.set()
        return Answered(True, "x" * 1_000_000)

    async with served(door_at(path, answer)):
        async with client_at(path, width=80) as client:
            client.say({"id": 1, "line": "/wait"})
            await begun.wait()
        gate.set()
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
        assert await reachable(path)


async def test_a_desk_that_stops_says_goodbye_to_everybody_and_takes_its_socket_away(
    path: Path,
) -> None:
    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        await asyncio.Event().wait()
        raise AssertionError

    async with client_stack(path, answer) as (door, clients):
        clients[0].say({"id": 1, "line": "/wait"})
    assert [await client.hear() for client in clients] == [{"bye": door.farewell}] * 2
    assert [await client.hear() for client in clients] == [None, None]
    assert kind(path) == "nothing"
    for client in clients:
        client.writer.close()


@asynccontextmanager
async def client_stack(
    path: Path, answer: Callable[[str, Hello, int], Awaitable[Answered]]
) -> AsyncIterator[tuple[Door, list[Client]]]:
    """Two clients that outlive their desk."""
    async with served(door_at(path, answer)) as door:
        clients = [Client(*await connect(path, ANSWER_BYTES_MAX)) for _ in range(2)]
        for client in clients:
            client.say({"hello": {}})
            await client.hear()
        yield door, clients


async def test_only_the_desks_user_and_root_may_come_in(path: Path) -> None:
    for uid, admitted in ((os.getuid(), True), (ROOT, True), (os.getuid() + 1, False)):
        door = door_at(path, read_uid=lambda connection, uid=uid: uid)  # type: ignore[misc]
        async with served(door), client_at(path) as client:
            client.say({"hello": {}})
            said = await client.hear()
            assert ("welcome" in said) is admitted
            assert ("bye" in said) is not admitted


async def test_the_user_id_comes_from_the_kernel(path: Path) -> None:
    async def answer(line: str, hello: Hello, uid: int) -> Answered:
        return Answered(True, str(uid))

    async with served(door_at(path, answer)), client_at(path, width=80) as client:
        assert (await client.ask("/whoami"))["output"] == str(os.getuid())


async def test_more_clients_than_a_person_has_are_turned_away(path: Path) -> None:
    async with served(door_at(path)):
        clients = []
        for _ in range(CLIENTS_MAX):
            clients.append(Client(*await connect(path, ANSWER_BYTES_MAX)))
            clients[-1].say({"hello": {}})
            assert "welcome" in await clients[-1].hear()
        async with client_at(path) as late:
            assert "bye" in await late.hear()
        for client in clients:
            client.writer.close()


async def test_only_the_owner_can_open_the_socket(path: Path) -> None:
    async with served(door_at(path)):
        assert mode(path) == 0o600
    assert os.listdir(path.parent) == []


async def test_the_socket_of_a_dead_desk_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not await reachable(path)
    async with served(door_at(path)), client_at(path, width=80) as client:
        assert (await client.ask("/status"))["ok"]


async def test_the_socket_of_a_living_desk_is_left_alone(path: Path) -> None:
    async with served(door_at(path)), client_at(path, width=80) as client:
        with pytest.raises(BadSettings, match="another desk answers there"):
            await door_at(path).serve()
        assert (await client.ask("/status"))["ok"]


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(BadSettings, match="no socket"):
        asyncio.run(door_at(path).serve())
    assert path.read_text() == "precious"


async def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    async with served(door_at(path)):
        os.unlink(path)
        successor = socket.socket(socket.AF_UNIX)
        successor.bind(str(path))
    assert kind(path) == "socket"
    successor.close()


async def test_a_folder_too_deep_for_a_socket_address_works_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)
    folder.mkdir(parents=True)
    path = folder / "desk.sock"
    assert not await reachable(path)
    async with served(door_at(path)), client_at(path, width=80) as client:
        assert (await client.ask("/status"))["ok"]


async def test_an_address_that_can_not_be_shortened_is_refused_with_the_limit(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadSettings, match="at most 103 bytes"):
        await door_at(tmp_path / ("x" * 120)).serve()


async def test_nobody_answers_where_there_is_no_folder(tmp_path: Path) -> None:
    assert not await reachable(tmp_path / "nowhere" / "desk.sock")
