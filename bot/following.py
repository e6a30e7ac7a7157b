"""Messages that show backtests while they run: brought up to date, and ended with the result.

Which they are is kept in a file, so that a desk that starts again still ends them. A message
that was deleted meanwhile is posted anew when there is a result.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.letter import Letter
from engine.desk import Desk
from engine.errors import CountersignError
from engine.mail import Address
from engine.pace import until
from engine.studies import Study
from handlers.backtest import progress_line, shown
from handlers.reply import Reply, Text, reply

FILE_NAME = "messages.json"
# Telegram takes twenty changes a minute in a group, and five seconds are soon enough for people.
EDIT_S = 4.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Followed:
    """A message about backtests, by the platform's id of it."""

    address: Address
    message_id: str
    numbers: tuple[int, ...]


class Post(Protocol):
    """What a courier does for messages that change."""

    async def answer(self, address: Address, letter: Letter) -> bool: ...

    async def refresh(self, address: Address, message_id: str, letter: Letter) -> None: ...


class Following:
    """Brings messages up to date. `may_hear` says whether a chat may be told anything still."""

    def __init__(self, folder: Path, desk: Desk, may_hear: Callable[[Address], bool]) -> None:
        self._path = folder / FILE_NAME
        self._desk = desk
        self._may_hear = may_hear
        self._followed: dict[tuple[Address, str], Followed] = {}
        self._last: dict[tuple[Address, str], Reply] = {}
        self._changed: set[int] = set()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    def posted(self, letter: Letter, address: Address, message_id: str) -> None:
        """Note a message that a letter became; it is followed while its backtests run."""
        numbers = letter.reply.follows
        if not numbers:
            return
        key = address, message_id
        self._followed[key] = Followed(address, message_id, numbers)
        self._last[key] = letter.reply
        self._changed.update(numbers)
        self._keep()
        self._wake.set()
        # They may be over already.
        self._hurry.set()

    def on_change(self, study: Study) -> None:
        self._changed.add(study.number)
        self._wake.set()
        if study.is_over:
            self._hurry.set()

    async def run(self, post: Post) -> None:
        """Bring messages up to date until canceled."""
        for each in await asyncio.to_thread(self._kept):
            self._followed.setdefault((each.address, each.message_id), each)
            self._changed.update(each.numbers)
            self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            changed, self._changed = self._changed, set()
            for each in [e for e in self._followed.values() if changed & set(e.numbers)]:
                await self._bring_up(post, each)
            await until(self._hurry, self._desk.clock, EDIT_S)

    async def _bring_up(self, post: Post, followed: Followed) -> None:
        key = followed.address, followed.message_id
        if not self._may_hear(followed.address):
            self._forget(key)
            return
        now = await self._now(followed.numbers)
        if not now.follows:
            self._forget(key)
            await post.answer(followed.address, Letter(now, edit=followed.message_id))
        elif now != self._last.get(key):
            self._last[key] = now
            await post.refresh(followed.address, followed.message_id, Letter(now))

    async def _now(self, numbers: Sequence[int]) -> Reply:
        try:
            found = await shown(self._desk, numbers)
        except CountersignError as error:
            found = Reply(error=str(error))
        return replace(found, badge=self._desk.badge)

    def _forget(self, key: tuple[Address, str]) -> None:
        del self._followed[key]
        self._last.pop(key, None)
        self._keep()

    def _keep(self) -> None:
        """Write down which they are: a few lines."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = self._path.with_suffix(".part")
            unfinished.write_bytes(_messages().dump_json(list(self._followed.values())))
            unfinished.replace(self._path)
        except OSError as error:
            log.error("it can't be kept which messages follow backtests", error=str(error))

    def _kept(self) -> list[Followed]:
        try:
            return _messages().validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            log.error("messages that followed backtests are forgotten", error=str(error))
            return []


@cache
def _messages() -> TypeAdapter[list[Followed]]:
    return TypeAdapter(list[Followed])


# -- at the console --------------------------------------------------------------------------


class ConsoleLines:
    """Tells the consoles how far backtests are that were asked for there: a line each stage."""

    def __init__(self, broadcast: Callable[[Reply], None]) -> None:
        self._broadcast = broadcast
        self._stages: dict[int, str] = {}

    def on_change(self, study: Study) -> None:
        if study.surface != "console" or self._stages.get(study.number) == study.stage:
            return
        self._stages[study.number] = study.stage
        if study.is_over:
            del self._stages[study.number]
        self._broadcast(reply(Text(progress_line(study))))
