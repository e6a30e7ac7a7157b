"""Two carriers of transactions behind one door: SQLite in threads, PostgreSQL on asyncpg.

A transaction is written once, as a plain function of a connection. Nothing here knows tables.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from engine.errors import BadSettings, Broken, CountersignError, Unreachable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Transaction = Callable[[Connection], T]

# How long a write waits for another program that holds the database, say a backup.
BUSY_TIMEOUT_S = 5.0
# A PostgreSQL that says nothing for so long is taken for gone.
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 30.0
# Reads of people's commands; a desk has few people, a server few connections to give.
READ_CONNECTIONS = 3


class Database(Protocol):
    """Runs functions of a connection, each in one transaction.

    Raises Unreachable when the outcome is unknown or can be had by trying again, Broken when
    the statements or the stored data are wrong.
    """

    @property
    def dialect(self) -> Dialect: ...

    async def write(self, transaction: Transaction[T]) -> T:
        """Run `transaction` alone among writers; commit if it returns, else nothing happened."""
        ...

    async def read(self, transaction: Transaction[T]) -> T:
        """Run `transaction` beside the writer."""
        ...

    async def check(self) -> None:
        """Raise Broken where the stored data are damaged, as far as can be told quickly."""
        ...

    async def close(self) -> None: ...


def open_database(url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
    """The carrier for a database URL; connects at its first transaction.

    Raises BadSettings for a URL that this program can't work with.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadSettings(f"DATABASE_URL is not a URL. {_ALLOWED}") from None
    match parsed.get_backend_name():
        case "sqlite":
            return SqliteDatabase(parsed, busy_timeout_s)
        case "postgresql":
            return PostgresDatabase(parsed)
        case other:
            raise BadSettings(f"DATABASE_URL names {other!r}. {_ALLOWED}")


_ALLOWED = "Allowed: sqlite:///PATH or postgresql+asyncpg://USER@HOST/NAME."


class SqliteDatabase:
    """A SQLite file, with one thread and connection to write and one to read.

    Three statements through aiosqlite cost 2 ms, because each is a message to its thread and
    back; a whole transaction in the thread costs a quarter of that.
    """

    def __init__(self, url: URL, busy_timeout_s: float) -> None:
        path = url.database
        if not path or path == ":memory:":
            raise BadSettings("DATABASE_URL has no path: SQLite needs a file, sqlite:///PATH.")
        if not Path(path).absolute().parent.is_dir():
            raise BadSettings(f"DATABASE_URL: the folder of {path!r} does not exist.")
        # A deferred transaction that turns into a writing one is refused at once when somebody
        # else writes, whatever the busy timeout (cpython #124510): ask for the lock first.
        self._writer = _Lane(_sqlite_engine(url, busy_timeout_s), "BEGIN IMMEDIATE", "store write")
        self._reader = _Lane(_sqlite_engine(url, busy_timeout_s), "BEGIN", "store read")

    @property
    def dialect(self) -> Dialect:
        return self._writer.engine.dialect

    async def write(self, transaction: Transaction[T]) -> T:
        return await self._writer.run(transaction)

    async def read(self, transaction: Transaction[T]) -> T:
        return await self._reader.run(transaction)

    async def check(self) -> None:
        try:
            found = await self._reader.run(_quick_check)
        except Broken as error:
            found = str(error)
        if found != "ok":
            raise Broken(
                f"the database is damaged ({' '.join(found.split())}). Put a backup in its place, "
                "and remove the files beside it that end in -wal and -shm."
            )

    async def close(self) -> None:
        # The writer last: the last connection to leave folds the log into the database.
        await self._reader.close()
        await self._writer.close()


def _quick_check(connection: Connection) -> str:
    found: str = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    return found


