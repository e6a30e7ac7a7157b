"""An account at Bybit in memory, for what takes long: it answers at once, and fails when told to.

Market orders fill at the price of now, everything is told on the stream unless `mute` is set, and
`failing` holds, by method, what the next calls raise: before they did anything, or, in `after`,
once they have.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from engine.bybit.account import (
    AccountInfo,
    KeyInfo,
    Page,
    Rows,
    Unread,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    VenueStatus,
    Wallet,
)
from engine.bybit.stream import Connected, Disconnected, Message, StreamEvent
from engine.event import ExchangeLink, Journaled
from engine.exchange.bybit import BybitExchange
from engine.exchange.surveying import Times
from engine.exchange.venue import Venue
from engine.order import ZERO, Order, OrderType, Reason, Side, client_order_id, order_link_id
from engine.ports import Books, Clock
from tests.clock import FakeClock

D = Decimal
BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
ALPHA, BETA = "demo-bybit-alpha", "demo-bybit-beta"
PAGE = 3
STEPS = 50


class FakeBybit:
    """One account; `bots` of the desk's that trade it are the test's to know."""

    def __init__(self, clock: Clock, uid: str = "1001") -> None:
        self.clock = clock
        self.uid = uid
        self.orders: dict[str, VenueOrder] = {}
        self.rows: list[VenueExecution] = []
        self.held: dict[str, VenuePosition] = {}
        self.prices: dict[str, Decimal] = defaultdict(lambda: D(100))
        self.failing: dict[str, list[Exception]] = defaultdict(list)
        self.after: dict[str, list[Exception]] = defaultdict(list)
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.mute = False
        self.fills = True
        self.hidden: set[str] = set()
        self.unread_executions: list[Unread] = []
        self.unread_positions: list[Unread] = []
        self.unread_orders: list[Unread] = []
        self.offset_ms = 0
        self.key = KeyInfo(
            uid, False, frozenset({"ContractTrade:Order", "ContractTrade:Position"}), ("::1",), None
        )
        self.info = AccountInfo("ISOLATED_MARGIN", True)
        self.money = Wallet(D(10_000), D(10_000), D(9_000))
        self._handle: Callable[[StreamEvent], None] = lambda event: None
        self._numbers = 0
        self._up = asyncio.Event()

    # -- the stream ------------------------------------------------------------------------

    def connect(self, handle: Callable[[StreamEvent], None]) -> "FakeBybit":
        self._handle = handle
        return self

    async def run(self) -> None:
        self.reconnect()
        await asyncio.Event().wait()

    def reconnect(self) -> None:
        self.mute = False
        self._handle(Connected(False))

    def disconnect(self, reason: str = "closed with code 1006") -> None:
        self.mute = True
        self._handle(Disconnected(reason))

    def tell(self, event: StreamEvent) -> None:
        self._handle(event)

    def push(self, topic: str, *rows: Mapping[str, object]) -> None:
        self._handle(Message(topic, "", self.clock.now(), list(rows)))

    def _push(self, topic: str, row: Mapping[str, object]) -> None:
        if not self.mute:
            self.push(topic, row)

    # -- the door --------------------------------------------------------------------------

    async def _call(self, name: str, *arguments: object) -> None:
        self.calls.append((name, arguments))
        await asyncio.sleep(0)
        if self.failing[name]:
            raise self.failing[name].pop(0)

    def _done(self, name: str) -> None:
        if self.after[name]:
            raise self.after[name].pop(0)

    def called(self, name: str) -> list[tuple[object, ...]]:
        return [arguments for called, arguments in self.calls if called == name]

    async def place(self, order: Order, index: int = 0) -> str:
        await self._call("place", order, *([index] if index else []))
        made = self.accept(order)
        self._done("place")
        return made.order_id

    async def cancel(self, symbol: str, order_link_id: str) -> None:
        await self._call("cancel", symbol, order_link_id)
        self.end(order_link_id)
        self._done("cancel")

    async def cancel_by_id(self, symbol: str, order_id: str) -> None:
        await self._call("cancel_by_id", symbol, order_id)
        self.end(next(k for k, each in self.orders.items() if each.order_id == order_id))

    async def amend(self, symbol: str, order_link_id: str, **levels: Decimal | None) -> None:
        await self._call("amend", symbol, order_link_id, levels)

    async def cancel_all(self, symbol: str | None = None) -> None:
        await self._call("cancel_all", symbol)
        for link_id, order in list(self.orders.items()):
            if not order.status.is_final and not order.stop_kind:
                self.end(link_id)

    async def protect(
        self,
        symbol: str,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        trailing_stop: Decimal | None = None,
        activation: Decimal | None = None,
    ) -> None:
        levels = {
            "stop_loss": stop_loss,
            "take_profit": take_profit,
            "trailing_stop": trailing_stop,
            "activation": activation,
        }
        given = {name: level for name, level in levels.items() if level is not None}
        await self._call("protect", symbol, given)
        stand = {name: level or None for name, level in given.items() if name != "activation"}
        self.change(symbol, **stand)
        self._done("protect")

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        await self._call("set_leverage", symbol, leverage)

    async def set_one_way(self, symbol: str) -> None:
        await self._call("set_one_way", symbol)
        self.held[symbol] = replace(self.held[symbol], index=0)

    async def set_margin_mode(self, mode: str) -> None:
        await self._call("set_margin_mode", mode)
        self.info = replace(self.info, margin_mode=mode)

    async def order(self, symbol: str, order_link_id: str) -> VenueOrder | None:
        await self._call("order", symbol, order_link_id)
        return None if order_link_id in self.hidden else self.orders.get(order_link_id)

    async def open_orders(self) -> Rows[VenueOrder]:
        await self._call("open_orders")
        shown = (each for link_id, each in self.orders.items() if link_id not in self.hidden)
        return Rows((o for o in shown if not o.status.is_final), self.unread_orders)

    async def executions(self, start: int, end: int, cursor: str = "") -> Page:
        await self._call("executions", start, end, cursor)
        assert end - start <= 7 * 86_400_000
        rows = [row for row in reversed(self.rows) if start <= row.ts <= end]
        begin = int(cursor or 0)
        more = str(begin + PAGE) if begin + PAGE < len(rows) else ""
        unread = [] if begin else self.unread_executions
        return Page(Rows(rows[begin : begin + PAGE], unread), more)

    async def executions_of(self, symbol: str, order_id: str) -> Rows[VenueExecution]:
        await self._call("executions_of", symbol, order_id)
        rows = [row for row in reversed(self.rows) if row.order_id == order_id]
        return Rows(rows, self.unread_executions)

    async def positions(self) -> Rows[VenuePosition]:
        await self._call("positions")
        held = (each for each in self.held.values() if each.quantity)
        return Rows(held, self.unread_positions)

    async def position(self, symbol: str) -> VenuePosition:
        await self._call("position", symbol)
        return self.held.get(symbol) or _flat(symbol)

    async def wallet(self) -> Wallet:
        await self._call("wallet")
        return self.money

    async def key_info(self) -> KeyInfo:
        await self._call("key_info")
        return self.key

    async def account_info(self) -> AccountInfo:
        await self._call("account_info")
        return self.info

    async def server_time(self) -> int:
        await self._call("server_time")
        return self.clock.now() + self.offset_ms

    def close(self) -> None: ...

    # -- what happens there ----------------------------------------------------------------

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}{self._numbers}"

    def accept(self, order: Order) -> VenueOrder:
        """Take an order into the market; a market order is filled at once."""
        now = self.clock.now()
        made = VenueOrder(
            self._new_id("o"), order.order_link_id, order.symbol, order.side,
            str(order.order_type), VenueStatus.NEW, order.quantity, ZERO, order.price,
            order.trigger_price, order.reduce_only, "CreateByUser", "", "", now, now,
        )  # fmt: skip
        self.levels = order.stop_loss, order.take_profit
        self.note(made)
        if order.order_type is OrderType.MARKET and self.fills:
            self.fill(order.order_link_id, order.quantity)
        return made

    def note(self, order: VenueOrder) -> None:
        """Know an order as it is from now on, and tell of it."""
        self.orders[order.order_link_id or order.order_id] = order
        self._push("order", order_row(order))

    def fill(self, link_id: str, quantity: Decimal, price: Decimal | None = None) -> None:
        """Execute so much of an order, then tell of the order and the position."""
        order = self.orders[link_id]
        self.execute(
            order.symbol, order.side, quantity, price, order_id=order.order_id,
            order_link_id=order.order_link_id,
        )  # fmt: skip
        filled = order.filled_quantity + quantity
        done = filled >= order.quantity
        status = VenueStatus.FILLED if done else VenueStatus.PARTIALLY_FILLED
        self.note(replace(order, filled_quantity=filled, status=status))
        if order.reduce_only:
            return
        stop, target = self.levels
        self.change(order.symbol, stop_loss=stop, take_profit=target)

    def end(self, link_id: str, status: VenueStatus = VenueStatus.CANCELED, why: str = "") -> None:
        """Take an open order out of the market."""
        order = self.orders.get(link_id)
        if order is not None and not order.status.is_final:
            self.note(replace(order, status=status, reason=why or "EC_PerCancelRequest"))

    def execute(
        self, symbol: str, side: Side, quantity: Decimal, price: Decimal | None = None,
        **fields: object,
    ) -> VenueExecution:  # fmt: skip
        """Execute something, whoever made the order, and tell of it."""
        known: dict[str, object] = {
            "exec_id": self._new_id("e"), "order_id": self._new_id("x"), "order_link_id": "",
            "symbol": symbol, "side": side, "price": price or self.prices[symbol],
            "quantity": quantity, "fee": D("0.05"), "fee_rate": D("0.00055"), "is_maker": False,
            "exec_type": "Trade", "made_by": "CreateByUser", "stop_kind": "",
            "ts": self.clock.now(), **fields,
        }  # fmt: skip
        row = VenueExecution(**known)  # type: ignore[arg-type]
        self.rows.append(row)
        if row.exec_type != "Funding":
            held = self.held.get(symbol, _flat(symbol))
            self.held[symbol] = replace(held, quantity=held.quantity + side.sign * quantity)
            if not self.held[symbol].quantity:
                self.held[symbol] = _flat(symbol)
        self._push("execution", execution_row(row))
        if row.exec_type != "Funding":
            self._push("position", position_row(self.held[symbol]))
        return row

    def change(self, symbol: str, **levels: Decimal | None) -> None:
        """Change the levels of a position, and tell of it."""
        held = self.held.get(symbol)
        if held is not None and held.quantity:
            self.held[symbol] = replace(held, **levels)
            self._push("position", position_row(self.held[symbol]))


def _flat(symbol: str) -> VenuePosition:
    return VenuePosition(symbol, ZERO, None, D(5), None, None, None, None, D(100), 0, False, 0)


# -- rows as the stream has them -----------------------------------------------------------------


def _text(value: object) -> str:
    return "" if value is None else str(value)


def order_row(order: VenueOrder) -> dict[str, object]:
    return {
        "category": "linear", "orderId": order.order_id, "orderLinkId": order.order_link_id,
        "symbol": order.symbol, "side": str(order.side), "orderType": "Market",
        "orderStatus": str(order.status), "qty": str(order.quantity),
        "cumExecQty": str(order.filled_quantity), "price": _text(order.price),
        "triggerPrice": _text(order.trigger_price), "reduceOnly": order.reduce_only,
        "createType": order.made_by, "stopOrderType": order.stop_kind,
        "rejectReason": order.reason or "EC_NoError", "cancelType": "UNKNOWN",
        "createdTime": str(order.created_at), "updatedTime": str(order.updated_at),
    }  # fmt: skip


def execution_row(row: VenueExecution) -> dict[str, object]:
    return {
        "category": "linear", "execId": row.exec_id, "orderId": row.order_id,
        "orderLinkId": row.order_link_id, "symbol": row.symbol, "side": str(row.side),
        "execPrice": str(row.price), "execQty": str(row.quantity), "execFee": str(row.fee),
        "feeRate": str(row.fee_rate), "isMaker": row.is_maker, "execType": row.exec_type,
        "createType": row.made_by, "stopOrderType": row.stop_kind, "execTime": str(row.ts),
    }  # fmt: skip


def position_row(held: VenuePosition) -> dict[str, object]:
    side = "" if not held.quantity else "Buy" if held.quantity > 0 else "Sell"
    return {
        "category": "linear", "symbol": held.symbol, "size": str(abs(held.quantity)),
        "side": side, "entryPrice": _text(held.average_price), "leverage": _text(held.leverage),
        "stopLoss": _text(held.stop_loss), "takeProfit": _text(held.take_profit),
        "trailingStop": _text(held.trailing_stop), "markPrice": _text(held.mark_price),
        "positionIdx": held.index, "liqPrice": "", "updatedTime": str(held.updated_at),
        "isReduceOnly": held.is_reduce_only,
    }  # fmt: skip


# -- the desk's side -----------------------------------------------------------------------------


def entry(bot: str = "alpha", symbol: str = BTC, number: int = 0, **changes: object) -> Order:
    """A market order that opens a long position of 1, with a stop at 90 and a target at 120."""
    ts = 1_735_689_600_000 + number
    made = Order(
        account=f"demo-bybit-{bot}",
        order_link_id=order_link_id(bot, Reason.LONG_ENTRY, ts, number),
        client_order_id=client_order_id(bot, Reason.LONG_ENTRY, ts),
        bot_id=bot,
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=D(1),
        leverage=5,
        reason=Reason.LONG_ENTRY,
        created_at=ts,
        updated_at=ts,
        stop_loss=D(90),
        take_profit=D(120),
    )
    return replace(made, **changes)


def resting(number: int = 0, **changes: object) -> Order:
    """A limit order of bot alpha to buy 1 at 95."""
    return entry(number=number, order_type=OrderType.LIMIT, price=D(95), **changes)


def closing(number: int = 900, **changes: object) -> Order:
    """A market order of bot alpha that closes a long position of 1."""
    sells = {"side": Side.SELL, "reduce_only": True, "stop_loss": None, "take_profit": None}
    return entry(number=number, **{**sells, **changes})


def books(account: str = ALPHA, **known: object) -> Books:
    """Books that were compared with the exchange before; `known` are fields that are not empty."""
    nothing = {"uid": "1001", "synced_until": 1_735_689_590_000, "orders": {}, "positions": {}}
    return Books(**{"account": account, "entries": {}, **nothing, **known})


class Desk:
    """An exchange at work, and all that it told."""

    def __init__(self, exchange: BybitExchange, clock: FakeClock) -> None:
        self.exchange = exchange
        self.clock = clock
        self.events: list[Journaled] = []

    def told(self, *kinds: type) -> list[Journaled]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def does(self, *instructions: object, seconds: float = 0.05) -> None:
        """Have the exchange do something, and give it time."""
        for instruction in instructions:
            assert await self.exchange.carry_out(instruction) == ()
        await self.passes(seconds)

    async def passes(self, seconds: float) -> None:
        """Let time pass in steps: at each, whoever is busy gets some turns."""
        for _ in range(STEPS):
            await self.clock.sleep(seconds / STEPS)

    @property
    def is_up(self) -> bool:
        """Whether all accounts were last told to be heard."""
        links = {event.account: event.down for event in self.told(ExchangeLink)}
        return bool(links) and not any(links.values())

    def forget(self) -> None:
        """Begin a new list of what is told."""
        self.events.clear()


@contextlib.asynccontextmanager
async def working(
    *venues: Venue, clock: FakeClock, books: Sequence[Books] = (), first: Sequence[object] = ()
) -> AsyncIterator[Desk]:
    """A desk that trades at these venues, once it is connected and has looked at all; `first` is
    what it was told to do before."""
    exchange = BybitExchange(venues)
    exchange.take_over(books)
    for instruction in first:
        await exchange.carry_out(instruction)
    desk = Desk(exchange, clock)
    task = asyncio.create_task(exchange.run(desk.events.append))
    try:
        await desk.passes(0.5)
        yield desk
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def venue(
    fake: FakeBybit, bots: Mapping[str, Iterable[str]] | None = None, times: Times | None = None
) -> Venue:
    bots = bots or {ALPHA: (BTC, ETH)}
    return Venue("main", fake, fake.connect, {a: tuple(s) for a, s in bots.items()}, fake.clock,
                 times)  # fmt: skip
