"""A strategy that buys when the close crosses its average from below, and may hold for good."""

from array import array
from pathlib import Path
from typing import NamedTuple

from engine.candle import DAY_MS
from engine.strategies.exits import Exits
from engine.strategies.indicators import Sma, sma
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

SOURCE = Path(__file__)


class Params(NamedTuple):
    length: float = 15.0
    holds: float = 0.0


class State(NamedTuple):
    average: Sma = Sma()
    above: float = 0.0


BUY = Signal(1.0, 0.0, 0.0, LONG_ENTRY, 1.0, 0.0, 0.0, 0.0)
LEAVE = Signal(0.0, 1.0, 0.0, LONG_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    return int(params.length) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * int(params.length)))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    average = sma(state.average, window, 0, bar.close, params.length)
    before, above = state.above, bar.close - average.value
    state = State(average, above)
    if average.bars < bars(params):
        return state, NOTHING
    if before < 0.0 < above:
        return state, BUY
    if before > 0.0 > above and params.holds == 0.0:
        return state, LEAVE
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    return []


CROSS = Strategy(
    name="cross",
    summary="buys above the average",
    timeframe=DAY_MS,
    params=Params(),
    parameters=(
        Parameter("length", 15, 2, 100, 1, Unit.BARS, Tier.YELLOW, "length of the average"),
        Parameter("holds", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW, "never leaves", ("no", "yes")),
    ),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0, 0.0, 0.0, 0.0, 0, 0)},
    sizing=Sizing(margin=0.05, margin_cap=1.0, leverage=1),
)
