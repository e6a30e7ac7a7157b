"""What is told to a chat straight away, past database and outbox: of the emergency stop.

In each chat it keeps its order. What can't be sent is tried again for as long as this desk runs;
what comes meanwhile goes with it in one message.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import structlog

from bot.letter import Letter
from bot.surface import BadMarkup, Surface, Throttled
from engine.errors import CountersignError, Unreachable
from engine.mail import Address
from engine.ports import Clock
from handlers.reply import Reply, Text

WAITS_S = (0.5, 1.0, 2.0, 5.0)
# A chat that can't be reached for long is told the newest.
WAITING_MAX = 50
TOGETHER_MAX = 20

log = structlog.get_logger()


class Straight:
    """Sends letters to the chats of all surfaces, at once."""

    def __init__(self, surfaces: Mapping[str, Surface], clock: Clock) -> None:
        self._surfaces = surfaces
        self._clock = clock
        self._waiting: dict[Address, deque[Letter]] = {}
        self._serving: set[Address] = set()
        self._wake = asyncio.Event()

    def say(self, address: Address, letter: Letter) -> None:
        """Have a letter sent, after those that wait for the same chat."""
        self._waiting.setdefault(address, deque(maxlen=WAITING_MAX)).append(letter)
        self._wake.set()

    async def run(self) -> None:
        """Send until canceled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for address in self._waiting.keys() - self._serving:
                    self._serving.add(address)
                    tasks.create_task(self._serve(address))
                await self._wake.wait()
                self._wake.clear()

    async def _serve(self, address: Address) -> None:
        waiting = self._waiting[address]
        while waiting:
            await self._deliver(address, _together(waiting))
        del self._waiting[address]
        self._serving.discard(address)

    async def _deliver(self, address: Address, letter: Letter) -> None:
        """Send a letter for as long as it takes; one that can never arrive is let go."""
        tries = 0
        while (surface := self._surfaces.get(address.surface)) is not None:
            wait = await _tried(surface, address, letter)
            if wait is None:
                return
            await self._clock.sleep(max(wait, WAITS_S[min(tries, len(WAITS_S) - 1)]))
            tries += 1


async def _tried(surface: Surface, address: Address, letter: Letter) -> float | None:
    """Send a letter once: how many seconds to wait at least before the next try; None where there
    is none."""
    try:
        await _sent(surface, address, letter)
    except (Throttled, Unreachable) as error:
        log.warning("it can't be told yet", chat=address.chat_id, error=str(error))
        return error.seconds if isinstance(error, Throttled) else 0.0
    except CountersignError as error:
        log.warning("it can't be told", chat=address.chat_id, error=str(error))
    except Exception:
        # A fault in telling one chat is no reason to stop anything else.
        log.exception("it could not be told", chat=address.chat_id)
    return None


async def _sent(surface: Surface, address: Address, letter: Letter) -> None:
    """Send a letter, as plain text where the markup is not understood."""
    with suppress(BadMarkup):
        await surface.send(address, letter, plain=False, nonce="")
        return
    await surface.send(address, letter, plain=True, nonce="")


def _together(waiting: deque[Letter]) -> Letter:
    """The next letter, with the plain texts that wait behind it."""
    first = waiting.popleft()
    blocks = [*first.reply.blocks]
    while first.reply.ok and waiting and len(blocks) < TOGETHER_MAX and _is_text(waiting[0]):
        blocks += waiting.popleft().reply.blocks
    return replace(first, reply=replace(first.reply, blocks=tuple(blocks)))


def _is_text(letter: Letter) -> bool:
    alone = not (letter.reply.buttons or letter.edit or letter.reply_to or letter.reply.error)
    return alone and all(isinstance(block, Text) for block in letter.reply.blocks)


def letter_of(text: str, badge: str) -> Letter:
    """A sentence for a chat, that nobody asked for just now."""
    return Letter(Reply((Text(text),), badge=badge))
