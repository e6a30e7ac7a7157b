"""Messages on their way to chats: all arrive, in order, at the pace that platforms allow."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import letter as letters
from bot.courier import CHAT_PACE, GROUP_PACE, NEWS_PATIENCE_S, PACE_IN_ALL, Courier
from bot.gate import Gate
from bot.letter import REPEATED, Letter
from bot.people import People
from bot.surface import BadMarkup, ChatGone, NotSent, Throttled, Undeliverable
from bot.telegram import Telegram
from bot.update import Update
from engine.errors import Broken, LostLock, Unreachable
from engine.mail import Address, Chat, ChatKind, Delivery, Priority
from engine.ports import Clock, Commit, Mail, Store
from engine.store.memory import MemoryMail, MemoryStore
from engine.store.sql import open_store
from handlers.reply import Fields, Reply, Text, reply
from tests.chat.desks import quiet_market
from tests.chat.posts import Post, Sent, no_card, offers_of
from tests.clock import FakeClock
from tests.fast_clock import FastClock
from tests.handlers.desks import build
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat as Place

ANN, TOM = "7", "8"
GROUP = "-100"


def group(chat_id: str = GROUP) -> Chat:
    return Chat("telegram", chat_id, "", ChatKind.GROUP, True, "telegram:7", 1)


def news(
    number: int,
    chat_id: str = ANN,
    *,
    priority: Priority = Priority.NEWS,
    topic: str = "",
    thread: str = "",
    alone: bool = False,
) -> Delivery:
    """News that is known by its number; one that is `alone` shares no message with others."""
    text = f"#{number};"
    said = reply(Fields("News", {"news": text}) if alone else Text(text))
    body = letters.to_body(Letter(said, is_news=priority is not Priority.ANSWER))
    return Delivery("telegram", chat_id, thread, 1, priority, topic, body)


def said(text: str) -> Letter:
    return Letter(reply(Text(text)))


def lost_after(text: str) -> Exception:
    fault = Unreachable(text)
    fault.lost_after = True  # type: ignore[attr-defined]
    return fault


class Lost(list[tuple[str, str]]):
    """Notes the chats that are lost, and why."""

    async def __call__(self, address: Address, reason: str) -> None:
        self.append((address.chat_id, reason))


@asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[None]:
    """Have a courier deliver; at the end it is killed, in the middle of whatever it does."""
    task = asyncio.create_task(courier.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def all_sent(mail: Mail, courier: Courier) -> None:
    """Wake the courier, and wait until nothing waits."""
    courier.wake()
    while await mail.waiting_chats():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0)


class Desk:
    """A courier with all it needs, but for a network."""

    def __init__(self, *faults: Exception | None, chats: Sequence[Chat] = ()) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.mail = self.store.mail
        self.people = People([], [], chats)
        self.post = Post(self.clock, faults=iter(faults))
        self.lost = Lost()
        self.cards: dict[int, Reply] = {}
        self.card_faults: list[Exception] = []
        self.courier = self.next_courier()

    def next_courier(self) -> Courier:
        """As the next process would have it."""
        surfaces = {"telegram": self.post}
        self.courier = Courier(
            self.mail, self.clock, self.people, surfaces, self.lost, self._card_of
        )
        return self.courier

    async def _card_of(self, proposal_id: int) -> Reply | None:
        if self.card_faults:
            raise self.card_faults.pop(0)
        return self.cards.get(proposal_id)

    async def deliver(self, *wanted: Delivery) -> list[Sent]:
        """Store messages and wait until none waits; all that was sent until now."""
        await self.mail.route([], wanted, self.clock.now())
        async with running(self.courier):
            await all_sent(self.mail, self.courier)
        return self.post.sent

    @property
    def numbers(self) -> list[list[int]]:
        return [each.numbers for each in self.post.sent]


def too_fast(times: list[tuple[float, float]], count: int, seconds: float) -> bool:
    """Whether more than `count` of what began and ended so may have fallen into `seconds`."""
    times = sorted(times)
    return any(
        sum(ended > began - seconds + 1e-6 for _, ended in times[:place]) >= count
        for place, (began, _) in enumerate(times)
    )


# -- one message -------------------------------------------------------------------------


async def test_what_waits_is_sent_and_waits_no_more() -> None:
    desk = Desk()
    [sent] = await desk.deliver(news(1, thread="5"))
    assert (sent.numbers, sent.address) == ([1], Address("telegram", ANN, "5"))
    assert not sent.repeated and not sent.plain
    assert await desk.mail.dead_letters(9) == []


async def test_what_the_platform_refuses_for_now_comes_when_it_said_and_is_no_repetition() -> None:
    desk = Desk(Throttled(37), Throttled(5))
    began = desk.clock.monotonic()
    [sent] = await desk.deliver(news(1))
    assert sent.began - began == pytest.approx(42, abs=0.5)
    assert not sent.repeated


async def test_what_surely_was_not_sent_is_no_repetition() -> None:
    desk = Desk(NotSent("no route to host"), NotSent("no route to host"))
    [sent] = await desk.deliver(news(1))
    assert not sent.repeated
    assert desk.post.tries == 3


async def test_what_may_have_arrived_comes_again_and_says_so() -> None:
    desk = Desk(Unreachable("no answer"))
    [sent] = await desk.deliver(news(1))
    assert sent.repeated
    assert sent.numbers == [1]
    assert (await desk.deliver(news(2)))[-1].repeated is False


@pytest.mark.parametrize("fault", [Throttled(3), NotSent("no route to host")])
async def test_what_may_have_arrived_stays_in_doubt_until_it_arrives(fault: Exception) -> None:
    desk = Desk(lost_after("no answer"), fault)
    first, again = await desk.deliver(news(1))
    assert (first.repeated, again.repeated) == (False, True)


async def test_the_same_message_has_the_same_nonce_each_time() -> None:
    desk = Desk(lost_after("the connection ended"))
    first, again, other = await desk.deliver(news(1), news(2))
    assert first.nonce == again.nonce != other.nonce
    assert [first.repeated, again.repeated, other.repeated] == [False, True, False]


async def test_a_platform_that_is_away_is_left_alone_longer_each_time() -> None:
    desk = Desk(*[NotSent("no route to host")] * 9)
    began = desk.clock.monotonic()
    [sent] = await desk.deliver(news(1))
    assert sent.began - began == pytest.approx(1 + 2 + 4 + 8 + 16 + 32 + 60 * 3, abs=1)


async def test_markup_that_is_not_understood_is_sent_as_plain_text() -> None:
    desk = Desk(BadMarkup("can't parse entities"))
    [sent] = await desk.deliver(news(1))
    assert sent.plain
    assert not sent.repeated


async def test_what_is_not_even_understood_as_plain_text_is_a_dead_letter() -> None:
    desk = Desk(BadMarkup("can't parse entities"), BadMarkup("can't parse entities"))
    assert await desk.deliver(news(1, alone=True), news(2)) != []
    assert desk.numbers == [[2]]
    [dead] = await desk.mail.dead_letters(9)
    assert "not even as plain text" in dead.error


async def test_what_is_never_taken_is_a_dead_letter_and_holds_up_nobody() -> None:
    desk = Desk(Undeliverable("message is too long"))
    await desk.deliver(news(1), news(2))
    assert desk.numbers == [[2]]
    assert [each.error for each in await desk.mail.dead_letters(9)] == ["message is too long"]
    assert desk.lost == []


async def test_what_breaks_a_promise_of_ours_is_a_dead_letter_and_ends_nothing() -> None:
    desk = Desk(Broken("user id: '99' can't be in a token"))
    await desk.deliver(news(1), news(2))
    assert desk.numbers == [[2]]
    [dead] = await desk.mail.dead_letters(9)
    assert "our fault" in dead.error


async def test_a_desk_that_was_taken_over_sends_no_more() -> None:
    desk = Desk(LostLock("epoch 1 is over"))
    await desk.mail.route([], [news(1)], 1)
    with pytest.raises(ExceptionGroup) as ended:
        await desk.courier.run()
    assert ended.group_contains(LostLock)
    assert await desk.mail.dead_letters(9) == []


async def test_a_body_that_can_not_be_read_is_a_dead_letter_and_holds_up_nobody() -> None:
    desk = Desk()
    broken = [replace(news(n), body="{") for n in (1, 2)]
    await desk.deliver(broken[0], *(news(n) for n in range(10, 18)), broken[1], news(18))
    assert [n for each in desk.numbers for n in each] == [*range(10, 19)]
    assert [each.error for each in await desk.mail.dead_letters(9)] == ["it can't be read"] * 2


async def test_a_chat_that_is_gone_gives_up_all_that_waits_for_it_and_nothing_else() -> None:
    desk = Desk(None, None, ChatGone("bot was blocked by the user"))
    wanted = [news(n, alone=True) for n in range(40)]
    await desk.deliver(wanted[0], wanted[1], *wanted[2:], news(100, TOM))
    numbers = [n for each in desk.numbers for n in each]
    dead = await desk.mail.dead_letters(100)
    assert 100 in numbers
    assert len(numbers) - 1 + len(dead) == 40
    assert {(each.chat_id, each.error) for each in dead} == {(ANN, "bot was blocked by the user")}
    assert desk.lost == [(ANN, "bot was blocked by the user")]


async def test_what_comes_after_a_chat_was_gone_is_tried() -> None:
    desk = Desk(ChatGone("blocked"))
    await desk.deliver(news(1))
    await desk.deliver(news(2))
    assert desk.numbers == [[2]]


async def test_a_surface_that_is_not_there_keeps_its_messages() -> None:
    desk = Desk()
    elsewhere = replace(news(1, "9"), surface="discord")
    await desk.mail.route([], [elsewhere, news(2)], 1)
    desk.courier.on_commit(Commit(1, deliveries=[elsewhere, news(2)]))
    async with running(desk.courier):
        await until(lambda: bool(desk.post.sent))
        for _ in range(50):
            await asyncio.sleep(0)
    assert desk.numbers == [[2]]
    assert await desk.mail.waiting_chats() == [("discord", "9")]
    desk.post.name = "discord"
    surfaces = {"discord": desk.post}
    desk.courier = Courier(desk.mail, desk.clock, desk.people, surfaces, desk.lost, no_card)
    await desk.deliver()
    assert desk.numbers == [[2], [1]]


# -- answers -----------------------------------------------------------------------------

HERE = Address("telegram", ANN)


async def test_an_answer_is_sent_at_once_and_not_stored() -> None:
    desk = Desk()
    for n in range(5):
        assert await desk.courier.answer(HERE, said(f"#{n};"))
    assert desk.numbers == [[n] for n in range(5)]
    assert desk.post.sent[0].began == desk.post.sent[-1].began
    assert await desk.mail.waiting_chats() == []


@pytest.mark.parametrize(
    ("fault", "repeated"),
    [(Throttled(9), False), (NotSent("no route"), False), (Unreachable("no answer"), True)],
)
async def test_an_answer_that_fails_is_stored_and_comes_later(
    fault: Exception, repeated: bool
) -> None:
    desk = Desk(fault)
    assert await desk.courier.answer(HERE, said("#1;"))
    assert desk.post.sent == []
    [sent] = await desk.deliver()
    assert (sent.numbers, sent.repeated) == ([1], repeated)


async def test_an_answer_that_can_be_neither_sent_nor_stored_says_so() -> None:
    class Locked(MemoryMail):
        async def route(
            self, notices: Sequence[int], deliveries: Sequence[Delivery], ts: int
        ) -> None:
            raise Unreachable("the database is locked")

    desk = Desk(Throttled(9))
    desk.mail = Locked(lambda seqs: None)
    assert not await desk.next_courier().answer(HERE, said("#1;"))


@pytest.mark.parametrize("fault", [ChatGone("blocked"), Undeliverable("too long")])
async def test_an_answer_that_nobody_can_get_is_done_with(fault: Exception) -> None:
    desk = Desk(fault)
    assert await desk.courier.answer(HERE, said("#1;"))
    assert await desk.mail.waiting_chats() == []


async def test_an_answer_does_not_overtake_an_earlier_one_that_is_stored() -> None:
    desk = Desk(Throttled(9))
    await desk.courier.answer(HERE, said("#1;"))
    await desk.courier.answer(HERE, said("#2;"))
    stored = news(3, priority=Priority.ANSWER)
    await desk.mail.route([], [stored], 1)
    desk.courier.on_commit(Commit(1, deliveries=[stored]))
    await desk.courier.answer(HERE, said("#4;"))
    assert desk.post.sent == []
    await desk.deliver()
    assert desk.numbers == [[1], [2], [3], [4]]
    await desk.courier.answer(HERE, said("#5;"))
    assert desk.numbers[-1] == [5]
    assert await desk.mail.waiting_chats() == []


async def test_news_does_not_hold_back_an_answer_that_is_stored() -> None:
    desk = Desk(chats=[group()])
    backlog = [news(n, GROUP, alone=True) for n in range(30)]
    answer = news(100, GROUP, priority=Priority.ANSWER)
    await desk.mail.route([], backlog, 1)
    async with running(desk.courier):
        desk.courier.wake()
        await until(lambda: len(desk.post.sent) >= GROUP_PACE[0])
        # The next news has most of a minute to wait.
        asked = desk.clock.monotonic()
        await desk.mail.route([], [answer], 1)
        desk.courier.on_commit(Commit(1, deliveries=[answer]))
        await all_sent(desk.mail, desk.courier)
    [sent] = [each for each in desk.post.sent if each.numbers == [100]]
    assert sent.began - asked < 1
    times = [(each.began, each.ended) for each in desk.post.sent]
    assert not too_fast([at for at in times if at != (sent.began, sent.ended)], *GROUP_PACE)


async def test_answers_count_where_news_is_held_back() -> None:
    desk = Desk()
    await desk.courier.answer(HERE, said("#1;"))
    await desk.deliver(news(2))
    first, second = desk.post.sent
    assert second.began - first.ended >= 1


@pytest.mark.parametrize(("chat_id", "earlier"), [(ANN, 1), (GROUP, 1), (GROUP, 25)])
async def test_news_waits_no_longer_than_its_patience_in_a_chat_in_steady_use(
    chat_id: str, earlier: int
) -> None:
    desk = Desk(chats=[group()])
    here = Address("telegram", chat_id)
    for _ in range(earlier):
        await desk.courier.answer(here, said("#0;"))
    began = desk.clock.monotonic()
    await desk.mail.route([], [news(1, chat_id)], 1)
    async with running(desk.courier):
        desk.courier.wake()
        while [1] not in desk.numbers:
            await desk.courier.answer(here, said("#0;"))
            await desk.clock.sleep(0.4)
    [sent] = [each for each in desk.post.sent if each.numbers == [1]]
    assert sent.began - began == pytest.approx(NEWS_PATIENCE_S, abs=0.5)


async def test_what_is_urgent_waits_for_no_limit_of_its_chat() -> None:
    desk = Desk(chats=[group()])
    await desk.mail.route([], [news(n, GROUP, alone=True) for n in range(30)], 1)
    async with running(desk.courier):
        desk.courier.wake()
        await until(lambda: len(desk.post.sent) >= GROUP_PACE[0])
        # The next news has most of a minute to wait.
        asked = desk.clock.monotonic()
        urgent = [news(n, GROUP, priority=Priority.URGENT, alone=True) for n in (100, 101)]
        await desk.mail.route([], urgent, 1)
        await all_sent(desk.mail, desk.courier)
    late = [each for each in desk.post.sent if each.numbers in ([100], [101])]
    assert [each.numbers for each in late] == [[100], [101]]
    assert all(each.began - asked < 1 for each in late)


# -- several -----------------------------------------------------------------------------


async def test_few_messages_are_sent_one_by_one() -> None:
    desk = Desk()
    await desk.deliver(*(news(n) for n in range(4)))
    assert desk.numbers == [[0], [1], [2], [3]]


async def test_a_crowd_shares_messages_and_keeps_its_order() -> None:
    desk = Desk()
    await desk.deliver(*(news(n) for n in range(100)))
    assert [n for each in desk.numbers for n in each] == [*range(100)]
    assert len(desk.numbers) < 15


async def test_what_has_a_place_or_form_of_its_own_shares_no_message() -> None:
    desk = Desk()
    mixed = [news(n, alone=n % 3 == 0, thread="5" if n > 5 else "") for n in range(10)]
    await desk.deliver(*mixed)
    assert desk.numbers == [[0], [1, 2], [3], [4, 5], [6], [7], [8], [9]]
    threads = {n: each.address.thread_id for each in desk.post.sent for n in each.numbers}
    assert threads == {n: "5" if n > 5 else "" for n in range(10)}


async def test_what_may_have_arrived_shares_no_message_with_what_did_not() -> None:
    desk = Desk(lost_after("the connection ended"))
    await desk.mail.route([], [news(n) for n in range(6)], 1)
    async with running(desk.courier):
        desk.courier.wake()
        await until(lambda: bool(desk.post.sent))
        await desk.mail.route([], [news(n) for n in range(6, 12)], 1)
        await all_sent(desk.mail, desk.courier)
    again = {n for each in desk.post.sent if each.repeated for n in each.numbers}
    twice = {n for n, times in Counter(n for e in desk.numbers for n in e).items() if times > 1}
    assert again == twice == set(range(6))


async def test_a_message_has_a_length_that_people_read() -> None:
    desk = Desk()
    body = letters.to_body(said("x" * 800))
    await desk.deliver(*(replace(news(n), body=body) for n in range(20)))
    assert max(len(each.text) for each in desk.post.sent) <= 3_000


async def test_what_is_urgent_overtakes() -> None:
    desk = Desk()
    await desk.mail.route([], [news(n, alone=True) for n in range(6)], 1)
    async with running(desk.courier):
        desk.courier.wake()
        await until(lambda: len(desk.post.sent) >= 2)
        await desk.mail.route([], [news(100, priority=Priority.URGENT)], 1)
        await all_sent(desk.mail, desk.courier)
    assert desk.numbers.index([100]) <= 3
    assert [n for each in desk.numbers for n in each if n < 100] == [*range(6)]


async def test_what_is_about_one_trade_replies_to_the_first_of_it() -> None:
    desk = Desk()
    await desk.deliver(news(1, topic="a"), news(2, topic="b"), news(3, topic="a"), news(4))
    await desk.deliver(news(5, topic="b"), news(6, TOM, topic="a"))
    ids = {each.numbers[0]: each.message_id for each in desk.post.sent}
    to = {each.numbers[0]: each.letter.reply_to for each in desk.post.sent}
    assert to == {1: "", 2: "", 3: ids[1], 4: "", 5: ids[2], 6: ""}


async def test_a_message_about_several_trades_replies_to_none() -> None:
    desk = Desk()
    await desk.deliver(news(0, topic="a"))
    await desk.deliver(*(news(n, topic="a") for n in range(1, 7)))
    await desk.deliver(*(news(n, topic="ab"[n % 2]) for n in range(7, 13)))
    first, together, mixed = desk.post.sent
    assert together.letter.reply_to == first.message_id
    assert mixed.letter.reply_to == ""


async def test_a_chat_that_can_not_be_reached_holds_up_no_other() -> None:
    desk = Desk()
    send, desk_post = desk.post.send, desk.post

    async def only_tom(address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        if address.chat_id == ANN and len(desk_post.sent) < 20:
            raise NotSent("no route")
        return await send(address, letter, plain=plain, nonce=nonce)

    desk.post.send = only_tom  # type: ignore[method-assign]
    await desk.deliver(news(1), *(news(n, TOM, alone=True) for n in range(10, 30)))
    assert desk.numbers[-1] == [1]
    assert [each for (each,) in desk.numbers[:-1]] == [*range(10, 30)]


# -- cards -------------------------------------------------------------------------------


def card(number: int = 17, chat_id: str = ANN, **changes: Any) -> Delivery:
    """The card of a proposal, or with `renews` what brings its cards up to date."""
    shown = Letter(Reply(), card=number, **changes)
    body = letters.to_body(shown)
    return Delivery("telegram", chat_id, "", 1, Priority.URGENT, shown.topic, body)


def renewal(number: int = 17, chat_id: str = ANN) -> Delivery:
    return card(number, chat_id, renews=True)


def shows(text: str) -> Reply:
    return reply(Text(text))


async def test_a_card_shows_its_proposal_as_it_stands_when_it_is_sent() -> None:
    desk = Desk()
    await desk.mail.route([], [card()], 1)
    desk.cards[17] = shows("rejected by tom")
    [sent] = await desk.deliver(renewal())
    assert sent.text == "rejected by tom"
    assert len(desk.post.renewed) == 1


async def test_a_card_is_as_urgent_as_it_says_and_shares_no_message() -> None:
    desk = Desk()
    numbers = range(1, 7)
    desk.cards = {n: shows(f"card {n}") for n in numbers}
    await desk.deliver(*map(news, numbers), *map(card, numbers))
    assert [each.text for each in desk.post.sent[:6]] == [f"card {n}" for n in numbers]


async def test_a_card_of_nothing_is_given_up_quietly() -> None:
    desk = Desk()
    await desk.deliver(card(), news(1))
    assert desk.numbers == [[1]]
    assert await desk.mail.dead_letters(9) == []
    assert await desk.mail.posted_chats("proposal:17") == []


async def test_a_renewal_edits_each_card_in_its_chat_and_posts_nothing() -> None:
    desk = Desk()
    desk.cards = {17: shows("open"), 18: shows("another")}
    sent = await desk.deliver(card(), card(), card(18), card(17, TOM))
    open_ = [each for each in sent if each.text == "open"]
    desk.cards[17] = shows("approved")
    await desk.deliver(renewal())
    assert [message_id for message_id, _ in desk.post.renewed] == [
        each.message_id for each in open_ if each.address.chat_id == ANN
    ]
    assert {letter.reply for _, letter in desk.post.renewed} == {shows("approved")}
    assert len(sent) == 4


async def test_a_card_that_was_answered_in_its_place_is_renewed_once() -> None:
    desk = Desk()
    desk.cards[17] = shows("open")
    [first] = await desk.deliver(card())
    await desk.deliver(card(edit=first.message_id))
    await desk.deliver(renewal())
    assert [message_id for message_id, _ in desk.post.renewed] == [first.message_id]


async def test_a_renewal_where_no_card_arrived_is_done() -> None:
    desk = Desk()
    desk.cards[17] = shows("open")
    await desk.deliver(renewal())
    assert (desk.post.sent, desk.post.renewed) == ([], [])
    assert await desk.mail.dead_letters(9) == []


async def test_several_renewals_of_a_card_are_one() -> None:
    desk = Desk()
    desk.cards = {17: shows("open"), 18: shows("another")}
    await desk.deliver(card(), card(18))
    desk.cards[17] = shows("done")
    await desk.deliver(renewal(), renewal(18), renewal(), renewal())
    assert [letter.reply for _, letter in desk.post.renewed] == [shows("done"), shows("another")]


@pytest.mark.parametrize(
    "fault", [Throttled(5), NotSent("no route"), Unreachable("no answer"), BadMarkup("tags")]
)
async def test_a_renewal_that_fails_is_tried_again_and_is_no_repetition(fault: Exception) -> None:
    desk = Desk(None, fault)
    desk.cards[17] = shows("open")
    await desk.deliver(card())
    await desk.deliver(renewal())
    [(_, letter)] = desk.post.renewed
    assert letter.shown == shows("open")
    assert len(desk.post.sent) == 1


async def test_a_proposal_that_can_not_be_read_now_is_shown_later_and_is_no_repetition() -> None:
    desk = Desk()
    desk.cards[17] = shows("open")
    desk.card_faults.append(Unreachable("the database is locked"))
    [sent] = await desk.deliver(card())
    assert sent.text == "open"


async def test_a_card_that_can_not_be_made_is_a_dead_letter_and_holds_up_nobody() -> None:
    desk = Desk()
    desk.card_faults.append(ZeroDivisionError())
    await desk.deliver(card(), news(1))
    assert desk.numbers == [[1]]
    assert len(await desk.mail.dead_letters(9)) == 1


# -- paces -------------------------------------------------------------------------------


async def test_a_group_that_was_answered_before_it_was_opened_keeps_a_group_s_pace() -> None:
    desk = Desk()
    await desk.courier.answer(Address("telegram", GROUP), said("#0;"))
    desk.people.on_commit(Commit(1, facts=[group()]))
    _, *told = await desk.deliver(*(news(n, GROUP, alone=True) for n in range(1, 50)))
    times = [(each.began, each.ended) for each in told]
    assert not too_fast(times, *GROUP_PACE)


async def test_many_chats_at_once_keep_to_the_pace_in_all() -> None:
    desk = Desk()
    dice = Random(3)
    desk.post.latency = lambda: dice.uniform(0.05, 0.9)
    await desk.deliver(*(news(n, f"{1000 + n % 45}", alone=True) for n in range(135)))
    times = [(each.began, each.ended) for each in desk.post.sent]
    assert len(times) == 135
    assert not too_fast(times, *PACE_IN_ALL)


FAULTS: dict[str, Callable[[], Exception | None]] = {
    "none": lambda: None,
    "429": lambda: Throttled(3),
    "not sent": lambda: NotSent("no route to host"),
    "in doubt, not arrived": lambda: Unreachable("no answer"),
    "in doubt, arrived": lambda: lost_after("no answer"),
    "markup": lambda: BadMarkup("can't parse entities"),
}
WANTED = st.lists(
    st.builds(
        dict,
        chat_id=st.sampled_from([ANN, TOM, GROUP]),
        priority=st.sampled_from([Priority.NEWS] * 4 + [Priority.URGENT, Priority.ANSWER]),
        topic=st.sampled_from(["", "a"]),
        thread=st.sampled_from(["", "", "5"]),
        alone=st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    wanted=WANTED,
    faults=st.lists(st.sampled_from(list(FAULTS)), max_size=20),
    kills=st.lists(st.integers(0, 60), max_size=3),
    seed=st.integers(0, 9),
)
def test_whatever_fails_all_arrive_in_order_and_repetitions_say_so(
    wanted: list[dict[str, object]], faults: list[str], kills: list[int], seed: int
) -> None:
    asyncio.run(survive(wanted, faults, kills, seed))


async def survive(
    wanted: list[dict[str, object]], faults: list[str], kills: list[int], seed: int
) -> None:
    desk = Desk(*(FAULTS[name]() for name in faults), chats=[group()])
    # Markup that is refused twice in a row is a dead letter.
    allowed_dead = faults.count("markup") // 2
    dice = Random(seed)
    desk.post.latency = lambda: dice.choice([0.0, 0.2, 1.5])
    wanted_news = [news(n, **each) for n, each in enumerate(wanted)]  # type: ignore[arg-type]
    half = len(wanted_news) // 2
    await desk.mail.route([], wanted_news[:half], 1)
    for turns in kills:
        async with running(desk.courier):
            for _ in range(turns):
                await asyncio.sleep(0)
        desk.next_courier()
    await desk.deliver(*wanted_news[half:])

    dead = {each.seq for each in await desk.mail.dead_letters(100)}
    assert len(dead) <= allowed_dead * 12
    first: dict[int, Sent] = {}
    for each in desk.post.sent:
        for number in each.numbers:
            assert each.repeated or number not in first, f"#{number} came twice unmarked"
            first.setdefault(number, each)
    assert len(wanted_news) - len(dead) <= len(first) <= len(wanted_news)
    order = list(first)
    for chat in (ANN, TOM, GROUP):
        for priority in Priority:
            numbers = [
                n
                for n in order
                if (wanted_news[n].chat_id, wanted_news[n].priority) == (chat, priority)
            ]
            assert numbers == sorted(numbers)
    for number, each in first.items():
        assert each.address.thread_id == wanted_news[number].thread_id
    if not kills:
        kinds = [each.priority for each in wanted_news]
        unasked = [e for e in desk.post.sent if kinds[e.numbers[0]] is Priority.NEWS]
        for chat in (ANN, TOM, GROUP):
            times = [(e.began, e.ended) for e in unasked if e.address.chat_id == chat]
            assert not too_fast(times, *CHAT_PACE)
            assert chat != GROUP or not too_fast(times, *GROUP_PACE)


# -- the database ------------------------------------------------------------------------


class Locked:
    """A database that is locked while `held`: everything fails, nothing happens."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self.held = False
        self.refused = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            if self.held:
                self.refused += 1
                raise Unreachable("the database is locked")
            return await getattr(self._mail, name)(*arguments)

        return call


