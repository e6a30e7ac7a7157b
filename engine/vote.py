"""What indicators make of a market without a model: a vote of timeframes, in an analysis's shape.

On each of 15m, 30m, 1h and 4h five indicators vote, and a timeframe is for the side that four of
them are for (the rules of `engine/strategies/agreement.py`, with a fourth timeframe). The weights
are 0.5, 1, 1.5 and 2; a side needs 60 % of those of the timeframes that the market has, and is
blocked where the longest of them votes against it. Confidence is 0.5 and 0.35 times the share of
the weights, 0.85 at most; 0.40 where no side has enough, 0.45 where it is blocked (reference 2.3).
"""

from dataclasses import dataclass

from engine.advice import INDICATORS, Lean, Level, MarketRead, Trend
from engine.market_facts import LENGTH, MarketFacts, Timeframe
from engine.regime import ADX_WEAK
from engine.strategies.agreement import VOLUME, Rules, Votes, vote, votes
from engine.strategies.indicators import adx_bars
from engine.strategies.opinion import BARS_MIN

RULES = Rules()
WEIGHTS = {"15m": 0.5, "30m": 1.0, "1h": 1.5, "4h": 2.0}
# A market whose own bars are longer than any of these.
WEIGHT_ELSE = 1.0
NEEDED = 0.6

CONFIDENCE, CONFIDENCE_PER_SHARE, CONFIDENCE_MAX = 0.5, 0.35, 0.85
CONFIDENCE_NEUTRAL, CONFIDENCE_BLOCKED = 0.40, 0.45

# What a kind of strategy scores at least, and what it gains where all weights are with it.
SCORE, SCORE_PER_SHARE = 0.3, 0.7
# A neutral read leans no further than this: it stops nobody.
NEUTRAL_BIAS_MAX = 0.3
# Wilder's index seldom passes it: a trend cannot be told to be stronger.
ADX_FULL = 50.0
# The calmest and the widest quarter of the last bars.
CALM, WILD = 0.25, 0.75
# A volume below half its mean is low; what is high the vote's own rules say.
QUIET = 0.5
# True ranges from the price to the stop and to the target: two are to be gained for one at risk.
STOP_RANGES, TARGET_RANGES = 1.5, 3.0
# No level of an analysis lies further from the price, as a share of it; stop and target, which are
# worked out, stay clear of that. Where a bar moves less than a millionth there are none.
REACH_MAX = 0.5
EXIT_REACH_MAX = 0.45
MOVE_MIN = 1e-6
SIZES = {Level.LOW: 1.0, Level.MEDIUM: 0.75, Level.HIGH: 0.5}

SIDES = {1.0: Lean.LONG, -1.0: Lean.SHORT, 0.0: Lean.NEUTRAL}
# What each indicator is called among the scores.
KINDS = {
    "rsi": "rsi",
    "macd": "macd",
    "bollinger": "bands",
    "volume": "volume",
    "stochastic": "stochastic",
}


@dataclass(frozen=True, slots=True)
class Cast:
    """What a timeframe and its indicators vote for (+1, -1, 0), and its weight."""

    timeframe: Timeframe
    weight: float
    side: float
    votes: Votes


@dataclass(frozen=True, slots=True)
class Count:
    """The vote counted. `lead` is the share of the weights of the side that leads, with its sign;
    `side` the side that has enough, 0 where none has or the longest timeframe blocks it."""

    casts: tuple[Cast, ...]
    lead: float
    side: float
    blocked: bool


def read(facts: MarketFacts) -> MarketRead:
    """The indicators' analysis of a market. Always whole: where nothing can be told yet, it is
    neutral."""
    count = _count(facts)
    base = facts.timeframe(facts.base)
    volatility = _volatility(base)
    technical = _technical(count)
    overall = max(technical, volatility, key=list(Level).index)
    stop, target = _exits(facts, base, count.side)
    trend, strength = _trend(base)
    return MarketRead(
        symbol=facts.symbol,
        ts=facts.ts,
        price=facts.price,
        by=INDICATORS,
        lean=SIDES[count.side],
        confidence=_confidence(count),
        reasoning=_reasoning(count, base),
        bias=_bias(count),
        scores=tuple((kind, _score(count, voter)) for kind, voter in KINDS.items()),
        trend=trend,
        trend_strength=strength,
        supports=facts.supports,
        resistances=facts.resistances,
        volatility=volatility,
        volume=_volume(base),
        overall_risk=overall,
        technical_risk=technical,
        market_risk=volatility,
        size=SIZES[overall],
        stop_loss=stop,
        take_profit=target,
    )


def _count(facts: MarketFacts) -> Count:
    casts = tuple(_cast(each) for each in facts.timeframes)
    total = sum(cast.weight for cast in casts) or 1.0
    longs = sum(cast.weight for cast in casts if cast.side > 0.0) / total
    shorts = sum(cast.weight for cast in casts if cast.side < 0.0) / total
    lead = 0.0 if longs == shorts else longs if longs > shorts else -shorts
    enough = abs(lead) >= NEEDED
    blocked = enough and casts[-1].side * lead < 0.0
    return Count(casts, lead, _sign(lead) if enough and not blocked else 0.0, blocked)


