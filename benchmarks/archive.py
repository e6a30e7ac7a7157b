"""What it costs to read 1,000 rows out of a year of minutes, beside numpy's slice of one file.

The archive looks at its manifest anew each time and gives arrays of its own; numpy maps one file
of the same rows, all six columns, and copies the slice out of it. Both read the same ranges, in
turns, files in the page cache.

    .venv/bin/python -m benchmarks.archive [--reads N]

The last line is one JSON object: `archive_ms` and `numpy_ms` are medians a range, `archive_p99_ms`
what 99 of 100 stay below, `append_ms` one append of a day to the last month, `year_ms` the whole
year at once.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from engine.candle import DAY_MS, MINUTE_MS
from engine.columns import Columns, between
from engine.market.archive import Archive

READS = 300
ROWS = 1_000
YEAR = 365 * DAY_MS // MINUTE_MS
ARCHIVE_MS_MAX = 1.0
SEED = 42
T0 = 1_704_067_200_000


def main() -> int:
    """Measure and print the JSON line; exit code 1 when the bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--reads", type=int, default=READS)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), chosen.reads)
    sys.stdout.write(json.dumps({"benchmark": "archive", **found}) + "\n")
    return int(found["archive_ms"] > ARCHIVE_MS_MAX)


def measure(folder: Path, reads: int) -> dict[str, float]:
    year = minutes(YEAR)
    archive, single = Archive(folder), folder / "year.npy"
    archive.append("BTCUSDT", MINUTE_MS, between(year, 0, T0 + YEAR * MINUTE_MS - DAY_MS))
    last_day = between(year, T0 + YEAR * MINUTE_MS - DAY_MS, T0 + YEAR * MINUTE_MS)
    append_ms = timed(lambda: archive.append("BTCUSDT", MINUTE_MS, last_day))
    np.save(single, np.vstack([column.view(np.float64) for column in year]))
    starts = np.random.default_rng(SEED).integers(0, YEAR - ROWS, reads).tolist()
    ours, theirs = [], []
    for start in starts:
        ours.append(timed(partial(read, archive, start)))
        theirs.append(timed(partial(sliced, single, start)))
    assert all((read(archive, start).close == sliced(single, start)[4]).all() for start in starts)
    return {
        "rows": ROWS,
        "archive_ms": round(median(ours), 3),
        "archive_p99_ms": round(float(np.percentile(ours, 99)), 3),
        "numpy_ms": round(median(theirs), 3),
        "ratio": round(median(ours) / median(theirs), 2),
        "append_ms": round(append_ms, 1),
        "year_ms": round(timed(lambda: archive.read("BTCUSDT", MINUTE_MS)), 1),
    }


def read(archive: Archive, start: int) -> Columns:
    since = T0 + start * MINUTE_MS
    return archive.read("BTCUSDT", MINUTE_MS, since, since + ROWS * MINUTE_MS)


def sliced(path: Path, start: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    mapped = np.load(path, mmap_mode="r")
    return np.array(mapped[:, start : start + ROWS])


def minutes(count: int) -> Columns:
    """A random walk of so many minutes."""
    steps = np.random.default_rng(SEED).normal(0, 5, count + 1)
    price = 50_000 + np.cumsum(steps)
    opens, closes = price[:-1], price[1:]
    stamps = T0 + np.arange(count, dtype=np.int64) * MINUTE_MS
    high, low = np.maximum(opens, closes) + 1, np.minimum(opens, closes) - 1
    return Columns(stamps, opens, high, low, closes, np.abs(steps[1:]))


def timed(act: Callable[[], object]) -> float:
    """Milliseconds."""
    began = perf_counter()
    act()
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
