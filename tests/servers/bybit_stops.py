"""Take-profits, stop-losses and trailing stops of positions, which Bybit keeps as orders itself.

Those of the whole position follow its size; partial ones keep the quantity they were made for.
All end with the position. None of them has a link id.
"""

from collections.abc import Callable
from decimal import Decimal

from tests.servers.bybit_ledger import FULL_STOPS, ZERO, Account, Order, Position
from tests.servers.bybit_rules import PARTIAL_STOPS_MAX, Refusal, Rules

NewId = Callable[[], str]


def put(
    account: Account, position: Position, kind: str, trigger: Decimal | None, new_id: NewId,
    now: int, *, quantity: Decimal | None = None, limit: Decimal | None = None, parent: str = "",
) -> Order:  # fmt: skip
    """Make an order that ends the position, or `quantity` of it, at `trigger`.

    `kind` is one of FULL_STOPS, or PartialTakeProfit or PartialStopLoss.
    """
    long = position.size > 0
    rises = long if kind.endswith("TakeProfit") else not long
    order = Order(
        new_id(), "", position.symbol, position.exit_side,
        "Limit" if limit else "Market", quantity or abs(position.size), limit,
        "GTC" if limit else "IOC", now, now,
        position_idx=position.idx, reduce_only=True, close_on_trigger=True, trigger=trigger,
        direction=1 if rises else 2, trigger_by="LastPrice", stop_type=kind,
        create_type=f"CreateBy{kind}", parent_link=parent,
        stops_mode="Partial" if quantity else "Full",
    )  # fmt: skip
    account.enter(order)
    if not quantity:
        position.stops[kind] = order.order_id
    return account.record(order, status="Untriggered")


def set_full(
    account: Account, position: Position, kind: str, trigger: Decimal, new_id: NewId, now: int,
    parent: str = "",
) -> bool:  # fmt: skip
    """Move, make or, with a trigger of zero, end a stop of the whole position.

    Returns whether there was anything to change.
    """
    current = account.orders.get(position.stops.get(kind, ""))
    if not trigger:
        if current is not None:
            del position.stops[kind]
            account.record(current, status="Deactivated", cancel_type="CancelByUser", updated=now)
        return current is not None
    if current is None:
        put(account, position, kind, trigger, new_id, now, parent=parent)
        return True
    if current.trigger == trigger:
        return False
    account.record(current, trigger=trigger, updated=now)
    return True


def set_trailing(
    account: Account, position: Position, distance: Decimal, active: Decimal | None,
    price: Decimal, new_id: NewId, now: int,
) -> bool:  # fmt: skip
    """Trail the price by `distance`, from `active` on where it is given; zero ends it."""
    if (distance, active) == (position.trailing, position.active) and distance:
        return False
    there = "TrailingStop" in position.stops
    if not distance:
        position.trailing, position.active, position.best = ZERO, None, None
        return set_full(account, position, "TrailingStop", ZERO, new_id, now)
    position.trailing, position.active = distance, active
    position.best = None if active else price
    trigger = None if active else _trailed(position)
    if there:
        current = account.orders[position.stops["TrailingStop"]]
        account.record(current, trigger=trigger, updated=now)
    else:
        put(account, position, "TrailingStop", trigger, new_id, now)
    return True


def _trailed(position: Position) -> Decimal:
    assert position.best is not None
    return position.best - (position.trailing if position.size > 0 else -position.trailing)


def trail(account: Account, position: Position, price: Decimal, rules: Rules, now: int) -> None:
    """Let a trailing stop follow the price; nobody is told of that."""
    if not position.trailing:
        return
    way = 1 if position.size > 0 else -1
    if position.active is not None:
        if price * way < position.active * way:
            return
        position.active = None
    if position.best is not None and price * way <= position.best * way:
        return
    position.best = price
    order = account.orders[position.stops["TrailingStop"]]
    trigger = rules.to_tick(_trailed(position), position.side)
    account.replace(order, trigger=trigger, updated=now)


def attach(
    account: Account, position: Position, order: Order, added: Decimal, new_id: NewId, now: int
) -> None:
    """Give the position, or the quantity `added` to it, the stops that the order brought along."""
    wanted = (
        ("TakeProfit", order.take_profit, order.take_profit_limit),
        ("StopLoss", order.stop_loss, order.stop_loss_limit),
    )
    for kind, trigger, limit in wanted:
        if trigger is None:
            continue
        if order.stops_mode == "Partial":
            put(
                account, position, f"Partial{kind}", trigger, new_id, now,
                quantity=added, limit=limit, parent=order.link_id,
            )  # fmt: skip
        elif order.filled == added:
            set_full(account, position, kind, trigger, new_id, now, order.link_id)


def resize(account: Account, position: Position, now: int) -> None:
    """Keep the stops of the whole position as large as it is, and partial ones no larger."""
    size = abs(position.size)
    if not size:
        return
    for order in account.open_orders(position.symbol):
        if order.position_idx != position.idx or order.stop_type in ("", "Stop"):
            continue
        full = order.stop_type in FULL_STOPS
        quantity = size if full else min(order.quantity, size)
        if quantity != order.quantity and order.is_conditional:
            account.record(order, quantity=quantity, updated=now)


def reset(position: Position) -> None:
    position.stops = {}
    position.trailing, position.active, position.best = ZERO, None, None


def forget(position: Position, order_id: str) -> None:
    """A stop was canceled as an order: the position has it no more."""
    for kind in [k for k, known in position.stops.items() if known == order_id]:
        del position.stops[kind]
        if kind == "TrailingStop":
            position.trailing, position.active, position.best = ZERO, None, None


def check_partial_room(account: Account, symbol: str) -> None:
    partial = [o for o in account.open_orders(symbol) if o.stop_type.startswith("Partial")]
    if len(partial) >= PARTIAL_STOPS_MAX:
        raise Refusal(110_061, "Not allowed to have more than 20 TP/SLs under Partial tpSlMode")
