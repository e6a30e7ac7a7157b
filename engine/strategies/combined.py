"""The five indicator strategies together: what enough of them say.

Each of RSI, MACD, Bollinger, volume and stochastic has an opinion. They are combined by mode:

- consensus: the direction of at least `agree` of the five; its confidence is the mean of theirs
  times 0.7 + 0.3 of the share that agrees
- weighted: the direction, neutral among them, with the largest sum of weight times confidence;
  its weighted mean
- best: that of the most confident, neutral among them
- conservative: at least two of 0.65 or more and none opposite; 0.9 times their mean
- majority: more than half of the five; the mean of theirs

A tie is neutral. What is less confident than `confidence_threshold` (0.65) is neutral too, before
the two gates that can be switched on: the agreement of timeframes, then the trend filter. Nothing
is said before each of the five has enough bars.
"""

from array import array
from typing import NamedTuple

from engine.strategies import agreement, bollinger, macd, rsi, stochastic, trendfilter, volume
from engine.strategies.agreement import Frames, Rules, allows
from engine.strategies.agreement import followed as frames_followed
from engine.strategies.bollinger import cells as bollinger_cells
from engine.strategies.bollinger import needed as bollinger_needed
from engine.strategies.bollinger import opinion as bollinger_opinion
from engine.strategies.kernel import NOTHING, Bar, Condition, Signal, Strategy, Window
from engine.strategies.macd import needed as macd_needed
from engine.strategies.macd import opinion as macd_opinion
from engine.strategies.opinion import (
    CONFIRMING_FRAME,
    EXITS,
    PAIRS,
    PIPELINE,
    REVERSAL,
    SHORT_FRAME,
    SILENT,
    SIZING,
    UNCLEAR,
    Level,
    Opinion,
    signal_of,
    told,
    warm_up,
)
from engine.strategies.rsi import needed as rsi_needed
from engine.strategies.rsi import opinion as rsi_opinion
from engine.strategies.stochastic import cells as stochastic_cells
from engine.strategies.stochastic import needed as stochastic_needed
from engine.strategies.stochastic import opinion as stochastic_opinion
from engine.strategies.trendfilter import Trends, filtered
from engine.strategies.trendfilter import followed as trends_followed
from engine.strategies.volume import cells as volume_cells
from engine.strategies.volume import needed as volume_needed
from engine.strategies.volume import opinion as volume_opinion
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit

MODES = ("consensus", "weighted", "best", "conservative", "majority")
CONSENSUS = 0.0
WEIGHTED = 1.0
BEST = 2.0
CONSERVATIVE = 3.0
MAJORITY = 4.0
COUNT = 5.0
# A conservative combination hears those that are so confident.
SURE = 0.65


class Params(NamedTuple):
    """Those of the combination, of its two gates, then those of the five strategies."""

    mode: float = CONSENSUS
    agree: float = 4.0
    confidence_threshold: float = 0.65
    weight_rsi: float = 1.0
    weight_macd: float = 1.0
    weight_bollinger: float = 1.0
    weight_volume: float = 1.0
    weight_stochastic: float = 1.0
    reversal: float = 0.65
    agreement: float = 0.0
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
    trend_filter: float = 0.0
    alignment_min: float = 0.6
    rsi_length: float = 14.0
    rsi_oversold: float = 30.0
    rsi_overbought: float = 70.0
    rsi_extreme_oversold: float = 20.0
    rsi_extreme_overbought: float = 80.0
    macd_fast: float = 12.0
    macd_slow: float = 26.0
    macd_signal: float = 9.0
    macd_threshold: float = 0.001
    bollinger_length: float = 20.0
    bollinger_sigmas: float = 2.0
    bollinger_squeeze: float = 0.02
    volume_length: float = 20.0
    volume_spike: float = 2.0
    volume_bull_length: float = 10.0
    volume_profile_length: float = 50.0
    stochastic_length: float = 14.0
    stochastic_smooth: float = 3.0
    stochastic_signal: float = 3.0
    stochastic_oversold: float = 20.0
    stochastic_overbought: float = 80.0
    stochastic_extreme_oversold: float = 10.0
    stochastic_extreme_overbought: float = 90.0


