"""Commands in a hurry: each person has a pace for each class of what they say."""

from dataclasses import replace

import pytest

from engine import pace
from engine.desk import Desk
from engine.pace import Paces
from engine.people import Role
from engine.store.memory import MemoryStore
from handlers.command import Kind
from handlers.dispatch import RATES, dispatch_line
from handlers.reply import Reply
from tests.clock import FakeClock, turn
from tests.handlers.desks import BOT, context, say


@pytest.fixture
def hurried(desk: Desk) -> Desk:
    """A desk that holds people to their pace."""
    return replace(desk, rates=Paces(desk.clock, RATES))


async def many(desk: Desk, line: str, count: int, role: Role = Role.ADMIN) -> list[Reply]:
    return [await say(desk, line, role, in_chat=True) for _ in range(count)]


def slow(answer: Reply) -> bool:
    return answer.error is not None and answer.error.startswith("Slow down: ")


async def test_looking_more_often_than_thirty_times_a_minute_is_held_back(hurried: Desk) -> None:
    assert not any(map(slow, await many(hurried, "/version", 30)))
    answer = await say(hurried, "/version", in_chat=True)
    assert answer.error == "Slow down: 30 such commands in 1m are allowed. Wait 1m."


async def test_after_the_wait_that_is_told_it_goes_on(hurried: Desk) -> None:
    assert isinstance(hurried.clock, FakeClock)
    await many(hurried, "/version", 30)
    hurried.clock.advance(20)
    answer = await say(hurried, "/version", in_chat=True)
    assert answer.error is not None and answer.error.endswith("Wait 40s.")
    hurried.clock.advance(40)
    assert (await say(hurried, "/version", in_chat=True)).ok


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("/unalert 99", 20),
        (f"/bot resume {BOT}", 10),
        ("/resume", 5),
        ("/nonsense", 30),
        ("/ask what do we hold?", 10),
        ("/briefing", 10),
        ("/chart nothing", 30),
    ],
)
async def test_each_class_has_its_own_pace_also_for_what_is_refused(
    hurried: Desk, line: str, allowed: int
) -> None:
    answers = await many(hurried, line, allowed + 1)
    assert [slow(answer) for answer in answers] == [False] * allowed + [True]
    assert (await say(hurried, "/halt", in_chat=True)).ok


async def test_one_persons_hurry_holds_back_nobody_else(hurried: Desk) -> None:
    await many(hurried, "/version", 31)
    assert (await say(hurried, "/version", Role.VIEWER, in_chat=True)).ok
    # Who is not known is told apart by account.
    await many(hurried, "/whoami", 31, Role.NOBODY)
    assert slow(await say(hurried, "/whoami", Role.NOBODY, in_chat=True))
    other = replace(context(hurried, Role.NOBODY, in_chat=True), surface="discord")
    assert (await dispatch_line(other, "/whoami")).ok


async def test_two_accounts_of_one_person_share_a_pace(hurried: Desk) -> None:
    await many(hurried, "/version", 30)
    elsewhere = replace(context(hurried, in_chat=True), surface="discord")
    assert slow(await dispatch_line(elsewhere, "/version"))


async def test_what_reduces_risk_is_never_held_back(hurried: Desk) -> None:
    assert all(answer.ok for answer in await many(hurried, "/halt", 50))


async def test_not_even_what_reduces_risk_is_taken_without_end(hurried: Desk) -> None:
    await many(hurried, "/halt", 60)
    assert slow(await say(hurried, "/halt", in_chat=True))
    assert (await say(hurried, "/halt", Role.TRADER, in_chat=True)).ok


async def test_who_may_not_reduce_risk_is_held_back_like_anybody(hurried: Desk) -> None:
    answers = await many(hurried, "/halt", 21, Role.VIEWER)
    assert [slow(answer) for answer in answers] == [False] * 20 + [True]


async def test_locking_somebody_else_is_held_back(hurried: Desk) -> None:
    answers = await many(hurried, "/lock vic", 21)
    assert [slow(answer) for answer in answers] == [False] * 20 + [True]
    assert (await say(hurried, "/lock", Role.TRADER, in_chat=True)).ok


async def test_the_console_may_say_any_number(hurried: Desk) -> None:
    assert all([(await say(hurried, "/version")).ok for _ in range(50)])


async def test_what_was_held_back_stands_in_the_audit_once_a_minute(hurried: Desk) -> None:
    async def noted() -> int:
        while hurried.runtime.waiting:
            await turn()
        assert isinstance(hurried.store, MemoryStore)
        return sum("refused: Slow down" in row.detail for row in hurried.store.audit.values())

    assert isinstance(hurried.clock, FakeClock)
    await many(hurried, "/version", 40)
    assert await noted() == 1
    await many(hurried, "/version", 40, Role.TRADER)
    assert await noted() == 2
    hurried.clock.advance(60)
    await many(hurried, "/version", 40)
    assert await noted() == 3


def test_every_class_has_a_limit_and_a_pace_of_its_own() -> None:
    assert set(Kind) < set(RATES)
    paces = Paces(FakeClock(), {Kind.READ: (1, 60.0), Kind.WRITE: (1, 60.0)})
    assert [paces.take("ann", Kind.READ), paces.take("ann", Kind.READ)] == [0.0, 60.0]
    assert paces.take("ann", Kind.WRITE) == 0.0


def test_the_paces_of_any_number_of_people_fit_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "KEPT_MAX", 3)
    paces = Paces(FakeClock(), {Kind.READ: (1, 60.0)})
    for who in ("ann", "bob", "cat", "ann", "dan"):
        paces.take(who, Kind.READ)
    # Bob was not seen for longest, and is forgotten.
    assert paces.take("ann", Kind.READ) > 0
    assert paces.take("bob", Kind.READ) == 0
