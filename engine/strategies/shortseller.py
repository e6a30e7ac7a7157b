"""The short seller: sells when price falls through one of two long averages and is below both.

Five-minute bars, EMA 240 (20 hours) and EMA 600 (50 hours). The regime is active while the
close is below both averages; a close that crosses one of them from above is the entry; an
inactive regime ends the trade.
"""

from array import array
from typing import NamedTuple

from engine.candle import DAY_MS, HOUR_MS, TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.indicators import ema
from engine.strategies.kernel import (
    EMA_CROSS,
    MA_EXIT,
    NOTHING,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """Lengths in bars; the greatest number of crosses acted on in one UTC day."""

    fast: float = 240.0
    slow: float = 600.0
    crosses_per_day: float = 12.0


class State(NamedTuple):
    """Bars seen, the two averages, the last close, the day's crosses so far, and whether the
    last bar made one."""

    bars: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    close: float = 0.0
    day: float = 0.0
    crosses: float = 0.0
    crossed: float = 0.0


PARAMETERS = (
    Parameter("fast", 240, 2, 1000, 1, Unit.BARS, Tier.YELLOW, "length of the shorter average"),
    Parameter("slow", 600, 2, 5000, 1, Unit.BARS, Tier.YELLOW, "length of the longer average"),
    Parameter(
        "crosses_per_day", 12, 1, 100, 1, Unit.COUNT, Tier.GREEN, "crosses acted on in a UTC day",
        riskier=1,
    ),
)  # fmt: skip

ENTER = Signal(-1.0, 0.0, 0.0, EMA_CROSS)
LEAVE = Signal(0.0, 1.0, 1.0, MA_EXIT)


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    seen = state.bars + 1.0
    close = bar.close
    fast = ema(state.fast, close, seen, params.fast)
    slow = ema(state.slow, close, seen, params.slow)
    day = float(bar.ts // DAY_MS)
    crosses = state.crosses if day == state.day else 0.0
    crossed = 0.0
    signal = NOTHING
    if seen > params.fast and seen > params.slow:
        if close < fast and close < slow:
            if state.close >= state.fast or state.close >= state.slow:
                crossed = 1.0
                crosses += 1.0
                if crosses <= params.crosses_per_day:
                    signal = ENTER
        else:
            signal = LEAVE
    return State(seen, fast, slow, close, day, crosses, crossed), signal


def bars(params: Params) -> int:
    return int(max(params.fast, params.slow)) + 1


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    return [
        Condition(
            f"below EMA {params.fast:.0f}",
            bar.close < state.fast,
            f"{bar.close:g} vs {state.fast:.6g}",
        ),
        Condition(
            f"below EMA {params.slow:.0f}",
            bar.close < state.slow,
            f"{bar.close:g} vs {state.slow:.6g}",
        ),
        Condition(
            "crossed an average on this bar",
            state.crossed > 0.0,
            "just now" if state.crossed > 0.0 else "waits for the close to fall through one",
        ),
        Condition(
            "crosses today",
            state.crosses < params.crosses_per_day,
            f"{state.crosses:.0f} of {params.crosses_per_day:.0f}",
        ),
    ]


def _exits(stop: float, target: float, trail: float, activation: float) -> Exits:
    return Exits(stop, target, trail, activation, max_age_ms=DAY_MS, cooldown_ms=HOUR_MS)


STRATEGY = Strategy(
    name="shortseller",
    summary="EMA 240/600: sells a fall through a long average, leaves when it recovers",
    timeframe=TIMEFRAMES["5m"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={
        "BTCUSDT": _exits(0.01, 0.03, 0.01, 0.02),
        "ETHUSDT": _exits(0.015, 0.04, 0.02, 0.02),
        "SOLUSDT": _exits(0.015, 0.05, 0.02, 0.03),
        "*": _exits(0.015, 0.06, 0.02, 0.03),
    },
    sizing=Sizing(margin=0.05, margin_cap=0.07, leverage=10),
)
