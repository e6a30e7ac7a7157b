"""The audit in SQL: pages, searches and cuts, and a snapshot that nobody's writing disturbs."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Connection,
    create_engine,
    delete,
    func,
    insert,
    make_url,
    or_,
    select,
    true,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from engine.audit import AuditAnchor, AuditCut, AuditFound, AuditHead, AuditRow
from engine.errors import BadSettings, Broken
from engine.store import tables
from engine.store.database import open_database
from engine.store.migrations import HEAD, revision_of

# Rows held in memory at a time while all of them are read.
ROWS_AT_ONCE = 1000

_AUDIT, _CUTS = tables.audit.c, tables.audit_cuts.c
_ROWS = select(tables.audit).order_by(_AUDIT.seq)
_HEADS = select(tables.audit_head.c.seq, tables.audit_head.c.mac)
_LAST_CUT = select(tables.audit_cuts).order_by(_CUTS.seq.desc()).limit(1)

T = TypeVar("T")


# -- for a desk --------------------------------------------------------------------------


def last_cut(connection: Connection) -> AuditCut | None:
    row = connection.execute(_LAST_CUT).one_or_none()
    return AuditCut(*row) if row else None


def rows_after(connection: Connection, after: int, limit: int) -> list[AuditRow]:
    found = connection.execute(_ROWS.where(_AUDIT.seq > after).limit(limit))
    return [AuditRow(*row) for row in found]


def find(connection: Connection, since: int, word: str, limit: int) -> AuditFound:
    wanted = (_AUDIT.ts >= since) & _concerns(word)
    counted = select(func.count()).select_from(tables.audit).where(wanted)
    total: int = connection.execute(counted).scalar_one()
    newest = select(tables.audit).where(wanted).order_by(_AUDIT.seq.desc()).limit(limit)
    return AuditFound(total, [AuditRow(*row) for row in connection.execute(newest)])


def _concerns(word: str) -> ColumnElement[bool]:
    if not word:
        return true()
    return or_(
        _AUDIT.actor.icontains(word, autoescape=True), func.lower(_AUDIT.action) == word.lower()
    )


def cut_away(connection: Connection, cut: AuditCut) -> None:
    """Keep the cut, then remove what it stands for: the triggers want it in this order."""
    mac = connection.execute(select(_AUDIT.mac).where(_AUDIT.seq == cut.seq)).scalar_one_or_none()
    last = connection.execute(select(func.max(_AUDIT.seq))).scalar_one()
    if mac != cut.mac or last == cut.seq:
        raise not_cut(cut)
    row = {"seq": cut.seq, "mac": cut.mac, "ts": cut.ts, "seal": cut.seal}
    connection.execute(insert(tables.audit_cuts), row)
    connection.execute(delete(tables.audit).where(_AUDIT.seq <= cut.seq))


def not_cut(cut: AuditCut) -> Broken:
    return Broken(f"the audit can't be cut after row {cut.seq}: it is another one, or the last")


# -- for whoever verifies ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The audit as it stood at one moment, whatever is appended meanwhile.

    `rows` are in order, read as they are wanted, and can be gone through once. `begun` says that
    a desk has run on this database.
    """

    head: AuditHead | None
    cut: AuditCut | None
    anchors: list[AuditAnchor]
    rows: Iterator[AuditRow]
    begun: bool


async def read_audit(url: str, work: Callable[[Snapshot], T]) -> T:
    """What `work` makes of the audit in the database at `url`, of which nothing is changed.

    Raises BadSettings where there is no database, or none of this version.
    """

    def transaction(connection: Connection) -> T:
        return work(_snapshot(connection))

    if url.startswith("sqlite"):
        return await asyncio.to_thread(_read_file, url, transaction)
    database = open_database(url)
    try:
        return await database.read(lambda connection: transaction(_frozen(connection)))
    finally:
        await database.close()


def _frozen(connection: Connection) -> Connection:
    """PostgreSQL lets each statement see the newest rows, unless it is told otherwise."""
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return connection


def _snapshot(connection: Connection) -> Snapshot:
    found = revision_of(connection)
    if found != HEAD:
        raise BadSettings(
            f"database {connection.engine.url.database} is at revision {found}, this version has "
            f"{HEAD}; `countersign migrate` brings it there"
        )
    heads = [AuditHead(*row) for row in connection.execute(_HEADS)]
    cut = last_cut(connection)
    anchors = [AuditAnchor(*row) for row in connection.execute(select(tables.audit_anchors))]
    ends: list[AuditHead | AuditAnchor | AuditCut] = [*heads, *anchors, *([cut] if cut else [])]
    for each in ends:
        if not isinstance(each.seq, int):
            name = type(each).__name__
            raise Broken(f"the audit is damaged: the row of an {name} is {each.seq!r}, no number")
    rows = connection.execute(_ROWS, execution_options={"yield_per": ROWS_AT_ONCE})
    return Snapshot(
        head=heads[0] if heads else None,
        cut=cut,
        anchors=anchors,
        rows=(AuditRow(*map(_plain, row)) for row in rows),
        begun=connection.execute(select(tables.epoch.c.epoch)).first() is not None,
    )


def _plain(value: Any) -> Any:
    """A value of a kind that a row may hold: SQLite lets anything be put in any column."""
    return value if isinstance(value, int | str) else repr(value)


def _read_file(url: str, transaction: Callable[[Connection], T]) -> T:
    """Read a SQLite file without making or changing any.

    Where nobody has it open, reading it as beside a writer would leave files there, which the
    desk's user may not be able to open.
    """
    path = Path(make_url(url).database or "").absolute()
    log = path.with_name(f"{path.name}-wal")
    if not path.is_file():
        raise BadSettings(f"DATABASE_URL: there is no database {str(path)!r} yet.")
    if not log.exists():
        before = path.stat()
        try:
            found = _read(path, "immutable=1", transaction)
        except Broken:
            if _rests(path, log, before):
                raise
        else:
            if _rests(path, log, before):
                return found
    # Somebody has it open, or opened it meanwhile.
    return _read(path, "mode=ro", transaction)


def _rests(path: Path, log: Path, before: os.stat_result) -> bool:
    """Whether nobody has opened or written the file since."""
    now = path.stat()
    same = (now.st_mtime_ns, now.st_size) == (before.st_mtime_ns, before.st_size)
    return same and not log.exists()


def _read(path: Path, how: str, transaction: Callable[[Connection], T]) -> T:
    def connect() -> sqlite3.Connection:
        opened = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None)
        # A byte that somebody flipped may leave no letter; the row is still to be named.
        opened.text_factory = lambda text: text.decode(errors="surrogateescape")
        return opened

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN")
            return transaction(connection)
    except DBAPIError as error:
        raise Broken(f"the database {str(path)!r} can't be read: {error.orig}") from error
