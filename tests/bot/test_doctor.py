"""What `countersign doctor` finds: tokens and the exchange are asked over real connections."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.doctor import CLOCK_OFF_MS, CLOCK_WRONG_MS, examine
from engine.candle import HOUR_MS
from engine.order import ZERO
from engine.store.mirror import MirroredBot, bot_key, to_text
from tests.servers import gemini
from tests.servers.bybit import BybitServer, Fault
from tests.servers.discord import DiscordServer
from tests.servers.discord_call import Answer, failing
from tests.servers.telegram import TelegramServer
from tests.valkey import LocalValkey, valkey

__all__ = ["valkey"]

# A port that nobody listens at.
NOWHERE = "http://127.0.0.1:9"
TOKEN = "123456:AAF0-a-token-that-nobody-may-see-1234"

Found = dict[str, list[tuple[str, str]]]
Examine = Callable[..., Awaitable[Found]]


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Examine:
    """Runs the doctor on settings: what is found as (state, detail) by what was looked at."""

    async def run(toml: str = "", **settings: str) -> Found:
        lines = {"DATA_DIR": tmp_path / "data", **settings}
        (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
        (tmp_path / "countersign.toml").write_text(toml)
        code = await examine(tmp_path, json=True)
        said = capsys.readouterr()
        assert said.err == ""
        found: Found = {}
        for line in map(json.loads, said.out.splitlines()):
            found.setdefault(line["what"], []).append((line["state"], line["detail"]))
        states = [state for findings in found.values() for state, _ in findings]
        assert code == int("wrong" in states)
        return found

    return run


def telegram(server: TelegramServer, **more: str) -> dict[str, str]:
    return {"TELEGRAM_BOT_TOKEN": server.token, "TELEGRAM_API_BASE": server.base, **more}


def discord(server: DiscordServer, **more: str) -> dict[str, str]:
    return {"DISCORD_BOT_TOKEN": server.token, "DISCORD_API_BASE": server.api_base, **more}


# The emergency stop


async def test_whether_the_emergency_stop_could_be_pulled_is_said(
    doctor: Examine, tmp_path: Path
) -> None:
    assert (await doctor())["kill"][0][0] == "note"
    (tmp_path / "data").mkdir()
    assert (await doctor())["kill"][0][0] == "ok"
    assert list((tmp_path / "data").iterdir()) == []
    (tmp_path / "data" / "KILLED").touch()
    state, detail = (await doctor())["kill"][0]
    assert state == "note"
    assert "by hand" in detail and "/resume" in detail


async def test_a_latch_that_could_not_be_written_is_wrong(
    doctor: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "data").mkdir()
    monkeypatch.setattr("bot.latch.os.fsync", full)
    [(state, detail)] = (await doctor())["kill"]
    assert state == "wrong"
    assert "No space left on device" in detail


# Nothing set


async def test_without_tokens_it_says_how_to_connect_and_nothing_is_wrong(doctor: Examine) -> None:
    found = await doctor()
    for name in ("telegram", "discord"):
        assert [state for state, _ in found[name]] == ["note", "note"]
        assert f"{name.upper()}_BOT_TOKEN" in found[name][0][1]
        assert f"{name.upper()}_ADMIN_IDS" in found[name][1][1]
    state, detail = found["market"][0]
    assert state == "ok"
    assert "MARKET=bybit" in detail


def test_without_tokens_no_library_of_a_platform_is_loaded(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from bot.doctor import examine\n"
        "asyncio.run(examine(Path(), json=False))\n"
        "assert not {'aiogram', 'discord', 'pybit'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Telegram


async def test_telegram_says_whose_token_it_is(doctor: Examine, shared: Path) -> None:
    async with TelegramServer(spec=shared / "specs" / "telegram") as server:
        found = await doctor(**telegram(server, TELEGRAM_ADMIN_IDS="7,8"))
        assert server.violations == []
    assert found["telegram"] == [
        ("ok", "the token is that of @countersign_bot"),
        ("ok", "2 admin(s) and 0 other(s) may use it"),
    ]


async def test_a_token_that_telegram_does_not_know_is_wrong_and_not_shown(doctor: Examine) -> None:
    async with TelegramServer() as server:
        found = await doctor(**telegram(server) | {"TELEGRAM_BOT_TOKEN": TOKEN})
    state, detail = found["telegram"][0]
    assert state == "wrong"
    assert "TELEGRAM_BOT_TOKEN: " in detail
    assert "Unauthorized" in detail
    assert "@BotFather" in detail
    assert TOKEN.partition(":")[2] not in detail


async def test_what_is_no_token_at_all_is_wrong(doctor: Examine) -> None:
    found = await doctor(TELEGRAM_BOT_TOKEN="nonsense", TELEGRAM_API_BASE=NOWHERE)
    assert found["telegram"][0][0] == "wrong"
    assert "@BotFather" in found["telegram"][0][1]


@pytest.mark.parametrize("kind", [500, "drop"])
async def test_a_telegram_that_fails_is_told_from_a_wrong_token(
    doctor: Examine, kind: int | str
) -> None:
    async with TelegramServer() as server:
        server.fault("getMe", kind)
        found = await doctor(**telegram(server))
        state, detail = found["telegram"][0]
    assert state == "wrong"
    assert f"{server.base} can't be reached" in detail
    assert "TELEGRAM_API_BASE" in detail


async def test_a_telegram_out_of_reach_is_wrong(doctor: Examine) -> None:
    found = await doctor(TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_BASE=NOWHERE)
    state, detail = found["telegram"][0]
    assert state == "wrong"
    assert "can't be reached" in detail
    assert TOKEN not in detail


async def test_a_webhook_is_noted_by_its_host_alone(doctor: Examine) -> None:
    async with TelegramServer() as server:
        server.webhook = f"https://hooks.example.org/{server.token}"
        found = await doctor(**telegram(server))
    state, detail = found["telegram"][0]
    assert state == "note"
    assert "hooks.example.org." in detail
    assert server.token not in detail


# Discord


async def test_discord_says_whose_token_it_is(doctor: Examine, shared: Path) -> None:
    async with DiscordServer(spec=shared / "specs" / "discord") as server:
        found = await doctor(**discord(server, DISCORD_ADMIN_IDS="7"))
        assert server.violations == []
    assert found["discord"] == [
        ("ok", f"the token is that of {server.bot.name}"),
        ("ok", "1 admin(s) and 0 other(s) may use it"),
    ]


async def test_a_token_that_discord_does_not_know_is_wrong_and_not_shown(doctor: Examine) -> None:
    async with DiscordServer() as server:
        found = await doctor(**discord(server) | {"DISCORD_BOT_TOKEN": "nobodys-token"})
    state, detail = found["discord"][0]
    assert state == "wrong"
    assert "DISCORD_BOT_TOKEN: " in detail
    assert "developer portal" in detail
    assert "nobodys-token" not in detail


async def test_a_discord_out_of_reach_is_wrong(doctor: Examine) -> None:
    found = await doctor(DISCORD_BOT_TOKEN="a-token", DISCORD_API_BASE=f"{NOWHERE}/api/v10")
    state, detail = found["discord"][0]
    assert state == "wrong"
    assert "can't be reached" in detail
    assert "DISCORD_API_BASE" in detail


async def test_a_discord_that_fails_for_long_is_given_up(
    doctor: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord.IDENTIFY_S", 0.2)
    async with DiscordServer() as server:
        server.rest.fail("GET /users/@me", failing(502), times=5)
        found = await doctor(**discord(server))
    assert found["discord"][0][0] == "wrong"
    assert "no answer in 0.2 s" in found["discord"][0][1]


async def test_interactions_that_go_elsewhere_are_wrong(doctor: Examine) -> None:
    async with DiscordServer() as server:
        _, application = await server.rest._application(None)
        application["interactions_endpoint_url"] = "https://hooks.example.org/a/secret"
        server.rest.fail("GET /oauth2/applications/@me", Answer(200, application))
        found = await doctor(**discord(server))
    state, detail = found["discord"][0]
    assert state == "wrong"
    assert "hooks.example.org." in detail
    assert "Interactions Endpoint URL" in detail


# People

TOM = '[[people]]\nname = "tom"\nrole = "trader"\ntelegram = 7\n'
ANN = '[[people]]\nname = "ann"\nrole = "admin"\ntelegram = 8\n'
EVE = '[[people]]\nname = "eve"\nrole = "viewer"\n'


@pytest.mark.parametrize(
    ("toml", "ids", "state", "part"),
    [
        ("", "", "wrong", "TELEGRAM_ADMIN_IDS is empty: nobody is admitted"),
        (EVE, "", "wrong", "nobody is admitted"),
        (TOM, "", "note", "no admin"),
        (TOM + ANN, "", "ok", "1 admin(s) and 1 other(s)"),
        (TOM + ANN, "8,9", "ok", "2 admin(s) and 1 other(s)"),
    ],
)
async def test_it_says_whether_anybody_is_admitted(
    doctor: Examine, toml: str, ids: str, state: str, part: str
) -> None:
    async with TelegramServer() as server:
        found = await doctor(toml, **telegram(server, TELEGRAM_ADMIN_IDS=ids))
    assert found["telegram"][1][0] == state
    assert part in found["telegram"][1][1]


async def test_people_without_an_id_are_noted_by_name(doctor: Examine) -> None:
    found = await doctor(TOM + EVE)
    [(state, detail)] = found["people"]
    assert state == "note"
    assert detail.startswith("eve: ")
    assert "people" not in await doctor(TOM)


# Bybit


def bybit(server: BybitServer) -> dict[str, str]:
    return {"MARKET": "bybit", "BYBIT_REST_BASE": server.rest_base}


async def test_bybit_says_which_symbols_it_has(doctor: Examine) -> None:
    async with BybitServer(SystemClock()).running() as server:
        found = await doctor(**bybit(server))
    assert found["market"] == [("ok", "Bybit's live prices of BTCUSDT, ETHUSDT, SOLUSDT")]
    assert [state for state, _ in found["clock"]] == ["ok", "ok"]


async def test_symbols_that_bybit_lacks_are_noted(doctor: Examine) -> None:
    async with BybitServer(SystemClock(), ["ETHUSDT"]).running() as server:
        server.untradable["SOLUSDT"] = "Closed"
        found = await doctor(**bybit(server))
    [(state, detail)] = found["market"]
    assert state == "note"
    assert "prices of ETHUSDT. It does not trade BTCUSDT, SOLUSDT" in detail


async def test_a_bybit_without_any_of_the_symbols_is_wrong(doctor: Examine) -> None:
    async with BybitServer(SystemClock(), ["XRPUSDT"]).running() as server:
        found = await doctor(**bybit(server))
    [(state, detail)] = found["market"]
    assert state == "wrong"
    assert "none of BTCUSDT, ETHUSDT, SOLUSDT" in detail


@pytest.mark.parametrize(
    ("skew_ms", "state"),
    [
        (-CLOCK_WRONG_MS - 200, "wrong"),
        ((CLOCK_OFF_MS + CLOCK_WRONG_MS) // 2, "note"),
        (CLOCK_WRONG_MS + 200, "wrong"),
    ],
)
async def test_a_clock_that_is_off_bybits_is_found(
    doctor: Examine, skew_ms: int, state: str
) -> None:
    async with BybitServer(SystemClock()).running() as server:
        server.faults.skew_ms = skew_ms
        found = await doctor(**bybit(server))
    assert found["clock"][1][0] == state
    assert f"{skew_ms // 1000:+}"[0] in found["clock"][1][1]
    assert ("NTP" in found["clock"][1][1]) == (state == "wrong")


async def test_a_bybit_that_shuts_us_out_is_wrong(doctor: Examine) -> None:
    async with BybitServer(SystemClock()).running() as server:
        server.faults.rest = lambda path: Fault(status=403)
        found = await doctor(**bybit(server))
    [(state, detail)] = found["market"]
    assert state == "wrong"
    assert "403" in detail
    assert server.rest_base in detail


async def test_a_bybit_out_of_reach_is_wrong(doctor: Examine) -> None:
    found = await doctor(MARKET="bybit", BYBIT_REST_BASE=NOWHERE)
    assert found["market"][0][0] == "wrong"
    assert "does not answer" in found["market"][0][1]


# The mirror


async def mirror_of(doctor: Examine, url: str) -> tuple[str, str]:
    [found] = (await doctor(REDIS_URL=url))["redis"]
    return found


async def test_without_a_redis_nothing_is_wrong(doctor: Examine) -> None:
    [(state, detail)] = (await doctor())["redis"]
    assert state == "note"
    assert "REDIS_URL is not set" in detail


async def test_a_redis_is_looked_into(doctor: Examine, valkey: LocalValkey) -> None:
    state, detail = await mirror_of(doctor, valkey.url)
    assert (state, detail) == ("ok", "Redis at 127.0.0.1 holds nothing of these bots yet")

    bot = MirroredBot("a", "s", "active", (), ZERO, ZERO, ZERO, 0, "")
    now = SystemClock().now()
    valkey.read.set(bot_key("shortseller_001"), to_text(bot, now))
    state, detail = await mirror_of(doctor, valkey.url)
    assert state == "ok"
    assert "1 bot(s), written " in detail

    valkey.read.set(bot_key("shortseller_001"), to_text(bot, now - HOUR_MS))
    state, detail = await mirror_of(doctor, valkey.url)
    assert state == "note"
    assert "no desk keeps it up" in detail

    valkey.read.set(bot_key("shortseller_001"), "something else")
    state, detail = await mirror_of(doctor, valkey.url)
    assert state == "wrong"
    assert "holds what no desk wrote" in detail


async def test_a_redis_out_of_reach_is_wrong_and_its_password_is_not_told(doctor: Examine) -> None:
    state, detail = await mirror_of(doctor, "redis://:hush-hush@127.0.0.1:9/0")
    assert state == "wrong"
    assert "can't be reached" in detail
    assert "hush-hush" not in detail


# Gemini


async def test_without_a_key_for_gemini_it_is_said_what_works(doctor: Examine) -> None:
    [(state, detail)] = (await doctor())["gemini"]

    assert state == "note"
    assert "computed from indicators" in detail and "GEMINI_API_KEY=" in detail


async def test_a_key_for_gemini_is_asked_about(doctor: Examine) -> None:
    async with gemini.running() as world:
        place = {"GEMINI_API_BASE": world.url}
        good = await doctor(**place, GEMINI_API_KEY=world.key)
        bad = await doctor(**place, GEMINI_API_KEY="AIzaSyWrong0123456789")
        unknown = await doctor(**place, GEMINI_API_KEY=world.key, GEMINI_MODEL="gemini-9-flash")
        nobody = await doctor(GEMINI_API_BASE=NOWHERE, GEMINI_API_KEY=world.key)

    assert good["gemini"] == [("ok", "the key is good for Gemini 3.5 Flash Lite")]
    assert [found["gemini"][0][0] for found in (bad, unknown, nobody)] == ["wrong"] * 3
    assert "GEMINI_API_KEY is not valid" in bad["gemini"][0][1]
    assert "AIza" not in bad["gemini"][0][1]
    assert "no model 'gemini-9-flash'" in unknown["gemini"][0][1]
    assert "can't be reached" in nobody["gemini"][0][1]
    assert world.requests == []
