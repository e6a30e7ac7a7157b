"""Modes, their addresses and keys: what a desk may be told before it trades an account."""

from pathlib import Path
from typing import Any

import pytest

from bot.modes import ACCEPTED, exchange_of
from bot.settings import TOML_NAME, Settings, effective, load
from engine.errors import BadSettings

KEYS = {"BYBIT_API_KEY": "desk-key", "BYBIT_API_SECRET": "desk-secret"}
OWN = {"RSI_BYBIT_API_KEY": "rsi-key", "RSI_BYBIT_API_SECRET": "rsi-secret"}
DEMO = {"MODE": "demo", **KEYS}
LIVE = {**KEYS, "MODE": "live", "LIVE_TRADING": ACCEPTED}
BOT = '[[bots]]\nid = "{}"\nstrategy = "rsi"\nsymbols = ["{}"]\n'
RSI, MACD = BOT.format("rsi_001", "BTCUSDT"), BOT.format("macd_001", "ETHUSDT")


def loaded(folder: Path, environ: dict[str, str], toml: str = "") -> Settings:
    (folder / TOML_NAME).write_text(toml)
    return load(environ, folder)


def refused(folder: Path, environ: dict[str, str], toml: str = "") -> str:
    with pytest.raises(BadSettings) as error:
        loaded(folder, environ, toml)
    return str(error.value)


def key(settings: Settings, bot_id: str) -> str:
    pair = settings.api_key(bot_id)
    return "" if pair is None else pair.key.get_secret_value()


# -- modes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MODE": "real"}, "MODE: 'real' is not valid; allowed: paper, demo, testnet, live."),
        (
            {**DEMO, "MARKET": "simulated:1"},
            "MARKET: 'simulated:1' has no account to trade on; allowed: bybit, where MODE is demo.",
        ),
        (
            {**LIVE, "LIVE_TRADING": "yes"},
            "LIVE_TRADING: 'yes' is not valid; MODE=live trades with real money, allowed: "
            "I-accept-the-risk.",
        ),
        (
            {"MODE": "testnet"},
            "bots shortseller_001: has no API key; allowed: BYBIT_API_KEY and BYBIT_API_SECRET for "
            "all bots, or SHORTSELLER_BYBIT_API_KEY and SHORTSELLER_BYBIT_API_SECRET for this one.",
        ),
        ({"BYBIT_API_KEY": "desk-key"}, "BYBIT_API_SECRET: is missing."),
        ({"MODE": "demo", "BYBIT_API_KEY": "desk-key"}, "BYBIT_API_SECRET: is missing."),
        ({"MODE": "demo", "BYBIT_API_SECRET": "desk-secret"}, "BYBIT_API_KEY: is missing."),
        ({"RSI_BYBIT_API_SECRET": "rsi-secret"}, "RSI_BYBIT_API_KEY: is missing."),
        (
            {**DEMO, "BYBIT_REST_BASE": "https://api.bybit.com"},
            "BYBIT_REST_BASE: 'https://api.bybit.com' is Bybit's live exchange, and MODE is demo; "
            "allowed: none, or a proxy of your own.",
        ),
        (
            {**LIVE, "BYBIT_WS_BASE": "wss://stream-testnet.bybit.com"},
            "BYBIT_WS_BASE: 'wss://stream-testnet.bybit.com' is Bybit's testnet exchange, and MODE "
            "is live; allowed: none, or a proxy of your own.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    assert refused(tmp_path, environ) == said


def test_a_real_account_has_bybits_market_by_itself(tmp_path: Path) -> None:
    assert loaded(tmp_path, DEMO).market == "bybit"
    assert loaded(tmp_path, {}).market == "auto"


def test_live_takes_its_two_words(tmp_path: Path) -> None:
    assert loaded(tmp_path, LIVE).mode == "live"
    assert loaded(tmp_path, LIVE).delay_ms == 60_000


@pytest.mark.parametrize(
    ("environ", "prices", "account"),
    [
        ({}, "https://api.bybit.com", "https://api.bybit.com"),
        (DEMO, "https://api.bybit.com", "https://api-demo.bybit.com"),
        (DEMO | {"MODE": "testnet"}, *2 * ("https://api-testnet.bybit.com",)),
        (LIVE, *2 * ("https://api.bybit.com",)),
        (DEMO | {"BYBIT_REST_BASE": "http://127.0.0.1:9"}, *2 * ("http://127.0.0.1:9",)),
    ],
)
def test_each_mode_has_its_own_addresses(
    tmp_path: Path, environ: dict[str, str], prices: str, account: str
) -> None:
    bases = loaded(tmp_path, environ).bases
    assert (bases.rest, bases.private_rest) == (prices, account)
    if "BYBIT_REST_BASE" not in environ:
        as_streams = prices.replace("https://api", "wss://stream")
        assert (bases.ws, bases.private_ws) == (
            as_streams,
            account.replace("https://api", "wss://stream"),
        )


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("https://api.bybit.com", "live"),
        ("https://api.bytick.com", "live"),
        ("https://api.bybit-tr.com", "live"),
        ("https://api-demo.bybit.com", "demo"),
        ("wss://stream-testnet.bybit.com", "testnet"),
        ("http://127.0.0.1:8000", None),
        ("https://bybit.proxy.example.org", None),
    ],
)
def test_an_address_of_bybits_is_known_for_what_it_is(url: str, mode: str | None) -> None:
    assert exchange_of(url) == mode


# -- keys --------------------------------------------------------------------------------


