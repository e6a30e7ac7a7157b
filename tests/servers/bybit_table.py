"""The local Bybit without the server: one account at a table with the market."""

from decimal import Decimal
from random import Random

from engine.candle import HOUR_MS
from tests.servers.bybit_book import Book
from tests.servers.bybit_commands import Commands
from tests.servers.bybit_ledger import Order
from tests.servers.bybit_prices import Prices
from tests.servers.bybit_rules import Rules

NOW = 1_735_689_600_000 + HOUR_MS
BTC = "BTCUSDT"
SYMBOLS = {BTC: 100_000, "ETHUSDT": 3_500}


class Table:
    """A book with one account, at a time and at prices of the test's own."""

    def __init__(self, balance: int = 100_000) -> None:
        self.now = NOW
        self.told: list[tuple[str, object]] = []
        rules = {symbol: Rules(symbol) for symbol in SYMBOLS}
        self.book = Book(
            rules, Prices(), lambda: self.now, Random(1),
            lambda account, topic, what: self.told.append((topic, what)), lambda: self.now / 1000,
        )  # fmt: skip
        self.account = self.book.open_account("1", Decimal(balance))
        self.commands = Commands(self.book)
        for symbol, price in SYMBOLS.items():
            self.price(price, symbol)

    def price(self, price: object, symbol: str = BTC) -> None:
        self.book.jump(symbol, Decimal(str(price)))

    def glide(self, price: object, symbol: str = BTC) -> None:
        self.book.glide(symbol, Decimal(str(price)))

    def do(self, command: str, **body: object) -> dict[str, object]:
        """Ask for something, and let it happen."""
        body = {"symbol": BTC, "positionIdx": 0, **body}
        result, after = getattr(self.commands, command)(self.account, body)
        after()
        return result

    def order(self, side: str, qty: object, price: object = None, **body: object) -> str:
        """The id of a new order; a limit when it has a price."""
        kind = {"orderType": "Market"}
        if price is not None:
            kind = {"orderType": "Limit", "price": str(price)}
        return str(self.do("create", side=side, qty=str(qty), **kind, **body)["orderId"])

    def stop(self, **body: object) -> None:
        self.do("trading_stop", tpslMode="Full", **body)

    def __getitem__(self, order_id: str) -> Order:
        return self.account.orders[order_id]

    @property
    def size(self) -> Decimal:
        return self.account.position(BTC).size

    @property
    def prices(self) -> list[Decimal]:
        return [execution.price for execution in self.account.fills]

    def statuses(self, order_id: str) -> list[str]:
        """All that was told of an order, one after the other."""
        orders = [what for topic, what in self.told if topic == "order"]
        return [order.status for order in orders if order.order_id == order_id]

    def children(self) -> dict[str, Order]:
        """The open stops of the position, by their kind."""
        return {o.stop_type: o for o in self.account.open_orders(BTC) if o.stop_type}
