"""Secrets are planted in the settings and looked for in everything that leaves the program."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]
import pytest
from aiohttp import web
from sqlalchemy import make_url

from tests.program.chats import Chats, open_chats, until
from tests.program.conftest import DEADLINE_S, Program
from tests.servers.discord_call import Drop, failing, rate_limited, refused

TELEGRAM = "7104928374:AAHcanary0telegram-token_56789abcd"
DISCORD = ".".join(["MTA0canary0discord0token", "GcanRy", "canary-discord-token_0123456789-abcdef"])
KEY = "canary-secret-key-0123456789"
PASSWORD = "canary/data base@password"
BYBIT = {
    "BYBIT_API_KEY": "canaryDeskKey0123",
    "BYBIT_API_SECRET": "canaryDeskSecret0123456789",
    "SHORTSELLER_BYBIT_API_KEY": "canaryBotKey0123",
    "SHORTSELLER_BYBIT_API_SECRET": "canaryBotSecret0123456789",
}
REDIS = "canary-redis-password"
SECRETS = (
    TELEGRAM, TELEGRAM.partition(":")[2], DISCORD, KEY, PASSWORD, quote(PASSWORD, safe=""), REDIS,
    *BYBIT.values(),
)  # fmt: skip

# What people say: right, wrong, and what shows the desk's own troubles.
LINES = (
    "/status", "/health", "/whoami", "/nonsense", "/bot pause nobody", "/chart XYZ 7m", "/why",
    "/alert BTC sideways 1", "/schedule add 99:99 status", "/help nothing", "\x00 /", "/outbox",
)  # fmt: skip


def told(text: str) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
async def chats(program: Program) -> AsyncIterator[Chats]:
    program.settings |= {"LOG_LEVEL": "debug", "SECRET_KEY": KEY, **BYBIT}
    # Nothing answers there: what the desk says of that is looked at as well.
    program.settings["REDIS_URL"] = f"redis://:{REDIS}@127.0.0.1:9/0"
    async with open_chats(program, telegram_token=TELEGRAM, discord_token=DISCORD) as found:
        yield found


async def output_of(program: Program, *words: str, typed: str = "") -> str:
    """All that a command writes, while this loop goes on serving."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        cwd=program.folder,
        env=program.environ(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate(typed.encode())
    return out.decode()


def sent(chats: Chats) -> str:
    """Everything that the desk sent to either platform, but for what a call must carry."""
    telegram = [repr(call.params) for call in chats.telegram.calls]
    return "\n".join([*telegram, *(repr(call.body) for call in chats.discord.calls)])


def stored(program: Program) -> str:
    """Every row of every table."""
    with closing(sqlite3.connect(program.data / "countersign.db")) as connection:
        return "\n".join(connection.iterdump())


async def say(chats: Chats, lines: Iterable[str]) -> None:
    """Say lines on Telegram and wait until each is dealt with, answered or not."""
    for line in lines:
        asked = chats.telegram.write(chats.ann, chats.chat, line)
        key = f"%:{asked.update_id}"
        done = f"SELECT 1 FROM inbox WHERE key LIKE '{key}' AND done_at IS NOT NULL"
        await until(lambda done=done: chats.program.rows(done), chats.desks[-1])


async def test_a_desk_in_trouble_tells_no_secret(chats: Chats) -> None:
    telegram, discord = chats.telegram, chats.discord
    desk = await chats.start()
    await chats.until_connected(desk)
    await say(chats, LINES)
    for name in ("status", "health", "outbox"):
        await chats.ask_discord(name)

    for kind in (401, 403, 429, 500, 502, "drop", "drop_after"):
        telegram.fault("sendMessage", kind)
        await say(chats, ["/status"])
    answers = "PATCH /webhooks/*/messages/@original"
    for fault in (failing(502), rate_limited(0.2), refused(50006), Drop(performed=False)):
        discord.fail(answers, fault)
        discord.fail("POST /channels/*/messages", fault)
        await discord.slash(chats.bob, chats.dm, "status")
        await discord.until(lambda: discord.interactions[-1].answer)
    discord.fail("POST /interactions/*/*/callback", rate_limited(0.2))
    await chats.ask_discord("status")
    telegram.fault("getUpdates", 409, times=1)
    telegram.fault("getUpdates", 502, times=1)
    await telegram.outage()
    discord.gateway.drop()
    await until(lambda: "telegram can't be reached" in desk.said, desk)
    await telegram.back()
    await chats.until_connected(desk)

    telegram.fault("getUpdates", 401, times=3)
    telegram.push({"message": telegram.write(chats.ann, chats.chat, "/status").json()})
    await until(lambda: "Telegram is lost" in sent(chats), desk)
    await discord.gateway.close(4004)
    await until(lambda: desk.said.count("a chat platform is lost") == 2, desk)
    talk = await output_of(chats.program, "console", typed="/health\n/outbox\n/status\n")
    doctor = await output_of(chats.program, "doctor")
    await desk.stop()

    assert "telegram" in doctor
    assert told(desk.said) == []
    assert "interaction-token" not in desk.said
    assert told(sent(chats)) == []
    assert told(stored(chats.program)) == []
    assert told(talk + doctor) == []


async def test_a_console_of_its_own_writes_no_secret_into_its_log(chats: Chats) -> None:
    chats.telegram.fault("getMe", 502)

    talk = await output_of(chats.program, "console", "--json", typed="/status\n/nonsense\n")

    written = (chats.program.data / "desk.log").read_text()
    assert "telegram can't be reached" in written
    assert told(talk + written) == []
    assert told(stored(chats.program)) == []


class Echo:
    """A gateway before the platforms that is broken, and says back what it was asked."""

    def __init__(self) -> None:
        self.base = ""
        self.heard = ""
        self._asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        said = f"{request.method} {request.url} {dict(request.headers)}"
        self.heard += said
        if request.path.startswith("/api/"):
            return self._refuse_discord(said)
        if "again" in request.query:
            raise web.HTTPFound(request.url)
        self._asked += 1
        match self._asked:
            case 1:
                return web.Response(status=502, text=f"<html>{said}</html>")
            case 2:
                raise web.HTTPFound(request.url.with_query(again=1))
            case 3:
                return web.json_response({"ok": True, "result": said})
            case _:
                refusal = {"ok": False, "error_code": 401, "description": f"Unauthorized: {said}"}
                return web.json_response(refusal, status=401)

    def _refuse_discord(self, said: str) -> web.Response:
        status = 503 if self.heard.count("/users/@me") == 1 else 401
        return web.Response(status=status, text=f"<html>{said}</html>")


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    echo.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield echo
    finally:
        await runner.cleanup()


async def test_a_gateway_that_says_back_what_it_was_asked_gets_no_secret_told(
    chats: Chats,
) -> None:
    async with echoing() as echo:
        chats.program.settings |= {
            "TELEGRAM_API_BASE": echo.base,
            "DISCORD_API_BASE": f"{echo.base}/api/v10",
        }
        desk = await chats.start()
        await until(lambda: desk.said.count("a chat platform is lost") == 2, desk)
        troubles = "SELECT body FROM outbox WHERE kind = 'trouble'"
        await until(lambda: len(chats.program.rows(troubles)) == 2, desk)
        talk = await output_of(chats.program, "console", typed="/health\n/outbox\n")
        await desk.stop()

    assert TELEGRAM in echo.heard and DISCORD in echo.heard
    for trouble in ("<html>POST", "TooManyRedirects", "<html>GET", "Unauthorized"):
        assert trouble in desk.said
    assert told(desk.said) == []
    assert told(talk) == []
    assert told(stored(chats.program)) == []


async def test_the_password_of_a_database_is_not_told(chats: Chats, postgres_url: str) -> None:
    url = make_url(postgres_url).set(password=PASSWORD)
    chats.program.settings["DATABASE_URL"] = url.render_as_string(hide_password=False)
    desk = await chats.start()
    await chats.until_connected(desk)
    for line in ("/status", "/health", "/bot pause shortseller_001"):
        await chats.ask_telegram(line)
    doctor = await output_of(chats.program, "doctor", "--json")
    assert await desk.stop() == 0

    found = {line["what"]: line for line in map(json.loads, doctor.splitlines())}
    assert found["database"]["state"] == "ok"
    assert told(desk.said) == []
    assert told(doctor) == []
    assert told(sent(chats)) == []
    assert told(await rows_of(postgres_url)) == []


async def rows_of(url: str) -> str:
    """Every row of every table of a PostgreSQL."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        assert len(tables) > 20
        rows = [row for (name,) in tables for row in await connection.fetch(f"TABLE {name}")]
        return "\n".join(map(repr, rows))
    finally:
        await connection.close()


@pytest.mark.parametrize("word", ["run", "console", "migrate", "doctor"])
async def test_a_database_that_can_not_be_reached_is_told_without_its_password(
    program: Program, word: str
) -> None:
    address = f"desk:{quote(PASSWORD, safe='')}@127.0.0.1:1/desk"
    program.settings |= {"DATABASE_URL": f"postgresql+asyncpg://{address}", "LOG_LEVEL": "debug"}

    out = await output_of(program, word)

    assert "127.0.0.1" in out
    assert told(out) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEGRAM_ADMIN_IDS", TELEGRAM),
        ("DISCORD_GUILD_IDS", DISCORD),
        ("TELEGRAM_BOT_TOKEN", f"{TELEGRAM} {TELEGRAM}"),
        ("TELEGRAM_BOT_TOKEN_FILE", TELEGRAM),
        ("DISCORD_BOT_TOKEN_FILE", DISCORD),
        ("TELEGRAM_API_BASE", f"ftp://ann:{quote(PASSWORD, safe='')}@proxy"),
        ("DATABASE_URL", f"mysql://desk:{quote(PASSWORD, safe='')}@db/desk"),
        ("DATABASE_URL", f"postgresql+asyncpg://desk:{quote(PASSWORD, safe='')}@db:port/desk"),
        ("MARKET", DISCORD),
        ("LOG_LEVEL", TELEGRAM),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told_either(
    program: Program, name: str, value: str
) -> None:
    program.settings[name] = value

    refused = program.run("run")
    doctor = program.run("doctor")

    assert refused.returncode == 2
    assert name in refused.stderr and "Traceback" not in refused.stderr
    assert told(refused.stdout + refused.stderr + doctor.stdout + doctor.stderr) == []
