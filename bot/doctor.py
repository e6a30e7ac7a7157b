"""`countersign doctor`: looks at everything a desk needs and says what is wrong and how to mend it.

It only reads, and takes no lock: a running desk is not disturbed. Of Telegram, Discord and Bybit
it asks those that the settings turn on.
"""

import asyncio
import json as jsonlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from bot.clock import SystemClock
from bot.doctor_accounts import Finding, look_at_accounts, look_at_mirror
from bot.door import reachable, socket_path
from bot.emergency import bybit_emergency
from bot.latch import LatchFile
from bot.lineup import fit_bots, planned
from bot.modes import PAPER
from bot.redact import Redactor
from bot.settings import Settings, load, open_model
from bot.surface import SurfaceEnded
from engine.bybit.address import Address
from engine.bybit.rest import BybitRest
from engine.errors import CountersignError, Unreachable
from engine.market.replay import open_replay
from engine.store.database import open_database
from engine.store.lock import DeskLock
from engine.store.migrations import HEAD, revision_of
from llm.model import ModelFailed

# A desk writes megabytes a day; below this the disk is full before anybody looks again.
DISK_FREE_MIN = 200 * 1024 * 1024
# A wall clock before this was never set.
CLOCK_MIN = 1_767_225_600_000

# How far the exchange's clock may be off ours: signed requests fail now and then, and always.
CLOCK_OFF_MS, CLOCK_WRONG_MS = 500, 1000
# One slow answer says nothing about a clock.
MEASUREMENTS = 3

# How a platform is connected; docs/chat.md has the same at length.
STEPS = {
    "telegram": (
        "To connect Telegram: send /newbot to @BotFather, and put the token that it gives you "
        "into .env as TELEGRAM_BOT_TOKEN=...",
        "Start the desk and send /whoami to your bot: it tells your numeric id. Put that into "
        "TELEGRAM_ADMIN_IDS=... and start again. An empty list admits nobody.",
    ),
    "discord": (
        "To connect Discord: make an application in the developer portal, put the token of its "
        "bot into .env as DISCORD_BOT_TOKEN=..., and invite it to your server as in docs/chat.md.",
        "Start the desk and say /whoami to the bot in a direct message: it tells your numeric id. "
        "Put that into DISCORD_ADMIN_IDS=... and start again. An empty list admits nobody.",
    ),
}
WHERE_TOKENS_ARE = {
    "telegram": "@BotFather has the right one: /mybots, the bot, API Token",
    "discord": "the Bot page of the application in the developer portal makes a new one",
}
ELSEWHERE = {
    "telegram": "A desk takes that webhook away when it starts; if it comes back, another "
    "program uses this token",
    "discord": "Nothing reaches the desk: clear the Interactions Endpoint URL in the developer "
    "portal",
}

WITHOUT_KEY = (
    "no GEMINI_API_KEY: analyses, autopsies and briefings are computed from indicators and the "
    "desk's own facts, questions are answered by rules. aistudio.google.com gives keys; put one "
    "into .env as GEMINI_API_KEY=..."
)


