"""Simulate seeds, and say what went wrong in them and what broke.

    .venv/bin/python -m tests.sim --seeds 2000 [--from 0] [--workers 2] [--json]
    .venv/bin/python -m tests.sim --plan FILE [--trace]
    .venv/bin/python -m tests.sim --from 17 --seeds 1 --trace

A plan that breaks a promise is shrunk and kept in tests/sim/regress/. One seed of a hundred is run
again, in other processes with other hashes and in the other order, and has to leave the same trace.
Exit codes: 0 all was kept, 10 a promise was broken, 13 a seed did not do the same twice.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from tests.sim import world
from tests.sim.shrink import read, written
from tests.sim.tally import Tally
from tests.sim.trial import Run, attempt, of_seed, smallest
from tests.sim.weather import Plan

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
REGRESS = Path(__file__).parent / "regress"
CLEAN, BROKEN, DIFFERENT = 0, 10, 13
# One seed of so many is run again.
AGAIN = 100
# How many seeds a process is handed at once, and how often progress is said (s).
CHUNK = 4
PROGRESS_S = 10.0


def main(arguments: list[str] | None = None, run: Run = world.run, regress: Path = REGRESS) -> int:
    """Simulate what was asked for, print the report, give the exit code."""
    chosen = _options().parse_args(arguments)
    began = perf_counter()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    differing: list[int] = []
    kept: list[Path] = []
    if chosen.plan or chosen.trace:
        plans = [read(chosen.plan.read_text())] if chosen.plan else map(Plan.of, seeds)
        tally = replayed(plans, run, chosen.trace)
    else:
        with _processes(chosen.workers) as pool:
            tally, digests = simulated(seeds, run, pool)
            kept = keep(tally, run, pool, regress)
        differing = unlike(digests, run, chosen.workers)
    report(tally, differing, kept, perf_counter() - began, as_json=chosen.json)
    if tally.broken:
        return BROKEN
    return DIFFERENT if differing else CLEAN


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        "python -m tests.sim", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--seeds", type=int, default=300, help="How many.")
    options.add_argument("--from", type=int, default=0, dest="first", help="The first of them.")
    options.add_argument("--workers", type=int, default=2, help="Processes that run them.")
    options.add_argument("--plan", type=Path, help="A plan that was kept, and no seeds.")
    options.add_argument("--trace", action="store_true", help="Print all that happens.")
    options.add_argument("--json", action="store_true", help="The report as one line of JSON.")
    return options


def replayed(plans: Iterable[Plan], run: Run, traced: bool) -> Tally:
    """Simulate plans here, one after the other."""
    tally = Tally()
    for plan in plans:
        outcome = attempt(plan, run)
        tally.add(outcome)
        if traced:
            say(*outcome.trace)
    return tally


def _processes(workers: int) -> ProcessPoolExecutor:
    """Processes that begin anew, so that they have nothing of this one's."""
    return ProcessPoolExecutor(workers, get_context("spawn"))


def simulated(seeds: Sequence[int], run: Run, pool: Executor) -> tuple[Tally, dict[int, str]]:
    """Simulate seeds in processes; the digests of those that are run again."""
    tally = Tally()
    digests: dict[int, str] = {}
    results = pool.map(partial(of_seed, run), seeds, chunksize=CHUNK)
    for seed, (outcome, found) in zip(seeds, _watched(results, len(seeds)), strict=True):
        tally.add(outcome)
        if (seed - seeds[0]) % AGAIN == 0:
            digests[seed] = found
    return tally, digests


def _watched(results: Iterable[T], total: int) -> Iterator[T]:
    began = said = perf_counter()
    for done, result in enumerate(results, 1):
        yield result
        now = perf_counter()
        if now - said > PROGRESS_S:
            said = now
            rate = done / (now - began)
            sys.stderr.write(f"{done:,} of {total:,} seeds, {rate:.1f} a second\n")


def unlike(digests: Mapping[int, str], run: Run, workers: int) -> list[int]:
    """The seeds whose trace is another one where strings have other hashes."""
    seeds = sorted(digests, reverse=True)
    with _other_hashes(), _processes(workers) as pool:
        again = pool.map(partial(of_seed, run), seeds)
        return [
            seed for seed, (_, found) in zip(seeds, again, strict=True) if found != digests[seed]
        ]


@contextmanager
def _other_hashes() -> Iterator[None]:
    """Whoever is started meanwhile hashes strings in another way."""
    name = "PYTHONHASHSEED"
    before = os.environ.get(name)
    os.environ[name] = "1" if before != "1" else "2"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def keep(tally: Tally, run: Run, pool: Executor, regress: Path) -> list[Path]:
    """Write down a plan for each promise that was broken, shrunk: the one with least in it."""
    least = {
        promise: min((plan for plan, _ in cases), key=lambda plan: len(plan.faults))
        for promise, cases in tally.broken.items()
    }
    plans = pool.map(partial(smallest, run), least.keys(), least.values())
    return [_kept(promise, plan, regress) for promise, plan in zip(least, plans, strict=True)]


def _kept(promise: str, plan: Plan, regress: Path) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", promise.lower()).strip("-")
    path = regress / f"{name}-{plan.seed}.json"
    regress.mkdir(exist_ok=True)
    path.write_text(written(plan))
    return path


def report(
    tally: Tally, differing: list[int], kept: list[Path], wall_s: float, *, as_json: bool
) -> None:
    """Print what was found; each failure as the command that shows it again."""
    again = [f"--plan {_beside(path)}" for path in kept]
    again += [f"--from {seed} --seeds 1" for seed in differing]
    commands = [f".venv/bin/python -m tests.sim {which} --trace" for which in again]
    if as_json:
        found = {**tally.figures(), "different": differing, "commands": commands}
        say(json.dumps({**found, "wall_s": round(wall_s, 1)}))
        return
    say(tally.words(wall_s))
    for seed in differing:
        say(f"Not the same twice: seed {seed}; compare two traces of different PYTHONHASHSEED")
    if commands:
        say("See it again:", *commands)


def _beside(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
