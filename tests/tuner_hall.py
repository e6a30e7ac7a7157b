"""A desk that trades with its tuner, whose worker does what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.backtests import Grounds
from bot.sections import TuningSection
from bot.tuner_job import Found, Job
from bot.tuner_subject import Subject
from bot.tunings import Tunings
from engine.desk import Desk
from engine.effect import NoticeKind
from engine.exchange.paper_state import PaperSettings
from engine.people import Role
from engine.store.memory import MemoryStore
from engine.strategies import STRATEGIES
from engine.tuning import TuningStudy
from tests.askers import asking, person
from tests.clock import turn
from tests.handlers.desks import (
    BOT,
    BTC,
    FALLING_TWICE,
    ScriptedMarket,
    build,
    course,
)
from tests.tunings import evidence

TOM = asking(person("tom", Role.TRADER))
SECTION = TuningSection(days=7)
PATIENCE_S = 110
NOTHING = Found((), "Nothing better was found.", evidence())
GREEN = Found((("crosses_per_day", 9.0),), "It earned more.", evidence())
YELLOW = Found((("fast", 200.0),), "It earned more.", evidence())


class ScriptedWorker:
    """A worker that works when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Job] = []
        self.results: asyncio.Queue[Any] = asyncio.Queue()
        self.tell: Callable[..., None] = lambda *said: None

    async def run(self, fn: Any, *job: Any) -> Any:
        return await self.follow(lambda *said: None, fn, *job)

    async def follow(self, tell: Callable[..., None], fn: Any, job: Job, *args: Any) -> Any:
        self.begun.append(job)
        self.tell = tell
        result = await self.results.get()
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Hall:
    """A desk that trades, its tuner with a scripted worker, and every change that was told."""

    desk: Desk
    tunings: Tunings
    worker: ScriptedWorker
    told: list[TuningStudy] = field(default_factory=list)

    async def ended(self, number: int) -> TuningStudy:
        async with asyncio.timeout(PATIENCE_S):
            return await self.tunings.end_of(number)

    async def studied(self, result: Found | Exception) -> TuningStudy:
        """A study that ends with this result."""
        self.worker.results.put_nowait(result)
        study = await self.tunings.start(BOT, TOM)
        return await self.ended(study.number)

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.worker.begun) < count:
                await turn()

    async def texts(self) -> list[str]:
        """What people were told of tuning."""
        rows = await self.desk.store.undelivered(1000)
        return [row.body for row in rows if row.kind in (NoticeKind.TUNING, NoticeKind.TUNED)]


def subject(desk: Desk, folder: Path, section: TuningSection) -> Subject:
    return Subject(
        runtime=desk.runtime,
        store=desk.store,
        clock=desk.clock,
        grounds=Grounds(folder, desk.market, "http://127.0.0.1:9"),
        strategies=STRATEGIES,
        books=f"{desk.mode}-{desk.market.name}",
        paper=PaperSettings(slippage_max=0.0),
        section=section,
    )


@asynccontextmanager
async def hall(
    folder: Path,
    store: MemoryStore | None = None,
    bot_ids: Iterable[str] = (BOT,),
    workers: Any = None,
    legs: Sequence[tuple[int, float]] = FALLING_TWICE,
    section: TuningSection = SECTION,
    strategy: str = "shortseller",
) -> AsyncIterator[Hall]:
    market = ScriptedMarket({BTC: course(100_000.0, legs)})
    runtime, desk = await build(market, store, bot_ids=tuple(bot_ids), strategy=strategy)
    worker: Any = ScriptedWorker()
    tunings = Tunings(subject(desk, folder, section), workers or worker, worker)
    opened = Hall(desk, tunings, worker)
    tunings.listen(opened.told.append)
    trading = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    task = asyncio.create_task(tunings.run())
    try:
        yield opened
    finally:
        task.cancel()
        await asyncio.wait([task])
        runtime.stop()
        await trading
    if not task.cancelled() and task.exception():
        raise task.exception()  # type: ignore[misc]
