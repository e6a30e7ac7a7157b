"""A Telegram Bot API server on this machine, which refuses what Telegram refuses.

    async with TelegramServer() as server:
        ann = server.user("Ann")
        chat = server.private(ann)
        server.write(ann, chat, "/status")
        [answer] = await server.sent(1, chat)

`server.base` is what a client is pointed at. What tests do in Telegram's place (people, chats,
waiting) is in `tests.servers.telegram_world`; faults are ordered here, with `fault`.
"""

import asyncio
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from bot.clock import SystemClock
from engine.ports import Clock
from tests.clock import turn
from tests.servers.telegram_chat import Json, User
from tests.servers.telegram_methods import METHODS, SENDS, Call, Upload
from tests.servers.telegram_pace import Pace
from tests.servers.telegram_refusal import Refused, bad_request, too_many
from tests.servers.telegram_spec import specification
from tests.servers.telegram_world import World

POLL_S_MAX = 50
POLL_UPDATES_MAX = 100
TOKEN_MAX = 80
# A picture has 10 MB and a file 50 at most.
BODY_BYTES_MAX = 60_000_000
# Parameters that are no text, and come as JSON.
JSON_PARAMS = {
    "allowed_updates", "cache_time", "caption_entities", "commands", "disable_notification",
    "drop_pending_updates", "entities", "limit", "link_preview_options", "media", "message_id",
    "message_thread_id", "offset", "protect_content", "reply_markup", "reply_parameters",
    "scope", "show_alert", "timeout",
}  # fmt: skip

# From an accepted socket to a connection that the server knows of, in turns of the event loop.
TURNS_TO_ACCEPT = 4

CONFLICT = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is "
    "running"
)
WEBHOOK_CONFLICT = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete "
    "the webhook first"
)
WORDS = {
    400: "Bad Request: chat not found",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: CONFLICT,
}


@dataclass(eq=False, slots=True)
class Fault:
    """Something that goes wrong with the next `left` calls that it fits.

    `kind` is the status of a refusal (from 500 on a page of HTML instead of JSON) or one of
    hang: the call is not heard until `release`; drop: the connection ends before it is;
    drop_after: it is carried out, and the connection ends without an answer.
    """

    kind: int | str
    method: str | None
    chat_id: int | None
    left: float
    refusal: Refused | None
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, call: Call) -> bool:
        return (
            self.left > 0
            and self.method in {None, call.method}
            and self.chat_id in {None, call.params.get("chat_id")}
        )

    def release(self) -> None:
        """Let the calls that hang go on."""
        self.released.set()


