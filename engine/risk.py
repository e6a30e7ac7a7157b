"""The gates an entry must pass, in their fixed order. Reducing a position meets none of them."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from engine.instrument import Instrument, exact
from engine.signal import GateResult
from engine.strategies.sizing import Sizing, notional


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """Everything the gates look at. Money is in quote currency, times are market ms.

    `wanted` is the quantity that a person asked for; None where equity and margin say it.
    `price_age` and its maximum are ms of wall time; with 0 the price is of no clock.
    """

    ts: int
    price: float
    instrument: Instrument
    sizing: Sizing
    equity: Decimal
    free_margin: Decimal
    halted: str
    paused: bool
    bars: float
    bars_needed: int
    ready: bool
    late: bool
    cooldown_until: int
    holding: Decimal
    order_open: bool
    market_ended: bool = False
    wanted: Decimal | None = None
    price_age: int = 0
    price_age_max: int = 0

    @property
    def quantity(self) -> Decimal:
        """The size that equity and margin allow, in tradable steps of base currency."""
        if self.wanted is not None:
            return self.wanted
        wanted = notional(self.sizing, float(self.equity))
        return self.instrument.quantize(wanted / self.price)

    @property
    def margin(self) -> Decimal:
        return self.value / self.sizing.leverage

    @property
    def value(self) -> Decimal:
        return self.quantity * exact(self.price)


def mode_and_kill(request: EntryRequest) -> GateResult:
    if request.halted:
        return GateResult("mode and kill", False, f"halted: {request.halted}")
    if request.paused and request.wanted is None:
        return GateResult("mode and kill", False, "the bot is paused")
    return GateResult("mode and kill", True, "trading")


def market_open(request: EntryRequest) -> GateResult:
    if request.market_ended:
        return GateResult("market open", False, "the market has ended: nothing would be filled")
    return GateResult("market open", True, "prices come")


def warm_up(request: EntryRequest) -> GateResult:
    seen = min(int(request.bars), request.bars_needed)
    return GateResult("warm-up", request.ready, f"{seen} of {request.bars_needed} bars")


def fresh_candle(request: EntryRequest) -> GateResult:
    if request.late:
        return GateResult("fresh candle", False, "the candle came long after it had closed")
    return GateResult("fresh candle", True, "in time")


def cool_down(request: EntryRequest) -> GateResult:
    left = request.cooldown_until - request.ts
    if left <= 0:
        return GateResult("cool-down", True, "none")
    return GateResult("cool-down", False, f"{-(-left // 60_000)} min left")


def one_position(request: EntryRequest) -> GateResult:
    if request.holding != 0:
        return GateResult("one position a symbol", False, f"holds {request.holding.normalize():f}")
    if request.order_open:
        return GateResult("one position a symbol", False, "an order is on its way")
    return GateResult("one position a symbol", True, "flat")


def size(request: EntryRequest) -> GateResult:
    if request.equity <= 0:
        return GateResult("size", False, f"equity is {request.equity:.2f}")
    if request.margin > request.free_margin:
        detail = f"needs {request.margin:.2f} margin, {request.free_margin:.2f} is free"
        return GateResult("size", False, detail)
    detail = f"{request.quantity.normalize():f} for {request.margin:.2f} margin"
    return GateResult("size", True, detail)


def instrument_limits(request: EntryRequest) -> GateResult:
    rules = request.instrument
    quantity = request.quantity
    value = request.value
    name = "instrument limits"
    if quantity < rules.quantity_min:
        return GateResult(name, False, f"{quantity} is below the minimum {rules.quantity_min}")
    if quantity > rules.quantity_max:
        return GateResult(name, False, f"{quantity} is above the maximum {rules.quantity_max}")
    if value < rules.notional_min:
        return GateResult(name, False, f"worth {value:.2f}, the minimum is {rules.notional_min}")
    if request.sizing.leverage > rules.leverage_max:
        detail = f"leverage {request.sizing.leverage} is above {rules.leverage_max}"
        return GateResult(name, False, detail)
    return GateResult(name, True, f"worth {value:.2f}")


GATES: tuple[Callable[[EntryRequest], GateResult], ...] = (
    mode_and_kill,
    warm_up,
    fresh_candle,
    cool_down,
    one_position,
    size,
    instrument_limits,
)


def fresh_price(request: EntryRequest) -> GateResult:
    if not request.price_age_max:
        return GateResult("fresh price", True, "the market's own time")
    age = max(request.price_age, 0) // 1000
    if request.price_age > request.price_age_max:
        return GateResult("fresh price", False, f"the last price is {age} s old")
    return GateResult("fresh price", True, f"{age} s old")


# An entry by hand is nobody's signal: it needs no warm-up and knows no cool-down.
GATES_BY_HAND: tuple[Callable[[EntryRequest], GateResult], ...] = (
    mode_and_kill,
    market_open,
    fresh_price,
    one_position,
    size,
    instrument_limits,
)


def verdicts_by_hand(request: EntryRequest) -> tuple[GateResult, ...]:
    """Every gate's answer to an entry that a person wants."""
    return tuple(gate(request) for gate in GATES_BY_HAND)


def verdicts(request: EntryRequest) -> tuple[GateResult, ...]:
    """Every gate's answer, for `/why`."""
    return tuple(gate(request) for gate in GATES)


def refusal(request: EntryRequest) -> GateResult | None:
    """The answer of the first gate that refuses; None when all let pass."""
    return next((result for result in verdicts(request) if not result.passed), None)
