"""Moving average crossover: holds the side of the faster average.

Hourly bars, both sides. EMA 12 crossing above EMA 26 buys, crossing below it sells; either ends
what was held on the other side. The stop is 2 % away.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL, SIZING
from engine.strategies.indicators import ema
from engine.strategies.kernel import NOTHING, Bar, Condition, Signal, Strategy, Window
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """Lengths in bars."""

    fast: float = 12.0
    slow: float = 26.0


class State(NamedTuple):
    """Bars seen, the two averages, and how far the fast one stood above the slow one before."""

    bars: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    gap_before: float = 0.0


PARAMETERS = (
    Parameter("fast", 12, 2, 500, 1, Unit.BARS, Tier.YELLOW, "length of the faster average"),
    Parameter("slow", 26, 2, 1000, 1, Unit.BARS, Tier.YELLOW, "length of the slower average"),
)


def bars(params: Params) -> int:
    return int(max(params.fast, params.slow)) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    seen = state.bars + 1.0
    fast = ema(state.fast, bar.close, seen, params.fast)
    slow = ema(state.slow, bar.close, seen, params.slow)
    state = State(seen, fast, slow, state.fast - state.slow)
    if seen < bars(params):
        return state, NOTHING
    if fast > slow and state.gap_before <= 0.0:
        return state, BUY
    if fast < slow and state.gap_before >= 0.0:
        return state, SELL
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    gap = state.fast - state.slow
    crossed = gap > 0.0 >= state.gap_before or gap < 0.0 <= state.gap_before
    return [
        Condition(
            f"EMA {params.fast:.0f} crossed EMA {params.slow:.0f} on this bar",
            crossed,
            f"{state.fast:.6g} vs {state.slow:.6g}",
        )
    ]


STRATEGY = Strategy(
    name="macross",
    summary="MA crossover: EMA 12 over EMA 26 is long, under it short",
    timeframe=TIMEFRAMES["1h"],
    params=Params(),
    parameters=PARAMETERS,
    ordered=(("fast", "slow"),),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.02, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
