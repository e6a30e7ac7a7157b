"""The emergency stop as a process: on paper beside a desk, and at the local Bybit without one."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bot.clock import SystemClock
from tests.program.conftest import DEADLINE_S, Program, until
from tests.servers.bybit import ApiKey, BybitServer

D = Decimal
FLAT = "Flat: no positions, no orders, confirmed by the exchange"
UID = "1001"
KEY = ApiKey("the-key-of-a-test", "the-secret-of-a-test", uid=UID, balance=D(1_000_000))
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def latch(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((program.data / "KILLED").read_text())
    return found


def quiet(program: Program) -> None:
    """Have the program trade a market that is over at once."""
    rows = [f"{1_704_067_200_000 + i * 300_000},100,101,99,100,1" for i in range(3)]
    candles = program.folder / "candles"
    candles.mkdir()
    (candles / "BTCUSDT_5m.csv").write_text("\n".join(["ts,open,high,low,close,volume", *rows, ""]))
    program.settings |= {"MARKET": f"replay:{candles}", "MARKET_SPEED": "0"}


def status(program: Program, *before: str) -> dict[str, Any]:
    answer = program.say(*before, "/status")["/status"]
    fields: dict[str, Any] = answer["blocks"][0]["fields"]
    return fields


# -- on paper ----------------------------------------------------------------------------


@pytest.fixture
def desk(program: Program) -> Iterator[Program]:
    """A desk that runs, on a market of a few candles."""
    quiet(program)
    process = program.start("run")
    until((program.data / "desk.sock").exists, process)
    program.say("/wait")
    yield program
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE_S)


def test_the_running_desk_does_it_and_the_command_waits_until_it_is_done(desk: Program) -> None:
    done = desk.run("kill", "--scope", "flatten")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Entries are stopped. The latch is ")
    assert "Flat, says the desk: " in done.stdout
    stands = status(desk)
    assert (stands["open_positions"], stands["halted"][:9]) == (0, "killed by")
    assert "at the command line" in stands["halted"]


def test_where_the_latch_cannot_be_written_the_desk_is_told_by_its_door(desk: Program) -> None:
    (desk.data / "KILLED").mkdir()

    done = desk.run("kill", "--scope", "flatten")

    assert done.returncode == 1
    assert "can't be written: " in done.stdout
    assert "Entries are stopped by this desk, which alone knows of it" in done.stdout
    assert "killed by" in status(desk)["halted"]


def test_a_latch_outlives_the_desk_and_only_a_resume_lifts_it(program: Program) -> None:
    quiet(program)
    refused = program.run("kill", "--scope", "flatten")
    assert refused.returncode == 1
    assert "No desk runs here" in refused.stdout

    assert "killed by" in status(program)["halted"]
    (program.data / "KILLED").unlink()
    answers = program.say("/status", "/resume")
    assert "killed by" in answers["/status"]["blocks"][0]["fields"]["halted"]
    [phrase] = {text for text in find(answers["/resume"], "APPROVE ") if text[:7] == "APPROVE"}
    assert "halted" not in status(program, phrase)
    assert not (program.data / "KILLED").exists()


def find(answer: object, words: str) -> list[str]:
    """The texts in an answer that hold some words."""
    match answer:
        case str():
            return [answer] if words in answer else []
        case dict():
            return [text for value in answer.values() for text in find(value, words)]
        case list():
            return [text for value in answer for text in find(value, words)]
    return []


def test_without_a_scope_entries_are_stopped(program: Program) -> None:
    done = program.run("kill")

    assert done.returncode == 0, done.stderr
    assert latch(program)["scope"] == "stop"
    assert latch(program)["by"].endswith("at the command line")


def test_settings_that_are_wrong_keep_nobody_from_stopping(program: Program) -> None:
    program.settings["MODE"] = "nonsense"

    done = program.run("kill", "--scope", "flatten")

    assert done.returncode == 1
    assert "Entries are stopped." in done.stdout
    assert "MODE" in done.stderr
    assert latch(program)["scope"] == "stop"


def test_a_folder_that_cannot_be_written_is_said(program: Program) -> None:
    program.folder.joinpath("data").touch()

    done = program.run("kill")

    assert done.returncode == 1
    assert "can't be written: " in done.stdout
    assert "No desk could be told of it either." in done.stdout


# -- at Bybit ----------------------------------------------------------------------------


@pytest.fixture
async def bybit(program: Program) -> AsyncIterator[BybitServer]:
    """A Bybit for the program's settings."""
    async with BybitServer(SystemClock(), accounts=[KEY]).running() as server:
        program.settings |= {
            "MODE": "demo",
            "BYBIT_REST_BASE": server.rest_base,
            "BYBIT_WS_BASE": server.ws_base,
            "BYBIT_API_KEY": KEY.key,
            "BYBIT_API_SECRET": KEY.secret,
        }
        yield server


