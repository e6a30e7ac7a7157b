"""What the legacy driver can't do is told, with what to do instead: `make test-legacy`."""

import asyncio

import pytest

from llm.gemini_legacy import LegacyGemini
from llm.model import Fault, Function, FunctionResult, ModelFailed, Request, Speaker, Turn
from tests.servers import gemini

pytest.importorskip("google.generativeai")

TIMEOUT_S = 60.0


async def test_a_model_that_wants_its_thoughts_back_names_the_other_driver() -> None:
    tools = (Function("positions", "What is held."),)
    asked = Turn(Speaker.USER, "What is held?")
    async with gemini.running() as world:
        world.plays(gemini.calls(("positions", {})))
        model = LegacyGemini(world.key, "gemini-3-flash-preview", world.url)
        first = await model.answer(Request("", (asked,), tools), TIMEOUT_S)
        said = Turn(Speaker.USER, results=(FunctionResult("positions", {"held": []}),))
        with pytest.raises(ModelFailed) as caught:
            await model.answer(Request("", (asked, first.turn, said), tools), TIMEOUT_S)
        await model.close()

    assert caught.value.fault is Fault.BAD_REQUEST
    assert "Set GEMINI_DRIVER=genai" in str(caught.value)


async def test_a_request_that_is_called_off_ends_with_its_time_limit() -> None:
    async with gemini.running() as world:
        world.plays(gemini.slow(gemini.text("Up.")))
        model = LegacyGemini(world.key, "gemini-2.5-flash", world.url)
        asked = Request("", (Turn(Speaker.USER, "Which way?"),))
        answer = asyncio.ensure_future(model.answer(asked, 3.0))
        await world.asked(1)

        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        assert world.left == 0
        await world.deserted()
        await model.close()
