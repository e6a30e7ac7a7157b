"""Each shipped strategy over recorded candles, at both speeds: the same trades, what they earned.

    .venv/bin/python -m benchmarks.strategies PATH... [--only NAME] [--fast]

One line a strategy as it is shipped, with the costs that `countersign backtest` takes by default;
the last line is one JSON object. Exit code 1 when the two speeds differ anywhere. `--fast` leaves
the exact speed out, which takes minutes on a year of five-minute candles.
"""

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from bot.clock import SystemClock
from engine.backtest import exact, fast
from engine.backtest.history import History, from_files
from engine.backtest.plan import Outcome, Plan
from engine.metrics import measure
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Strategy

MONEY_TOLERANCE = 1e-9
SAME = (
    "symbol", "side", "entry_time", "exit_time", "entry_tag", "exit_reason", "entry_price",
    "exit_price", "quantity",
)  # fmt: skip


def main() -> int:
    """Run, print a line a strategy and the JSON line; exit code 1 when two speeds differ."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("paths", nargs="+", type=Path)
    options.add_argument("--only", choices=STRATEGIES)
    options.add_argument("--fast", action="store_true")
    chosen = options.parse_args()
    history = from_files(chosen.paths, SystemClock().now())
    names = [chosen.only] if chosen.only else list(STRATEGIES)
    found = {name: tried(STRATEGIES[name], history, chosen.fast) for name in names}
    sys.stdout.write(json.dumps({"benchmark": "strategies", **found}) + "\n")
    return int(any(each.get("differs") for each in found.values()))


def tried(strategy: Strategy, history: History, only_fast: bool) -> dict[str, Any]:
    plan = Plan(strategy)
    outcome = fast.run(plan, history)
    report = measure(outcome.marks, outcome.trips, prices=outcome.prices)
    figures: dict[str, Any] = {
        "trades": len(outcome.trips),
        "return": report["return"].value,
        "max_drawdown": report["max_drawdown"].value,
        "sharpe": report["sharpe"].value,
        "win_rate": report["win_rate"].value,
        "fees": round(outcome.fees, 2),
        "buy_and_hold": report["buy_and_hold"].value,
    }
    if not only_fast:
        began = perf_counter()
        figures["differs"] = difference(outcome, exact.run(plan, history))
        figures["exact_bars_a_second"] = round(history.bars / (perf_counter() - began))
    sys.stdout.write(f"{strategy.name}: {json.dumps(figures)}\n")
    sys.stdout.flush()
    return figures


def difference(one: Outcome, other: Outcome) -> str:
    """The first difference between two speeds; empty where there is none."""
    near = MONEY_TOLERANCE * one.plan.deposit
    for ours, theirs in zip(one.trips, other.trips, strict=False):
        for name in SAME:
            if getattr(ours, name) != getattr(theirs, name):
                return f"{name}: {ours} and {theirs}"
        if abs(ours.net - theirs.net) > near:
            return f"net: {ours} and {theirs}"
    if len(one.trips) != len(other.trips):
        return f"{len(one.trips)} and {len(other.trips)} trades"
    pairs = zip(one.marks, other.marks, strict=True)
    far = [mark for mark, twin in pairs if abs(mark.equity - twin.equity) > near]
    return f"equity at {far[0].ts}" if far else ""


if __name__ == "__main__":
    sys.exit(main())
