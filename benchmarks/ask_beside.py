"""What a model that is asked does to trading: from a closed candle to the order on the wire.

    .venv/bin/python -m benchmarks.ask_beside [--rounds N]

The desk, its exchange and the rounds are those of `benchmarks.wire`. In every other block the desk
has markets analyzed, three symbols a prompt, one after the other without a pause, through Google's
own library, by a local Gemini that is a process of its own and whose answers have to be asked for
twice. The last line is one JSON object in milliseconds; `ratio` is the median while it asks over
the median while it does not, `ratio_p99` that of the 99th percentiles.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from benchmarks.wire import (
    BLOCK,
    Bare,
    Trial,
    open_bybit,
    open_desk,
    say,
    worst,
)
from benchmarks.wire_peers import SYMBOLS
from bot.app import App
from bot.logs import log_to_terminal
from engine.people import DESK

ROUNDS = 400
SYMBOLS_ASKED = 3
OFTEN = "[gemini]\ncalls_a_minute = 1000\nanalyze_minutes = 0\non_signal = false\n"
RATIO_MAX = 1.5


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when trading is slowed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--server", action="store_true", help="Be the Gemini, until killed.")
    chosen = options.parse_args(arguments)
    if chosen.server:
        asyncio.run(serve())
    log_to_terminal("error")
    with tempfile.TemporaryDirectory() as folder:
        quiet, beside, asked = asyncio.run(measure(Path(folder), chosen.rounds))
    figures = {
        f"{name}_{which}_ms": round(of(times), 1)
        for name, times in {"quiet": quiet, "beside": beside}.items()
        for which, of in (("p50", median), ("p99", worst))
    }
    ratio = round(median(beside) / median(quiet), 2)
    ratios = {"ratio": ratio, "ratio_p99": round(worst(beside) / worst(quiet), 2)}
    said = {"benchmark": "ask_beside", "orders": len(quiet), "prompts": asked}
    load = {"load": round(os.getloadavg()[0], 1)}
    say(json.dumps({**said, **load, **figures, **ratios}))
    return int(ratio > RATIO_MAX)


async def measure(folder: Path, rounds: int) -> tuple[list[float], list[float], int]:
    """Times in ms without a model and while one is asked, and how many prompts that were."""
    quiet: list[float] = []
    beside: list[float] = []
    asked = 0
    async with (
        open_bybit() as bybit,
        google() as there,
        open_desk(folder, bybit, there, OFTEN) as app,
    ):
        trial = Trial(bybit, app, Bare(bybit))
        # The first order of a symbol sets its leverage, and connections are opened; the first
        # prompt imports Google's library.
        for _ in range(trial.pairs):
            await trial.trip()
        await ask(app)
        for block in range(max(rounds // BLOCK, 2)):
            if not block % 2:
                quiet += await _block(trial)
                continue
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(ask_on(app))
                beside += await _block(trial)
                asking.cancel()
        asked = len(await app.desk.store.calls.last(10_000))
    return quiet, beside, asked


async def _block(trial: Trial) -> list[float]:
    return [took for _ in range(BLOCK // 2) for took in await trial.trip()]


async def ask_on(app: App) -> None:
    while True:
        await ask(app)


async def ask(app: App) -> None:
    """Have some markets analyzed, and wait for the answer."""
    begun = await app.advisor.analyze(SYMBOLS[:SYMBOLS_ASKED], DESK)
    await app.advisor.end_of(begun.number)


@asynccontextmanager
async def google() -> AsyncIterator[dict[str, str]]:
    """The environment of a desk that has a model, which answers at once what is no read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.ask_beside", "--server"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        there = json.loads(await process.stdout.readline())
        yield {"GEMINI_API_KEY": there["key"], "GEMINI_API_BASE": there["url"]}
    finally:
        process.kill()
        await process.wait()


async def serve() -> None:
    """Say where it is, and answer each prompt with the same words."""
    # Tests have it, and no benchmark that does not ask.
    from tests.servers import gemini

    async with gemini.running() as world:
        world.answers_by(lambda request: gemini.json({"reads": []}))
        say(json.dumps({"url": world.url, "key": world.key}))
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
