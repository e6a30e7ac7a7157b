"""What comes from chats: kept first, then answered, each once.

An update is stored under the platform's id of it before the platform may forget it, so that one
that is sent again, or that a crash left unanswered, is known. What a command changes is stored in
one transaction with its audit, its answer, and that the update is dealt with; a command that only
looks is run again after a crash. In one chat answers keep the order of the questions.

What is an emergency is the exception: it acts and is answered before anything is stored, and past
the queues; it is stored afterwards, once that can be.

Codes are stored nowhere: of an update that holds one the rest is kept, and where the desk ends
before it acted, whoever sent it is told that nothing was done. A press that decides a proposal is
believed for the token it carries, and then said as a command like any other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog
from pydantic import ValidationError

from bot import letter as letters
from bot import update as updates
from bot.courier import Courier
from bot.letter import Letter, topic_of
from bot.offers import Offers
from bot.people import People
from bot.questions import as_question, shows_code
from bot.straight import Straight
from bot.surface import Surface
from bot.update import Update, UpdateKind, without_codes
from engine.desk import Desk
from engine.errors import LostLock, Refused, Unreachable
from engine.instruction import PutChat
from engine.mail import Delivery, Priority, Received, Sealed
from engine.pace import Pace
from engine.people import DESK, Role
from engine.proposal import CARDS, digest
from engine.runtime import BUSY
from handlers import COMMANDS
from handlers.command import Context, Kind, Principal
from handlers.dispatch import OUR_FAULT, PRESS, dispatch_line, dispatch_named, too_fast
from handlers.reply import Reply
from handlers.spoken import ASK

# Whoever sent a command this long ago has seen another market. What reduces risk still acts.
STALE_MS = 60_000
# Updates answered at the same time, and waiting in one chat; more is a flood.
ANSWERED_AT_ONCE = 64
WAITING_IN_CHAT = 50
# How often that updates are dealt with is noted, many at once.
NOTE_S = 0.5
# Emergencies whose keys are remembered: a platform repeats what it was not told to be stored.
RUSHED_MAX = 1_000
# Updates known to be begun, while the database has not heard that they are dealt with.
BEGUN_MAX = 10_000
# How many strangers are answered, in how many seconds.
OF_STRANGERS = (20, 60.0)

STALE = "That came too late: the desk was away. Nothing was changed; send it again."
OTHER_CHAT = "That button belongs to another chat."
GONE = "That button is too old. Ask again for a fresh one."
USED = "That button was used already."
NOT_YOURS = "That button is for whoever asked."
NOT_OURS = "That button is not one of ours."
CUT = "The desk was started again before it used your code. Nothing was changed; send it again."

log = structlog.get_logger()


class Inbox:
    """Answers the updates of all chat surfaces."""

    def __init__(
        self,
        desk: Desk,
        people: People,
        courier: Courier,
        surfaces: Mapping[str, Surface],
        offers: Offers,
    ) -> None:
        self._desk = desk
        self._people = people
        self._courier = courier
        self._surfaces = surfaces
        self._offers = offers
        self._queues: dict[tuple[str, str], deque[Update]] = {}
        self._busy: set[tuple[str, str]] = set()
        self._noted: list[str] = []
        self._doubtful: set[str] = set()
        self._recovered: set[str] = set()
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(ANSWERED_AT_ONCE)
        self._strangers = Pace(desk.clock, *OF_STRANGERS)
        self._rushed: dict[str, None] = {}
        self._begun: dict[str, None] = {}
        self._unstored: list[Update] = []
        self.straight = Straight(surfaces, desk.clock)

    async def take(self, came: Sequence[Update]) -> None:
        """Keep what the gate lets in, to be answered; returns once it is stored."""
        waiting = []
        for update in came:
            principal = self._let_in(update)
            if principal is not None and _is_urgent(update, principal):
                await self._rush(update, principal)
            elif principal is not None:
                waiting.append(update)
        await self._keep(waiting)

    def _let_in(self, update: Update) -> Principal | None:
        principal = self._surfaces[update.surface].admit(update)
        if principal is None or principal.role > Role.NOBODY:
            return principal
        # Strangers may ask who they are, but not fill the database with it.
        if self._strangers.delay() > 0:
            return None
        self._strangers.take()
        return principal

    async def _rush(self, update: Update, principal: Principal) -> None:
        """Carry an emergency out and have it answered at once, whatever else waits."""
        if update.key in self._rushed:
            return
        _remember(self._rushed, update.key, RUSHED_MAX)
        self._unstored.append(update)
        try:
            reply = await _dispatched(update, self._context(update, principal, []))
        except Exception:
            log.exception("no answer", command=update.shown[:200])
            reply = Reply(error=OUR_FAULT)
        self.straight.say(update.address, _letter(update, reply))

    async def recover(self) -> None:
        """Take up what an earlier process left unanswered."""
        for row in await self._desk.store.mail.unanswered():
            try:
                update = updates.from_body(row.body)
            except ValidationError as error:
                log.error("an update can't be read", key=row.key, error=str(error))
                self._noted.append(row.key)
                continue
            if update.surface in self._surfaces:
                # It may have been answered, and only that was not noted.
                self._recovered.add(update.key)
                self._queue(update)

    async def run(self) -> None:
        """Answer for as long as the desk runs."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._note())
            tasks.create_task(self.straight.run())
            while True:
                await self._wake.wait()
                self._wake.clear()
                for chat in [chat for chat in self._queues if chat not in self._busy]:
                    self._busy.add(chat)
                    tasks.create_task(self._attend(chat))

    # -- keeping -------------------------------------------------------------------------

    async def _keep(self, let_in: Sequence[Update]) -> None:
        rows = self._rows(let_in)
        try:
            fresh = await self._desk.store.mail.receive(rows)
            fresh |= await self._stored_in_doubt(let_in)
        except Unreachable as error:
            # The platform sends it again, or the person does: nothing was begun.
            log.warning("updates can't be kept", count=len(rows), error=str(error))
            self._doubtful.update(each.key for each in let_in)
            raise
        for update in let_in:
            self._doubtful.discard(update.key)
            if update.key in fresh:
                fresh.discard(update.key)
                self._queue(update)

    async def _stored_in_doubt(self, let_in: Sequence[Update]) -> set[str]:
        """Those that were stored, and only that could not be said: nobody began them yet."""
        doubtful = {each.key for each in let_in} & self._doubtful - self._begun.keys()
        if not doubtful:
            return set()
        return doubtful & {row.key for row in await self._desk.store.mail.unanswered()}

    def _rows(self, came: Sequence[Update]) -> list[Received]:
        now = self._desk.clock.now()
        bodies = [(each.key, updates.to_body(without_codes(each))) for each in came]
        return [Received(key, now, body) for key, body in bodies]

    def _queue(self, update: Update) -> None:
        _remember(self._begun, update.key, BEGUN_MAX)
        queue = self._queues.setdefault((update.surface, update.address.chat_id), deque())
        # What reduces risk is never dropped. It keeps its place: a pause after a resume must not
        # come before it.
        if len(queue) >= WAITING_IN_CHAT and not update.always:
            log.warning("too many commands wait in a chat", chat=update.address.chat_id)
            self._noted.append(update.key)
            return
        queue.append(update)
        self._wake.set()

    # -- answering -----------------------------------------------------------------------

    async def _attend(self, chat: tuple[str, str]) -> None:
        """Answer what waits in one chat, in its order."""
        queue = self._queues[chat]
        try:
            while queue:
                async with self._places:
                    await self._answer(queue.popleft())
        finally:
            self._busy.discard(chat)
            if not queue:
                self._queues.pop(chat, None)

    async def _answer(self, update: Update) -> None:
        surface = self._surfaces.get(update.surface)
        if surface is None:
            # The platform is lost; the next desk may have it again.
            return
        principal = surface.admit(update)
        if principal is None:
            self._noted.append(update.key)
            return
        sealed: list[str] = []
        try:
            update = as_question(update, principal.role, self._desk)
            # A question is judged as one, however it began.
            if update.name == ASK and surface.admit(update) is None:
                self._noted.append(update.key)
                return
            update = await self._beside_card(update)
            reply = await self._reply(update, principal, sealed)
        except LostLock:
            raise
        except Exception:
            # What failed is one answer, and that is no reason to stop trading.
            log.exception("no answer", command=update.shown[:200])
            reply = Reply(error=OUR_FAULT)
        if reply is not None and not sealed:
            repeated = update.key in self._recovered
            letter = replace(_letter(update, reply), repeated=repeated)
            if await self._courier.answer(update.address, letter):
                self._noted.append(update.key)
                if reply.asks:
                    # Said again after a crash, it would be paid for again.
                    await self.flush()
        if reply is not None and shows_code(update, self._desk):
            with suppress(Unreachable):
                await surface.forget(update.address, update.message_id)

    async def _beside_card(self, update: Update) -> Update:
        """The update, to be answered beside its message where that is the card of a proposal: a
        press that decides nothing must not take it away."""
        if not update.edit or update.decision:
            return update
        topic = await self._desk.store.mail.topic_of(update.address, update.message_id)
        return replace(update, edit=False) if topic.startswith(CARDS) else update

    async def _reply(self, update: Update, principal: Principal, sealed: list[str]) -> Reply | None:
        """The answer; None where the desk stops first, and the next one answers."""
        # What reduces risk needs no code: it acts without the one that somebody typed with it.
        if update.cut and not update.always:
            return Reply(error=CUT, badge=self._desk.badge)
        if (update.offer or update.decision) and self._desk.runtime.busy:
            return Reply(error=BUSY, badge=self._desk.badge)
        if update.offer:
            update, refusal = await self._offered(update, principal)
            if refusal:
                return Reply(error=refusal, badge=self._desk.badge)

        context = self._context(update, principal, sealed)
        if principal.role > Role.NOBODY:
            await self._welcome_back(update)
        if self._is_stale(update):
            return Reply(error=STALE)
        if update.decision:
            if slow := too_fast(context, update.shown, PRESS):
                return slow
            decided = await self._decided(update, context)
            if decided is None:
                return Reply(error=NOT_OURS, badge=self._desk.badge)
            context = decided
        reply = await _dispatched(update, context)
        return None if self._desk.runtime.stopping and not reply.ok else reply

    def _context(self, update: Update, principal: Principal, sealed: list[str]) -> Context:
        """Who says it, and where; a sealed answer notes in `sealed` which update it answers."""

        def seal(make: Callable[[], Reply], card: int = 0) -> Sealed:
            sealed.append(update.key)
            return Sealed(update.key, self._delivery(update, make, card))

        return Context(
            principal=principal,
            surface=update.surface,
            desk=self._desk,
            commands=COMMANDS,
            address=update.address,
            chat_kind=update.chat_kind,
            seal=seal,
            place=update.place,
            way=update.way,
            sender=update.sender,
            about=update.about,
        )

    async def _decided(self, update: Update, context: Context) -> Context | None:
        """The context with what the pressed card was bound to; None for a token that is none of
        ours, which is noted."""
        proposal = await self._offers.decided(update)
        if proposal is not None:
            return replace(context, digest=digest(proposal))
        refused = f"refused: {NOT_OURS}"
        self._desk.runtime.note_command(context.actor, update.shown, refused)
        return None

    async def _offered(self, update: Update, principal: Principal) -> tuple[Update, str]:
        """The update with the line of the stored button that was pressed, or why there is none.

        Neither whoever may not run the command nor one who was too late uses it up for others.
        """
        mail = self._desk.store.mail
        offer = await mail.offered(update.offer)
        if offer is None or offer.expires_at <= self._desk.clock.now():
            return update, GONE
        if (offer.surface, offer.chat_id) != (update.surface, update.address.chat_id):
            return update, OTHER_CHAT
        if offer.user_id not in ("", update.user_id):
            return update, NOT_YOURS
        pressed = replace(update, line=offer.command)
        if self._is_stale(pressed):
            return pressed, STALE
        target = pressed.command
        allowed = target is not None and principal.role >= target.role
        if allowed and not await mail.claim(update.offer, update.key):
            return update, USED
        return pressed, ""

    def _is_stale(self, update: Update) -> bool:
        """Whether it came too late: nobody can tell when a button was pressed that only looks."""
        if self._desk.clock.now() - update.sent_at <= STALE_MS:
            return False
        target = update.command
        if target is not None and target.kind is Kind.READ:
            return update.kind is not UpdateKind.BUTTON
        return target is None or not update.always

    async def _welcome_back(self, update: Update) -> None:
        """A chat that was given up and speaks again is there again."""
        chat = self._people.chat(update.address)
        if chat is None or not chat.gone:
            return
        with suppress(Refused):
            await self._desk.ask(PutChat(replace(chat, gone="")), DESK)

    def _delivery(self, update: Update, make: Callable[[], Reply], card: int) -> Delivery:
        try:
            reply = make()
        except Exception:
            # The effect is stored in this transaction, whatever can be said about it.
            log.exception("no words for an answer", command=update.shown[:200])
            reply = Reply(error=OUR_FAULT, badge=self._desk.badge)
        at, now = update.address, self._desk.clock.now()
        letter = _letter(update, Reply() if card else reply)
        topic = topic_of(reply)
        if card:
            letter = replace(letter, card=card)
            topic = letter.topic
        body = letters.to_body(letter)
        return Delivery(at.surface, at.chat_id, at.thread_id, now, Priority.ANSWER, topic, body)

    # -- noting --------------------------------------------------------------------------

    async def _note(self) -> None:
        while True:
            await self._desk.clock.sleep(NOTE_S)
            await self.flush()

    async def flush(self) -> None:
        """Note which updates are dealt with, and those that were before they could be stored."""
        noted, self._noted = self._noted, []
        rushed, self._unstored = self._unstored, []
        if not (noted or rushed):
            return
        mail, keys = self._desk.store.mail, [*noted, *(each.key for each in rushed)]
        try:
            await mail.receive(self._rows(rushed))
            await mail.answered(keys, self._desk.clock.now())
        except Unreachable as error:
            log.warning("answered updates can't be noted", error=str(error))
            self._noted += noted
            self._unstored += rushed


def _remember(keys: dict[str, None], key: str, most: int) -> None:
    """Remember a key, and of all no more than the last ones."""
    keys[key] = None
    if len(keys) > most:
        del keys[next(iter(keys))]


async def _dispatched(update: Update, context: Context) -> Reply:
    if update.name:
        return await dispatch_named(context, update.name, update.arguments)
    return await dispatch_line(context, update.line)


def _is_urgent(update: Update, principal: Principal) -> bool:
    """Whether it may not wait; what somebody may not say is refused like anything else."""
    target = update.command
    return target is not None and target.emergency and principal.role >= target.role


def _letter(update: Update, reply: Reply) -> Letter:
    edit = update.message_id if update.edit and reply.ok else ""
    reply_to = "" if edit else update.message_id
    return Letter(reply, edit, reply_to=reply_to, token=update.token, user_id=update.user_id)
