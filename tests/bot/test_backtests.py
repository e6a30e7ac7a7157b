"""Backtests on their way: the queue, the worker, cancellation, and what is kept on disk."""

import asyncio
import gzip
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot import backtests as module
from bot.backtests import (
    KEPT,
    LOST,
    OPEN_EACH_MAX,
    OUR_FAULT,
    TOO_LONG,
    Backtests,
    Grounds,
    Shelf,
    recorded_of,
    run_job,
)
from bot.clock import SystemClock
from bot.workers import TookTooLong, Workers
from engine.backtest import exact
from engine.backtest import job as job_module
from engine.backtest.history import from_archive
from engine.candle import DAY_MS
from engine.columns import Rates, columns_of, rates_of
from engine.errors import Broken, Refused, Unreachable
from engine.market.archive import Archive
from engine.people import Role
from engine.strategies import STRATEGIES
from engine.studies import Finding, Place, Setup, Stage, Study
from tests.askers import OPERATING, asking, person
from tests.clock import turn
from tests.findings import SETUP, done, finding
from tests.handlers.desks import BAR, BTC, T0, ScriptedMarket, course

DAYS = 5
CLOCK = SystemClock()
TOM, VERA = (asking(person(name, Role.TRADER)) for name in ("tom", "vera"))
MARKET_SETUP = replace(SETUP, start=T0, stop=T0 + DAYS * DAY_MS, exact=True)
# Up, a fall through both averages, up again, and a fall.
MOVES = ((620, 5.0), (40, -60.0), (60, 70.0), (DAYS * 288 - 720, -3.0))
PATIENCE_S = 60


