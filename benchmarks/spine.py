"""What the spine costs: 100,000 candles through the whole desk, beside a bare sqlite3 loop.

The desk is the one `countersign run` builds, on SQLite at synchronous=FULL. The bare loop
writes the rows that the desk wrote, with the same commits, through Python's sqlite3 alone.
`Core.step` is timed by itself on the same events, so that no clock is read in between.

    .venv/bin/python -m benchmarks.spine [--candles N] [--rounds N]

The last line is one JSON object, of the round with the middle ratio: `ratio` is (spine - core) /
bare, `core_us` microseconds of `Core.step` a candle, `rss_growth_mb` what memory grew by between
the second and the last quarter.
"""

import argparse
import asyncio
import copy
import json
import os
import sqlite3
import sys
import tempfile
from pathlib import Path
from statistics import median
from threading import current_thread
from time import perf_counter
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from bot.app import open_app
from bot.clock import SystemClock
from bot.logs import log_to_terminal
from bot.settings import BotSettings, Settings
from engine.core import Core
from engine.effect import Effect
from engine.event import CandleClosed, Event
from engine.market.replay import open_replay
from engine.market.simulated import SimulatedMarket
from engine.ports import Commit

CANDLES = 100_000
ROUNDS = 3
RATIO_MAX = 5.0
CORE_US_MAX = 12.0
# A year of five-minute candles that ends long ago: nothing in it is still forming.
ANCHOR = 1_704_067_200_000
SEED = 42


def main() -> int:
    """Measure, print a table and the JSON line; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--candles", type=int, default=CANDLES)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args()
    log_to_terminal("error")
    with tempfile.TemporaryDirectory() as folder:
        candles = Path(folder) / "simulated_BTCUSDT_5m.csv"
        candles.write_text(asyncio.run(simulated_rows(chosen.candles)))
        rounds = [measure(Path(folder) / str(n), candles) for n in range(chosen.rounds)]
    middle = sorted(rounds, key=lambda found: found["ratio"])[len(rounds) // 2]
    for found in rounds:
        say(" ".join(f"{name}={value:g}" for name, value in found.items()))
    say(json.dumps({"benchmark": "spine", **middle}))
    return int(middle["ratio"] > RATIO_MAX or middle["core_us"] > CORE_US_MAX)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


async def simulated_rows(count: int) -> str:
    """The first `count` simulated candles as the text of a file to replay."""
    market = SimulatedMarket(SEED, ANCHOR, 0, SystemClock(), symbols=("BTCUSDT",))
    rows = ["ts,open,high,low,close,volume"]
    while len(rows) <= count:
        batch = await market.next(1_000)
        rows.extend(",".join(map(str, event.candle)) for event in batch)
    return "\n".join(rows[: count + 1]) + "\n"


def measure(folder: Path, candles: Path) -> dict[str, float]:
    """One round: the desk, then its core alone, then the bare loop."""
    recording = Recording()
    with recording:
        asyncio.run(run_desk(desk_settings(folder / "recorded", candles)))
    watch = MemoryWatch()
    spine_s = asyncio.run(run_desk(desk_settings(folder / "timed", candles), watch))
    core_s = time_core(recording)
    bare_s = time_bare(folder / "bare.db", recording)
    count = sum(isinstance(event, CandleClosed) for event in recording.events)
    return {
        "candles": count,
        "commits": len(recording.transactions),
        "spine_s": round(spine_s, 3),
        "core_s": round(core_s, 3),
        "bare_s": round(bare_s, 3),
        "core_us": round(core_s / count * 1e6, 2),
        "ratio": round((spine_s - core_s) / bare_s, 2),
        "rss_growth_mb": round(watch.growth_mb(), 2),
    }


def desk_settings(folder: Path, candles: Path) -> Settings:
    return Settings(
        market=f"replay:{candles}",
        market_speed=0,
        data_dir=folder,
        secret_key=SecretStr("the benchmark's own key"),
        bots=(BotSettings(id="shortseller_001", strategy="shortseller", symbols=("BTCUSDT",)),),
    )


class MemoryWatch:
    """Resident memory, looked at now and then while a desk runs."""

    EVERY = 200

    def __init__(self) -> None:
        self._commits = 0
        self._seen: list[float] = []

    def on_commit(self, batch: Commit) -> None:
        self._commits += 1
        if self._commits % self.EVERY == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self._seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    def growth_mb(self) -> float:
        """How much more the last quarter of the run held than the second, at the median."""
        quarter = len(self._seen) // 4
        early, late = self._seen[quarter : 2 * quarter], self._seen[3 * quarter :]
        return median(late) - median(early) if early else 0.0


async def run_desk(settings: Settings, watch: MemoryWatch | None = None) -> float:
    """Seconds from reading the candles to the last commit."""
    started = perf_counter()
    open_replay(settings.market.removeprefix("replay:"), 0, SystemClock())
    reading_s = perf_counter() - started
    async with open_app(settings) as app:
        if watch:
            app.desk.runtime.listen(watch.on_commit)
        started = perf_counter()
        running = asyncio.ensure_future(app.run())
        await app.desk.runtime.until_caught_up()
        running_s = perf_counter() - started
        app.stop()
        await running
    return reading_s + running_s


Statement = tuple[str, Any, bool]


class Recording:
    """The events a desk's core took and the transactions its store wrote, while entered."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.transactions: list[list[Statement]] = []
        self.core: Core | None = None
        self._step = Core.step

    def __enter__(self) -> None:
        step, recording = self._step, self

        def recorded(core: Core, event: Event) -> list[Effect]:
            if recording.core is None:
                recording.core = copy.deepcopy(core)
            recording.events.append(event)
            return step(core, event)

        Core.step = recorded  # type: ignore[method-assign, assignment]
        listen(Engine, "before_cursor_execute", self._on_statement)

    def __exit__(self, *exception: object) -> None:
        Core.step = self._step  # type: ignore[method-assign]
        remove(Engine, "before_cursor_execute", self._on_statement)

    def _on_statement(self, _c: Any, _k: Any, sql: str, rows: Any, _x: Any, many: bool) -> None:
        if not current_thread().name.startswith("store write"):
            return
        if sql.startswith("BEGIN"):
            self.transactions.append([])
        else:
            self.transactions[-1].append((sql, rows, many))


def time_core(recording: Recording) -> float:
    """Seconds that `Core.step` takes for all recorded events."""
    assert recording.core is not None
    step = recording.core.step
    started = perf_counter()
    for event in recording.events:
        step(event)
    return perf_counter() - started


def time_bare(path: Path, recording: Recording) -> float:
    """Seconds that sqlite3 alone takes for all recorded transactions."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    started = perf_counter()
    for statements in recording.transactions:
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows, many in statements:
            if many:
                connection.executemany(sql, rows)
            else:
                connection.execute(sql, rows)
        connection.execute("COMMIT")
    took = perf_counter() - started
    connection.close()
    return took


if __name__ == "__main__":
    sys.exit(main())
