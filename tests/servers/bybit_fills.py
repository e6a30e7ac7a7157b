"""Executions on the local Bybit: what they do to orders, positions, stops and money."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from random import Random
from uuid import UUID

from tests.servers import bybit_stops
from tests.servers.bybit_ledger import ZERO, Account, Execution, Order, Position
from tests.servers.bybit_margin import Margin
from tests.servers.bybit_prices import Prices
from tests.servers.bybit_rules import Rules

LOG_KINDS = {"Trade": "TRADE", "BustTrade": "LIQUIDATION", "AdlTrade": "ADL"}
FORCED = {
    "BustTrade": "CreateByTakeOver_PassThrough",
    "AdlTrade": "CreateByAdl_PassThrough",
}


@dataclass(frozen=True)
class Liquidity:
    """How the market meets an order: `share` of it at once, in `parts` executions, of which each
    is worse than the one before by the fraction `slippage` of the price."""

    parts: int = 1
    share: Decimal = Decimal(1)
    slippage: Decimal = ZERO


PLENTY = Liquidity()


class Fills:
    """The market as the other side of every trade; `now` is the server's time in UTC ms."""

    def __init__(
        self, rules: Mapping[str, Rules], prices: Prices, now: Callable[[], int], rng: Random
    ) -> None:
        self.rules = rules
        self.now = now
        self.liquidity: Callable[[Order], Liquidity] = lambda order: PLENTY
        self.margin = Margin(lambda symbol: self.rules[symbol], self.mark)
        self._prices = prices
        self._rng = rng
        self._sequence = count(4_688_002_127)

    def last(self, symbol: str) -> Decimal:
        return self._prices.last(symbol, self.now())

    def mark(self, symbol: str) -> Decimal:
        return self._prices.mark(symbol, self.now())

    def new_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    # -- filling and ending orders -----------------------------------------------------------

    def end(self, account: Account, order: Order, why: str, reason: str = "EC_NoError") -> Order:
        waits = order.is_conditional
        return account.record(
            order,
            status="Deactivated" if waits else "Cancelled",
            cancel_type=why,
            reject_reason="EC_PerCancelRequest" if why == "CancelByUser" else reason,
            updated=self.now(),
        )

    def rest(self, account: Account, order: Order) -> Order:
        """Keep what is left of an order in the market, or end it when it is not to rest."""
        if order.time_in_force in ("IOC", "FOK"):
            return self.end(account, order, "UNKNOWN", "EC_NoImmediateQtyToFill")
        status = "PartiallyFilled" if order.filled else "New"
        return account.record(order, status=status, updated=self.now())

    @staticmethod
    def reducible(account: Account, order: Order) -> Decimal:
        """How much of a position the order may end."""
        size = account.position(order.symbol, order.position_idx).size
        return min(order.left, abs(size)) if size * order.sign < 0 else ZERO

    def pieces(
        self, account: Account, order: Order, price: Decimal, slippage: Decimal | None = None
    ) -> list[tuple[Decimal, Decimal]]:
        """The quantities and prices at which the market takes an order now, from `price` on."""
        rules, liquidity = self.rules[order.symbol], self.liquidity(order)
        slippage = liquidity.slippage if slippage is None else slippage
        left = self.reducible(account, order) if self._reduces(order) else order.left
        # A share that rounds to nothing would keep the order for ever.
        total = rules.to_step(left * liquidity.share) or min(left, rules.step)
        each = rules.to_step(total / liquidity.parts) or total
        pieces: list[tuple[Decimal, Decimal]] = []
        while total > 0:
            slipped = price * (1 + order.sign * slippage * len(pieces))
            at = rules.to_tick(slipped, order.side)
            if order.price is not None and (at - order.price) * order.sign > 0:
                break
            quantity = total if total < 2 * each else each
            pieces.append((quantity, at))
            total -= quantity
        return pieces

    @staticmethod
    def _reduces(order: Order) -> bool:
        return order.reduce_only or order.close_on_trigger

    def fill(
        self, account: Account, order: Order, pieces: list[tuple[Decimal, Decimal]], *, maker: bool
    ) -> None:
        """Execute an order in pieces that belong together, and all that follows from it."""
        position = account.position(order.symbol, order.position_idx)
        if order.time_in_force == "FOK" and sum(q for q, _ in pieces) < order.left:
            self.end(account, order, "UNKNOWN", "EC_NoEnoughQtyToFill")
            return
        filled, before, sequence = order.filled, position.size, next(self._sequence)
        for quantity, price in pieces:
            order = self._execute(account, order, position, quantity, price, sequence, maker=maker)
        if not order.left:
            order = account.record(order, status="Filled", updated=self.now())
        elif self._reduces(order) and not self.reducible(account, order):
            order = self.end(account, order, "CancelByReduceOnly")
        else:
            order = self.rest(account, order)
        if not order.is_open:
            bybit_stops.forget(position, order.order_id)
        self._after(account, order, position, before, order.filled - filled)

    def _execute(
        self, account: Account, order: Order, position: Position, quantity: Decimal,
        price: Decimal, sequence: int, *, maker: bool, kind: str = "Trade",
        rate: Decimal | None = None,
    ) -> Order:  # fmt: skip
        rules = self.rules[order.symbol]
        rate = (rules.maker if maker else rules.taker) if rate is None else rate
        fee = quantity * price * rate
        position.realized = position.realized if position.size else ZERO
        closed, pnl = position.take(quantity * order.sign, price)
        order = replace(
            order,
            filled=order.filled + quantity,
            value=order.value + quantity * price,
            fee=order.fee + fee,
            pnl=order.pnl + pnl,
            updated=self.now(),
        )
        execution = Execution(
            self.new_id(), kind, order, order.side, price, quantity, fee, rate, maker, closed,
            pnl, self.mark(order.symbol), self.now(), sequence,
        )  # fmt: skip
        position.realized += pnl - fee
        position.realized_ever += pnl - fee
        position.seq = sequence
        account.book(execution, LOG_KINDS.get(kind, "TRADE"), position.size)
        return order

    def _after(
        self, account: Account, order: Order, position: Position, before: Decimal, added: Decimal
    ) -> None:
        """Bring the position's stops and what waits to reduce it in line with its new size."""
        now = self.now()
        position.created = position.created or now
        position.updated = now
        if before * position.size <= 0:
            position.opened = now if position.size else 0
            self._clear(account, position, before)
        bybit_stops.resize(account, position, now)
        if added and position.size * order.sign > 0:
            bybit_stops.attach(account, position, order, added, self.new_id, now)
        account.touch(position)

    def _clear(self, account: Account, position: Position, before: Decimal) -> None:
        """A position that ended takes its stops and the orders that would have reduced it along;
        conditional orders of the user's stay, whatever they would reduce."""
        bybit_stops.reset(position)
        if not before:
            return
        for order in account.open_orders(position.symbol):
            if order.position_idx != position.idx:
                continue
            if order.stop_type not in ("", "Stop"):
                self.end(account, order, "CancelByTpSlTsClear")
            elif order.reduce_only and not order.is_conditional and not order.stop_type:
                self.end(account, order, "CancelByReduceOnly")

    # -- what Bybit does by itself -----------------------------------------------------------

    def liquidate(self, account: Account, position: Position) -> None:
        """Take a position over at its bankruptcy price."""
        price = self.margin.bankruptcy_price(account, position)
        for order in account.open_orders(position.symbol):
            self.end(account, order, "CancelAllBeforeLiq")
        price = max(price, self.rules[position.symbol].tick)
        self.force(account, position, abs(position.size), price, "BustTrade")

    def force(
        self, account: Account, position: Position, quantity: Decimal, price: Decimal, kind: str
    ) -> None:
        """Close `quantity` of a position by an execution of `kind`; only takeovers cost a fee."""
        side, now, before = position.exit_side, self.now(), position.size
        rules = self.rules[position.symbol]
        price = rules.to_tick(price, side)
        order = Order(
            self.new_id(), "", position.symbol, side, "Market", quantity, price, "IOC", now, now,
            status="New", position_idx=position.idx, reduce_only=True,
            create_type=FORCED.get(kind, "CreateByAdminClosing"),
            last_on_created=self.last(position.symbol),
        )  # fmt: skip
        account.enter(order)
        rate = rules.taker if kind == "BustTrade" else ZERO
        order = self._execute(
            account, order, position, quantity, price, next(self._sequence),
            maker=False, kind=kind, rate=rate,
        )  # fmt: skip
        order = account.record(order, status="Filled")
        self._after(account, order, position, before, ZERO)

    def settle(self, account: Account, position: Position, rate: Decimal, stamp: int) -> None:
        mark, size = self.mark(position.symbol), position.size
        name = f"{stamp // 1000}-{position.symbol}-{account.uid}-{position.side}"
        order = Order(
            name, "", position.symbol, position.side, "UNKNOWN", ZERO, ZERO, "", stamp, stamp
        )
        paid = size * mark * rate
        execution = Execution(
            self.new_id(), "Funding", order, position.side, mark, abs(size), paid, rate, False,
            ZERO, ZERO, mark, stamp, next(self._sequence),
        )  # fmt: skip
        position.realized -= paid
        position.realized_ever -= paid
        position.seq = execution.seq
        account.book(execution, "SETTLEMENT", size)
        account.touch(position)
