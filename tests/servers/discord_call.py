"""Calls to the local Discord: how they are read, answered, refused, and made to fail."""

import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import BodyPartReader, hdrs, web

from tests.servers.discord_schema import Json, Problem, error_tree
from tests.servers.discord_world import Upload

BASE = "/api/v10"
# The body of a call whose JSON can't be parsed.
UNREADABLE = object()

REFUSALS = {
    0: (401, "401: Unauthorized"),
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    10063: (404, "Unknown application command"),
    30032: (400, "Maximum number of application commands reached"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50003: (403, "Cannot execute action on a DM channel"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "You lack permissions to perform that action"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50109: (400, "The request body contains invalid JSON."),
}


class Refusal(Exception):
    """An answer that says no, with Discord's own code."""

    def __init__(self, code: int, problems: list[Problem] | None = None) -> None:
        self.status, words = REFUSALS[code]
        self.problems = problems or []
        self.body: Json = {"message": words, "code": code}
        if problems:
            self.body["errors"] = error_tree(problems)


@dataclass
class Call:
    """A request, and what it was answered; `path` is without the base and the query."""

    method: str
    path: str
    query: dict[str, str]
    token: str | None
    body: Any = None
    files: list[Upload] = field(default_factory=list)
    template: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    answer: Any = None

    def id(self, name: str) -> int:
        value = self.params[name]
        return int(value) if value.isdecimal() else 0


class Violation(NamedTuple):
    """A call that Discord would refuse as malformed, and why."""

    call: Call
    problems: list[Problem]


@dataclass(frozen=True)
class Answer:
    """A fault: this instead of the right answer; nothing is done."""

    status: int
    body: Json | str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """A fault: the connection is cut, after the call was `performed` or before."""

    performed: bool


class Hang:
    """A fault: no answer, until the client or the server gives up."""


Fault = Answer | Drop | Hang


def rate_limited(retry_after: float, *, everywhere: bool = False) -> Answer:
    """A 429 that says to wait so many seconds; for all calls with `everywhere`."""
    scope = "global" if everywhere else "user"
    headers = {
        "Via": "1.1 local",
        "Retry-After": str(max(1, round(retry_after))),
        "X-RateLimit-Scope": scope,
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": str(retry_after),
    }
    words = "You are being rate limited."
    body: Json = {"message": words, "retry_after": retry_after, "global": everywhere}
    return Answer(429, body, headers | ({"X-RateLimit-Global": "true"} if everywhere else {}))


def failing(status: int) -> Answer:
    """An error of the servers in front of Discord, which is not JSON."""
    return Answer(status, f"<html><body><h1>{status}</h1></body></html>")


def refused(code: int) -> Answer:
    """One of Discord's own refusals, by its code."""
    refusal = Refusal(code)
    return Answer(refusal.status, refusal.body)


_FILE = re.compile(r"files\[(\d+)\]")


async def read_call(request: web.Request) -> Call:
    path = request.path.removeprefix(BASE)
    token = request.headers.get(hdrs.AUTHORIZATION)
    call = Call(request.method, path, dict(request.query), token)
    if request.content_type == "multipart/form-data":
        await _read_parts(request, call)
    elif text := await request.text():
        call.body = _parsed(text)
    return call


async def _read_parts(request: web.Request, call: Call) -> None:
    call.body = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        content = bytes(await part.read())
        if part.name == "payload_json":
            call.body = _parsed(content.decode())
        elif (named := _FILE.fullmatch(part.name or "")) and part.filename:
            call.files.append(Upload(named[1], part.filename, content))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return UNREADABLE


def respond(call: Call, status: int, body: Any, headers: dict[str, str]) -> web.Response:
    """An answer as Discord sends it: JSON's content type has no charset."""
    call.status, call.answer = status, copy.deepcopy(body)
    if body is None:
        return web.Response(status=status, headers=headers)
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html", headers=headers)
    content = json.dumps(body).encode()
    return web.Response(
        status=status, body=content, content_type="application/json", headers=headers
    )
