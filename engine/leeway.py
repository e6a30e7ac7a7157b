"""How far a parameter may go now: how long it rests after a change, and how far a day reaches.

Pure functions of the core's memory. All times are market time, UTC ms: a wall clock that goes back
or forth gives nobody another day.
"""

import math
from typing import NamedTuple

from engine import retuning
from engine.candle import DAY_MS
from engine.memory import Memory
from engine.tunable import STEP_SLACK, Parameter
from engine.tuning import Setting


class Room(NamedTuple):
    """The lowest and the highest value that a parameter may be given; none where they cross."""

    low: float
    high: float

    def holds(self, value: float, step: float) -> bool:
        slack = STEP_SLACK * step
        return self.low - slack <= value <= self.high + slack


def market_time(memory: Memory) -> int:
    """The latest market time that tuning has seen; it never goes back."""
    return max(memory.tuning.clock, memory.desk.now)


def setting(memory: Memory, scope: str, name: str) -> Setting | None:
    """What is remembered of a parameter's changes; None where nobody ever changed it."""
    return memory.tuning.values.get(scope, {}).get(name)


def rests_until(memory: Memory, scope: str, parameter: Parameter) -> int:
    """Until when a parameter rests after its last change; 0 where it does not rest."""
    found = setting(memory, scope, parameter.name)
    until = found.changed_at + parameter.cooldown_ms if found else 0
    return until if until > market_time(memory) else 0


def room_now(memory: Memory, scope: str, parameter: Parameter) -> Room:
    """The values that a parameter may have now, on its steps and within its bounds.

    No two values that it has within 24 hours lie further apart than its reach. A value outside of
    the bounds, which only settings files have, counts as the bound.
    """
    within = [
        min(max(each, parameter.low), parameter.high) for each in _stood(memory, scope, parameter)
    ]
    lowest = max(parameter.low, max(within) - parameter.reach)
    highest = min(parameter.high, min(within) + parameter.reach)
    return Room(
        parameter.stepped(parameter.low, math.ceil(_steps(parameter, lowest) - STEP_SLACK)),
        parameter.stepped(parameter.low, math.floor(_steps(parameter, highest) + STEP_SLACK)),
    )


def _steps(parameter: Parameter, value: float) -> float:
    return (value - parameter.low) / parameter.step


def _stood(memory: Memory, scope: str, parameter: Parameter) -> list[float]:
    """The value in force, and those that stood within the last 24 hours."""
    since = market_time(memory) - DAY_MS
    found = setting(memory, scope, parameter.name)
    held = found.held if found else ()
    before = [value for until, value in held if until > since]
    return [retuning.value(memory, scope, parameter.name), *before]
