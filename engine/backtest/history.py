"""The candles of a backtest: from files or from the archive, checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from engine.backtest.plan import BARS_BEYOND_WARM_UP
from engine.candle import FUNDING_EVERY_MS, settled_before, timeframe_name
from engine.columns import Columns, Rates, columns_of, digest, rates_of, take
from engine.errors import BadInput
from engine.instrument import MAJORS, Instrument, derive
from engine.market import recording
from engine.market.archive import Archive
from engine.market.recording import PRICE_DIGITS
from engine.strategies.kernel import Strategy

DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class History:
    """Candles of one timeframe (`interval`, ms) with what else trading them takes, by symbol.

    `digest` names candles and rates by their content, `remarks` say what was found wrong with
    the data and what was done about it.
    """

    interval: int
    columns: Mapping[str, Columns]
    rates: Mapping[str, Rates]
    instruments: Mapping[str, Instrument]
    digest: str
    remarks: tuple[str, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @property
    def bars(self) -> int:
        return sum(len(each.ts) for each in self.columns.values())

    @property
    def start(self) -> int:
        return min(int(each.ts[0]) for each in self.columns.values())

    @property
    def end(self) -> int:
        return max(int(each.ts[-1]) for each in self.columns.values()) + self.interval

    def only(self, symbols: Sequence[str]) -> "History":
        """The same of some symbols; raises BadInput for one that is not there."""
        for symbol in symbols:
            if symbol not in self.columns:
                raise BadInput("symbol", symbol, ", ".join(self.columns))
        dropped = set(self.columns) - set(symbols)
        return History(
            self.interval,
            {symbol: self.columns[symbol] for symbol in symbols},
            self.rates,
            self.instruments,
            f"{self.digest}:{','.join(symbols)}",
            tuple(each for each in self.remarks if each.partition(":")[0] not in dropped),
        )

    def within(self, start: int, stop: int) -> "History":
        """The candles that open from `start` to before `stop` (UTC ms), as views."""
        cut = {}
        for symbol, columns in self.columns.items():
            first, last = np.searchsorted(columns.ts, (start, stop))
            if first < last:
                cut[symbol] = take(columns, slice(first, last))
        digest = f"{self.digest}:{start}-{stop}"
        return History(self.interval, cut, self.rates, self.instruments, digest, self.remarks)


def from_files(paths: list[Path], now: int) -> History:
    """Recorded candles. Raises BadSettings for what can't be a candle."""
    found = recording.load(paths, now)
    columns = {symbol: columns_of(series) for symbol, series in found.series.items()}
    rates = {symbol: rates_of(found.funding.get(symbol, {})) for symbol in columns}
    return made(found.interval, columns, rates, found.instruments, found.remarks)


def made(
    interval: int,
    columns: Mapping[str, Columns],
    rates: Mapping[str, Rates],
    instruments: Mapping[str, Instrument],
    remarks: Sequence[str] = (),
) -> History:
    """A history named by its content."""
    total = sha256()
    for symbol, bars in columns.items():
        total.update(f"{symbol}:{digest(bars)}".encode())
        total.update(rates[symbol].ts.tobytes() + rates[symbol].rate.tobytes())
    name = total.hexdigest()[:DIGEST_DIGITS]
    return History(interval, columns, rates, instruments, name, tuple(remarks))


def from_archive(
    archive: Archive, symbols: Sequence[str], interval: int, start: int, stop: int
) -> History:
    """Stored candles. Raises BadInput naming what is stored where a symbol is not."""
    columns = {symbol: archive.read(symbol, interval, start, stop) for symbol in symbols}
    remarks: list[str] = []
    for symbol, bars in columns.items():
        if not len(bars.ts):
            allowed = "a time of which candles are stored; `countersign data list` shows them"
            raise BadInput("days", f"{symbol} has no {timeframe_name(interval)} candle", allowed)
        gaps = int(np.count_nonzero(np.diff(bars.ts) > interval))
        if gaps:
            missing = int((bars.ts[-1] - bars.ts[0]) // interval + 1 - len(bars.ts))
            remarks.append(
                f"{symbol}: {_count(gaps, 'gap')} ({_count(missing, 'bar')} missing); "
                "nothing is filled in."
            )
    rates = {symbol: archive.rates(symbol) for symbol in symbols}
    remarks += [
        f"{symbol}: no funding rates are given, 0.01 % every 8 h is assumed."
        for symbol in symbols
        if not len(rates[symbol].ts)
    ]
    instruments = {symbol: _instrument(symbol, bars) for symbol, bars in columns.items()}
    return made(interval, columns, rates, instruments, remarks)


def _instrument(symbol: str, bars: Columns) -> Instrument:
    if symbol in MAJORS:
        return MAJORS[symbol]
    prices = np.unique(np.concatenate(bars[1:5]))
    return derive(symbol, (f"{price:.{PRICE_DIGITS}g}" for price in prices))


def check(strategy: Strategy, history: History) -> tuple[str, ...]:
    """What to know of these candles beside their own remarks; raises BadInput where the strategy
    can't run on them."""
    fit(strategy, history)
    remarks = []
    for symbol, columns in history.columns.items():
        silent = int(np.count_nonzero(columns.volume == 0.0))
        if silent:
            remarks.append(
                f"{symbol}: {_count(silent, 'bar')} without volume, traded at their prices."
            )
        remarks += _funding_missing(symbol, columns, history.rates[symbol])
    return tuple(remarks)


def fit(strategy: Strategy, history: History) -> None:
    """Raises BadInput where a strategy can't run on these candles."""
    if not history.columns:
        raise BadInput("candles", "none", "some of at least one symbol in the time asked for")
    for timeframe in filter(None, (strategy.timeframe, strategy.higher)):
        if timeframe % history.interval:
            raise BadInput(
                "timeframe",
                timeframe_name(history.interval),
                f"candles of which {timeframe_name(timeframe)} can be made, for {strategy.name}",
            )
    for symbol, columns in history.columns.items():
        span = int(columns.ts[-1] - columns.ts[0]) + history.interval
        bars = span // strategy.timeframe
        needed = strategy.bars_needed + BARS_BEYOND_WARM_UP
        if bars < needed:
            raise BadInput(
                "candles",
                f"{bars} bars of {symbol}",
                f"at least {needed} bars of {timeframe_name(strategy.timeframe)}, of which "
                f"{strategy.bars_needed} only warm {strategy.name} up",
            )


def _funding_missing(symbol: str, columns: Columns, rates: Rates) -> list[str]:
    """What is assumed where some rates are given, but not those of every settlement."""
    first, last = (settled_before(int(columns.ts[end])) for end in (0, -1))
    stamps = np.arange(first + FUNDING_EVERY_MS, last + 1, FUNDING_EVERY_MS)
    missing = int(np.count_nonzero(~np.isin(stamps, rates.ts)))
    if not missing or not len(rates.ts):
        return []
    return [
        f"{symbol}: {missing:,} of {len(stamps):,} funding rates are missing; 0.01 % is assumed "
        "there."
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number > 1 else ''}"
