"""Gemini through google-generativeai 0.8.6, whose support has ended: GEMINI_DRIVER=legacy.

The package speaks REST on a thread only, so an answer that nobody waits for any more ends with its
time limit. It knows no signatures of thoughts: models that want theirs back can't call tools here.
"""

import asyncio
import contextlib
import json
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from llm import gemini_wire as wire
from llm.faults import Faults, no_sdk
from llm.model import Function, Request, Response, Turn
from llm.quoting import clean

# How long a question for the model's name may take.
CHECK_S = 10.0
NAME_MAX = 80
# What the package and its parts say at their import: our documents say so too, and why.
FAREWELLS = (r"\s*All support for the `google.generativeai`", r"You are using a Python version")


class LegacyGemini:
    """A model at `base`, e.g. `https://generativelanguage.googleapis.com`.

    The package keeps one key and one address for the whole process: that of the last one made.
    """

    driver = "legacy"

    def __init__(self, key: str, model: str, base: str) -> None:
        self.name = model
        self._key = key
        self._base = base
        self._faults = Faults(key, model, base)
        self._sdk: ModuleType | None = None
        self._opening = asyncio.Lock()

    async def answer(self, request: Request, timeout_s: float) -> Response:
        """One call, tried once. Raises ModelFailed."""
        sdk = await self._open()
        generate = _prepared(sdk, self.name, request, timeout_s)
        async with self._told(timeout_s):
            said = await asyncio.to_thread(generate)
        body = sdk.protos.GenerateContentResponse(
            candidates=said.candidates,
            prompt_feedback=said.prompt_feedback,
            usage_metadata=said.usage_metadata,
        )
        raw = body.candidates[0].content if body.candidates else None
        return wire.answer(_json(body), raw, self._faults)

    async def check(self) -> str:
        """What Google calls the model, if the key is good for it. Raises ModelFailed."""
        sdk = await self._open()
        async with self._told(CHECK_S):
            found = await asyncio.to_thread(
                sdk.get_model, f"models/{self.name}", request_options=_once(CHECK_S)
            )
        return clean(str(found.display_name or found.name or self.name), NAME_MAX)

    async def close(self) -> None:
        if self._sdk is not None:
            for transport in _transports():
                transport.close()
            self._sdk = None

    async def _open(self) -> ModuleType:
        async with self._opening:
            if self._sdk is None:
                try:
                    # The import takes seconds.
                    self._sdk = await asyncio.to_thread(_configured, self._key, self._base)
                except ImportError:
                    raise no_sdk() from None
            return self._sdk

    @contextlib.asynccontextmanager
    async def _told(self, timeout_s: float) -> AsyncIterator[None]:
        """Failures as what they mean. None is raised from another: what the package's errors say
        may hold the prompt."""
        import requests
        from google.api_core.exceptions import GoogleAPICallError
        from google.protobuf.json_format import ParseError
        from urllib3.exceptions import MaxRetryError, ReadTimeoutError

        try:
            async with asyncio.timeout(timeout_s):
                yield
        except GoogleAPICallError as error:
            raise self._faults.refused(error.code or 0, _body(error.response)) from None
        except requests.TooManyRedirects as error:
            status = error.response.status_code if error.response is not None else 0
            raise self._faults.refused(status, None) from None
        except (TimeoutError, requests.Timeout):
            raise self._faults.timed_out(timeout_s) from None
        except OSError as error:
            cause = error.args[0] if error.args else None
            if isinstance(cause, ReadTimeoutError):
                raise self._faults.timed_out(timeout_s) from None
            # Given up before there was a connection.
            raise self._faults.unreachable(sent=not isinstance(cause, MaxRetryError)) from None
        except (ParseError, ValueError):
            raise self._faults.senseless() from None


def _configured(key: str, base: str) -> ModuleType:
    for farewell in FAREWELLS:
        warnings.filterwarnings("ignore", farewell, FutureWarning)
    from google import generativeai

    sdk: ModuleType = generativeai
    # Over gRPC it would not take an address of ours, and hang.
    endpoint = {"api_endpoint": base.rstrip("/")}
    sdk.configure(api_key=key, transport="rest", client_options=endpoint)
    for transport in _transports():
        # A redirect would take the key elsewhere.
        transport._session.max_redirects = 0
    return sdk


def _transports() -> Sequence[Any]:
    """What the package speaks through: for answers, and for what models there are."""
    from google.generativeai import client

    clients = client.get_default_generative_client(), client.get_default_model_client()
    return [each.transport for each in clients]


def _prepared(sdk: ModuleType, model: str, request: Request, timeout_s: float) -> Callable[[], Any]:
    """The call of the package which sends the request."""
    protos = sdk.protos
    settings = wire.settings(request)
    if request.schema is not None:
        settings["response_schema"] = _parsed(protos.Schema, _schema(request.schema))
    declared = [_declaration(protos, function) for function in request.functions]
    return partial(
        sdk.GenerativeModel(model, system_instruction=request.system or None).generate_content,
        [_content(protos, turn) for turn in request.turns],
        generation_config=settings,
        tools=[protos.Tool(function_declarations=declared)] if declared else None,
        request_options=_once(timeout_s),
    )


def _once(timeout_s: float) -> dict[str, Any]:
    """Left to itself the package sends a request up to ten minutes long while Google is busy."""
    return {"retry": None, "timeout": timeout_s}


def _content(protos: Any, turn: Turn) -> Any:
    return (
        turn.raw
        if isinstance(turn.raw, protos.Content)
        else _parsed(protos.Content, wire.content(turn))
    )


def _declaration(protos: Any, function: Function) -> Any:
    return protos.FunctionDeclaration(
        name=function.name,
        description=function.description,
        parameters=_parsed(protos.Schema, _schema(function.parameters))
        if function.parameters
        else None,
    )


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as the package knows it: the names of types are in capitals."""
    said = dict(schema, type=schema["type"].upper())
    if "items" in schema:
        said["items"] = _schema(schema["items"])
    if "properties" in schema:
        said["properties"] = {name: _schema(each) for name, each in schema["properties"].items()}
    return said


def _parsed(kind: Any, value: Mapping[str, Any]) -> Any:
    return kind.from_json(json.dumps(value))


def _json(message: Any) -> dict[str, Any]:
    kind = type(message)
    text = kind.to_json(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    read: dict[str, Any] = json.loads(text)
    return read


def _body(response: Any) -> object:
    try:
        return response.json()
    except ValueError:
        return None
