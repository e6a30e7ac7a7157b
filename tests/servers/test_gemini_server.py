"""The local Gemini speaks Google's protocol to Google's SDK, and refuses what Google refuses."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from tests.servers import gemini
from tests.servers.gemini import Gemini
from tests.servers.gemini_client import (
    ASK,
    CALL,
    FLASH,
    NEW,
    OLD,
    PRICE,
    RESULT,
    TOOLS,
    post,
    sdk,
)


@pytest.fixture
async def world() -> AsyncIterator[Gemini]:
    async with gemini.running() as world:
        yield world


@pytest.fixture
async def client(world: Gemini) -> AsyncIterator[genai.client.AsyncClient]:
    async with sdk(world) as client:
        yield client


def config(**more: Any) -> types.GenerateContentConfig:
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=off, **more)


def tools() -> list[Any]:
    return [types.Tool(function_declarations=[types.FunctionDeclaration(**PRICE)])]


async def ask(client: genai.client.AsyncClient, model: str = FLASH, **more: Any) -> Any:
    return await client.models.generate_content(
        model=model, contents="How is BTC?", config=config(**more)
    )


# Answers


async def test_words_come_with_their_usage(world, client):
    world.plays(gemini.text("Up a little.", thoughts=9))

    answer = await ask(client, system_instruction="Be brief.", max_output_tokens=100)

    assert answer.text == "Up a little."
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (5, 3)
    assert (usage.thoughts_token_count, usage.total_token_count) == (9, 17)
    (asked,) = world.requests
    assert (asked.system, asked.text, asked.model) == ("Be brief.", "How is BTC?", FLASH)
    assert world.violations == []


async def test_json_comes_by_either_kind_of_schema(world, client):
    world.plays(gemini.json({"bias": "up"}), gemini.json({"bias": "down"}))
    schema = {"type": "object", "properties": {"bias": {"type": "string"}}, "required": ["bias"]}

    first = await ask(client, response_mime_type="application/json", response_json_schema=schema)
    second = await ask(client, response_mime_type="application/json", response_schema=schema)

    assert (first.parsed or json.loads(first.text)) == {"bias": "up"}
    assert (second.parsed or json.loads(second.text)) == {"bias": "down"}
    assert world.requests[0].schema == schema
    assert world.requests[1].schema["properties"]["bias"]["type"] == "STRING"
    assert world.violations == []


async def test_a_function_of_the_request_answers_after_what_was_queued(world, client):
    world.answers_by(lambda asked: gemini.text(f"{len(world.requests)}: {asked.text}"))
    world.plays(gemini.text("queued"))

    assert [(await ask(client)).text for _ in range(2)] == ["queued", "2: How is BTC?"]


async def test_nothing_said_about_an_answer_is_told(world, client):
    with pytest.raises(errors.ServerError, match="said nothing"):
        await ask(client)
    assert len(world.violations) == 1


@pytest.mark.parametrize("most, words", [(3, "Up a little."), (2, "Up a lit"), (1, "Up a")])
async def test_answers_are_cut_to_the_tokens_asked_for(world, client, most, words):
    world.plays(gemini.text("Up a little."))

    answer = await ask(client, max_output_tokens=most)

    assert answer.text == words
    cut = types.FinishReason.MAX_TOKENS if most < 3 else types.FinishReason.STOP
    assert answer.candidates[0].finish_reason == cut


async def test_thoughts_count_into_the_tokens_asked_for(world, client):
    world.plays(gemini.text("Up.", thoughts=500))

    answer = await ask(client, max_output_tokens=50)

    assert answer.text is None
    assert answer.candidates[0].content.parts is None
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert answer.usage_metadata.thoughts_token_count == 50
    assert answer.usage_metadata.candidates_token_count is None


async def test_a_stream_comes_in_pieces(world, client):
    world.plays(gemini.text("Up a little."))

    stream = await client.models.generate_content_stream(model=FLASH, contents="How?")

    assert [piece.text async for piece in stream] == ["Up a l", "ittle."]
    assert world.requests[0].sse


async def test_tokens_are_counted_and_models_told(world, client):
    counted = await client.models.count_tokens(model=FLASH, contents="x" * 400)
    one = await client.models.get(model=FLASH)
    listed = [each.name async for each in await client.models.list()]

    assert counted.total_tokens == 100
    assert (one.name, one.input_token_limit) == (f"models/{FLASH}", 1_048_576)
    assert f"models/{NEW}" in listed
    assert (world.requests, len(world.visits), world.violations) == ([], 3, [])


async def test_enums_come_as_numbers_for_clients_that_ask(world, shared):
    world.plays(gemini.cut_off("Up"), gemini.cut_off("Up"))

    _, words = await post(world, ASK)
    _, numbers = await post(world, ASK, query="?%24alt=json%3Benum-encoding%3Dint")

    assert words["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert numbers["candidates"][0]["finishReason"] == 2


# Functions


@pytest.mark.parametrize("model", [OLD, FLASH, NEW])
async def test_functions_are_called_over_several_steps(world, client, model):
    wanted = ("price", {"symbol": "BTCUSDT"})
    world.plays(gemini.calls(wanted, words="Let me see."), gemini.calls(wanted, wanted))
    world.plays(gemini.text("It is 100."))
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="How is BTC?")])]

    for _ in range(2):
        answer = await client.models.generate_content(
            model=model, contents=contents, config=config(tools=tools())
        )
        contents.append(answer.candidates[0].content)
        results = [
            types.FunctionResponse(id=each.id, name=each.name, response={"last": "100"})
            for each in answer.function_calls
        ]
        parts = [types.Part(function_response=each) for each in results]
        contents.append(types.Content(role="user", parts=parts))
    last = await client.models.generate_content(
        model=model, contents=contents, config=config(tools=tools())
    )

    assert last.text == "It is 100."
    assert world.violations == []
    assert world.requests[0].functions == ("price",)
    assert [each["response"] for each in world.requests[2].results] == [{"last": "100"}] * 2
    calls = [part for content in contents for part in content.parts if part.function_call]
    signed = [part.thought_signature is not None for part in calls]
    assert signed == ([False] * 3 if model == OLD else [True, True, False])
    assert all((part.function_call.id is not None) == (model == NEW) for part in calls)


async def test_new_models_want_the_signatures_of_their_calls_back(world):
    unsigned = {"contents": [*ASK["contents"], CALL, RESULT], "tools": TOOLS}
    call = {"functionCall": {"name": "price", "args": {}}, "thoughtSignature": "bm90IG91cnM="}
    forged = {"contents": [*ASK["contents"], {"role": "model", "parts": [call]}, RESULT]}

    for body in (unsigned, forged):
        assert (await post(world, body, NEW))[0] == 400

    assert "missing a thought_signature" in world.violations[0]
    assert "`default_api:price` , position 2" in world.violations[0]
    assert world.violations[1] == "Corrupted thought signature."


async def test_signatures_of_what_was_before_the_last_question_may_be_missing(world):
    answered = {"role": "model", "parts": [{"text": "It is 100."}]}
    body = {"contents": [*ASK["contents"], CALL, RESULT, answered, *ASK["contents"]]}
    world.plays(gemini.text("Still."))

    assert (await post(world, body, NEW))[0] == 200


async def test_signatures_come_back_in_either_alphabet(world):
    world.plays(gemini.calls(("price", {})), gemini.text("It is 100."))
    _, first = await post(world, {**ASK, "tools": TOOLS}, NEW)
    content = first["candidates"][0]["content"]
    sign = base64.b64decode(content["parts"][0]["thoughtSignature"])
    content["parts"][0]["thoughtSignature"] = base64.urlsafe_b64encode(sign).decode()
    assert "_" in content["parts"][0]["thoughtSignature"]

    body = {"contents": [*ASK["contents"], content, RESULT], "tools": TOOLS}
    status, _ = await post(world, body, NEW)

    assert (status, world.violations) == (200, [])


# Who may ask for what


async def test_keys_and_models_are_checked(world):
    none = await post(world, ASK, key="")
    wrong = await post(world, ASK, key="other")
    nobody = await post(world, ASK, "gemini-9")
    world.plays(gemini.text("Up."))
    by_query = await post(world, ASK, key="", query=f"?key={world.key}")

    assert (none[0], none[1]["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert wrong[0] == 400
    assert wrong[1]["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert (nobody[0], nobody[1]["error"]["status"]) == (404, "NOT_FOUND")
    assert by_query[0] == 200
    assert len(world.violations) == 3


async def test_other_paths_are_not_there(world):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{world.url}/v1/models/{FLASH}:generateContent") as answer,
    ):
        assert answer.status == 404
    assert world.violations == [f"nothing is at POST /v1/models/{FLASH}:generateContent"]


async def test_everything_is_refused_while_that_is_set(world, client):
    world.refuses = gemini.wrong_region()

    with pytest.raises(errors.ClientError, match="User location is not supported") as refused:
        await client.models.get(model=FLASH)
    assert (refused.value.code, refused.value.status) == (400, "FAILED_PRECONDITION")
    assert world.violations == []


# What goes wrong


@pytest.mark.parametrize(
    "answer, code, status",
    [
        (gemini.too_many(), 429, "RESOURCE_EXHAUSTED"),
        (gemini.exhausted(), 429, "RESOURCE_EXHAUSTED"),
        (gemini.overloaded(), 503, "UNAVAILABLE"),
        (gemini.internal(), 500, "INTERNAL"),
        (gemini.disabled(), 403, "PERMISSION_DENIED"),
        (gemini.page(502), 502, "Bad Gateway"),
    ],
)
async def test_errors_reach_the_sdk(world, client, answer, code, status):
    world.plays(answer)

    with pytest.raises(errors.APIError) as failed:
        await ask(client)

    assert (failed.value.code, failed.value.status) == (code, status)
    assert (len(world.requests), world.violations) == (1, [])


@pytest.mark.parametrize(
    "answer, period, delay",
    [
        (gemini.too_many(25.08), "PerMinute", "25s"),
        (gemini.too_many(None), "PerMinute", None),
        (gemini.quota_spent(), "PerDay", "36s"),
    ],
)
async def test_quotas_say_which_and_when(world, answer, period, delay):
    world.plays(answer)

    _, body = await post(world, ASK)

    details = {each["@type"].rpartition(".")[2]: each for each in body["error"]["details"]}
    assert period in details["QuotaFailure"]["violations"][0]["quotaId"]
    assert details.get("RetryInfo", {}).get("retryDelay") == delay
    assert ("Please retry in" in body["error"]["message"]) == (delay is not None)


async def test_there_may_be_no_answer_in_an_answer(world, client):
    world.plays(gemini.blocked(), gemini.unsafe(), gemini.no_candidates())
    world.plays(gemini.empty(), gemini.recitation(), gemini.malformed_call())

    blocked, unsafe, *others = [await ask(client) for _ in range(6)]

    assert (blocked.text, blocked.candidates) == (None, None)
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert unsafe.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert [each.text for each in others] == [None] * 4
    assert [each.candidates[0].finish_reason.name for each in others[1:]] == [
        "STOP",
        "RECITATION",
        "MALFORMED_FUNCTION_CALL",
    ]


@pytest.mark.parametrize(
    "answer", [gemini.broken_json(), gemini.cut(gemini.text("x" * 1000))], ids=["json", "cut"]
)
async def test_answers_break_on_the_way(world, client, answer):
    world.plays(answer)

    with pytest.raises((ValueError, aiohttp.ClientError)):
        await ask(client)


async def test_clients_that_follow_are_sent_elsewhere(world):
    world.plays(gemini.moved(f"{world.url}/elsewhere"))

    async with aiohttp.ClientSession(headers={"x-goog-api-key": world.key}) as session:
        url = f"{world.url}/v1beta/models/{FLASH}:generateContent"
        async with session.post(url, json=ASK, allow_redirects=True) as answer:
            assert answer.status == 404

    assert world.visits[1:] == ["POST /elsewhere"]


async def test_streams_break_on_the_way(world, client):
    world.plays(gemini.broken_stream("Up"))

    stream = await client.models.generate_content_stream(model=FLASH, contents="How?")

    assert (await anext(aiter(stream))).text == "Up"
    with pytest.raises(errors.UnknownApiResponseError):
        await anext(aiter(stream))


async def test_a_slow_answer_waits_for_its_release(world):
    late = gemini.slow(gemini.text("At last."))
    world.plays(late)

    waiting = asyncio.create_task(post(world, ASK))
    await world.asked(1)
    assert not waiting.done()
    late.release()

    _, answer = await waiting
    assert answer["candidates"][0]["content"]["parts"] == [{"text": "At last."}]
    assert world.left == 0


@asynccontextmanager
async def half_there(world: Gemini) -> AsyncIterator[aiohttp.StreamReader]:
    """What comes of an answer that is held after its first half, which has come."""
    url = f"{world.url}/v1beta/models/{FLASH}:generateContent?key={world.key}"
    async with aiohttp.ClientSession() as session, session.post(url, json=ASK) as response:
        yield response.content


async def test_half_of_an_answer_may_come_before_it_is_released(world):
    late = gemini.slow(gemini.text("At last."), midway=True)
    world.plays(late)

    async with half_there(world) as stream:
        some = await stream.readany()
        late.release()
        rest = await stream.read()

    assert json.loads(some + rest)["candidates"][0]["content"]["parts"] == [{"text": "At last."}]


async def test_clients_that_go_away_are_counted(world):
    world.plays(gemini.slow(gemini.text("x")), gemini.slow(gemini.text("x"), midway=True))

    waiting = asyncio.create_task(post(world, ASK))
    await world.asked(1)
    waiting.cancel()
    await world.deserted(1)
    async with half_there(world) as stream:
        await stream.readany()
    await world.deserted(2)
