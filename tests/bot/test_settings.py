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
