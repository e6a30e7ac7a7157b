"""The gates of risk: losses, exposure, locks and caps. One that is not in force says nothing.

Reducing a position meets none of them.
"""

from collections.abc import Callable
from decimal import Decimal

from engine.instrument import exact
from engine.limits import Span, Step
from engine.margin import liquidation
from engine.order import ZERO, Side
from engine.request import EntryRequest
from engine.signal import GateResult
from engine.standing import Standing, said_time

# A gate that is not in force says nothing.
Gate = Callable[[EntryRequest], GateResult | None]

LOSS_NAMES = {
    Span.DAY: "daily loss",
    Span.WEEK: "weekly loss",
    Span.MONTH: "monthly loss",
    Span.PEAK: "drawdown",
}
SINCE = {
    Span.DAY: "today",
    Span.WEEK: "this week",
    Span.MONTH: "this month",
    Span.PEAK: "from the peak",
}
# How a step ends that time does not end.
UNTIL = {Step.HALVED: "until a new peak", Step.STOPPED: "until /cooldown clear"}
# A tick that is a greater share of the price leaves no room for levels.
TICK_MAX = 0.01


# -- whether anything may be opened ------------------------------------------------------


def reconciled(request: EntryRequest) -> GateResult | None:
    shut = request.layers.shut
    if shut is None:
        return None
    return GateResult("reconciled", not shut, shut or "books and exchange agree")


def circuit_breaker(request: EntryRequest) -> GateResult | None:
    layers, name = request.layers, "circuit breaker"
    if not layers.limits.failures:
        return None
    if request.ts >= layers.shut_until:
        return GateResult(name, True, f"{layers.failures} of {layers.limits.failures} failures")
    detail = f"the exchange failed: shut until {said_time(layers.shut_until)}, or /breaker reset"
    return GateResult(name, False, detail)


# -- losses ------------------------------------------------------------------------------


def loss_limit(span: Span) -> Gate:
    """The gate of one limit of losses."""

    def gate(request: EntryRequest) -> GateResult | None:
        found = next((each for each in request.layers.standing if each.span is span), None)
        if found is None:
            return None
        return GateResult(LOSS_NAMES[span], found.step is not Step.STOPPED, said(found))

    return gate


def said(standing: Standing) -> str:
    """How an account stands by a limit of losses, with the numbers."""
    ladder, step = standing.ladder, standing.step
    now = f"{standing.change:+.2%} {SINCE[standing.span]}"
    if step is Step.FREE:
        return f"{now}; {_thresholds(standing)}"
    if ladder.step(-standing.change) < step:
        now = f"{now}, after -{_percent(ladder.at(step))}"
    return f"{now}: {consequence(standing)}"


def consequence(standing: Standing) -> str:
    """What a step means, and until when."""
    what = "nothing is opened" if standing.step is Step.STOPPED else "new sizes are halved"
    until = standing.until
    return f"{what} {f'until {said_time(until)}' if until else UNTIL[standing.step]}"


def _thresholds(standing: Standing) -> str:
    ladder = standing.ladder
    words = {"halves sizes": ladder.halves, "stops entries": ladder.stops}
    return ", ".join(f"-{_percent(share)} {what}" for what, share in words.items() if share)


def _percent(share: Decimal) -> str:
    """A set share with the digits it has: `7%`, `2.5%`."""
    return f"{(share * 100).normalize():f}%"


def loss_streak(request: EntryRequest) -> GateResult | None:
    layers, name = request.layers, "loss streak"
    if not layers.limits.losses:
        return None
    left = layers.rests_until - request.ts
    if left <= 0:
        detail = f"{layers.streak} in a row, {layers.limits.losses} bring a rest"
        return GateResult(name, True, detail)
    detail = f"{layers.streak} losses in a row: {-(-left // 60_000)} min of rest left"
    return GateResult(name, False, detail)


# -- exposure ----------------------------------------------------------------------------


def one_way(request: EntryRequest) -> GateResult | None:
    limits, held = request.layers.limits, request.layers.committed
    if not limits.one_way:
        return None
    name = "one-way exposure"
    if held.positions < limits.one_way_from:
        detail = f"{held.positions} open, it counts from {limits.one_way_from} on"
        return GateResult(name, True, detail)
    value = request.value if request.side else ZERO
    longs = held.longs + (value if request.side is Side.BUY else ZERO)
    long = longs / (held.longs + held.shorts + value)
    share = long if request.side is Side.BUY else 1 - long
    detail = f"{long:.0%} long, {1 - long:.0%} short; at most {_percent(limits.one_way)} one way"
    return GateResult(name, request.side is None or share <= limits.one_way, detail)


