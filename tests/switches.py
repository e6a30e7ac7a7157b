"""An emergency stop that only notes who pulled it, and an exchange that it can bring down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from engine.killing import Latch, Scope
from engine.mail import Address
from engine.people import Asker
from engine.ports import Clock, Exposure


@dataclass
class ScriptedSwitch:
    """The port `Switch`, without anything behind it."""

    pulled: list[tuple[Scope, str]] = field(default_factory=list)
    asked_in: set[Address] = field(default_factory=set)
    latch: Latch | None = None

    def pull(self, scope: Scope, asker: Asker) -> str:
        self.pulled.append((scope, asker.called))
        return f"Pulled: {scope}."


@dataclass
class FakeVenue:
    """The port `Emergency`: one account that takes a moment for everything.

    `faults` are met by the next calls, None is no fault; `late` comes by itself once it was flat.
    `asked` are the calls, each with when it came (seconds of the clock).
    """

    clock: Clock
    name: str = "main"
    positions: dict[str, Decimal] = field(default_factory=dict)
    orders: int = 0
    faults: Iterator[BaseException | None] = field(default_factory=lambda: iter(()))
    late: dict[str, Decimal] = field(default_factory=dict)
    takes_s: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)

    @property
    def accounts(self) -> Sequence[str]:
        return (self.name,)

    @property
    def calls(self) -> list[str]:
        return [call for _, call in self.asked]

    async def look(self, account: str) -> Exposure:
        await self._ask("look")
        seen = Exposure(account, dict(self.positions), self.orders)
        if not self.positions and not self.orders:
            self.positions, self.late = self.late, {}
        return seen

    async def cancel_all(self, account: str) -> None:
        await self._ask("cancel")
        self.orders = 0

    async def close(self, account: str, symbol: str, quantity: Decimal) -> None:
        await self._ask(f"close {symbol} {quantity}")
        self.positions.pop(symbol, None)

    async def _ask(self, call: str) -> None:
        self.asked.append((self.clock.monotonic(), call))
        await self.clock.sleep(self.takes_s)
        if (fault := next(self.faults, None)) is not None:
            raise fault


@dataclass
class FakeVenues:
    """Several accounts as one `Emergency`."""

    venues: Sequence[FakeVenue]

    @property
    def accounts(self) -> Sequence[str]:
        return [venue.name for venue in self.venues]

    def _of(self, account: str) -> FakeVenue:
        return next(venue for venue in self.venues if venue.name == account)

    async def look(self, account: str) -> Exposure:
        return await self._of(account).look(account)

    async def cancel_all(self, account: str) -> None:
        await self._of(account).cancel_all(account)

    async def close(self, account: str, symbol: str, quantity: Decimal) -> None:
        await self._of(account).close(account, symbol, quantity)
