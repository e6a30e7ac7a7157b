"""ADX: goes with a strong trend, leaves when it is weak.

Hourly bars. While ADX(14) is over 25 the trend has the direction of the larger of +DI and -DI;
that a trend begins, or turns, is the entry. A falling trend is sold only where shorts are on
(they are off unless asked for); else it ends a long position. An ADX under 20 ends the trend and
any position; between 20 and 25 all stays as it was. The stop is 2 % away.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL, SIZING
from engine.strategies.indicators import Adx, adx, adx_bars
from engine.strategies.kernel import (
    LONG_EXIT,
    NOTHING,
    SHORT_EXIT,
    SIGNAL_REVERSAL,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit


class Params(NamedTuple):
    """The length in bars; the two levels of the ADX, 0 to 100; shorts are on at 1."""

    length: float = 14.0
    strong: float = 25.0
    weak: float = 20.0
    shorts: float = 0.0


class State(NamedTuple):
    """The index, the direction of the last strong trend, whether it lasts and whether the last
    bar began it."""

    adx: Adx = Adx()
    trend: float = 0.0
    lasts: float = 0.0
    began: float = 0.0


PARAMETERS = (
    Parameter("length", 14, 2, 100, 1, Unit.BARS, Tier.YELLOW, "length of the ADX"),
    Parameter(
        "strong", 25, 20, 50, 1, Unit.LEVEL, Tier.GREEN, "ADX over it: a strong trend", riskier=-1
    ),
    Parameter("weak", 20, 5, 30, 1, Unit.LEVEL, Tier.GREEN, "ADX under it: no trend"),
    Parameter(
        "shorts", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether falling trends are sold", ("off", "on"), cooldown_ms=SWITCH_COOLDOWN_MS, riskier=1,
    ),
)  # fmt: skip

TURNED = Signal(0.0, 1.0, 0.0, SIGNAL_REVERSAL, 1.0, 0.0, 0.0, 0.0)
LEAVE_LONG = Signal(0.0, 1.0, 1.0, LONG_EXIT, 1.0, 0.0, 0.0, 0.0)
LEAVE_SHORT = Signal(0.0, 1.0, 1.0, SHORT_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    return int(adx_bars(params.length))


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def direction_of(params: Params, index: Adx) -> float:
    """The direction of a strong trend, 0 while there is none."""
    if index.value <= params.strong or index.plus == index.minus:
        return 0.0
    return 1.0 if index.plus > index.minus else -1.0


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    index = adx(state.adx, bar.high, bar.low, bar.close, params.length)
    if index.bars < bars(params):
        return State(index, 0.0, 0.0, 0.0), NOTHING
    if index.value < params.weak:
        leave = LEAVE_SHORT if state.trend < 0.0 else LEAVE_LONG
        return State(index, state.trend, 0.0, 0.0), leave
    direction = direction_of(params, index)
    if direction == 0.0 or (state.lasts > 0.0 and direction == state.trend):
        return State(index, state.trend, state.lasts, 0.0), NOTHING
    begun = State(index, direction, 1.0, 1.0)
    if direction > 0.0:
        return begun, BUY
    return begun, SELL if params.shorts > 0.0 else TURNED


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    index = state.adx
    falling = index.minus > index.plus
    return [
        Condition(
            f"ADX over {params.strong:.0f}",
            index.value > params.strong,
            f"{index.value:.1f}, leaves under {params.weak:.0f}",
        ),
        Condition(
            "direction may be traded",
            not falling or params.shorts > 0.0,
            f"+DI {index.plus:.1f}, -DI {index.minus:.1f}, "
            f"shorts {'on' if params.shorts else 'off'}",
        ),
        Condition(
            "trend begins on this bar",
            state.began > 0.0,
            "just now" if state.began else "lasts" if state.lasts else "no trend",
        ),
    ]


STRATEGY = Strategy(
    name="adx",
    summary="ADX: goes with a strong trend, leaves a weak one",
    timeframe=TIMEFRAMES["1h"],
    params=Params(),
    parameters=PARAMETERS,
    ordered=(("weak", "strong"),),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.02, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
