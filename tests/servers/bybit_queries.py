"""What the local Bybit tells of an account: pages of orders, executions, positions and money."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from engine.candle import DAY_MS, HOUR_MS
from tests.servers import bybit_wire as wire
from tests.servers.bybit_book import Book
from tests.servers.bybit_ledger import Account, Order, Position
from tests.servers.bybit_rules import Refusal, invalid

WINDOW_MS = 7 * DAY_MS
# How long orders that came to nothing are told of.
HIDDEN_MS = DAY_MS
KEPT_MS = 2 * 365 * DAY_MS
CURSOR = re.compile(r"page_token=(\d+):([^&]+)&")
UNFILLED = ("Cancelled", "Rejected", "Deactivated")

Query = dict[str, str]
Result = dict[str, object]
# A row with the time and the name it is sorted by.
Dated = tuple[int, str, wire.Row]


class Queries:
    """`moment` is as far back as what is told may lag, in the account's own monotonic time."""

    def __init__(self, book: Book, moment: Callable[[], float]) -> None:
        self._book = book
        self._moment = moment

    # -- orders ------------------------------------------------------------------------------

    def realtime(self, account: Account, query: Query) -> Result:
        """Open orders, or with `openOnly=1` the last 500 that ended; by id whichever it is."""
        orders = self._orders(account)
        recent = [orders[i] for i in account.recent if i in orders]
        if not (query.get("orderId") or query.get("orderLinkId")):
            _need(query, "symbol", "baseCoin", "settleCoin")
            closed = query.get("openOnly") == "1"
            found = recent if closed else [o for o in orders.values() if o.is_open]
        else:
            found = [*(o for o in orders.values() if o.is_open), *recent]
        return _page(_order_rows(found, query), query, 20, 50)

    def history(self, account: Account, query: Query) -> Result:
        """Orders that ended; those without a fill for a day only."""
        now = self._book.now()
        start, end = self._window(query)
        found = [
            order
            for order in self._orders(account).values()
            if not order.is_open
            and (order.filled or order.updated > now - HIDDEN_MS)
            and (_by_id(query) or start <= order.created <= end)
        ]
        if wanted := query.get("orderStatus"):
            found = [order for order in found if order.status == wanted]
        return _page(_order_rows(found, query), query, 20, 50)

    def _orders(self, account: Account) -> dict[str, Order]:
        """Each order as it was when reads saw it last."""
        seen = self._moment()
        versions = (account.version(order_id, seen) for order_id in account.orders)
        return {order.order_id: order for order in versions if order is not None}

    # -- executions and money ----------------------------------------------------------------

    def executions(self, account: Account, query: Query) -> Result:
        start, end = self._window(query)
        by_id, seen = _by_id(query), self._moment()
        rows: list[Dated] = []
        for execution in account.executions_seen(seen):
            order = execution.order
            if by_id and not _named(query, order):
                continue
            if not by_id and not (
                start <= execution.ts <= end
                and query.get("symbol") in (None, "", execution.symbol)
                and query.get("execType") in (None, "", execution.kind)
            ):
                continue
            rows.append((execution.ts, execution.exec_id, wire.execution_row(execution)))
        return _page(rows, query, 50, 100)

    def transactions(self, account: Account, query: Query) -> Result:
        start, end = self._window(query)
        rows = [
            (entry.execution.ts, f"{entry.number:012}", wire.log_row(account, entry))
            for entry in account.log
            if start <= entry.execution.ts <= end
            and query.get("type") in (None, "", entry.kind)
            and query.get("currency") in (None, "", "USDT")
        ]
        result = _page(rows, query, 20, 50)
        return {"list": result["list"], "nextPageCursor": result["nextPageCursor"]}

    def _window(self, query: Query) -> tuple[int, int]:
        """At most 7 days: the last ones, or those before or after the one that is given."""
        start, end = query.get("startTime"), query.get("endTime")
        if start and end:
            if not 0 <= int(end) - int(start) <= WINDOW_MS:
                raise Refusal(
                    10_001, "The time range between startTime and endTime cannot exceed 7 days"
                )
            found = int(start), int(end)
        elif start:
            found = int(start), int(start) + WINDOW_MS
        elif end:
            found = int(end) - WINDOW_MS, int(end)
        else:
            found = self._book.now() - WINDOW_MS, self._book.now() + HOUR_MS
        return max(found[0], self._book.now() - KEPT_MS), found[1]

    # -- the account -------------------------------------------------------------------------

    def positions(self, account: Account, query: Query) -> Result:
        symbol = query.get("symbol")
        if symbol:
            self._book.market(symbol)
            found = account.positions_of(symbol)
        else:
            _need(query, "settleCoin", "baseCoin")
            found = [p for p in account.positions.values() if p.size]
        rows = [(0, f"{p.symbol}:{p.idx}", self._position(account, p)) for p in found]
        return _page(rows, query, 20, 200)

    def _position(self, account: Account, position: Position) -> wire.Row:
        mark = self._book.mark(position.symbol)
        return wire.position_row(account, position, self._book.margin, mark)

    def wallet(self, account: Account, query: Query) -> Result:
        if query.get("accountType") != "UNIFIED":
            raise Refusal(10_001, "accountType only support UNIFIED.")
        row = wire.wallet_row(account, self._book.margin)
        coins = [c for c in query.get("coin", "").split(",") if c]
        if coins and "USDT" not in coins:
            row["coin"] = []
        return {"list": [row]}

    def info(self, account: Account, query: Query) -> Result:
        return {
            "marginMode": account.margin_mode, "updatedTime": "1697078946000",
            "unifiedMarginStatus": 5, "dcpStatus": "OFF", "timeWindow": 10, "smpGroup": 0,
            "isMasterTrader": False, "spotHedgingStatus": "OFF",
        }  # fmt: skip

    def fees(self, account: Account, query: Query) -> Result:
        symbol = query.get("symbol")
        rules = [r for r in self._book.rules.values() if symbol in (None, "", r.symbol)]
        rows = [
            {"symbol": r.symbol, "takerFeeRate": str(r.taker), "makerFeeRate": str(r.maker)}
            for r in rules
        ]
        return {"list": rows}


