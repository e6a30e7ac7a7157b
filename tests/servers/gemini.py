"""A Gemini API server on this machine, which refuses what Google refuses.

    async with gemini.running() as world:
        client = genai.Client(api_key=world.key, http_options=HttpOptions(base_url=world.url))
        world.plays(gemini.calls(("positions", {})), gemini.text("You hold nothing."))
        ...
        assert world.requests[0].functions == ("positions",)
        assert world.violations == []

Answers are built by the functions of `tests.servers.gemini_answers`, which are here too. They are
given out in turn (`plays`), or by a function of the request (`answers_by`). Where the published
description of the API is beside the project, every request is held to it.
"""

import asyncio
import contextlib
import json as json_text
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from tests.servers.gemini_answers import (
    Answer,
    blocked,
    broken_json,
    broken_stream,
    calls,
    cut,
    cut_off,
    disabled,
    empty,
    exact,
    exhausted,
    failed,
    internal,
    json,
    malformed_call,
    moved,
    no_candidates,
    overloaded,
    page,
    quota_spent,
    recitation,
    said,
    slow,
    text,
    too_many,
    unsafe,
    wrong_region,
)
from tests.servers.gemini_models import NAMES, Card, card
from tests.servers.gemini_refusals import (
    Json,
    Refused,
    bad_key,
    invalid,
    no_key,
    unknown_model,
)
from tests.servers.gemini_request import Asked, canonical, parsed, tokens
from tests.servers.gemini_rules import check
from tests.servers.gemini_spec import published, specification
from tests.servers.gemini_wire import Finish, streamed

__all__ = [
    "Answer", "Asked", "Card", "Gemini", "blocked", "broken_json", "broken_stream", "calls",
    "card", "cut", "cut_off", "disabled", "empty", "exact", "exhausted", "failed", "internal",
    "json", "malformed_call", "moved", "no_candidates", "overloaded", "page", "quota_spent",
    "recitation", "running", "said", "slow", "text", "too_many", "unsafe", "wrong_region",
]  # fmt: skip

T = TypeVar("T")
DEADLINE_S = 30
BODY_BYTES_MAX = 20_000_000
# How clients ask for enums as numbers.
NUMBERS = "enum-encoding=int"


