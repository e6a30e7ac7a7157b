"""How long a person waits for the first answer, and what an open desk weighs.

Runs `countersign console` as a process with `/status` on its standard input: once in an empty
folder (the demo trades three weeks of history first), then again with that data; beside both,
a Python that does nothing. Then `countersign run` on the same data, for its memory.

    .venv/bin/python -m benchmarks.start [--rounds N]

The last line is one JSON object; limits are 10 s for the first run, 3 s for the next, 300 MB.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

FIRST_S_MAX = 10.0
AGAIN_S_MAX = 3.0
RSS_MB_MAX = 300.0


def main() -> int:
    """Measure, print the JSON line; exit code 1 when a limit is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=3)
    rounds = [measure() for _ in range(options.parse_args().rounds)]
    best = {name: min(found[name] for found in rounds) for name in rounds[0]}
    sys.stdout.write(json.dumps({"benchmark": "start", **best}) + "\n")
    return int(
        best["first_s"] > FIRST_S_MAX
        or best["again_s"] > AGAIN_S_MAX
        or best["rss_mb"] > RSS_MB_MAX
    )


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        console = [sys.executable, "-m", "bot", "console"]
        return {
            "first_s": round(timed(console, folder), 2),
            "again_s": round(timed(console, folder), 2),
            "python_s": round(timed([sys.executable, "-c", ""], folder), 3),
            "rss_mb": round(resident_mb(folder), 1),
        }


def timed(words: list[str], folder: str) -> float:
    started = perf_counter()
    subprocess.run(
        words,
        input="/status\n",
        text=True,
        check=True,
        cwd=folder,
        env=environ(),
        capture_output=True,
    )
    return perf_counter() - started


def resident_mb(folder: str) -> float:
    """Resident memory of a desk that has just said it is open."""
    desk = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"],
        cwd=folder,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with desk:
        assert desk.stdout is not None
        while "desk is open" not in desk.stdout.readline():
            pass
        pages = int(Path(f"/proc/{desk.pid}/statm").read_text().split()[1])
        desk.send_signal(signal.SIGTERM)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def environ() -> dict[str, str]:
    """The search path of this project, and none of the settings of whoever measures."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[1])}


if __name__ == "__main__":
    sys.exit(main())
