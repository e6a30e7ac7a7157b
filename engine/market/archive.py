"""The archive: candles and funding rates on disk, by symbol and timeframe.

It stores what it is given and nothing else: no bar is made up where one is missing. A process
that is killed leaves what was stored before its last write, or that too; writers wait for each
other. It imports numpy: the desk reads `engine.market.holdings` instead.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine.candle import TIMEFRAMES, timeframe_name
from engine.columns import Columns, Rates
from engine.errors import BadInput, BadSettings, Broken
from engine.market import segments
from engine.market.holdings import (
    FOLDER,
    FUNDING,
    MANIFEST,
    Holding,
    Manifest,
    Segment,
    holding,
    holdings,
    read_manifest,
    series_folder,
)
from engine.market.segments import Merged, Table

# Later than any stamp, so that a range without an end has one.
FOREVER = 1 << 62
# A writer may remove a file between a look at the manifest and the reading; it does so seldom.
LOOKS = 10

T = TypeVar("T")


class Archive:
    """What is stored under DATA_DIR. Times are UTC ms, an `interval` is the length of a bar in ms.

    Raises BadSettings where the disk refuses, Broken for damaged files.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    # -- reading -----------------------------------------------------------------------------

    def holdings(self) -> list[Holding]:
        """All that is stored, from the manifests alone."""
        return holdings(self._data_dir)

    def holding(self, symbol: str, interval: int) -> Holding | None:
        """What is stored of one symbol and timeframe."""
        manifest = read_manifest(self._folder(symbol, timeframe_name(interval)) / MANIFEST)
        return holding(manifest) if manifest and manifest.segments else None

    def read(self, symbol: str, interval: int, start: int = 0, stop: int = FOREVER) -> Columns:
        """The bars that open from `start` to before `stop`, in arrays of their own.

        Raises BadInput where nothing is stored of the symbol in this timeframe.
        """
        return self._read(symbol, timeframe_name(interval), Columns, start, stop)

    def rates(self, symbol: str, start: int = 0, stop: int = FOREVER) -> Rates:
        """The funding rates settled from `start` to before `stop`; none where none are stored."""
        if not (self._folder(symbol, FUNDING) / MANIFEST).exists():
            return Rates(np.empty(0, np.int64), np.empty(0))
        return self._read(symbol, FUNDING, Rates, start, stop)

    def missing(
        self, symbol: str, interval: int, start: int, stop: int
    ) -> Sequence[tuple[int, int]]:
        """The ranges without a stored bar from `start` to before `stop`, both opens of bars."""
        if self.holding(symbol, interval) is None:
            return [(start, stop)] if start < stop else []
        ts = self.read(symbol, interval, start, stop).ts
        edges = np.concatenate(([start - interval], ts, [stop]))
        holes = np.flatnonzero(np.diff(edges) > interval)
        return [(int(edges[hole]) + interval, int(edges[hole + 1])) for hole in holes]

    def _read(self, symbol: str, timeframe: str, kind: type[Table], start: int, stop: int) -> Table:
        folder = self._folder(symbol, timeframe)

        def look() -> Table:
            manifest = read_manifest(folder / MANIFEST)
            if manifest is None or not manifest.segments:
                raise self._unknown(symbol, timeframe)
            return _rows(folder, manifest.segments, kind, start, stop)

        return _again_when_replaced(look, folder)

    def _unknown(self, symbol: str, timeframe: str) -> BadInput:
        stored = self.holdings()
        of_symbol = [each.timeframe for each in stored if each.symbol == symbol]
        if timeframe == FUNDING or not of_symbol:
            symbols = dict.fromkeys(each.symbol for each in stored)
            return BadInput("symbol", symbol, f"what is stored: {', '.join(symbols) or 'nothing'}")
        return BadInput("timeframe", timeframe, f"what is stored: {', '.join(of_symbol)}")

    def _folder(self, symbol: str, timeframe: str) -> Path:
        return series_folder(self._data_dir, symbol, timeframe)

    # -- writing -----------------------------------------------------------------------------

    def append(
        self,
        symbol: str,
        interval: int,
        columns: Columns,
        *,
        replace: bool = False,
        kept_since: int | None = None,
    ) -> Merged:
        """Store bars beside those there are, each once; all of them or, if it fails, none.

        A bar that is stored with other values stays, unless `replace` says that the new one is
        believed. What opens from `kept_since` on is not pruned from then on. Raises BadInput for
        bars that are out of order or don't open where a bar of this length does.
        """
        if interval not in TIMEFRAMES.values():
            raise BadInput("timeframe", timeframe_name(interval), ", ".join(TIMEFRAMES))
        _check(columns, interval)
        return self._append(symbol, timeframe_name(interval), columns, replace, kept_since)

    def append_rates(
        self, symbol: str, rates: Rates, *, replace: bool = False, kept_since: int | None = None
    ) -> Merged:
        """Store settled funding rates as `append` stores bars."""
        _check(rates, 1)
        return self._append(symbol, FUNDING, rates, replace, kept_since)

    def prune(self, before: int) -> list[Holding]:
        """Drop the UTC months that ended before `before` and that nobody asked to keep.

        Returns what was dropped.
        """
        dropped = []
        with self._locked():
            for each in self.holdings():
                folder = self._folder(each.symbol, each.timeframe)
                manifest = read_manifest(folder / MANIFEST)
                if manifest is not None and (old := _outdated(manifest, before)):
                    kept = manifest.segments[len(old) :]
                    _commit(folder, changed(manifest, segments=kept))
                    dropped.append(holding(changed(manifest, segments=old)))
        return dropped

    def _append(
        self, symbol: str, timeframe: str, table: Table, replace: bool, kept_since: int | None
    ) -> Merged:
        folder = self._folder(symbol, timeframe)
        with self._locked():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            manifest = read_manifest(folder / MANIFEST) or Manifest(symbol, timeframe)
            held = {segments.month_of(segment.first): segment for segment in manifest.segments}
            said = Merged(0, 0)
            for month, rows in segments.by_month(table):
                held[month], of_month = _merge(folder, held.get(month), rows, manifest, replace)
                said = said.and_then(of_month)
            since = min(filter(None, (manifest.kept_since, kept_since)), default=None)
            stored = tuple(held[month] for month in sorted(held))
            after = changed(manifest, segments=stored, kept_since=since)
            if after != manifest:
                _commit(folder, after)
        return said

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only writer; the system frees the lock when the process ends, however it does."""
        folder = self._data_dir / FOLDER
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            finally:
                os.close(file)
        except OSError as error:
            raise BadSettings(
                f"DATA_DIR: {str(folder)!r} can't be written: {error.strerror}. "
                "Allowed: a folder that this user may write, with room on its disk."
            ) from error


def _rows(
    folder: Path, stored: Sequence[Segment], kind: type[Table], start: int, stop: int
) -> Table:
    parts = [
        segments.read(folder / segment.file, segment, kind, start, stop)
        for segment in stored
        if segment.first < stop and segment.last >= start
    ]
    if len(parts) == 1:
        return parts[0]
    # Of a range in which nothing lies, the first segment gives its columns without rows.
    parts = parts or [segments.read(folder / stored[0].file, stored[0], kind, 0, 0)]
    return kind(*map(np.concatenate, zip(*parts, strict=True)))


def _again_when_replaced(look: Callable[[], T], folder: Path) -> T:
    for _ in range(LOOKS):
        try:
            return look()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadSettings(f"{folder} can't be read: {error.strerror}.") from error
    raise Broken(
        f"{folder} lacks a file that its manifest names. Remove the folder and fetch or import its "
        "candles again."
    )


def _check(table: Columns | Rates, interval: int) -> None:
    """Raise BadInput for rows that no market gives in this shape."""
    wrong = np.flatnonzero(table.ts % interval)
    if wrong.size:
        allowed = f"an open on the grid of {timeframe_name(interval)}, in UTC ms"
        raise BadInput("ts", int(table.ts[wrong[0]]), allowed)
    back = np.flatnonzero(np.diff(table.ts) <= 0)
    if back.size:
        raise BadInput("ts", int(table.ts[back[0] + 1]), "stamps that ascend, each once")
    for name, column in zip(table._fields[1:], table[1:], strict=True):
        odd = np.flatnonzero(~np.isfinite(column))
        if odd.size:
            raise BadInput(name, float(column[odd[0]]), "a finite number")


def _merge(
    folder: Path, segment: Segment | None, rows: Table, manifest: Manifest, replace: bool
) -> tuple[Segment, Merged]:
    """The segment of a month with `rows` in it, written if it is another than before."""
    if segment is None:
        return segments.write(folder, rows, manifest.interval), Merged(len(rows.ts), 0)
    try:
        old = segments.read(folder / segment.file, segment, type(rows), 0, FOREVER)
    except FileNotFoundError:
        raise Broken(
            f"{folder / segment.file} is gone. Remove the folder {folder} and fetch or import its "
            "candles again."
        ) from None
    table, said = segments.merged(old, rows, replace)
    if not said.added and not (replace and said.different):
        return segment, said
    return segments.write(folder, table, manifest.interval), said


def _outdated(manifest: Manifest, before: int) -> tuple[Segment, ...]:
    if manifest.kept_since is not None:
        before = min(before, manifest.kept_since)
    current = segments.month_of(before)
    return tuple(each for each in manifest.segments if segments.month_of(each.first) < current)


def _commit(folder: Path, manifest: Manifest) -> None:
    """Make the segments of a manifest those that count, and remove all others."""
    _sync(folder)
    segments.put(folder / MANIFEST, manifest.dumps().encode())
    _sync(folder)
    named = {segment.file for segment in manifest.segments}
    for path in (*folder.glob("*.npy"), *folder.glob("*.new")):
        if path.name not in named:
            path.unlink()


def _sync(folder: Path) -> None:
    """Bring what the files of a folder are called to the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
