"""What every driver of Gemini promises, through its real SDK, against a server on this machine.

Each environment tests the drivers whose package it has: `make test-legacy` has one of its own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llm import analyst, autopsy, briefing, suggest
from llm.drivers import open_model
from llm.model import (
    Fault,
    Function,
    FunctionCall,
    FunctionResult,
    Model,
    ModelFailed,
    Request,
    Speaker,
    Turn,
    Usage,
)
from tests.servers import gemini

PACKAGES = {"genai": "google.genai", "legacy": "google.generativeai"}
DRIVERS = [name for name, package in PACKAGES.items() if find_spec(package)]
NAME = "gemini-2.5-flash"
# Nothing here comes near it, but what is made to.
TIMEOUT_S = 60.0

SCHEMA = {
    "type": "object",
    "properties": {
        "signal": {"type": "string", "enum": ["long", "short", "neutral"]},
        "levels": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["signal", "levels"],
}
TOOLS = (
    Function(
        "signals",
        "The last signals of a bot.",
        {
            "type": "object",
            "properties": {"bot": {"type": "string"}, "last": {"type": "integer"}},
            "required": ["bot"],
        },
    ),
    Function("positions", "What is held.", {}),
)


@pytest.fixture(params=DRIVERS)
async def model(request: pytest.FixtureRequest, world: gemini.Gemini) -> AsyncIterator[Model]:
    model = opened(request.param, world)
    yield model
    await model.close()


def opened(driver: str, world: gemini.Gemini, key: str = "", name: str = NAME) -> Model:
    model = open_model(driver, key or world.key, name, world.url)
    assert model is not None
    return model


def asked(*turns: Turn, **more: Any) -> Request:
    return Request("You are a desk's analyst.", turns or (said("Which way?"),), **more)


def said(words: str) -> Turn:
    return Turn(Speaker.USER, words)


async def failure(model: Model, request: Request | None = None) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        await model.answer(request or asked(), TIMEOUT_S)
    return caught.value


# -- answers -----------------------------------------------------------------------------


async def test_words_are_answered(model: Model, world: gemini.Gemini) -> None:
    world.plays(gemini.text("Up, says RSI 61."))

    answer = await model.answer(asked(temperature=0.5, output_tokens_max=900), TIMEOUT_S)

    assert answer.text == "Up, says RSI 61."
    assert answer.turn.speaker is Speaker.MODEL
    [request] = world.requests
    assert (request.model, request.text) == (NAME, "Which way?")
    assert request.system == "You are a desk's analyst."
    assert request.config == {"temperature": 0.5, "maxOutputTokens": 900}
    assert request.functions == ()
    assert world.violations == []


async def test_a_conversation_is_handed_over_in_its_order(
    model: Model, world: gemini.Gemini
) -> None:
    world.plays(gemini.text("Up."), gemini.text("By RSI."))

    first = await model.answer(asked(said("Which way?")), TIMEOUT_S)
    await model.answer(asked(said("Which way?"), first.turn, said("Why?")), TIMEOUT_S)

    roles = [(each["role"], each["parts"][0]["text"]) for each in world.requests[1].contents]
    assert roles == [("user", "Which way?"), ("model", "Up."), ("user", "Why?")]
    assert world.violations == []


async def test_a_request_without_instructions_has_none(model: Model, world: gemini.Gemini) -> None:
    world.plays(gemini.text("Up."))

    await model.answer(Request("", (said("Which way?"),)), TIMEOUT_S)

    assert "systemInstruction" not in world.requests[0].body
    assert world.violations == []


@pytest.mark.parametrize("asking", [analyst, autopsy, briefing, suggest])
async def test_each_schema_that_is_asked_for_is_taken(
    model: Model, world: gemini.Gemini, asking: Any
) -> None:
    world.plays(gemini.json({}))
    await model.answer(asked(schema=asking.SCHEMA), TIMEOUT_S)
    assert world.violations == []


async def test_json_is_answered_by_a_schema(model: Model, world: gemini.Gemini) -> None:
    world.plays(gemini.json({"signal": "short", "levels": [95_000.5]}))

    answer = await model.answer(asked(schema=SCHEMA), TIMEOUT_S)

    assert answer.text == '{"signal": "short", "levels": [95000.5]}'
    [request] = world.requests
    assert request.config["responseMimeType"] == "application/json"
    assert request.schema is not None
    assert set(request.schema["properties"]) == {"signal", "levels"}
    assert request.schema["properties"]["levels"]["items"]["type"].lower() == "number"
    assert world.violations == []


async def test_tokens_are_counted_and_thoughts_are_output(
    model: Model, world: gemini.Gemini
) -> None:
    world.plays(gemini.exact({
        "candidates": [{"content": {"parts": [{"text": "Up."}], "role": "model"}}],
        "usageMetadata": {
            "promptTokenCount": 120, "candidatesTokenCount": 30, "thoughtsTokenCount": 50,
            "totalTokenCount": 200,
        },
    }))  # fmt: skip

    assert (await model.answer(asked(), TIMEOUT_S)).usage == Usage(120, 80)


async def test_words_in_parts_are_joined(model: Model, world: gemini.Gemini) -> None:
    world.plays(gemini.said({"text": "Up"}, {"text": ", by RSI."}))

    assert (await model.answer(asked(), TIMEOUT_S)).text == "Up, by RSI."


async def test_tools_are_called_in_three_steps(model: Model, world: gemini.Gemini) -> None:
    world.plays(
        gemini.calls(("signals", {"bot": "shortseller_001", "last": 3})),
        gemini.calls(("positions", {}), ("signals", {"bot": "scalper_001"})),
        gemini.text("It never saw a signal."),
    )
    turns = [said("Why did shortseller_001 not trade?")]

    first = await model.answer(asked(*turns, functions=TOOLS), TIMEOUT_S)
    [call] = first.turn.calls
    turns += [first.turn, results(first.turn, {"signals": []})]
    second = await model.answer(asked(*turns, functions=TOOLS), TIMEOUT_S)
    turns += [second.turn, results(second.turn, {"held": 0.25, "note": "flat"})]
    third = await model.answer(asked(*turns, functions=TOOLS), TIMEOUT_S)

    assert (call.name, dict(call.arguments)) == ("signals", {"bot": "shortseller_001", "last": 3})
    assert [each.name for each in second.turn.calls] == ["positions", "signals"]
    assert third.text == "It never saw a signal."
    assert world.requests[0].functions == ("signals", "positions")
    assert [each["response"] for each in world.requests[1].results] == [{"signals": []}]
    assert [each["name"] for each in world.requests[2].results] == ["positions", "signals"]
    assert len(world.visits) == 3
    assert world.violations == []


def results(turn: Turn, result: dict[str, Any]) -> Turn:
    answered = tuple(FunctionResult(call.name, result, call.call_id) for call in turn.calls)
    return Turn(Speaker.USER, results=answered)


async def test_calls_of_another_models_making_can_be_told(
    model: Model, world: gemini.Gemini
) -> None:
    call = FunctionCall("signals", {"bot": "shortseller_001"}, "call-1")
    made = Turn(Speaker.MODEL, "Let me see.", (call,))
    world.plays(gemini.text("None."))

    await model.answer(
        asked(said("Any signals?"), made, results(made, {"signals": []}), functions=TOOLS),
        TIMEOUT_S,
    )

    assert world.requests[0].results[0]["id"] == "call-1"
    assert world.violations == []


async def test_a_model_is_checked_by_its_name(model: Model, world: gemini.Gemini) -> None:
    assert await model.check() == "Gemini 2.5 Flash"
    assert world.visits == [f"GET /v1beta/models/{NAME}"]


# -- failures ----------------------------------------------------------------------------

FAILURES = {
    "too many a minute": (gemini.too_many(25.08253422), Fault.RATE, "Try again in 25 s"),
    "too many, without a time": (gemini.too_many(None), Fault.RATE, "Try again in a minute"),
    "too many, without details": (gemini.exhausted(), Fault.RATE, "no more calls"),
    "the day's quota": (gemini.quota_spent(), Fault.QUOTA, "midnight Pacific"),
    "no quota at all": (gemini.too_many(limit=0), Fault.QUOTA, "no calls of gemini-2.5-flash"),
    "overloaded": (gemini.overloaded(), Fault.OVERLOADED, "is overloaded"),
    "an error inside": (gemini.internal(), Fault.OVERLOADED, "An internal error has occurred"),
    "a deadline": (gemini.failed(504, "Deadline expired."), Fault.TIMEOUT, "in time"),
    "a page of a proxy": (gemini.page(502), Fault.OVERLOADED, "(HTTP 502)"),
    "a page of somebody else": (gemini.page(404), Fault.BAD_REQUEST, "Is GEMINI_API_BASE right?"),
    "a region": (gemini.wrong_region(), Fault.REGION, "where this machine is"),
    "switched off": (gemini.disabled(), Fault.BAD_KEY, "switched off"),
    "a leaked key": (
        gemini.failed(403, "Your API key was reported as leaked."), Fault.BAD_KEY, "leaked",
    ),
    "a bad request": (gemini.failed(400, "No such field."), Fault.BAD_REQUEST, "No such field."),
    "a blocked prompt": (gemini.blocked(), Fault.BLOCKED, "its safety filter: dangerous content"),
    "prohibited": (gemini.blocked("PROHIBITED_CONTENT"), Fault.BLOCKED, "prohibited content"),
    "a blocked answer": (
        gemini.unsafe("HATE_SPEECH", "I ha"), Fault.BLOCKED, "its safety filter: hate speech",
    ),
    "a known text": (gemini.recitation(), Fault.BLOCKED, "word for word"),
    "words cut off": (gemini.cut_off("It goes"), Fault.CUT_OFF, "longer than it may be"),
    "thoughts cut off": (gemini.cut_off(thoughts=50), Fault.CUT_OFF, "longer than it may be"),
    "nothing": (gemini.empty(), Fault.EMPTY, "answered nothing"),
    "nothing, without a reason": (gemini.empty("OTHER"), Fault.EMPTY, "(OTHER)"),
    "no candidates": (gemini.no_candidates(), Fault.EMPTY, "answered nothing"),
    "a call nobody can read": (gemini.malformed_call(), Fault.EMPTY, "MALFORMED_FUNCTION_CALL"),
    "blank words": (gemini.text("  \n"), Fault.EMPTY, "answered nothing"),
    "broken JSON": (gemini.broken_json(), Fault.UNREACHABLE, "makes no sense"),
    "a page for an answer": (gemini.page(200), Fault.UNREACHABLE, "makes no sense"),
    "a connection that ends": (
        gemini.cut(gemini.text("Up.")), Fault.UNREACHABLE, "broke off the connection",
    ),
}  # fmt: skip


async def test_every_failure_is_told_after_one_request(model: Model, world: gemini.Gemini) -> None:
    for number, (name, (played, fault, words)) in enumerate(FAILURES.items(), 1):
        world.plays(played)

        failed = await failure(model)

        assert (name, failed.fault) == (name, fault)
        assert words in str(failed)
        assert failed.sent
        assert len(world.visits) == number


async def test_how_long_to_wait_is_told(model: Model, world: gemini.Gemini) -> None:
    world.plays(gemini.too_many(25.9), gemini.overloaded())

    assert (await failure(model)).retry_after == 25
    assert (await failure(model)).retry_after is None


async def test_what_failed_after_an_answer_was_paid_for_all_the_same(
    model: Model, world: gemini.Gemini
) -> None:
    world.plays(gemini.unsafe(words="Here is how"), gemini.cut_off("It goes", thoughts=40))

    blocked, cut = await failure(model), await failure(model)

    assert blocked.usage.prompt_tokens > 0
    assert cut.usage.output_tokens > 40


async def test_a_prompt_that_is_too_long_is_told(model: Model, world: gemini.Gemini) -> None:
    world.models[NAME].input_tokens_max = 100

    failed = await failure(model, asked(said("Up? " * 500)))

    assert failed.fault is Fault.TOO_LONG
    assert str(failed) == (
        "What was asked is longer than gemini-2.5-flash takes. Ask about fewer symbols or days."
    )


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_wrong_key_is_told_and_never_shown(driver: str, world: gemini.Gemini) -> None:
    model = opened(driver, world, key="AIzaSyWrong0123456789")

    answered = await failure(model)
    with pytest.raises(ModelFailed) as checked:
        await model.check()
    await model.close()

    assert answered.fault is checked.value.fault is Fault.BAD_KEY
    assert str(answered) == str(checked.value)
    assert "GEMINI_API_KEY is not valid" in str(answered)
    assert "AIza" not in f"{answered!r} {model!r}"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_unknown_model_is_named(driver: str, world: gemini.Gemini) -> None:
    model = opened(driver, world, name="gemini-9-flash")

    answered = await failure(model)
    with pytest.raises(ModelFailed) as checked:
        await model.check()
    await model.close()

    assert answered.fault is checked.value.fault is Fault.UNKNOWN_MODEL
    assert "no model 'gemini-9-flash'" in str(answered)
    assert "GEMINI_MODEL" in str(answered)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_nobody_there_is_told(driver: str, world: gemini.Gemini) -> None:
    model = open_model(driver, "key", NAME, "http://127.0.0.1:1")
    assert model is not None

    failed = await failure(model)
    await model.close()

    assert failed.fault is Fault.UNREACHABLE
    assert not failed.sent
    assert str(failed) == ("Gemini at http://127.0.0.1:1 can't be reached. Is this machine online?")


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_server_that_hangs_up_is_asked_once(driver: str) -> None:
    heard: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        model = open_model(driver, "key", NAME, f"http://127.0.0.1:{port}")
        assert model is not None
        failed = await failure(model)
        await model.close()

    assert failed.fault is Fault.UNREACHABLE
    assert failed.sent
    assert len(heard) == 1


@pytest.mark.parametrize("midway", [False, True])
async def test_an_answer_that_takes_too_long_is_given_up(
    midway: bool, model: Model, world: gemini.Gemini
) -> None:
    world.plays(gemini.slow(gemini.text("Up."), midway=midway))

    with pytest.raises(ModelFailed) as caught:
        await model.answer(asked(), 1.0)
    await world.deserted()

    assert caught.value.fault is Fault.TIMEOUT
    assert "within 1 s" in str(caught.value)
    assert len(world.visits) == 1


async def test_neither_key_nor_prompt_is_logged(
    model: Model, world: gemini.Gemini, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.plays(gemini.text("Up."), gemini.overloaded(), gemini.failed(400, "Bad."))

    await model.answer(asked(said("What of the secret position?")), TIMEOUT_S)
    await failure(model, asked(said("What of the secret position?")))
    await failure(model, asked(said("What of the secret position?")))

    assert world.key not in caplog.text
    assert "secret position" not in caplog.text


async def test_a_model_may_be_closed_twice_or_before_it_was_asked(model: Model) -> None:
    await model.close()
    await model.close()


def test_without_a_key_there_is_no_model() -> None:
    assert open_model("genai", "", NAME, "https://generativelanguage.googleapis.com") is None


async def test_a_redirect_does_not_take_the_key_elsewhere(
    model: Model, world: gemini.Gemini
) -> None:
    """Neither to the next address, nor with what was asked."""
    visits: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.json_response({"candidates": [{"content": {"parts": [{"text": "Mine."}]}}]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    async with TestServer(app) as server:
        world.plays(gemini.moved(str(server.make_url("/steal"))))
        failed = await failure(model)

    assert failed.fault is Fault.BAD_REQUEST
    assert "HTTP 307" in str(failed)
    assert visits == []
