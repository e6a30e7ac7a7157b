"""The tuner's studies on their way: a queue before one worker process, and what comes of each.

A study that has ended is given to the core, which stores it and tells of it. Those that have not
are written down in DATA_DIR/studies, so that a desk that starts again knows what it lost.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from pydantic import TypeAdapter

from bot.as_written import AsWritten
from bot.comparing import compare
from bot.kept import Kept
from bot.tuner_job import Found, run_evaluation, run_study
from bot.tuner_subject import Subject
from bot.workers import TookTooLong, Workers
from engine.effect import Done, NotDone, Proposed
from engine.errors import CountersignError, Refused, Unreachable
from engine.instruction import NoteComparison, NoteStudy, SetParameters
from engine.people import DESK, Asker
from engine.tuning import Comparison, Evidence, Source, StudyStage, TuningStudy

FOLDER = "studies"
# A year of five minutes of some symbols takes a few of them; so much more is a mistake.
LIMIT_S = 3_600.0
OPEN_MAX = 8

LOST = "The desk was started again before it ended. Nothing was changed by it."
PROPOSED_BEFORE = "It proposed a change; the desk was started again before the rest was stored."
TOO_LONG = (
    f"It took longer than {LIMIT_S / 60:g} minutes and was ended. Fewer days or trials in [tuning] "
    "take less time."
)
OUR_FAULT = "It failed, and that is our fault. What happened is in the desk's log."
BUSY = "Too many studies wait already. Try again when one has ended; /tune study lists them."

Listener = Callable[[TuningStudy], None]

log = structlog.get_logger()


class Tunings:
    """The door `Studying`: runs one study at a time. Listeners are told of every change."""

    def __init__(self, subject: Subject, workers: Workers, helpers: Workers) -> None:
        """`workers` run studies, `helpers` comparisons: those take seconds."""
        self._subject = subject
        self._workers = workers
        self._helpers = helpers
        self.folder = subject.grounds.data_dir / FOLDER
        self._open = Kept(self.folder / "open.json", TypeAdapter(list[TuningStudy]))
        self._comparisons = Kept(self.folder / "compared.json", TypeAdapter(dict[str, Comparison]))
        self._compared = self._comparisons.read() or {}
        self._written = AsWritten(self.folder / "written.json", subject.books)
        # What an earlier desk did not end, until it is known how that ended.
        self._left = {
            each.number: each for each in self._open.read() or [] if each.books == subject.books
        }
        self._alive: dict[int, TuningStudy] = {}
        self._over: dict[int, asyncio.Event] = {}
        self._waiting: deque[int] = deque()
        self._running: tuple[int, asyncio.Task[None]] | None = None
        self._settling = 0
        self._last: int | None = None
        self._numbering = asyncio.Lock()
        self._came = asyncio.Event()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # -- the door ------------------------------------------------------------------------

    async def start(self, bot_id: str, asker: Asker) -> TuningStudy:
        async with self._numbering:
            self._subject.runtime.check_may(asker, bot_id)
            self._check(bot_id)
            number = await self._next_number()
            study = TuningStudy(
                number=number,
                books=self._subject.books,
                bot_id=bot_id,
                asked_by=asker.actor,
                asker=asker.called,
                surface=asker.surface,
                asked_at=self._subject.clock.now(),
            )
            self._alive[number] = study
        self._over[number] = asyncio.Event()
        self._waiting.append(number)
        self._keep()
        self._came.set()
        return study

    def cancel(self, number: int) -> TuningStudy:
        study = self._alive.get(number)
        # What is being proposed has its result already.
        if study is None or study.is_over or number == self._settling:
            raise Refused(f"Study {number} neither waits nor runs.")
        canceled = study.at(StudyStage.CANCELED)
        self._alive[number] = canceled
        if self._running is not None and self._running[0] == number:
            self._running[1].cancel()
        self._came.set()
        self._tell(canceled)
        return canceled

    def open(self) -> Sequence[TuningStudy]:
        return [each for each in self._alive.values() if not each.is_over]

    async def study(self, number: int) -> TuningStudy:
        if number in self._alive:
            return self._alive[number]
        found = await self._subject.store.one(TuningStudy, self._subject.books, number)
        found = found or self._left.get(number)
        if found is None:
            raise Refused(f"There is no study {number}. /tune study lists them.")
        return found

    async def compare(self, bot_id: str) -> Comparison:
        written = self._written.since(bot_id)
        found = await compare(self._subject, self._helpers, bot_id, written=written)
        self._compared[bot_id] = found
        self._comparisons.write(self._compared)
        await self._subject.runtime.ask(NoteComparison(found), DESK)
        return found

    def compared(self, bot_id: str) -> Comparison | None:
        return self._compared.get(bot_id)

    async def end_of(self, number: int) -> TuningStudy:
        """A study once it is over."""
        if number in self._over:
            await self._over[number].wait()
        return await self.study(number)

    async def evaluate(self, bot_id: str, values: Mapping[str, float]) -> Evidence:
        """What other values of a bot would have done lately. Raises Refused, Unreachable."""
        bot = self._subject.bot(bot_id)
        setup, source = self._subject.setup(bot), self._subject.source(bot)
        present = self._subject.present(bot_id)
        place = await self._subject.place(setup)
        found = await self._workers.run(run_evaluation, setup, values, place, source)
        return replace(found, present=present)

    def _check(self, bot_id: str) -> None:
        """Raise Refused where no study of a bot can be begun now."""
        self._subject.limits(self._subject.bot(bot_id))
        if stopped := self._subject.runtime.tuning().stopped:
            raise Refused(f"Tuning is stopped: {stopped.rstrip('.')}. /tune resume lets it go on.")
        for each in self.open():
            if each.bot_id == bot_id:
                raise Refused(f"Study {each.number} of {bot_id} has not ended yet.")
        if len(self.open()) >= OPEN_MAX:
            raise Refused(BUSY)

    async def _next_number(self) -> int:
        if self._last is None:
            stored = await self._subject.store.recent(
                TuningStudy, books=self._subject.books, limit=1
            )
            self._last = max((each.number for each in (*stored, *self._left.values())), default=0)
        self._last += 1
        return self._last

    # -- running -------------------------------------------------------------------------

    async def run(self) -> None:
        """Run what is asked for until canceled."""
        runtime = self._subject.runtime
        self._written.note(runtime.tuning(), runtime.view().market_time)
        await self._end_left()
        async with asyncio.TaskGroup() as tasks:
            while True:
                while not self._waiting:
                    self._came.clear()
                    await self._came.wait()
                number = self._waiting.popleft()
                task = tasks.create_task(self._serve(number), name=f"study {number}")
                self._running = number, task
                await asyncio.wait([task])
                self._running = None

    async def _end_left(self) -> None:
        """What an earlier desk did not end is lost, and says so from now on."""
        for number, left in list(self._left.items()):
            if not (study := await self._known(left)).is_over:
                study = replace(self._left_behind(study), ended_at=self._now)
                await self._note(study)
            del self._left[number]
            self._tell(study)
        self._keep()

    async def _known(self, left: TuningStudy) -> TuningStudy:
        """A study that was left, as it is stored where it is."""
        try:
            return await self.study(left.number)
        except Unreachable:
            return left

    def _left_behind(self, study: TuningStudy) -> TuningStudy:
        """How a study ended that an earlier desk did not store: it may have proposed already."""
        if self._subject.has_proposed(study.number):
            return study.at(StudyStage.PROPOSED, PROPOSED_BEFORE)
        return study.at(StudyStage.FAILED, LOST)

    async def _serve(self, number: int) -> None:
        """Run one study to its end, whichever that is, and have it stored."""
        try:
            ended = self._alive[number]
            if not ended.is_over:
                ended = await self._done(ended)
        except asyncio.CancelledError:
            ended = self._alive[number]
            if not ended.is_over:
                raise
        except (Refused, Unreachable) as error:
            log.info("a study has no result", number=number, error=str(error))
            reason = TOO_LONG if isinstance(error, TookTooLong) else str(error)
            ended = self._alive[number].at(StudyStage.FAILED, reason)
        except Exception:
            # What failed is one study, and that is no reason to stop trading.
            log.exception("a study failed", number=number)
            ended = self._alive[number].at(StudyStage.FAILED, OUR_FAULT)
        await self._end(replace(ended, ended_at=self._now))

    async def _done(self, study: TuningStudy) -> TuningStudy:
        number = study.number

        def told(stage: StudyStage, done: int, total: int) -> None:
            if not self._alive[number].is_over:
                self._alive[number] = replace(study, stage=stage, done=done, trials=total)
                self._tell(self._alive[number])

        told(StudyStage.LOADING, 0, 0)
        job = self._subject.job(self._subject.bot(study.bot_id), number)
        present = self._subject.present(study.bot_id)
        place = await self._subject.place(job.setup)
        found = await self._workers.follow(told, run_study, job, place)
        self._settling = number
        evidence = found.evidence
        if evidence:
            evidence = replace(evidence, study=number, present=present)
        return await self._settled(replace(self._alive[number], evidence=evidence), found)

    async def _settled(self, study: TuningStudy, found: Found) -> TuningStudy:
        """What is to be proposed is, and the study says what came of it."""
        if not found.values:
            return study.at(StudyStage.NOTHING, found.verdict)
        wanted = SetParameters(
            study.bot_id, found.values, found.verdict, Source.TUNER, evidence=study.evidence
        )
        study = replace(study, values=found.values)
        match await self._subject.runtime.ask(wanted, DESK):
            case Done():
                return study.at(StudyStage.PROPOSED, f"{found.verdict} It is in force.")
            case Proposed(proposal):
                waits = f"Proposal {proposal.proposal_id} waits for a person."
                return study.at(StudyStage.PROPOSED, f"{found.verdict} {waits}")
            case NotDone(reason):
                return study.at(StudyStage.NOTHING, f"{found.verdict} But: {reason}")

    async def _end(self, study: TuningStudy) -> None:
        if await self._note(study):
            del self._alive[study.number]
        else:
            # Until the next start it is known how it ended.
            self._alive[study.number] = study
        self._settling = 0
        self._keep()
        self._over.pop(study.number).set()
        self._tell(study)

    async def _note(self, study: TuningStudy) -> bool:
        """Have the core store a study that is over; whether it did."""
        try:
            result = await self._subject.runtime.ask(NoteStudy(study), DESK)
        except CountersignError as error:
            log.error("a study can't be stored", number=study.number, error=str(error))
            return False
        if isinstance(result, NotDone):
            log.error("a study was not stored", number=study.number, reason=result.reason)
        return not isinstance(result, NotDone)

    @property
    def _now(self) -> int:
        return self._subject.clock.now()

    def _keep(self) -> None:
        """Write down which are open: a few lines."""
        self._open.write([*self._left.values(), *self.open()])

    def _tell(self, study: TuningStudy) -> None:
        for listener in self._listeners:
            listener(study)