def _integer(query: Query, name: str) -> int | None:
    said = query.get(name)
    if said and not said.isdecimal():
        raise invalid(f"{name} invalid")
    return int(said) if said else None


def _need(query: Query, *names: str) -> None:
    if not any(query.get(name) for name in names):
        raise invalid(f"{' or '.join(names)} is required")


def _by_id(query: Query) -> bool:
    return bool(query.get("orderId") or query.get("orderLinkId"))


def _named(query: Query, order: Order) -> bool:
    """An order's id counts before its link id, and both before all else."""
    if name := query.get("orderId"):
        return order.order_id == name
    return bool(order.link_id) and order.link_id == query["orderLinkId"]


def _order_rows(orders: Sequence[Order], query: Query) -> list[Dated]:
    kinds = {"Order": False, "StopOrder": True}
    conditional = kinds.get(query.get("orderFilter", ""))
    found: dict[str, Dated] = {}
    for order in orders:
        if _by_id(query):
            wanted = _named(query, order)
        else:
            wanted = query.get("symbol") in (None, "", order.symbol) and (
                conditional is None or (order.trigger is not None) == conditional
            )
        if wanted:
            found[order.order_id] = (order.created, order.order_id, wire.order_row(order))
    return list(found.values())


def _page(rows: list[Dated], query: Query, default: int, most: int) -> Result:
    """The newest first; rows of one moment come in no order that means anything."""
    limit = _integer(query, "limit") or default
    if not 1 <= limit <= most:
        raise invalid(f"limit {limit} invalid")
    rows = sorted(rows, key=lambda row: row[:2], reverse=True)
    if cursor := query.get("cursor"):
        last = _after(cursor)
        rows = [row for row in rows if row[:2] < last]
    rows = rows[:limit]
    # A full page promises another one, though that may turn out to be empty.
    full = len(rows) == limit
    following = quote(f"page_token={rows[-1][0]}:{rows[-1][1]}&", safe="") if full else ""
    return {
        "category": "linear",
        "list": [row for _, _, row in rows],
        "nextPageCursor": following,
    }


def _after(cursor: str) -> tuple[int, str]:
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise invalid("cursor invalid")
    return int(found[1]), found[2]
