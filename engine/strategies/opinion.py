"""Opinions: what an indicator strategy thinks of a market, how sure it is, and on what ground.

The five indicator strategies and their combination share what is here. Each has a table of
levels, tried from the first; the one that is met gives the direction and the confidence. Where
none is met the opinion is neutral: calm (0.65) where the indicator itself says so, else unclear
(0.45).
"""

from typing import NamedTuple

from engine.candle import TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.kernel import (
    LONG_ENTRY,
    NOTHING,
    SHORT_ENTRY,
    Condition,
    Signal,
)
from engine.strategies.pipeline import Pipeline
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit


class Opinion(NamedTuple):
    """`direction` is +1, -1 or 0; `confidence` is from 0 to 1; `level` is the line of the table
    that was met, 1 for the first, 0 for none."""

    direction: float = 0.0
    confidence: float = 0.0
    level: float = 0.0


SILENT = Opinion()
CALM = Opinion(0.0, 0.65, 0.0)
UNCLEAR = Opinion(0.0, 0.45, 0.0)

# No signal before each timeframe has so many bars.
BARS_MIN = 50.0
# Bars of the strategy's timeframe in a confirming one: 3 of 5 m in 15 m, 4 of 1 h in 4 h.
CONFIRMING_MAX = 4.0


def warm_up(own: float) -> float:
    """How many bars it takes until `own` confirming ones have closed, and at least 50."""
    return CONFIRMING_MAX * max(own, BARS_MIN) + CONFIRMING_MAX - 1.0


def is_warm(primary: float, confirming: float, own: float) -> bool:
    """Whether an indicator that needs `own` bars has enough of both timeframes."""
    return primary >= warm_up(own) and confirming >= max(own, BARS_MIN)


def judged(long: float, short: float, calm: bool, confidences: tuple[float, ...]) -> Opinion:
    """The opinion by the levels met on either side (0 for none); the earlier level decides."""
    if long > 0.0 and (short == 0.0 or long < short):
        return Opinion(1.0, confidences[int(long) - 1], long)
    if short > 0.0:
        return Opinion(-1.0, confidences[int(short) - 1], short)
    return CALM if calm else UNCLEAR


def signal_of(opinion: Opinion, reversal: float) -> Signal:
    """The entry that an opinion asks for. From the confidence `reversal` on a position of the
    other side has lost its reason, too."""
    if opinion.direction == 0.0:
        return NOTHING
    reversed_ = 1.0 if opinion.confidence >= reversal else 0.0
    if opinion.direction > 0.0:
        return Signal(1.0, 0.0, reversed_, LONG_ENTRY, opinion.confidence, 0.0, 0.0, 0.0)
    return Signal(-1.0, reversed_, 0.0, SHORT_ENTRY, opinion.confidence, 0.0, 0.0, 0.0)


REVERSAL = Parameter(
    "reversal", 0.65, 0.5, 0.95, 0.05, Unit.FRACTION, Tier.YELLOW,
    "confidence from which the other side's position is left", riskier=1,
)  # fmt: skip

SHORT_FRAME, CONFIRMING_FRAME = TIMEFRAMES["5m"], TIMEFRAMES["15m"]
PAIRS = (
    (TIMEFRAMES["5m"], TIMEFRAMES["15m"]),
    (TIMEFRAMES["1h"], TIMEFRAMES["4h"]),
)
# The stop costs 5 % of the margin at a leverage of 3 and the target earns 10 % of it: here they
# are fractions of the price, a third of that.
EXITS = {"*": Exits(0.0167, 0.0333, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)}
SIZING = Sizing(margin=0.02, margin_cap=0.02, leverage=3)
PIPELINE = Pipeline(confidence_min=0.60, flips=4, confirmed=1)

DIRECTIONS = {1.0: "long", -1.0: "short", 0.0: "neutral"}


class Level(NamedTuple):
    """One line of a table, in words: its name, and what it asks of a long."""

    name: str
    rule: str


def told(opinion: Opinion) -> str:
    """An opinion in a word or two: `long 73%`."""
    if opinion.confidence == 0.0:
        return "warming up"
    return f"{DIRECTIONS[opinion.direction]} {opinion.confidence:.0%}"


def counted(primary: float, confirming: float, own: float) -> Condition:
    """The bars seen of both timeframes, against those it takes."""
    return Condition(
        "enough bars",
        is_warm(primary, confirming, own),
        f"{primary:.0f} of {warm_up(own):.0f}, confirming {confirming:.0f} of"
        f" {max(own, BARS_MIN):.0f}",
    )


def tabled(
    opinion: Opinion, levels: tuple[Level, ...], confidences: tuple[float, ...]
) -> list[Condition]:
    """Every line of a table and whether it is the one that was met, then what came of it."""
    lines = [
        Condition(f"{level.name} {confidence:.0%}", opinion.level == number, level.rule)
        for number, (level, confidence) in enumerate(zip(levels, confidences, strict=True), 1)
    ]
    return [*lines, Condition("opinion", opinion.direction != 0.0, told(opinion))]
