"""The stochastic with a confirming timeframe: buys the turn out of a sold-out range.

K and D are those of the strategy's bars, c is the K of the confirming ones. Long, the first that
holds:

- strong 0.89: K crosses above D with K and c at most oversold
- extreme 0.85: K at most the extreme, c at most oversold, K above D
- moderate 0.72: K crosses above D at most 10 above oversold, c below 50
- momentum 0.58: K above D, between 50 and overbought and rising, c above 50
- weak 0.52: K above D, below 50 and rising, c below 50
- neutral 0.65 where K is within 10 and c within 15 of 50, else 0.45

Short is the mirror: 100 less each number, falling for rising. Oversold and overbought are 20 and
80, the extremes 10 and 90. K is smoothed over 3 bars.
"""

from array import array
from typing import NamedTuple

from engine.strategies.indicators import (
    Stochastic,
    stochastic,
    stochastic_bars,
    stochastic_cells,
)
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
    """Lengths in bars, the levels of K, and the confidence that turns a position."""

    stochastic_length: float = 14.0
    stochastic_smooth: float = 3.0
    stochastic_signal: float = 3.0
    stochastic_oversold: float = 20.0
    stochastic_overbought: float = 80.0
    stochastic_extreme_oversold: float = 10.0
    stochastic_extreme_overbought: float = 90.0
    reversal: float = 0.65


class State(NamedTuple):
    primary: Stochastic = Stochastic()
    confirming: Stochastic = Stochastic()
    opinion: Opinion = SILENT


OWN = (
    Parameter("stochastic_length", 14, 3, 100, 1, Unit.BARS, Tier.YELLOW, "bars of the range"),
    Parameter("stochastic_smooth", 3, 1, 20, 1, Unit.BARS, Tier.YELLOW, "smoothing of K"),
    Parameter("stochastic_signal", 3, 1, 20, 1, Unit.BARS, Tier.YELLOW, "length of D"),
    Parameter(
        "stochastic_oversold", 20, 10, 30, 5, Unit.LEVEL, Tier.YELLOW, "K of a sold-out market",
        riskier=1,
    ),
    Parameter(
        "stochastic_overbought", 80, 70, 90, 5, Unit.LEVEL, Tier.YELLOW, "K of a bought-up market",
        riskier=-1,
    ),
    Parameter(
        "stochastic_extreme_oversold", 10, 0, 10, 1, Unit.LEVEL, Tier.YELLOW,
        "K of an extreme long",
    ),
    Parameter(
        "stochastic_extreme_overbought", 90, 90, 100, 1, Unit.LEVEL, Tier.YELLOW,
        "K of an extreme short",
    ),
)  # fmt: skip
CONFIDENCES = (0.89, 0.85, 0.72, 0.58, 0.52)


def needed(params: Params) -> float:
    """Bars of each timeframe: one more than the stochastic takes, for the one before."""
    length, smooth, signal = (
        params.stochastic_length,
        params.stochastic_smooth,
        params.stochastic_signal,
    )
    return stochastic_bars(length, smooth, signal) + 1.0


def piece(params: Params) -> int:
    """Cells of the window that one of the two timeframes takes."""
    return stochastic_cells(
        params.stochastic_length, params.stochastic_smooth, params.stochastic_signal
    )


def cells(params: Params) -> int:
    return 2 * piece(params)


def level(
    k: float,
    d: float,
    k_before: float,
    d_before: float,
    confirming: float,
    extreme: float,
    oversold: float,
    overbought: float,
) -> float:
    """The level of a long that is met, 1 to 5, or 0; a short hands in the mirror image."""
    if k <= d:
        return 0.0
    crossed = k_before <= d_before
    if crossed and k <= oversold and confirming <= oversold:
        return 1.0
    if k <= extreme and confirming <= oversold:
        return 2.0
    if crossed and k <= oversold + 10.0 and confirming < 50.0:
        return 3.0
    if k <= k_before:
        return 0.0
    if 50.0 < k < overbought and confirming > 50.0:
        return 4.0
    if k < 50.0 and confirming < 50.0:
        return 5.0
    return 0.0


def opinion(
    params: Params, state: State, window: Window, at: int, bar: Bar
) -> tuple[State, Opinion]:
    length, smooth, signal = (
        params.stochastic_length,
        params.stochastic_smooth,
        params.stochastic_signal,
    )
    primary = stochastic(
        state.primary, window, at, bar.high, bar.low, bar.close, length, smooth, signal
    )
    confirming = state.confirming
    if bar.higher_closed > 0.0:
        confirming = stochastic(
            confirming,
            window,
            at + piece(params),
            bar.higher_high,
            bar.higher_low,
            bar.higher_close,
            length,
            smooth,
            signal,
        )
    said = SILENT
    if is_warm(primary.bars, confirming.bars, needed(params)):
        said = judged(
            long_level(params, primary, confirming.k),
            short_level(params, primary, confirming.k),
            abs(primary.k - 50.0) < 10.0 and abs(confirming.k - 50.0) < 15.0,
            CONFIDENCES,
        )
    return State(primary, confirming, said), said


def long_level(params: Params, primary: Stochastic, confirming: float) -> float:
    return level(
        primary.k,
        primary.d,
        primary.previous_k,
        primary.previous_d,
        confirming,
        params.stochastic_extreme_oversold,
        params.stochastic_oversold,
        params.stochastic_overbought,
    )


def short_level(params: Params, primary: Stochastic, confirming: float) -> float:
    return level(
        100.0 - primary.k,
        100.0 - primary.d,
        100.0 - primary.previous_k,
        100.0 - primary.previous_d,
        100.0 - confirming,
        100.0 - params.stochastic_extreme_overbought,
        100.0 - params.stochastic_overbought,
        100.0 - params.stochastic_oversold,
    )


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * cells(params)))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    state, said = opinion(params, state, window, 0, bar)
    return state, signal_of(said, params.reversal)


def bars(params: Params) -> int:
    return int(warm_up(needed(params)))


def levels(params: Params) -> tuple[Level, ...]:
    oversold, overbought = params.stochastic_oversold, params.stochastic_overbought
    return (
        Level("strong", f"K crosses above D, K and confirming up to {oversold:g}"),
        Level(
            "extreme",
            f"K up to {params.stochastic_extreme_oversold:g} and above D, confirming up to"
            f" {oversold:g}",
        ),
        Level("moderate", f"K crosses above D up to {oversold + 10:g}, confirming below 50"),
        Level("momentum", f"K above D, between 50 and {overbought:g}, rising, confirming above 50"),
        Level("weak", "K above D, below 50, rising, confirming below 50"),
    )


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    primary, confirming = state.primary, state.confirming
    return [
        counted(primary.bars, confirming.bars, needed(params)),
        Condition(
            "K above D",
            primary.k > primary.d,
            f"K {primary.k:.1f} after {primary.previous_k:.1f}, D {primary.d:.1f} after"
            f" {primary.previous_d:.1f}, confirming {confirming.k:.1f}",
        ),
        *tabled(state.opinion, levels(params), CONFIDENCES),
    ]


STRATEGY = Strategy(
    name="stochastic",
    summary="The stochastic on two timeframes: buys the turn out of a sold-out range; both sides",
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
