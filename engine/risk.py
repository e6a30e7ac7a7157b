"""The gates an entry must pass, in their fixed order. Reducing a position meets none of them."""

from engine import layers
from engine.instrument import exact
from engine.layers import Gate
from engine.limits import HALF, Span
from engine.request import EntryRequest
from engine.signal import GateResult, Sides
from engine.strategies import pipeline

MODEL_BIAS = "model bias"


def confident(request: EntryRequest) -> GateResult | None:
    least = request.pipeline.confidence_min
    if not least:
        return None
    if request.confidence is None:
        return GateResult("confidence", True, f"no signal; it needs {least:.2f}")
    detail = f"{request.confidence:.2f}, it needs {least:.2f}"
    return GateResult("confidence", request.confidence >= least, detail)


def side_mode(request: EntryRequest) -> GateResult | None:
    if request.sides is Sides.BOTH:
        return None
    allowed = request.side is None or request.sides.allow(request.side)
    return GateResult("side mode", allowed, request.sides.words)


def calm_market(request: EntryRequest) -> GateResult | None:
    rules = request.pipeline
    if not rules.flips:
        return None
    count = pipeline.flips(rules, request.heard, request.ts)
    detail = (
        f"{count} changes of direction in {rules.flips_ms // 60_000} min, {rules.flips} stop it"
    )
    return GateResult("calm market", count < rules.flips, detail)


def confirmed(request: EntryRequest) -> GateResult | None:
    rules = request.pipeline
    if not rules.confirmed:
        return None
    if request.confidence is None:
        return GateResult("confirmed", True, "no signal; it needs two of the same direction")
    holds = pipeline.is_confirmed(rules, request.heard, request.ts)
    word = "a second signal says the same" if holds else "waits for a second signal"
    return GateResult("confirmed", holds, word)


def model_bias(request: EntryRequest) -> GateResult | None:
    bias = request.bias
    if bias is None:
        return None
    passes = request.side is None or not bias.stops(request.side)
    return GateResult(MODEL_BIAS, passes, f"stops {bias.stopped}: {bias.words}")


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
    seen, needed = min(request.bars, request.bars_needed), request.bars_needed
    return GateResult("warm-up", seen >= needed, f"{seen} of {needed} bars")


def fresh_candle(request: EntryRequest) -> GateResult:
    if request.late:
        return GateResult("fresh candle", False, "the candle came long after it had closed")
    return GateResult("fresh candle", True, "in time")


def cool_down(request: EntryRequest) -> GateResult:
    left = request.cooldown_until - request.ts
    if left <= 0:
        return GateResult("cool-down", True, "none")
    return GateResult("cool-down", False, f"{-(-left // 60_000)} min left")


def symbol_enabled(request: EntryRequest) -> GateResult | None:
    if not request.disabled:
        return None
    return GateResult("symbol enabled", False, f"switched off by {request.disabled}")


def free_slot(request: EntryRequest) -> GateResult | None:
    slots = request.sizing.slots
    if not slots:
        return None
    return GateResult("free slot", request.taken < slots, f"{request.taken} of {slots} in use")


def one_position(request: EntryRequest) -> GateResult:
    if request.holding != 0:
        return GateResult("one position a symbol", False, f"holds {request.holding.normalize():f}")
    if request.order_open:
        detail = "an order waits for its price" if request.order_waits else "an order is on its way"
        return GateResult("one position a symbol", False, detail)
    return GateResult("one position a symbol", True, "flat")


def size(request: EntryRequest) -> GateResult:
    if request.equity <= 0:
        return GateResult("size", False, f"equity is {request.equity:.2f}")
    if request.margin > request.free_margin:
        detail = f"needs {request.margin:.2f} margin, {request.free_margin:.2f} is free"
        return GateResult("size", False, detail)
    if request.free_margin < exact(request.sizing.free_min):
        detail = (
            f"{request.free_margin:.2f} is free, at least {request.sizing.free_min:.2f} must be"
        )
        return GateResult("size", False, detail)
    halved = request.wanted is None and request.layers.factor == HALF
    said = f"{request.quantity.normalize():f} for {request.margin:.2f} margin"
    return GateResult("size", True, f"{said}, halved after losses" if halved else said)


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


def fresh_price(request: EntryRequest) -> GateResult:
    if not request.price_age_max:
        return GateResult("fresh price", True, "the market's own time")
    age = max(request.price_age, 0) // 1000
    if request.price_age > request.price_age_max:
        return GateResult("fresh price", False, f"the last price is {age} s old")
    return GateResult("fresh price", True, f"{age} s old")


# Whether anything may be opened at all: books and exchange, losses, exposure.
ACCOUNT_GATES: tuple[Gate, ...] = (
    layers.reconciled,
    layers.circuit_breaker,
    *(layers.loss_limit(span) for span in Span),
    layers.loss_streak,
    layers.one_way,
    layers.open_risk,
)

# How large it may be, and at what price.
ORDER_GATES: tuple[Gate, ...] = (
    layers.positions_of_bot,
    size,
    layers.liquidation_after_stop,
    instrument_limits,
    layers.hard_caps,
    layers.price_sanity,
)

# The signal's own gates come first, then those of risk.
GATES: tuple[Gate, ...] = (
    confident,
    side_mode,
    calm_market,
    confirmed,
    model_bias,
    mode_and_kill,
    warm_up,
    fresh_candle,
    *ACCOUNT_GATES,
    symbol_enabled,
    layers.locked,
    cool_down,
    one_position,
    free_slot,
    *ORDER_GATES,
)

# An entry by hand is nobody's signal: it needs no warm-up and no rest of its symbol.
GATES_BY_HAND: tuple[Gate, ...] = (
    mode_and_kill,
    market_open,
    fresh_price,
    *ACCOUNT_GATES,
    layers.locked,
    one_position,
    *ORDER_GATES,
)


def verdicts_by_hand(request: EntryRequest) -> tuple[GateResult, ...]:
    """Every gate's answer to an entry that a person wants."""
    return _answers(GATES_BY_HAND, request)


def verdicts(request: EntryRequest) -> tuple[GateResult, ...]:
    """Every gate's answer, for `/why`."""
    return _answers(GATES, request)


def _answers(gates: tuple[Gate, ...], request: EntryRequest) -> tuple[GateResult, ...]:
    return tuple(result for gate in gates if (result := gate(request)) is not None)


def refusal(request: EntryRequest) -> GateResult | None:
    """The answer of the first gate that refuses; None when all let pass."""
    answers = (gate(request) for gate in GATES)
    return next((each for each in answers if each is not None and not each.passed), None)
