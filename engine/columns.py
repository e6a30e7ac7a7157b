"""Bars of one symbol as arrays, the form the kernels, the archive and the backtests take.

It imports numpy, so only worker processes, the heavy commands and the benchmarks import it.
"""

from array import array
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.candle import Candle

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


class Columns(NamedTuple):
    """Bars of one symbol, oldest first: arrays of equal length.

    `ts` are the opens in UTC ms, ascending and each once; `volume` is in base currency.
    """

    ts: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Rates(NamedTuple):
    """Settled funding rates of one symbol, oldest first: stamps in UTC ms and fractions."""

    ts: Times
    rate: Floats


class Bars(Protocol):
    """Bars as candle files are read into: `prices` are open, high, low and close."""

    ts: "array[int]"
    prices: "tuple[array[float], ...]"
    volume: "array[float]"


def columns_of(bars: Bars) -> Columns:
    """The same bars without a copy; `bars` can't grow while the columns are in use."""
    values = (np.frombuffer(column) for column in (*bars.prices, bars.volume))
    return Columns(np.frombuffer(bars.ts, dtype=np.int64), *values)


def columns_of_candles(candles: Sequence[Candle]) -> Columns:
    """The same bars as arrays."""
    table = np.array(candles, dtype=np.float64).reshape(-1, len(Columns._fields))
    # A stamp in ms has 41 bits, so that a float holds it to the last one.
    ts, *values = table.T
    return Columns(ts.astype(np.int64), *map(np.ascontiguousarray, values))


def rates_of(settled: Mapping[int, Decimal]) -> Rates:
    """Funding rates by stamp (UTC ms) as arrays."""
    stamps = sorted(settled)
    rates = (float(settled[ts]) for ts in stamps)
    return Rates(np.array(stamps, np.int64), np.fromiter(rates, np.float64))


def no_columns() -> Columns:
    """No bars at all."""
    return Columns(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))


def take(columns: Columns, chosen: slice) -> Columns:
    """The bars at the indexes `chosen`, as views."""
    return Columns(columns.ts[chosen], *(column[chosen] for column in columns[1:]))


def between(columns: Columns, start: int, stop: int) -> Columns:
    """The bars that open from `start` to before `stop` (UTC ms), as views."""
    first, end = np.searchsorted(columns.ts, (start, stop))
    return take(columns, slice(int(first), int(end)))


def joined(parts: Sequence[Columns]) -> Columns:
    """The bars of all `parts`, in their order; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Columns(*map(np.concatenate, zip(*parts, strict=True))) if parts else no_columns()


def digest(columns: Columns) -> str:
    """The SHA-256 of the bars in hex: the same for the same bars, however they were stored."""
    found = sha256()
    for column, kind in zip(columns, ("<i8", *("<f8",) * 5), strict=True):
        found.update(np.ascontiguousarray(column, dtype=kind).data)
    return found.hexdigest()