async def examine(folder: Path, json: bool) -> int:
    """Print the findings; exit code 1 when something is wrong."""
    with _quiet():
        findings = [finding async for finding in _findings(folder)]
    for finding in findings:
        if json:
            sys.stdout.write(jsonlib.dumps(asdict(finding)) + "\n")
        else:
            mark = {"ok": "ok  ", "note": "    ", "wrong": "BAD "}[finding.state]
            sys.stdout.write(f"{mark} {finding.what}: {finding.detail}\n")
    return int(any(finding.state == "wrong" for finding in findings))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log: what it would say is in the findings."""
    kept = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**kept)


async def _findings(folder: Path) -> AsyncIterator[Finding]:
    try:
        settings = load(os.environ, folder)
    except CountersignError as error:
        yield Finding("settings", "wrong", str(error))
        return
    hide = Redactor(settings.secrets)
    async for finding in _look_around(settings):
        yield replace(finding, detail=hide(finding.detail))


async def _look_around(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("settings", "ok", f"mode {settings.mode}, {len(settings.bots)} bot(s)")
    for finding in _own_strategies(settings):
        yield finding
    yield _clock()
    yield _folder(settings)
    yield _latch(settings)
    if settings.mode != PAPER:
        async for finding in _way_to_flat(settings):
            yield finding
    yield await _database(settings)
    if settings.market == "bybit":
        async for finding in _bybit(settings):
            yield finding
    else:
        yield await asyncio.to_thread(_market, settings)
    if settings.mode != PAPER:
        async for finding in look_at_accounts(settings, SystemClock()):
            yield finding
    yield await look_at_mirror(settings, SystemClock())
    yield await _lock(settings)
    async for finding in _chat(settings):
        yield finding
    yield await _gemini(settings)


def _own_strategies(settings: Settings) -> Iterator[Finding]:
    """Each file of STRATEGIES_DIR: what is wrong with it, or whether its step compiles."""
    own = settings.own
    yield from (Finding("strategies", "wrong", fault) for fault in own.faults)
    if own.sources:
        # Numba takes 100 MB and half a second, for those who have a strategy of their own.
        from engine.backtest.speed import compile_fault

        for name, path in own.sources.items():
            fault = compile_fault(own.strategies[name], path)
            said = f"does not compile, so its backtests are slow ({fault})" if fault else "compiles"
            yield Finding("strategies", "note" if fault else "ok", f"{name} of {path} {said}")


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


def _latch(settings: Settings) -> Finding:
    """Whether the emergency stop could be pulled now, or was."""
    file = LatchFile(settings.data_dir)
    if (latch := file.read()) is not None:
        return Finding("kill", "note", f"{latch.why}; an admin's approved /resume takes it away")
    if not settings.data_dir.exists():
        return Finding("kill", "note", f"{settings.data_dir} is not made yet; a start makes it")
    try:
        file.check()
    except OSError as error:
        detail = f"{file.path} can't be written ({error.strerror}): a stop would end with the desk"
        return Finding("kill", "wrong", detail)
    return Finding("kill", "ok", f"the emergency stop's latch {file.path} can be written")


async def _way_to_flat(settings: Settings) -> AsyncIterator[Finding]:
    """What the emergency stop would see, on each account, without the desk."""
    traded = {bot.id: bot.symbols for bot in settings.bots}
    with bybit_emergency(settings, traded, SystemClock()) as emergency:
        for account in emergency.accounts:
            try:
                found = await emergency.look(account)
            except CountersignError as error:
                yield Finding("kill", "wrong", f"{account}: the way to flat is shut: {error}")
                continue
            positions, orders = len(found.positions), found.orders
            detail = f"{account}: the way to flat sees {positions} position(s), {orders} order(s)"
            yield Finding("kill", "ok", detail)


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
        detail = "simulated, its prices are made up. MARKET=bybit brings real ones, still on paper"
        return Finding("market", "ok", detail)
    try:
        market = open_replay(rest, settings.speed, SystemClock())
    except CountersignError as error:
        return Finding("market", "wrong", str(error))
    bots, left_out = fit_bots(settings, market, planned(settings, {}))
    said = " ".join([f"{market.label}.", *market.remarks(), *left_out])
    return Finding("market", "ok" if bots else "wrong", said)


async def _bybit(settings: Settings) -> AsyncIterator[Finding]:
    clock = SystemClock()
    base = settings.bases.rest
    rest = BybitRest(base, clock, Address(clock))
    wanted = list(dict.fromkeys(symbol for bot in settings.bots for symbol in bot.symbols))
    try:
        for _ in range(MEASUREMENTS):
            await rest.server_time()
        known = await rest.instruments(wanted)
    except Unreachable as error:
        detail = f"{base}: {error} Is this machine online, and does Bybit serve its country?"
        yield Finding("market", "wrong", detail)
        return
    finally:
        rest.close()
    yield _offset(rest.offset_ms)
    yield _symbols(wanted, list(known))


def _offset(offset_ms: int) -> Finding:
    detail = f"Bybit's is {offset_ms:+} ms off ours"
    if abs(offset_ms) > CLOCK_WRONG_MS:
        return Finding("clock", "wrong", f"{detail}; start NTP (timedatectl set-ntp true)")
    return Finding("clock", "note" if abs(offset_ms) > CLOCK_OFF_MS else "ok", detail)


def _symbols(wanted: list[str], known: list[str]) -> Finding:
    missing = ", ".join(symbol for symbol in wanted if symbol not in known)
    if not known:
        detail = f"Bybit trades none of {missing}; mend the symbols of [[bots]]"
        return Finding("market", "wrong", detail)
    detail = f"Bybit's live prices of {', '.join(symbol for symbol in wanted if symbol in known)}"
    if missing:
        return Finding("market", "note", f"{detail}. It does not trade {missing}: left out")
    return Finding("market", "ok", detail)


async def _lock(settings: Settings) -> Finding:
    holder = await DeskLock(settings.data_dir).holder()
    if await reachable(socket_path(settings.data_dir)):
        return Finding("desk", "ok", f"running ({holder}); `countersign console` attaches to it")
    return Finding("desk", "note", "not running; `countersign run` starts it")


async def _chat(settings: Settings) -> AsyncIterator[Finding]:
    for name, token, base in (
        ("telegram", settings.telegram_bot_token, settings.telegram_api_base),
        ("discord", settings.discord_bot_token, settings.discord_api_base),
    ):
        if token is None:
            for step in STEPS[name]:
                yield Finding(name, "note", step)
            continue
        yield await _platform(name, token.get_secret_value(), base)
        yield _admitted(settings, name)
    nowhere = [p.name for p in settings.people if p.telegram is None and p.discord is None]
    if nowhere:
        detail = f"{', '.join(nowhere)}: without an id of telegram or discord nobody is let in"
        yield Finding("people", "note", detail)


async def _platform(name: str, token: str, base: str) -> Finding:
    """Whether the platform knows the token, and hands over what people do."""
    try:
        who, elsewhere = await _identify(name, token, base)
    except SurfaceEnded as error:
        return Finding(name, "wrong", f"{error}: {WHERE_TOKENS_ARE[name]}")
    except Unreachable as error:
        api = f"{name.upper()}_API_BASE"
        detail = f"{base} can't be reached ({error}). Is this machine online, is {api} right?"
        return Finding(name, "wrong", detail)
    if elsewhere:
        state = "note" if name == "telegram" else "wrong"
        detail = f"{who}, but what people do is sent to {elsewhere}. {ELSEWHERE[name]}"
        return Finding(name, state, detail)
    return Finding(name, "ok", f"the token is that of {who}")


async def _identify(name: str, token: str, base: str) -> tuple[str, str]:
    # Each takes seconds and much memory; who does not use it does not pay for it.
    if name == "telegram":
        from bot.telegram import identify
    else:
        from bot.discord import identify
    return await identify(token, base)


def _admitted(settings: Settings, name: str) -> Finding:
    """Who may use the desk on a platform."""
    people = [person for person in settings.people if getattr(person, name) is not None]
    named = {str(getattr(person, name)) for person in people if person.role == "admin"}
    admins = len(named.union(settings.admin_ids[name]))
    others = sum(person.role != "admin" for person in people)
    ids = f"{name.upper()}_ADMIN_IDS"
    if not admins and not others:
        detail = f"{ids} is empty: nobody is admitted. /whoami, said to the bot, tells your id"
        return Finding(name, "wrong", detail)
    if not admins:
        detail = f"no admin: nobody can /subscribe a group. Put your id into {ids}"
        return Finding(name, "note", detail)
    return Finding(name, "ok", f"{admins} admin(s) and {others} other(s) may use it")


async def _gemini(settings: Settings) -> Finding:
    """Whether the key is good for the model, or what works without one."""
    model = open_model(settings)
    if model is None:
        return Finding("gemini", "note", WITHOUT_KEY)
    try:
        name = await model.check()
    except ModelFailed as error:
        return Finding("gemini", "wrong", str(error))
    finally:
        await model.close()
    return Finding("gemini", "ok", f"the key is good for {name}")