async def test_a_database_that_is_locked_for_a_while_loses_nothing() -> None:
    desk = Desk()
    locked = Locked(desk.mail)
    surfaces = {"telegram": desk.post}
    courier = Courier(cast(Mail, locked), desk.clock, desk.people, surfaces, desk.lost, no_card)
    await desk.mail.route([], [news(n, alone=True) for n in range(12)], 1)
    async with running(courier):
        for count in (1, 4, 9):
            locked.held = False
            await until(lambda count=count: len(desk.post.sent) >= count)  # type: ignore[misc]
            locked.held = True
            await until(lambda now=locked.refused: locked.refused > now + 3)  # type: ignore[misc]
        locked.held = False
        await all_sent(desk.mail, courier)
    first = list(dict.fromkeys(n for each in desk.numbers for n in each))
    assert first == [*range(12)]
    # What arrived while that could not be noted comes again, marked.
    again = [each for each in desk.post.sent if each.repeated]
    assert len(again) == len(desk.post.sent) - 12 <= 3


# -- through the real client -------------------------------------------------------------

RATE = 25.0
NEWS, CHATS, GROUPS = 2_000, 20, 2


async def test_a_backlog_arrives_in_order_at_the_platform_s_pace(tmp_path: Path) -> None:
    await deliver_backlog(tmp_path, kills=0)


