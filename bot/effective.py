"""The settings in force, as people may read them."""

import re

from pydantic import BaseModel, SecretStr

from bot.desk_settings import IN_MEMORY, Settings
from bot.redact import HIDDEN, redact
from bot.sections import SECTIONS
from engine.desk import Section

# What stands in a URL behind its path may be a key.
_QUERY = re.compile(r"(://[^\s?#]*[?#])\S+")


def effective(settings: Settings, market: str) -> dict[str, Section]:
    """The settings in force, by section, as people may read them: secrets are only set or not.

    `market` is what the desk calls the market that it opened.
    """
    said = {name: _said(value) for name, value in settings if name not in SECTIONS}
    desk = {
        **said,
        "bot_keys": ", ".join(settings.bot_keys) or "none",
        "bybit_rest_base": settings.bases.private_rest,
        "bybit_ws_base": settings.bases.private_ws,
        "redis_url": said["redis_url"] if settings.cache_url else IN_MEMORY,
        "market": f"{settings.market} ({market})",
        "market_speed": f"{settings.speed:g}",
        "database_url": said["database_url"] if settings.database_url else "SQLite in DATA_DIR",
        "secret_key": said["secret_key"] if settings.secret_key else "set in DATA_DIR",
    }
    return {
        "desk": desk,
        "bots": [_named(bot) for bot in settings.bots],
        "people": [_named(person) for person in settings.people],
        "paper": _named(settings.paper),
        "exchange": _named(settings.exchange),
        "risk": _named(settings.risk),
        "caps": _named(settings.caps),
        "approvals": {**_named(settings.approvals), "delay_s": str(settings.delay_ms // 1000)},
        "tuning": _named(settings.tuning),
        "data": _named(settings.data),
        "gemini": _named(settings.gemini),
    }


def _named(section: BaseModel) -> dict[str, str]:
    return {name: _said(value) for name, value in section}


def _said(value: object) -> str:
    match value:
        case SecretStr():
            return "set"
        case bool():
            return "yes" if value else "no"
        case dict():
            return redact(", ".join(f"{name}={each}" for name, each in value.items())) or "none"
        case tuple():
            return redact(", ".join(map(str, value))) or "none"
        case None | "":
            return "none"
        case _:
            return redact(_QUERY.sub(rf"\1{HIDDEN}", str(value)))
