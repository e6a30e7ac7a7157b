"""From a cold start to a result: `countersign backtest` on a file, beside backtesting.py.

Each is a process of its own that reads the same CSV of 100,000 bars and trades the rules that
both have alike. The compiled loops are kept from an earlier run, as they are for anyone
but the first time; wall time and peak memory are those of the process.

    .venv/bin/python -m benchmarks.backtest_cold [--bars N] [--rounds N] [--no-peers]

The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.peers import RULES, SCRIPTS, Found, Unavailable, python_of
from benchmarks.workload import SYMBOL, random_columns
from engine.candle import TIMEFRAMES
from engine.columns import Columns

BARS = 100_000
ROUNDS = 5
COLD_S_MAX = 1.5
PEAK_MB_MAX = 200.0
INTERVAL = TIMEFRAMES["5m"]

Command = list[str | Path]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--bars", type=int, default=BARS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        candles = Path(folder) / f"{SYMBOL}_5m.csv"
        candles.write_text(csv_text(random_columns(chosen.bars, INTERVAL)))
        commands = {"ours": our_command(candles)}
        if not chosen.no_peers:
            try:
                commands["backtesting"] = peer_command(candles)
            except Unavailable as error:
                sys.stdout.write(f"backtesting.py is not measured: {error}\n")
        found = measure(commands, chosen.rounds)
    sys.stdout.write(json.dumps({"benchmark": "backtest_cold", "bars": chosen.bars, **found}))
    sys.stdout.write("\n")
    return int(found["ours_s"] > COLD_S_MAX or found["ours_peak_mb"] > PEAK_MB_MAX)


def csv_text(columns: Columns) -> str:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return "\n".join(["ts,open,high,low,close,volume", *(",".join(map(str, r)) for r in rows), ""])


def our_command(candles: Path) -> Command:
    """The short seller, as near to the peer's rules as parameters go."""
    stops = (f"stop_loss={RULES['stop']}", f"take_profit={RULES['target']}")
    return [
        *(sys.executable, "-m", "bot", "backtest", "--strategy", "shortseller"),
        *("--candles", candles, "--fee", str(RULES["fee"]), "--slippage", "0", "--json"),
        *(word for stop in stops for word in ("--param", stop)),
    ]


def peer_command(candles: Path) -> Command:
    script = SCRIPTS / "backtesting_cold.py"
    return [python_of("backtesting"), script, candles, json.dumps(RULES)]


def measure(commands: dict[str, Command], rounds: int) -> Found:
    """Medians of wall time and peak memory, in turns; the first run of each only warms up."""
    runs = [{name: run(command) for name, command in commands.items()} for _ in range(rounds + 1)]
    found: Found = {}
    for name in commands:
        found[f"{name}_s"] = round(median(each[name][0] for each in runs[1:]), 3)
        found[f"{name}_peak_mb"] = round(median(each[name][1] for each in runs[1:]), 1)
    return found


def run(command: Command) -> tuple[float, float]:
    """Seconds until a process has ended, and the most memory it had, MB."""
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
