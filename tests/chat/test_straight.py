"""What is told straight away: in its order, for as long as it takes, past the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.letter import Letter
from bot.straight import TOGETHER_MAX, WAITING_MAX, Straight, letter_of
from bot.surface import BadMarkup, ChatGone, Throttled, Undeliverable
from engine.errors import Unreachable
from engine.mail import Address
from handlers.reply import Button, Reply, Text
from tests.chat.posts import Post
from tests.clock import FakeClock, turn

ANN, TOM = Address("telegram", "7"), Address("telegram", "8")


class Desk:
    """A platform whose sends meet faults in turn, and what speaks to it."""

    def __init__(self, *faults: Exception | None) -> None:
        self.clock = FakeClock()
        self.post = Post(self.clock, faults=iter(faults), latency=lambda: 0.1)
        self.surfaces = {"telegram": self.post}
        self.straight = Straight(self.surfaces, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.straight.run())
            yield
            running.cancel()

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await turn()

    def said(self, at: Address = ANN) -> list[str]:
        """All that arrived in a chat, line by line."""
        return [line for text in self.post.texts(at.chat_id) for line in text.splitlines()]

    def say(self, *texts: str, at: Address = ANN) -> None:
        for text in texts:
            self.straight.say(at, letter_of(text, "PAPER"))


LINES = [f"step {number}" for number in range(12)]


@pytest.mark.parametrize(
    "fault", [Unreachable("no answer"), Throttled(3.0)], ids=["unreachable", "throttled"]
)
@pytest.mark.parametrize("place", range(4))
async def test_whatever_fails_everything_arrives_in_its_order(fault: Exception, place: int) -> None:
    desk = Desk(*[None] * place, fault, fault)
    async with desk.running():
        for line in LINES:
            desk.say(line)
            await turn()
        await desk.until(lambda: len(desk.said()) == len(LINES))
    assert desk.said() == LINES


async def test_what_comes_while_something_is_sent_goes_together() -> None:
    desk = Desk()
    desk.say(*LINES)
    async with desk.running():
        await desk.until(lambda: len(desk.said()) == len(LINES))
    assert len(desk.post.sent) == 1
    assert len(LINES) <= TOGETHER_MAX


async def test_an_answer_takes_along_what_follows_it_and_keeps_its_buttons() -> None:
    desk = Desk()
    answer = Letter(Reply((Text("done"),), (Button("Status", "/status"),)), reply_to="5")
    desk.straight.say(ANN, answer)
    desk.say("step 1", "step 2")
    async with desk.running():
        await desk.until(lambda: desk.post.sent)
    [sent] = desk.post.sent
    assert desk.said() == ["done", "step 1", "step 2"]
    assert (sent.letter.reply_to, sent.letter.reply.buttons) == ("5", answer.reply.buttons)


async def test_answers_are_messages_of_their_own() -> None:
    desk = Desk()
    for number in ("5", "6"):
        desk.straight.say(ANN, replace(letter_of(f"answer {number}", "PAPER"), reply_to=number))
    async with desk.running():
        await desk.until(lambda: len(desk.post.sent) == 2)
    assert [each.letter.reply_to for each in desk.post.sent] == ["5", "6"]


async def test_a_refusal_takes_nothing_along() -> None:
    desk = Desk()
    desk.straight.say(ANN, Letter(Reply(error="no")))
    desk.say("step 1")
    async with desk.running():
        await desk.until(lambda: len(desk.post.sent) == 2)
    assert desk.said() == ["no", "step 1"]


async def test_a_throttled_chat_is_left_alone_for_as_long_as_it_asks() -> None:
    desk = Desk(Throttled(30.0))
    desk.say("step")
    async with desk.running():
        await desk.until(lambda: desk.post.sent)
    assert desk.clock.slept >= 30


@pytest.mark.parametrize(
    "fault",
    [ChatGone("blocked"), Undeliverable("too long"), ValueError("our own mistake")],
    ids=lambda fault: type(fault).__name__,
)
async def test_what_can_never_arrive_is_let_go(fault: Exception) -> None:
    desk = Desk(fault)
    desk.straight.say(ANN, Letter(Reply(error="first")))
    desk.straight.say(ANN, Letter(Reply(error="second")))
    async with desk.running():
        await desk.until(lambda: desk.post.sent)
    assert desk.said() == ["second"]


async def test_markup_that_is_not_understood_goes_as_plain_text() -> None:
    desk = Desk(BadMarkup("can't parse entities"))
    desk.say("step")
    async with desk.running():
        await desk.until(lambda: desk.post.sent)
    assert desk.post.sent[0].plain


async def test_one_chat_does_not_hold_up_another() -> None:
    desk = Desk(Throttled(1_000.0))
    async with desk.running():
        desk.say("to ann")
        await desk.until(lambda: desk.post.tries)
        desk.say("to tom", at=TOM)
        await desk.until(lambda: desk.said(TOM))
        assert desk.said(ANN) == []
        await desk.until(lambda: desk.said(ANN))


async def test_a_platform_that_is_lost_is_told_nothing_more() -> None:
    desk = Desk(Unreachable("no answer"))
    async with desk.running():
        desk.say("step")
        await desk.until(lambda: desk.post.tries)
        desk.surfaces.clear()
        slept = desk.clock.slept
        desk.say("another")
        await desk.until(lambda: desk.clock.slept >= slept)
        for _ in range(20):
            await turn()
    assert desk.post.sent == []


async def test_of_more_than_a_chat_can_be_told_the_newest_is_kept() -> None:
    desk = Desk()
    desk.say(*(f"step {number}" for number in range(2 * WAITING_MAX)))
    async with desk.running():
        await desk.until(lambda: len(desk.said()) == WAITING_MAX)
    assert desk.said()[-1] == f"step {2 * WAITING_MAX - 1}"
