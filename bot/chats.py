"""The chat side of a desk, put together: surfaces, gate, inbox, courier, schedules."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from bot.backtests import FOLDER
from bot.courier import Courier
from bot.enrollments import Enrollments
from bot.following import Following
from bot.gate import Gate
from bot.inbox import Inbox
from bot.offers import Offers
from bot.people import People, new_chat
from bot.schedule import Scheduler
from bot.settings import Settings, secret_key
from bot.straight import letter_of
from bot.surface import Draw, Surface, SurfaceEnded
from bot.tokens import Tokens, tokens_key
from engine.calls import KEPT_DAYS
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.drafts import bot_of, instruction_of
from engine.effect import Notice, NoticeKind
from engine.errors import CountersignError, Unreachable
from engine.instruction import Instruction, PutChat, ReportTrouble
from engine.mail import Address
from engine.people import DESK, Role
from engine.ports import Commit
from engine.proposal import ProposalState
from engine.tiers import decider
from handlers import cards
from handlers.reply import Reply

# What was answered, or has arrived, is remembered for this long.
REMEMBERED_MS = 7 * DAY_MS
PRUNE_S = DAY_MS / 1000
RETRY_S = 2.0
GIVEN_UP_AT_ONCE = 100
# How soon a platform that failed is served again.
RESTART_S = 10.0
# How long a desk that stops waits for its last words to arrive.
FAREWELL_S = 3.0
LOOK_S = 0.05
# News of orders, which goes to whoever asked for one too.
OF_ORDERS = (
    NoticeKind.ENTRY,
    NoticeKind.EXIT,
    NoticeKind.ORDER_REJECTED,
    NoticeKind.ORDER_CANCELED,
)
# What is the admins' business alone.
FOR_ADMINS = (NoticeKind.SECURITY, NoticeKind.AUDIT_ANCHOR)

log = structlog.get_logger()


@dataclass(frozen=True)
class Chats:
    """What must run for chats, beside the desk itself."""

    desk: Desk
    people: People
    surfaces: dict[str, Surface]
    inbox: Inbox
    courier: Courier
    scheduler: Scheduler
    enrollments: Enrollments
    following: Following

    def on_commit(self, batch: Commit) -> None:
        self.courier.on_commit(batch)
        self.enrollments.on_commit(batch)

    def audience(self, notice: Notice) -> Sequence[Address]:
        """The chats that a notice goes to: those that may hear it, on a surface that is there.

        A proposal goes to whoever may decide it, but for the chat that was answered with it.
        """
        if notice.address is not None:
            return self._told_alone(notice, notice.address)
        if notice.kind is NoticeKind.KILL:
            told = self.desk.switch.asked_in
            return [at for at in self.people.audience(self.surfaces) if at not in told]
        if notice.kind in FOR_ADMINS:
            return self.people.own_chats(Role.ADMIN, self.surfaces)
        if notice.kind is NoticeKind.PROPOSED and (proposal := notice.proposal):
            instruction = instruction_of(proposal)
            role = decider(proposal.tier, instruction)
            own = self.people.own_chats(role, self.surfaces, bot_of(instruction))
            return [at for at in own if at != proposal.address]
        return self.people.audience(self.surfaces)

    def _told_alone(self, notice: Notice, at: Address) -> list[Address]:
        """A chat that is told something for itself, unless it hears the news of it anyway."""
        ended = notice.proposal is not None and notice.proposal.state is not ProposalState.DONE
        told_anyway = notice.kind in OF_ORDERS or (notice.proposal is not None and not ended)
        if told_anyway and at in self.people.audience(self.surfaces):
            return []
        return [at] if self.may_hear(at) else []

    def tell_kill(self, text: str) -> None:
        """Tell a step of the emergency stop to the chats that pulled it, past the database."""
        for at in self.desk.switch.asked_in:
            self.inbox.straight.say(at, letter_of(text, self.desk.badge))

    def may_hear(self, address: Address) -> bool:
        return may_hear(self.people, self.surfaces, address)

    async def run(self) -> None:
        """Serve all chats until canceled."""
        await self._patiently(self.inbox.recover)
        await self._patiently(self._keep_from_dismissed)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.inbox.run(), name="inbox")
                tasks.create_task(self.courier.run(), name="courier")
                tasks.create_task(self.scheduler.run(), name="schedules")
                tasks.create_task(self._prune(), name="prune")
                tasks.create_task(self.enrollments.run(), name="enrollments")
                tasks.create_task(self.following.run(self.courier), name="following")
                for surface in self.surfaces.values():
                    tasks.create_task(self._serve(surface), name=surface.name)
        finally:
            await self.inbox.flush()

    async def _patiently(self, begin: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await begin()
            except Unreachable as error:
                log.warning("what an earlier desk left can't be read", error=str(error))
                await self.desk.clock.sleep(RETRY_S)

    async def _keep_from_dismissed(self) -> None:
        """What waits for somebody who may not use the desk any more is not sent."""
        mail = self.desk.store.mail
        for surface, chat_id in await mail.waiting_chats():
            if not self.people.is_dismissed(surface, chat_id):
                continue
            while rows := await mail.waiting(surface, chat_id, GIVEN_UP_AT_ONCE):
                reason = "whose chat it is may not use the desk any more"
                await mail.given_up([row.seq for row in rows], reason, self.desk.clock.now())

    async def farewell(self) -> None:
        """Let the last words go out, for a moment: what is not sent by then is sent at the next
        start."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                while await self._has_more_to_say():
                    await self.desk.clock.sleep(LOOK_S)
        except (TimeoutError, Unreachable):
            log.info("some messages wait for the next start")

    async def _has_more_to_say(self) -> bool:
        waiting = await self.desk.store.mail.waiting_chats()
        return any(
            name in self.surfaces and self.surfaces[name].condition()[0] for name, _ in waiting
        )

    async def _serve(self, surface: Surface) -> None:
        """Listen on one platform; where it will not have us, the desk goes on without."""
        while True:
            try:
                await surface.run(self.inbox.take)
            except SurfaceEnded as error:
                log.error("a chat platform is lost", surface=surface.name, error=str(error))
                self.surfaces.pop(surface.name)
                text = f"{surface.name.capitalize()} is lost until the desk starts again: {error}"
                await tell(self.desk, ReportTrouble(text))
                return
            except Exception:
                # A fault in what serves one platform is no reason to stop trading.
                log.exception("a chat platform failed", surface=surface.name)
            await self.desk.clock.sleep(RESTART_S)

    async def _prune(self) -> None:
        while True:
            try:
                await self.desk.store.mail.prune(self.desk.clock.now() - REMEMBERED_MS)
                await self.desk.store.calls.prune(self.desk.clock.now() - KEPT_DAYS * DAY_MS)
            except Unreachable as error:
                log.warning("old messages and analyses stay for now", error=str(error))
            await self.desk.clock.sleep(PRUNE_S)


