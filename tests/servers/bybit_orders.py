"""What a request to make an order asks for, read and checked by Bybit's rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from tests.servers.bybit_ledger import FULL_STOPS, ZERO, Account, Order
from tests.servers.bybit_rules import (
    ACTIVE_MAX,
    CONDITIONAL_MAX,
    Refusal,
    Rules,
    check_link,
    invalid,
)

TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
TRIGGERS = ("LastPrice", "MarkPrice", "IndexPrice")

Body = Mapping[str, object]


@dataclass(frozen=True)
class Market:
    """The rules and prices an order is held against."""

    rules: Rules
    last: Decimal
    mark: Decimal


def amount(body: Body, name: str) -> Decimal | None:
    """A number that Bybit takes as a text; None where there is none, or zero for a price."""
    said = body.get(name)
    if said in (None, ""):
        return None
    try:
        found = Decimal(str(said))
    except InvalidOperation:
        raise invalid(f"{name} invalid") from None
    if not found.is_finite() or found < 0:
        raise invalid(f"{name} invalid")
    return found


def choice(body: Body, name: str, allowed: tuple[str, ...], default: str = "") -> str:
    said = body.get(name) or default
    if said not in allowed:
        raise invalid(f"{name} invalid")
    return str(said)


def read(body: Body, market: Market, order_id: str, now: int) -> Order:
    """The order a body asks for, not yet held against the account."""
    kind = choice(body, "orderType", ("Market", "Limit"))
    side = choice(body, "side", ("Buy", "Sell"))
    market_order = kind == "Market"
    force = "IOC" if market_order else choice(body, "timeInForce", TIMES_IN_FORCE, "GTC")
    price = market.rules.bound(side, market.last) if market_order else amount(body, "price")
    trigger = amount(body, "triggerPrice") or None
    if not price:
        raise invalid("price is required")
    return Order(
        order_id=order_id,
        link_id=str(body.get("orderLinkId") or ""),
        symbol=market.rules.symbol,
        side=side,
        kind=kind,
        quantity=amount(body, "qty") or ZERO,
        price=price,
        time_in_force=force,
        created=now,
        updated=now,
        position_idx=_integer(body, "positionIdx"),
        reduce_only=body.get("reduceOnly") is True,
        close_on_trigger=body.get("closeOnTrigger") is True,
        trigger=trigger,
        direction=_integer(body, "triggerDirection"),
        trigger_by=choice(body, "triggerBy", TRIGGERS, "LastPrice") if trigger else "",
        stop_type="Stop" if trigger else "",
        create_type="CreateByStopOrder" if trigger else "CreateByUser",
        take_profit=amount(body, "takeProfit") or None,
        stop_loss=amount(body, "stopLoss") or None,
        take_profit_limit=amount(body, "tpLimitPrice") or None,
        stop_loss_limit=amount(body, "slLimitPrice") or None,
        stops_mode=_stops_mode(body),
        last_on_created=market.last,
    )


def _integer(body: Body, name: str) -> int:
    said = body.get(name, 0)
    if not isinstance(said, int):
        raise invalid(f"{name} invalid")
    return said


def _stops_mode(body: Body) -> str:
    if not (body.get("takeProfit") or body.get("stopLoss")):
        return ""
    return choice(body, "tpslMode", ("Full", "Partial"), "Full")


def amended(order: Order, body: Body, market: Market) -> Order:
    """The order with what a body changes; raises Refusal."""
    prices = {
        "price": amount(body, "price") or order.price,
        "trigger": amount(body, "triggerPrice") or order.trigger,
        "take_profit": _stop(body, "takeProfit", order.take_profit),
        "stop_loss": _stop(body, "stopLoss", order.stop_loss),
    }
    changed = replace(order, quantity=amount(body, "qty") or order.quantity, **prices)
    if changed.quantity <= order.filled:
        text = "The modified contract quantity cannot be less than or equal to the filled quantity."
        raise Refusal(110_064, text)
    if order.stop_type in FULL_STOPS and changed.quantity != order.quantity:
        raise Refusal(110_060, "Under full TP/SL mode, it is not allowed to modify TP/SL")
    market.rules.check_quantity(changed.quantity, market=order.kind == "Market")
    if order.kind == "Limit":
        _check_limit(changed, market)
    if changed.trigger is not None and changed.trigger != order.trigger:
        check_trigger(changed.trigger, order.direction, market)
    _check_stops(changed, market)
    return changed


def _stop(body: Body, name: str, known: Decimal | None) -> Decimal | None:
    said = amount(body, name)
    return known if said is None else said or None


def check(account: Account, order: Order, market: Market) -> None:
    """Hold an order to all rules but that of margin; raises Refusal."""
    rules = market.rules
    if order.link_id:
        check_link(order.link_id, account.links.__contains__)
    check_idx(account, order.symbol, order.position_idx)
    rules.check_quantity(order.quantity, market=order.kind == "Market")
    if order.kind == "Limit":
        _check_limit(order, market)
    if not order.reduce_only:
        rules.check_notional(order.quantity, order.price if order.kind == "Limit" else market.last)
    if order.trigger is not None:
        check_trigger(order.trigger, order.direction, market)
    _check_stops(order, market)
    _check_reduces(account, order)
    _check_room(account, order)


def check_idx(account: Account, symbol: str, idx: int) -> None:
    if idx not in ((1, 2) if symbol in account.hedged else (0,)):
        raise Refusal(10_001, "position idx not match position mode")


def _check_limit(order: Order, market: Market) -> None:
    assert order.price is not None
    market.rules.check_price(order.price)
    reference = market.mark if order.trigger is None else order.trigger
    market.rules.check_reach(order.side, order.price, reference)


def check_trigger(trigger: Decimal, direction: int, market: Market) -> None:
    market.rules.check_price(trigger, "triggerPrice")
    if direction not in (1, 2):
        raise invalid("TriggerDirection invalid")
    told = f"trigger_price[{_scaled(trigger)}]"
    current = f"current[{_scaled(market.last)}]??LastPrice"
    if direction == 1 and trigger <= market.last:
        raise Refusal(110_092, f"expect Rising, but {told} <= {current}")
    if direction == 2 and trigger >= market.last:
        raise Refusal(110_093, f"expect Falling, but {told} >= {current}")


def _scaled(price: Decimal) -> int:
    return int(price * 10_000)


def _check_stops(order: Order, market: Market) -> None:
    if order.reduce_only and (order.take_profit or order.stop_loss):
        raise Refusal(110_057, "Conditional order or limit order contains TP/SL related params")
    base = order.trigger or (order.price if order.kind == "Limit" else market.last)
    assert base is not None
    check_stop_prices(order.sign, order.take_profit, order.stop_loss, base, market.rules)


def check_stop_prices(
    sign: int, take_profit: Decimal | None, stop_loss: Decimal | None, base: Decimal, rules: Rules
) -> None:
    """Both have to lie on their own side of `base`, and on the tick."""
    side = "Buy" if sign > 0 else "Sell"
    for name, price, way in (("TakeProfit", take_profit, sign), ("StopLoss", stop_loss, -sign)):
        if price is None:
            continue
        rules.check_price(price, name)
        if (price - base) * way <= 0:
            word = "higher" if way > 0 else "lower"
            raise Refusal(
                10_001,
                f"{name}:{_scaled(price)} set for {side} position should be {word} "
                f"than base_price:{_scaled(base)}??LastPrice",
            )


def _check_reduces(account: Account, order: Order) -> None:
    if not order.reduce_only:
        if order.position_idx and order.sign != (1 if order.position_idx == 1 else -1):
            raise Refusal(110_017, "Reduce-only rule not satisfied")
        return
    size = account.position(order.symbol, order.position_idx).size
    if not size:
        raise Refusal(110_017, "current position is zero, cannot fix reduce-only order qty")
    if size * order.sign > 0:
        raise Refusal(110_017, "reduce-only order has same side with current position")


def _check_room(account: Account, order: Order) -> None:
    conditional = order.trigger is not None
    like = [o for o in account.open_orders(order.symbol) if o.is_conditional == conditional]
    by_user = [o for o in like if o.stop_type in ("", "Stop")]
    if conditional and len(by_user) >= CONDITIONAL_MAX:
        raise Refusal(110_009, "The number of stop orders exceeds the maximum allowable limit")
    if not conditional and len(by_user) >= ACTIVE_MAX:
        raise Refusal(110_020, "Not allowed to have more than 500 active orders.")
