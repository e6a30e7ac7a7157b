"""The trend filter: signals go with the trend of the hour, of four hours and of the day.

A timeframe trends up while the close is more than 1 % above the EMA 200 of its closes, down
while as far below, else it is neutral; so it is, too, until it has 200 closes. A signal's
alignment is 1.0 with all three, 0.85 with two and none against, 0.65 with one and none against,
0.4 where as many or fewer are against, 0.2 where more are. Less than the least alignment (0.6)
and more against than with it block. What passes has a confidence of 0.4 times the signal's
own and 0.6 times the alignment, at most 0.95. Where no timeframe trends the signal passes with
0.85 times its confidence.
"""

from typing import NamedTuple

from engine.candle import DAY_MS, HOUR_MS
from engine.strategies.indicators import ema
from engine.strategies.kernel import Bar, Condition
from engine.strategies.opinion import DIRECTIONS, UNCLEAR, Opinion
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

LENGTH = 200.0
MARGIN = 0.01
HOUR = float(HOUR_MS)
FOUR_HOURS = 4.0 * HOUR
DAY = float(DAY_MS)
# 200 hours of five-minute bars, and the hour that began before the first.
BARS = 201.0 * 12.0
NAMES = ("1h", "4h", "1d")
# What is left of a confidence where nothing trends, and the most that alignment makes of one.
NEUTRAL = 0.85
CONFIDENCE_MAX = 0.95

OWN = (
    Parameter(
        "trend_filter", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether signals must go with the trend", ("off", "on"),
        cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
    Parameter(
        "alignment_min", 0.6, 0.2, 1, 0.05, Unit.RATIO, Tier.GREEN,
        "least alignment with the trends of 1h, 4h and 1d", riskier=-1,
    ),
)  # fmt: skip


class Average(NamedTuple):
    """One timeframe: the bar that grows, its closes so far and their average."""

    growing: Longer = NONE
    bars: float = 0.0
    value: float = 0.0


class Trends(NamedTuple):
    spacing: Spacing = Spacing()
    hour: Average = Average()
    four_hours: Average = Average()
    day: Average = Average()


def closed(state: Average) -> Average:
    bars = state.bars + 1.0
    return Average(NONE, bars, ema(state.value, state.growing.close, bars, LENGTH))


def averaged(state: Average, spacing: Spacing, bar: Bar, length: float) -> Average:
    if begins_after(state.growing, spacing.ts, length):
        state = closed(state)
    growing = extended(state.growing, bar, spacing.ts, length)
    state = Average(growing, state.bars, state.value)
    return closed(state) if is_complete(growing, spacing, length) else state


def followed(state: Trends, bar: Bar) -> Trends:
    """The three averages after a bar."""
    spacing = spaced(state.spacing, float(bar.ts))
    return Trends(
        spacing,
        averaged(state.hour, spacing, bar, HOUR),
        averaged(state.four_hours, spacing, bar, FOUR_HOURS),
        averaged(state.day, spacing, bar, DAY),
    )


def trend(state: Average, close: float) -> float:
    """+1 above, -1 below, 0 near the average or while it is not full."""
    if state.bars < LENGTH:
        return 0.0
    if close > state.value * (1.0 + MARGIN):
        return 1.0
    return -1.0 if close < state.value * (1.0 - MARGIN) else 0.0


def agreeing(state: Trends, close: float, direction: float) -> float:
    """How many of the three trend in a direction."""
    found = 0.0
    for each in (state.hour, state.four_hours, state.day):
        if trend(each, close) == direction:
            found += 1.0
    return found


def alignment(along: float, against: float) -> float:
    """How well a signal goes with the trends, by how many are along and against it."""
    if against > along:
        return 0.2
    if against > 0.0:
        return 0.4
    return 1.0 if along >= 3.0 else 0.85 if along >= 2.0 else 0.65


def filtered(opinion: Opinion, state: Trends, close: float, least: float) -> Opinion:
    """What the trends leave of an opinion: unclear where they block it."""
    if opinion.direction == 0.0:
        return opinion
    along = agreeing(state, close, opinion.direction)
    against = agreeing(state, close, -opinion.direction)
    if along == 0.0 and against == 0.0:
        return Opinion(opinion.direction, opinion.confidence * NEUTRAL, opinion.level)
    score = alignment(along, against)
    if against > along or score < least:
        return UNCLEAR
    confidence = min(0.4 * opinion.confidence + 0.6 * score, CONFIDENCE_MAX)
    return Opinion(opinion.direction, confidence, opinion.level)


def explained(state: Trends, close: float, direction: float, least: float) -> list[Condition]:
    """The trend of each timeframe and the alignment of a direction, for `/why`."""
    lines = [
        Condition(
            f"trend of {name}",
            trend(each, close) != 0.0,
            f"{DIRECTIONS[trend(each, close)]}: {close:g} vs EMA {LENGTH:g} {each.value:.6g},"
            f" {min(each.bars, LENGTH):.0f} of {LENGTH:.0f} closes",
        )
        for name, each in zip(NAMES, state[1:], strict=True)
    ]
    along, against = agreeing(state, close, direction), agreeing(state, close, -direction)
    passes = filtered(Opinion(direction, 1.0, 0.0), state, close, least).direction != 0.0
    detail = f"{along:g} with it, {against:g} against, at least {least:g} needed"
    if direction == 0.0:
        detail = "no direction to hold against it"
    return [*lines, Condition("goes with the trend", passes, detail)]
