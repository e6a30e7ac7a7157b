"""Trials a second of a study: on two local Dask workers, on one, and on processes of this machine.

    .venv/bin/python -m benchmarks.tune [--trials N] [--bars N] [--rounds N]

The workers are those of `countersign worker`, the scheduler is Dask's own. A round is a study of
the short seller on each of them, by turns; what is loaded and compiled once was so before. The last
line is one JSON object of trials a second, the middle of the rounds: from the first trial that
ended to the last, so that the sampler is in it and the proof of what was found is not.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.workload import funded, random_columns, whole_plan
from bot.executors import hire
from engine.backtest.history import History
from engine.spread import Crew
from engine.tuner import Search, study
from tests.clusters import cluster

TRIALS = 96
BARS = 300_000
ROUNDS = 3
FOLDS = 2
RATIO_MIN = 1.5


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when two workers are not worth it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--trials", type=int, default=TRIALS)
    options.add_argument("--bars", type=int, default=BARS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args(arguments)
    history = funded(random_columns(chosen.bars))
    rates: dict[str, list[float]] = {}
    with crews() as known:
        for seed in range(chosen.rounds + 1):
            for name, crew in known.items():
                rate = trials_a_second(crew, history, chosen.trials, seed)
                # The first round loads and compiles.
                if seed:
                    rates.setdefault(name, []).append(rate)
    found = {name: round(median(each), 2) for name, each in rates.items()}
    ratios = {
        "ratio": round(found["dask_2"] / found["dask_1"], 2),
        "dask_beside_processes": round(found["dask_2"] / found["processes_2"], 2),
    }
    load = round(os.getloadavg()[0], 1)
    said = {"benchmark": "tune", "trials": chosen.trials, "bars": chosen.bars, "load": load}
    sys.stdout.write(json.dumps({**said, **found, **ratios}) + "\n")
    return int(ratios["ratio"] < RATIO_MIN)


@contextmanager
def crews() -> Iterator[dict[str, Crew]]:
    """What is compared, by name."""
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(_made(folder, "one"), 1) as one,
        cluster(_made(folder, "two"), 2) as two,
        hire(one.address, 1) as dask_1,
        hire(two.address, 2) as dask_2,
        hire("", 1) as processes_1,
        hire("", 2) as processes_2,
    ):
        yield {
            "dask_1": dask_1,
            "dask_2": dask_2,
            "processes_1": processes_1,
            "processes_2": processes_2,
        }


def _made(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def trials_a_second(crew: Crew, history: History, trials: int, seed: int) -> float:
    """From the first trial that ended to the last."""
    ended: list[tuple[float, int]] = []

    def told(done: int, total: int, words: str) -> None:
        ended.append((perf_counter(), done))

    study(whole_plan(), history, Search(trials, FOLDS, seed), crew, told)
    searched = [each for each in ended if each[1] > 0]
    (first_at, first), (last_at, last) = searched[0], max(searched, key=lambda each: each[1])
    return (last - first) / (last_at - first_at)


if __name__ == "__main__":
    sys.exit(main())
