"""Bad weather for the local Bybit: what goes wrong on the way to it and back, by seed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random

from tests.servers.bybit import BybitServer, Call, Fate, Fault, Liquidity, Pushed
from tests.servers.bybit_ledger import Order

HTML = "<html>bad gateway</html>"
SENDS = ("/v5/order/create", "/v5/order/cancel", "/v5/position/trading-stop")

# `after` is what was carried out all the same.
ON_SENDS = {
    "cut after it was accepted": Fault(drop=True, after=True),
    "cut before it arrived": Fault(drop=True),
    "no answer, though accepted": Fault(hang=True, after=True),
    "no answer": Fault(hang=True),
    "502 after it was accepted": Fault(status=502, body=HTML, after=True),
    "502": Fault(status=502, body=HTML),
    "10016 after it was accepted": Fault(code=10_016, after=True),
    "10006": Fault(code=10_006),
    "10002": Fault(code=10_002),
}
ON_READS = {
    "read cut": Fault(drop=True),
    "read 502": Fault(status=502, body=HTML),
    "read 10006": Fault(code=10_006),
}
ON_STREAM = {
    "message lost": Fate.LOSE,
    "message doubled": Fate.TWICE,
    "message late": Fate.LATE,
    "messages swapped": Fate.SWAP,
    "garbage": Fate.GARBLE,
    "connection cut": Fate.CUT,
}
# How many of a hundred are struck.
SENDS_STRUCK, READS_STRUCK, MESSAGES_STRUCK = 9, 1, 7


class _Deck:
    """Names drawn by chance, so that each comes once before any comes again."""

    def __init__(self, rng: Random, names: Mapping[str, object], percent: int) -> None:
        self._rng = rng
        self._names = tuple(names)
        self._percent = percent
        self._cards: list[str] = []

    def draw(self) -> str:
        """The name of what strikes now; mostly nothing does."""
        if self._rng.random() * 100 >= self._percent:
            return ""
        if not self._cards:
            self._cards = self._rng.sample(self._names, len(self._names))
        return self._cards.pop()


class Storm:
    """Faults on a server, from `begin` to `end`; `struck` counts them by name."""

    def __init__(self, server: BybitServer, seed: int) -> None:
        self._server = server
        self._rng = Random(seed)
        self._sends = _Deck(self._rng, ON_SENDS, SENDS_STRUCK)
        self._reads = _Deck(self._rng, ON_READS, READS_STRUCK)
        self._messages = _Deck(self._rng, ON_STREAM, MESSAGES_STRUCK)
        self.struck: Counter[str] = Counter()

    def begin(self) -> None:
        self._server.faults.private = self._request
        self._server.faults.fate = self._message
        self._server.liquidity = self._liquidity

    def end(self) -> None:
        self._server.faults.private = lambda call: None
        self._server.faults.fate = lambda pushed: Fate.DELIVER

    def _request(self, call: Call) -> Fault | None:
        deck, faults = (self._sends, ON_SENDS) if call.path in SENDS else (self._reads, ON_READS)
        name = deck.draw()
        self.struck.update(filter(None, [name]))
        return replace(faults[name]) if name else None

    def _message(self, pushed: Pushed) -> Fate:
        name = self._messages.draw()
        self.struck.update(filter(None, [name]))
        return ON_STREAM.get(name, Fate.DELIVER)

    def _liquidity(self, order: Order) -> Liquidity:
        """The market takes orders in up to three parts, and now and then not all of ours."""
        thin = bool(order.link_id) and self._rng.random() < 0.1
        share = Decimal("0.6") if thin else Decimal(1)
        return Liquidity(self._rng.choice((1, 1, 2, 3)), share, Decimal("0.0001"))
