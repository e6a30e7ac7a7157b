"""Messages from and to chats in a SQL database: the inbox, deliveries, and buttons on offer."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from engine.mail import (
    Address,
    DeadLetter,
    Delivery,
    Offer,
    Posted,
    Priority,
    Received,
    WaitingDelivery,
)
from engine.store.database import Database, Transaction
from engine.store.fence import fenced
from engine.store.tables import deliveries, inbox, offers, outbox
from engine.store.upsert import insert_into

T = TypeVar("T")

DELIVERY_FIELDS = ("surface", "chat_id", "thread_id", "ts", "priority", "topic", "body")
OFFER_FIELDS = ("surface", "chat_id", "command", "expires_at", "user_id")

MARK_NOTICES = (
    update(outbox)
    .where(outbox.c.seq == bindparam("marked"), outbox.c.delivered_at.is_(None))
    .values(delivered_at=bindparam("now"))
)
MARK_ANSWERED = (
    update(inbox)
    .where(inbox.c.key == bindparam("marked"), inbox.c.done_at.is_(None))
    .values(done_at=bindparam("now"))
)


class SqlMail:
    """The port `Mail` on SQLite and PostgreSQL. `epoch` is the one that its writes belong to."""

    def __init__(self, database: Database) -> None:
        self.epoch: int | None = None
        self._database = database
        received = insert_into(database.dialect.name, inbox, False)
        self._receive = received.returning(inbox.c.key)

    async def receive(self, updates: Sequence[Received]) -> set[str]:
        if not updates:
            return set()
        rows = [{"key": each.key, "ts": each.ts, "body": each.body} for each in updates]

        def keep(connection: Connection) -> set[str]:
            return set(connection.execute(self._receive.values(rows)).scalars())

        return await self._write(keep)

    async def unanswered(self) -> list[Received]:
        columns = inbox.c["key", "ts", "body"]
        query = select(*columns).where(inbox.c.done_at.is_(None)).order_by(inbox.c.ts, inbox.c.key)
        return [Received(*row) for row in await self._rows(query)]

    async def answered(self, keys: Sequence[str], ts: int) -> None:
        await self._mark(MARK_ANSWERED, keys, ts)

    async def route(self, notices: Sequence[int], messages: Sequence[Delivery], ts: int) -> None:
        rows = [{name: getattr(message, name) for name in DELIVERY_FIELDS} for message in messages]
        marks = [{"marked": seq, "now": ts} for seq in notices]

        def move(connection: Connection) -> None:
            if rows:
                connection.execute(insert(deliveries), rows)
            if marks:
                connection.execute(MARK_NOTICES, marks)

        if rows or marks:
            await self._write(move)

    async def waiting_chats(self) -> list[tuple[str, str]]:
        where = deliveries.c.finished_at.is_(None)
        query = select(deliveries.c.surface, deliveries.c.chat_id).where(where).distinct()
        return [(surface, chat_id) for surface, chat_id in await self._rows(query)]

    async def waiting(self, surface: str, chat_id: str, limit: int) -> list[WaitingDelivery]:
        query = (
            select(deliveries.c.seq, deliveries.c.attempted_at, *deliveries.c[DELIVERY_FIELDS])
            .where(
                deliveries.c.finished_at.is_(None),
                deliveries.c.surface == surface,
                deliveries.c.chat_id == chat_id,
            )
            .order_by(deliveries.c.priority, deliveries.c.seq)
            .limit(limit)
        )
        return [
            WaitingDelivery(seq, _delivery(*rest), attempted_at)
            for seq, attempted_at, *rest in await self._rows(query)
        ]

    async def attempt(self, seqs: Sequence[int], ts: int | None) -> None:
        await self._change(seqs, attempted_at=ts)

    async def arrived(self, seqs: Sequence[int], message_id: str, ts: int) -> None:
        await self._change(seqs, finished_at=ts, message_id=message_id or None)

    async def given_up(self, seqs: Sequence[int], error: str, ts: int) -> None:
        await self._change(seqs, finished_at=ts, error=error)

    async def first_of(self, address: Address, topic: str) -> str | None:
        rows = await self._rows(_posted(address, topic).limit(1))
        return rows[0][0] if rows else None

    async def posted(self, address: Address, topic: str) -> list[str]:
        rows = await self._rows(_posted(address, topic))
        return list(dict.fromkeys(message_id for (message_id,) in rows))

    async def posted_chats(self, topic: str) -> list[Address]:
        columns = deliveries.c["surface", "chat_id", "thread_id"]
        waits, arrived = deliveries.c.finished_at.is_(None), deliveries.c.message_id.is_not(None)
        where = deliveries.c.topic == topic, or_(waits, arrived)
        rows = await self._rows(select(*columns).where(*where).order_by(deliveries.c.seq))
        return list(dict.fromkeys(Address(*row) for row in rows))

    async def about(self, prefix: str) -> list[Posted]:
        fields = ("seq", "surface", "chat_id", "thread_id", "topic", "message_id", "finished_at")
        waits, arrived = deliveries.c.finished_at.is_(None), deliveries.c.message_id.is_not(None)
        where = deliveries.c.topic.startswith(prefix, autoescape=True), or_(waits, arrived)
        query = select(*deliveries.c[fields]).where(*where).order_by(deliveries.c.seq)
        return [
            Posted(seq, Address(*place), topic, message_id or "", ts or 0)
            for seq, *place, topic, message_id, ts in await self._rows(query)
        ]

    async def topic_of(self, address: Address, message_id: str) -> str:
        query = select(deliveries.c.topic).where(
            deliveries.c.surface == address.surface,
            deliveries.c.chat_id == address.chat_id,
            deliveries.c.message_id == message_id,
        )
        rows = await self._rows(query.limit(1))
        return rows[0][0] if rows else ""

    async def forgotten(self, seqs: Sequence[int]) -> None:
        statement = update(deliveries).where(deliveries.c.seq.in_(seqs)).values(message_id=None)
        await self._write(partial(_execute, statement=statement, rows=None))

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        columns = deliveries.c["seq", "surface", "chat_id", "ts", "error"]
        where = deliveries.c.error.is_not(None)
        query = select(*columns).where(where).order_by(deliveries.c.seq.desc()).limit(limit)
        return [DeadLetter(*row) for row in await self._rows(query)]

    async def offer(self, wanted: Sequence[Offer]) -> list[int]:
        rows = [{name: getattr(each, name) for name in OFFER_FIELDS} for each in wanted]
        statement = insert(offers).returning(offers.c.seq, sort_by_parameter_order=True)

        def keep(connection: Connection) -> list[int]:
            return list(connection.execute(statement, rows).scalars())

        return await self._write(keep) if rows else []

    async def offered(self, offer_id: int) -> Offer | None:
        rows = await self._rows(select(*offers.c[OFFER_FIELDS]).where(offers.c.seq == offer_id))
        return Offer(*rows[0]) if rows else None

    async def claim(self, offer_id: int, key: str) -> bool:
        mine = or_(offers.c.used_by.is_(None), offers.c.used_by == key)
        statement = update(offers).where(offers.c.seq == offer_id, mine).values(used_by=key)

        def use(connection: Connection) -> bool:
            return connection.execute(statement).rowcount == 1

        return await self._write(use)

    async def prune(self, before: int) -> None:
        def forget(connection: Connection) -> None:
            for table, when in (
                (inbox, inbox.c.done_at),
                (deliveries, deliveries.c.finished_at),
                (offers, offers.c.expires_at),
                (outbox, outbox.c.delivered_at),
            ):
                connection.execute(delete(table).where(when < before))

        await self._write(forget)

    async def _rows(self, query: Any) -> Sequence[Any]:
        return await self._database.read(partial(_all, query=query))

    async def _mark(self, statement: Any, keys: Sequence[str], ts: int) -> None:
        marks = [{"marked": key, "now": ts} for key in keys]
        if marks:
            await self._write(partial(_execute, statement=statement, rows=marks))

    async def _change(self, seqs: Sequence[int], **values: Any) -> None:
        where = deliveries.c.seq.in_(seqs), deliveries.c.finished_at.is_(None)
        statement = update(deliveries).where(*where).values(**values)
        await self._write(partial(_execute, statement=statement, rows=None))

    async def _write(self, transaction: Transaction[T]) -> T:
        return await self._database.write(partial(fenced, own=self.epoch, transaction=transaction))


def _posted(address: Address, topic: str) -> Any:
    """The ids of the messages about a topic that arrived in a place, oldest first."""
    return (
        select(deliveries.c.message_id)
        .where(
            deliveries.c.surface == address.surface,
            deliveries.c.chat_id == address.chat_id,
            deliveries.c.thread_id == address.thread_id,
            deliveries.c.topic == topic,
            deliveries.c.message_id.is_not(None),
        )
        .order_by(deliveries.c.seq)
    )


def _delivery(
    surface: str, chat_id: str, thread_id: str, ts: int, priority: int, topic: str, body: str
) -> Delivery:
    return Delivery(surface, chat_id, thread_id, ts, Priority(priority), topic, body)


def _all(connection: Connection, query: Any) -> Sequence[Any]:
    return connection.execute(query).all()


def _execute(connection: Connection, statement: Any, rows: Any) -> None:
    connection.execute(statement, rows)