async def test_a_backlog_survives_kills_in_the_middle_of_it(tmp_path: Path) -> None:
    await deliver_backlog(tmp_path, kills=4)


async def deliver_backlog(folder: Path, kills: int) -> None:
    """2,000 pieces of news with 429s, dropped connections and two outages.

    A killed process knows nothing of what it sent last, so that the next one may be too fast for
    a moment: only with kills does the server refuse that.
    """
    clock = FastClock(RATE)
    url = f"sqlite:///{folder}/desk.db"
    async with TelegramServer(clock=clock, enforce_limits=kills > 0) as server:
        places = [server.private(server.user(f"{n}")) for n in range(CHATS)]
        places += [server.supergroup(f"{n}") for n in range(GROUPS)]
        people = People([], [], [group(f"{place.id}") for place in places[CHATS:]])
        wanted = backlog(places)
        store = await open_store(url)
        await store.mail.route([], wanted, clock.now())
        server.fault("sendMessage", 429, times=5, retry_after=2)
        server.fault("sendMessage", "drop_after", times=4)
        stages = iter((300, 700, 1_100, 1_500))

        def arrived(count: float) -> bool:
            return sum(len(each) for each in numbers_in(server, places).values()) >= count

        for _ in range(kills):
            async with telegram(server, store, people, clock) as courier:
                courier.wake()
                stage = next(stages)
                await server.until(lambda stage=stage: arrived(stage), 30)  # type: ignore[misc]
            await store.close()
            store = await open_store(url)
        async with telegram(server, store, people, clock) as courier:
            courier.wake()
            for stage in stages if not kills else (1_600, 1_800):
                await server.until(lambda stage=stage: arrived(stage), 30)  # type: ignore[misc]
                if stage in (700, 1_500, 1_600, 1_800):
                    await server.outage()
                    await clock.sleep(3)
                    await server.back()
                else:
                    server.fault("sendMessage", 429, times=5, retry_after=3)
            async with asyncio.timeout(40):
                await all_sent(store.mail, courier)
        assert await store.mail.dead_letters(9) == []
        await store.close()
        check_backlog(server, places, wanted)
        assert server.pace.too_fast == []


