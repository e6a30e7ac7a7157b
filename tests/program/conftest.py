"""Runs the program as its user does: as a process, in a folder of its own."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bot.clock import SystemClock
from engine.market.simulated import SimulatedMarket
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

# A process that has not done what a test waits for by then never will.
DEADLINE_S = 60.0


@dataclass
class Program:
    """A folder with settings, and the processes that run there."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        own = {"DATA_DIR": str(self.data), "PYTHONPATH": str(Path(__file__).parents[2])}
        return {**kept, **own, **self.settings}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", *words],
            cwd=self.folder,
            env=self.environ(),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(typed, timeout=DEADLINE_S)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def say(self, *commands: str) -> dict[str, Any]:
        """What the console answers, as JSON, by command."""
        done = self.run("console", "--json", typed="\n".join(commands) + "\n")
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return {answer["command"]: answer for answer in answers}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database holds, read beside the desk."""
        path = self.data / "countersign.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []

    def candles(self) -> int:
        """How many candles the desk has stored so far."""
        found = self.rows("SELECT body FROM state WHERE key LIKE 'desk:%'")
        return json.loads(found[0][0])["candles"] if found else 0

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Return once `condition` holds; fail at the deadline, or when `process` has ended."""
    deadline = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        ended = process.poll() is not None
        assert not ended or condition(), f"the process ended: {process.communicate()[1]}"
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.005)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    found = Program(tmp_path)
    yield found
    for process in found.started:
        process.kill()
        process.__exit__(None, None, None)


@pytest.fixture(scope="session")
def candle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of simulated candles for two symbols, as files to replay."""
    folder = tmp_path_factory.mktemp("candles")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        (folder / f"{symbol}_5m.csv").write_text(asyncio.run(_rows(symbol, 25_000)))
    return folder


async def _rows(symbol: str, count: int) -> str:
    market = SimulatedMarket(7, 1_704_067_200_000, 0, SystemClock(), symbols=(symbol,))
    rows = ["ts,open,high,low,close,volume"]
    while len(rows) <= count:
        rows.extend(",".join(map(str, event.candle)) for event in await market.next(1_000))
    return "\n".join(rows[: count + 1]) + "\n"
