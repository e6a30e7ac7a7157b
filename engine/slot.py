"""A bot at work on one symbol: what its strategy remembers, and how bars reach it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from engine.bot import Bot
from engine.candle import Aggregator, Candle
from engine.errors import CountersignError
from engine.event import CandleClosed
from engine.strategies.kernel import Bar, Signal
from engine.strategies.pipeline import UNHEARD, Heard, hear


@dataclass(slots=True)
class SlotState:
    """What is stored of a slot. `made_with` are the timeframes and parameters of its kernel."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="constants")

    kernel: tuple[float, ...]
    window: list[float]
    cooldown_until: int
    open_bar: Candle | None
    last_bar: Bar | None
    bars: int = 0
    heard: Heard = UNHEARD
    higher: Candle | None = None
    higher_open_bar: Candle | None = None
    higher_is_new: bool = False
    made_with: tuple[float, ...] | None = None


_STATE = TypeAdapter(SlotState)
# What a kernel is stored as that has not seen all candles of before: it begins again.
HALF_WARM = ()


class StepFailed(CountersignError):
    """A strategy's step raised an error, or gave what no order can be made of."""


@contextmanager
def naming_failures() -> Iterator[None]:
    """A user's own step may raise anything: here it becomes StepFailed."""
    try:
        yield
    except Exception as error:
        raise StepFailed(f"{type(error).__name__}: {error}") from error