class _Lane:
    """One connection that stays open, used by one thread."""

    def __init__(self, engine: Engine, begin: str, name: str) -> None:
        self.engine = engine
        self._begin = begin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: Connection | None = None

    async def run(self, transaction: Transaction[T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transact, transaction)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _transact(self, transaction: Transaction[T]) -> T:
        with _errors_of(_sqlite_error):
            connection = self._connection or self._connect()
            with connection.begin():
                connection.exec_driver_sql(self._begin)
                return transaction(connection)

    def _connect(self) -> Connection:
        self._connection = self.engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()


def _sqlite_engine(url: URL, busy_timeout_s: float) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        poolclass=NullPool,
        # No isolation level: the module's own hidden BEGINs are off, ours are explicit.
        connect_args={"timeout": busy_timeout_s, "isolation_level": None},
    )
    event.listen(engine, "connect", _configure)
    return engine


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: what is committed survives a power cut, not only a crash of this program.
    connection.execute("PRAGMA synchronous = FULL")


class PostgresDatabase:
    """A PostgreSQL server, with one connection to write and a few to read."""

    def __init__(self, url: URL) -> None:
        url = url.set(drivername="postgresql+asyncpg")
        self._writer = _postgres_engine(url, connections=1, test_before_use=False)
        self._reader = _postgres_engine(url, connections=READ_CONNECTIONS, test_before_use=True)

    @property
    def dialect(self) -> Dialect:
        return self._writer.dialect

    async def write(self, transaction: Transaction[T]) -> T:
        return await _transact(self._writer, transaction)

    async def read(self, transaction: Transaction[T]) -> T:
        return await _transact(self._reader, transaction)

    async def check(self) -> None:
        """A server checks its own pages."""

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


async def _transact(engine: "AsyncEngine", transaction: Transaction[T]) -> T:
    with postgres_errors():
        async with engine.begin() as connection:
            return await connection.run_sync(transaction)


def _postgres_engine(url: URL, connections: int, test_before_use: bool) -> "AsyncEngine":
    # Only where PostgreSQL is used: 50 ms that a desk on SQLite need not spend at its start.
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=test_before_use,
        pool_timeout=COMMAND_TIMEOUT_S,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": COMMAND_TIMEOUT_S,
            "server_settings": {"application_name": "countersign"},
        },
    )


# -- errors ------------------------------------------------------------------------------

# Primary result codes after which the same statement may succeed later: busy, locked,
# read-only, I/O error, disk full, can't open, locking protocol. https://sqlite.org/rescode.html
_SQLITE_OUTAGES = {5, 6, 8, 10, 13, 14, 15}
# Classes of SQLSTATE likewise: connection, rollback by the server, lack of resources (disk
# full among them), operator intervention, system error.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_OUTAGES = ("08", "40", "53", "57", "58")
# A standby after a failover, a lock not to be had.
_POSTGRES_OUTAGE_STATES = {"25006", "55P03"}
# Wrong user or password, no such database.
_POSTGRES_SETTINGS = ("28", "3D")


@contextmanager
def _errors_of(
    translate: Callable[[Exception], CountersignError], *foreign: type[Exception]
) -> Iterator[None]:
    caught: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *foreign)
    try:
        yield
    except caught as error:
        raise translate(error) from error


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Raise what PostgreSQL and asyncpg report as errors of ours."""
    # Only where PostgreSQL is used: the driver takes 30 ms to import. It has no types.
    import asyncpg  # type: ignore[import-untyped]

    with _errors_of(_postgres_error, asyncpg.PostgresError, asyncpg.InterfaceError):
        yield


def _cause(error: Exception) -> Exception:
    """What the driver raised, inside the wrapping of SQLAlchemy."""
    return getattr(error, "orig", None) or error


def _sqlite_error(error: Exception) -> CountersignError:
    cause = _cause(error)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_OUTAGES or isinstance(cause, OSError):
        return Unreachable(f"the database can't be used now: {cause}")
    return Broken(f"the database refused: {cause}")


def _postgres_error(error: Exception) -> CountersignError:
    cause = _cause(error)
    state = getattr(cause, "sqlstate", None) or ""
    if state.startswith(_POSTGRES_SETTINGS):
        return BadSettings(f"DATABASE_URL: {cause}")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if (
        lost
        or isinstance(cause, OSError | PoolTimeout)
        or state.startswith(_POSTGRES_OUTAGES)
        or state in _POSTGRES_OUTAGE_STATES
    ):
        return Unreachable(f"the database did not answer: {cause or type(cause).__name__}")
    return Broken(f"the database refused: {cause}")