def may_hear(people: People, surfaces: Mapping[str, Surface], address: Address) -> bool:
    """Whether a chat may be told what was set up there: it is there, and still open."""
    surface = surfaces.get(address.surface)
    return surface is not None and (people.may_hear(address) or surface.is_open(address))


async def tell(desk: Desk, instruction: Instruction) -> None:
    """Have the core note something that the chat side found out."""
    try:
        await desk.ask(instruction, DESK)
    except CountersignError as error:
        log.warning("it could not be noted", what=str(instruction), error=str(error))


def open_chats(settings: Settings, desk: Desk, people: People, draw: Draw) -> Chats:
    """The surfaces whose token is set, and what serves them. Raises SurfaceEnded for a token
    that can't be one."""
    gate = Gate(people, desk.runtime, desk.clock, settings.guild_ids)
    surfaces: dict[str, Surface] = {}

    async def trouble(text: str) -> None:
        await tell(desk, ReportTrouble(text))

    async def lost(address: Address, reason: str) -> None:
        if people.chat(address) is None and not people.may_hear(address):
            # A stranger's own chat is nobody's loss.
            return
        kind = people.kind(address.surface, address.chat_id)
        chat = people.chat(address) or new_chat(address, kind, "desk", desk.clock.now())
        if chat.gone:
            return
        await tell(desk, PutChat(replace(chat, gone=reason)))

    async def card(proposal_id: int) -> Reply | None:
        proposal = await desk.proposal(proposal_id)
        if proposal is None:
            return None
        return replace(cards.card(proposal, desk.clock.now()), badge=desk.badge)

    tokens = Tokens(tokens_key(secret_key(settings), desk.mode, desk.market.name))
    offers = Offers(desk.store.mail, desk.clock, people, tokens, desk.proposal)
    if (secret := settings.telegram_bot_token) is not None:
        # Takes two seconds and 120 MB; who does not use it does not pay for it.
        from bot.telegram import Telegram

        surfaces["telegram"] = Telegram(
            secret.get_secret_value(),
            settings.telegram_api_base,
            gate,
            people,
            offers,
            draw,
            desk.clock,
            trouble,
        )
    if (secret := settings.discord_bot_token) is not None:
        from bot.discord import Discord

        surfaces["discord"] = Discord(
            secret.get_secret_value(),
            settings.discord_api_base,
            settings.discord_gateway_url,
            gate,
            offers,
            draw,
            desk,
        )
    for name in surfaces:
        if not people.audience([name]):
            log.warning("this platform has no admin: nobody there is admitted", surface=name)
    desk.links.update({name: surface.condition for name, surface in surfaces.items()})
    hears = partial(may_hear, people, surfaces)
    following = Following(settings.data_dir / FOLDER, desk, hears)
    courier = Courier(desk.store.mail, desk.clock, people, surfaces, lost, card, following.posted)
    inbox = Inbox(desk, people, courier, surfaces, offers)
    scheduler = Scheduler(desk, hears)
    enrollments = Enrollments(
        desk.store.mail, desk.clock, surfaces, desk.enrollment, courier.answer
    )
    return Chats(desk, people, surfaces, inbox, courier, scheduler, enrollments, following)
