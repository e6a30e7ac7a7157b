"""What only a database can show: triggers, text of amounts, outages, and the files of SQLite."""

import os
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import Connection, make_url, text

from engine.audit import Act, Chain
from engine.effect import Notice, NoticeKind
from engine.errors import BadSettings, Broken, Unreachable
from engine.order import ExecType, Fill, Reason, Side
from engine.ports import Commit, JournalRow, StateRow
from engine.store.database import Database, open_database
from engine.store.sql import SqlStore, open_store
from engine.tuning import ParameterValue
from tests.migrated import migrated_file

FILL = Fill(
    exec_id="E1",
    account="paper-sim42-shortseller_001",
    bot_id="shortseller_001",
    symbol="BTCUSDT",
    order_id="P1",
    client_order_id="shortseller_001:ema_cross:1",
    side=Side.SELL,
    exec_price=Decimal("1E+2"),
    exec_qty=Decimal("0.000000000000000000000000001"),
    exec_time=1,
    commission=Decimal("0"),
    is_maker=False,
    exec_type=ExecType.TRADE,
    close_reason=Reason.EMA_CROSS,
)


VALUE = ParameterValue(
    books="paper-sim42",
    scope="shortseller_001",
    name="stop_loss",
    version=1,
    value=0.05,
    before=0.04,
    low=0.01,
    high=0.4,
    is_base=False,
    change_id=1,
    author="telegram:7 (ann)",
    reason="",
    made_at=1,
    told_at=1,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    """A store on SQLite that waits for nobody."""
    opened = await open_store(await migrated_file(path), busy_timeout_s=0.05)
    yield opened
    await opened.close()


async def filled(url: str) -> None:
    """Make a database with one row of everything that is never changed."""
    store = await open_store(url)
    rows = Chain(b"key", None).seal([Act(1, "desk", "test", "kept")])
    await store.commit(Commit(await store.take_epoch("test"), facts=[FILL, VALUE], audit=rows))
    await store.close()


# -- triggers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET detail = 'forged'",
        "DELETE FROM audit",
        "UPDATE fills SET exec_price = '1'",
        "UPDATE parameters SET value = 0.02",
    ],
)
async def test_what_is_kept_for_ever_can_not_be_changed(
    url: str, database: Database, statement: str
) -> None:
    await filled(url)
    if database.dialect.name == "postgresql":
        statement = statement.replace("'1'", "1")
    with pytest.raises(Broken, match="rows are never changed"):
        await database.write(lambda c: c.exec_driver_sql(statement))

    def rows(connection: Connection) -> list[object]:
        return [
            connection.execute(text("SELECT detail FROM audit")).scalar_one(),
            Decimal(connection.execute(text("SELECT exec_price FROM fills")).scalar_one()),
            connection.execute(text("SELECT value FROM parameters")).scalar_one(),
        ]

    assert await database.read(rows) == ["kept", Decimal(100), 0.05]


@pytest.mark.parametrize("value", ["0.009", "0.41", "CAST('NaN' AS double precision)"])
async def test_the_database_itself_refuses_a_value_out_of_its_bounds(
    url: str, database: Database, value: str
) -> None:
    await filled(url)
    columns = "scope, name, before, low, high, change_id, author, reason, made_at, told_at, books"
    copied = (
        f"INSERT INTO parameters (version, is_base, value, {columns})"
        f" SELECT 2, false, {{}}, {columns} FROM parameters"
    )
    if database.dialect.name == "sqlite":
        # It knows no NaN: what would be one is no value at all.
        value = "NULL" if "NaN" in value else value
    with pytest.raises(Broken, match="the database refused"):
        await database.write(lambda c: c.exec_driver_sql(copied.format(value)))
    await database.write(lambda c: c.exec_driver_sql(copied.format("0.4")))


async def test_what_a_strategy_has_by_itself_may_lie_out_of_bounds(
    url: str, database: Database
) -> None:
    store = await open_store(url)
    base = replace(VALUE, value=0.5, is_base=True)
    await store.commit(Commit(await store.take_epoch("test"), facts=[base]))
    assert await store.recent(ParameterValue) == [base]
    await store.close()


async def test_an_audit_row_can_not_be_put_in_the_place_of_another(path: Path) -> None:
    url = f"sqlite:///{path}"
    await filled(url)
    database = open_database(url)
    forged = "REPLACE INTO audit SELECT seq, ts, actor, action, 'forged', prev, mac FROM audit"
    try:
        with pytest.raises(Broken, match="never changed"):
            await database.write(lambda c: c.exec_driver_sql(forged))
    finally:
        await database.close()


async def test_a_damaged_file_is_refused_before_anything_is_written(path: Path) -> None:
    await filled(f"sqlite:///{path}")
    with closing(path) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        root = "SELECT rootpage FROM sqlite_master WHERE name = 'fills'"
        (page,) = connection.execute(root).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    with pytest.raises(Broken, match=r"damaged.*backup"):
        await open_store(f"sqlite:///{path}")


