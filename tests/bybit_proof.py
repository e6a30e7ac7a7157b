"""Whether a desk's database says what the local Bybit's own ledger says, to the last digit.

The two are compared row by row: fills by execution id with whose they were and why, funding by
its stamp, positions, money, and orders by their link ids. An empty list means that they agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from engine.bot import Bot
from engine.ledger import Funding, fold
from engine.order import ZERO, ExecType, Fill, Order, Reason, Side, decode_link_id
from engine.ports import Store
from engine.position import Position
from tests.servers.bybit import Account, ApiKey, BybitServer
from tests.servers.bybit_ledger import Execution

# Why Bybit closed what it closed by itself: by the kind of its order, or of the execution.
STOPS = {
    "StopLoss": Reason.STOP_LOSS,
    "TakeProfit": Reason.TAKE_PROFIT,
    "TrailingStop": Reason.TRAILING_STOP,
}
FORCED = {"AdlTrade": Reason.AUTO_DELEVERAGING, "BustTrade": Reason.LIQUIDATION}

Row = tuple[object, ...]


async def disagreements(
    server: BybitServer, store: Store, shares: Mapping[ApiKey, Sequence[Bot]]
) -> list[str]:
    """In what the books and the exchange differ; `shares` are the bots that trade by each key."""
    orders = {order.order_link_id: order for order in await store.recent(Order)}
    found = _doubled(server)
    for key, bots in shares.items():
        there = server.account(key.uid)
        found += _strange_orders(orders, there)
        found += await _differs(store, bots, there)
    return found


async def _differs(store: Store, bots: Sequence[Bot], there: Account) -> list[str]:
    owners = {symbol: bot.bot_id for bot in bots for symbol in bot.symbols}
    fills = [f for bot in bots for f in await store.recent(Fill, account=bot.account)]
    payments = [p for bot in bots for p in await store.recent(Funding, account=bot.account)]
    positions = [p for bot in bots for p in await store.recent(Position, account=bot.account)]
    held = [(p.symbol, p.quantity) for p in positions if not p.is_flat]
    return [
        *_compared("fill", map(_fill, fills), (_executed(e, owners) for e in there.fills)),
        *_compared("funding", map(_payment, payments), map(_settled, there.funding)),
        *_compared("position", held, there.sizes.items()),
        *_compared("money", [_cash(fills, payments)], [_cash_of(there)]),
    ]


def _compared(what: str, ours: Iterable[Row], theirs: Iterable[Row]) -> list[str]:
    here, there = Counter(ours), Counter(theirs)
    return [f"{what} in the books alone: {row}" for row in here - there] + [
        f"{what} at the exchange alone: {row}" for row in there - here
    ]


# -- fills and funding -------------------------------------------------------------------


def _fill(fill: Fill) -> Row:
    return (
        fill.exec_id, fill.symbol, str(fill.side), fill.exec_price, fill.exec_qty, fill.commission,
        fill.is_maker, fill.exec_type, fill.exec_time, fill.order_id, fill.bot_id,
        fill.close_reason,
    )  # fmt: skip


def _executed(done: Execution, owners: Mapping[str, str]) -> Row:
    return (
        done.exec_id, done.symbol, done.side, done.price, done.quantity, done.fee, done.maker,
        ExecType(done.kind), done.ts, done.order.order_id, owners[done.symbol], _reason(done),
    )  # fmt: skip


def _reason(done: Execution) -> Reason:
    """Why it was executed, by what the exchange alone knows."""
    if done.kind in FORCED:
        return FORCED[done.kind]
    if done.order.link_id:
        return decode_link_id(done.order.link_id)[1]
    return STOPS.get(done.order.stop_type, Reason.EXTERNAL)


def _payment(paid: Funding) -> Row:
    return paid.symbol, paid.ts, paid.amount, paid.rate, paid.price, paid.quantity


def _settled(done: Execution) -> Row:
    size = Side(done.side).sign * done.quantity
    return done.symbol, done.ts, -done.fee, done.fee_rate, done.price, size


# -- money -------------------------------------------------------------------------------


def _cash(fills: Sequence[Fill], payments: Sequence[Funding]) -> Row:
    """Fees, funding, and what was earned less what is bound in positions.

    Profit alone depends on how parts of a position are rounded; less the cost it does not.
    """
    folded = fold("", ZERO, sorted(fills, key=lambda fill: fill.exec_time), payments)
    ledger = folded.ledger
    return ledger.fees, ledger.funding, ledger.realized - sum(folded.costs.values(), ZERO)


def _cash_of(there: Account) -> Row:
    fees = sum((done.fee for done in there.fills), ZERO)
    funding = -sum((done.fee for done in there.funding), ZERO)
    bound = sum(
        (position.cost if position.size > 0 else -position.cost)
        for position in there.positions.values()
    )
    return fees, funding, there.wallet - there.deposit + fees - funding - bound


# -- orders ------------------------------------------------------------------------------


def _doubled(server: BybitServer) -> list[str]:
    """Link ids that were sent more than once, or that several orders have."""
    sent = Counter(
        query["orderLinkId"] for query in server.queries if query["path"] == "/v5/order/create"
    )
    kept = Counter(
        order.link_id
        for account in server.book.accounts.values()
        for order in account.orders.values()
        if order.link_id
    )
    return [
        f"{link} was {word} {count} times"
        for word, counts in (("sent", sent), ("taken", kept))
        for link, count in counts.items()
        if count > 1
    ]


def _strange_orders(orders: Mapping[str, Order], there: Account) -> list[str]:
    """Orders of ours at the exchange that are not as the books say."""
    found = []
    for order in there.orders.values():
        ours = orders.get(order.link_id)
        if not order.link_id:
            continue
        if ours is None:
            found.append(f"{order.link_id} was sent and never intended")
        elif (ours.filled_quantity, ours.is_open) != (order.filled, order.is_open):
            found.append(f"{order.link_id} is {order.status} there, {ours.status} in the books")
    return found
