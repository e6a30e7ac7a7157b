"""The sections of countersign.toml: bots, people, and what else may be set that is no secret."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bot.own_strategies import OwnStrategies
from engine.bot import BOT_ID, BotPlan
from engine.candle import timeframe_ms
from engine.errors import BadInput
from engine.exchange.paper_state import PaperSettings
from engine.market.holdings import KEEP_DAYS_MAX
from engine.people import ACCOUNT_MAX, DESK_NAMES, parse_scope
from engine.strategies.kernel import Strategy
from llm.limits import Limits

TOML_NAME = "countersign.toml"
# What only that file can hold.
SECTIONS = (
    "bots", "people", "paper", "exchange", "risk", "caps", "approvals", "tuning", "data",
    "gemini",
)  # fmt: skip
# How positions share what they may lose: each has its own, or all of an account together.
Margin = Literal["isolated", "cross"]

_PAPER = PaperSettings()
_USD_MAX = 100_000
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


def _own_of(info: ValidationInfo) -> OwnStrategies:
    """The strategies of the desk whose settings are looked at."""
    own: OwnStrategies = (info.context or {}).get("own", OwnStrategies())
    return own


class SettingsSection(BaseModel):
    """A part of the settings: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BotSettings(SettingsSection):
    """One bot. `capital` is its own part of the money in USDT, `timeframe` such as `1h` (empty:
    the strategy's own), `params` are values of its strategy's parameters, `margin` how its account
    at the exchange is margined (None: as `[exchange]` says)."""

    id: str
    strategy: str
    symbols: tuple[str, ...]
    capital: Decimal = Field(default=Decimal(10_000), ge=1, le=Decimal(10) ** 12)
    timeframe: str = ""
    params: dict[str, str] = {}
    margin: Margin | None = None

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


class PersonSettings(SettingsSection):
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


class ApprovalSection(SettingsSection):
    """What it takes to approve what can hurt the account.

    `required` people other than the asker approve what is RED; 0 means one, who may be the asker.
    `delay_s` passes before an approved RED takes effect that raises risk; by default a minute
    where money is real.
    """

    required: int = Field(default=0, ge=0, le=5)
    delay_s: int | None = Field(default=None, ge=0, le=3600)


class PaperSection(SettingsSection):
    """What may be set of the paper exchange's costs and frictions, and within which bounds."""

    taker_fee: Decimal = Field(default=_PAPER.taker_fee, ge=0, lt=Decimal("0.1"))
    maker_fee: Decimal = Field(default=_PAPER.maker_fee, ge=Decimal("-0.01"), lt=Decimal("0.1"))
    slippage_max: float = Field(default=_PAPER.slippage_max, ge=0, lt=0.1)
    impact: bool = _PAPER.impact
    partial_fills: bool = _PAPER.partial_fills
    latency_ms: int = Field(default=_PAPER.latency_ms, ge=0, le=60_000)
    seed: int = _PAPER.seed


class ExchangeSection(SettingsSection):
    """The account at the exchange, where there is one.

    `allow_withdraw_keys` takes API keys that may move money away, which a desk never needs.
    """

    margin: Margin = "isolated"
    allow_withdraw_keys: bool = False


class DataSection(SettingsSection):
    """How many days of candles are kept of those that nobody asked to keep for longer."""

    keep_days: int = Field(default=90, ge=1, le=KEEP_DAYS_MAX)


class TuningSection(SettingsSection):
    """When the desk looks for better parameters by itself, and how hard.

    `at` and `compare_at` are times of day by UTC; with `on` false nothing comes by itself. `bots`
    are those that are looked at (empty: all). A study takes the last `days` of candles and tries
    `trials` sets of parameters over up to `folds` unseen stretches, on `workers`. `tell_nothing`
    also tells of runs in which nothing was found.
    """

    on: bool = True
    at: tuple[str, ...] = ("02:00", "08:00", "16:00")
    compare_at: str = "00:10"
    days: int = Field(default=90, ge=7, le=KEEP_DAYS_MAX)
    trials: int = Field(default=120, ge=1, le=10_000)
    folds: int = Field(default=4, ge=2, le=20)
    workers: int = Field(default=2, ge=1, le=64)
    bots: tuple[str, ...] = ()
    tell_nothing: bool = True

    @field_validator("at")
    @classmethod
    def _times(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            _check_time(text)
        if len(set(texts)) < len(texts):
            raise ValueError("allowed: each time once")
        return texts

    @field_validator("compare_at")
    @classmethod
    def _time(cls, text: str) -> str:
        _check_time(text)
        return text

    @field_validator("bots")
    @classmethod
    def _ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for each in ids:
            if not BOT_ID.fullmatch(each):
                raise ValueError(f"allowed: ids of bots; {each!r} can be none")
        return ids


class GeminiSection(SettingsSection):
    """How a model is asked, where GEMINI_API_KEY is set.

    Amounts are US dollars: `monthly_usd` is a cap as GEMINI_DAILY_USD is, at `warn_*` somebody is
    told; `price_*` are for a million tokens, where the list of known models is wrong. `timeout_s`
    is for one attempt, `deadline_s` for a whole consultation. `veto` has what the model thinks
    stop entries, for `bias_minutes`; else it only watches. Symbols are analyzed every
    `analyze_minutes` (0: never by itself) and, with `on_signal`, when a strategy signals.
    """

    monthly_usd: Decimal = Field(default=Decimal(100), ge=0, le=_USD_MAX)
    warn_daily_usd: Decimal = Field(default=Decimal(2), ge=0, le=_USD_MAX)
    warn_monthly_usd: Decimal = Field(default=Decimal(50), ge=0, le=_USD_MAX)
    calls_a_minute: int = Field(default=30, ge=1, le=1000)
    timeout_s: float = Field(default=30, ge=1, le=300)
    deadline_s: float = Field(default=60, ge=1, le=600, validate_default=True)
    veto: bool = True
    analyze_minutes: int = Field(default=60, ge=0, le=1440)
    on_signal: bool = True
    bias_minutes: int = Field(default=120, ge=1, le=1440)
    price_input: Decimal | None = Field(default=None, ge=0, le=1000)
    price_output: Decimal | None = Field(default=None, ge=0, le=1000)

    @field_validator("deadline_s")
    @classmethod
    def _whole(cls, seconds: float, info: ValidationInfo) -> float:
        if seconds < info.data.get("timeout_s", 0):
            raise ValueError("allowed: timeout_s or more")
        return seconds

    def limits(self, daily_usd: Decimal) -> Limits:
        """The same, as calls are held to it."""
        return Limits(
            daily_usd=daily_usd,
            monthly_usd=self.monthly_usd,
            warn_daily_usd=self.warn_daily_usd,
            warn_monthly_usd=self.warn_monthly_usd,
            calls_a_minute=self.calls_a_minute,
            timeout_s=self.timeout_s,
            deadline_s=self.deadline_s,
            price_input=self.price_input,
            price_output=self.price_output,
        )


def _check_time(text: str) -> None:
    """Raise ValueError for what is no time of day."""
    if not _TIME.fullmatch(text):
        raise ValueError(f'allowed: times by UTC as "02:00"; {text!r} is none')


DEFAULT_BOTS = (
    BotSettings(
        id="shortseller_001",
        strategy="shortseller",
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    ),
)