class Voices(NamedTuple):
    """The five, each with its own state."""

    rsi_state: rsi.State = rsi.State()
    macd_state: macd.State = macd.State()
    bollinger_state: bollinger.State = bollinger.State()
    volume_state: volume.State = volume.State()
    stochastic_state: stochastic.State = stochastic.State()


class State(NamedTuple):
    """The five, the two gates, and what the five said together before and after the gates."""

    voices: Voices = Voices()
    frames: Frames = Frames()
    trends: Trends = Trends()
    combined: Opinion = SILENT
    opinion: Opinion = SILENT


def _weight(name: str) -> Parameter:
    return Parameter(
        f"weight_{name}", 1, 0, 3, 0.5, Unit.RATIO, Tier.YELLOW, f"weight of {name} in the sum"
    )


PARAMETERS = (
    Parameter(
        "mode", CONSENSUS, 0, 4, 1, Unit.CHOICE, Tier.YELLOW, "how the five are combined", MODES,
        cooldown_ms=SWITCH_COOLDOWN_MS,
    ),
    Parameter(
        "agree", 4, 3, 5, 1, Unit.COUNT, Tier.YELLOW, "how many make a consensus", riskier=-1
    ),
    Parameter(
        "confidence_threshold", 0.65, 0.5, 0.9, 0.05, Unit.FRACTION, Tier.GREEN,
        "least confidence of the five together", riskier=-1,
    ),
    *map(_weight, ("rsi", "macd", "bollinger", "volume", "stochastic")),
    REVERSAL,
    *agreement.OWN,
    *trendfilter.OWN,
    *rsi.OWN,
    *macd.OWN,
    *bollinger.OWN,
    *volume.OWN,
    *stochastic.OWN,
)  # fmt: skip


class Five(NamedTuple):
    """An opinion each."""

    rsi: Opinion
    macd: Opinion
    bollinger: Opinion
    volume: Opinion
    stochastic: Opinion


class Tally(NamedTuple):
    """Those of one direction: how many, the sum of their confidences and the greatest; their
    weights and the sum of weight times confidence; how many are sure, and their sum."""

    voices: float
    total: float
    best: float
    weight: float
    weighted: float
    sure: float
    sure_total: float