def test_a_bot_s_own_key_wins_over_the_desk_s_and_its_whole_name_over_a_part(
    tmp_path: Path,
) -> None:
    whole = {"RSI_002_BYBIT_API_KEY": "second-key", "RSI_002_BYBIT_API_SECRET": "second-secret"}
    settings = loaded(tmp_path, {**DEMO, **OWN, **whole})
    assert key(settings, "rsi_001") == "rsi-key"
    assert key(settings, "rsi_002") == "second-key"
    assert key(settings, "macd_001") == "desk-key"
    assert settings.key_name("rsi_001") == "RSI_BYBIT_API"
    assert settings.key_name("macd_001") == "BYBIT_API"


def test_without_a_key_of_the_desk_others_have_none(tmp_path: Path) -> None:
    settings = loaded(tmp_path, OWN)
    assert (key(settings, "macd_001"), settings.key_name("macd_001")) == ("", "")


def test_keys_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("rsi-key\n")
    given = {"RSI_BYBIT_API_KEY_FILE": str(tmp_path / "key"), "RSI_BYBIT_API_SECRET": "rsi-secret"}
    assert key(loaded(tmp_path, given), "rsi_001") == "rsi-key"
    assert key(loaded(tmp_path, {**given, "RSI_BYBIT_API_KEY": "told"}), "rsi_001") == "told"
    missing = refused(tmp_path, {**given, "RSI_BYBIT_API_SECRET_FILE": "nowhere"} | OWN)
    assert missing.startswith("RSI_BYBIT_API_SECRET_FILE: 'nowhere' can't be read")


def test_half_a_key_in_dotenv_and_half_in_the_environment_make_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RSI_BYBIT_API_KEY=old\nRSI_BYBIT_API_SECRET=rsi-secret\n")
    settings = load({"RSI_BYBIT_API_KEY": "new"}, tmp_path)
    assert key(settings, "rsi_001") == "new"


def test_no_symbol_has_two_bots_on_one_key(tmp_path: Path) -> None:
    both = RSI + BOT.format("macd_001", "BTCUSDT")
    assert refused(tmp_path, DEMO, both) == (
        "bots rsi_001 and macd_001: both trade BTCUSDT with one API key, and an account has one "
        "position a symbol; allowed: other symbols, or the key of another subaccount."
    )
    assert len(loaded(tmp_path, {**DEMO, **OWN}, both).bots) == 2
    assert len(loaded(tmp_path, {}, both).bots) == 2
    # The same key under two names is one account all the same.
    same = {"RSI_BYBIT_API_KEY": "desk-key", "RSI_BYBIT_API_SECRET": "another"}
    assert "with one API key" in refused(tmp_path, {**DEMO, **same}, both)


def test_one_key_has_one_secret(tmp_path: Path) -> None:
    typo = {"RSI_BYBIT_API_KEY": "desk-key", "RSI_BYBIT_API_SECRET": "mistyped-secret"}
    said = refused(tmp_path, {**DEMO, **typo}, RSI + MACD)
    assert said == (
        "bots rsi_001 and macd_001: one API key with two secrets; allowed: the secret that Bybit "
        "gave with it."
    )


def test_an_account_has_one_margin_mode(tmp_path: Path) -> None:
    cross = RSI + 'margin = "cross"\n' + MACD
    assert refused(tmp_path, DEMO, cross) == (
        "bots rsi_001 and macd_001: their margin is cross and isolated with one API key; allowed: "
        "one margin mode for an account."
    )
    settings = loaded(tmp_path, {**DEMO, **OWN}, cross)
    assert (settings.margin("rsi_001"), settings.margin("macd_001")) == ("cross", "isolated")
    everywhere = loaded(tmp_path, DEMO, RSI + '[exchange]\nmargin = "cross"\n')
    assert everywhere.margin("added_from_chat") == "cross"


def test_a_margin_that_there_is_not_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, {}, '[exchange]\nmargin = "both"\n')
    assert said == "exchange.margin: 'both' is not valid; 'isolated' or 'cross'."


# -- what is shown -----------------------------------------------------------------------


def test_no_key_is_shown_nor_told_in_an_error(tmp_path: Path) -> None:
    redis = {"REDIS_URL": "redis://:hush-hush@cache/0"}
    settings = loaded(tmp_path, {**DEMO, **OWN, **redis})
    shown = str(effective(settings, "Bybit"))
    hidden: tuple[Any, ...] = (*KEYS.values(), *OWN.values(), "hush-hush")
    assert not [secret for secret in hidden if secret in shown or secret in repr(settings)]
    assert set(hidden[:4]) <= set(settings.secrets)
    assert "redis://:hush-hush@cache/0" in settings.secrets
    for name in (*KEYS, *OWN):
        said = refused(tmp_path, {**DEMO, **OWN, name: "with space-secret"})
        assert said.startswith(f"{name}: ")
        assert "space-secret" not in said


def test_settings_show_whose_keys_there_are_and_where_orders_go(tmp_path: Path) -> None:
    desk: Any = effective(loaded(tmp_path, {**DEMO, **OWN}), "Bybit")["desk"]
    assert (desk["bybit_api_key"], desk["bot_keys"]) == ("set", "RSI")
    assert desk["bybit_rest_base"] == "https://api-demo.bybit.com"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://cache", "REDIS_URL: is not valid; allowed: a URL that starts with memory://, "),
        ("redis://:p@ss:w/rd@cache", "REDIS_URL: is not valid; allowed: a port of digits, and "),
    ],
)
def test_a_redis_that_can_not_be_one_is_refused(tmp_path: Path, url: str, said: str) -> None:
    assert refused(tmp_path, {"REDIS_URL": url}).startswith(said)
