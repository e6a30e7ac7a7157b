"""What metrics are made of: marks of equity, closed round trips, and a figure with its basis.

Plain floats in quote currency, times in UTC ms, fractions rather than percent.
"""

from enum import StrEnum
from math import isfinite
from typing import NamedTuple

# An account trades every day: crypto has no holidays.
DAYS_A_YEAR = 365.0


class Mark(NamedTuple):
    """What an account is worth at a moment, open profit included."""

    ts: int
    equity: float


class RoundTrip(NamedTuple):
    """A position from flat to flat.

    `side` is +1 for long, -1 for short, `quantity` above zero and in base currency. `gross` is
    before costs, `fees` are positive when paid, `funding` is positive when received. What is
    not known is None: `slippage` (lost to it), `risk` (what the first stop would have lost, the
    R of R multiples), `adverse` and `favorable` (the farthest that the price went against and
    for the position, as fractions of the entry price, at least zero).
    """

    symbol: str
    side: int
    entry_time: int
    exit_time: int
    entry_price: float
    exit_price: float
    quantity: float
    entry_tag: str
    exit_reason: str
    gross: float
    fees: float = 0.0
    funding: float = 0.0
    slippage: float | None = None
    risk: float | None = None
    adverse: float | None = None
    favorable: float | None = None

    @property
    def net(self) -> float:
        """Profit after all costs; slippage is in the prices already."""
        return self.gross - self.fees + self.funding

    @property
    def duration(self) -> int:
        """How long the position was held, in ms."""
        return self.exit_time - self.entry_time

    @property
    def traded(self) -> float:
        """What was bought and sold, in quote currency."""
        return self.quantity * (self.entry_price + self.exit_price)


class Unit(StrEnum):
    """How a value is to be read: `ms` is a duration, `time` a moment in UTC ms."""

    MONEY = "money"
    FRACTION = "fraction"
    RATIO = "ratio"
    COUNT = "count"
    MS = "ms"
    TIME = "time"


class Metric(NamedTuple):
    """A figure and what it stands on.

    `value` is finite, or None where the figure is not defined: then `why` says so in plain
    words. `n` counts what it was made of: days, trades, marks or symbols.
    """

    value: float | None
    n: int
    why: str = ""
    unit: Unit = Unit.RATIO

    def as_dict(self) -> dict[str, float | int | str | None]:
        """For JSON."""
        return {"value": self.value, "n": self.n, "why": self.why, "unit": self.unit.value}


def known(value: float, n: int) -> Metric:
    """A figure; one that no number can hold is undefined."""
    if not isfinite(value):
        return undefined("too large to be a number", n)
    return Metric(float(value), n)


def undefined(why: str, n: int = 0) -> Metric:
    """A figure that can't be told, and why."""
    return Metric(None, n, why)


def too_few(least: int, found: int, noun: str) -> Metric:
    """A figure that stands on too little, as in "needs 2 days, has 1"."""
    plural = noun if least == 1 else f"{noun}s"
    return undefined(f"needs {least} {plural}, has {found}", found)


def quotient(top: Metric, bottom: Metric, why_not: str) -> Metric:
    """One figure over another, undefined for the reason of either or where the lower is zero."""
    n = top.n
    if top.value is None:
        return top
    if bottom.value is None:
        return undefined(bottom.why, n)
    return known(top.value / bottom.value, n) if bottom.value else undefined(why_not, n)
