"""What the long-running commands do: start a desk, serve it, stop it in order."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bot.client import run_client
from bot.clock import SystemClock
from bot.door import reachable, socket_path
from bot.logs import log_to_file, log_to_terminal
from bot.settings import Settings, load, prepare_folder

if TYPE_CHECKING:
    from bot.app import App

# How often a console looks whether the desk it waits for has opened its socket.
SOCKET_POLL_S = 0.02

log = structlog.get_logger()


async def run_desk() -> int:
    """`countersign run`: a desk until SIGTERM or SIGINT."""
    settings = load()
    # Loaded when the settings are good: a mistake in them is told at once.
    from bot.app import open_app

    log_to_terminal(settings.log_level, settings.secrets)
    task = asyncio.current_task()
    assert task is not None
    _on_signal(task.cancel)
    with suppress(asyncio.CancelledError):
        async with open_app(settings, on_wait=_log_wait, on_progress=_log_progress()) as app:
            _on_signal(app.stop)
            log.info("desk is open", market=app.desk.market.label, mode=settings.mode)
            await app.run()
    return 0


async def run_console(json: bool) -> int:
    """`countersign console`: attach to the desk of DATA_DIR, or start one and attach to it."""
    settings = load()
    path = socket_path(settings.data_dir)
    if await reachable(path):
        return await run_client(path, json=json, history=settings.data_dir / "console_history")
    prepare_folder(settings)
    log_to_file(settings.data_dir / "desk.log", settings.log_level, settings.secrets)
    return await _with_own_desk(settings, json)


async def migrate_database() -> int:
    """`countersign migrate`: bring the database to this version's tables."""
    settings = load()
    from engine.store.migrations import HEAD, migrate

    prepare_folder(settings)
    await migrate(settings.database)
    sys.stdout.write(f"The database is at revision {HEAD}.\n")
    return 0


async def _with_own_desk(settings: Settings, json: bool) -> int:
    """Open a desk in this process unless another opens first; talk to whichever it is."""
    path = socket_path(settings.data_dir)
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[App] = loop.create_future()
    desk = asyncio.ensure_future(_own_desk(settings, opened))
    # Only SIGTERM: the prompt has its own use for Ctrl-C.
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await _until_reachable(path, desk)
        if opened.done():
            await asyncio.wait(
                [desk, asyncio.ensure_future(opened.result().until_ready())],
                return_when=asyncio.FIRST_COMPLETED,
            )
        return await run_client(path, json=json, history=settings.data_dir / "console_history")
    except asyncio.CancelledError:
        return 0
    finally:
        if opened.done():
            opened.result().stop()
        else:
            desk.cancel()
        with suppress(asyncio.CancelledError):
            await desk


async def _own_desk(settings: Settings, opened: "asyncio.Future[App]") -> None:
    from bot.app import open_app

    progress = _show_progress() if sys.stderr.isatty() else _write_progress()
    async with open_app(settings, on_wait=_write_wait, on_progress=progress) as app:
        opened.set_result(app)
        await app.run()


async def _until_reachable(path: Path, desk: asyncio.Future[None]) -> None:
    clock = SystemClock()
    while not await reachable(path):
        if desk.done():
            desk.result()
        await clock.sleep(SOCKET_POLL_S)


def _on_signal(callback: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, callback)


def _log_wait(holder: str) -> None:
    log.warning("another desk holds the lock, waiting for it to end", holder=holder)


def _write_wait(holder: str) -> None:
    sys.stderr.write(f"Another desk is starting or stopping here ({holder}); waiting for it.\n")


def _log_progress() -> Callable[[float], None]:
    return _in_steps(lambda percent: log.info("trading the demo's history", percent=percent))


def _write_progress() -> Callable[[float], None]:
    return _in_steps(lambda percent: sys.stderr.write(f"Trading the demo's history: {percent} %\n"))


def _show_progress() -> Callable[[float], None]:
    def show(percent: int) -> None:
        end = "\n" if percent == 100 else ""
        sys.stderr.write(f"\rTrading the demo's history: {percent:3d} %{end}")
        sys.stderr.flush()

    return _in_steps(show, step=1)


def _in_steps(tell: Callable[[int], object], step: int = 25) -> Callable[[float], None]:
    """Tell progress in whole steps of percent, each once."""
    told = -1

    def on_progress(share: float) -> None:
        nonlocal told
        percent = int(share * 100) // step * step
        if percent > told:
            told = percent
            tell(percent)

    return on_progress
