"""Orders for tests of what goes to Bybit."""

from dataclasses import replace
from decimal import Decimal

from engine.order import Order, OrderType, Reason, Side, client_order_id, order_link_id

MADE = Order(
    account="demo-bybit-alpha",
    order_link_id="",
    client_order_id="",
    bot_id="alpha",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.010"),
    leverage=5,
    reason=Reason.LONG_ENTRY,
    created_at=0,
    updated_at=0,
)


def order(number: int = 0, ts: int = 1_735_689_600_000, **changes: object) -> Order:
    """A market order to buy; the same `number` and `ts` give the same ids."""
    made = replace(MADE, created_at=ts, updated_at=ts, **changes)
    return replace(
        made,
        order_link_id=order_link_id(made.bot_id, made.reason, ts, number),
        client_order_id=client_order_id(made.bot_id, made.reason, ts),
    )
