"""Backtests on their way: a queue before one worker process, and what came of each on disk.

DATA_DIR/backtests/<number>.json.gz holds two lines: what was asked and how it ended, and what
the account did. The second is there when it is done, so that a list need not read it.
"""

import asyncio
import gzip
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.own_strategies import known_with
from bot.workers import Tell, TookTooLong, Workers
from engine.candle import DAY_MS, FUNDING_EVERY_MS, settled_before
from engine.errors import Broken, CountersignError, Refused, Unreachable
from engine.market.candle_file import Series
from engine.metrics import TITLES, Metric
from engine.people import Asker
from engine.ports import Clock, Market
from engine.studies import Finding, Place, Recorded, Setup, Source, Stage, Study

FOLDER = "backtests"
SUFFIX = ".json.gz"
# The newest, whatever became of them.
KEPT = 100
# Running and waiting: in all, and of one person.
OPEN_MAX = 8
OPEN_EACH_MAX = 4
# Years of minutes in the exact speed take some; more is a mistake.
LIMIT_S = 600.0
# The longest of the two lines that are read: a hundred thousand trades and more take less.
LINES_MAX = (1 << 20, 1 << 28)
# Candles of the desk's own market are read in pieces: nobody waits for longer than one takes.
PIECE_MS = 7 * DAY_MS

LOST = "The desk was started again before it ended. Nothing is left of it; say it again."
TOO_LONG = (
    f"It took longer than {timedelta(seconds=LIMIT_S)} and was ended. Fewer days or fewer symbols "
    "take less time, and so does a run without `exact`."
)
OUR_FAULT = "It failed, and that is our fault. What happened is in the desk's log."
BUSY = "Too many backtests wait already. Try again when one has ended; /backtest list shows them."

Listener = Callable[[Study], None]
T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Grounds:
    """What backtests stand on: the desk's folder, its market, Bybit's address, and the files of
    the user's own strategies by name."""

    data_dir: Path
    market: Market
    rest_base: str
    sources: Mapping[str, Path] = field(default_factory=dict)


