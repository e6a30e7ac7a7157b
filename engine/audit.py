"""The audit chain: every act in a row of its own, each row sealed together with the one before.

`mac = HMAC-SHA256(key, canonical row + previous mac)`: whoever edits, removes or swaps a row
without the key breaks every seal after it, and the keyed head shows a cut tail. Old rows leave by
a cut alone: a checkpoint, sealed with the same key, that the chain goes on from.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

GENESIS = "0" * 64
# Rows that are older may be cut away.
KEPT_DAYS = 180


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


@dataclass(frozen=True, slots=True)
class AuditAnchor:
    """Where the audit ended when it was posted: the row's number and mac, and when (UTC ms)."""

    seq: int
    mac: str
    ts: int


@dataclass(frozen=True, slots=True)
class AuditCut:
    """The last row that was cut away, when (UTC ms), and the seal over these."""

    seq: int
    mac: str
    ts: int
    seal: str


@dataclass(frozen=True, slots=True)
class AuditFound:
    """How many rows match a search, and the newest of them, newest first."""

    total: int
    rows: list[AuditRow]


def seal(act: Act, seq: int, prev: str, key: bytes) -> AuditRow:
    """The row that follows the row sealed with `prev`."""
    row = [seq, act.ts, act.actor, act.action, act.detail, prev]
    canonical = json.dumps(row, ensure_ascii=True, separators=(",", ":"))
    return AuditRow(seq, act.ts, act.actor, act.action, act.detail, prev, _mac(key, canonical))


def head_of(row: AuditRow, key: bytes) -> AuditHead:
    return AuditHead(row.seq, _mac(key, f"head:{row.seq}:{row.mac}"))


def cut_at(row: AuditRow, ts: int, key: bytes) -> AuditCut:
    """The checkpoint that takes the place of this row and of all before it."""
    return AuditCut(row.seq, row.mac, ts, _mac(key, f"cut:{row.seq}:{row.mac}:{ts}"))


def is_sealed_with(row: AuditRow, head: AuditHead | None, key: bytes) -> bool:
    """Whether anything of the end of a chain was sealed with this key."""
    act = Act(row.ts, row.actor, row.action, row.detail)
    return seal(act, row.seq, row.prev, key) == row or (
        head is not None and head_of(row, key) == head
    )


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


# -- verification ------------------------------------------------------------------------


class Verdict(StrEnum):
    GOOD = "good"
    CHANGED_ROW = "changed row"
    LONGER = "longer than the chain"
    SHORTER = "shorter than the anchor"
    ANCHOR_MISMATCH = "anchor mismatch"
    FORGED_CUT = "forged cut"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a chain: at which row, and a sentence that names it."""

    verdict: Verdict
    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Whole:
    """A chain that holds: how many rows from when to when (UTC ms), and where it ends.

    Without rows the times and the end are None. `cut` is the row up to which others were cut away.
    """

    rows: int
    since: int | None
    until: int | None
    last: AuditRow | None
    cut: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody wrote down of a row: its mac or how that begins, and its number, if known."""

    mac: str
    seq: int | None = None

    def fits(self, mac: str) -> bool:
        return _same(self.mac, mac[: len(self.mac)])


def verify(
    rows: Iterable[AuditRow],
    key: bytes,
    head: AuditHead | None,
    cut: AuditCut | None = None,
    anchors: Iterable[AuditAnchor] = (),
    mark: Mark | None = None,
    begun: bool = False,
) -> Whole | Fault:
    """Check a whole stored chain, its rows in the order of their numbers.

    `head` and `cut` are those that are stored, `anchors` what was posted, `mark` what somebody
    wrote down elsewhere; `begun` says that a desk has run, whose start is the first row. Rows are
    taken one at a time.
    """
    check = Verifier(key, head, cut, anchors, mark)
    if fault := check.begin():
        return fault
    for row in rows:
        if fault := check.take(row):
            return fault
    found = check.end()
    if begun and isinstance(found, Whole) and found.last is None:
        text = "Row 1 is missing: a desk has run on this database, and the audit has no rows."
        return Fault(Verdict.SHORTER, 1, text)
    return found


