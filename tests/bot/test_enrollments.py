"""Pictures of enrollments, which hold a seed: none stays in a chat that is not needed."""

import asyncio
from collections.abc import Sequence

import pytest

from bot import letter as letters
from bot.enrollments import DELETE_IT, LOOK_S, STANDS_MS, Enrollments
from bot.letter import Letter, topic_of
from engine.errors import Unreachable
from engine.mail import Address, Delivery, Posted, Priority
from engine.people import Person, Role
from engine.ports import Commit
from engine.store.memory import MemoryMail, MemoryStore
from handlers.reply import Enrollment, Text, reply
from tests.chat.posts import Post, words
from tests.clock import FakeClock, turn

HERE = Address("telegram", "7")
PICTURE = reply(Text("Scan it."), Enrollment("ann"))
TOPIC = "enroll:ann"


class Wall:
    """A chat in which pictures stand, and what looks after them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.mail = MemoryStore().mail
        self.post = Post(self.clock)
        self.open = {"ann", "tom"}
        self.said: list[tuple[Address, str]] = []
        self.numbers = 0
        self.enrollments = self.next_process()

    def next_process(self) -> Enrollments:
        def enrolling(principal_id: str) -> str | None:
            return "otpauth://totp/x" if principal_id in self.open else None

        self.enrollments = Enrollments(
            self.mail, self.clock, {"telegram": self.post}, enrolling, self._say
        )
        return self.enrollments

    async def _say(self, address: Address, letter: Letter) -> bool:
        self.said.append((address, words(letter.shown)))
        return True

    async def asked(self, topic: str = TOPIC, at: Address = HERE) -> Delivery:
        """A picture that is on its way."""
        body = letters.to_body(Letter(PICTURE))
        made = Delivery(at.surface, at.chat_id, "", self.clock.now(), Priority.ANSWER, topic, body)
        await self.mail.route([], [made], self.clock.now())
        return made

    async def posted(self, topic: str = TOPIC, at: Address = HERE) -> str:
        """A picture that has arrived; the id of its message."""
        made = await self.asked(topic, at)
        rows = await self.mail.waiting(made.surface, made.chat_id, 9)
        self.numbers += 1
        await self.mail.arrived([rows[-1].seq], f"{self.numbers}", self.clock.now())
        return f"{self.numbers}"

    async def forgotten(self) -> Sequence[str]:
        await self.enrollments.sweep()
        return self.post.forgotten


def test_the_answer_with_a_picture_belongs_to_its_enrollment() -> None:
    assert topic_of(PICTURE) == TOPIC
    assert topic_of(reply(Text("Done."))) == ""


async def test_a_picture_stands_for_ten_minutes() -> None:
    wall = Wall()
    picture = await wall.posted()
    assert await wall.forgotten() == []
    wall.clock.advance(STANDS_MS / 1000 - 1)
    assert await wall.forgotten() == []
    wall.clock.advance(1)
    assert await wall.forgotten() == [picture]
    assert await wall.forgotten() == [picture]


async def test_a_picture_is_deleted_when_its_enrollment_is_confirmed() -> None:
    wall = Wall()
    picture, toms = await wall.posted(), await wall.posted("enroll:tom", Address("telegram", "8"))
    wall.open.remove("ann")
    assert await wall.forgotten() == [picture]
    wall.open.clear()
    assert await wall.forgotten() == [picture, toms]


async def test_another_picture_ends_those_before_it_also_while_it_is_on_its_way() -> None:
    wall = Wall()
    first = await wall.posted()
    second = await wall.posted("enroll:ann", Address("telegram", "77"))
    assert await wall.forgotten() == [first]
    await wall.asked()
    assert await wall.forgotten() == [first, second]


async def test_what_is_about_something_else_stays() -> None:
    wall = Wall()
    await wall.posted("proposal:17")
    await wall.posted("")
    wall.clock.advance(STANDS_MS)
    assert await wall.forgotten() == []


async def test_a_restart_forgets_no_picture() -> None:
    wall = Wall()
    picture = await wall.posted()
    wall.next_process()
    wall.open.clear()
    assert await wall.forgotten() == [picture]


async def test_where_it_can_not_be_deleted_the_chat_is_told_once() -> None:
    wall = Wall()
    wall.post.kept = {await wall.posted()}
    wall.open.clear()
    for _ in range(3):
        await wall.enrollments.sweep()
    assert wall.said == [(HERE, DELETE_IT)]


async def test_what_can_not_be_reached_is_deleted_later() -> None:
    wall = Wall()
    picture = await wall.posted()
    wall.post.faults = iter([Unreachable("no answer")])
    wall.open.clear()
    assert await wall.forgotten() == []
    assert wall.said == []
    assert await wall.forgotten() == [picture]


@pytest.mark.parametrize(
    "batch",
    [
        Commit(1, facts=[Person("ann", "ann", Role.ADMIN, enrolled=True)]),
        Commit(1, deliveries=[Delivery("telegram", "7", "", 1, Priority.ANSWER, TOPIC, "{}")]),
    ],
    ids=["confirmed", "said again"],
)
async def test_what_ends_a_picture_is_seen_at_once_and_the_rest_in_a_minute(batch: Commit) -> None:
    class Counted(MemoryMail):
        looks = 0

        async def about(self, prefix: str) -> list[Posted]:
            self.looks += 1
            if self.looks == 1:
                raise Unreachable("the database is locked")
            return []

    wall = Wall()
    mail = wall.mail = Counted(lambda seqs: None)
    running = asyncio.ensure_future(wall.next_process().run())
    began = wall.clock.monotonic()
    while mail.looks < 3:
        await turn()
    assert wall.clock.monotonic() - began >= 2 * LOOK_S
    looks, began = mail.looks, wall.clock.monotonic()
    wall.enrollments.on_commit(batch)
    while mail.looks == looks:
        await turn()
    assert wall.clock.monotonic() == began
    running.cancel()
