"""The store's contract in dicts and lists: for tests, and for a desk that may forget."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, cast

from engine.audit import AuditHead, AuditRow
from engine.effect import Fact, Notice
from engine.errors import Broken
from engine.ports import Commit, F, JournalRow, OutboxRow, StateRow
from engine.store.sql import repeats
from engine.store.tables import fact_table, notices


class MemoryStore:
    """Memory that lasts as long as the process."""

    def __init__(self) -> None:
        self.journal: list[JournalRow] = []
        self.audit: dict[int, AuditRow] = {}
        self.audit_head: AuditHead | None = None
        self._states: dict[str, StateRow] = {}
        self._facts: dict[type[Fact], dict[tuple[Any, ...], Fact]] = {}
        self._outbox: dict[int, OutboxRow] = {}
        self._noticed = 0
        self._epoch = 0
        self._number = 0
        self._holder = "nobody"

    async def take_epoch(self, holder: str) -> int:
        self._epoch, self._number, self._holder = self._epoch + 1, 0, holder
        return self._epoch

    async def commit(self, batch: Commit) -> None:
        if repeats(batch, self._epoch, self._number, self._holder):
            return
        # All that can fail comes first, so that a refused batch leaves nothing behind.
        _check(batch.facts)
        self._check_audit(batch.audit)
        self._number = batch.number or self._number
        self._states.update((row.key, row) for row in batch.states)
        for fact in batch.facts:
            self._put(fact)
        self.journal.extend(batch.journal)
        for notice in batch.notices:
            self._notice(notice)
        self.audit.update((row.seq, row) for row in batch.audit)
        self.audit_head = batch.audit_head or self.audit_head

    async def states(self) -> Mapping[str, StateRow]:
        return dict(self._states)

    async def recent(
        self,
        kind: type[F],
        *,
        account: str | None = None,
        bot_id: str | None = None,
        symbol: str | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[F]:
        facts = fact_table(kind)
        filters = facts.matching(since, account=account, bot_id=bot_id, symbol=symbol)
        known = cast(Iterable[F], self._facts.get(cast(type[Fact], kind), {}).values())
        found = [
            fact
            for fact in known
            if all(getattr(fact, name) == value for name, value in filters.items())
            and (since is None or getattr(fact, facts.time or "") >= since)
        ]
        found.sort(key=attrgetter(*facts.order))
        return found if limit is None else found[max(0, len(found) - limit) :]

    async def undelivered(self, limit: int) -> list[OutboxRow]:
        return list(self._outbox.values())[:limit]

    async def mark_delivered(self, seqs: Sequence[int], ts: int) -> None:
        for seq in seqs:
            self._outbox.pop(seq, None)

    async def last_audit(self) -> AuditRow | None:
        return self.audit[max(self.audit)] if self.audit else None

    async def last_head(self) -> AuditHead | None:
        return self.audit_head

    async def close(self) -> None:
        pass

    def _check_audit(self, rows: Iterable[AuditRow]) -> None:
        stored = set(self.audit)
        for row in rows:
            if row.seq in stored:
                raise Broken(f"audit row {row.seq} is stored already")
            stored.add(row.seq)

    def _put(self, fact: Fact) -> None:
        facts = fact_table(type(fact))
        known = self._facts.setdefault(type(fact), {})
        key = tuple(getattr(fact, name) for name in facts.key)
        if facts.replaced or key not in known:
            known[key] = fact

    def _notice(self, notice: Notice) -> None:
        self._noticed += 1
        body = notices().dump_json(notice).decode()
        self._outbox[self._noticed] = OutboxRow(self._noticed, notice.ts, notice.kind, body)


def _check(facts: Iterable[Fact]) -> None:
    """Refuse what a database would: a thing that is no fact, a fact with a part missing."""
    for fact in facts:
        for name in fact_table(type(fact)).required:
            if getattr(fact, name) is None:
                raise Broken(f"{name} of {fact!r} is missing")
