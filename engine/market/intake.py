"""Bringing files of candles and of funding rates into the archive, and telling what is dirty."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path

from engine.candle import timeframe_name
from engine.columns import Columns, columns_of, rates_of
from engine.errors import BadSettings
from engine.market.archive import Archive
from engine.market.candle_file import (
    SUFFIXES,
    CandleFile,
    clean,
    read_candles,
    read_funding,
    utc,
)
from engine.market.download import sentences
from engine.market.recording import files_of

ALLOWED = f"files ({', '.join(SUFFIXES)}) and folders of them"


def take_in(archive: Archive, paths: Sequence[Path], now: int, replace: bool) -> list[str]:
    """Store what the files hold, and say what came and what was wrong with it.

    `now` (UTC ms) tells which bar may still be forming. With `replace` the files are believed
    where other values are stored. Nothing of it is pruned later. Raises BadSettings naming the
    first file or cell that can't be; then nothing is stored.
    """
    files = files_of(paths, ALLOWED)
    rates = [read_funding(path) for path in files if "_funding_" in path.name]
    marks = [path for path in files if "_markprice_" in path.name]
    others = [path for path in files if "_funding_" not in path.name and path not in marks]
    candles = chain.from_iterable(map(read_candles, others))
    series = [_usable(each, now) for each in _by_series(candles)]
    told = [f"{path.name}: mark prices are not used." for path in marks]
    for each in series:
        told += [*each.told, *_store(archive, each, replace)]
    for settled in rates:
        told += _store_rates(archive, settled, replace)
    return told


@dataclass(frozen=True, slots=True)
class _Series:
    """The usable bars of one symbol and timeframe, and what is to be told of the others."""

    symbol: str
    interval: int
    columns: Columns
    told: list[str]

    @property
    def name(self) -> str:
        return f"{self.symbol} {timeframe_name(self.interval)}"


def _by_series(files: Iterable[CandleFile]) -> list[list[CandleFile]]:
    found: defaultdict[tuple[str, int], list[CandleFile]] = defaultdict(list)
    for file in files:
        found[file.symbol, file.interval].append(file)
    return [found[key] for key in sorted(found)]


def _usable(files: Sequence[CandleFile], now: int) -> _Series:
    symbol, interval = files[0].symbol, files[0].interval
    series, quality = clean(files, now)
    columns, off = _on_grid(columns_of(series), interval)
    told = [*quality.sentences(), *(f"{symbol}: {each}" for each in off)]
    if not len(columns.ts):
        raise BadSettings(
            f"{files[0].path}: no bar of {symbol} is usable. Allowed: closed bars that open at "
            f"multiples of {timeframe_name(interval)} from midnight UTC."
        )
    return _Series(symbol, interval, columns, told)


def _on_grid(columns: Columns, interval: int) -> tuple[Columns, list[str]]:
    """The bars that open where a bar of this length does, counted from midnight UTC."""
    off = columns.ts % interval != 0
    if not off.any():
        return columns, []
    count, first = int(off.sum()), utc(int(columns.ts[off][0]))
    what = f"1 bar off the grid of {timeframe_name(interval)}, at"
    if count > 1:
        what = f"{count:,} bars off the grid of {timeframe_name(interval)}, the first at"
    return Columns._make(column[~off] for column in columns), [f"{what} {first}; left out."]


def _store(archive: Archive, each: _Series, replace: bool) -> list[str]:
    since = int(each.columns.ts[0])
    said = archive.append(
        each.symbol, each.interval, each.columns, replace=replace, kept_since=since
    )
    return sentences(each.name, "bar", said, replace)


def _store_rates(
    archive: Archive, settled: Mapping[str, Mapping[int, Decimal]], replace: bool
) -> list[str]:
    told = []
    for symbol, found in sorted(settled.items()):
        rates, since = rates_of(found), min(found)
        said = archive.append_rates(symbol, rates, replace=replace, kept_since=since)
        told += sentences(f"{symbol} funding", "rate", said, replace)
    return told
