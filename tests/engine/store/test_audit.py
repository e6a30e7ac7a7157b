"""The audit in a real database, read as it stood at one moment, and touched by hand."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import URL, text

from engine.audit import Act, AuditAnchor, AuditRow, Chain, Fault, Verdict, Whole, cut_at, verify
from engine.errors import BadSettings, Broken
from engine.ports import Commit
from engine.store.audit import Snapshot, read_audit
from engine.store.database import Database, open_database
from engine.store.sql import SqlStore, open_store

KEY = b"key"
TS = 1_735_689_600_000
COUNT = 2_500


def acts(count: int, first: int = 1) -> list[Act]:
    numbers = range(first, first + count)
    return [Act(TS + n, "telegram:7", "command", f"/status {n}: done") for n in numbers]


async def filled(url: str, count: int = 20) -> tuple[SqlStore, list[AuditRow], Chain, int]:
    """A store with an audit that an anchor was posted of."""
    store = await open_store(url)
    epoch = await store.take_epoch("test")
    chain = Chain(KEY, None)
    rows = chain.seal(acts(count))
    anchor = AuditAnchor(rows[9].seq, rows[9].mac, TS)
    await store.commit(Commit(epoch, facts=[anchor], audit=rows, audit_head=chain.head(rows)))
    chain.advance(rows)
    return store, rows, chain, epoch


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(audit: Snapshot) -> Whole | Fault:
    return verify(audit.rows, KEY, audit.head, audit.cut, audit.anchors)


async def execute(database: Database, *statements: str) -> None:
    for statement in statements:
        await database.write(lambda c, statement=statement: c.execute(text(statement)))  # type: ignore[misc]


# -- a snapshot --------------------------------------------------------------------------


async def test_a_long_audit_is_read_whole(url: str) -> None:
    store, rows, _, _ = await filled(url, COUNT)
    try:
        whole = await read_audit(url, check)
        assert whole == Whole(COUNT, rows[0].ts, rows[-1].ts, rows[-1], None)
    finally:
        await store.close()


async def append(url: str, rows: list[AuditRow], chain: Chain) -> None:
    """What a running desk does, from another process's point of view."""
    store = await open_store(url)
    epoch = await store.take_epoch("desk")
    await store.commit(Commit(epoch, audit=rows, audit_head=chain.head(rows)))
    await store.close()


def in_thread(work: Coroutine[Any, Any, None]) -> None:
    thread = Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


async def test_what_is_appended_meanwhile_does_not_count(url: str) -> None:
    store, rows, chain, _ = await filled(url, COUNT)
    more = chain.seal(acts(5, first=COUNT + 1))

    def check_while_others_write(audit: Snapshot) -> Whole | Fault:
        def stream() -> Iterator[AuditRow]:
            for row in audit.rows:
                if row.seq == 1:
                    in_thread(append(url, more, chain))
                yield row

        return verify(stream(), KEY, audit.head, audit.cut, audit.anchors)

    try:
        whole = Whole(COUNT, rows[0].ts, rows[-1].ts, rows[-1], None)
        assert await read_audit(url, check_while_others_write) == whole
        later = await read_audit(url, check)
        assert isinstance(later, Whole)
        assert later.rows == COUNT + 5
    finally:
        await store.close()


@pytest.mark.parametrize("stays", [True, False], ids=["stays", "ends"])
async def test_a_desk_that_starts_while_a_file_is_read_does_no_harm(
    tmp_path: Path, stays: bool
) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    store, _, chain, _ = await filled(url)
    await store.close()
    more = chain.seal(acts(5, first=21))
    desk = sqlite3.connect(tmp_path / "desk.db", check_same_thread=False)
    runs: list[int] = []

    def check_while_a_desk_starts(audit: Snapshot) -> Whole | Fault:
        runs.append(1)
        if len(runs) == 1:
            in_thread(append(url, more, chain))
            if stays:
                desk.execute("SELECT 1 FROM audit").fetchone()
        return check(audit)

    with closing(desk):
        whole = await read_audit(url, check_while_a_desk_starts)
    assert isinstance(whole, Whole)
    assert whole.rows == 25


