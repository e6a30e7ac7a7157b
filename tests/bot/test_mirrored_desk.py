"""A whole desk with a Redis: what is in it, and that the desk does as well without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.app import App, open_app
from bot.settings import Settings
from engine.store.mirror import MirroredBot, bot_key, read
from tests.handlers.desks import rows, say, table
from tests.valkey import LocalValkey, valkey

__all__ = ["valkey"]

DEADLINE_S = 30.0


@asynccontextmanager
async def running(folder: Path, url: str) -> AsyncIterator[App]:
    settings = Settings(data_dir=folder, market="simulated:5", market_speed=0, redis_url=url)  # type: ignore[arg-type]
    async with open_app(settings) as app, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(app.run())
        yield app
        app.stop()
        await working


async def health(app: App) -> tuple[str, str]:
    """The state of the mirror, and why."""
    found = rows(table(await say(app.desk, "/health"), "Health"))
    [row] = [each for each in found if each["part"] == "mirror"]
    return str(row["state"]), str(row["detail"])


async def until_told(app: App, words: str) -> tuple[str, str]:
    """The state of the mirror once its words say so."""
    async with asyncio.timeout(DEADLINE_S):
        while words not in (found := await health(app))[1]:  # noqa: ASYNC110  it is asked for
            await asyncio.sleep(0.05)
    return found


async def test_a_desk_keeps_its_mirror_up(valkey: LocalValkey, tmp_path: Path) -> None:
    async with running(tmp_path / "desk", valkey.url) as app:
        state, _ = await until_told(app, "keys in Redis at 127.0.0.1")
        assert state == "green"
        text = valkey.read.get(bot_key("shortseller_001"))
        assert read(MirroredBot, str(text)).epoch == app.desk.runtime.epoch


async def test_a_desk_without_its_redis_trades_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "desk", "redis://127.0.0.1:9/0") as app:
        state, detail = await until_told(app, "not written: Error")
        assert state == "yellow"
        before = app.desk.view().candles
        async with asyncio.timeout(DEADLINE_S):
            while app.desk.view().candles == before:  # noqa: ASYNC110  it is watched
                await asyncio.sleep(0.05)
