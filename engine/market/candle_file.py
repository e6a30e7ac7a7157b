"""Files of candles and of funding rates: reading them, and telling what is wrong with them.

What can't be a bar is refused with its place in the file; what can't be true of the market is
left out and told. Nothing is ever filled in.
"""

import csv
import gzip
import re
import sys
import zlib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import compress, islice, pairwise
from math import inf, isfinite
from operator import gt, sub, truediv
from pathlib import Path
from typing import NoReturn, TextIO

from engine.candle import MINUTE_MS, TIMEFRAMES, Candle, timeframe_name
from engine.errors import BadSettings, Broken

SUFFIXES = (".csv", ".csv.gz", ".parquet")
PRICES = ("open", "high", "low", "close")
CANDLE_COLUMNS = ("ts", *PRICES)
FUNDING_COLUMNS = ("ts", "funding_rate")

# Bitcoin began in 2009; a stamp outside these years is in seconds or in microseconds.
TS_MIN = 1_230_768_000_000
TS_MAX = 4_102_444_800_000
# Rows are checked and stored in blocks, so that a year of minutes is never held as text.
BLOCK_ROWS = 16_384
# A price beyond this multiple of its neighbors is a misprint. Of eight years of majors the
# longest wick reached 1.41 times (a daily bar of SOL, 2022-11-09), on 2025-10-10 1.08 (5 m).
ABSURD_RATIO = 2.0
# Stamps of settlements carry some ms of jitter.
STAMP_MS = MINUTE_MS

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]+", re.ASCII)
_SYMBOLS_IN_NAME = (re.compile(r"[A-Z0-9]+USDT"), re.compile(r"[A-Z0-9]+USD"))

TS_ALLOWED = "the open of the bar in UTC milliseconds, of the years 2009 to 2100"
PRICE_ALLOWED = "a price above zero"
VOLUME_ALLOWED = "a number of at least zero, or nothing"
SYMBOL_ALLOWED = "capital letters and digits, as in BTCUSDT"
RATE_ALLOWED = "a rate as a fraction, between -1 and 1"

Row = Sequence[str]
Columns = Sequence[Sequence[float]]


class Series:
    """Bars of one symbol, oldest first, a column each: 8 bytes a value instead of 200 a bar."""

    def __init__(self) -> None:
        self.ts: array[int] = array("q")
        self.prices: tuple[array[float], ...] = tuple(array("d") for _ in PRICES)
        self.volume: array[float] = array("d")

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def first(self) -> int:
        return self.ts[0]

    def since(self, start: int) -> Iterator[Candle]:
        return self._candles(bisect_left(self.ts, start), len(self))

    def between(self, start: int, stop: int) -> Sequence[Candle]:
        return list(self._candles(bisect_left(self.ts, start), bisect_left(self.ts, stop)))

    def candle(self, index: int) -> Candle:
        return next(self._candles(index, index + 1))

    def extend(self, ts: Iterable[int], values: Iterable[Iterable[float]]) -> None:
        """Append bars given as the stamps and the columns open, high, low, close, volume."""
        self.ts.extend(ts)
        for column, added in zip((*self.prices, self.volume), values, strict=True):
            column.extend(added)

    def pick(self, indexes: Sequence[int]) -> "Series":
        """The bars at `indexes`, in that order."""
        picked = Series()
        values = (map(column.__getitem__, indexes) for column in (*self.prices, self.volume))
        picked.extend(map(self.ts.__getitem__, indexes), values)
        return picked

    def _candles(self, start: int, stop: int) -> Iterator[Candle]:
        # Views, because slices of an array are copies.
        ts = memoryview(self.ts)[start:stop]
        values = (memoryview(column)[start:stop] for column in (*self.prices, self.volume))
        return map(Candle._make, zip(ts, *values, strict=True))


@dataclass(slots=True)
class CandleFile:
    """The bars of one symbol in one file, sorted; `disorder` holds the stamps that went back.

    `written_at` is when the file was last changed, in UTC ms.
    """

    path: Path
    symbol: str
    series: Series
    disorder: list[int]
    interval: int
    written_at: int


