"""The way to flat at Bybit: it needs nothing but keys, and can do nothing but reduce."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from random import Random

from engine.bybit.account import AccountApi
from engine.errors import Broken, ExchangeRefused, Unreachable
from engine.order import (
    SEQUENCE_LIMIT,
    ZERO,
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    order_link_id,
)
from engine.ports import Clock, Exposure

# What guards a position ends with it, and is left until then.
GUARDS = frozenset(
    {"StopLoss", "TakeProfit", "TrailingStop", "PartialStopLoss", "PartialTakeProfit"}
)


@dataclass(frozen=True, slots=True)
class EmergencyAccount:
    """An account at Bybit by a name that people know; `bots` are the ids of those that trade it,
    with their symbols. Its `api` has no fence."""

    name: str
    api: AccountApi
    bots: Mapping[str, Sequence[str]]

    def bot_of(self, symbol: str) -> str:
        """Whose position it is; where it is nobody's, somebody has to sign for closing it."""
        owner = next((bot for bot, symbols in self.bots.items() if symbol in symbols), None)
        return owner or next(iter(self.bots))


def _closing_side(quantity: Decimal) -> Side:
    """The side that closes a position of a signed quantity."""
    return Side.SELL if quantity > 0 else Side.BUY


class BybitEmergency:
    """Cancels and closes at once, on each account, whatever the desk knows or does.

    The chance of `rng` keeps two processes that do this at the same time from giving one id to two
    orders.
    """

    def __init__(self, accounts: Sequence[EmergencyAccount], clock: Clock, rng: Random) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._clock = clock
        self._numbers = count(rng.randrange(SEQUENCE_LIMIT))
        # Which position of a symbol it is, where there are two: by account, symbol and side.
        self._indexes: dict[tuple[str, str, Side], int] = {}

    @property
    def accounts(self) -> Sequence[str]:
        return tuple(self._accounts)

    async def look(self, account: str) -> Exposure:
        """Of a symbol held both ways, in hedge mode, one way is told until it is closed. What can't
        be read is said once nothing else is held: that is not flat."""
        api = self._of(account).api
        held, orders = await api.positions(), await api.open_orders()
        if held.unread and not held:
            raise Unreachable(f"a position can't be read: {held.unread[0].detail}")
        for each in held:
            self._indexes[account, each.symbol, _closing_side(each.quantity)] = each.index
        resting = [each for each in orders if each.stop_kind not in GUARDS]
        positions = {each.symbol: each.quantity for each in held}
        return Exposure(account, positions, len(resting) + len(orders.unread))

    async def cancel_all(self, account: str) -> None:
        try:
            await self._of(account).api.cancel_all()
        except ExchangeRefused as refused:
            if not refused.benign:
                raise

    async def close(self, account: str, symbol: str, quantity: Decimal) -> None:
        at, side = self._of(account), _closing_side(quantity)
        index = self._indexes.get((account, symbol, side), 0)
        # The whole may be too much for one order; without a quantity as much goes as can.
        for amount in (abs(quantity), ZERO):
            try:
                await at.api.place(self._closing(at, symbol, side, amount), index)
            except ExchangeRefused as refused:
                # There is nothing left to close: a stop came first.
                if refused.benign:
                    return
                if refused.stops or not amount:
                    raise
            else:
                return

    def _closing(self, at: EmergencyAccount, symbol: str, side: Side, quantity: Decimal) -> Order:
        bot_id, now = at.bot_of(symbol), self._clock.now()
        sequence = next(self._numbers) % SEQUENCE_LIMIT
        return Order(
            account=at.name,
            order_link_id=order_link_id(bot_id, Reason.KILL, now, sequence),
            client_order_id=client_order_id(bot_id, Reason.KILL, now),
            bot_id=bot_id,
            symbol=symbol,
            side=side,
            order_type=OrderType.MARKET,
            quantity=quantity,
            leverage=1,
            reason=Reason.KILL,
            created_at=now,
            updated_at=now,
            reduce_only=True,
        )

    def _of(self, account: str) -> EmergencyAccount:
        if account not in self._accounts:
            raise Broken(f"no account is called {account!r}")
        return self._accounts[account]
