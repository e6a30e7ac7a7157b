"""What comes from chats: each update acts once and is answered, whatever fails in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import update as updates
from bot.courier import Courier
from bot.inbox import (
    CUT,
    GONE,
    NOT_OURS,
    OTHER_CHAT,
    OUR_FAULT,
    STALE,
    STALE_MS,
    USED,
    WAITING_IN_CHAT,
    Inbox,
)
from bot.people import People
from bot.update import Update, UpdateKind
from engine.bot import BotStatus
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.errors import Broken, LostLock, Unreachable
from engine.mail import Address, Chat, ChatKind, Offer, Received
from engine.people import Identity, Person, Role
from engine.ports import Clock, Commit, Store
from engine.proposal import Way
from engine.runtime import Runtime
from engine.store.memory import MemoryStore
from engine.store.sql import open_store
from handlers.cards import buttons, card
from handlers.dispatch import PRESS
from handlers.reply import Reply
from tests.chat.posts import Post, offers_of
from tests.clock import FakeClock
from tests.fast_clock import FastClock
from tests.handlers.desks import BOT, BTC, ETH, ScriptedMarket, build, course, quiet
from tests.switches import ScriptedSwitch

ANN, TOM, VERA = "7", "8", "9"
GROUP = "-100"
ROLES = {ANN: Role.ADMIN, TOM: Role.TRADER, VERA: Role.VIEWER}
PEOPLE = [Person(name, name, role) for name, role in ROLES.items()]
ACCOUNTS = [Identity("telegram", name, name) for name in ROLES]
# Said while the price is near 100,000.
SET = "/alert BTC above {}"


class Town:
    """A store, a platform and a clock that outlive the processes of the desk."""

    def __init__(self, store: Store | None = None, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.store: Any = store or MemoryStore()
        self.post = Post(self.clock, roles=dict(ROLES))
        self.people = People(PEOPLE, ACCOUNTS, [])
        self.bars = {BTC: course(100_000.0, [(3, 5.0)]), ETH: quiet(3)}
        self.numbers = 0
        self.desk: Desk
        self.runtime: Runtime
        self.inbox: Inbox

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Inbox]:
        """A desk that answers; at the end it is killed, in the middle of whatever it does."""
        market = ScriptedMarket(self.bars)
        self.bars = {BTC: [], ETH: []}
        self.runtime, self.desk = await build(market, self.store, self.clock)
        await self.runtime.know(PEOPLE, ACCOUNTS)
        mail, surfaces = self.store.mail, {"telegram": self.post}
        self.courier = Courier(mail, self.clock, self.people, surfaces, self._lost, self._card)
        offers = offers_of(mail, self.clock, self.people, self.desk.proposal)
        self.inbox = Inbox(self.desk, self.people, self.courier, surfaces, offers)
        self.runtime.listen(self.people.on_commit)
        self.runtime.listen(self.courier.on_commit)
        await self.inbox.recover()
        parts = [self.runtime.run(), self.inbox.run(), self.courier.run()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await self.runtime.until_caught_up()
            yield self.inbox
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks)
        for task in done:
            if not task.cancelled() and task.exception():
                raise cast(BaseException, task.exception())

    async def _card(self, proposal_id: int) -> Reply | None:
        found = await self.desk.proposal(proposal_id)
        return card(found, self.clock.now()) if found else None

    async def _lost(self, address: Address, reason: str) -> None:
        raise AssertionError(f"{address} is lost: {reason}")

    def says(self, line: str, user: str = ANN, chat: str = "", **changes: Any) -> Update:
        """An update as the platform tells it, in the user's own chat unless one is named."""
        self.numbers += 1
        made = Update(
            surface="telegram",
            key=f"telegram:1:{self.numbers:06d}",
            kind=UpdateKind.MESSAGE,
            user_id=user,
            address=Address("telegram", chat or user),
            chat_kind=ChatKind.GROUP if chat.startswith("-") else ChatKind.PRIVATE,
            sent_at=self.clock.now(),
            line=line,
            message_id=f"{1_000_000 + self.numbers}",
        )
        return replace(made, **changes)

    def presses(self, offer: int, user: str = ANN, chat: str = "", **changes: Any) -> Update:
        """A press of a stored button."""
        given_ = {"kind": UpdateKind.BUTTON, "offer": offer, "edit": True, **changes}
        return self.says("", user, chat, **given_)

    async def button(self, command: str, chat: str = ANN, lasts: int = DAY_MS) -> int:
        offer = Offer("telegram", chat, command, self.clock.now() + lasts)
        return (await self.store.mail.offer([offer]))[0]

    async def settled(self) -> None:
        """Wait until everything is answered, and every answer has arrived."""
        mail = self.store.mail
        async with asyncio.timeout(20):
            while await mail.unanswered() or await mail.waiting_chats():  # noqa: ASYNC110
                await asyncio.sleep(0)

    def answers(self, chat: str = ANN) -> list[str]:
        return self.post.texts(chat)

    @property
    def alerts(self) -> list[int]:
        """The levels of the alerts that wait: the effects of `SET`."""
        return [int(each.price) for each in self.desk.view().alerts]

    @property
    def is_paused(self) -> bool:
        return self.desk.view().bots[0].status is BotStatus.PAUSED


