"""Settings: environment first, then `.env`, then `countersign.toml`; checked before a start."""

import difflib
import errno
import os
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bot.own_strategies import OwnStrategies, load_own
from bot.redact import HIDDEN, redact
from engine.bot import BOT_ID, BotPlan
from engine.candle import timeframe_ms
from engine.desk import Section
from engine.errors import BadInput, BadSettings
from engine.exchange.paper import PaperSettings
from engine.market.holdings import KEEP_DAYS_MAX
from engine.people import ACCOUNT_MAX, DESK_NAMES, parse_scope
from engine.strategies.kernel import Strategy

DEMO_SEED = 42
DEMO_SPEED = 60.0
SECRET_KEY_MIN = 16
TOML_NAME = "countersign.toml"
# How long an approved RED waits where money is real, unless the settings say.
LIVE_DELAY_S = 60
# What only countersign.toml can hold.
SECTIONS = ("bots", "people", "paper", "approvals", "data")
SECRETS = ("secret_key", "database_url", "telegram_bot_token", "discord_bot_token")


_PAPER = PaperSettings()
# What stands in a URL behind its path may be a key.
_QUERY = re.compile(r"(://[^\s?#]*[?#])\S+")


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


def _own_of(info: ValidationInfo) -> OwnStrategies:
    """The strategies of the desk whose settings are looked at."""
    own: OwnStrategies = (info.context or {}).get("own", OwnStrategies())
    return own


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BotSettings(_Section):
    """One bot. `capital` is its paper deposit in USDT, `timeframe` such as `1h` (empty: the
    strategy's own), `params` are values of its strategy's parameters."""

    id: str
    strategy: str
    symbols: tuple[str, ...]
    capital: Decimal = Field(default=Decimal(10_000), ge=1, le=Decimal(10) ** 12)
    timeframe: str = ""
    params: dict[str, str] = {}

    @field_validator("id")
    @classmethod
    def _short(cls, text: str) -> str:
        if not BOT_ID.fullmatch(text):
            raise ValueError("allowed: 1 to 20 of a-z, 0-9 and _")
        return text

    @field_validator("symbols", mode="before")
    @classmethod
    def _listed(cls, symbols: object) -> object:
        names = symbols if isinstance(symbols, list | tuple) else ()
        if not names or len(set(map(str, names))) < len(names):
            raise ValueError('allowed: a list of different symbols, as in ["BTCUSDT", "ETHUSDT"]')
        return symbols

    @field_validator("strategy")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        own = _own_of(info)
        if name not in own.known:
            left_out = "".join(f"; left out: {fault.rstrip('.')}" for fault in own.faults)
            raise ValueError(f"allowed: {', '.join(own.known)}{left_out}")
        return name

    @field_validator("timeframe")
    @classmethod
    def _offered(cls, name: str, info: ValidationInfo) -> str:
        strategy = _own_of(info).known.get(info.data.get("strategy", ""))
        try:
            if name and strategy:
                strategy.at(timeframe_ms(name))
        except BadInput as error:
            raise ValueError(f"allowed: {error.allowed}") from None
        return name

    @field_validator("params", mode="before")
    @classmethod
    def _tunable(cls, params: object, info: ValidationInfo) -> dict[str, str]:
        if not isinstance(params, Mapping):
            raise ValueError("allowed: a table of parameters, as in params = {leverage = 3}")
        words = {str(name): str(value) for name, value in params.items()}
        strategy = _own_of(info).known.get(info.data.get("strategy", ""))
        try:
            if strategy:
                strategy.parse(words)
        except BadInput as error:
            raise ValueError(f"in {TOML_NAME}, {error}".removesuffix(".")) from None
        return words

    def plan(self, strategies: Mapping[str, Strategy]) -> BotPlan:
        """What makes this bot, out of the strategies there are."""
        values = strategies[self.strategy].parse(self.params)
        timeframe = timeframe_ms(self.timeframe) if self.timeframe else 0
        named = tuple(values.items())
        return BotPlan(self.strategy, self.symbols, self.capital, timeframe, named)


