"""Calls of models in a SQL database: what was sent, what came back, what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from engine.calls import CallState, DayCost, ModelCall, Purpose
from engine.candle import DAY_MS
from engine.mail import storable
from engine.store.database import Database
from engine.store.fence import fenced
from engine.store.tables import analyses
from engine.store.upsert import insert_into

_FIELDS = tuple(column.name for column in analyses.columns)
# The words of a model and of people, in whatever characters they chose.
_WORDS = ("subject", "asked_by", "model", "prompt", "answer", "result", "failure")
# What is not kept for ever; a question's subject is the question.
FORGOTTEN = ("subject", "prompt", "answer", "result", "failure")


class SqlCalls:
    """The port `Calls` on SQLite and PostgreSQL. `epoch` is the one that its writes belong to."""

    def __init__(self, database: Database) -> None:
        self.epoch: int | None = None
        self._database = database
        self._put = insert_into(database.dialect.name, analyses, True)

    async def put(self, call: ModelCall) -> None:
        call = kept(call)
        row = {name: getattr(call, name) for name in _FIELDS}
        await self._write(self._put.values(row))

    async def last_id(self) -> int:
        [(found,)] = await self._rows(select(func.max(analyses.c.call_id)))
        return found or 0

    async def of(self, consultation: int) -> list[ModelCall]:
        where = analyses.c.consultation == consultation
        return await self._calls(select(analyses).where(where).order_by(analyses.c.call_id))

    async def last(self, limit: int, purpose: Purpose | None = None) -> list[ModelCall]:
        query = select(analyses).where(analyses.c.call_id == analyses.c.consultation)
        if purpose is not None:
            query = query.where(analyses.c.purpose == purpose)
        return await self._calls(query.order_by(analyses.c.call_id.desc()).limit(limit))

    async def spent(self, since: int) -> Decimal:
        # Summed here: SQLite would add the amounts up as floats.
        # What cost nothing may be most of the rows.
        paid = analyses.c.ts >= since, analyses.c.cost != Decimal(0)
        rows = await self._rows(select(analyses.c.cost).where(*paid))
        return sum((cost for (cost,) in rows), Decimal(0))

    async def costs(self, since: int) -> list[DayCost]:
        names = ("ts", "purpose", "model", "state", "prompt_tokens", "output_tokens", "cost")
        rows = await self._rows(select(*analyses.c[names]).where(analyses.c.ts >= since))
        return by_day(rows)

    async def prune(self, before: int) -> None:
        said = or_(*(analyses.c[name] != "" for name in FORGOTTEN))
        empty = dict.fromkeys(FORGOTTEN, "")
        await self._write(update(analyses).where(analyses.c.ts < before, said).values(empty))

    async def _calls(self, query: Any) -> list[ModelCall]:
        # Columns stand in the order of the fields, which a test keeps true.
        return [ModelCall(*row) for row in await self._rows(query)]

    async def _rows(self, query: Any) -> Sequence[Any]:
        return await self._database.read(partial(_all, query=query))

    async def _write(self, statement: Any) -> None:
        transaction = partial(_execute, statement=statement)
        await self._database.write(partial(fenced, own=self.epoch, transaction=transaction))


def kept(call: ModelCall) -> ModelCall:
    """The call as it comes back: with the characters that every database takes."""
    words: dict[str, Any] = {name: storable(getattr(call, name)) for name in _WORDS}
    return replace(call, **words)


def forgotten(call: ModelCall) -> ModelCall:
    """What stays of a call when its time is over."""
    empty: dict[str, Any] = dict.fromkeys(FORGOTTEN, "")
    return replace(call, **empty)


def by_day(calls: Iterable[Any]) -> list[DayCost]:
    """The sums of calls by day (UTC), purpose and model, newest day first; what was computed called
    nobody."""
    found: dict[tuple[int, Purpose, str], DayCost] = {}
    for call in calls:
        if call.state is CallState.COMPUTED:
            continue
        key = (call.ts - call.ts % DAY_MS, call.purpose, call.model)
        found[key] = _plus(found.get(key) or DayCost(*key, 0, 0, 0, 0, Decimal(0)), call)
    return sorted(found.values(), key=lambda each: (-each.day, each.purpose, each.model))


def _plus(sums: DayCost, call: Any) -> DayCost:
    return replace(
        sums,
        calls=sums.calls + 1,
        failed=sums.failed + (call.state is CallState.FAILED),
        prompt_tokens=sums.prompt_tokens + call.prompt_tokens,
        output_tokens=sums.output_tokens + call.output_tokens,
        cost=sums.cost + call.cost,
    )


def _all(connection: Connection, query: Any) -> Sequence[Any]:
    return connection.execute(query).all()


def _execute(connection: Connection, statement: Any) -> None:
    connection.execute(statement)
