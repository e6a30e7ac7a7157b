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
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class BotPlan:
    """What a bot is made of, as the settings or people say it.

    `capital` is its paper deposit in quote currency, `timeframe` the length of its bars in ms
    (0: the strategy's own), `values` are those of its parameters that somebody set.
    """

    strategy: str
    symbols: tuple[str, ...]
    capital: Decimal
    timeframe: int = 0
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot at work. `capital` is its paper deposit in quote currency, `values` are those of its
    strategy's parameters that somebody set."""

    bot_id: str
    strategy: Strategy
    symbols: tuple[str, ...]
    account: str
    capital: Decimal
    values: tuple[tuple[str, float], ...] = ()

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
