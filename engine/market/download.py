"""Fetching candles and funding rates from Bybit into the archive: what is there is not asked again.

A fetch that ended early, however it ended, goes on where it was: each part is stored as it comes.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from engine.bybit.address import Address
from engine.bybit.rest import KLINES_PAGE, BybitRest
from engine.candle import Candle, timeframe_name
from engine.columns import columns_of_candles, rates_of
from engine.errors import Unreachable
from engine.market.archive import Archive
from engine.market.candle_file import Quality, utc
from engine.market.segments import Merged
from engine.ports import Clock

# Of the 600 in 5 s that Bybit allows an address, a desk at the same one may use 300.
REQUESTS = 100
REQUESTS_S = 5.0
# Bars asked for before they are stored: what a fetch that is killed has to ask for again.
CHUNK_BARS = 5 * KLINES_PAGE
# Waits between the tries of a request that got no answer.
WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0)

OnProgress = Callable[[str, int, int], None]
"""Told the symbol, the bars asked for so far, and all that have to be."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Bars of `interval` ms that open from `start` to before `stop` (UTC ms, opens of bars).

    With `replace` all are asked for, and believed where others are stored; with `keeps` they are
    not pruned later.
    """

    interval: int
    start: int
    stop: int
    replace: bool = False
    keeps: bool = False

    @property
    def kept_since(self) -> int | None:
        return self.start if self.keeps else None


def open_rest(base: str, clock: Clock) -> BybitRest:
    """Bybit's REST at a pace that leaves room for a desk at the same address."""
    return BybitRest(base, clock, Address(clock, REQUESTS, REQUESTS_S))


async def wanted(
    rest: BybitRest,
    clock: Clock,
    symbols: Sequence[str],
    interval: int,
    days_ms: int,
    *,
    replace: bool,
    keeps: bool,
) -> Wanted:
    """The bars of so many ms that have closed by Bybit's time.

    Asks for one bar of each symbol, so that an unknown one is named before the long way:
    raises BadInput for it.
    """
    now = await _patiently(rest.server_time, clock)
    stop = now - now % interval
    for symbol in symbols:
        await _klines(rest, clock, symbol, interval, stop - interval, stop)
    return Wanted(interval, stop - days_ms // interval * interval, stop, replace, keeps)


async def fetch(
    rest: BybitRest,
    archive: Archive,
    clock: Clock,
    symbol: str,
    bars: Wanted,
    on_progress: OnProgress,
) -> list[str]:
    """Bring a symbol's bars and funding rates into the archive, and say what came.

    Raises Unreachable when Bybit does not answer for half a minute; what came until then is
    stored.
    """
    said = await _fetch_bars(rest, archive, clock, symbol, bars, on_progress)
    rates = await _fetch_rates(rest, archive, clock, symbol, bars)
    name = f"{symbol} {timeframe_name(bars.interval)}"
    return [
        *sentences(name, "bar", said, bars.replace),
        *sentences(f"{symbol} funding", "rate", rates, bars.replace),
        *gaps(archive, symbol, bars),
    ]


async def _fetch_bars(
    rest: BybitRest,
    archive: Archive,
    clock: Clock,
    symbol: str,
    bars: Wanted,
    on_progress: OnProgress,
) -> Merged:
    interval = bars.interval
    ranges = [(bars.start, bars.stop)]
    if not bars.replace:
        ranges = list(archive.missing(symbol, interval, bars.start, bars.stop))
    left = sum(stop - start for start, stop in ranges) // interval
    said = Merged(0, (bars.stop - bars.start) // interval - left)
    asked = 0
    for start, stop in chain.from_iterable(_chunks(*each, interval) for each in ranges):
        candles = await _klines(rest, clock, symbol, interval, start, stop)
        stored = archive.append(
            symbol,
            interval,
            columns_of_candles(candles),
            replace=bars.replace,
            kept_since=bars.kept_since,
        )
        said = said.and_then(stored)
        asked += (stop - start) // interval
        on_progress(symbol, asked, left)
    return said


def _chunks(start: int, stop: int, interval: int) -> Sequence[tuple[int, int]]:
    width = CHUNK_BARS * interval
    return [(each, min(each + width, stop)) for each in range(start, stop, width)]


async def _fetch_rates(
    rest: BybitRest, archive: Archive, clock: Clock, symbol: str, bars: Wanted
) -> Merged:
    """All of them again each time: they are few."""
    found = await _patiently(lambda: rest.funding_rates(symbol, bars.start, bars.stop), clock)
    return archive.append_rates(
        symbol, rates_of(found), replace=bars.replace, kept_since=bars.kept_since
    )


async def _klines(
    rest: BybitRest, clock: Clock, symbol: str, interval: int, start: int, stop: int
) -> list[Candle]:
    return await _patiently(lambda: rest.klines(symbol, interval, start, stop), clock)


async def _patiently(ask: Callable[[], Awaitable[T]], clock: Clock) -> T:
    for wait_s in WAITS_S:
        try:
            return await ask()
        except Unreachable:
            await clock.sleep(wait_s)
    return await ask()


# -- saying it -------------------------------------------------------------------------------


def sentences(name: str, noun: str, said: Merged, replace: bool) -> list[str]:
    """What became of rows that were stored, and which of them are not what was stored before."""
    told = [f"{name}: {_counted(said.added, noun)} new, {said.known:,} stored before."]
    if said.different and said.first_different is not None:
        one = said.different == 1
        outcome = "the new were taken" if replace else "the stored were kept"
        told.append(
            f"{name}: {_counted(said.different, noun)} {'differs' if one else 'differ'} from "
            f"what was stored, {'at' if one else 'the first at'} {utc(said.first_different)}; "
            f"{outcome}."
        )
    return told


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def gaps(archive: Archive, symbol: str, bars: Wanted) -> list[str]:
    """The holes in what is stored of a range, as a sentence where there are any."""
    interval = bars.interval
    holes = archive.missing(symbol, interval, bars.start, bars.stop)
    if not holes:
        return []
    missing = sum(stop - start for start, stop in holes) // interval
    opens = [start for start, _ in holes]
    return Quality(f"{symbol} {timeframe_name(interval)}", gaps=opens, missing=missing).sentences()
