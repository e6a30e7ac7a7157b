"""Messages on their way to chats: in order for each chat, at the pace the platforms allow.

A message is stored before it is sent and marked once it arrived. When a crash or an outage leaves
that open it is sent again and says so: perhaps twice, never lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog
from pydantic import ValidationError

from bot import letter as letters
from bot.letter import Letter
from bot.people import People
from bot.surface import BadMarkup, ChatGone, NotSent, PartlySent, Surface, Throttled, Undeliverable
from engine.errors import Broken, CountersignError, LostLock, Unreachable
from engine.mail import Address, ChatKind, Delivery, Priority, WaitingDelivery
from engine.pace import until
from engine.ports import Clock, Commit, Mail
from engine.proposal import card_topic
from handlers.reply import Reply, Text

# What Telegram's bot support asks for: a message a second to one chat, 20 a minute to one group,
# 30 a second in all. In a chat only news is held back by it, among itself; answers nowhere.
CHAT_PACE = (1, 1.0)
GROUP_PACE = (20, 60.0)
PACE_IN_ALL = (30, 1.0)
# How long news makes room for answers, which count too, in a chat in steady use.
NEWS_PATIENCE_S = 10.0
# From so many waiting pieces of news on, several share a message.
CROWD = 5
TOGETHER_MAX = 12
TOGETHER_CHARACTERS = 3_000
# How long a platform that can't be reached is left alone, at most.
PATIENCE_S = 60.0
ROUTES_MAX = 2_000
# How often the database is asked again when it could not be.
RETRY_S = 2.0

T = TypeVar("T")

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

    `limits` are those of any chat and of a group, `news_limits` the same of news alone;
    `news_since` is when the news that is next began to wait. `stored` counts the answers that were
    stored for the chat, `served` says how many of them there were when nothing was left; `news`
    that something came which may go first.
    """

    surface: Surface
    chat_id: str
    limits: tuple[_Limit, ...]
    news_limits: tuple[_Limit, ...]
    news_since: float | None = None
    quiet_until: float = 0.0
    failures: int = 0
    stored: int = 0
    served: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def note_stored(self) -> None:
        self.stored += 1
        self.news.set()

    @contextmanager
    def sending(self, priority: Priority) -> Iterator[None]:
        """Count what is sent meanwhile."""
        limits = self.limits
        if priority is Priority.NEWS:
            limits += self.news_limits
            self.news_since = None
        with ExitStack() as counting:
            for limit in limits:
                counting.enter_context(limit.sending())
            yield


