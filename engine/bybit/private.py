"""Bybit's private REST for one API key: the door `AccountApi`."""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from engine.bybit import private_parse, request
from engine.bybit.account import (
    AccountInfo,
    KeyInfo,
    Page,
    Rows,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    Wallet,
)
from engine.bybit.address import Address
from engine.bybit.budget import Urgency
from engine.bybit.channel import Channel
from engine.bybit.codes import Deed
from engine.bybit.parse import Fields
from engine.bybit.request import CATEGORY, COIN
from engine.bybit.sign import ApiKey
from engine.bybit.wire import TIMEOUT_S, Query, unusable
from engine.errors import CountersignError, OutcomeUnknown, Unreachable
from engine.order import ZERO, Order
from engine.ports import Clock

T = TypeVar("T")

ORDERS_PAGE = 50
EXECUTIONS_PAGE = 100
POSITIONS_PAGE = 200
# More pages than there can be: some hundreds of open orders, thousands of executions an order.
PAGES_MAX = 200
# A plain cancel-all would take the stops and targets of positions away too.
ORDERS_OF_PEOPLE: tuple[Query, ...] = (
    {"orderFilter": "Order"},
    {"orderFilter": "StopOrder", "stopOrderType": "Stop"},
)

# Why an order must not be sent, or nothing; asked on another thread, when the order is signed.
Fence = Callable[[Order], str]


def unfenced(order: Order) -> str:
    """The fence of one who sends nothing that could open a position."""
    return ""


