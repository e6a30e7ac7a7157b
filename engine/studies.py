"""Backtests as people ask for them: what is tried, how far it is, and what came of it.

Light and pure: the desk and its commands handle them without loading numpy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from engine.backtest.plan import DEPOSIT, FEE, SLIPPAGE, Held, Outcome, Plan
from engine.candle import DAY_MS, timeframe_name
from engine.errors import BadInput
from engine.instrument import Instrument
from engine.market.candle_file import Series
from engine.metrics import Mark, Metric, RoundTrip
from engine.people import Asker
from engine.ports import Clock
from engine.signal import Sides
from engine.strategies.kernel import Strategy


class Stage(StrEnum):
    """How far a backtest is. The last three are ends."""

    QUEUED = "queued"
    LOADING = "loading"
    FETCHING = "fetching"
    COMPILING = "compiling"
    RUNNING = "running"
    MEASURING = "measuring"
    DRAWING = "drawing"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_end(self) -> bool:
        return self in (Stage.DONE, Stage.FAILED, Stage.CANCELED)


class Source(StrEnum):
    """Where its candles come from: what is stored, the desk's own market, or Bybit."""

    ARCHIVE = "archive"
    MARKET = "market"
    BYBIT = "bybit"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be tried, complete: the same setup on the same candles gives the same outcome.

    `values` are the parameters that differ from the strategy's own, `timeframe` is in ms. The
    candles are of `interval` ms and open from `start` to before `stop` (UTC ms).
    """

    strategy: str
    symbols: tuple[str, ...]
    timeframe: int
    interval: int
    start: int
    stop: int
    source: Source
    values: Mapping[str, float] = field(default_factory=dict)
    deposit: float = DEPOSIT
    fee: float = FEE
    slippage: float = SLIPPAGE
    sides: Sides = Sides.BOTH
    exact: bool = False

    @property
    def days(self) -> int:
        return (self.stop - self.start) // DAY_MS

    @property
    def title(self) -> str:
        """`shortseller 5m on BTCUSDT, ETHUSDT, 90 days`."""
        symbols = ", ".join(self.symbols)
        return f"{self.strategy} {timeframe_name(self.timeframe)} on {symbols}, {self.days} days"

    def plan(self, strategies: Mapping[str, Strategy]) -> Plan:
        """The plan that a backtest takes; raises BadInput where the strategy is no more."""
        strategy = strategy_named(self.strategy, strategies).at(self.timeframe).tuned(self.values)
        return Plan(
            strategy, self.deposit, self.fee, self.slippage, sides=self.sides, exact=self.exact
        )


def strategy_named(name: str, strategies: Mapping[str, Strategy]) -> Strategy:
    """The strategy of that name; raises BadInput naming those there are."""
    if name not in strategies:
        raise BadInput("strategy", name, ", ".join(strategies))
    return strategies[name]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Candles of the desk's own market, by symbol, with the rates settled (by UTC ms).

    `remarks` are what the market says of its candles: what was wrong, or that they are invented.
    """

    series: Mapping[str, Series]
    rates: Mapping[str, Mapping[int, Decimal]]
    instruments: Mapping[str, Instrument]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where candles are found: the archive under `data_dir`, Bybit at `rest_base`, or
    `recorded`, as the setup's source says."""

    data_dir: Path
    rest_base: str
    clock: Clock
    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a setup did on its candles: an Outcome without its plan, as plain values."""

    symbols: tuple[str, ...]
    interval: int
    start: int
    end: int
    bars: int
    trips: tuple[RoundTrip, ...]
    held: tuple[Held, ...]
    marks: tuple[Mark, ...]
    balance: float
    equity: float
    fees: float
    funding: float
    prices: dict[str, tuple[float, float]]
    digest: str
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: Outcome) -> "Finding":
        found = {name: getattr(outcome, name) for name in cls.__slots__}
        # A compiled run leaves numbers of numpy's, which the desk does not load.
        marks = tuple(Mark(int(ts), float(equity)) for ts, equity in outcome.marks)
        return cls(**{**found, "marks": marks})

    def outcome(self, plan: Plan) -> Outcome:
        """The whole outcome again."""
        return Outcome(plan=plan, **{name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Study:
    """One backtest that somebody asked for.

    `asked_by` is an actor of the audit, `asker` what people call them (empty where that was not
    kept), `surface` the door they asked through, `asked_at` wall time in UTC ms. `detail` says
    more of its stage; `failure` why there is no result. `metrics` are there when it is done, by
    the keys of `engine.metrics.TITLES`; `digest` names its candles.
    """

    number: int
    setup: Setup
    asked_by: str
    surface: str
    asked_at: int
    stage: Stage = Stage.QUEUED
    detail: str = ""
    failure: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    digest: str = ""
    asker: str = ""

    @property
    def is_over(self) -> bool:
        return self.stage.is_end

    def at(self, stage: Stage, detail: str = "") -> "Study":
        return replace(self, stage=stage, detail=detail)

    def failed(self, reason: str) -> "Study":
        return replace(self, stage=Stage.FAILED, detail="", failure=reason)


class Studies(Protocol):
    """The backtests of a desk: those that run and those that are kept."""

    async def start(self, setups: Sequence[Setup], asker: Asker) -> list[Study]:
        """Put backtests into the queue, numbered. Raises Refused where too many wait."""
        ...

    def cancel(self, number: int) -> Study:
        """End a backtest that waits or runs. Raises Refused where there is none."""
        ...

    def ahead(self, number: int) -> int:
        """How many backtests are before this one in the queue; 0 for one that does not wait."""
        ...

    def numbers(self) -> Sequence[int]:
        """All there are, the newest first."""
        ...

    async def study(self, number: int) -> Study:
        """One of them as it stands now. Raises Refused where there is none."""
        ...

    async def finding(self, number: int) -> Finding:
        """What came of one that is done. Raises Refused where there is nothing."""
        ...

    async def report(self, number: int) -> str:
        """The full report of one that is done, as a page of HTML. Raises Refused."""
        ...