# -- reading ---------------------------------------------------------------------------------


def read_candles(path: Path) -> list[CandleFile]:
    """The bars in a file, by symbol; raises BadSettings naming the first cell that can't be."""
    found: defaultdict[str, Series] = defaultdict(Series)
    named = _symbol_in_name(path)
    for block in _blocks(path, CANDLE_COLUMNS):
        ts, values, symbols = _parsed(block)
        _sort_in(found, ts, values, symbols or named or _no_symbol(path))
    if not found:
        raise BadSettings(f"{path} holds no candles. Allowed: a header and at least two bars.")
    return [_candle_file(path, symbol, series) for symbol, series in sorted(found.items())]


def read_funding(path: Path) -> dict[str, dict[int, Decimal]]:
    """Settled rates by symbol and stamp (ms, at whole minutes); the first of a stamp counts."""
    found: defaultdict[str, dict[int, Decimal]] = defaultdict(dict)
    named = _symbol_in_name(path)
    for block in _blocks(path, FUNDING_COLUMNS):
        for cells in _checked_rows(block, _funding_fault):
            symbol = cells.get("symbol") or named or _no_symbol(path)
            stamp = (int(cells["ts"]) + STAMP_MS // 2) // STAMP_MS * STAMP_MS
            found[symbol].setdefault(stamp, Decimal(cells["funding_rate"]))
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of a file; `first` is the line of the first, blank lines are empty rows."""

    path: Path
    header: list[str]
    first: int
    rows: list[Row]


def _blocks(path: Path, required: Sequence[str]) -> Iterator[_Block]:
    blocks = _parquet_blocks(path) if path.name.endswith(".parquet") else _csv_blocks(path)
    for block in blocks:
        for column in required:
            if column not in block.header:
                raise BadSettings(
                    f"{path}, line 1: the column {column!r} is missing. Found: "
                    f"{', '.join(block.header)}. Allowed: a header with {', '.join(required)}."
                )
        if any(block.rows):
            yield block


def _csv_blocks(path: Path) -> Iterator[_Block]:
    try:
        with _open_text(path) as lines:
            reader = csv.reader(lines, skipinitialspace=True)
            header = [name.strip().lower() for name in next(reader, ())]
            line = reader.line_num + 1
            while rows := list(islice(reader, BLOCK_ROWS)):
                yield _Block(path, header, line, list(rows))
                line = reader.line_num + 1
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise BadSettings(
            f"{path} can't be read: {error}. Allowed: text, or text packed by gzip."
        ) from error


def _open_text(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _parquet_blocks(path: Path) -> Iterator[_Block]:
    """The rows of a Parquet file as the texts a CSV file would hold, so that one check serves."""
    try:
        # Heavy and optional; it ships no types.
        import pyarrow as arrow  # type: ignore[import-untyped]
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise BadSettings(
            f"{path} is a Parquet file, and pyarrow, which reads those, is not installed: "
            f"{sys.executable} -m pip install pyarrow"
        ) from error
    try:
        # Line 1 is the header that a CSV file would have.
        line = 2
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BLOCK_ROWS):
                columns = [map(_text, column.to_pylist()) for column in batch.columns]
                rows: list[Row] = list(zip(*columns, strict=True))
                yield _Block(path, [name.lower() for name in batch.schema.names], line, rows)
                line += len(rows)
    except (OSError, arrow.ArrowException) as error:
        raise BadSettings(f"{path} can't be read: {error}. Allowed: a Parquet file.") from error


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _symbol_in_name(path: Path) -> str | None:
    matches = (pattern.search(path.name) for pattern in _SYMBOLS_IN_NAME)
    return next((match.group() for match in matches if match), None)


def _no_symbol(path: Path) -> NoReturn:
    raise BadSettings(
        f"{path}: no symbol is given. Allowed: a column symbol, or a name such as BTCUSDT_5m.csv."
    )


def _sort_in(
    found: Mapping[str, Series], ts: list[int], values: Columns, symbols: str | Row
) -> None:
    """Append the bars of a block to the series of their symbols."""
    if isinstance(symbols, str):
        found[symbols].extend(ts, values)
        return
    for symbol in set(symbols):
        mask = [symbol == other for other in symbols]
        chosen = (compress(column, mask) for column in values)
        found[symbol].extend(compress(ts, mask), chosen)


def _candle_file(path: Path, symbol: str, series: Series) -> CandleFile:
    disorder = [after for before, after in _steps_back(series.ts)]
    if disorder:
        series = series.pick(_order(series.ts))
    interval = _spacing(path, series.ts)
    return CandleFile(path, symbol, series, disorder, interval, _written_at(path))


def _steps_back(ts: "array[int]") -> Iterator[tuple[int, int]]:
    if any(map(gt, ts, islice(ts, 1, None))):
        return ((before, after) for before, after in pairwise(ts) if after < before)
    return iter(())


def _order(ts: "array[int]") -> list[int]:
    return sorted(range(len(ts)), key=ts.__getitem__)


def _spacing(path: Path, ts: "array[int]") -> int:
    """The most frequent time between two bars, in ms; it must be a timeframe."""
    spacings: Counter[int] = Counter(map(sub, islice(ts, 1, None), ts))
    del spacings[0]
    if not spacings:
        raise BadSettings(f"{path} holds a single bar. Allowed: at least two.")
    interval = max(spacings, key=lambda spacing: (spacings[spacing], -spacing))
    if interval not in TIMEFRAMES.values():
        raise BadSettings(
            f"{path}: the bars are {timeframe_name(interval)} apart. "
            f"Allowed: {', '.join(TIMEFRAMES)}."
        )
    return interval


def _written_at(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


# -- checking cells --------------------------------------------------------------------------


def _parsed(block: _Block) -> tuple[list[int], Columns, Row | None]:
    """Stamps, the columns of values and the symbols of a block, all checked.

    Whole columns are checked at once; only when something is wrong are the rows looked at
    one by one, to say where.
    """
    try:
        table = dict(zip(block.header, zip(*filter(None, block.rows), strict=True), strict=True))
        ts = _integers(table["ts"])
        values = [_numbers(table[name]) for name in PRICES]
        values.append(_volumes(table.get("volume"), len(ts)))
        symbols = table.get("symbol")
        if _plausible(ts, values) and (not symbols or all(map(_SYMBOL.fullmatch, set(symbols)))):
            return ts, values, symbols
    except ValueError:
        pass
    for _ in _checked_rows(block, _candle_fault):
        pass
    raise Broken(f"{block.path}: a block was refused, and none of its rows")


def _plausible(ts: list[int], values: Columns) -> bool:
    opens, highs, lows, closes, volumes = values
    return (
        min(ts) >= TS_MIN
        and max(ts) < TS_MAX
        and min(lows) > 0
        and max(highs) < inf
        and min(volumes) >= 0
        and max(volumes) < inf
        and not any(map(gt, opens, highs))
        and not any(map(gt, closes, highs))
        and not any(map(gt, lows, opens))
        and not any(map(gt, lows, closes))
    )


def _integers(cells: Row) -> list[int]:
    if "".join(cells).encode().translate(None, b"0123456789+-"):
        raise ValueError
    return list(map(int, cells))


def _numbers(cells: Row) -> list[float]:
    # float() also takes "nan", "1_000" and digits of other scripts.
    if "".join(cells).encode().translate(None, b"0123456789+-.eE"):
        raise ValueError
    return list(map(float, cells))


def _volumes(cells: Row | None, count: int) -> list[float]:
    if cells is None:
        return [0.0] * count
    return _numbers([cell or "0" for cell in cells] if "" in cells else cells)


Fault = tuple[str, str]
"""The column that can't be, and what is allowed there."""


def _checked_rows(
    block: _Block, fault: Callable[[Mapping[str, str]], Fault | None]
) -> Iterator[dict[str, str]]:
    """The rows of a block as cells by column; raises BadSettings at the first with a fault."""
    for line, row in enumerate(block.rows, block.first):
        if not row:
            continue
        if len(row) != len(block.header):
            raise BadSettings(
                f"{block.path}, line {line}: {len(row)} cells found. "
                f"Allowed: {len(block.header)}, as in the header."
            )
        cells = dict(zip(block.header, row, strict=True))
        if (found := fault(cells)) is not None:
            column, allowed = found
            raise BadSettings(
                f"{block.path}, line {line}, {column}: {cells[column]!r} is not valid. "
                f"Allowed: {allowed}."
            )
        yield cells


def _candle_fault(cells: Mapping[str, str]) -> Fault | None:
    if not _is_stamp(cells["ts"]):
        return "ts", TS_ALLOWED
    for name in PRICES:
        if not (_is_number(cells[name]) and float(cells[name]) > 0):
            return name, PRICE_ALLOWED
    if (fault := _range_fault(*(cells[name] for name in PRICES))) is not None:
        return fault
    volume = cells.get("volume") or "0"
    if not (_is_number(volume) and float(volume) >= 0):
        return "volume", VOLUME_ALLOWED
    return _symbol_fault(cells)


def _range_fault(open_: str, high: str, low: str, close: str) -> Fault | None:
    if float(high) < max(float(open_), float(close)):
        return "high", f"at least the open {open_} and the close {close}"
    if float(low) > min(float(open_), float(close)):
        return "low", f"at most the open {open_} and the close {close}"
    return None


def _funding_fault(cells: Mapping[str, str]) -> Fault | None:
    if not _is_stamp(cells["ts"]):
        return "ts", TS_ALLOWED
    rate = cells["funding_rate"]
    if not (_is_number(rate) and -1 < float(rate) < 1):
        return "funding_rate", RATE_ALLOWED
    return _symbol_fault(cells)


def _symbol_fault(cells: Mapping[str, str]) -> Fault | None:
    if "symbol" in cells and not _SYMBOL.fullmatch(cells["symbol"]):
        return "symbol", SYMBOL_ALLOWED
    return None


def _is_stamp(cell: str) -> bool:
    return bool(_INTEGER.fullmatch(cell)) and TS_MIN <= int(cell) < TS_MAX


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) and isfinite(float(cell))


