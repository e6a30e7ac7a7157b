"""Margin as the local Bybit reckons it: simple, and the same for every question asked.

Formulas of Bybit's help center for USDT perpetuals: initial margin = value / leverage + fee to
close at the bankruptcy price; bankruptcy price of an isolated long = entry * (1 - 1 / leverage);
order cost = value / leverage + fee to open + fee to close. Maintenance margin is a flat rate.
"""

from collections.abc import Callable
from decimal import Decimal

from tests.servers.bybit_ledger import MAINTENANCE, ZERO, Account, Order, Position
from tests.servers.bybit_rules import Rules


class Margin:
    """Reckons with the rules and mark prices of the moment."""

    def __init__(self, rules: Callable[[str], Rules], mark: Callable[[str], Decimal]) -> None:
        self._rules = rules
        self._mark = mark

    def initial(self, account: Account, position: Position) -> Decimal:
        return position.cost / account.leverage_of(position.symbol) + self._exit_fee(
            account, position
        )

    def maintenance(self, account: Account, position: Position) -> Decimal:
        return position.cost * MAINTENANCE + self._exit_fee(account, position)

    def unrealized(self, account: Account) -> Decimal:
        return sum((p.unrealized(self._mark(p.symbol)) for p in _held(account)), ZERO)

    def positions(self, account: Account) -> Decimal:
        return sum((self.initial(account, p) for p in _held(account)), ZERO)

    def positions_maintenance(self, account: Account) -> Decimal:
        return sum((self.maintenance(account, p) for p in _held(account)), ZERO)

    def orders(self, account: Account) -> Decimal:
        """What resting orders hold back; conditional and reduce-only ones hold nothing."""
        return sum(
            (
                self.order_cost(account, o, o.price or ZERO)
                for o in account.open_orders()
                if not (o.is_conditional or o.reduce_only)
            ),
            ZERO,
        )

    def order_cost(self, account: Account, order: Order, price: Decimal) -> Decimal:
        """What opening with the order takes; the part that closes a position is free."""
        size = account.position(order.symbol, order.position_idx).size
        closes = min(abs(size), order.left) if size * order.sign < 0 else ZERO
        leverage = account.leverage_of(order.symbol)
        taker = self._rules(order.symbol).taker
        value = (order.left - closes) * price
        return value / leverage + value * taker + value * (1 - order.sign / leverage) * taker

    def available(self, account: Account) -> Decimal:
        """What new orders may cost; in cross margin profits count and losses do in both."""
        open_pnl = self.unrealized(account)
        if account.margin_mode == "ISOLATED_MARGIN":
            open_pnl = ZERO
        return account.wallet + open_pnl - self.positions(account) - self.orders(account)

    def bankruptcy_price(self, account: Account, position: Position) -> Decimal:
        """Where the loss has eaten the margin, or all there is in cross margin."""
        if account.margin_mode == "ISOLATED_MARGIN":
            return self._isolated_bankruptcy(account, position)
        return self._price_at(position, self._free(account, position))

    def liquidation_price(self, account: Account, position: Position) -> Decimal | None:
        """None where no price that can be liquidates the position."""
        if not position.size:
            return None
        sign = 1 if position.size > 0 else -1
        if account.margin_mode == "ISOLATED_MARGIN":
            share = 1 / account.leverage_of(position.symbol) - MAINTENANCE
            price = position.average * (1 - sign * share)
        else:
            spare = self._free(account, position) - self.maintenance(account, position)
            price = self._price_at(position, spare)
        return price if 0 < price < self._rules(position.symbol).price_max else None

    def _isolated_bankruptcy(self, account: Account, position: Position) -> Decimal:
        sign = 1 if position.size > 0 else -1
        return position.average * (1 - sign / account.leverage_of(position.symbol))

    def _exit_fee(self, account: Account, position: Position) -> Decimal:
        bankruptcy = self._isolated_bankruptcy(account, position)
        return abs(position.size) * bankruptcy * self._rules(position.symbol).taker

    def _free(self, account: Account, position: Position) -> Decimal:
        """What can be lost on this position before the others are touched."""
        others = [p for p in _held(account) if p is not position]
        return account.wallet + sum(
            (p.unrealized(self._mark(p.symbol)) - self.maintenance(account, p) for p in others),
            ZERO,
        )

    @staticmethod
    def _price_at(position: Position, loss: Decimal) -> Decimal:
        """The price at which the position has lost `loss`."""
        return (position.cost - loss if position.size > 0 else position.cost + loss) / abs(
            position.size
        )


def _held(account: Account) -> list[Position]:
    return [p for p in account.positions.values() if p.size]
