"""The short seller: sells when price falls through one of two long averages and is below both.

Five-minute bars, EMA 240 (20 hours) and EMA 600 (50 hours). The regime is active while the
close is below both averages; a close that crosses one of them from above is the entry; an
inactive regime ends the trade.
"""

from array import array
from typing import NamedTuple

from engine.candle import DAY_MS, HOUR_MS, TIMEFRAMES, Candle
from engine.strategies.exits import Exits
from engine.strategies.indicators import ema
from engine.strategies.kernel import (
    EMA_CROSS,
    MA_EXIT,
    NOTHING,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.strategies.sizing import Sizing


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


ENTER = Signal(-1.0, 0.0, EMA_CROSS)
LEAVE = Signal(0.0, 1.0, MA_EXIT)


def start() -> tuple[State, Window]:
    return State(), array("d")


def step(params: Params, state: State, window: Window, bar: Candle) -> tuple[State, Signal]:
    bars = state.bars + 1.0
    close = bar.close
    fast = ema(state.fast, close, bars, params.fast)
    slow = ema(state.slow, close, bars, params.slow)
    day = float(bar.ts // DAY_MS)
    crosses = state.crosses if day == state.day else 0.0
    crossed = 0.0
    signal = NOTHING
    if bars > params.slow:
        if close < fast and close < slow:
            if state.close >= state.fast or state.close >= state.slow:
                crossed = 1.0
                crosses += 1.0
                if crosses <= params.crosses_per_day:
                    signal = ENTER
        else:
            signal = LEAVE
    return State(bars, fast, slow, close, day, crosses, crossed), signal


def ready(params: Params, state: State) -> bool:
    return state.bars > params.slow


def explain(params: Params, state: State, bar: Candle) -> list[Condition]:
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
    bars=601,
    params=Params(),
    state=State,
    start=start,
    step=step,
    ready=ready,
    explain=explain,
    exits={
        "BTCUSDT": _exits(0.01, 0.03, 0.01, 0.02),
        "ETHUSDT": _exits(0.015, 0.04, 0.02, 0.02),
        "SOLUSDT": _exits(0.015, 0.05, 0.02, 0.03),
        "*": _exits(0.015, 0.06, 0.02, 0.03),
    },
    sizing=Sizing(margin=0.05, margin_cap=0.07, leverage=10),
)
