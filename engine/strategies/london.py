"""London breakout: follows the first break out of London's first hour.

Five-minute bars, both sides. The highest and lowest price of 08:00 to 09:00 UTC are the range;
one of less than 10 pips, or with a bar missing, is not traded. The first close beyond it is the
entry, to that side. Breaks count until 17:00, and there is one a day, taken or not. The stop is
20 pips away, the target 40; nothing else ends a position. A pip is 1/10,000 of the price.
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
    """Hours of the UTC day; the least range as a fraction of the price."""

    range_start: float = 8.0
    range_end: float = 9.0
    last_hour: float = 17.0
    range_min: float = 0.0010


class State(NamedTuple):
    """Today's range, the day that has had its break, and the side of the one that the last bar
    made."""

    range: Session = Session()
    broken: float = 0.0
    side: float = 0.0


PARAMETERS = (
    Parameter("range_start", 8, 0, 22, 1, Unit.HOUR, Tier.YELLOW, "UTC hour the range begins"),
    Parameter("range_end", 9, 1, 23, 1, Unit.HOUR, Tier.YELLOW, "UTC hour the range ends"),
    Parameter(
        "last_hour", 17, 1, 24, 1, Unit.HOUR, Tier.YELLOW, "UTC hour breaks count until", riskier=1
    ),
    Parameter(
        "range_min", 0.001, 0.0001, 0.05, 0.0001, Unit.FRACTION, Tier.GREEN,
        "least range worth a break", riskier=-1,
    ),
)  # fmt: skip


def bars(params: Params) -> int:
    return int(session_bars(params.range_start, params.range_end)) + 1


def start(params: Params) -> tuple[State, Window]:
    return State(), array("d")


def is_tradable(params: Params, today: Session, bar: Bar) -> bool:
    if hour_of(bar.ts) >= params.last_hour:
        return False
    return is_range(today, params.range_min * bar.close, params.range_start, params.range_end)


def side_of(today: Session, close: float) -> float:
    if close > today.high:
        return 1.0
    return -1.0 if close < today.low else 0.0


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    today = session(state.range, bar.ts, bar.high, bar.low, params.range_start, params.range_end)
    side = 0.0
    if state.broken != today.day and is_tradable(params, today, bar):
        side = side_of(today, bar.close)
    if side > 0.0:
        return State(today, today.day, side), BUY
    if side < 0.0:
        return State(today, today.day, side), SELL
    return State(today, state.broken, side), NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    today = state.range
    hour = hour_of(bar.ts)
    had_one = state.broken == today.day and state.side == 0.0
    return [
        *range_conditions(today, bar.close, params.range_min, params.range_start, params.range_end),
        Condition(
            f"before {params.last_hour:02.0f}:00 UTC", hour < params.last_hour, f"hour {hour:.2f}"
        ),
        Condition("first break of the day", not had_one, "had one" if had_one else "none before"),
        Condition(
            "close beyond the range",
            side_of(today, bar.close) != 0.0,
            f"{bar.close:g} vs {today.low:g} to {today.high:g}",
        ),
    ]


STRATEGY = Strategy(
    name="london",
    summary="London breakout: follows the first break of the range of 08:00 to 09:00 UTC",
    timeframe=SESSION_TIMEFRAME,
    params=Params(),
    parameters=PARAMETERS,
    ordered=(("range_start", "range_end"), ("range_end", "last_hour")),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0020, 0.0040, 0.0, 0.0, max_age_ms=0, cooldown_ms=0)},
    sizing=SIZING,
)
