"""Messages that show what still runs, as backtests, studies and questions: brought up to date until
the result.

Which they are is kept in a file, so that a desk that starts again still ends them. A message
that was deleted meanwhile is posted anew when there is a result.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from bot.kept import Kept
from bot.letter import Letter
from engine.advice import Consultation
from engine.desk import Desk
from engine.errors import CountersignError
from engine.mail import Address
from engine.pace import until
from engine.studies import Study
from engine.tuning import TuningStudy
from handlers import backtest, consulting, tuning_studies
from handlers.reply import Reply, Text, reply

FILE_NAME = "messages.json"
# Telegram takes twenty changes a minute in a group, and five seconds are soon enough for people.
EDIT_S = 4.0

# What may be followed: its kind, and its number.
Run = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Followed:
    """A message about backtests, the tuner's studies or consultations, by the platform's id of it.

    `numbers` are those of backtests, `searches` those of studies, `asks` those of consultations:
    it has one of them. `user_id` is the account that it answers.
    """

    address: Address
    message_id: str
    numbers: tuple[int, ...] = ()
    searches: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()
    user_id: str = ""

    @property
    def about(self) -> set[Run]:
        kinds = (("backtest", self.numbers), ("study", self.searches), ("advice", self.asks))
        return {(kind, number) for kind, numbers in kinds for number in numbers}


class Post(Protocol):
    """What a courier does for messages that change."""

    async def answer(self, address: Address, letter: Letter) -> bool: ...

    async def refresh(self, address: Address, message_id: str, letter: Letter) -> None: ...


class Following:
    """Brings messages up to date. `may_hear` says whether a chat may be told anything still."""

    def __init__(self, folder: Path, desk: Desk, may_hear: Callable[[Address], bool]) -> None:
        self._kept = Kept(folder / FILE_NAME, TypeAdapter(list[Followed]))
        self._desk = desk
        self._may_hear = may_hear
        self._followed: dict[tuple[Address, str], Followed] = {}
        self._last: dict[tuple[Address, str], Reply] = {}
        self._of_before: set[tuple[Address, str]] = set()
        self._changed: set[Run] = set()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    def posted(self, letter: Letter, address: Address, message_id: str) -> None:
        """Note a message that a letter became; it is followed while what it shows runs."""
        said = letter.reply
        noted = Followed(
            address, message_id, said.follows, said.searches, said.asks, letter.user_id
        )
        if not noted.about:
            return
        key = address, message_id
        self._followed[key] = noted
        self._last[key] = letter.reply
        self._changed.update(noted.about)
        self._keep()
        self._wake.set()
        # They may be over already.
        self._hurry.set()

    def on_change(self, study: Study) -> None:
        self._note(("backtest", study.number), study.is_over)

    def on_study(self, study: TuningStudy) -> None:
        self._note(("study", study.number), study.is_over)

    def on_advice(self, consultation: Consultation) -> None:
        self._note(("advice", consultation.number), consultation.is_over)

    def _note(self, changed: Run, is_over: bool) -> None:
        self._changed.add(changed)
        self._wake.set()
        if is_over:
            self._hurry.set()

    async def run(self, post: Post) -> None:
        """Bring messages up to date until canceled."""
        for each in await asyncio.to_thread(self._kept.read) or []:
            key = each.address, each.message_id
            if key not in self._followed:
                self._followed[key] = each
                self._of_before.add(key)
            self._changed.update(each.about)
            self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            changed, self._changed = self._changed, set()
            for each in [e for e in self._followed.values() if changed & e.about]:
                await self._bring_up(post, each)
            await until(self._hurry, self._desk.clock, EDIT_S)

    async def _bring_up(self, post: Post, followed: Followed) -> None:
        key = followed.address, followed.message_id
        if not self._may_hear(followed.address):
            self._forget(key)
            return
        now = await self._now(followed)
        if not (now.follows or now.searches or now.asks):
            self._forget(key)
            letter = Letter(now, edit=followed.message_id, user_id=followed.user_id)
            await post.answer(followed.address, letter)
        elif now != self._last.get(key):
            self._last[key] = now
            letter = Letter(now, user_id=followed.user_id)
            await post.refresh(followed.address, followed.message_id, letter)

    async def _now(self, followed: Followed) -> Reply:
        of_before = (followed.address, followed.message_id) in self._of_before
        try:
            if followed.asks and of_before:
                # It ended with its process, and its number may be somebody else's by now.
                found = consulting.lost(followed.asks[0])
            elif followed.asks:
                found = await consulting.shown(self._desk, followed.asks[0])
            elif followed.searches:
                found = await tuning_studies.shown(self._desk, followed.searches[0])
            else:
                found = await backtest.shown(self._desk, followed.numbers)
        except CountersignError as error:
            found = Reply(error=str(error))
        return replace(found, badge=self._desk.badge)

    def _forget(self, key: tuple[Address, str]) -> None:
        del self._followed[key]
        self._last.pop(key, None)
        self._of_before.discard(key)
        self._keep()

    def _keep(self) -> None:
        """Write down which they are: a few lines."""
        self._kept.write(list(self._followed.values()))


# -- at the console --------------------------------------------------------------------------


class ConsoleLines:
    """Tells the consoles how far runs are that were asked for there: a line each stage."""

    def __init__(self, broadcast: Callable[[Reply], None]) -> None:
        self._broadcast = broadcast
        self._stages: dict[Run, str] = {}

    def on_change(self, study: Study) -> None:
        if study.surface == "console" and self._is_new(("backtest", study.number), study):
            self._broadcast(reply(Text(backtest.progress_line(study))))

    def on_study(self, study: TuningStudy) -> None:
        if study.surface == "console" and self._is_new(("study", study.number), study):
            self._broadcast(reply(Text(tuning_studies.progress_line(study))))

    def _is_new(self, run: Run, study: Study | TuningStudy) -> bool:
        """Whether it was not told yet that a run is at this stage."""
        if self._stages.get(run) == study.stage:
            return False
        self._stages[run] = study.stage
        return True