async def test_nothing_is_written_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    store, *_ = await filled(f"sqlite:///{path}")
    await store.close()
    before = path.read_bytes(), names(tmp_path)
    path.chmod(0o400)
    assert isinstance(await read_audit(f"sqlite:///{path}", check), Whole)
    assert (path.read_bytes(), names(tmp_path)) == before


async def test_a_backup_s_file_is_read_as_it_is(tmp_path: Path) -> None:
    store, *_ = await filled(f"sqlite:///{tmp_path}/desk.db")
    await store.close()
    copy = tmp_path / "a copy #1?.db"
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    before = copy.read_bytes()
    url = str(URL.create("sqlite", database=str(copy)))
    assert isinstance(await read_audit(url, check), Whole)
    assert copy.read_bytes() == before


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"there is no database '.*desk.db' yet"):
        await read_audit(f"sqlite:///{tmp_path}/desk.db", check)
    assert names(tmp_path) == []


async def test_a_database_of_an_older_version_is_left_as_it_is(url: str) -> None:
    database = open_database(url)
    try:
        await execute(database, "CREATE TABLE mine (x TEXT)")
        with pytest.raises(BadSettings, match="at revision None, this version has"):
            await read_audit(url, check)
    finally:
        await database.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "desk.db").write_bytes(b"not a database at all, " * 400)
    with pytest.raises(Broken, match="can't be read"):
        await read_audit(f"sqlite:///{tmp_path}/desk.db", check)


# -- by hand -----------------------------------------------------------------------------

TRIGGERS = ("audit_no_update", "audit_no_delete", "audit_no_replace")
SWAP = (
    "UPDATE audit SET seq = -1 WHERE seq = 4",
    "UPDATE audit SET seq = 4 WHERE seq = 9",
    "UPDATE audit SET seq = 9 WHERE seq = -1",
)
BY_HAND = {
    "a detail edited": (["UPDATE audit SET detail = 'nothing' WHERE seq = 7"], "changed row", 7),
    "a time moved": (["UPDATE audit SET ts = ts + 1 WHERE seq = 1"], "changed row", 1),
    "two rows swapped": (SWAP, "changed row", 4),
    "a row removed": (["DELETE FROM audit WHERE seq = 12"], "changed row", 12),
    "the tail cut": (["DELETE FROM audit WHERE seq > 17"], "shorter than the anchor", 18),
    "all cut": (["DELETE FROM audit"], "shorter than the anchor", 1),
    "a row added": (
        ["INSERT INTO audit SELECT 21, ts, actor, action, detail, mac, prev FROM audit"
         " WHERE seq = 20"],
        "longer than the chain",
        21,
    ),
    "the head removed": (["DELETE FROM audit_head"], "changed row", 20),
    "a cut that nobody sealed": (
        ["INSERT INTO audit_cuts SELECT seq, mac, ts, mac FROM audit WHERE seq = 5",
         "DELETE FROM audit WHERE seq <= 5"],
        "forged cut",
        5,
    ),
    "an anchor of another row": (
        ["INSERT INTO audit_anchors SELECT 15, mac, ts FROM audit WHERE seq = 14"],
        "anchor mismatch",
        15,
    ),
}  # fmt: skip


async def drop_triggers(database: Database) -> None:
    if database.dialect.name == "sqlite":
        await execute(database, *(f"DROP TRIGGER {name}" for name in TRIGGERS))
    else:
        await execute(database, "ALTER TABLE audit DISABLE TRIGGER ALL")


