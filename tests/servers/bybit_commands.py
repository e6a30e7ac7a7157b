"""What the local Bybit does for an account when asked: orders, stops and settings.

Each command answers at once, and what it brings about comes after the answer.
"""

from collections.abc import Callable
from decimal import Decimal

from tests.servers import bybit_stops
from tests.servers.bybit_book import Book
from tests.servers.bybit_ledger import Account, Order, Position
from tests.servers.bybit_orders import Body, amount, check_idx, check_stop_prices, choice
from tests.servers.bybit_rules import Refusal, invalid

MARGIN_MODES = ("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")

Result = dict[str, object]
After = Callable[[], None]
Done = tuple[Result, After]


def nothing() -> None:
    """For commands that are over with their answer."""


class Commands:
    def __init__(self, book: Book) -> None:
        self._book = book

    # -- orders ------------------------------------------------------------------------------

    def create(self, account: Account, body: Body) -> Done:
        order = self._book.take(account, body)
        return _ids(order), lambda: self._book.match(account, order.order_id)

    def amend(self, account: Account, body: Body) -> Done:
        changed = self._book.check_amend(account, body)
        return _ids(changed), lambda: self._book.amend(account, changed)

    def cancel(self, account: Account, body: Body) -> Done:
        order = self._book.check_cancel(account, body)
        return _ids(order), lambda: self._book.cancel(account, order.order_id)

    def cancel_all(self, account: Account, body: Body) -> Done:
        if not any(body.get(name) for name in ("symbol", "baseCoin", "settleCoin")):
            raise invalid("symbol, baseCoin or settleCoin is required")
        symbol = body.get("symbol")
        orders = account.open_orders(str(symbol) if symbol else None)
        if kind := body.get("orderFilter"):
            orders = [o for o in orders if o.is_conditional == (kind == "StopOrder")]
        if kind := body.get("stopOrderType"):
            orders = [o for o in orders if o.stop_type == kind]

        def after() -> None:
            for order in orders:
                self._book.cancel(account, order.order_id)

        return {"list": [_ids(order) for order in orders], "success": "1"}, after

    # -- stops of positions ------------------------------------------------------------------

    def trading_stop(self, account: Account, body: Body) -> Done:
        mode = choice(body, "tpslMode", ("Full", "Partial"))
        symbol, idx = str(body.get("symbol")), body.get("positionIdx")
        market = self._book.market(symbol)
        if not isinstance(idx, int):
            raise invalid("positionIdx invalid")
        check_idx(account, symbol, idx)
        position = account.position(symbol, idx)
        if not position.size:
            raise Refusal(10_001, "can not set tp/sl/ts for zero position")
        prices = amount(body, "takeProfit") or None, amount(body, "stopLoss") or None
        sign = 1 if position.size > 0 else -1
        check_stop_prices(sign, *prices, market.last, market.rules)
        put = self._put_full if mode == "Full" else self._put_partial
        put(account, position, body)
        return {}, lambda: account.touch(position)

    def _put_full(self, account: Account, position: Position, body: Body) -> None:
        new_id, now = self._book.fills.new_id, self._book.now()
        changed = False
        for name, kind in (("takeProfit", "TakeProfit"), ("stopLoss", "StopLoss")):
            trigger = amount(body, name)
            if trigger is not None:
                changed |= bybit_stops.set_full(account, position, kind, trigger, new_id, now)
        changed |= self._put_trailing(account, position, body)
        if not changed:
            raise Refusal(34_040, "not modified")

    def _put_trailing(self, account: Account, position: Position, body: Body) -> bool:
        distance = amount(body, "trailingStop")
        if distance is None:
            return False
        rules = self._book.rules[position.symbol]
        if distance % rules.tick:
            raise invalid("trailingStop invalid")
        price = rules.to_tick(self._book.last(position.symbol), position.side)
        return bybit_stops.set_trailing(
            account, position, distance, self._active(position, body), price,
            self._book.fills.new_id, self._book.now(),
        )  # fmt: skip

    def _active(self, position: Position, body: Body) -> Decimal | None:
        active = amount(body, "activePrice") or None
        last = self._book.last(position.symbol)
        if active is not None and (active - last) * position.size <= 0:
            raise invalid("activePrice invalid")
        return active

    def _put_partial(self, account: Account, position: Position, body: Body) -> None:
        """Partial stops are only ever added."""
        sizes = amount(body, "tpSize"), amount(body, "slSize")
        triggers = amount(body, "takeProfit") or None, amount(body, "stopLoss") or None
        if all(triggers) and sizes[0] != sizes[1]:
            raise invalid("tpSize must be equal to slSize")
        limits = amount(body, "tpLimitPrice"), amount(body, "slLimitPrice")
        kinds = ("PartialTakeProfit", "PartialStopLoss")
        wanted = [w for w in zip(kinds, triggers, sizes, limits, strict=True) if w[1] is not None]
        if not wanted:
            raise Refusal(34_040, "not modified")
        for kind, trigger, size, limit in wanted:
            if not size or size > abs(position.size):
                raise invalid("size of the partial TP/SL invalid")
            bybit_stops.check_partial_room(account, position.symbol)
            bybit_stops.put(
                account, position, kind, trigger, self._book.fills.new_id, self._book.now(),
                quantity=size, limit=limit or None,
            )  # fmt: skip

    # -- settings ----------------------------------------------------------------------------

    def set_leverage(self, account: Account, body: Body) -> Done:
        symbol = str(body.get("symbol"))
        rules = self._book.market(symbol).rules
        buy, sell = amount(body, "buyLeverage"), amount(body, "sellLeverage")
        if not buy or not sell:
            raise invalid("buyLeverage and sellLeverage are required")
        if buy != sell:
            raise invalid("buy leverage must be equal to sell leverage")
        if not 1 <= buy <= rules.leverage_max:
            raise Refusal(110_013, "cannot set leverage due to risk limit level")
        if buy == account.leverage_of(symbol):
            raise Refusal(110_043, "leverage not modified")
        account.leverage[symbol] = buy
        return {}, lambda: account.touch(account.positions_of(symbol)[0])

    def switch_mode(self, account: Account, body: Body) -> Done:
        """Between one-way (0) and hedge (3), for a symbol or for all of a coin."""
        if body.get("mode") not in (0, 3):
            raise invalid("position_mode invalid")
        if not (body.get("symbol") or body.get("coin")):
            raise invalid("symbol or coin is required")
        symbol = body.get("symbol")
        symbols = [self._book.market(symbol).rules.symbol] if symbol else list(self._book.rules)
        hedge = body["mode"] == 3
        if all((s in account.hedged) == hedge for s in symbols):
            raise Refusal(110_025, "Position mode is not modified")
        if any(p.size for s in symbols for p in account.positions_of(s)):
            raise Refusal(
                110_024,
                "You have an existing position, so the position mode cannot be switched.",
            )
        if any(account.open_orders(s) for s in symbols):
            raise Refusal(
                110_028,
                "You have existing open orders, so the position mode cannot be switched.",
            )
        account.hedged.difference_update(symbols)
        account.hedged.update(symbols if hedge else ())
        return {}, nothing

    def set_margin_mode(self, account: Account, body: Body) -> Done:
        mode = choice(body, "setMarginMode", MARGIN_MODES)
        if account.sizes or account.open_orders():
            raise Refusal(110_073, "Set margin mode failed")
        if mode == account.margin_mode:
            raise Refusal(110_026, "Cross/isolated margin mode is not modified")
        account.margin_mode = mode
        return {"reasons": []}, nothing


def _ids(order: Order) -> Result:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}