# -- once --------------------------------------------------------------------------------


async def test_an_update_that_comes_twice_acts_and_is_answered_once() -> None:
    town = Town()
    async with town.process() as inbox:
        write, read = town.says(SET.format(200_000)), town.says("/status")
        await inbox.take([write, read, write, read])
        await inbox.take([write])
        await town.settled()
        await inbox.take([read, write])
        await town.settled()
    async with town.process() as inbox:
        await inbox.take([write, read])
        await town.settled()
        assert town.alerts == [200_000]
    assert len(town.answers()) == 2


async def test_the_same_words_in_another_update_act_again() -> None:
    town = Town()
    async with town.process() as inbox:
        await inbox.take([town.says(SET.format(200_000)), town.says(SET.format(200_000))])
        await town.settled()
        assert town.alerts == [200_000, 200_000]


async def test_an_update_that_can_not_be_kept_is_not_begun() -> None:
    town = Town()
    async with town.process() as inbox:
        receive, said = town.store.mail.receive, town.says(SET.format(200_000))

        async def locked(updates: Sequence[Received]) -> set[str]:
            raise Unreachable("the database is locked")

        town.store.mail.receive = locked
        with pytest.raises(Unreachable):
            await inbox.take([said])
        town.store.mail.receive = receive
        assert town.alerts == []
        await inbox.take([said])
        await town.settled()
        assert town.alerts == [200_000]
        town.store.mail.receive = locked
        with pytest.raises(Unreachable):
            await inbox.take([said])
        town.store.mail.receive = receive
        await inbox.take([said])
        await town.settled()
        assert town.alerts == [200_000]


async def test_an_emergency_acts_once_and_is_answered_before_it_is_kept() -> None:
    town = Town()
    async with town.process() as inbox:
        receive, said = town.store.mail.receive, town.says("/kill flatten", TOM)

        async def locked(updates: Sequence[Received]) -> set[str]:
            if updates:
                raise Unreachable("the database is locked")
            return set()

        town.store.mail.receive = locked
        for _ in range(3):
            await inbox.take([said])
        assert isinstance(town.desk.switch, ScriptedSwitch)
        assert [scope for scope, _ in town.desk.switch.pulled] == ["flatten"]
        async with asyncio.timeout(20):
            while not town.answers(TOM):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await inbox.flush()
        town.store.mail.receive = receive
        await inbox.flush()
        assert await town.store.mail.unanswered() == []
        assert await receive([Received(said.key, 0, "{}")]) == set()
    assert len(town.answers(TOM)) == 1


async def test_an_emergency_does_not_wait_for_what_came_with_it() -> None:
    town = Town()
    async with town.process() as inbox:

        async def locked(updates: Sequence[Received]) -> set[str]:
            raise Unreachable("the database is locked")

        town.store.mail.receive = locked
        with pytest.raises(Unreachable):
            await inbox.take([town.says("/status"), town.says("/kill stop")])
        assert isinstance(town.desk.switch, ScriptedSwitch)
        assert len(town.desk.switch.pulled) == 1


