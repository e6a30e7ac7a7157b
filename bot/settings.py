"""Settings: environment first, then `.env`, then `countersign.toml`; checked before a start."""

import difflib
import os
import secrets
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from engine.bot import BOT_ID
from engine.errors import BadSettings
from engine.strategies import STRATEGIES

DEMO_SEED = 42
DEMO_SPEED = 60.0
TOML_NAME = "countersign.toml"
SECRETS = ("secret_key", "database_url", "telegram_bot_token", "discord_bot_token")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BotSettings(_Section):
    """One bot. `capital` is its paper deposit in USDT."""

    id: str = Field(pattern=f"^{BOT_ID.pattern}$")
    strategy: str
    symbols: tuple[str, ...] = Field(min_length=1)
    capital: Decimal = Field(default=Decimal(10_000), gt=0)

    @field_validator("strategy")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(f"allowed: {', '.join(STRATEGIES)}")
        return name


class PaperSection(_Section):
    """The paper exchange's costs and frictions; fees and slippage are fractions."""

    taker_fee: Decimal = Field(default=Decimal("0.00055"), ge=0, lt=Decimal("0.1"))
    maker_fee: Decimal = Field(default=Decimal("0.0002"), ge=Decimal("-0.01"), lt=Decimal("0.1"))
    slippage_max: float = Field(default=0.0005, ge=0, lt=0.1)
    impact: bool = False
    partial_fills: bool = False
    latency_ms: int = Field(default=0, ge=0, le=60_000)
    seed: int = 42


DEFAULT_BOTS = (
    BotSettings(
        id="shortseller_001",
        strategy="shortseller",
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    ),
)


class Settings(_Section):
    """Everything the desk is told before it starts."""

    mode: Literal["paper"] = "paper"
    market: str = "auto"
    market_speed: float | None = Field(default=None, ge=0, le=1_000_000)
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    secret_key: SecretStr | None = Field(default=None, min_length=16)
    telegram_bot_token: SecretStr | None = None
    telegram_admin_ids: str = ""
    discord_bot_token: SecretStr | None = None
    discord_admin_ids: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    bots: tuple[BotSettings, ...] = DEFAULT_BOTS
    paper: PaperSection = PaperSection()

    @field_validator("market")
    @classmethod
    def _market(cls, text: str) -> str:
        kind, _, rest = text.partition(":")
        if (
            text == "auto"
            or (kind == "replay" and rest)
            or (kind == "simulated" and rest.isdigit())
        ):
            return text
        raise ValueError("allowed: auto, replay:PATH, simulated:SEED")

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("sqlite:///", "postgresql+asyncpg://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise ValueError(f"allowed: a URL that starts with {' or '.join(schemes)}")
        return url

    @field_validator("telegram_admin_ids", "discord_admin_ids")
    @classmethod
    def _ids(cls, text: str) -> str:
        if any(not word.strip().isdigit() for word in text.split(",") if text):
            raise ValueError("allowed: numeric user ids, separated by commas")
        return text

    @field_validator("bots")
    @classmethod
    def _one_owner(cls, bots: tuple[BotSettings, ...]) -> tuple[BotSettings, ...]:
        ids = [bot.id for bot in bots]
        twice = sorted({bot_id for bot_id in ids if ids.count(bot_id) > 1})
        if twice:
            raise ValueError(f"each id once; {', '.join(twice)} stands there twice")
        return bots

    @property
    def speed(self) -> float:
        """How many times faster than the clock a replayed or simulated market runs."""
        return DEMO_SPEED if self.market_speed is None else self.market_speed

    @property
    def database(self) -> str:
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'countersign.db'}"


def load(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Settings:
    """The settings in force for a desk started in `folder`.

    Raises BadSettings with one line for each setting that can't be used: its name, the value
    found and what is allowed.
    """
    values = _toml(folder / TOML_NAME)
    dotenv = {name: text for name, text in dotenv_values(folder / ".env").items() if text}
    for source in (dotenv, environ):
        values.update(_from_environment(source))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise BadSettings("\n".join(_complaint(found) for found in error.errors())) from None


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path.name} can't be read: {error}") from None


def _from_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The settings among environment variables; `NAME_FILE` reads the value from a file."""
    found = {}
    for field in Settings.model_fields:
        name = field.upper()
        if field in ("bots", "paper"):
            continue
        if text := source.get(name):
            found[field] = text
        elif path := source.get(f"{name}_FILE"):
            found[field] = _secret_file(f"{name}_FILE", path)
    return found


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{name}: {path!r} can't be read: {error}") from None


def _complaint(error: Any) -> str:
    """One validation error in words: the setting, the value found, what is allowed."""
    place = [str(part) for part in error["loc"]]
    known = list(Settings.model_fields)
    name = place[0].upper() if len(place) == 1 and place[0] in known else ".".join(place)
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], _names_at(place), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{name}: there is no such setting.{hint}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = "" if place[0] in SECRETS else f"{error['input']!r} "
    return f"{name}: {found}is not valid; {message}."


def _names_at(place: list[str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {"bots": BotSettings, "paper": PaperSection}
    section = sections.get(place[0], Settings) if len(place) > 1 else Settings
    return list(section.model_fields)


def secret_key(settings: Settings) -> bytes:
    """The key that seals the audit: from SECRET_KEY, else made once and kept in DATA_DIR."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / "secret.key"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32))
        fresh.replace(path)
    return path.read_bytes().strip()
