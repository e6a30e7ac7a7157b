"""What the local Gemini can be told to answer.

world.plays(text("Up."), calls(("positions", {})), too_many(retry_after=25), slow(text("Late")))
"""

import asyncio
import json as _json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.servers.gemini_refusals import (
    Json,
    disabled_error,
    error,
    quota_error,
    region_error,
)

CATEGORIES = ("HATE_SPEECH", "DANGEROUS_CONTENT", "HARASSMENT", "SEXUALLY_EXPLICIT")
OVERLOADED = "The model is overloaded. Please try again later."
INTERNAL = "An internal error has occurred. Please retry or report."
Args = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `body` is JSON, or text that is sent as it is.

    To JSON with status 200 the server adds what every answer has (usage, ids, signatures) and cuts
    it to the tokens that were asked for, unless it is `exact`. `thoughts` are tokens of thinking.
    A `held` answer waits for `release`, with `midway` after half of it was sent; with `cut` the
    connection ends there.
    """

    body: Json | str
    status: int = 200
    thoughts: int = 0
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    held: asyncio.Event | None = None
    midway: bool = False
    cut: bool = False

    def release(self) -> None:
        """Let an answer go that is held."""
        assert self.held is not None, "only slow answers are held"
        self.held.set()


# Answers


def text(words: str, *, thoughts: int = 0) -> Answer:
    return said({"text": words}, thoughts=thoughts)


def json(value: object, *, thoughts: int = 0) -> Answer:
    """An answer that is JSON."""
    return text(_json.dumps(value), thoughts=thoughts)


def calls(*wanted: tuple[str, Args], words: str = "", thoughts: int = 0) -> Answer:
    """Calls of functions, each a name and its arguments, with words before them if any."""
    before = [{"text": words}] if words else []
    parts = [{"functionCall": {"name": name, "args": dict(args)}} for name, args in wanted]
    return said(*before, *parts, thoughts=thoughts)


def said(*parts: Json, finish: str | None = "STOP", thoughts: int = 0, **more: Any) -> Answer:
    """An answer of any parts; `more` are further fields of the candidate."""
    content: Json = {"parts": list(parts)} if parts else {}
    candidate: Json = {"content": content | {"role": "model"}, "index": 0, **more}
    if finish:
        candidate["finishReason"] = finish
    return Answer({"candidates": [candidate]}, thoughts=thoughts)


def exact(body: Json | str, status: int = 200) -> Answer:
    """An answer to which nothing is added."""
    return Answer(body, status, exact=True)


# Answers without an answer


def blocked(reason: str = "SAFETY", category: str = "DANGEROUS_CONTENT") -> Answer:
    """The prompt itself was blocked: there are no candidates."""
    return Answer({"promptFeedback": {"blockReason": reason, "safetyRatings": ratings(category)}})


def unsafe(category: str = "DANGEROUS_CONTENT", words: str = "") -> Answer:
    """The answer was stopped for safety, after `words`."""
    parts = [{"text": words}] if words else []
    rated = [each | {"blocked": True} if _is_high(each) else each for each in ratings(category)]
    return said(*parts, finish="SAFETY", safetyRatings=rated)


def ratings(high: str) -> list[Json]:
    """Safety ratings, of which one category is high."""
    return [
        {
            "category": f"HARM_CATEGORY_{each}",
            "probability": "HIGH" if each == high else "NEGLIGIBLE",
        }
        for each in CATEGORIES
    ]


def _is_high(rating: Json) -> bool:
    return bool(rating["probability"] == "HIGH")


def cut_off(words: str = "", *, thoughts: int = 0) -> Answer:
    """The answer came to the end of its tokens after `words`, or, without any, while thinking."""
    parts = [{"text": words}] if words else []
    return said(*parts, finish="MAX_TOKENS", thoughts=thoughts)


def empty(finish: str = "STOP") -> Answer:
    """A candidate without content."""
    return said(finish=finish)


def no_candidates() -> Answer:
    """A success with nothing in it."""
    return Answer({"candidates": []})


def recitation() -> Answer:
    return said(finish="RECITATION")


def malformed_call() -> Answer:
    """The model wrote a call of a function that can't be read."""
    return said(finish="MALFORMED_FUNCTION_CALL", finishMessage="Malformed function call: x(")


# Errors


def failed(code: int, message: str, *details: Json, status: str | None = None) -> Answer:
    return Answer(error(code, message, *details, status=status), code)


def too_many(
    retry_after: float | None = 25.08253422, *, model: str = "gemini-2.5-flash", limit: int = 10
) -> Answer:
    """Too many requests in a minute; `retry_after` in seconds, None where Google does not say."""
    return Answer(quota_error(model, "Minute", limit, retry_after), 429)


def quota_spent(
    retry_after: float | None = 36.4, *, model: str = "gemini-2.5-flash", limit: int = 250
) -> Answer:
    """The day's requests are used up. Google says a short delay with it all the same."""
    return Answer(quota_error(model, "Day", limit, retry_after), 429)


def exhausted() -> Answer:
    """429 without any details."""
    return failed(429, "Resource has been exhausted (e.g. check quota).")


def overloaded() -> Answer:
    return failed(503, OVERLOADED)


def internal() -> Answer:
    return failed(500, INTERNAL)


def wrong_region() -> Answer:
    return Answer(region_error(), 400)


def disabled() -> Answer:
    """The project has not switched the service on."""
    return Answer(disabled_error(), 403)


# Answers that are broken on the way


def slow(answer: Answer, *, midway: bool = False) -> Answer:
    """An answer that is held until `release`, or half of it with `midway`."""
    return replace(answer, held=asyncio.Event(), midway=midway)


def cut(answer: Answer) -> Answer:
    """The connection ends in the middle of an answer."""
    return replace(answer, cut=True)


def page(status: int = 502) -> Answer:
    """A page of HTML, as from a proxy in between."""
    words = f"<html><body><h1>{status} Bad Gateway</h1></body></html>"
    return Answer(words, status, content_type="text/html")


def moved(address: str) -> Answer:
    """The service is said to be somewhere else."""
    return Answer("", 307, headers={"Location": address})


def broken_json() -> Answer:
    """A success whose JSON ends too early."""
    return Answer('{"candidates": [{"content": {"parts": [{"text": "Up')


def broken_stream(words: str = "Up") -> Answer:
    """A stream whose second event is no JSON."""
    first = {"candidates": [{"content": {"parts": [{"text": words}], "role": "model"}}]}
    return Answer(f'data: {_json.dumps(first)}\r\n\r\ndata: {{"candidates": [{{\r\n\r\n')
