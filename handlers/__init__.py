"""What people can say and what we answer: the whole surface in one list."""

from handlers import (
    alerts,
    audit,
    bots,
    market,
    orders,
    people,
    portfolio,
    proposals,
    reports,
    strategy,
    system,
    trade,
)
from handlers.command import registry

COMMANDS = registry(
    system,
    bots,
    portfolio,
    reports,
    trade,
    orders,
    proposals,
    market,
    strategy,
    alerts,
    people,
    audit,
)
