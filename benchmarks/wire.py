"""From a closed candle to the order on the wire, beside a bare call of pybit's in the same run.

The desk is the one `countersign run` builds, in demo mode on a local Bybit, which is a process of
its own: 5 strategies on 50 symbols each, every one with an API key of its own. The strategies are
the program's; what they want is written into their candles, so that in each round all 50 symbols
close and one order comes of it. Half of the rounds pass while people keep asking the desk over its
socket, from another process.

    .venv/bin/python -m benchmarks.wire [--rounds N]

The last line is one JSON object, all of it milliseconds: `desk` from when the last candle was told
to when the order arrives there, `chat` the same while people ask, `bare` from a call of pybit's
`place_order` to when that order arrives. `ratio` is the median of `desk` over that of `bare`,
`moved` that of `chat` over that of `desk`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from types import MappingProxyType

from benchmarks.wire_peers import BAR, KEYS, PEOPLE, SYMBOLS
from bot.app import App, open_app
from bot.clock import SystemClock
from bot.door import socket_path
from bot.logs import log_to_terminal
from bot.settings import load
from engine.errors import Broken
from tests.servers.bybit_clock import SteppedClock

STRATEGIES = ("shortseller", "london", "rsi", "macd", "bollinger")
ROUNDS = 800
# Rounds one after the other with people asking, then without.
BLOCK = 40
# What has not come about by then never will.
DEADLINE_S = 60.0
POLL_S = 0.002
CLOCK = SystemClock()
NOTHING: Mapping[str, str] = MappingProxyType({})

# A strategy of the program's that does what a candle's volume says.
WIRED = '''"""{name}, whose wishes are in its candles."""

from dataclasses import replace

from engine.strategies import STRATEGIES
from engine.strategies.exits import Exits
from engine.strategies.kernel import LONG_ENTRY, LONG_EXIT, NOTHING, Signal
from engine.strategies.pipeline import OPEN

BASE = STRATEGIES["{name}"]
WISHES = {{{enter}: Signal(1.0, 0.0, 0.0, LONG_ENTRY), {leave}: Signal(0.0, 1.0, 1.0, LONG_EXIT)}}


def step(params, state, window, bar):
    state, _ = BASE.step(params, state, window, bar)
    return state, WISHES.get(bar.volume, NOTHING)


STRATEGY = replace(
    BASE,
    name="w_{name}",
    step=step,
    exits={{"*": Exits(0.02, 0.0, 0.0, 0.0, 0, 0)}},
    sizing=BASE.sizing._replace(fixed=200.0, slots=0),
    pipeline=OPEN,
)
'''
BOT = '[[bots]]\nid = "{name}"\nstrategy = "w_{name}"\nsymbols = {symbols}\ncapital = 100000\n'
# A few hundred trades that all lose their fees.
RISK = "[risk]\nlosses = 0\nlosers = 0\nfailures = 0\n"


def main() -> int:
    """Measure, print a table and the JSON line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args()
    log_to_terminal("error")
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), chosen.rounds))
    say("| | median, ms | 99th percentile, ms | orders |")
    say("|---|---|---|---|")
    for name, times in found.items():
        say(f"| {name} | {median(times):.1f} | {worst(times):.1f} | {len(times)} |")
    desk, chat, bare = (median(found[name]) for name in ("desk", "chat", "bare"))
    figures = {
        f"{name}_{which}_ms": round(of(times), 1)
        for name, times in found.items()
        for which, of in (("p50", median), ("p99", worst))
    }
    ratios = {"ratio": round(desk / bare, 2), "moved": round(chat / desk, 2)}
    say(json.dumps({"benchmark": "wire", **figures, **ratios}))
    return 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def worst(times: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(times, n=100)[-1]


def enter_wish(bot: int) -> float:
    return bot + 0.25


def leave_wish(bot: int) -> float:
    return bot + 0.75


# -- the exchange ------------------------------------------------------------------------


@dataclass
class Bybit:
    """The exchange as the desk's process sees it; `clock` shows its time."""

    process: asyncio.subprocess.Process
    rest: str
    ws: str
    clock: SteppedClock

    def close(self, wishes: dict[str, float]) -> None:
        """Let all candles close that open last."""
        assert self.process.stdin is not None
        self.clock.step_to(self.clock.now() // BAR * BAR + BAR)
        self.process.stdin.write(json.dumps(wishes).encode() + b"\n")

    async def said(self, name: str) -> float:
        """The next moment of a name, in this machine's monotonic seconds."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while name not in (found := json.loads(await self.process.stdout.readline())):
                pass
        return float(found[name])


@asynccontextmanager
async def process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the other two processes."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    found = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.wire_peers", *words),
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield found
    finally:
        if found.returncode is not None:
            raise Broken(f"{words[0]}: the process ended by itself, {found.returncode}")
        found.kill()
        await found.wait()


@asynccontextmanager
async def asked(path: Path) -> AsyncIterator[None]:
    """People who ask the desk, all of whom were answered everything once."""
    async with process("people", str(path)) as found:
        assert found.stdout is not None
        for _ in range(PEOPLE):
            await found.stdout.readline()
        yield


# -- the desk, and the measuring ---------------------------------------------------------


@asynccontextmanager
async def open_bybit() -> AsyncIterator[Bybit]:
    async with process("server") as server:
        assert server.stdout is not None
        there = json.loads(await server.stdout.readline())
        late_ms = (perf_counter() - there["at"]) * 1000
        clock = SteppedClock(there["now"] + round(late_ms), rate=1.0)
        yield Bybit(server, there["rest"], there["ws"], clock)


@asynccontextmanager
async def open_desk(
    folder: Path, bybit: Bybit, more: Mapping[str, str] = NOTHING, sections: str = ""
) -> AsyncIterator[App]:
    """A whole desk that has compared its books, all of whose strategies are warm; `more` are
    further variables of its environment, `sections` of its countersign.toml."""
    own = folder / "strategies"
    own.mkdir()
    keys: dict[str, str] = {}
    for number, name in enumerate(STRATEGIES):
        wishes = {"enter": enter_wish(number), "leave": leave_wish(number)}
        (own / f"{name}.py").write_text(WIRED.format(name=name, **wishes))
        key = KEYS[number]
        keys |= {f"{name.upper()}_BYBIT_API_KEY": key.key}
        keys |= {f"{name.upper()}_BYBIT_API_SECRET": key.secret}
    bots = (BOT.format(name=name, symbols=json.dumps(SYMBOLS)) for name in STRATEGIES)
    (folder / "countersign.toml").write_text("\n".join([*bots, RISK, sections]))
    settings = load(
        {
            "MODE": "demo",
            "DATA_DIR": str(folder / "data"),
            "STRATEGIES_DIR": "strategies",
            "BYBIT_REST_BASE": bybit.rest,
            "BYBIT_WS_BASE": bybit.ws,
            **keys,
            **more,
        },
        folder,
    )
    async with open_app(settings, clock=bybit.clock) as app, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(app.run())
        await until(lambda: is_ready(app))
        yield app
        app.stop()
        await running


def is_ready(app: App) -> bool:
    view = app.desk.view()
    heard = all(each.exchange and not each.exchange.shut for each in view.accounts)
    return heard and not any(bot.missing for bot in view.bots)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await CLOCK.sleep(POLL_S)


@dataclass
class Trial:
    """Rounds on one desk: each pair of a bot and a symbol enters, then leaves, then the next."""

    bybit: Bybit
    app: App
    bare: "Bare"

    def __post_init__(self) -> None:
        # From the first symbol to the last: candles are worked on one after the other.
        traded = SYMBOLS[:: len(STRATEGIES)]
        self._pairs = cycle(zip(cycle(range(len(STRATEGIES))), traded, strict=False))
        self.pairs = len(traded)

    async def trip(self) -> list[float]:
        """What it takes to enter, and to leave, in ms."""
        bot, symbol = next(self._pairs)
        # Nothing is opened on an account that was not looked at for ten minutes.
        await self.app.desk.survey()
        entered = await self._order({symbol: enter_wish(bot)}, held=True)
        return [entered, await self._order({symbol: leave_wish(bot)}, held=False)]

    async def _order(self, wishes: dict[str, float], held: bool) -> float:
        self.bybit.close(wishes)
        closed = await self.bybit.said("closed")
        arrived = await self.bybit.said("at")
        await until(lambda: self._is_over(held))
        return (arrived - closed) * 1000

    def _is_over(self, held: bool) -> bool:
        view = self.app.desk.view()
        return bool(view.positions) == held and not view.open_orders

    async def bare_call(self) -> float:
        called = await self.bare.call()
        return (await self.bybit.said("at") - called) * 1000


class Bare:
    """pybit as it comes, on a thread and an account of its own."""

    def __init__(self, bybit: Bybit) -> None:
        from pybit import _helpers  # type: ignore[import-untyped]  # it has no types
        from pybit.unified_trading import HTTP  # type: ignore[import-untyped]

        # It would sign with the time of the system, which is not the exchange's here.
        _helpers.generate_timestamp = bybit.clock.now
        key = KEYS[-1]
        self._http = HTTP(api_key=key.key, api_secret=key.secret)
        self._http.endpoint = bybit.rest
        self._sides = cycle(("Buy", "Sell"))
        self._thread = ThreadPoolExecutor(1)

    async def call(self) -> float:
        """Place an order; when that was begun, in this machine's monotonic seconds."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call)

    def _call(self) -> float:
        began = perf_counter()
        self._http.place_order(
            category="linear",
            symbol=SYMBOLS[0],
            side=next(self._sides),
            orderType="Market",
            qty="2",
        )
        return began


async def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Times in ms, by what was measured."""
    found: dict[str, list[float]] = {"desk": [], "chat": [], "bare": []}
    async with open_bybit() as bybit, open_desk(folder, bybit) as app:
        trial = Trial(bybit, app, Bare(bybit))
        # The first order of a symbol sets its leverage, and connections are opened.
        for _ in range(trial.pairs):
            await trial.trip()
            await trial.bare_call()
        for block in range(rounds // BLOCK):
            if block % 2:
                async with asked(socket_path(folder / "data")):
                    for _ in range(BLOCK // 2):
                        found["chat"] += await trial.trip()
                continue
            for _ in range(BLOCK // 2):
                found["desk"] += await trial.trip()
                found["bare"].append(await trial.bare_call())
    return found


if __name__ == "__main__":
    sys.exit(main())