class Gemini:
    """The API over HTTP, on a port of its own.

    `requests` are those to generate content that were JSON, `visits` all that came, each as a
    method and a path; `violations` tell what was refused, which answers that were played are not.
    `left` counts clients that went away before their answer was sent. `models` may be changed;
    while `refuses` is set, it is the answer to everything.
    """

    def __init__(self, spec: Path | None = None) -> None:
        self.key = "test-key"
        self.models: dict[str, Card] = {name: card(name) for name in NAMES}
        self.requests: list[Asked] = []
        self.visits: list[str] = []
        self.violations: list[str] = []
        self.left = 0
        self.refuses: Answer | None = None
        self._queue: deque[Answer] = deque()
        self._by: Callable[[Asked], Answer] | None = None
        self._finish = Finish()
        self._spec = specification(spec) if spec else None
        self._news = asyncio.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # What it answers

    def plays(self, *answers: Answer) -> None:
        """Give these out next, in turn, before what `answers_by` says."""
        self._queue.extend(answers)

    def answers_by(self, answer: Callable[[Asked], Answer] | None) -> None:
        """Have a function say what is answered when nothing is queued."""
        self._by = answer

    # What tests wait for

    async def until(self, happened: Callable[[], T], seconds: float = DEADLINE_S) -> T:
        """Wait for `happened` to return something true, and return it; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not (found := happened()):
                await self._news.wait()
        return found

    async def asked(self, number: int) -> Asked:
        """Wait for so many requests in all, and return the last of them."""
        await self.until(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    async def deserted(self, number: int = 1) -> None:
        """Wait until so many clients in all have gone away before their answer."""
        await self.until(lambda: self.left >= number)

    def _changed(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # The service

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Gemini"]:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/v1beta/models", self._models)
        app.router.add_get("/v1beta/models/{model}", self._model)
        app.router.add_post("/v1beta/models/{model}:{method}", self._call)
        app.router.add_route("*", "/{path:.*}", self._nothing)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._guarded(request, self._all_models)

    async def _model(self, request: web.Request) -> web.StreamResponse:
        return await self._guarded(request, self._one_model)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        return await self._guarded(request, self._called)

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        self._came(request)
        self.violations.append(f"nothing is at {request.method} {request.path}")
        return await self._sent(request, page(404), page(404).body)

    def _came(self, request: web.Request) -> None:
        self.visits.append(f"{request.method} {request.path}")
        self._changed()

    async def _guarded(
        self,
        request: web.Request,
        answer: Callable[[web.Request, bytes], tuple[Answer, Json | str]],
    ) -> web.StreamResponse:
        """Answer, with Google's error for what is refused."""
        content = await request.read()
        self._came(request)
        try:
            if self.refuses is not None:
                return await self._sent(request, self.refuses, self.refuses.body)
            self._check_key(request)
            played, body = answer(request, content)
        except Refused as refusal:
            self.violations.append(str(refusal).strip())
            played, body = Answer(refusal.body, refusal.code), refusal.body
        return await self._sent(request, played, body)

    def _check_key(self, request: web.Request) -> None:
        key = request.headers.get("x-goog-api-key") or request.query.get("key")
        if not key:
            raise no_key()
        if key != self.key:
            raise bad_key()

    def _all_models(self, request: web.Request, content: bytes) -> tuple[Answer, Json]:
        body = {"models": [each.json() for each in self.models.values()]}
        return exact(body), body

    def _one_model(self, request: web.Request, content: bytes) -> tuple[Answer, Json]:
        body = self._card(request, "getModel").json()
        return exact(body), body

    def _card(self, request: web.Request, method: str) -> Card:
        name = request.match_info["model"]
        if name not in self.models:
            raise unknown_model(name, method)
        return self.models[name]

    def _called(self, request: web.Request, content: bytes) -> tuple[Answer, Json | str]:
        method = request.match_info["method"]
        known = self._card(request, method)
        body = canonical(parsed(content))
        if method == "countTokens":
            return self._counted(body)
        if method not in {"generateContent", "streamGenerateContent"}:
            raise unknown_model(known.name, method)
        asked = Asked(known.name, method, body, request.query.get("alt") == "sse")
        self.requests.append(asked)
        self._changed()
        if self._spec is not None:
            self._spec.check("GenerateContentRequest", body)
        check(asked, known, self._finish.signed)
        answer = self._next(asked)
        return answer, self._written(request, asked, self._finish(answer, asked, known))

    def _counted(self, body: Json) -> tuple[Answer, Json]:
        if self._spec is not None:
            self._spec.check("CountTokensRequest", body)
        inner = body.get("generateContentRequest", body)
        if not inner.get("contents"):
            raise invalid("* CountTokensRequest.contents: contents is not specified\n")
        total = tokens(inner.get("systemInstruction"), inner["contents"], inner.get("tools"))
        counted: Json = {
            "totalTokens": total,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}],
        }
        return exact(counted), counted

    def _next(self, asked: Asked) -> Answer:
        if self._queue:
            return self._queue.popleft()
        if self._by is not None:
            return self._by(asked)
        raise Refused(500, "The test said nothing about what is answered here.")

    def _written(self, request: web.Request, asked: Asked, body: Json | str) -> Json | str:
        if isinstance(body, str):
            return body
        if NUMBERS in request.query.get("$alt", "") and self._spec and "error" not in body:
            body = self._spec.numbered("GenerateContentResponse", body)
        if asked.method == "streamGenerateContent" and "error" not in body:
            return streamed(body, sse=asked.sse)
        return body

    async def _sent(
        self, request: web.Request, answer: Answer, body: Json | str
    ) -> web.StreamResponse:
        """Send an answer, as slowly and as far as it says."""
        try:
            return await self._delivered(request, answer, _encoded(body))
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            self._changed()
            raise

    async def _delivered(
        self, request: web.Request, answer: Answer, content: bytes
    ) -> web.StreamResponse:
        if answer.held and not answer.midway:
            await answer.held.wait()
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = _content_type(request, answer)
        response.content_length = len(content)
        await response.prepare(request)
        half = len(content) // 2
        await response.write(content[:half])
        if answer.cut:
            assert request.transport is not None
            request.transport.close()
            return response
        if answer.held:
            await answer.held.wait()
        await response.write(content[half:])
        await response.write_eof()
        return response


def running(spec: Path | None = None) -> contextlib.AbstractAsyncContextManager[Gemini]:
    """A server that runs; `spec` is the folder of the published description."""
    return Gemini(spec or published()).running()


def _encoded(body: Json | str) -> bytes:
    return (body if isinstance(body, str) else json_text.dumps(body)).encode()


def _content_type(request: web.Request, answer: Answer) -> str:
    ok, streams = answer.status == 200, request.query.get("alt") == "sse"
    return "text/event-stream" if ok and streams else answer.content_type
