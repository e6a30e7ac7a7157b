"""The job of a worker: candles from wherever they are, its stages in order, and what it refuses."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from engine.backtest import fast
from engine.backtest.history import from_archive
from engine.backtest.job import run
from engine.candle import DAY_MS, MINUTE_MS
from engine.columns import columns_of_candles
from engine.errors import BadInput
from engine.instrument import MAJORS
from engine.market.archive import Archive
from engine.market.candle_file import Series
from engine.strategies import STRATEGIES
from engine.studies import Finding, Place, Recorded, Setup, Source, Stage
from tests.fast_clock import FastClock
from tests.handlers.desks import BTC, ETH, T0, course
from tests.servers.bybit import BybitServer

BAR = 5 * MINUTE_MS
NOWHERE = "http://127.0.0.1:9"
DAYS = 6
MOVES = ((620, 5.0), *((40, -60.0), (60, 70.0), (120, -15.0)) * 5)
SETUP = Setup(
    strategy="shortseller",
    symbols=(BTC,),
    timeframe=BAR,
    interval=BAR,
    start=T0,
    stop=T0 + DAYS * DAY_MS,
    source=Source.ARCHIVE,
)
Told = list[tuple[Stage, str]]


def job(setup: Setup, place: Place) -> tuple[Finding, Told]:
    told: Told = []
    found, metrics = run(
        lambda stage, detail: told.append((stage, detail)), setup, setup.plan(STRATEGIES), place
    )
    assert metrics["trades"].value == len(found.trips)
    return found, told


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder in which candles of two symbols are stored; the second begins a day later."""
    archive = Archive(tmp_path)
    archive.append(BTC, BAR, columns_of_candles(course(100_000.0, MOVES)))
    later = course(3_500.0, MOVES, T0 + DAY_MS)
    archive.append(ETH, BAR, columns_of_candles(later))
    return Place(tmp_path, NOWHERE, FastClock(200))


def test_a_fast_run_compiles_and_then_equals_the_fast_backtest(place: Place) -> None:
    found, told = job(SETUP, place)
    assert [stage for stage, _ in told] == [
        Stage.LOADING, Stage.COMPILING, Stage.RUNNING, Stage.MEASURING,
    ]  # fmt: skip
    history = from_archive(Archive(place.data_dir), [BTC], BAR, SETUP.start, SETUP.stop)
    assert found == Finding.of(fast.run(SETUP.plan(STRATEGIES), history))
    assert found.trips


def test_symbols_may_begin_at_different_times(place: Place) -> None:
    found, _ = job(replace(SETUP, symbols=(ETH, BTC)), place)
    assert found.symbols == (ETH, BTC)
    assert {trip.symbol for trip in found.trips} == {BTC, ETH}


def test_an_exact_run_compiles_nothing_and_trades_the_same(place: Place) -> None:
    found, told = job(replace(SETUP, exact=True), place)
    assert [stage for stage, _ in told] == [Stage.LOADING, Stage.RUNNING, Stage.MEASURING]
    fast_found, _ = job(SETUP, place)
    assert [(t.entry_time, t.exit_time) for t in found.trips] == [
        (t.entry_time, t.exit_time) for t in fast_found.trips
    ]


def test_what_a_market_says_of_its_candles_is_told_of_the_result(tmp_path: Path) -> None:
    series = Series()
    stamps, *values = zip(*course(100_000.0, MOVES), strict=True)
    series.extend(stamps, values)
    recorded = Recorded({BTC: series}, {BTC: {}}, {BTC: MAJORS[BTC]}, ("No price is real.",))
    place = Place(tmp_path, NOWHERE, FastClock(200), recorded)
    found, _ = job(replace(SETUP, source=Source.MARKET, exact=True), place)
    assert found.remarks == ("No price is real.",)


def test_a_symbol_that_is_not_stored_is_refused_with_those_that_are(place: Place) -> None:
    with pytest.raises(BadInput, match="Allowed: what is stored: BTCUSDT, ETHUSDT"):
        job(replace(SETUP, symbols=("SOLUSDT",)), place)


async def test_what_is_missing_is_fetched_first_and_stays(tmp_path: Path) -> None:
    clock = FastClock(200)
    async with BybitServer(clock).running() as server:
        stop = server.now() // BAR * BAR
        setup = replace(
            SETUP, source=Source.BYBIT, start=stop - DAYS * DAY_MS, stop=stop, exact=True
        )
        place = Place(tmp_path, server.rest_base, clock)
        found, told = await asyncio.to_thread(job, setup, place)
        assert (found.start, found.end) == (setup.start, setup.stop)
        assert (Stage.FETCHING, "BTCUSDT 5m, 100 % of 1,728 bars") in told
        unknown = replace(setup, symbols=("NOSUCHUSDT",))
        with pytest.raises(BadInput, match="NOSUCHUSDT"):
            await asyncio.to_thread(job, unknown, place)
    again, told = await asyncio.to_thread(job, replace(setup, source=Source.ARCHIVE), place)
    assert again == found
