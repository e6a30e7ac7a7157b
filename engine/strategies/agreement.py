"""Agreement of timeframes: a signal passes where 15 m, 30 m and 1 h vote for it.

On each of the three five indicators vote, with their textbook lengths: the sign of the MACD
histogram; RSI above 55 or below 45; the close below 0.3 or above 0.7 of Bollinger's bands, for a
return; K above D and below 80, or below D and above 20; and a volume above 1.2 times its mean,
which confirms the side that leads among the other four. A timeframe votes for the side that four
of its five are for, and not before it has 50 bars. The side with 60 % of the weights passes (0.5,
1 and 2), unless the hour votes against it. The signal keeps its own confidence.

Where the strategy's bars are longer than a timeframe they are taken in its place.
"""

from typing import NamedTuple

from engine.candle import HOUR_MS, MINUTE_MS
from engine.strategies.indicators import (
    Bollinger,
    Macd,
    RelativeVolume,
    Rsi,
    Stochastic,
    bollinger,
    macd,
    relative_volume,
    rsi,
    stochastic,
    stochastic_cells,
)
from engine.strategies.kernel import Bar, Condition, Window
from engine.strategies.opinion import BARS_MIN, DIRECTIONS
from engine.strategies.resample import (
    NONE,
    Longer,
    Spacing,
    begins_after,
    extended,
    is_complete,
    spaced,
)
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit

QUARTER = 15.0 * MINUTE_MS
HALF = 30.0 * MINUTE_MS
HOUR = float(HOUR_MS)
NAMES = ("15m", "30m", "1h")
# 50 hours of five-minute bars, and the hour that began before the first.
BARS = (BARS_MIN + 1.0) * 12.0

BANDS = 20.0
RANGE, SMOOTH, SIGNAL = 14.0, 3.0, 3.0
VOLUME = 20.0
STOCHASTIC_AT = int(BANDS)
VOLUME_AT = STOCHASTIC_AT + stochastic_cells(RANGE, SMOOTH, SIGNAL)
PIECE = VOLUME_AT + int(VOLUME)
CELLS = 3 * PIECE


class Rules(NamedTuple):
    """The parameters of the vote."""

    min_required_indicators: float = 4.0
    sp_min_weighted_threshold: float = 0.6
    sp_rsi_bull_threshold: float = 55.0
    sp_rsi_bear_threshold: float = 45.0
    sp_bb_bull_threshold: float = 0.3
    sp_bb_bear_threshold: float = 0.7
    sp_stoch_oversold: float = 20.0
    sp_stoch_overbought: float = 80.0
    sp_volume_confirm_multiplier: float = 1.2
    sp_weight_15m: float = 0.5
    sp_weight_30m: float = 1.0
    sp_weight_1h: float = 2.0
    sp_counter_trend_enabled: float = 1.0


