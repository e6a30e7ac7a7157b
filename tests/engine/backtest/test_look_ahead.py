"""No shipped strategy sees the future: two of them behind one past, and the same trades until
they part, at both speeds."""

from functools import cache
from random import Random

import numpy as np
import pytest

from engine.backtest import exact, fast
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.columns import Columns
from engine.instrument import MAJORS
from engine.strategies import STRATEGIES
from tests.engine.backtest.puppets import walk

SYMBOL = "SOLUSDT"
BARS = 1_800
# Where the futures part: often where it costs nothing, once in the middle of higher bars.
PARTINGS = {"fast": range(1_050, BARS, 50), "exact": [1_601]}
SPEEDS = {"fast": fast.run, "exact": exact.run}
# Those that would hardly trade on so few bars of a random walk.
KEENER = {
    "lxalgo": {"pump": 0.02},
    "momentum": {"width_max": 1.0, "volume_min": 1.0},
    "combined": {"mode": 2.0, "confirmed": 0.0},
}


@cache
def first_future(interval: int) -> History:
    return walk(Random(5), (SYMBOL,), BARS, interval, volatility=0.006, gaps=False)


def second_future(one: History, parting: int) -> History:
    """The first upside down from the bar `parting` on, so that both begin at the same price."""
    columns = one.columns[SYMBOL]
    pivot = columns.close[parting - 1] ** 2
    tick = float(MAJORS[SYMBOL].tick)
    turned = [columns.open, columns.low, columns.high, columns.close]
    future = [np.round(pivot / each[parting:] / tick) * tick for each in turned]
    future.append(columns.volume[parting:][::-1])
    past = (each[:parting] for each in columns[1:])
    values = map(np.concatenate, zip(past, future, strict=True))
    return made(one.interval, {SYMBOL: Columns(columns.ts, *values)}, one.rates, one.instruments)


def until(ts: int, outcome: Outcome) -> tuple[set[object], set[object]]:
    """What was entered and what was left by then, an order that fills at that open among it."""
    entered = {
        (each.side, each.entry_time, each.entry_price, each.quantity)
        for each in (*outcome.trips, *outcome.held)
        if each.entry_time <= ts
    }
    left = {
        (each.exit_time, each.exit_price, each.exit_reason)
        for each in outcome.trips
        if each.exit_time <= ts
    }
    return entered, left


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_two_futures_behind_one_past_change_nothing_of_it(name, speed):
    strategy = STRATEGIES[name].tuned(KEENER.get(name, {}))
    run, plan = SPEEDS[speed], Plan(strategy)
    one = first_future(strategy.timeframe)
    first = run(plan, one)
    for parting in PARTINGS[speed]:
        ts = int(one.columns[SYMBOL].ts[parting])
        second = run(plan, second_future(one, parting))
        assert until(ts, second) == until(ts, first)
    entered, _ = until(ts, first)
    assert entered
