"""The store over SQLAlchemy: each commit one transaction, the same on SQLite and PostgreSQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, cast

from sqlalchemy import (
    Connection,
    Dialect,
    Select,
    Table,
    bindparam,
    select,
    update,
)

from engine.audit import AuditCut, AuditFound, AuditHead, AuditRow
from engine.effect import Fact, Notice
from engine.errors import Broken, LostLock
from engine.ports import Commit, F, OutboxRow, StateRow
from engine.store import audit, tables
from engine.store.calls import SqlCalls
from engine.store.database import BUSY_TIMEOUT_S, Database, open_database
from engine.store.mail import DELIVERY_FIELDS, MARK_ANSWERED, SqlMail
from engine.store.migrations import bring_to_head
from engine.store.tables import FACTS, FactTable, fact_table, notices
from engine.store.upsert import insert_into


async def open_store(url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> "SqlStore":
    """Open the database at `url` and bring its tables up to date.

    Raises BadSettings for a URL or a database that this program can't work with, Broken for
    a file that is damaged.
    """
    database = open_database(url, busy_timeout_s)
    try:
        await database.check()
        await bring_to_head(database)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database)


async def states_of(database: Database) -> Mapping[str, StateRow]:
    """The state that a desk stored, by key; the database is at its newest revision."""
    rows = await database.read(partial(_rows, query=select(tables.state)))
    return {row.key: StateRow(*row) for row in rows}


class SqlStore:
    """Durable memory in a SQL database whose tables are up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes = _Writes(database.dialect)
        self.mail = SqlMail(database)
        self.calls = SqlCalls(database)

    async def take_epoch(self, holder: str) -> int:
        epoch = await self._database.write(partial(self._writes.take_epoch, holder=holder))
        self.mail.epoch = self.calls.epoch = epoch
        return epoch

    async def commit(self, batch: Commit) -> None:
        await self._database.write(partial(self._writes.commit, batch=batch))

    async def states(self) -> Mapping[str, StateRow]:
        return await states_of(self._database)

    async def recent(
        self,
        kind: type[F],
        *,
        account: str | None = None,
        bot_id: str | None = None,
        symbol: str | None = None,
        books: str | None = None,
        consultation: int | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[F]:
        facts = fact_table(kind)
        filters = facts.matching(
            since,
            account=account,
            bot_id=bot_id,
            symbol=symbol,
            books=books,
            consultation=consultation,
        )
        return (await self._facts(kind, _newest_first(facts, filters, since, limit)))[::-1]

    async def one(self, kind: type[F], *key: str | int) -> F | None:
        facts = fact_table(kind)
        columns = (facts.table.columns[name] for name in facts.key)
        wanted = (column == value for column, value in zip(columns, key, strict=True))
        found = await self._facts(kind, select(facts.table).where(*wanted))
        return found[0] if found else None

    async def _facts(self, kind: type[F], query: Select[Any]) -> list[F]:
        rows = await self._database.read(partial(_rows, query=query))
        # Columns stand in the order of the fields, which a test keeps true.
        fact = cast(Callable[..., F], kind)
        return [fact(*row) for row in rows]

    async def undelivered(self, limit: int) -> list[OutboxRow]:
        rows = await self._database.read(partial(_rows, query=_UNDELIVERED.limit(limit)))
        return [OutboxRow(*row) for row in rows]

    async def last_audit(self) -> AuditRow | None:
        rows = await self._database.read(partial(_rows, query=_LAST_AUDIT))
        return AuditRow(*rows[0]) if rows else None

    async def last_head(self) -> AuditHead | None:
        rows = await self._database.read(partial(_rows, query=_AUDIT_HEAD))
        return AuditHead(*rows[0]) if rows else None

    async def last_cut(self) -> AuditCut | None:
        return await self._database.read(audit.last_cut)

    async def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return await self._database.read(partial(audit.rows_after, after=after, limit=limit))

    async def find_audit(self, since: int, word: str, limit: int) -> AuditFound:
        return await self._database.read(partial(audit.find, since=since, word=word, limit=limit))

    async def cut_audit(self, cut: AuditCut, epoch: int) -> None:
        def transaction(connection: Connection) -> None:
            _is_stored(connection, Commit(epoch))
            audit.cut_away(connection, cut)

        await self._database.write(transaction)

    async def close(self) -> None:
        await self._database.close()


# -- writing -----------------------------------------------------------------------------


class _Writes:
    """The transactions that write, their statements compiled once for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        put = partial(_Put, dialect)
        self._facts = {kind: put(facts.table, facts.replaced) for kind, facts in FACTS.items()}
        self._states = put(tables.state, True)
        self._journal = put(tables.journal, None, ("ts", "kind", "body"))
        self._outbox = put(tables.outbox, None, ("ts", "kind", "body"))
        self._audit = put(tables.audit, None)
        self._audit_head = put(tables.audit_head, True)
        self._deliveries = put(tables.deliveries, None, DELIVERY_FIELDS)
        self._take_epoch = _take_epoch(dialect.name)

    def take_epoch(self, connection: Connection, holder: str) -> int:
        epoch: int = connection.execute(self._take_epoch, {"holder": holder}).scalar_one()
        return epoch

    def commit(self, connection: Connection, batch: Commit) -> None:
        if _is_stored(connection, batch):
            return
        self._states.all(connection, batch.states)
        for kind, facts in _by_kind(batch.facts).items():
            self._facts[kind].all(connection, facts)
        self._journal.all(connection, batch.journal)
        self._outbox.rows(connection, [_outbox_row(notice) for notice in batch.notices])
        self._audit.all(connection, batch.audit)
        if batch.audit_head is not None:
            head = batch.audit_head
            self._audit_head.rows(connection, [(_ONLY, head.seq, head.mac)])
        self._deliveries.all(connection, batch.deliveries)
        if batch.answered:
            marks = [{"marked": key, "now": batch.answered_at} for key in batch.answered]
            connection.execute(MARK_ANSWERED, marks)


class _Put:
    """An insert compiled once, with what makes a row of an object.

    Executing the statement object looks it up, and sorts names, for 15 us each time; a commit
    has ten of them.
    """

    def __init__(
        self,
        dialect: Dialect,
        table: Table,
        replaced: bool | None,
        names: Sequence[str] | None = None,
    ) -> None:
        names = names or [column.name for column in table.columns]
        statement = insert_into(dialect.name, table, replaced)
        self._sql = str(statement.compile(dialect=dialect, column_keys=names))
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
        types = [table.columns[name].type.dialect_impl(dialect) for name in names]
        processors = [kind.bind_processor(dialect) for kind in types]
        self._processors = [(at, run) for at, run in enumerate(processors) if run is not None]

    def all(self, connection: Connection, objects: Iterable[Any]) -> None:
        self.rows(connection, [self._row(item) for item in objects])

    def rows(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            connection.exec_driver_sql(self._sql, rows)

    def _row(self, item: Any) -> tuple[Any, ...]:
        if not self._processors:
            return self._values(item)
        values = list(self._values(item))
        for at, process in self._processors:
            values[at] = process(values[at])
        return tuple(values)


def _by_kind(facts: Iterable[Fact]) -> dict[type[Fact], list[Fact]]:
    kinds: dict[type[Fact], list[Fact]] = {}
    for fact in facts:
        kinds.setdefault(type(fact), []).append(fact)
    for kind in kinds:
        fact_table(kind)
    return kinds


def _outbox_row(notice: Notice) -> tuple[int, str, str]:
    return notice.ts, notice.kind.value, notices().dump_json(notice).decode()


# The one row of `epoch` and of `audit_head`.
_ONLY = 1


# -- the epoch ---------------------------------------------------------------------------

_OF_EPOCH = update(tables.epoch).where(
    tables.epoch.c.id == _ONLY, tables.epoch.c.epoch == bindparam("own")
)
# Both take the row's lock on PostgreSQL, so that the epoch can't move before the commit.
_COUNT_UP = _OF_EPOCH.where(tables.epoch.c.number < bindparam("next")).values(
    number=bindparam("next")
)
_HOLD = _OF_EPOCH.values(number=tables.epoch.c.number)


def _take_epoch(dialect: str) -> Any:
    first = insert_into(dialect, tables.epoch, None).values(
        id=_ONLY, epoch=1, holder=bindparam("holder"), number=0
    )
    return first.on_conflict_do_update(
        index_elements=["id"],
        set_={"epoch": tables.epoch.c.epoch + 1, "holder": first.excluded.holder, "number": 0},
    ).returning(tables.epoch.c.epoch)


def _is_stored(connection: Connection, batch: Commit) -> bool:
    """Count the commit; whether it was counted, and so stored, before.

    Raises LostLock when another process counts now.
    """
    counted = (
        connection.execute(_COUNT_UP, {"own": batch.epoch, "next": batch.number})
        if batch.number
        else connection.execute(_HOLD, {"own": batch.epoch})
    )
    if counted.rowcount == 1:
        return False
    held = connection.execute(select(tables.epoch)).one_or_none()
    return repeats(batch, *((held.epoch, held.number, held.holder) if held else (0, 0, "nobody")))


def repeats(batch: Commit, epoch: int, number: int, holder: str) -> bool:
    """Whether the commit is the one stored last under this epoch; raises for a later one."""
    if epoch != batch.epoch or not epoch:
        raise LostLock(
            f"epoch {batch.epoch} is over: {holder} trades this account now, in epoch {epoch}"
        )
    if not batch.number:
        return False
    if number > batch.number:
        raise Broken(f"commit {batch.number} comes after commit {number}")
    return number == batch.number


# -- reading -----------------------------------------------------------------------------

_UNDELIVERED = (
    select(*tables.outbox.c["seq", "ts", "kind", "body"])
    .where(tables.outbox.c.delivered_at.is_(None))
    .order_by(tables.outbox.c.seq)
)
_AUDIT_HEAD = select(tables.audit_head.c.seq, tables.audit_head.c.mac)
_LAST_AUDIT = select(tables.audit).order_by(tables.audit.c.seq.desc()).limit(1)


def _newest_first(
    facts: FactTable, filters: Mapping[str, str | int], since: int | None, limit: int | None
) -> Select[Any]:
    columns = facts.table.columns
    query = select(facts.table).where(*(columns[name] == value for name, value in filters.items()))
    if since is not None and facts.time:
        query = query.where(columns[facts.time] >= since)
    return query.order_by(*(columns[name].desc() for name in facts.order)).limit(limit)


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    return connection.execute(query).all()
