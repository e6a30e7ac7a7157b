"""Notices on their way from the store to people."""

from bot.outbox import Outbox
from engine.effect import Notice, NoticeKind
from engine.errors import Unreachable
from engine.ports import Commit, OutboxRow
from engine.store.memory import MemoryStore
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
    outbox = Outbox(store, FakeClock(), [told.append])
    await outbox.deliver()
    await outbox.deliver()
    assert [each.text for each in told] == ["one", "two"]


async def test_a_database_that_is_locked_keeps_the_notices_and_the_desk() -> None:
    store, told = FlakyStore(), list[Notice]()
    await stored(store, "one")
    outbox = Outbox(store, FakeClock(), [told.append])
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
    await Outbox(store, FakeClock(), [told.append]).deliver()
    assert [each.text for each in told] == [
        "Notice 1 (market_remark) can't be read. The log says why.",
        "two",
    ]


async def test_news_of_the_past_is_told_to_nobody() -> None:
    store, told = MemoryStore(), list[Notice]()
    await stored(store, "one")
    outbox = Outbox(store, FakeClock(), [told.append])
    await outbox.skip()
    await outbox.deliver()
    assert told == []
