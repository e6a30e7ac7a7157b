"""What a strategy is: one pure step function, with its parameters beside it.

`step(params, state, window, bar) -> (state, signal)` sees the bar that closed and its own
state, nothing else, so it cannot look ahead. `params`, `state` and `bar` are NamedTuples of
numbers, a state may hold others; `window` is a buffer of float64 that only indicators write.
Kernels use neither `_replace` nor `**` nor numpy sums: they do not compile, or differ from
Python in the last bit. They give every field of a NamedTuple they make: compiled code knows no
defaults.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from engine.candle import timeframe_name
from engine.errors import BadInput
from engine.order import Reason
from engine.strategies import common
from engine.strategies.exits import Exits
from engine.strategies.pipeline import OPEN, Pipeline
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, by_name, parse_values

Window: TypeAlias = "array[float]"


class Bar(NamedTuple):
    """What a kernel sees of a closed bar of the strategy's timeframe.

    `ts` is its open (UTC ms), volume is in base currency, `funding` the rate settled last as a
    fraction of the notional (positive: longs pay). `higher_*` is the last closed bar of the
    strategy's higher timeframe, all 0 while there was none; `higher_closed` is 1 on the bar
    with which it closed. Where bars are missing two may close at once: the later is seen.
    """

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    funding: float = 0.0
    higher_closed: float = 0.0
    higher_open: float = 0.0
    higher_high: float = 0.0
    higher_low: float = 0.0
    higher_close: float = 0.0
    higher_volume: float = 0.0


class Signal(NamedTuple):
    """What a strategy wants after a bar.

    `entry` is +1 to buy, -1 to sell short, 0 for nothing; `confidence` in it from 0 to 1 ranks
    it among others. `exit_long` and `exit_short` are 1 when a position of that side has lost its
    reason. `reason` is the index in REASONS of whichever is set, that of the entry first. `stop`,
    `target` and `trail` are distances from the price in quote currency; 0 leaves them to the
    strategy's Exits.
    """

    entry: float
    exit_long: float
    exit_short: float
    reason: float
    confidence: float = 1.0
    stop: float = 0.0
    target: float = 0.0
    trail: float = 0.0


# Kernels speak numbers: the index here is the number.
REASONS = (
    Reason.EMA_CROSS,
    Reason.MA_EXIT,
    Reason.LONG_ENTRY,
    Reason.SHORT_ENTRY,
    Reason.LONG_EXIT,
    Reason.SHORT_EXIT,
    Reason.SIGNAL_REVERSAL,
    Reason.TIME_EXIT,
    Reason.VOLATILITY_BREAKOUT,
    Reason.RULE_6,
    Reason.RULE_8,
)
EMA_CROSS = 0.0
MA_EXIT = 1.0
LONG_ENTRY = 2.0
SHORT_ENTRY = 3.0
LONG_EXIT = 4.0
SHORT_EXIT = 5.0
SIGNAL_REVERSAL = 6.0
TIME_EXIT = 7.0
VOLATILITY_BREAKOUT = 8.0
RULE_6 = 9.0
RULE_8 = 10.0

NOTHING = Signal(0.0, 0.0, 0.0, 0.0)


def legal(signal: Signal) -> Signal:
    """The signal, of which orders can be made; raises ValueError where none can."""
    is_wish = signal.entry or signal.exit_long or signal.exit_short
    if is_wish and not (
        all(map(isfinite, signal))
        and signal.entry in (-1.0, 0.0, 1.0)
        and int(signal.reason) in range(len(REASONS))
        and 0.0 <= signal.confidence <= 1.0
        and min(signal.stop, signal.target, signal.trail) >= 0.0
    ):
        raise ValueError(f"no order can be made of {signal!r}")
    return signal


class Condition(NamedTuple):
    """One thing a strategy looks at, for `/why`: its name, whether it holds, the numbers."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy and everything that is decided about it.

    `params` holds the values in force, `parameters` the bounds of each of them. `timeframe` and
    `higher` are lengths of bars in ms; a `higher` of 0 sees no longer bars. `bars(params)` is how
    many bars warm-up takes; `start(params)` gives the state and window before the first one;
    `explain` puts the last bar into words. `exits` are per symbol, with "*" for the rest. `pairs`
    are the timeframes it may be run on instead, each with its higher one; `ordered` are pairs of
    parameters of which the first makes sense below the second alone.
    """

    name: str
    summary: str
    timeframe: int
    params: Any
    parameters: tuple[Parameter, ...]
    bars: Callable[[Any], int]
    start: Callable[[Any], tuple[Any, Window]]
    step: Callable[[Any, Any, Window, Bar], tuple[Any, Signal]]
    explain: Callable[[Any, Any, Bar], list[Condition]]
    exits: dict[str, Exits]
    sizing: Sizing
    pipeline: Pipeline = OPEN
    higher: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()

    @property
    def bars_needed(self) -> int:
        """How many bars warm-up takes with the parameters in force."""
        return self.bars(self.params)

    def exits_for(self, symbol: str) -> Exits:
        return self.exits.get(symbol, self.exits["*"])

    def at(self, timeframe: int) -> "Strategy":
        """The strategy on bars of another length (ms); raises BadInput naming those there are."""
        pairs = dict(self.pairs) | {self.timeframe: self.higher}
        if timeframe not in pairs:
            allowed = ", ".join(map(timeframe_name, sorted(pairs)))
            raise BadInput("timeframe", timeframe_name(timeframe), allowed)
        return replace(self, timeframe=timeframe, higher=pairs[timeframe])

    @property
    def tunable(self) -> dict[str, Parameter]:
        """Every parameter by name: the strategy's own first, then those all strategies have."""
        return by_name((*self.parameters, *common.EXITS, *common.SIZING, *common.PIPELINE))

    def parse(self, words: Mapping[str, str]) -> dict[str, float]:
        """Values of parameters as people wrote them; raises BadInput naming what is allowed."""
        return parse_values(self.tunable, words)

    def tuned(self, values: Mapping[str, float]) -> "Strategy":
        """The strategy with other values, an exit rule's for every symbol.

        Raises BadInput for a parameter it does not have, or a value out of bounds.
        """
        known = self.tunable
        for name in values:
            if name not in known:
                raise BadInput("parameter", name, ", ".join(known))
        values = {name: known[name].check(value) for name, value in values.items()}
        own = {each.name: values[each.name] for each in self.parameters if each.name in values}
        return replace(
            self,
            params=self.params._replace(**own),
            exits={
                symbol: common.with_exits(exits, values) for symbol, exits in self.exits.items()
            },
            sizing=common.with_sizing(self.sizing, values),
            pipeline=common.with_pipeline(self.pipeline, values),
        )