async def test_the_audit_can_not_be_truncated(postgres_url: str) -> None:
    await filled(postgres_url)
    database = open_database(postgres_url)
    try:
        with pytest.raises(Broken, match="never changed"):
            await database.write(lambda c: c.exec_driver_sql("TRUNCATE audit"))
    finally:
        await database.close()


# -- SQLite ------------------------------------------------------------------------------


async def test_amounts_are_plain_digits_in_sqlite(path: Path) -> None:
    await filled(f"sqlite:///{path}")
    with closing(path) as connection:
        (row,) = connection.execute("SELECT exec_price, exec_qty, typeof(exec_qty) FROM fills")
    assert row == ("100", "0.000000000000000000000000001", "text")


async def test_sqlite_survives_a_power_cut_after_a_commit(path: Path, store: SqlStore) -> None:
    pragmas = ["journal_mode", "synchronous"]
    values = await store._database.write(
        lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    )
    assert values == ["wal", 2]


async def test_a_locked_database_is_unreachable_and_then_works(path: Path, store: SqlStore) -> None:
    epoch = await store.take_epoch("test")
    batch = Commit(epoch, [StateRow("desk", 1, "")], [FILL], number=1)
    with closing(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match="locked"):
            await store.commit(batch)
        assert await store.recent(Fill) == [], "reading goes on beside a writer"
        other.execute("ROLLBACK")
    await store.commit(batch)
    assert await store.recent(Fill) == [FILL]


async def test_a_full_disk_is_unreachable_and_then_works(path: Path, store: SqlStore) -> None:
    epoch = await store.take_epoch("test")
    batch = Commit(epoch, [StateRow("desk", 1, "x" * 1_000_000)], [FILL], number=1)
    with file_size_limit(500_000), pytest.raises(Unreachable, match="disk"):
        await store.commit(batch)
    assert await store.states() == {}
    await store.commit(batch)
    assert await store.recent(Fill) == [FILL]


async def test_a_read_only_database_is_unreachable(store: SqlStore) -> None:
    epoch = await store.take_epoch("test")
    await store._database.write(lambda c: c.exec_driver_sql("PRAGMA query_only = 1"))
    with pytest.raises(Unreachable, match="readonly"):
        await store.commit(Commit(epoch, facts=[FILL], number=1))


@pytest.fixture
def damaged(path: Path) -> str:
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    return f"sqlite:///{path}"


async def test_a_damaged_database_is_no_outage(damaged: str) -> None:
    with pytest.raises(Broken, match="not a database"):
        await open_store(damaged)


async def test_a_closed_store_leaves_one_file_and_no_thread(tmp_path: Path) -> None:
    await filled(f"sqlite:///{tmp_path}/desk.db")
    assert os.listdir(tmp_path) == ["desk.db"]
    assert not [thread for thread in threading.enumerate() if "store" in thread.name]


async def test_pruned_numbers_are_not_used_again(path: Path, store: SqlStore) -> None:
    epoch = await store.take_epoch("test")
    notice = Notice(NoticeKind.MARKET_REMARK, 1, text="hello")
    batch = Commit(epoch, notices=[notice], journal=[JournalRow(1, "x", "")], number=1)
    await store.commit(batch)
    await store._database.write(lambda c: c.exec_driver_sql("DELETE FROM outbox"))
    await store.commit(replace(batch, number=2))
    assert [row.seq for row in await store.undelivered(5)] == [2]


@pytest.mark.parametrize(
    "url, words",
    [
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("sqlite:////no/such/folder/desk.db", "the folder of .* does not exist"),
        ("mysql://root@localhost/desk", "names 'mysql'"),
        ("desk.db", "is not a URL"),
    ],
)
async def test_a_database_url_that_can_not_work_is_refused(url: str, words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        await open_store(url)


async def test_the_url_may_name_any_driver_of_sqlite(path: Path) -> None:
    await (await open_store(f"sqlite+aiosqlite:///{path}")).close()


# -- PostgreSQL --------------------------------------------------------------------------


async def test_a_lost_connection_is_unreachable_and_then_works(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    epoch = await store.take_epoch("test")
    batch = Commit(epoch, facts=[FILL], notices=[Notice(NoticeKind.ENTRY, 1)], number=1)
    await end_connections(postgres_url)
    with pytest.raises(Unreachable):
        await store.commit(batch)
    await store.commit(batch)
    await end_connections(postgres_url)
    assert await store.recent(Fill) == [FILL], "a read tries its connection first"
    assert len(await store.undelivered(5)) == 1
    await store.close()


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        await open_store(f"postgresql+asyncpg://postgres@/desk?host={tmp_path}")


async def test_a_database_that_does_not_exist_is_a_wrong_setting(postgres_url: str) -> None:
    wrong = make_url(postgres_url).set(database="nowhere").render_as_string(False)
    with pytest.raises(BadSettings, match='"nowhere" does not exist'):
        await open_store(wrong)


async def end_connections(url: str) -> None:
    """Have the server end all connections to a database but the one that asks."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


@contextmanager
def closing(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that has the database open."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size`, as on a full disk; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
