"""What the peers' scripts share: the bars, the rules, and the line that is printed.

It needs numpy alone, and runs in each peer's own Python.
"""

import json
import sys
from collections import namedtuple
from time import perf_counter

import numpy as np

COLUMNS = ("ts", "open", "high", "low", "close", "volume")
SLACK = 1e-9

Bars = namedtuple("Bars", COLUMNS)
Rules = namedtuple("Rules", "fast slow stop target fee notional step deposit")


def given():
    """The bars and the rules that the command line names; of many sets, the rules they share."""
    said = json.loads(sys.argv[2])
    said.pop("sets", None)
    return Bars(*np.load(sys.argv[1])), Rules(**said)


def given_sets(rules):
    """The rules of each set: fast, slow, stop and target are its own."""
    names = ("fast", "slow", "stop", "target")
    sets = json.loads(sys.argv[2])["sets"]
    return [rules._replace(**dict(zip(names, each, strict=True))) for each in sets]


def timed(work, rounds=1):
    """The seconds of the quickest of some rounds of `work`, and what it returned last."""
    took = []
    for _ in range(rounds):
        began = perf_counter()
        found = work()
        took.append(perf_counter() - began)
    return min(took), found


def tell(bars, seconds, trades, equity):
    """Print what the benchmarks read."""
    found = {
        "bars": len(bars.ts),
        "bars_a_second": round(len(bars.ts) / seconds),
        "trades": int(trades),
        "final_equity": round(float(equity), 2),
    }
    say(found)


def say(found):
    """The line that the benchmarks read: the last, and JSON."""
    sys.stdout.write(json.dumps(found) + "\n")


def seeded(close, length):
    """Closes whose plain exponential average begins with the mean of the first `length`."""
    after = close.copy()
    after[: length - 1] = np.nan
    after[length - 1] = close[:length].mean()
    return after


def crosses(close, fast, slow, rules):
    """On which bars the rules sell, and on which they leave."""
    below = (close < fast) & (close < slow)
    above = (close >= fast) | (close >= slow)
    falls = np.zeros(len(close), bool)
    falls[1:] = below[1:] & above[:-1]
    warm = np.arange(len(close)) >= max(rules.fast, rules.slow)
    return falls & warm, ~below & warm


def quantity(close, rules):
    """What is sold: as many whole steps as the notional buys."""
    return np.floor(rules.notional / close / rules.step + SLACK) * rules.step


class Crosses:
    """The same, one close at a time, for the peers that go bar by bar."""

    def __init__(self, rules):
        self._lengths = (rules.fast, rules.slow)
        self._averages = [0.0, 0.0]
        self._seen = 0
        self._was_above = False

    def take(self, close):
        """Whether to sell and whether to leave after this close."""
        self._seen += 1
        averages = self._averages
        for i, length in enumerate(self._lengths):
            weight = 1.0 / self._seen if self._seen <= length else 2.0 / (length + 1.0)
            averages[i] += (close - averages[i]) * weight
        below = close < averages[0] and close < averages[1]
        falls, self._was_above = below and self._was_above, not below
        warm = self._seen > max(self._lengths)
        return falls and warm, not below and warm
