"""What is tried on which candles, and what came of it: the nouns of a backtest.

Light: chat and the command line make and show them without loading numpy.
"""

from dataclasses import dataclass, field

from engine.metrics import Mark, RoundTrip
from engine.signal import Sides
from engine.strategies.kernel import Strategy

DEPOSIT = 10_000.0
# What Bybit takes, and half of the worst slippage that the paper exchange draws.
FEE = 0.00055
SLIPPAGE = 0.00025
# The rate where none is known, every 8 hours.
FUNDING_RATE = 0.0001
# Bars that there must be after warm-up: fewer tell nothing.
BARS_BEYOND_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """A strategy with its parameters, and what trading costs it.

    `deposit` is in quote currency; `fee` and `slippage` are fractions of the notional, taken from
    every fill. `exact` runs the desk's own core and paper exchange instead of the fast loop.
    """

    strategy: Strategy
    deposit: float = DEPOSIT
    fee: float = FEE
    slippage: float = SLIPPAGE
    sides: Sides = Sides.BOTH
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A position that was open at the end; `profit` is before the costs of closing it."""

    symbol: str
    side: int
    quantity: float
    entry_time: int
    entry_price: float
    price: float
    profit: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan did on its candles.

    `start` and `end` are the first open and the last close (UTC ms), `bars` counts the market's
    candles of `interval` ms. `trips` are the closed trades by their ends, `marks` the worth of the
    account at full hours and at both ends, `fees` and `funding` the sums of all fills, those of
    open positions too. `prices` are the first and last price of each symbol, `digest` names the
    candles by their content, `remarks` say what was wrong with them and what was done about it.
    """

    plan: Plan
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
    remarks: tuple[str, ...] = field(default=())