class TelegramServer(World):
    """The Bot API over HTTP, on a port of its own.

    With `spec`, the folder of the published specification, every call is held to it: what does
    not fit is refused, and told in `violations`. `calls` are those that were understood, `pace`
    how fast was sent; with `enforce_limits` too fast a send is refused with 429.
    """

    def __init__(
        self,
        token: str = "123456:TEST",
        spec: Path | None = None,
        clock: Clock | None = None,
        *,
        enforce_limits: bool = False,
    ) -> None:
        bot = User(int(token.partition(":")[0]), "Countersign", True, "countersign_bot")
        super().__init__(clock or SystemClock(), bot)
        self.token = token
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.pace = Pace()
        self._enforce_limits = enforce_limits
        self._spec = specification(spec) if spec else None
        self._faults: list[Fault] = []
        self._poll: object | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_route("*", "/{path:.*}", self._answer_nothing)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await self.back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end_connections()
        await self._runner.cleanup()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def polling(self) -> bool:
        """Whether a client waits for updates at this moment."""
        return self._poll is not None

    def called(self, method: str) -> list[Call]:
        return [each for each in self.calls if each.method == method]

    # Faults

    def fault(
        self,
        method: str | None,
        kind: int | str,
        *,
        times: float = 1,
        chat_id: int | None = None,
        text: str | None = None,
        retry_after: int = 1,
        migrate_to: int | None = None,
    ) -> Fault:
        """Have the next calls fail: of `method`, or any; to `chat_id`, or anywhere.

        `kind` is as in Fault; `migrate_to` is the chat that a 400 sends callers on to.
        """
        refusal = _refusal(kind, text, retry_after, migrate_to) if isinstance(kind, int) else None
        assert refusal or kind in {"hang", "drop", "drop_after"}, kind
        fault = Fault(kind, method, chat_id, times, refusal)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Take back every fault, and let go what hangs."""
        for fault in self._faults:
            fault.release()
        self._faults.clear()

    async def outage(self) -> None:
        """End every connection and accept no more until `back`."""
        await self._end_connections()

    async def back(self) -> None:
        """Listen, where it listened before."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    def push(self, update: Json) -> int:
        update_id = super().push(update)
        wrong = self._spec.wrong_update({"update_id": update_id} | update) if self._spec else []
        assert not wrong, wrong
        return update_id

    # Calls

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            self._check_token(request.match_info["token"])
            call = await self._received(request)
            return _accepted(await self._carried_out(call, request))
        except Refused as refusal:
            return _refused(refusal)

    async def _answer_nothing(self, request: web.Request) -> web.Response:
        return _refused(Refused(404, "Not Found"))

    def _check_token(self, token: str) -> None:
        if ":" not in token or token.startswith("0") or len(token) > TOKEN_MAX:
            raise Refused(401, "Unauthorized: invalid token specified")
        if token != self.token:
            raise Refused(401, "Unauthorized")

    async def _received(self, request: web.Request) -> Call:
        method = request.match_info["method"]
        form, files = await _fields(request)
        self._check_spec(method, form, files)
        call = Call(method, _decoded(form), files, self.clock.now())
        self.calls.append(call)
        self.changed()
        return call

    def _check_spec(self, method: str, form: dict[str, str], files: dict[str, Upload]) -> None:
        if self._spec is None:
            return
        if not self._spec.knows(method):
            self.violations.append(f"{method} is no method")
            raise Refused(404, "Not Found: method not found")
        if wrong := self._spec.wrong_call(method, form, files):
            self.violations += wrong
            raise bad_request("; ".join(wrong))

    async def _carried_out(self, call: Call, request: web.Request) -> object:
        fault = next((each for each in self._faults if each.fits(call)), None)
        if fault is None:
            return await self._result(call)
        fault.left -= 1
        if fault.refusal is not None:
            raise fault.refusal
        if fault.kind == "hang":
            await fault.released.wait()
        if fault.kind == "drop":
            await _cut(request)
        result = await self._result(call)
        if fault.kind == "drop_after":
            await _cut(request)
        return result

    async def _result(self, call: Call) -> object:
        if call.method == "getUpdates":
            result: object = await self._updates(call.params)
        elif call.method in METHODS:
            with self._paced(call):
                result = METHODS[call.method](self, call)
        else:
            self.violations.append(f"{call.method} is not offered by this server")
            raise Refused(404, "Not Found: method not found")
        if self._spec is not None:
            self.violations += self._spec.wrong_result(call.method, result)
        self.changed()
        return result

    @contextmanager
    def _paced(self, call: Call) -> Iterator[None]:
        """Count a send that was accepted; refuse one that is too fast, where limits are kept."""
        if call.method not in SENDS:
            yield
            return
        chat, now = self.chat_of(call.params.get("chat_id")), self.clock.monotonic()
        wait = self.pace.wait(chat.id, chat.is_group, now)
        if wait and self._enforce_limits:
            raise too_many(math.ceil(wait))
        yield
        self.pace.record(chat.id, chat.is_group, now)

    async def _updates(self, params: Json) -> list[Json]:
        """Long polling: an offset confirms what came before it, a newer poll ends an older."""
        if self.webhook:
            raise Refused(409, WEBHOOK_CONFLICT)
        if "allowed_updates" in params:
            self.allowed = frozenset(params["allowed_updates"])
        self._confirm(params.get("offset", 0))
        me = self._poll = object()
        self.changed()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(params.get("timeout", 0), POLL_S_MAX)):
                    while not self.pending and self._poll is me:
                        await self.news()
            if self._poll is not me:
                raise Refused(409, CONFLICT)
        finally:
            if self._poll is me:
                self._poll = None
        return self.pending[: params.get("limit", POLL_UPDATES_MAX)]

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            self.pending = self.pending[offset:]
        else:
            self.pending = [each for each in self.pending if each["update_id"] >= offset]

    async def _end_connections(self) -> None:
        """Accept no more, and end what there is: that too which was just accepted."""
        if self._site in self._runner.sites:
            await self._site.stop()
        for _ in range(TURNS_TO_ACCEPT):
            await turn()
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            connection.force_close()


def _refusal(kind: int, text: str | None, retry_after: int, migrate_to: int | None) -> Refused:
    if kind == 429:
        return too_many(retry_after)
    if migrate_to is not None:
        words = "Bad Request: group chat was upgraded to a supergroup chat"
        return Refused(kind, words, migrate_to_chat_id=migrate_to)
    return Refused(kind, text or WORDS.get(kind, "Internal Server Error"))


async def _fields(request: web.Request) -> tuple[dict[str, str], dict[str, Upload]]:
    """A call's parameters as text, and its files."""
    form: dict[str, Any] = dict(request.query) | dict(await request.post())
    files = {
        name: Upload(part.filename, part.file.read())
        for name, part in form.items()
        if isinstance(part, web.FileField)
    }
    return {name: text for name, text in form.items() if name not in files}, files


def _decoded(form: dict[str, str]) -> Json:
    return {name: _value(name, text) for name, text in form.items()}


def _value(name: str, text: str) -> object:
    if name == "chat_id" and text.lstrip("-").isdecimal():
        return int(text)
    if name not in JSON_PARAMS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise bad_request(f"can't parse {name} JSON object") from None


def _accepted(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _refused(refusal: Refused) -> web.Response:
    if refusal.code >= 500:
        page = f"<html><body><h1>{refusal.code} {refusal.description}</h1></body></html>"
        return web.Response(status=refusal.code, text=page, content_type="text/html")
    body: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    if refusal.parameters:
        body["parameters"] = refusal.parameters
    retry_after = refusal.parameters.get("retry_after")
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return web.json_response(body, status=refusal.code, headers=headers)


async def _cut(request: web.Request) -> None:
    """End the connection; the call ends with it."""
    assert request.transport is not None
    request.transport.abort()
    await asyncio.Event().wait()