def backlog(places: Sequence[Place]) -> list[Delivery]:
    """News for all places in turn, a few more for groups; some share no message."""
    weights = [1 if place.type == "private" else 3 for place in places]
    order = Random(7).choices(places, weights, k=NEWS)
    return [news(n, f"{place.id}", alone=n % 20 == 0) for n, place in enumerate(order)]


@asynccontextmanager
async def telegram(
    server: TelegramServer, store: Store, people: People, clock: Clock
) -> AsyncIterator[Courier]:
    """A courier that sends through the real client; at the end it is killed."""

    async def draw(reply: Reply) -> list[Path | None]:
        return []

    async def trouble(text: str) -> None:
        raise AssertionError(text)

    async def take(came: Sequence[Update]) -> None:
        raise AssertionError(came)

    runtime, _ = await build(quiet_market())
    gate, offers = Gate(people, runtime, clock), offers_of(store.mail, clock, people)
    surface = Telegram(server.token, server.base, gate, people, offers, draw, clock, trouble)
    courier = Courier(store.mail, clock, people, {"telegram": surface}, Lost(), no_card)
    listening = asyncio.create_task(surface.run(take))
    try:
        async with running(courier):
            yield courier
    finally:
        listening.cancel()
        await asyncio.wait([listening])


def numbers_in(server: TelegramServer, places: Sequence[Place]) -> dict[int, list[int]]:
    """The numbers of the news that stands in each place, in its order."""
    return {
        place.id: [
            int(number)
            for message in server.from_bot(place)
            for number in re.findall(r"#(\d+);", message.text or "")
        ]
        for place in places
    }


def check_backlog(
    server: TelegramServer, places: Sequence[Place], wanted: Sequence[Delivery]
) -> None:
    for place, found in zip(places, numbers_in(server, places).values(), strict=True):
        expected = [n for n, each in enumerate(wanted) if each.chat_id == f"{place.id}"]
        assert list(dict.fromkeys(found)) == expected
        seen: set[int] = set()
        for message in server.from_bot(place):
            numbers = {int(number) for number in re.findall(r"#(\d+);", message.text or "")}
            assert not (numbers & seen) or REPEATED in (message.text or "")
            seen |= numbers