class PrivateRest:
    """An account behind one API key of one server, e.g. `https://api-demo.bybit.com`.

    The `fence` is asked about each order that can open a position, between its signature and its
    sending: where it gives a reason nothing is sent, and ExchangeRefused with code 0 is raised.
    """

    def __init__(
        self,
        base: str,
        key: ApiKey,
        clock: Clock,
        address: Address,
        *,
        fence: Fence = unfenced,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._channel = Channel(base, key, clock, address, timeout_s)
        self._fence = fence

    @property
    def offset_ms(self) -> int:
        """How far Bybit's clock is ahead of ours: the median of the last measurements."""
        return self._channel.server.offset_ms

    async def server_time(self) -> int:
        return await self._channel.server_time()

    def close(self) -> None:
        """Let connections and threads go; requests on their way are not waited for."""
        self._channel.close()

    # -- orders ------------------------------------------------------------------------------

    async def place(self, order: Order, index: int = 0) -> str:
        query = request.placing(order, index)
        if order.reduce_only:
            result = await self._channel.write("place_order", query, Urgency.REDUCES, Deed.CLOSE)
        else:
            result = await self._channel.write(
                "place_order", query, Urgency.OPENS, Deed.PLACE, lambda: self._fence(order)
            )
        order_id = result.get("orderId")
        if not isinstance(order_id, str) or not order_id:
            raise OutcomeUnknown(f"Bybit's answer makes no sense: orderId is {order_id!r:.40}")
        return order_id

    async def cancel(self, symbol: str, order_link_id: str) -> None:
        await self._cancel({"symbol": symbol, "orderLinkId": order_link_id})

    async def cancel_by_id(self, symbol: str, order_id: str) -> None:
        await self._cancel({"symbol": symbol, "orderId": order_id})

    async def _cancel(self, which: Query) -> None:
        query = {"category": CATEGORY, **which}
        await self._channel.write("cancel_order", query, Urgency.REDUCES, Deed.CANCEL)

    async def amend(
        self,
        symbol: str,
        order_link_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        query = request.amending(symbol, order_link_id, quantity, price, trigger_price)
        await self._channel.write("amend_order", query)

    async def cancel_all(self, symbol: str | None = None) -> None:
        where: Query = {"symbol": symbol} if symbol else {"settleCoin": COIN}
        failures: list[CountersignError] = []
        for kind in ORDERS_OF_PEOPLE:
            query = {"category": CATEGORY, **where, **kind}
            try:
                await self._channel.write("cancel_all_orders", query, Urgency.REDUCES, Deed.CANCEL)
            except CountersignError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    # -- positions and the account -------------------------------------------------------------

    async def protect(
        self,
        symbol: str,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        trailing_stop: Decimal | None = None,
        activation: Decimal | None = None,
    ) -> None:
        query = request.protecting(symbol, stop_loss, take_profit, trailing_stop, activation)
        await self._channel.write("set_trading_stop", query, Urgency.REDUCES)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        each = str(leverage)
        query = {"symbol": symbol, "buyLeverage": each, "sellLeverage": each}
        await self._channel.write("set_leverage", {"category": CATEGORY, **query})

    async def set_one_way(self, symbol: str) -> None:
        query: Query = {"category": CATEGORY, "symbol": symbol, "mode": 0}
        await self._channel.write("switch_position_mode", query)

    async def set_margin_mode(self, mode: str) -> None:
        await self._channel.write("set_margin_mode", {"setMarginMode": mode})

    # -- reads ---------------------------------------------------------------------------------

    async def order(self, symbol: str, order_link_id: str) -> VenueOrder | None:
        # Without a filter both tell of all kinds of orders, conditional ones too.
        which: Query = {"symbol": symbol, "orderLinkId": order_link_id}
        for method in ("get_open_orders", "get_order_history"):
            found, _ = await self._page(method, which, private_parse.order)
            for order in found:
                if order.order_link_id == order_link_id:
                    return order
            _insist(found)
        return None

    async def open_orders(self) -> Rows[VenueOrder]:
        query: Query = {"settleCoin": COIN, "openOnly": 0, "limit": ORDERS_PAGE}
        return await self._all("get_open_orders", query, private_parse.order)

    async def executions(self, start: int, end: int, cursor: str = "") -> Page:
        query: Query = {"startTime": start, "endTime": end, "limit": EXECUTIONS_PAGE}
        rows, after = await self._page("get_executions", query, private_parse.execution, cursor)
        return Page(rows, after)

    async def executions_of(self, symbol: str, order_id: str) -> Rows[VenueExecution]:
        query: Query = {"symbol": symbol, "orderId": order_id, "limit": EXECUTIONS_PAGE}
        return await self._all("get_executions", query, private_parse.execution)

    async def positions(self) -> Rows[VenuePosition]:
        query: Query = {"settleCoin": COIN, "limit": POSITIONS_PAGE}
        found = await self._all("get_positions", query, private_parse.position)
        return Rows((position for position in found if position.quantity), found.unread)

    async def position(self, symbol: str) -> VenuePosition:
        query: Query = {"symbol": symbol}
        rows, _ = await self._page("get_positions", query, private_parse.position)
        _insist(rows)
        if not rows:
            raise Unreachable(f"Bybit's answer makes no sense: it has no position of {symbol}")
        # In hedge mode there are two; the one that is open says more.
        return max(rows, key=lambda position: position.quantity != 0)

    async def wallet(self) -> Wallet:
        query: Query = {"accountType": "UNIFIED", "coin": COIN}
        result = await self._channel.read("get_wallet_balance", query)
        found = _understood(lambda: private_parse.wallet(result.get("list")))
        return found or Wallet(ZERO, ZERO, ZERO)

    async def key_info(self) -> KeyInfo:
        result = await self._channel.read("get_api_key_information", {})
        return _understood(lambda: private_parse.key_info(result))

    async def account_info(self) -> AccountInfo:
        result = await self._channel.read("get_account_info", {})
        return _understood(lambda: private_parse.account_info(result))

    async def _all(self, method: str, query: Query, read: Callable[[Fields], T]) -> Rows[T]:
        found: Rows[T] = Rows()
        cursor = ""
        for _ in range(PAGES_MAX):
            rows, cursor = await self._page(method, query, read, cursor)
            found.add(rows)
            if not cursor:
                return found
        raise Unreachable(f"Bybit's answer makes no sense: it has more than {PAGES_MAX} pages")

    async def _page(
        self, method: str, query: Query, read: Callable[[Fields], T], cursor: str = ""
    ) -> tuple[Rows[T], str]:
        # A cursor is handed back as it came: it has its percent signs already.
        after: Query = {"cursor": cursor} if cursor else {}
        result = await self._channel.read(method, {"category": CATEGORY, **query, **after})
        listed = _understood(lambda: private_parse.linear(result.get("list")))
        # A cursor behind an empty page leads nowhere.
        following = str(result.get("nextPageCursor") or "") if result.get("list") else ""
        return private_parse.readable(listed, read), following


def _insist(rows: Rows[T]) -> None:
    """Raise Unreachable for a row that can't be read, where nothing less will do."""
    for each in rows.unread:
        raise Unreachable(f"Bybit's answer makes no sense: {each.detail}")


def _understood(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise unusable(error) from error
