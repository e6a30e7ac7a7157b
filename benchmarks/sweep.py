"""1,000 parameter sets of the short seller over 100,000 bars on two threads, beside vectorbt.

    .venv/bin/python -m benchmarks.sweep [--sets N] [--bars N] [--rounds N] [--no-peers]

The last line is one JSON object: `sweep_s` is ours from the strategy's parameters to the
summaries with return, drawdown and Sharpe ratio; `rss_mb` what this process has taken in all.
`vectorbt_seconds` is its broadcast of the same sets over the same bars by the same rules, twenty
sets at a time, for final equity and counts of trades alone; `vectorbt_rss_mb` what that took.
"""

import argparse
import json
import resource
import sys
from random import Random
from statistics import median

from benchmarks.peers import RULES, Unavailable, measured
from benchmarks.workload import SEED, SYMBOL, peers_plan, random_columns, timed, unfunded
from engine.backtest.sweep import Summary, sweep

SETS = 1_000
BARS = 100_000
ROUNDS = 3
SWEEP_S_MAX = 1.0
RSS_MB_MAX = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--sets", type=int, default=SETS)
    options.add_argument("--bars", type=int, default=BARS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args(arguments)
    history, plan = unfunded(random_columns(chosen.bars)), peers_plan()
    sets = parameter_sets(chosen.sets)
    summaries = sweep(plan, history, sets)
    seconds = median(timed(lambda: sweep(plan, history, sets)) for _ in range(chosen.rounds))
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"sets": chosen.sets, "bars": chosen.bars, "sweep_s": round(seconds, 3)}
    found |= {"rss_mb": round(rss_mb, 1), **read_off(summaries)}
    if not chosen.no_peers:
        argument = json.dumps({**RULES, "sets": [list(each.values()) for each in sets]})
        try:
            peer = measured("vectorbt", "vectorbt_sweep", history.columns[SYMBOL], argument)
        except Unavailable as error:
            sys.stdout.write(f"vectorbt is not measured: {error}\n")
        else:
            found |= {f"vectorbt_{name}": value for name, value in peer.items()}
            found["ratio_vectorbt"] = round(peer["seconds"] / seconds, 2)
    sys.stdout.write(json.dumps({"benchmark": "sweep", **found}) + "\n")
    return int(seconds > SWEEP_S_MAX or rss_mb > RSS_MB_MAX)


def parameter_sets(count: int) -> list[dict[str, float]]:
    """Random sets, the names in the order that the peer's script takes the values in."""
    random = Random(SEED)
    return [
        {
            "fast": random.randint(50, 400),
            "slow": random.randint(401, 1_000),
            "stop_loss": random.randint(50, 400) / 10_000,
            "take_profit": random.randint(100, 800) / 10_000,
        }
        for _ in range(count)
    ]


def read_off(summaries: list[Summary]) -> dict[str, float]:
    """What the peer tells of its sets, too: all trades, and the best equity."""
    best = max(each.total_return for each in summaries)
    return {
        "trades": sum(each.trades for each in summaries),
        "best_equity": round(RULES["deposit"] * (1.0 + best), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
