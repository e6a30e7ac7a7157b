"""Segments: the rows of one UTC month in a file of numpy's, a column after the other.

A file is written beside, brought to the disk and then renamed, and never changed: it is there
whole or not at all. Its name holds the digest of what is in it. `numpy.load` opens it too.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.columns import Columns, Rates
from engine.errors import Broken
from engine.market.holdings import Segment

Table = TypeVar("Table", Columns, Rates)

# Every value takes as many bytes, so that a row's place follows from its number.
CELL = 8
KINDS = {"ts": "<i8"}
DIGEST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of rows that were to be stored: they were `added`, or there already.

    Of those there already `different` had other values, the first at `first_different` (UTC ms).
    """

    added: int
    known: int
    different: int = 0
    first_different: int | None = None

    def and_then(self, other: "Merged") -> "Merged":
        """Both together, where `other` came later in time."""
        first = other.first_different if self.first_different is None else self.first_different
        return Merged(
            self.added + other.added,
            self.known + other.known,
            self.different + other.different,
            first,
        )


def month_of(ts: int) -> str:
    """The UTC month of a moment in ms, as in 2026-07."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m}"


def by_month(table: Table) -> Iterator[tuple[str, Table]]:
    """The rows of each UTC month, as views."""
    place, end = 0, len(table.ts)
    while place < end:
        first = datetime.fromtimestamp(int(table.ts[place]) / 1000, UTC)
        after = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
        stop = int(np.searchsorted(table.ts, round(after.timestamp() * 1000)))
        yield f"{first:%Y-%m}", type(table)._make(column[place:stop] for column in table)
        place = stop


def merged(old: Table, new: Table, replace: bool) -> tuple[Table, Merged]:
    """The rows of both by time; where they disagree `replace` says that the new are believed."""
    known, mine, theirs = np.intersect1d(old.ts, new.ts, assume_unique=True, return_indices=True)
    pairs = list(zip(old[1:], new[1:], strict=True))
    differs = np.any([kept[mine] != given[theirs] for kept, given in pairs], axis=0)
    if replace:
        for kept, given in pairs:
            kept[mine] = given[theirs]
    fresh = np.ones(len(new.ts), bool)
    fresh[theirs] = False
    union = [np.concatenate((kept, given[fresh])) for kept, given in zip(old, new, strict=True)]
    order = np.argsort(union[0], kind="stable")
    first = int(known[differs][0]) if differs.any() else None
    said = Merged(int(fresh.sum()), len(known), int(differs.sum()), first)
    return type(old)._make(column[order] for column in union), said


# -- files -----------------------------------------------------------------------------------


def write(folder: Path, table: Table, interval: int) -> Segment:
    """Store rows of one month; `interval` (ms) is what its holes are counted by, 0 for none."""
    content = _packed(table)
    name = sha256(content).hexdigest()[:DIGEST_DIGITS]
    first, last = int(table.ts[0]), int(table.ts[-1])
    file = f"{month_of(first)}-{name}.npy"
    put(folder / file, content)
    gaps = int((np.diff(table.ts) > interval).sum()) if interval else 0
    return Segment(file, first, last, len(table.ts), gaps, len(content))


def _packed(table: Table) -> bytes:
    rows = len(table.ts)
    kinds = [(name, KINDS.get(name, "<f8"), (rows,)) for name in table._fields]
    packed = np.empty(1, np.dtype(kinds))
    for name, column in zip(table._fields, table, strict=True):
        packed[name][0] = column
    file = BytesIO()
    np.save(file, packed, allow_pickle=False)
    return file.getvalue()


def put(path: Path, content: bytes) -> None:
    """A file with this content, whole or not at all, also when the power fails."""
    fresh = path.with_suffix(".new")
    with open(fresh, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path, segment: Segment, kind: type[Table], start: int, stop: int) -> Table:
    """The rows from `start` to before `stop` (UTC ms), as arrays of their own.

    Raises Broken where the file is not as its segment says, FileNotFoundError without one.
    """
    names = kind._fields
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # The header is as long as the rows leave room for.
        data = segment.size - CELL * len(names) * segment.rows
        if os.fstat(file).st_size != segment.size or data <= 0:
            raise _damaged(path)
        ts = _cells(file, path, "ts", data, segment.rows)
        first, end = map(int, np.searchsorted(ts, (start, stop)))
        columns = [
            _cells(file, path, name, data + CELL * (place * segment.rows + first), end - first)
            for place, name in enumerate(names[1:], 1)
        ]
    finally:
        os.close(file)
    return kind(ts[first:end], *columns)


def _cells(file: int, path: Path, name: str, offset: int, count: int) -> NDArray[Any]:
    found = np.empty(count, KINDS.get(name, "<f8"))
    if count and os.preadv(file, [found.data], offset) != CELL * count:
        raise _damaged(path)
    return found


def _damaged(path: Path) -> Broken:
    return Broken(
        f"{path} is damaged. Remove the folder {path.parent} and fetch or import its candles again."
    )
