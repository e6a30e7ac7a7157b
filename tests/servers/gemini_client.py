"""Clients of the local Gemini: Google's SDK, and plain HTTP for what it would not send."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from google import genai
from google.genai import types

from tests.servers.gemini import Gemini

FLASH, NEW, OLD = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-2.0-flash"
Json = dict[str, Any]
ASK: Json = {"contents": [{"role": "user", "parts": [{"text": "How is BTC?"}]}]}
PRICE: Json = {
    "name": "price",
    "description": "A market's price.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"symbol": {"type": "STRING"}},
        "required": ["symbol"],
    },
}
TOOLS = [{"functionDeclarations": [PRICE]}]
CALL: Json = {"role": "model", "parts": [{"functionCall": {"name": "price", "args": {}}}]}
RESULT: Json = {
    "role": "user",
    "parts": [{"functionResponse": {"name": "price", "response": {"last": "100"}}}],
}


async def post(
    world: Gemini, body: object, model: str = FLASH, *, query: str = "", key: str | None = None
) -> tuple[int, Json]:
    """Ask for content; returns the status and the JSON of the answer."""
    url = f"{world.url}/v1beta/models/{model}:generateContent{query}"
    headers = {"x-goog-api-key": world.key if key is None else key}
    data = body if isinstance(body, str) else json.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


@asynccontextmanager
async def sdk(world: Gemini) -> AsyncIterator[genai.client.AsyncClient]:
    """Google's client, which sends each request once."""
    async with aiohttp.ClientSession() as session:
        options = types.HttpOptions(
            base_url=world.url,
            api_version="v1beta",
            timeout=30_000,
            retry_options=types.HttpRetryOptions(attempts=1),
            aiohttp_client=session,
        )
        async with genai.Client(api_key=world.key, http_options=options).aio as client:
            yield client