@pytest.mark.parametrize(("statements", "verdict", "row"), BY_HAND.values(), ids=BY_HAND.keys())
async def test_what_a_hand_did_is_named(
    url: str, statements: list[str], verdict: str, row: int
) -> None:
    store, *_ = await filled(url)
    await store.close()
    database = open_database(url)
    try:
        await drop_triggers(database)
        await execute(database, *statements)
    finally:
        await database.close()
    fault = await read_audit(url, check)
    assert isinstance(fault, Fault)
    assert (fault.verdict, fault.row) == (Verdict(verdict), row)


@pytest.mark.parametrize("column", ["actor", "action", "detail", "prev", "mac", "ts"])
@pytest.mark.parametrize("value", ["x'ff00'", "1.5", "''"])
async def test_a_value_of_another_kind_is_a_changed_row(
    tmp_path: Path, column: str, value: str
) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    store, *_ = await filled(url)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection, connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute(f"UPDATE audit SET {column} = {value} WHERE seq = 6")
    fault = await read_audit(url, check)
    assert isinstance(fault, Fault)
    assert (fault.verdict, fault.row) == (Verdict.CHANGED_ROW, 6)


@pytest.mark.parametrize("bit", range(8))
async def test_one_bit_of_the_file_is_enough(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "desk.db"
    store, *_ = await filled(f"sqlite:///{path}")
    await store.close()
    content = bytearray(path.read_bytes())
    place = content.index(b"/status 11: done")
    content[place] ^= 1 << bit
    path.write_bytes(content)
    fault = await read_audit(f"sqlite:///{path}", check)
    assert isinstance(fault, Fault)
    assert (fault.verdict, fault.row) == (Verdict.CHANGED_ROW, 11)


async def test_a_cut_whose_row_is_no_number_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    store, *_ = await filled(url)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection, connection:
        connection.execute("INSERT INTO audit_cuts VALUES ('many', 'x', 1, 'x')")
    with pytest.raises(Broken, match="'many', no number"):
        await read_audit(url, check)


# -- triggers ----------------------------------------------------------------------------

FORBIDDEN = {
    "a row above the cut": "DELETE FROM audit WHERE seq = 6",
    "rows beside the cut's own": "DELETE FROM audit WHERE seq > 4",
    "a row edited": "UPDATE audit SET detail = '' WHERE seq = 6",
    "a cut edited": "UPDATE audit_cuts SET seq = 9",
    "a cut removed": "DELETE FROM audit_cuts",
    "an anchor edited": "UPDATE audit_anchors SET seq = 9",
    "an anchor removed": "DELETE FROM audit_anchors",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_only_what_is_cut_goes(url: str, database: Database, statement: str) -> None:
    store, rows, _, epoch = await filled(url)
    try:
        await store.cut_audit(cut_at(rows[4], TS, KEY), epoch)
        with pytest.raises(Broken, match="rows are never changed"):
            await execute(database, statement)
        assert await store.audit_rows(0, 100) == rows[5:]
        assert isinstance(await read_audit(url, check), Whole)
    finally:
        await store.close()


@pytest.mark.parametrize("table", ["audit", "audit_cuts", "audit_anchors"])
async def test_nothing_is_truncated(postgres_url: str, table: str) -> None:
    store, *_ = await filled(postgres_url)
    await store.close()
    database = open_database(postgres_url)
    try:
        with pytest.raises(Broken, match="rows are never changed"):
            await execute(database, f"TRUNCATE {table}")
    finally:
        await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO audit_cuts SELECT seq, mac, ts + 1, seal FROM audit_cuts",
        "REPLACE INTO audit_anchors SELECT seq, 'x', ts FROM audit_anchors",
    ],
)
async def test_nothing_is_put_in_the_place_of_another(tmp_path: Path, statement: str) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    store, rows, _, epoch = await filled(url)
    await store.cut_audit(cut_at(rows[4], TS, KEY), epoch)
    await store.close()
    database = open_database(url)
    try:
        with pytest.raises(Broken, match="rows are never changed"):
            await execute(database, statement)
    finally:
        await database.close()
