"""An entry that somebody wants, and everything that the gates look at to let it pass or not."""

from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

from engine.bias import Bias
from engine.instrument import Instrument, exact
from engine.limits import HALF, NO_CAPS, NO_LIMITS, Caps, Limits, Step
from engine.order import ZERO, Side
from engine.signal import Sides
from engine.standing import (
    NO_CAP_USED,
    NOTHING_COMMITTED,
    CapUse,
    Committed,
    Lock,
    Standing,
)
from engine.strategies.pipeline import OPEN, UNHEARD, Heard, Pipeline
from engine.strategies.sizing import Sizing, notional


@dataclass(frozen=True, slots=True)
class Layers:
    """What the layers of risk look at; with the defaults none is in force.

    `shut` says why books and exchange stand against an entry, empty where they agree, None where
    nobody compares them. `standing` is how the account stands by its limits of losses, `streak` how
    many losses it had in a row, `failures` how often the exchange failed lately. `last` is the last
    price of the symbol, `fee` a fraction.
    """

    limits: Limits = NO_LIMITS
    caps: Caps = NO_CAPS
    shut: str | None = None
    standing: tuple[Standing, ...] = ()
    streak: int = 0
    rests_until: int = 0
    failures: int = 0
    shut_until: int = 0
    lock: Lock | None = None
    committed: Committed = NOTHING_COMMITTED
    cap_use: CapUse = NO_CAP_USED
    fee: Decimal = ZERO
    last: float = 0.0

    @property
    def factor(self) -> float:
        """What limits of losses leave of a new size."""
        return HALF if any(each.step > Step.FREE for each in self.standing) else 1.0


NO_LAYERS = Layers()


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """Everything the gates look at. Money is in quote currency, times are market ms.

    `wanted` is the quantity that a person asked for; None where equity and margin say it.
    `price_age` and its maximum are ms of wall time; with 0 the price is of no clock. `side` and
    `confidence` are those of the signal, None where there is none; `stop` is the distance of the
    stop as a fraction of the price; `taken` counts the slots in use, `disabled` says who
    switched the symbol off.

    An order that is `resting` waits away from the last price; `order_waits` says that the one that
    is open does. `dearest` is what it may be filled at, where that is more than `price`. Limits of
    losses cut the size that equity and margin say, never what a person asked for. `bias` is a
    model's, None where it may stop nothing.
    """

    ts: int
    price: float
    instrument: Instrument
    sizing: Sizing
    equity: Decimal
    free_margin: Decimal
    halted: str
    paused: bool
    bars: int
    bars_needed: int
    late: bool
    cooldown_until: int
    holding: Decimal
    order_open: bool
    market_ended: bool = False
    wanted: Decimal | None = None
    price_age: int = 0
    price_age_max: int = 0
    side: Side | None = None
    confidence: float | None = None
    stop: float = 0.0
    pipeline: Pipeline = OPEN
    heard: Heard = UNHEARD
    sides: Sides = Sides.BOTH
    disabled: str = ""
    taken: int = 0
    layers: Layers = NO_LAYERS
    resting: bool = False
    order_waits: bool = False
    dearest: float = 0.0
    bias: Bias | None = None

    @property
    def is_priced(self) -> bool:
        """Whether the price is one at all."""
        return isfinite(self.price) and self.price > 0

    @property
    def quantity(self) -> Decimal:
        """The size that equity and margin allow, in tradable steps of base currency."""
        if self.wanted is not None:
            return self.wanted
        if not self.is_priced:
            return ZERO
        size = notional(self.sizing, float(self.equity), self.stop) * self.layers.factor
        return self.instrument.quantize(size / self.price)

    @property
    def margin(self) -> Decimal:
        return self.value / self.sizing.leverage

    @property
    def value(self) -> Decimal:
        """What it may come to be worth."""
        return self.quantity * exact(max(self.price, self.dearest)) if self.is_priced else ZERO

    @property
    def at_stop(self) -> Decimal:
        """What its stop would cost with both fees; without one, or with one beyond the liquidation,
        all of its margin."""
        value = self.value
        lost = min(value * exact(self.stop), self.margin) if self.stop else self.margin
        return lost + 2 * value * self.layers.fee
