"""What a running study does to trading: the way from a closed candle to the order on the wire.

    .venv/bin/python -m benchmarks.tune_beside [--rounds N]

The desk, its exchange and the rounds are those of `benchmarks.wire`. In every other block a study
is under way in processes of its own, as many as there are processors, begun as the desk begins one:
behind trading wherever both want a processor. The last line is one JSON object in milliseconds;
`ratio` is the median beside a study over the median without one, `ratio_p99` that of the 99th
percentiles.
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

from benchmarks.wire import BLOCK, Bare, Trial, open_bybit, open_desk, say, worst
from benchmarks.workload import funded, random_columns, whole_plan
from bot.executors import be_nice, hire
from bot.logs import log_to_terminal
from engine.tuner import Search, study

ROUNDS = 400
BARS = 300_000
WORKERS = 2
TRIALS = 1_000
RATIO_MAX = 1.5


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when trading is slowed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--study", action="store_true", help="Be the study, until killed.")
    chosen = options.parse_args(arguments)
    if chosen.study:
        search_for_ever()
    log_to_terminal("error")
    with tempfile.TemporaryDirectory() as folder:
        quiet, beside = asyncio.run(measure(Path(folder), chosen.rounds))
    figures = {
        f"{name}_{which}_ms": round(of(times), 1)
        for name, times in {"quiet": quiet, "beside": beside}.items()
        for which, of in (("p50", median), ("p99", worst))
    }
    ratio = round(median(beside) / median(quiet), 2)
    ratios = {"ratio": ratio, "ratio_p99": round(worst(beside) / worst(quiet), 2)}
    said = {"benchmark": "tune_beside", "orders": len(quiet), "load": round(os.getloadavg()[0], 1)}
    say(json.dumps({**said, **figures, **ratios}))
    return int(ratio > RATIO_MAX)


async def measure(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Times in ms without a study, and beside one."""
    quiet: list[float] = []
    beside: list[float] = []
    async with open_bybit() as bybit, open_desk(folder, bybit) as app:
        trial = Trial(bybit, app, Bare(bybit))
        # The first order of a symbol sets its leverage, and connections are opened.
        for _ in range(trial.pairs):
            await trial.trip()
        for block in range(max(rounds // BLOCK, 2)):
            if block % 2:
                async with searching():
                    beside += await _block(trial)
            else:
                quiet += await _block(trial)
    return quiet, beside


async def _block(trial: Trial) -> list[float]:
    return [took for _ in range(BLOCK // 2) for took in await trial.trip()]


@asynccontextmanager
async def searching() -> AsyncIterator[None]:
    """A study that has ended its first trials, in a process of its own that starts more."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.tune_beside", "--study"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
        # As of a desk's own workers: killed, they complain of what they could not tidy up.
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await process.stdout.readline(), "the study did not begin"
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def search_for_ever() -> None:
    """Say when the first trial has ended, and go on."""
    be_nice()
    history = funded(random_columns(BARS))
    said: list[int] = []

    def told(done: int, total: int, words: str) -> None:
        if done and not said:
            said.append(done)
            sys.stdout.write("searching\n")
            sys.stdout.flush()

    with hire("", WORKERS) as crew:
        for seed in range(sys.maxsize):
            study(whole_plan(), history, Search(TRIALS, seed=seed), crew, told)


if __name__ == "__main__":
    sys.exit(main())
