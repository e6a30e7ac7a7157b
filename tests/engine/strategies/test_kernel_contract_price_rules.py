"""What every strategy by rules of price promises, whatever its rules are."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from engine.backtest.compiled import bound, jitted
from engine.strategies import (
    STRATEGIES,
    adx,
    asian,
    breakout,
    london,
    lxalgo,
    macross,
    meanreversion,
    momentum,
    trend,
)
from engine.strategies.common import EXITS, PIPELINE, SIZING
from engine.strategies.kernel import NOTHING, Bar, Signal, Strategy
from tests.engine.strategies.feeding import feed, wild_bars

MINE = [
    each.STRATEGY
    for each in (
        lxalgo, momentum, london, asian, breakout, adx, meanreversion, macross, trend
    )
]  # fmt: skip
BARS = 3_000
# A pump of 8 % in an hour is met in wilder markets than the others need.
SIGMAS = {"lxalgo": 0.015}
COMMON = {each.name for each in (*EXITS, *SIZING, *PIPELINE)}

each_strategy = pytest.mark.parametrize("strategy", MINE, ids=lambda each: each.name)


@functools.cache
def wild(interval: int, seed: int, sigma: float) -> tuple[Bar, ...]:
    return tuple(wild_bars(BARS, interval, seed, sigma))


def market(strategy: Strategy, seed: int = 11) -> tuple[Bar, ...]:
    return wild(strategy.timeframe, seed, SIGMAS.get(strategy.name, 0.003))


@functools.cache
def fed(name: str) -> tuple[list, list[Signal]]:
    """What a strategy makes of its market."""
    return feed(STRATEGIES[name], market(STRATEGIES[name]))


@each_strategy
def test_one_past_has_one_answer_whatever_follows(strategy):
    split = BARS // 3
    past, future = market(strategy)[:split], market(strategy, seed=12)[split:]
    (states, signals), (others, another) = fed(strategy.name), feed(strategy, [*past, *future])
    assert others[:split] == states[:split]
    assert another[:split] == signals[:split]
    assert another != signals


def over(params, state, window, times, table, signals):
    """Every signal into its row, as the compiled backtest loops; returns the last state."""
    for index in range(times.size):
        row = table[index]
        bar = Bar(
            times[index], row[0], row[1], row[2], row[3], row[4],
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        )  # fmt: skip
        state, signal = step(params, state, window, bar)
        for column in range(8):
            signals[index, column] = signal[column]
    return state


# Another strategy's stands here before the loop is compiled.
step: Callable = macross.step


def compiled(strategy: Strategy, bars: tuple[Bar, ...]) -> tuple[tuple, np.ndarray]:
    """The last state and the signals of machine code."""
    state, window = strategy.start(strategy.params)
    signals = np.empty((len(bars), 8))
    times = np.array([bar.ts for bar in bars])
    table = np.array([bar[1:6] for bar in bars])
    loop = jitted(bound(over, step=strategy.step))
    return loop(strategy.params, state, np.array(window), times, table, signals), signals


@each_strategy
def test_python_and_machine_code_give_the_same_bits(strategy):
    bars = market(strategy)
    states, signals = fed(strategy.name)
    state, numbers = compiled(strategy, bars)
    assert state == states[-1]
    assert numbers.tobytes() == np.array(signals).tobytes()


@each_strategy
def test_nothing_is_said_before_warm_up(strategy):
    _, signals = fed(strategy.name)
    assert set(signals[: strategy.bars_needed - 1]) == {NOTHING}


@each_strategy
def test_a_market_that_stands_still_is_not_entered(strategy):
    bars = [bar._replace(open=7.0, high=7.0, low=7.0, close=7.0) for bar in market(strategy)]
    for volume in (0.0, 1.0):
        _, signals = feed(strategy, [bar._replace(volume=volume) for bar in bars])
        assert {signal.entry for signal in signals} == {0.0}


@each_strategy
def test_it_enters_exactly_where_its_own_words_say_so(strategy):
    bars = market(strategy)
    states, signals = fed(strategy.name)
    warm = strategy.bars_needed - 1
    told = [
        all(condition.holds for condition in strategy.explain(strategy.params, state, bar))
        for state, bar in zip(states[warm:], bars[warm:], strict=True)
    ]
    assert told == [signal.entry != 0.0 for signal in signals[warm:]]
    assert sum(told) >= 3


@each_strategy
def test_what_a_signal_says_is_in_bounds(strategy):
    for signal in fed(strategy.name)[1]:
        assert signal.entry in (-1.0, 0.0, 1.0)
        assert 0.0 <= signal.confidence <= 1.0
        assert min(signal.stop, signal.target, signal.trail) >= 0.0
        assert not (signal.entry > 0.0 and signal.exit_long)
        assert not (signal.entry < 0.0 and signal.exit_short)


@each_strategy
def test_each_parameter_has_bounds_about_its_default(strategy):
    assert [each.name for each in strategy.parameters] == list(strategy.params._fields)
    assert tuple(each.check(each.default) for each in strategy.parameters) == strategy.params
    assert not {each.name for each in strategy.parameters} & COMMON


@each_strategy
def test_it_runs_at_the_ends_of_its_bounds(strategy):
    for end in ("low", "high"):
        values = {each.name: getattr(each, end) for each in strategy.parameters}
        feed(strategy, market(strategy)[:300], **values)


@each_strategy
def test_it_is_among_the_strategies(strategy):
    assert STRATEGIES[strategy.name] is strategy
