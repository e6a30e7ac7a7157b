"""What people can say and what we answer: the whole surface in one list."""

from handlers import bots, market, portfolio, strategy, system, trade
from handlers.command import registry

COMMANDS = registry(system, bots, portfolio, trade, market, strategy)
