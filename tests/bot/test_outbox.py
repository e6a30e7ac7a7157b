"""Notices on their way from the store to people."""

import asyncio
from collections.abc import Sequence

import pytest

from bot import letter as letters
from bot.outbox import BATCH, RETRY_S, Outbox
from engine.effect import Notice, NoticeKind
from engine.errors import Unreachable
from engine.mail import Address, Delivery, Priority
from engine.ports import Commit, OutboxRow
from engine.store.memory import MemoryStore
from tests.chat.posts import words
from tests.clock import FakeClock


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
