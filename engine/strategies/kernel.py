"""What a strategy is: one pure step function, with its parameters beside it.

`step(params, state, window, bar) -> (state, signal)` sees the bar that closed and its own
state, nothing else, so it cannot look ahead. `params`, `state` and `bar` are NamedTuples of
numbers; `window` is a buffer of float64 that only indicators write. Kernels use neither
`_replace` nor `**` nor numpy sums: they do not compile, or differ from Python in the last bit.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from engine.candle import Candle
from engine.order import Reason
from engine.strategies.exits import Exits
from engine.strategies.sizing import Sizing

Window: TypeAlias = "array[float]"


class Signal(NamedTuple):
    """What a strategy wants after a bar.

    `entry` is +1 to buy, -1 to sell short, 0 for nothing. `exit` is 1 when an open position
    has lost its reason. `reason` is the index in REASONS of whichever is set.
    """

    entry: float
    exit: float
    reason: float


# Kernels speak numbers: the index here is the number.
REASONS = (Reason.EMA_CROSS, Reason.MA_EXIT)
EMA_CROSS = 0.0
MA_EXIT = 1.0

NOTHING = Signal(0.0, 0.0, 0.0)


class Condition(NamedTuple):
    """One thing a strategy looks at, for `/why`: its name, whether it holds, the numbers."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy and everything that is decided about it.

    `params` holds the defaults; `start` gives the state and window before the first bar;
    `ready` says whether warm-up is over; `bars` is how many bars warm-up takes; `explain`
    puts the last bar into words. `exits` and `sizing` are per symbol, with "*" for the rest.
    """

    name: str
    summary: str
    timeframe: int
    bars: int
    params: Any
    state: type[Any]
    start: Callable[[], tuple[Any, Window]]
    step: Callable[[Any, Any, Window, Candle], tuple[Any, Signal]]
    ready: Callable[[Any, Any], bool]
    explain: Callable[[Any, Any, Candle], list[Condition]]
    exits: dict[str, Exits]
    sizing: Sizing

    def exits_for(self, symbol: str) -> Exits:
        return self.exits.get(symbol, self.exits["*"])
