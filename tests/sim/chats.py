"""The chat side of one desk of a simulation: what bot.chats.open_chats makes, over its platform."""

import asyncio
from functools import partial
from pathlib import Path

from bot.chats import Chats, may_hear
from bot.courier import Courier
from bot.enrollments import Enrollments
from bot.following import Following
from bot.gate import Gate
from bot.inbox import Inbox
from bot.offers import Offers
from bot.outbox import Outbox
from bot.people import People
from bot.schedule import Scheduler
from bot.surface import Surface
from bot.tokens import Tokens, tokens_key
from engine.desk import Desk
from engine.effect import Notice
from engine.mail import Address, Chat
from engine.pace import Paces
from engine.ports import Clock, Market, Store
from engine.runtime import Runtime
from handlers import cards
from handlers.dispatch import RATES
from handlers.reply import Reply
from tests.advisors import ScriptedAdvisor
from tests.sim.chat import NAME, ChatDoor, SimChat
from tests.sim.operators import PEOPLE
from tests.sim.process import Life
from tests.studies import ScriptedStudies
from tests.switches import ScriptedSwitch
from tests.tunings import ScriptedTuner

SECRET = b"the secret of a simulated desk's tokens"
# Nothing that runs for long is asked for, so nothing is ever kept there.
NOWHERE = Path("/nonexistent")


class _NoSchedules(Scheduler):
    """Nobody sets up a schedule here, and to look each second takes a fifth of a simulation."""

    async def run(self) -> None:
        await asyncio.Event().wait()


async def serve(
    chat: SimChat, runtime: Runtime, store: Store, market: Market, clock: Clock, life: Life
) -> None:
    """Run a desk that was started, with its chats, until it ends."""
    await runtime.know(*PEOPLE)
    view = runtime.view()
    people = People(view.people, view.identities, await store.recent(Chat))
    runtime.listen(people.on_commit)
    chats = _chats(chat, _desk(runtime, store, market, clock), people, life)

    def told(notice: Notice) -> None:
        """Nobody sits at the console."""

    badge = partial(getattr, chats.desk, "badge")
    outbox = Outbox(store, clock, told, chats.audience, badge, chats.courier.wake)
    runtime.listen(chats.on_commit)
    runtime.listen(outbox.on_commit)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runtime.run())
        tasks.create_task(outbox.run())
        tasks.create_task(chats.run())


def _desk(runtime: Runtime, store: Store, market: Market, clock: Clock) -> Desk:
    return Desk(
        "demo",
        "1.0",
        clock.now(),
        runtime,
        store,
        market,
        clock,
        {},
        Paces(clock, RATES),
        ScriptedStudies(),
        ScriptedSwitch(),
        ScriptedTuner(),
        ScriptedAdvisor(),
    )


def _chats(chat: SimChat, desk: Desk, people: People, life: Life) -> Chats:
    async def lost(address: Address, reason: str) -> None:
        raise AssertionError(f"no chat is ever lost here: {reason}")

    async def card(proposal_id: int) -> Reply | None:
        proposal = await desk.proposal(proposal_id)
        return cards.card(proposal, desk.clock.now()) if proposal else None

    mail = desk.store.mail
    tokens = Tokens(tokens_key(SECRET, desk.mode, desk.market.name))
    offers = Offers(mail, desk.clock, people, tokens, desk.proposal)
    gate = Gate(people, desk.runtime, desk.clock)
    surfaces: dict[str, Surface] = {NAME: ChatDoor(chat, gate, offers, life)}
    hears = partial(may_hear, people, surfaces)
    following = Following(NOWHERE, desk, hears)
    courier = Courier(mail, desk.clock, people, surfaces, lost, card, following.posted)
    return Chats(
        desk,
        people,
        surfaces,
        Inbox(desk, people, courier, surfaces, offers),
        courier,
        _NoSchedules(desk, hears),
        Enrollments(mail, desk.clock, surfaces, desk.enrollment, courier.answer),
        following,
    )
