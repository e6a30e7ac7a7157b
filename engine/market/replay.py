"""The replay market: recorded candles from files, served as if they closed now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from engine.candle import Candle, timeframe_name
from engine.errors import BadSettings
from engine.event import CandleClosed
from engine.instrument import MAJORS, Instrument, derive
from engine.market.candle_file import (
    SUFFIXES,
    CandleFile,
    Series,
    clean,
    read_candles,
    read_funding,
)
from engine.market.tape import Tape
from engine.ports import Clock

# What Bybit's perpetuals settle every 8 hours while nobody is in a hurry.
FUNDING_RATE = Decimal("0.0001")
# Digits that are looked at to derive a tick; more are the noise of a float.
PRICE_DIGITS = 10
# Bars, and funding rates, that a recording is recognized by.
IDENTITY_BARS = 100
# A folder can hold hundreds of files; a message names this many of each timeframe.
NAMES_LISTED = 5

ALLOWED = f"a file ({', '.join(SUFFIXES)}), a folder of them, or several with commas between"


def open_replay(spec: str, speed: float, clock: Clock) -> "ReplayMarket":
    """The market of `MARKET=replay:PATH`, given the PATH: a file, a folder or a comma list."""
    paths = [Path(part.strip()).expanduser() for part in spec.split(",") if part.strip()]
    return ReplayMarket(paths, speed, clock)


class ReplayMarket:
    """Candles of one timeframe from `paths` (files or folders), through the door `Market`.

    Loads the files at once and raises BadSettings for what can't be a candle; what can be,
    but is not true of a market, is left out and told in `remarks`.
    """

    def __init__(self, paths: list[Path], speed: float, clock: Clock) -> None:
        recording = _load(_files(paths), clock.now())
        self._recording = recording
        self._tape = Tape(recording.series, recording.interval, speed, clock)
        self.symbols: Sequence[str] = tuple(recording.series)
        self.interval = recording.interval
        self.name = f"replay{_digest(recording)}"
        self.label = _label(recording)

    @property
    def speed(self) -> float:
        """Market time over wall time; 0 is as fast as it goes."""
        return self._tape.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._tape.speed = speed

    @property
    def caught_up(self) -> bool:
        """Whether every candle was served."""
        return self._tape.caught_up

    def instrument(self, symbol: str) -> Instrument:
        return self._recording.instruments[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        return self._recording.funding.get(symbol, {}).get(ts, FUNDING_RATE)

    def remarks(self) -> Sequence[str]:
        return self._recording.remarks

    def health(self) -> None:
        """Nothing comes in from outside."""

    def resume(self, cursors: Mapping[str, int]) -> None:
        self._tape.resume(cursors)

    async def next(self, limit: int) -> list[CandleClosed]:
        return await self._tape.next(limit)

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        return self._tape.history(symbol, interval, until, limit)


@dataclass(frozen=True, slots=True)
class _Recording:
    """All that was read, by symbol in alphabetical order."""

    paths: list[Path]
    interval: int
    series: dict[str, Series]
    instruments: dict[str, Instrument]
    funding: dict[str, dict[int, Decimal]]
    remarks: list[str]


def _files(paths: list[Path]) -> list[Path]:
    """The files meant, by base name: what is read must not depend on where they lie."""
    if not paths:
        raise BadSettings(f"MARKET=replay: no path is given. Allowed: {ALLOWED}.")
    found = {file.resolve(): file for path in paths for file in _files_at(path)}
    return sorted(found.values(), key=lambda file: (file.name, str(file)))


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        files = [file for file in path.iterdir() if file.name.endswith(SUFFIXES)]
    else:
        files = [path] if path.is_file() and path.name.endswith(SUFFIXES) else []
    if not files:
        reason = "holds no usable file" if path.exists() else "does not exist"
        raise BadSettings(f"MARKET=replay: {path} {reason}. Allowed: {ALLOWED}.")
    return files


def _load(paths: list[Path], now: int) -> _Recording:
    funding = [path for path in paths if "_funding_" in path.name]
    marks = [path for path in paths if "_markprice_" in path.name]
    candles = [path for path in paths if path not in funding and path not in marks]
    if not candles:
        names = _listed(map(str, paths))
        raise BadSettings(f"MARKET=replay: no candles in {names}. Allowed: {ALLOWED}.")
    files = [file for path in candles for file in read_candles(path)]
    interval = _one_interval(files)
    remarks: list[str] = []
    series = _series(files, now, remarks)
    instruments = {symbol: _instrument(symbol, bars, remarks) for symbol, bars in series.items()}
    rates = _rates(funding, series, remarks)
    remarks += [f"{path.name}: mark prices are not used." for path in marks]
    return _Recording(candles, interval, series, instruments, rates, remarks)


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
            f"MARKET=replay: the files have different timeframes: {found}. "
            "Allowed: files of one timeframe."
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


def _digest(recording: _Recording) -> str:
    """Tells one recording from another by how it begins, whatever its files are called.

    A file that has grown since is still the same recording; one that was written anew is not.
    """
    digest = blake2b(digest_size=4)
    digest.update(str(recording.interval).encode())
    for symbol, series in recording.series.items():
        beginning = list(islice(series.since(0), IDENTITY_BARS))
        rates = sorted(recording.funding.get(symbol, {}).items())[:IDENTITY_BARS]
        digest.update(repr((symbol, beginning, rates)).encode())
    return digest.hexdigest()


def _label(recording: _Recording) -> str:
    first, *others = map(_stem, recording.paths)
    more = f" and {len(others)} more file{'s' if len(others) > 1 else ''}" if others else ""
    count = sum(map(len, recording.series.values()))
    return f"replay of {first}{more} ({count:,} candles)"


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end))
