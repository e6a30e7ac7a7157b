"""Recorded candles and funding rates: what replays and backtests read from files."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from engine.candle import timeframe_name
from engine.errors import BadSettings
from engine.instrument import MAJORS, Instrument, derive
from engine.market.candle_file import (
    SUFFIXES,
    CandleFile,
    Series,
    clean,
    read_candles,
    read_funding,
)

# Digits that are looked at to derive a tick; more are the noise of a float.
PRICE_DIGITS = 10
# A folder can hold hundreds of files; a message names this many of each timeframe.
NAMES_LISTED = 5

ALLOWED = f"a file ({', '.join(SUFFIXES)}), a folder of them, or several with commas between"


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was read, by symbol in alphabetical order."""

    paths: list[Path]
    interval: int
    series: dict[str, Series]
    instruments: dict[str, Instrument]
    funding: dict[str, dict[int, Decimal]]
    remarks: list[str]


def load(paths: list[Path], now: int) -> Recording:
    """Read files of candles and funding rates, or folders of them.

    Raises BadSettings for what can't be a candle; what can be, but is not true of a market, is
    left out and told in `remarks`. A last bar that had not closed at `now` (UTC ms) is left out.
    """
    paths = files_of(paths, ALLOWED)
    funding = [path for path in paths if "_funding_" in path.name]
    marks = [path for path in paths if "_markprice_" in path.name]
    candles = [path for path in paths if path not in funding and path not in marks]
    if not candles:
        names = _listed(map(str, paths))
        raise BadSettings(f"no candles in {names}. Allowed: {ALLOWED}.")
    files = [file for path in candles for file in read_candles(path)]
    interval = _one_interval(files)
    remarks: list[str] = []
    series = _series(files, now, remarks)
    instruments = {symbol: _instrument(symbol, bars, remarks) for symbol, bars in series.items()}
    rates = _rates(funding, series, remarks)
    remarks += [f"{path.name}: mark prices are not used." for path in marks]
    return Recording(candles, interval, series, instruments, rates, remarks)


def files_of(paths: Sequence[Path], allowed: str) -> list[Path]:
    """The files meant, each once, by base name: what is read must not depend on where they lie.

    Raises BadSettings, with what is `allowed`, where there is none.
    """
    if not paths:
        raise BadSettings(f"no path is given. Allowed: {allowed}.")
    found = {file.resolve(): file for path in paths for file in _files_at(path, allowed)}
    return sorted(found.values(), key=lambda file: (file.name, str(file)))


def _files_at(path: Path, allowed: str) -> list[Path]:
    if path.is_dir():
        files = [file for file in path.iterdir() if file.name.endswith(SUFFIXES)]
    else:
        files = [path] if path.is_file() and path.name.endswith(SUFFIXES) else []
    if not files:
        reason = "holds no usable file" if path.exists() else "does not exist"
        raise BadSettings(f"{path} {reason}. Allowed: {allowed}.")
    return files


def _one_interval(files: list[CandleFile]) -> int:
    names: defaultdict[int, list[str]] = defaultdict(list)
    for file in files:
        names[file.interval].append(file.path.name)
    if len(names) > 1:
        found = "; ".join(
            f"{timeframe_name(interval)} in {_listed(names[interval])}"
            for interval in sorted(names)
        )
        raise BadSettings(
            f"the files have different timeframes: {found}. Allowed: files of one timeframe."
        )
    return files[0].interval


def _listed(names: Iterable[str]) -> str:
    """File names for a sentence, a folder's worth cut short."""
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - NAMES_LISTED
    shown = ", ".join(distinct[:NAMES_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def _series(files: list[CandleFile], now: int, remarks: list[str]) -> dict[str, Series]:
    by_symbol: defaultdict[str, list[CandleFile]] = defaultdict(list)
    for file in files:
        by_symbol[file.symbol].append(file)
    found: dict[str, Series] = {}
    for symbol in sorted(by_symbol):
        found[symbol], quality = clean(by_symbol[symbol], now)
        remarks += quality.sentences()
        if not found[symbol]:
            paths = _listed(str(file.path) for file in by_symbol[symbol])
            raise BadSettings(f"{paths}: no bar of {symbol} is usable. Allowed: closed bars.")
    return found


def _instrument(symbol: str, series: Series, remarks: list[str]) -> Instrument:
    if symbol in MAJORS:
        return MAJORS[symbol]
    prices: set[float] = set()
    prices.update(*series.prices)
    instrument = derive(symbol, (f"{price:.{PRICE_DIGITS}g}" for price in prices))
    remarks.append(
        f"{symbol} is not in the built-in table, its rules are read off the data: "
        f"tick {instrument.tick:f}, step {instrument.quantity_step:f}."
    )
    return instrument


def _rates(
    paths: list[Path], series: Mapping[str, Series], remarks: list[str]
) -> dict[str, dict[int, Decimal]]:
    """Settled rates by symbol; where two files disagree about a stamp the first counts."""
    rates: defaultdict[str, dict[int, Decimal]] = defaultdict(dict)
    for path in paths:
        for symbol, settled in read_funding(path).items():
            rates[symbol] = settled | rates[symbol]
    remarks += [
        f"{symbol}: no funding rates are given, 0.01 % every 8 h is assumed."
        for symbol in series
        if symbol not in rates
    ]
    return dict(rates)