def _cast(timeframe: Timeframe) -> Cast:
    weight = WEIGHTS.get(timeframe.name, WEIGHT_ELSE)
    frame = timeframe.frame
    return Cast(timeframe, weight, vote(RULES, frame), votes(RULES, frame))


def _sign(number: float) -> float:
    return 1.0 if number > 0.0 else -1.0 if number < 0.0 else 0.0


def _confidence(count: Count) -> float:
    if count.blocked:
        return CONFIDENCE_BLOCKED
    if count.side == 0.0:
        return CONFIDENCE_NEUTRAL
    return min(round(CONFIDENCE + CONFIDENCE_PER_SHARE * abs(count.lead), 4), CONFIDENCE_MAX)


def _bias(count: Count) -> float:
    if count.blocked:
        return 0.0
    if count.side == 0.0:
        return max(-NEUTRAL_BIAS_MAX, min(count.lead, NEUTRAL_BIAS_MAX))
    return count.lead


def _score(count: Count, voter: str) -> float:
    """How far an indicator is of one mind over the timeframes: the weights of its leading side."""
    total = sum(cast.weight for cast in count.casts) or 1.0
    sides = [(cast.weight, getattr(cast.votes, voter)) for cast in count.casts]
    longs = sum(weight for weight, side in sides if side > 0.0)
    shorts = sum(weight for weight, side in sides if side < 0.0)
    return round(SCORE + SCORE_PER_SHARE * (max(longs, shorts) / total), 4)


def _technical(count: Count) -> Level:
    """How far the timeframes contradict each other."""
    if count.blocked:
        return Level.HIGH
    opposed = any(cast.side * count.lead < 0.0 for cast in count.casts)
    return Level.LOW if count.side != 0.0 and not opposed else Level.MEDIUM


def _trend(base: Timeframe | None) -> tuple[Trend, float]:
    """By Wilder's directional movement; below an ADX of 20 there is none."""
    if base is None or base.bars < adx_bars(LENGTH):
        return Trend.SIDEWAYS, 0.0
    found = base.trend
    strength = min(found.value / ADX_FULL, 1.0)
    if found.value < ADX_WEAK or found.plus == found.minus:
        return Trend.SIDEWAYS, strength
    return Trend.UP if found.plus > found.minus else Trend.DOWN, strength


def _volatility(base: Timeframe | None) -> Level:
    """By where the true range stands among its last 90; medium while there are not so many."""
    if base is None or base.calmer is None:
        return Level.MEDIUM
    if base.calmer >= WILD:
        return Level.HIGH
    return Level.LOW if base.calmer < CALM else Level.MEDIUM


def _volume(base: Timeframe | None) -> str:
    if base is None or base.bars < VOLUME:
        return "unknown yet"
    times = base.frame.volume.value
    busy = times > RULES.sp_volume_confirm_multiplier
    word = "high" if busy else "low" if times < QUIET else "usual"
    return f"{word}: {times:.2f}x the mean of {VOLUME:.0f} bars on {base.name}"


def _exits(
    facts: MarketFacts, base: Timeframe | None, side: float
) -> tuple[float | None, float | None]:
    """Stop and target in true ranges; none without a side, or where the price does not move."""
    if base is None or side == 0.0 or base.atr < MOVE_MIN * facts.price:
        return None, None
    unit = min(base.atr, facts.price * EXIT_REACH_MAX / TARGET_RANGES)
    return facts.price - side * STOP_RANGES * unit, facts.price + side * TARGET_RANGES * unit


def _reasoning(count: Count, base: Timeframe | None) -> str:
    if not count.casts:
        return "There are no candles to vote on yet."
    told = ", ".join(_told(cast) for cast in count.casts)
    return f"{told}. {_counted(count)}{_readings(base)}"


def _readings(base: Timeframe | None) -> str:
    """What the five indicators of a timeframe say, once it may vote."""
    if base is None or base.bars < BARS_MIN:
        return ""
    frame = base.frame
    return (
        f" On {base.name}: RSI {frame.rsi.value:.1f}, MACD histogram "
        f"{frame.macd.histogram / base.close:+.3%}, Bollinger position {frame.bands.position:.2f}, "
        f"stochastic K {frame.stochastic.k:.0f} and D {frame.stochastic.d:.0f}, "
        f"volume {frame.volume.value:.2f}x its mean."
    )


def _told(cast: Cast) -> str:
    """`1h votes long (4 long, 1 short)`; a timeframe needs 50 bars to vote."""
    name, bars = cast.timeframe.name, cast.timeframe.bars
    if bars < BARS_MIN:
        return f"{name} has {bars} of {BARS_MIN:.0f} bars"
    longs, shorts = (sum(each * side > 0.0 for each in cast.votes) for side in (1.0, -1.0))
    verdict = {1.0: "votes long", -1.0: "votes short", 0.0: "is undecided"}[cast.side]
    return f"{name} {verdict} ({longs} long, {shorts} short)"


def _counted(count: Count) -> str:
    needed = f"{NEEDED:.0%} needed"
    if count.lead == 0.0:
        return f"No side leads, {needed}."
    side = SIDES[_sign(count.lead)]
    share = f"{abs(count.lead):.0%} of the weights are for {side}, {needed}"
    if count.blocked:
        return f"{share}, but {count.casts[-1].timeframe.name} votes against it."
    return f"{share}."
