"""The figures of the risk layers and of the hard caps: what people set, and nothing else.

Shares are fractions, money is in quote currency, times are ms. A figure of 0 switches its rule off.
The limits can be tuned, within bounds that never switch one off; the hard caps can't.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.errors import BadInput
from engine.order import ZERO
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit

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


# -- as parameters -----------------------------------------------------------------------

_LADDERS = ("day", "week", "month", "drawdown")


def _ladder(span: str, until: str, low: float, high: float) -> tuple[Parameter, Parameter]:
    def _loss(name: str, default: Decimal, least: float, words: str) -> Parameter:
        return Parameter(
            f"{span}_{name}", float(default), least, high, 0.01, Unit.FRACTION, Tier.RED,
            f"loss {until} {words}", riskier=1, off_at_zero=True,
        )  # fmt: skip

    usual: Ladder = getattr(USUAL_LIMITS, span)
    return (
        _loss("stops", usual.stops, low, "from which nothing is opened"),
        _loss("halves", usual.halves, 0.01, "from which new sizes are halved"),
    )


def _limit(
    name: str,
    default: Decimal | int,
    low: float,
    high: float,
    step: float,
    unit: Unit,
    words: str,
    riskier: int = 1,
) -> Parameter:
    return Parameter(
        name, float(default), low, high, step, unit, Tier.YELLOW, words,
        riskier=riskier, off_at_zero=True,
    )  # fmt: skip


def _time(name: str, default: int, low: int, high: int, words: str) -> Parameter:
    """A rest, lock or look back: the longer, the more careful."""
    return _limit(name, default, low, high, low, Unit.DURATION, words, riskier=-1)


_USUAL = USUAL_LIMITS
# Named as in the settings, durations without their unit. The bounds keep every rule on; what the
# settings say may lie outside.
LIMIT_PARAMETERS: tuple[Parameter, ...] = (
    *_ladder("day", "of a day", 0.03, 0.15),
    *_ladder("week", "of a week", 0.03, 0.15),
    *_ladder("month", "of a month", 0.05, 0.30),
    *_ladder("drawdown", "since the peak", 0.05, 0.40),
    _limit("losses", _USUAL.losses, 1, 10, 1, Unit.COUNT, "losses in a row until all rest"),
    _time("losses_rest", _USUAL.losses_rest_ms, 5 * MINUTE_MS, DAY_MS, "how long they rest then"),
    _limit(
        "one_way", _USUAL.one_way, 0.5, 1, 0.05, Unit.FRACTION,
        "share of what positions are worth that may be in one direction",
    ),
    _limit(
        "one_way_from", _USUAL.one_way_from, 2, 20, 1, Unit.COUNT,
        "open positions from which that counts",
    ),
    _limit(
        "open_risk", _USUAL.open_risk, 0.01, 0.3, 0.01, Unit.FRACTION,
        "share of equity that all stops together may cost",
    ),
    _limit("positions", _USUAL.positions, 1, 20, 1, Unit.COUNT, "positions of a bot at once"),
    Parameter(
        "stop_first", 1, 0, 1, 1, Unit.CHOICE, Tier.RED,
        "whether an entry is refused that would be liquidated before its stop", ("no", "yes"),
        cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
    _limit(
        "margin_level", _USUAL.margin_level, 1, 5, 0.5, Unit.FRACTION,
        "share of the margin that must be left at which people are told", riskier=-1,
    ),
    _limit("stop_outs", _USUAL.stop_outs, 1, 10, 1, Unit.COUNT, "stops that lose and lock a bot"),
    _time("stop_outs_within", _USUAL.stop_outs_ms, HOUR_MS, 7 * DAY_MS, "how long a stop counts"),
    _time("stop_outs_lock", _USUAL.stop_outs_lock_ms, HOUR_MS, 3 * DAY_MS, "how long it is locked"),
    _limit("losers", _USUAL.losers, 2, 10, 1, Unit.COUNT, "last trades of a symbol looked at"),
    _time("losers_within", _USUAL.losers_ms, DAY_MS, 30 * DAY_MS, "how long a trade counts there"),
    _limit(
        "losers_loss", _USUAL.losers_loss, 0.005, 0.1, 0.005, Unit.FRACTION,
        "share of the deposit they may lose together until the symbol is locked",
    ),
    _time("losers_lock", _USUAL.losers_lock_ms, HOUR_MS, 7 * DAY_MS, "how long it is locked"),
    _limit(
        "failures", _USUAL.failures, 1, 10, 1, Unit.COUNT,
        "failures of the exchange that shut entries",
    ),
    _time(
        "failures_within", _USUAL.failures_ms, MINUTE_MS, HOUR_MS, "how long a failure counts"
    ),
    _time(
        "failures_rest", _USUAL.failures_rest_ms, MINUTE_MS, 6 * HOUR_MS,
        "how long there must be none until they open again",
    ),
    _limit(
        "price_off", _USUAL.price_off, 0.005, 0.1, 0.005, Unit.FRACTION,
        "how far the price of a decision may be from the last one",
    ),
)  # fmt: skip
_BY_NAME = {parameter.name: parameter for parameter in LIMIT_PARAMETERS}


def limit_value(limits: Limits, name: str) -> float:
    """The value of one of LIMIT_PARAMETERS, 0 where it is off."""
    span, _, part = name.partition("_")
    if span in _LADDERS:
        return float(getattr(getattr(limits, span), part))
    return float(getattr(limits, _field(name)))


def with_limits(limits: Limits, values: Mapping[str, float]) -> Limits:
    """The limits with other values.

    Raises BadInput for another name, a value out of bounds, and a ladder that would halve sizes
    only after it has stopped all.
    """
    for name in values:
        if name not in _BY_NAME:
            raise BadInput("limit", name, ", ".join(_BY_NAME))
    values = {name: _BY_NAME[name].check(value) for name, value in values.items()}
    changed: dict[str, Any] = {
        _field(name): _like(getattr(limits, _field(name)), value)
        for name, value in values.items()
        if name.partition("_")[0] not in _LADDERS
    }
    changed |= {span: _with_ladder(limits, span, values) for span in _LADDERS}
    return replace(limits, **changed)


def _with_ladder(limits: Limits, span: str, values: Mapping[str, float]) -> Ladder:
    before: Ladder = getattr(limits, span)
    halves, stops = (
        _exactly(values[name]) if (name := f"{span}_{part}") in values else present
        for part, present in (("halves", before.halves), ("stops", before.stops))
    )
    made = Ladder(halves, stops)
    if made != before and stops and halves > stops:
        raise BadInput(f"{span}_halves", f"{halves:.2%}", f"at most {span}_stops, {stops:.2%}")
    return made


def _field(name: str) -> str:
    """Where a limit that is no ladder's stands in Limits."""
    if _BY_NAME[name].unit is Unit.DURATION:
        return f"{name.removesuffix('_within')}_ms"
    return name


def _like(present: Decimal | int | bool, value: float) -> Decimal | int | bool:
    """A value as its figure is kept."""
    return _exactly(value) if isinstance(present, Decimal) else type(present)(round(value))


def _exactly(value: float) -> Decimal:
    """Without the binary tail of its steps."""
    return Decimal(f"{value:.10g}")