class ScriptedWorker:
    """A worker that works when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Setup] = []
        self.results: asyncio.Queue[Any] = asyncio.Queue()
        self.tell: Callable[..., None] = lambda *said: None

    async def follow(self, tell: Callable[..., None], fn: Any, setup: Setup, *args: Any) -> Any:
        self.begun.append(setup)
        self.tell = tell
        result = await self.results.get()
        if isinstance(result, Exception):
            raise result
        return result


def market() -> ScriptedMarket:
    return ScriptedMarket({BTC: course(100_000.0, MOVES)})


def result_of(found: Finding) -> tuple[Finding, Any]:
    return found, done(0, found).metrics


@asynccontextmanager
async def running(
    folder: Path, workers: Any, drawers: Any = None
) -> AsyncIterator[tuple[Backtests, list[Study]]]:
    """Backtests that run, and every change that was told."""
    grounds = Grounds(folder, market(), "http://127.0.0.1:9")
    opened = Backtests(grounds, CLOCK, workers, drawers or workers)
    told: list[Study] = []
    opened.listen(told.append)
    task = asyncio.ensure_future(opened.run())
    try:
        yield opened, told
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and task.exception():
        raise task.exception()  # type: ignore[misc]


async def ended(opened: Backtests, number: int) -> Study:
    async with asyncio.timeout(PATIENCE_S):
        while not (study := await opened.study(number)).is_over:
            await CLOCK.sleep(0.01)
    return study


async def begun(worker: ScriptedWorker, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(worker.begun) < count:
            await CLOCK.sleep(0.01)


# -- for real ------------------------------------------------------------------------------


async def test_a_backtest_runs_in_a_worker_and_equals_the_same_run_here(tmp_path: Path) -> None:
    workers = Workers(CLOCK)
    async with running(tmp_path, workers) as (opened, told):
        [study] = await opened.start([MARKET_SETUP], TOM)
        assert (await ended(opened, 1)).stage is Stage.DONE
        found = await opened.finding(study.number)
    await workers.close()
    plan = MARKET_SETUP.plan(STRATEGIES)
    recorded = await recorded_of(market(), MARKET_SETUP, CLOCK)
    archive = Archive(tmp_path / "here")
    archive.append(BTC, BAR, columns_of(recorded.series[BTC]))
    archive.append_rates(BTC, rates_of(recorded.rates[BTC]))
    here = exact.run(plan, from_archive(archive, [BTC], BAR, MARKET_SETUP.start, MARKET_SETUP.stop))
    assert found.trips == here.trips
    assert found.trips
    assert found.marks == here.marks
    assert [each.stage for each in told] == [
        Stage.LOADING, Stage.LOADING, Stage.RUNNING, Stage.MEASURING, Stage.DRAWING,
        Stage.DONE,
    ]  # fmt: skip


async def test_what_a_worker_refuses_is_the_reason(tmp_path: Path) -> None:
    workers = Workers(CLOCK)
    short = replace(MARKET_SETUP, stop=T0 + DAY_MS)
    async with running(tmp_path, workers) as (opened, _):
        await opened.start([short], TOM)
        study = await ended(opened, 1)
    await workers.close()
    assert study.stage is Stage.FAILED
    assert study.failure.startswith(
        "candles: '288 bars of BTCUSDT' is not valid. Allowed: at least"
    )


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        (
            Path("own/dip.py"),
            Refused,
            r"shortseller of dip\.py failed: ZeroDivisionError: by zero\.",
        ),
        (None, ZeroDivisionError, "by zero"),
    ],
)
def test_what_fails_in_a_strategy_of_ones_own_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, source: Path | None, error: type[Exception], reason: str
) -> None:
    def fail(*job: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(job_module, "run", fail)
    monkeypatch.setattr(module, "known_with", lambda source: STRATEGIES)
    place = Place(Path(), "http://127.0.0.1:9", CLOCK)
    with pytest.raises(error, match=reason):
        run_job(lambda *said: None, MARKET_SETUP, place, source)


def test_nothing_that_comes_back_from_a_compiled_run_needs_numpy() -> None:
    compiled = [(np.int64(mark.ts), np.float64(mark.equity)) for mark in finding().marks]
    found = Finding.of(replace(finding(), marks=tuple(compiled)).outcome(SETUP.plan(STRATEGIES)))
    assert b"numpy" not in pickle.dumps(found)
    assert found == finding()


# -- the queue -----------------------------------------------------------------------------


async def test_one_runs_at_a_time_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    setups = [replace(MARKET_SETUP, values={"stop_loss": n / 100}) for n in (1, 2, 3)]
    async with running(tmp_path, worker) as (opened, told):
        await opened.start(setups, TOM)
        await begun(worker, 1)
        assert [opened.ahead(number) for number in (1, 2, 3)] == [0, 1, 2]
        worker.tell(Stage.RUNNING, "1,440 bars")
        assert (await opened.study(1)).detail == "1,440 bars"
        for _ in setups:
            worker.results.put_nowait(result_of(finding()))
        await ended(opened, 3)
        await turn()
    assert worker.begun == setups
    assert [each.number for each in told if each.is_over] == [1, 2, 3]


async def test_too_many_of_one_person_are_refused_and_none_of_them_is_run(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        for _ in range(OPEN_EACH_MAX):
            await opened.start([MARKET_SETUP], TOM)
        with pytest.raises(Refused, match="Too many backtests wait already"):
            await opened.start([MARKET_SETUP], TOM)
        await opened.start([MARKET_SETUP], VERA)
        assert len(opened.numbers()) == OPEN_EACH_MAX + 1


async def test_what_is_canceled_ends_with_its_work_and_the_next_one_runs(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, told):
        await opened.start([MARKET_SETUP] * 3, TOM)
        await begun(worker, 1)
        opened.cancel(1)
        opened.cancel(2)
        await begun(worker, 2)
        worker.results.put_nowait(result_of(finding()))
        stages = [(await ended(opened, number)).stage for number in (1, 2, 3)]
        with pytest.raises(Refused, match="Backtest 1 neither waits nor runs"):
            opened.cancel(1)
    assert stages == [Stage.CANCELED, Stage.CANCELED, Stage.DONE]
    assert len(worker.begun) == 2
    with pytest.raises(Refused, match="Backtest 2 has no result: it is canceled"):
        await opened.finding(2)


async def test_canceling_ends_the_process(tmp_path: Path) -> None:
    workers = Workers(CLOCK)
    async with running(tmp_path, workers) as (opened, _):
        await opened.start([MARKET_SETUP], TOM)
        async with asyncio.timeout(PATIENCE_S):
            while workers.pid is None:
                await CLOCK.sleep(0.01)
        opened.cancel(1)
        assert (await ended(opened, 1)).stage is Stage.CANCELED
        async with asyncio.timeout(PATIENCE_S):
            while workers.pid is not None:
                await CLOCK.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TookTooLong("a worker took longer than 600 s"), TOO_LONG),
        (Unreachable("Bybit does not answer."), "Bybit does not answer."),
        (Refused("days: too few."), "days: too few."),
        (Broken("fn failed in a worker"), OUR_FAULT),
        (ZeroDivisionError(), OUR_FAULT),
    ],
)
async def test_a_backtest_that_fails_says_why_and_the_next_one_runs(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        await opened.start([MARKET_SETUP] * 2, TOM)
        worker.results.put_nowait(error)
        worker.results.put_nowait(result_of(finding()))
        assert (await ended(opened, 1)).failure == reason
        assert (await ended(opened, 2)).stage is Stage.DONE


# -- what is kept --------------------------------------------------------------------------


async def test_a_result_is_there_after_a_restart_and_numbers_go_on(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        await opened.start([MARKET_SETUP], TOM)
        worker.results.put_nowait(result_of(finding()))
        first = await ended(opened, 1)
    async with running(tmp_path, worker) as (again, told):
        assert await again.study(1) == first
        assert await again.finding(1) == finding()
        [second] = await again.start([MARKET_SETUP], TOM)
        assert second.number == 2


async def test_who_asked_is_kept_by_the_name_that_people_see(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        await opened.start([MARKET_SETUP], OPERATING)
        kept = Shelf(tmp_path / "backtests").study(1)
    assert (kept.asked_by, kept.asker) == ("console:root", "root at the console")


def test_a_result_that_was_kept_without_a_name_is_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(done(1, finding()), finding())
    path = tmp_path / "1.json.gz"
    written = gzip.decompress(path.read_bytes())
    nameless = written.replace(b',"asker":""', b"")
    assert nameless != written
    path.write_bytes(gzip.compress(nameless))
    assert shelf.study(1) == done(1, finding())


async def test_what_a_desk_did_not_end_is_lost_and_says_so(tmp_path: Path) -> None:
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        await opened.start([MARKET_SETUP] * 2, TOM)
        await begun(worker, 1)
    async with running(tmp_path, worker) as (again, told):
        for number in (1, 2):
            study = await ended(again, number)
            assert (study.stage, study.failure) == (Stage.FAILED, LOST)
        async with asyncio.timeout(PATIENCE_S):
            while len(told) < 2:
                await CLOCK.sleep(0.01)
    assert sorted(each.number for each in told) == [1, 2]


def test_the_newest_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(1, KEPT + 4):
        shelf.put(done(number, finding()))
    assert sorted(shelf.numbers()) == list(range(4, KEPT + 4))


def flipped(content: bytes, first: int, last: int) -> bytes:
    """The content with every bit of some bytes turned over."""
    return content[:first] + bytes(each ^ 0xFF for each in content[first:last]) + content[last:]


DAMAGED = (
    b"",
    b"not gzip",
    gzip.compress(b""),
    gzip.compress(b"{}\n"),
    flipped(gzip.compress(b'{"number": 7}\n' * 2_000), 12, 30),
    gzip.compress(b" " * (1 << 21) + b"{}\n"),
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "7.json.gz").write_bytes(content)
    with pytest.raises(Broken, match=r"7\.json\.gz is damaged"):
        shelf.study(7)


def test_a_result_without_a_figure_there_is_now_is_of_another_version(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    study = done(7, finding())
    older = {key: metric for key, metric in study.metrics.items() if key != "sharpe"}
    shelf.put(replace(study, metrics=older), finding())
    with pytest.raises(Broken, match="of another version"):
        shelf.study(7)


@pytest.mark.parametrize("content", DAMAGED)
async def test_a_damaged_file_keeps_no_backtest_from_running(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / module.FOLDER).mkdir()
    (tmp_path / module.FOLDER / "7.json.gz").write_bytes(content)
    worker = ScriptedWorker()
    async with running(tmp_path, worker) as (opened, _):
        [study] = await opened.start([MARKET_SETUP], TOM)
        worker.results.put_nowait(result_of(finding()))
        assert (await ended(opened, study.number)).stage is Stage.DONE


async def test_the_report_is_made_in_a_worker_of_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shelf(tmp_path / module.FOLDER).put(done(1, finding()), finding())
    workers = Workers(CLOCK)
    async with running(tmp_path, workers) as (opened, _):
        page = await opened.report(1)
        with pytest.raises(Refused, match="There is no backtest 2"):
            await opened.report(2)
    await workers.close()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "shortseller" in page


async def test_the_markets_own_candles_are_read_whole(tmp_path: Path) -> None:
    setup = replace(MARKET_SETUP, start=T0 + DAY_MS)
    found = await recorded_of(market(), setup, CLOCK)
    stamps = list(found.series[BTC].ts)
    assert stamps == list(range(setup.start, setup.stop, BAR))
    rates: Rates = rates_of(found.rates[BTC])
    assert len(rates.ts) == (DAYS - 1) * 3 + 1


async def test_what_the_market_says_of_its_candles_goes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ScriptedMarket, "remarks", lambda market: ["No price is real."])
    found = await recorded_of(market(), MARKET_SETUP, CLOCK)
    assert found.remarks == ("No price is real.",)


async def test_a_result_that_can_not_be_kept_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = ScriptedWorker()

    def full(self: Shelf, study: Study, finding: Finding | None = None) -> None:
        raise OSError(28, "No space left on device")

    async with running(tmp_path, worker) as (opened, told):
        await opened.start([MARKET_SETUP], TOM)
        monkeypatch.setattr(Shelf, "put", full)
        worker.results.put_nowait(result_of(finding()))
        study = await ended(opened, 1)
        assert study.failure == "Its result can't be kept: No space left on device."
        with pytest.raises(Refused, match="Backtests can't be kept: No space left"):
            await opened.start([MARKET_SETUP], TOM)
        assert told[-1] == study
