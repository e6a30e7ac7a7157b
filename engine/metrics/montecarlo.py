"""What else could have happened: bands over shuffled trades and over resampled days.

The cost is one pass over the trades or days a run, about 0.4 s for 1,000 runs of 1,000.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import log
from random import Random
from typing import NamedTuple

from engine.errors import BadInput
from engine.metrics.drawdown import depths
from engine.metrics.moments import quantile
from engine.metrics.returns import compounded

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
RUNS = 1_000
# The outer bands of as many runs stand still; more is only waiting.
RUNS_MAX = 10_000
# With fewer, the runs are the same few results over and over.
TRADES_MIN = 20
DAYS_MIN = 30


class Bands(NamedTuple):
    """How a figure is spread over the runs, beside what was observed.

    `values` are the quantiles at LEVELS; empty where there were too few trades or days (`n`),
    which `why` says.
    """

    values: tuple[float, ...]
    observed: float | None
    n: int
    runs: int
    seed: int
    why: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON; the quantiles as `p5` to `p95`."""
        named = {f"p{level * 100:g}": value for level, value in self.quantiles.items()}
        return {"quantiles": named, **{key: getattr(self, key) for key in self._fields[1:]}}

    @property
    def quantiles(self) -> dict[float, float]:
        """Each level with its value."""
        return dict(zip(LEVELS, self.values, strict=False))


class Resampled(NamedTuple):
    """Bands of the whole return and of the deepest drawdown, as fractions."""

    total_return: Bands
    max_drawdown: Bands


def shuffled_drawdown(
    nets: Sequence[float], deposit: float, *, seed: int, runs: int = RUNS
) -> Bands:
    """The deepest drawdown when the same trades come in another order.

    `nets` are the net profits in the order of the exits, added to `deposit` (above zero). The
    end is the same in each run; a drawdown of all there is counts as 1.
    """
    _check(runs)
    if deposit <= 0.0:
        raise BadInput("deposit", deposit, "above zero")
    n = len(nets)
    if n < TRADES_MIN:
        return Bands((), None, n, runs, seed, f"needs {TRADES_MIN} trades, has {n}")
    chance = Random(seed)
    order = list(nets)
    fallen = []
    for _ in range(runs):
        chance.shuffle(order)
        fallen.append(_fall(order, deposit))
    return Bands(_quantiles(fallen), _fall(nets, deposit), n, runs, seed)


def _fall(nets: Sequence[float], deposit: float) -> float:
    return min(max(depths(list(accumulate(nets, initial=deposit)))), 1.0)


def resampled(
    returns: Sequence[float], *, seed: int, runs: int = RUNS, block: float | None = None
) -> Resampled:
    """As many days again, drawn in blocks so that days keep their neighbors.

    The stationary bootstrap of Politis and Romano (1994): a block begins anywhere, goes round
    at the end, and is `block` days long on average (None: the cube root of the days).
    """
    _check(runs)
    n = len(returns)
    if n < DAYS_MIN:
        bands = Bands((), None, n, runs, seed, f"needs {DAYS_MIN} days, has {n}")
        return Resampled(bands, bands)
    length = n ** (1 / 3) if block is None else block
    if not 1.0 <= length <= n:
        raise BadInput("block", block, f"1 to {n} days")
    chance = Random(seed)
    paths = [_outcome(drawn(returns, length, chance)) for _ in range(runs)]
    found = _outcome(returns)
    total, deepest = (
        Bands(_quantiles(column), seen, n, runs, seed)
        for column, seen in zip(zip(*paths, strict=True), found, strict=True)
    )
    return Resampled(total, deepest)


def drawn(returns: Sequence[float], length: float, chance: Random) -> list[float]:
    """One series of as many returns, in blocks of geometrically distributed length."""
    n = len(returns)
    circle = (*returns, *returns)
    path: list[float] = []
    while len(path) < n:
        start = chance.randrange(n)
        path += circle[start : start + min(_geometric(length, chance), n)]
    return path[:n]


def futures(returns: Sequence[float], *, steps: int, runs: int, seed: int) -> list[list[float]]:
    """What so many draws add up to, step by step: the bootstrap of Efron (1979), any return as
    likely at each step."""
    chance = Random(seed)
    return [list(accumulate(chance.choices(returns, k=steps))) for _ in range(runs)]


def _geometric(mean: float, chance: Random) -> int:
    """A whole number of at least 1, with that mean."""
    if mean <= 1.0:
        return 1
    return 1 + int(log(1.0 - chance.random()) / log(1.0 - 1.0 / mean))


def _outcome(returns: Sequence[float]) -> tuple[float, float]:
    """The whole return and the deepest drawdown."""
    equity = compounded(returns)
    return equity[-1] - 1.0, max(depths(equity))


def _quantiles(values: Sequence[float]) -> tuple[float, ...]:
    ordered = sorted(values)
    return tuple(quantile(ordered, level) for level in LEVELS)


def _check(runs: int) -> None:
    if not 1 <= runs <= RUNS_MAX:
        raise BadInput("runs", runs, f"1 to {RUNS_MAX:,}")
