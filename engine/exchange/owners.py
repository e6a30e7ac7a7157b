"""Whose is what at one exchange account: bots that share it have symbols of their own."""

from collections.abc import Iterable, Mapping, Sequence

from engine.errors import BadInput, BadSettings
from engine.order import decode_link_id


def bot_of(account: str) -> str:
    """The bot whose account it is: `demo-bybit-shortseller_001` is that of shortseller_001."""
    return account.rpartition("-")[2]


class Owners:
    """Which of our accounts owns a symbol; each symbol has at most one owner."""

    def __init__(self, bots: Mapping[str, Sequence[str]]) -> None:
        self._symbols: dict[str, set[str]] = {}
        self._owners: dict[str, str] = {}
        for account, symbols in bots.items():
            self.add(account, symbols)

    @property
    def accounts(self) -> Sequence[str]:
        return tuple(self._symbols)

    @property
    def symbols(self) -> Iterable[str]:
        """All that somebody owns."""
        return self._owners.keys()

    def of(self, symbol: str) -> str | None:
        return self._owners.get(symbol)

    def taken(self, account: str, symbols: Iterable[str]) -> str:
        """Why an account can't have these symbols; empty where it can."""
        for symbol in symbols:
            owner = self._owners.get(symbol, account)
            if owner != account:
                return (
                    f"{symbol} belongs to {bot_of(owner)} already, on the same exchange account: "
                    "positions of both would be netted. Give one of the two an API key of another "
                    "subaccount, or other symbols."
                )
        return ""

    def add(self, account: str, symbols: Iterable[str]) -> None:
        """Let an account have more symbols; raises BadSettings where another one has them."""
        wanted = set(symbols)
        if reason := self.taken(account, sorted(wanted)):
            raise BadSettings(reason)
        self._symbols.setdefault(account, set()).update(wanted)
        self._owners.update(dict.fromkeys(wanted, account))

    def remove(self, account: str) -> None:
        for symbol in self._symbols.pop(account, ()):
            del self._owners[symbol]

    def made(self, account: str, order_link_id: str) -> bool:
        """Whether an order with this id is one of the bot's whose account it is."""
        try:
            return decode_link_id(order_link_id)[0] == bot_of(account)
        except BadInput:
            return False
