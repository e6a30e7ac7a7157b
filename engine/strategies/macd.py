"""MACD with a confirming timeframe: follows a line that crosses its signal.

p is the histogram (line less signal) of the strategy's bars, c that of the confirming ones; each
is held against a threshold that is a fraction of the price, so that one number serves every
market. Long, the first that holds:

- strong 0.89: the line crosses above its signal, c above the threshold and rising
- moderate 0.71: the line crosses above and c rises; or both above the threshold and rising
- weak 0.55: the line above its signal, p above 1.1 times the one before, c not below 0
- neutral 0.65 where p is within the threshold and c within twice of it, else 0.45

Short is the mirror: below for above, falling for rising.
"""

from array import array
from typing import NamedTuple

from engine.strategies.indicators import Macd, macd, macd_bars
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
    """Lengths in bars, the threshold as a fraction of the price, and the confidence that turns
    a position."""

    macd_fast: float = 12.0
    macd_slow: float = 26.0
    macd_signal: float = 9.0
    macd_threshold: float = 0.001
    reversal: float = 0.65


class State(NamedTuple):
    primary: Macd = Macd()
    confirming: Macd = Macd()
    opinion: Opinion = SILENT


OWN = (
    Parameter("macd_fast", 12, 2, 20, 1, Unit.BARS, Tier.YELLOW, "length of the fast average"),
    Parameter("macd_slow", 26, 21, 100, 1, Unit.BARS, Tier.YELLOW, "length of the slow average"),
    Parameter("macd_signal", 9, 2, 50, 1, Unit.BARS, Tier.YELLOW, "length of the signal line"),
    Parameter(
        "macd_threshold", 0.001, 0, 0.01, 0.0001, Unit.FRACTION, Tier.GREEN,
        "histogram that counts, as a share of the price", riskier=-1,
    ),
)  # fmt: skip
CONFIDENCES = (0.89, 0.71, 0.55)


def needed(params: Params) -> float:
    """Bars of each timeframe: one more than the MACD takes, for the one before."""
    return macd_bars(params.macd_slow, params.macd_signal) + 1.0


def level(
    now: float,
    before: float,
    confirming: float,
    confirming_before: float,
    limit: float,
    confirming_limit: float,
) -> float:
    """The level of a long that is met, 1 to 3, or 0; a short hands in the negatives."""
    # A cross is a rise, and so is what stands above 0 and above 1.1 times the one before.
    crossed = before <= 0.0 < now
    rising = now > before
    confirming_rises = confirming > confirming_before
    if crossed and confirming_rises and confirming > confirming_limit:
        return 1.0
    if crossed and confirming_rises:
        return 2.0
    if now > limit and confirming > confirming_limit and rising and confirming_rises:
        return 2.0
    if now > 0.0 and now > 1.1 * before and confirming >= 0.0:
        return 3.0
    return 0.0


def opinion(
    params: Params, state: State, window: Window, at: int, bar: Bar
) -> tuple[State, Opinion]:
    fast, slow, signal = params.macd_fast, params.macd_slow, params.macd_signal
    primary = macd(state.primary, bar.close, fast, slow, signal)
    confirming = state.confirming
    if bar.higher_closed > 0.0:
        confirming = macd(confirming, bar.higher_close, fast, slow, signal)
    said = SILENT
    if is_warm(primary.bars, confirming.bars, needed(params)):
        limit = params.macd_threshold * bar.close
        confirming_limit = params.macd_threshold * bar.higher_close
        long = level(
            primary.histogram,
            primary.previous_histogram,
            confirming.histogram,
            confirming.previous_histogram,
            limit,
            confirming_limit,
        )
        short = level(
            -primary.histogram,
            -primary.previous_histogram,
            -confirming.histogram,
            -confirming.previous_histogram,
            limit,
            confirming_limit,
        )
        calm = abs(primary.histogram) < limit and abs(confirming.histogram) < 2.0 * confirming_limit
        said = judged(long, short, calm, CONFIDENCES)
    return State(primary, confirming, said), said


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    state, said = opinion(params, state, window, 0, bar)
    return state, signal_of(said, params.reversal)


def bars(params: Params) -> int:
    return int(warm_up(needed(params)))


LEVELS = (
    Level("strong", "line crosses above its signal, confirming above the threshold and rising"),
    Level("moderate", "line crosses above and confirming rises, or both above it and rising"),
    Level("weak", "line above its signal and 1.1 times as far as before, confirming not below 0"),
)


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    primary, confirming = state.primary, state.confirming
    limit = params.macd_threshold * bar.close
    return [
        counted(primary.bars, confirming.bars, needed(params)),
        Condition(
            f"MACD {params.macd_fast:g}/{params.macd_slow:g}/{params.macd_signal:g} away from 0",
            abs(primary.histogram) >= limit,
            f"histogram {primary.histogram:.4g} after {primary.previous_histogram:.4g}, confirming"
            f" {confirming.histogram:.4g} after {confirming.previous_histogram:.4g}, threshold"
            f" {limit:.4g}",
        ),
        *tabled(state.opinion, LEVELS, CONFIDENCES),
    ]


STRATEGY = Strategy(
    name="macd",
    summary="MACD on two timeframes: follows a line that crosses its signal; both sides",
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
