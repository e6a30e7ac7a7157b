"""A bot: a strategy with its symbols, capital and account, and the row others read of it."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.errors import BadInput
from engine.strategies.kernel import Strategy

BOT_ID = re.compile(r"[a-z0-9_]{1,20}")


class BotStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Bot:
    """A configured bot. `capital` is its paper deposit in quote currency."""

    bot_id: str
    strategy: Strategy
    symbols: tuple[str, ...]
    account: str
    capital: Decimal

    def __post_init__(self) -> None:
        if not BOT_ID.fullmatch(self.bot_id):
            raise BadInput("bot id", self.bot_id, "1 to 20 of a-z, 0-9 and _")


@dataclass(frozen=True, slots=True)
class BotRow:
    """A bot as other readers of the database see it."""

    bot_id: str
    account: str
    strategy_name: str
    symbols: str
    status: BotStatus
    deployment_mode: str
    initial_capital: Decimal
