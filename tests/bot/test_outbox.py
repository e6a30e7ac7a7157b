"""Notices on their way from the store to people."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bot import letter as letters
from bot.letter import Letter
from bot.outbox import BATCH, RETRY_S, Outbox
from engine.effect import Notice, NoticeKind
from engine.errors import Unreachable
from engine.mail import Address, Delivery, Priority
from engine.ports import Commit, OutboxRow
from engine.store.memory import MemoryStore
from handlers.reply import Reply
from tests.chat.posts import words
from tests.clock import FakeClock
from tests.proposals import RED


class FlakyStore(MemoryStore):
    """A store that can't be read while `down`."""

    down = False

    async def undelivered(self, limit: int) -> list[OutboxRow]:
        if self.down:
            raise Unreachable("the database is locked")
        return await super().undelivered(limit)


def notice(text: str) -> Notice:
    return Notice(NoticeKind.MARKET_REMARK, 1, text=text)


async def stored(store: MemoryStore, *texts: str) -> None:
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, notices=[notice(text) for text in texts]))


async def test_notices_are_handed_over_in_order_and_once() -> None:
    store, told = MemoryStore(), list[Notice]()
    await stored(store, "one", "two")
    outbox = Outbox(store, FakeClock(), told.append)
    await outbox.deliver()
    await outbox.deliver()
    assert [each.text for each in told] == ["one", "two"]


async def test_a_database_that_is_locked_keeps_the_notices_and_the_desk() -> None:
    store, told = FlakyStore(), list[Notice]()
    await stored(store, "one")
    outbox = Outbox(store, FakeClock(), told.append)
    store.down = True
    await outbox.deliver()
    assert told == []
    store.down = False
    await outbox.deliver()
    assert [each.text for each in told] == ["one"]


async def test_a_row_that_can_not_be_read_is_told_as_such_and_holds_up_nobody() -> None:
    class Spoiled(MemoryStore):
        async def undelivered(self, limit: int) -> list[OutboxRow]:
            rows = await super().undelivered(limit)
            return [OutboxRow(r.seq, r.ts, r.kind, "{}") if r.seq == 1 else r for r in rows]

    store, told = Spoiled(), list[Notice]()
    await stored(store, "one", "two")
    await Outbox(store, FakeClock(), told.append).deliver()
    assert [each.text for each in told] == [
        "Notice 1 (market_remark) can't be read. The log says why.",
        "two",
    ]


async def test_news_of_the_past_is_told_to_nobody() -> None:
    store, told = MemoryStore(), list[Notice]()
    await stored(store, "one")
    outbox = Outbox(store, FakeClock(), told.append)
    await outbox.skip()
    await outbox.deliver()
    assert told == []


# -- letters to chats --------------------------------------------------------------------

ANN, GROUP = Address("telegram", "7"), Address("telegram", "-100", "5")


def posting(store: MemoryStore, *audience: Address) -> tuple[Outbox, list[int]]:
    """An outbox that writes to chats, and how often it said that letters wait."""
    posted: list[int] = []
    outbox = Outbox(
        store,
        FakeClock(),
        lambda notice: None,
        lambda notice: audience,
        lambda: "PAPER - sim42",
        lambda: posted.append(1),
    )
    return outbox, posted


async def waiting(store: MemoryStore, at: Address) -> list[Delivery]:
    rows = await store.mail.waiting(at.surface, at.chat_id, 1_000)
    return [row.delivery for row in rows]


async def test_each_chat_gets_one_letter_of_each_notice() -> None:
    store = MemoryStore()
    await stored(store, "one", "two")
    outbox, posted = posting(store, ANN, GROUP)
    await outbox.deliver()
    await outbox.deliver()
    for at in (ANN, GROUP):
        found = await waiting(store, at)
        letters_ = [letters.from_body(each.body) for each in found]
        assert [words(each.reply) for each in letters_] == [
            "About this market: one",
            "About this market: two",
        ]
        assert {each.reply.badge for each in letters_} == {"PAPER - sim42"}
        assert all(each.is_news for each in letters_)
        assert {each.thread_id for each in found} == {at.thread_id}
    assert posted == [1]


@pytest.mark.parametrize(
    ("kind", "priority"),
    [
        (NoticeKind.DESK_HALTED, Priority.URGENT),
        (NoticeKind.TROUBLE, Priority.URGENT),
        (NoticeKind.MARKET_REMARK, Priority.NEWS),
        (NoticeKind.DESK_STARTED, Priority.NEWS),
    ],
)
async def test_what_can_not_wait_is_urgent(kind: NoticeKind, priority: Priority) -> None:
    store = MemoryStore()
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, notices=[Notice(kind, 1, text="one")]))
    outbox, _ = posting(store, ANN)
    await outbox.deliver()
    [found] = await waiting(store, ANN)
    assert found.priority is priority


async def test_a_letter_carries_the_topic_of_its_notice() -> None:
    store = MemoryStore()
    epoch = await store.take_epoch("test")
    told = Notice(NoticeKind.MARKET_REMARK, 1, text="one", topic="bot:1")
    await store.commit(Commit(epoch, notices=[told, notice("two")]))
    outbox, _ = posting(store, ANN)
    await outbox.deliver()
    assert [each.topic for each in await waiting(store, ANN)] == ["bot:1", ""]


async def test_a_notice_for_nobody_is_marked_all_the_same() -> None:
    store = MemoryStore()
    await stored(store, "one")
    outbox, posted = posting(store)
    await outbox.deliver()
    assert posted == []
    assert await store.undelivered(9) == []


