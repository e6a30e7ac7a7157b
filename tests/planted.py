"""Candles out of a seed: random walks, and walks with an edge that a strategy can find.

All of them have what makes real markets hard: volatility that comes in clusters, shocks with fat
tails, funding. What is planted is either a drift that holds for a while and turns, or a part of
the price that comes back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from engine.backtest.history import History, made
from engine.backtest.plan import Plan
from engine.candle import FUNDING_EVERY_MS, HOUR_MS
from engine.columns import Columns, Floats, Rates
from engine.instrument import MAJORS
from engine.strategies import STRATEGIES

T0 = 1_577_836_800_000  # 2020-01-01
SYMBOL = "ETHUSDT"
START_PRICE = 3_000.0
BARS_A_YEAR = 365 * 24
# Of a year, as a fraction: what Bitcoin had in its calmer years.
VOLATILITY = 0.5
# Volatility moves around its mean with this memory an hour, and this deviation of its logarithm.
CALM_HOURS = 100.0
CLUSTERING = 0.5
# Degrees of freedom of the shocks.
TAILS = 4.0


def random_walk(seed: int, years: float) -> History:
    """Hourly candles without any edge."""
    chance = np.random.default_rng(seed)
    return _history(chance, _shocks(chance, round(years * BARS_A_YEAR)))


def drifting(seed: int, years: float, *, hours: float, drift: float) -> History:
    """A walk whose drift, of `drift` times its volatility an hour, goes up or down and turns after
    `hours` on average."""
    chance = np.random.default_rng(seed)
    shocks = _shocks(chance, round(years * BARS_A_YEAR))
    turns = np.cumsum(chance.random(len(shocks)) < 1.0 / hours)
    side = np.where((turns + chance.integers(2)) % 2 == 0, 1.0, -1.0)
    return _history(chance, shocks + side * drift * _hourly())


def reverting(seed: int, years: float, *, hours: float, share: float) -> History:
    """A walk of which a part comes back, half of it within `hours`; `share` is the deviation of
    that part as a fraction of the price."""
    chance = np.random.default_rng(seed)
    shocks = _shocks(chance, round(years * BARS_A_YEAR))
    memory = 0.5 ** (1.0 / hours)
    part = _remembered(chance.standard_normal(len(shocks)), memory)
    return _history(chance, shocks + np.diff(share * part, prepend=0.0))


def _hourly() -> float:
    return VOLATILITY / BARS_A_YEAR**0.5


def _shocks(chance: np.random.Generator, bars: int) -> Floats:
    """Log returns of bars, with clusters and fat tails."""
    mood = _remembered(chance.standard_normal(bars), 1.0 - 1.0 / CALM_HOURS)
    level = np.exp(CLUSTERING * mood - CLUSTERING**2)
    tails = chance.standard_t(TAILS, bars) / (TAILS / (TAILS - 2.0)) ** 0.5
    return _hourly() * level * tails


def _remembered(noise: Floats, memory: float) -> Floats:
    """An autoregression of the first order with a deviation of 1."""
    out = np.empty_like(noise)
    last = noise[0]
    fresh = (1.0 - memory**2) ** 0.5
    for i, each in enumerate(noise.tolist()):
        last = memory * last + fresh * each
        out[i] = last
    return out


def _history(chance: np.random.Generator, returns: Floats) -> History:
    bars = len(returns)
    closes = START_PRICE * np.exp(np.cumsum(returns))
    opens = np.concatenate(([START_PRICE], closes[:-1]))
    reach = np.abs(chance.standard_normal((2, bars))) * _hourly() / 2.0
    highs = np.maximum(opens, closes) * (1.0 + reach[0])
    lows = np.minimum(opens, closes) * (1.0 - reach[1])
    volumes = np.exp(chance.standard_normal(bars)) * (1.0 + np.abs(returns) / _hourly())
    tick = float(MAJORS[SYMBOL].tick)
    prices = [np.round(np.round(each / tick) * tick, 8) for each in (opens, highs, lows, closes)]
    stamps = T0 + np.arange(bars, dtype=np.int64) * HOUR_MS
    columns = Columns(stamps, *prices, np.round(volumes, 3))
    return made(HOUR_MS, {SYMBOL: columns}, {SYMBOL: _rates(chance, bars)}, MAJORS)


def _rates(chance: np.random.Generator, bars: int) -> Rates:
    stamps = np.arange(T0, T0 + bars * HOUR_MS, FUNDING_EVERY_MS, dtype=np.int64)
    return Rates(stamps, np.round(chance.normal(5e-5, 1e-4, len(stamps)), 6))


@dataclass(frozen=True)
class Edge:
    """A strategy, a market that it can earn in, and values with which it does; with its defaults
    costs take what there is."""

    plan: Plan
    market: Callable[[int, float], History]
    best: Mapping[str, float]


# Large enough that an instrument's steps do not matter, whatever way the price goes.
DEPOSIT = 100_000.0
# Slippage where little is traded.
THIN = 0.0015

EDGES = {
    "macross": Edge(
        Plan(STRATEGIES["macross"].tuned({"stop_loss": 0.1}), DEPOSIT, slippage=THIN),
        partial(drifting, hours=1000.0, drift=0.058),
        {"fast": 60.0, "slow": 230.0},
    ),
    "trend": Edge(
        Plan(STRATEGIES["trend"], DEPOSIT),
        partial(drifting, hours=1000.0, drift=0.048),
        {"fast": 80.0, "slow": 250.0, "atr_multiple": 4.0},
    ),
    "meanreversion": Edge(
        Plan(
            replace(STRATEGIES["meanreversion"].tuned({"stop_loss": 0.05}), timeframe=HOUR_MS),
            DEPOSIT,
            slippage=THIN,
        ),
        partial(reverting, hours=36.0, share=0.046),
        {"length": 60.0, "sigmas": 2.0},
    ),
}