def tally(params: Params, five: Five, direction: float) -> Tally:
    weights = (
        params.weight_rsi,
        params.weight_macd,
        params.weight_bollinger,
        params.weight_volume,
        params.weight_stochastic,
    )
    found = Tally(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for index in range(len(five)):
        if five[index].direction == direction:
            found = counted(found, five[index].confidence, weights[index])
    return found


def counted(found: Tally, confidence: float, weight: float) -> Tally:
    sure = 1.0 if confidence >= SURE else 0.0
    return Tally(
        found.voices + 1.0,
        found.total + confidence,
        max(found.best, confidence),
        found.weight + weight,
        found.weighted + weight * confidence,
        found.sure + sure,
        found.sure_total + sure * confidence,
    )


def leads(found: float, opposite: float, neutral: float) -> bool:
    """Whether one of three numbers is the greatest; nobody leads in a tie."""
    return found > opposite and found > neutral


def consensus(found: Tally, agree: float) -> float:
    """The confidence of those who agree, 0 where they are too few; as in each mode below."""
    if found.voices < agree:
        return 0.0
    return found.total / found.voices * (0.7 + 0.3 * (found.voices / COUNT))


def conservative(found: Tally, opposite: Tally) -> float:
    if found.sure < 2.0 or opposite.voices > 0.0:
        return 0.0
    return 0.9 * (found.sure_total / found.sure)


def majority(found: Tally) -> float:
    return found.total / found.voices if found.voices > COUNT / 2.0 else 0.0


def confidence_of(params: Params, found: Tally, opposite: Tally, neutral: Tally) -> float:
    """How confident the five are of one direction, by the mode; 0 where they are not for it."""
    if params.mode == WEIGHTED:
        led = leads(found.weighted, opposite.weighted, neutral.weighted)
        return found.weighted / found.weight if led else 0.0
    if params.mode == BEST:
        return found.best if leads(found.best, opposite.best, neutral.best) else 0.0
    if params.mode == CONSERVATIVE:
        return conservative(found, opposite)
    if params.mode == MAJORITY:
        return majority(found)
    return consensus(found, params.agree)


def combine(params: Params, five: Five) -> Opinion:
    """What the five say together; unclear below the least confidence."""
    long, short = tally(params, five, 1.0), tally(params, five, -1.0)
    neutral = tally(params, five, 0.0)
    up = confidence_of(params, long, short, neutral)
    down = confidence_of(params, short, long, neutral)
    if max(up, down) < params.confidence_threshold:
        return UNCLEAR
    return Opinion(1.0, up, 0.0) if up > down else Opinion(-1.0, down, 0.0)


def rsi_params(params: Params) -> rsi.Params:
    return rsi.Params(
        params.rsi_length,
        params.rsi_oversold,
        params.rsi_overbought,
        params.rsi_extreme_oversold,
        params.rsi_extreme_overbought,
        params.reversal,
    )


def macd_params(params: Params) -> macd.Params:
    return macd.Params(
        params.macd_fast,
        params.macd_slow,
        params.macd_signal,
        params.macd_threshold,
        params.reversal,
    )


def bollinger_params(params: Params) -> bollinger.Params:
    return bollinger.Params(
        params.bollinger_length,
        params.bollinger_sigmas,
        params.bollinger_squeeze,
        params.reversal,
    )


def volume_params(params: Params) -> volume.Params:
    return volume.Params(
        params.volume_length,
        params.volume_spike,
        params.volume_bull_length,
        params.volume_profile_length,
        params.reversal,
    )


def stochastic_params(params: Params) -> stochastic.Params:
    return stochastic.Params(
        params.stochastic_length,
        params.stochastic_smooth,
        params.stochastic_signal,
        params.stochastic_oversold,
        params.stochastic_overbought,
        params.stochastic_extreme_oversold,
        params.stochastic_extreme_overbought,
        params.reversal,
    )


def rules_of(params: Params) -> Rules:
    return Rules(
        params.min_required_indicators,
        params.sp_min_weighted_threshold,
        params.sp_rsi_bull_threshold,
        params.sp_rsi_bear_threshold,
        params.sp_bb_bull_threshold,
        params.sp_bb_bear_threshold,
        params.sp_stoch_oversold,
        params.sp_stoch_overbought,
        params.sp_volume_confirm_multiplier,
        params.sp_weight_15m,
        params.sp_weight_30m,
        params.sp_weight_1h,
        params.sp_counter_trend_enabled,
    )


def frames_at(params: Params) -> int:
    """Where the cells of the agreement begin, behind those of the strategies."""
    return (
        bollinger_cells(bollinger_params(params))
        + volume_cells(volume_params(params))
        + stochastic_cells(stochastic_params(params))
    )


def heard(params: Params, state: Voices, window: Window, bar: Bar) -> Voices:
    """The five after a bar."""
    rsi_state, _ = rsi_opinion(rsi_params(params), state.rsi_state, window, 0, bar)
    macd_state, _ = macd_opinion(macd_params(params), state.macd_state, window, 0, bar)
    bands, shares = bollinger_params(params), volume_params(params)
    bollinger_state, _ = bollinger_opinion(bands, state.bollinger_state, window, 0, bar)
    at = bollinger_cells(bands)
    volume_state, _ = volume_opinion(shares, state.volume_state, window, at, bar)
    at += volume_cells(shares)
    stochastic_state, _ = stochastic_opinion(
        stochastic_params(params), state.stochastic_state, window, at, bar
    )
    return Voices(rsi_state, macd_state, bollinger_state, volume_state, stochastic_state)


def five_of(voices: Voices) -> Five:
    return Five(
        voices.rsi_state.opinion,
        voices.macd_state.opinion,
        voices.bollinger_state.opinion,
        voices.volume_state.opinion,
        voices.stochastic_state.opinion,
    )


def enough(with_agreement: float, with_trend: float) -> float:
    """The bars that the gates which are switched on need."""
    return max(
        agreement.BARS if with_agreement > 0.0 else 0.0,
        trendfilter.BARS if with_trend > 0.0 else 0.0,
    )


def spoken(five: Five) -> bool:
    """Whether each of the five has enough bars."""
    least = 1.0
    for each in five:
        least = min(least, each.confidence)
    return least > 0.0


def start(params: Params) -> tuple[State, Window]:
    cells = frames_at(params)
    if params.agreement > 0.0:
        cells += agreement.CELLS
    return State(), array("d", bytes(8 * cells))


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    voices = heard(params, state.voices, window, bar)
    frames, trends = state.frames, state.trends
    if params.agreement > 0.0:
        frames = frames_followed(frames, window, frames_at(params), bar)
    if params.trend_filter > 0.0:
        trends = trends_followed(trends, bar)
    five = five_of(voices)
    seen = voices.rsi_state.primary.bars
    if not spoken(five) or seen < enough(params.agreement, params.trend_filter):
        return State(voices, frames, trends, SILENT, SILENT), NOTHING
    combined = combine(params, five)
    opinion = combined
    if params.agreement > 0.0 and not allows(rules_of(params), frames, combined.direction):
        opinion = UNCLEAR
    if params.trend_filter > 0.0:
        opinion = filtered(opinion, trends, bar.close, params.alignment_min)
    state = State(voices, frames, trends, combined, opinion)
    return state, signal_of(opinion, params.reversal)


def bars(params: Params) -> int:
    longest = max(
        rsi_needed(rsi_params(params)),
        macd_needed(macd_params(params)),
        bollinger_needed(bollinger_params(params)),
        stochastic_needed(stochastic_params(params)),
    )
    own = max(warm_up(longest), volume_needed(volume_params(params)))
    return int(max(own, enough(params.agreement, params.trend_filter)))


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    seen, needed = state.voices.rsi_state.primary.bars, bars(params)
    combined, opinion = state.combined, state.opinion
    lines = [
        Condition("enough bars", combined.confidence > 0.0, f"{seen:.0f} of {needed}"),
        *_voices(params, state.voices),
        Condition(
            f"{_mode(params)}, {params.confidence_threshold:.0%} or more",
            combined.direction != 0.0,
            _counts(params, state),
        ),
    ]
    if params.agreement > 0.0:
        lines += agreement.explained(rules_of(params), state.frames, combined.direction)
    if params.trend_filter > 0.0:
        lines += trendfilter.explained(
            state.trends, bar.close, combined.direction, params.alignment_min
        )
    return [*lines, Condition("opinion", opinion.direction != 0.0, told(opinion))]


def _voices(params: Params, voices: Voices) -> list[Condition]:
    tables = (
        rsi.levels(rsi_params(params)),
        macd.LEVELS,
        bollinger.LEVELS,
        volume.levels(volume_params(params)),
        stochastic.levels(stochastic_params(params)),
    )
    return [
        Condition(name, opinion.direction != 0.0, _voice(opinion, levels))
        for (name, opinion), levels in zip(five_of(voices)._asdict().items(), tables, strict=True)
    ]


def _voice(opinion: Opinion, levels: tuple[Level, ...]) -> str:
    if opinion.level == 0.0:
        return told(opinion)
    level = levels[int(opinion.level) - 1]
    return f"{told(opinion)}, {level.name}: {level.rule}"


def _mode(params: Params) -> str:
    mode = MODES[int(params.mode)]
    return f"{mode} of {params.agree:g}" if params.mode == CONSENSUS else mode


def _counts(params: Params, state: State) -> str:
    five = five_of(state.voices)
    long, short, neutral = (tally(params, five, side).voices for side in (1.0, -1.0, 0.0))
    return f"{long:g} long, {short:g} short, {neutral:g} neutral: {told(state.combined)}"


STRATEGY = Strategy(
    name="combined",
    summary="RSI, MACD, Bollinger, volume and stochastic together, by consensus of four; both"
    " sides",
    timeframe=SHORT_FRAME,
    higher=CONFIRMING_FRAME,
    pairs=PAIRS,
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits=EXITS,
    sizing=SIZING,
    pipeline=PIPELINE,
)