# -- quality ---------------------------------------------------------------------------------

# One sentence for each kind of trouble: what it is called, and what became of it.
KINDS = {
    "disorder": ("bar out of order", "bars out of order", "sorted"),
    "forming": ("bar still forming", "bars still forming", "left out"),
    "repeated": ("duplicate bar", "duplicate bars", "each taken once"),
    "conflicting": ("bar given twice and differently", "bars given twice and differently",
                    "the first was kept"),
    "overlapping": ("bar overlapping the one before", "bars overlapping the one before",
                    "left out"),
    "absurd": ("absurd print", "absurd prints", "left out like a gap"),
}  # fmt: skip


@dataclass(slots=True)
class Quality:
    """What was found wrong with the bars of one symbol: the opens concerned, by kind."""

    symbol: str
    found: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    absurd: Candle | None = None
    gaps: list[int] = field(default_factory=list)
    missing: int = 0

    def sentences(self) -> list[str]:
        """What a person should know, a sentence for each kind."""
        told = [self._sentence(kind) for kind in KINDS if self.found[kind]]
        return [*told, self._gap_sentence()] if self.gaps else told

    def _sentence(self, kind: str) -> str:
        places = self.found[kind]
        one, many, outcome = KINDS[kind]
        what = f"1 {one}, at" if len(places) == 1 else f"{len(places):,} {many}, the first at"
        shown = ""
        if kind == "absurd" and self.absurd is not None:
            _, *prices, _ = self.absurd
            named = zip(PRICES, prices, strict=True)
            shown = f" ({', '.join(f'{name} {price:.10g}' for name, price in named)})"
        return f"{self.symbol}: {what} {utc(min(places))}{shown}; {outcome}."

    def _gap_sentence(self) -> str:
        many = len(self.gaps) > 1
        count = f"{len(self.gaps):,} gaps" if many else "1 gap"
        bars = f"{self.missing:,} bar{'s' if self.missing > 1 else ''} missing"
        where = f"{'the first ' if many else ''}after {utc(self.gaps[0])}"
        return f"{self.symbol}: {count} ({bars}), {where}; nothing is filled in."


