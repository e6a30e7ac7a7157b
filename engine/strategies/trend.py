"""Trend following: joins a trend of two averages and trails it by its own restlessness.

Hourly bars, both sides. The trend is up while EMA 20 is above EMA 50 and the close above EMA 20,
down where all of it is the other way round. That it begins is the entry; it begins again after
each pullback to EMA 20. The stop lies two average true ranges (14 bars) away and follows the best
price at that distance; a position is as large as lets the stop cost 2 % of equity, never larger
than the equity. EMA 20 on the wrong side of EMA 50 ends it.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.indicators import Atr, atr, ema
from engine.strategies.kernel import (
    LONG_ENTRY,
    LONG_EXIT,
    NOTHING,
    SHORT_ENTRY,
    SHORT_EXIT,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """Lengths in bars, the stop's distance in average true ranges."""

    fast: float = 20.0
    slow: float = 50.0
    atr_bars: float = 14.0
    atr_multiple: float = 2.0


class State(NamedTuple):
    """Bars seen, the averages, the range, and the trend (+1, -1, 0 for none) now and before the
    last bar."""

    bars: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    atr: Atr = Atr()
    trend: float = 0.0
    before: float = 0.0


PARAMETERS = (
    Parameter("fast", 20, 2, 500, 1, Unit.BARS, Tier.YELLOW, "length of the faster average"),
    Parameter("slow", 50, 2, 1000, 1, Unit.BARS, Tier.YELLOW, "length of the slower average"),
    Parameter("atr_bars", 14, 2, 200, 1, Unit.BARS, Tier.YELLOW, "length of the true range"),
    Parameter(
        "atr_multiple", 2, 0.5, 10, 0.1, Unit.RATIO, Tier.YELLOW,
        "distance of the stop in average true ranges", riskier=1,
    ),
)  # fmt: skip

LEAVE_LONG = Signal(0.0, 1.0, 0.0, LONG_EXIT, 1.0, 0.0, 0.0, 0.0)
LEAVE_SHORT = Signal(0.0, 0.0, 1.0, SHORT_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    return int(max(params.fast, params.slow, params.atr_bars + 1.0)) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def trend_of(fast: float, slow: float, close: float) -> float:
    if fast > slow and close > fast:
        return 1.0
    return -1.0 if fast < slow and close < fast else 0.0


def decide(params: Params, state: State) -> Signal:
    stop = params.atr_multiple * state.atr.value
    if state.trend > 0.0 and state.before <= 0.0:
        return Signal(1.0, 0.0, 1.0, LONG_ENTRY, 1.0, stop, 0.0, stop)
    if state.trend < 0.0 and state.before >= 0.0:
        return Signal(-1.0, 1.0, 0.0, SHORT_ENTRY, 1.0, stop, 0.0, stop)
    if state.fast < state.slow:
        return LEAVE_LONG
    if state.fast > state.slow:
        return LEAVE_SHORT
    return NOTHING


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    seen = state.bars + 1.0
    fast = ema(state.fast, bar.close, seen, params.fast)
    slow = ema(state.slow, bar.close, seen, params.slow)
    ranges = atr(state.atr, bar.high, bar.low, bar.close, params.atr_bars)
    state = State(seen, fast, slow, ranges, trend_of(fast, slow, bar.close), state.trend)
    if seen < bars(params):
        return state, NOTHING
    return state, decide(params, state)


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    began = state.trend != 0.0 and state.trend != state.before
    return [
        Condition(
            f"EMA {params.fast:.0f} beyond EMA {params.slow:.0f}, the close beyond both",
            state.trend != 0.0,
            f"{bar.close:g} vs {state.fast:.6g} and {state.slow:.6g}",
        ),
        Condition(
            "trend begins on this bar",
            began,
            "just now" if began else "lasts" if state.trend != 0.0 else "no trend",
        ),
    ]


STRATEGY = Strategy(
    name="trend",
    summary="trend following: EMA 20/50 with a stop that trails two average true ranges",
    timeframe=TIMEFRAMES["1h"],
    params=Params(),
    parameters=PARAMETERS,
    ordered=(("fast", "slow"),),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=Sizing(margin=0.02, margin_cap=0.02, leverage=3, risk=0.02, share_cap=1.0),
)
