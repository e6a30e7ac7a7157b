"""The program as a process that is killed while it trades on the local Bybit, again and again."""

import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from bot.clock import SystemClock
from bot.health import ask
from bot.reconcile_command import compare
from engine.errors import Unreachable
from engine.order import Order, OrderType
from engine.store.sql import open_store
from tests.bybit_desk import trader
from tests.bybit_proof import disagreements
from tests.program.chats import Desk, until
from tests.program.conftest import Program
from tests.servers.bybit import ApiKey, BybitServer, Call, Fault

KEY = ApiKey("key-1", "secret-1", "1001", Decimal(1_000_000), ips=("127.0.0.1",))
BTC, ETH = "BTCUSDT", "ETHUSDT"
BOTS = {"alpha": BTC, "beta": ETH}
# The strategy hardly ever trades; people do, more than losses in a row would let them.
BOT = '[[bots]]\nid = "{}"\nstrategy = "shortseller"\nsymbols = ["{}"]\ncapital = 100000\n'
RISK = "[risk]\nlosses = 0\nstop_outs = 0\nlosers = 0\none_way = 0\nopen_risk = 0\n"
UNSETTLED = "SELECT 1 FROM orders WHERE status IN ('Pending', 'Unknown')"
CREATE = "/v5/order/create"
# What people say in turn; `below` is a price a little below the last one.
WORDS = (
    "/buy {symbol} 5000 limit={below}",
    "/cancel {symbol}",
    "/close {symbol}",
    "/sell {symbol} 5000 at={below}",
    "/cancel {symbol}",
    "/close {symbol}",
    "/buy {symbol} 5000",
    "/stops {symbol} stop={below}",
    "/close {symbol} half",
    "/close {symbol}",
    "/sell {symbol} 5000",
    "/be {symbol}",
    "/close {symbol}",
)
KILLS = 4
# Orders that a process sends before it is killed, at most so long after the last of them: while
# that is on its way, or accepted, filled, told, or stored.
ORDERS = (3, 7)
MOMENT_S = 0.04
SEED = 9


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with BybitServer(SystemClock(), accounts=[KEY], ticker_s=0.2).running() as running:
        yield running


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Desk]:
    """`countersign run` as a process that answers."""
    output = program.folder / "run.log"
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"),
            cwd=program.folder,
            env=program.environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    desk = Desk(process, output)
    (program.data / "desk.sock").unlink(missing_ok=True)
    try:
        await until((program.data / "desk.sock").exists, desk)
        yield desk
    finally:
        await desk.kill()


@dataclass
class Crowd:
    """People who open, close and protect positions, and a market that moves meanwhile."""

    server: BybitServer
    door: Path
    rng: Random
    words: dict[str, deque[str]] = field(
        default_factory=lambda: {symbol: deque(WORDS) for symbol in BOTS.values()}
    )

    async def trade(self) -> None:
        """Until canceled; the next crowd goes on with other words."""
        async with asyncio.TaskGroup() as group:
            for symbol in BOTS.values():
                group.create_task(self._trade(symbol))

    async def _trade(self, symbol: str) -> None:
        while True:
            self.move(symbol, 0.004)
            words = self.words[symbol]
            words.rotate(-1)
            price = float(self.server.price(symbol)) * 0.999
            # A desk that was killed answers nobody.
            with suppress(OSError, Unreachable):
                await self._do(words[-1].format(symbol=symbol, below=f"{price:.1f}"))
            await asyncio.sleep(0.01)

    def move(self, symbol: str, share: float) -> None:
        """Let the price go up or down by at most a share of itself, and come back in time."""
        now = float(self.server.price(symbol))
        home = 100_000.0 if symbol == BTC else 3_500.0
        way = self.rng.uniform(-share, share) + (home / now - 1) * 0.1
        self.server.glide(symbol, f"{now * (1 + way):.1f}")

    async def _do(self, line: str) -> None:
        """Say something, and confirm the card that comes of it."""
        answer = json.loads(await ask(self.door, line))
        told = " ".join(block.get("text", "") for block in answer["blocks"])
        if card := re.search(r"Proposal (\d+):", told):
            await ask(self.door, f"/approve {card[1]}")


def kinds(server: BybitServer) -> set[str]:
    """The kinds of orders of ours that arrived: at the market, at a limit, at a trigger."""
    ours = [each for each in server.account().orders.values() if each.link_id]
    return {"Stop" if each.trigger else each.kind for each in ours}


async def lived(program: Program, server: BybitServer, crowd: Crowd, last: bool) -> None:
    """A process that trades, and is killed at a moment of no importance; the last one not before
    orders of every kind have arrived."""
    left, due = crowd.rng.randint(*ORDERS), asyncio.Event()

    def count(call: Call) -> Fault | None:
        nonlocal left
        left -= call.path == CREATE
        if left <= 0:
            due.set()
        return None

    async with running(program) as desk:
        server.faults.private = count
        trading = asyncio.create_task(crowd.trade())
        await until(due.is_set, desk)
        if last:
            await until(lambda: kinds(server) >= {*OrderType}, desk)
        await asyncio.sleep(crowd.rng.uniform(0, MOMENT_S))
        desk.process.kill()
        trading.cancel()
        await asyncio.wait([trading])


@pytest.mark.timeout(300)
async def test_a_desk_that_is_killed_while_it_trades_loses_and_doubles_nothing(
    program: Program, server: BybitServer
) -> None:
    bots = "".join(BOT.format(bot_id, symbol) for bot_id, symbol in BOTS.items())
    (program.folder / "countersign.toml").write_text(bots + RISK)
    program.settings |= {
        "MODE": "demo",
        "MARKET": "bybit",
        "BYBIT_API_KEY": KEY.key,
        "BYBIT_API_SECRET": KEY.secret,
        "BYBIT_REST_BASE": server.rest_base,
        "BYBIT_WS_BASE": server.ws_base,
    }
    crowd = Crowd(server, program.data / "desk.sock", Random(SEED))
    for life in range(1, KILLS + 1):
        await lived(program, server, crowd, last=life == KILLS)
        # Nobody looks after what is held now, but the exchange.
        crowd.move(BTC, 0.02)
        server.settle_funding(BTC)

    async with running(program) as desk:
        # Of an order that never arrived nobody can be sure for some ten seconds.
        await until(lambda: not program.rows(UNSETTLED), desk)
        assert await compare(program.data / "desk.sock", json=True) == 0
        assert await desk.stop() == 0
    store = await open_store(f"sqlite:///{program.data}/countersign.db")
    try:
        orders = await store.recent(Order)
        shares = {KEY: [trader(bot_id, symbol) for bot_id, symbol in BOTS.items()]}
        assert await disagreements(server, store, shares) == []
    finally:
        await store.close()
    assert "halted" not in desk.said
    assert len(server.account().fills) > 6
    assert {each.order_type for each in orders} == set(OrderType)
