"""Dip: buys what has fallen far below its average while the longer trend still points up.

Hourly bars, long only. The close is `depth` or more below its SMA, and above its EMA of `trend`
bars: buy. The close is back at the SMA: leave. docs/strategies.md goes through this file.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.indicators import Sma, ema, sma
from engine.strategies.kernel import (
    LONG_ENTRY,
    LONG_EXIT,
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
    """Two lengths in bars, and how far below the average is a dip, as a fraction."""

    length: float = 24.0
    trend: float = 200.0
    depth: float = 0.02


class State(NamedTuple):
    """The short average, and the long one."""

    average: Sma = Sma()
    trend: float = 0.0


PARAMETERS = (
    Parameter("length", 24, 5, 200, 1, Unit.BARS, Tier.YELLOW, "length of the average"),
    Parameter("trend", 200, 50, 1000, 1, Unit.BARS, Tier.YELLOW, "length of the trend's average"),
    Parameter("depth", 0.02, 0.005, 0.2, 0.001, Unit.FRACTION, Tier.YELLOW, "how far is a dip"),
)

BUY = Signal(1.0, 0.0, 0.0, LONG_ENTRY, 1.0, 0.0, 0.0, 0.0)
LEAVE = Signal(0.0, 1.0, 0.0, LONG_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    return int(max(params.length, params.trend)) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * int(params.length)))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    average = sma(state.average, window, 0, bar.close, params.length)
    trend = ema(state.trend, bar.close, average.bars, params.trend)
    state = State(average, trend)
    if average.bars < bars(params):
        return state, NOTHING
    if bar.close >= average.value:
        return state, LEAVE
    if bar.close > trend and bar.close <= average.value * (1.0 - params.depth):
        return state, BUY
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    dip = state.average.value * (1.0 - params.depth)
    return [
        Condition(
            f"{params.depth:.1%} below SMA {params.length:.0f}",
            bar.close <= dip,
            f"{bar.close:g} vs {dip:.6g}",
        ),
        Condition(
            f"above EMA {params.trend:.0f}",
            bar.close > state.trend,
            f"{bar.close:g} vs {state.trend:.6g}",
        ),
    ]


STRATEGY = Strategy(
    name="dip",
    summary="Buys a dip below SMA 24 while above EMA 200, leaves at the SMA",
    timeframe=TIMEFRAMES["1h"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.03, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=Sizing(margin=0.2, margin_cap=0.2, leverage=1),
)