class Backtests:
    """The door `Studies`: runs one at a time, and keeps the last `KEPT`.

    `workers` run them, `drawers` make their reports. Listeners are told of every change.
    """

    def __init__(self, grounds: Grounds, clock: Clock, workers: Workers, drawers: Workers) -> None:
        self._grounds = grounds
        self._clock = clock
        self._workers = workers
        self._drawers = drawers
        self._shelf = Shelf(grounds.data_dir / FOLDER)
        self._alive: dict[int, Study] = {}
        self._waiting: deque[int] = deque()
        self._running: tuple[int, asyncio.Task[None]] | None = None
        self._last = max(self._shelf.numbers(), default=0)
        self._came = asyncio.Event()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # -- the door ------------------------------------------------------------------------

    async def start(self, setups: Sequence[Setup], asker: Asker) -> list[Study]:
        open_ = [each for each in self._alive.values() if not each.is_over]
        mine = [each for each in open_ if each.asked_by == asker.actor]
        if len(mine) + len(setups) > OPEN_EACH_MAX or len(open_) + len(setups) > OPEN_MAX:
            raise Refused(BUSY)
        now, first = self._clock.now(), self._last + 1
        self._last += len(setups)
        started = [
            Study(number, setup, asker.actor, asker.surface, now, asker=asker.called)
            for number, setup in enumerate(setups, first)
        ]
        self._alive.update({study.number: study for study in started})
        try:
            for study in started:
                await asyncio.to_thread(self._shelf.put, study)
        except OSError as error:
            for study in started:
                del self._alive[study.number]
            raise Refused(f"Backtests can't be kept: {error.strerror}.") from error
        self._waiting.extend(study.number for study in started)
        self._came.set()
        return started

    def cancel(self, number: int) -> Study:
        study = self._alive.get(number)
        # What is drawn already has its result.
        if study is None or study.is_over or study.stage is Stage.DRAWING:
            raise Refused(f"Backtest {number} neither waits nor runs.")
        canceled = study.at(Stage.CANCELED)
        self._alive[number] = canceled
        if self._running is not None and self._running[0] == number:
            self._running[1].cancel()
        self._came.set()
        self._tell(canceled)
        return canceled

    def ahead(self, number: int) -> int:
        if number not in self._waiting:
            return 0
        before = list(self._waiting)[: self._waiting.index(number)]
        waiting = sum(not self._alive[each].is_over for each in before)
        return waiting + (self._running is not None)

    def numbers(self) -> Sequence[int]:
        return sorted({*self._shelf.numbers(), *self._alive}, reverse=True)

    async def study(self, number: int) -> Study:
        if number in self._alive:
            return self._alive[number]
        return await asyncio.to_thread(self._shelf.study, number)

    async def finding(self, number: int) -> Finding:
        study = await self.study(number)
        if study.stage is not Stage.DONE:
            raise Refused(f"Backtest {number} has no result: it is {study.stage}.")
        return await asyncio.to_thread(self._shelf.finding, number)

    async def report(self, number: int) -> str:
        study, finding = await self.study(number), await self.finding(number)
        return await self._drawers.run(report_page, study.setup, finding, self._source(study))

    # -- running -------------------------------------------------------------------------

    async def run(self) -> None:
        """Run what is asked for until canceled."""
        for study in await asyncio.to_thread(self._mark_lost):
            self._tell(study)
        async with asyncio.TaskGroup() as tasks:
            while True:
                while not self._waiting:
                    self._came.clear()
                    await self._came.wait()
                number = self._waiting.popleft()
                task = tasks.create_task(self._serve(number), name=f"backtest {number}")
                self._running = number, task
                await asyncio.wait([task])
                self._running = None

    def _mark_lost(self) -> list[Study]:
        """What an earlier desk did not end is lost, and says so from now on."""
        lost: list[Study] = []
        for number in self._shelf.numbers():
            if number in self._alive:
                continue
            try:
                study = self._shelf.study(number)
                if not study.is_over:
                    lost.append(study.failed(LOST))
                    self._shelf.put(lost[-1])
            except (CountersignError, OSError) as error:
                log.warning("a kept backtest can't be marked", number=number, error=str(error))
        return lost

    async def _serve(self, number: int) -> None:
        """Run one backtest to its end, whichever that is, and keep it."""
        finding = None
        try:
            ended = self._alive[number]
            if not ended.is_over:
                ended, finding = await self._done(ended)
        except asyncio.CancelledError:
            ended = self._alive[number]
            if not ended.is_over:
                raise
        except (Refused, Unreachable) as error:
            log.info("a backtest has no result", number=number, error=str(error))
            ended = self._alive[number].failed(_reason(error))
        except Exception:
            # What failed is one backtest, and that is no reason to stop trading.
            log.exception("a backtest failed", number=number)
            ended = self._alive[number].failed(OUR_FAULT)
        await self._keep(ended, finding)

    async def _done(self, study: Study) -> tuple[Study, Finding]:
        self._change(study.at(Stage.LOADING))
        place = await self._place(study.setup)

        def told(stage: Stage, detail: str) -> None:
            self._change(study.at(stage, detail))

        source = self._source(study)
        finding, metrics = await self._workers.follow(told, run_job, study.setup, place, source)
        self._change(study.at(Stage.DRAWING))
        return replace(study.at(Stage.DONE), metrics=metrics, digest=finding.digest), finding

    def _source(self, study: Study) -> Path | None:
        return self._grounds.sources.get(study.setup.strategy)

    async def _place(self, setup: Setup) -> Place:
        grounds, recorded = self._grounds, None
        if setup.source is Source.MARKET:
            recorded = await recorded_of(grounds.market, setup, self._clock)
        return Place(grounds.data_dir, grounds.rest_base, self._clock, recorded)

    async def _keep(self, study: Study, finding: Finding | None) -> None:
        """Put an ended backtest on the shelf, and say then that it has ended."""
        try:
            await asyncio.to_thread(self._shelf.put, study, finding)
        except OSError as error:
            log.error("a backtest can't be kept", number=study.number, error=str(error))
            # Until the next start it is known that it ended so.
            study = study.failed(f"Its result can't be kept: {error.strerror}.")
            self._alive[study.number] = study
        else:
            del self._alive[study.number]
        self._tell(study)

    def _change(self, study: Study) -> None:
        if self._alive[study.number].is_over:
            return
        self._alive[study.number] = study
        self._tell(study)

    def _tell(self, study: Study) -> None:
        for listener in self._listeners:
            listener(study)


def _reason(error: CountersignError) -> str:
    """Why there is no result, as people are told."""
    return TOO_LONG if isinstance(error, TookTooLong) else str(error)


# -- in the worker -------------------------------------------------------------------------


