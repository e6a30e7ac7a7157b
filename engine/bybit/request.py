"""What is asked of an account, in Bybit's words; every number leaves as a text."""

from decimal import Decimal

from engine.bybit.wire import Query
from engine.errors import Broken
from engine.order import Order, OrderType, Side

CATEGORY = "linear"
COIN = "USDT"
ONE_WAY = 0
# Which way the price has to move to trigger a stop: up for one that buys, down for one that sells.
_DIRECTIONS = {Side.BUY: 1, Side.SELL: 2}


def digits(value: Decimal) -> str:
    """A number without an exponent, which Bybit would not read."""
    if not value.is_finite():
        raise Broken(f"{value} can't be asked for")
    return f"{value:f}"


def placing(order: Order, index: int = ONE_WAY) -> Query:
    """A new order, with the stop and target that its position will have.

    One that only reduces and has no quantity closes all that Bybit lets one order close
    (documentation of `order/create`, `qty`).
    """
    limit = order.order_type is OrderType.LIMIT
    query: dict[str, str | int | bool] = {
        "category": CATEGORY,
        "symbol": order.symbol,
        "side": str(order.side),
        "orderType": "Limit" if limit else "Market",
        "qty": digits(order.quantity),
        "timeInForce": ("PostOnly" if order.post_only else "GTC") if limit else "IOC",
        "positionIdx": index,
        "orderLinkId": order.order_link_id,
        "reduceOnly": order.reduce_only,
    }
    if order.reduce_only and not order.quantity:
        query["closeOnTrigger"] = True
    if limit:
        query |= _levels(price=order.price)
    if order.order_type is OrderType.STOP:
        query |= _levels(triggerPrice=order.trigger_price)
        query |= {"triggerDirection": _DIRECTIONS[order.side], "triggerBy": "LastPrice"}
    levels = _levels(stopLoss=order.stop_loss, takeProfit=order.take_profit)
    # Bybit refuses levels on an order that only reduces: the position has its own.
    if levels and not order.reduce_only:
        query |= {**levels, "tpslMode": "Full"}
    return query


def amending(
    symbol: str,
    order_link_id: str,
    quantity: Decimal | None,
    price: Decimal | None,
    trigger_price: Decimal | None,
) -> Query:
    return {
        "category": CATEGORY,
        "symbol": symbol,
        "orderLinkId": order_link_id,
        **_levels(qty=quantity, price=price, triggerPrice=trigger_price),
    }


def protecting(
    symbol: str,
    stop_loss: Decimal | None,
    take_profit: Decimal | None,
    trailing_stop: Decimal | None,
    activation: Decimal | None,
) -> Query:
    """The levels of a whole position: in this mode they replace those it has."""
    return {
        "category": CATEGORY,
        "symbol": symbol,
        "tpslMode": "Full",
        "positionIdx": ONE_WAY,
        **_levels(
            stopLoss=stop_loss,
            takeProfit=take_profit,
            trailingStop=trailing_stop,
            activePrice=activation,
        ),
    }


def _levels(**values: Decimal | None) -> dict[str, str]:
    return {name: digits(value) for name, value in values.items() if value is not None}
