"""Asian range: fades the edges of the quiet hours' range.

Five-minute bars, both sides. The highest and lowest price of 00:00 to 09:00 UTC are the range;
one of less than 15 pips, or with a bar missing, is not traded. From then until midnight a close
within 5 pips of the upper edge sells and one within 5 pips of the lower edge buys, each edge once
a day. A close further out than that has broken the range: the day is over. The stop is 15 pips
away, the target 30; else only the entry at the other edge ends a position. A pip is 1/10,000 of
the price.
"""

from array import array
from typing import NamedTuple

from engine.strategies.exits import Exits
from engine.strategies.forex import (
    BUY,
    SELL,
    SESSION_TIMEFRAME,
    SIZING,
    Session,
    hour_of,
    is_range,
    range_conditions,
    session,
    session_bars,
)
from engine.strategies.kernel import NOTHING, Bar, Condition, Signal, Strategy, Window
from engine.tunable import Parameter, Tier, Unit


class Params(NamedTuple):
    """Hours of the UTC day; tolerance and least range as fractions of the price."""

    range_start: float = 0.0
    range_end: float = 9.0
    tolerance: float = 0.0005
    range_min: float = 0.0015


class State(NamedTuple):
    """Today's range, the days on which it was last broken, sold and bought, and the side of the
    fade that the last bar made."""

    range: Session = Session()
    broken: float = 0.0
    sold: float = 0.0
    bought: float = 0.0
    side: float = 0.0


PARAMETERS = (
    Parameter("range_start", 0, 0, 22, 1, Unit.HOUR, Tier.YELLOW, "UTC hour the range begins"),
    Parameter("range_end", 9, 1, 23, 1, Unit.HOUR, Tier.YELLOW, "UTC hour the range ends"),
    Parameter(
        "tolerance", 0.0005, 0.0001, 0.01, 0.0001, Unit.FRACTION, Tier.GREEN,
        "how near an edge counts as there", riskier=1,
    ),
    Parameter(
        "range_min", 0.0015, 0.0001, 0.05, 0.0001, Unit.FRACTION, Tier.GREEN,
        "least range worth fading", riskier=-1,
    ),
)  # fmt: skip


def bars(params: Params) -> int:
    return int(session_bars(params.range_start, params.range_end)) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def is_tradable(params: Params, today: Session, bar: Bar) -> bool:
    if hour_of(bar.ts) < params.range_end:
        return False
    return is_range(today, params.range_min * bar.close, params.range_start, params.range_end)


def breaks(today: Session, close: float, tolerance: float) -> bool:
    return close > today.high + tolerance or close < today.low - tolerance


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    today = session(state.range, bar.ts, bar.high, bar.low, params.range_start, params.range_end)
    day = today.day
    calm = State(today, state.broken, state.sold, state.bought, 0.0)
    if state.broken == day or not is_tradable(params, today, bar):
        return calm, NOTHING
    tolerance = params.tolerance * bar.close
    if breaks(today, bar.close, tolerance):
        return State(today, day, state.sold, state.bought, 0.0), NOTHING
    if bar.close >= today.high - tolerance and state.sold != day:
        return State(today, state.broken, day, state.bought, -1.0), SELL
    if bar.close <= today.low + tolerance and state.bought != day:
        return State(today, state.broken, state.sold, day, 1.0), BUY
    return calm, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    today = state.range
    hour = hour_of(bar.ts)
    broken = state.broken == today.day
    tolerance = params.tolerance * bar.close
    faded = [
        word for word, day in (("sold", state.sold), ("bought", state.bought)) if day == today.day
    ]
    return [
        *range_conditions(today, bar.close, params.range_min, params.range_start, params.range_end),
        Condition(
            f"after {params.range_end:02.0f}:00 UTC", hour >= params.range_end, f"hour {hour:.2f}"
        ),
        Condition("not broken today", not broken, "broken" if broken else "unbroken"),
        Condition(
            f"close within {params.tolerance:.2%} of an edge",
            bar.close >= today.high - tolerance or bar.close <= today.low + tolerance,
            f"{bar.close:g} vs {today.low:g} and {today.high:g}",
        ),
        Condition(
            "first time at that edge today",
            state.side != 0.0,
            f"{' and '.join(faded) or 'not traded'} today",
        ),
    ]


STRATEGY = Strategy(
    name="asian",
    summary="Asian range: fades the edges of the range of 00:00 to 09:00 UTC",
    timeframe=SESSION_TIMEFRAME,
    params=Params(),
    parameters=PARAMETERS,
    ordered=(("range_start", "range_end"),),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0015, 0.0030, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
