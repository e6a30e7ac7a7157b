"""The exact backtest, the desk's own core and paper exchange, beside nautilus_trader.

Both trade the same rules (benchmarks/workload.py) on the same 100,000 minutes: ours from arrays to
the finished outcome, nautilus_trader from bars that it holds in memory to the end of its run.

    .venv/bin/python -m benchmarks.backtest_exact [--bars N] [--rounds N] [--no-peers]

The last line is one JSON object: bars a second of each, and ours divided by theirs;
`whole_bars_a_second` is ours with every rule of the strategy on.
"""

import argparse
import json
import sys
from statistics import median

from benchmarks.peers import Unavailable, bars_a_second
from benchmarks.workload import (
    SYMBOL,
    funded,
    peers_plan,
    random_columns,
    timed,
    unfunded,
    whole_plan,
)
from engine.backtest import exact
from engine.backtest.history import History
from engine.backtest.plan import Plan

BARS = 100_000
ROUNDS = 3
RATIO_MIN = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--bars", type=int, default=BARS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args(arguments)
    columns = random_columns(chosen.bars)
    history = unfunded(columns)
    outcome = exact.run(peers_plan(), history)
    ours = speed(peers_plan(), history, chosen.rounds)
    whole = speed(whole_plan(), funded(columns), chosen.rounds)
    found = {"bars": chosen.bars, "trades": len(outcome.trips)}
    found |= {"final_equity": round(outcome.equity, 2)}
    found |= {"bars_a_second": round(ours), "whole_bars_a_second": round(whole)}
    ratio = RATIO_MIN
    if not chosen.no_peers:
        try:
            peer = bars_a_second("nautilus_trader", history.columns[SYMBOL])
        except Unavailable as error:
            sys.stdout.write(f"nautilus_trader is not measured: {error}\n")
        else:
            ratio = ours / peer["bars_a_second"]
            found |= {f"nautilus_trader_{name}": value for name, value in peer.items()}
            found |= {"ratio_nautilus_trader": round(ratio, 2)}
    sys.stdout.write(json.dumps({"benchmark": "backtest_exact", **found}) + "\n")
    return int(ratio < RATIO_MIN)


def speed(plan: Plan, history: History, rounds: int) -> float:
    """Bars a second at the median."""
    return history.bars / median(timed(lambda: exact.run(plan, history)) for _ in range(rounds))


if __name__ == "__main__":
    sys.exit(main())