def hold(bybit: BybitServer) -> None:
    """Open three positions and five orders."""
    for symbol, side in zip(SYMBOLS, ("Buy", "Sell", "Buy"), strict=True):
        bybit.place_foreign(UID, symbol, side, "1")
        below, above = (round(bybit.price(symbol) * D(share)) for share in ("0.97", "1.03"))
        bybit.place_foreign(UID, symbol, "Buy", "1", below)
        if symbol != SYMBOLS[0]:
            bybit.place_foreign(UID, symbol, "Sell", "1", above)
    assert what_is_open(bybit) == (3, 5)


def what_is_open(bybit: BybitServer) -> tuple[int, int]:
    """How many positions and orders there are."""
    account = bybit.account(UID)
    return len(account.sizes), len(account.open_orders())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the database."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


class Command:
    """`countersign ...` beside the server in this loop, and what it prints, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def until(self, words: str) -> float:
        """Read until a line has some words; when it came."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while not any(words in line for line in self.lines):
                line = await self._process.stdout.readline()
                assert line, "".join(self.lines)
                self.lines.append(line.decode())
        return monotonic()

    def type(self, line: str) -> None:
        """Say a line, and no more."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.write_eof()

    def stop(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    async def rest(self) -> str:
        """All that is said until the end."""
        assert self._process.stdout is not None
        return (await self._process.stdout.read()).decode()

    async def end(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            return await self._process.wait()


async def start(program: Program, *words: str) -> Command:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        cwd=program.folder,
        env=program.environ(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Command(process)


async def test_t2_it_is_flat_and_confirmed_in_seconds_without_a_desk(
    program: Program, bybit: BybitServer
) -> None:
    hold(bybit)
    with locked(program.data / "countersign.db"):
        command = await start(program, "kill", "--scope", "flatten")
        began = await command.until("Entries are stopped.")
        ended = await command.until(FLAT)
        assert what_is_open(bybit) == (0, 0)
        assert ended - began < 5
        assert await command.end() == 0
    assert latch(program)["done_at"] > 0
    assert bybit.violations == []


async def test_t2_a_desk_whose_database_is_locked_is_flat_and_confirmed_in_seconds(
    program: Program, bybit: BybitServer
) -> None:
    desk = await start(program, "run")
    await desk.until("stream is up")
    async with asyncio.timeout(DEADLINE_S):
        while not program.candles():  # noqa: ASYNC110  it is nobody's event
            await asyncio.sleep(0.05)
    hold(bybit)
    with locked(program.data / "countersign.db"):
        console = await start(program, "console")
        console.type("/kill flatten")
        pulled = await desk.until("emergency stop was pulled")
        await desk.until(FLAT)
        assert what_is_open(bybit) == (0, 0)
        assert monotonic() - pulled < 5
        assert await console.end() == 0
        assert "Entries are stopped." in await console.rest()
    await desk.until("KILL: Flat: ")
    await desk.until("the desk is flat")
    desk.stop()
    assert await desk.end() == 0
    fills = program.rows("SELECT symbol, close_reason FROM fills ORDER BY exec_time")
    assert {symbol for symbol, reason in fills if reason == "kill"} == set(SYMBOLS)
    assert bybit.violations == []


async def test_what_is_left_of_it_comes_before_anything_else_of_a_desk(
    program: Program, bybit: BybitServer
) -> None:
    hold(bybit)
    program.data.mkdir()
    left = {"scope": "flatten", "by": "ann", "ts": SystemClock().now()}
    (program.data / "KILLED").write_text(json.dumps(left))
    with locked(program.data / "countersign.db"):
        desk = await start(program, "run")
        await desk.until(FLAT)
        assert what_is_open(bybit) == (0, 0)
    await desk.until("KILL: ann pulled the emergency stop")
    await desk.until("the desk is flat")
    desk.stop()
    assert await desk.end() == 0
    assert latch(program)["by"] == "ann"


async def test_keys_that_are_wrong_are_told_and_not_shown(
    program: Program, bybit: BybitServer
) -> None:
    program.settings["BYBIT_API_SECRET"] = "not-the-secret-of-this-key"
    command = await start(program, "kill", "--scope", "flatten")
    await command.until("It is tried again.")
    command.kill()
    await command.end()
    said = "".join(command.lines)
    assert KEY.key not in said
    assert "not-the-secret-of-this-key" not in said
    assert latch(program)["done_at"] == 0
