"""Bars for kernels: random walks, and what a kernel sees of a list of candles."""

from collections.abc import Callable
from random import Random
from typing import Any

from engine.candle import MINUTE_MS, Aggregator, Candle
from engine.strategies.kernel import Bar, Signal, Strategy
from tests.engine.conftest import T0

FIVE = 5 * MINUTE_MS


def walk(
    count: int,
    seed: int = 7,
    start_at: int = T0,
    timeframe: int = FIVE,
    close: float = 60_000.0,
    sigma: float = 0.002,
) -> list[Candle]:
    """A random walk with wicks, and with volumes that now and then are many times the usual."""
    random, made = Random(seed), []
    for index in range(count):
        opened, close = close, close * (1 + random.gauss(0, sigma))
        high = max(opened, close) * (1 + abs(random.gauss(0, sigma / 2)))
        low = min(opened, close) * (1 - abs(random.gauss(0, sigma / 2)))
        volume = random.lognormvariate(3.0, 0.8)
        made.append(Candle(start_at + index * timeframe, opened, high, low, close, volume))
    return made


def rough(count: int, seed: int = 7) -> list[Candle]:
    """A walk with a stretch of flat bars without volume, single missing bars and a long gap."""
    made = walk(count, seed)
    flat = made[count // 2]
    price = flat.close
    for index in range(count // 2, count // 2 + 60):
        made[index] = Candle(made[index].ts, price, price, price, price, 0.0)
    gap = range(count // 3, count // 3 + 17)
    return [bar for index, bar in enumerate(made) if index % 211 != 5 and index not in gap]


def seen(strategy: Strategy, candles: list[Candle]) -> list[Bar]:
    """The bars as a strategy sees them, with the last closed one of its higher timeframe."""
    if not strategy.higher:
        return [Bar(*candle) for candle in candles]
    aggregator, higher, bars = Aggregator(strategy.timeframe, strategy.higher), None, []
    for candle in candles:
        completed = aggregator.push(candle)
        higher = completed[-1] if completed else higher
        bars.append(Bar(*candle, 0.0, float(bool(completed)), *(higher[1:] if higher else ())))
    return bars


def run(strategy: Strategy, bars: list[Bar], step: Any = None) -> tuple[list[Any], list[Signal]]:
    """Every state and signal of a strategy over bars."""
    (state, window), states, signals = strategy.start(strategy.params), [], []
    for bar in bars:
        state, signal = (step or strategy.step)(strategy.params, state, window, bar)
        states.append(state)
        signals.append(signal)
    return states, signals


def moody(count: int, seed: int = 3) -> list[Candle]:
    """A walk whose drift, spread and trade change every few hours: rallies, crashes, calms."""
    random, close, made = Random(seed), 60_000.0, []
    while len(made) < count:
        drift = random.choice((-0.004, -0.0015, -0.0003, 0.0, 0.0, 0.0003, 0.0015, 0.004))
        sigma, trade = random.choice((0.0002, 0.001, 0.004)), random.choice((5.0, 20.0, 60.0))
        stretch = walk(random.randrange(20, 150), random.randrange(10**6), T0, FIVE, close, sigma)
        for index, bar in enumerate(stretch):
            pull = (1.0 + drift) ** (index + 1)
            opened, close = close, bar.close * pull
            high, low = max(opened, bar.high * pull, close), min(opened, bar.low * pull, close)
            ts = T0 + len(made) * FIVE
            made.append(Candle(ts, opened, high, low, close, bar.volume * trade))
    return made[:count]


Table = list[tuple[float, Callable[..., bool], Callable[..., bool]]]


def judged(table: Table, calm: bool, *values: float) -> tuple[float, float]:
    """Direction and confidence by a table of (confidence, rule of a long, rule of a short)."""
    for confidence, is_long, is_short in table:
        if is_long(*values):
            return 1.0, confidence
        if is_short(*values):
            return -1.0, confidence
    return 0.0, 0.65 if calm else 0.45


def opinions(states: list[Any]) -> list[tuple[float, float]]:
    return [state.opinion[:2] for state in states]


def all_met(said: list[tuple[float, float]], table: Table) -> bool:
    """Whether each line of a table, on either side, and both kinds of neutral were met."""
    sides = {(side, line[0]) for line in table for side in (1.0, -1.0)}
    return {*sides, (0.0, 0.65), (0.0, 0.45)} <= set(said)
