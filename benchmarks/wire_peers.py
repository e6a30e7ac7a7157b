"""The other two processes of the wire benchmark: the exchange, and people who ask the desk.

Both say on standard output, in lines of JSON, what happens and when, in this machine's monotonic
seconds.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from time import perf_counter

from bot.clock import SystemClock
from bot.door import Hello, connect, encode
from bot.health import ANSWER_BYTES_MAX
from engine.candle import MINUTE_MS, Candle
from tests.servers.bybit import ApiKey, BybitServer, Call, Fault
from tests.servers.bybit_clock import SteppedClock

SYMBOLS = tuple(f"S{number:02}USDT" for number in range(50))
# API keys, each of an account of its own.
KEYS = tuple(
    ApiKey(f"key-{n:04}", f"secret-{n:04}", f"{n:04}", Decimal(1_000_000), ips=("127.0.0.1",))
    for n in range(6)
)
BAR = 5 * MINUTE_MS
# Bars that the slowest strategy has to see first.
HISTORY = 700
# 2025-01-01 00:00 UTC.
BEGIN = 1_735_689_600_000
PRICE = 100.0
CREATE = "/v5/order/create"
LINES = ("/status", "/positions", "/why S00USDT", "/portfolio", "/orders", "/risk")
PEOPLE = 3
THINKING_S = 0.3


def main() -> None:
    match sys.argv[1:]:
        case ["server"]:
            asyncio.run(serve())
        case ["people", path]:
            asyncio.run(people(Path(path)))


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# -- the exchange ------------------------------------------------------------------------


async def serve() -> None:
    """A local Bybit that closes candles when told to, and says when orders arrive."""
    clock = SteppedClock(BEGIN, rate=1.0)

    def on_call(call: Call) -> Fault | None:
        if call.path == CREATE:
            tell(at=perf_counter())
        return None

    async with BybitServer(clock, SYMBOLS, accounts=KEYS).running() as server:
        server.faults.private = on_call
        for symbol in SYMBOLS:
            server.load(symbol, map(flat, range(-HISTORY, 0)), BAR)
        tell(rest=server.rest_base, ws=server.ws_base, now=clock.now(), at=perf_counter())
        bar = 0
        async for line in lines():
            wishes = json.loads(line)
            clock.step_to(BEGIN + (bar + 1) * BAR)
            for symbol in SYMBOLS:
                await server.feed(symbol, flat(bar, wishes.get(symbol, 0.0)), BAR)
            tell(closed=perf_counter())
            bar += 1


def flat(bar: int, volume: float = 0.0) -> Candle:
    return Candle(BEGIN + bar * BAR, PRICE, PRICE, PRICE, PRICE, volume)


async def lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


# -- people ------------------------------------------------------------------------------


async def people(path: Path) -> None:
    """Ask the desk one thing after the other, until killed."""
    async with asyncio.TaskGroup() as group:
        for first in range(PEOPLE):
            group.create_task(person(path, first))


async def person(path: Path, first: int) -> None:
    """One connection, as a chat has; says so once it was answered everything."""
    clock = SystemClock()
    reader, writer = await connect(path, ANSWER_BYTES_MAX)
    writer.write(encode({"hello": asdict(Hello(format="json"))}))
    await reader.readline()
    for number, line in enumerate(cycle(LINES[first:] + LINES[:first])):
        writer.write(encode({"id": number, "line": line}))
        await reader.readline()
        if number == len(LINES):
            tell(asking=perf_counter())
        await clock.sleep(THINKING_S)


if __name__ == "__main__":
    main()
