"""The local Bybit's ledger adds up to the last digit, whatever an account does."""

from decimal import Decimal
from random import Random

import pytest

from tests.servers.bybit_fills import Liquidity
from tests.servers.bybit_ledger import FULL_STOPS, Account, Execution, Order
from tests.servers.bybit_rules import Refusal
from tests.servers.bybit_table import BTC, Table


class Flow:
    """Somebody who does anything with an account, mostly things that make sense."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.table = Table()
        self.table.book.fills.liquidity = self._liquidity
        self.table.book.cancel_race = lambda order: not order.trigger and self.rng.random() < 0.2
        if self.rng.random() < 0.5:
            self.table.account.margin_mode = "ISOLATED_MARGIN"

    def act(self) -> None:
        """One action; a refusal is as good an outcome as any."""
        self.table.now += 1_000
        actions = (self._create, self._stop, self._cancel, self._amend, self._move, self._force)
        try:
            self.rng.choices(actions, (10, 4, 3, 3, 8, 1))[0]()
        except Refusal:
            return

    def _liquidity(self, order: Order) -> Liquidity:
        share = Decimal(self.rng.choice(["1", "1", "0.6", "0.3"]))
        return Liquidity(self.rng.randint(1, 3), share, Decimal("0.0003"))

    def _price(self, way: int = 0, reach: int = 30) -> str:
        """A price near that of now: above it, below it, or where chance puts it."""
        way = way or self.rng.choice([-1, 1])
        return str(
            int(self.table.book.last(BTC)) // 100 * 100 + way * self.rng.randint(1, reach) * 100
        )

    def _quantity(self) -> str:
        return f"{self.rng.randint(1, 300) / 1000:.3f}"

    def _create(self) -> None:
        side = self.rng.choice(["Buy", "Sell"])
        way = 1 if side == "Buy" else -1
        body: dict[str, object] = {"side": side, "orderType": "Market", "qty": self._quantity()}
        if self.rng.random() < 0.5:
            force = self.rng.choice(["GTC", "GTC", "IOC", "FOK", "PostOnly"])
            body |= {"orderType": "Limit", "price": self._price(), "timeInForce": force}
        if self.rng.random() < 0.2:
            direction = self.rng.randint(1, 2)
            price = self._price(1 if direction == 1 else -1)
            body |= {"triggerPrice": price, "triggerDirection": direction}
        if self.rng.random() < 0.3:
            body |= {"reduceOnly": True, "closeOnTrigger": self.rng.random() < 0.5}
        elif self.rng.random() < 0.5:
            mode = self.rng.choice(["Full", "Partial"])
            stops = {"takeProfit": self._price(way, 60), "stopLoss": self._price(-way, 60)}
            body |= {"tpslMode": mode, **stops}
        link = f"link-{len(self.table.account.orders)}"
        self.table.do("create", orderLinkId=link, **body)

    def _stop(self) -> None:
        position = self.table.account.position(BTC)
        way = 1 if position.size > 0 else -1
        size = str(min(abs(position.size), Decimal(self._quantity())))
        body = self.rng.choice(
            [
                {"takeProfit": self._price(way)},
                {"stopLoss": self._price(-way)},
                {"stopLoss": "0"},
                {"trailingStop": self.rng.choice(["500", "2000"])},
                {"trailingStop": "500", "activePrice": self._price(way)},
                {"trailingStop": "0"},
                {"tpslMode": "Partial", "stopLoss": self._price(-way), "slSize": size},
                {"tpslMode": "Partial", "takeProfit": self._price(way), "tpSize": size},
            ]
        )
        self.table.do("trading_stop", **{"tpslMode": "Full", **body})

    def _any_open(self) -> str:
        orders = self.table.account.open_orders(BTC)
        return self.rng.choice(orders).order_id if orders else "none"

    def _cancel(self) -> None:
        self.table.do("cancel", orderId=self._any_open())

    def _amend(self) -> None:
        change = self.rng.choice(["qty", "price", "triggerPrice"])
        value = self._quantity() if change == "qty" else self._price()
        self.table.do("amend", orderId=self._any_open(), **{change: value})

    def _move(self) -> None:
        move = self.rng.choice([self.table.price, self.table.glide, self.table.glide])
        move(self._price(reach=60))

    def _force(self) -> None:
        """What Bybit does of itself."""
        position, book = self.table.account.position(BTC), self.table.book
        book.settle(BTC, Decimal(self.rng.choice(["0.0001", "-0.00035"])), self.table.now)
        if position.size and self.rng.random() < 0.5:
            quantity = min(Decimal(self._quantity()), abs(position.size))
            price = book.last(BTC)
            book.fills.force(self.table.account, position, quantity, price, "AdlTrade")
        elif position.size and self.rng.random() < 0.3:
            book.fills.liquidate(self.table.account, position)


def check_money(account: Account) -> None:
    earned = sum(e.pnl - e.fee for e in account.executions)
    assert account.wallet == account.deposit + earned
    balance = account.deposit
    for entry in account.log:
        balance += entry.change
        assert entry.balance == balance
    position = account.position(BTC)
    flow = -sum(fill.signed * fill.price for fill in account.fills)
    held = position.cost if position.size > 0 else -position.cost
    assert sum(fill.pnl for fill in account.fills) == flow + held


def check_orders(account: Account) -> None:
    assert sum(fill.signed for fill in account.fills) == account.position(BTC).size
    ids = [execution.exec_id for execution in account.executions]
    assert len(ids) == len(set(ids))
    by_order: dict[str, list[Execution]] = {}
    for fill in account.fills:
        by_order.setdefault(fill.order.order_id, []).append(fill)
    for order in account.orders.values():
        fills = by_order.get(order.order_id, [])
        assert order.filled == sum(fill.quantity for fill in fills) <= order.quantity
        assert order.fee == sum(fill.fee for fill in fills)
        assert (order.status == "Filled") == (not order.left)


def check_stops(account: Account) -> None:
    size, stops = account.position(BTC).size, account.position(BTC).stops
    assert all(account.orders[order_id].is_open for order_id in stops.values())
    for order in account.open_orders(BTC):
        if order.stop_type in FULL_STOPS:
            assert order.quantity == abs(size)
        if order.stop_type not in ("", "Stop") or (order.reduce_only and not order.trigger):
            assert size * order.sign < 0


@pytest.mark.parametrize("seed", range(12))
def test_the_ledger_adds_up_whatever_happens(seed):
    flow = Flow(seed)
    for _ in range(250):
        flow.act()
        check_orders(flow.table.account)
        check_stops(flow.table.account)
        check_money(flow.table.account)
    assert flow.table.account.fills
