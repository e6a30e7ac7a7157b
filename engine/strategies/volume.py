"""Volume: follows a bar of much volume away from the price where most was traded.

Volume is a multiple of its mean over 20 bars, the bar itself among them. The bull share is the
part of the last 10 bars' volume that was traded in rising bars; bars that closed where they
opened are left out. The point of control is that of the last 50 bars. Long, the first that holds:

- strong 0.91: volume at least 2, share at least 0.7, the close above the point of control
- moderate 0.71: volume at least 1.5 and share at least 0.6; or the close above the point of
  control by at most 2 % and share at least 0.65
- weak 0.51: share at least 0.55, volume above 1.2
- neutral 0.65 where volume is below 0.8, else 0.45

Short is the mirror: 1 less each share, below for above. It looks at one timeframe only.
"""

from array import array
from typing import NamedTuple

from engine.strategies.indicators import (
    BullVolume,
    Profile,
    RelativeVolume,
    bull_volume,
    profile,
    profile_cells,
    relative_volume,
)
from engine.strategies.kernel import Bar, Condition, Signal, Strategy, Window
from engine.strategies.opinion import (
    BARS_MIN,
    EXITS,
    PAIRS,
    PIPELINE,
    REVERSAL,
    SHORT_FRAME,
    SILENT,
    SIZING,
    Level,
    Opinion,
    judged,
    signal_of,
    tabled,
)
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """Lengths in bars, the spike as a multiple of the mean, and the confidence that turns a
    position."""

    volume_length: float = 20.0
    volume_spike: float = 2.0
    volume_bull_length: float = 10.0
    volume_profile_length: float = 50.0
    reversal: float = 0.65


class State(NamedTuple):
    relative: RelativeVolume = RelativeVolume()
    bulls: BullVolume = BullVolume()
    profile: Profile = Profile()
    opinion: Opinion = SILENT


OWN = (
    Parameter("volume_length", 20, 5, 200, 1, Unit.BARS, Tier.YELLOW, "length of the mean volume"),
    Parameter(
        "volume_spike", 2, 1.5, 5, 0.1, Unit.RATIO, Tier.GREEN, "volume of a strong signal in means"
    ),
    Parameter(
        "volume_bull_length", 10, 3, 100, 1, Unit.BARS, Tier.YELLOW, "bars of the bull share"
    ),
    Parameter(
        "volume_profile_length", 50, 10, 200, 1, Unit.BARS, Tier.YELLOW,
        "bars of the volume profile",
    ),
)  # fmt: skip
CONFIDENCES = (0.91, 0.71, 0.51)
NEAR = 0.02


def needed(params: Params) -> float:
    longest = max(params.volume_length, params.volume_profile_length)
    return max(BARS_MIN, max(longest, params.volume_bull_length))


def cells(params: Params) -> int:
    shares = int(params.volume_length) + int(params.volume_bull_length)
    return shares + profile_cells(params.volume_profile_length)


def level(volume: float, share: float, past: bool, near: bool, spike: float) -> float:
    """The level of a long that is met, 1 to 3, or 0; a short hands in the mirror image."""
    if volume >= spike and share >= 0.7 and past:
        return 1.0
    if volume >= 1.5 and share >= 0.6:
        return 2.0
    if near and past and share >= 0.65:
        return 2.0
    if volume > 1.2 and share >= 0.55:
        return 3.0
    return 0.0


def opinion(
    params: Params, state: State, window: Window, at: int, bar: Bar
) -> tuple[State, Opinion]:
    relative = relative_volume(state.relative, window, at, bar.volume, params.volume_length)
    at += int(params.volume_length)
    moved = bar.volume if bar.close != bar.open else 0.0
    bulls = bull_volume(
        state.bulls, window, at, bar.open, bar.close, moved, params.volume_bull_length
    )
    at += int(params.volume_bull_length)
    traded = profile(
        state.profile,
        window,
        at,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        params.volume_profile_length,
    )
    said = SILENT
    if relative.bars >= needed(params):
        volume, spike = relative.value, params.volume_spike
        point = traded.point_of_control
        near = abs(bar.close - point) <= NEAR * point
        long = level(volume, bulls.value, bar.close > point, near, spike)
        short = level(volume, 1.0 - bulls.value, bar.close < point, near, spike)
        said = judged(long, short, volume < 0.8, CONFIDENCES)
    return State(relative, bulls, traded, said), said


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d", bytes(8 * cells(params)))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    state, said = opinion(params, state, window, 0, bar)
    return state, signal_of(said, params.reversal)


def bars(params: Params) -> int:
    return int(needed(params))


def levels(params: Params) -> tuple[Level, ...]:
    return (
        Level(
            "strong",
            f"volume from {params.volume_spike:g}, bull share from 0.7, above the point of control",
        ),
        Level(
            "moderate",
            "volume from 1.5 and share from 0.6, or above the point by up to 2% and share"
            " from 0.65",
        ),
        Level("weak", "volume above 1.2, share from 0.55"),
    )


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    volume, point = state.relative.value, state.profile.point_of_control
    return [
        Condition(
            "enough bars",
            state.relative.bars >= needed(params),
            f"{state.relative.bars:.0f} of {needed(params):.0f}",
        ),
        Condition(
            f"volume from {params.volume_spike:g} means",
            volume >= params.volume_spike,
            f"{volume:.2f} times the mean of {params.volume_length:g}",
        ),
        Condition(
            "one side leads",
            abs(state.bulls.value - 0.5) >= 0.05,
            f"bull share {state.bulls.value:.2f} of {params.volume_bull_length:g} bars",
        ),
        Condition("above the point of control", bar.close > point, f"{bar.close:g} vs {point:.6g}"),
        *tabled(state.opinion, levels(params), CONFIDENCES),
    ]


STRATEGY = Strategy(
    name="volume",
    summary="Volume: follows much volume away from where most was traded; both sides",
    timeframe=SHORT_FRAME,
    pairs=tuple((timeframe, 0) for timeframe, _ in PAIRS),
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
