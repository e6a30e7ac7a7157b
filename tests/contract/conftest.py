"""Each store in turn, for the tests of what all of them promise."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.ports import Store
from engine.store.memory import MemoryStore
from engine.store.sql import open_store
from tests.migrated import migrated_database, migrated_file
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@dataclass
class Opened:
    """A store, and how to open it again as the next process would."""

    store: Store
    open: Callable[[], Awaitable[Store]] | None

    async def restart(self) -> Store:
        if self.open is None:
            pytest.skip("memory ends with its process")
        await self.store.close()
        self.store = await self.open()
        return self.store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    if request.param == "memory":
        yield Opened(MemoryStore(), None)
        return
    async with AsyncExitStack() as stack:
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            url = await stack.enter_async_context(migrated_database(server))
        else:
            url = await migrated_file(tmp_path / "desk.db")
        opened = Opened(await open_store(url), lambda: open_store(url))
        yield opened
        await opened.store.close()


@pytest.fixture
def store(opened: Opened) -> Store:
    return opened.store