async def test_what_is_not_let_in_is_not_kept() -> None:
    town = Town()
    async with town.process() as inbox:
        await inbox.take([town.says("/status", user="666")])
        assert await town.store.mail.unanswered() == []
        assert town.post.sent == []


# -- crashes -----------------------------------------------------------------------------


class Stopping:
    """A store, or its mail, in which the process stops for good `when` a call is made."""

    def __init__(self, inner: Any, call: str, when: str) -> None:
        self._inner = inner
        self._call = call
        self._when = when
        self.reached = asyncio.Event()
        if hasattr(inner, "mail"):
            self.mail: Any = Stopping(inner.mail, call, when)
            self.mail.reached = self.reached

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._stopping(method) if name == self._call else method

    def _stopping(self, method: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            nobodys = isinstance(arguments[0], Commit) and not arguments[0].answered
            if not nobodys and self._when == "before":
                await self._stop()
            result = await method(*arguments, **named)
            if not nobodys and self._when == "after":
                await self._stop()
            return result

        return call

    async def _stop(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()


WRITE, READ = SET.format(200_000), "/status"
CRASHES = [
    *[(WRITE, call, when) for call in ("receive", "commit", "waiting", "attempt", "send",
                                       "arrived") for when in ("before", "after")],
    *[(READ, call, when) for call in ("receive", "send", "answered")
      for when in ("before", "after")],
]  # fmt: skip


@pytest.mark.parametrize(("line", "call", "when"), CRASHES)
async def test_after_a_crash_at_any_step_it_acts_once_and_is_answered(
    line: str, call: str, when: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    store = await open_store(url)
    town = Town(store, FastClock(10))
    said = town.says(line)
    post = town.post
    stopping = Stopping(post if call == "send" else store, call, when)
    if call == "send":
        town.post = cast(Post, stopping)
    else:
        town.store = stopping
    async with town.process() as inbox:
        taking = asyncio.create_task(inbox.take([said]))
        async with asyncio.timeout(10):
            await stopping.reached.wait()
        taking.cancel()
        await asyncio.wait([taking])
    await store.close()

    store = await open_store(url)
    town.store, town.post = store, post
    async with town.process() as inbox:
        # A platform that was not told that we have it sends it again.
        await inbox.take([said])
        await town.settled()
        effects = town.alerts
    await store.close()
    assert effects == ([200_000] if line == WRITE else [])
    answered = town.post.sent
    assert 1 <= len(answered) <= 2
    assert STALE not in town.answers()
    if line == WRITE:
        assert [each.repeated for each in answered[1:]] == [True] * (len(answered) - 1)
        assert all("Alert 1 waits" in each.text for each in answered)
    if (call, when) != ("send", "after") and call not in ("arrived", "answered"):
        assert len(answered) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kills=st.lists(st.integers(0, 120), max_size=4),
    lines=st.lists(st.sampled_from(["write", "read", "pause"]), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_whenever_it_is_killed_each_update_acts_once(
    kills: list[int], lines: list[str], seed: int
) -> None:
    asyncio.run(survive(kills, lines, Random(seed)))


async def survive(kills: list[int], lines: list[str], dice: Random) -> None:
    town = Town()
    town.post.latency = lambda: dice.choice([0.0, 0.05])
    words = {"read": "/status", "pause": f"/bot pause {BOT}"}
    updates = [
        town.says(words.get(line, SET.format(200_000 + n)), user=dice.choice([ANN, TOM]))
        for n, line in enumerate(lines)
    ]
    confirmed = 0
    for turns in kills:
        async with town.process() as inbox:
            task = asyncio.create_task(inbox.take(updates[confirmed:]))
            for _ in range(turns):
                await asyncio.sleep(0)
            confirmed = len(updates) if task.done() else confirmed
            task.cancel()
            await asyncio.wait([task])
    async with town.process() as inbox:
        await inbox.take(updates[dice.randint(0, confirmed) :])
        await town.settled()
        wanted = [200_000 + n for n, line in enumerate(lines) if line == "write"]
        assert sorted(town.alerts) == wanted
        assert town.is_paused == ("pause" in lines)
    for update, line in zip(updates, lines, strict=True):
        sent = [e for e in town.post.sent if e.letter.reply_to == update.message_id]
        assert sent
        if line != "read":
            assert all(each.repeated for each in sent[1:])


async def test_a_row_that_can_not_be_read_is_dealt_with() -> None:
    town = Town()
    await town.store.mail.receive([Received("telegram:1:0", 1, "{")])
    async with town.process():
        await town.settled()
    assert town.post.sent == []


# -- order, and many at once -------------------------------------------------------------


async def test_answers_keep_the_order_of_the_questions() -> None:
    town = Town()
    lines = [SET.format(200_000 + n) if n % 3 == 0 else "/alerts" for n in range(12)]
    async with town.process() as inbox:
        updates = [town.says(line) for line in lines]
        town.post.latency = lambda: 0.05
        await inbox.take(updates[:7])
        await inbox.take(updates[7:])
        await town.settled()
    answered = [each.letter.reply_to for each in town.post.sent]
    assert answered == [each.message_id for each in updates]


async def test_fifty_chats_are_answered_at_the_same_time() -> None:
    town = Town()
    people = [f"{1_000 + n}" for n in range(50)]
    town.post.roles |= dict.fromkeys(people, Role.VIEWER)
    town.post.latency = lambda: 2.0
    async with town.process() as inbox:
        asked = town.clock.monotonic()
        await inbox.take([town.says("/status", user=user) for user in people])
        await town.settled()
    assert {len(town.answers(user)) for user in people} == {1}
    assert max(each.ended for each in town.post.sent) - asked < 10


async def test_a_flood_in_one_chat_is_bounded_and_holds_up_no_other() -> None:
    town = Town()
    town.post.latency = lambda: 1.0
    async with town.process() as inbox:
        await inbox.take([town.says("/version", user=TOM) for _ in range(5 * WAITING_IN_CHAT)])
        await inbox.take([town.says("/version")])
        asked = town.clock.monotonic()
        await town.settled()
    assert len(town.answers(TOM)) == WAITING_IN_CHAT
    [mine] = [each for each in town.post.sent if each.address.chat_id == ANN]
    assert mine.ended - asked < 5


# -- too late ----------------------------------------------------------------------------


@pytest.mark.parametrize("line", [SET.format(200_000), "/status", "/nonsense", "hello"])
async def test_what_was_said_too_long_ago_is_answered_and_changes_nothing(line: str) -> None:
    town = Town()
    async with town.process() as inbox:
        await inbox.take([town.says(line, sent_at=town.clock.now() - STALE_MS - 5_000)])
        await town.settled()
        assert town.alerts == []
    assert town.answers() == [STALE]


async def test_what_was_said_in_time_is_not_too_late() -> None:
    town = Town()
    async with town.process() as inbox:
        await inbox.take([town.says(SET.format(200_000), sent_at=town.clock.now() - 30_000)])
        await town.settled()
        assert town.alerts == [200_000]


async def test_a_pause_is_never_too_late() -> None:
    town = Town()
    async with town.process() as inbox:
        await inbox.take([town.says(f"/bot pause {BOT}", sent_at=town.clock.now() - DAY_MS)])
        await town.settled()
        assert town.is_paused
        await inbox.take([town.says(f"/bot resume {BOT}", sent_at=town.clock.now() - DAY_MS)])
        await town.settled()
        assert town.is_paused
    assert town.answers()[1:] == [STALE]


async def test_a_button_that_only_looks_is_never_too_late() -> None:
    town = Town()
    async with town.process() as inbox:
        late = town.clock.now() - DAY_MS
        await inbox.take([town.says("/status", kind=UpdateKind.BUTTON, sent_at=late)])
        await town.settled()
    assert STALE not in town.answers()[0]


# -- buttons -----------------------------------------------------------------------------


async def test_a_button_acts_once() -> None:
    town = Town()
    async with town.process() as inbox:
        button = await town.button(f"/bot pause {BOT}")
        first = town.presses(button)
        await inbox.take([first, town.presses(button), first])
        await town.settled()
        assert town.is_paused
    done, used = town.answers()
    assert "paused" in done
    assert used == USED


async def test_of_two_people_who_press_at_once_one_acts() -> None:
    town = Town()
    async with town.process() as inbox:
        button = await town.button(SET.format(200_000), chat=GROUP)
        presses = [town.presses(button, user, GROUP) for user in (ANN, TOM)]
        await asyncio.gather(*(inbox.take([press]) for press in presses))
        await town.settled()
        assert town.alerts == [200_000]
    assert [text == USED for text in town.answers(GROUP)] == [False, True]


async def test_whoever_may_not_press_a_button_does_not_use_it_up() -> None:
    town = Town()
    async with town.process() as inbox:
        button = await town.button(SET.format(200_000), chat=GROUP)
        await inbox.take([town.presses(button, VERA, GROUP), town.presses(button, TOM, GROUP)])
        await town.settled()
        assert town.alerts == [200_000]
    refused, done = town.answers(GROUP)
    assert "needs the role trader" in refused
    assert "Alert 1 waits" in done


async def test_a_press_that_came_too_late_does_not_use_a_button_up() -> None:
    town = Town()
    async with town.process() as inbox:
        button = await town.button(SET.format(200_000))
        late = town.presses(button, sent_at=town.clock.now() - STALE_MS - 5_000)
        await inbox.take([late, town.presses(button)])
        await town.settled()
        assert town.alerts == [200_000]
    assert town.answers()[0] == STALE


async def test_a_button_is_good_in_its_chat_and_for_its_time_only() -> None:
    town = Town()
    async with town.process() as inbox:
        mine, old = await town.button(WRITE), await town.button(WRITE, lasts=-1)
        presses = [town.presses(mine, TOM), town.presses(old, TOM), town.presses(old + 99, TOM)]
        await inbox.take(presses)
        await town.settled()
        assert town.alerts == []
    assert town.answers(TOM) == [OTHER_CHAT, GONE, GONE]


async def test_a_press_after_a_crash_is_not_taken_for_somebody_else_s() -> None:
    town = Town()
    button = await town.button(SET.format(200_000))
    press = town.presses(button)
    assert await town.store.mail.claim(button, press.key)
    async with town.process() as inbox:
        await inbox.take([press])
        await town.settled()
        assert town.alerts == [200_000]


# -- a desk that ends, and faults --------------------------------------------------------


async def test_a_desk_that_is_stopping_leaves_what_changes_to_the_next() -> None:
    town = Town()
    async with town.process() as inbox:
        town.runtime.stop()
        await inbox.take([town.says(SET.format(200_000))])
        for _ in range(50):
            await asyncio.sleep(0)
    assert town.post.sent == []
    async with town.process():
        await town.settled()
        assert town.alerts == [200_000]
    assert len(town.answers()) == 1


async def test_who_lost_access_meanwhile_is_not_answered() -> None:
    town = Town()
    said = town.says(SET.format(200_000), user=TOM)
    async with town.process() as inbox:
        await inbox.take([said])
        del town.post.roles[TOM]
        await town.settled()
        assert town.alerts == []
    assert town.post.sent == []


async def test_a_fault_of_ours_is_said_and_the_desk_goes_on() -> None:
    town = Town()
    async with town.process() as inbox:

        async def broken(offer_id: int) -> Offer | None:
            raise Broken("the row is nonsense")

        town.store.mail.offered = broken
        await inbox.take([town.presses(1), town.says("/status")])
        await town.settled()
    assert town.answers()[0] == OUR_FAULT
    assert len(town.answers()) == 2


async def test_a_chat_that_was_given_up_and_speaks_is_there_again() -> None:
    town = Town()
    gone = Chat("telegram", ANN, "", ChatKind.PRIVATE, True, "x", 1, gone="blocked")
    town.people.on_commit(Commit(1, facts=[gone]))
    async with town.process() as inbox:
        await inbox.take([town.says("/status")])
        await town.settled()
        [chat] = await town.store.recent(Chat)
        assert (chat.gone, chat.subscribed) == ("", True)


async def test_a_chat_that_comes_back_while_the_desk_stops_is_left_to_the_next() -> None:
    town = Town()
    gone = Chat("telegram", ANN, "", ChatKind.PRIVATE, True, "x", 1, gone="blocked")
    town.people.on_commit(Commit(1, facts=[gone]))
    async with town.process() as inbox:
        town.runtime.stop()
        await inbox.take([town.says(SET.format(200_000))])
        for _ in range(50):
            await asyncio.sleep(0)
    assert town.post.sent == []
    assert len(await town.store.mail.unanswered()) == 1


async def test_answered_updates_are_noted_once_the_database_can_be_written() -> None:
    town = Town()
    async with town.process() as inbox:
        answered: Callable[..., Any] = town.store.mail.answered
        refused = 0

        async def locked(keys: Sequence[str], ts: int) -> None:
            nonlocal refused
            refused += 1
            if refused < 4:
                raise Unreachable("the database is locked")
            await answered(keys, ts)

        town.store.mail.answered = locked
        await inbox.take([town.says("/status")])
        await town.settled()
    assert refused == 4
    assert len(town.answers()) == 1


async def test_a_process_that_is_over_answers_nothing_and_ends() -> None:
    town = Town()

    async def lost(offer_id: int, key: str) -> bool:
        raise LostLock("epoch 1 is over")

    with pytest.raises(ExceptionGroup) as caught:
        async with town.process() as inbox:
            town.store.mail.claim = lost
            await inbox.take([town.presses(await town.button(f"/bot pause {BOT}"))])
            for _ in range(50):
                await asyncio.sleep(0)
    assert caught.group_contains(LostLock)
    assert town.post.sent == []


# -- decisions and codes -----------------------------------------------------------------


async def proposed(town: Town, inbox: Inbox) -> str:
    """Pause the bot and ask to resume it; what Ann's button to confirm carries."""
    await inbox.take([town.says(f"/bot pause {BOT}"), town.says(f"/bot resume {BOT}")])
    await town.settled()
    [waits] = town.desk.view().proposals
    at = Address("telegram", ANN)
    offers = offers_of(town.store.mail, town.clock, town.people, town.desk.proposal)
    return (await offers.data(at, buttons(waits), edit=True))[0]


def decides(town: Town, token: str, user: str = ANN, **changes: Any) -> Update:
    given_ = {"kind": UpdateKind.BUTTON, "way": Way.BUTTON, "decision": token, "edit": True}
    return town.says("/approve 1", user, ANN, **{**given_, **changes})


async def test_a_press_decides_once_and_its_answer_is_the_card() -> None:
    town = Town()
    async with town.process() as inbox:
        token = await proposed(town, inbox)
        first, again = decides(town, token), decides(town, token)
        await inbox.take([first, again])
        await town.settled()
        assert not town.is_paused
    done, refused = town.post.sent[-2:]
    assert (done.letter.card, done.letter.edit) == (1, first.message_id)
    assert (refused.letter.card, refused.letter.reply_to) == (0, again.message_id)
    assert "approved by" in refused.text


@pytest.mark.parametrize("user", [TOM, VERA])
async def test_a_press_in_somebody_else_s_name_is_answered_noted_and_decides_nothing(
    user: str,
) -> None:
    town = Town()
    async with town.process() as inbox:
        token = await proposed(town, inbox)
        pressed = decides(town, token, user)
        await inbox.take([pressed])
        await town.settled()
        assert town.is_paused
    assert town.answers(ANN)[-1] == NOT_OURS
    noted = [row for row in town.store.audit.values() if row.detail.endswith(NOT_OURS)]
    assert [row.actor for row in noted] == [f"telegram:{user}"]


async def test_a_decision_that_comes_too_late_decides_nothing() -> None:
    town = Town()
    async with town.process() as inbox:
        token = await proposed(town, inbox)
        late = town.clock.now() - STALE_MS - 1
        reply_ = {"name": "approve", "arguments": {"proposal": "1", "phrase": "x"}}
        await inbox.take([decides(town, token, sent_at=late)])
        await inbox.take([town.says("", way=Way.REPLY, sent_at=late, **reply_)])
        await town.settled()
        assert town.is_paused
    assert town.answers()[-2:] == [STALE, STALE]


WITH_CODES = {
    "typed": {"line": "/approve 1 123456 APPROVE X"},
    "a word": {"line": "/link SECRET-123456"},
    "replied": {
        "line": "",
        "name": "approve",
        "arguments": {"proposal": "1", "phrase": "APPROVE X 123 456"},
        "way": Way.REPLY,
    },
}


@pytest.mark.parametrize("given_", WITH_CODES.values(), ids=WITH_CODES)
async def test_a_code_is_stored_nowhere_and_taken_out_of_the_chat(given_: dict[str, Any]) -> None:
    town = Town()
    kept: list[str] = []
    async with town.process() as inbox:
        receive = town.store.mail.receive

        async def keeping(updates: Sequence[Received]) -> set[str]:
            kept.extend(each.body for each in updates)
            return await receive(updates)

        town.store.mail.receive = keeping
        secret, plain = town.says(**given_), town.says("/status")
        await inbox.take([secret, plain])
        await town.settled()
    told = [each.text for each in town.post.sent]
    audited = [f"{row.action} {row.detail}" for row in town.store.audit.values()]
    journaled = [row.body for row in town.store.journal]
    for text in (*kept, *told, *audited, *journaled):
        assert "123456" not in text and "123 456" not in text
    assert len(kept) == 2
    assert town.post.forgotten == [secret.message_id]


async def test_forged_tokens_cost_no_more_than_being_told_to_slow_down() -> None:
    town = Town()
    forged = {"kind": UpdateKind.BUTTON, "way": Way.BUTTON, "edit": True, "decision": "x" * 59}
    async with town.process() as inbox:
        await inbox.take([town.says("/approve 1", **forged)])
        await town.settled()
        while not town.desk.rates.take(ANN, PRESS):
            pass
        await inbox.take([town.says("/approve 1", **forged)])
        await town.settled()
    first, second = town.answers()
    assert first == NOT_OURS
    assert second.startswith("Slow down: ")


async def test_what_only_looks_does_not_take_a_card_away() -> None:
    town = Town()
    looks = {"kind": UpdateKind.BUTTON, "edit": True}
    async with town.process() as inbox:
        await inbox.take([town.says(f"/bot pause {BOT}"), town.says(f"/bot resume {BOT}")])
        await town.settled()
        [proposal] = town.desk.view().proposals
        [shown] = await town.store.mail.posted(Address("telegram", ANN), "proposal:1")
        assert proposal.proposal_id == 1
        await inbox.take([town.says("/status", message_id=shown, **looks)])
        await inbox.take([town.says("/status", message_id="4711", **looks)])
        await town.settled()
    beside, instead = (each.letter for each in town.post.sent[-2:])
    assert (beside.edit, beside.reply_to) == ("", shown)
    assert (instead.edit, instead.reply_to) == ("4711", "")


async def test_an_account_in_a_phrase_is_no_code_and_stays_in_the_chat() -> None:
    town = Town()
    phrase = "APPROVE ROLE TELEGRAM123456789 VIEWER 7Q3K"
    words = {"name": "approve", "arguments": {"proposal": "1", "phrase": phrase}}
    async with town.process() as inbox:
        await inbox.take([town.says("", way=Way.REPLY, **words)])
        await town.settled()
    assert len(town.answers()) == 1
    assert town.post.forgotten == []


async def test_a_halt_with_a_code_that_a_crash_lost_is_a_halt() -> None:
    town = Town()
    halt = town.says("/halt 765432")
    kept = updates.to_body(updates.without_codes(halt))
    assert "765432" not in kept
    await town.store.mail.receive([Received(halt.key, town.clock.now(), kept)])
    async with town.process():
        await town.settled()
        assert "***" in town.desk.view().halted


async def test_a_code_that_a_crash_lost_is_asked_for_again_and_is_no_bad_try() -> None:
    town = Town()
    said = town.says("/unlock 123456")
    async with town.process():
        pass
    body = updates.to_body(updates.without_codes(said))
    await town.store.mail.receive([Received(said.key, said.sent_at, body)])
    async with town.process():
        await town.settled()
    assert [each for each in town.answers() if CUT in each] == town.answers()
    assert town.post.forgotten == [said.message_id]
