"""Peers for the backtest benchmarks, each in an environment of its own.

An environment is made once, under the user's cache, from the versions named here and from
wherever pip takes packages on this machine. What is measured is one of the scripts of
benchmarks/peer_scripts, which runs in the peer's own Python and prints one JSON object.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from engine.columns import Columns

REQUIREMENTS = {
    "vectorbt": "vectorbt==1.2.0",
    "backtesting": "backtesting==0.6.6",
    "nautilus_trader": "nautilus_trader==1.221.0",
    "backtrader": "backtrader==1.9.78.123 numpy",
    "jesse": "jesse==3.5.3",
    "freqtrade": "freqtrade==2026.9",
}
PEERS = tuple(REQUIREMENTS)
# What every peer's script trades by; `notional` in quote currency, `step` in base currency.
RULES = {
    "fast": 240,
    "slow": 600,
    "stop": 0.02,
    "target": 0.04,
    "fee": 0.00055,
    "notional": 5_000.0,
    "step": 0.001,
    "deposit": 1_000_000.0,
}
SCRIPTS = Path(__file__).parent / "peer_scripts"
LONGEST_S = 900
# Of the output of a command that failed, what is worth showing.
LAST_WORDS = 200

Found = dict[str, Any]


class Unavailable(Exception):
    """A peer that can't be had or that fails; the message says why."""


def bars_a_second(name: str, columns: Columns) -> Found:
    """What a peer makes of the rules on these bars: `bars_a_second`, `trades`, `final_equity`.

    Raises Unavailable.
    """
    return measured(name, f"{name}_ema", columns, json.dumps(RULES))


def measured(name: str, script: str, columns: Columns, argument: str = "") -> Found:
    """What a script prints, run with the bars and `argument` in a peer's environment.

    The bars are a .npy file of six rows: ts, open, high, low, close, volume. Raises Unavailable.
    """
    with tempfile.TemporaryDirectory() as folder:
        bars = Path(folder) / "bars.npy"
        np.save(bars, np.vstack([column.astype(np.float64) for column in columns]))
        return run(name, script, bars, argument)


def run(name: str, script: str, *arguments: str | Path) -> Found:
    """What a script prints with any other arguments. Raises Unavailable."""
    printed = _output(python_of(name), SCRIPTS / f"{script}.py", *arguments)
    found: Found = json.loads(printed.splitlines()[-1])
    sys.stdout.write(f"{version(name)} {script}: {json.dumps(found)}\n")
    return found


def version(name: str) -> str:
    return REQUIREMENTS[name].split()[0]


def python_of(name: str) -> Path:
    """The Python of a peer's environment, which is made if it is not there. Raises Unavailable."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "countersign" / "peers" / version(name).replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        _output(sys.executable, "-m", "venv", "--clear", folder)
        quietly = ("--quiet", "--disable-pip-version-check")
        _output(python, "-m", "pip", "install", *quietly, *REQUIREMENTS[name].split())
        (folder / "made").touch()
    return python


def _output(*command: str | Path) -> str:
    """What a command prints, run in a folder of its own, for some peers leave files behind."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST_S, cwd=folder
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[1]} took longer than {LONGEST_S} s") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-LAST_WORDS:]
        raise Unavailable(f"{command[1]} failed: {words}")
    return done.stdout