class Slot:
    """A bot at work on one symbol: the strategy's memory and what it needs every bar.

    `params` are those that its kernel was made with: where its bot was given others since, the
    `successor` works with them as soon as it is warm. `kept_back` holds the candles that close
    while those of before are looked up, by the number `recall`; else it is None. `alarm` is the
    price at which people are told that the margin of what is held runs out, negative for a short;
    0.0 where none is watched.
    """

    __slots__ = (
        "_higher_is_new",
        "aggregator",
        "alarm",
        "bars",
        "bot",
        "cooldown_until",
        "exits",
        "heard",
        "held",
        "higher",
        "higher_aggregator",
        "kept_back",
        "kernel",
        "key",
        "last_bar",
        "opened_at",
        "params",
        "recall",
        "step",
        "successor",
        "symbol",
        "window",
    )

    def __init__(self, bot: Bot, symbol: str, interval: int) -> None:
        strategy = bot.strategy
        self.bot = bot
        self.symbol = symbol
        self.key = f"slot:{bot.account}:{strategy.name}:{symbol}"
        self.params = strategy.params
        self.exits = strategy.exits_for(symbol)
        self.step = strategy.step
        self.kernel, self.window = strategy.start(strategy.params)
        self.aggregator = (
            None if interval == strategy.timeframe else Aggregator(interval, strategy.timeframe)
        )
        self.higher_aggregator = Aggregator(interval, strategy.higher) if strategy.higher else None
        self.higher: Candle | None = None
        self._higher_is_new = False
        self.bars = 0
        self.heard = UNHEARD
        self.cooldown_until = 0
        self.held = False
        self.opened_at = 0
        self.alarm = 0.0
        self.last_bar: Bar | None = None
        self.kept_back: list[CandleClosed] | None = None
        self.recall = 0
        self.successor: Slot | None = None

    @property
    def bars_needed(self) -> int:
        """How many bars its kernel has to see before it is warm."""
        return self.bot.strategy.bars(self.params)

    @property
    def is_warm(self) -> bool:
        return self.bars >= self.bars_needed

    def work_for(self, bot: Bot) -> None:
        """Obey the rules of another version of its bot; the kernel stays the one it has."""
        self.bot = bot
        self.exits = bot.strategy.exits_for(self.symbol)

    def take_over(self, before: "Slot") -> None:
        """Know what the slot that worked here before knows of its position."""
        self.cooldown_until = before.cooldown_until
        self.held = before.held
        self.opened_at = before.opened_at
        self.alarm = before.alarm

    def see(self, bar: Bar) -> Signal:
        """Let the strategy take a closed bar of its timeframe; what it wants after it."""
        self.kernel, signal = self.step(self.params, self.kernel, self.window, bar)
        self.bars += 1
        self.last_bar = bar
        return signal

    def warm_up(self, event: CandleClosed) -> None:
        """Take a candle of the past: whatever the strategy wants, nothing comes of it."""
        pipeline = self.bot.strategy.pipeline
        for bar in self.take(event.candle, event.funding):
            signal = self.see(bar)
            if signal.entry:
                heard, ts = self.heard, float(event.closed_at)
                self.heard = hear(pipeline, heard, ts, signal.entry, signal.confidence)

    def take(self, candle: Candle, funding: float) -> list[Bar]:
        """The bars of the strategy's timeframe that a candle of the market completes."""
        if self.higher_aggregator is None:
            if self.aggregator is None:
                return [Bar(*candle, funding)]
            return [Bar(*bar, funding) for bar in self.aggregator.push(candle)]
        for higher in self.higher_aggregator.push(candle):
            self.higher, self._higher_is_new = higher, True
        completed = [candle] if self.aggregator is None else self.aggregator.push(candle)
        return [self._seen(bar, funding) for bar in completed]

    def _seen(self, bar: Candle, funding: float) -> Bar:
        if self.higher is None:
            return Bar(*bar, funding)
        is_new, self._higher_is_new = self._higher_is_new, False
        return Bar(*bar, funding, float(is_new), *self.higher[1:])

    # -- rows ----------------------------------------------------------------------------

    def dump(self) -> str:
        state = SlotState(
            kernel=tuple(flat(self.kernel)),
            window=list(self.window),
            cooldown_until=self.cooldown_until,
            open_bar=self.aggregator.open_bar if self.aggregator else None,
            last_bar=self.last_bar,
            bars=self.bars,
            heard=self.heard,
            higher=self.higher,
            higher_open_bar=self.higher_aggregator.open_bar if self.higher_aggregator else None,
            higher_is_new=self._higher_is_new,
            made_with=_made_with(self) if self.kept_back is None else HALF_WARM,
        )
        return _STATE.dump_json(state).decode()

    def load(self, body: str) -> None:
        """Take back what was stored; a kernel of other parameters or shape begins again."""
        state = _STATE.validate_json(body)
        self.cooldown_until = state.cooldown_until
        if state.made_with is None:
            # Stored before slots counted bars: the only strategy of then counted its own first.
            state.bars = int(state.kernel[0])
        elif state.made_with != _made_with(self):
            return
        shape = (sum(1 for _ in flat(self.kernel)), len(self.window))
        if (len(state.kernel), len(state.window)) != shape:
            return
        self.kernel = shaped(self.kernel, iter(state.kernel))
        self.window[:] = type(self.window)("d", state.window)
        self.last_bar = state.last_bar
        self.bars = state.bars
        self.heard = state.heard
        self.higher = state.higher
        self._higher_is_new = state.higher_is_new
        if self.aggregator:
            self.aggregator.open_bar = state.open_bar
        if self.higher_aggregator:
            self.higher_aggregator.open_bar = state.higher_open_bar


def _made_with(slot: Slot) -> tuple[float, ...]:
    strategy = slot.bot.strategy
    return (float(strategy.timeframe), float(strategy.higher), *flat(slot.params))


def flat(state: Any) -> Iterator[float]:
    """The numbers of a kernel's state, in order, from within its nested tuples too."""
    for value in state:
        if isinstance(value, tuple):
            yield from flat(value)
        else:
            yield value


def shaped(like: Any, values: Iterator[float]) -> Any:
    """A state of the same shape as `like` from its numbers."""
    return type(like)(
        *(shaped(each, values) if isinstance(each, tuple) else next(values) for each in like)
    )
