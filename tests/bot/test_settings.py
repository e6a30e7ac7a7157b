"""The settings in force, as admins are shown them."""

from pathlib import Path
from typing import Any

import pytest

from bot.settings import Settings, effective

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
        {**bot, "symbols": "BTCUSDT, ETHUSDT", "capital": "500"}
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
