"""The local Gemini refuses what Google refuses, with the published description and without it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.servers import gemini
from tests.servers.gemini import Gemini
from tests.servers.gemini_client import ASK, CALL, FLASH, NEW, OLD, PRICE, RESULT, TOOLS, Json, post


@pytest.fixture
async def world() -> AsyncIterator[Gemini]:
    async with gemini.running() as world:
        yield world


def turns(*contents: Json) -> Json:
    return {"contents": list(contents)}


def user(*parts: Json) -> Json:
    return {"role": "user", "parts": list(parts)}


def settings(**more: Any) -> Json:
    return {**ASK, "generationConfig": more}


def function(**changes: Any) -> Json:
    return {**ASK, "tools": [{"functionDeclarations": [PRICE | changes]}]}


def parameters(**schema: Any) -> Json:
    return function(parameters={"type": "OBJECT", "properties": {"x": schema}})


def answer_schema(schema: object) -> Json:
    return settings(responseMimeType="application/json", responseJsonSchema=schema)


HOLDS_TYPE = {"type": "STRING"}
OTHER = user({"functionResponse": {"name": "volume", "response": {}}})
REFUSALS = {
    "no contents": ({}, "contents is not specified"),
    "no parts": (turns(user()), "contents.parts must not be empty"),
    "an empty part": (turns(user({})), "must have one initialized field"),
    "an empty text": (turns(user({"text": ""})), "must have a text parameter"),
    "an empty system": ({**ASK, "systemInstruction": user({"text": ""})}, "text parameter"),
    "a role nobody has": (turns({"role": "system", "parts": [{"text": "x"}]}), "valid role"),
    "the model last": (turns(*ASK["contents"], CALL), "end with a user turn"),
    "a call first": (turns(CALL, RESULT), "function call turn comes immediately after"),
    "a result without a call": (turns(*ASK["contents"], RESULT), "response turn comes"),
    "a call without a result": (
        turns(*ASK["contents"], CALL, *ASK["contents"]),
        "number of function response parts",
    ),
    "another's result": (turns(*ASK["contents"], CALL, OTHER), "names of the function calls"),
    "a user who calls": (turns(user(*CALL["parts"])), "has the role model"),
    "a name with a space": (function(name="the price"), "Invalid function name"),
    "a name too long": (function(name="x" * 65), "Invalid function name"),
    "a function twice": ({**ASK, "tools": TOOLS * 2}, "Duplicate function declaration"),
    "a schema of all": (parameters(type="STRING", allOf=[]), "Invalid JSON payload"),
    "no type": (parameters(description="x"), "parameters.properties[x].type: must be specified"),
    "numbers listed": (parameters(type="INTEGER", enum=["1"]), "only allowed for STRING type"),
    "a list of nothing": (parameters(type="ARRAY"), "properties[x].items: missing field"),
    "an odd format": (parameters(type="STRING", format="email"), "'enum' and 'date-time'"),
    "a stranger required": (
        function(parameters={"type": "OBJECT", "properties": {"x": HOLDS_TYPE}, "required": ["y"]}),
        "parameters.required[0]: property is not defined",
    ),
    "two schemas": (
        function(parametersJsonSchema={"type": "object"}),
        "parameters and parameters_json_schema exclude each other",
    ),
    "a word JSON Schema has": (answer_schema({"type": "string", "not": {}}), 'Unknown name "not"'),
    "a type nobody knows": (answer_schema({"type": "decimal"}), "decimal is no type"),
    "a schema of plain text": (settings(responseSchema=HOLDS_TYPE), "response_mime_type"),
    "functions and JSON": (
        {**ASK, "tools": TOOLS, "generationConfig": {"responseMimeType": "application/json"}},
        "Function calling with a response mime type: 'application/json' is unsupported",
    ),
    "an odd form": (settings(responseMimeType="text/html"), "allowed mimetypes"),
    "no tokens": (settings(maxOutputTokens=0), "supported range is from 1"),
    "too many tokens": (settings(maxOutputTokens=65_537), "to 65537 (exclusive)"),
    "too hot": (settings(temperature=2.1), "range [0.0, 2.0]"),
    "two candidates": (settings(candidateCount=2), "candidate_count"),
    "a level for old models": (settings(thinkingConfig={"thinkingLevel": "LOW"}), "not supported"),
    "too much thinking": (settings(thinkingConfig={"thinkingBudget": 24_577}), "24577 is invalid"),
    "a choice of strangers": (
        {
            **ASK,
            "tools": TOOLS,
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["volume"]}
            },
        },
        "undeclared function: volume",
    ),
}


@pytest.mark.parametrize("body, words", REFUSALS.values(), ids=REFUSALS)
async def test_refused_by_the_server_itself(body, words):
    async with Gemini().running() as world:
        status, answer = await post(world, body)

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in answer["error"]["message"]
    assert [words in each for each in world.violations] == [True]


async def test_the_same_is_refused_beside_the_description(world, shared):
    for name, (body, _) in REFUSALS.items():
        assert (await post(world, body))[0] == 400, name

    assert len(world.violations) == len(REFUSALS)


UNKNOWN = {
    "a field": {**ASK, "temperature": 0},
    "a field of a part": turns(user({"text": "x", "author": "me"})),
    "a number for a text": turns(user({"text": 5})),
    "a word of an enum": {**ASK, "safetySettings": [{"category": "HARM"}]},
}


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
async def test_what_the_protocol_does_not_know_is_refused(world, shared, body):
    status, answer = await post(world, body)

    assert status == 400
    assert answer["error"]["message"].startswith("Invalid JSON payload received.")


@pytest.mark.parametrize("text", ["{", "[]", '{"contents": NaN}', '{"a": 1, "a": 2}'])
async def test_what_is_no_message_is_refused(world, text):
    status, answer = await post(world, text)

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert (world.requests, len(world.violations)) == ([], 1)


async def test_names_and_enums_are_taken_in_googles_other_spellings(world):
    world.plays(gemini.text("Up."), gemini.text("Up."))
    schema = {"type": "object", "properties": {"the_symbol": {"type": 1}}, "required": []}
    declared = {"name": "price", "description": "x", "parameters": schema}

    status, _ = await post(
        world,
        {
            "contents": [{"parts": [{"text": "How?"}]}],
            "system_instruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"function_declarations": [declared]}],
            "generation_config": {"max_output_tokens": 9},
        },
    )

    assert (status, world.violations) == (200, [])
    (asked,) = world.requests
    assert (asked.system, asked.functions) == ("Be brief.", ("price",))
    assert asked.config == {"maxOutputTokens": 9}
    (tool,) = asked.body["tools"]
    (seen,) = tool["functionDeclarations"]
    assert seen["parameters"]["properties"] == {"the_symbol": {"type": "STRING"}}


@pytest.mark.parametrize(
    "model, thinking",
    [
        (OLD, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinkingBudget": 0}),
        (NEW, {"thinkingBudget": 0}),
        (NEW, {"thinkingBudget": 9, "thinkingLevel": "LOW"}),
    ],
)
async def test_models_think_as_they_can(world, model, thinking):
    assert (await post(world, settings(thinkingConfig=thinking), model))[0] == 400


async def test_new_models_take_functions_and_a_schema_together(world):
    world.plays(gemini.json("up"))
    body = {**answer_schema({"type": "string"}), "tools": TOOLS}

    assert (await post(world, body, NEW))[0] == 200


async def test_a_prompt_over_the_models_limit_is_refused(world):
    world.models[FLASH].input_tokens_max = 2

    status, answer = await post(world, ASK)

    assert status == 400
    assert "token count (3) exceeds" in answer["error"]["message"]
    assert "allowed (2)" in answer["error"]["message"]
