"""`countersign doctor`: looks at everything a desk needs and says what is wrong and how to mend it.

It only reads, and takes no lock: a running desk is not disturbed.
"""

import asyncio
import json as jsonlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.app import fit_bots, socket_path
from bot.clock import SystemClock
from bot.door import reachable
from bot.settings import Settings, load
from engine.errors import CountersignError
from engine.market.replay import open_replay
from engine.store.database import open_database
from engine.store.lock import DeskLock
from engine.store.migrations import HEAD, revision_of

# A desk writes megabytes a day; below this the disk is full before anybody looks again.
DISK_FREE_MIN = 200 * 1024 * 1024
# A wall clock before this was never set.
CLOCK_MIN = 1_767_225_600_000

TELEGRAM_STEPS = (
    "To connect Telegram: write to @BotFather, send /newbot, and put the token it gives you "
    "into .env as TELEGRAM_BOT_TOKEN=...",
    "Your numeric Telegram id goes into TELEGRAM_ADMIN_IDS=...; the bot's answer to /whoami "
    "tells it. An empty list admits nobody.",
)
DISCORD_STEPS = (
    "To connect Discord: make an application with a bot in the developer portal, invite it to "
    "your server, and put its token into .env as DISCORD_BOT_TOKEN=...",
    "Your numeric Discord id (developer mode, Copy User ID) goes into DISCORD_ADMIN_IDS=...",
)
NOT_YET = "is set; this version answers in the terminal only and does not use it yet."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `ok`, `note` (nothing to mend) or `wrong`, and what to do."""

    what: str
    state: str
    detail: str


async def examine(folder: Path, json: bool) -> int:
    """Print the findings; exit code 1 when something is wrong."""
    findings = [finding async for finding in _findings(folder)]
    for finding in findings:
        if json:
            sys.stdout.write(jsonlib.dumps(asdict(finding)) + "\n")
        else:
            mark = {"ok": "ok  ", "note": "    ", "wrong": "BAD "}[finding.state]
            sys.stdout.write(f"{mark} {finding.what}: {finding.detail}\n")
    return int(any(finding.state == "wrong" for finding in findings))


async def _findings(folder: Path) -> AsyncIterator[Finding]:
    try:
        settings = load(os.environ, folder)
    except CountersignError as error:
        yield Finding("settings", "wrong", str(error))
        return
    yield Finding("settings", "ok", f"mode {settings.mode}, {len(settings.bots)} bot(s)")
    yield _clock()
    yield _folder(settings)
    yield await _database(settings)
    yield await asyncio.to_thread(_market, settings)
    yield await _lock(settings)
    for finding in _chat(settings):
        yield finding


def _clock() -> Finding:
    now = SystemClock().now()
    if now < CLOCK_MIN:
        return Finding("clock", "wrong", "the system's clock is not set; start NTP")
    return Finding("clock", "ok", "plausible")


def _folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        if not place.is_dir():
            raise NotADirectoryError(f"{place} is a file")
        # Asks the file system itself: permission bits say nothing on a read-only one.
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        detail = f"{place} can't be written ({error}); mend its owner or DATA_DIR"
        return Finding("data", "wrong", detail)
    free = shutil.disk_usage(place).free
    if free < DISK_FREE_MIN:
        return Finding("data", "wrong", f"only {free // 2**20} MiB free at {place}")
    return Finding("data", "ok", f"{folder}, {free // 2**30} GiB free")


async def _database(settings: Settings) -> Finding:
    path = settings.database.removeprefix("sqlite:///")
    if path != settings.database and not os.access(path, os.F_OK):
        return Finding("database", "note", f"{path} is not made yet; the first start makes it")
    try:
        found = await _revision(settings.database)
    except CountersignError as error:
        return Finding("database", "wrong", str(error))
    if found != HEAD:
        detail = f"at revision {found}, this version has {HEAD}; the next start brings it there"
        return Finding("database", "note", detail)
    return Finding("database", "ok", f"at revision {found}")


async def _revision(url: str) -> str | None:
    database = open_database(url)
    try:
        return await database.read(revision_of)
    finally:
        await database.close()


def _market(settings: Settings) -> Finding:
    kind, _, rest = settings.market.partition(":")
    if kind != "replay":
        return Finding("market", "ok", "simulated; for real candles set MARKET=replay:PATH")
    try:
        market = open_replay(rest, settings.speed, SystemClock())
    except CountersignError as error:
        return Finding("market", "wrong", str(error))
    bots, left_out = fit_bots(settings, market)
    said = " ".join([f"{market.label}.", *market.remarks(), *left_out])
    return Finding("market", "ok" if bots else "wrong", said)


async def _lock(settings: Settings) -> Finding:
    holder = await DeskLock(settings.data_dir).holder()
    if await reachable(socket_path(settings)):
        return Finding("desk", "ok", f"running ({holder}); `countersign console` attaches to it")
    return Finding("desk", "note", "not running; `countersign run` starts it")


def _chat(settings: Settings) -> Iterator[Finding]:
    for name, token, ids, steps in (
        ("telegram", settings.telegram_bot_token, settings.telegram_admin_ids, TELEGRAM_STEPS),
        ("discord", settings.discord_bot_token, settings.discord_admin_ids, DISCORD_STEPS),
    ):
        if token is None:
            yield from (Finding(name, "note", step) for step in steps)
            continue
        yield Finding(name, "note", f"{name.upper()}_BOT_TOKEN {NOT_YET}")
        if not ids:
            yield Finding(name, "wrong", f"{name.upper()}_ADMIN_IDS is empty: nobody is admitted")
