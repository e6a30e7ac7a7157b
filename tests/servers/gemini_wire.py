"""The local Gemini's answers as they go out: with usage, ids and signatures, whole or streamed."""

import base64
import copy
import json
import re
from itertools import count

from tests.servers.gemini_answers import Answer
from tests.servers.gemini_models import Card
from tests.servers.gemini_refusals import Json
from tests.servers.gemini_request import TOKEN_CHARS, Asked, tokens
from tests.servers.gemini_rules import decoded

SIGNATURE = re.compile(r'"thoughtSignature": ?"([^"]*)"')


class Finish:
    """Adds to answers what every answer has, and remembers the signatures that were given."""

    def __init__(self) -> None:
        self.signed: set[bytes] = set()
        self._numbers = count(1)

    def __call__(self, answer: Answer, asked: Asked, card: Card) -> Json | str:
        body = answer.body
        if not (isinstance(body, str) or answer.status != 200 or answer.exact):
            body = self._completed(copy.deepcopy(body), answer, asked, card)
        text = body if isinstance(body, str) else json.dumps(body)
        self.signed |= {decoded(found[1]) for found in SIGNATURE.finditer(text)}
        return body

    def _completed(self, body: Json, answer: Answer, asked: Asked, card: Card) -> Json:
        thoughts = answer.thoughts if card.thinks else 0
        for candidate in body.get("candidates", []):
            thoughts = _shortened(candidate, asked, thoughts)
            self._sign(candidate, card)
        body["usageMetadata"] = _usage(body, asked, thoughts)
        body["modelVersion"] = asked.model
        body["responseId"] = f"response-{next(self._numbers)}"
        return body

    def _sign(self, candidate: Json, card: Card) -> None:
        """Only the first of several calls is signed; ids came with the models that sign."""
        wanted = [each for each in _parts(candidate) if "functionCall" in each]
        for number, part in enumerate(wanted):
            if card.signs:
                part["functionCall"].setdefault("id", f"call{next(self._numbers):04d}")
            if card.thinks and number == 0:
                sign = f"signature {next(self._numbers)} \xff\xfe\xfb".encode("latin-1")
                part.setdefault("thoughtSignature", base64.b64encode(sign).decode())


def _parts(candidate: Json) -> list[Json]:
    parts: list[Json] = candidate.get("content", {}).get("parts", [])
    return parts


def _shortened(candidate: Json, asked: Asked, thoughts: int) -> int:
    """Cut a candidate to the tokens that were asked for, of which thoughts come first; returns the
    tokens that were thought."""
    most = int(asked.config.get("maxOutputTokens", 1 << 30))
    if thoughts + tokens(_parts(candidate)) <= most:
        return thoughts
    left, kept = (most - min(thoughts, most)) * TOKEN_CHARS, []
    for part in _parts(candidate):
        if "text" in part and left > 0:
            kept.append(part | {"text": part["text"][:left]})
            left -= len(part["text"])
    candidate["content"] = {"parts": kept, "role": "model"} if kept else {"role": "model"}
    candidate["finishReason"] = "MAX_TOKENS"
    return min(thoughts, most)


def _usage(body: Json, asked: Asked, thoughts: int) -> Json:
    prompt = asked.tokens
    answered = tokens([_parts(each) for each in body.get("candidates", [])])
    usage = {
        "promptTokenCount": prompt,
        "totalTokenCount": prompt + answered + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    if answered:
        usage["candidatesTokenCount"] = answered
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    return usage


def streamed(body: Json, *, sse: bool) -> str:
    """A body in two pieces, as events or as a list."""
    pieces = [json.dumps(each) for each in _pieces(body)]
    if not sse:
        return f"[{','.join(pieces)}]"
    return "".join(f"data: {each}\r\n\r\n" for each in pieces)


def _pieces(body: Json) -> list[Json]:
    """The first part's first half alone, and then everything else."""
    candidates = body.get("candidates", [])
    first = _parts(candidates[0])[:1] if candidates else []
    if not first or len(first[0].get("text", "")) < 2:
        return [body]
    half = len(first[0]["text"]) // 2
    early, late = copy.deepcopy(body), copy.deepcopy(body)
    early["candidates"] = [
        {"content": {"parts": [{"text": first[0]["text"][:half]}], "role": "model"}, "index": 0}
    ]
    _parts(late["candidates"][0])[0]["text"] = first[0]["text"][half:]
    return [early, late]
