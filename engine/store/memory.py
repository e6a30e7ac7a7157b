"""The store's contract in dicts and lists: for tests, and for a desk that may forget."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from operator import attrgetter
from typing import Any, cast

from engine.audit import AuditCut, AuditFound, AuditHead, AuditRow
from engine.calls import DayCost, ModelCall, Purpose
from engine.effect import Fact, Notice
from engine.errors import Broken
from engine.mail import Address, DeadLetter, Delivery, Offer, Posted, Received, WaitingDelivery
from engine.ports import Commit, F, JournalRow, OutboxRow, StateRow
from engine.store.audit import not_cut
from engine.store.calls import by_day, forgotten, kept
from engine.store.sql import repeats
from engine.store.tables import fact_table, notices
from engine.tuning import ParameterValue


class MemoryStore:
    """Memory that lasts as long as the process."""

    def __init__(self) -> None:
        self.mail = MemoryMail(self._delivered)
        self.calls = MemoryCalls()
        self.journal: list[JournalRow] = []
        self.audit: dict[int, AuditRow] = {}
        self.audit_head: AuditHead | None = None
        self._cuts: list[AuditCut] = []
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
        self.mail.keep(batch.deliveries)
        self.mail.done(batch.answered, batch.answered_at)

    async def states(self) -> Mapping[str, StateRow]:
        return dict(self._states)

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
        known = cast(Iterable[F], self._facts.get(cast(type[Fact], kind), {}).values())
        found = [
            fact
            for fact in known
            if all(getattr(fact, name) == value for name, value in filters.items())
            and (since is None or getattr(fact, facts.time or "") >= since)
        ]
        found.sort(key=attrgetter(*facts.order))
        return found if limit is None else found[max(0, len(found) - limit) :]

    async def one(self, kind: type[F], *key: str | int) -> F | None:
        known = self._facts.get(cast(type[Fact], kind), {})
        return cast(F | None, known.get(key))

    async def undelivered(self, limit: int) -> list[OutboxRow]:
        return list(self._outbox.values())[:limit]

    async def last_audit(self) -> AuditRow | None:
        return self.audit[max(self.audit)] if self.audit else None

    async def last_head(self) -> AuditHead | None:
        return self.audit_head

    async def last_cut(self) -> AuditCut | None:
        return self._cuts[-1] if self._cuts else None

    async def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return [self.audit[seq] for seq in sorted(self.audit) if seq > after][:limit]

    async def find_audit(self, since: int, word: str, limit: int) -> AuditFound:
        found = [row for row in self.audit.values() if row.ts >= since and _concerns(row, word)]
        found.sort(key=attrgetter("seq"), reverse=True)
        return AuditFound(len(found), found[:limit])

    async def cut_audit(self, cut: AuditCut, epoch: int) -> None:
        repeats(Commit(epoch), self._epoch, self._number, self._holder)
        row = self.audit.get(cut.seq)
        if row is None or row.mac != cut.mac or cut.seq == max(self.audit):
            raise not_cut(cut)
        self._cuts.append(cut)
        for seq in [seq for seq in self.audit if seq <= cut.seq]:
            del self.audit[seq]

    async def close(self) -> None:
        pass

    def _delivered(self, seqs: Sequence[int]) -> None:
        for seq in seqs:
            self._outbox.pop(seq, None)

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


class MemoryMail:
    """The port `Mail` in dicts. `delivered` is told which notices are routed."""

    def __init__(self, delivered: Callable[[Sequence[int]], None]) -> None:
        self._delivered = delivered
        self._received: dict[str, Received] = {}
        self._done: dict[str, int] = {}
        self._rows: dict[int, _Row] = {}
        self._offers: dict[int, Offer] = {}
        self._used: dict[int, str] = {}
        self._numbers = count(1)

    def keep(self, messages: Iterable[Delivery]) -> None:
        for message in messages:
            self._rows[next(self._numbers)] = _Row(message)

    def done(self, keys: Iterable[str], ts: int) -> None:
        for key in keys:
            if key in self._received:
                self._done.setdefault(key, ts)

    async def receive(self, updates: Sequence[Received]) -> set[str]:
        fresh = {each.key: each for each in reversed(updates) if each.key not in self._received}
        self._received.update(fresh)
        return set(fresh)

    async def unanswered(self) -> list[Received]:
        open_ = [each for each in self._received.values() if each.key not in self._done]
        return sorted(open_, key=attrgetter("ts", "key"))

    async def answered(self, keys: Sequence[str], ts: int) -> None:
        self.done(keys, ts)

    async def route(self, notices: Sequence[int], deliveries: Sequence[Delivery], ts: int) -> None:
        self.keep(deliveries)
        self._delivered(notices)

    async def waiting_chats(self) -> list[tuple[str, str]]:
        waiting = [row.delivery for row in self._rows.values() if row.finished_at is None]
        return list(dict.fromkeys((each.surface, each.chat_id) for each in waiting))

    async def waiting(self, surface: str, chat_id: str, limit: int) -> list[WaitingDelivery]:
        found = [
            WaitingDelivery(seq, row.delivery, row.attempted_at)
            for seq, row in self._rows.items()
            if row.finished_at is None
            and (row.delivery.surface, row.delivery.chat_id) == (surface, chat_id)
        ]
        found.sort(key=lambda each: (each.delivery.priority, each.seq))
        return found[:limit]

    async def attempt(self, seqs: Sequence[int], ts: int | None) -> None:
        for row in self._open(seqs):
            row.attempted_at = ts

    async def arrived(self, seqs: Sequence[int], message_id: str, ts: int) -> None:
        for row in self._open(seqs):
            row.finished_at, row.message_id = ts, message_id or None

    async def given_up(self, seqs: Sequence[int], error: str, ts: int) -> None:
        for row in self._open(seqs):
            row.finished_at, row.error = ts, error

    async def first_of(self, address: Address, topic: str) -> str | None:
        found = await self.posted(address, topic)
        return found[0] if found else None

    async def posted(self, address: Address, topic: str) -> list[str]:
        ids = (
            row.message_id
            for row in self._rows.values()
            if (row.delivery.address, row.delivery.topic) == (address, topic)
        )
        return list(dict.fromkeys(each for each in ids if each is not None))

    async def posted_chats(self, topic: str) -> list[Address]:
        rows = (row for row in self._rows.values() if row.delivery.topic == topic)
        return list(
            dict.fromkeys(
                row.delivery.address
                for row in rows
                if row.finished_at is None or row.message_id is not None
            )
        )

    async def about(self, prefix: str) -> list[Posted]:
        return [
            Posted(
                seq,
                row.delivery.address,
                row.delivery.topic,
                row.message_id or "",
                row.finished_at or 0,
            )
            for seq, row in self._rows.items()
            if row.delivery.topic.startswith(prefix)
            and (row.finished_at is None or row.message_id is not None)
        ]

    async def topic_of(self, address: Address, message_id: str) -> str:
        chat = (address.surface, address.chat_id, message_id)
        for row in self._rows.values():
            if (row.delivery.surface, row.delivery.chat_id, row.message_id) == chat:
                return row.delivery.topic
        return ""

    async def forgotten(self, seqs: Sequence[int]) -> None:
        for seq in seqs:
            if seq in self._rows:
                self._rows[seq].message_id = None

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        dead = [
            DeadLetter(seq, row.delivery.surface, row.delivery.chat_id, row.delivery.ts, row.error)
            for seq, row in reversed(self._rows.items())
            if row.error is not None
        ]
        return dead[:limit]

    async def offer(self, offers: Sequence[Offer]) -> list[int]:
        ids = [next(self._numbers) for _ in offers]
        self._offers.update(zip(ids, offers, strict=True))
        return ids

    async def offered(self, offer_id: int) -> Offer | None:
        return self._offers.get(offer_id)

    async def claim(self, offer_id: int, key: str) -> bool:
        return offer_id in self._offers and self._used.setdefault(offer_id, key) == key

    async def prune(self, before: int) -> None:
        for key in [key for key, ts in self._done.items() if ts < before]:
            del self._done[key], self._received[key]
        ends = {seq: row.finished_at for seq, row in self._rows.items()}
        for seq in [seq for seq, end in ends.items() if end is not None and end < before]:
            del self._rows[seq]
        for offer_id in [n for n, offer in self._offers.items() if offer.expires_at < before]:
            del self._offers[offer_id]
            self._used.pop(offer_id, None)

    def _open(self, seqs: Sequence[int]) -> Iterator["_Row"]:
        rows = (self._rows[seq] for seq in seqs if seq in self._rows)
        return (row for row in rows if row.finished_at is None)


class MemoryCalls:
    """The port `Calls` in a dict."""

    def __init__(self) -> None:
        self._calls: dict[int, ModelCall] = {}

    async def put(self, call: ModelCall) -> None:
        self._calls[call.call_id] = kept(call)

    async def last_id(self) -> int:
        return max(self._calls, default=0)

    async def of(self, consultation: int) -> list[ModelCall]:
        found = (call for call in self._calls.values() if call.consultation == consultation)
        return sorted(found, key=attrgetter("call_id"))

    async def last(self, limit: int, purpose: Purpose | None = None) -> list[ModelCall]:
        found = [
            call
            for call in self._calls.values()
            if call.call_id == call.consultation and purpose in (None, call.purpose)
        ]
        return sorted(found, key=attrgetter("call_id"), reverse=True)[:limit]

    async def spent(self, since: int) -> Decimal:
        return sum((call.cost for call in self._since(since)), Decimal(0))

    async def costs(self, since: int) -> list[DayCost]:
        return by_day(self._since(since))

    async def prune(self, before: int) -> None:
        old = [call for call in self._calls.values() if call.ts < before]
        self._calls.update((call.call_id, forgotten(call)) for call in old)

    def _since(self, since: int) -> list[ModelCall]:
        return [call for call in self._calls.values() if call.ts >= since]


@dataclass
class _Row:
    """A delivery and what became of it."""

    delivery: Delivery
    attempted_at: int | None = None
    finished_at: int | None = None
    message_id: str | None = None
    error: str | None = None


def _concerns(row: AuditRow, word: str) -> bool:
    return word.lower() in row.actor.lower() or word.lower() == row.action.lower()


def _check(facts: Iterable[Fact]) -> None:
    """Refuse what a database would: a thing that is no fact, a fact with a part missing."""
    for fact in facts:
        for name in fact_table(type(fact)).required:
            if getattr(fact, name) is None:
                raise Broken(f"{name} of {fact!r} is missing")
        if isinstance(fact, ParameterValue) and not (
            fact.is_base or fact.low <= fact.value <= fact.high
        ):
            raise Broken(f"the value of {fact!r} is out of its bounds")