class Courier:
    """Delivers to the chats of all surfaces. `lost` is told of a chat that can't be reached.

    `card` makes the reply that is the card of a proposal, as it stands now; None where there is no
    such proposal any more. `posted` is told of every letter that became a message, and its id.
    """

    def __init__(
        self,
        mail: Mail,
        clock: Clock,
        people: People,
        surfaces: Mapping[str, Surface],
        lost: Callable[[Address, str], Awaitable[None]],
        card: Callable[[int], Awaitable[Reply | None]],
        posted: Callable[[Letter, Address, str], None] = lambda letter, address, message_id: None,
    ) -> None:
        self._posted = posted
        self._mail = mail
        self._clock = clock
        self._people = people
        self._surfaces = surfaces
        self._lost = lost
        self._card = card
        self._in_all = {name: _Limit(clock, *PACE_IN_ALL) for name in surfaces}
        self._routes: dict[tuple[str, str], _Route] = {}
        self._serving: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._wake.set()

    def wake(self) -> None:
        """Say that something may wait, and perhaps may go before what waits already."""
        for chat in self._serving & self._routes.keys():
            self._routes[chat].news.set()
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
            with self._in_all[address.surface].sending(), route.sending(Priority.ANSWER):
                await self._send(route, address, letter, "")
        except (ChatGone, Undeliverable) as error:
            log.warning("an answer can't be delivered", chat=address.chat_id, error=str(error))
        except (Throttled, Unreachable) as error:
            log.info("an answer has to wait", chat=address.chat_id, error=str(error))
            doubtful = isinstance(error, Unreachable) and not isinstance(error, NotSent)
            return await self._store(address, replace(letter, repeated=doubtful))
        return True

    async def refresh(self, address: Address, message_id: str, letter: Letter) -> None:
        """Put a letter in the place of a message of ours, if that can be now: it says how far
        something is, and the next one will say more."""
        if address.surface not in self._surfaces:
            return
        route = self._route(address.surface, address.chat_id)
        if route.quiet_until > self._clock.monotonic():
            return
        try:
            with self._in_all[address.surface].sending(), route.sending(Priority.ANSWER):
                await self._renew(route, address, message_id, letter)
        except (ChatGone, Undeliverable, Throttled, Unreachable) as error:
            log.info("a message is not brought up to date", chat=address.chat_id, error=str(error))

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
                with self._in_all[surface].sending():
                    # What is urgent may have come meanwhile.
                    if rows := await self._next(route):
                        with route.sending(rows[0].delivery.priority):
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
        """Wait until the next message may go; False where something came first that may now."""
        while (delay := self._delay(route, priority)) > 0:
            await until(route.news, self._clock, delay)
            if route.news.is_set():
                return False
        return True

    def _delay(self, route: _Route, priority: Priority) -> float:
        """Seconds to wait as the platform asked, and with what nobody asked for, as limits say."""
        quiet = route.quiet_until - self._clock.monotonic()
        if priority is Priority.ANSWER:
            return quiet
        in_all = self._in_all[route.surface.name].delay()
        in_chat = self._news_delay(route) if priority is Priority.NEWS else 0.0
        return max(quiet, in_all, in_chat)

    def _news_delay(self, route: _Route) -> float:
        """Seconds until news may go: strict among news, patient where answers used up the pace."""
        # Asked each time: a chat may be known for a group later than it is first answered.
        kind = self._people.kind(route.surface.name, route.chat_id)
        count = 1 if kind is ChatKind.PRIVATE else 2
        now = self._clock.monotonic()
        if route.news_since is None:
            route.news_since = now
        patience = route.news_since + NEWS_PATIENCE_S - now
        among_all = max(limit.delay() for limit in route.limits[:count])
        among_news = max(limit.delay() for limit in route.news_limits[:count])
        return max(among_news, min(among_all, patience))

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
        # An answer belongs to its question; news to the first message of its topic.
        if not letter.reply_to and (topic := _topic(together)):
            first_id = await self._mail.first_of(address, topic)
            letter = replace(letter, reply_to=first_id or "")
        await self._mail.attempt(seqs, self._clock.now())
        try:
            message_id = await self._hand_over(route, address, letter, f"{first.ts}-{seqs[0]}")
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

    async def _hand_over(self, route: _Route, address: Address, letter: Letter, nonce: str) -> str:
        """Send a letter, or renew what was sent; the id of its message, empty where it has none."""
        if letter.card:
            with self._sendable(route, address):
                shown = await self._card_now(letter.card)
            if shown is None:
                return ""
            letter = replace(letter, reply=shown)
        if not letter.renews:
            return await self._send(route, address, letter, nonce)
        for message_id in await self._mail.posted(address, card_topic(letter.card)):
            await self._renew(route, address, message_id, letter)
        return ""

    async def _card_now(self, proposal_id: int) -> Reply | None:
        try:
            return await self._card(proposal_id)
        except Unreachable as error:
            raise NotSent(f"the proposal can't be read: {error}") from error

    async def _send(self, route: _Route, address: Address, letter: Letter, nonce: str) -> str:
        async def post(plain: bool) -> str:
            return await route.surface.send(address, letter, plain=plain, nonce=nonce)

        message_id = await self._try(route, address, post)
        self._posted(letter, address, message_id)
        return message_id

    async def _renew(
        self, route: _Route, address: Address, message_id: str, letter: Letter
    ) -> None:
        async def edit(plain: bool) -> None:
            await route.surface.renew(address, message_id, letter, plain=plain)

        await self._try(route, address, edit)

    async def _try(
        self, route: _Route, address: Address, post: Callable[[bool], Awaitable[T]]
    ) -> T:
        """Post something, as plain text where the markup is not understood."""
        with self._sendable(route, address):
            with suppress(BadMarkup):
                return await post(False)
            log.error("markup was not understood", chat=address.chat_id)
            return await post(True)

    @contextmanager
    def _sendable(self, route: _Route, address: Address) -> Iterator[None]:
        """Note what the platform asks for, and make of any other failure what it means.

        A fault of ours in one message must not keep back all others, or end the desk again at
        each start: such a message can't be delivered.
        """
        try:
            yield
        except BadMarkup as error:
            raise Undeliverable(f"not even as plain text: {error}") from None
        except (Throttled, PartlySent) as error:
            route.quiet_until = self._clock.monotonic() + error.seconds
            raise
        except LostLock:
            raise
        except Broken as error:
            log.exception("a message could not be made", chat=address.chat_id)
            raise Undeliverable("it could not be made, and that is our fault") from error
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

    def _route(self, surface: str, chat_id: str) -> _Route:
        key = (surface, chat_id)
        if key not in self._routes:
            self._forget_routes()
            limits, news_limits = self._new_limits(), self._new_limits()
            self._routes[key] = _Route(self._surfaces[surface], chat_id, limits, news_limits)
        return self._routes[key]

    def _new_limits(self) -> tuple[_Limit, ...]:
        return _Limit(self._clock, *CHAT_PACE), _Limit(self._clock, *GROUP_PACE)

    def _forget_routes(self) -> None:
        """Bound what is remembered of chats: strangers may ask who they are, and be gone."""
        if len(self._routes) >= ROUTES_MAX:
            kept = self._serving & self._routes.keys()
            self._routes = {key: self._routes[key] for key in kept}


# -- several in one message --------------------------------------------------------------


def _together(rows: Sequence[WaitingDelivery]) -> list[WaitingDelivery]:
    """The first message, and in a crowd the news after it that can share one with it.

    What renews the same card is one, however many there are.
    """
    first = rows[0]
    if (letter := _read(first)) and letter.renews:
        return [row for row in rows if _place(row) == _place(first)]
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


def _read(row: WaitingDelivery) -> Letter | None:
    try:
        return letters.from_body(row.delivery.body)
    except ValidationError:
        return None


def _place(row: WaitingDelivery) -> tuple[Address, str]:
    return row.delivery.address, row.delivery.topic


def _shares(row: WaitingDelivery) -> bool:
    letter = _read(row)
    if row.delivery.priority is not Priority.NEWS or letter is None:
        return False
    plain = letter.reply.ok and not letter.edit and not letter.card
    return plain and all(isinstance(block, Text) for block in letter.reply.blocks)


def _letter(rows: Sequence[WaitingDelivery]) -> Letter:
    """One letter of all rows, in their order; what may have arrived before says so."""
    read = [letters.from_body(row.delivery.body) for row in rows]
    if read[0].renews:
        # Twice is the same as once.
        return read[0]
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