def utc(ts: int) -> str:
    """A moment given in ms, as people read it."""
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def clean(files: Sequence[CandleFile], now: int) -> tuple[Series, Quality]:
    """The bars of one symbol from all its files, without those that can't be true.

    Where files disagree about a bar the first file is believed.
    """
    quality = Quality(files[0].symbol)
    series = Series()
    for file in files:
        kept = _without_forming(file, now, quality)
        quality.found["disorder"] += file.disorder
        series.extend(kept.ts, (*kept.prices, kept.volume))
    if next(_steps_back(series.ts), None):
        series = series.pick(_order(series.ts))
    series = _without_duplicates(series, files[0].interval, quality)
    _find_gaps(series.ts, files[0].interval, quality)
    return _without_absurd(series, quality), quality


def _without_forming(file: CandleFile, now: int, quality: Quality) -> Series:
    """Drop the last bar when it was open as the file was written, or still is.

    A file date before the bar's open says nothing: archives and clones set dates of their own.
    """
    last = file.series.ts[-1]
    closes = last + file.interval
    if not (last <= file.written_at < closes or last <= now < closes):
        return file.series
    quality.found["forming"].append(last)
    return file.series.pick(range(len(file.series) - 1))


def _without_duplicates(series: Series, interval: int, quality: Quality) -> Series:
    spacings = map(sub, islice(series.ts, 1, None), series.ts)
    if min(spacings, default=interval) >= interval:
        return series
    kept: list[int] = []
    for index, ts in enumerate(series.ts):
        if not kept or ts - series.ts[kept[-1]] >= interval:
            kept.append(index)
        else:
            quality.found[_clash(series.candle(kept[-1]), series.candle(index))].append(ts)
    return series.pick(kept)


