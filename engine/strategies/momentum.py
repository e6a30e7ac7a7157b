"""Momentum: buys the break out of a quiet market on high volume, leaves below the average.

Four-hour bars, long only. Four things at once are the entry: the Bollinger bandwidth lies in the
lowest 35 % of its last 90, the close is above the upper band, the volume more than twice its mean
of 20 bars (this bar among them), the close above SMA 20. The mean of how quiet it was, how high
the volume (five times is full) and how far the close is above the average (10 % is full) is the
confidence, which ranks the free slots. A close below SMA 20 ends the position. The stop trails
10 % behind the best price from the start.
"""

from array import array
from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.indicators import (
    Bollinger,
    Percentile,
    RelativeVolume,
    Sma,
    bollinger,
    percentile,
    relative_volume,
    sma,
)
from engine.strategies.kernel import (
    MA_EXIT,
    NOTHING,
    VOLATILITY_BREAKOUT,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit

VOLUME_FULL = 5.0
ABOVE_FULL = 0.10


class Params(NamedTuple):
    """Lengths in bars; the width as a percentile from 0 to 1, the volume as a multiple."""

    band_bars: float = 20.0
    sigmas: float = 2.0
    width_bars: float = 90.0
    width_max: float = 0.35
    volume_bars: float = 20.0
    volume_min: float = 2.0
    average_bars: float = 20.0


class State(NamedTuple):
    """Bars seen, the bands, the rank of their width, the relative volume and the average."""

    bars: float = 0.0
    bands: Bollinger = Bollinger()
    width: Percentile = Percentile()
    volume: RelativeVolume = RelativeVolume()
    average: Sma = Sma()


PARAMETERS = (
    Parameter("band_bars", 20, 5, 200, 1, Unit.BARS, Tier.YELLOW, "length of the bands"),
    Parameter("sigmas", 2, 0.5, 4, 0.1, Unit.RATIO, Tier.GREEN, "deviations to each band"),
    Parameter("width_bars", 90, 10, 500, 1, Unit.BARS, Tier.YELLOW, "widths compared with"),
    Parameter(
        "width_max", 0.35, 0.05, 1, 0.05, Unit.FRACTION, Tier.GREEN,
        "percentile of the width that counts as quiet", riskier=1,
    ),
    Parameter("volume_bars", 20, 2, 200, 1, Unit.BARS, Tier.YELLOW, "length of the mean volume"),
    Parameter(
        "volume_min", 2, 1, 5, 0.1, Unit.RATIO, Tier.GREEN, "multiple of its mean to exceed",
        riskier=-1,
    ),
    Parameter("average_bars", 20, 2, 200, 1, Unit.BARS, Tier.YELLOW, "length of the average"),
)  # fmt: skip

LEAVE = Signal(0.0, 1.0, 0.0, MA_EXIT, 1.0, 0.0, 0.0, 0.0)


def bars(params: Params) -> int:
    widths = params.band_bars + params.width_bars - 1.0
    return int(max(widths, params.volume_bars, params.average_bars))


def start(params: Params) -> tuple[State, Window]:
    cells = params.band_bars + params.width_bars + params.volume_bars + params.average_bars
    return State(), array("d", bytes(8 * int(cells)))


def strength(state: State, close: float) -> float:
    """How good a breakout is, 0 to 1; the close lies above its average."""
    quiet = 1.0 - state.width.value
    busy = min(state.volume.value / VOLUME_FULL, 1.0)
    above = close / state.average.value - 1.0
    return (quiet + busy + min(above / ABOVE_FULL, 1.0)) / 3.0


def breaks_out(params: Params, state: State, close: float) -> bool:
    return (
        state.width.value < params.width_max
        and close > state.bands.upper
        and state.volume.value > params.volume_min
        and close > state.average.value
    )


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    widths = int(params.band_bars)
    volumes = widths + int(params.width_bars)
    averages = volumes + int(params.volume_bars)
    bands = bollinger(state.bands, window, 0, bar.close, params.band_bars, params.sigmas)
    state = State(
        state.bars + 1.0,
        bands,
        percentile(state.width, window, widths, bands.bandwidth, params.width_bars),
        relative_volume(state.volume, window, volumes, bar.volume, params.volume_bars),
        sma(state.average, window, averages, bar.close, params.average_bars),
    )
    if state.bars < bars(params):
        return state, NOTHING
    if breaks_out(params, state, bar.close):
        confidence = strength(state, bar.close)
        return state, Signal(1.0, 0.0, 0.0, VOLATILITY_BREAKOUT, confidence, 0.0, 0.0, 0.0)
    if bar.close < state.average.value:
        return state, LEAVE
    return state, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    return [
        Condition(
            f"bandwidth in the lowest {params.width_max:.0%}",
            state.width.value < params.width_max,
            f"percentile {state.width.value:.0%} of {params.width_bars:.0f} bars",
        ),
        Condition(
            "above the upper band",
            bar.close > state.bands.upper,
            f"{bar.close:g} vs {state.bands.upper:.6g}",
        ),
        Condition(
            f"volume over {params.volume_min:g} times its mean",
            state.volume.value > params.volume_min,
            f"{state.volume.value:.2f} times",
        ),
        Condition(
            f"above SMA {params.average_bars:.0f}",
            bar.close > state.average.value,
            f"{bar.close:g} vs {state.average.value:.6g}",
        ),
    ]


STRATEGY = Strategy(
    name="momentum",
    summary="Volatility breakout: buys out of a quiet market, leaves below SMA 20",
    timeframe=TIMEFRAMES["4h"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.10, 0.0, 0.10, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=Sizing(margin=0.20, margin_cap=0.20, leverage=1, risk=0.03, share_cap=0.20, slots=3),
)
