"""Mean reversion: trades from a Bollinger band back to the middle.

Fifteen-minute bars, both sides, bands of 20 bars and two deviations. A close at or below the
lower band buys and one at or above the upper band sells, where the close before lay between the
bands: after a stop there is no second try until the price has been back inside. A close beyond
the middle ends a position. The stop is 10 pips away, there is no target. A pip is 1/10,000 of the
price.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL, SIZING
from engine.strategies.indicators import Bollinger, bollinger
from engine.strategies.kernel import (
    LONG_EXIT,
    NOTHING,
    SHORT_EXIT,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """The length in bars, the distance of the bands in standard deviations."""

    length: float = 20.0
    sigmas: float = 2.0


class State(NamedTuple):
    """The bands, and where the close before the last one lay between them (0 to 1)."""

    bands: Bollinger = Bollinger()
    before: float = 0.5


PARAMETERS = (
    Parameter("length", 20, 5, 200, 1, Unit.BARS, Tier.YELLOW, "length of the bands"),
    Parameter("sigmas", 2, 0.5, 4, 0.1, Unit.RATIO, Tier.GREEN, "deviations to each band"),
)

LEAVE_LONG = Signal(0.0, 1.0, 0.0, LONG_EXIT, 1.0, 0.0, 0.0, 0.0)
LEAVE_SHORT = Signal(0.0, 0.0, 1.0, SHORT_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    return int(params.length) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * int(params.length)))


def side_of(position: float, before: float) -> float:
    """The side to take when the close came from inside the bands to one of them."""
    if before <= 0.0 or before >= 1.0:
        return 0.0
    if position <= 0.0:
        return 1.0
    return -1.0 if position >= 1.0 else 0.0


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    bands = bollinger(state.bands, window, 0, bar.close, params.length, params.sigmas)
    state = State(bands, state.bands.position)
    if bands.bars < bars(params):
        return state, NOTHING
    side = side_of(bands.position, state.before)
    if side > 0.0:
        return state, BUY
    if side < 0.0:
        return state, SELL
    if bar.close > bands.middle:
        return state, LEAVE_LONG
    if bar.close < bands.middle:
        return state, LEAVE_SHORT
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    bands = state.bands
    return [
        Condition(
            "close at a band",
            bands.position <= 0.0 or bands.position >= 1.0,
            f"{bar.close:g} vs {bands.lower:.6g} and {bands.upper:.6g}, middle {bands.middle:.6g}",
        ),
        Condition(
            "the close before between them",
            0.0 < state.before < 1.0,
            f"at {state.before:.0%} of the width",
        ),
    ]


STRATEGY = Strategy(
    name="meanreversion",
    summary="Mean reversion: trades from a Bollinger band back to the middle",
    timeframe=TIMEFRAMES["15m"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0010, 0.0, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
