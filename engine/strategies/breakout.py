"""Breakout: follows a close out of the range of the last 50 bars.

Fifteen-minute bars, both sides. The range is the highest and lowest price of the 50 bars before
this one; a close more than 10 pips beyond it is the entry, to that side. With the volume filter
(off unless asked for) the bar must have traded 1.5 times the mean of its last 50 bars or more,
itself among them. A break that comes all the way back was none: the stop lies 5 pips beyond the
range's other side. There is no target; else only the break to the other side ends a position.
A pip is 1/10,000 of the price.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.forex import SIZING
from engine.strategies.indicators import Extremes, RelativeVolume, extremes, relative_volume
from engine.strategies.kernel import (
    LONG_ENTRY,
    NOTHING,
    SHORT_ENTRY,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit


class Params(NamedTuple):
    """The length in bars; threshold and buffer as fractions of the price; the volume filter is on
    at 1, its ratio a multiple of the mean."""

    lookback: float = 50.0
    threshold: float = 0.0010
    stop_buffer: float = 0.0005
    volume_filter: float = 0.0
    volume_ratio: float = 1.5


class State(NamedTuple):
    """Bars seen, the range before the last bar and with it, and the relative volume."""

    bars: float = 0.0
    before: Extremes = Extremes()
    range: Extremes = Extremes()
    volume: RelativeVolume = RelativeVolume()


PARAMETERS = (
    Parameter("lookback", 50, 5, 500, 1, Unit.BARS, Tier.YELLOW, "bars the range is made of"),
    Parameter(
        "threshold", 0.001, 0, 0.05, 0.0001, Unit.FRACTION, Tier.GREEN,
        "how far beyond the range a close breaks it", riskier=-1,
    ),
    Parameter(
        "stop_buffer", 0.0005, 0, 0.05, 0.0001, Unit.FRACTION, Tier.YELLOW,
        "how far beyond the other side the stop lies", riskier=1,
    ),
    Parameter(
        "volume_filter", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether a break needs volume", ("off", "on"), cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
    Parameter(
        "volume_ratio", 1.5, 1, 2, 0.1, Unit.RATIO, Tier.GREEN, "volume as a multiple of its mean",
        riskier=-1,
    ),
)  # fmt: skip


def bars(params: Params) -> int:
    return int(params.lookback) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * 3 * int(params.lookback)))


def is_busy(params: Params, state: State) -> bool:
    return params.volume_filter == 0.0 or state.volume.value >= params.volume_ratio


def side_of(params: Params, state: State, close: float) -> float:
    threshold = params.threshold * close
    if close > state.before.highest + threshold:
        return 1.0
    return -1.0 if close < state.before.lowest - threshold else 0.0


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    volumes = 2 * int(params.lookback)
    state = State(
        state.bars + 1.0,
        state.range,
        extremes(state.range, window, 0, bar.high, bar.low, params.lookback),
        relative_volume(state.volume, window, volumes, bar.volume, params.lookback),
    )
    if state.bars < bars(params) or not is_busy(params, state):
        return state, NOTHING
    side = side_of(params, state, bar.close)
    buffer = params.stop_buffer * bar.close
    if side > 0.0:
        stop = bar.close - state.before.lowest + buffer
        return state, Signal(1.0, 0.0, 1.0, LONG_ENTRY, 1.0, stop, 0.0, 0.0)
    if side < 0.0:
        stop = state.before.highest - bar.close + buffer
        return state, Signal(-1.0, 1.0, 0.0, SHORT_ENTRY, 1.0, stop, 0.0, 0.0)
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    before = state.before
    conditions = [
        Condition(
            f"close {params.threshold:.2%} beyond {params.lookback:.0f} bars",
            side_of(params, state, bar.close) != 0.0,
            f"{bar.close:g} vs {before.lowest:g} to {before.highest:g}",
        )
    ]
    if params.volume_filter:
        conditions.append(
            Condition(
                f"volume {params.volume_ratio:g} times its mean",
                is_busy(params, state),
                f"{state.volume.value:.2f} times",
            )
        )
    return conditions


STRATEGY = Strategy(
    name="breakout",
    summary="Breakout: follows a close out of the range of 50 bars",
    timeframe=TIMEFRAMES["15m"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