OWN = (
    Parameter(
        "agreement", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether 15m, 30m and 1h must vote for a signal", ("off", "on"),
        cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
    Parameter(
        "min_required_indicators", 4, 2, 5, 1, Unit.COUNT, Tier.GREEN,
        "indicators that make a timeframe's vote", riskier=-1,
    ),
    Parameter(
        "sp_min_weighted_threshold", 0.6, 0.3, 0.7, 0.05, Unit.FRACTION, Tier.GREEN,
        "share of the weights that a side needs", riskier=-1,
    ),
    Parameter(
        "sp_rsi_bull_threshold", 55, 50, 65, 1, Unit.LEVEL, Tier.GREEN, "RSI above it votes long",
        riskier=-1,
    ),
    Parameter(
        "sp_rsi_bear_threshold", 45, 35, 50, 1, Unit.LEVEL, Tier.GREEN, "RSI below it votes short",
        riskier=1,
    ),
    Parameter(
        "sp_bb_bull_threshold", 0.3, 0.1, 0.4, 0.05, Unit.RATIO, Tier.YELLOW,
        "position in the bands that votes long", riskier=1,
    ),
    Parameter(
        "sp_bb_bear_threshold", 0.7, 0.6, 0.9, 0.05, Unit.RATIO, Tier.YELLOW,
        "position in the bands that votes short", riskier=-1,
    ),
    Parameter(
        "sp_stoch_oversold", 20, 10, 30, 5, Unit.LEVEL, Tier.YELLOW, "K at which no short is voted",
        riskier=-1,
    ),
    Parameter(
        "sp_stoch_overbought", 80, 70, 90, 5, Unit.LEVEL, Tier.YELLOW,
        "K at which no long is voted", riskier=1,
    ),
    Parameter(
        "sp_volume_confirm_multiplier", 1.2, 1, 2, 0.1, Unit.RATIO, Tier.GREEN,
        "volume in means that confirms",
    ),
    Parameter("sp_weight_15m", 0.5, 0, 3, 0.5, Unit.RATIO, Tier.YELLOW, "weight of 15m"),
    Parameter("sp_weight_30m", 1, 0, 3, 0.5, Unit.RATIO, Tier.YELLOW, "weight of 30m"),
    Parameter("sp_weight_1h", 2, 0, 3, 0.5, Unit.RATIO, Tier.YELLOW, "weight of 1h"),
    Parameter(
        "sp_counter_trend_enabled", 1, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether 1h may block what the others are for", ("off", "on"),
        cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
)  # fmt: skip


class Frame(NamedTuple):
    """One timeframe: the bar that grows, and the indicators of those that closed."""

    growing: Longer = NONE
    macd: Macd = Macd()
    rsi: Rsi = Rsi()
    bands: Bollinger = Bollinger()
    stochastic: Stochastic = Stochastic()
    volume: RelativeVolume = RelativeVolume()


class Frames(NamedTuple):
    spacing: Spacing = Spacing()
    quarter: Frame = Frame()
    half: Frame = Frame()
    hour: Frame = Frame()


class Votes(NamedTuple):
    """What the five indicators of a timeframe are for: +1, -1 or 0 each."""

    macd: float
    rsi: float
    bands: float
    stochastic: float
    volume: float


def closed(state: Frame, window: Window, at: int) -> Frame:
    bar = state.growing
    range_at, volume_at = at + STOCHASTIC_AT, at + VOLUME_AT
    return Frame(
        NONE,
        macd(state.macd, bar.close, 12.0, 26.0, 9.0),
        rsi(state.rsi, bar.close, 14.0),
        bollinger(state.bands, window, at, bar.close, BANDS, 2.0),
        stochastic(
            state.stochastic,
            window,
            range_at,
            bar.high,
            bar.low,
            bar.close,
            RANGE,
            SMOOTH,
            SIGNAL,
        ),
        relative_volume(state.volume, window, volume_at, bar.volume, VOLUME),
    )


def framed(
    state: Frame, window: Window, at: int, spacing: Spacing, bar: Bar, length: float
) -> Frame:
    if begins_after(state.growing, spacing.ts, length):
        state = closed(state, window, at)
    growing = extended(state.growing, bar, spacing.ts, length)
    state = Frame(growing, state.macd, state.rsi, state.bands, state.stochastic, state.volume)
    return closed(state, window, at) if is_complete(growing, spacing, length) else state


def followed(state: Frames, window: Window, at: int, bar: Bar) -> Frames:
    """The three timeframes after a bar."""
    spacing = spaced(state.spacing, float(bar.ts))
    return Frames(
        spacing,
        framed(state.quarter, window, at, spacing, bar, QUARTER),
        framed(state.half, window, at + PIECE, spacing, bar, HALF),
        framed(state.hour, window, at + 2 * PIECE, spacing, bar, HOUR),
    )


def side(is_long: bool, is_short: bool) -> float:
    return 1.0 if is_long else -1.0 if is_short else 0.0


def votes(rules: Rules, state: Frame) -> Votes:
    """What each indicator of a timeframe is for; nothing before it has 50 bars."""
    if state.rsi.bars < BARS_MIN:
        return Votes(0.0, 0.0, 0.0, 0.0, 0.0)
    histogram, strength, position = state.macd.histogram, state.rsi.value, state.bands.position
    k, d = state.stochastic.k, state.stochastic.d
    line = side(histogram > 0.0, histogram < 0.0)
    momentum = side(strength > rules.sp_rsi_bull_threshold, strength < rules.sp_rsi_bear_threshold)
    bands = side(position < rules.sp_bb_bull_threshold, position > rules.sp_bb_bear_threshold)
    turn = side(k > d and k < rules.sp_stoch_overbought, k < d and k > rules.sp_stoch_oversold)
    lead = line + momentum + bands + turn
    busy = state.volume.value > rules.sp_volume_confirm_multiplier
    return Votes(line, momentum, bands, turn, side(busy and lead > 0.0, busy and lead < 0.0))


def vote(rules: Rules, state: Frame) -> float:
    """The side of a timeframe: that of enough of its indicators."""
    longs = 0.0
    shorts = 0.0
    for each in votes(rules, state):
        if each > 0.0:
            longs += 1.0
        if each < 0.0:
            shorts += 1.0
    enough = rules.min_required_indicators
    return side(longs >= enough and longs > shorts, shorts >= enough and shorts > longs)


def weighted(rules: Rules, state: Frames) -> float:
    """The share of the weights that the leading side has, with its sign; 0 where none leads."""
    weights = (rules.sp_weight_15m, rules.sp_weight_30m, rules.sp_weight_1h)
    frames = (state.quarter, state.half, state.hour)
    longs = 0.0
    shorts = 0.0
    for index in range(3):
        voted = vote(rules, frames[index])
        longs += weights[index] * max(voted, 0.0)
        shorts += weights[index] * max(-voted, 0.0)
    if longs == shorts:
        return 0.0
    lead = longs if longs > shorts else -shorts
    return lead / (weights[0] + weights[1] + weights[2])


def allows(rules: Rules, state: Frames, direction: float) -> bool:
    """Whether the timeframes let a signal pass."""
    against = vote(rules, state.hour) == -direction
    if rules.sp_counter_trend_enabled > 0.0 and against:
        return False
    return weighted(rules, state) * direction >= rules.sp_min_weighted_threshold


def explained(rules: Rules, state: Frames, direction: float) -> list[Condition]:
    """The vote of each timeframe and what comes of them, for `/why`."""
    lines = [
        Condition(f"vote of {name}", vote(rules, frame) != 0.0, _told(rules, frame))
        for name, frame in zip(NAMES, state[1:], strict=True)
    ]
    share = weighted(rules, state)
    detail = f"{abs(share):.0%} of the weights for {DIRECTIONS[side(share > 0, share < 0)]}"
    holds = direction != 0.0 and allows(rules, state, direction)
    needed = f", {rules.sp_min_weighted_threshold:.0%} needed"
    return [*lines, Condition("timeframes agree", holds, detail + needed)]


def _told(rules: Rules, frame: Frame) -> str:
    if frame.rsi.bars < BARS_MIN:
        return f"{frame.rsi.bars:.0f} of {BARS_MIN:.0f} bars"
    cast = votes(rules, frame)._asdict().items()
    return f"{DIRECTIONS[vote(rules, frame)]}: " + ", ".join(
        f"{name} {DIRECTIONS[each]}" for name, each in cast
    )