class Verifier:
    """Checks a chain row by row; nothing counts after the first fault."""

    def __init__(
        self,
        key: bytes,
        head: AuditHead | None,
        cut: AuditCut | None = None,
        anchors: Iterable[AuditAnchor] = (),
        mark: Mark | None = None,
    ) -> None:
        self._key = key
        self._head = head
        self._cut = cut
        self._seq, self._mac = (cut.seq, cut.mac) if cut else (0, GENESIS)
        self._begun_at = self._seq
        self._first: AuditRow | None = None
        self._last: AuditRow | None = None
        self._marks: dict[int, list[Mark]] = {}
        for anchor in anchors:
            self._marks.setdefault(anchor.seq, []).append(Mark(anchor.mac))
        # One whose row is not known is looked for in every row.
        self._sought = mark if mark is not None and mark.seq is None else None
        if mark is not None and mark.seq is not None:
            self._marks.setdefault(mark.seq, []).append(mark)

    def begin(self) -> Fault | None:
        """Check what the chain goes on from."""
        cut = self._cut
        if cut is None:
            return None
        row = AuditRow(cut.seq, 0, "", "", "", "", cut.mac)
        if not _same(cut.seal, cut_at(row, cut.ts, self._key).seal):
            text = f"The cut after row {cut.seq} was not sealed with this key."
            return Fault(Verdict.FORGED_CUT, cut.seq, text)
        return self._compare(cut.seq, cut.mac)

    def take(self, row: AuditRow) -> Fault | None:
        """Check the next row."""
        expected = self._seq + 1
        if self._head is not None and expected > self._head.seq:
            text = f"Row {row.seq} stands after row {self._head.seq}, where the sealed chain ends."
            return Fault(Verdict.LONGER, row.seq, text)
        if row.seq != expected:
            return self._misplaced(row, expected)
        sealed = seal(Act(row.ts, row.actor, row.action, row.detail), row.seq, self._mac, self._key)
        if not (_same(row.prev, self._mac) and _same(row.mac, sealed.mac)):
            text = f"Row {row.seq} is not as it was sealed with this key after the row before it."
            return Fault(Verdict.CHANGED_ROW, row.seq, text)
        self._seq, self._mac, self._last = row.seq, row.mac, row
        self._first = self._first or row
        return self._compare(row.seq, row.mac)

    def end(self) -> Whole | Fault:
        """Check what must hold once all rows were taken."""
        return self._missing_mark() or self._wrong_head() or self._not_found() or self._whole()

    def _whole(self) -> Whole:
        first, last = self._first, self._last
        return Whole(
            rows=self._seq - self._begun_at,
            since=first.ts if first else None,
            until=last.ts if last else None,
            last=last,
            cut=self._cut.seq if self._cut else None,
        )

    def _misplaced(self, row: AuditRow, expected: int) -> Fault:
        if isinstance(row.seq, int) and row.seq <= self._begun_at:
            text = f"Row {row.seq} stands before row {expected}, where the chain begins."
            return Fault(Verdict.CHANGED_ROW, row.seq, text)
        if isinstance(row.seq, int) and row.seq < expected:
            return Fault(Verdict.CHANGED_ROW, row.seq, f"Row {row.seq} stands there twice.")
        text = f"Row {expected} is missing: row {row.seq} stands in its place."
        return Fault(Verdict.CHANGED_ROW, expected, text)

    def _compare(self, seq: int, mac: str) -> Fault | None:
        """Hold a row, or the cut in its place, against all that was written down of it."""
        if self._sought is not None and self._sought.fits(mac):
            self._sought = None
        if all(mark.fits(mac) for mark in self._marks.pop(seq, ())):
            return None
        text = f"Row {seq} is not the one that was written down: its mac is {mac}."
        return Fault(Verdict.ANCHOR_MISMATCH, seq, text)

    def _wrong_head(self) -> Fault | None:
        head, last = self._head, self._seq
        if head is None and self._last is None and self._cut is None:
            return None
        if head is None:
            text = f"The sealed head, which says that the chain ends at row {last}, is missing."
            return Fault(Verdict.CHANGED_ROW, last, text)
        if last < head.seq:
            text = f"Row {last + 1} is missing: the sealed head is of row {head.seq}."
            return Fault(Verdict.SHORTER, last + 1, text)
        if not _same(head.mac, _mac(self._key, f"head:{last}:{self._mac}")):
            text = f"The sealed head is not that of row {last}, the last one."
            return Fault(Verdict.CHANGED_ROW, last, text)
        return None

    def _missing_mark(self) -> Fault | None:
        later = [seq for seq in self._marks if seq > self._seq]
        if later:
            text = f"Row {self._seq + 1} is missing: row {max(later)} was written down once."
            return Fault(Verdict.SHORTER, self._seq + 1, text)
        return None

    def _not_found(self) -> Fault | None:
        if self._sought is not None:
            text = f"No row has the mac {self._sought.mac}; the last one is row {self._seq}."
            return Fault(Verdict.SHORTER, self._seq, text)
        return None


def _same(one: str, other: str) -> bool:
    """Compare in constant time. What was read of a meddled database may be of any type."""
    pair = (str(text).encode("utf-8", "surrogatepass") for text in (one, other))
    return hmac.compare_digest(*pair)


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
