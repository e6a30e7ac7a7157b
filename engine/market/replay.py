"""The replay market: recorded candles from files, served as if they closed now."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from engine.candle import Candle
from engine.errors import BadSettings
from engine.event import CandleClosed
from engine.instrument import Instrument
from engine.market.candle_file import SUFFIXES
from engine.market.recording import Recording, load
from engine.market.tape import Tape
from engine.ports import Clock

# What Bybit's perpetuals settle every 8 hours while nobody is in a hurry.
FUNDING_RATE = Decimal("0.0001")
# Bars, and funding rates, that a recording is recognized by.
IDENTITY_BARS = 100


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
        try:
            recording = load(paths, clock.now())
        except BadSettings as error:
            raise BadSettings(f"MARKET=replay: {error}") from error
        self._recording = recording
        self._tape = Tape(recording.series, recording.interval, speed, clock, self.funding_rate)
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


def _digest(recording: Recording) -> str:
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


def _label(recording: Recording) -> str:
    first, *others = map(_stem, recording.paths)
    more = f" and {len(others)} more file{'s' if len(others) > 1 else ''}" if others else ""
    count = sum(map(len, recording.series.values()))
    return f"replay of {first}{more} ({count:,} candles)"


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end))
