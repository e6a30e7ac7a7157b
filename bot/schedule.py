"""Reports that come by themselves: schedules whose time has come, said through dispatch.

That a run is done and the letter with its answer are stored in one transaction, so that each
comes once, whatever crashes. What was missed while the desk was away comes once, marked late.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import structlog

from bot import letter as letters
from bot.letter import Letter
from engine.desk import Desk
from engine.effect import Done, Result
from engine.errors import CountersignError
from engine.instruction import ScheduleRan
from engine.mail import Address, Delivery, Priority, Sealed
from engine.people import Asker, Role
from engine.runtime import Seal
from engine.schedule import Schedule, last_due_between, next_due
from handlers import COMMANDS
from handlers.alerts import answer_scheduled
from handlers.command import Context, Principal, PrincipalKind
from handlers.dispatch import OUR_FAULT
from handlers.reply import Reply, Text, Time, show

# How often is looked whether something is due. Schedules are set to the minute.
LOOK_S = 1.0
# Later than this is late, and says so.
LATE_MS = 120_000
# For how long after its start a desk may be busy taking the candles that it missed.
PATIENCE_MS = 10 * 60_000
# What is kept of when schedules are next due; more than a desk has.
KEPT = 256

log = structlog.get_logger()


class Scheduler:
    """Runs the desk's schedules."""

    def __init__(self, desk: Desk, may_hear: Callable[[Address], bool]) -> None:
        """`may_hear` says whether a chat may still be told anything."""
        self._desk = desk
        self._may_hear = may_hear

    async def run(self) -> None:
        """Look for what is due for as long as the desk runs."""
        while True:
            await self.look()
            await self._desk.clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Run each schedule whose time has come since it last ran."""
        now = self._desk.clock.now()
        for schedule in self._desk.view().schedules:
            since = schedule.last_due
            if _next_due(schedule.cron, schedule.zone, since) > now:
                continue
            due = last_due_between(schedule.cron, schedule.zone, since, now)
            assert due is not None
            if not self._must_wait(due, now):
                await self._answer(schedule, due, now)

    def _must_wait(self, due: int, now: int) -> bool:
        """Whether a report would be of the wrong time: what was missed is answered once the
        candles that were missed with it are taken, as far as that takes no long."""
        if self._desk.runtime.busy:
            return True
        patient = now - self._desk.started_at < PATIENCE_MS
        return now - due > LATE_MS and patient and not self._desk.market.caught_up

    async def _answer(self, schedule: Schedule, due: int, now: int) -> None:
        at = Address(schedule.surface, schedule.chat_id, schedule.thread_id)
        if not self._may_hear(at):
            # Whoever it was set up for may not use the desk any more.
            log.info("a schedule has nobody to tell", schedule=schedule.schedule_id)
            await self._note(schedule, due)
            return
        context = Context(_principal(schedule), "schedule", self._desk, COMMANDS, at)
        try:
            said = await answer_scheduled(context, schedule)
        except Exception:
            # What failed is one report, which would fail again at each start.
            log.exception("no report", schedule=schedule.schedule_id)
            said = Reply(error=OUR_FAULT, badge=self._desk.badge)
        answer = _headed(schedule, due, now, said)
        if schedule not in self._desk.view().schedules:
            # Somebody removed it meanwhile.
            return
        body = letters.to_body(Letter(answer, is_news=True))
        delivery = Delivery(at.surface, at.chat_id, at.thread_id, now, Priority.NEWS, "", body)

        def seal(result: Result) -> Sealed | None:
            return Sealed("", delivery) if isinstance(result, Done) else None

        await self._note(schedule, due, seal)

    async def _note(self, schedule: Schedule, due: int, seal: Seal | None = None) -> None:
        """Have it stored that a schedule ran, with its letter where there is one."""
        asker = Asker(_principal(schedule), "schedule")
        try:
            await self._desk.ask(ScheduleRan(schedule.schedule_id, due), asker, seal)
        except CountersignError as error:
            log.warning("a schedule could not run", schedule=schedule.schedule_id, error=str(error))


def _principal(schedule: Schedule) -> Principal:
    number = str(schedule.schedule_id)
    return Principal(PrincipalKind.SCHEDULE, number, Role.VIEWER, schedule.created_by)


# The moment stays the same until the schedule ran, and is asked for each second.
_next_due = lru_cache(KEPT)(next_due)


def _headed(schedule: Schedule, due: int, now: int, answer: Reply) -> Reply:
    """The answer, and what it is: nobody asked for it just now."""
    text = f"Schedule {schedule.schedule_id}: /{schedule.command}"
    if now - due > LATE_MS:
        text += f", due {show(Time(due))}. Late: the desk was away."
    return replace(answer, blocks=(Text(text), *answer.blocks))
