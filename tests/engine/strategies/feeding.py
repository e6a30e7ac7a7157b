"""Bars for kernels, and what a kernel makes of them."""

from collections.abc import Iterable, Sequence
from random import Random

from engine.strategies.kernel import Bar, Signal, Strategy
from tests.engine.conftest import T0


def bars_of(
    closes: Iterable[float],
    interval: int,
    *,
    start: int = T0,
    reach: float = 0.0,
    volumes: Sequence[float] = (),
) -> list[Bar]:
    """One bar a close, opening at it; `reach` is how far high and low are from it (a fraction),
    a volume that is not given is 1."""
    return [
        Bar(
            start + index * interval,
            close,
            close * (1 + reach),
            close * (1 - reach),
            close,
            volumes[index] if index < len(volumes) else 1.0,
        )
        for index, close in enumerate(closes)
    ]


def feed(strategy: Strategy, bars: Iterable[Bar], **params: float) -> tuple[list, list[Signal]]:
    """Every state and signal over the bars, with some parameters changed."""
    values = strategy.params._replace(**params)
    (state, window), states, signals = strategy.start(values), [], []
    for bar in bars:
        state, signal = strategy.step(values, state, window, bar)
        states.append(state)
        signals.append(signal)
    return states, signals


def wild_bars(count: int, interval: int, seed: int, sigma: float = 0.004) -> list[Bar]:
    """A random walk with everything markets do: bars are missing, stand still or trade nothing."""
    random, close, ts, made = Random(seed), 1_000.0, T0, []
    for index in range(count):
        still = count // 2 <= index < count // 2 + 40
        ts += interval * (random.randrange(2, 9) if random.random() < 0.002 else 1)
        opened = close
        close = opened if still else opened * (1 + random.gauss(0, sigma))
        high = max(opened, close) * (1 if still else 1 + abs(random.gauss(0, sigma / 3)))
        low = min(opened, close) * (1 if still else 1 - abs(random.gauss(0, sigma / 3)))
        volume = 0.0 if still else random.expovariate(1.0)
        made.append(Bar(ts, opened, high, low, close, volume))
    return made
