"""The matching engine of the local Bybit: orders meet prices here, and positions change.

It is pure: time, chance and prices are given to it, and what happens is told to `tell`. The
other side of every trade is the market itself, which always has the price of now.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random

from tests.servers import bybit_orders, bybit_stops
from tests.servers.bybit_fills import Fills
from tests.servers.bybit_ledger import ZERO, Account, Order, Position, Told
from tests.servers.bybit_orders import Body, Market
from tests.servers.bybit_prices import FUNDING_MS, Prices, funding_at
from tests.servers.bybit_rules import Refusal, Rules, invalid


class Book:
    """All accounts' orders and positions; `now` is the server's time in UTC ms."""

    def __init__(
        self, rules: Mapping[str, Rules], prices: Prices, now: Callable[[], int], rng: Random,
        tell: Told, moment: Callable[[], float],
    ) -> None:  # fmt: skip
        self.rules = rules
        self.prices = prices
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.rejection: Callable[[Order], str] = lambda order: ""
        self.cancel_race: Callable[[Order], bool] = lambda order: False
        self.fills = Fills(rules, prices, now, rng)
        self.margin = self.fills.margin
        self._tell = tell
        self._moment = moment
        self._settled = now()

    def open_account(self, uid: str, balance: Decimal) -> Account:
        if uid not in self.accounts:
            self.accounts[uid] = Account(uid, balance, self._tell, self._moment)
        return self.accounts[uid]

    def last(self, symbol: str) -> Decimal:
        return self.fills.last(symbol)

    def mark(self, symbol: str) -> Decimal:
        return self.fills.mark(symbol)

    def market(self, symbol: object) -> Market:
        rules = self.rules.get(str(symbol))
        if rules is None:
            raise invalid("symbol invalid")
        return Market(rules, self.last(rules.symbol), self.mark(rules.symbol))

    # -- what an account asks for ------------------------------------------------------------

    def take(self, account: Account, body: Body) -> Order:
        """Accept an order, or raise Refusal; it meets the market in `match`."""
        market = self.market(body.get("symbol"))
        if market.rules.status != "Trading":
            raise Refusal(110_074, "This contract is not live")
        order = bybit_orders.read(body, market, self.fills.new_id(), self.now())
        size = abs(account.position(order.symbol, order.position_idx).size)
        if order.reduce_only and order.close_on_trigger and not order.quantity:
            order = replace(order, quantity=min(size, market.rules.quantity_max_market))
            if not size:
                raise Refusal(110_017, "current position is zero, cannot fix reduce-only order qty")
        bybit_orders.check(account, order, market)
        if order.reduce_only:
            order = replace(order, quantity=min(order.quantity, size))
        elif order.trigger is None:
            self._check_margin(account, order)
        account.enter(order)
        return order

    def _check_margin(self, account: Account, order: Order) -> None:
        price = self.last(order.symbol) if order.kind == "Market" else order.price
        assert price is not None
        if self.margin.order_cost(account, order, price) > self.margin.available(account):
            raise Refusal(110_007, "ab not enough for new order")

    def match(self, account: Account, order_id: str) -> None:
        """Let an accepted order into the market."""
        order = account.orders[order_id]
        if reason := self.rejection(order):
            account.record(order, status="Rejected", reject_reason=reason, updated=self.now())
        elif order.trigger is not None:
            account.record(order, status="Untriggered", updated=self.now())
            account.touch(account.position(order.symbol, order.position_idx))
        else:
            self._activate(account, order)

    def find(self, account: Account, body: Body) -> Order:
        """The order a body names; its id counts before its link id. Raises Refusal."""
        name, link = body.get("orderId"), body.get("orderLinkId")
        if not (name or link):
            raise invalid("OrderId or orderLinkId is required")
        order = account.orders.get(str(name) if name else account.links.get(str(link), ""))
        if order is None or order.symbol != body.get("symbol"):
            raise Refusal(110_001, "Order does not exist")
        return order

    def check_cancel(self, account: Account, body: Body) -> Order:
        order = self.find(account, body)
        if not order.is_open:
            raise Refusal(110_001, "order not exists or too late to cancel")
        return order

    def cancel(self, account: Account, order_id: str, why: str = "CancelByUser") -> None:
        """Take an order out of the market, unless it was filled before."""
        order = account.orders[order_id]
        if order.is_open and why == "CancelByUser" and self.cancel_race(order):
            self._race(account, order)
            return
        if order.is_open:
            self.fills.end(account, order, why)
            bybit_stops.forget(account.position(order.symbol, order.position_idx), order_id)
            account.touch(account.position(order.symbol, order.position_idx))

    def _race(self, account: Account, order: Order) -> None:
        """The fill comes first, and a second message says why it was not canceled."""
        price = order.trigger if order.is_conditional else order.price
        assert price is not None
        self.fills.fill(account, order, [(order.left, price)], maker=True)
        account.record(
            account.orders[order.order_id],
            cancel_type="CancelByUser",
            reject_reason="EC_OrigClOrdIDDoesNotExist",
        )

    def check_amend(self, account: Account, body: Body) -> Order:
        """The order as it would be; raises Refusal."""
        order = self.find(account, body)
        if not order.is_open:
            raise Refusal(110_001, "order not exists or too late to replace")
        market = self.market(order.symbol)
        changed = bybit_orders.amended(order, body, market)
        if changed == order:
            raise Refusal(
                10_001,
                "The order remains unchanged as the parameters entered match the existing ones.",
            )
        return changed

    def amend(self, account: Account, changed: Order) -> None:
        """Put an amended order in the place of the old one, unless that has ended."""
        order = account.orders[changed.order_id]
        if not order.is_open:
            return
        done = {name: getattr(order, name) for name in ("filled", "value", "fee", "pnl", "status")}
        changed = replace(changed, **done)
        if changed.is_conditional or not self._crosses(changed, self.last(changed.symbol)):
            account.record(changed, updated=self.now())
            account.touch(account.position(order.symbol, order.position_idx))
        else:
            self._activate(account, changed)

    # -- what prices do ----------------------------------------------------------------------

    def jump(self, symbol: str, price: Decimal, mark: Decimal | None = None) -> None:
        """The next trade is at `price`; nothing trades between it and the last one."""
        self.prices.say(symbol, price, mark)
        self.visit(symbol)

    def glide(self, symbol: str, price: Decimal) -> None:
        """The price goes to `price` through everything between."""
        here = self.last(symbol)
        while (level := self._next_level(symbol, here, price)) is not None:
            self.jump(symbol, level)
            here = level
        self.jump(symbol, price)

    def _next_level(self, symbol: str, here: Decimal, target: Decimal) -> Decimal | None:
        way = 1 if target > here else -1
        levels = [
            level
            for account in self.accounts.values()
            for level in self._levels(account, symbol)
            if here * way < level * way < target * way
        ]
        return min(levels, key=lambda level: level * way, default=None)

    def _levels(self, account: Account, symbol: str) -> Iterable[Decimal]:
        """The prices at which something happens to an account."""
        for order in account.open_orders(symbol):
            level = order.trigger if order.is_conditional else order.price
            if level is not None:
                yield level
        for position in account.positions_of(symbol):
            liquidation = self.margin.liquidation_price(account, position)
            yield from (p for p in (liquidation, position.active) if p is not None)

    def visit(self, symbol: str) -> None:
        """Let the price of now meet all that waits for it."""
        price = self.last(symbol)
        for account in self.accounts.values():
            for position in account.positions_of(symbol):
                bybit_stops.trail(account, position, price, self.rules[symbol], self.now())
            for order in account.open_orders(symbol):
                self._meet(account, order.order_id, price)
            for position in account.positions_of(symbol):
                self._watch(account, position)

    def _meet(self, account: Account, order_id: str, price: Decimal) -> None:
        order = account.orders[order_id]
        if not order.is_open:
            return
        if order.is_conditional:
            if self._triggers(order, price):
                triggered = account.record(order, status="Triggered", updated=self.now())
                self._activate(account, triggered)
        elif self._crosses(order, price):
            assert order.price is not None
            pieces = self.fills.pieces(account, order, order.price, slippage=ZERO)
            self.fills.fill(account, order, pieces, maker=True)

    @staticmethod
    def _triggers(order: Order, price: Decimal) -> bool:
        if order.trigger is None:
            return False
        return price >= order.trigger if order.direction == 1 else price <= order.trigger

    @staticmethod
    def _crosses(order: Order, price: Decimal) -> bool:
        if order.kind == "Market" or order.price is None:
            return True
        return price <= order.price if order.side == "Buy" else price >= order.price

    def _watch(self, account: Account, position: Position) -> None:
        liquidation = self.margin.liquidation_price(account, position)
        if liquidation is None:
            return
        mark = self.mark(position.symbol)
        if mark <= liquidation if position.size > 0 else mark >= liquidation:
            self.fills.liquidate(account, position)

    # -- filling -----------------------------------------------------------------------------

    def _activate(self, account: Account, order: Order) -> None:
        """An order meets the market for the first time, or after its trigger."""
        price = self.last(order.symbol)
        if order.kind == "Market":
            bound = self.rules[order.symbol].bound(order.side, self.mark(order.symbol))
            order = replace(order, price=bound)
        if order.reduce_only and not self.fills.reducible(account, order):
            self.fills.end(account, replace(order, status="New"), "CancelByReduceOnly")
        elif not self._affordable(account, order):
            why = "CancelByCannotAffordOrderCost"
            self.fills.end(account, replace(order, status="New"), why)
        elif not self._crosses(order, price):
            self.fills.rest(account, replace(order, status="New"))
        elif order.time_in_force == "PostOnly":
            reason = "EC_PostOnlyWillTakeLiquidity"
            self.fills.end(account, replace(order, status="New"), "UNKNOWN", reason)
        else:
            pieces = self.fills.pieces(account, order, price)
            self.fills.fill(account, replace(order, status="New"), pieces, maker=False)
            return
        account.touch(account.position(order.symbol, order.position_idx))

    def _affordable(self, account: Account, order: Order) -> bool:
        """Margin is asked for again once a conditional order is triggered."""
        if order.trigger is None or order.reduce_only:
            return True
        cost = self.margin.order_cost(account, order, self.last(order.symbol))
        return cost <= self.margin.available(account)

    # -- what Bybit does by itself -----------------------------------------------------------

    def pass_time(self, now: int) -> None:
        """Settle the funding of every stamp up to `now`."""
        stamps = range(self._settled // FUNDING_MS + 1, now // FUNDING_MS + 1)
        for stamp in (number * FUNDING_MS for number in stamps):
            for symbol in self.rules:
                self.settle(symbol, Decimal(funding_at(symbol, stamp)), stamp)
        self._settled = max(self._settled, now)

    def settle(self, symbol: str, rate: Decimal, stamp: int) -> None:
        """Longs pay `rate` of what they hold at the mark price, shorts get it."""
        for account in self.accounts.values():
            for position in account.positions_of(symbol):
                if position.size:
                    self.fills.settle(account, position, rate, stamp)