def run_job(
    tell: Tell, setup: Setup, place: Place, source: Path | None
) -> tuple[Finding, dict[str, Metric]]:
    """A backtest from its candles to its figures; numpy and the compiler are loaded there.

    `source` is the file of a strategy of the user's own. Raises Refused where that one fails.
    """
    from engine.backtest.job import run

    try:
        return run(tell, setup, setup.plan(known_with(source)), place, source)
    except CountersignError:
        raise
    except Exception as error:
        if source is None:
            raise
        said = f"{type(error).__name__}: {error}"
        raise Refused(f"{setup.strategy} of {source.name} failed: {said}.") from error


def report_page(setup: Setup, finding: Finding, source: Path | None) -> str:
    """The full report of a backtest as a page of HTML."""
    from bot.render.report import html_report

    return html_report(finding.outcome(setup.plan(known_with(source))))


# -- candles of the desk's own market ------------------------------------------------------


async def recorded_of(market: Market, setup: Setup, clock: Clock) -> Recorded:
    """The setup's candles and rates, as the market itself remembers them.

    They are read in pieces, so that the desk is not held up.
    """
    series = {symbol: Series() for symbol in setup.symbols}
    for symbol, found in series.items():
        for start in range(setup.start, setup.stop, PIECE_MS):
            stop = min(start + PIECE_MS, setup.stop)
            count = (stop - start) // setup.interval
            candles = await market.history(symbol, setup.interval, stop, count)
            rows = [candle for candle in candles if start <= candle.ts < stop]
            if rows:
                stamps, *values = zip(*rows, strict=True)
                found.extend(stamps, values)
            await clock.sleep(0)
    return Recorded(
        series,
        {symbol: _rates(market, symbol, setup) for symbol in setup.symbols},
        {symbol: market.instrument(symbol) for symbol in setup.symbols},
        tuple(market.remarks()),
    )


def _rates(market: Market, symbol: str, setup: Setup) -> dict[int, Decimal]:
    first = settled_before(setup.start)
    stamps = range(first, setup.stop + 1, FUNDING_EVERY_MS)
    return {stamp: market.funding_rate(symbol, stamp) for stamp in stamps}


# -- on disk -------------------------------------------------------------------------------


class Shelf:
    """The backtests that are kept in `folder`, which is made when there is something to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def numbers(self) -> list[int]:
        """Those that are kept, in no order."""
        names = (path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def put(self, study: Study, finding: Finding | None = None) -> None:
        """Keep a backtest in the place of what was known of it; the oldest beyond KEPT go."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [_studies().dump_json(study)]
        if finding is not None:
            lines.append(_findings().dump_json(finding))
        path = self._path(study.number)
        unfinished = path.with_suffix(".part")
        # The same content is the same file: no time is in its head.
        unfinished.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", compresslevel=6, mtime=0))
        unfinished.replace(path)
        for number in sorted(self.numbers())[:-KEPT]:
            self._path(number).unlink(missing_ok=True)

    def study(self, number: int) -> Study:
        """What was asked and how it ended. Raises Refused where there is none, Broken for a
        damaged file."""
        study = self._read(_studies(), number, 0)
        if study.stage is Stage.DONE and not study.metrics.keys() >= TITLES.keys():
            raise self._damaged(number)
        return study

    def finding(self, number: int) -> Finding:
        """What the account did. Raises as `study` does."""
        return self._read(_findings(), number, 1)

    def _read(self, kind: TypeAdapter[T], number: int, place: int) -> T:
        try:
            return kind.validate_json(self._line(number, place))
        except ValidationError as error:
            raise self._damaged(number) from error

    def _damaged(self, number: int) -> Broken:
        return Broken(f"{self._path(number)} is damaged or of another version; it can be removed.")

    def _line(self, number: int, place: int) -> bytes:
        path = self._path(number)
        try:
            with gzip.open(path) as file:
                lines = [file.readline(most) for most in LINES_MAX[: place + 1]]
        except FileNotFoundError:
            raise Refused(f"There is no backtest {number}. /backtest list shows them.") from None
        except (OSError, EOFError, zlib.error) as error:
            raise Broken(f"{path} is damaged ({error}); it can be removed.") from error
        if not lines[place].endswith(b"\n"):
            raise Broken(f"{path} is damaged (it ends early); it can be removed.")
        return lines[place]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{SUFFIX}"


@cache
def _studies() -> TypeAdapter[Study]:
    return TypeAdapter(Study)


@cache
def _findings() -> TypeAdapter[Finding]:
    return TypeAdapter(Finding)
