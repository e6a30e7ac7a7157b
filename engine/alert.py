"""Price alerts: a level that somebody wants to hear of once."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.mail import Address


class Direction(StrEnum):
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Alert:
    """Tells its chat when the price of `symbol` first is at or beyond `price`.

    `fired_at` (market ms) is 0 while it waits; a removed one waits for nothing.
    """

    alert_id: int
    symbol: str
    direction: Direction
    price: Decimal
    surface: str
    chat_id: str
    thread_id: str
    created_by: str
    created_at: int
    fired_at: int = 0
    removed: bool = False

    @property
    def address(self) -> Address:
        return Address(self.surface, self.chat_id, self.thread_id)

    def met(self, low: float, high: float) -> bool:
        """Whether a price between `low` and `high` is at or beyond the level."""
        level = float(self.price)
        return high >= level if self.direction is Direction.ABOVE else low <= level
