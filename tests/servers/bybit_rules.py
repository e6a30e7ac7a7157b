"""What the local Bybit demands of an order, and how it refuses what does not fit."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
ACTIVE_MAX = 500
CONDITIONAL_MAX = 10
PARTIAL_STOPS_MAX = 20


class Refusal(Exception):
    """Bybit's answer to a request it does not take: `code` is its retCode."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


def invalid(what: str) -> Refusal:
    return Refusal(10_001, f"params error: {what}")


@dataclass(frozen=True)
class Rules:
    """One linear contract; prices and `notional_min` in quote currency, the others in base.

    `price_limit` is how far, as a fraction of the mark price, an order may reach through it.
    """

    symbol: str
    status: str = "Trading"
    tick: Decimal = Decimal("0.10")
    price_min: Decimal = Decimal("0.10")
    price_max: Decimal = Decimal("1999999.80")
    step: Decimal = Decimal("0.001")
    quantity_min: Decimal = Decimal("0.001")
    quantity_max: Decimal = Decimal("1190.000")
    quantity_max_market: Decimal = Decimal("500.000")
    notional_min: Decimal = Decimal("5")
    leverage_max: Decimal = Decimal("75.00")
    price_limit: Decimal = Decimal("0.05")
    taker: Decimal = Decimal("0.00055")
    maker: Decimal = Decimal("0.0002")

    def row(self) -> dict[str, object]:
        """The entry of `instruments-info`."""
        return {
            "symbol": self.symbol, "contractType": "LinearPerpetual", "status": self.status,
            "baseCoin": self.symbol.removesuffix("USDT"), "quoteCoin": "USDT",
            "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "",
            "priceScale": "2",
            "leverageFilter": {
                "minLeverage": "1", "maxLeverage": str(self.leverage_max), "leverageStep": "0.01",
            },
            "priceFilter": {
                "minPrice": str(self.price_min), "maxPrice": str(self.price_max),
                "tickSize": str(self.tick),
            },
            "lotSizeFilter": {
                "maxOrderQty": str(self.quantity_max), "minOrderQty": str(self.quantity_min),
                "qtyStep": str(self.step), "postOnlyMaxOrderQty": str(self.quantity_max),
                "maxMktOrderQty": str(self.quantity_max_market),
                "minNotionalValue": str(self.notional_min),
            },
            "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": "USDT",
            "copyTrading": "both", "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375",
        }  # fmt: skip

    def check_quantity(self, quantity: Decimal, *, market: bool) -> None:
        if quantity <= 0 or quantity % self.step:
            raise Refusal(10_001, "Qty invalid")
        if quantity < self.quantity_min:
            raise Refusal(10_001, "The number of contracts exceeds minimum limit allowed")
        if quantity > (self.quantity_max_market if market else self.quantity_max):
            raise Refusal(10_001, "The number of contracts exceeds maximum limit allowed")

    def check_price(self, price: Decimal, what: str = "price") -> None:
        if price % self.tick:
            raise invalid(f"{what} {price} is no multiple of the tick size {self.tick}")
        if not self.price_min <= price <= self.price_max:
            raise Refusal(110_003, "Order price is out of permissible range")

    def check_reach(self, side: str, price: Decimal, mark: Decimal) -> None:
        """A limit may not lie too far on the wrong side of the mark price."""
        buys = side == "Buy"
        bound = self.bound(side, mark)
        if price > bound if buys else price < bound:
            raise Refusal(110_003, "Order price is out of permissible range")

    def bound(self, side: str, mark: Decimal) -> Decimal:
        """The worst price an order may be filled at."""
        reach = self.price_limit if side == "Buy" else -self.price_limit
        return self.to_tick(mark * (1 + reach), "Sell" if side == "Buy" else "Buy")

    def check_notional(self, quantity: Decimal, price: Decimal) -> None:
        if quantity * price < self.notional_min:
            text = f"Order does not meet minimum order value {self.notional_min.normalize():f}USDT"
            raise Refusal(110_094, text)

    def to_tick(self, price: Decimal, side: str) -> Decimal:
        """`price` rounded to the disadvantage of who is on `side`."""
        rounding = ROUND_CEILING if side == "Buy" else ROUND_FLOOR
        return (price / self.tick).to_integral_value(rounding) * self.tick

    def to_step(self, quantity: Decimal) -> Decimal:
        return (quantity / self.step).to_integral_value(ROUND_FLOOR) * self.step


def check_link(link: str, taken: Callable[[str], bool]) -> None:
    if len(link) > 36:
        raise Refusal(10_001, "order link id is longer than 36")
    if not LINK_ID.fullmatch(link):
        raise invalid("orderLinkId invalid")
    if taken(link):
        raise Refusal(110_072, "OrderLinkedID is duplicate")
