"""The fast and the exact backtest agree on every trade, and on every hour's worth."""

from dataclasses import replace
from functools import cache
from random import Random

import pytest

from engine.backtest import exact, fast
from engine.backtest.history import from_files
from engine.backtest.plan import Plan
from engine.candle import DAY_MS, MINUTE_MS
from engine.signal import Sides
from engine.strategies import STRATEGIES
from tests.engine.backtest.agreement import disagreement
from tests.engine.backtest.puppets import SOURCE, SYMBOLS, random_strategy, walk

SEEDS = range(48)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_rules_on_random_candles(seed):
    random = Random(seed)
    timeframe = random.choice((1, 1, 5)) * MINUTE_MS
    strategy = replace(random_strategy(random), timeframe=timeframe)
    history = walk(
        random,
        SYMBOLS[: random.choice((1, 1, 2, 3))],
        1_200,
        MINUTE_MS,
        volatility=random.choice((0.001, 0.004, 0.01)),
        busy=random.choice((0.05, 0.3, 0.9)),
        gaps=random.random() < 0.6,
    )
    plan = Plan(
        strategy,
        fee=random.choice((0.0, 0.00055)),
        slippage=random.choice((0.0, 0.0005)),
        sides=random.choice((Sides.BOTH, Sides.BOTH, Sides.LONG_ONLY, Sides.SHORT_ONLY)),
    )
    assert disagreement(fast.run(plan, history, SOURCE), exact.run(plan, history)) == ""


def test_the_random_runs_meet_every_way_out():
    """Else they would prove nothing about it."""
    reasons = set()
    for seed in SEEDS:
        random = Random(seed)
        strategy = replace(random_strategy(random), timeframe=MINUTE_MS)
        history = walk(random, SYMBOLS[:2], 1_200, MINUTE_MS, busy=0.3)
        reasons |= {trip.exit_reason for trip in fast.run(Plan(strategy), history, SOURCE).trips}
    assert reasons >= {
        "stop_loss", "trailing_stop", "take_profit", "time_exit", "liquidation", "short_exit",
        "signal_reversal",
    }  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_on_real_candles(name, shared):
    folder = shared / "data" / "candles"
    files = [
        folder / f"bybit_{symbol}_{kind}_2025-09_2026-07.csv.gz"
        for symbol in ("BTCUSDT", "SOLUSDT")
        for kind in ("perp_5m", "funding_8h")
    ]
    strategy = STRATEGIES[name]
    history = recorded(tuple(files))
    days = 30 + 2 * strategy.bars_needed * strategy.timeframe // DAY_MS
    part = history.within(history.start, history.start + days * DAY_MS)
    random = Random(name)
    for tried in (strategy, randomly_tuned(strategy, random)):
        plan = Plan(tried)
        assert disagreement(fast.run(plan, part), exact.run(plan, part)) == ""


def randomly_tuned(strategy, random):
    """The strategy with a third of its own parameters anywhere within their bounds."""
    values = {}
    for parameter in strategy.parameters:
        if random.random() < 0.33:
            steps = round((parameter.high - parameter.low) / parameter.step)
            near = random.randint(0, steps)
            values[parameter.name] = round(parameter.low + near * parameter.step, 10)
    tuned = strategy.tuned(values)
    return tuned if tuned.bars_needed <= 2 * strategy.bars_needed else strategy


@cache
def recorded(files):
    """Read once for all strategies: a second a file."""
    return from_files(list(files), now=1 << 50)
