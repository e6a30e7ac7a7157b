"""What only the driver on google-genai can do, and what is told where the legacy one is missing."""

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llm.gemini import Gemini
from llm.gemini_legacy import LegacyGemini
from llm.model import Fault, Function, FunctionResult, ModelFailed, Request, Speaker, Turn
from tests.servers import gemini

SIGNING = "gemini-3-flash-preview"
TIMEOUT_S = 60.0
ASKED = Request("", (Turn(Speaker.USER, "Which way?"),))


@pytest.fixture
async def model(world: gemini.Gemini) -> AsyncIterator[Gemini]:
    model = Gemini(world.key, SIGNING, world.url)
    yield model
    await model.close()


async def test_signatures_of_thoughts_go_back_as_they_came(
    model: Gemini, world: gemini.Gemini
) -> None:
    world.plays(
        gemini.calls(("positions", {})), gemini.calls(("positions", {})), gemini.text("Nothing.")
    )
    tools = (Function("positions", "What is held."),)
    turns: tuple[Turn, ...] = ASKED.turns

    for _ in range(2):
        answer = await model.answer(Request("", turns, tools), TIMEOUT_S)
        [call] = answer.turn.calls
        result = FunctionResult(call.name, {"held": []}, call.call_id)
        turns = (*turns, answer.turn, Turn(Speaker.USER, results=(result,)))
    answer = await model.answer(Request("", turns, tools), TIMEOUT_S)

    # The server refuses calls whose signature is missing, or is not the one that it gave.
    assert answer.text == "Nothing."
    assert world.violations == []


async def test_thoughts_are_not_words(model: Gemini, world: gemini.Gemini) -> None:
    world.plays(gemini.said({"text": "Let me see.", "thought": True}, {"text": "Up."}))

    assert (await model.answer(ASKED, TIMEOUT_S)).text == "Up."


async def test_an_answer_that_is_called_off_ends_its_connection_at_once(
    model: Gemini, world: gemini.Gemini
) -> None:
    world.plays(gemini.slow(gemini.text("Up.")))
    answer = asyncio.ensure_future(model.answer(ASKED, 3600.0))
    await world.asked(1)

    answer.cancel()
    await world.deserted()

    assert answer.cancelled()
    assert len(world.visits) == 1


async def test_the_rest_of_a_long_answer_is_not_asked_for(
    model: Gemini, world: gemini.Gemini
) -> None:
    more = gemini.said({"text": "Up"}, finish="CONTINUATION", continuationToken="bW9yZQ==")
    world.plays(more, gemini.text("."))

    with pytest.raises(ModelFailed) as caught:
        await model.answer(ASKED, TIMEOUT_S)

    assert caught.value.fault is Fault.CUT_OFF
    assert caught.value.usage.output_tokens > 0
    assert len(world.visits) == 1


SENSELESS = ("7", "[]", '"Up"', '{"candidates": [7]}', '{"candidates": [{"content": "Up"}]}')


async def test_an_answer_that_is_none_of_geminis_is_told(
    model: Gemini, world: gemini.Gemini
) -> None:
    for body in SENSELESS:
        world.plays(gemini.exact(body))

        with pytest.raises(ModelFailed) as caught:
            await model.answer(ASKED, TIMEOUT_S)

        assert caught.value.fault in {Fault.UNREACHABLE, Fault.EMPTY}, body


@pytest.mark.skipif(find_spec("google.generativeai") is not None, reason="the package is here")
async def test_a_missing_legacy_package_is_told() -> None:
    model = LegacyGemini("key", SIGNING, "http://127.0.0.1:1")

    for call in (model.check(), model.answer(ASKED, TIMEOUT_S)):
        with pytest.raises(ModelFailed) as caught:
            await call
        assert caught.value.fault is Fault.NO_SDK
        assert not caught.value.sent
        assert "pip install 'countersign[gemini-legacy]'" in str(caught.value)
    await model.close()


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while sent < 64_000_000:
            await response.write(b"[" * 1_000_000)
            sent += 1_000_000
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", flood)
    async with TestServer(app) as server:
        model = Gemini("key", SIGNING, str(server.make_url("")))
        with pytest.raises(ModelFailed) as caught:
            await model.answer(ASKED, TIMEOUT_S)
        await model.close()

    assert caught.value.fault is Fault.UNREACHABLE
    assert sent < 64_000_000


async def test_an_answer_nested_without_end_makes_no_sense(
    model: Gemini, world: gemini.Gemini
) -> None:
    for depth in (200, 800, 50_000):
        args = '{"line":' * depth + "1" + "}" * depth
        call = '{"functionCall": {"name": "look", "args": ' + args + "}}"
        world.plays(gemini.exact('{"candidates": [{"content": {"parts": [' + call + "]}}]}"))

        with pytest.raises(ModelFailed) as caught:
            await model.answer(ASKED, TIMEOUT_S)

        assert caught.value.fault is Fault.UNREACHABLE, depth
