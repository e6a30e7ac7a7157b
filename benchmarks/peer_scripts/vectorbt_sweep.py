"""vectorbt's broadcast of many parameter sets, a column each.

Twenty columns at a time: it is quicker than by the hundred, and every array of all of them would
take 0.8 GB. Final equity and counts of trades are read off, and no ratio.
"""

import resource

import numpy as np
import pandas as pd
import vectorbt as vbt
from rules import crosses, given, given_sets, quantity, say, seeded, timed

AT_ONCE = 20
KB_A_MB = 1024


def averages(lengths):
    """Each average once, however many sets have it."""
    close = bars.close
    return {
        length: pd.Series(seeded(close, length)).ewm(span=length, adjust=False).mean().to_numpy()
        for length in lengths
    }


def signals(chunk, known):
    falls = np.zeros((len(bars.ts), len(chunk)), bool)
    leaves = np.zeros_like(falls)
    for column, each in enumerate(chunk):
        fast, slow = known[each.fast], known[each.slow]
        down, up = crosses(bars.close, fast, slow, each)
        falls[1:, column], leaves[1:, column] = down[:-1], up[:-1]
    return falls, leaves


def simulate(chunk, known):
    falls, leaves = signals(chunk, known)
    size = np.concatenate(([0.0], quantity(bars.close, rules)[:-1]))
    portfolio = vbt.Portfolio.from_signals(
        bars.close[:, None],
        entries=False,
        exits=False,
        short_entries=falls,
        short_exits=leaves,
        size=size[:, None],
        price=bars.open[:, None],
        open=bars.open[:, None],
        high=bars.high[:, None],
        low=bars.low[:, None],
        sl_stop=np.array([each.stop for each in chunk]),
        tp_stop=np.array([each.target for each in chunk]),
        stop_entry_price="price",
        fees=rules.fee,
        init_cash=rules.deposit,
        freq="1min",
    )
    return portfolio.final_value(), portfolio.trades.count()


def run(sets):
    known = averages({length for each in sets for length in (each.fast, each.slow)})
    chunks = (sets[at : at + AT_ONCE] for at in range(0, len(sets), AT_ONCE))
    return [simulate(chunk, known) for chunk in chunks]


bars, rules = given()
sets = given_sets(rules)
run(sets[:2])
seconds, found = timed(lambda: run(sets))
rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_A_MB
trades = int(sum(count.sum() for _, count in found))
best = float(max(value.max() for value, _ in found))
say(
    {
        "seconds": round(seconds, 3),
        "rss_mb": round(rss_mb, 1),
        "trades": trades,
        "best_equity": round(best, 2),
    }
)