class PersonSettings(_Section):
    """Somebody who may use the desk, by their numeric ids on the platforms."""

    name: str = Field(min_length=1, max_length=40)
    role: Literal["viewer", "trader", "admin"]
    telegram: int | None = Field(default=None, ge=1, le=ACCOUNT_MAX)
    discord: int | None = Field(default=None, ge=1, le=ACCOUNT_MAX)
    scopes: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _nobody_else(cls, name: str) -> str:
        if name.lower() in DESK_NAMES:
            raise ValueError(f"allowed: another name; {', '.join(DESK_NAMES)} are not people's")
        return name

    @field_validator("scopes")
    @classmethod
    def _known(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            try:
                parse_scope(word)
            except BadInput as error:
                raise ValueError(f"allowed: {error.allowed}; {word!r} is none of them") from None
        return words


class ApprovalSection(_Section):
    """What it takes to approve what can hurt the account.

    `required` people other than the asker approve what is RED; 0 means one, who may be the asker.
    `delay_s` passes before an approved RED takes effect that raises risk; by default a minute
    where money is real.
    """

    required: int = Field(default=0, ge=0, le=5)
    delay_s: int | None = Field(default=None, ge=0, le=3600)


class PaperSection(_Section):
    """What may be set of the paper exchange's costs and frictions, and within which bounds."""

    taker_fee: Decimal = Field(default=_PAPER.taker_fee, ge=0, lt=Decimal("0.1"))
    maker_fee: Decimal = Field(default=_PAPER.maker_fee, ge=Decimal("-0.01"), lt=Decimal("0.1"))
    slippage_max: float = Field(default=_PAPER.slippage_max, ge=0, lt=0.1)
    impact: bool = _PAPER.impact
    partial_fills: bool = _PAPER.partial_fills
    latency_ms: int = Field(default=_PAPER.latency_ms, ge=0, le=60_000)
    seed: int = _PAPER.seed


class DataSection(_Section):
    """How many days of candles are kept of those that nobody asked to keep for longer."""

    keep_days: int = Field(default=90, ge=1, le=KEEP_DAYS_MAX)


DEFAULT_BOTS = (
    BotSettings(
        id="shortseller_001",
        strategy="shortseller",
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    ),
)


class Settings(_Section):
    """Everything the desk is told before it starts."""

    mode: str = "paper"
    market: str = "auto"
    market_speed: float | None = Field(default=None, ge=0, le=1_000_000)
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    secret_key: SecretStr | None = None
    telegram_bot_token: SecretStr | None = None
    telegram_api_base: str = "https://api.telegram.org"
    telegram_admin_ids: str = ""
    discord_bot_token: SecretStr | None = None
    discord_api_base: str = "https://discord.com/api/v10"
    discord_gateway_url: str = "wss://gateway.discord.gg/"
    discord_admin_ids: str = ""
    discord_guild_ids: str = ""
    bybit_rest_base: str = "https://api.bybit.com"
    bybit_ws_base: str = "wss://stream.bybit.com"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    strategies_dir: Path | None = None
    bots: tuple[BotSettings, ...] = DEFAULT_BOTS
    people: tuple[PersonSettings, ...] = ()
    paper: PaperSection = PaperSection()
    approvals: ApprovalSection = ApprovalSection()
    data: DataSection = DataSection()
    _own: OwnStrategies = PrivateAttr(default_factory=OwnStrategies)

    @field_validator("mode")
    @classmethod
    def _mode(cls, text: str) -> str:
        if text != "paper":
            raise ValueError("allowed: paper (demo, testnet and live come with a later version)")
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

    @field_validator("telegram_bot_token", "discord_bot_token")
    @classmethod
    def _token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and re.search(r"\s", token.get_secret_value()):
            raise ValueError("allowed: the token as the platform gave it, without spaces")
        return token

    @field_validator(
        "telegram_api_base",
        "discord_api_base",
        "discord_gateway_url",
        "bybit_rest_base",
        "bybit_ws_base",
    )
    @classmethod
    def _url(cls, url: str, info: ValidationInfo) -> str:
        streams = info.field_name in ("discord_gateway_url", "bybit_ws_base")
        secure, plain = ("wss", "ws") if streams else ("https", "http")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host and (parts.scheme == secure or (parts.scheme == plain and _is_private(host))):
            return url.rstrip("/")
        raise ValueError(f"allowed: a URL of {secure}://, or {plain}:// on your own network")

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("sqlite:///", "postgresql+asyncpg://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise ValueError(f"allowed: a URL that starts with {' or '.join(schemes)}")
        try:
            urlsplit(url.get_secret_value() if url else "").port  # noqa: B018  it is checked
        except ValueError:
            raise ValueError(
                "allowed: a port of digits, and %40, %3A, %2F for @, : and / in a password"
            ) from None
        return url

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
        found = (getattr(self, name) for name in SECRETS)
        return tuple(secret.get_secret_value() for secret in found if secret is not None)

    @property
    def delay_ms(self) -> int:
        """How long an approved RED waits that raises risk."""
        if self.approvals.delay_s is not None:
            return self.approvals.delay_s * 1000
        return LIVE_DELAY_S * 1000 if self.mode == "live" else 0

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


def effective(settings: Settings, market: str) -> dict[str, Section]:
    """The settings in force, by section, as people may read them: secrets are only set or not.

    `market` is what the desk calls the market that it opened.
    """
    said = {name: _said(value) for name, value in settings if name not in SECTIONS}
    desk = {
        **said,
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
        "approvals": {**_named(settings.approvals), "delay_s": str(settings.delay_ms // 1000)},
        "data": _named(settings.data),
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


def load(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Settings:
    """The settings in force for a desk started in `folder`.

    Raises BadSettings with one line for each setting that can't be used: its name, the value
    found and what is allowed.
    """
    values = _toml(folder / TOML_NAME)
    dotenv = _dotenv(folder / ".env")
    for source in (dotenv, environ):
        values.update(_from_environment(source))
    own = _own_strategies(values, folder)
    try:
        settings = Settings.model_validate(values, context={"own": own})
    except ValidationError as error:
        complaints = (_complaint(found, values) for found in error.errors())
        raise BadSettings("\n".join(complaints)) from None
    settings._own = own
    return settings


def _own_strategies(values: Mapping[str, Any], folder: Path) -> OwnStrategies:
    """Those of STRATEGIES_DIR, which is relative to where countersign.toml is."""
    found = values.get("strategies_dir")
    return load_own(folder / found) if found and isinstance(found, str) else OwnStrategies()


def _dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env`; a name that only nearly is one of ours is a slip of the pen.

    Other names are let be: a `.env` is shared with compose files and shells.
    """
    found = {name: text for name, text in dotenv_values(path).items() if text}
    ours = [field.upper() for field in Settings.model_fields]
    for name in found:
        close = difflib.get_close_matches(name, ours, n=1, cutoff=0.8)
        if close and name not in ours and name.removesuffix("_FILE") not in ours:
            raise BadSettings(f".env: {name}: there is no such setting. Did you mean {close[0]}?")
    return found


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
        if field in SECTIONS:
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
        raise BadSettings(redact(f"{name}: {path!r} can't be read: {error}")) from None


def _complaint(error: Any, values: Mapping[str, Any]) -> str:
    """One validation error in words: the setting, the value found, what is allowed."""
    place = [str(part) for part in error["loc"]]
    if not place:
        return str(error["msg"]).removeprefix("Value error, ") + "."
    name = _place(place, values)
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], _names_at(place), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{name}: there is no such setting.{hint}"
    if error["type"] == "missing":
        return f"{name}: is missing."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    # A token in the wrong line is no less a secret.
    found = "" if place[0] in SECRETS else redact(f"{error['input']!r} ")
    return f"{name}: {found}is not valid; {message}."


def _place(place: Sequence[str], values: Mapping[str, Any]) -> str:
    """Where a setting stands, as the person wrote it: `MARKET`, `paper.seed`, `bots x capital`."""
    if len(place) == 1:
        return place[0].upper() if place[0] in Settings.model_fields else place[0]
    named_by = {"bots": "id", "people": "name"}.get(place[0])
    if named_by is None:
        return ".".join(place)
    entry = values[place[0]][int(place[1])]
    number = f"number {int(place[1]) + 1}"
    which = entry.get(named_by, number) if isinstance(entry, dict) else number
    return f"{place[0]} {which} {' '.join(place[2:])}".rstrip()


def _names_at(place: list[str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "bots": BotSettings,
        "people": PersonSettings,
        "paper": PaperSection,
        "approvals": ApprovalSection,
        "data": DataSection,
    }
    section = sections.get(place[0], Settings) if len(place) > 1 else Settings
    return list(section.model_fields)


def prepare_folder(settings: Settings) -> None:
    """Make DATA_DIR, for this user alone; raises BadSettings where it can't be written."""
    folder = settings.data_dir
    # The database and the pictures in it are nobody else's business either.
    os.umask(0o077)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(
            f"DATA_DIR: {str(folder)!r} can't be used: {error.strerror}. "
            "Allowed: a folder that this user may write."
        ) from None


def secret_key(settings: Settings) -> bytes:
    """The key that seals the audit: from SECRET_KEY, else made once and kept in DATA_DIR."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / "secret.key"
    if not path.exists():
        _write_key(path)
    key = path.read_bytes().strip()
    if len(key) < SECRET_KEY_MIN:
        raise BadSettings(f"{path} holds no key of {SECRET_KEY_MIN} characters; put it back.")
    return key


def _write_key(path: Path) -> None:
    """A new key, readable by this user alone, that is there whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