def _clash(kept: Candle, other: Candle) -> str:
    if kept == other:
        return "repeated"
    return "conflicting" if kept.ts == other.ts else "overlapping"


def _find_gaps(ts: "array[int]", interval: int, quality: Quality) -> None:
    if not ts or ts[-1] - ts[0] == interval * (len(ts) - 1):
        return
    for before, after in pairwise(ts):
        missing = (after - before) // interval - 1
        if missing:
            quality.gaps.append(before + interval)
            quality.missing += missing


def _without_absurd(series: Series, quality: Quality) -> Series:
    opens, highs, lows, closes = series.prices
    # Most data never doubles within or between two bars: three looks at whole columns say so.
    steps = list(map(truediv, islice(closes, 1, None), closes))
    calm = max(map(truediv, highs, lows), default=1) <= ABSURD_RATIO
    if calm and max(steps, default=1) <= ABSURD_RATIO and min(steps, default=1) * ABSURD_RATIO >= 1:
        return series
    absurd = {index for index in range(len(series)) if _is_absurd(series, index)}
    if not absurd:
        return series
    quality.found["absurd"] = [series.ts[index] for index in sorted(absurd)]
    quality.absurd = series.candle(min(absurd))
    return series.pick([index for index in range(len(series)) if index not in absurd])


def _is_absurd(series: Series, index: int) -> bool:
    opens, highs, lows, closes = series.prices
    body = (opens[index], closes[index])
    if lows[index] * ABSURD_RATIO < min(body) or highs[index] > ABSURD_RATIO * max(body):
        return True
    if index == 0:
        return False
    before = closes[index - 1]
    if _is_apart(opens[index], before, closes[index]):
        return True
    return index + 1 < len(series) and _is_apart(closes[index], before, closes[index + 1])


def _is_apart(price: float, before: float, after: float) -> bool:
    """Whether a price is absurd beside two others that agree with each other."""
    agree = max(before, after) <= ABSURD_RATIO * min(before, after)
    above = price > ABSURD_RATIO * max(before, after)
    return agree and (above or price * ABSURD_RATIO < min(before, after))
