"""An exchange that says back every key it is shown: none of it is logged, stored or told."""

import asyncio
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.health import ask
from tests.program.chats import Desk, until
from tests.program.conftest import DEADLINE_S, Program
from tests.servers.bybit import ApiKey, BybitServer, Call, Fault

KEY = ApiKey("canaryApiKey01234", "canaryApiSecret56789", "1001", Decimal(100_000))
SECRETS = (KEY.key, KEY.secret, "canarySecretMistyped")
ECHO = f"no account for {KEY.key}3000 with {KEY.secret}"
# Of the last of each symbol nobody knows the outcome: the next order has to wait.
ORDERS = (
    ("BTCUSDT", Fault(code=10_004, message=ECHO)),
    ("BTCUSDT", Fault(code=110_007, message=ECHO)),
    ("BTCUSDT", Fault(code=-5, message=ECHO)),
    ("ETHUSDT", Fault(status=502, body=f"<html>{ECHO}</html>")),
)
READS = (
    Fault(code=10_004, message=ECHO),
    Fault(code=-5, message=ECHO),
    Fault(status=200, body=f'{{"retMsg": "{ECHO}"}}'),
    Fault(status=502, body=f"<html>{ECHO}</html>"),
    Fault(drop=True),
)
CREATE = "/v5/order/create"
ENDED = "SELECT 1 FROM orders WHERE status IN ('Rejected', 'Unknown')"
SETTINGS = """
[[bots]]
id = "alpha"
strategy = "shortseller"
symbols = ["BTCUSDT", "ETHUSDT"]
capital = 10000
[risk]
failures = 0
"""


def secrets_in(text: str) -> list[str]:
    return [each for each in SECRETS if each in text]


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with BybitServer(SystemClock(), accounts=[KEY], ticker_s=0.2).running() as running:
        yield running


async def output_of(program: Program, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        cwd=program.folder,
        env=program.environ(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate()
    return out.decode()


async def run(program: Program) -> Desk:
    output = program.folder / "run.log"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"),
            cwd=program.folder,
            env=program.environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    desk = Desk(process, output)
    await until((program.data / "desk.sock").exists, desk)
    return desk


async def test_what_bybit_says_back_is_told_to_nobody(
    program: Program, server: BybitServer
) -> None:
    (program.folder / "countersign.toml").write_text(SETTINGS)
    program.settings |= {
        "MODE": "demo",
        "LOG_LEVEL": "debug",
        "BYBIT_API_KEY": KEY.key,
        "BYBIT_API_SECRET": KEY.secret,
        "BYBIT_REST_BASE": server.rest_base,
        "BYBIT_WS_BASE": server.ws_base,
    }
    desk = await run(program)
    try:
        said = [await trouble(program, server, desk)]
        # What a desk was never told it can't hide.
        server.faults.private = lambda call: None
        program.settings["BYBIT_API_SECRET"] = SECRETS[-1]
        said.append(await output_of(program, "doctor"))
    finally:
        await desk.kill()
    with closing(sqlite3.connect(program.data / "countersign.db")) as connection:
        said.append("\n".join(connection.iterdump()))

    assert "does not belong to the key" in said[1]
    assert "[redacted]" in said[-1]
    for text in (*said, desk.said):
        assert secrets_in(text) == []


async def trouble(program: Program, server: BybitServer, desk: Desk) -> str:
    """Send orders that fail in every way, and lose the key; all that people are told."""
    door, told = program.data / "desk.sock", ""
    for count, (symbol, fault) in enumerate(ORDERS, 1):
        server.faults.private = lambda call, fault=fault: failing(call, fault)
        number = await proposed(door, symbol)
        told += await ask(door, f"/approve {number}")
        await until(lambda count=count: len(program.rows(ENDED)) == count, desk)
        told += await ask(door, "/health")
    for fault in READS:
        server.faults.private = lambda call, fault=fault: fault
        told += await ask(door, "/reconcile now")
    server.faults.private = lambda call: READS[0]
    for line in ("/kill cancel", "/status", "/audit", "/outbox", "/settings", "/orders"):
        told += await ask(door, line)
    await until(lambda: "emergency stop" in desk.said, desk)
    return told


async def proposed(door: Path, symbol: str) -> str:
    """The number of a proposal to buy, as soon as there can be one."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await ask(door, f"/buy {symbol} 1000")
            if found := re.search(r"Proposal (\d+):", answer):
                return found[1]
            await ask(door, "/wait 1s")


def failing(call: Call, fault: Fault) -> Fault | None:
    return fault if call.path == CREATE else None
