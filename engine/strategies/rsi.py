"""RSI with a confirming timeframe: buys what was sold too far, and follows momentum.

p is the RSI of the strategy's bars, c that of the confirming ones. Long, the first that holds:

- strong 0.87: p at most the extreme, c at most oversold and not falling
- moderate 0.73: p at most oversold and rising, c below 50
- momentum 0.60: p above 55 and below overbought, rising, c between 50 and 75
- weak 0.51: p above oversold and below 50, rising, c below 50
- neutral 0.65 where p is within 10 and c within 15 of 50, else 0.45

Short is the mirror: 100 less each number, falling for rising. Oversold and overbought are 30 and
70, the extremes 20 and 80.
"""

from array import array
from typing import NamedTuple

from engine.strategies.indicators import Rsi, rsi
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
    """The length in bars, the levels of the RSI, and the confidence that turns a position."""

    rsi_length: float = 14.0
    rsi_oversold: float = 30.0
    rsi_overbought: float = 70.0
    rsi_extreme_oversold: float = 20.0
    rsi_extreme_overbought: float = 80.0
    reversal: float = 0.65


class State(NamedTuple):
    primary: Rsi = Rsi()
    confirming: Rsi = Rsi()
    opinion: Opinion = SILENT


OWN = (
    Parameter("rsi_length", 14, 2, 100, 1, Unit.BARS, Tier.YELLOW, "length of the RSI"),
    Parameter(
        "rsi_oversold", 30, 20, 40, 1, Unit.LEVEL, Tier.GREEN, "RSI of a sold-out market", riskier=1
    ),
    Parameter(
        "rsi_overbought", 70, 60, 80, 1, Unit.LEVEL, Tier.GREEN, "RSI of a bought-up market",
        riskier=-1,
    ),
    Parameter("rsi_extreme_oversold", 20, 5, 20, 1, Unit.LEVEL, Tier.GREEN, "RSI of a strong long"),
    Parameter(
        "rsi_extreme_overbought", 80, 80, 95, 1, Unit.LEVEL, Tier.GREEN, "RSI of a strong short"
    ),
)  # fmt: skip
CONFIDENCES = (0.87, 0.73, 0.60, 0.51)


def needed(params: Params) -> float:
    """Bars of each timeframe: one more than the RSI takes, for the one before."""
    return params.rsi_length + 2.0


def level(
    now: float,
    before: float,
    confirming: float,
    confirming_before: float,
    extreme: float,
    oversold: float,
    overbought: float,
) -> float:
    """The level of a long that is met, 1 to 4, or 0; a short hands in the mirror image."""
    if now <= extreme and confirming <= oversold and confirming >= confirming_before:
        return 1.0
    if now <= before:
        return 0.0
    if now <= oversold and confirming < 50.0:
        return 2.0
    if 55.0 < now < overbought and 50.0 < confirming < 75.0:
        return 3.0
    # Not below oversold: that would have been moderate.
    if now < 50.0 and confirming < 50.0:
        return 4.0
    return 0.0


def opinion(
    params: Params, state: State, window: Window, at: int, bar: Bar
) -> tuple[State, Opinion]:
    primary = rsi(state.primary, bar.close, params.rsi_length)
    confirming = state.confirming
    if bar.higher_closed > 0.0:
        confirming = rsi(confirming, bar.higher_close, params.rsi_length)
    said = SILENT
    if is_warm(primary.bars, confirming.bars, needed(params)):
        long = level(
            primary.value,
            primary.previous,
            confirming.value,
            confirming.previous,
            params.rsi_extreme_oversold,
            params.rsi_oversold,
            params.rsi_overbought,
        )
        short = level(
            100.0 - primary.value,
            100.0 - primary.previous,
            100.0 - confirming.value,
            100.0 - confirming.previous,
            100.0 - params.rsi_extreme_overbought,
            100.0 - params.rsi_overbought,
            100.0 - params.rsi_oversold,
        )
        calm = abs(primary.value - 50.0) < 10.0 and abs(confirming.value - 50.0) < 15.0
        said = judged(long, short, calm, CONFIDENCES)
    return State(primary, confirming, said), said


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    state, said = opinion(params, state, window, 0, bar)
    return state, signal_of(said, params.reversal)


def bars(params: Params) -> int:
    return int(warm_up(needed(params)))


def levels(params: Params) -> tuple[Level, ...]:
    return (
        Level(
            "strong",
            f"RSI up to {params.rsi_extreme_oversold:g}, confirming up to"
            f" {params.rsi_oversold:g} and not falling",
        ),
        Level("moderate", f"RSI up to {params.rsi_oversold:g} and rising, confirming below 50"),
        Level(
            "momentum",
            f"RSI between 55 and {params.rsi_overbought:g} and rising, confirming 50 to 75",
        ),
        Level(
            "weak", f"RSI between {params.rsi_oversold:g} and 50 and rising, confirming below 50"
        ),
    )


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    primary, confirming = state.primary, state.confirming
    return [
        counted(primary.bars, confirming.bars, needed(params)),
        Condition(
            f"RSI {params.rsi_length:g} away from 50",
            abs(primary.value - 50.0) >= 10.0,
            f"{primary.value:.1f} after {primary.previous:.1f}, confirming"
            f" {confirming.value:.1f} after {confirming.previous:.1f}",
        ),
        *tabled(state.opinion, levels(params), CONFIDENCES),
    ]


STRATEGY = Strategy(
    name="rsi",
    summary="RSI on two timeframes: buys what was sold too far, follows momentum; both sides",
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
