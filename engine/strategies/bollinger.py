"""Bollinger's bands with a confirming timeframe: breakouts from a squeeze, returns to the middle.

p and c are where the close stands between the bands (0 lower, 1 upper) of the strategy's and of
the confirming bars. The bands are squeezed while they are narrower than a share of their middle,
and expand while wider than 1.05 times the bar before. Long, the first that holds:

- squeeze breakout 0.87: either is squeezed, p expands, the close above the upper band, c above 0.5
- mean reversion 0.73: p at most 0.1, c below 0.3, not expanding
- trend continuation 0.65: p above 0.65, c above 0.55, expanding
- moderate 0.58: p below 0.35, the close above the middle of the confirming bands
- neutral 0.65 where both are squeezed, or p is from 0.4 to 0.6 and narrower than the bar before;
  else 0.45

Short is the mirror: 1 less each position, below for above.
"""

from array import array
from typing import NamedTuple

from engine.strategies.indicators import Bollinger, bollinger
from engine.strategies.kernel import Bar, Condition, Signal, Strategy, Window
from engine.strategies.opinion import (
    CONFIRMING_FRAME,
    EXITS,
    PAIRS,
    PIPELINE,
    REVERSAL,
    SHORT_FRAME,
    SILENT,
    SIZING,
    Level,
    Opinion,
    counted,
    is_warm,
    judged,
    signal_of,
    tabled,
    warm_up,
)
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """The length in bars, the bands' distance in deviations, the bandwidth of a squeeze as a
    fraction of the middle, and the confidence that turns a position."""

    bollinger_length: float = 20.0
    bollinger_sigmas: float = 2.0
    bollinger_squeeze: float = 0.02
    reversal: float = 0.65


class State(NamedTuple):
    primary: Bollinger = Bollinger()
    confirming: Bollinger = Bollinger()
    opinion: Opinion = SILENT


OWN = (
    Parameter("bollinger_length", 20, 5, 100, 1, Unit.BARS, Tier.YELLOW, "length of the bands"),
    Parameter(
        "bollinger_sigmas", 2, 1, 4, 0.1, Unit.RATIO, Tier.YELLOW, "distance of the bands in sigma"
    ),
    Parameter(
        "bollinger_squeeze", 0.02, 0.001, 0.1, 0.001, Unit.FRACTION, Tier.GREEN,
        "bandwidth below which the bands are squeezed",
    ),
)  # fmt: skip
CONFIDENCES = (0.87, 0.73, 0.65, 0.58)
EXPANSION = 1.05


def needed(params: Params) -> float:
    """Bars of each timeframe: one more than the bands take, for the width before."""
    return params.bollinger_length + 1.0


def cells(params: Params) -> int:
    return 2 * int(params.bollinger_length)


def level(
    position: float, confirming: float, squeezed: bool, expanding: bool, past_middle: bool
) -> float:
    """The level of a long that is met, 1 to 4, or 0; a short hands in the mirror image."""
    if squeezed and expanding and position > 1.0 and confirming > 0.5:
        return 1.0
    if position <= 0.1 and confirming < 0.3 and not expanding:
        return 2.0
    if position > 0.65 and confirming > 0.55 and expanding:
        return 3.0
    if position < 0.35 and past_middle:
        return 4.0
    return 0.0


def opinion(
    params: Params, state: State, window: Window, at: int, bar: Bar
) -> tuple[State, Opinion]:
    length, sigmas, squeeze = (
        params.bollinger_length,
        params.bollinger_sigmas,
        params.bollinger_squeeze,
    )
    primary = bollinger(state.primary, window, at, bar.close, length, sigmas)
    confirming = state.confirming
    if bar.higher_closed > 0.0:
        further = at + int(length)
        confirming = bollinger(confirming, window, further, bar.higher_close, length, sigmas)
    said = SILENT
    if is_warm(primary.bars, confirming.bars, needed(params)):
        tight = primary.bandwidth < squeeze
        confirming_tight = confirming.bandwidth < squeeze
        squeezed = tight or confirming_tight
        expanding = primary.bandwidth > EXPANSION * primary.previous_bandwidth
        position, other = primary.position, confirming.position
        long = level(position, other, squeezed, expanding, bar.close > confirming.middle)
        short = level(
            1.0 - position, 1.0 - other, squeezed, expanding, bar.close < confirming.middle
        )
        narrower = primary.bandwidth < primary.previous_bandwidth
        calm = (tight and confirming_tight) or (0.4 <= position <= 0.6 and narrower)
        said = judged(long, short, calm, CONFIDENCES)
    return State(primary, confirming, said), said


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * cells(params)))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    state, said = opinion(params, state, window, 0, bar)
    return state, signal_of(said, params.reversal)


def bars(params: Params) -> int:
    return int(warm_up(needed(params)))


LEVELS = (
    Level("squeeze breakout", "squeezed, expanding, above the upper band, confirming above 0.5"),
    Level("mean reversion", "position up to 0.1, confirming below 0.3, not expanding"),
    Level("trend continuation", "position above 0.65, confirming above 0.55, expanding"),
    Level("moderate", "position below 0.35, close above the confirming middle"),
)


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    primary, confirming = state.primary, state.confirming
    squeeze = params.bollinger_squeeze
    before = primary.previous_bandwidth
    return [
        counted(primary.bars, confirming.bars, needed(params)),
        Condition(
            f"squeezed below {squeeze:.2%}",
            primary.bandwidth < squeeze or confirming.bandwidth < squeeze,
            f"{primary.bandwidth:.2%}, confirming {confirming.bandwidth:.2%}",
        ),
        Condition(
            "expanding", primary.bandwidth > EXPANSION * before, f"{before:.2%} the bar before"
        ),
        Condition(
            "outside the bands",
            not 0.0 <= primary.position <= 1.0,
            f"position {primary.position:.2f}, confirming {confirming.position:.2f}, middle"
            f" {confirming.middle:.6g}",
        ),
        *tabled(state.opinion, LEVELS, CONFIDENCES),
    ]


STRATEGY = Strategy(
    name="bollinger",
    summary="Bollinger's bands on two timeframes: squeezes, returns and trends; both sides",
    timeframe=SHORT_FRAME,
    higher=CONFIRMING_FRAME,
    pairs=PAIRS,
    params=Params(),
    parameters=(*OWN, REVERSAL),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits=EXITS,
    sizing=SIZING,
    pipeline=PIPELINE,
)
