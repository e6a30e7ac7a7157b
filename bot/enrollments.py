"""Pictures of enrollments, which hold a seed for ever: they leave the chat when they are used.

Where they were posted stands in the database, so that a restart forgets none of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from bot.letter import ENROLLING, Letter
from bot.surface import Surface
from engine.candle import MINUTE_MS
from engine.errors import Unreachable
from engine.mail import Address, Posted
from engine.pace import until
from engine.people import Person
from engine.ports import Clock, Commit, Mail
from handlers.reply import Reply, Text

# How long a picture stands in a chat, and how often is looked for those that stood long enough.
STANDS_MS = 10 * MINUTE_MS
LOOK_S = 60.0
DELETE_IT = (
    "Delete the picture above yourself: the platform does not let me, and whoever has it has the "
    "codes of your authenticator."
)

log = structlog.get_logger()


class Enrollments:
    """Deletes the pictures that are over.

    `enrolling` gives the otpauth address while somebody enrolls; `say` sends a letter, or keeps
    it to be sent, and returns whether it did.
    """

    def __init__(
        self,
        mail: Mail,
        clock: Clock,
        surfaces: Mapping[str, Surface],
        enrolling: Callable[[str], str | None],
        say: Callable[[Address, Letter], Awaitable[bool]],
    ) -> None:
        self._mail = mail
        self._clock = clock
        self._surfaces = surfaces
        self._enrolling = enrolling
        self._say = say
        self._wake = asyncio.Event()

    def on_commit(self, batch: Commit) -> None:
        enrolled = any(isinstance(fact, Person) and fact.enrolled for fact in batch.facts)
        if enrolled or any(each.topic.startswith(ENROLLING) for each in batch.deliveries):
            self._wake.set()

    async def run(self) -> None:
        """Look for as long as the desk runs."""
        while True:
            self._wake.clear()
            try:
                await self.sweep()
            except Unreachable as error:
                log.warning("pictures of enrollments can't be looked for", error=str(error))
            await until(self._wake, self._clock, LOOK_S)

    async def sweep(self) -> None:
        """Delete every picture that is over. What can't be reached now is deleted later."""
        pictures = await self._mail.about(ENROLLING)
        newest = {picture.topic: picture.seq for picture in pictures}
        for picture in pictures:
            is_newest = newest[picture.topic] == picture.seq
            if picture.message_id and not (is_newest and self._is_needed(picture)):
                await self._delete(picture)

    def _is_needed(self, picture: Posted) -> bool:
        in_time = self._clock.now() < picture.ts + STANDS_MS
        return in_time and self._enrolling(picture.topic.removeprefix(ENROLLING)) is not None

    async def _delete(self, picture: Posted) -> None:
        surface = self._surfaces.get(picture.address.surface)
        if surface is None:
            return
        try:
            is_gone = await surface.forget(picture.address, picture.message_id)
        except Unreachable as error:
            log.warning("a picture is not deleted yet", error=str(error))
            return
        if is_gone or await self._say(picture.address, Letter(Reply((Text(DELETE_IT),)))):
            await self._mail.forgotten([picture.seq])
