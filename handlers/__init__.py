"""What people can say and what we answer: the whole surface in one list."""

from handlers import alerts, bots, market, portfolio, reports, strategy, system, trade
from handlers.command import registry

COMMANDS = registry(system, bots, portfolio, reports, trade, market, strategy, alerts)
