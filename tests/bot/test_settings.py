"""The settings in force, as admins are shown them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.lineup import fit_bots, planned
from bot.settings import TOML_NAME, Settings, effective, load
from engine.bot import BotPlan
from engine.candle import HOUR_MS
from engine.errors import BadSettings
from engine.market.simulated import SimulatedMarket
from engine.strategies import STRATEGIES
from tests.clock import FakeClock

MARKET = "simulated market, seed 42"


def section(name: str, **given: Any) -> Any:
    return effective(Settings(**given), MARKET)[name]


def test_what_is_not_set_is_shown_as_what_is_in_force() -> None:
    desk = section("desk")
    assert desk["market"] == "auto (simulated market, seed 42)"
    assert desk["market_speed"] == "60"
    assert desk["database_url"] == "SQLite in DATA_DIR"
    assert desk["secret_key"] == "set in DATA_DIR"
    assert desk["telegram_bot_token"] == desk["discord_guild_ids"] == "none"


def test_secrets_are_only_set() -> None:
    secrets = {
        "secret_key": "s" * 32,
        "database_url": "postgresql+asyncpg://desk:hidden@db/desk",
        "telegram_bot_token": "123456789:hidden",
        "discord_bot_token": "hidden",
    }
    desk = section("desk", **secrets)
    assert {name: desk[name] for name in secrets} == dict.fromkeys(secrets, "set")
    shown = str(effective(Settings(**secrets), MARKET))
    assert not [secret for secret in secrets.values() if secret in shown]


@pytest.mark.parametrize(("given", "shown"), [(None, "0"), (90, "90")])
def test_the_delay_is_the_one_that_approvals_wait(given: int | None, shown: str) -> None:
    assert section("approvals", approvals={"delay_s": given}) == {
        "required": "0",
        "delay_s": shown,
    }


def test_a_switch_is_yes_or_no() -> None:
    assert section("paper", paper={"impact": False, "partial_fills": True}).items() >= {
        ("impact", "no"),
        ("partial_fills", "yes"),
    }


def test_bots_and_people_are_listed_with_their_ids_as_values() -> None:
    bot = {"id": "short_1", "strategy": "shortseller", "symbols": ["BTCUSDT", "ETHUSDT"]}
    assert section("bots", bots=[{**bot, "capital": 500}]) == [
        {
            **bot,
            "symbols": "BTCUSDT, ETHUSDT",
            "capital": "500",
            "timeframe": "none",
            "params": "none",
            "margin": "none",
        }
    ]
    tom = {"name": "tom", "role": "trader", "telegram": 7, "scopes": ["bot:short_1", "guild:9"]}
    assert section("people", people=[tom]) == [
        {
            "name": "tom",
            "role": "trader",
            "telegram": "7",
            "discord": "none",
            "scopes": "bot:short_1, guild:9",
        }
    ]
    assert section("people", data_dir=Path("elsewhere")) == []


def test_what_stands_in_a_url_behind_its_path_is_not_shown() -> None:
    url = "https://tom:hidden@tg.example/bot?token=hidden&x=1#hidden"
    assert section("desk", telegram_api_base=url)["telegram_api_base"] == (
        "https://tom:***@tg.example/bot?***"
    )
    assert section("desk")["telegram_api_base"] == "https://api.telegram.org"


# -- bots --------------------------------------------------------------------------------

RSI = """
[[bots]]
id = "rsi_one"
strategy = "rsi"
symbols = ["BTCUSDT"]
"""


def toml(folder: Path, text: str) -> Settings:
    (folder / TOML_NAME).write_text(text)
    return load({}, folder)


def test_a_bot_may_have_bars_and_values_of_its_own(tmp_path: Path) -> None:
    more = 'timeframe = "1h"\n[bots.params]\nleverage = 2\nmargin = "3%"\n'
    settings = toml(tmp_path, RSI + more)
    assert settings.bots[0].plan(STRATEGIES) == BotPlan(
        "rsi",
        ("BTCUSDT",),
        Decimal(10_000),
        HOUR_MS,
        (("leverage", 2.0), ("margin", 0.03)),
    )
    [shown] = effective(settings, MARKET)["bots"]
    assert (shown["timeframe"], shown["params"]) == ("1h", "leverage=2, margin=3%")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('timeframe = "7m"', "bots rsi_one timeframe: '7m' is not valid; allowed: 1m, "),
        ('timeframe = "4h"', "bots rsi_one timeframe: '4h' is not valid; allowed: 5m, 1h."),
        (
            "params = {luck = 3}",
            "bots rsi_one params: {'luck': 3} is not valid; in countersign.toml, parameter: 'luck' "
            "is not valid. Allowed: ",
        ),
        (
            "params = {leverage = 900}",
            "bots rsi_one params: {'leverage': 900} is not valid; in countersign.toml, leverage: "
            "'900' is not valid. Allowed: 1 to 100 in steps of 1.",
        ),
        ("params = 3", "bots rsi_one params: 3 is not valid; allowed: a table of parameters, as "),
    ],
)
def test_a_value_that_a_strategy_does_not_have_is_named_with_its_bot(
    tmp_path: Path, more: str, said: str
) -> None:
    with pytest.raises(BadSettings) as error:
        toml(tmp_path, RSI + more)
    assert str(error.value).startswith(said)


def test_an_id_that_was_given_from_chat_is_not_a_bot_s_of_the_settings(tmp_path: Path) -> None:
    settings = toml(tmp_path, RSI)
    plan = settings.bots[0].plan(STRATEGIES)
    assert planned(settings, {"rsi_001": plan}) == {"rsi_one": plan, "rsi_001": plan}
    with pytest.raises(BadSettings, match="bots rsi_one id: a bot of that id was added from chat"):
        planned(settings, {"rsi_one": plan})


def test_a_bot_that_can_not_run_here_is_left_out_with_the_reason(tmp_path: Path) -> None:
    settings = toml(tmp_path, RSI)
    plan = settings.bots[0].plan(STRATEGIES)
    plans = {
        "gone": BotPlan("no_more", ("BTCUSDT",), Decimal(1)),
        "elsewhere": BotPlan("rsi", ("DOGEUSDT",), Decimal(1)),
        "here": plan,
    }
    bots, left_out = fit_bots(settings, SimulatedMarket(1, 0, 0, FakeClock()), plans)
    assert [bot.bot_id for bot in bots] == ["here"]
    [gone, elsewhere] = left_out
    assert gone.startswith(
        "gone does not trade, its books stay as they are: strategy: 'no_more' is not valid."
    )
    assert elsewhere == "elsewhere: this market has no DOGEUSDT; left out."


# -- the model ---------------------------------------------------------------------------

KEY = "AIza" + "x" * 35


def test_the_model_is_set_by_the_environment_and_its_manners_by_the_file(tmp_path: Path) -> None:
    (tmp_path / TOML_NAME).write_text("[gemini]\nmonthly_usd = 7\nveto = false\n")
    environ = {
        "GEMINI_API_KEY": KEY,
        "GEMINI_MODEL": "gemini-3.5-flash-lite",
        "GEMINI_DRIVER": "legacy",
        "GEMINI_DAILY_USD": "0.01",
        "GEMINI_API_BASE": "http://localhost:8099/",
    }
    settings = load(environ, tmp_path)
    assert settings.gemini_api_key is not None
    assert settings.gemini_api_key.get_secret_value() == KEY
    assert KEY in settings.secrets
    assert settings.gemini_model == "gemini-3.5-flash-lite"
    assert settings.gemini_driver == "legacy"
    assert settings.gemini_api_base == "http://localhost:8099"
    assert not settings.gemini.veto
    limits = settings.gemini.limits(settings.gemini_daily_usd)
    assert (limits.daily_usd, limits.monthly_usd) == (Decimal("0.01"), Decimal(7))
    assert (limits.calls_a_minute, limits.deadline_s) == (30, 60)
    shown = effective(settings, MARKET)
    assert shown["desk"]["gemini_api_key"] == "set"
    assert shown["gemini"]["monthly_usd"] == "7"
    assert shown["gemini"]["price_input"] == "none"
    assert KEY not in str(shown)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GEMINI_API_KEY", f"{KEY} ", "GEMINI_API_KEY: is not valid; allowed: what the platform "),
        ("GEMINI_MODEL", "models/x", "GEMINI_MODEL: 'models/x' is not valid; allowed: a model's "),
        ("GEMINI_DRIVER", "grpc", "GEMINI_DRIVER: 'grpc' is not valid; 'genai' or 'legacy'."),
        ("GEMINI_DAILY_USD", "-1", "GEMINI_DAILY_USD: '-1' is not valid; greater than or equal"),
        ("GEMINI_DAILY_USD", "NaN", "GEMINI_DAILY_USD: 'NaN' is not valid; a finite number."),
        ("GEMINI_API_BASE", "http://x.example", "GEMINI_API_BASE: 'http://x.example' is not "),
        ("GEMINI_API_BASE", "http://x.example\\@127.0.0.1", "GEMINI_API_BASE: 'http://x.example"),
        ("GEMINI_API_BASE", "https://x .example", "GEMINI_API_BASE: 'https://x .example' is not "),
    ],
)
def test_a_model_that_can_not_be_asked_so_is_refused(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    with pytest.raises(BadSettings) as found:
        load({name: value}, tmp_path)
    assert str(found.value).startswith(said)
    assert KEY not in str(found.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("deadline_s = 20", "gemini.deadline_s: 20 is not valid; allowed: timeout_s or more."),
        ("timeout_s = 90", "gemini.deadline_s: 60 is not valid; allowed: timeout_s or more."),
        ("bias_minutes = 0", "gemini.bias_minutes: 0 is not valid; greater than or equal to 1."),
        ("vetoes = true", "gemini.vetoes: there is no such setting. Did you mean veto?"),
    ],
)
def test_manners_that_do_not_fit_are_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadSettings) as found:
        toml(tmp_path, f"[gemini]\n{line}\n")
    assert str(found.value) == said


def test_the_file_that_comes_with_the_program_sets_what_holds_without_it() -> None:
    given = load({}, Path(__file__).parents[2])
    assert given.gemini == Settings().gemini
