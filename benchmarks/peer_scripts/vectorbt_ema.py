"""vectorbt: its own averages, signals as arrays, filled at the next open by its compiled loop.

It makes trades and equity out of its orders only when they are asked for; they are, for ours
makes both as it goes.
"""

import numpy as np
import pandas as pd
import vectorbt as vbt
from rules import crosses, given, quantity, seeded, tell, timed

ROUNDS = 5


def average(close, length):
    averages = pd.Series(seeded(close, length)).vbt.ewm_mean(length, minp=1, adjust=False)
    return averages.to_numpy()


def next_bar(values):
    """What is decided on a bar is done on the one after it."""
    moved = np.zeros_like(values)
    moved[1:] = values[:-1]
    return moved


def run():
    close = bars.close
    fast, slow = average(close, rules.fast), average(close, rules.slow)
    falls, leaves = crosses(close, fast, slow, rules)
    portfolio = vbt.Portfolio.from_signals(
        close,
        entries=False,
        exits=False,
        short_entries=next_bar(falls),
        short_exits=next_bar(leaves),
        size=next_bar(quantity(close, rules)),
        price=bars.open,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        sl_stop=rules.stop,
        tp_stop=rules.target,
        stop_entry_price="price",
        fees=rules.fee,
        init_cash=rules.deposit,
        freq="1min",
    )
    return portfolio.trades.records, portfolio.value().to_numpy()


bars, rules = given()
timed(run)
seconds, (trades, equity) = timed(run, ROUNDS)
tell(bars, seconds, len(trades), equity[-1])
