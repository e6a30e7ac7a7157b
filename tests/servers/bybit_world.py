"""What all parts of the local Bybit share: time, symbols, prices, faults, requests so far."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from engine.ports import Clock
from tests.servers.bybit_faults import Faults
from tests.servers.bybit_prices import Prices
from tests.servers.bybit_rules import Rules
from tests.servers.bybit_spec import Spec

# Contracts that are listed besides the ones asked for, so that there are several pages.
OTHERS = tuple(f"A{number}USDT" for number in range(7))


class World:
    def __init__(self, clock: Clock, symbols: Iterable[str], spec: Path | None) -> None:
        self.clock = clock
        self.symbols = tuple(symbols)
        self.untradable: dict[str, str] = {}
        self.rules = {symbol: Rules(symbol) for symbol in self.symbols}
        self.prices = Prices()
        self.faults = Faults()
        self.spec = Spec(spec) if spec else None
        self.requests: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []

    def now(self) -> int:
        return self.clock.now() + self.faults.skew_ms

    def body(self, code: int, message: str, result: object) -> dict[str, object]:
        envelope = {"retCode": code, "retMsg": message, "result": result}
        return {**envelope, "retExtInfo": {}, "time": self.now()}

    def log_request(self, path: str, query: dict[str, str]) -> None:
        self.requests[path] += 1
        self.queries.append({"path": path, **query})
