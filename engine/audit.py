"""The audit chain: every act in a row of its own, each row sealed together with the one before.

`mac = HMAC-SHA256(key, canonical row + previous mac)`: whoever edits, removes or swaps a row
without the key breaks every seal after it, and the keyed head shows a cut tail.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be kept: who did what to what, when (UTC ms)."""

    ts: int
    actor: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An act in the chain."""

    seq: int
    ts: int
    actor: str
    action: str
    detail: str
    prev: str
    mac: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of the chain: the last row's number, and the seal over its number and mac."""

    seq: int
    mac: str


def seal(act: Act, seq: int, prev: str, key: bytes) -> AuditRow:
    """The row that follows the row sealed with `prev`."""
    row = [seq, act.ts, act.actor, act.action, act.detail, prev]
    canonical = json.dumps(row, ensure_ascii=True, separators=(",", ":"))
    return AuditRow(seq, act.ts, act.actor, act.action, act.detail, prev, _mac(key, canonical))


def head_of(row: AuditRow, key: bytes) -> AuditHead:
    return AuditHead(row.seq, _mac(key, f"head:{row.seq}:{row.mac}"))


def broken_end(row: AuditRow | None, head: AuditHead | None, key: bytes) -> str:
    """What is wrong with the end of a stored chain, in words; empty when it holds."""
    if row is None and head is None:
        return ""
    if row is None or head is None:
        return "the audit's last row or its sealed head is missing"
    act = Act(row.ts, row.actor, row.action, row.detail)
    if seal(act, row.seq, row.prev, key) != row:
        return f"audit row {row.seq} was not sealed with this key, or was changed"
    if head_of(row, key) != head:
        return f"the audit ends at row {row.seq}, but its sealed head is of row {head.seq}"
    return ""


class Chain:
    """Seals acts one after the other; moves on only when told that they are stored."""

    def __init__(self, key: bytes, last: AuditRow | None) -> None:
        self._key = key
        self._seq = last.seq if last else 0
        self._mac = last.mac if last else GENESIS

    def seal(self, acts: Iterable[Act]) -> list[AuditRow]:
        rows: list[AuditRow] = []
        seq, mac = self._seq, self._mac
        for act in acts:
            seq += 1
            row = seal(act, seq, mac, self._key)
            mac = row.mac
            rows.append(row)
        return rows

    def head(self, rows: list[AuditRow]) -> AuditHead:
        return head_of(rows[-1], self._key)

    def advance(self, rows: list[AuditRow]) -> None:
        if rows:
            self._seq, self._mac = rows[-1].seq, rows[-1].mac


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
