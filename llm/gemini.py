"""Gemini through google-genai: one HTTP request for one answer.

Left to itself the SDK calls Python functions, asks for the rest of a long answer until it has it,
and sends again what got no answer. It is given declarations only, and all of that is off.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from llm import gemini_wire as wire
from llm.faults import Faults
from llm.model import Function, Request, Response, Turn
from llm.quoting import clean

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from google.genai import Client, types

# How long a question for the model's name may take.
CHECK_S = 10.0
# Far above an answer with its thoughts; what is longer is none of Gemini's.
BODY_MAX = 4_000_000
NAME_MAX = 80


class Gemini:
    """A model at `base`, e.g. `https://generativelanguage.googleapis.com`."""

    driver = "genai"

    def __init__(self, key: str, model: str, base: str) -> None:
        self.name = model
        self._key = key
        self._base = base
        self._faults = Faults(key, model, base)
        self._session: ClientSession | None = None
        self._client: Client | None = None
        self._opening = asyncio.Lock()

    async def answer(self, request: Request, timeout_s: float) -> Response:
        """One call, tried once. Raises ModelFailed."""
        client = await self._open()
        contents: list[types.ContentUnionDict] = [_content(turn) for turn in request.turns]
        config = _config(request, timeout_s)
        async with self._told(timeout_s):
            said = await client.aio.models.generate_content(
                model=self.name, contents=contents, config=config
            )
            body = said.model_dump(mode="json", by_alias=True)
        raw = said.candidates[0].content if said.candidates else None
        return wire.answer(body, raw, self._faults)

    async def check(self) -> str:
        """What Google calls the model, if the key is good for it. Raises ModelFailed."""
        client = await self._open()
        from google.genai import types

        options = types.HttpOptions(timeout=_ms(CHECK_S))
        async with self._told(CHECK_S):
            found = await client.aio.models.get(
                model=self.name, config=types.GetModelConfig(http_options=options)
            )
        return clean(found.display_name or found.name or self.name, NAME_MAX)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self) -> "Client":
        from aiohttp import ClientSession

        async with self._opening:
            if self._session is None:
                # The SDK would make a kind of its own, which aiohttp discourages.
                self._session = ClientSession(trust_env=True, response_class=_bounded_response())
            if self._client is None:
                # The import takes a second.
                self._client = await asyncio.to_thread(
                    _client, self._key, self._base, self._session
                )
            return self._client

    @contextlib.asynccontextmanager
    async def _told(self, timeout_s: float) -> AsyncIterator[None]:
        """Failures as what they mean. None is raised from another: what the SDK's errors say may
        hold the prompt."""
        from aiohttp import ClientConnectorError, ClientError, ClientHttpProxyError
        from google.genai import errors

        try:
            yield
        except errors.APIError as error:
            raise self._faults.refused(error.code, error.details) from None
        except TimeoutError:
            raise self._faults.timed_out(timeout_s) from None
        except (ClientConnectorError, ClientHttpProxyError):
            raise self._faults.unreachable(sent=False) from None
        except (ClientError, OSError):
            raise self._faults.unreachable(sent=True) from None
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            # What the SDK trips over in an answer that is none of Gemini's.
            raise self._faults.senseless() from None


def _bounded_response() -> "type[ClientResponse]":
    """A response of at most BODY_MAX bytes: nobody else bounds what the desk would read."""
    from aiohttp import ClientPayloadError, ClientResponse

    class Bounded(ClientResponse):
        async def read(self) -> bytes:
            if self._body is None:
                try:
                    self._body = await self._whole()
                except BaseException:
                    self.close()
                    raise
            return await super().read()

        async def _whole(self) -> bytes:
            body = bytearray()
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > BODY_MAX:
                    raise ClientPayloadError(f"more than {BODY_MAX} bytes")
            return bytes(body)

    return Bounded


def _client(key: str, base: str, session: "ClientSession") -> "Client":
    from google.genai import Client, types

    # Without retry options the SDK sends a request again, after seconds, whose connection broke.
    # A redirect would take the key elsewhere.
    options = types.HttpOptions(
        base_url=base,
        api_version="v1beta",
        aiohttp_client=session,
        retry_options=types.HttpRetryOptions(attempts=1),
        async_client_args={"allow_redirects": False},
    )
    return Client(vertexai=False, api_key=key, http_options=options)


def _content(turn: Turn) -> "types.Content":
    from google.genai import types

    if isinstance(turn.raw, types.Content):
        return turn.raw
    return types.Content.model_validate(wire.content(turn))


def _config(request: Request, timeout_s: float) -> "types.GenerateContentConfig":
    from google.genai import types

    declared = [_declaration(function) for function in request.functions]
    return types.GenerateContentConfig(
        **wire.settings(request),
        http_options=types.HttpOptions(timeout=_ms(timeout_s)),
        system_instruction=request.system or None,
        response_json_schema=request.schema,
        tools=[types.Tool(function_declarations=declared)] if declared else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )


def _declaration(function: Function) -> "types.FunctionDeclaration":
    from google.genai import types

    return types.FunctionDeclaration(
        name=function.name,
        description=function.description,
        parameters_json_schema=dict(function.parameters) or None,
    )


def _ms(seconds: float) -> int:
    """The SDK counts in milliseconds, and takes 0 for no limit."""
    return max(1, round(seconds * 1000))
