"""Messages on their way to chats: in order for each chat, at the pace the platforms allow.

A message is stored before it is sent and marked once it arrived. When a crash or an outage leaves
that open it is sent again and says so: perhaps twice, never lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import structlog
from pydantic import ValidationError

from bot import letter as letters
from bot.letter import Letter
from bot.people import People
from bot.surface import BadMarkup, ChatGone, NotSent, PartlySent, Surface, Throttled, Undeliverable
from engine.errors import CountersignError, Unreachable
from engine.mail import Address, ChatKind, Delivery, Priority, WaitingDelivery
from engine.ports import Clock, Commit, Mail
from handlers.reply import Reply, Text

# What Telegram's bot support asks for: a message a second to one chat, 20 a minute to one group,
# 30 a second in all. Answers to people are not held back by it, but they count.
CHAT_PACE = (1, 1.0)
GROUP_PACE = (20, 60.0)
PACE_IN_ALL = (30, 1.0)
# From so many waiting pieces of news on, several share a message.
CROWD = 5
TOGETHER_MAX = 12
TOGETHER_CHARACTERS = 3_000
# How long a platform that can't be reached is left alone, at most.
PATIENCE_S = 60.0
ROUTES_MAX = 2_000
# How often the database is asked again when it could not be.
RETRY_S = 2.0

log = structlog.get_logger()


class _Limit:
    """At most `count` sends in any `seconds`, whenever between its start and its end one counts.

    That moment is the platform's: on its way a message may be as slow as it likes.
    """

    def __init__(self, clock: Clock, count: int, seconds: float) -> None:
        self._clock = clock
        self._count = count
        self._seconds = seconds
        self._under_way = 0
        # Of those before them nothing depends any more.
        self._ended: deque[float] = deque(maxlen=count)

    def delay(self) -> float:
        """Seconds until one more may go, or until it is known when; 0 when it may go now."""
        free = self._count - self._under_way
        if free <= 0:
            return self._seconds
        if len(self._ended) < free:
            return 0.0
        return max(0.0, self._ended[-free] + self._seconds - self._clock.monotonic())

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Count what is sent meanwhile."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._ended.append(self._clock.monotonic())


@dataclass
class _Route:
    """One chat: its limits, and how it fared.

    `stored` counts the answers that were stored for it, `served` says how many of them there
    were when nothing was left; `news` that one more was.
    """

    surface: Surface
    chat_id: str
    in_chat: _Limit
    in_group: _Limit
    quiet_until: float = 0.0
    failures: int = 0
    stored: int = 0
    served: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def note_stored(self) -> None:
        self.stored += 1
        self.news.set()


class Courier:
    """Delivers to the chats of all surfaces. `lost` is told of a chat that can't be reached."""

    def __init__(
        self,
        mail: Mail,
        clock: Clock,
        people: People,
        surfaces: Mapping[str, Surface],
        lost: Callable[[Address, str], Awaitable[None]],
    ) -> None:
        self._mail = mail
        self._clock = clock
        self._people = people
        self._surfaces = surfaces
        self._lost = lost
        self._in_all = {name: _Limit(clock, *PACE_IN_ALL) for name in surfaces}
        self._routes: dict[tuple[str, str], _Route] = {}
        self._serving: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._wake.set()

    def wake(self) -> None:
        """Say that something may wait."""
        self._wake.set()

    def on_commit(self, batch: Commit) -> None:
        for each in batch.deliveries:
            self._wake.set()
            if each.priority is Priority.ANSWER and each.surface in self._surfaces:
                self._route(each.surface, each.chat_id).note_stored()

    async def answer(self, address: Address, letter: Letter) -> bool:
        """Send an answer at once, or store it where that can't be; whether either was done.

        It is stored behind an earlier answer that is, and while the chat is left alone.
        """
        if address.surface not in self._surfaces:
            return False
        route = self._route(address.surface, address.chat_id)
        if route.stored > route.served or route.quiet_until > self._clock.monotonic():
            return await self._store(address, letter)
        try:
            with self._sending(route):
                await self._send(route, address, letter, "")
        except (ChatGone, Undeliverable) as error:
            log.warning("an answer can't be delivered", chat=address.chat_id, error=str(error))
        except (Throttled, Unreachable) as error:
            log.info("an answer has to wait", chat=address.chat_id, error=str(error))
            doubtful = isinstance(error, Unreachable) and not isinstance(error, NotSent)
            return await self._store(address, replace(letter, repeated=doubtful))
        return True

    async def run(self) -> None:
        """Deliver for as long as the desk runs."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    waiting = await self._mail.waiting_chats()
                except Unreachable as error:
                    await self._wait_for_database(error)
                    continue
                for chat in waiting:
                    if chat[0] in self._surfaces and chat not in self._serving:
                        self._serving.add(chat)
                        tasks.create_task(self._serve(*chat))

    # -- one chat ------------------------------------------------------------------------

    async def _serve(self, surface: str, chat_id: str) -> None:
        """Deliver what waits for one chat, one message after the other."""
        route = self._route(surface, chat_id)
        try:
            while surface in self._surfaces and (rows := await self._next(route)):
                if not await self._is_due(route, rows[0].delivery.priority):
                    continue
                with self._sending(route):
                    # What is urgent may have come meanwhile.
                    if rows := await self._next(route):
                        await self._deliver(route, rows)
        except Unreachable as error:
            await self._wait_for_database(error)
        finally:
            self._serving.discard((surface, chat_id))
            # Something may have come after the last look.
            self._wake.set()

    async def _wait_for_database(self, error: Unreachable) -> None:
        log.warning("messages wait for the database", error=str(error))
        await self._clock.sleep(RETRY_S)
        self._wake.set()

    async def _next(self, route: _Route) -> list[WaitingDelivery]:
        """What goes to the chat next."""
        route.news.clear()
        stored = route.stored
        rows = await self._mail.waiting(route.surface.name, route.chat_id, TOGETHER_MAX)
        if not rows:
            route.served = stored
        return rows

    async def _is_due(self, route: _Route, priority: Priority) -> bool:
        """Wait until the next message may go; False where an answer came first, which may now."""
        while (delay := self._delay(route, priority)) > 0:
            await self._pause(route, delay)
            if route.news.is_set():
                return False
        return True

    def _delay(self, route: _Route, priority: Priority) -> float:
        """Seconds to wait as the platform asked, and with what nobody asked for, as limits say."""
        quiet = route.quiet_until - self._clock.monotonic()
        if priority is Priority.ANSWER:
            return quiet
        return max(quiet, *(limit.delay() for limit in self._limits(route)))

    async def _pause(self, route: _Route, seconds: float) -> None:
        """Wait so long, or until an answer comes."""
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(self._clock.sleep(seconds)),
                tasks.create_task(route.news.wait()),
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    async def _deliver(self, route: _Route, rows: Sequence[WaitingDelivery]) -> None:
        together = _together(rows)
        seqs = [row.seq for row in together]
        first, attempted_at = together[0].delivery, together[0].attempted_at
        address = Address(first.surface, first.chat_id, first.thread_id)
        try:
            letter = _letter(together)
        except ValidationError as error:
            log.error("a message can't be read", seq=seqs[0], error=str(error))
            await self._mail.given_up(seqs[:1], "it can't be read", self._clock.now())
            return
        if topic := _topic(together):
            first_id = await self._mail.first_of(address, topic)
            letter = replace(letter, reply_to=first_id or letter.reply_to)
        await self._mail.attempt(seqs, self._clock.now())
        try:
            message_id = await self._send(route, address, letter, f"{first.ts}-{seqs[0]}")
        except Throttled:
            # An earlier try stays in doubt.
            await self._mail.attempt(seqs, attempted_at)
        except NotSent as error:
            await self._mail.attempt(seqs, attempted_at)
            self._retreat(route, error)
        except Unreachable as error:
            self._retreat(route, error)
        except Undeliverable as error:
            log.error("a message is given up", seq=seqs[0], error=str(error))
            await self._mail.given_up(seqs, str(error), self._clock.now())
        except ChatGone as error:
            await self._give_up(address, error)
        else:
            route.failures = 0
            await self._mail.arrived(seqs, message_id, self._clock.now())

    async def _send(self, route: _Route, address: Address, letter: Letter, nonce: str) -> str:
        """Send, as plain text where the markup is not understood.

        A fault of ours in one message must not keep back all others, or end the desk again at
        each start: such a message can't be delivered.
        """
        try:
            with suppress(BadMarkup):
                return await route.surface.send(address, letter, plain=False, nonce=nonce)
            log.error("markup was not understood", chat=address.chat_id)
            return await route.surface.send(address, letter, plain=True, nonce=nonce)
        except BadMarkup as error:
            raise Undeliverable(f"not even as plain text: {error}") from None
        except (Throttled, PartlySent) as error:
            route.quiet_until = self._clock.monotonic() + error.seconds
            raise
        except CountersignError:
            raise
        except Exception as error:
            log.exception("a message could not be made", chat=address.chat_id)
            raise Undeliverable("it could not be made, and that is our fault") from error

    async def _give_up(self, address: Address, error: ChatGone) -> None:
        """Nothing reaches this chat: all that waits for it becomes visible as undelivered."""
        log.error("a chat is gone", chat=address.chat_id, error=str(error))
        while rows := await self._mail.waiting(address.surface, address.chat_id, TOGETHER_MAX):
            await self._mail.given_up([row.seq for row in rows], str(error), self._clock.now())
        await self._lost(address, str(error))

    def _retreat(self, route: _Route, error: Unreachable) -> None:
        """Leave the platform alone for a while, longer each time."""
        pause = min(2.0**route.failures, PATIENCE_S)
        route.failures += 1
        route.quiet_until = max(route.quiet_until, self._clock.monotonic() + pause)
        log.warning("a platform can't be reached", surface=route.surface.name, error=str(error))

    async def _store(self, address: Address, letter: Letter) -> bool:
        now = self._clock.now()
        body = letters.to_body(letter)
        delivery = Delivery(
            address.surface, address.chat_id, address.thread_id, now, Priority.ANSWER, "", body
        )
        try:
            await self._mail.route([], [delivery], now)
        except Unreachable as error:
            log.warning("an answer can't be kept", error=str(error))
            return False
        self._route(address.surface, address.chat_id).note_stored()
        self.wake()
        return True

    @contextmanager
    def _sending(self, route: _Route) -> Iterator[None]:
        """Count what is sent meanwhile."""
        in_all = self._in_all[route.surface.name]
        with in_all.sending(), route.in_chat.sending(), route.in_group.sending():
            yield

    def _limits(self, route: _Route) -> Iterator[_Limit]:
        yield self._in_all[route.surface.name]
        yield route.in_chat
        # Asked each time: a chat may be known for a group later than it is first answered.
        if self._people.kind(route.surface.name, route.chat_id) is not ChatKind.PRIVATE:
            yield route.in_group

    def _route(self, surface: str, chat_id: str) -> _Route:
        key = (surface, chat_id)
        if key not in self._routes:
            self._forget_routes()
            limits = _Limit(self._clock, *CHAT_PACE), _Limit(self._clock, *GROUP_PACE)
            self._routes[key] = _Route(self._surfaces[surface], chat_id, *limits)
        return self._routes[key]

    def _forget_routes(self) -> None:
        """Bound what is remembered of chats: strangers may ask who they are, and be gone."""
        if len(self._routes) >= ROUTES_MAX:
            kept = self._serving & self._routes.keys()
            self._routes = {key: self._routes[key] for key in kept}


# -- several in one message --------------------------------------------------------------


def _together(rows: Sequence[WaitingDelivery]) -> list[WaitingDelivery]:
    """The first message, and in a crowd the news after it that can share one with it."""
    first = rows[0]
    if len(rows) < CROWD or not _shares(first):
        return [first]
    found = [first]
    length = len(first.delivery.body)
    for row in rows[1:]:
        length += len(row.delivery.body)
        same_place = row.delivery.thread_id == first.delivery.thread_id
        doubtful = (row.attempted_at is None) != (first.attempted_at is None)
        if length > TOGETHER_CHARACTERS or not same_place or doubtful or not _shares(row):
            break
        found.append(row)
    return found


def _shares(row: WaitingDelivery) -> bool:
    if row.delivery.priority is not Priority.NEWS:
        return False
    try:
        letter = letters.from_body(row.delivery.body)
    except ValidationError:
        return False
    plain = letter.reply.ok and not letter.edit
    return plain and all(isinstance(block, Text) for block in letter.reply.blocks)


def _letter(rows: Sequence[WaitingDelivery]) -> Letter:
    """One letter of all rows, in their order; what may have arrived before says so."""
    read = [letters.from_body(row.delivery.body) for row in rows]
    repeated = rows[0].attempted_at is not None or read[0].repeated
    if len(read) == 1:
        return replace(read[0], repeated=repeated)
    blocks = [block for each in read for block in each.reply.blocks]
    reply = Reply(tuple(blocks), badge=read[-1].reply.badge)
    return Letter(reply, is_news=True, repeated=repeated)


def _topic(rows: Sequence[WaitingDelivery]) -> str:
    """What all rows are about; empty where they are about different things."""
    topics = {row.delivery.topic for row in rows}
    return topics.pop() if len(topics) == 1 else ""