def open_risk(request: EntryRequest) -> GateResult | None:
    share = request.layers.limits.open_risk
    if not share:
        return None
    cost, most = request.layers.committed.at_stops + request.at_stop, request.equity * share
    detail = (
        f"every stop met would cost {cost:.2f}, at most {most:.2f} ({_percent(share)} of equity)"
    )
    return GateResult("portfolio risk", cost <= most, detail)


def locked(request: EntryRequest) -> GateResult | None:
    lock = request.layers.lock
    if lock is None:
        return None
    return GateResult("locked", False, f"{lock.reason}: until {said_time(lock.until)}, or /lift")


def positions_of_bot(request: EntryRequest) -> GateResult | None:
    most, count = request.layers.limits.positions, request.layers.committed.positions
    if not most:
        return None
    return GateResult("positions of the bot", count < most, f"{count} of {most} open")


def liquidation_after_stop(request: EntryRequest) -> GateResult | None:
    if not request.layers.limits.stop_first:
        return None
    reach = 1.0 - liquidation(1.0, 1, request.sizing.leverage)
    if not request.stop:
        return GateResult("liquidation", True, f"{reach:.2%} away, no stop before it")
    if request.stop < reach:
        return GateResult("liquidation", True, f"{reach:.2%} away, the stop {request.stop:.2%}")
    detail = (
        f"it would come {reach:.2%} from the entry, before the stop at {request.stop:.2%}: take a "
        "closer stop, or less leverage"
    )
    return GateResult("liquidation", False, detail)


# -- caps and the price ------------------------------------------------------------------


def hard_caps(request: EntryRequest) -> GateResult | None:
    in_force = [each for each in _caps(request) if each[2]]
    if not in_force:
        return None
    if request.layers.cap_use.reached:
        return GateResult("hard caps", False, "daily_loss is used up: no more before 00:00 UTC")
    for field, found, cap in in_force:
        if found > cap:
            detail = f"{field} would be {_plain(found)}, the cap is {_plain(cap)}"
            return GateResult("hard caps", False, detail)
    return GateResult("hard caps", True, f"within {', '.join(field for field, *_ in in_force)}")


def _caps(request: EntryRequest) -> tuple[tuple[str, Decimal, Decimal], ...]:
    """Each cap: its name, what it would come to with this entry, and what it may be (0: any)."""
    caps, use, value = request.layers.caps, request.layers.cap_use, request.value
    return (
        ("order_value", value, caps.order_value),
        ("position_value", use.position_value + value, caps.position_value),
        ("gross_exposure", use.gross_exposure + value, caps.gross_exposure),
        ("leverage", Decimal(request.sizing.leverage), Decimal(caps.leverage)),
        ("orders_a_minute", Decimal(use.orders + 1), Decimal(caps.orders_a_minute)),
        ("daily_loss", use.lost + use.at_stops + request.at_stop, caps.daily_loss),
    )


def _plain(number: Decimal) -> str:
    return f"{round(number, 2).normalize():f}"


def price_sanity(request: EntryRequest) -> GateResult | None:
    most = request.layers.limits.price_off
    if not most:
        return None
    complaint = _price_complaint(request, most)
    detail = complaint or f"{request.price:.10g}, the last one is {request.layers.last:.10g}"
    return GateResult("price sanity", not complaint, detail)


def _price_complaint(request: EntryRequest, most: Decimal) -> str:
    """What is wrong with the price of a decision; empty where nothing is."""
    price, last, tick = request.price, request.layers.last, request.instrument.tick
    if not request.is_priced or last <= 0:
        return f"{price:.10g} against {last:.10g} is no price"
    off = exact(price) / exact(last) - 1
    if abs(off) > most and not request.resting:
        return f"{price:.10g} is {off:+.2%} off the last {last:.10g}, {_percent(most)} is allowed"
    if float(tick) > price * TICK_MAX:
        return f"a tick of {tick} is too coarse for {price:.10g}"
    if request.price_age_max and request.price_age > request.price_age_max:
        return f"the last price is {request.price_age // 1000} s old"
    return ""
