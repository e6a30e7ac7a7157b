"""Briefings and analyses that come by themselves."""

import asyncio
from dataclasses import replace

import pytest

from bot import letter as letters
from bot.advisor import Consultations
from bot.schedule import Scheduler
from bot.trying import Tried
from engine.advice import Advice
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from handlers.reply import Fields, Reply, Text
from tests.clock import FakeClock
from tests.handlers.conftest import desk, open_desk
from tests.handlers.desks import BTC, CHAT, say
from tests.models import counsel

__all__ = ["desk", "open_desk"]


async def untried(desk: Desk, number: int, advice: Advice) -> Tried:
    """Nothing of what is suggested here may be tried."""
    raise AssertionError(advice)


async def sent(desk: Desk, wait_ms: int) -> list[Reply]:
    """The letters that schedules have written once so much time is past."""
    clock = desk.clock
    assert isinstance(clock, FakeClock)
    advisor = Consultations(counsel(), 2 * HOUR_MS, untried)
    with_advisor = replace(desk, advisor=advisor)
    clock.advance(wait_ms / 1000)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(advisor.run(with_advisor))
        await Scheduler(with_advisor, lambda address: True).look()
        running.cancel()
    rows = await desk.store.mail.waiting(CHAT.surface, CHAT.chat_id, 100)
    return [letters.from_body(row.delivery.body).shown for row in rows]


def texts(answer: Reply) -> list[str]:
    return [block.text for block in answer.blocks if isinstance(block, Text)]


async def test_a_briefing_comes_each_morning(desk: Desk) -> None:
    assert (await say(desk, "/schedule add 08:00 briefing", in_chat=True)).ok
    now = desk.clock.now()
    eight = now - now % DAY_MS + 8 * HOUR_MS
    until = eight + (DAY_MS if eight <= now else 0) - now
    [answer] = await sent(desk, until + 1_000)
    head, briefing, by = texts(answer)
    assert head == "Schedule 1: /briefing"
    assert briefing.startswith("Briefing of 2025-01-02\nNet ")
    assert by.startswith("By the desk's figures.")
    assert answer.asks == ()


async def test_an_analysis_comes_each_hour(desk: Desk) -> None:
    assert (await say(desk, "/schedule add hourly analyze BTC", in_chat=True)).ok
    now = desk.clock.now()
    [answer] = await sent(desk, HOUR_MS - now % HOUR_MS + 1_000)
    assert texts(answer)[0] == "Schedule 1: /analyze BTC"
    titles = [block.title for block in answer.blocks if isinstance(block, Fields)]
    assert titles == [f"Analysis 1 of {BTC}"]


@pytest.mark.parametrize("line", ["autopsy", "ask why?", "analyze", "briefing weekly"])
async def test_what_only_looks_may_come_by_itself(desk: Desk, line: str) -> None:
    assert (await say(desk, f"/schedule add 08:00 {line}", in_chat=True)).ok


async def test_a_suggestion_does_not_come_by_itself(desk: Desk) -> None:
    error = (await say(desk, "/schedule add 08:00 suggest", in_chat=True)).error
    assert error == "/suggest needs the role trader; a schedule has none."
