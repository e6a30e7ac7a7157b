"""`countersign kill`: the emergency stop from the command line, whether or not a desk runs."""

import asyncio
import os
import pwd
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from bot.client import ANSWER_BYTES_MAX, DeskGone, Link
from bot.clock import SystemClock
from bot.door import Hello, connect, reachable, socket_path
from bot.emergency import bybit_emergency
from bot.kill import STOPPED, joined
from bot.latch import LatchFile
from bot.logs import log_to_errors
from bot.modes import PAPER
from bot.redact import Redactor, redact
from bot.settings import TOML_NAME, Settings, load
from engine.deciding import clock_time
from engine.errors import BadSettings
from engine.killing import LATE_S, Killing, Latch, Scope, Step

Tell = Callable[[str], None]

# How long a desk has to answer.
DOOR_S = 5.0
# How often it is looked whether the desk has done it.
LOOK_S = 0.2
CLOSES = "`countersign kill --scope flatten` also withdraws all orders and closes all positions."
NO_DESK = "No desk runs here: it withdraws and closes what is open on paper when it starts."
DONE = {Scope.CANCEL: "No order is open", Scope.FLATTEN: "Flat"}
NOT_TOLD = "No desk could be told of it either."
GONE = "The desk went away before it was done; it goes on when it starts."


async def kill_now(scope: Scope) -> int:
    """Set the latch, then carry the scope out; exit code 0 only where that is confirmed."""
    try:
        settings = load()
    except BadSettings as error:
        return _without_settings(error)
    log_to_errors("error", settings.secrets)
    hide = Redactor(settings.secrets)

    def tell(text: str) -> None:
        # Whoever listened may have left: that ends nothing.
        with suppress(OSError):
            sys.stdout.write(f"{hide(text)}\n")
            sys.stdout.flush()

    file = LatchFile(settings.data_dir)
    latch = Latch(joined(scope, file.read()), _user(), SystemClock().now())
    trouble = _set(file, latch)
    tell(trouble or f"{STOPPED} The latch is {file.path}.")
    if trouble:
        await _through_door(socket_path(settings.data_dir), latch.scope, tell)
    if latch.is_done:
        tell(CLOSES)
    elif settings.mode != PAPER:
        await _by_keys(settings, file, latch, tell)
    elif trouble or not await _by_desk(socket_path(settings.data_dir), file, latch, tell):
        return 1
    return int(bool(trouble))


def _without_settings(error: BadSettings) -> int:
    """Stop at least a desk that runs, where the settings can't be read any more."""
    file = LatchFile(_data_dir())
    trouble = _set(file, Latch(Scope.STOP, _user(), SystemClock().now()))
    sys.stdout.write(f"{trouble or f'{STOPPED} The latch is {file.path}.'}\n")
    sys.stderr.write(f"Nothing else can be done without settings: {redact(str(error))}\n")
    return 1


def _data_dir() -> Path:
    """DATA_DIR as far as it can be told of settings that are wrong in something."""
    found: dict[str, Any] = {"data_dir": Settings.model_fields["data_dir"].default}
    with suppress(OSError, ValueError):
        found |= tomllib.loads(Path(TOML_NAME).read_text(encoding="utf-8"))
    with suppress(OSError, ValueError):
        found |= {name.lower(): text for name, text in dotenv_values(".env").items() if text}
    return Path(os.environ.get("DATA_DIR") or str(found["data_dir"]))


def _user() -> str:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return f"{name} at the command line"


def _set(file: LatchFile, latch: Latch) -> str:
    """Set the latch; why it could not be, empty where it is."""
    try:
        file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write(latch)
    except OSError as error:
        return f"The latch {file.path} can't be written: {error.strerror}. A desk may go on."
    return ""


async def _through_door(path: Path, scope: Scope, tell: Tell) -> None:
    """Tell a running desk what it can't read from the latch."""
    said = NOT_TOLD
    try:
        async with asyncio.timeout(DOOR_S), _linked(path, tell) as link:
            _, said = await link.ask(f"/kill {scope}")
    except* (DeskGone, OSError):
        pass
    tell(said)


async def _by_keys(settings: Settings, file: LatchFile, latch: Latch, tell: Tell) -> None:
    """Carry it out against the exchange with the keys of the settings."""
    clock = SystemClock()

    def on_step(step: Step) -> None:
        tell(step.text)

    traded = {bot.id: bot.symbols for bot in settings.bots}
    with bybit_emergency(settings, traded, clock) as emergency:
        await Killing(emergency, clock, on_step, latch.scope, LATE_S).run()
    if file.read() == latch:
        _set(file, replace(latch, done_at=clock.now()))


async def _by_desk(path: Path, file: LatchFile, latch: Latch, tell: Tell) -> bool:
    """Have the running desk do it, which alone knows what is open on paper."""
    if not await reachable(path):
        tell(NO_DESK)
        return False
    done_at = 0
    try:
        done_at = await _listen_until_done(path, file, latch, tell)
    except* (DeskGone, OSError):
        pass
    tell(f"{DONE[latch.scope]}, says the desk: {clock_time(done_at)}." if done_at else GONE)
    return done_at > 0


async def _listen_until_done(path: Path, file: LatchFile, latch: Latch, tell: Tell) -> int:
    """Pass on what the desk tells, until it notes in the latch that it is done; when that was."""
    clock, found = SystemClock(), None
    async with _linked(path, tell):
        while found is None or found.ts < latch.ts or not found.done_at:
            await clock.sleep(LOOK_S)
            found = file.read()
    return found.done_at


@asynccontextmanager
async def _linked(path: Path, tell: Tell) -> AsyncIterator[Link]:
    """A connection to the running desk, which tells its news meanwhile."""

    async def show(text: str) -> None:
        tell(text)

    link = Link(*await connect(path, ANSWER_BYTES_MAX), show)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(link.listen())
        await link.greet(Hello(notices=True))
        yield link
        listening.cancel()
