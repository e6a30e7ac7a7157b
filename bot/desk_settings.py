"""The settings of a desk as values: checked one by one, and for what does not go together."""

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bot import modes
from bot.modes import ACCEPTED, DESK_KEY, LIVE, MODES, PAPER, Bases, KeyPair
from bot.own_strategies import OwnStrategies
from bot.risk_settings import CapsSection, RiskSection
from bot.sections import (
    DEFAULT_BOTS,
    ApprovalSection,
    BotSettings,
    DataSection,
    ExchangeSection,
    GeminiSection,
    Margin,
    PaperSection,
    PersonSettings,
    SettingsSection,
    TuningSection,
)
from engine.people import ACCOUNT_MAX
from engine.strategies.kernel import Strategy

DEMO_SEED = 42
DEMO_SPEED = 60.0
SECRET_KEY_MIN = 16
# How long an approved RED waits where money is real, unless the settings say.
LIVE_DELAY_S = 60
SECRETS = (
    "secret_key",
    "database_url",
    "redis_url",
    "telegram_bot_token",
    "discord_bot_token",
    "bybit_api_key",
    "bybit_api_secret",
    "gemini_api_key",
    "bot_keys",
)
IN_MEMORY = "memory://"
MODEL = re.compile(r"[a-z0-9][a-z0-9.-]{0,80}", re.ASCII)
SCHEDULER = re.compile(
    r"(?P<scheme>tcp|tls)://(?P<host>[\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}", re.ASCII
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _is_private(host: str) -> bool:
    """A name without a dot, as containers have, or an address of one's own network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host


def _is_number(text: str) -> bool:
    is_short = len(text) <= len(str(ACCOUNT_MAX))
    return is_short and text.isascii() and text.isdigit() and int(text) <= ACCOUNT_MAX


def _is_account(text: str) -> bool:
    """A number as platforms write it: without zeros before it, and not zero itself."""
    return _is_number(text) and not text.startswith("0")


def scheduler_address(text: str) -> str:
    """The address of a Dask scheduler. Raises ValueError, which says what is allowed.

    Whoever reaches a scheduler or a worker without TLS can run code there.
    """
    found = SCHEDULER.fullmatch(text)
    if found and (found["scheme"] == "tls" or _is_private(found["host"].strip("[]"))):
        return text
    raise ValueError("allowed: tls://HOST:PORT, or tcp://HOST:PORT on your own network")


def _check_port(url: SecretStr) -> None:
    """Raise ValueError where a password was not encoded, so that a part of it looks like a port."""
    try:
        urlsplit(url.get_secret_value()).port  # noqa: B018  it is checked
    except ValueError:
        raise ValueError(
            "allowed: a port of digits, and %40, %3A, %2F for @, : and / in a password"
        ) from None


class Settings(SettingsSection):
    """Everything the desk is told before it starts."""

    mode: str = PAPER
    live_trading: str = ""
    market: str = "auto"
    market_speed: float | None = Field(default=None, ge=0, le=1_000_000)
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    redis_url: SecretStr = SecretStr(IN_MEMORY)
    dask_scheduler: str = ""
    secret_key: SecretStr | None = None
    telegram_bot_token: SecretStr | None = None
    telegram_api_base: str = "https://api.telegram.org"
    telegram_admin_ids: str = ""
    discord_bot_token: SecretStr | None = None
    discord_api_base: str = "https://discord.com/api/v10"
    discord_gateway_url: str = "wss://gateway.discord.gg/"
    discord_admin_ids: str = ""
    discord_guild_ids: str = ""
    bybit_api_key: SecretStr | None = None
    bybit_api_secret: SecretStr | None = None
    bot_keys: dict[str, KeyPair] = {}
    bybit_rest_base: str | None = None
    bybit_ws_base: str | None = None
    gemini_api_key: SecretStr | None = None
    gemini_api_base: str = "https://generativelanguage.googleapis.com"
    gemini_model: str = "gemini-3.5-flash-lite"
    gemini_driver: Literal["genai", "legacy"] = "genai"
    gemini_daily_usd: Decimal = Field(default=Decimal(5), ge=0, le=10_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    strategies_dir: Path | None = None
    bots: tuple[BotSettings, ...] = DEFAULT_BOTS
    people: tuple[PersonSettings, ...] = ()
    paper: PaperSection = PaperSection()
    exchange: ExchangeSection = ExchangeSection()
    risk: RiskSection = RiskSection()
    caps: CapsSection = CapsSection()
    approvals: ApprovalSection = ApprovalSection()
    tuning: TuningSection = TuningSection()
    data: DataSection = DataSection()
    gemini: GeminiSection = GeminiSection()
    _own: OwnStrategies = PrivateAttr(default_factory=OwnStrategies)

    @model_validator(mode="before")
    @classmethod
    def _real_prices(cls, given: Any) -> Any:
        """An account at Bybit has Bybit's market, unless another one was set."""
        if not isinstance(given, dict) or given.get("mode", PAPER) == PAPER:
            return given
        return given if given.get("market", "auto") != "auto" else {**given, "market": "bybit"}

    @field_validator("mode")
    @classmethod
    def _mode(cls, text: str) -> str:
        if text not in MODES:
            raise ValueError(f"allowed: {', '.join(MODES)}")
        return text

    @field_validator("secret_key")
    @classmethod
    def _long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < SECRET_KEY_MIN:
            raise ValueError(f"allowed: at least {SECRET_KEY_MIN} characters")
        return key

    @field_validator("market")
    @classmethod
    def _market(cls, text: str) -> str:
        kind, _, rest = text.partition(":")
        if (
            text in ("auto", "bybit")
            or (kind == "replay" and rest)
            or (kind == "simulated" and _is_number(rest))
        ):
            return text
        raise ValueError("allowed: auto, bybit, replay:PATH, simulated:SEED")

    @field_validator(
        "telegram_bot_token",
        "discord_bot_token",
        "bybit_api_key",
        "bybit_api_secret",
        "gemini_api_key",
    )
    @classmethod
    def _token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and re.search(r"\s", token.get_secret_value()):
            raise ValueError("allowed: what the platform gave, without spaces")
        return token

    @field_validator(
        "telegram_api_base",
        "discord_api_base",
        "discord_gateway_url",
        "bybit_rest_base",
        "bybit_ws_base",
        "gemini_api_base",
    )
    @classmethod
    def _url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        streams = info.field_name in ("discord_gateway_url", "bybit_ws_base")
        secure, plain = ("wss", "ws") if streams else ("https", "http")
        parts = urlsplit(url)
        # What has these in it is read as another host by others.
        host = "" if re.search(r"[\s\\]", url) else parts.hostname or ""
        if host and (parts.scheme == secure or (parts.scheme == plain and _is_private(host))):
            return url.rstrip("/")
        raise ValueError(f"allowed: a URL of {secure}://, or {plain}:// on your own network")

    @field_validator("gemini_model")
    @classmethod
    def _model(cls, name: str) -> str:
        if not MODEL.fullmatch(name):
            raise ValueError("allowed: a model's name, as gemini-3.5-flash-lite")
        return name

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("sqlite:///", "postgresql+asyncpg://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise ValueError(f"allowed: a URL that starts with {' or '.join(schemes)}")
        if url is not None:
            _check_port(url)
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: SecretStr) -> SecretStr:
        schemes = (IN_MEMORY, "redis://", "rediss://")
        if not url.get_secret_value().startswith(schemes):
            raise ValueError(f"allowed: a URL that starts with {', '.join(schemes)}")
        _check_port(url)
        return url

    @field_validator("dask_scheduler")
    @classmethod
    def _scheduler(cls, text: str) -> str:
        return scheduler_address(text) if text else text

    @field_validator("telegram_admin_ids", "discord_admin_ids", "discord_guild_ids")
    @classmethod
    def _ids(cls, text: str) -> str:
        if any(not _is_account(word.strip()) for word in text.split(",") if text):
            raise ValueError(f"allowed: numeric ids from 1 to {ACCOUNT_MAX}, separated by commas")
        return text

    @field_validator("people")
    @classmethod
    def _one_person(cls, people: tuple[PersonSettings, ...]) -> tuple[PersonSettings, ...]:
        for field in ("name", "telegram", "discord"):
            values = [getattr(person, field) for person in people]
            twice = {
                str(value) for value in values if value is not None and values.count(value) > 1
            }
            if twice:
                raise ValueError(
                    f"each {field} once; {', '.join(sorted(twice))} stands there twice"
                )
        return people

    @model_validator(mode="after")
    def _one_role(self) -> "Settings":
        """Who is an admin by one setting may not be less by another."""
        for surface, ids in self.admin_ids.items():
            for person in self.people:
                if str(getattr(person, surface)) in ids and person.role != "admin":
                    raise ValueError(
                        f"people: {person.name} is a {person.role} there and an admin by "
                        f"{surface.upper()}_ADMIN_IDS; allowed: one role"
                    )
        return self

    @model_validator(mode="after")
    def _whole_key(self) -> "Settings":
        halves = {"KEY": self.bybit_api_key, "SECRET": self.bybit_api_secret}
        missing = [half for half, value in halves.items() if value is None]
        if len(missing) == 1:
            raise ValueError(f"{DESK_KEY}_{missing[0]}: is missing")
        return self

    @model_validator(mode="after")
    def _fit_for_its_mode(self) -> "Settings":
        """What a real account calls for."""
        if self.mode == PAPER:
            return self
        if self.market != "bybit":
            raise ValueError(
                f"MARKET: {self.market!r} has no account to trade on; allowed: bybit, where MODE "
                f"is {self.mode}"
            )
        if self.mode == LIVE and self.live_trading != ACCEPTED:
            raise ValueError(
                f"LIVE_TRADING: {self.live_trading!r} is not valid; MODE=live trades with real "
                f"money, allowed: {ACCEPTED}"
            )
        for name in ("bybit_rest_base", "bybit_ws_base"):
            modes.check_exchange(name.upper(), getattr(self, name), self.mode)
        modes.check_keys(self.bots, self.api_key, self.margin)
        return self

    @field_validator("bots")
    @classmethod
    def _one_owner(cls, bots: tuple[BotSettings, ...]) -> tuple[BotSettings, ...]:
        ids = [bot.id for bot in bots]
        twice = sorted({bot_id for bot_id in ids if ids.count(bot_id) > 1})
        if twice:
            raise ValueError(f"each id once; {', '.join(twice)} stands there twice")
        return bots

    @property
    def own(self) -> OwnStrategies:
        """The user's own strategies, and what was left out of them."""
        return self._own

    @property
    def strategies(self) -> Mapping[str, Strategy]:
        """Every strategy there is, by name: the program's and the user's own."""
        return self._own.known

    @property
    def admin_ids(self) -> dict[str, tuple[str, ...]]:
        """The numeric ids of the first admins, by surface."""
        return {
            "telegram": _words(self.telegram_admin_ids),
            "discord": _words(self.discord_admin_ids),
        }

    @property
    def guild_ids(self) -> tuple[str, ...]:
        """The Discord servers whose channels are open to the desk."""
        return _words(self.discord_guild_ids)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret there is, so that none is shown."""
        found = [getattr(self, name) for name in SECRETS if name != "bot_keys"]
        for pair in self.bot_keys.values():
            found += [pair.key, pair.secret]
        return tuple(secret.get_secret_value() for secret in found if secret is not None)

    def key_name(self, bot_id: str) -> str:
        """What the variables begin with that hold a bot's key, as `BYBIT_API`; empty where there
        is none. Its own come before the desk's, and its whole name before a part of it."""
        for name in modes.key_names(bot_id):
            if name in self.bot_keys:
                return f"{name}_{DESK_KEY}"
        return DESK_KEY if self.bybit_api_key else ""

    def api_key(self, bot_id: str) -> KeyPair | None:
        """The key that a bot trades with."""
        name = self.key_name(bot_id)
        if name != DESK_KEY:
            return self.bot_keys.get(name.removesuffix(f"_{DESK_KEY}"))
        assert self.bybit_api_key is not None and self.bybit_api_secret is not None
        return KeyPair(key=self.bybit_api_key, secret=self.bybit_api_secret)

    def margin(self, bot_id: str) -> Margin:
        """How a bot's account is margined."""
        own = next((bot.margin for bot in self.bots if bot.id == bot_id), None)
        return own or self.exchange.margin

    @property
    def bases(self) -> Bases:
        """Where prices and the account are asked for."""
        return modes.bases(self.mode, self.bybit_rest_base, self.bybit_ws_base)

    @property
    def cache_url(self) -> str:
        """The Redis that mirrors the desk; empty where there is none."""
        url = self.redis_url.get_secret_value()
        return "" if url.startswith(IN_MEMORY) else url

    @property
    def delay_ms(self) -> int:
        """How long an approved RED waits that raises risk."""
        if self.approvals.delay_s is not None:
            return self.approvals.delay_s * 1000
        return LIVE_DELAY_S * 1000 if self.mode == LIVE else 0

    @property
    def speed(self) -> float:
        """How many times faster than the clock a replayed or simulated market runs."""
        if self.market == "bybit":
            return 1.0
        return DEMO_SPEED if self.market_speed is None else self.market_speed

    @property
    def database(self) -> str:
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'countersign.db'}"
