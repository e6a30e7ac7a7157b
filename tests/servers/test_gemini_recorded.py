"""What the true Gemini took the local one takes, and what it said reaches the SDK unharmed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from google import genai

from tests.servers import gemini
from tests.servers.gemini import Gemini
from tests.servers.gemini_client import FLASH, Json, sdk


@pytest.fixture
async def world() -> AsyncIterator[Gemini]:
    async with gemini.running() as world:
        yield world


@pytest.fixture
async def client(world: Gemini) -> AsyncIterator[genai.client.AsyncClient]:
    async with sdk(world) as client:
        yield client


def exchanges(shared: Path) -> list[tuple[str, Json]]:
    folder = shared / "specs" / "gemini" / "recorded"
    return [
        (path.name, each)
        for path in sorted(folder.glob("*.json"))
        for each in json.loads(path.read_text())["interactions"]
    ]


# The true service took these two as well: one has a field that is newer than the description, one
# a signature that came in a recorded answer nobody can read.
NEWER = ["test_code_execution.json", "test_tools_with_gemini_3_thought_signatures.llm.json"]


async def test_the_service_and_this_one_take_the_same(world, shared):
    refused = []
    async with aiohttp.ClientSession(headers={"x-goog-api-key": world.key}) as session:
        for name, each in exchanges(shared):
            path = each["request"]["uri"].partition("googleapis.com")[2]
            model = path.rpartition("/")[2].partition(":")[0]
            if model != "nonexistent-model":
                world.models.setdefault(model, gemini.card(model))
            world.answers_by(lambda _, told=each["response"]["body"]: gemini.exact(told))
            async with session.post(world.url + path, json=each["request"]["body"]) as answer:
                if answer.status != each["response"]["status"]:
                    refused.append(name)

    assert refused == NEWER


async def test_recorded_answers_reach_the_sdk_unharmed(world, client, shared):
    told = [each["response"]["body"] for _, each in exchanges(shared)]
    for body in [each for each in told if isinstance(each, dict) and "candidates" in each]:
        world.plays(gemini.exact(body))

        answer = await client.models.generate_content(model=FLASH, contents="How?")

        (candidate,) = body["candidates"]
        parts = candidate["content"].get("parts", [])
        said = "".join(part["text"] for part in parts if "text" in part and "thought" not in part)
        calls = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
        assert (
            "".join(part.text for part in answer.parts or [] if part.text and not part.thought)
            == said
        )
        assert [each.args for each in answer.function_calls or []] == calls
        usage = answer.usage_metadata
        assert usage.total_token_count == body["usageMetadata"]["totalTokenCount"]


async def test_recorded_streams_reach_the_sdk_unharmed(world, client, shared):
    told = [each["response"]["body"] for _, each in exchanges(shared)]
    for body in [each for each in told if isinstance(each, str) and each.startswith("data: ")]:
        world.plays(gemini.exact(body))

        pieces = [
            piece
            async for piece in await client.models.generate_content_stream(
                model=FLASH, contents="How?"
            )
        ]

        events = [json.loads(each[6:]) for each in body.split("\r\n\r\n") if each]
        assert len(pieces) == len(events) > 0
        assert [each.usage_metadata.total_token_count for each in pieces] == [
            each["usageMetadata"]["totalTokenCount"] for each in events
        ]
