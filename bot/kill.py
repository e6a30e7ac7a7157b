"""The emergency stop of a running desk: pulled from a chat, the console or a file.

It acts first and records afterwards: the latch stops entries at once, the way to flat goes past
database, inbox and outbox. What was done is told step by step, and to everybody once it is stored.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import structlog

from bot.latch import LatchFile
from engine.effect import NotDone, Result
from engine.errors import Refused
from engine.event import KillTold
from engine.instruction import Instruction, KillDesk
from engine.killing import Killing, Latch, Scope, Step
from engine.mail import Address
from engine.people import DESK, Asker
from engine.ports import Clock, Emergency

# How often it is looked whether somebody has set the latch.
WATCH_S = 1.0
# How soon a desk that is too busy to record it is asked again.
RECORD_AGAIN_S = 1.0
# Who set a latch that does not say.
BY_HAND = "hand"
STOPPED = "Entries are stopped."
BY_MEMORY = (
    "Entries are stopped by this desk, which alone knows of it: the latch can't be written "
    "({error}). It is tried again each second."
)
FOLLOWS = {
    Scope.STOP: "Positions stay; orders that wait to open one are withdrawn by the desk.",
    Scope.CANCEL: "All orders are being withdrawn; each step follows.",
    Scope.FLATTEN: "All orders are being withdrawn and all positions closed; each step follows.",
}
DONE = {
    Scope.CANCEL: "The emergency stop is carried out: no order is open.",
    Scope.FLATTEN: "The emergency stop is carried out: the desk is flat.",
}
UNTIL = "Nothing is opened until an admin's /resume is approved."
AT_WORK = "the emergency stop is still at work; say /resume again once it is done"
AGAIN = "the emergency stop was pulled again meanwhile"

log = structlog.get_logger()


class Record(Protocol):
    """Where what was done is written down, once that can be."""

    @property
    def stopping(self) -> bool: ...

    async def ask(self, instruction: Instruction, asker: Asker) -> Result: ...

    def note_kill(self, told: KillTold) -> None: ...


class KillSwitch:
    """The port `Switch`: holds the latch in memory and in its file, and has its scope carried
    out."""

    def __init__(
        self, file: LatchFile, clock: Clock, late_s: float = 0.0, redo: bool = False
    ) -> None:
        """`late_s` is how long after it was done the exchange is looked at once more. `redo` says
        that what was done before this process began may be undone, as on paper, where books are
        restored that were stored before."""
        self._file = file
        self._clock = clock
        self._late_s = late_s
        self._latch: Latch | None = None
        self._killing: Killing | None = None
        self._listeners: list[Callable[[str], None]] = []
        self._asked_in: set[Address] = set()
        self._pulls: deque[tuple[KillDesk, Asker]] = deque()
        self._told: deque[KillTold] = deque()
        self._pulled, self._news, self._rested = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._trouble = ""
        if (found := file.read()) is not None:
            self._begin(_named(replace(found, done_at=0) if redo else found), DESK)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with each step, in words, as soon as it is taken."""
        self._listeners.append(listener)

    @property
    def latch(self) -> Latch | None:
        return self._latch

    @property
    def asked_in(self) -> Collection[Address]:
        return self._asked_in

    def why(self) -> str:
        """Why no position may be opened, by the latch and by its file as it is now; empty where
        some may. May be asked from any thread."""
        latch = self._latch or self._file.read()
        return latch.why if latch else ""

    # -- pulling and lifting -------------------------------------------------------------

    def pull(self, scope: Scope, asker: Asker) -> str:
        scope = joined(scope, self._latch)
        if asker.address is not None:
            self._asked_in.add(asker.address)
        self._begin(Latch(scope, asker.called, self._clock.now()), asker)
        log.warning("the emergency stop was pulled", scope=scope.value, by=asker.actor)
        self._write()
        stopped = BY_MEMORY.format(error=self._trouble) if self._trouble else STOPPED
        return f"{stopped} {FOLLOWS[scope]}"

    def lift(self) -> str:
        """Let positions be opened again; why not, where the latch stays."""
        if self._pulls or self._is_news(self._file.read()):
            return AGAIN
        if self._latch is not None and not self._latch.is_done:
            return AT_WORK
        try:
            self._file.remove()
        except OSError as error:
            return f"{self._file.path} can't be removed: {error.strerror}"
        self._latch = None
        self._asked_in.clear()
        return ""

    def _begin(self, latch: Latch, asker: Asker) -> None:
        """Hold a latch from now on, and have it carried out and recorded."""
        self._latch = latch
        if self._killing is not None:
            self._killing.widen(latch.scope)
        if latch.is_done:
            self._rested.set()
        else:
            self._rested.clear()
            self._pulled.set()
        self._pulls.append((KillDesk(latch.scope, latch.by), asker))
        self._news.set()

    def _write(self) -> None:
        assert self._latch is not None
        trouble = ""
        try:
            self._file.write(self._latch)
        except OSError as error:
            trouble = error.strerror or str(error)
        if trouble and trouble != self._trouble:
            log.error("the latch can't be written", path=str(self._file.path), error=trouble)
        self._trouble = trouble

    # -- work ----------------------------------------------------------------------------

    async def run(self, emergency: Emergency, record: Record) -> None:
        """Watch the file, carry out what is pulled, and have it recorded, until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._carry_out(emergency))
            tasks.create_task(self._record(record))

    async def finish(self) -> None:
        """Return once what was pulled is carried out."""
        if self._latch is not None and not self._latch.is_done:
            await self._rested.wait()

    async def finish_left(self, emergency: Emergency, seconds: float) -> None:
        """Carry out what an earlier process left, for so long at most: it needs no database."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                working = tasks.create_task(self._carry_out(emergency))
                await self.finish()
                working.cancel()

    async def _watch(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(WATCH_S)

    def look(self) -> None:
        """Take up a latch that somebody else has set, and write what the file does not say."""
        found = self._file.read()
        if found is not None and self._is_news(found):
            taken = replace(_named(found), scope=joined(found.scope, self._latch))
            self._begin(taken, DESK)
            self._tell(Step(f"The latch was set by {taken.by}. {STOPPED}"))
        if self._latch is not None and not _says(found, self._latch):
            self._write()

    def _is_news(self, found: Latch | None) -> bool:
        """Whether somebody else has set the latch; an empty file says nothing beside one that is
        held."""
        if found is None or self._latch is None:
            return found is not None
        return found.by != "" and not _same(found, self._latch)

    async def _carry_out(self, emergency: Emergency) -> None:
        while True:
            latch = self._latch
            if latch is None or latch.is_done:
                self._pulled.clear()
                await self._pulled.wait()
                continue
            self._killing = Killing(emergency, self._clock, self._tell, latch.scope, self._late_s)
            try:
                await self._killing.run()
            finally:
                self._killing = None
            # Whoever pulled it meanwhile wants everything to be looked at again.
            if latch is self._latch:
                self._done(latch)

    def _done(self, latch: Latch) -> None:
        self._latch = replace(latch, done_at=self._clock.now())
        self._write()
        self._rested.set()
        self._note(f"{DONE[latch.scope]} {UNTIL}", over=True)

    def _tell(self, step: Step) -> None:
        log.warning("emergency stop", text=step.text)
        for listener in self._listeners:
            listener(step.text)
        if step.notable:
            self._note(step.text)

    def _note(self, text: str, over: bool = False) -> None:
        self._told.append(KillTold(text, self._clock.now(), over))
        self._news.set()

    # -- recording -----------------------------------------------------------------------

    async def _record(self, record: Record) -> None:
        """Have it stored and told to everybody, once the desk can."""
        while True:
            self._news.clear()
            while self._pulls and not record.stopping:
                if await self._recorded(record, *self._pulls[0]):
                    self._pulls.popleft()
                else:
                    await self._clock.sleep(RECORD_AGAIN_S)
            while self._told:
                record.note_kill(self._told.popleft())
            await self._news.wait()

    async def _recorded(self, record: Record, instruction: KillDesk, asker: Asker) -> bool:
        try:
            result = await record.ask(instruction, asker)
            if isinstance(result, NotDone):
                # It was done already, whatever whoever did it may do by now.
                await record.ask(instruction, DESK)
        except Refused:
            return False
        return True


def joined(scope: Scope, latch: Latch | None) -> Scope:
    """What has to be carried out: what is asked for now, and what is not done of before."""
    return scope.widened(latch.scope) if latch is not None and not latch.is_done else scope


def _named(latch: Latch) -> Latch:
    return replace(latch, by=latch.by or BY_HAND)


def _says(found: Latch | None, held: Latch) -> bool:
    """Whether a file says what is held; another process may have been done with it sooner."""
    return found is not None and found == replace(held, done_at=held.done_at or found.done_at)


def _same(one: Latch, other: Latch) -> bool:
    """Whether two latches are of one pull."""
    return (one.by, one.ts) == (other.by, other.ts)