async def test_a_database_that_can_not_be_written_keeps_the_notices_for_the_chats() -> None:
    store = MemoryStore()
    await stored(store, "one")
    outbox, posted = posting(store, ANN)
    route = store.mail.route

    async def locked(notices: Sequence[int], deliveries: Sequence[Delivery], ts: int) -> None:
        raise Unreachable("the database is locked")

    store.mail.route = locked  # type: ignore[method-assign]
    await outbox.deliver()
    assert posted == []
    assert len(await store.undelivered(9)) == 1
    store.mail.route = route  # type: ignore[method-assign]
    await outbox.deliver()
    assert len(await waiting(store, ANN)) == 1


async def test_a_failure_is_tried_again_and_a_commit_wakes_it() -> None:
    store, told, clock = FlakyStore(), list[Notice](), FakeClock()
    outbox = Outbox(store, clock, told.append)
    store.down = True
    await stored(store, "one")
    task = asyncio.create_task(outbox.run())
    try:
        while clock.slept < RETRY_S:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.down = False
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0)
        batch = Commit(1, notices=[notice("two")])
        await store.commit(batch)
        outbox.on_commit(batch)
        while len(told) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert [each.text for each in told] == ["one", "two"]


async def test_news_of_the_past_is_written_to_no_chat() -> None:
    store = MemoryStore()
    await stored(store, *(f"{n}" for n in range(BATCH + 5)))
    outbox, posted = posting(store, ANN)
    await outbox.skip()
    await outbox.deliver()
    assert posted == []
    assert await waiting(store, ANN) == []
    assert await store.undelivered(9) == []


# -- cards -------------------------------------------------------------------------------

TOM = Address("discord", "8")
NUMBER = RED.proposal_id


def about(kind: NoticeKind) -> Notice:
    return Notice(kind, 1, proposal=RED, topic="proposal:17")


async def keep(store: MemoryStore, *notices: Notice, answer: Delivery | None = None) -> None:
    epoch = await store.take_epoch("test")
    batch = Commit(epoch, notices=list(notices), deliveries=[answer] if answer else [])
    await store.commit(batch)


def card_at(at: Address, priority: Priority, **changes: Any) -> Delivery:
    card = Letter(Reply(), card=NUMBER, **changes)
    place = (at.surface, at.chat_id, at.thread_id)
    return Delivery(*place, FakeClock().now(), priority, card.topic, letters.to_body(card))


async def test_a_proposal_is_a_card_in_each_chat_that_was_not_answered_with_it() -> None:
    store = MemoryStore()
    answer = card_at(ANN, Priority.ANSWER, reply_to="5")
    await keep(store, about(NoticeKind.PROPOSED), answer=answer)
    outbox, posted = posting(store, ANN, TOM)
    await outbox.deliver()
    assert await waiting(store, ANN) == [answer]
    assert await waiting(store, TOM) == [card_at(TOM, Priority.URGENT)]
    assert posted == [1]


async def test_what_changes_of_a_proposal_renews_its_cards_wherever_they_are() -> None:
    store = MemoryStore()
    await keep(store, answer=card_at(GROUP, Priority.ANSWER))
    await keep(store, about(NoticeKind.PROPOSED))
    await posting(store, ANN, TOM)[0].deliver()
    for at in (ANN, TOM):
        (row,) = await store.mail.waiting(at.surface, at.chat_id, 9)
        await store.mail.arrived([row.seq], "101", 1)
    await keep(store, about(NoticeKind.PROPOSAL_CHANGED))
    # Whoever may be told something new has nothing to do with it.
    await posting(store)[0].deliver()
    for at in (ANN, TOM):
        assert await waiting(store, at) == [card_at(at, Priority.URGENT, renews=True)]
    assert card_at(GROUP, Priority.URGENT, renews=True) in await waiting(store, GROUP)


async def test_a_proposal_that_changed_before_it_was_shown_is_shown_once() -> None:
    store = MemoryStore()
    await keep(store, about(NoticeKind.PROPOSED), about(NoticeKind.PROPOSAL_CHANGED))
    await posting(store, ANN)[0].deliver()
    assert await waiting(store, ANN) == [card_at(ANN, Priority.URGENT)]


async def test_the_end_of_a_proposal_is_told_in_words() -> None:
    store = MemoryStore()
    await keep(store, about(NoticeKind.PROPOSAL_ENDED))
    await posting(store, ANN)[0].deliver()
    [told] = await waiting(store, ANN)
    letter = letters.from_body(told.body)
    assert (letter.card, told.topic, told.priority) == (0, "proposal:17", Priority.NEWS)
    assert words(letter.reply)


async def test_the_consoles_are_told_of_proposals_as_of_anything() -> None:
    store, told = MemoryStore(), list[Notice]()
    kinds = [NoticeKind.PROPOSED, NoticeKind.PROPOSAL_CHANGED, NoticeKind.PROPOSAL_ENDED]
    await keep(store, *map(about, kinds))
    await Outbox(store, FakeClock(), told.append).deliver()
    assert [each.kind for each in told] == kinds


async def test_what_waits_for_people_is_told_even_when_the_past_is_put_away() -> None:
    store = MemoryStore()
    outbox, _ = posting(store, ANN)
    anchor = Notice(NoticeKind.AUDIT_ANCHOR, 1, text="7:abc")
    paused = Notice(NoticeKind.BOT_PAUSED, 1, bot_id="shortseller_001", text="by ann")
    await keep(store, paused, about(NoticeKind.PROPOSED), anchor)
    await outbox.skip()
    card, told = await waiting(store, ANN)
    assert letters.from_body(card.body).card == NUMBER
    assert "7:abc" in told.body
    assert await store.undelivered(9) == []
