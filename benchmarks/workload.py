"""What the backtest benchmarks run: a random walk of minutes, and the short seller on it.

There are two plans. `whole_plan` has every rule on: trailing stop, greatest age, cool-down,
slippage, funding, a size that follows the equity. `peers_plan` is what all peers can do alike:
EMA 240/600, stop 2 %, target 4 %, 0.055 % of fee, entry at the next open, a fixed size.
"""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.peers import RULES
from engine.backtest.history import History, made
from engine.backtest.plan import Plan
from engine.candle import FUNDING_EVERY_MS, MINUTE_MS
from engine.columns import Columns, Rates, Times
from engine.instrument import MAJORS
from engine.strategies import STRATEGIES
from engine.strategies.exits import Exits
from engine.strategies.kernel import Strategy

SEED = 42
T0 = 1_672_531_200_000
SYMBOL = "BTCUSDT"
PRICE = 40_000.0
VOLATILITY = 0.0005
# Minutes have fat tails: now and then one is a leap over the stop.
TAILS = 3


def random_columns(bars: int, interval: int = MINUTE_MS) -> Columns:
    """Bars of a seeded random walk with the fat tails of real ones, on the tick."""
    random = np.random.default_rng(SEED)
    moves = random.standard_t(TAILS, bars) * VOLATILITY
    close = np.round(PRICE * np.exp(np.cumsum(moves)), 1)
    open_ = np.concatenate(([PRICE], close[:-1]))
    wick = np.abs(random.normal(0, VOLATILITY, (2, bars)))
    return Columns(
        T0 + np.arange(bars, dtype=np.int64) * interval,
        open_,
        np.round(np.maximum(open_, close) * (1 + wick[0]), 1),
        np.round(np.minimum(open_, close) * (1 - wick[1]), 1),
        close,
        np.ones(bars),
    )


def funded(columns: Columns) -> History:
    """The bars with the funding that is assumed where no rate is known."""
    return _history(columns, np.empty(0, np.int64))


def unfunded(columns: Columns) -> History:
    """The bars with funding of zero at every stamp."""
    first, last = columns.ts[0], columns.ts[-1] + FUNDING_EVERY_MS
    return _history(columns, np.arange(first - first % FUNDING_EVERY_MS, last, FUNDING_EVERY_MS))


def _history(columns: Columns, stamps: Times) -> History:
    rates = Rates(stamps, np.zeros(len(stamps)))
    return made(MINUTE_MS, {SYMBOL: columns}, {SYMBOL: rates}, {SYMBOL: MAJORS[SYMBOL]})


def whole_plan() -> Plan:
    tuned = {"stop_loss": 0.02, "take_profit": 0.04, "trail": 0.015, "trail_activation": 0.02}
    return Plan(_on_minutes(STRATEGIES["shortseller"].tuned(tuned)))


def peers_plan() -> Plan:
    # So many crosses a day never come.
    base = STRATEGIES["shortseller"].tuned(
        {"fast": RULES["fast"], "slow": RULES["slow"], "crosses_per_day": 100}
    )
    exits = Exits(RULES["stop"], RULES["target"], 0.0, 0.0, max_age_ms=0, cooldown_ms=0)
    strategy = replace(
        base, exits={"*": exits}, sizing=base.sizing._replace(fixed=RULES["notional"])
    )
    return Plan(_on_minutes(strategy), RULES["deposit"], RULES["fee"], slippage=0.0)


def _on_minutes(strategy: Strategy) -> Strategy:
    return replace(strategy, timeframe=MINUTE_MS)


def timed(work: Callable[[], object]) -> float:
    """The seconds that `work` takes."""
    began = perf_counter()
    work()
    return perf_counter() - began
