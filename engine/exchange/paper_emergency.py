"""The way to flat on paper: at once, at the last price, whatever the database does."""

from collections.abc import Sequence
from decimal import Decimal

from engine.exchange.paper import PaperExchange
from engine.ports import Exposure


class PaperEmergency:
    """The port `Emergency` for the accounts of a paper exchange; what it does is told to the desk.

    Accounts are named by what stands behind `prefix` in their names: the bots' ids.
    """

    def __init__(self, exchange: PaperExchange, prefix: str) -> None:
        self._exchange = exchange
        self._prefix = prefix

    @property
    def accounts(self) -> Sequence[str]:
        return [account.removeprefix(self._prefix) for account in self._exchange.books]

    async def look(self, account: str) -> Exposure:
        state = self._exchange.books[self._prefix + account].state
        held = {symbol: position.quantity for symbol, position in state.positions.items()}
        return Exposure(account, held, len(state.orders))

    async def cancel_all(self, account: str) -> None:
        self._exchange.by_force(self._prefix + account, lambda book: book.withdraw_all())

    async def close(self, account: str, symbol: str, quantity: Decimal) -> None:
        self._exchange.by_force(
            self._prefix + account, lambda book: book.close_now(symbol, quantity)
        )
