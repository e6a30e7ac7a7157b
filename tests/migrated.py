"""Databases at the newest tables, made once a run and copied for each test that wants one.

Making the tables takes longer than most tests do; that it is done right is tests/engine/store's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.store.migrations import migrate
from tests.postgres import create_database, fresh_database

_TEMPLATE = "migrated"
# The bytes of the one file; the servers that have the template.
_file: list[bytes] = []
_servers: set[str] = set()


async def migrated_file(path: Path) -> str:
    """The address of a new SQLite file."""
    url = f"sqlite:///{path}"
    if not _file:
        await migrate(url)
        _keep(path)
    _copy(path)
    return url


def _keep(path: Path) -> None:
    _file.append(path.read_bytes())


def _copy(path: Path) -> None:
    path.write_bytes(_file[0])


@asynccontextmanager
async def migrated_database(server: str) -> AsyncIterator[str]:
    """The address of a new database of a PostgreSQL."""
    if server not in _servers:
        await migrate(await create_database(server, _TEMPLATE))
        _servers.add(server)
    async with fresh_database(server, template=_TEMPLATE) as url:
        yield url
