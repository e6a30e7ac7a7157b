"""Look for each planted bug in many seeds, and write down which seed finds it first.

    .venv/bin/python -m tests.sim.hunt [--seeds 100] [--most 300] [--workers 2] [NAME ...]

A bug that none of the first seeds finds is looked for in more, up to `--most`. What was found is
kept in mutants.json, from which its test and the documentation have their figures: it has to be
done again whenever the plans of seeds change. Exit code 1 where a bug was not found at all.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.sim import mutants
from tests.sim.trial import attempt
from tests.sim.weather import Plan

KEPT = Path(__file__).parent / "mutants.json"


@dataclass(frozen=True, slots=True)
class Found:
    """The `first` seed that breaks a promise with a bug planted, or -1; which promises it breaks;
    and how many of the first `seeds` seeds break any."""

    first: int
    promises: tuple[str, ...]
    hits: int
    seeds: int


def broken(name: str, seed: int) -> tuple[str, ...]:
    """The promises that a seed breaks with a bug planted."""
    outcome = attempt(Plan.of(seed), partial(mutants.run, name))
    return tuple(sorted({each.promise for each in outcome.violations}))


def hunted(name: str, seeds: int, most: int) -> Found:
    """How a bug fares in so many seeds, and where it is found first."""
    found = {seed: promises for seed in range(seeds) if (promises := broken(name, seed))}
    hits = len(found)
    for seed in range(seeds, most):
        if found:
            break
        if promises := broken(name, seed):
            found[seed] = promises
    first = min(found, default=-1)
    return Found(first, found.get(first, ()), hits, seeds)


def kept() -> dict[str, Found]:
    """What was found the last time."""
    rows = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return {
        name: Found(**{**row, "promises": tuple(row["promises"])}) for name, row in rows.items()
    }


def keep(found: Mapping[str, Found]) -> None:
    rows = {name: asdict(found[name]) for name in mutants.MUTANTS if name in found}
    KEPT.write_text(json.dumps(rows, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser("python -m tests.sim.hunt", description=__doc__)
    options.add_argument("names", nargs="*", default=list(mutants.MUTANTS))
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument("--most", type=int, default=300)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args(arguments)
    found = kept()
    hunt = partial(hunted, seeds=chosen.seeds, most=chosen.most)
    with ProcessPoolExecutor(chosen.workers, get_context("spawn")) as pool:
        for name, each in zip(chosen.names, pool.map(hunt, chosen.names), strict=True):
            found[name] = each
            sys.stdout.write(
                f"{name:26} {each.first:4} {each.hits:4}  {', '.join(each.promises)}\n"
            )
            sys.stdout.flush()
    keep(found)
    return int(any(found[name].first < 0 for name in chosen.names))


if __name__ == "__main__":
    sys.exit(main())
