"""Every promise of the port for messages to and from chats, kept by each store."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.audit import Act, Chain
from engine.effect import Notice, NoticeKind
from engine.errors import Broken, LostLock
from engine.instrument import MAJORS
from engine.mail import Address, Delivery, Offer, Posted, Priority, Received
from engine.ports import Commit, Mail, Store
from engine.store.memory import MemoryStore
from tests.contract.conftest import Opened

TS = 1_700_000_000_000
DAY = 86_400_000
ANN, GROUP = ("telegram", "7"), ("telegram", "-100")


def came(key: str, ts: int = TS, body: str = "{}") -> Received:
    return Received(key, ts, body)


def letter(body: str = "hello", chat: tuple[str, str] = ANN, **changes: Any) -> Delivery:
    made = Delivery(*chat, "", TS, Priority.NEWS, "", body)
    return replace(made, **changes)


def offer(command: str = "/bot pause a", **changes: Any) -> Offer:
    return replace(Offer("telegram", "7", command, TS + DAY), **changes)


@pytest.fixture
def mail(store: Store) -> Mail:
    return store.mail


async def route(mail: Mail, *letters: Delivery) -> list[int]:
    """Store letters; their numbers, in the same order."""
    known = await seqs_of(mail)
    await mail.route([], letters, TS)
    return sorted(await seqs_of(mail) - known)


async def seqs_of(mail: Mail) -> set[int]:
    """The numbers of everything that waits."""
    chats = await mail.waiting_chats()
    return {row.seq for chat in chats for row in await mail.waiting(*chat, 1_000)}


async def bodies(mail: Mail, chat: tuple[str, str] = ANN, limit: int = 10_000) -> list[str]:
    return [row.delivery.body for row in await mail.waiting(*chat, limit)]


async def keys(mail: Mail) -> list[str]:
    return [each.key for each in await mail.unanswered()]


# -- what comes --------------------------------------------------------------------------


async def test_a_key_is_new_once(mail: Mail) -> None:
    assert await mail.receive([came("a"), came("b")]) == {"a", "b"}
    assert await mail.receive([came("b"), came("c")]) == {"c"}
    assert await mail.receive([came("a"), came("c")]) == set()
    assert await mail.receive([]) == set()


async def test_a_key_that_stands_twice_in_one_batch_is_one_update(mail: Mail) -> None:
    first, again = came("a", body="first"), came("a", body="again")
    assert await mail.receive([first, came("b"), again]) == {"a", "b"}
    assert await mail.unanswered() == [first, came("b")]


async def test_an_answered_key_is_not_new_again(mail: Mail) -> None:
    await mail.receive([came("a")])
    await mail.answered(["a"], TS)
    assert await mail.receive([came("a")]) == set()
    assert await mail.unanswered() == []


async def test_what_is_not_answered_comes_oldest_first(mail: Mail) -> None:
    late, early = came("a", TS + 9), came("z", TS)
    same = [came("B", TS + 5), came("a1", TS + 5), came("b", TS + 5)]
    await mail.receive([late, *reversed(same), early])
    assert await mail.unanswered() == [early, *same, late]


async def test_only_what_is_named_is_answered(mail: Mail) -> None:
    await mail.receive([came("a"), came("b"), came("c")])
    await mail.answered(["a", "c", "nobody's"], TS)
    await mail.answered([], TS)
    assert await keys(mail) == ["b"]
    assert await mail.receive([came("nobody's")]) == {"nobody's"}
    assert await keys(mail) == ["b", "nobody's"]


# -- notices made letters ----------------------------------------------------------------


async def told(store: Store, *texts: str) -> list[int]:
    notices = [Notice(NoticeKind.MARKET_REMARK, TS, text=text) for text in texts]
    await store.commit(Commit(await store.take_epoch("test"), notices=notices))
    return [row.seq for row in await store.undelivered(100)]


async def test_notices_are_marked_and_their_letters_stored(store: Store) -> None:
    one, two, three = await told(store, "one", "two", "three")
    await store.mail.route([one, three], [letter("1"), letter("1", GROUP), letter("3")], TS)
    assert [row.seq for row in await store.undelivered(100)] == [two]
    assert await bodies(store.mail) == ["1", "3"]
    assert await bodies(store.mail, GROUP) == ["1"]


async def test_letters_that_can_not_be_stored_leave_their_notices(opened: Opened) -> None:
    if opened.open is None:
        pytest.skip("memory refuses no letter")
    store = opened.store
    seqs = await told(store, "one", "two")
    with pytest.raises(Broken):
        await store.mail.route(seqs, [letter("1"), letter(body=None)], TS)
    assert [row.seq for row in await store.undelivered(100)] == seqs
    assert await store.mail.waiting_chats() == []


# -- one transaction with what a command changed -----------------------------------------


async def test_an_answer_is_stored_with_its_effect(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.mail.receive([came("a"), came("b")])
    answer = letter("done", priority=Priority.ANSWER)
    batch = Commit(epoch, deliveries=[answer], answered=["a"], answered_at=TS, number=1)
    await store.commit(batch)
    await store.commit(batch)
    assert await keys(store.mail) == ["b"]
    assert [row.delivery for row in await store.mail.waiting(*ANN, 9)] == [answer]


async def test_a_commit_that_fails_answers_nobody(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.mail.receive([came("a")])
    rows = Chain(b"key", None).seal([Act(TS, "desk", "test", "first")])
    bad = {
        "a fact with a part missing": {"facts": [replace(MAJORS["BTCUSDT"], tick=None)]},
        "an audit row twice": {"audit": [*rows, *rows]},
    }
    for fault in bad.values():
        with pytest.raises(Broken):
            batch: dict[str, Any] = {"deliveries": [letter()], "answered": ["a"], **fault}
            await store.commit(Commit(epoch, number=1, **batch))
    await store.take_epoch("the next desk")
    with pytest.raises(LostLock):
        await store.commit(Commit(epoch, deliveries=[letter()], answered=["a"], number=2))
    assert await keys(store.mail) == ["a"]
    assert await store.mail.waiting_chats() == []


# -- what waits --------------------------------------------------------------------------


async def test_the_most_urgent_goes_first_and_then_the_oldest(mail: Mail) -> None:
    mixed = [Priority.NEWS, Priority.ANSWER, Priority.URGENT] * 2
    letters = [letter(f"{n}", priority=each) for n, each in enumerate(mixed)]
    await mail.route([], letters[:3], TS)
    await mail.route([], letters[3:], TS)
    assert await bodies(mail) == ["2", "5", "1", "4", "0", "3"]
    assert await bodies(mail, limit=2) == ["2", "5"]


async def test_a_letter_comes_back_as_it_was_stored(mail: Mail) -> None:
    whole = Delivery("discord", "9", "5", TS, Priority.URGENT, "shörtseller:1", '{"ü": "\u202e"}')
    await mail.route([], [whole], TS)
    (row,) = await mail.waiting("discord", "9", 10)
    assert (row.delivery, row.attempted_at) == (whole, None)
    assert type(row.delivery.priority) is Priority


async def test_each_chat_waits_for_its_own(mail: Mail) -> None:
    same_id = ("discord", "7")
    await mail.route([], [letter("a"), letter("b", GROUP), letter("c", same_id), letter("d")], TS)
    assert set(await mail.waiting_chats()) == {ANN, GROUP, same_id}
    assert len(await mail.waiting_chats()) == 3
    assert await bodies(mail) == ["a", "d"]
    assert await bodies(mail, same_id) == ["c"]
    assert await bodies(mail, ("discord", "-100")) == []


async def test_what_was_tried_says_so_until_it_surely_was_not(mail: Mail) -> None:
    one, two = await route(mail, letter("1"), letter("2"))
    await mail.attempt([one, two], TS + 5)
    await mail.attempt([two], None)
    found = {row.seq: row.attempted_at for row in await mail.waiting(*ANN, 9)}
    assert found == {one: TS + 5, two: None}


async def test_what_arrived_or_was_given_up_waits_no_more(mail: Mail) -> None:
    one, two, three = await route(mail, letter("1"), letter("2"), letter("3"))
    await mail.arrived([one], "100", TS)
    await mail.given_up([two], "too long", TS)
    assert await bodies(mail) == ["3"]
    await mail.arrived([three], "101", TS)
    assert await mail.waiting_chats() == []


async def test_what_became_of_a_letter_stays(mail: Mail) -> None:
    one, two = await route(mail, letter("1", topic="t"), letter("2"))
    await mail.arrived([one], "100", TS)
    await mail.given_up([one], "too late", TS)
    await mail.arrived([one], "999", TS)
    await mail.given_up([two], "too long", TS)
    await mail.arrived([two], "101", TS)
    assert await mail.first_of(Address(*ANN), "t") == "100"
    assert [(each.seq, each.error) for each in await mail.dead_letters(9)] == [(two, "too long")]
    await mail.attempt([one, two], None)
    assert await mail.waiting_chats() == []


async def test_the_first_of_a_topic_is_the_first_that_arrived(mail: Mail) -> None:
    lost, first, second, other = await route(
        mail, *(letter(f"{n}", topic="trade 1") for n in range(3)), letter("x", topic="trade 2")
    )
    assert await mail.first_of(Address(*ANN), "trade 1") is None
    await mail.arrived([second, other], "102", TS)
    await mail.arrived([first], "101", TS + 1)
    await mail.given_up([lost], "too long", TS)
    assert await mail.first_of(Address(*ANN), "trade 1") == "101"
    assert await mail.first_of(Address(*ANN), "trade 2") == "102"
    assert await mail.first_of(Address(*GROUP), "trade 1") is None
    assert await mail.first_of(Address(*ANN), "trade 3") is None


async def test_each_topic_of_a_forum_has_a_first_message_of_its_own(mail: Mail) -> None:
    there = [replace(letter("x", topic="t"), thread_id=thread) for thread in ("11", "22")]
    for seq, message_id in zip(await route(mail, *there), ("101", "102"), strict=True):
        await mail.arrived([seq], message_id, TS)
    first = [await mail.first_of(Address(*ANN, thread), "t") for thread in ("11", "22", "33")]
    assert first == ["101", "102", None]


async def test_all_messages_of_a_topic_that_arrived_in_a_place_are_known_once(mail: Mail) -> None:
    topic, place = "proposal:17", Address(*ANN)
    first, lost, second, waits = await route(mail, *(letter(f"{n}", topic=topic) for n in range(4)))
    quiet, edited, other = await route(
        mail, letter("q", topic=topic), letter("e", topic=topic), letter("o", topic="proposal:18")
    )
    assert await mail.posted(place, topic) == []
    await mail.arrived([second], "102", TS)
    await mail.arrived([first, edited], "101", TS + 1)
    await mail.arrived([quiet], "", TS)
    await mail.arrived([other], "103", TS)
    await mail.given_up([lost], "too long", TS)
    assert await mail.posted(place, topic) == ["101", "102"]
    assert await mail.posted(Address(*ANN, "5"), topic) == []
    assert await mail.posted(Address(*GROUP), topic) == []
    assert [row.seq for row in await mail.waiting(*ANN, 9)] == [waits]


async def test_the_places_of_a_topic_are_those_where_it_arrived_or_waits(mail: Mail) -> None:
    topic, forum = "proposal:17", Address(*GROUP, "5")
    ann, _, lost, quiet, _ = await route(
        mail,
        letter(topic=topic),
        letter(topic=topic),
        letter(chat=("telegram", "8"), topic=topic),
        letter(chat=("telegram", "9"), topic=topic),
        letter(chat=("discord", "7"), topic="proposal:18"),
    )
    await route(mail, letter(chat=GROUP, thread_id="5", topic=topic))
    await mail.arrived([ann], "101", TS)
    await mail.given_up([lost], "blocked", TS)
    await mail.arrived([quiet], "", TS)
    assert await mail.posted_chats(topic) == [Address(*ANN), forum]
    assert await mail.posted_chats("proposal:19") == []


async def test_what_needs_no_message_any_more_is_done_and_no_dead_letter(mail: Mail) -> None:
    (seq,) = await route(mail, letter(topic="proposal:17"))
    await mail.arrived([seq], "", TS)
    assert await mail.waiting_chats() == []
    assert await mail.dead_letters(9) == []
    assert await mail.first_of(Address(*ANN), "proposal:17") is None


async def test_dead_letters_come_newest_first(mail: Mail) -> None:
    letters = [letter(f"{n}", ts=TS + n) for n in range(4)]
    seqs = await route(mail, *letters)
    await mail.given_up([seqs[2]], "no such chat", TS + 10)
    await mail.given_up([seqs[0], seqs[3]], "blocked", TS + 11)
    dead = await mail.dead_letters(9)
    assert [(each.seq, each.ts, each.error) for each in dead] == [
        (seqs[3], TS + 3, "blocked"),
        (seqs[2], TS + 2, "no such chat"),
        (seqs[0], TS, "blocked"),
    ]
    assert {(each.surface, each.chat_id) for each in dead} == {ANN}
    assert await mail.dead_letters(1) == dead[:1]


# -- buttons -----------------------------------------------------------------------------


async def test_a_button_is_kept_by_its_number(mail: Mail) -> None:
    wanted = [offer(f"/bot pause b{n}", chat_id=f"{n}", user_id="7" * n) for n in range(5)]
    ids = await mail.offer(wanted)
    assert [await mail.offered(each) for each in ids] == wanted
    assert len(set(ids)) == 5
    assert await mail.offered(max(ids) + 1) is None
    assert await mail.offer([]) == []


async def test_a_button_is_used_once_and_by_its_user_again(mail: Mail) -> None:
    one, two = await mail.offer([offer(), offer()])
    assert await mail.claim(one, "ann")
    assert not await mail.claim(one, "tom")
    # The same update again, as after a crash.
    assert await mail.claim(one, "ann")
    assert await mail.claim(two, "tom")
    assert not await mail.claim(two + 1, "ann")


# -- forgetting --------------------------------------------------------------------------


async def test_what_waits_is_never_forgotten(store: Store) -> None:
    mail = store.mail
    (notice,) = await told(store, "one")
    await mail.receive([came("a", TS)])
    (seq,) = await route(mail, letter())
    await mail.attempt([seq], TS)
    (button,) = await mail.offer([offer(expires_at=TS + 10 * DAY)])
    await mail.prune(TS + 9 * DAY)
    assert [row.seq for row in await store.undelivered(9)] == [notice]
    assert await keys(mail) == ["a"]
    assert [row.attempted_at for row in await mail.waiting(*ANN, 9)] == [TS]
    assert await mail.offered(button) is not None
    assert await mail.claim(button, "ann")


async def test_what_is_done_is_forgotten_after_its_time(mail: Mail) -> None:
    await mail.receive([came("a"), came("b")])
    await mail.answered(["a"], TS)
    await mail.answered(["a"], TS + DAY)
    await mail.answered(["b"], TS + 1)
    dead, old, young = await route(mail, *(letter(topic=topic) for topic in "dou"))
    await mail.given_up([dead], "blocked", TS)
    await mail.arrived([old], "100", TS)
    await mail.arrived([young], "101", TS + 1)
    gone, good = await mail.offer([offer(expires_at=TS), offer(expires_at=TS + 1)])
    await mail.prune(TS + 1)
    assert await mail.receive([came("a"), came("b")]) == {"a"}
    assert await mail.dead_letters(9) == []
    assert [await mail.first_of(Address(*ANN), topic) for topic in "ou"] == [None, "101"]
    assert [await mail.offered(each) is None for each in (gone, good)] == [True, False]
    assert not await mail.claim(gone, "ann")


async def test_the_number_of_a_forgotten_button_is_not_given_again(mail: Mail) -> None:
    (old,) = await mail.offer([offer(expires_at=TS)])
    await mail.prune(TS + 1)
    (new,) = await mail.offer([offer("/bot resume a")])
    assert new > old


# -- the next process, and two at once ---------------------------------------------------


async def test_all_of_it_is_there_after_a_restart(opened: Opened) -> None:
    mail = opened.store.mail
    await mail.receive([came("a"), came("b")])
    await mail.answered(["a"], TS)
    one, two, three = await route(mail, *(letter(f"{n}", topic="t") for n in range(3)))
    await mail.attempt([two], TS)
    await mail.arrived([one], "100", TS)
    await mail.given_up([three], "too long", TS)
    used, unused = await mail.offer([offer(), offer()])
    await mail.claim(used, "ann")
    mail = (await opened.restart()).mail
    assert await mail.receive([came("a"), came("b")]) == set()
    assert await keys(mail) == ["b"]
    assert [(row.seq, row.attempted_at) for row in await mail.waiting(*ANN, 9)] == [(two, TS)]
    assert await mail.first_of(Address(*ANN), "t") == "100"
    assert [each.seq for each in await mail.dead_letters(9)] == [three]
    assert not await mail.claim(used, "tom")
    assert await mail.claim(unused, "tom")


WRITES: dict[str, Callable[[Mail], Awaitable[object]]] = {
    "receive": lambda mail: mail.receive([came("a")]),
    "answered": lambda mail: mail.answered(["a"], TS),
    "route": lambda mail: mail.route([], [letter()], TS),
    "attempt": lambda mail: mail.attempt([1], TS),
    "arrived": lambda mail: mail.arrived([1], "100", TS),
    "given_up": lambda mail: mail.given_up([1], "blocked", TS),
    "offer": lambda mail: mail.offer([offer()]),
    "claim": lambda mail: mail.claim(1, "ann"),
    "prune": lambda mail: mail.prune(TS),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_process_whose_epoch_is_over_writes_nothing_and_still_reads(
    opened: Opened, write: Callable[[Mail], Awaitable[object]]
) -> None:
    if opened.open is None:
        pytest.skip("memory has one process")
    old, new = opened.store, await opened.open()
    try:
        await old.take_epoch("old")
        await write(old.mail)
        await new.take_epoch("new")
        stored = await old.mail.waiting(*ANN, 9)
        with pytest.raises(LostLock, match="new trades this account now"):
            await write(old.mail)
        assert await old.mail.waiting(*ANN, 9) == stored
        await write(new.mail)
    finally:
        await new.close()


async def test_an_epoch_can_not_end_between_its_check_and_the_commit(opened: Opened) -> None:
    """Two processes: in turn one takes the epoch while the other stores letters."""
    if opened.open is None:
        pytest.skip("memory has one process")
    stores = [opened.store, await opened.open()]
    known: list[str] = []
    try:
        for turn in range(20):
            old, new = stores[turn % 2], stores[1 - turn % 2]
            await old.take_epoch("old")
            writing = asyncio.create_task(write_until_lost(old.mail, f"{turn}", known))
            for _ in range(turn):
                await asyncio.sleep(0)
            await new.take_epoch("new")
            seen = await bodies(new.mail)
            await writing
            assert await bodies(new.mail) == seen == known
            with pytest.raises(LostLock):
                await old.mail.route([], [letter("late")], TS)
    finally:
        await stores[1].close()


async def write_until_lost(mail: Mail, name: str, known: list[str]) -> None:
    """Store some letters, fewer where the epoch ends before; `known` are those that are stored.

    Many at a time, so that the epoch mostly ends in the midst of a transaction, if it can.
    """
    with suppress(LostLock):
        for n in range(3):
            names = [f"{name}.{n}.{place}" for place in range(200)]
            await mail.route([], [letter(each) for each in names], TS)
            known.extend(names)


async def test_of_two_at_once_one_gets_each_key_and_each_button(opened: Opened) -> None:
    """Two processes that no epoch tells apart."""
    other = await opened.open() if opened.open else None
    mails = [opened.store.mail, (other or opened.store).mail]
    try:
        ids = await mails[0].offer([offer() for _ in range(20)])
        batches = [[came(f"{n}"), came(f"{n + 1}")] for n in range(20)]
        fresh = await asyncio.gather(*(mail.receive(b) for b in batches for mail in mails))
        claims = [(mail, each) for each in ids for mail in mails]
        won = await asyncio.gather(
            *(mail.claim(each, f"{place}") for place, (mail, each) in enumerate(claims))
        )
    finally:
        if other is not None:
            await other.close()
    assert sorted(key for each in fresh for key in each) == sorted(f"{n}" for n in range(21))
    assert [sum(won[at : at + 2]) for at in range(0, 40, 2)] == [1] * 20


async def test_everybody_may_use_it_at_once(store: Store) -> None:
    """What the surfaces, the inbox, the courier and the desk do in one moment of trade."""
    mail, epoch = store.mail, await store.take_epoch("test")

    async def surface(name: str) -> None:
        for n in range(10):
            await mail.receive([came(f"{name}:{n}")])
            await mail.answered([f"{name}:{n}"], TS)

    async def courier(chat: tuple[str, str]) -> list[str]:
        taken: list[str] = []
        while len(taken) < 10:
            for row in await mail.waiting(*chat, 3):
                await mail.attempt([row.seq], TS)
                await mail.arrived([row.seq], "1", TS)
                taken.append(row.delivery.body)
            await asyncio.sleep(0)
        return taken

    async def desk() -> None:
        for n in range(10):
            letters = [letter(f"{n}", chat) for chat in (ANN, GROUP)]
            await store.commit(Commit(epoch, deliveries=letters, number=n + 1))
            await mail.prune(TS)

    ann, group, *_ = await asyncio.gather(
        courier(ANN), courier(GROUP), desk(), surface("telegram"), surface("discord")
    )
    assert ann == group == [f"{n}" for n in range(10)]
    assert await mail.unanswered() == []
    assert await mail.waiting_chats() == []


# -- any order of things -----------------------------------------------------------------

CHATS = st.sampled_from([ANN, GROUP])
SOME = st.lists(st.integers(0, 5), max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("receive"), SOME),
    st.tuples(st.just("answered"), SOME),
    st.tuples(st.just("route"), st.lists(st.tuples(CHATS, st.sampled_from(Priority)), max_size=3)),
    st.tuples(st.sampled_from(["attempt", "arrived", "given_up"]), CHATS, SOME),
    st.tuples(st.just("prune")),
)


async def take(mail: Mail, step: tuple[Any, ...], now: int) -> Any:
    """Take a step, and say what was answered, in words that are the same for every store."""
    match step:
        case ("receive", numbers):
            return await mail.receive([came(f"{n}", now) for n in numbers])
        case ("answered", numbers):
            await mail.answered([f"{n}" for n in numbers], now)
        case ("route", wanted):
            letters = [letter(f"{now}", chat, priority=p, topic="t") for chat, p in wanted]
            await mail.route([], letters, now)
        case ("prune",):
            await mail.prune(now - 3)
        case (what, chat, places):
            rows = await mail.waiting(*chat, 100)
            seqs = [row.seq for place, row in enumerate(rows) if place in places]
            said = {"attempt": [now], "arrived": [f"{now}", now], "given_up": [f"{now}", now]}
            await getattr(mail, what)(seqs, *said[what])
    return None


async def all_of(mail: Mail) -> list[Any]:
    waiting = [await mail.waiting(*chat, 100) for chat in (ANN, GROUP)]
    return [
        await mail.unanswered(),
        set(await mail.waiting_chats()),
        [[(row.delivery, row.attempted_at) for row in rows] for rows in waiting],
        [await mail.first_of(Address(*chat), "t") for chat in (ANN, GROUP)],
        [replace(each, seq=0) for each in await mail.dead_letters(100)],
    ]


async def compare(stores: list[Store], steps: list[tuple[Any, ...]]) -> None:
    for now, step in enumerate(steps):
        first, second = [await take(store.mail, step, now) for store in stores]
        assert first == second
    first, second = [await all_of(store.mail) for store in stores]
    assert first == second


async def test_messages_of_a_kind_of_topic_are_found_until_they_are_forgotten(mail: Mail) -> None:
    wanted = [letter(topic=topic) for topic in ("enroll:ann", "enroll:tom", "enrollment", "")]
    first, second, *_ = await route(mail, *wanted, letter(chat=GROUP, topic="enroll:ann"))
    await mail.arrived([first], "71", TS + 5)
    await mail.given_up([second], "blocked", TS + 6)
    here, group = Address(*ANN), Address(*GROUP)
    posted, waits = await mail.about("enroll:")
    assert posted == Posted(first, here, "enroll:ann", "71", TS + 5)
    assert (waits.address, waits.topic, waits.message_id, waits.ts) == (group, "enroll:ann", "", 0)
    assert await mail.about("enroll_") == []
    await mail.forgotten([first])
    assert await mail.about("enroll:") == [waits]
    await mail.forgotten([])


async def test_what_a_message_is_about_is_known_in_its_chat(mail: Mail) -> None:
    [seq] = await route(mail, letter(topic="proposal:17"))
    await mail.arrived([seq], "71", TS)
    assert await mail.topic_of(Address(*ANN), "71") == "proposal:17"
    assert await mail.topic_of(Address(*ANN), "72") == ""
    assert await mail.topic_of(Address(*GROUP), "71") == ""


async def forget_all(mail: Mail) -> None:
    await mail.answered([each.key for each in await mail.unanswered()], TS)
    for chat in await mail.waiting_chats():
        await mail.given_up([row.seq for row in await mail.waiting(*chat, 100)], "", TS)
    await mail.prune(TS + 1)


@pytest.mark.parametrize("opened", ["sqlite"], indirect=True)
async def test_a_database_does_what_memory_does(opened: Opened) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, max_size=12))
    def check(steps: list[tuple[Any, ...]]) -> None:
        stores: list[Store] = [MemoryStore(), opened.store]
        asyncio.run_coroutine_threadsafe(forget_all(opened.store.mail), loop).result(10)
        asyncio.run_coroutine_threadsafe(compare(stores, steps), loop).result(10)

    await asyncio.to_thread(check)
