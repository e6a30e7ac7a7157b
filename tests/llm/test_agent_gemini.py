"""Questions through the real library, on a local Gemini: tools called step by step."""

from random import Random

import pytest

from engine.advice import Answer
from engine.calls import CallState, Purpose
from llm import agent
from llm.counsel import Counsel
from llm.gemini import Gemini
from llm.limits import Limits
from tests.clock import FakeClock
from tests.models import KeptCalls
from tests.readings import PlayedReading
from tests.servers import gemini

READS = {
    "/status": "Status:\nmarket_time: 2026-01-05 12:00 UTC",
    "/why symbol=BTCUSDT": "a_001 on BTCUSDT. No entry now: cool-down 35 min left.",
}
QUESTION = "why no trade?"


async def asked(world: gemini.Gemini, model: str, calls: KeptCalls | None = None) -> Answer:
    driver = Gemini(world.key, model, world.url)
    counsel = Counsel(driver, calls or KeptCalls(), Limits(), FakeClock(), Random(1), str, "paper")
    try:
        case = await counsel.open(Purpose.QUESTION, QUESTION, "telegram:7 (ann)")
        reading = PlayedReading(READS, ["/close BTCUSDT"])
        return await agent.answer(counsel, case, QUESTION, "", reading, lambda step: None)
    finally:
        await counsel.close()


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
async def test_tools_are_called_in_three_steps(world, model):
    calls = KeptCalls()
    world.plays(
        gemini.calls(("look", {"line": "/status"}), ("look", {"line": "/why symbol=BTCUSDT"})),
        gemini.calls(("draft", {"line": "/close BTCUSDT"})),
        gemini.text("The cool-down has 35 min left, as /why shows."),
    )
    found = await asked(world, model, calls)
    assert found.text == "The cool-down has 35 min left, as /why shows."
    assert (found.by, found.instead) == (model, "")
    assert found.looked == tuple(READS)
    assert [each.line for each in found.drafts] == ["/close BTCUSDT"]
    assert world.violations == []
    assert [row.state for row in await calls.all()] == [CallState.ANSWERED] * 3


async def test_the_last_step_asks_without_tools(world):
    world.plays(
        *[gemini.calls(("look", {"line": "/status"}))] * (agent.STEPS_MAX - 1),
        gemini.text("That is all I know."),
    )
    found = await asked(world, "gemini-2.5-flash")
    assert found.text == "That is all I know."
    assert world.violations == []


async def test_where_it_is_blocked_rules_answer_and_say_why(world):
    world.plays(gemini.blocked())
    found = await asked(world, "gemini-2.5-flash")
    assert found.by == "rules" and "safety" in found.instead.lower()
