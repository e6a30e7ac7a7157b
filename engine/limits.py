"""The figures of the risk layers and of the hard caps: what people set, and nothing else.

Shares are fractions, money is in quote currency, times are ms. A figure of 0 switches its rule off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.order import ZERO

# What is left of new sizes once a limit of losses cuts them.
HALF = 0.5


class Step(IntEnum):
    """How far a limit of losses has gone."""

    FREE = 0
    HALVED = 1
    STOPPED = 2


class Span(StrEnum):
    """What losses are counted over: a UTC day, a week from Monday, a month, since the peak."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    PEAK = "peak"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The losses from which new sizes are halved, and from which nothing is opened."""

    halves: Decimal = ZERO
    stops: Decimal = ZERO

    def step(self, loss: Decimal) -> Step:
        """How far a loss (a fraction, positive when lost) goes."""
        if self.stops and loss >= self.stops:
            return Step.STOPPED
        if self.halves and loss >= self.halves:
            return Step.HALVED
        return Step.FREE

    def at(self, step: Step) -> Decimal:
        """The loss that leads to a step."""
        return self.stops if step is Step.STOPPED else self.halves

    @property
    def is_on(self) -> bool:
        return bool(self.halves or self.stops)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the losses and positions of one account; with the defaults nothing does.

    The four ladders are of equity. `losses` in a row make all rest for `losses_rest_ms`. At most
    the share `one_way` of what positions are worth may be in one direction, from `one_way_from`
    open positions on; the stops together may cost the share `open_risk` of equity; at most
    `positions` are open at once. `stop_first` refuses an entry that would be liquidated before its
    stop; people are told of a position whose margin comes down to `margin_level` times what it must
    keep. `stop_outs` within `stop_outs_ms` lock a bot for `stop_outs_lock_ms`. The last
    `losers` trades of a symbol within `losers_ms` that together lose the share `losers_loss` of
    the deposit lock it for `losers_lock_ms`. `failures` of the exchange within `failures_ms` shut
    entries until there was none for `failures_rest_ms`. `price_off` is how far the price of a
    decision may be from the last one.
    """

    day: Ladder = Ladder()
    week: Ladder = Ladder()
    month: Ladder = Ladder()
    drawdown: Ladder = Ladder()
    losses: int = 0
    losses_rest_ms: int = 0
    one_way: Decimal = ZERO
    one_way_from: int = 0
    open_risk: Decimal = ZERO
    positions: int = 0
    stop_first: bool = False
    margin_level: Decimal = ZERO
    stop_outs: int = 0
    stop_outs_ms: int = 0
    stop_outs_lock_ms: int = 0
    losers: int = 0
    losers_ms: int = 0
    losers_loss: Decimal = ZERO
    losers_lock_ms: int = 0
    failures: int = 0
    failures_ms: int = 0
    failures_rest_ms: int = 0
    price_off: Decimal = ZERO

    @property
    def ladders(self) -> Mapping[Span, Ladder]:
        """The ladders that are in force."""
        all_ = {
            Span.DAY: self.day,
            Span.WEEK: self.week,
            Span.MONTH: self.month,
            Span.PEAK: self.drawdown,
        }
        return {span: ladder for span, ladder in all_.items() if ladder.is_on}


NO_LIMITS = Limits()

USUAL_LIMITS = Limits(
    day=Ladder(Decimal("0.02"), Decimal("0.03")),
    week=Ladder(Decimal("0.04"), Decimal("0.07")),
    month=Ladder(Decimal("0.08"), Decimal("0.15")),
    drawdown=Ladder(Decimal("0.10"), Decimal("0.20")),
    losses=3,
    losses_rest_ms=60 * MINUTE_MS,
    one_way=Decimal("0.70"),
    one_way_from=3,
    open_risk=Decimal("0.10"),
    positions=5,
    stop_first=True,
    margin_level=Decimal(3),
    stop_outs=4,
    stop_outs_ms=24 * HOUR_MS,
    stop_outs_lock_ms=12 * HOUR_MS,
    losers=4,
    losers_ms=7 * DAY_MS,
    losers_loss=Decimal("0.02"),
    losers_lock_ms=24 * HOUR_MS,
    failures=3,
    failures_ms=5 * MINUTE_MS,
    failures_rest_ms=15 * MINUTE_MS,
    price_off=Decimal("0.05"),
)


@dataclass(frozen=True, slots=True)
class Caps:
    """What nothing passes, whoever wants it, over all bots of the desk together.

    `order_value` is of one order, `position_value` of one symbol, `gross_exposure` of all; each
    counts what is on its way as filled. `orders_a_minute` counts every order of the last minute of
    market time. `daily_loss` is what a UTC day may lose, with every stop met.
    """

    order_value: Decimal = ZERO
    position_value: Decimal = ZERO
    gross_exposure: Decimal = ZERO
    leverage: int = 0
    orders_a_minute: int = 0
    daily_loss: Decimal = ZERO


NO_CAPS = Caps()
